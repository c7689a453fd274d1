import { type Statement, statement } from '@hoc/shared/drivers';

/** A limit's window; no window row reads as zeros. */
export interface WindowColumns {
  readonly window_start: Date;
  readonly cap: string;
  readonly reserved: string;
  readonly spent: string;
}

/** $1 tenant, $2 limit, $3 instant, $4–$6 starts of its day, week and month. No row for what isn't a budget in cents. */
export const FETCH_WINDOW: Statement<WindowColumns> = statement(
  'fetch_budget_window',
  `SELECT l.window_start, COALESCE(v.override_value, l.max_value) AS cap,
     COALESCE(w.reserved, 0) AS reserved, COALESCE(w.spent, 0) AS spent
   FROM (
     SELECT max_value, CASE reset_period WHEN 'DAILY' THEN $4::timestamptz WHEN 'WEEKLY' THEN $5::timestamptz
       WHEN 'MONTHLY' THEN $6::timestamptz ELSE to_timestamp(0) END AS window_start
     FROM limits
     WHERE tenant_id = $1 AND id = $2 AND limit_category = 'BUDGET' AND starts_with(limit_type, 'COST_')
     LIMIT 1
   ) AS l
   LEFT JOIN LATERAL (
     SELECT override_value FROM limit_overrides
     WHERE tenant_id = $1 AND limit_id = $2 AND status = 'ACTIVE'
       AND starts_at <= $3::timestamptz AND expires_at > $3::timestamptz
     LIMIT 1
   ) AS v ON true
   LEFT JOIN LATERAL (
     SELECT reserved, spent FROM budget_windows
     WHERE tenant_id = $1 AND limit_id = $2 AND window_start = l.window_start LIMIT 1
   ) AS w ON true`,
);
