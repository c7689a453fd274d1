import {
  type AppliedBudgetLimitsFilter,
  type AppliedLimitsFilter,
  type ApplyingLimitsFilter,
  assertLimitType,
  type BudgetLimitsFilter,
  LIMIT_CATEGORIES,
  LIMIT_ENFORCEMENTS,
  LIMIT_SCOPES,
  LIMIT_STATUSES,
  LIMIT_TYPE,
  type LimitsFilter,
} from '@hoc/controls/schemas';
import {
  assertDate,
  assertId,
  assertObject,
  assertOneOf,
  assertRange,
  invalid,
  type JsonObject,
  refusedCursor,
} from '@hoc/shared/kernel';

/**
 * A caller's filter, checked, its defaults filled in. Unknown keys are refused as well, because a filter that isn't applied
 * shows more than was asked for.
 * @throws InvalidArgumentError naming the field
 */
export function checkLimitsFilter(filter: LimitsFilter): AppliedLimitsFilter {
  const { category = 'BUDGET', status = 'ACTIVE', ...rest } = readOnce(filter, LIMITS_KEYS);
  assertOneOf(category, LIMIT_CATEGORIES, 'category');
  assertOneOf(status, LIMIT_STATUSES, 'status');
  const { scope, enforcement, limitType, createdAfter, createdBefore } = rest;
  if (scope !== undefined) assertOneOf(scope, LIMIT_SCOPES, 'scope');
  if (enforcement !== undefined) assertOneOf(enforcement, LIMIT_ENFORCEMENTS, 'enforcement');
  if (limitType !== undefined) checkLimitType(limitType);
  if (createdAfter !== undefined) checkInstant(createdAfter, 'createdAfter');
  if (createdBefore !== undefined) checkInstant(createdBefore, 'createdBefore');
  assertRange(createdAfter, createdBefore, 'createdAfter', { allowEmpty: true });
  return { ...rest, category, status };
}

/** {@link checkLimitsFilter} of a list of budgets. */
export function checkBudgetFilter(filter: BudgetLimitsFilter): AppliedBudgetLimitsFilter {
  const { status = 'ACTIVE', ...rest } = readOnce(filter, BUDGET_KEYS);
  assertOneOf(status, LIMIT_STATUSES, 'status');
  if (rest.scope !== undefined) assertOneOf(rest.scope, LIMIT_SCOPES, 'scope');
  return { ...rest, status };
}

/**
 * What `APPLYING_LIMITS` binds, $2 to $6: null for who isn't named, which equals no scope's id.
 * @throws InvalidArgumentError naming the field
 */
export function valuesOfApplying(filter: ApplyingLimitsFilter): readonly unknown[] {
  const { category, typePrefix, context = {} } = readOnce(filter, APPLYING_KEYS);
  assertOneOf(category, LIMIT_CATEGORIES, 'category');
  if (typeof typePrefix !== 'string' || !LIMIT_TYPE.test(typePrefix))
    throw invalid('typePrefix', 'limit_type', 'typePrefix must be what a type begins with');
  const { projectId, agentId, providerId } = readOnce(context, CONTEXT_KEYS, 'context');
  const idOrNull = (id: string | undefined, field: string): string | null =>
    id === undefined ? null : assertId(id, `context.${field}`);
  return [
    category,
    typePrefix,
    idOrNull(projectId, 'projectId'),
    idOrNull(agentId, 'agentId'),
    idOrNull(providerId, 'providerId'),
  ];
}

/** What `LIMITS_MATCH` binds, $2 to $9. */
export function valuesOf(filter: AppliedLimitsFilter): readonly unknown[] {
  const { category, status, scope, enforcement, limitType, createdAfter, createdBefore } = filter;
  const begins = limitType?.endsWith('*') === true;
  return [
    category,
    status,
    scope ?? null,
    enforcement ?? null,
    limitType === undefined || begins ? null : limitType,
    begins ? limitType.slice(0, -1) : null,
    createdAfter?.toISOString() ?? '-infinity',
    createdBefore?.toISOString() ?? 'infinity',
  ];
}

