import { type Statement, statement } from '@hoc/shared/drivers';

/** An open worker run. */
export interface OpenRunColumns {
  readonly tenant_id: string;
  readonly id: string;
  readonly worker_id: string;
  readonly status: string;
  readonly created_at: Date;
  readonly started_at: Date | null;
  readonly last_seen_at: Date | null;
  readonly idle_since: Date;
}

/** The text of the index `ix_worker_runs_open`: another spelling would read all runs. GREATEST skips nulls. */
const IDLE_SINCE = 'GREATEST(created_at, started_at, last_seen_at)';
const IS_ORPHAN = `status IN ('queued', 'running') AND ${IDLE_SINCE} < $1::timestamptz`;
const IN_ORDER = `ORDER BY ${IDLE_SINCE}, tenant_id, id`;

/** $1 cutoff, $2 limit. Planned anew: a plan made for a small table, or for a limit near its size, would sort it. */
export const DETECT: Statement<OpenRunColumns> = statement(
  'detect_orphans',
  `SELECT tenant_id, id, worker_id, status, created_at, started_at, last_seen_at, ${IDLE_SINCE} AS idle_since
   FROM worker_runs
   WHERE ${IS_ORPHAN}
   ${IN_ORDER}
   LIMIT $2`,
  { replan: true },
);

/** $1 cutoff, $2 reason, $3 clock, $4 tenant, $5 run: the guard is the detection's own predicate. */
export const MARK: Statement<{ readonly id: string }> = statement(
  'mark_crashed',
  `UPDATE worker_runs SET status = 'crashed', error = $2, completed_at = $3::timestamptz
   WHERE tenant_id = $4 AND id = $5 AND ${IS_ORPHAN}
   RETURNING id`,
);

/** A run that a recovery locked, and whether it was marked. */
export interface RecoveredColumns {
  readonly tenant_id: string;
  readonly id: string;
  readonly worker_id: string;
  readonly status: string;
  readonly marked: boolean;
}

/**
 * $1 cutoff, $2 reason, $3 clock, $4 limit. Rows that another recovery holds are skipped: each orphan is in exactly one
 * caller's result, and nobody waits. The lock reads the row anew, so one that beat or finished meanwhile isn't taken. It
 * is the lock that an UPDATE takes: a retry that is being recorded under the run doesn't hide it.
 */
export const RECOVER: Statement<RecoveredColumns> = statement(
  'recover_orphans',
  `WITH orphan AS MATERIALIZED (
     SELECT tenant_id, id, worker_id, status, ${IDLE_SINCE} AS idle_since
     FROM worker_runs
     WHERE ${IS_ORPHAN}
     ${IN_ORDER}
     LIMIT $4
     FOR NO KEY UPDATE SKIP LOCKED
   ), marked AS (
     UPDATE worker_runs w SET status = 'crashed', error = $2, completed_at = $3::timestamptz
     FROM orphan o
     WHERE w.tenant_id = o.tenant_id AND w.id = o.id
     RETURNING w.tenant_id, w.id
   )
   SELECT o.tenant_id, o.id, o.worker_id, o.status, m.id IS NOT NULL AS marked
   FROM orphan o LEFT JOIN marked m ON m.tenant_id = o.tenant_id AND m.id = o.id
   ORDER BY o.idle_since, o.tenant_id, o.id`,
  { replan: true },
);

/** The count, and one of the newest crashed runs; all of its columns but the count are null where there is none. */
export interface CrashColumns {
  readonly total: string;
  readonly tenant_id: string | null;
  readonly id: string | null;
  readonly worker_id: string | null;
  readonly created_at: Date | null;
  readonly completed_at: Date | null;
  readonly error: string | null;
}

/** $1 limit. One statement: the count and the list are of one snapshot. */
export const CRASH_SUMMARY: Statement<CrashColumns> = statement(
  'crash_summary',
  `SELECT c.total, r.tenant_id, r.id, r.worker_id, r.created_at, r.completed_at, r.error
   FROM (SELECT count(*) AS total FROM worker_runs WHERE status = 'crashed') AS c
   LEFT JOIN LATERAL (
     SELECT tenant_id, id, worker_id, created_at, completed_at, error
     FROM worker_runs
     WHERE status = 'crashed'
     ORDER BY completed_at DESC NULLS LAST, tenant_id, id
     LIMIT $1
   ) AS r ON true
   ORDER BY r.completed_at DESC NULLS LAST, r.tenant_id, r.id`,
  { replan: true },
);
