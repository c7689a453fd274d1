import {
  LimitOverrideRequest,
  OVERRIDE_HOURS_MAX,
  OVERRIDE_REASON_MAX,
  OVERRIDE_STATUSES,
  type OverrideAdjustment,
  type OverrideListFilter,
} from '@hoc/controls/schemas';
import {
  assertId,
  assertInt,
  assertObject,
  assertOneOf,
  compareDecimal,
  invalid,
  type JsonObject,
  textFault,
  toDecimalString,
  validateOrThrow,
  ZERO_DECIMAL,
} from '@hoc/shared/kernel';
import type { AskedOverride } from '../override.rules';

/** A request as it is stored. */
export interface CheckedRequest extends AskedOverride {
  readonly limitId: string;
  readonly reason: string;
}

/** The request with its reason trimmed. @throws InvalidArgumentError as `validateOrThrow` */
export function checkedRequest(request: unknown): CheckedRequest {
  const { limitId, overrideValue, durationHours, reason, scheduledStart } = validateOrThrow(
    LimitOverrideRequest,
    withTrimmedReason(request),
  );
  const value = toDecimalString(overrideValue, 'overrideValue');
  return { limitId, value, durationHours, reason, scheduledStart: scheduledStart ?? null };
}

/** Before the request is checked, whatever it is: the length that counts is the stored text's. */
function withTrimmedReason(request: unknown): unknown {
  if (typeof request !== 'object' || request === null || Array.isArray(request) || request instanceof Date)
    return request;
  const reason: unknown = Reflect.get(request, 'reason');
  return typeof reason === 'string' ? { ...request, reason: reason.trim() } : request;
}

/** What the approver changes. @throws InvalidArgumentError naming the field */
export function checkedAdjustment(adjust: OverrideAdjustment): OverrideAdjustment {
  const { value, durationHours } = assertObject(adjust, 'adjust');
  return {
    ...(value === undefined ? {} : { value: assertPositive(value) }),
    ...(durationHours === undefined
      ? {}
      : { durationHours: assertInt(durationHours, 'durationHours', 1, OVERRIDE_HOURS_MAX) }),
  };
}

function assertPositive(value: unknown): ReturnType<typeof toDecimalString> {
  if (typeof value !== 'string') throw invalid('value', 'decimal', 'value must be a decimal text');
  const amount = toDecimalString(value, 'value');
  if (compareDecimal(amount, ZERO_DECIMAL) <= 0) throw invalid('value', 'positive', 'value must be above zero');
  return amount;
}

/** Why an override is rejected. @throws InvalidArgumentError naming `rejectionReason` */
export function assertRejectionReason(value: unknown): string {
  const fault = textFault(value, 1, OVERRIDE_REASON_MAX);
  if (fault !== null)
    throw invalid('rejectionReason', fault, `rejectionReason must be a text of 1 to ${OVERRIDE_REASON_MAX} characters`);
  return value as string;
}

/** Which list a filter asks for, and what is bound for it. */
export interface ListedBy {
  readonly by: 'all' | 'status' | 'limit' | 'both';
  readonly values: readonly string[];
  /** The filter, for a cursor. */
  readonly fingerprint: JsonObject;
}

/** @throws InvalidArgumentError naming the field */
export function listedBy(filter: OverrideListFilter): ListedBy {
  const given = assertObject(filter, 'filter');
  const status = given['status'] === undefined ? null : assertOneOf(given['status'], OVERRIDE_STATUSES, 'status');
  const limitId = given['limitId'] === undefined ? null : assertId(given['limitId'], 'limitId');
  const by = status === null ? (limitId === null ? 'all' : 'limit') : limitId === null ? 'status' : 'both';
  const values = [limitId, status].filter((value) => value !== null);
  return { by, values, fingerprint: { limitId, status } };
}
