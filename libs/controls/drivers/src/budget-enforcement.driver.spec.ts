import { DecisionRecordEntity, entities, migrations } from '@hoc/controls/models';
import type { NewBudgetDecision, PendingBudgetHalt } from '@hoc/controls/schemas';
import { InvalidArgumentError, systemScope, TenantScopeError, TransactionRequiredError } from '@hoc/shared/kernel';
import { entities as shared, migrations as sharedMigrations } from '@hoc/shared/models';
import { fixedClock, makeRun, makeTenant, memoryLogger, sequentialIds } from '@hoc/shared/testing';
import { type BuiltRow, captureStatements, insertRows, useDatabase } from '@hoc/testkit';
import {
  BUDGET_HALT_MARKER,
  BudgetEnforcementDriver,
  DEFAULT_PENDING_HALT_LIMIT,
  getBudgetEnforcementDriver,
} from './budget-enforcement.driver';

const db = useDatabase({ entities: [...shared, ...entities], migrations: [...sharedMigrations, ...migrations] });
const NOW = new Date('2026-03-10T12:00:00.000Z');
const at = (ms: number): Date => new Date(NOW.getTime() + ms);
const clock = fixedClock(NOW);
const scope = systemScope('nightly sweep');
const TEXT = 'Hard budget limit reached: 1200c consumed >= 1000c limit';
const bad = (value: unknown): never => value as never;
let driver: BudgetEnforcementDriver;
let logger = memoryLogger();

beforeEach(async () => {
  clock.set(NOW);
  logger = memoryLogger();
  driver = getBudgetEnforcementDriver(db.manager(), scope, { clock, ids: sequentialIds('d'), logger });
  await insertRows(db.manager(), makeTenant({ id: 't1' }), makeTenant({ id: 't2' }));
});

const halted = (tenant: string, id: string, given: object = {}): BuiltRow =>
  makeRun(tenant, { id, status: 'halted', error_message: TEXT, completed_at: NOW, ...given });
const halts = (...rows: readonly BuiltRow[]): Promise<void> => insertRows(db.manager(), ...rows);
let made = 0;
const provenance = (tenant: string, run: string, given: object = {}): BuiltRow => ({
  table: 'provenances',
  row: { tenant_id: tenant, id: `p-${(made += 1)}`, run_id: run, created_at: NOW, ...given },
});
const decision = (given: Partial<NewBudgetDecision> = {}): NewBudgetDecision => ({
  tenantId: 't1',
  runId: 'r1',
  budgetLimitCents: '1000',
  budgetConsumedCents: '1200',
  stepCostCents: '0',
  completedSteps: 3,
  totalSteps: 4,
  ...given,
});
const pending = async (request = {}): Promise<string[]> =>
  (await driver.fetchPendingBudgetHalts(request)).items.map(({ tenantId, runId }) => `${tenantId}/${runId}`);
const rows = (): Promise<Record<string, unknown>[]> =>
  db.manager().query('SELECT * FROM decision_records ORDER BY tenant_id, run_id');

