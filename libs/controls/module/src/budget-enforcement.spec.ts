import { getBudgetEnforcementDriver } from '@hoc/controls/drivers';
import { BudgetEnforcementEngine, type BudgetHaltPort } from '@hoc/controls/engines';
import { catalogue, entities, migrations } from '@hoc/controls/models';
import type { HaltSweepOptions, HaltSweepResult, NewBudgetDecision } from '@hoc/controls/schemas';
import { ConflictError, systemScope } from '@hoc/shared/kernel';
import { createHoc, type HocModule, type HocServices } from '@hoc/shared/spine';
import { fixedClock, makeRun, makeTenant } from '@hoc/shared/testing';
import { type BuiltRow, insertRows, useEmptyDatabase } from '@hoc/testkit';

const NOW = new Date('2026-03-10T12:00:00.000Z');
const TEXT = 'Hard budget limit reached: 1200c consumed >= 1000c limit';
const HALTS = 200;
const REPETITIONS = 10;
const scope = systemScope('test');
const clock = fixedClock(NOW);
const db = useEmptyDatabase({ entities: [], migrations: [] });

/** The part of the package that sweeps need. */
const haltModule: HocModule<'halts', { readonly budgets: BudgetEnforcementEngine }, HocServices> = {
  name: 'halts',
  requires: [],
  entities,
  migrations,
  catalogue,
  compose: (manager, deps) => ({
    budgets: new BudgetEnforcementEngine(getBudgetEnforcementDriver(manager, scope, deps)),
  }),
  services: () => ({ close: () => Promise.resolve() }),
};
/** Sweeps wait for one another's whole transaction: however long that takes, it is no failure. */
const lockTimeoutMs = 60_000;
const connect = () =>
  createHoc({ connection: { url: db.url(), applicationName: 'halts', lockTimeoutMs }, modules: [haltModule], clock });
let hoc: ReturnType<typeof connect>;
/** Each call a unit of work of its own. */
const engine = {
  processPendingHalts: (options?: HaltSweepOptions): Promise<HaltSweepResult> =>
    hoc.transaction(({ halts }) => halts.budgets.processPendingHalts(options)),
  emitDecisionForHalt: (decision: NewBudgetDecision): Promise<boolean> =>
    hoc.transaction(({ halts }) => halts.budgets.emitDecisionForHalt(decision)),
};
const insert = (...rows: readonly BuiltRow[]): Promise<void> => insertRows(db.dataSource().manager, ...rows);
const query = async (sql: string, values: readonly unknown[] = []): Promise<unknown> =>
  db.dataSource().query(sql, [...values]);
const halted = (tenant: string, id: string, given: object = {}): BuiltRow =>
  makeRun(tenant, { id, status: 'halted', error_message: TEXT, completed_at: NOW, ...given });
const provenance = (id: string, plan: readonly number[], calls: readonly number[], createdAt: Date): BuiltRow => ({
  table: 'provenances',
  row: {
    ...{ tenant_id: 't1', id, run_id: 'r1', plan_json: { steps: plan }, tool_calls_json: JSON.stringify(calls) },
    created_at: createdAt,
  },
});
const decision = (given: Partial<NewBudgetDecision> = {}): NewBudgetDecision => ({
  ...{ tenantId: 't1', runId: 'r1', budgetLimitCents: '1000', budgetConsumedCents: '1200', stepCostCents: '7' },
  ...{ completedSteps: 3, totalSteps: 4, ...given },
});

