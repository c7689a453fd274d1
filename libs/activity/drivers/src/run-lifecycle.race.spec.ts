import type { NewRun, OrphanedRun, RecordOutcome, Transition } from '@hoc/activity/schemas';
import { systemScope, type WorkerRunStatus } from '@hoc/shared/kernel';
import { entities, migrations } from '@hoc/shared/models';
import { fixedClock, makeTenant, makeWorkerRun } from '@hoc/shared/testing';
import { insertRows, useFreshDatabase, waitFor } from '@hoc/testkit';
import type { DataSource } from 'typeorm';
import { detectOrphanedRuns, markRunAsCrashed } from './orphan-recovery.driver';
import { getRunLifecycleDriver, type RunLifecycleDriver } from './run-lifecycle.driver';

const REPETITIONS = 20;
const db = useFreshDatabase({ entities, migrations });
const clock = fixedClock('2026-03-10T12:00:00.000Z');
let made = 0;
const ids = { next: () => `id-${String((made += 1)).padStart(8, '0')}` };
const on = (source: DataSource): RunLifecycleDriver => getRunLifecycleDriver(source.manager, { clock, ids });
const home = (): RunLifecycleDriver => on(db.dataSource());
const scope = systemScope('test');
const OLD = new Date('2026-03-10T10:00:00Z');
const idle = (id: string, status = 'running') =>
  insertRows(
    db.dataSource().manager,
    makeWorkerRun('t-a', {
      id,
      status,
      created_at: OLD,
      started_at: status === 'running' ? OLD : null,
      last_seen_at: null,
    }),
  );
const row = async (id: string): Promise<Record<string, unknown>> => {
  const rows: Record<string, unknown>[] = await db.dataSource().query('SELECT * FROM worker_runs WHERE id = $1', [id]);
  return rows[0] ?? {};
};
const shuffled = <T>(items: readonly T[]): T[] =>
  items
    .map((item) => [Math.random(), item] as const)
    .sort(([a], [b]) => a - b)
    .map(([, item]) => item);
const tally = (outcomes: readonly RecordOutcome[]): Record<string, number> =>
  outcomes.reduce<Record<string, number>>((sum, { status }) => ({ ...sum, [status]: (sum[status] ?? 0) + 1 }), {});
