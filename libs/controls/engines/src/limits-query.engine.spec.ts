import type { LimitsReadDriver } from '@hoc/controls/drivers';
import {
  type BudgetLimit,
  budgetWindow as budgetWindowOfSchemas,
  type LimitBreachForRun,
  type LimitDetail,
  LimitNotFoundError,
  type LimitsFilter,
  type LimitSummary,
} from '@hoc/controls/schemas';
import { InvalidArgumentError, type Page, TenantScopeError, toDecimalString } from '@hoc/shared/kernel';
import fc from 'fast-check';
import { budgetWindow, getLimitsQueryEngine, type LimitsReader, LimitsQueryEngine } from './limits-query.engine';

const AT = new Date('2026-03-10T12:00:00.000Z');
const bad = (value: unknown): never => value as never;

const summary: LimitSummary = {
  limitId: 'l1',
  name: 'A limit',
  limitCategory: 'BUDGET',
  limitType: 'COST_CENTS',
  scope: 'TENANT',
  scopeId: null,
  enforcement: 'BLOCK',
  status: 'ACTIVE',
  maxValue: toDecimalString('2000'),
  windowSeconds: null,
  resetPeriod: 'MONTHLY',
  integrityStatus: null,
  integrityScore: null,
  breachCount30d: 0,
  lastBreachedAt: null,
  createdAt: AT,
};
const detail: LimitDetail = {
  ...summary,
  description: null,
  consequence: null,
  measurementWindowSeconds: null,
  params: {},
  version: 1,
  updatedAt: AT,
};
const breaches: Page<LimitBreachForRun> = Object.freeze({ items: [], nextCursor: null });

/** A driver of one limit, of which `total` exist; what it was asked is kept. */
function engineOn({
  nextCursor = null,
  total = 1,
  found = detail,
}: { nextCursor?: string | null; total?: number; found?: LimitDetail | null } = {}) {
  const asked: unknown[][] = [];
  const answer =
    <T>(name: string, value: T) =>
    (...given: unknown[]): Promise<T> => {
      asked.push([name, ...given]);
      return Promise.resolve(value);
    };
  const budgets: Page<BudgetLimit> = { items: [], nextCursor };
  const driver: LimitsReader = {
    fetchLimits: answer('fetchLimits', { items: [summary], nextCursor }),
    countLimits: answer('countLimits', total),
    fetchLimitById: answer('fetchLimitById', found),
    fetchBudgetLimits: answer('fetchBudgetLimits', budgets),
    fetchLimitBreachesForRun: answer('fetchLimitBreachesForRun', breaches),
  };
  return { engine: getLimitsQueryEngine(driver), asked };
}

it('takes the driver as it is', () => {
  const taken: (driver: LimitsReadDriver) => LimitsQueryEngine = getLimitsQueryEngine;
  expect(taken).toBe(getLimitsQueryEngine);
  expect(engineOn().engine).toBeInstanceOf(LimitsQueryEngine);
});

it('budgetWindow is the one of the schemas', () => {
  expect(budgetWindow).toBe(budgetWindowOfSchemas);
});

describe('listLimits', () => {
  it('a page, how long the list is, and whether it goes on', async () => {
    const { engine } = engineOn({ nextCursor: 'c2', total: 7 });
    const list = await engine.listLimits('t1', {}, { limit: 1 });
    expect(list).toEqual({
      items: [summary],
      total: 7,
      nextCursor: 'c2',
      hasMore: true,
      filtersApplied: { category: 'BUDGET', status: 'ACTIVE' },
    });
    expect([list, list.items, list.filtersApplied].every((each) => Object.isFrozen(each))).toBe(true);
    expect((await engineOn().engine.listLimits('t1')).hasMore).toBe(false);
  });
  it('list and count are asked the same, and what isn’t set isn’t applied', async () => {
    const { engine, asked } = engineOn();
    const filter: LimitsFilter = bad({ category: 'RATE', limitType: 'TOKENS_*', scope: undefined, createdAfter: AT });
    const { filtersApplied } = await engine.listLimits('t1', filter, { limit: 5, cursor: 'c' });
    const set = { category: 'RATE', limitType: 'TOKENS_*', createdAfter: AT };
    expect(asked).toEqual([
      ['fetchLimits', 't1', set, { limit: 5, cursor: 'c' }],
      ['countLimits', 't1', set],
    ]);
    expect(filtersApplied).toEqual({ ...set, status: 'ACTIVE' });
    expect(Object.keys(filtersApplied)).not.toContain('scope');
  });
  it('what the caller changes of its filter meanwhile changes nothing', async () => {
    const filter = { scope: 'AGENT' as 'AGENT' | 'PROJECT', createdAfter: new Date(AT) };
    const { engine, asked } = engineOn();
    const list = engine.listLimits('t1', filter);
    filter.scope = 'PROJECT';
    filter.createdAfter.setTime(0);
    expect((await list).filtersApplied).toMatchObject({ scope: 'AGENT', createdAfter: AT });
    expect(asked.map(([, , each]) => each)).toEqual(Array(2).fill({ scope: 'AGENT', createdAfter: AT }));
  });
});