describe('fetchPendingBudgetHalts', () => {
  it('F4: one row a run, with the JSON of its newest provenance', async () => {
    await halts(
      halted('t1', 'r1', { plan_json: { steps: ['of the run'] }, tool_calls_json: ['of the run'] }),
      provenance('t1', 'r1', { plan_json: { steps: [1, 2] }, tool_calls_json: '[]' }),
      provenance('t1', 'r1', {
        plan_json: { steps: [1, 2, 3, 4] },
        tool_calls_json: '[{"n":1},2,3]',
        created_at: at(1000),
      }),
    );
    const page = await driver.fetchPendingBudgetHalts();
    expect(page).toEqual({
      items: [
        {
          tenantId: 't1',
          runId: 'r1',
          errorMessage: TEXT,
          planJson: { steps: [1, 2, 3, 4] },
          toolCallsJson: [{ n: 1 }, 2, 3],
          haltedAt: NOW,
        },
      ],
      nextCursor: null,
    });
    const [item] = page.items;
    expect([page, page.items, item, item?.planJson?.['steps'], item?.toolCallsJson?.[0]].every(Object.isFrozen)).toBe(
      true,
    );
  });

  it('of two provenances of one instant, the one with the later id, whichever came first', async () => {
    await halts(halted('t1', 'r1'), halted('t1', 'r2'));
    for (const id of ['r1-b', 'r1-a', 'r2-a', 'r2-b'])
      await halts(provenance('t1', id.slice(0, 2), { id, plan_json: { of: id } }));
    const { items } = await driver.fetchPendingBudgetHalts();
    expect(items.map(({ planJson }) => planJson)).toEqual([{ of: 'r1-b' }, { of: 'r2-b' }]);
  });

  it.each<[string, object, object | null, Pick<PendingBudgetHalt, 'planJson' | 'toolCallsJson'>]>([
    ['nothing anywhere', {}, null, { planJson: null, toolCallsJson: null }],
    [
      'no provenance',
      { plan_json: { run: 1 }, tool_calls_json: '[1]' },
      null,
      { planJson: { run: 1 }, toolCallsJson: [1] },
    ],
    [
      'a provenance with neither',
      { plan_json: { run: 1 }, tool_calls_json: '[1]' },
      {},
      { planJson: { run: 1 }, toolCallsJson: [1] },
    ],
    [
      'a provenance with its plan alone',
      { plan_json: { run: 1 }, tool_calls_json: '[1]' },
      { plan_json: { own: 1 } },
      { planJson: { own: 1 }, toolCallsJson: [1] },
    ],
    [
      'a provenance with an empty list of calls',
      { tool_calls_json: '[1]' },
      { tool_calls_json: '[]' },
      { planJson: null, toolCallsJson: [] },
    ],
    [
      'a run whose JSON has another shape',
      { plan_json: '[1]', tool_calls_json: '{"n":1}' },
      null,
      { planJson: null, toolCallsJson: null },
    ],
    [
      'JSON nulls in the run',
      { plan_json: 'null', tool_calls_json: 'null' },
      null,
      { planJson: null, toolCallsJson: null },
    ],
  ])('falls back field by field: %s', async (_name, run, own, expected) => {
    await halts(halted('t1', 'r1', run), ...(own === null ? [] : [provenance('t1', 'r1', own)]));
    expect((await driver.fetchPendingBudgetHalts()).items).toMatchObject([expected]);
  });

  it('a provenance of another tenant’s run of the same id is none', async () => {
    await halts(halted('t1', 'r1'), makeRun('t2', { id: 'r1' }), provenance('t2', 'r1', { plan_json: { of: 't2' } }));
    expect((await driver.fetchPendingBudgetHalts()).items).toMatchObject([{ tenantId: 't1', planJson: null }]);
  });

  it('F5: a decision of another tenant hides nothing', async () => {
    await halts(halted('t1', 'r1'), halted('t2', 'r1'));
    await driver.insertBudgetDecisions([decision({ tenantId: 't2' })]);
    expect(await pending()).toEqual(['t1/r1']);
  });

  it('a decision of another type hides nothing', async () => {
    await halts(halted('t1', 'r1'));
    await insertRows(db.manager(), {
      table: 'decision_records',
      row: {
        ...{ tenant_id: 't1', id: 'x', run_id: 'r1', decision_type: 'budget', decision_source: 'human' },
        ...{ decision_trigger: 'explicit', decision_outcome: 'blocked', decided_at: NOW },
      },
    });
    expect(await pending()).toEqual(['t1/r1']);
  });

  it.each<[string, object]>([
    ['a run that ended otherwise', { status: 'failed' }],
    ['a run that goes on', { status: 'running', completed_at: null }],
    ['a halt without a message', { error_message: null }],
    ['a halt for another reason', { error_message: 'stopped by an operator' }],
    ['the marker in another spelling', { error_message: 'hard budget limit reached' }],
  ])('%s is no budget halt', async (_name, given) => {
    await halts(halted('t1', 'r1', given));
    expect(await pending()).toEqual([]);
  });

  it('the marker counts wherever it stands in the message', async () => {
    await halts(halted('t1', 'r1', { error_message: `step 3: ${BUDGET_HALT_MARKER}` }));
    expect(await pending()).toEqual(['t1/r1']);
  });

  it('haltedAt is the end, or the beginning of a run without one; since takes it in', async () => {
    await halts(
      halted('t1', 'a', { completed_at: at(-1), created_at: at(-5000) }),
      halted('t1', 'b', { completed_at: NOW, created_at: at(-5000) }),
      halted('t1', 'c', { completed_at: null, created_at: at(1000) }),
      halted('t1', 'd', { completed_at: null, created_at: at(-1) }),
    );
    expect(await pending({ since: NOW })).toEqual(['t1/b', 't1/c']);
    const { items } = await driver.fetchPendingBudgetHalts();
    expect(items.map(({ haltedAt }) => haltedAt)).toEqual([at(-1), NOW, at(1000), at(-1)]);
  });

  it('F43: pages in byte order, tenants first', async () => {
    await halts(...['b', 'B', 'a'].map((id) => halted('t1', id)), halted('t2', 'A'));
    const first = await driver.fetchPendingBudgetHalts({ limit: 2 });
    expect(first.items.map(({ runId }) => runId)).toEqual(['B', 'a']);
    const next = await driver.fetchPendingBudgetHalts({ limit: 2, cursor: first.nextCursor ?? '' });
    expect(next.items.map(({ tenantId, runId }) => [tenantId, runId])).toEqual([
      ['t1', 'b'],
      ['t2', 'A'],
    ]);
    expect(next.nextCursor).toBeNull();
  });

  it('a page holds a hundred where no limit is named', async () => {
    expect(DEFAULT_PENDING_HALT_LIMIT).toBe(100);
    await halts(...Array.from({ length: 101 }, (_, n) => halted('t1', `r-${String(n).padStart(3, '0')}`)));
    const first = await driver.fetchPendingBudgetHalts();
    expect(first.items).toHaveLength(100);
    expect(await pending({ cursor: first.nextCursor })).toEqual(['t1/r-100']);
  });

  it('is one statement, and needs no transaction', async () => {
    const [source, made] = [db.dataSource(), sequentialIds()];
    const free = getBudgetEnforcementDriver(source.manager, scope, { clock, ids: made });
    const sent = await captureStatements(source, () => free.fetchPendingBudgetHalts());
    expect(sent).toHaveLength(1);
  });

  it.each<[string, object]>([
    ['limit', { limit: 0 }],
    ['limit', { limit: 201 }],
    ['limit', { limit: 1.5 }],
    ['limit', { limit: Number.NaN }],
    ['cursor', { cursor: 'x' }],
    ['cursor', { cursor: '' }],
    ['since', { since: new Date(Number.NaN) }],
    ['since', { since: '2026-03-10' }],
    ['since', { since: new Date(8.64e15) }],
    ['request', bad([])],
  ])('G.4: a bad %s is refused, before any SQL', async (field, request) => {
    const sent = await captureStatements(db.manager(), async () => {
      await expect(driver.fetchPendingBudgetHalts(request)).rejects.toMatchObject({
        code: 'INVALID_ARGUMENT',
        details: { field },
      });
    });
    expect(sent).toEqual([]);
  });

  it('G.4: a cursor of another since, or cut off, is refused', async () => {
    await halts(halted('t1', 'a'), halted('t1', 'b'));
    const { nextCursor } = await driver.fetchPendingBudgetHalts({ limit: 1 });
    for (const request of [{ cursor: nextCursor ?? '', since: NOW }, { cursor: (nextCursor ?? '').slice(0, -3) }])
      await expect(driver.fetchPendingBudgetHalts(request)).rejects.toThrow(InvalidArgumentError);
  });
});

