import { systemScope } from '@hoc/shared/kernel';
import { entities, migrations } from '@hoc/shared/models';
import { fixedClock, makeTenant } from '@hoc/shared/testing';
import { captureStatements, explain, insertRows, type Plan, useEmptyDatabase, waitFor } from '@hoc/testkit';
import type { EntityManager, QueryRunner } from 'typeorm';
import {
  detectOrphanedRuns,
  getCrashRecoverySummary,
  markRunAsCrashed,
  recoverOrphanedRuns,
} from './orphan-recovery.driver';

/** 300,000 runs: 3,000 are open (an orphan each), 6,000 have crashed, the rest has ended well. */
const RUNS = 300_000;
const CRASHES = RUNS / 50;
const OPEN = 'ix_worker_runs_open';
const CRASHED = 'ix_worker_runs_crashed';

const db = useEmptyDatabase({ entities, migrations });
const deps = { clock: fixedClock('2026-03-10T12:00:00.000Z') };
const scope = systemScope('test');
let runner: QueryRunner;
let manager: EntityManager;

beforeAll(async () => {
  await db.dataSource().runMigrations();
  await insertRows(db.dataSource().manager, makeTenant({ id: 't-a' }));
  await db.dataSource().query(
    `INSERT INTO worker_runs (tenant_id, id, worker_id, task, status, created_at, completed_at)
     SELECT 't-a', 'w-' || to_char(n, 'FM0000000'), 'worker', '', CASE WHEN n % 100 = 7 THEN 'running' WHEN n % 50 = 0 THEN 'crashed' ELSE 'completed' END,
       at, CASE WHEN n % 100 <> 7 THEN at END
     FROM (SELECT n, timestamptz '2026-03-10T10:00:00Z' - n * interval '1 second' AS at FROM generate_series(1, $1::int) n) AS s`,
    [RUNS],
  );
  await db.dataSource().query('VACUUM ANALYZE worker_runs');
  await waitFor(isVisibleToAll, 'VACUUM to see that every page of worker_runs is visible to all');
});

/** Not before the server has written out the commit of its rows, which it does in its own time without synchronous_commit. */
async function isVisibleToAll(): Promise<boolean> {
  await db.dataSource().query('VACUUM worker_runs');
  const sql = "SELECT relallvisible = relpages AS yes FROM pg_class WHERE oid = 'worker_runs'::regclass";
  const rows: { yes: boolean }[] = await db.dataSource().query(sql);
  return rows[0]?.yes === true;
}

beforeEach(async () => {
  runner = db.dataSource().createQueryRunner();
  await runner.startTransaction();
  manager = runner.manager;
});

afterEach(async () => {
  await runner.rollbackTransaction();
  await runner.release();
});

/** The plan of the one statement that a call sends, run on the rows as they were before it. */
async function planOf(work: () => Promise<unknown>): Promise<Plan> {
  await manager.query('SAVEPOINT asked');
  const [sent, ...more] = (await captureStatements(manager, work)).filter(({ text }) => !/SAVEPOINT/.test(text));
  expect(more).toEqual([]);
  await manager.query('ROLLBACK TO SAVEPOINT asked');
  const plan = await explain(manager, sent?.text ?? '', sent?.values ?? [], { analyze: true });
  expect(plan.seqScans).toEqual([]);
  return plan;
}

/** Rows that the scans of an index gave. */
const readFrom = ({ nodes }: Plan, index: string): number =>
  nodes
    .filter((node) => node['Index Name'] === index)
    .reduce((sum, node) => sum + (node['Actual Rows'] ?? 0) * (node['Actual Loops'] ?? 1), 0);

it.each([20, 1000])(
  'detectOrphanedRuns, limit %i: in the order of the open runs, no more than asked for',
  async (limit) => {
    const plan = await planOf(() => detectOrphanedRuns(manager, scope, deps, 30, limit));
    expect(plan.indexes).toEqual([OPEN]);
    expect(plan.indexConditions[0]).toMatch(/GREATEST.* < /);
    expect(readFrom(plan, OPEN)).toBe(limit);
  },
);

it('detectOrphanedRuns without an orphan: a look into the index', async () => {
  const plan = await planOf(() => detectOrphanedRuns(manager, scope, deps, 43_200));
  expect(plan.indexes).toEqual([OPEN]);
  expect([readFrom(plan, OPEN), plan.buffers < 10]).toEqual([0, true]);
});

it.each([20, 1000])('recoverOrphanedRuns, limit %i: the same rows, each marked by its key', async (limit) => {
  const plan = await planOf(() => recoverOrphanedRuns(manager, scope, deps, { limit }));
  expect(new Set(plan.indexes)).toEqual(new Set([OPEN, 'pk_worker_runs']));
  expect(readFrom(plan, OPEN)).toBe(limit);
  expect(readFrom(plan, 'pk_worker_runs')).toBe(limit);
});

it('markRunAsCrashed: by key', async () => {
  const [orphan] = await detectOrphanedRuns(manager, scope, deps, 30, 1);
  if (orphan === undefined) throw new Error('no orphan');
  const plan = await planOf(() => markRunAsCrashed(manager, scope, deps, orphan));
  expect(plan.indexes).toEqual(['pk_worker_runs']);
});

it('getCrashRecoverySummary: the newest in their order, the count index-only', async () => {
  const plan = await planOf(() => getCrashRecoverySummary(manager, scope));
  expect(new Set(plan.indexes)).toEqual(new Set([CRASHED]));
  expect(plan.nodes.map((node) => node['Node Type'])).toContain('Index Only Scan');
  expect(readFrom(plan, CRASHED)).toBe(CRASHES + 10);
});
