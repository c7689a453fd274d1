import type { NewRun, NewWorkerRun } from '@hoc/activity/schemas';
import { systemScope } from '@hoc/shared/kernel';
import { entities, migrations } from '@hoc/shared/models';
import { fixedClock, makeRun, makeTenant, makeWorkerRun, sequentialIds } from '@hoc/shared/testing';
import { insertRows, statementCounter, useDatabase } from '@hoc/testkit';
import { recoverOrphanedRuns } from './orphan-recovery.driver';
import { getRunLifecycleDriver, type RunLifecycleDriver } from './run-lifecycle.driver';

const db = useDatabase({ entities, migrations });
const clock = fixedClock('2026-03-10T12:00:00.000Z');
let ids = sequentialIds('new');
const driver = (): RunLifecycleDriver => getRunLifecycleDriver(db.manager(), { clock, ids });
const at = (text: string): Date => new Date(`2026-03-10T${text}Z`);
const run = (id: string | undefined, more: Partial<NewRun> = {}): NewRun => ({
  ...(id === undefined ? {} : { id }),
  agentId: 'ag',
  originSystemId: 'console',
  goal: 'answer',
  ...more,
});
const work = (id: string | undefined, more: Partial<NewWorkerRun> = {}): NewWorkerRun => ({
  ...(id === undefined ? {} : { id }),
  workerId: 'w',
  task: 'do',
  ...more,
});
const row = async (table: 'runs' | 'worker_runs', id: string): Promise<Record<string, unknown>> => {
  const rows: Record<string, unknown>[] = await db
    .manager()
    .query(`SELECT * FROM ${table} WHERE tenant_id = 't-a' AND id = $1`, [id]);
  return rows[0] ?? {};
};
const count = async (table: string): Promise<number> => {
  const rows: { n: number }[] = await db.manager().query(`SELECT count(*)::int AS n FROM ${table}`);
  return rows[0]?.n ?? -1;
};

beforeEach(async () => {
  clock.set('2026-03-10T12:00:00.000Z');
  ids = sequentialIds('new');
  await insertRows(db.manager(), makeTenant({ id: 't-a' }), makeTenant({ id: 't-b' }));
});

