import { type Statement, statement } from '@hoc/shared/drivers';
import { type ReservationColumns, RESERVATION_COLUMNS } from './reservation.rows';

/** One item of a batch, by its place from 1 on, and, in the first row, what concerns the whole call. */
export interface ReserveColumns {
  readonly n: number;
  /** Null where nothing was decided: a limit or its window is missing. */
  readonly granted: boolean | null;
  /** Of a refused item: what was left at its turn; may be negative. */
  readonly room: string | null;
  /** Of a refused item. */
  readonly refused_by: string | null;
  /** First row: limits that the tenant doesn't have. */
  readonly missing: readonly string[] | null;
  /** First row: limits that aren't ACTIVE, BUDGET and of a `COST_` type. */
  readonly unusable: readonly string[] | null;
  /** First row: whether each limit has its window's row. */
  readonly seen: boolean | null;
  /** First row: the start of each limit's window, in the order of the limits. */
  readonly starts: readonly string[] | null;
  /** First row: ids of the reservations that were stored. */
  readonly stored: readonly string[] | null;
}

/**
 * $1 tenant, $2 limit ids in byte order, $3 clock, $4–$6 starts of its day, week and month; the items, in the order of
 * arrival: $7 keys, $8 ids, $9 amounts, $10 runs, $11 ends.
 *
 * Decides and writes at once. Four things make it what it is:
 * - The statement has one snapshot, older than the locks it waits for. Of what others change meanwhile it may use only the
 *   rows that it has locked (`held`): those are read anew. It never reads the ledger: the INSERT finds out which keys of
 *   granted items are taken, and the counters follow what was really inserted; for refused items {@link STORED_KEYS} is asked
 *   afterwards.
 * - A plan that is kept from when the tables were empty must serve them full, and the ledger grows fast. It is reached by
 *   ON CONFLICT alone, which goes by the index whatever the planner thinks, as are the counters. Each look-up of a limit is
 *   a LATERAL by a unique key, which can't become a join with a scan; "the first at or after it" instead of "it", so that no
 *   other index is as good while a table is small. No row of the items is joined with another: decisions travel in arrays.
 *   Arrays are bound behind a SELECT, so that the planner doesn't count their elements and finds the kept plan worth keeping.
 * - The cap is the higher of the limit and its override in effect: one that was raised above its override since stands.
 * - Who waits for two things takes them in one order: windows by limit id (a CTE is read in the order in which it was
 *   written), then keys in byte order.
 */
