import { type Statement, statement } from '@hoc/shared/drivers';
import { type ReservationColumns, RESERVATION_COLUMNS } from './reservation.rows';

/** $1 tenant, $2 id. */
export const FETCH_RESERVATION: Statement<ReservationColumns> = statement(
  'fetch_reservation',
  `SELECT ${RESERVATION_COLUMNS} FROM budget_reservations WHERE tenant_id = $1 AND id = $2`,
);

/**
 * $1 tenant, $2 id, $3 actual amount, $4 clock. The row as it was when it was locked: RESERVED and EXPIRED ones are settled
 * now, the others stand. An EXPIRED one has nothing reserved any more. The counters are written by ON CONFLICT, one window
 * after the other in the order of the limits, and by the index whatever the planner thinks of the tables.
 */
export const SETTLE: Statement<ReservationColumns> = statement(
  'settle_reservation',
  `WITH locked AS MATERIALIZED (
     SELECT * FROM budget_reservations WHERE tenant_id = $1 AND id = $2 FOR NO KEY UPDATE
   ), live AS MATERIALIZED (
     SELECT limit_ids, window_starts, CASE status WHEN 'RESERVED' THEN amount ELSE 0 END AS held
     FROM locked WHERE status IN ('RESERVED', 'EXPIRED')
   ), settled AS (
     UPDATE budget_reservations SET status = 'SETTLED', settled_amount = $3::numeric, closed_at = $4::timestamptz
     WHERE tenant_id = $1 AND id = $2 AND (SELECT true FROM live)
   ), counted AS (
     INSERT INTO budget_windows AS w (tenant_id, limit_id, window_start, reserved, spent, updated_at)
     SELECT $1, u.limit_id, u.window_start, l.held, $3::numeric, $4::timestamptz
     FROM live l CROSS JOIN LATERAL unnest(l.limit_ids, l.window_starts) WITH ORDINALITY AS u(limit_id, window_start, o)
     ORDER BY u.o
     ON CONFLICT (tenant_id, limit_id, window_start) DO UPDATE
       SET reserved = w.reserved - EXCLUDED.reserved, spent = w.spent + EXCLUDED.spent, updated_at = EXCLUDED.updated_at
   )
   SELECT ${RESERVATION_COLUMNS} FROM locked`,
);

/** $1 tenant, $2 id, $3 clock. A row where it was RESERVED. */
export const RELEASE: Statement<{ readonly id: string }> = statement(
  'release_reservation',
  `WITH released AS (
     UPDATE budget_reservations SET status = 'RELEASED', closed_at = $3::timestamptz
     WHERE tenant_id = $1 AND id = $2 AND status = 'RESERVED'
     RETURNING id, limit_ids, window_starts, amount
   ), counted AS (
     INSERT INTO budget_windows AS w (tenant_id, limit_id, window_start, reserved, spent, updated_at)
     SELECT $1, u.limit_id, u.window_start, r.amount, 0, $3::timestamptz
     FROM released r CROSS JOIN LATERAL unnest(r.limit_ids, r.window_starts) WITH ORDINALITY AS u(limit_id, window_start, o)
     ORDER BY u.o
     ON CONFLICT (tenant_id, limit_id, window_start) DO UPDATE
       SET reserved = w.reserved - EXCLUDED.reserved, updated_at = EXCLUDED.updated_at
   )
   SELECT id FROM released`,
);

/**
 * $1 clock, $2 limit. What another connection holds is skipped: it is being settled, released or expired there. Each window
 * gets back a sum, in the order in which every call locks windows. Planned anew: which way is best depends on the tables' sizes.
 */
export const EXPIRE: Statement<{ readonly expired: string }> = statement(
  'expire_reservations',
  `WITH due AS MATERIALIZED (
     SELECT tenant_id, id, limit_ids, window_starts, amount FROM budget_reservations
     WHERE status = 'RESERVED' AND expires_at <= $1::timestamptz
     ORDER BY expires_at, tenant_id, id
     LIMIT $2
     FOR NO KEY UPDATE SKIP LOCKED
   ), expired AS (
     UPDATE budget_reservations r SET status = 'EXPIRED', closed_at = $1::timestamptz
     FROM due d WHERE r.tenant_id = d.tenant_id AND r.id = d.id
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
