import { entities, migrations } from '@hoc/controls/models';
import { DEFAULT_LLM_RUN_PARAMS, THRESHOLD_SIGNALS } from '@hoc/controls/schemas';
import { uuidV7Generator } from '@hoc/shared/kernel';
import { entities as shared, migrations as sharedMigrations } from '@hoc/shared/models';
import { fixedClock, makeTenant } from '@hoc/shared/testing';
import { captureStatements, explain, insertRows, type Plan, useEmptyDatabase } from '@hoc/testkit';
import type { EntityManager, QueryRunner } from 'typeorm';
import { getThresholdDriver, getThresholdSignals, type ThresholdDriver } from './threshold.driver';

/** 50 tenants with 400 limits each, half of them active thresholds, and 100,000 events of 25,000 runs. */
const TENANT = 't-07';
const LIST = 'ix_limits_list';
const SCOPE = 'ix_limits_scope_active';
const KEY = 'uq_ops_events_idempotency';
const clock = fixedClock('2026-03-10T12:00:00.000Z');
const deps = { clock, ids: uuidV7Generator(clock) };

const db = useEmptyDatabase({ entities: [...shared, ...entities], migrations: [...sharedMigrations, ...migrations] });
let runner: QueryRunner;
let manager: EntityManager;
let driver: ThresholdDriver;

const emission = (runId: string) =>
  ({ runId, state: 'live', signals: THRESHOLD_SIGNALS, paramsUsed: DEFAULT_LLM_RUN_PARAMS }) as const;
const emit = (on: EntityManager, runId: string): Promise<unknown> =>
  getThresholdSignals(on, deps).emitAndPersistThresholdSignal(TENANT, emission(runId));
const undone = async (on: EntityManager, work: () => Promise<unknown>): Promise<void> => {
  await on.query('SAVEPOINT asked');
  await work();
  await on.query('ROLLBACK TO SAVEPOINT asked');
};

beforeAll(async () => {
  await db.dataSource().runMigrations();
  runner = db.dataSource().createQueryRunner();
  await runner.connect();
  manager = runner.manager;
  driver = getThresholdDriver(manager);
  await runner.startTransaction();
  // The sixth time on, a connection keeps one plan for all values.
  for (let n = 0; n < 10; n += 1) await undone(manager, () => emit(manager, `r-${n}`));
  await runner.commitTransaction();
  await db.dataSource().transaction(fill);
});
beforeEach(() => runner.startTransaction());
afterEach(() => runner.rollbackTransaction());
afterAll(() => runner.release());

async function fill(m: EntityManager): Promise<void> {
  for (let t = 0; t < 50; t += 1) await insertRows(m, makeTenant({ id: `t-${String(t).padStart(2, '0')}` }));
  await m.query(
    `INSERT INTO limits (tenant_id, id, name, limit_category, limit_type, scope, scope_id, max_value, reset_period, status, created_at, updated_at)
     SELECT 't-' || to_char(n % 50, 'FM00'), 'l-' || n, 'x', category, 'COST_CENTS', scope,
       CASE WHEN scope NOT IN ('GLOBAL', 'TENANT') THEN 's-' || k % 20 END, 5, CASE category WHEN 'BUDGET' THEN 'DAILY' END,
       CASE WHEN k % 10 = 9 THEN 'DISABLED' ELSE 'ACTIVE' END, at, at
     FROM (SELECT n, n / 50 AS k, CASE WHEN n / 50 % 2 = 0 THEN 'THRESHOLD' ELSE 'BUDGET' END AS category,
             (ARRAY['GLOBAL', 'TENANT', 'PROJECT', 'AGENT', 'PROVIDER'])[1 + n / 100 % 5] AS scope,
             timestamptz '2026-03-10T11:00:00Z' - n * interval '13 seconds' AS at FROM generate_series(0, 19999) n) AS s`,
  );
  await m.query(
    `INSERT INTO runs (tenant_id, id, agent_id, actor_type, origin_system_id, goal, status, state, created_at, updated_at)
     SELECT 't-' || to_char(n % 50, 'FM00'), 'r-' || n / 50, 'ag', 'SYSTEM', 'x', 'x', 'queued', 'LIVE', now(), now()
     FROM generate_series(0, 24999) n`,
  );
  await m.query(
    `INSERT INTO ops_events (tenant_id, id, occurred_at, event_type, entity_type, entity_id, severity, idempotency_key)
     SELECT tenant_id, 'e-' || id || s, created_at, 'INFRA_LIMIT_HIT', 'llm_call', id, 2, 'threshold:' || id || ':completed:' || s
     FROM runs, unnest($1::text[]) AS s`,
    [[...THRESHOLD_SIGNALS]],
  );
}

