import { entities, migrations } from '@hoc/activity/models';
import type { NewSignalFeedback, SignalFeedbackPort } from '@hoc/activity/schemas';
import { ConflictError, InvalidArgumentError, systemScope, TenantScopeError } from '@hoc/shared/kernel';
import { entities as shared, migrations as sharedMigrations } from '@hoc/shared/models';
import { fixedClock, makeTenant, sequentialIds } from '@hoc/shared/testing';
import { captureStatements, explain, insertRows, statementCounter, useDatabase, useFreshDatabase } from '@hoc/testkit';
import fc from 'fast-check';
import { getSignalFeedbackDriver, type SignalFeedbackDriver } from './signal-feedback.driver';

const content = { entities: [...shared, ...entities], migrations: [...sharedMigrations, ...migrations] };
const clock = fixedClock('2026-03-10T12:00:00.000Z');
const F1 = 'a'.repeat(32);
const F2 = 'b'.repeat(32);
const scope = systemScope('test');
const SUPPRESS: NewSignalFeedback = {
  signalFingerprint: F1,
  feedbackState: 'SUPPRESSED',
  actorId: 'jo',
  ttlSeconds: 60,
};

beforeEach(() => clock.set('2026-03-10T12:00:00.000Z'));

describe('one connection', () => {
  const db = useDatabase(content);
  let ids = sequentialIds('f');
  const driver = (): SignalFeedbackDriver => getSignalFeedbackDriver(db.manager(), { clock, ids });

  beforeEach(async () => {
    ids = sequentialIds('f');
    await insertRows(db.manager(), makeTenant({ id: 't-a' }), makeTenant({ id: 't-b' }));
  });

  it('stores an answer and gives it back, frozen', async () => {
    const row = await driver().insertFeedback('t-a', {
      ...SUPPRESS,
      bulkActionId: 'bulk',
      targetSetHash: 'h',
      targetCount: 3,
    });
    expect(row).toEqual({
      id: 'f-000001',
      signalFingerprint: F1,
      feedbackState: 'SUPPRESSED',
      actorId: 'jo',
      asOf: clock.now(),
      ttlSeconds: 60,
      expiresAt: new Date('2026-03-10T12:01:00Z'),
      bulkActionId: 'bulk',
      targetSetHash: 'h',
      targetCount: 3,
      createdAt: clock.now(),
      updatedAt: clock.now(),
    });
    expect(Object.isFrozen(row)).toBe(true);
  });
  it('the newest answer counts; a fingerprint without one is not in the map; nobody sees another tenant', async () => {
    await driver().insertFeedback('t-a', { signalFingerprint: F1, feedbackState: 'ACKNOWLEDGED', actorId: 'jo' });
    expect((await driver().getSignalFeedback('t-a', [F1, F2])).get(F1)).toEqual({
      acknowledged: true,
      acknowledgedBy: 'jo',
      acknowledgedAt: clock.now(),
      suppressed: false,
      suppressedUntil: null,
    });
    clock.advance(1000);
    await driver().insertFeedback('t-a', { signalFingerprint: F1, feedbackState: 'REOPENED', actorId: 'al' });
    const feedback = await driver().getSignalFeedback('t-a', [F1, F2]);
    expect([feedback.size, feedback.get(F1)?.acknowledged]).toEqual([1, false]);
    expect((await driver().fetchLatestFeedback('t-b', [F1])).size).toBe(0);
    const port: SignalFeedbackPort = driver();
    expect((await port.getSignalFeedback('t-a', [])).size).toBe(0);
  });
  it('law: a suppression counts while asOf ≤ t < expiresAt', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 5 }),
        fc.integer({ min: -1, max: 6 }),
        fc.integer({ min: -1, max: 1 }),
        async (ttl, at, by) => {
          await db.manager().query('SAVEPOINT law');
          clock.set('2026-03-10T12:00:00.000Z');
          await driver().insertFeedback('t-a', { ...SUPPRESS, ttlSeconds: ttl });
          const offset = at * 1000 + by;
          clock.advance(offset);
          const status = (await driver().getSignalFeedback('t-a', [F1])).get(F1);
          const active = offset >= 0 && offset < ttl * 1000;
          expect([status?.suppressed, status?.suppressedUntil !== null]).toEqual([active, active]);
          expect((await driver().fetchActiveSuppressions('t-a', clock.now(), {})).items).toHaveLength(active ? 1 : 0);
          await db.manager().query('ROLLBACK TO SAVEPOINT law');
        },
      ),
      { numRuns: 60 },
    );
  });
  it('active suppressions: the soonest to end first, in pages; an answered one is none', async () => {
    for (let n = 0; n < 5; n += 1)
      await driver().insertFeedback('t-a', {
        ...SUPPRESS,
        signalFingerprint: String(n).repeat(32),
        ttlSeconds: 100 - n,
      });
    clock.advance(1);
    await driver().insertFeedback('t-a', {
      signalFingerprint: '2'.repeat(32),
      feedbackState: 'REOPENED',
      actorId: 'jo',
    });
    const first = await driver().fetchActiveSuppressions('t-a', clock.now(), { limit: 3 });
    expect(first.items.map(({ signalFingerprint }) => signalFingerprint[0])).toEqual(['4', '3', '1']);
    const next = await driver().fetchActiveSuppressions('t-a', clock.now(), {
      limit: 3,
      cursor: first.nextCursor ?? '',
    });
    expect([next.items.map(({ signalFingerprint }) => signalFingerprint[0]), next.nextCursor]).toEqual([['0'], null]);
    await expect(
      driver().fetchActiveSuppressions('t-b', clock.now(), { cursor: first.nextCursor ?? '' }),
    ).rejects.toMatchObject({ details: { reason: 'cursor' } });
    expect((await driver().fetchActiveSuppressions('t-b', clock.now(), {})).items).toEqual([]);
  });
  it('what has ended is marked once, of all tenants, and is still the newest answer', async () => {
    await driver().insertFeedback('t-a', SUPPRESS);
    await driver().insertFeedback('t-b', SUPPRESS);
    await driver().insertFeedback('t-a', { ...SUPPRESS, signalFingerprint: F2, ttlSeconds: 61 });
    const end = new Date('2026-03-10T12:01:00Z');
    expect(await driver().markExpiredAsEvaluated(scope, new Date(end.getTime() - 1))).toBe(0);
    expect(await driver().markExpiredAsEvaluated(scope, end, 1)).toBe(1);
    expect(await driver().markExpiredAsEvaluated(scope, end)).toBe(1);
    expect(await driver().markExpiredAsEvaluated(scope, end)).toBe(0);
    expect((await driver().fetchLatestFeedback('t-a', [F1])).get(F1)).toMatchObject({
      feedbackState: 'EVALUATED',
      updatedAt: end,
    });
    expect((await driver().fetchLatestFeedback('t-a', [F2])).get(F2)?.feedbackState).toBe('SUPPRESSED');
  });
  it('each call is one statement, by its index', async () => {
    const plans: [() => Promise<unknown>, string][] = [
      [() => driver().fetchLatestFeedback('t-a', [F1, F2]), 'ix_signal_feedback_latest'],
      [() => driver().fetchActiveSuppressions('t-a', clock.now(), {}), 'ix_signal_feedback_tenant_suppressed'],
      [() => driver().markExpiredAsEvaluated(scope, clock.now(), 10), 'ix_signal_feedback_expiry'],
    ];
    await db.manager().query(
      `INSERT INTO signal_feedback (tenant_id, id, signal_fingerprint, feedback_state, actor_id, as_of, ttl_seconds, expires_at, created_at, updated_at)
       SELECT CASE WHEN n % 500 = 0 THEN 't-a' ELSE 't-b' END, 'x' || n, md5(n::text), CASE WHEN n % 7 > 0 THEN 'SUPPRESSED' ELSE 'EVALUATED' END, 'jo',
         at, 60, at + interval '13 days', at, at
       FROM (SELECT n, timestamptz '2026-03-10T12:00:00Z' - n * interval '1 minute' AS at FROM generate_series(1, 20000) n) AS s`,
    );
    await db.manager().query('ANALYZE signal_feedback');
    for (const [call, index] of plans) {
      const sent = await captureStatements(db.manager(), call);
      expect(sent).toHaveLength(1);
      const plan = await explain(db.manager(), sent[0]?.text ?? '', sent[0]?.values ?? []);
      expect(plan.indexes).toContain(index);
      expect(plan.seqScans).toEqual([]);
    }
  });
  const bad = (value: unknown): never => value as never;
  it.each([
    ['fingerprint', () => driver().insertFeedback('t-a', { ...SUPPRESS, signalFingerprint: 'A'.repeat(32) })],
    ['state', () => driver().insertFeedback('t-a', { ...SUPPRESS, feedbackState: bad('EVALUATED') })],
    ['actor', () => driver().insertFeedback('t-a', { ...SUPPRESS, actorId: '' })],
    ['ttl 0', () => driver().insertFeedback('t-a', { ...SUPPRESS, ttlSeconds: 0 })],
    ['ttl of more than a year', () => driver().insertFeedback('t-a', { ...SUPPRESS, ttlSeconds: 31_536_001 })],
    ['ttl of an acknowledgement', () => driver().insertFeedback('t-a', { ...SUPPRESS, feedbackState: 'ACKNOWLEDGED' })],
    [
      'no ttl',
      () => driver().insertFeedback('t-a', { signalFingerprint: F1, feedbackState: 'SUPPRESSED', actorId: 'jo' }),
    ],
    [
      '201 fingerprints',
      () =>
        driver().fetchLatestFeedback(
          't-a',
          Array.from({ length: 201 }, () => F1),
        ),
    ],
    ['asOf', () => driver().fetchActiveSuppressions('t-a', bad('now'), {})],
    ['limit', () => driver().markExpiredAsEvaluated(scope, clock.now(), 1001)],
  ])('%s: INVALID_ARGUMENT before any statement', async (_name, ask) => {
    const counter = statementCounter(db.dataSource());
    await expect(ask()).rejects.toThrow(InvalidArgumentError);
    expect(counter.count()).toBe(0);
  });
  it('scopes are required; a missing tenant is refused by its key', async () => {
    await expect(driver().insertFeedback('', SUPPRESS)).rejects.toThrow(TenantScopeError);
    await expect(driver().markExpiredAsEvaluated({} as never, clock.now())).rejects.toThrow(TenantScopeError);
    await expect(driver().insertFeedback('nobody', SUPPRESS)).rejects.toThrow(ConflictError);
  });
});

