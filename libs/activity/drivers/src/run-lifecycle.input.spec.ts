import type { NewRun, NewWorkerRun, RunFigures, WorkerRunFigures } from '@hoc/activity/schemas';
import { type HocError, InvalidArgumentError, TenantScopeError } from '@hoc/shared/kernel';
import { entities, migrations } from '@hoc/shared/models';
import { fixedClock, makeRun, makeTenant, makeWorkerRun, sequentialIds } from '@hoc/shared/testing';
import { insertRows, statementCounter, useDatabase } from '@hoc/testkit';
import { getRunLifecycleDriver, type RunLifecycleDriver } from './run-lifecycle.driver';

const db = useDatabase({ entities, migrations });
const clock = fixedClock('2026-03-10T12:00:00.000Z');
const driver = (): RunLifecycleDriver => getRunLifecycleDriver(db.manager(), { clock, ids: sequentialIds('new') });
const bad = (value: unknown): never => value as never;
const at = (text: string): Date => new Date(text);
const run = (more: Partial<NewRun> = {}): NewRun => ({
  id: 'a',
  agentId: 'ag',
  originSystemId: 'o',
  goal: 'g',
  ...more,
});
const work = (more: Partial<NewWorkerRun> = {}): NewWorkerRun => ({ id: 'a', workerId: 'w', task: 't', ...more });
const facts = async (): Promise<unknown> =>
  db
    .manager()
    .query(`SELECT (SELECT json_agg(r) FROM runs r) AS runs, (SELECT json_agg(w) FROM worker_runs w) AS works`);

beforeEach(async () => {
  await insertRows(db.manager(), makeTenant({ id: 't-a' }));
  await insertRows(
    db.manager(),
    makeRun('t-a', { id: 'q', status: 'running' }),
    makeWorkerRun('t-a', { id: 'w', status: 'running' }),
  );
});

