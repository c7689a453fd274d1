import {
  DEFAULT_RUN_SORT,
  type EvidenceHealth,
  type FiltersApplied,
  type RiskLevel,
  type RunFilter,
  type RunProviderType,
  type RunSort,
  type RunSource,
  type RunStatus,
  type SeverityLevel,
  type SignalType,
} from '@hoc/activity/schemas';
import { assertObject, invalid, type PageRequest } from '@hoc/shared/kernel';

/** Which part of a list. */
export interface Paged {
  /** 1–200, default 50. */
  readonly limit?: number;
  readonly cursor?: string;
}

/** Which runs, in which order, and which part of them. */
export type RunsQuery = RunFilter & Paged & { readonly sort?: RunSort };

/** Which runs that go on. */
export interface LiveRunsQuery extends Paged {
  readonly projectId?: string;
  readonly riskLevels?: readonly RiskLevel[];
  readonly evidenceHealth?: readonly EvidenceHealth[];
  readonly sources?: readonly RunSource[];
  readonly providerTypes?: readonly RunProviderType[];
  readonly sort?: RunSort;
}

/** Which runs that have ended. */
export interface CompletedRunsQuery extends Paged {
  readonly projectId?: string;
  /** Terminal ones. */
  readonly statuses?: readonly RunStatus[];
  readonly riskLevels?: readonly RiskLevel[];
  readonly completedFrom?: Date;
  readonly completedTo?: Date;
  readonly sort?: RunSort;
}

/** Which signals. */
export interface SignalsQuery extends Paged {
  readonly projectId?: string;
  readonly signalType?: SignalType;
  readonly severity?: SeverityLevel;
}

/** Which signals compete for attention, and how many are shown. */
export interface AttentionQuery {
  /** 1–100, default 20. */
  readonly limit?: number;
  /** 0–1, inclusive; default 0. */
  readonly minScore?: number;
  readonly projectId?: string;
}

/**
 * The query, if it has no other keys than these: one that isn't known would be dropped, and the answer be of more than was
 * asked for.
 * @throws InvalidArgumentError naming `query`
 */
export function only<Query extends object>(query: Query, keys: readonly string[]): Query {
  assertObject(query, 'query');
  if (Object.keys(query).some((key) => !keys.includes(key)))
    throw invalid('query', 'unknown_key', 'the query has an unknown key');
  return query;
}

/** A query as the driver takes it: the page, and as its filter everything else, which the driver checks. */
export function partsOf<Query extends Paged>(
  query: Query,
): { readonly page: PageRequest; readonly filter: Omit<Query, 'limit' | 'cursor'> } {
  assertObject(query, 'query');
  const { limit, cursor, ...filter } = query;
  const page = { ...(limit === undefined ? {} : { limit }), ...(cursor === undefined ? {} : { cursor }) };
  return { page, filter: detached(filter) };
}

/** {@link partsOf} of a list that the caller may sort; by default the newest first. */
export function sortedPartsOf(query: RunsQuery): {
  readonly sort: RunSort;
  readonly page: PageRequest;
  readonly filter: RunFilter;
} {
  const { page, filter: given } = partsOf(query);
  const { sort = DEFAULT_RUN_SORT, ...filter } = given;
  return { sort, page, filter };
}

/** What a list was made under: the tenant and exactly the given filters, instants as ISO text. The driver took the filter. */
export function filtersApplied(tenantId: string, filter: RunFilter): FiltersApplied {
  const given = Object.entries(filter).filter(([, value]) => value !== undefined);
  return Object.fromEntries([
    ['tenantId', tenantId],
    ...given.map(([key, value]: [string, unknown]) => [key, value instanceof Date ? value.toISOString() : value]),
  ]) as FiltersApplied;
}

/** The caller's lists and Dates stay the caller's: a result freezes its own, and doesn't follow what they become later. */
const detached = <Filter extends object>(filter: Filter): Filter =>
  Object.fromEntries(Object.entries(filter).map(([key, value]: [string, unknown]) => [key, copyOf(value)])) as Filter;

function copyOf(value: unknown): unknown {
  if (value instanceof Date) return new Date(value);
  return Array.isArray(value) ? Array.from<unknown>(value) : value;
}
