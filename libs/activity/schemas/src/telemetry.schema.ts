import 'reflect-metadata';
import {
  CALL_ID_MAX,
  CUS_POLICY_RESULTS,
  type CusIntegrationStatus,
  type CusHealthState,
  type CusPolicyResult,
  type CusProviderType,
  type DecimalString,
  IsIdText,
  IsJsonObject,
  IsMoneyText,
  type IsoDate,
  IsPlainText,
  type JsonObject,
} from '@hoc/shared/kernel';
import { IsDate, IsIn, IsInt, IsOptional, Max, Min } from 'class-validator';

/** Records of one `ingestBatch`. @see cus_telemetry_schemas.py, max_length of the batch */
export const INGEST_BATCH_MAX = 100;
/** Tokens of one call, in or out. */
export const TOKENS_MAX = 1_000_000_000;
/** Milliseconds that a call may have taken: what `integer` holds. */
export const LATENCY_MAX_MS = 2_147_483_647;
/** How far a sender's clock may be ahead of ours. */
export const MAX_CLOCK_SKEW_MINUTES = 5;
/** The first instant that a call may have. */
export const OCCURRED_AT_MIN = '2000-01-01T00:00:00.000Z';
/** Bounds of the texts of a call, in code points. */
export const USAGE_TEXT_MAX = Object.freeze({ id: 100, provider: 50, model: 100, errorCode: 50, errorMessage: 8000 });
/** Days of one `getDailyAggregates`. */
export const DAILY_RANGE_MAX_DAYS = 366;

/** One call as a sender reports it. A request class: unknown keys are refused, nothing is converted. */
export class CusLlmUsageIngest {
  /** Optional in a batch with a default. 1–100. */
  @IsOptional() @IsIdText(USAGE_TEXT_MAX.id) integrationId?: string;
  /** The sender's own id of the call, 1–255: the key of idempotency. */
  @IsIdText(CALL_ID_MAX) callId!: string;
  @IsOptional() @IsIdText(USAGE_TEXT_MAX.id) sessionId?: string;
  @IsOptional() @IsIdText(USAGE_TEXT_MAX.id) agentId?: string;
  @IsPlainText(1, USAGE_TEXT_MAX.provider) provider!: string;
  @IsPlainText(1, USAGE_TEXT_MAX.model) model!: string;
  @IsInt() @Min(0) @Max(TOKENS_MAX) tokensIn!: number;
  @IsInt() @Min(0) @Max(TOKENS_MAX) tokensOut!: number;
  /** Cents, as decimal text: a JSON number isn't accepted. */
  @IsMoneyText() costCents!: string;
  @IsOptional() @IsInt() @Min(0) @Max(LATENCY_MAX_MS) latencyMs?: number;
  /** Default `allowed`. */
  @IsOptional() @IsIn([...CUS_POLICY_RESULTS]) policyResult?: CusPolicyResult;
  @IsOptional() @IsPlainText(1, USAGE_TEXT_MAX.errorCode) errorCode?: string;
  /** Needs an errorCode. */
  @IsOptional() @IsPlainText(1, USAGE_TEXT_MAX.errorMessage) errorMessage?: string;
  /** Default `{}`; at most 65,536 bytes in canonical form. */
  @IsOptional() @IsJsonObject() metadata?: JsonObject;
  /** The instant of the call; absent: the clock when it is written. */
  @IsOptional() @IsDate() occurredAt?: Date;
}

/** Several calls: 1–100. */
export interface CusLlmUsageBatchIngest {
  readonly records: readonly CusLlmUsageIngest[];
}

/** Both ends are UTC days, half-open; absent: the last 30 days. */
export interface UsageSummaryQuery {
  readonly integrationId?: string;
  readonly fromDate?: IsoDate;
  readonly toDate?: IsoDate;
}

/** A page of usage records, newest first. */
export interface UsageHistoryQuery {
  readonly integrationId?: string;
  /** 1–200, default 50. */
  readonly limit?: number;
  readonly cursor?: string;
}

/** Half-open, at most 366 days. */
export interface DailyAggregatesQuery {
  readonly integrationId?: string;
  readonly fromDate: IsoDate;
  readonly toDate: IsoDate;
}

/** One stored call. Instants are UTC, money is cents. @see cus_telemetry_driver.py, UsageRow */
export interface UsageRow {
  readonly id: string;
  readonly integrationId: string;
  readonly callId: string;
  readonly sessionId: string | null;
  readonly agentId: string | null;
  readonly provider: string;
  readonly model: string;
  readonly tokensIn: number;
  readonly tokensOut: number;
  readonly costCents: DecimalString;
  readonly latencyMs: number | null;
  readonly policyResult: CusPolicyResult;
  readonly errorCode: string | null;
  readonly errorMessage: string | null;
  /** The instant of the call. */
  readonly createdAt: Date;
  /** When it was written. */
  readonly recordedAt: Date;
}

/** Sums of a tenant's calls. @see cus_telemetry_driver.py, UsageSummaryRow */
export interface UsageSummaryRow {
  readonly totalCalls: number;
  readonly totalTokensIn: number;
  readonly totalTokensOut: number;
  readonly totalCostCents: DecimalString;
  /** Rounded half away from zero over the calls that have one; null where none has. */
  readonly avgLatencyMs: number | null;
  readonly errorCount: number;
  readonly blockedCount: number;
}

