import type {
  BudgetDecision,
  BudgetDecisionOutcome,
  NewBudgetDecision,
  PendingBudgetHalt,
  PendingBudgetHaltRequest,
} from '@hoc/controls/schemas';
import { ConflictError, type Page, UnavailableError } from '@hoc/shared/kernel';
import {
  BudgetEnforcementEngine,
  type BudgetHaltPort,
  countSteps,
  emitBudgetHaltDecision,
  parseBudgetFromError,
  processPendingBudgetDecisions,
} from './budget-enforcement.engine';

const AT = new Date('2026-03-10T12:00:00.000Z');
const TEXT = 'Hard budget limit reached: 1200c consumed >= 1000c limit';
const NOTHING: BudgetDecisionOutcome = { inserted: [], duplicates: [], conflicts: [] };
const bad = (value: unknown): never => value as never;

const halt = (runId: string, errorMessage = TEXT, given: Partial<PendingBudgetHalt> = {}): PendingBudgetHalt => ({
  tenantId: 't1',
  runId,
  errorMessage,
  planJson: null,
  toolCallsJson: null,
  haltedAt: AT,
  ...given,
});
const decision = (runId: string, given: Partial<NewBudgetDecision> = {}): NewBudgetDecision => ({
  tenantId: 't1',
  runId,
  budgetLimitCents: '1000',
  budgetConsumedCents: '1200',
  stepCostCents: '0',
  completedSteps: 0,
  totalSteps: 0,
  ...given,
});
const stored = (given: NewBudgetDecision): BudgetDecision => ({
  ...given,
  decisionId: `d-${given.runId}`,
  reason: TEXT,
  decidedAt: AT,
  details: {},
});

/** Halts in memory: a decision takes one away, as the anti-join does. Says what it was asked. */
class MemoryHalts implements BudgetHaltPort {
  readonly asked: PendingBudgetHaltRequest[] = [];
  readonly calls: (readonly NewBudgetDecision[])[] = [];
  private readonly decided = new Map<string, NewBudgetDecision>();

  constructor(
    private readonly halts: readonly PendingBudgetHalt[],
    /** Decisions that somebody else writes between a look and an insert. */
    private readonly elsewhere: readonly NewBudgetDecision[] = [],
  ) {}

  fetchPendingBudgetHalts(request: PendingBudgetHaltRequest = {}): Promise<Page<PendingBudgetHalt>> {
    this.asked.push(request);
    const after = request.cursor ?? '';
    const open = this.halts.filter(({ runId }) => !this.decided.has(runId) && runId > after);
    const items = open.slice(0, request.limit);
    return Promise.resolve({ items, nextCursor: open.length > items.length ? (items.at(-1)?.runId ?? null) : null });
  }

  insertBudgetDecisions(decisions: readonly NewBudgetDecision[]): Promise<BudgetDecisionOutcome> {
    this.calls.push(decisions);
    for (const each of this.elsewhere) this.decided.set(each.runId, each);
    const outcome: Record<keyof BudgetDecisionOutcome, BudgetDecision[]> = {
      inserted: [],
      duplicates: [],
      conflicts: [],
    };
    for (const each of decisions) {
      const found = this.decided.get(each.runId);
      if (found === undefined) {
        this.decided.set(each.runId, each);
        outcome.inserted.push(stored(each));
      } else if (found.budgetConsumedCents === each.budgetConsumedCents) outcome.duplicates.push(stored(found));
      else outcome.conflicts.push(stored(found));
    }
    return Promise.resolve(outcome);
  }
}

