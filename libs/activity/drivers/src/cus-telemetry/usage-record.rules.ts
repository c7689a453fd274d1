import {
  LATENCY_MAX_MS,
  MAX_CLOCK_SKEW_MINUTES,
  type NewUsage,
  OCCURRED_AT_MIN,
  TOKENS_MAX,
  USAGE_TEXT_MAX,
} from '@hoc/activity/schemas';
import {
  assertCallId,
  assertDate,
  assertId,
  assertInt,
  assertObject,
  assertOneOf,
  CUS_POLICY_RESULTS,
  HocError,
  type IdGenerator,
  invalid,
  InvalidArgumentError,
  jsonObjectText,
  textFault,
  toMoney,
} from '@hoc/shared/kernel';

/** A call as its columns will hold it: absent is null, defaults are filled in. */
export interface UsageRecord {
  /** Place in the caller's list. */
  readonly index: number;
  /** The id that it gets if it is new. */
  readonly id: string;
  readonly integrationId: string;
  readonly sessionId: string | null;
  readonly agentId: string | null;
  readonly callId: string;
  readonly provider: string;
  readonly model: string;
  readonly tokensIn: number;
  readonly tokensOut: number;
  readonly costCents: string;
  readonly latencyMs: number | null;
  readonly policyResult: string;
  readonly errorCode: string | null;
  readonly errorMessage: string | null;
  /** JSON text. */
  readonly metadata: string;
  /** ISO text; null where the sender said nothing of the time. */
  readonly occurredAt: string | null;
}

const EARLIEST = Date.parse(OCCURRED_AT_MIN);
const SKEW_MS = MAX_CLOCK_SKEW_MINUTES * 60_000;

/** @throws InvalidArgumentError naming the field, and `details.index` in a list */
export function toUsageRecords(usages: readonly NewUsage[], ids: IdGenerator, now: Date): readonly UsageRecord[] {
  const records: UsageRecord[] = [];
  try {
    for (const usage of usages) records.push(toUsageRecord(usage, { index: records.length, id: ids.next(), now }));
  } catch (error) {
    if (!HocError.is(error)) throw error;
    throw new InvalidArgumentError(error.message, { details: { ...error.details, index: records.length } });
  }
  return records;
}

/** @throws InvalidArgumentError naming the field */
export function toUsageRecord(
  usage: NewUsage,
  { index, id, now }: { readonly index: number; readonly id: string; readonly now: Date },
): UsageRecord {
  assertObject(usage, 'usage');
  const { sessionId, agentId, latencyMs, policyResult, errorCode, errorMessage, metadata, occurredAt } = usage;
  if (errorMessage !== undefined && errorCode === undefined)
    throw invalid('errorMessage', 'without_code', 'errorMessage needs an errorCode');
  return {
    index,
    id,
    integrationId: assertId(usage.integrationId, 'integrationId'),
    sessionId: sessionId === undefined ? null : assertId(sessionId, 'sessionId'),
    agentId: agentId === undefined ? null : assertId(agentId, 'agentId'),
    callId: assertCallId(usage.callId),
    provider: assertText(usage.provider, 'provider', USAGE_TEXT_MAX.provider),
    model: assertText(usage.model, 'model', USAGE_TEXT_MAX.model),
    tokensIn: assertInt(usage.tokensIn, 'tokensIn', 0, TOKENS_MAX),
    tokensOut: assertInt(usage.tokensOut, 'tokensOut', 0, TOKENS_MAX),
    costCents: assertCost(usage.costCents),
    latencyMs: latencyMs === undefined ? null : assertInt(latencyMs, 'latencyMs', 0, LATENCY_MAX_MS),
    policyResult: assertOneOf(policyResult ?? 'allowed', CUS_POLICY_RESULTS, 'policyResult'),
    errorCode: errorCode === undefined ? null : assertText(errorCode, 'errorCode', USAGE_TEXT_MAX.errorCode),
    errorMessage:
      errorMessage === undefined ? null : assertText(errorMessage, 'errorMessage', USAGE_TEXT_MAX.errorMessage),
    metadata: metadata === undefined ? '{}' : jsonObjectText(metadata, 'metadata'),
    occurredAt: occurredAt === undefined ? null : assertOccurredAt(occurredAt, now),
  };
}

function assertCost(value: unknown): string {
  if (typeof value !== 'string') throw invalid('costCents', 'decimal', 'costCents must be a decimal text');
  return toMoney(value, 'costCents');
}

function assertText(value: unknown, field: string, max: number): string {
  const fault = textFault(value, 1, max);
  if (fault !== null) throw invalid(field, fault, `${field} must be a text of 1 to ${max} characters`);
  return value as string;
}

function assertOccurredAt(value: unknown, now: Date): string {
  const at = assertDate(value, 'occurredAt');
  if (at.getTime() < EARLIEST || at.getTime() > now.getTime() + SKEW_MS)
    throw invalid('occurredAt', 'range', `occurredAt must lie between ${OCCURRED_AT_MIN} and now`);
  return at.toISOString();
}