describe('createRuns', () => {
  const batch = [run('q-1'), run('q-2'), run('q-1'), run('q-2', { goal: 'another' })];
  it('F79: in input order: created, created, duplicate, conflict', async () => {
    expect(await driver().createRuns('t-a', batch)).toEqual([
      { index: 0, id: 'q-1', status: 'created' },
      { index: 1, id: 'q-2', status: 'created' },
      { index: 2, id: 'q-1', status: 'duplicate' },
      { index: 3, id: 'q-2', status: 'conflict' },
    ]);
    expect(await count('runs')).toBe(2);
    expect(await row('runs', 'q-1')).toMatchObject({
      status: 'queued',
      state: 'LIVE',
      attempts: 0,
      max_attempts: 3,
      source: 'agent',
      provider_type: 'anthropic',
      created_at: clock.now(),
      updated_at: clock.now(),
    });
  });
  it('F80: an hour later, with one ended meanwhile, the replay changes nothing', async () => {
    await driver().createRuns('t-a', batch);
    await db
      .manager()
      .query(`UPDATE runs SET status = 'succeeded', state = 'COMPLETED', risk_level = 'VIOLATED' WHERE id = 'q-1'`);
    const before = [await row('runs', 'q-1'), await row('runs', 'q-2')];
    clock.advance(3_600_000);
    expect((await driver().createRuns('t-a', batch)).map(({ status }) => status)).toEqual([
      'duplicate',
      'duplicate',
      'duplicate',
      'conflict',
    ]);
    expect([await row('runs', 'q-1'), await row('runs', 'q-2')]).toEqual(before);
  });
  it('F81: a stored idempotency key is that run, whatever id the replay brings', async () => {
    const [first] = await driver().createRuns('t-a', [run('q-3', { idempotencyKey: 'k' })]);
    const [again] = await driver().createRuns('t-a', [run('q-4', { idempotencyKey: 'k' })]);
    const [unnamed] = await driver().createRuns('t-a', [run(undefined, { idempotencyKey: 'k' })]);
    const [other] = await driver().createRuns('t-a', [run('q-5', { idempotencyKey: 'k', agentId: 'else' })]);
    const [otherUnnamed] = await driver().createRuns('t-a', [run(undefined, { idempotencyKey: 'k', agentId: 'else' })]);
    expect([first, again, unnamed, other, otherUnnamed].map((each) => [each?.id, each?.status])).toEqual([
      ['q-3', 'created'],
      ['q-3', 'duplicate'],
      ['q-3', 'duplicate'],
      ['q-5', 'conflict'],
      [null, 'conflict'],
    ]);
    expect(await count('runs')).toBe(1);
    expect((await driver().createRuns('t-b', [run('q-9', { idempotencyKey: 'k' })]))[0]?.status).toBe('created');
  });
  it("F82: parents may stand in the same call; another tenant's is none", async () => {
    const created = await driver().createRuns('t-a', [run('q-6', { parentRunId: 'q-7' }), run('q-7')]);
    expect(created.map(({ status }) => status)).toEqual(['created', 'created']);
    await driver().createRuns('t-b', [run('x-9')]);
    await db.manager().query('SAVEPOINT refused');
    await expect(driver().createRuns('t-a', [run('q-8', { parentRunId: 'x-9' })])).rejects.toMatchObject({
      code: 'NOT_FOUND',
      details: { field: 'parentRunId' },
    });
    await db.manager().query('ROLLBACK TO SAVEPOINT refused');
    expect(await row('runs', 'q-8')).toEqual({});
    await expect(driver().createRuns('nobody', [run('q')])).rejects.toMatchObject({ details: { field: 'tenantId' } });
  });
  it('the first record of a key leads, whatever its id; the later ones are what a second write is', async () => {
    const under = (id: string, goal: string): NewRun => run(id, { idempotencyKey: 'k', goal });
    const outcomes = await driver().createRuns('t-a', [under('q-9', 'one'), under('q-1', 'two'), under('q-2', 'one')]);
    expect(outcomes.map(({ id, status }) => [id, status])).toEqual([
      ['q-9', 'created'],
      ['q-1', 'conflict'],
      ['q-9', 'duplicate'],
    ]);
    expect(await row('runs', 'q-9')).toMatchObject({ goal: 'one', idempotency_key: 'k' });
  });
  it('every column that a request sets is its content', async () => {
    const full = run('q', {
      actorType: 'HUMAN',
      actorId: 'jo',
      projectId: 'p',
      source: 'sdk',
      providerType: 'openai',
      priority: 5,
      maxAttempts: 7,
      expectedLatencyMs: 9_007_199_254_740_991,
      plan: { steps: ['"a"', { b: null }] },
      isSynthetic: true,
      syntheticScenarioId: 's',
      createdAt: at('11:00:00'),
    });
    await driver().createRuns('t-a', [full]);
    expect(await row('runs', 'q')).toMatchObject({
      actor_id: 'jo',
      priority: 5,
      expected_latency_ms: '9007199254740991',
      plan_json: full.plan,
      created_at: at('11:00:00'),
    });
    const changes: Partial<NewRun>[] = [
      { actorId: 'else' },
      { projectId: 'else' },
      { source: 'human' },
      { providerType: 'custom' },
      { priority: 6 },
      { maxAttempts: 8 },
      { expectedLatencyMs: 1 },
      { plan: { steps: [] } },
      { isSynthetic: false },
      { syntheticScenarioId: 'else' },
      { createdAt: at('11:00:01') },
    ];
    const outcomes = await driver().createRuns('t-a', [full, ...changes.map((change) => ({ ...full, ...change }))]);
    expect(outcomes.map(({ status }) => status)).toEqual(['duplicate', ...changes.map(() => 'conflict')]);
    const { createdAt: _, ...timeless } = full;
    expect((await driver().createRuns('t-a', [timeless]))[0]?.status).toBe('duplicate');
  });
  it('one statement when all are new, two otherwise, none for none', async () => {
    const counter = statementCounter(db.dataSource());
    expect(await driver().createRuns('t-a', [])).toEqual([]);
    expect(counter.count()).toBe(0);
    await driver().createRuns(
      't-a',
      Array.from({ length: 1000 }, (_, n) => run(`n-${n}`)),
    );
    expect(counter.count()).toBe(1);
    await driver().createRuns('t-a', [run('n-1'), run(undefined)]);
    expect(counter.count()).toBe(3);
    await driver().createWorkerRuns('t-a', [work('w-1')]);
    expect(counter.count()).toBe(4);
  });
});

