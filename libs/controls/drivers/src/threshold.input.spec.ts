import { entities, migrations } from '@hoc/controls/models';
import {
  DEFAULT_LLM_RUN_PARAMS,
  type LimitScope,
  type ThresholdSignal,
  type ThresholdSignalsInput,
} from '@hoc/controls/schemas';
import { InvalidArgumentError, TenantScopeError, TransactionRequiredError } from '@hoc/shared/kernel';
import { entities as shared, migrations as sharedMigrations } from '@hoc/shared/models';
import { fixedClock, makeLimit, makeRun, makeTenant, sequentialIds } from '@hoc/shared/testing';
import { insertRows, statementCounter, useDatabase } from '@hoc/testkit';
import { getThresholdDriver, getThresholdSignals, sharedRunsRiskSink } from './threshold.driver';

const deps = { clock: fixedClock('2026-03-10T12:00:00.000Z'), ids: sequentialIds('e') };
const db = useDatabase({ entities: [...shared, ...entities], migrations: [...sharedMigrations, ...migrations] });
const driver = () => getThresholdDriver(db.manager());
const signals = () => getThresholdSignals(db.manager(), deps);
const sink = () => sharedRunsRiskSink(db.manager(), deps);
const NAMED: ThresholdSignal = 'RUN_FAILED';
const INPUT: ThresholdSignalsInput = {
  runId: 'r1',
  state: 'live',
  signals: [NAMED],
  paramsUsed: DEFAULT_LLM_RUN_PARAMS,
};
const params = (given: object) => ({ paramsUsed: { ...DEFAULT_LLM_RUN_PARAMS, ...given } });
const content = async (): Promise<unknown> => [
  await db.manager().query('SELECT count(*) FROM ops_events'),
  await db.manager().query('SELECT l::text FROM limits l'),
  await db.manager().query('SELECT r::text FROM runs r'),
];

beforeEach(() =>
  insertRows(db.manager(), makeTenant({ id: 't1' }), makeRun('t1', { id: 'r1' }), makeLimit('t1', { id: 'l1' })),
);

/** Refused with the class, before any statement, and nothing is written. */
async function refused(
  ask: () => Promise<unknown>,
  type: typeof InvalidArgumentError | typeof TenantScopeError,
): Promise<void> {
  const before = await content();
  const counter = statementCounter(db.dataSource());
  await expect(ask()).rejects.toThrow(type);
  await expect(ask()).rejects.toMatchObject({ message: expect.not.stringMatching(/SELECT|INSERT|UPDATE|\$\d/) });
  expect(counter.count()).toBe(0);
  expect(await content()).toEqual(before);
}

it.each([undefined, null, '', ' ', 'x'.repeat(101), 7, 'a\0b', '\ud800'])(
  'G.4: tenant %j: TENANT_SCOPE of every call',
  async (given) => {
    const tenant = given as string;
    for (const ask of [
      () => driver().getActiveThresholdLimits(tenant),
      () => driver().getThresholdLimitByScope(tenant, 'TENANT'),
      () => signals().emitThresholdSignal(tenant, { ...INPUT, signal: NAMED }),
      () => signals().emitAndPersistThresholdSignal(tenant, INPUT),
      () => signals().emitAndPersistThresholdSignal(tenant, { ...INPUT, signals: [] }),
      () => sink().raise(tenant, 'r1', [NAMED]),
      () => sink().raise(tenant, 'r1', []),
    ])
      await refused(ask, TenantScopeError);
  },
);

it('G.4: without a transaction nothing is persisted; events alone and reads need none', async () => {
  const outside = getThresholdSignals(db.dataSource().manager, deps);
  const counter = statementCounter(db.dataSource());
  for (const input of [INPUT, { ...INPUT, signals: [] }, { ...INPUT, runId: '' }])
    await expect(outside.emitAndPersistThresholdSignal('t1', input)).rejects.toThrow(TransactionRequiredError);
  expect(counter.count()).toBe(0);
  expect(await getThresholdDriver(db.dataSource().manager).getActiveThresholdLimits('t1')).toEqual([]);
  try {
    const alone = await outside.emitThresholdSignal('t-out', { ...INPUT, signal: NAMED });
    expect(alone).toEqual({ emitted: [NAMED], duplicates: [] });
  } finally {
    await db.dataSource().query(`DELETE FROM ops_events WHERE tenant_id = 't-out'`);
  }
});

it.each<[string, LimitScope, string | null | undefined]>([
  ['F23: PROJECT without an id', 'PROJECT', undefined],
  ['F23: TENANT with one', 'TENANT', 'x'],
  ['GLOBAL with one', 'GLOBAL', 'x'],
  ['TENANT with an empty one', 'TENANT', ''],
  ['AGENT with null', 'AGENT', null],
  ['PROVIDER with an empty one', 'PROVIDER', ''],
  ['PROJECT with 101 characters', 'PROJECT', 'x'.repeat(101)],
  ['PROJECT with a number', 'PROJECT', 7 as never],
  ['an unknown scope', 'project' as never, 'p1'],
  ['no scope', undefined as never, undefined],
])('getThresholdLimitByScope: %s is refused', (_name, scope, scopeId) =>
  refused(() => driver().getThresholdLimitByScope('t1', scope, scopeId), InvalidArgumentError),
);

it.each<[string, object]>([
  ['an empty run id', { runId: '' }],
  ['a run id of 101', { runId: 'r'.repeat(101) }],
  ['a run id with U+0000', { runId: 'r\0' }],
  ['an unknown state', { state: 'LIVE' }],
  ['no state', { state: undefined }],
  ['no thresholds', { paramsUsed: undefined }],
  ['thresholds without one', { paramsUsed: { maxTokens: 9000 } }],
  ['thresholds out of bounds', params({ maxTokens: 255 })],
  ['a cost that is a number', params({ maxCostCents: 100 })],
  ['a failure signal that is none', params({ failureSignal: 1 })],
])('emission with %s is refused', async (_name, given) => {
  const input = { ...INPUT, ...given };
  await refused(() => signals().emitAndPersistThresholdSignal('t1', input), InvalidArgumentError);
  await refused(() => signals().emitThresholdSignal('t1', { ...input, signal: NAMED }), InvalidArgumentError);
});

it.each<[string, unknown]>([
  ['no list', 'RUN_FAILED'],
  ['nothing', undefined],
  ['an unknown signal', ['RUN_FAILED', 'SOMETHING_NEW']],
  ['a lower-case signal', ['run_failed']],
  ['null in the list', [null]],
  ['101 signals', Array.from({ length: 101 }, () => NAMED)],
])('%s instead of signals is refused', async (_name, given) => {
  const list = given as readonly ThresholdSignal[];
  await refused(() => signals().emitAndPersistThresholdSignal('t1', { ...INPUT, signals: list }), InvalidArgumentError);
  await refused(() => sink().raise('t1', 'r1', list), InvalidArgumentError);
});

it.each([undefined, null, 'RUN_FAILED', [], 7])('an input of %j is refused', async (given) => {
  await refused(() => signals().emitAndPersistThresholdSignal('t1', given as never), InvalidArgumentError);
  await refused(() => signals().emitThresholdSignal('t1', given as never), InvalidArgumentError);
});

it.each(['SOMETHING_NEW', '', null, ['RUN_FAILED'], 'constructor'])('one signal %j is refused', (signal) =>
  refused(() => signals().emitThresholdSignal('t1', { ...INPUT, signal: signal as never }), InvalidArgumentError),
);

it('the sink refuses a run id that is none', () =>
  refused(() => sink().raise('t1', '', [NAMED]), InvalidArgumentError));
