import { type Statement, statement } from '@hoc/shared/drivers';
import { type ReservationColumns, RESERVATION_COLUMNS } from './reservation.rows';

/** Of a row to write again, as it stands. */
const COLUMNS = `tenant_id, id, limit_ids, window_starts, run_id, amount, settled_amount, status, idempotency_key, created_at,
  expires_at, closed_at`;

// By its id a row is looked up as a range of one, in the order of the ids: while a table is small, an equality would cost
// as much by any index that begins with the tenant, and a plan that is kept from then reads all of the tenant's rows ever after.

/** $1 tenant, $2 id. */
export const FETCH_RESERVATION: Statement<ReservationColumns> = statement(
  'fetch_reservation',
  `SELECT ${RESERVATION_COLUMNS} FROM budget_reservations WHERE tenant_id = $1 AND id >= $2 AND id <= $2 ORDER BY id LIMIT 1`,
);

/**
 * $1 tenant, $2 id, $3 actual amount, $4 clock. The row as it was when it was locked: RESERVED and EXPIRED ones are settled
 * now, the others stand. An EXPIRED one has nothing reserved any more.
 */
export const SETTLE: Statement<ReservationColumns> = statement(
  'settle_reservation',
  closing({
    from: ['RESERVED', 'EXPIRED'],
    changes: `status = 'SETTLED', settled_amount = $3::numeric, closed_at = $4::timestamptz`,
    spent: '$3::numeric',
    clock: '$4::timestamptz',
  }),
);

/** $1 tenant, $2 id, $3 clock. The row as it was when it was locked; a RESERVED one is released now. */
export const RELEASE: Statement<ReservationColumns> = statement(
  'release_reservation',
  closing({
    from: ['RESERVED'],
    changes: `status = 'RELEASED', closed_at = $3::timestamptz`,
    spent: '0',
    clock: '$3::timestamptz',
  }),
);

/**
 * Locks a reservation, changes it if its status is one of `from`, and its windows with it, in the order of the limits. What
 * is locked is written by ON CONFLICT, because that goes by the primary key whatever the planner thinks of the tables; the
 * INSERT itself never happens, neither table loses rows.
 *
 * `counted` stands before `closed` because PostgreSQL runs what the SELECT doesn't read from the last to the first: a window
 * is what everybody waits for, so it is locked last (with 32 callers on one limit, a third more settles a second).
 */
function closing(how: {
  readonly from: readonly string[];
  readonly changes: string;
  readonly spent: string;
  readonly clock: string;
}): string {
  return `WITH locked AS MATERIALIZED (
     SELECT ${COLUMNS} FROM budget_reservations
     WHERE tenant_id = $1 AND id >= $2 AND id <= $2 ORDER BY id LIMIT 1
     FOR NO KEY UPDATE
   ), live AS MATERIALIZED (
     SELECT * FROM locked WHERE status IN (${how.from.map((status) => `'${status}'`).join(', ')})
   ), counted AS (
     INSERT INTO budget_windows AS w (tenant_id, limit_id, window_start, reserved, spent, updated_at)
     SELECT $1, u.limit_id, u.window_start, CASE l.status WHEN 'RESERVED' THEN l.amount ELSE 0 END, ${how.spent}, ${how.clock}
     FROM live l CROSS JOIN LATERAL unnest(l.limit_ids, l.window_starts) WITH ORDINALITY AS u(limit_id, window_start, o)
     ORDER BY u.o
     ON CONFLICT (tenant_id, limit_id, window_start) DO UPDATE
       SET reserved = w.reserved - EXCLUDED.reserved, spent = w.spent + EXCLUDED.spent, updated_at = EXCLUDED.updated_at
   ), closed AS (
     INSERT INTO budget_reservations (${COLUMNS}) SELECT ${COLUMNS} FROM live
     ON CONFLICT (tenant_id, id) DO UPDATE SET ${how.changes}
   )
   SELECT ${RESERVATION_COLUMNS} FROM locked`;
}

/**
 * $1 clock, $2 limit. What another connection holds is skipped: it is being settled, released or expired there. Each window
 * gets back a sum, in the order in which every call locks windows. Planned anew: which way is best depends on the tables' sizes.
 */
export const EXPIRE: Statement<{ readonly expired: string }> = statement(
  'expire_reservations',
  `WITH due AS MATERIALIZED (
     SELECT ${COLUMNS} FROM budget_reservations
     WHERE status = 'RESERVED' AND expires_at <= $1::timestamptz
     ORDER BY expires_at, tenant_id, id
     LIMIT $2
     FOR NO KEY UPDATE SKIP LOCKED
   ), expired AS (
     INSERT INTO budget_reservations (${COLUMNS}) SELECT ${COLUMNS} FROM due
     ON CONFLICT (tenant_id, id) DO UPDATE SET status = 'EXPIRED', closed_at = $1::timestamptz
     RETURNING 1
   ), counted AS (
     INSERT INTO budget_windows AS w (tenant_id, limit_id, window_start, reserved, spent, updated_at)
     SELECT d.tenant_id, u.limit_id, u.window_start, sum(d.amount), 0, $1::timestamptz
     FROM due d CROSS JOIN LATERAL unnest(d.limit_ids, d.window_starts) AS u(limit_id, window_start)
     GROUP BY d.tenant_id, u.limit_id, u.window_start
     ORDER BY d.tenant_id COLLATE "C", u.limit_id COLLATE "C", u.window_start
     ON CONFLICT (tenant_id, limit_id, window_start) DO UPDATE
       SET reserved = w.reserved - EXCLUDED.reserved, updated_at = EXCLUDED.updated_at
   )
   SELECT count(*) AS expired FROM expired`,
  { replan: true },
);
