import { entities, migrations } from '@hoc/shared/models';
import { fixedClock, makeTenant, sequentialIds } from '@hoc/shared/testing';
import { captureStatements, explain, insertRows, type Plan, useEmptyDatabase } from '@hoc/testkit';
import type { EntityManager, QueryRunner } from 'typeorm';
import { getRunLifecycleDriver, type RunLifecycleDriver } from './run-lifecycle.driver';

/** 100,000 runs and as many worker runs of 50 tenants; of the worker runs each hundredth begins a chain of 40 attempts. */
const ROWS = 100_000;
const TENANT = 't-07';
const RUNS_KEY = 'pk_runs';
const WORKERS_KEY = 'pk_worker_runs';
const IDEMPOTENCY = 'uq_runs_tenant_idempotency';
const OPEN_RETRY = 'uq_worker_runs_open_retry';

const db = useEmptyDatabase({ entities, migrations });
let runner: QueryRunner;
let manager: EntityManager;
let driver: RunLifecycleDriver;

beforeAll(async () => {
  await db.dataSource().runMigrations();
  await db.dataSource().transaction(async (m) => {
    for (let t = 0; t < 50; t += 1) await insertRows(m, makeTenant({ id: `t-${String(t).padStart(2, '0')}` }));
    await m.query(
      `INSERT INTO runs (tenant_id, id, agent_id, origin_system_id, goal, idempotency_key, status, state, created_at, updated_at, started_at)
       SELECT 't-' || to_char(n % 50, 'FM00'), 'q-' || n / 50, 'ag', 'o', '', 'k-' || n / 50, status,
         CASE WHEN status = 'succeeded' THEN 'COMPLETED' ELSE 'LIVE' END, at, at, at
       FROM (SELECT n, (ARRAY['queued', 'running', 'succeeded', 'succeeded'])[n / 50 % 4 + 1] AS status,
               timestamptz '2026-03-10T11:00:00Z' - n * interval '1 second' AS at FROM generate_series(0, $1::int - 1) n) AS s`,
      [ROWS],
    );
    await m.query(
      `INSERT INTO worker_runs (tenant_id, id, worker_id, task, status, created_at, parent_run_id, attempt, is_retry)
       SELECT 't-' || to_char(n % 50, 'FM00'), 'w-' || k, 'w', '', CASE WHEN k % 100 = 40 THEN 'queued' ELSE 'crashed' END, at,
         CASE WHEN k % 100 BETWEEN 2 AND 40 THEN 'w-' || k - 1 END, CASE WHEN k % 100 BETWEEN 2 AND 40 THEN k % 100 ELSE 1 END,
         k % 100 BETWEEN 2 AND 40
       FROM (SELECT n, n / 50 AS k, timestamptz '2026-03-10T11:00:00Z' - n * interval '1 second' AS at FROM generate_series(0, $1::int - 1) n) AS s`,
      [ROWS],
    );
  });
  await db.dataSource().query('VACUUM ANALYZE runs, worker_runs');
});

beforeEach(async () => {
  runner = db.dataSource().createQueryRunner();
  await runner.startTransaction();
  manager = runner.manager;
  driver = getRunLifecycleDriver(manager, { clock: fixedClock('2026-03-10T12:00:00.000Z'), ids: sequentialIds('new') });
});

afterEach(async () => {
  await runner.rollbackTransaction();
  await runner.release();
});

/** The plans of the statements that a call sends, each run on the rows as they were before the call. */
async function plansOf(work: () => Promise<unknown>): Promise<readonly Plan[]> {
  await manager.query('SAVEPOINT asked');
  const sent = (await captureStatements(manager, work)).filter(({ text }) => !/SAVEPOINT/.test(text));
  const plans: Plan[] = [];
  for (const { text, values } of sent) {
    await manager.query('ROLLBACK TO SAVEPOINT asked');
    const plan = await explain(manager, text, values, { analyze: true });
    expect(plan.seqScans).toEqual([]);
    plans.push(plan);
  }
  await manager.query('ROLLBACK TO SAVEPOINT asked');
  return plans;
}

/** The plan of a call of one statement. */
async function planOf(work: () => Promise<unknown>): Promise<Plan> {
  const [plan, ...more] = await plansOf(work);
  if (plan === undefined || more.length > 0) throw new Error('not one statement');
  return plan;
}

/** Rows that the scans of an index gave. */
const readFrom = ({ nodes }: Plan, index: string): number =>
  nodes
    .filter((node) => node['Index Name'] === index)
    .reduce((sum, node) => sum + (node['Actual Rows'] ?? 0) * (node['Actual Loops'] ?? 1), 0);

/** How often the scans of an index began: the server rounds the rows of many small scans. */
const looksInto = ({ nodes }: Plan, index: string): number =>
  nodes.filter((node) => node['Index Name'] === index).reduce((sum, node) => sum + (node['Actual Loops'] ?? 1), 0);

