import { type Statement, statement } from '@hoc/shared/drivers';

/** What a check reads of a breaker that is stored as open. */
export interface OpenColumns {
  readonly disabled_until: Date | null;
  readonly read_only: boolean;
}

/**
 * $1 breaker. A closed breaker, and one that nobody has used yet, give no row: nothing is read or sent for what nearly
 * every check finds. No lock: a check waits for nobody.
 */
export const OPEN_BREAKER: Statement<OpenColumns> = statement(
  'breaker_open',
  `SELECT disabled_until, current_setting('transaction_read_only')::boolean AS read_only
   FROM costsim_cb_state WHERE name = $1 AND disabled`,
);

/** A stored breaker. */
export interface StateColumns {
  readonly name: string;
  readonly disabled: boolean;
  readonly disabled_by: string | null;
  readonly disabled_reason: string | null;
  readonly disabled_until: Date | null;
  readonly opened_at: Date | null;
  readonly incident_id: string | null;
  readonly consecutive_failures: number;
  readonly last_failure_at: Date | null;
}

const COLUMNS = `name, disabled, disabled_by, disabled_reason, disabled_until, opened_at, incident_id,
  consecutive_failures, last_failure_at`;

/** $1 breaker. */
export const BREAKER: Statement<StateColumns> = statement(
  'breaker',
  `SELECT ${COLUMNS} FROM costsim_cb_state WHERE name = $1`,
);

/** $1 breaker: as whoever waited for the row finds it, and its own until the transaction ends. */
export const LOCK_BREAKER: Statement<StateColumns> = statement(
  'breaker_lock',
  `SELECT ${COLUMNS} FROM costsim_cb_state WHERE name = $1 FOR NO KEY UPDATE`,
);

/** $1 breaker, $2 clock: the new row, locked as any row that others don't see yet; none where there is one. */
export const CREATE_BREAKER: Statement<StateColumns> = statement(
  'breaker_create',
  `INSERT INTO costsim_cb_state (name, created_at, updated_at) VALUES ($1, $2::timestamptz, $2::timestamptz)
   ON CONFLICT (name) DO NOTHING
   RETURNING ${COLUMNS}`,
);

/** $1 breaker, $2 counter, $3 whether this was a failure, $4 clock. */
export const COUNT_FAILURES: Statement<object> = statement(
  'breaker_count',
  `UPDATE costsim_cb_state SET consecutive_failures = $2::integer, updated_at = $4::timestamptz,
     last_failure_at = CASE WHEN $3::boolean THEN $4::timestamptz ELSE last_failure_at END
   WHERE name = $1`,
);
