import { statement } from '@hoc/shared/drivers';
import type { SumsRow } from './usage-read.query';

/** One integration's day. */
export interface DailyRow extends SumsRow {
  readonly integration_id: string;
  readonly date: string;
}

const STORED = `integration_id, to_char(date, 'YYYY-MM-DD') AS date, total_calls::text AS calls, total_tokens_in::text AS tokens_in,
  total_tokens_out::text AS tokens_out, total_cost_cents::text AS cost, latency_total_ms::text AS latency_total,
  latency_count::text AS latency_count, error_count::text AS errors, blocked_count::text AS blocked`;

const COUNTED = `count(*)::text AS calls, sum(tokens_in)::text AS tokens_in, sum(tokens_out)::text AS tokens_out,
  sum(cost_cents)::text AS cost, COALESCE(sum(latency_ms), 0)::text AS latency_total, count(latency_ms)::text AS latency_count,
  count(*) FILTER (WHERE error_code IS NOT NULL)::text AS errors, count(*) FILTER (WHERE policy_result = 'blocked')::text AS blocked`;

const stored = (where: string): string => `
  SELECT ${STORED} FROM cus_usage_daily AS d
  WHERE tenant_id = $1 AND d.date >= $2::date AND d.date < $3::date ${where}
  ORDER BY d.date, integration_id`;

export const DAILY = {
  all: statement<DailyRow>('usage_daily', stored('')),
  ofOne: statement<DailyRow>('usage_daily_one', stored('AND integration_id = $4')),
} as const;

/** A range of the index, not `date(created_at)`: that depends on the session's zone and reads every row. */
export const RECOUNT = statement<DailyRow>(
  'usage_recount',
  `SELECT integration_id, to_char($2::timestamptz AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS date, ${COUNTED}
   FROM cus_llm_usage
   WHERE tenant_id = $1 AND created_at >= $2::timestamptz AND created_at < $3::timestamptz
   GROUP BY integration_id
   ORDER BY integration_id`,
);

/** Sets, for repair; the day's sums of an archive come the same way. */
export const SET_DAILY = statement<DailyRow>(
  'usage_set_daily',
  `INSERT INTO cus_usage_daily (tenant_id, integration_id, date, total_calls, total_tokens_in, total_tokens_out,
     total_cost_cents, latency_total_ms, latency_count, error_count, blocked_count, updated_at)
   SELECT $1, u.integration_id, u.date, u.calls, u.tokens_in, u.tokens_out, u.cost, u.latency_total, u.latency_count, u.errors,
          u.blocked, $2::timestamptz
   FROM unnest($3::text[], $4::date[], $5::bigint[], $6::bigint[], $7::bigint[], $8::numeric[], $9::bigint[], $10::bigint[],
               $11::bigint[], $12::bigint[])
        AS u(integration_id, date, calls, tokens_in, tokens_out, cost, latency_total, latency_count, errors, blocked)
   ORDER BY u.integration_id COLLATE "C", u.date
   ON CONFLICT (tenant_id, integration_id, date) DO UPDATE SET
     total_calls = EXCLUDED.total_calls, total_tokens_in = EXCLUDED.total_tokens_in,
     total_tokens_out = EXCLUDED.total_tokens_out, total_cost_cents = EXCLUDED.total_cost_cents,
     latency_total_ms = EXCLUDED.latency_total_ms, latency_count = EXCLUDED.latency_count,
     error_count = EXCLUDED.error_count, blocked_count = EXCLUDED.blocked_count, updated_at = EXCLUDED.updated_at
   RETURNING ${STORED}`,
);

export const LOCK_DAY = statement<never>(
  'usage_lock_day',
  `SELECT pg_advisory_xact_lock(hashtextextended('hoc.cus_usage_daily:' || length($1) || ':' || $1 || ':' || $2, 0))`,
);

/**
 * Holds the day's rows, also those that calls should have and don't: without a row to hold, an ingest could add to the
 * day between the recount and the repair, which would then set it back. In key order, as every writer locks days.
 */
export const LOCK_DAILY_ROWS = statement<{ integration_id: string }>(
  'usage_lock_daily_rows',
  `INSERT INTO cus_usage_daily AS d (tenant_id, integration_id, date, updated_at)
   SELECT $1, x.integration_id, $2::date, $5::timestamptz
   FROM (
     SELECT integration_id FROM cus_usage_daily WHERE tenant_id = $1 AND date = $2::date
     UNION
     SELECT integration_id FROM cus_llm_usage WHERE tenant_id = $1 AND created_at >= $3::timestamptz AND created_at < $4::timestamptz
   ) AS x
   ORDER BY x.integration_id COLLATE "C"
   ON CONFLICT (tenant_id, integration_id, date) DO UPDATE SET updated_at = d.updated_at
   RETURNING integration_id`,
);

/** Two sides of one day: `s_` the stored figures, `c_` the counted ones. */
export interface DiscrepancyRow {
  readonly integration_id: string;
  readonly date: string;
  readonly stored: SumsRow | null;
  readonly counted: SumsRow | null;
}

const asJson = (alias: string): string =>
  `CASE WHEN ${alias}.calls IS NULL THEN NULL ELSE json_build_object('calls', ${alias}.calls, 'tokens_in', ${alias}.tokens_in,
     'tokens_out', ${alias}.tokens_out, 'cost', ${alias}.cost, 'latency_total', ${alias}.latency_total,
     'latency_count', ${alias}.latency_count, 'errors', ${alias}.errors, 'blocked', ${alias}.blocked) END`;

/** One statement, one snapshot: so it is empty also while others ingest. Money is compared as numbers, not as text. */
export const DISCREPANCIES = statement<DiscrepancyRow>(
  'usage_discrepancies',
  `WITH s AS (
     SELECT ${STORED} FROM cus_usage_daily AS d WHERE tenant_id = $1 AND d.date >= $2::date AND d.date < $3::date
   ), c AS (
     SELECT integration_id, to_char((created_at AT TIME ZONE 'UTC')::date, 'YYYY-MM-DD') AS date, ${COUNTED}
     FROM cus_llm_usage
     WHERE tenant_id = $1 AND created_at >= $2::date::timestamp AT TIME ZONE 'UTC' AND created_at < $3::date::timestamp AT TIME ZONE 'UTC'
     GROUP BY 1, 2
   )
   SELECT integration_id, date, ${asJson('s')} AS stored, ${asJson('c')} AS counted
   FROM s FULL JOIN c USING (integration_id, date)
   WHERE (s.calls, s.tokens_in, s.tokens_out, s.cost::numeric, s.latency_total, s.latency_count, s.errors, s.blocked)
     IS DISTINCT FROM (c.calls, c.tokens_in, c.tokens_out, c.cost::numeric, c.latency_total, c.latency_count, c.errors, c.blocked)
     -- A day's row of zeros says what no row says.
     AND NOT (c.calls IS NULL AND s.calls = '0')
   ORDER BY date, integration_id`,
);
