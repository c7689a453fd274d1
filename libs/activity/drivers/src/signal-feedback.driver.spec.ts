import { catalogue, entities, migrations, SignalFeedbackEntity } from '@hoc/activity/models';
import { FEEDBACK_STATES, type NewSignalFeedback, type SignalFeedbackPort } from '@hoc/activity/schemas';
import { InvalidArgumentError, systemScope, TenantScopeError } from '@hoc/shared/kernel';
import { entities as shared, migrations as sharedMigrations } from '@hoc/shared/models';
import { fixedClock, makeTenant, memoryLogger, sequentialIds } from '@hoc/shared/testing';
import { captureStatements, insertRows, statementCounter, useDatabase } from '@hoc/testkit';
import { getSignalFeedbackDriver, type SignalFeedbackDriver } from './signal-feedback.driver';

const db = useDatabase({ entities: [...shared, ...entities], migrations: [...sharedMigrations, ...migrations] });
const NOW = new Date('2026-03-10T12:00:00.000Z');
const later = (ms: number): Date => new Date(NOW.getTime() + ms);
const clock = fixedClock(NOW);
const fingerprint = (digit: number | string): string => String(digit).repeat(32);
const F1 = fingerprint('a');
const F2 = fingerprint('b');
const scope = systemScope('nightly');
const SUPPRESS: NewSignalFeedback = {
  signalFingerprint: F1,
  feedbackState: 'SUPPRESSED',
  actorId: 'jo',
  ttlSeconds: 60,
};
const BULK = { bulkActionId: 'bulk', targetSetHash: 'h', targetCount: 3 };
const bad = (value: unknown): never => value as never;
let driver: SignalFeedbackDriver;
let logger = memoryLogger();

beforeEach(async () => {
  clock.set(NOW);
  logger = memoryLogger();
  driver = getSignalFeedbackDriver(db.manager(), { clock, ids: sequentialIds('f'), logger });
  await insertRows(db.manager(), makeTenant({ id: 't-a' }), makeTenant({ id: 't-b' }));
});

const say = (feedbackState: 'ACKNOWLEDGED' | 'REOPENED', actorId = 'jo', signalFingerprint = F1) =>
  driver.insertFeedback('t-a', { signalFingerprint, feedbackState, actorId });
const active = async (tenant = 't-a', at = clock.now()): Promise<string[]> =>
  (await driver.fetchActiveSuppressions(tenant, at, {})).items.map(({ signalFingerprint }) => signalFingerprint);
const count = async (): Promise<unknown> => db.manager().query('SELECT count(*)::int AS n FROM signal_feedback');

describe('insertFeedback', () => {
  it('stores an answer as of the clock and gives it back, frozen, no entity', async () => {
    const row = await driver.insertFeedback('t-a', { ...SUPPRESS, ...BULK });
    expect(row).toEqual({
      id: 'f-000001',
      signalFingerprint: F1,
      feedbackState: 'SUPPRESSED',
      actorId: 'jo',
      asOf: NOW,
      ttlSeconds: 60,
      expiresAt: later(60_000),
      ...BULK,
      createdAt: NOW,
      updatedAt: NOW,
    });
    expect([Object.isFrozen(row), row instanceof SignalFeedbackEntity]).toEqual([true, false]);
    expect((await driver.fetchLatestFeedback('t-a', [F1])).get(F1)).toEqual(row);
  });
  it('an answer without a time to live does not end', async () => {
    expect(await say('ACKNOWLEDGED')).toMatchObject({
      ttlSeconds: null,
      expiresAt: null,
      bulkActionId: null,
      targetSetHash: null,
      targetCount: null,
    });
  });
  it('takes the longest suppression and the longest actor', async () => {
    const row = await driver.insertFeedback('t-a', { ...SUPPRESS, actorId: 'é'.repeat(200), ttlSeconds: 31_536_000 });
    expect(row.expiresAt).toEqual(new Date('2027-03-10T12:00:00.000Z'));
  });
  it('a tenant that does not exist is refused by its key', async () => {
    await expect(driver.insertFeedback('nobody', SUPPRESS)).rejects.toMatchObject({
      code: 'CONFLICT',
      details: { reason: 'foreign_key' },
    });
  });
});

