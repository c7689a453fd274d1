import {
  ACTOR_MAX,
  assertAmount,
  assertLimitType,
  LIMIT_CATEGORIES,
  LIMIT_CONSEQUENCES,
  LIMIT_DESCRIPTION_MAX,
  LIMIT_ENFORCEMENTS,
  LIMIT_INTEGRITY_STATUSES,
  LIMIT_NAME_MAX,
  LIMIT_SCOPES,
  LIMIT_STATUSES,
  LIMIT_WINDOW_MAX_SECONDS,
  type LimitIntegrityStatus,
  type LimitPatch,
  type NewLimit,
  RESET_PERIODS,
} from '@hoc/controls/schemas';
import { assertId, assertInt, assertObject, assertOneOf, invalid, textFault } from '@hoc/shared/kernel';
import { storedJsonText } from '../stored-json.rules';

/** What of a new limit is bound, from `name` to `created_by`. @throws InvalidArgumentError naming the field */
export function limitValues(limit: NewLimit): readonly unknown[] {
  assertObject(limit, 'limit');
  return [
    assertText(limit.name, 'name', 1, LIMIT_NAME_MAX),
    orNull(limit.description, (value) => assertText(value, 'description', 0, LIMIT_DESCRIPTION_MAX)),
    assertOneOf(limit.limitCategory, LIMIT_CATEGORIES, 'limitCategory'),
    assertLimitType(limit.limitType),
    assertOneOf(limit.scope, LIMIT_SCOPES, 'scope'),
    orNull(limit.scopeId, (value) => assertId(value, 'scopeId')),
    assertAmount(limit.maxValue, 'maxValue'),
    orNull(limit.resetPeriod, (value) => assertOneOf(value, RESET_PERIODS, 'resetPeriod')),
    orNull(limit.windowSeconds, (value) => assertInt(value, 'windowSeconds', 1, LIMIT_WINDOW_MAX_SECONDS)),
    orNull(limit.measurementWindowSeconds, (value) =>
      assertInt(value, 'measurementWindowSeconds', 1, LIMIT_WINDOW_MAX_SECONDS),
    ),
    storedJsonText(limit.params, 'params'),
    assertOneOf(limit.enforcement, LIMIT_ENFORCEMENTS, 'enforcement'),
    orNull(limit.consequence, (value) => assertOneOf(value, LIMIT_CONSEQUENCES, 'consequence')),
    assertOneOf(limit.status ?? 'ACTIVE', LIMIT_STATUSES, 'status'),
    orNull(limit.createdBy, assertActor),
  ];
}

/** What of a patch is bound, from `name` to `updated_by`. @throws InvalidArgumentError naming the field, and for a patch that changes nothing */
export function patchValues(patch: LimitPatch): readonly unknown[] {
  const { updatedBy, ...changes } = assertObject(patch, 'patch') as LimitPatch;
  if (Object.values(changes).every((value) => value === undefined))
    throw invalid('patch', 'empty', 'a patch must change something');
  return [
    given(patch.name, (value) => assertText(value, 'name', 1, LIMIT_NAME_MAX)),
    patch.description !== undefined,
    orNull(patch.description, (value) => assertText(value, 'description', 0, LIMIT_DESCRIPTION_MAX)),
    given(patch.maxValue, (value) => assertAmount(value, 'maxValue')),
    given(patch.enforcement, (value) => assertOneOf(value, LIMIT_ENFORCEMENTS, 'enforcement')),
    given(patch.resetPeriod, (value) => assertOneOf(value, RESET_PERIODS, 'resetPeriod')),
    given(patch.windowSeconds, (value) => assertInt(value, 'windowSeconds', 1, LIMIT_WINDOW_MAX_SECONDS)),
    given(patch.params, (value) => storedJsonText(value, 'params')),
    given(patch.status, (value) => assertOneOf(value, LIMIT_STATUSES, 'status')),
    updatedBy !== undefined,
    orNull(updatedBy, assertActor),
  ];
}

/** Status and score of a verification. @throws InvalidArgumentError naming the field */
export function integrityValues(status: LimitIntegrityStatus, score: number): readonly unknown[] {
  if (typeof score !== 'number' || !(score >= 0 && score <= 1))
    throw invalid('integrityScore', 'range', 'integrityScore must lie between 0 and 1');
  return [assertOneOf(status, LIMIT_INTEGRITY_STATUSES, 'integrityStatus'), score];
}

/** Who did it: 1–128 characters. @throws InvalidArgumentError naming `actor` */
export const assertActor = (value: unknown): string => assertText(value, 'actor', 1, ACTOR_MAX);

function assertText(value: unknown, field: string, min: number, max: number): string {
  const fault = textFault(value, min, max);
  if (fault !== null) throw invalid(field, fault, `${field} must be a text of ${min} to ${max} characters`);
  return value as string;
}

const given = <T, V>(value: T | undefined, check: (value: T) => V): V | null =>
  value === undefined ? null : check(value);
const orNull = <T, V>(value: T | null | undefined, check: (value: T) => V): V | null =>
  value === undefined || value === null ? null : check(value);