const TRANSITIONS: readonly (readonly [string, string, () => Promise<{ readonly outcome: string }>])[] = [
  ['startRun', RUNS_KEY, () => driver.startRun(TENANT, 'q-400')],
  ['retryRun', RUNS_KEY, () => driver.retryRun(TENANT, 'q-401', { errorMessage: 'busy' })],
  [
    'finishRun',
    RUNS_KEY,
    () => driver.finishRun(TENANT, 'q-401', { status: 'succeeded', figures: { inputTokens: 1 } }),
  ],
  ['startWorkerRun', WORKERS_KEY, () => driver.startWorkerRun(TENANT, 'w-440')],
];
it.each(TRANSITIONS)('%s: the row by its key, once to hold it and once to write it', async (_name, key, move) => {
  expect(await move()).toMatchObject({ outcome: 'changed' });
  await manager.query('ROLLBACK');
  await manager.query('BEGIN');
  const plan = await planOf(move);
  expect(plan.indexes).toEqual([key, key]);
  expect(plan.indexConditions.every((condition) => /tenant_id.*id/.test(condition))).toBe(true);
  expect(readFrom(plan, key)).toBe(2);
});

it('a transition that is refused reads the row by its key, and writes nothing', async () => {
  const plan = await planOf(() => driver.finishRun(TENANT, 'q-402', { status: 'failed' }));
  expect(new Set(plan.indexes)).toEqual(new Set([RUNS_KEY]));
  expect(plan.buffers).toBeLessThan(20);
});

it('finishWorkerRun and touchWorkerRun: by key', async () => {
  await driver.startWorkerRun(TENANT, 'w-440');
  const finish = await planOf(() => driver.finishWorkerRun(TENANT, 'w-440', { status: 'completed' }));
  expect([finish.indexes, readFrom(finish, WORKERS_KEY)]).toEqual([[WORKERS_KEY, WORKERS_KEY], 2]);
  const touch = await planOf(() => driver.touchWorkerRun(TENANT, 'w-440'));
  expect([touch.indexes, readFrom(touch, WORKERS_KEY)]).toEqual([[WORKERS_KEY], 1]);
});

it.each([
  ['w-441', 1],
  ['w-410', 10],
  ['w-440', 40],
])('fetchRetryChain of %s: its %i runs, each by its key', async (id, attempts) => {
  expect(await driver.fetchRetryChain(TENANT, id)).toHaveLength(attempts);
  const plan = await planOf(() => driver.fetchRetryChain(TENANT, id));
  expect(new Set(plan.indexes)).toEqual(new Set([WORKERS_KEY]));
  expect(plan.indexConditions.every((condition) => /tenant_id.*id/.test(condition))).toBe(true);
  // The first attempt has no parent to look for, which the server asks all the same.
  expect(looksInto(plan, WORKERS_KEY)).toBe(attempts + 1);
});

it('createRetryOf: the parent by its key, the open retry by its own index', async () => {
  const plan = await planOf(() => driver.createRetryOf(TENANT, 'w-441'));
  expect([plan.indexes, readFrom(plan, WORKERS_KEY)]).toEqual([[WORKERS_KEY], 1]);
});

it.each([1, 1000])('createRuns of %i known runs: what is stored by key and by id', async (n) => {
  const runs = Array.from({ length: n }, (_, k) => ({
    ...{ id: `q-${k}`, agentId: 'ag', originSystemId: 'o', goal: '-' },
    idempotencyKey: `k-${k}`,
  }));
  const [insert, compare] = await plansOf(() => driver.createRuns(TENANT, runs));
  expect(insert?.indexes).toEqual([]);
  expect(new Set(compare?.indexes)).toEqual(new Set([IDEMPOTENCY, RUNS_KEY]));
  for (const index of [IDEMPOTENCY, RUNS_KEY]) expect(readFrom(compare as Plan, index)).toBe(n);
});

it.each([1, 100])('createWorkerRuns of %i known runs: what is stored by id, an open retry by its index', async (n) => {
  const known = Array.from({ length: n }, (_, k) => ({ id: `w-${k}`, workerId: 'w', task: '-' }));
  const [, compare] = await plansOf(() => driver.createWorkerRuns(TENANT, known));
  expect(readFrom(compare as Plan, WORKERS_KEY)).toBe(n);
  const second = Array.from({ length: Math.min(n, 5) }, (_, k) => ({
    ...{ workerId: 'w', task: '-', attempt: 40, parentRunId: `w-${k * 100 + 39}` },
  }));
  const [, refused] = await plansOf(() => driver.createWorkerRuns(TENANT, second));
  expect(refused?.indexes).toContain(OPEN_RETRY);
  expect(readFrom(refused as Plan, OPEN_RETRY)).toBe(second.length);
});