const isBlocked = (): Promise<boolean> =>
  db
    .dataSource()
    .query(
      `SELECT count(*)::int AS n FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
    )
    .then((rows: { n: number }[]) => (rows[0]?.n ?? 0) > 0);

beforeEach(() => insertRows(db.dataSource().manager, makeTenant({ id: 't-a' })));

it('finishWorkerRun against markRunAsCrashed: exactly one wins, and what it wrote stands whole', async () => {
  const sources = await db.connections(2, { max: 1 });
  const [a, b] = [sources[0] as DataSource, sources[1] as DataSource];
  for (let n = 0; n < REPETITIONS; n += 1) {
    await idle(`w-${n}`);
    const orphan = (await detectOrphanedRuns(a.manager, scope, { clock }))[0] as OrphanedRun;
    const figures = { output: { n }, costCents: '3' };
    const finish = () => on(a).finishWorkerRun('t-a', `w-${n}`, { status: 'completed', figures });
    const mark = () => markRunAsCrashed(b.manager, scope, { clock }, orphan);
    const [ended, marked] =
      n % 2
        ? await Promise.all([finish(), mark()])
        : ((await Promise.all([mark(), finish()])).reverse() as [Transition<WorkerRunStatus>, boolean]);
    const stored = await row(`w-${n}`);
    if (marked) {
      expect(ended).toEqual({ outcome: 'refused', status: 'crashed' });
      expect(stored).toMatchObject({ status: 'crashed', output_json: null, cost_cents: null, success: null });
    } else {
      expect(ended).toEqual({ outcome: 'changed', status: 'completed' });
      expect(stored).toMatchObject({
        status: 'completed',
        output_json: { n },
        cost_cents: '3.000000',
        success: true,
        error: null,
      });
    }
  }
});

it('two ends at once: one is written, the other told what stands', async () => {
  const sources = await db.connections(2, { max: 1 });
  for (let n = 0; n < REPETITIONS; n += 1) {
    await idle(`w-${n}`);
    const ends = await Promise.all(
      sources.map((source, k) =>
        on(source).finishWorkerRun('t-a', `w-${n}`, {
          status: k ? 'failed' : 'completed',
          figures: { costCents: String(k) },
        }),
      ),
    );
    expect(ends.map(({ outcome }) => outcome).sort()).toEqual(['changed', 'refused']);
    const winner = ends.findIndex(({ outcome }) => outcome === 'changed');
    expect(ends[1 - winner]?.status).toBe(ends[winner]?.status);
    expect(await row(`w-${n}`)).toMatchObject({
      status: winner ? 'failed' : 'completed',
      cost_cents: `${winner}.000000`,
    });
  }
});

it.each(['rolls back', 'commits'])('F87: a finish waits for an open mark that %s', async (end) => {
  const sources = await db.connections(2, { max: 1 });
  const [a, b] = [sources[0] as DataSource, sources[1] as DataSource];
  await idle('w-3');
  const orphan = (await detectOrphanedRuns(a.manager, scope, { clock }))[0] as OrphanedRun;
  const runner = a.createQueryRunner();
  await runner.startTransaction();
  expect(await markRunAsCrashed(runner.manager, scope, { clock }, orphan)).toBe(true);
  const finish = on(b).finishWorkerRun('t-a', 'w-3', { status: 'completed' });
  await waitFor(isBlocked, 'the finish waits for the mark');
  await (end === 'commits' ? runner.commitTransaction() : runner.rollbackTransaction());
  await runner.release();
  expect(await finish).toEqual(
    end === 'commits' ? { outcome: 'refused', status: 'crashed' } : { outcome: 'changed', status: 'completed' },
  );
});

it('16 starts of one queued run: one has it', async () => {
  const sources = await db.connections(16, { max: 1 });
  for (let n = 0; n < REPETITIONS; n += 1) {
    await idle(`w-${n}`, 'queued');
    const starts = await Promise.all(sources.map((source) => on(source).startWorkerRun('t-a', `w-${n}`)));
    expect(starts.filter(({ outcome }) => outcome === 'changed')).toHaveLength(1);
    expect(starts.filter(({ outcome, status }) => outcome === 'refused' && status === 'running')).toHaveLength(15);
  }
});

/** A run's request as each writer sends it. */
const REPLAYS: readonly (readonly [string, (name: string) => Partial<NewRun>])[] = [
  ['ids', (name) => ({ id: name })],
  ['idempotency keys, each writer with ids of its own', (name) => ({ idempotencyKey: name })],
];
it.each(REPLAYS)(
  '8 writers of the same 500 runs by their %s, shuffled: each created once, no deadlock',
  async (_by, named) => {
    const sources = await db.connections(8, { max: 1 });
    for (let n = 0; n < REPETITIONS; n += 1) {
      const runs = Array.from({ length: 500 }, (_, k) => ({
        ...{ agentId: 'a', originSystemId: 'o', goal: 'g' },
        ...named(`r${n}-${k}`),
      }));
      const outcomes = await Promise.all(sources.map((source) => on(source).createRuns('t-a', shuffled(runs))));
      expect(tally(outcomes.flat())).toEqual({ created: 500, duplicate: 3500 });
      expect(new Set(outcomes.flat().map(({ id }) => id)).size).toBe(500);
    }
  },
);

it('8 writers of a retry of the same 50 parents, each under its own ids, shuffled: one open retry of each, no deadlock', async () => {
  const sources = await db.connections(8, { max: 1 });
  const parents = Array.from({ length: 50 }, (_, k) => `p-${k}`);
  await home().createWorkerRuns(
    't-a',
    parents.map((id) => ({ id, workerId: 'w', task: 't' })),
  );
  for (let n = 0; n < REPETITIONS; n += 1) {
    const retries = parents.map((parentRunId) => ({ workerId: 'w', task: 't', parentRunId, attempt: 2 }));
    const outcomes = await Promise.all(sources.map((source) => on(source).createWorkerRuns('t-a', shuffled(retries))));
    expect(tally(outcomes.flat())).toEqual({ created: 50, conflict: 350 });
    await db.dataSource().query('DELETE FROM worker_runs WHERE is_retry');
  }
});

it('a create that meets a writer which rolls back ends as created, never as an error', async () => {
  const [a, b] = (await db.connections(2, { max: 1 })) as [DataSource, DataSource];
  const run: NewRun = { id: 'q', agentId: 'a', originSystemId: 'o', goal: 'g', idempotencyKey: 'k' };
  for (let n = 0; n < REPETITIONS; n += 1) {
    const runner = a.createQueryRunner();
    await runner.startTransaction();
    await getRunLifecycleDriver(runner.manager, { clock, ids }).createRuns('t-a', [run]);
    const second = on(b).createRuns('t-a', [run]);
    await waitFor(isBlocked, 'the second create waits for the first');
    await runner.rollbackTransaction();
    await runner.release();
    expect(await second).toEqual([{ index: 0, id: 'q', status: 'created' }]);
    await db.dataSource().query('DELETE FROM runs');
  }
});

it('8 retries of one crashed run: one row, seven conflicts', async () => {
  const sources = await db.connections(8, { max: 1 });
  for (let n = 0; n < REPETITIONS; n += 1) {
    await idle(`w-${n}`, 'crashed');
    const results = await Promise.allSettled(sources.map((source) => on(source).createRetryOf('t-a', `w-${n}`)));
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    for (const result of results)
      if (result.status === 'rejected')
        expect(result.reason).toMatchObject({ code: 'CONFLICT', details: { reason: 'unique' } });
    const open: { n: number }[] = await db
      .dataSource()
      .query(`SELECT count(*)::int AS n FROM worker_runs WHERE parent_run_id = $1`, [`w-${n}`]);
    expect(open).toEqual([{ n: 1 }]);
  }
});