describe('what counts', () => {
  it('the newest answer; a signal without one is not in the map', async () => {
    await say('ACKNOWLEDGED');
    const seen = await driver.getSignalFeedback('t-a', [F1, F2]);
    expect([...seen]).toEqual([
      [F1, { acknowledged: true, acknowledgedBy: 'jo', acknowledgedAt: NOW, suppressed: false, suppressedUntil: null }],
    ]);
    expect(Object.isFrozen(seen.get(F1))).toBe(true);
    clock.advance(1000);
    await say('REOPENED', 'al');
    expect((await driver.getSignalFeedback('t-a', [F1])).get(F1)).toEqual({
      acknowledged: false,
      acknowledgedBy: null,
      acknowledgedAt: null,
      suppressed: false,
      suppressedUntil: null,
    });
  });
  it('of two answers in one millisecond, the one with the later id', async () => {
    await say('ACKNOWLEDGED', 'jo');
    await say('ACKNOWLEDGED', 'al');
    expect((await driver.fetchLatestFeedback('t-a', [F1, F1])).get(F1)?.actorId).toBe('al');
  });
  it('a suppression replaces what was acknowledged, and its end does not bring it back', async () => {
    await say('ACKNOWLEDGED');
    clock.advance(1);
    await driver.insertFeedback('t-a', SUPPRESS);
    expect((await driver.getSignalFeedback('t-a', [F1])).get(F1)).toMatchObject({
      acknowledged: false,
      suppressed: true,
      suppressedUntil: later(60_001),
    });
    clock.advance(60_000);
    expect((await driver.getSignalFeedback('t-a', [F1])).get(F1)).toMatchObject({
      acknowledged: false,
      suppressed: false,
      suppressedUntil: null,
    });
  });
  it.each([
    ['before it begins', -1, false],
    ['as it begins', 0, true],
    ['just before its end', 59_999, true],
    ['at its end', 60_000, false],
  ])('a suppression %s (%i ms): %s', async (_when, ms, suppressed) => {
    await driver.insertFeedback('t-a', SUPPRESS);
    clock.set(later(ms));
    const status = (await driver.getSignalFeedback('t-a', [F1])).get(F1);
    expect(status).toMatchObject({ suppressed, suppressedUntil: suppressed ? later(60_000) : null });
    expect(await active()).toEqual(suppressed ? [F1] : []);
  });
  it('another tenant’s answer is none', async () => {
    await driver.insertFeedback('t-a', SUPPRESS);
    expect((await driver.fetchLatestFeedback('t-b', [F1])).size).toBe(0);
    expect((await driver.getSignalFeedback('t-b', [F1])).size).toBe(0);
    expect(await active('t-b')).toEqual([]);
  });
  it('is what a SignalFeedbackPort is asked for: 200 signals at once, and none without a statement', async () => {
    const port: SignalFeedbackPort = driver;
    const all = Array.from({ length: 200 }, (_, n) => n.toString(16).padStart(32, '0'));
    for (const each of all.slice(0, 3)) await say('ACKNOWLEDGED', 'jo', each);
    expect([...(await port.getSignalFeedback('t-a', all)).keys()].sort()).toEqual(all.slice(0, 3));
    const sent = await captureStatements(db.manager(), () => port.getSignalFeedback('t-a', []));
    expect(sent).toEqual([]);
  });
});

describe('fetchActiveSuppressions', () => {
  const five = async (): Promise<void> => {
    for (let n = 0; n < 5; n += 1)
      await driver.insertFeedback('t-a', {
        ...SUPPRESS,
        signalFingerprint: fingerprint(n),
        ttlSeconds: 100 - (n >> 1),
      });
  };
  const digits = (rows: readonly { readonly signalFingerprint: string }[]): string =>
    rows.map(({ signalFingerprint }) => signalFingerprint[0]).join('');

  it('gives the soonest to end first, by id where they end together, in pages', async () => {
    await five();
    const first = await driver.fetchActiveSuppressions('t-a', NOW, { limit: 3 });
    const next = await driver.fetchActiveSuppressions('t-a', NOW, { limit: 3, cursor: first.nextCursor ?? '' });
    expect([digits(first.items), digits(next.items), next.nextCursor]).toEqual(['423', '01', null]);
    expect([Object.isFrozen(first), Object.isFrozen(first.items), first.items.every(Object.isFrozen)]).toEqual([
      true,
      true,
      true,
    ]);
    expect((await driver.fetchActiveSuppressions('t-a', NOW, { limit: 5 })).nextCursor).toBeNull();
  });
  it('leaves out what was answered since, and shows a signal that was suppressed again once', async () => {
    await five();
    clock.advance(1);
    await say('REOPENED', 'jo', fingerprint(2));
    await driver.insertFeedback('t-a', { ...SUPPRESS, signalFingerprint: fingerprint(4), ttlSeconds: 1000 });
    expect((await active()).map((each) => each[0]).join('')).toBe('3014');
  });
  it('refuses a cursor of another tenant, instant or list', async () => {
    await five();
    const { nextCursor } = await driver.fetchActiveSuppressions('t-a', NOW, { limit: 1 });
    const cursor = nextCursor ?? '';
    for (const ask of [
      () => driver.fetchActiveSuppressions('t-b', NOW, { cursor }),
      () => driver.fetchActiveSuppressions('t-a', later(1), { cursor }),
      () => driver.fetchActiveSuppressions('t-a', NOW, { cursor: '' }),
      () => driver.fetchActiveSuppressions('t-a', NOW, { cursor: `${cursor}A` }),
    ])
      await expect(ask()).rejects.toMatchObject({ code: 'INVALID_ARGUMENT', details: { reason: 'cursor' } });
  });
});