/** Sums by integration. @see cus_telemetry_driver.py, IntegrationUsageRow */
export interface IntegrationUsageRow {
  readonly integrationId: string;
  readonly integrationName: string;
  readonly providerType: CusProviderType;
  readonly totalCalls: number;
  /** In and out. */
  readonly totalTokens: number;
  readonly totalCostCents: DecimalString;
  readonly errorCount: number;
}

/** Sums by provider and model. */
export interface ModelUsageRow {
  readonly provider: string;
  readonly model: string;
  readonly totalCalls: number;
  readonly totalTokensIn: number;
  readonly totalTokensOut: number;
  readonly totalCostCents: DecimalString;
  readonly errorCount: number;
}

/** One integration's sums of one UTC day. @see cus_telemetry_driver.py, computed by computeDailyAggregatesRaw */
export interface DailyAggregateRaw {
  readonly integrationId: string;
  readonly totalCalls: number;
  readonly totalTokensIn: number;
  readonly totalTokensOut: number;
  readonly totalCostCents: DecimalString;
  readonly latencyTotalMs: number;
  readonly latencyCount: number;
  /** Derived from the two above; not read on input. */
  readonly avgLatencyMs: number | null;
  readonly errorCount: number;
  readonly blockedCount: number;
}

/** The same with its day. @see cus_telemetry_driver.py, DailyAggregateRow */
export interface DailyAggregateRow extends DailyAggregateRaw {
  readonly date: IsoDate;
}

/** A day and integration whose stored sums are not the recount; null where a side has no row. */
export interface DailyDiscrepancy {
  readonly date: IsoDate;
  readonly integrationId: string;
  readonly stored: DailyAggregateRow | null;
  readonly counted: DailyAggregateRow | null;
}

/** What telemetry may know of an integration: no credential, no configuration. */
export interface IntegrationRef {
  readonly id: string;
  readonly tenantId: string;
  readonly name: string;
  readonly providerType: CusProviderType;
  readonly status: CusIntegrationStatus;
  readonly healthState: CusHealthState;
  readonly defaultModel: string | null;
  readonly budgetLimitCents: DecimalString;
  readonly tokenLimitMonth: number;
  readonly rateLimitRpm: number;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** A call to store. Absent is the same as not known, except policyResult (`allowed`) and metadata (`{}`). */
export interface NewUsage {
  readonly integrationId: string;
  readonly callId: string;
  readonly provider: string;
  readonly model: string;
  readonly tokensIn: number;
  readonly tokensOut: number;
  readonly costCents: DecimalString;
  readonly latencyMs?: number;
  readonly policyResult?: CusPolicyResult;
  readonly errorCode?: string;
  readonly errorMessage?: string;
  readonly sessionId?: string;
  readonly agentId?: string;
  readonly metadata?: JsonObject;
  readonly occurredAt?: Date;
}

/** What became of one record; a duplicate carries the id of the first write. */
export interface CreateUsageOutcome {
  readonly status: 'created' | 'duplicate';
  readonly id: string;
  readonly callId: string;
}

/** One record's outcome, in input order; a conflict has no id. */
export interface UsageBatchOutcome {
  readonly index: number;
  readonly callId: string;
  readonly status: 'created' | 'duplicate' | 'conflict';
  readonly id: string | null;
}

/** What became of one reported call. */
export interface IngestResult {
  readonly status: 'accepted' | 'duplicate';
  readonly id: string;
  readonly callId: string;
}

/** Why a record of a batch was not taken. */
export type IngestErrorCode = 'FIELD_INVALID' | 'INTEGRATION_MISSING' | 'INTEGRATION_NOT_FOUND';

/** What became of one record of a batch; `index` is its place in the request. */
export interface BatchIngestItem {
  readonly index: number;
  readonly callId: string;
  readonly status: 'accepted' | 'duplicate' | 'conflict' | 'error';
  readonly id: string | null;
  readonly code?: IngestErrorCode;
}

/** accepted + duplicates + conflicts + errors = total; items in input order. */
export interface BatchIngestResult {
  readonly accepted: number;
  readonly duplicates: number;
  readonly conflicts: number;
  readonly errors: number;
  readonly total: number;
  readonly items: readonly BatchIngestItem[];
  /** UTC days of the accepted records, sorted. */
  readonly affectedDays: readonly IsoDate[];
}

/** Sums over `[fromDate, toDate)`; byIntegration is null when one integration was asked for. */
export interface UsageSummary extends UsageSummaryRow {
  readonly tenantId: string;
  readonly fromDate: IsoDate;
  readonly toDate: IsoDate;
  readonly byIntegration: readonly IntegrationUsageRow[] | null;
}

/** Instants, half-open; either may be absent. */
export interface UsageRange {
  readonly from?: Date;
  readonly to?: Date;
}

/** Which calls a read covers. */
export interface UsageFilter extends UsageRange {
  readonly integrationId?: string;
}
