import { statement } from '@hoc/shared/drivers';

/** Sums of usage as the database prints them. */
export interface SumsRow {
  readonly calls: string;
  readonly tokens_in: string;
  readonly tokens_out: string;
  readonly cost: string;
  readonly latency_total: string;
  readonly latency_count: string;
  readonly errors: string;
  readonly blocked: string;
}

/** The shown columns of a call. */
export interface UsageColumns {
  readonly id: string;
  readonly integration_id: string;
  readonly call_id: string;
  readonly session_id: string | null;
  readonly agent_id: string | null;
  readonly provider: string;
  readonly model: string;
  readonly tokens_in: string;
  readonly tokens_out: string;
  readonly cost_cents: string;
  readonly latency_ms: number | null;
  readonly policy_result: string;
  readonly error_code: string | null;
  readonly error_message: string | null;
  readonly created_at: Date;
  readonly recorded_at: Date;
  /** Microseconds, for the cursor. */
  readonly position: string;
}

const RAW_SUMS = `count(*) AS calls, COALESCE(sum(tokens_in), 0) AS tokens_in, COALESCE(sum(tokens_out), 0) AS tokens_out,
  COALESCE(sum(cost_cents), 0) AS cost, COALESCE(sum(latency_ms), 0) AS latency_total, count(latency_ms) AS latency_count,
  count(*) FILTER (WHERE error_code IS NOT NULL) AS errors, count(*) FILTER (WHERE policy_result = 'blocked') AS blocked`;

const ADDED_UP = `COALESCE(sum(calls), 0)::text AS calls, COALESCE(sum(tokens_in), 0)::text AS tokens_in,
  COALESCE(sum(tokens_out), 0)::text AS tokens_out, COALESCE(sum(cost), 0)::text AS cost,
  COALESCE(sum(latency_total), 0)::text AS latency_total, COALESCE(sum(latency_count), 0)::text AS latency_count,
  COALESCE(sum(errors), 0)::text AS errors, COALESCE(sum(blocked), 0)::text AS blocked`;

const DAILY_SUMS = `total_calls AS calls, total_tokens_in AS tokens_in, total_tokens_out AS tokens_out, total_cost_cents AS cost,
  latency_total_ms AS latency_total, latency_count, error_count AS errors, blocked_count AS blocked`;

/**
 * Whole UTC days [$2, $3) from the roll-up, whose cost does not grow with the traffic, and the two edges [$4, $5) and
 * [$6, $7) from the calls themselves. Exact, because daily = recount in every snapshot.
 */
const wholeDays = (where: string): string =>
  `SELECT integration_id, ${DAILY_SUMS} FROM cus_usage_daily WHERE tenant_id = $1 AND date >= $2::date AND date < $3::date ${where}`;
const edges = (where: string): string =>
  [4, 6]
    .map(
      (first) => `UNION ALL SELECT integration_id, ${RAW_SUMS} FROM cus_llm_usage
  WHERE tenant_id = $1 AND created_at >= $${first}::timestamptz AND created_at < $${first + 1}::timestamptz ${where}
  GROUP BY integration_id`,
    )
    .join('\n');

/** Named by what they read: whole days only, or days and edges; of one integration ($2 days later: $4 or $8), or of all. */
export const SUMMARY = {
  days: statement<SumsRow>('usage_summary_days', `SELECT ${ADDED_UP} FROM (${wholeDays('')}) AS x`),
  daysOfOne: statement<SumsRow>(
    'usage_summary_days_one',
    `SELECT ${ADDED_UP} FROM (${wholeDays('AND integration_id = $4')}) AS x`,
  ),
  edges: statement<SumsRow>('usage_summary_edges', `SELECT ${ADDED_UP} FROM (${wholeDays('')} ${edges('')}) AS x`),
  edgesOfOne: statement<SumsRow>(
    'usage_summary_edges_one',
    `SELECT ${ADDED_UP} FROM (${wholeDays('AND integration_id = $8')} ${edges('AND integration_id = $8')}) AS x`,
  ),
} as const;

/** Sums of one integration, with its name. */
export interface IntegrationSumsRow extends SumsRow {
  readonly integration_id: string;
  readonly name: string | null;
  readonly provider_type: string | null;
}

const perIntegration = (source: string): string => `
  SELECT x.integration_id, i.name, i.provider_type, x.calls, x.tokens_in, x.tokens_out, x.cost, x.latency_total, x.latency_count,
         x.errors, x.blocked
  FROM (SELECT integration_id, ${ADDED_UP}, sum(cost) AS order_cost FROM (${source}) AS y GROUP BY integration_id) AS x
  LEFT JOIN cus_integrations i ON i.tenant_id = $1 AND i.id = x.integration_id
  WHERE x.calls <> '0'
  ORDER BY x.order_cost DESC, x.integration_id`;

export const PER_INTEGRATION = {
  days: statement<IntegrationSumsRow>('usage_per_integration_days', perIntegration(wholeDays(''))),
  edges: statement<IntegrationSumsRow>('usage_per_integration_edges', perIntegration(`${wholeDays('')} ${edges('')}`)),
} as const;

/** Sums of one provider's model. */
export interface ModelSumsRow extends SumsRow {
  readonly provider: string;
  readonly model: string;
}

export const PER_MODEL = statement<ModelSumsRow>(
  'usage_per_model',
  `SELECT provider, model, ${ADDED_UP} FROM (
     SELECT provider, model, ${RAW_SUMS} FROM cus_llm_usage
     WHERE tenant_id = $1 AND created_at >= $2::timestamptz AND created_at < $3::timestamptz GROUP BY provider, model) AS x
   GROUP BY provider, model
   ORDER BY sum(cost) DESC, provider COLLATE "C", model COLLATE "C"
   LIMIT $4`,
);

const history = (where: string): string => `
  SELECT id, integration_id, call_id, session_id, agent_id, provider, model, tokens_in::text AS tokens_in,
         tokens_out::text AS tokens_out, cost_cents::text AS cost_cents, latency_ms, policy_result, error_code, error_message,
         created_at, recorded_at, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS position
  FROM cus_llm_usage
  WHERE tenant_id = $1 ${where} AND created_at >= $2::timestamptz AND created_at < $3::timestamptz
    AND (created_at, id) < ($4::timestamptz, $5)
  ORDER BY created_at DESC, id DESC
  LIMIT $6`;

export const HISTORY = {
  all: statement<UsageColumns>('usage_history', history('')),
  ofOne: statement<UsageColumns>('usage_history_one', history('AND integration_id = $7')),
} as const;

export const ID_BY_CALL = statement<{ id: string }>(
  'usage_id_by_call',
  'SELECT id FROM cus_llm_usage WHERE tenant_id = $1 AND call_id = $2',
);

/** What telemetry may read of an integration. */
export interface IntegrationColumns {
  readonly id: string;
  readonly name: string;
  readonly provider_type: string;
  readonly status: string;
  readonly health_state: string;
  readonly default_model: string | null;
  readonly budget_limit_cents: string;
  readonly token_limit_month: string;
  readonly rate_limit_rpm: number;
  readonly created_at: Date;
  readonly updated_at: Date;
}

export const INTEGRATIONS = statement<IntegrationColumns>(
  'usage_integrations',
  `SELECT id, name, provider_type, status, health_state, default_model, budget_limit_cents::text AS budget_limit_cents,
          token_limit_month::text AS token_limit_month, rate_limit_rpm, created_at, updated_at
   FROM cus_integrations
   WHERE tenant_id = $1 AND id = ANY($2::text[]) AND deleted_at IS NULL`,
);