describe('listBudgets', () => {
  it('its total counts all budgets under the filter, not the page', async () => {
    const { engine, asked } = engineOn({ total: 12, nextCursor: 'c2' });
    const list = await engine.listBudgets('t1', { scope: 'PROJECT' }, { limit: 5 });
    expect(list).toEqual({
      items: [],
      total: 12,
      nextCursor: 'c2',
      hasMore: true,
      filtersApplied: { scope: 'PROJECT', status: 'ACTIVE' },
    });
    expect(asked).toEqual([
      ['fetchBudgetLimits', 't1', { scope: 'PROJECT' }, { limit: 5 }],
      ['countLimits', 't1', { scope: 'PROJECT', category: 'BUDGET' }],
    ]);
  });
});

describe('getLimitDetail', () => {
  const percent = async (maxValue: string, currentValue: string): Promise<number | null> => {
    const { engine } = engineOn({ found: { ...detail, maxValue: toDecimalString(maxValue) } });
    return (await engine.getLimitDetail('t1', 'l1', { currentValue: toDecimalString(currentValue) }))
      .utilizationPercent;
  };

  it('the limit in full, frozen; without a use, none is claimed', async () => {
    const { engine, asked } = engineOn();
    const found = await engine.getLimitDetail('t1', 'l1');
    expect(found).toEqual({ ...detail, currentValue: null, utilizationPercent: null });
    expect([Object.isFrozen(found), Object.isFrozen(found.params)]).toEqual([true, true]);
    expect(asked).toEqual([['fetchLimitById', 't1', 'l1']]);
  });
  it('a use in its canonical form, and its per cent half up to two decimals', async () => {
    const found = await engineOn().engine.getLimitDetail('t1', 'l1', { currentValue: bad('500.50') });
    expect(found).toMatchObject({ currentValue: '500.5', utilizationPercent: 25.03 });
    expect([await percent('3', '1'), await percent('3', '2'), await percent('200', '0.01')]).toEqual([
      33.33, 66.67, 0.01,
    ]);
    expect([await percent('1000', '0'), await percent('1000', '2500'), await percent('0', '5')]).toEqual([
      0,
      250,
      null,
    ]);
  });
  it('the per cent grows with the use', () =>
    fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 10_000 }), fc.nat(20_000), fc.nat(20_000), async (max, a, b) => {
        const [less, more] = [await percent(`${max}`, `${a}`), await percent(`${max}`, `${a + b}`)];
        expect(Number(more)).toBeGreaterThanOrEqual(Number(less));
        expect(Math.abs(Number(less) - (a * 100) / max)).toBeLessThanOrEqual(0.005_000_1);
      }),
      { numRuns: 200 },
    ));
  it('a limit that isn’t there is LimitNotFoundError', async () => {
    const { engine } = engineOn({ found: null });
    const error: unknown = await engine.getLimitDetail('t1', 'l9').catch((thrown: unknown) => thrown);
    expect(LimitNotFoundError.is(error) && error.details).toEqual({ limitId: 'l9' });
  });
  it.each(['-1', '1e3', '1.0000001', 5, null, undefined])(
    'refuses a use of %p before it asks',
    async (currentValue) => {
      const { engine, asked } = engineOn();
      await expect(engine.getLimitDetail('t1', 'l1', { currentValue: bad(currentValue) })).rejects.toMatchObject({
        code: 'INVALID_ARGUMENT',
        details: { field: 'currentValue' },
      });
      await expect(engine.getLimitDetail('t1', 'l1', bad(null))).rejects.toThrow(InvalidArgumentError);
      expect(asked).toEqual([]);
    },
  );
});

it('listBreachesForRun is the driver’s page', async () => {
  const { engine, asked } = engineOn();
  expect(await engine.listBreachesForRun('t1', 'r1', { limit: 5 })).toBe(breaches);
  expect(asked).toEqual([['fetchLimitBreachesForRun', 't1', 'r1', { limit: 5 }]]);
});

it('G.4: no tenant and no filter that isn’t one get as far as the driver', async () => {
  const { engine, asked } = engineOn();
  for (const tenant of ['', 't'.repeat(101), undefined]) {
    await expect(engine.listLimits(bad(tenant), bad(null))).rejects.toThrow(TenantScopeError);
    await expect(engine.listBudgets(bad(tenant))).rejects.toThrow(TenantScopeError);
    await expect(engine.getLimitDetail(bad(tenant), 'l1', bad(null))).rejects.toThrow(TenantScopeError);
  }
  await expect(engine.listLimits('t1', bad(null))).rejects.toThrow(InvalidArgumentError);
  await expect(engine.listBudgets('t1', bad('x'))).rejects.toThrow(InvalidArgumentError);
  expect(asked).toEqual([]);
});

it('a filter of a class with getters is applied as it is read, once', async () => {
  let reads = 0;
  class ByScope {
    get scope(): 'AGENT' | 'TENANT' {
      reads += 1;
      return reads === 1 ? 'AGENT' : 'TENANT';
    }
  }
  const { engine, asked } = engineOn();
  const { filtersApplied } = await engine.listLimits('t', new ByScope());
  expect(asked.map(([, , filter]) => filter)).toEqual([{ scope: 'AGENT' }, { scope: 'AGENT' }]);
  expect(filtersApplied).toMatchObject({ scope: 'AGENT' });
});