describe('markExpiredAsEvaluated', () => {
  const stored = async (): Promise<unknown> =>
    db
      .manager()
      .query('SELECT tenant_id, id, feedback_state AS state, updated_at AS at FROM signal_feedback ORDER BY id');

  it('marks what has ended, of all tenants, at the clock, and nothing twice', async () => {
    await driver.insertFeedback('t-a', SUPPRESS);
    await driver.insertFeedback('t-b', SUPPRESS);
    await driver.insertFeedback('t-a', { ...SUPPRESS, signalFingerprint: F2, ttlSeconds: 61 });
    await say('ACKNOWLEDGED', 'jo', fingerprint('c'));
    clock.advance(60_500);
    expect(await driver.markExpiredAsEvaluated(scope, later(59_999))).toBe(0);
    expect(await driver.markExpiredAsEvaluated(scope, later(60_000))).toBe(2);
    expect(await driver.markExpiredAsEvaluated(scope, later(60_000))).toBe(0);
    expect(await stored()).toEqual([
      { tenant_id: 't-a', id: 'f-000001', state: 'EVALUATED', at: later(60_500) },
      { tenant_id: 't-b', id: 'f-000002', state: 'EVALUATED', at: later(60_500) },
      { tenant_id: 't-a', id: 'f-000003', state: 'SUPPRESSED', at: NOW },
      { tenant_id: 't-a', id: 'f-000004', state: 'ACKNOWLEDGED', at: NOW },
    ]);
  });
  it('takes the longest ended first, as many as it may', async () => {
    for (const ttlSeconds of [3, 1, 2]) await driver.insertFeedback('t-a', { ...SUPPRESS, ttlSeconds });
    expect(await driver.markExpiredAsEvaluated(scope, later(10_000), 2)).toBe(2);
    expect(await stored()).toMatchObject([{ state: 'SUPPRESSED' }, { state: 'EVALUATED' }, { state: 'EVALUATED' }]);
  });
  it('a marked suppression stays the newest answer, and says that it is over', async () => {
    await say('ACKNOWLEDGED');
    await driver.insertFeedback('t-a', SUPPRESS);
    clock.advance(60_000);
    await driver.markExpiredAsEvaluated(scope, clock.now());
    expect((await driver.fetchLatestFeedback('t-a', [F1])).get(F1)?.feedbackState).toBe('EVALUATED');
    expect((await driver.getSignalFeedback('t-a', [F1])).get(F1)).toMatchObject({
      acknowledged: false,
      suppressed: false,
    });
  });
  it('says in the log why it ran, and how many it marked', async () => {
    await driver.insertFeedback('t-a', SUPPRESS);
    await driver.markExpiredAsEvaluated(scope, later(60_000));
    expect(logger.entries).toEqual([
      { level: 'info', event: 'signal_suppressions_expired', fields: { reason: 'nightly', marked: 1 } },
    ]);
  });
});

it('each call is one statement', async () => {
  const calls: (() => Promise<unknown>)[] = [
    () => driver.insertFeedback('t-a', SUPPRESS),
    () => driver.fetchLatestFeedback('t-a', [F1, F2]),
    () => driver.getSignalFeedback('t-a', [F1, F2]),
    () => driver.fetchActiveSuppressions('t-a', NOW, {}),
    () => driver.markExpiredAsEvaluated(scope, NOW),
  ];
  for (const call of calls) expect(await captureStatements(db.manager(), call)).toHaveLength(1);
});

it('works in the caller’s unit of work: a rollback takes it back', async () => {
  await driver.insertFeedback('t-a', SUPPRESS);
  await db.manager().query('SAVEPOINT here');
  clock.advance(60_000);
  await say('REOPENED');
  expect(await driver.markExpiredAsEvaluated(scope, clock.now())).toBe(1);
  await db.manager().query('ROLLBACK TO SAVEPOINT here');
  expect((await driver.fetchLatestFeedback('t-a', [F1])).get(F1)).toMatchObject({ feedbackState: 'SUPPRESSED' });
});

it('the schemas and the table have the same list of states', () => {
  const lists = catalogue.flatMap(({ checks }) => checks.flatMap(({ oneOf }) => (oneOf ? [oneOf] : [])));
  expect(lists).toEqual([{ column: 'feedback_state', values: [...FEEDBACK_STATES] }]);
});