describe('two expiry jobs at once', () => {
  const db = useFreshDatabase(content);
  it('mark each row once', async () => {
    const sources = await db.connections(4, { max: 1 });
    await insertRows(db.dataSource().manager, makeTenant({ id: 't-a' }));
    for (let repetition = 0; repetition < 10; repetition += 1) {
      await db.dataSource().query(
        `INSERT INTO signal_feedback (tenant_id, id, signal_fingerprint, feedback_state, actor_id, as_of, ttl_seconds, expires_at, created_at, updated_at)
         SELECT 't-a', $1 || '-' || n, md5(n::text), 'SUPPRESSED', 'jo', '2026-03-10T10:00:00Z', 60, '2026-03-10T10:01:00Z', '2026-03-10T10:00:00Z', '2026-03-10T10:00:00Z'
         FROM generate_series(1, 300) n`,
        [String(repetition)],
      );
      const sums = await Promise.all(
        sources.map(async (source) => {
          let sum = 0;
          for (let marked = -1; marked !== 0; sum += marked)
            marked = await source.transaction((m) =>
              getSignalFeedbackDriver(m, { clock, ids: sequentialIds() }).markExpiredAsEvaluated(
                scope,
                clock.now(),
                50,
              ),
            );
          return sum;
        }),
      );
      expect(sums.reduce((a, b) => a + b, 0)).toBe(300);
    }
  });
});