// A describe of its own: its hooks end before the database looks for connections that were left open.
describe('decisions of budget halts, each call in its transaction', () => {
  beforeAll(async () => {
    hoc = connect();
    await hoc.migrate();
    await insert(makeTenant({ id: 't1' }), makeTenant({ id: 't2' }));
  });
  beforeEach(() => query('TRUNCATE runs CASCADE'));
  afterAll(() => hoc.close());

  it('a driver is what the engine asks for', () =>
    hoc.transaction(({ manager }) => {
      const driver: BudgetHaltPort = getBudgetEnforcementDriver(manager, scope, { clock, ids: { next: () => 'd' } });
      expect(driver).toBeDefined();
      return Promise.resolve();
    }));

  it('F4: the sweep writes what the newest provenance and the message say, once', async () => {
    await insert(
      halted('t1', 'r1'),
      provenance('older', [1, 2], [], NOW),
      provenance('newer', [1, 2, 3, 4], [1, 2, 3], new Date(NOW.getTime() + 1000)),
    );
    expect(await engine.processPendingHalts()).toMatchObject({ scanned: 1, emitted: 1 });
    expect(await engine.processPendingHalts()).toMatchObject({ scanned: 0, emitted: 0 });
    expect(await query('SELECT decision_inputs, details FROM decision_records')).toEqual([
      {
        decision_inputs: {
          ...{ budget_limit_cents: '1000', budget_consumed_cents: '1200', step_cost_cents: '0' },
          ...{ completed_steps: 3, total_steps: 4 },
        },
        details: { enforcement_mode: 'hard', halt_point: 'after_step_3', remaining_steps: 1 },
      },
    ]);
  });

  it('F6: 150 halts without amounts hide no good one in the last place', async () => {
    await query(
      `INSERT INTO runs (tenant_id, id, agent_id, origin_system_id, goal, status, state, error_message, created_at, updated_at)
       SELECT 't1', 'r-' || to_char(n, 'FM000'), 'ag', 'test', 'a goal', 'halted', 'COMPLETED',
         CASE WHEN n < 150 THEN 'Hard budget limit' ELSE $1 END, $2::timestamptz, $2::timestamptz
       FROM generate_series(0, 150) n`,
      [TEXT, NOW.toISOString()],
    );
    const result = await engine.processPendingHalts({ pageSize: 100 });
    expect([result.scanned, result.emitted, result.unparsable.length]).toEqual([151, 1, 150]);
    expect(await query('SELECT run_id FROM decision_records')).toEqual([{ run_id: 'r-150' }]);
  });

  it('F7: the executor’s own decision stands: a sweep finds nothing, and another one is a conflict', async () => {
    await insert(halted('t1', 'r1'));
    expect(await engine.emitDecisionForHalt(decision())).toBe(true);
    expect(await engine.processPendingHalts()).toMatchObject({ scanned: 0 });
    expect(await engine.emitDecisionForHalt(decision({ stepCostCents: '0', completedSteps: 0 }))).toBe(false);
    await expect(engine.emitDecisionForHalt(decision({ budgetConsumedCents: '1200.5' }))).rejects.toThrow(
      ConflictError,
    );
  });

  it('amounts that no float holds come through a sweep as they were said', async () => {
    const text = 'Hard budget limit reached: 99999999999999.000001c consumed >= 0.1c limit';
    await insert(halted('t1', 'r1', { error_message: text }), halted('t2', 'r1'));
    expect(await engine.processPendingHalts()).toMatchObject({ emitted: 2 });
    expect(await query('SELECT tenant_id, decision_reason FROM decision_records ORDER BY 1')).toEqual([
      { tenant_id: 't1', decision_reason: text },
      { tenant_id: 't2', decision_reason: TEXT },
    ]);
  });

  it('G.1: 4 sweeps share the halts: each run has one decision, and its writer counted it', async () => {
    await query(
      `INSERT INTO runs (tenant_id, id, agent_id, origin_system_id, goal, status, state, error_message, created_at, updated_at)
       SELECT 't' || 1 + n % 2, 'r-' || n, 'ag', 'test', 'a goal', 'halted', 'COMPLETED', $2, $3::timestamptz, $3::timestamptz
       FROM generate_series(1, $1::int) n`,
      [HALTS, TEXT, NOW.toISOString()],
    );
    for (let n = 0; n < REPETITIONS; n += 1) {
      await query('DELETE FROM decision_records');
      const sweeps = await Promise.all([30, 31, 32, 33].map((pageSize) => engine.processPendingHalts({ pageSize })));
      expect(sweeps.reduce((sum, { emitted }) => sum + emitted, 0)).toBe(HALTS);
      for (const { scanned, emitted, duplicates, conflicts, unparsable } of sweeps) {
        expect(emitted + duplicates).toBe(scanned);
        expect([conflicts, unparsable]).toEqual([[], []]);
      }
      expect(
        await query(
          'SELECT count(*)::int AS n, count(DISTINCT (tenant_id, run_id))::int AS runs FROM decision_records',
        ),
      ).toEqual([{ n: HALTS, runs: HALTS }]);
    }
  });

  it('page by page, each in its transaction: where a sweep ended, the next one goes on', async () => {
    const names = ['a', 'b', 'c', 'd', 'e'];
    await insert(...names.map((id) => halted('t1', id, { error_message: id < 'd' ? 'Hard budget limit' : TEXT })));
    const results: HaltSweepResult[] = [];
    for (let cursor: string | null = null; ;) {
      const result = await engine.processPendingHalts({
        pageSize: 2,
        maxPages: 1,
        ...(cursor === null ? {} : { cursor }),
      });
      results.push(result);
      if (result.nextCursor === null) break;
      cursor = result.nextCursor;
    }
    expect(results.map(({ scanned, emitted }) => [scanned, emitted])).toEqual([
      [2, 0],
      [2, 1],
      [1, 1],
    ]);
  });
});
