import type {
  DailyAggregateRaw,
  DailyAggregateRow,
  DailyDiscrepancy,
  IntegrationRef,
  IntegrationUsageRow,
  ModelUsageRow,
  UsageRow,
  UsageSummaryRow,
} from '@hoc/activity/schemas';
import {
  CUS_HEALTH_STATES,
  CUS_INTEGRATION_STATUSES,
  CUS_POLICY_RESULTS,
  CUS_PROVIDER_TYPES,
  fromPgNumeric,
  toIsoDate,
  toSafeInteger,
} from '@hoc/shared/kernel';
import { frozenWith, storedValue } from '@hoc/shared/drivers';
import type { DailyRow, DiscrepancyRow } from './daily.query';
import type { IntegrationColumns, IntegrationSumsRow, ModelSumsRow, SumsRow, UsageColumns } from './usage-read.query';

export function toUsageRow(row: UsageColumns): UsageRow {
  return Object.freeze({
    id: row.id,
    integrationId: row.integration_id,
    callId: row.call_id,
    sessionId: row.session_id,
    agentId: row.agent_id,
    provider: row.provider,
    model: row.model,
    tokensIn: toSafeInteger(row.tokens_in, 'tokensIn'),
    tokensOut: toSafeInteger(row.tokens_out, 'tokensOut'),
    costCents: fromPgNumeric(row.cost_cents, 'costCents'),
    latencyMs: row.latency_ms,
    policyResult: storedValue(row.policy_result, CUS_POLICY_RESULTS, 'policyResult'),
    errorCode: row.error_code,
    errorMessage: row.error_message,
    createdAt: row.created_at,
    recordedAt: row.recorded_at,
  });
}

export const toSummaryRow = (row: SumsRow): UsageSummaryRow => Object.freeze(summary(row));

const summary = (row: SumsRow): UsageSummaryRow => ({
  totalCalls: toSafeInteger(row.calls, 'totalCalls'),
  totalTokensIn: toSafeInteger(row.tokens_in, 'totalTokensIn'),
  totalTokensOut: toSafeInteger(row.tokens_out, 'totalTokensOut'),
  totalCostCents: fromPgNumeric(row.cost, 'totalCostCents'),
  avgLatencyMs: average(row),
  errorCount: toSafeInteger(row.errors, 'errorCount'),
  blockedCount: toSafeInteger(row.blocked, 'blockedCount'),
});

export function toIntegrationUsageRow(row: IntegrationSumsRow): IntegrationUsageRow {
  return Object.freeze({
    integrationId: row.integration_id,
    integrationName: row.name ?? 'Unknown',
    providerType: storedValue(row.provider_type ?? 'custom', CUS_PROVIDER_TYPES, 'providerType'),
    totalCalls: toSafeInteger(row.calls, 'totalCalls'),
    totalTokens: toSafeInteger(String(BigInt(row.tokens_in) + BigInt(row.tokens_out)), 'totalTokens'),
    totalCostCents: fromPgNumeric(row.cost, 'totalCostCents'),
    errorCount: toSafeInteger(row.errors, 'errorCount'),
  });
}

export function toModelUsageRow(row: ModelSumsRow): ModelUsageRow {
  return Object.freeze({
    provider: row.provider,
    model: row.model,
    totalCalls: toSafeInteger(row.calls, 'totalCalls'),
    totalTokensIn: toSafeInteger(row.tokens_in, 'totalTokensIn'),
    totalTokensOut: toSafeInteger(row.tokens_out, 'totalTokensOut'),
    totalCostCents: fromPgNumeric(row.cost, 'totalCostCents'),
    errorCount: toSafeInteger(row.errors, 'errorCount'),
  });
}

export function toDailyRaw(row: SumsRow & { readonly integration_id: string }): DailyAggregateRaw {
  return frozenWith(summary(row), {
    integrationId: row.integration_id,
    latencyTotalMs: toSafeInteger(row.latency_total, 'latencyTotalMs'),
    latencyCount: toSafeInteger(row.latency_count, 'latencyCount'),
  });
}

export function toDailyRow(row: DailyRow): DailyAggregateRow {
  return frozenWith({ date: toIsoDate(row.date) }, toDailyRaw(row));
}

export function toDiscrepancy({ date, integration_id, stored: s, counted: c }: DiscrepancyRow): DailyDiscrepancy {
  const side = (sums: SumsRow | null): DailyAggregateRow | null =>
    sums === null ? null : toDailyRow({ ...sums, date, integration_id });
  return Object.freeze({ date: toIsoDate(date), integrationId: integration_id, stored: side(s), counted: side(c) });
}

export function toIntegrationRef(tenantId: string, row: IntegrationColumns): IntegrationRef {
  return Object.freeze({
    id: row.id,
    tenantId,
    name: row.name,
    providerType: storedValue(row.provider_type, CUS_PROVIDER_TYPES, 'providerType'),
    status: storedValue(row.status, CUS_INTEGRATION_STATUSES, 'status'),
    healthState: storedValue(row.health_state, CUS_HEALTH_STATES, 'healthState'),
    defaultModel: row.default_model,
    budgetLimitCents: fromPgNumeric(row.budget_limit_cents, 'budgetLimitCents'),
    tokenLimitMonth: toSafeInteger(row.token_limit_month, 'tokenLimitMonth'),
    rateLimitRpm: row.rate_limit_rpm,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  });
}

/** Half away from zero, on whole numbers: the sums may be beyond what a float divides exactly. */
function average({ latency_total: total, latency_count: count }: SumsRow): number | null {
  const [sum, n] = [BigInt(total), BigInt(count)];
  return n === 0n ? null : toSafeInteger(String((2n * sum + n) / (2n * n)), 'avgLatencyMs');
}
