import type { EvaluationRule, RunFilter, RunSort } from '@hoc/activity/schemas';
import {
  assertObject,
  compareDecimal,
  filterFingerprint,
  invalid,
  type JsonObject,
  toMoney,
  ZERO_DECIMAL,
} from '@hoc/shared/kernel';
import { type KeysetList, type KeysetRequest, type Statement, statement } from '@hoc/shared/drivers';
import { Conditions } from './conditions.rules';
import { POLICY_COLUMNS, policyContext } from './policy-context.query';
import { pageOfRuns, type Positioned, SUMMARY_COLUMNS } from './run-columns.query';
import { addRunFilter, checkRunFilter } from './run-filter.rules';
import { RUN_KEYS } from './run-sort.rules';

/** The tenant's runs under the filter. @throws InvalidArgumentError for a bad filter */
export function filtered(tenantId: string, filter: RunFilter): Conditions {
  const conditions = new Conditions(tenantId);
  addRunFilter(conditions, checkRunFilter(filter));
  return conditions;
}

/** A list of runs as its cursors know it: another filter, tenant or sort is another list. */
export const listOf = (kind: string, tenantId: string, filter: JsonObject, sort: RunSort): KeysetList => ({
  kind,
  fingerprint: filterFingerprint(kind, tenantId, filter, { field: sort.field, direction: sort.direction }),
  positions: [RUN_KEYS[sort.field].position, 'text'],
});

/** Where a row of a page stands in its list. */
export const positionOf = (row: Positioned): readonly (string | null)[] => [row.position, row.id];

const kept = new Map<string, Statement<unknown>>();
const KEPT_TEXTS = 64;

/**
 * The text as a statement. One without a filter is kept prepared, being most of what is asked; another one is planned for
 * its values, because a plan for any value reads too much where one is rare.
 */
export function prepared<Row>(label: string, conditions: Conditions, text: string): Statement<Row> {
  if (conditions.isFiltered) return planned(label, text);
  const known = kept.get(text);
  if (known !== undefined) return known as Statement<Row>;
  const made = statement<Row>(label, text);
  if (kept.size < KEPT_TEXTS) kept.set(text, made);
  return made;
}

/**
 * A statement that looks up limits and breaches, never kept: a plan from when these tables were small goes through all
 * breaches of the tenant for each run and limit.
 */
export const planned = <Row>(label: string, text: string): Statement<Row> => statement(label, text, { replan: true });

/** A page of runs first, the limits of its rows after: the join is made at most `limit + 1` times. */
export function withPolicy(
  conditions: Conditions,
  { order, request, ratio }: { readonly order: RunSort; readonly request: KeysetRequest; readonly ratio: string },
): string {
  const direction = order.direction === 'asc' ? 'ASC' : 'DESC';
  const page = pageOfRuns(conditions, order, request, 'r.*');
  return `SELECT ${SUMMARY_COLUMNS}, r.created_at, r.position, ${POLICY_COLUMNS}
    FROM (${page}) AS r
    LEFT JOIN LATERAL ${policyContext(conditions.bind(ratio))} ON true
    ORDER BY r.sort_key ${direction}, r.id ${direction}`;
}

/** The filter, if it has no other keys than these: one that isn't applied shows more than was asked for. */
export function only<Filter extends object>(filter: Filter, keys: ReadonlySet<string>): Filter {
  assertObject(filter, 'filter');
  if (Object.keys(filter).some((key) => !keys.has(key)))
    throw invalid('filter', 'unknown_key', 'the filter has an unknown key');
  return filter;
}

/** The ratio as decimal text. @throws InvalidArgumentError unless 0 < ratio ≤ 1 */
export function checkRule(rule: EvaluationRule): string {
  assertObject(rule, 'rule');
  if (typeof rule.nearThresholdRatio !== 'string') throw outside();
  const ratio = toMoney(rule.nearThresholdRatio, 'nearThresholdRatio');
  if (compareDecimal(ratio, ZERO_DECIMAL) === 0 || compareDecimal(ratio, ONE) > 0) throw outside();
  return ratio;
}

const ONE = toMoney('1');
const outside = () =>
  invalid('nearThresholdRatio', 'range', 'nearThresholdRatio must be a decimal text above 0, at most 1');