/** A checked filter as its cursors are tied to it. */
export const filterAsJson = (filter: AppliedLimitsFilter | AppliedBudgetLimitsFilter): JsonObject =>
  Object.fromEntries(
    Object.entries(filter)
      .filter(([, value]) => value !== undefined)
      .map(([key, value]: [string, string | Date]) => [key, value instanceof Date ? value.toISOString() : value]),
  );

/** The 30 days of which breaches are counted, half-open. One stamped with the very reading of the clock is among them. */
export interface BreachWindow {
  /** The reading of the clock, as a cursor's position holds it. */
  readonly asOf: string;
  readonly from: string;
  readonly to: string;
}

/** The window at the clock's `now`, for a list's first page and for one limit. */
export const breachWindowAt = (now: Date): BreachWindow => breachWindow(now.getTime());

/** The window that a page's cursor brings along. @throws InvalidArgumentError reason `cursor` where it is none of ours */
export function breachWindowOf(position: string | null | undefined): BreachWindow {
  const asOf = Date.parse(position ?? '');
  if (!(asOf >= EARLIEST)) throw refusedCursor();
  return breachWindow(asOf);
}

const BREACH_WINDOW_MS = 30 * 86_400_000;
/** So that the window, too, begins in a year of four digits: PostgreSQL reads no other of what a Date prints. */
const EARLIEST = Date.parse('1000-01-01T00:00:00.000Z');

const breachWindow = (asOf: number): BreachWindow => ({
  asOf: new Date(asOf).toISOString().replace('Z', '000Z'),
  from: new Date(asOf - BREACH_WINDOW_MS).toISOString(),
  to: new Date(asOf + 1).toISOString(),
});

const LIMITS_KEYS: ReadonlySet<string> = new Set([
  'category',
  'status',
  'scope',
  'enforcement',
  'limitType',
  'createdAfter',
  'createdBefore',
] satisfies (keyof LimitsFilter)[]);
const BUDGET_KEYS: ReadonlySet<string> = new Set(['scope', 'status'] satisfies (keyof BudgetLimitsFilter)[]);
const APPLYING_KEYS: ReadonlySet<string> = new Set([
  'category',
  'typePrefix',
  'context',
] satisfies (keyof ApplyingLimitsFilter)[]);
const CONTEXT_KEYS: ReadonlySet<string> = new Set(['projectId', 'agentId', 'providerId'] satisfies (keyof NonNullable<
  ApplyingLimitsFilter['context']
>)[]);

/** What is given, each value read once: what is checked is what is applied, also of a class that has getters. */
function readOnce<Filter extends object>(filter: Filter, keys: ReadonlySet<string>, field = 'filter'): Filter {
  const given = assertObject(filter, field);
  if (Object.keys(given).some((key) => !keys.has(key)))
    throw invalid(field, 'unknown_key', `the ${field} has an unknown key`);
  const read = [...keys].map((key) => [key, given[key]] as const);
  return Object.fromEntries(read.filter(([, value]) => value !== undefined)) as Filter;
}

const LIMIT_TYPE_FILTER = /^(\*|[A-Z][A-Z0-9_]{0,31}\*?)$/;

function checkLimitType(value: unknown): void {
  if (typeof value !== 'string' || !LIMIT_TYPE_FILTER.test(value))
    throw invalid('limitType', 'limit_type', 'limitType must be a type, or what a type begins with and one *');
  if (!value.endsWith('*')) assertLimitType(value);
}

/** Years that are written with four digits: PostgreSQL reads no other of what a Date prints. */
function checkInstant(value: unknown, field: string): void {
  const year = assertDate(value, field).getUTCFullYear();
  if (year < 1 || year > 9999) throw invalid(field, 'range', `${field} lies outside the years 1 to 9999`);
}
