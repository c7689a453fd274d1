import { type Statement, statement } from '@hoc/shared/drivers';

/** A stored feedback. */
export interface FeedbackColumns {
  readonly id: string;
  readonly signal_fingerprint: string;
  readonly feedback_state: string;
  readonly actor_id: string;
  readonly as_of: Date;
  readonly ttl_seconds: number | null;
  readonly expires_at: Date | null;
  readonly bulk_action_id: string | null;
  readonly target_set_hash: string | null;
  readonly target_count: number | null;
  readonly created_at: Date;
  readonly updated_at: Date;
}

const COLUMNS = `id, signal_fingerprint, feedback_state, actor_id, as_of, ttl_seconds, expires_at, bulk_action_id,
  target_set_hash, target_count, created_at, updated_at`;

/** $1 tenant, $2 id, $3 fingerprint, $4 state, $5 actor, $6 clock, $7 ttl, $8 bulk action, $9 hash, $10 count. */
export const INSERT_FEEDBACK: Statement<FeedbackColumns> = statement(
  'insert_feedback',
  `INSERT INTO signal_feedback (tenant_id, ${COLUMNS})
   VALUES ($1, $2, $3, $4, $5, $6::timestamptz, $7::integer, $6::timestamptz + make_interval(secs => $7::integer), $8, $9,
     $10::integer, $6::timestamptz, $6::timestamptz)
   RETURNING ${COLUMNS}`,
);

/**
 * $1 tenant, $2 fingerprints: the newest row of each that has one, by one index look-up. DISTINCT ON would read every
 * answer that these signals ever got.
 */
export const LATEST_FEEDBACK: Statement<FeedbackColumns> = statement(
  'latest_feedback',
  `SELECT f.*
   FROM unnest($2::text[]) AS u(fingerprint)
   CROSS JOIN LATERAL (
     SELECT ${COLUMNS} FROM signal_feedback
     WHERE tenant_id = $1 AND signal_fingerprint = u.fingerprint
     ORDER BY created_at DESC, id DESC
     LIMIT 1
   ) AS f`,
  { replan: true },
);

/** A suppression and its place in the list. */
export interface SuppressionColumns extends FeedbackColumns {
  readonly position: string;
}

/**
 * $1 tenant, $2 instant, $3 and $4 where the page goes on, $5 limit. The soonest to end first; a suppression that somebody
 * has answered since is none. Planned anew: a plan made for a small table would sort all of a large tenant's.
 */
export const ACTIVE_SUPPRESSIONS: Statement<SuppressionColumns> = statement(
  'active_suppressions',
  `SELECT ${COLUMNS}, to_char(expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS position
   FROM signal_feedback f
   WHERE tenant_id = $1 AND feedback_state = 'SUPPRESSED' AND as_of <= $2::timestamptz AND expires_at > $2::timestamptz
     AND (expires_at, id) > ($3::timestamptz, $4)
     AND NOT EXISTS (
       SELECT 1 FROM signal_feedback n
       WHERE n.tenant_id = $1 AND n.signal_fingerprint = f.signal_fingerprint AND (n.created_at, n.id) > (f.created_at, f.id)
     )
   ORDER BY expires_at, id
   LIMIT $5`,
  { replan: true },
);

/**
 * $1 instant, $2 limit, $3 clock. What another job holds is skipped: each row is marked once, and nobody waits. The lock
 * reads the row anew, so one that a job has marked meanwhile isn't taken.
 */
export const MARK_EXPIRED: Statement<{ readonly marked: string }> = statement(
  'mark_expired_suppressions',
  `WITH due AS MATERIALIZED (
     SELECT tenant_id, id FROM signal_feedback
     WHERE feedback_state = 'SUPPRESSED' AND expires_at <= $1::timestamptz
     ORDER BY expires_at, tenant_id, id
     LIMIT $2
     FOR NO KEY UPDATE SKIP LOCKED
   ), marked AS (
     UPDATE signal_feedback f SET feedback_state = 'EVALUATED', updated_at = $3::timestamptz
     FROM due d WHERE f.tenant_id = d.tenant_id AND f.id = d.id
     RETURNING 1
   )
   SELECT count(*) AS marked FROM marked`,
  { replan: true },
);
