import { type Statement, statement } from '@hoc/shared/drivers';
import type { JsonValue } from '@hoc/shared/kernel';

/** A claimed alert. */
export interface ClaimedColumns {
  readonly id: string;
  readonly payload: readonly JsonValue[];
  readonly alert_type: string;
  readonly circuit_breaker_name: string;
  readonly incident_id: string | null;
  readonly attempts: number;
  readonly max_attempts: number;
  readonly created_at: Date;
  readonly locked_until: Date;
}

/**
 * $1 clock, $2 end of the lease, $3 limit. Rows that another worker is claiming or marking are skipped, so nobody waits; the
 * lock reads the row anew, so one that was claimed meanwhile isn't taken.
 */
export const CLAIM: Statement<ClaimedColumns> = statement(
  'claim_alerts',
  `WITH due AS MATERIALIZED (
     SELECT id
     FROM costsim_alert_queue
     WHERE status = 'pending' AND next_attempt_at <= $1::timestamptz
       AND (locked_until IS NULL OR locked_until <= $1::timestamptz)
     ORDER BY next_attempt_at, id
     LIMIT $3
     FOR NO KEY UPDATE SKIP LOCKED
   ), claimed AS (
     UPDATE costsim_alert_queue q SET locked_until = $2::timestamptz
     FROM due
     WHERE q.id = due.id
     RETURNING q.id, q.payload, q.alert_type, q.circuit_breaker_name, q.incident_id, q.attempts, q.max_attempts,
       q.created_at, q.locked_until, q.next_attempt_at
   )
   SELECT id, payload, alert_type, circuit_breaker_name, incident_id, attempts, max_attempts, created_at, locked_until
   FROM claimed
   ORDER BY next_attempt_at, id`,
  { replan: true },
);

/** $1 alert, $2 lease, $3 clock. The incident keeps the time of the first alert about it that arrived. */
export const MARK_SENT: Statement<{ readonly id: string }> = statement(
  'mark_alert_sent',
  `WITH sent AS (
     UPDATE costsim_alert_queue
     SET status = 'sent', sent_at = $3::timestamptz, last_attempt_at = $3::timestamptz, locked_until = NULL
     WHERE id = $1 AND status = 'pending' AND locked_until = $2::timestamptz
     RETURNING id, incident_id
   ), told AS (
     UPDATE costsim_cb_incidents i SET alert_sent = true, alert_sent_at = $3::timestamptz
     FROM sent
     WHERE i.id = sent.incident_id AND NOT i.alert_sent
   )
   SELECT id FROM sent`,
);

/**
 * $1 alert, $2 lease, $3 clock, $4 error, $5 longest pause in seconds: 2, 4, 8, … seconds. The exponent is bounded because
 * a power beyond the range of a float is an error.
 */
export const MARK_FAILED: Statement<{ readonly id: string }> = statement(
  'mark_alert_failed',
  `UPDATE costsim_alert_queue
   SET attempts = attempts + 1, last_attempt_at = $3::timestamptz, last_error = $4, locked_until = NULL,
     next_attempt_at = $3::timestamptz
       + make_interval(secs => LEAST(power(2, LEAST(attempts + 1, 30)), $5::double precision)),
     status = CASE WHEN attempts + 1 >= max_attempts THEN 'failed' ELSE 'pending' END
   WHERE id = $1 AND status = 'pending' AND locked_until = $2::timestamptz
   RETURNING id`,
);

/** $1 clock, $2 limit: the oldest first. */
export const RETRY: Statement<{ readonly count: string }> = statement(
  'retry_alerts',
  `WITH given_up AS MATERIALIZED (
     SELECT id
     FROM costsim_alert_queue
     WHERE status = 'failed'
     ORDER BY created_at, id
     LIMIT $2
     FOR NO KEY UPDATE SKIP LOCKED
   ), retried AS (
     UPDATE costsim_alert_queue q SET status = 'pending', attempts = 0, next_attempt_at = $1::timestamptz
     FROM given_up
     WHERE q.id = given_up.id
     RETURNING q.id
   )
   SELECT count(*) AS count FROM retried`,
  { replan: true },
);

/** The queue in numbers. */
export interface StatsColumns {
  readonly pending: string;
  readonly sent: string;
  readonly failed: string;
  readonly oldest_pending_at: Date | null;
}

/**
 * One statement: the numbers are of one snapshot. Each count is a range of `ix_alert_queue_status`; that of the sent ones
 * is nearly the whole table, unless somebody deletes old ones.
 */
export const STATS: Statement<StatsColumns> = statement(
  'alert_queue_stats',
  `SELECT
     (SELECT count(*) FROM costsim_alert_queue WHERE status = 'pending') AS pending,
     (SELECT count(*) FROM costsim_alert_queue WHERE status = 'sent') AS sent,
     (SELECT count(*) FROM costsim_alert_queue WHERE status = 'failed') AS failed,
     (SELECT created_at FROM costsim_alert_queue WHERE status = 'pending' ORDER BY created_at LIMIT 1) AS oldest_pending_at`,
  { replan: true },
);