describe('insertBudgetDecisions', () => {
  beforeEach(() => halts(halted('t1', 'r1'), halted('t1', 'r2'), halted('t2', 'r1')));

  it('writes all that is known of the halt', async () => {
    const { inserted } = await driver.insertBudgetDecisions([
      decision({ budgetLimitCents: '01000.500', budgetConsumedCents: '1200.000001', stepCostCents: '7.0' }),
    ]);
    expect(await rows()).toEqual([
      {
        tenant_id: 't1',
        id: 'd-000001',
        decision_type: 'budget_enforcement',
        decision_source: 'system',
        decision_trigger: 'reactive',
        decision_inputs: {
          budget_limit_cents: '1000.5',
          budget_consumed_cents: '1200.000001',
          step_cost_cents: '7',
          completed_steps: 3,
          total_steps: 4,
        },
        decision_outcome: 'execution_halted',
        decision_reason: 'Hard budget limit reached: 1200.000001c consumed >= 1000.5c limit',
        run_id: 'r1',
        workflow_id: null,
        causal_role: 'in_run',
        details: { enforcement_mode: 'hard', halt_point: 'after_step_3', remaining_steps: 1 },
        decided_at: NOW,
      },
    ]);
    const stored = await driver.fetchBudgetDecision('t1', 'r1');
    expect(inserted).toEqual([stored]);
    expect(stored).toEqual({
      tenantId: 't1',
      runId: 'r1',
      budgetLimitCents: '1000.5',
      budgetConsumedCents: '1200.000001',
      stepCostCents: '7',
      completedSteps: 3,
      totalSteps: 4,
      decisionId: 'd-000001',
      reason: 'Hard budget limit reached: 1200.000001c consumed >= 1000.5c limit',
      decidedAt: NOW,
      details: { enforcement_mode: 'hard', halt_point: 'after_step_3', remaining_steps: 1 },
    });
    for (const each of [inserted[0], stored])
      expect([Object.isFrozen(each), Object.isFrozen(each?.details), each instanceof DecisionRecordEntity]).toEqual([
        true,
        true,
        false,
      ]);
  });

  it('a run that did more than it planned has nothing left, and a halt has no need of a cost above its limit', async () => {
    const { inserted } = await driver.insertBudgetDecisions([
      decision({ completedSteps: 5, totalSteps: 4, budgetConsumedCents: '1', stepCostCents: '0' }),
      decision({ runId: 'r2', completedSteps: 0, totalSteps: Number.MAX_SAFE_INTEGER, budgetLimitCents: '0' }),
    ]);
    expect(inserted.map(({ details }) => details)).toMatchObject([
      { halt_point: 'after_step_5', remaining_steps: 0 },
      { halt_point: 'after_step_0', remaining_steps: Number.MAX_SAFE_INTEGER },
    ]);
    expect(await driver.fetchBudgetDecision('t1', 'r2')).toMatchObject({ totalSteps: Number.MAX_SAFE_INTEGER });
  });

  it('F7: the same amounts are a duplicate, whatever the step cost; others a conflict, and the first stands', async () => {
    const [first] = (await driver.insertBudgetDecisions([decision()])).inserted;
    const before = await rows();
    clock.advance(1000);
    expect(
      await driver.insertBudgetDecisions([
        decision({ stepCostCents: '7', completedSteps: 0, budgetLimitCents: '1000.0' }),
      ]),
    ).toEqual({ inserted: [], duplicates: [first], conflicts: [] });
    for (const other of [{ budgetConsumedCents: '1200.5' }, { budgetLimitCents: '1000.000001' }])
      expect(await driver.insertBudgetDecisions([decision(other)])).toEqual({
        inserted: [],
        duplicates: [],
        conflicts: [first],
      });
    expect(await rows()).toEqual(before);
  });

  it('tells all three in one call, each in the order of the input', async () => {
    await driver.insertBudgetDecisions([decision({ runId: 'r2' })]);
    await halts(halted('t1', 'r0'));
    const outcome = await driver.insertBudgetDecisions([
      decision({ tenantId: 't2' }),
      decision({ runId: 'r2', budgetConsumedCents: '9' }),
      decision({ runId: 'r0' }),
      decision(),
    ]);
    const names = (list: readonly NewBudgetDecision[]): string[] =>
      list.map(({ tenantId, runId }) => `${tenantId}/${runId}`);
    expect([names(outcome.inserted), names(outcome.duplicates), names(outcome.conflicts)]).toEqual([
      ['t2/r1', 't1/r0', 't1/r1'],
      [],
      ['t1/r2'],
    ]);
    expect([outcome, outcome.inserted, outcome.duplicates, outcome.conflicts].every(Object.isFrozen)).toBe(true);
  });

  it('2,001 halts go in by three statements, sorted over all of them', async () => {
    const names = Array.from({ length: 2001 }, (_, n) => `x-${String((n * 769) % 2001).padStart(5, '0')}`);
    await db.manager().query(
      `INSERT INTO runs (tenant_id, id, agent_id, origin_system_id, goal, status, state, created_at, updated_at)
       SELECT 't1', name, 'ag', 'test', 'a goal', 'halted', 'COMPLETED', $2::timestamptz, $2::timestamptz FROM unnest($1::text[]) AS name`,
      [names, NOW.toISOString()],
    );
    const sent = await captureStatements(db.manager(), async () => {
      const { inserted } = await driver.insertBudgetDecisions(names.map((runId) => decision({ runId })));
      expect(inserted.map(({ runId }) => runId)).toEqual(names);
    });
    const runsOf = (values: readonly unknown[]): string[] =>
      JSON.parse(`[${String(values[2]).slice(1, -1)}]`) as string[];
    expect(sent.flatMap(({ values }) => runsOf(values))).toEqual([...names].sort());
    expect(sent.map(({ values }) => runsOf(values).length)).toEqual([1000, 1000, 1]);
    expect(await driver.insertBudgetDecisions(names.map((runId) => decision({ runId })))).toMatchObject({
      inserted: [],
      conflicts: [],
    });
  });

  it('nothing to insert is no statement', async () => {
    const sent = await captureStatements(db.manager(), async () => {
      expect(await driver.insertBudgetDecisions([])).toEqual({ inserted: [], duplicates: [], conflicts: [] });
    });
    expect(sent).toEqual([]);
  });

  it('says in the log why it reached all tenants, and which decisions it left as they stood', async () => {
    await driver.insertBudgetDecisions([decision()]);
    await driver.insertBudgetDecisions([decision({ budgetConsumedCents: '1' })]);
    expect(logger.entries).toEqual([
      {
        level: 'info',
        event: 'budget_decisions',
        fields: { reason: 'nightly sweep', inserted: 1, duplicates: 0, conflicts: 0 },
      },
      {
        level: 'warn',
        event: 'budget_decision_conflict',
        fields: { tenantId: 't1', runId: 'r1', decisionId: 'd-000001' },
      },
      {
        level: 'info',
        event: 'budget_decisions',
        fields: { reason: 'nightly sweep', inserted: 0, duplicates: 0, conflicts: 1 },
      },
    ]);
  });

  it.each([
    ['run', { runId: 'nobody' }],
    ['tenant', { tenantId: 'nobody' }],
    ['run of this tenant', { tenantId: 't2', runId: 'r2' }],
  ])('G.4: an unknown %s is not found, and nothing is written', async (_name, given) => {
    await db.manager().query('SAVEPOINT before');
    await expect(driver.insertBudgetDecisions([decision(), decision(given)])).rejects.toMatchObject({
      code: 'NOT_FOUND',
      details: { field: 'runId' },
    });
    await db.manager().query('ROLLBACK TO SAVEPOINT before');
    expect(await rows()).toEqual([]);
  });

  it('a decision of another writer that says no amounts is told as what it is', async () => {
    await insertRows(db.manager(), {
      table: 'decision_records',
      row: {
        ...{ tenant_id: 't1', id: 'x', run_id: 'r1', decision_type: 'budget_enforcement', decision_source: 'human' },
        ...{ decision_trigger: 'explicit', decision_outcome: 'blocked', decided_at: NOW },
      },
    });
    await expect(driver.fetchBudgetDecision('t1', 'r1')).rejects.toMatchObject({
      code: 'DATA_INTEGRITY',
      details: { field: 'budget_limit_cents' },
    });
  });

  it('a stored reason is read as it is, and an absent one said from the amounts', async () => {
    await driver.insertBudgetDecisions([decision()]);
    await db.manager().query(`UPDATE decision_records SET decision_reason = 'by hand'`);
    expect((await driver.fetchBudgetDecision('t1', 'r1'))?.reason).toBe('by hand');
    await db.manager().query('UPDATE decision_records SET decision_reason = NULL');
    expect((await driver.fetchBudgetDecision('t1', 'r1'))?.reason).toBe(TEXT);
  });
});

