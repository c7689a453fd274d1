import { type Statement, statement } from '@hoc/shared/drivers';

/** A limit's window; no window row reads as zeros. */
export interface WindowColumns {
  readonly window_start: Date;
  readonly cap: string;
  readonly reserved: string;
  readonly spent: string;
}

/**
 * $1 tenant, $2 limit, $3 instant, $4–$6 starts of its day, week and month. No row for what isn't a budget in cents. The
 * first row at or after a key, and not the row of it: no other index is as good for that, however small the tables.
 * A limit that was raised above its override since stands as it is.
 */
export const FETCH_WINDOW: Statement<WindowColumns> = statement(
  'fetch_budget_window',
  `SELECT l.window_start, GREATEST(v.override_value, l.max_value) AS cap,
     COALESCE(w.reserved, 0) AS reserved, COALESCE(w.spent, 0) AS spent
   FROM (
     SELECT id, limit_category, limit_type, max_value, CASE reset_period WHEN 'DAILY' THEN $4::timestamptz
       WHEN 'WEEKLY' THEN $5::timestamptz WHEN 'MONTHLY' THEN $6::timestamptz ELSE to_timestamp(0) END AS window_start
     FROM limits WHERE tenant_id = $1 AND id >= $2 ORDER BY id LIMIT 1
   ) AS l
   LEFT JOIN LATERAL (
     SELECT limit_id, status, starts_at, expires_at, override_value FROM limit_overrides
     WHERE tenant_id = $1 AND limit_id >= $2 AND status IN ('PENDING', 'APPROVED', 'ACTIVE') ORDER BY limit_id LIMIT 1
   ) AS v ON v.limit_id = l.id AND v.status = 'ACTIVE' AND v.starts_at <= $3::timestamptz AND v.expires_at > $3::timestamptz
   LEFT JOIN LATERAL (
     SELECT reserved, spent FROM budget_windows
     WHERE tenant_id = $1 AND limit_id = l.id AND window_start = l.window_start LIMIT 1
   ) AS w ON true
   WHERE l.id = $2 AND l.limit_category = 'BUDGET' AND starts_with(l.limit_type, 'COST_')`,
);