describe('transitions of a run', () => {
  beforeEach(() => driver().createRuns('t-a', [run('q-1'), run('q-2'), run('q-7')]));
  it('F83, F84: start, end, the same end again, another end', async () => {
    expect(await driver().startRun('t-a', 'q-1')).toEqual({ outcome: 'changed', status: 'running' });
    expect(await row('runs', 'q-1')).toMatchObject({ attempts: 1, started_at: clock.now(), last_seen_at: clock.now() });
    clock.advance(90_000);
    const finish = (status: 'succeeded' | 'failed', estimatedCostCents: string) =>
      driver().finishRun('t-a', 'q-1', {
        status,
        figures: { inputTokens: 700, outputTokens: 0, estimatedCostCents, terminationReason: 'completed' },
      });
    expect(await finish('succeeded', '1.5')).toEqual({ outcome: 'changed', status: 'succeeded' });
    const ended = await row('runs', 'q-1');
    expect(ended).toMatchObject({
      status: 'succeeded',
      state: 'COMPLETED',
      duration_ms: '90000',
      output_tokens: '0',
      estimated_cost_cents: '1.500000',
      completed_at: clock.now(),
      termination_reason: 'completed',
    });
    clock.advance(1000);
    expect(await finish('succeeded', '1.5')).toEqual({ outcome: 'duplicate', status: 'succeeded' });
    expect(await finish('succeeded', '1.50')).toEqual({ outcome: 'duplicate', status: 'succeeded' });
    expect(await finish('succeeded', '2')).toEqual({ outcome: 'refused', status: 'succeeded' });
    expect(await finish('failed', '1.5')).toEqual({ outcome: 'refused', status: 'succeeded' });
    expect(await row('runs', 'q-1')).toEqual(ended);
    expect(await driver().startRun('t-a', 'q-1')).toEqual({ outcome: 'refused', status: 'succeeded' });
  });
  it('F89: a foreign run is missing; a queued one can fail but not succeed', async () => {
    expect(await driver().finishRun('t-b', 'q-1', { status: 'failed' })).toEqual({ outcome: 'missing', status: null });
    expect(
      await driver().finishRun('t-a', 'q-2', {
        status: 'failed_policy',
        figures: { terminationReason: 'policy_block' },
      }),
    ).toEqual({
      outcome: 'changed',
      status: 'failed_policy',
    });
    expect(await row('runs', 'q-2')).toMatchObject({ duration_ms: null, termination_reason: 'policy_block' });
    expect(await driver().finishRun('t-a', 'q-7', { status: 'succeeded' })).toEqual({
      outcome: 'refused',
      status: 'queued',
    });
  });
  it('a retry: running, retry, running again, its first start stands', async () => {
    await driver().startRun('t-a', 'q-1');
    const later = at('12:30:00');
    expect(await driver().retryRun('t-a', 'q-1', { nextAttemptAt: later, errorMessage: 'busy' })).toEqual({
      outcome: 'changed',
      status: 'retry',
    });
    expect(await row('runs', 'q-1')).toMatchObject({ state: 'LIVE', next_attempt_at: later, error_message: 'busy' });
    expect(await driver().retryRun('t-a', 'q-1')).toEqual({ outcome: 'refused', status: 'retry' });
    clock.advance(60_000);
    await driver().startRun('t-a', 'q-1');
    expect(await row('runs', 'q-1')).toMatchObject({
      attempts: 2,
      started_at: at('12:00:00'),
      last_seen_at: at('12:01:00'),
    });
  });
  it('an end before the start lasts 0 ms; a given duration and end stand', async () => {
    await driver().startRun('t-a', 'q-1');
    await driver().finishRun('t-a', 'q-1', { status: 'failed', figures: { completedAt: at('11:00:00') } });
    expect(await row('runs', 'q-1')).toMatchObject({ duration_ms: '0', completed_at: at('11:00:00') });
    await driver().startRun('t-a', 'q-2');
    await driver().finishRun('t-a', 'q-2', {
      status: 'failed',
      figures: { durationMs: 7, toolCalls: { n: 1 }, policyViolation: true, stoppedAtStep: 3 },
    });
    expect(await row('runs', 'q-2')).toMatchObject({
      duration_ms: '7',
      tool_calls_json: { n: 1 },
      policy_violation: true,
      stopped_at_step: 3,
    });
  });
});