describe('G.4: bad decisions', () => {
  beforeEach(() => halts(halted('t1', 'r1'), halted('t1', 'r2')));
  const AMOUNTS = [
    ...['1e3', '-1', '-0', '+1', ' 1', '1 ', '1.', '.5', '0x1', 'NaN', '１', '1.0000001', '1'.repeat(15), ''],
    ...[1200, 1.5, null, undefined, 12n],
  ];
  const cases: [string, unknown][] = [
    ...(['budgetLimitCents', 'budgetConsumedCents', 'stepCostCents'] as const).flatMap((field) =>
      AMOUNTS.map((value): [string, unknown] => [field, value]),
    ),
    ...(['completedSteps', 'totalSteps'] as const).flatMap((field) =>
      [-1, 1.5, Number.NaN, 2 ** 53, '3', undefined].map((value): [string, unknown] => [field, value]),
    ),
    ...['', 'x'.repeat(101), 'a\u0000', '  ', 7, undefined].map((value): [string, unknown] => ['runId', value]),
  ];

  it.each(cases)('%s %p is refused, naming it and its place, and nothing is sent', async (field, value) => {
    const sent = await captureStatements(db.manager(), async () => {
      const wrong = { ...decision({ runId: 'r2' }), [field]: value };
      await expect(driver.insertBudgetDecisions([decision(), bad(wrong)])).rejects.toMatchObject({
        code: 'INVALID_ARGUMENT',
        details: { field, index: 1 },
      });
    });
    expect(sent).toEqual([]);
  });

  it.each(['', 'x'.repeat(101), undefined])('tenant %p is refused', async (tenantId) => {
    await expect(driver.insertBudgetDecisions([decision(bad({ tenantId }))])).rejects.toThrow(TenantScopeError);
    await expect(driver.fetchBudgetDecision(bad(tenantId), 'r1')).rejects.toThrow(TenantScopeError);
  });

  it('the same run twice, no list, no object, too many', async () => {
    await expect(driver.insertBudgetDecisions([decision(), decision({ stepCostCents: '1' })])).rejects.toMatchObject({
      details: { field: 'runId', reason: 'duplicate', index: 1 },
    });
    for (const given of [null, {}, [null], ['x'], [new Date()]])
      await expect(driver.insertBudgetDecisions(bad(given))).rejects.toThrow(InvalidArgumentError);
    await expect(
      driver.insertBudgetDecisions(Array.from({ length: 10_001 }, (_, n) => decision({ runId: `r-${n}` }))),
    ).rejects.toMatchObject({ details: { reason: 'too_many' } });
    expect(await rows()).toEqual([]);
  });

  it('outside a transaction it is refused, before its arguments are looked at', async () => {
    const free = getBudgetEnforcementDriver(db.dataSource().manager, scope, { clock, ids: sequentialIds() });
    await expect(free.insertBudgetDecisions(bad(null))).rejects.toThrow(TransactionRequiredError);
  });

  it('a driver without a scope is none', () => {
    for (const given of [undefined, null, {}, { kind: 'system', reason: 'x' }])
      expect(() => new BudgetEnforcementDriver(db.manager(), bad(given), { clock, ids: sequentialIds() })).toThrow(
        TenantScopeError,
      );
  });
});

