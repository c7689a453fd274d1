import type { RunFinish } from '@hoc/activity/schemas';
import { systemScope } from '@hoc/shared/kernel';
import { createHoc, ensureImportTarget } from '@hoc/shared/spine';
import { fixedClock, sequentialIds } from '@hoc/shared/testing';
import { useEmptyDatabase } from '@hoc/testkit';
import { activityModule, type ActivityEngines } from './index';

const NOON = '2026-03-10T12:00:00.000Z';
const clock = fixedClock(NOON);
const db = useEmptyDatabase({ entities: [], migrations: [] });
const connection = () => ({ url: db.url(), applicationName: 'lifecycle' });
const connect = () =>
  createHoc({ connection: connection(), modules: [activityModule], clock, ids: sequentialIds('made') });
let hoc: ReturnType<typeof connect>;

// A describe of its own: its hooks end before the database looks for connections that were left open.
describe('the lifecycle of runs on a database', () => {
  beforeAll(async () => {
    hoc = connect();
    await hoc.migrate();
    for (const tenantId of ['t-a', 't-b'])
      await hoc.transaction(({ manager }) =>
        ensureImportTarget(manager, { tenantId, integrationId: 'i', providerType: 'openai' }, { clock }),
      );
  });
  beforeEach(async () => {
    clock.set(NOON);
    await db.dataSource().query('TRUNCATE runs, worker_runs CASCADE');
    await create('q-1', 'q-2', 'q-7');
    await createWork('w-1', 'w-2', 'w-3');
  });
  afterAll(() => hoc.close());

  /** Each call its own transaction, as a runner's would be. */
  const ask = <T>(
    work: (lifecycle: ActivityEngines['lifecycle'], engines: ActivityEngines) => Promise<T>,
  ): Promise<T> => hoc.transaction(({ activity }) => work(activity.lifecycle, activity));
  const create = (...ids: string[]) =>
    ask((lifecycle) =>
      lifecycle.createRuns(
        't-a',
        ids.map((id) => ({ id, agentId: 'ag', originSystemId: 'console', goal: 'answer' })),
      ),
    );
  const createWork = (...ids: string[]) =>
    ask((lifecycle) =>
      lifecycle.createWorkerRuns(
        't-a',
        ids.map((id) => ({ id, workerId: 'w', task: 'do' })),
      ),
    );
  const finish = (id: string, end: RunFinish, tenant = 't-a') =>
    ask((lifecycle) => lifecycle.finishRun(tenant, id, end));
  const rowOf = async (table: 'runs' | 'worker_runs', id: string): Promise<Record<string, unknown> | undefined> => {
    const rows: Record<string, unknown>[] = await db.dataSource().query(`SELECT * FROM ${table} WHERE id = $1`, [id]);
    return rows[0];
  };
  const conflict = (runId: string, status: string, reason: string) => ({
    code: 'CONFLICT',
    details: { runId, status, reason },
  });

  it('F83, F84: a run is started and ended; the same end again is told, another one refused', async () => {
    expect(await ask((lifecycle) => lifecycle.startRun('t-a', 'q-1'))).toEqual({
      runId: 'q-1',
      status: 'running',
      changed: true,
    });
    clock.advance(90_000);
    const figures = { inputTokens: 700, outputTokens: 0, estimatedCostCents: '1.5' };
    expect(await finish('q-1', { status: 'succeeded', figures })).toMatchObject({ changed: true });
    const stored = await rowOf('runs', 'q-1');
    expect(stored).toMatchObject({
      ...{ status: 'succeeded', state: 'COMPLETED', attempts: 1, duration_ms: '90000' },
      ...{ output_tokens: '0', termination_reason: 'completed' },
    });
    clock.advance(1000);
    for (const estimatedCostCents of ['1.5', '1.50'])
      expect(await finish('q-1', { status: 'succeeded', figures: { ...figures, estimatedCostCents } })).toEqual({
        runId: 'q-1',
        status: 'succeeded',
        changed: false,
      });
    for (const other of [
      { status: 'succeeded' as const, figures: { ...figures, estimatedCostCents: '2' } },
      { status: 'failed' as const, figures },
    ])
      await expect(finish('q-1', other)).rejects.toMatchObject(conflict('q-1', 'succeeded', 'terminal'));
    expect(await rowOf('runs', 'q-1')).toEqual(stored);
  });

  it('F85: a worker run is started once, and ends only after that', async () => {
    const start = () => ask((lifecycle) => lifecycle.startWorkerRun('t-a', 'w-1'));
    expect(await start()).toEqual({ runId: 'w-1', status: 'running', changed: true });
    await expect(start()).rejects.toMatchObject(conflict('w-1', 'running', 'already_started'));
    await expect(
      ask((lifecycle) => lifecycle.finishWorkerRun('t-a', 'w-2', { status: 'completed' })),
    ).rejects.toMatchObject(conflict('w-2', 'queued', 'not_started'));
  });

  it('F86: after a crash the result comes too late, and one retry takes the work on', async () => {
    clock.set('2026-03-10T10:00:00.000Z');
    await createWork('w-0');
    await ask((lifecycle) => lifecycle.startWorkerRun('t-a', 'w-0'));
    clock.set(NOON);
    const { runs } = await ask((_, { orphans }) => orphans.recover(systemScope('a restart')));
    expect(runs.map(({ runId }) => runId)).toEqual(['w-0']);
    const late = ask((lifecycle) =>
      lifecycle.finishWorkerRun('t-a', 'w-0', { status: 'completed', figures: { costCents: '3' } }),
    );
    await expect(late).rejects.toMatchObject({
      ...conflict('w-0', 'crashed', 'terminal'),
      message: 'run is crashed: its result came too late',
    });
    expect(await rowOf('worker_runs', 'w-0')).toMatchObject({ cost_cents: null, success: null });
    const retry = () => ask((lifecycle) => lifecycle.retryWorkerRun('t-a', 'w-0'));
    const link = await retry();
    expect(link).toMatchObject({ parentRunId: 'w-0', attempt: 2, status: 'queued', createdAt: clock.now() });
    await expect(retry()).rejects.toMatchObject(conflict('w-0', 'crashed', 'unique'));
    const chain = await ask((lifecycle) => lifecycle.getRetryChain('t-a', link.runId));
    expect(chain.map(({ runId, attempt }) => [runId, attempt])).toEqual([
      ['w-0', 1],
      [link.runId, 2],
    ]);
  });

  it('a refused retry leaves the transaction usable: what else it did is stored', async () => {
    await ask((lifecycle) => lifecycle.startWorkerRun('t-a', 'w-3'));
    await ask((lifecycle) => lifecycle.finishWorkerRun('t-a', 'w-3', { status: 'failed' }));
    await ask((lifecycle) => lifecycle.retryWorkerRun('t-a', 'w-3'));
    await ask(async (lifecycle) => {
      await expect(lifecycle.retryWorkerRun('t-a', 'w-3')).rejects.toMatchObject(conflict('w-3', 'failed', 'unique'));
      await lifecycle.startRun('t-a', 'q-7');
    });
    expect(await rowOf('runs', 'q-7')).toMatchObject({ status: 'running' });
  });

  it('F88: signs of life, until the run has ended', async () => {
    const touch = (at: string) => ask((lifecycle) => lifecycle.touchWorkerRun('t-a', 'w-3', new Date(at)));
    await ask((lifecycle) => lifecycle.startWorkerRun('t-a', 'w-3'));
    expect([await touch('2026-03-10T12:05:00Z'), await touch('2026-03-10T12:04:00Z')]).toEqual([true, true]);
    expect(await rowOf('worker_runs', 'w-3')).toMatchObject({ last_seen_at: new Date('2026-03-10T12:05:00Z') });
    await ask((lifecycle) => lifecycle.finishWorkerRun('t-a', 'w-3', { status: 'completed' }));
    expect(await touch('2026-03-10T12:06:00Z')).toBe(false);
  });

  it('F89: a run of another tenant is not found; a queued one is given up, but has not succeeded', async () => {
    await expect(finish('q-1', { status: 'failed' }, 't-b')).rejects.toMatchObject({ code: 'NOT_FOUND' });
    expect(await finish('q-2', { status: 'failed_policy' })).toEqual({
      runId: 'q-2',
      status: 'failed_policy',
      changed: true,
    });
    expect(await rowOf('runs', 'q-2')).toMatchObject({ duration_ms: null, termination_reason: 'policy_block' });
    await expect(finish('q-7', { status: 'succeeded' })).rejects.toMatchObject(
      conflict('q-7', 'queued', 'not_started'),
    );
  });

  it('F90: a reason belongs to its status; a halt may be for the budget; 1,000 runs at most', async () => {
    await ask((lifecycle) => lifecycle.startRun('t-a', 'q-1'));
    await expect(
      finish('q-1', { status: 'succeeded', figures: { terminationReason: 'timeout' } }),
    ).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    expect(await rowOf('runs', 'q-1')).toMatchObject({ status: 'running' });
    expect(await finish('q-1', { status: 'halted', figures: { terminationReason: 'budget_exceeded' } })).toMatchObject({
      status: 'halted',
      changed: true,
    });
    expect(await rowOf('runs', 'q-1')).toMatchObject({ state: 'COMPLETED', termination_reason: 'budget_exceeded' });
    await expect(create(...Array.from({ length: 1001 }, (_, n) => `many-${n}`))).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
  });

  it('one invalid request of a batch: its place is told, and nothing is written', async () => {
    await expect(create('n-1', '')).rejects.toMatchObject({ code: 'INVALID_ARGUMENT', details: { index: 1 } });
    expect(await rowOf('runs', 'n-1')).toBeUndefined();
  });
});
