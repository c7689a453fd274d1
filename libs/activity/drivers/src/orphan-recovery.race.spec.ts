import type { OrphanedRun, Transition } from '@hoc/activity/schemas';
import { systemScope, type WorkerRunStatus } from '@hoc/shared/kernel';
import { entities, migrations } from '@hoc/shared/models';
import { fixedClock, makeTenant } from '@hoc/shared/testing';
import { insertRows, useFreshDatabase } from '@hoc/testkit';
import type { DataSource, QueryRunner } from 'typeorm';
import { detectOrphanedRuns, markRunAsCrashed, recoverOrphanedRuns } from './orphan-recovery.driver';
import { getRunLifecycleDriver, type RunLifecycleDriver } from './run-lifecycle.driver';

const REPETITIONS = 20;
const db = useFreshDatabase({ entities, migrations });
const deps = { clock: fixedClock('2026-03-10T12:00:00.000Z') };
const scope = systemScope('test');
const ids = { next: () => 'never asked' };
const lifecycle = ({ manager }: Pick<DataSource, 'manager'>): RunLifecycleDriver =>
  getRunLifecycleDriver(manager, { ...deps, ids });
const detect = (): Promise<readonly OrphanedRun[]> => detectOrphanedRuns(db.dataSource().manager, scope, deps);
const recoverOn = ({ manager }: Pick<DataSource, 'manager'>, limit = 1000) =>
  recoverOrphanedRuns(manager, scope, deps, { limit });
const runIds = ({ runs }: { readonly runs: readonly { readonly runId: string }[] }): string[] =>
  runs.map(({ runId }) => runId);
/** Runs `<prefix>-1` … `<prefix>-<n>`, running and silent for two hours. */
const orphans = (prefix: string, n: number): Promise<unknown> =>
  db.dataSource().query(
    `INSERT INTO worker_runs (tenant_id, id, worker_id, task, status, created_at, started_at)
     SELECT 't-a', $1::text || '-' || n, 'worker', 'task', 'running', at, at
     FROM (SELECT n, timestamptz '2026-03-10T10:00:00Z' AS at FROM generate_series(1, $2::int) n) AS s`,
    [prefix, n],
  );
const crashedIds = async (): Promise<string[]> => {
  const rows: { id: string }[] = await db.dataSource().query(`SELECT id FROM worker_runs WHERE status = 'crashed'`);
  return rows.map(({ id }) => id).sort();
};
/** A unit of work that stays open while another one works. */
async function open(source: DataSource): Promise<QueryRunner> {
  const runner = source.createQueryRunner();
  await runner.startTransaction();
  return runner;
}
async function end(runner: QueryRunner, how: 'commitTransaction' | 'rollbackTransaction'): Promise<void> {
  await runner[how]();
  await runner.release();
}
/** Two connections; the second gives up a wait after a second: what works while the first is open doesn't wait for it. */
async function pair(): Promise<readonly [DataSource, DataSource]> {
  const [holder] = await db.connections(1, { max: 1 });
  const [other] = await db.connections(1, { max: 1, options: '-c lock_timeout=1000' });
  return [holder as DataSource, other as DataSource];
}

beforeEach(() => insertRows(db.dataSource().manager, makeTenant({ id: 't-a' })));

it.each([4, 6])('F53: 1,000 orphans, %i recoveries until nothing is left: each in exactly one result', async (n) => {
  const sources = await db.connections(n, { max: 1 });
  const sweep = async (source: DataSource): Promise<string[]> => {
    const found: string[] = [];
    for (let more = true; more;) {
      const round = await source.transaction((manager) => recoverOn({ manager }, 200));
      expect([round.detected, round.recovered, round.failed]).toEqual([round.runs.length, round.runs.length, 0]);
      found.push(...runIds(round));
      more = round.hasMore;
    }
    return found;
  };
  for (let repetition = 0; repetition < REPETITIONS; repetition += 1) {
    await db.dataSource().query('DELETE FROM worker_runs');
    await orphans(`r${repetition}`, 1000);
    const found = (await Promise.all(sources.map(sweep))).flat();
    expect(found).toHaveLength(1000);
    expect(found.sort()).toEqual(await crashedIds());
    expect(await detect()).toEqual([]);
  }
});