describe('fetchBudgetDecision', () => {
  it('null for a run without one, and for another tenant’s', async () => {
    await halts(halted('t1', 'r1'), halted('t2', 'r1'));
    await driver.insertBudgetDecisions([decision()]);
    expect(await driver.fetchBudgetDecision('t2', 'r1')).toBeNull();
    expect(await driver.fetchBudgetDecision('t1', 'r2')).toBeNull();
    expect(await driver.fetchBudgetDecision('t1', 'r1')).toMatchObject({ tenantId: 't1', runId: 'r1' });
  });
  it.each(['', 'x'.repeat(101), undefined])('run %p is refused', async (runId) => {
    await expect(driver.fetchBudgetDecision('t1', bad(runId))).rejects.toThrow(InvalidArgumentError);
  });
});

it('dispose lets go for good, twice if need be; every other call is refused then', async () => {
  driver.dispose();
  driver.dispose();
  const refused = { code: 'INVALID_ARGUMENT', details: { reason: 'disposed' } };
  await expect(driver.fetchPendingBudgetHalts()).rejects.toMatchObject(refused);
  await expect(driver.insertBudgetDecisions([])).rejects.toMatchObject(refused);
  await expect(driver.fetchBudgetDecision('t1', 'r1')).rejects.toMatchObject(refused);
});