export const RESERVE: Statement<ReserveColumns> = statement(
  'reserve_budget',
  `WITH RECURSIVE cap AS MATERIALIZED (
     SELECT u.limit_id, u.o, l.usable, s.window_start, w.seen,
       GREATEST(l.max_value, CASE WHEN v.starts_at <= $3::timestamptz AND v.expires_at > $3::timestamptz THEN v.override_value END) AS cap
     FROM unnest((SELECT $2::text[])) WITH ORDINALITY AS u(limit_id, o)
     LEFT JOIN LATERAL (
       SELECT id, max_value, reset_period,
         status = 'ACTIVE' AND limit_category = 'BUDGET' AND starts_with(limit_type, 'COST_') AS usable
       FROM limits WHERE tenant_id = $1 AND id >= u.limit_id ORDER BY id LIMIT 1
     ) AS l ON l.id = u.limit_id
     LEFT JOIN LATERAL (
       SELECT limit_id, status, starts_at, expires_at, override_value FROM limit_overrides
       WHERE tenant_id = $1 AND limit_id >= u.limit_id AND status IN ('PENDING', 'APPROVED', 'ACTIVE') ORDER BY limit_id LIMIT 1
     ) AS v ON v.limit_id = u.limit_id AND v.status = 'ACTIVE'
     CROSS JOIN LATERAL (
       SELECT CASE l.reset_period WHEN 'DAILY' THEN $4::timestamptz WHEN 'WEEKLY' THEN $5::timestamptz
         WHEN 'MONTHLY' THEN $6::timestamptz ELSE to_timestamp(0) END AS window_start
     ) AS s
     LEFT JOIN LATERAL (
       SELECT true AS seen FROM budget_windows
       WHERE tenant_id = $1 AND limit_id = u.limit_id AND window_start = s.window_start LIMIT 1
     ) AS w ON true
     ORDER BY u.o
   ), items AS MATERIALIZED (
     SELECT u.*
     FROM unnest((SELECT $7::text[]), $8::text[], $9::numeric[], $10::text[], $11::timestamptz[]) WITH ORDINALITY
       AS u(new_key, new_id, new_amount, new_run_id, new_expires_at, n)
   ), gate AS MATERIALIZED (
     SELECT array_agg(limit_id) FILTER (WHERE usable IS NULL) AS missing, array_agg(limit_id) FILTER (WHERE NOT usable) AS unusable,
       bool_and(seen IS NOT NULL) AS seen, bool_and(COALESCE(usable, false) AND seen IS NOT NULL) AS ready,
       array_agg(window_start) AS starts
     FROM cap
   ), held AS MATERIALIZED (
     SELECT c.o, c.limit_id, c.window_start, c.cap - w.reserved - w.spent AS room
     FROM cap c
     CROSS JOIN LATERAL (
       SELECT reserved, spent FROM budget_windows
       WHERE tenant_id = $1 AND limit_id = c.limit_id AND window_start = c.window_start
       FOR NO KEY UPDATE
     ) AS w
     WHERE (SELECT ready FROM gate)
   ), least AS MATERIALIZED (
     SELECT limit_id, room FROM held ORDER BY room, o LIMIT 1
   ), walk(n, granted, room) AS (
     SELECT 0, false, room FROM least
     UNION ALL
     SELECT t.n, t.granted, CASE WHEN t.granted THEN t.room - t.amount ELSE t.room END
     FROM (
       SELECT w.n + 1 AS n, w.room, ($9::numeric[])[w.n + 1] AS amount, ($9::numeric[])[w.n + 1] <= w.room AS granted
       FROM walk w
       WHERE w.n < cardinality($9::numeric[])
     ) AS t
   ), decided AS MATERIALIZED (
     SELECT array_agg(granted) AS granted, array_agg(room) AS room FROM walk WHERE n > 0
   ), stored AS (
     INSERT INTO budget_reservations
       (tenant_id, id, limit_ids, window_starts, run_id, amount, status, idempotency_key, created_at, expires_at)
     SELECT $1, i.new_id, $2::text[], g.starts, i.new_run_id, i.new_amount, 'RESERVED', i.new_key, $3::timestamptz, i.new_expires_at
     FROM items i CROSS JOIN gate g CROSS JOIN decided d
     WHERE d.granted[i.n]
     ORDER BY i.new_key COLLATE "C"
     ON CONFLICT (tenant_id, idempotency_key) DO NOTHING
     RETURNING id, amount
   ), counted AS (
     INSERT INTO budget_windows AS w (tenant_id, limit_id, window_start, reserved, spent, updated_at)
     SELECT $1, h.limit_id, h.window_start, t.amount, 0, $3::timestamptz
     FROM held h CROSS JOIN (SELECT sum(amount) AS amount FROM stored) AS t
     WHERE t.amount > 0
     ON CONFLICT (tenant_id, limit_id, window_start)
       DO UPDATE SET reserved = w.reserved + EXCLUDED.reserved, updated_at = EXCLUDED.updated_at
   )
   SELECT i.n::integer AS n, d.granted[i.n] AS granted,
     CASE WHEN NOT d.granted[i.n] THEN d.room[i.n] END AS room,
     CASE WHEN NOT d.granted[i.n] THEN (SELECT limit_id FROM least) END AS refused_by,
     CASE WHEN i.n = 1 THEN g.missing END AS missing, CASE WHEN i.n = 1 THEN g.unusable END AS unusable,
     CASE WHEN i.n = 1 THEN g.seen END AS seen, CASE WHEN i.n = 1 THEN g.starts::text[] END AS starts,
     CASE WHEN i.n = 1 THEN (SELECT array_agg(id) FROM stored) END AS stored
   FROM items i CROSS JOIN gate g CROSS JOIN decided d`,
);

/** One item against one limit; no row for a limit that the tenant doesn't have. */
export interface ReserveOneColumns {
  /** The start of the limit's window; null where it isn't ACTIVE, BUDGET and of a `COST_` type. */
  readonly start: string | null;
  /** What was left before; may be negative, null where the window has no row. */
  readonly room: string | null;
  /** Null where it doesn't fit; false where its key was taken. */
  readonly stored: boolean | null;
}