/** Refused before a statement is sent; every row is what it was. */
async function expectRefused(ask: () => Promise<unknown>, type: new (...args: never[]) => HocError): Promise<HocError> {
  const before = await facts();
  const counter = statementCounter(db.dataSource());
  const error: unknown = await ask().then(
    () => 'no error',
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(type);
  expect(counter.count()).toBe(0);
  expect(await facts()).toEqual(before);
  return error as HocError;
}

/** Each method on a tenant and a run. */
const METHODS: readonly (readonly [string, (tenant: string, id: string) => Promise<unknown>])[] = [
  ['createRuns', (tenant, id) => driver().createRuns(tenant, [run({ id })])],
  ['startRun', (tenant, id) => driver().startRun(tenant, id)],
  ['retryRun', (tenant, id) => driver().retryRun(tenant, id)],
  ['finishRun', (tenant, id) => driver().finishRun(tenant, id, { status: 'failed' })],
  ['createWorkerRuns', (tenant, id) => driver().createWorkerRuns(tenant, [work({ id })])],
  ['startWorkerRun', (tenant, id) => driver().startWorkerRun(tenant, id)],
  ['touchWorkerRun', (tenant, id) => driver().touchWorkerRun(tenant, id)],
  ['finishWorkerRun', (tenant, id) => driver().finishWorkerRun(tenant, id, { status: 'failed' })],
  ['fetchRetryChain', (tenant, id) => driver().fetchRetryChain(tenant, id)],
  ['createRetryOf', (tenant, id) => driver().createRetryOf(tenant, id)],
];

describe.each(METHODS)('%s', (_name, ask) => {
  it.each([undefined, null, '', ' ', 'x'.repeat(101), 7, 'a\0b', '\ud800'])(
    'tenant %j: TENANT_SCOPE',
    async (tenant) => {
      await expectRefused(() => ask(bad(tenant), 'q'), TenantScopeError);
    },
  );
  it.each([null, '', 'x'.repeat(101), 7, 'a\0b', '\ud800'])('run id %j: INVALID_ARGUMENT', async (id) => {
    await expectRefused(() => ask('t-a', bad(id)), InvalidArgumentError);
  });
});

it('SQL in an id is an id: no such run, and the tables are there', async () => {
  const id = `"'; DROP TABLE runs; --"`;
  const answers = [
    await driver().startRun('t-a', id),
    await driver().finishRun('t-a', id, { status: 'failed' }),
    await driver().startWorkerRun('t-a', id),
    await driver().touchWorkerRun('t-a', id),
    await driver().fetchRetryChain('t-a', id),
    await driver().createRetryOf('t-a', id),
  ];
  const missing = { outcome: 'missing', status: null };
  expect(answers).toEqual([missing, missing, missing, false, [], null]);
  expect((await driver().createRuns('t-a', [run({ id })]))[0]).toEqual({ index: 0, id, status: 'created' });
});

const DEEP = JSON.parse('{"a":'.repeat(30) + '1' + '}'.repeat(30)) as NewRun['plan'];
const RUNS: readonly (readonly [string, unknown, string])[] = [
  ['HUMAN without actor', { actorType: 'HUMAN' }, 'actorId'],
  ['an actor without HUMAN', { actorId: 'jo' }, 'actorId'],
  ['an actor type of its own', { actorType: 'ROBOT' }, 'actorType'],
  ['legacy-unknown', { agentId: 'legacy-unknown' }, 'agentId'],
  ['legacy-migration', { originSystemId: 'legacy-migration' }, 'originSystemId'],
  ['an agent that is absent', { agentId: undefined }, 'agentId'],
  ['an empty goal', { goal: '' }, 'goal'],
  ['a goal of 8,001 characters', { goal: 'x'.repeat(8001) }, 'goal'],
  ['a source of its own', { source: 'cron' }, 'source'],
  ['a provider of its own', { providerType: 'acme' }, 'providerType'],
  ['half a priority', { priority: 0.5 }, 'priority'],
  ['no attempt', { maxAttempts: 0 }, 'maxAttempts'],
  ['a key of 256 characters', { idempotencyKey: 'k'.repeat(256) }, 'idempotencyKey'],
  ['a latency below 0', { expectedLatencyMs: -1 }, 'expectedLatencyMs'],
  ['a plan that is a list', { plan: [] }, 'plan'],
  ['a plan too deep', { plan: DEEP }, 'plan'],
  ['a plan above 64 KiB', { plan: { text: 'x'.repeat(65_536) } }, 'plan'],
  ['synthetic as a word', { isSynthetic: 'yes' }, 'isSynthetic'],
  ['created in the future', { createdAt: at('2026-03-10T12:05:00.001Z') }, 'createdAt'],
  ['created in the past century', { createdAt: at('1999-12-31T23:59:59.999Z') }, 'createdAt'],
  ['created at no instant', { createdAt: new Date(NaN) }, 'createdAt'],
];
it.each(RUNS)('a run: %s: INVALID_ARGUMENT with field and place, nothing written', async (_name, more, field) => {
  const runs = [run(), { ...run({ id: 'b' }), ...(more as object) }];
  const { details } = await expectRefused(() => driver().createRuns('t-a', runs), InvalidArgumentError);
  expect(details).toMatchObject({ index: 1, field });
});

const WORKS: readonly (readonly [string, unknown, string])[] = [
  ['attempt 2 without parent', { attempt: 2 }, 'attempt'],
  ['attempt 0', { attempt: 0, parentRunId: 'w' }, 'attempt'],
  ['no worker', { workerId: '' }, 'workerId'],
  ['an empty task', { task: '' }, 'task'],
  ['an input that is a text', { input: 'x' }, 'input'],
  ['created in the future', { createdAt: at('2026-03-10T12:06:00.000Z') }, 'createdAt'],
];
it.each(WORKS)(
  'a worker run: %s: INVALID_ARGUMENT with field and place, nothing written',
  async (_name, more, field) => {
    const runs = [work(), { ...work({ id: 'b' }), ...(more as object) }];
    const { details } = await expectRefused(() => driver().createWorkerRuns('t-a', runs), InvalidArgumentError);
    expect(details).toMatchObject({ index: 1, field });
  },
);

it('the bounds themselves are taken', async () => {
  const ends = [at('2000-01-01T00:00:00.000Z'), at('2026-03-10T12:05:00.000Z')];
  const runs = ends.map((createdAt, n) =>
    run({ id: `b-${n}`, createdAt, goal: 'x'.repeat(8000), priority: -2_147_483_647 }),
  );
  expect((await driver().createRuns('t-a', runs)).map(({ status }) => status)).toEqual(['created', 'created']);
});

it.each([
  [
    '1,001 runs',
    () =>
      driver().createRuns(
        't-a',
        Array.from({ length: 1001 }, () => run()),
      ),
  ],
  [
    '1,001 worker runs',
    () =>
      driver().createWorkerRuns(
        't-a',
        Array.from({ length: 1001 }, () => work()),
      ),
  ],
  ['no list', () => driver().createRuns('t-a', bad({ length: 1 }))],
  ['a hole', () => driver().createRuns('t-a', bad([null]))],
  ['status retry', () => driver().finishRun('t-a', 'q', { status: bad('retry') })],
  ['status completed of a run', () => driver().finishRun('t-a', 'q', { status: bad('completed') })],
  ['status crashed of a worker run', () => driver().finishWorkerRun('t-a', 'w', { status: bad('crashed') })],
  ['status retry of a worker run', () => driver().finishWorkerRun('t-a', 'w', { status: bad('retry') })],
  ['status succeeded of a worker run', () => driver().finishWorkerRun('t-a', 'w', { status: bad('succeeded') })],
  ['no input of an end', () => driver().finishRun('t-a', 'q', bad(undefined))],
  ['a heartbeat at a word', () => driver().touchWorkerRun('t-a', 'w', bad('now'))],
  ['a retry at a word', () => driver().retryRun('t-a', 'q', { nextAttemptAt: bad('soon') })],
  ['a retry for an empty reason', () => driver().retryRun('t-a', 'q', { errorMessage: '' })],
])('%s: INVALID_ARGUMENT, nothing sent', async (_name, ask) => {
  await expectRefused(ask, InvalidArgumentError);
});

const TOO_MUCH = Number.MAX_SAFE_INTEGER + 1;
const FIGURES: readonly (readonly [keyof RunFigures, readonly unknown[]])[] = [
  ['errorMessage', ['', 'x'.repeat(8001), 1, null]],
  ['inputTokens', [-1, 0.5, TOO_MUCH, '1', null]],
  ['outputTokens', [-1, NaN]],
  ['estimatedCostCents', [1.5, '-1', '1.1234567', 'NaN', '1e3', null]],
  ['durationMs', [-1, Infinity]],
  ['terminationReason', ['bored', null]],
  ['stoppedAtStep', [-1, 2_147_483_648]],
  ['violationPolicyId', ['', 'x'.repeat(101)]],
  ['policyViolation', ['true', 1]],
  ['toolCalls', [[], 'x', { text: 'x'.repeat(65_536) }]],
  ['completedAt', ['now', new Date(NaN), null]],
];
it.each(FIGURES)('the figure %s of a run', async (field, values) => {
  for (const value of values) {
    const ask = () => driver().finishRun('t-a', 'q', { status: 'failed', figures: bad({ [field]: value }) });
    expect((await expectRefused(ask, InvalidArgumentError)).details['field']).toBe(field);
  }
});

const WORKER_FIGURES: readonly (readonly [keyof WorkerRunFigures, readonly unknown[]])[] = [
  ['success', ['yes', 1, null]],
  ['error', ['', 'x'.repeat(8001)]],
  ['output', ['x', [], { text: 'x'.repeat(65_536) }]],
  ['totalTokens', [-1, TOO_MUCH]],
  ['totalLatencyMs', [-1]],
  ['stagesCompleted', [-1, 2_147_483_648]],
  ['recoveries', [-1]],
  ['policyViolations', [-1]],
  ['costCents', [3, '-0.1', '0.0000001']],
  ['replayToken', [[]]],
  ['completedAt', ['now']],
];
it.each(WORKER_FIGURES)('the figure %s of a worker run', async (field, values) => {
  for (const value of values) {
    const ask = () => driver().finishWorkerRun('t-a', 'w', { status: 'failed', figures: bad({ [field]: value }) });
    expect((await expectRefused(ask, InvalidArgumentError)).details['field']).toBe(field);
  }
});

it.each([
  ['a run', () => driver().finishRun('t-a', 'q', { status: 'failed', figures: bad({ cost: '1' }) })],
  ['a worker run', () => driver().finishWorkerRun('t-a', 'w', { status: 'failed', figures: bad({ cost: '1' }) })],
])('a figure that %s does not have is refused, not lost', async (_name, ask) => {
  await expectRefused(ask, InvalidArgumentError);
});

const NOBODY = { code: 'NOT_FOUND', details: { field: 'tenantId' } };
const ORPHAN = { code: 'NOT_FOUND', details: { field: 'parentRunId' } };
it.each([
  ['a tenant that does not exist, runs', () => driver().createRuns('nobody', [run()]), NOBODY],
  ['a tenant that does not exist, worker runs', () => driver().createWorkerRuns('nobody', [work()]), NOBODY],
  [
    'a parent that does not exist',
    () => driver().createRuns('t-a', [run(), run({ id: 'b', parentRunId: 'x' })]),
    ORPHAN,
  ],
  ['a parent of a worker run', () => driver().createWorkerRuns('t-a', [work({ parentRunId: 'q' })]), ORPHAN],
])('%s: NOT_FOUND, nothing written', async (_name, ask, expected) => {
  const before = await facts();
  await db.manager().query('SAVEPOINT refused');
  await expect(ask()).rejects.toMatchObject(expected);
  await db.manager().query('ROLLBACK TO SAVEPOINT refused');
  expect(await facts()).toEqual(before);
});
