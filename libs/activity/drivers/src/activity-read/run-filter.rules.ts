import { FILTER_VALUES_MAX, type RunFilter } from '@hoc/activity/schemas';
import {
  assertDate,
  assertId,
  assertList,
  assertObject,
  assertOneOf,
  assertRange,
  EVIDENCE_HEALTH,
  INTEGRITY_STATUSES,
  invalid,
  type JsonObject,
  LATENCY_BUCKETS,
  RISK_LEVELS,
  RUN_PROVIDER_TYPES,
  RUN_SOURCES,
  RUN_STATES,
  RUN_STATUSES,
} from '@hoc/shared/kernel';
import type { Conditions } from './conditions.rules';
import { RUN_KEYS } from './run-sort.rules';

/** Lists of a filter: the column, and what may stand in it. */
const LISTS = {
  statuses: ['status', RUN_STATUSES],
  riskLevels: ['risk_level', RISK_LEVELS],
  latencyBuckets: ['latency_bucket', LATENCY_BUCKETS],
  evidenceHealth: ['evidence_health', EVIDENCE_HEALTH],
  integrityStatuses: ['integrity_status', INTEGRITY_STATUSES],
  sources: ['source', RUN_SOURCES],
  providerTypes: ['provider_type', RUN_PROVIDER_TYPES],
} as const satisfies { readonly [K in keyof RunFilter]: readonly [string, readonly string[]] };
const IDS = { projectId: 'project_id', agentId: 'agent_id' } as const;
const FLAGS = ['atRiskOnly', 'isSynthetic'] as const;
const INSTANTS = ['startedFrom', 'startedTo', 'completedFrom', 'completedTo'] as const;
const KNOWN: ReadonlySet<string> = new Set([
  ...Object.keys(LISTS),
  ...Object.keys(IDS),
  ...FLAGS,
  ...INSTANTS,
  'state',
]);

/** The predicate of the index `ix_runs_tenant_attention`, to the letter. */
export const NEEDS_ATTENTION = `(r.risk_level <> 'NORMAL' OR r.incident_count > 0 OR r.policy_violation)`;

/**
 * A caller's filter, checked: unknown keys are refused as well, because a filter that isn't applied shows more than was
 * asked for.
 * @throws InvalidArgumentError naming the field
 */
export function checkRunFilter(filter: RunFilter): RunFilter {
  const given = assertObject(filter, 'filter');
  const unknown = Object.keys(given).find((key) => !KNOWN.has(key));
  if (unknown !== undefined) throw invalid('filter', 'unknown_key', 'the filter has an unknown key');
  for (const [key, [, allowed]] of Object.entries(LISTS)) checkList(given[key], allowed, key);
  for (const key of Object.keys(IDS)) if (given[key] !== undefined) assertId(given[key], key);
  for (const key of FLAGS)
    if (given[key] !== undefined && typeof given[key] !== 'boolean')
      throw invalid(key, 'boolean', `${key} must be true or false`);
  if (filter.state !== undefined) assertOneOf(filter.state, RUN_STATES, 'state');
  for (const key of INSTANTS) checkInstant(given[key], key);
  assertRange(filter.startedFrom, filter.startedTo, 'startedFrom', { allowEmpty: true });
  assertRange(filter.completedFrom, filter.completedTo, 'completedFrom', { allowEmpty: true });
  return filter;
}

/** Years that are written with four digits: PostgreSQL reads no other of what a Date prints. */
function checkInstant(value: unknown, field: string): void {
  if (value === undefined) return;
  const year = assertDate(value, field).getUTCFullYear();
  if (year < 1 || year > 9999) throw invalid(field, 'range', `${field} lies outside the years 1 to 9999`);
}

function checkList(list: unknown, allowed: readonly string[], field: string): void {
  if (list === undefined) return;
  if (assertList(list, field, FILTER_VALUES_MAX).length === 0)
    throw invalid(field, 'empty', `${field} must not be empty: leave it out for no filter`);
  for (const value of list as readonly unknown[]) assertOneOf(value, allowed, field);
}

/** Adds a checked filter, on the alias `r`. */
export function addRunFilter(conditions: Conditions, filter: RunFilter): void {
  for (const [key, column] of entries(IDS))
    if (filter[key] !== undefined) conditions.add(filter[key], (n) => `r.${column} = ${n}`);
  if (filter.state !== undefined) conditions.add(filter.state, (n) => `r.state = ${n}`);
  for (const [key, [column]] of entries(LISTS)) {
    const list = filter[key];
    if (list !== undefined) conditions.add([...list], (n) => `r.${column} = ANY(${n}::text[])`);
  }
  if (filter.atRiskOnly === true) conditions.addFixed(NEEDS_ATTENTION);
  if (filter.isSynthetic !== undefined) conditions.add(filter.isSynthetic, (n) => `r.is_synthetic = ${n}`);
  addRange(conditions, RUN_KEYS.startedAt.key, filter.startedFrom, filter.startedTo, 'r.started_at');
  addRange(conditions, RUN_KEYS.completedAt.key, filter.completedFrom, filter.completedTo, 'r.completed_at');
}

/** On the sort key, so that the index serves the range; NULL, whose key is below every instant, is in no range. */
function addRange(
  conditions: Conditions,
  key: string,
  from: Date | undefined,
  to: Date | undefined,
  column: string,
): void {
  if (from === undefined && to === undefined) return;
  if (from !== undefined) conditions.add(from.toISOString(), (n) => `${key} >= ${n}::timestamptz`);
  if (to !== undefined) conditions.add(to.toISOString(), (n) => `${key} < ${n}::timestamptz`);
  conditions.addFixed(`${column} IS NOT NULL`);
}

/** The filter as its cursor is tied to it: lists are sets, instants texts. */
export const filterAsJson = (filter: object): JsonObject =>
  Object.fromEntries(
    Object.entries(filter)
      .filter(([, value]) => value !== undefined)
      .map(([key, value]: [string, unknown]) => [
        key,
        value instanceof Date ? value.toISOString() : Array.isArray(value) ? [...value].sort() : value,
      ]),
  ) as JsonObject;

const entries = <T extends object>(map: T): [keyof T, T[keyof T]][] => Object.entries(map) as [keyof T, T[keyof T]][];