/**
 * $1 tenant, $2 limit, $3 clock, $4–$6 starts of its day, week and month; $7 key, $8 id, $9 amount, $10 run, $11 end.
 *
 * {@link RESERVE} for one item against one limit, as most calls are: nothing is gathered in arrays or walked, which is a
 * quarter of the server's time (the start-up of a plan costs by its nodes). What is said there holds here. A limit that
 * can't be reserved against has no window start, so no window is found and locked for it.
 */
export const RESERVE_ONE: Statement<ReserveOneColumns> = statement(
  'reserve_budget_one',
  `WITH held AS MATERIALIZED (
     SELECT l.window_start, GREATEST(l.max_value, v.override_value) - w.reserved - w.spent AS room
     FROM (
       SELECT id, max_value,
         CASE WHEN status = 'ACTIVE' AND limit_category = 'BUDGET' AND starts_with(limit_type, 'COST_') THEN
           CASE reset_period WHEN 'DAILY' THEN $4::timestamptz WHEN 'WEEKLY' THEN $5::timestamptz
             WHEN 'MONTHLY' THEN $6::timestamptz ELSE to_timestamp(0) END
         END AS window_start
       FROM limits WHERE tenant_id = $1 AND id >= $2 ORDER BY id LIMIT 1
     ) AS l
     LEFT JOIN (
       SELECT limit_id, status, starts_at, expires_at, override_value FROM limit_overrides
       WHERE tenant_id = $1 AND limit_id >= $2 AND status IN ('PENDING', 'APPROVED', 'ACTIVE') ORDER BY limit_id LIMIT 1
     ) AS v ON v.limit_id = $2 AND v.status = 'ACTIVE' AND v.starts_at <= $3::timestamptz AND v.expires_at > $3::timestamptz
     LEFT JOIN LATERAL (
       SELECT reserved, spent FROM budget_windows
       WHERE tenant_id = $1 AND limit_id = $2 AND window_start = l.window_start
       FOR NO KEY UPDATE
     ) AS w ON true
     WHERE l.id = $2
   ), stored AS (
     INSERT INTO budget_reservations
       (tenant_id, id, limit_ids, window_starts, run_id, amount, status, idempotency_key, created_at, expires_at)
     SELECT $1, $8, ARRAY[$2], ARRAY[window_start], $10, $9::numeric, 'RESERVED', $7, $3::timestamptz, $11::timestamptz
     FROM held
     WHERE room >= $9::numeric
     ON CONFLICT (tenant_id, idempotency_key) DO NOTHING
     RETURNING window_starts, amount
   ), counted AS (
     INSERT INTO budget_windows AS w (tenant_id, limit_id, window_start, reserved, spent, updated_at)
     SELECT $1, $2, window_starts[1], amount, 0, $3::timestamptz FROM stored WHERE amount > 0
     ON CONFLICT (tenant_id, limit_id, window_start)
       DO UPDATE SET reserved = w.reserved + EXCLUDED.reserved, updated_at = EXCLUDED.updated_at
   )
   SELECT window_start::text AS start, room, CASE WHEN room >= $9::numeric THEN EXISTS (SELECT FROM stored) END AS stored
   FROM held`,
);

/**
 * $1 tenant, $2 limit ids in byte order, $3 the start of each one's window, $4 clock. A window that another connection
 * has opened meanwhile stands as it is.
 */
export const OPEN_WINDOWS: Statement<never> = statement(
  'open_budget_windows',
  `INSERT INTO budget_windows (tenant_id, limit_id, window_start, reserved, spent, updated_at)
   SELECT $1, u.limit_id, u.window_start, 0, 0, $4::timestamptz
   FROM unnest($2::text[], $3::timestamptz[]) WITH ORDINALITY AS u(limit_id, window_start, o)
   ORDER BY u.o
   ON CONFLICT DO NOTHING`,
);

/**
 * $1 tenant, $2 keys: the reservations that they belong to. "The first at or after" a key, as above; planned anew besides,
 * since the ledger may be empty now and full tonight.
 */
export const STORED_KEYS: Statement<ReservationColumns> = statement(
  'reservations_by_key',
  `SELECT p.*
   FROM unnest($2::text[]) AS u(key)
   CROSS JOIN LATERAL (
     SELECT ${RESERVATION_COLUMNS} FROM budget_reservations
     WHERE tenant_id = $1 AND idempotency_key >= u.key ORDER BY idempotency_key LIMIT 1
   ) AS p
   WHERE p.idempotency_key = u.key`,
  { replan: true },
);