describe('parseBudgetFromError', () => {
  it('F1: reads both amounts, in canonical form', () => {
    expect(parseBudgetFromError(TEXT)).toEqual({ consumedCents: '1200', limitCents: '1000' });
    expect(parseBudgetFromError('007.50c consumed >= 1000.000000c limit')).toEqual({
      consumedCents: '7.5',
      limitCents: '1000',
    });
  });
  it('F2: reads them exactly', () => {
    expect(parseBudgetFromError('Hard budget limit reached: 999999999999.000001c consumed >= 0.1c limit')).toEqual({
      consumedCents: '999999999999.000001',
      limitCents: '0.1',
    });
  });
  it('F3: the tail of a longer number is no amount, and a sign is not part of one', () => {
    expect(parseBudgetFromError('12.1234567c consumed >= 10c limit')).toBeNull();
    expect(parseBudgetFromError('-5c consumed >= 3c limit')).toEqual({ consumedCents: '5', limitCents: '3' });
    expect(parseBudgetFromError('1,200c consumed >= 1000c limit')).toBeNull();
  });
  it.each([
    '',
    'Hard budget limit',
    '123456789012345c consumed >= 1c limit',
    '1c consumed >= 123456789012345c limit',
    '1c consumed >= 10.1234567c limit',
    '1c consumed >= 1c limits',
    '1c consumed >= 1c limit_',
    '1.c consumed >= 1c limit',
    '.5c consumed >= 1c limit',
    '1e3c consumed >= 1c limit',
    '1e+16c consumed >= 1c limit',
    '1.E-7c consumed >= 1c limit',
    '１c consumed >= 1c limit',
    '1c Consumed >= 1c limit',
    '1c consumed > 1c limit',
    '1c  consumed >= 1c limit',
  ])('%j says no amounts', (text) => {
    expect(parseBudgetFromError(text)).toBeNull();
  });
  it('takes the first pair of a text, wherever it stands, and asks for no order of the two', () => {
    expect(parseBudgetFromError('x1c consumed >= 2c limit, then 3c consumed >= 4c limit')).toEqual({
      consumedCents: '1',
      limitCents: '2',
    });
    expect(parseBudgetFromError('99.1234567c consumed >= 1c limit; 3c consumed >= 4c limit.')).toEqual({
      consumedCents: '3',
      limitCents: '4',
    });
  });
});

describe('countSteps', () => {
  it.each([
    [null, null, 0, 0],
    [{}, [], 0, 0],
    [{ steps: [{}, {}, {}, {}] }, [1, 2, 3], 4, 3],
    [{ steps: 'four' }, null, 0, 0],
    [{ steps: { length: 3 } }, [null], 0, 1],
  ])('%j with %j: %i steps, %i done', (plan, calls, totalSteps, completedSteps) => {
    expect(countSteps(plan, calls)).toEqual({ totalSteps, completedSteps });
  });
  it('what is no list has no length', () => {
    expect(countSteps(bad('plan'), bad({ length: 7 }))).toEqual({ totalSteps: 0, completedSteps: 0 });
  });
});

describe('emitDecisionForHalt', () => {
  it('true when it wrote, false when an equal one was there, by the method and by the function', async () => {
    const engine = new BudgetEnforcementEngine(new MemoryHalts([]));
    expect(await engine.emitDecisionForHalt(decision('r1'))).toBe(true);
    expect(await emitBudgetHaltDecision(engine, decision('r1', { stepCostCents: '7' }))).toBe(false);
  });
  it('another decision of the run is a conflict, and says which one stands', async () => {
    const engine = new BudgetEnforcementEngine(new MemoryHalts([], [decision('r1', { budgetConsumedCents: '9' })]));
    const refused = engine.emitDecisionForHalt(decision('r1'));
    await expect(refused).rejects.toThrow(ConflictError);
    await expect(refused).rejects.toMatchObject({
      details: { reason: 'content', tenantId: 't1', runId: 'r1', decisionId: 'd-r1' },
    });
  });
});