describe('bad input', () => {
  const latest = (list: unknown) => driver.fetchLatestFeedback('t-a', bad(list));
  const insert = (more: object) => driver.insertFeedback('t-a', { ...SUPPRESS, ...more });
  const page = (asOf: unknown, more: object = {}) => driver.fetchActiveSuppressions('t-a', bad(asOf), more);
  const many = Array.from({ length: 201 }, () => F1);
  it.each<[string, () => Promise<unknown>]>([
    ['no input', () => driver.insertFeedback('t-a', bad(undefined))],
    ['upper case', () => insert({ signalFingerprint: 'A'.repeat(32) })],
    ['31 digits', () => insert({ signalFingerprint: 'a'.repeat(31) })],
    ['a line end', () => insert({ signalFingerprint: `${F1}\n` })],
    ['no fingerprint', () => insert({ signalFingerprint: undefined })],
    ['EVALUATED', () => insert({ feedbackState: 'EVALUATED' })],
    ['an unknown state', () => insert({ feedbackState: 'CLOSED' })],
    ['an empty actor', () => insert({ actorId: '' })],
    ['an actor of 201 characters', () => insert({ actorId: 'x'.repeat(201) })],
    ['an actor with U+0000', () => insert({ actorId: 'a\u0000' })],
    ['0 seconds', () => insert({ ttlSeconds: 0 })],
    ['more than a year', () => insert({ ttlSeconds: 31_536_001 })],
    ['half a second', () => insert({ ttlSeconds: 0.5 })],
    ['seconds as text', () => insert({ ttlSeconds: '60' })],
    ['a suppression without an end', () => insert({ ttlSeconds: undefined })],
    ['an acknowledgement with an end', () => insert({ feedbackState: 'ACKNOWLEDGED' })],
    ['an empty bulk action', () => insert({ bulkActionId: '' })],
    ['a hash of 101 characters', () => insert({ targetSetHash: 'x'.repeat(101) })],
    ['a negative count', () => insert({ targetCount: -1 })],
    ['a count beyond integer', () => insert({ targetCount: 2_147_483_648 })],
    ['no list', () => latest(undefined)],
    ['a bad fingerprint in a list', () => latest([F1, `"'; DROP TABLE signal_feedback; --"`])],
    ['201 fingerprints', () => latest(many)],
    ['201 fingerprints of the port', () => driver.getSignalFeedback('t-a', many)],
    ['an instant as text', () => page('now')],
    ['an invalid Date', () => page(new Date(Number.NaN))],
    ['the year 10000', () => page(new Date('+010000-01-01T00:00:00Z'))],
    ['a year before 0', () => driver.markExpiredAsEvaluated(scope, new Date(-8.64e15))],
    ...[0, 201, 1.5, Number.NaN, '50'].map((limit): [string, () => Promise<unknown>] => [
      `a page of ${limit}`,
      () => page(NOW, { limit }),
    ]),
    ['no page', () => driver.fetchActiveSuppressions('t-a', NOW, bad(null))],
    ['an expiry at no instant', () => driver.markExpiredAsEvaluated(scope, bad(undefined))],
    ['an expiry of 0', () => driver.markExpiredAsEvaluated(scope, NOW, 0)],
    ['an expiry of 1,001', () => driver.markExpiredAsEvaluated(scope, NOW, 1001)],
  ])('%s: INVALID_ARGUMENT before any statement', async (_name, ask) => {
    const before = await count();
    const counter = statementCounter(db.dataSource());
    await expect(ask()).rejects.toThrow(InvalidArgumentError);
    expect(counter.count()).toBe(0);
    expect(await count()).toEqual(before);
  });
  it.each([undefined, null, '', ' ', 'x'.repeat(101), 7, {}, 'a\u0000', '\ud800'])(
    'the tenant %j: TENANT_SCOPE before any statement, whatever else is wrong',
    async (tenant) => {
      const counter = statementCounter(db.dataSource());
      for (const ask of [
        () => driver.insertFeedback(bad(tenant), bad(null)),
        () => driver.fetchLatestFeedback(bad(tenant), bad(null)),
        () => driver.getSignalFeedback(bad(tenant), bad(null)),
        () => driver.fetchActiveSuppressions(bad(tenant), bad(null), bad(null)),
      ])
        await expect(ask()).rejects.toThrow(TenantScopeError);
      expect(counter.count()).toBe(0);
    },
  );
  it.each([undefined, {}, { kind: 'system', reason: 'by hand' }])('the scope %j: TENANT_SCOPE', async (given) => {
    const counter = statementCounter(db.dataSource());
    await expect(driver.markExpiredAsEvaluated(bad(given), bad(null))).rejects.toThrow(TenantScopeError);
    expect(counter.count()).toBe(0);
  });
});