it('a recovery takes what an open one does not hold, without a wait', async () => {
  const [holder, other] = await pair();
  await orphans('r', 10);
  const runner = await open(holder);
  const first = runIds(await recoverOn(runner, 4));
  const second = runIds(await recoverOn(other));
  expect([first.length, second.length]).toEqual([4, 6]);
  await end(runner, 'rollbackTransaction');
  // What the first one gave back is the next one's; what the second one has is not.
  expect(runIds(await recoverOn(other)).sort()).toEqual(first.sort());
  expect((await crashedIds()).length).toBe(10);
});

it.each([
  ['beats', (held: QueryRunner) => lifecycle(held).touchWorkerRun('t-a', 'r-1')],
  ['finishes', (held: QueryRunner) => lifecycle(held).finishWorkerRun('t-a', 'r-1', { status: 'completed' })],
])('a run that %s in an open unit of work is passed over, without a wait', async (_name, show) => {
  const [holder, other] = await pair();
  await orphans('r', 2);
  const runner = await open(holder);
  await show(runner);
  expect(runIds(await recoverOn(other))).toEqual(['r-2']);
  await end(runner, 'commitTransaction');
  expect(runIds(await recoverOn(other))).toEqual([]);
  expect(await crashedIds()).toEqual(['r-2']);
});

it('a run under which another one is being recorded is recovered all the same', async () => {
  const [holder, other] = await pair();
  await orphans('r', 1);
  const runner = await open(holder);
  await lifecycle(runner).createWorkerRuns('t-a', [
    { id: 'child', workerId: 'worker', task: 'task', parentRunId: 'r-1' },
  ]);
  expect(runIds(await recoverOn(other))).toEqual(['r-1']);
  await end(runner, 'commitTransaction');
});

it('recoveries against workers that finish and beat: each run is recovered, or alive, and never both', async () => {
  const sources = await db.connections(4, { max: 2 });
  for (let n = 0; n < REPETITIONS; n += 1) {
    await db.dataSource().query('DELETE FROM worker_runs');
    await orphans('r', 12);
    const names = Array.from({ length: 12 }, (_, k) => `r-${k + 1}`);
    const source = (k: number): DataSource => sources[k % 4] as DataSource;
    const live = (id: string, k: number): Promise<boolean | Transition<WorkerRunStatus>> =>
      k % 2
        ? lifecycle(source(k)).touchWorkerRun('t-a', id)
        : lifecycle(source(k)).finishWorkerRun('t-a', id, { status: 'completed' });
    const work = names.map((id, k) => () => live(id, k));
    const sweeps = [0, 1].map((k) => () => recoverOn(source(k), 4));
    const [answers, rounds] =
      n % 2
        ? await Promise.all([Promise.all(work.map((f) => f())), Promise.all(sweeps.map((f) => f()))])
        : await Promise.all([Promise.all(sweeps.map((f) => f())), Promise.all(work.map((f) => f()))]).then(
            ([swept, answered]) => [answered, swept] as const,
          );
    const recovered = rounds.flatMap(runIds).sort();
    const alive = names.filter((_id, k) => {
      const answer = answers[k];
      return typeof answer === 'object' ? answer.outcome === 'changed' : answer;
    });
    expect([...recovered, ...alive].sort()).toEqual([...new Set([...recovered, ...alive])].sort());
    expect(recovered).toEqual(await crashedIds());
    // Nobody refused a worker but a recovery.
    expect([...recovered, ...alive].sort()).toEqual([...names].sort());
  }
});

it('markRunAsCrashed against a recovery: one of them has it', async () => {
  const [a, b] = (await db.connections(2, { max: 1 })) as [DataSource, DataSource];
  for (let n = 0; n < REPETITIONS; n += 1) {
    await orphans(`r${n}`, 1);
    const [orphan] = await detect();
    if (orphan === undefined) throw new Error('no orphan');
    const mark = () => markRunAsCrashed(a.manager, scope, deps, orphan, 'marked');
    const recover = async () => (await recoverOn(b)).recovered === 1;
    const [first, second] = await Promise.all(n % 2 ? [mark(), recover()] : [recover(), mark()]);
    expect([first, second].filter(Boolean)).toHaveLength(1);
  }
});