describe('worker runs', () => {
  beforeEach(() => driver().createWorkerRuns('t-a', [work('w-1'), work('w-2'), work('w-3')]));
  it('F85: one start; an end needs a start', async () => {
    expect(await driver().startWorkerRun('t-a', 'w-1')).toEqual({ outcome: 'changed', status: 'running' });
    expect(await driver().startWorkerRun('t-a', 'w-1')).toEqual({ outcome: 'refused', status: 'running' });
    expect(await driver().finishWorkerRun('t-a', 'w-2', { status: 'failed' })).toEqual({
      outcome: 'refused',
      status: 'queued',
    });
  });
  it('F86: after a crash the late end is refused, and the retry is where the work goes on', async () => {
    clock.set('2026-03-10T10:00:00.000Z');
    await driver().createWorkerRuns('t-a', [work('w-0')]);
    await driver().startWorkerRun('t-a', 'w-0');
    clock.set('2026-03-10T12:00:00.000Z');
    await recoverOrphanedRuns(db.manager(), systemScope('test'), { clock });
    const late = await driver().finishWorkerRun('t-a', 'w-0', { status: 'completed', figures: { costCents: '3' } });
    expect(late).toEqual({ outcome: 'refused', status: 'crashed' });
    expect(await row('worker_runs', 'w-0')).toMatchObject({ cost_cents: null, success: null });
    const retry = await driver().createRetryOf('t-a', 'w-0');
    expect(retry).toMatchObject({ parentRunId: 'w-0', attempt: 2, status: 'queued', createdAt: clock.now() });
    expect(await row('worker_runs', retry?.runId ?? '')).toMatchObject({ is_retry: true, worker_id: 'w', task: 'do' });
    // The caller's transaction goes on after the refusal.
    await expect(driver().createRetryOf('t-a', 'w-0')).rejects.toMatchObject({
      code: 'CONFLICT',
      details: { runId: 'w-0', status: 'crashed', reason: 'unique' },
    });
    expect(await driver().createRetryOf('t-b', 'w-0')).toBeNull();
    await expect(driver().createRetryOf('t-a', 'w-2')).rejects.toMatchObject({
      details: { reason: 'not_retryable', status: 'queued' },
    });
  });
  it('F88: a heartbeat never moves back, and ends with the run', async () => {
    await driver().startWorkerRun('t-a', 'w-3');
    expect(await driver().touchWorkerRun('t-a', 'w-3', at('12:05:00'))).toBe(true);
    expect(await driver().touchWorkerRun('t-a', 'w-3', at('12:04:00'))).toBe(true);
    expect(await row('worker_runs', 'w-3')).toMatchObject({ last_seen_at: at('12:05:00') });
    await driver().finishWorkerRun('t-a', 'w-3', { status: 'completed' });
    expect(await driver().touchWorkerRun('t-a', 'w-3')).toBe(false);
    expect(await driver().touchWorkerRun('t-b', 'w-1')).toBe(false);
  });
  it('the figures of an end, and the same end again', async () => {
    await driver().startWorkerRun('t-a', 'w-1');
    const figures = {
      output: { text: 'a "b"' },
      totalTokens: 5,
      totalLatencyMs: 6,
      stagesCompleted: 2,
      recoveries: 1,
      policyViolations: 0,
      costCents: '0.000001',
    };
    expect(await driver().finishWorkerRun('t-a', 'w-1', { status: 'completed', figures })).toMatchObject({
      outcome: 'changed',
    });
    expect(await row('worker_runs', 'w-1')).toMatchObject({
      success: true,
      output_json: figures.output,
      total_tokens: '5',
      cost_cents: '0.000001',
      completed_at: clock.now(),
    });
    expect(await driver().finishWorkerRun('t-a', 'w-1', { status: 'completed', figures })).toMatchObject({
      outcome: 'duplicate',
    });
    const other = { status: 'completed', figures: { ...figures, output: {} } } as const;
    expect(await driver().finishWorkerRun('t-a', 'w-1', other)).toEqual({ outcome: 'refused', status: 'completed' });
  });
  it('every column that a request sets is its content', async () => {
    const full = work('w', {
      apiKeyId: 'key',
      userId: 'jo',
      input: { text: 'a "b"' },
      parentRunId: 'w-1',
      attempt: 2,
      isSynthetic: true,
      syntheticScenarioId: 's',
      createdAt: at('11:00:00'),
    });
    await driver().createWorkerRuns('t-a', [full]);
    expect(await row('worker_runs', 'w')).toMatchObject({
      api_key_id: 'key',
      user_id: 'jo',
      input_json: full.input,
      is_retry: true,
      is_synthetic: true,
      created_at: at('11:00:00'),
    });
    const changes: Partial<NewWorkerRun>[] = [
      { workerId: 'else' },
      { task: 'else' },
      { apiKeyId: 'else' },
      { userId: 'else' },
      { input: {} },
      { parentRunId: 'w-2' },
      { attempt: 3 },
      { isSynthetic: false },
      { syntheticScenarioId: 'else' },
      { createdAt: at('11:00:01') },
    ];
    const outcomes = await driver().createWorkerRuns('t-a', [
      full,
      ...changes.map((change) => ({ ...full, ...change })),
    ]);
    expect(outcomes.map(({ status }) => status)).toEqual(['duplicate', ...changes.map(() => 'conflict')]);
    const { createdAt: _, ...timeless } = full;
    expect((await driver().createWorkerRuns('t-a', [timeless]))[0]?.status).toBe('duplicate');
    expect(await count('worker_runs')).toBe(4);
  });
  it('only one retry of a parent is open, the first in the call; a finished one makes room', async () => {
    const retry = (id: string, attempt = 2) => work(id, { parentRunId: 'w-1', attempt });
    const outcomes = await driver().createWorkerRuns('t-a', [retry('r-2'), retry('r-1')]);
    expect(outcomes.map(({ id, status }) => [id, status])).toEqual([
      ['r-2', 'created'],
      ['r-1', 'conflict'],
    ]);
    await driver().startWorkerRun('t-a', 'r-2');
    await driver().finishWorkerRun('t-a', 'r-2', { status: 'failed' });
    expect((await driver().createWorkerRuns('t-a', [retry('r-3', 3)]))[0]?.status).toBe('created');
  });
  it('a chain of retries, the first attempt first, of its own tenant alone', async () => {
    await insertRows(
      db.manager(),
      makeWorkerRun('t-a', { id: 'c1', status: 'crashed' }),
      makeWorkerRun('t-a', { id: 'c2', status: 'failed', parent_run_id: 'c1', attempt: 2, is_retry: true }),
      makeWorkerRun('t-a', { id: 'c3', status: 'queued', parent_run_id: 'c2', attempt: 3, is_retry: true }),
    );
    const chain = await driver().fetchRetryChain('t-a', 'c3');
    expect(chain.map(({ runId, attempt, status }) => [runId, attempt, status])).toEqual([
      ['c1', 1, 'crashed'],
      ['c2', 2, 'failed'],
      ['c3', 3, 'queued'],
    ]);
    expect(await driver().fetchRetryChain('t-b', 'c3')).toEqual([]);
    await db.manager().query(`UPDATE worker_runs SET parent_run_id = 'c3' WHERE id = 'c1'`);
    expect((await driver().fetchRetryChain('t-a', 'c3')).map(({ runId }) => runId)).toEqual(['c1', 'c2', 'c3']);
  });
  it('a chain of more than 100 attempts is told by its last 100', async () => {
    await db.manager().query(
      `INSERT INTO worker_runs (tenant_id, id, worker_id, task, status, created_at, parent_run_id, attempt, is_retry)
       SELECT 't-a', 'n-' || n, 'w', '', 'crashed', $1::timestamptz, CASE WHEN n > 1 THEN 'n-' || n - 1 END, n, n > 1
       FROM generate_series(1, 120) n`,
      [clock.now()],
    );
    const chain = await driver().fetchRetryChain('t-a', 'n-120');
    expect([chain.length, chain[0]?.attempt, chain[99]?.attempt]).toEqual([100, 21, 120]);
  });
  it('a retry has the work of its parent, and nothing of how that ended', async () => {
    const input = { text: 'x' };
    const more = { apiKeyId: 'key', userId: 'jo', input, isSynthetic: true, syntheticScenarioId: 's' };
    await driver().createWorkerRuns('t-a', [work('w-0', more)]);
    await driver().startWorkerRun('t-a', 'w-0');
    const figures = { error: 'lost', output: { part: 1 }, totalTokens: 5, costCents: '1', replayToken: { at: 3 } };
    await driver().finishWorkerRun('t-a', 'w-0', { status: 'failed', figures });
    expect(await row('worker_runs', 'w-0')).toMatchObject({
      success: false,
      error: 'lost',
      replay_token_json: { at: 3 },
    });
    clock.advance(1000);
    const retry = await driver().createRetryOf('t-a', 'w-0');
    expect(await row('worker_runs', retry?.runId ?? '')).toMatchObject({
      ...{ worker_id: 'w', task: 'do', api_key_id: 'key', user_id: 'jo', input_json: input },
      ...{ is_synthetic: true, synthetic_scenario_id: 's', created_at: clock.now() },
      ...{ status: 'queued', success: null, error: null, output_json: null, total_tokens: null, cost_cents: null },
      ...{ started_at: null, completed_at: null, last_seen_at: null, replay_token_json: null },
    });
  });
});

