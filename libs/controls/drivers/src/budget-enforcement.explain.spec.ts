import { entities, migrations } from '@hoc/controls/models';
import { systemScope } from '@hoc/shared/kernel';
import { entities as shared, migrations as sharedMigrations } from '@hoc/shared/models';
import { fixedClock, makeTenant, sequentialIds } from '@hoc/shared/testing';
import { captureStatements, explain, insertRows, type Plan, useEmptyDatabase } from '@hoc/testkit';
import type { EntityManager, QueryRunner } from 'typeorm';
import { type BudgetEnforcementDriver, getBudgetEnforcementDriver } from './budget-enforcement.driver';

/** 200,000 runs of 50 tenants; 1,000 halted, half of them for budget, and of these every second one has its decision. */
const RUNS = 200_000;
const PENDING = 250;
const NOW = new Date('2026-03-10T12:00:00.000Z');
const INPUTS = {
  budget_limit_cents: '1000',
  budget_consumed_cents: '1200',
  step_cost_cents: '0',
  completed_steps: 0,
  total_steps: 0,
};
const HALTED = 'ix_runs_status_halted';
const DECIDED = 'uq_decision_budget_run';
const PROVENANCE = 'ix_provenances_run';
const scope = systemScope('test');

const db = useEmptyDatabase({ entities: [...shared, ...entities], migrations: [...sharedMigrations, ...migrations] });
let runner: QueryRunner;
let manager: EntityManager;
let driver: BudgetEnforcementDriver;

beforeAll(async () => {
  await db.dataSource().runMigrations();
  await db.dataSource().transaction(async (m) => {
    for (let t = 0; t < 50; t += 1) await insertRows(m, makeTenant({ id: `t-${String(t).padStart(2, '0')}` }));
    await m.query(
      `INSERT INTO runs (tenant_id, id, agent_id, origin_system_id, goal, status, state, error_message, created_at, updated_at)
       SELECT 't-' || to_char(n / 200 % 50, 'FM00'), 'r-' || to_char(n, 'FM000000'), 'ag', 'test', 'a goal',
         CASE WHEN n % 200 = 0 THEN 'halted' ELSE 'succeeded' END, 'COMPLETED',
         CASE WHEN n % 400 = 0 THEN 'Hard budget limit reached: 1200c consumed >= 1000c limit' END, $2::timestamptz, $2::timestamptz
       FROM generate_series(0, $1::int - 1) n`,
      [RUNS, NOW.toISOString()],
    );
    await m.query(
      `INSERT INTO decision_records (tenant_id, id, decision_type, decision_source, decision_trigger, decision_outcome, run_id, decision_inputs, decided_at)
       SELECT tenant_id, 'd-' || id, CASE WHEN substr(id, 3)::int % 800 = 0 THEN 'budget_enforcement' ELSE 'routing' END,
         'system', 'reactive', 'none', id, $2::jsonb, $1::timestamptz
       FROM runs WHERE substr(id, 3)::int % 800 = 0 OR substr(id, 3)::int % 10 = 1`,
      [NOW.toISOString(), JSON.stringify(INPUTS)],
    );
    await m.query(
      `INSERT INTO provenances (tenant_id, id, run_id, plan_json, created_at)
       SELECT tenant_id, 'p-' || id || '-' || k, id, jsonb_build_object('steps', '[1, 2]'::jsonb), $1::timestamptz + k * interval '1 second'
       FROM runs, generate_series(1, 2) k WHERE substr(id, 3)::int % 4 = 0`,
      [NOW.toISOString()],
    );
  });
  await db.dataSource().query('VACUUM ANALYZE runs, decision_records, provenances');
});

beforeEach(async () => {
  runner = db.dataSource().createQueryRunner();
  await runner.startTransaction();
  manager = runner.manager;
  driver = getBudgetEnforcementDriver(manager, scope, { clock: fixedClock(NOW), ids: sequentialIds('new') });
});

afterEach(async () => {
  await runner.rollbackTransaction();
  await runner.release();
});

/** The plan of the one statement that a call sends. */
async function planOf(work: () => Promise<unknown>): Promise<Plan> {
  const [sent, ...more] = await captureStatements(manager, work);
  expect(more).toEqual([]);
  const plan = await explain(manager, sent?.text ?? '', sent?.values ?? [], { analyze: true });
  expect(plan.seqScans).toEqual([]);
  return plan;
}

/** Rows that the scans of an index gave. */
const readFrom = ({ nodes }: Plan, index: string): number =>
  nodes
    .filter((node) => node['Index Name'] === index)
    .reduce((sum, node) => sum + (node['Actual Rows'] ?? 0) * (node['Actual Loops'] ?? 1), 0);

it.each([1, 100, 200])(
  'G.3: fetchPendingBudgetHalts, limit %i: halted runs, their decisions, one provenance',
  async (limit) => {
    const plan = await planOf(() => driver.fetchPendingBudgetHalts({ limit }));
    expect(new Set(plan.indexes)).toEqual(new Set([HALTED, DECIDED, PROVENANCE]));
    // One look a row of the page, and one more row to know whether another page follows.
    expect(readFrom(plan, PROVENANCE)).toBe(limit + 1);
    expect(readFrom(plan, HALTED)).toBeLessThanOrEqual(RUNS / 200);
  },
);

it('a later page begins at its cursor', async () => {
  const { nextCursor } = await driver.fetchPendingBudgetHalts({ limit: 200 });
  const first = await planOf(() => driver.fetchPendingBudgetHalts({ limit: 200 }));
  const last = await planOf(() => driver.fetchPendingBudgetHalts({ limit: 200, cursor: nextCursor ?? '' }));
  expect(last.indexConditions.join()).toMatch(/ROW\(.*tenant_id, .*id\) > ROW\(/);
  expect(new Set(last.indexes)).toEqual(new Set([HALTED, DECIDED, PROVENANCE]));
  expect(readFrom(last, PROVENANCE)).toBe(PENDING - 200);
  expect(last.buffers).toBeLessThan(first.buffers);
});

it('where nothing is pending, no provenance is looked at', async () => {
  const plan = await planOf(() => driver.fetchPendingBudgetHalts({ since: new Date(NOW.getTime() + 1) }));
  expect(readFrom(plan, PROVENANCE)).toBe(0);
  expect(new Set(plan.indexes)).toEqual(new Set([HALTED, DECIDED, PROVENANCE]));
});

it('fetchBudgetDecision, and the look at what an insert met: by the unique key', async () => {
  expect(await driver.fetchBudgetDecision('t-00', 'r-000000')).toMatchObject({ budgetConsumedCents: '1200' });
  const one = await planOf(() => driver.fetchBudgetDecision('t-00', 'r-000000'));
  expect([one.indexes, one.buffers < 10]).toEqual([[DECIDED], true]);
});

it('the pages of a sweep hold all that is pending', async () => {
  const seen = new Set<string>();
  for (let cursor: string | null = null; ;) {
    const page = await driver.fetchPendingBudgetHalts({ limit: 70, ...(cursor === null ? {} : { cursor }) });
    for (const { tenantId, runId } of page.items) seen.add(`${tenantId}/${runId}`);
    if (page.nextCursor === null) break;
    cursor = page.nextCursor;
  }
  expect(seen.size).toBe(PENDING);
});