describe('processPendingHalts', () => {
  it('F4: writes what the message and the plan say, and nothing the second time', async () => {
    const plan = { planJson: { steps: [1, 2, 3, 4] }, toolCallsJson: [1, 2, 3] };
    const driver = new MemoryHalts([halt('r1', TEXT, plan)]);
    const engine = new BudgetEnforcementEngine(driver);
    const first = await engine.processPendingHalts();
    expect(first).toEqual({ scanned: 1, emitted: 1, duplicates: 0, conflicts: [], unparsable: [], nextCursor: null });
    expect(driver.calls).toEqual([[decision('r1', { completedSteps: 3, totalSteps: 4 })]]);
    expect(await processPendingBudgetDecisions(engine)).toMatchObject({ scanned: 0, emitted: 0 });
    expect(driver.calls).toHaveLength(1);
    expect([first, first.conflicts, first.unparsable].every(Object.isFrozen)).toBe(true);
  });

  it('F6: 150 halts without amounts hide no good one behind them, and are listed', async () => {
    const name = (n: number): string => `r-${String(n).padStart(3, '0')}`;
    const halts = Array.from({ length: 151 }, (_, n) => halt(name(n), n < 150 ? 'Hard budget limit' : TEXT));
    const driver = new MemoryHalts(halts);
    const result = await new BudgetEnforcementEngine(driver).processPendingHalts({ pageSize: 100 });
    expect(result).toMatchObject({ scanned: 151, emitted: 1, nextCursor: null });
    expect(result.unparsable).toEqual(halts.slice(0, 150).map(({ runId }) => ({ tenantId: 't1', runId })));
    expect(driver.calls.map(({ length }) => length)).toEqual([1]);
  });

  it('one insert a page, by cursor, each page of the same since', async () => {
    const driver = new MemoryHalts(['a', 'b', 'c', 'd', 'e'].map((id) => halt(id)));
    await new BudgetEnforcementEngine(driver).processPendingHalts({ pageSize: 2, since: AT });
    expect(driver.asked).toEqual([
      { limit: 2, since: AT },
      { limit: 2, since: AT, cursor: 'b' },
      { limit: 2, since: AT, cursor: 'd' },
    ]);
    expect(driver.calls.map((call) => call.map(({ runId }) => runId))).toEqual([['a', 'b'], ['c', 'd'], ['e']]);
  });

  it('asks for a hundred at once, and stops after a hundred pages', async () => {
    const driver = new MemoryHalts([halt('a', 'Hard budget limit')]);
    await new BudgetEnforcementEngine(driver).processPendingHalts();
    expect(driver.asked).toEqual([{ limit: 100 }]);
    let asked = 0;
    const endless: BudgetHaltPort = {
      fetchPendingBudgetHalts: () => Promise.resolve({ items: [], nextCursor: String((asked += 1)) }),
      insertBudgetDecisions: () => Promise.resolve(NOTHING),
    };
    expect(await new BudgetEnforcementEngine(endless).processPendingHalts()).toMatchObject({ nextCursor: '100' });
    expect(asked).toBe(100);
  });

  it('a sweep that is cut short says where the next one goes on: halts without amounts are not read again', async () => {
    const silent = ['a', 'b', 'c'].map((id) => halt(id, 'Hard budget limit'));
    const driver = new MemoryHalts([...silent, halt('d')]);
    const engine = new BudgetEnforcementEngine(driver);
    const first = await engine.processPendingHalts({ pageSize: 2, maxPages: 1 });
    expect(first).toMatchObject({ scanned: 2, emitted: 0, nextCursor: 'b' });
    const rest = await engine.processPendingHalts({ pageSize: 2, maxPages: 1, cursor: first.nextCursor ?? '' });
    expect(rest).toMatchObject({ scanned: 2, emitted: 1, unparsable: [{ runId: 'c' }], nextCursor: null });
  });

  it('tells decisions of others apart: equal ones are counted, other ones listed', async () => {
    const elsewhere = [decision('a'), decision('b', { budgetConsumedCents: '1300' })];
    const driver = new MemoryHalts([halt('a'), halt('b'), halt('c')], elsewhere);
    expect(await new BudgetEnforcementEngine(driver).processPendingHalts()).toEqual({
      scanned: 3,
      emitted: 1,
      duplicates: 1,
      conflicts: [{ tenantId: 't1', runId: 'b' }],
      unparsable: [],
      nextCursor: null,
    });
  });

  it.each<[string, object]>([
    ['pageSize', { pageSize: 0 }],
    ['pageSize', { pageSize: 201 }],
    ['pageSize', { pageSize: 1.5 }],
    ['maxPages', { maxPages: 0 }],
    ['maxPages', { maxPages: 10_001 }],
    ['maxPages', { maxPages: Number.NaN }],
  ])('a bad %s is refused, and nothing is asked', async (field, options) => {
    const driver = new MemoryHalts([halt('a')]);
    await expect(new BudgetEnforcementEngine(driver).processPendingHalts(options)).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      details: { field },
    });
    expect([driver.asked, driver.calls]).toEqual([[], []]);
  });

  it('an error of the driver is the caller’s: no partial count', async () => {
    const broken = new UnavailableError('gone', { retryable: true });
    const driver: BudgetHaltPort = {
      fetchPendingBudgetHalts: () => Promise.resolve({ items: [halt('a')], nextCursor: null }),
      insertBudgetDecisions: () => Promise.reject(broken),
    };
    await expect(new BudgetEnforcementEngine(driver).processPendingHalts()).rejects.toBe(broken);
  });
});