it('each transition, each retry and each chain is one statement', async () => {
  await insertRows(db.manager(), makeRun('t-a', { id: 'q' }), makeWorkerRun('t-a', { id: 'w', status: 'failed' }));
  for (const ask of [
    () => driver().startRun('t-a', 'q'),
    () => driver().retryRun('t-a', 'q'),
    () => driver().finishRun('t-a', 'q', { status: 'failed' }),
    () => driver().startWorkerRun('t-a', 'w'),
    () => driver().touchWorkerRun('t-a', 'w'),
    () => driver().finishWorkerRun('t-a', 'w', { status: 'failed' }),
    () => driver().createRetryOf('t-a', 'w'),
    () => driver().fetchRetryChain('t-a', 'w'),
  ]) {
    const counter = statementCounter(db.dataSource());
    await ask();
    expect(counter.count()).toBe(1);
  }
});

it('results are frozen at every level, and what a caller does to a Date is its own affair', async () => {
  const createdAt = at('11:00:00');
  const results: unknown[] = [
    await driver().createRuns('t-a', [run('q')]),
    await driver().createWorkerRuns('t-a', [work('w', { createdAt })]),
    await driver().startRun('t-a', 'q'),
    await driver().startWorkerRun('t-a', 'w'),
    await driver().finishWorkerRun('t-a', 'w', { status: 'failed', figures: { completedAt: createdAt } }),
    await driver().createRetryOf('t-a', 'w'),
    await driver().fetchRetryChain('t-a', 'w'),
  ];
  for (const result of results.flatMap((each) => (Array.isArray(each) ? [each, ...(each as unknown[])] : [each])))
    expect(Object.isFrozen(result)).toBe(true);
  createdAt.setTime(0);
  expect(await row('worker_runs', 'w')).toMatchObject({ created_at: at('11:00:00'), completed_at: at('11:00:00') });
});

it("whatever is recorded or moved is undone with the caller's transaction", async () => {
  await db.manager().query('SAVEPOINT undone');
  await driver().createRuns('t-a', [run('q')]);
  await driver().createWorkerRuns('t-a', [work('w')]);
  await driver().startRun('t-a', 'q');
  await driver().finishRun('t-a', 'q', { status: 'succeeded' });
  await db.manager().query('ROLLBACK TO SAVEPOINT undone');
  expect([await count('runs'), await count('worker_runs')]).toEqual([0, 0]);
  expect(await driver().startRun('t-a', 'q')).toEqual({ outcome: 'missing', status: null });
});
