import type { LimitsReadDriver } from '@hoc/controls/drivers';
import {
  assertAmount,
  type AppliedBudgetLimitsFilter,
  type AppliedLimitsFilter,
  type BudgetLimit,
  type BudgetLimitsFilter,
  type LimitBreachForRun,
  type LimitDetailWithUsage,
  type LimitList,
  LimitNotFoundError,
  type LimitsFilter,
  type LimitSummary,
  type LimitUsage,
} from '@hoc/controls/schemas';
import {
  assertObject,
  assertTenantId,
  type DecimalString,
  deepFreeze,
  divideDecimal,
  multiplyDecimal,
  type Page,
  type PageRequest,
  toDecimalString,
  ZERO_DECIMAL,
} from '@hoc/shared/kernel';

export { type BudgetWindow, budgetWindow } from '@hoc/controls/schemas';

/** What the engine needs of the driver. */
export type LimitsReader = Pick<
  LimitsReadDriver,
  'fetchLimits' | 'countLimits' | 'fetchLimitById' | 'fetchBudgetLimits' | 'fetchLimitBreachesForRun'
>;

/** The engine on a driver of one unit of work. */
export function getLimitsQueryEngine(driver: LimitsReader): LimitsQueryEngine {
  return new LimitsQueryEngine(driver);
}

/**
 * A tenant's limits for a console or an API: pages that say how long the whole list is, and one limit beside its use. Reads
 * only; no transaction is needed, though page and total are of one snapshot in a REPEATABLE READ one alone. Results are
 * frozen.
 */
export class LimitsQueryEngine {
  constructor(private readonly driver: LimitsReader) {}

  /**
   * A page of limits, the last breached first; by default of active budgets.
   * @throws InvalidArgumentError for a bad filter or limit, or a cursor of another list
   */
  async listLimits(
    tenantId: string,
    filter: LimitsFilter = {},
    page: PageRequest = {},
  ): Promise<LimitList<LimitSummary, AppliedLimitsFilter>> {
    const tenant = assertTenantId(tenantId);
    const asked = given(filter, LIMITS_KEYS);
    const found = await this.driver.fetchLimits(tenant, asked, page);
    const total = await this.driver.countLimits(tenant, asked);
    return listOf(found, total, { category: 'BUDGET', status: 'ACTIVE', ...asked });
  }

  /**
   * One limit in full; with `usage`, how much of it that is.
   * @throws LimitNotFoundError where it is missing, or another tenant's; InvalidArgumentError for what isn't an id, or a use
   * that isn't a decimal text of 0 or more
   */
  async getLimitDetail(tenantId: string, limitId: string, usage?: LimitUsage): Promise<LimitDetailWithUsage> {
    const tenant = assertTenantId(tenantId);
    const currentValue = usage === undefined ? null : usedOf(usage);
    const detail = await this.driver.fetchLimitById(tenant, limitId);
    if (detail === null) throw new LimitNotFoundError(limitId);
    return deepFreeze({ ...detail, currentValue, utilizationPercent: percentOf(currentValue, detail.maxValue) });
  }

  /**
   * A page of budgets, the newest first; by default the active ones.
   * @throws InvalidArgumentError for a bad filter or limit, or a cursor of another list
   */
  async listBudgets(
    tenantId: string,
    filter: BudgetLimitsFilter = {},
    page: PageRequest = {},
  ): Promise<LimitList<BudgetLimit, AppliedBudgetLimitsFilter>> {
    const tenant = assertTenantId(tenantId);
    const asked = given(filter, BUDGET_KEYS);
    const found = await this.driver.fetchBudgetLimits(tenant, asked, page);
    const total = await this.driver.countLimits(tenant, { ...asked, category: 'BUDGET' });
    return listOf(found, total, { status: 'ACTIVE', ...asked });
  }

  /**
   * What a run crossed, the last crossing first.
   * @throws InvalidArgumentError for a bad run id or limit, or a cursor of another list
   */
  async listBreachesForRun(tenantId: string, runId: string, page: PageRequest = {}): Promise<Page<LimitBreachForRun>> {
    return this.driver.fetchLimitBreachesForRun(tenantId, runId, page);
  }
}

function usedOf(usage: LimitUsage): DecimalString {
  const { currentValue } = assertObject(usage, 'usage');
  return assertAmount(currentValue, 'currentValue');
}

const HUNDRED = toDecimalString(100);

/** Half up to 2 decimals. */
function percentOf(value: DecimalString | null, of: DecimalString): number | null {
  if (value === null || of === ZERO_DECIMAL) return null;
  return Number(divideDecimal(multiplyDecimal(value, HUNDRED), of, 2));
}

const listOf = <Item, Filter>(
  { items, nextCursor }: Page<Item>,
  total: number,
  filtersApplied: Filter,
): LimitList<Item, Filter> => deepFreeze({ items, nextCursor, total, hasMore: nextCursor !== null, filtersApplied });

const LIMITS_KEYS = [
  'category',
  'status',
  'scope',
  'enforcement',
  'limitType',
  'createdAfter',
  'createdBefore',
] as const;
const BUDGET_KEYS = ['scope', 'status'] as const;

/**
 * What is set of a filter, as the caller's own object won't change it any more. Asked for by name as well: what a class has
 * as getters would be left out, and a filter that isn't applied shows more than was asked for.
 */
function given<Filter extends object>(filter: Filter, keys: readonly (keyof Filter & string)[]): Filter {
  const asked = assertObject(filter, 'filter');
  return Object.fromEntries(
    [...new Set([...keys, ...Object.keys(asked)])]
      .map((key) => [key, asked[key]] as const)
      .filter(([, value]) => value !== undefined)
      .map(([key, value]) => [key, value instanceof Date ? new Date(value.getTime()) : value]),
  ) as Filter;
}