/** The plan of the one statement that a call sends. */
async function planOf(work: () => Promise<unknown>): Promise<Plan> {
  const [sent, ...more] = await captureStatements(manager, work);
  expect(more).toEqual([]);
  return explain(manager, sent?.text ?? '', sent?.values ?? [], { analyze: true });
}

/** Rows that the scans of an index gave. */
const readFrom = ({ nodes }: Plan, index: string): number =>
  nodes
    .filter((node) => node['Index Name'] === index)
    .reduce((sum, node) => sum + (node['Actual Rows'] ?? 0) * (node['Actual Loops'] ?? 1), 0);

/** Plans of the statements of an emission, as the connection that knew the tables empty runs them. */
async function plansOfEmission(runId: string): Promise<readonly Plan[]> {
  await manager.query('SAVEPOINT asked');
  const sent = await captureStatements(manager, () => emit(manager, runId));
  await manager.query('ROLLBACK TO SAVEPOINT asked');
  const literal = (value: unknown): string => `'${String(value).replaceAll("'", "''")}'`;
  const plans: Plan[] = [];
  for (const { name, text, values } of sent)
    plans.push(
      name === undefined
        ? await explain(manager, text, values, { analyze: true })
        : await explain(manager, `EXECUTE "${name}" (${values.map(literal).join(', ')})`, [], { analyze: true }),
    );
  return plans;
}

function expectKeys(plans: readonly Plan[]): void {
  expect(plans.map(({ seqScans }) => seqScans)).toEqual([[], []]);
  expect(plans.map(({ indexes }) => [...new Set(indexes)].sort())).toEqual([['pk_runs', KEY], ['pk_runs']]);
  expect(plans.map((plan) => readFrom(plan, 'pk_runs') <= 2)).toEqual([true, true]);
}

it('emission by a connection that knew the tables empty, before any ANALYZE: the run and each event by its key', async () => {
  expectKeys(await plansOfEmission('r-3'));
});

describe('on tables that are known', () => {
  beforeAll(() => db.dataSource().query('VACUUM ANALYZE limits, runs, ops_events'));

  it.each([
    ['TENANT', null],
    ['PROJECT', 's-4'],
    ['AGENT', 's-6'],
  ] as const)('G.3: getThresholdLimitByScope of %s: one row of ix_limits_scope_active', async (scope, scopeId) => {
    expect(await driver.getThresholdLimitByScope(TENANT, scope, scopeId)).toMatchObject({ scope, scopeId });
    const plan = await planOf(() => driver.getThresholdLimitByScope(TENANT, scope, scopeId));
    expect([plan.seqScans, plan.indexes, plan.hasSort]).toEqual([[], [SCOPE], false]);
    expect(readFrom(plan, SCOPE)).toBe(1);
    expect(plan.indexConditions.join()).toMatch(/tenant_id =.*limit_category =.*scope =.*scope_id/);
  });

  it('getActiveThresholdLimits: one of the two indexes of limits, and no row besides those of the answer', async () => {
    const limits = await driver.getActiveThresholdLimits(TENANT);
    const plan = await planOf(() => driver.getActiveThresholdLimits(TENANT));
    const [used = '', ...more] = plan.indexes;
    expect([plan.seqScans, more]).toEqual([[], []]);
    expect([LIST, SCOPE]).toContain(used);
    expect(limits.length).toBeGreaterThan(100);
    expect(plan.nodes.map((node) => node['Rows Removed by Filter'] ?? 0)).toEqual(plan.nodes.map(() => 0));
    expect(readFrom(plan, used)).toBe(limits.length);
  });

  it('emission: the run and each event by its key', async () => {
    const plans = await plansOfEmission('r-3');
    expectKeys(plans);
    for (const { buffers } of plans) expect(buffers).toBeLessThan(200);
  });
});
