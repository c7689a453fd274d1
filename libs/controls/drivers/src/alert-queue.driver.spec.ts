import { entities as ownEntities, migrations as ownMigrations } from '@hoc/controls/models';
import { ALERT_STATUSES, ALERT_TYPES, type AlertQueuePort } from '@hoc/controls/schemas';
import { type SystemScope, systemScope } from '@hoc/shared/kernel';
import { entities, migrations } from '@hoc/shared/models';
import { fixedClock } from '@hoc/shared/testing';
import { type BuiltRow, captureStatements, insertRows, useDatabase } from '@hoc/testkit';
import {
  claimDueAlerts,
  fetchAlertQueueStats,
  getAlertQueue,
  markAlertFailed,
  markAlertSent,
  retryFailedAlerts,
} from './alert-queue.driver';

const NOW = '2026-03-10T12:00:00.000Z';
const clock = fixedClock(NOW);
const deps = { clock };
const scope = systemScope('test');
const db = useDatabase({ entities: [...entities, ...ownEntities], migrations: [...migrations, ...ownMigrations] });
const after = (ms: number): Date => new Date(Date.parse(NOW) + ms);

const incident = (id: string, given: Readonly<Record<string, unknown>> = {}): BuiltRow => ({
  table: 'costsim_cb_incidents',
  row: { id, circuit_breaker_name: id, timestamp: after(0), reason: 'drift', severity: 'P1', ...given },
});
const alert = (id: string, given: Readonly<Record<string, unknown>> = {}): BuiltRow => ({
  table: 'costsim_alert_queue',
  row: {
    id,
    payload: JSON.stringify([{ labels: { alertname: id } }]),
    alert_type: 'disable',
    circuit_breaker_name: 'costsim_v2',
    next_attempt_at: after(0),
    created_at: after(0),
    ...given,
  },
});
const queue = (): AlertQueuePort => getAlertQueue(db.manager(), scope, deps);
const queued = (...rows: readonly BuiltRow[]): Promise<void> => insertRows(db.manager(), ...rows);
const stored = async (id: string): Promise<Readonly<Record<string, unknown>>> => {
  const rows: Record<string, unknown>[] = await db
    .manager()
    .query('SELECT * FROM costsim_alert_queue WHERE id = $1', [id]);
  return rows[0] ?? {};
};
const idsOf = (alerts: readonly { readonly alertId: string }[]): string[] => alerts.map(({ alertId }) => alertId);

beforeEach(() => clock.set(NOW));

describe('claimDueAlerts', () => {
  it('takes what is due, pending and nobody else has, the longest due first, and leases it', async () => {
    await queued(
      alert('later', { next_attempt_at: after(1) }),
      alert('b'),
      alert('a'),
      alert('first', { next_attempt_at: after(-5000) }),
      alert('leased', { locked_until: after(1) }),
      alert('abandoned', { locked_until: after(0), next_attempt_at: after(-1) }),
      alert('sent', { status: 'sent', sent_at: after(0) }),
      alert('given-up', { status: 'failed' }),
    );
    expect(idsOf(await queue().claimDueAlerts({ leaseSeconds: 30 }))).toEqual(['first', 'abandoned', 'a', 'b']);
    expect((await stored('a'))['locked_until']).toEqual(after(30_000));
    expect(await queue().claimDueAlerts()).toEqual([]);
    clock.advance(30_000);
    expect(idsOf(await queue().claimDueAlerts())).toEqual(['first', 'abandoned', 'a', 'b', 'leased', 'later']);
  });

  it('gives the alert as it stands, frozen, in one statement', async () => {
    await queued(incident('i-1'), alert('a', { incident_id: 'i-1', attempts: 3, max_attempts: 4 }));
    const sent = await captureStatements(db.manager(), () => queue().claimDueAlerts());
    expect(sent).toHaveLength(1);
    clock.advance(60_000);
    const [claimed] = await queue().claimDueAlerts();
    expect(claimed).toEqual({
      alertId: 'a',
      alertType: 'disable',
      circuitBreakerName: 'costsim_v2',
      incidentId: 'i-1',
      payload: [{ labels: { alertname: 'a' } }],
      attempts: 3,
      maxAttempts: 4,
      createdAt: after(0),
      lockedUntil: after(120_000),
    });
    expect(Object.isFrozen(claimed) && Object.isFrozen(claimed?.payload[0])).toBe(true);
  });

  it('takes ten unless it is told otherwise', async () => {
    await queued(...Array.from({ length: 12 }, (_, n) => alert(`a-${n}`)));
    expect(await queue().claimDueAlerts({ limit: 1 })).toHaveLength(1);
    expect(await queue().claimDueAlerts()).toHaveLength(10);
    expect(await queue().claimDueAlerts()).toHaveLength(1);
  });
});

describe('markAlertSent', () => {
  it('marks the alert and its incident under its lease, once', async () => {
    await queued(incident('i-1'), alert('a', { incident_id: 'i-1' }));
    const [claimed] = await queue().claimDueAlerts();
    clock.advance(1000);
    const lease = claimed?.lockedUntil ?? after(0);
    expect(await queue().markAlertSent('a', after(59_999))).toBe(false);
    expect(await queue().markAlertSent('a', lease)).toBe(true);
    expect(await stored('a')).toMatchObject({
      status: 'sent',
      sent_at: after(1000),
      last_attempt_at: after(1000),
      locked_until: null,
      attempts: 0,
    });
    expect(await db.manager().query('SELECT id, alert_sent, alert_sent_at FROM costsim_cb_incidents')).toEqual([
      { id: 'i-1', alert_sent: true, alert_sent_at: after(1000) },
    ]);
    expect(await queue().markAlertSent('a', lease)).toBe(false);
    expect(await queue().markAlertFailed('a', lease, 'late')).toBe(false);
  });

  it('keeps the time of the first alert of an incident', async () => {
    await queued(
      incident('i-1', { alert_sent: true, alert_sent_at: after(-1000) }),
      alert('a', { incident_id: 'i-1', locked_until: after(1) }),
    );
    expect(await queue().markAlertSent('a', after(1))).toBe(true);
    expect(await db.manager().query('SELECT alert_sent_at FROM costsim_cb_incidents')).toEqual([
      { alert_sent_at: after(-1000) },
    ]);
  });

  it('knows an alert whose lease ended and that nobody took since, and none that another worker has', async () => {
    await queued(alert('a'), alert('b'));
    const [a, b] = await queue().claimDueAlerts({ leaseSeconds: 1 });
    clock.advance(1000);
    expect(await queue().markAlertSent('a', a?.lockedUntil ?? after(0))).toBe(true);
    expect(idsOf(await queue().claimDueAlerts({ leaseSeconds: 1 }))).toEqual(['b']);
    expect(await queue().markAlertSent('b', b?.lockedUntil ?? after(0))).toBe(false);
    expect(await queue().markAlertSent('b', after(2000))).toBe(true);
  });
});

describe('markAlertFailed', () => {
  it('waits min(2^attempts, 300) seconds, ten times, and gives up', async () => {
    await queued(alert('a'));
    const pauses: number[] = [];
    for (let attempt = 1; attempt <= 10; attempt += 1) {
      const [claimed] = await queue().claimDueAlerts();
      expect([claimed?.alertId, claimed?.attempts]).toEqual(['a', attempt - 1]);
      const now = clock.now();
      expect(await queue().markAlertFailed('a', claimed?.lockedUntil ?? now, `attempt ${attempt}`)).toBe(true);
      const row = await stored('a');
      expect(row).toMatchObject({
        attempts: attempt,
        locked_until: null,
        last_attempt_at: now,
        last_error: `attempt ${attempt}`,
        status: attempt < 10 ? 'pending' : 'failed',
        sent_at: null,
      });
      const next = row['next_attempt_at'] as Date;
      pauses.push((next.getTime() - now.getTime()) / 1000);
      clock.set(new Date(next.getTime() - 1));
      expect(await queue().claimDueAlerts()).toEqual([]);
      clock.set(next);
    }
    expect(pauses).toEqual([2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    expect(await queue().claimDueAlerts()).toEqual([]);
  });

  it('gives up at the alert’s own number of attempts, and counts beyond any power', async () => {
    await queued(
      alert('a', { attempts: 1, max_attempts: 2, locked_until: after(1) }),
      alert('b', { attempts: 2_000_000_000, max_attempts: 2_147_483_647, locked_until: after(1) }),
    );
    expect(await queue().markAlertFailed('a', after(1), 'x'.repeat(500))).toBe(true);
    expect(await queue().markAlertFailed('b', after(1), '')).toBe(true);
    expect((await stored('a'))['status']).toBe('failed');
    expect(await stored('b')).toMatchObject({ status: 'pending', next_attempt_at: after(300_000) });
  });

  it('leaves an alert alone that another worker has', async () => {
    await queued(alert('a', { locked_until: after(5) }));
    expect(await queue().markAlertFailed('a', after(4), 'not mine')).toBe(false);
    expect(await queue().markAlertFailed('nobody', after(5), 'none')).toBe(false);
    expect(await stored('a')).toMatchObject({ attempts: 0, locked_until: after(5), last_error: null });
  });
});

describe('retryFailedAlerts and fetchAlertQueueStats', () => {
  it('takes up the oldest given-up alerts, with all attempts before them', async () => {
    const old = { status: 'failed', attempts: 10, last_error: 'why', next_attempt_at: after(9_000_000) };
    await queued(
      alert('b', { ...old, created_at: after(2) }),
      alert('a', { ...old, created_at: after(1) }),
      alert('c', { ...old, created_at: after(3) }),
      alert('sent', { status: 'sent', sent_at: after(0) }),
    );
    expect(await queue().retryFailedAlerts({ limit: 2 })).toBe(2);
    expect(idsOf(await queue().claimDueAlerts())).toEqual(['a', 'b']);
    expect(await stored('a')).toMatchObject({ status: 'pending', attempts: 0, last_error: 'why' });
    expect(await queue().retryFailedAlerts()).toBe(1);
    expect(await queue().retryFailedAlerts()).toBe(0);
  });

  it('counts by status, and says since when the oldest waits', async () => {
    expect(await queue().fetchAlertQueueStats()).toEqual({ pending: 0, sent: 0, failed: 0, oldestPendingAt: null });
    await queued(
      alert('a', { created_at: after(7) }),
      alert('b', { created_at: after(3), locked_until: after(1) }),
      alert('c', { created_at: after(1), status: 'failed' }),
      ...['d', 'e', 'f'].map((id) => alert(id, { created_at: after(0), status: 'sent', sent_at: after(0) })),
    );
    const stats = await queue().fetchAlertQueueStats();
    expect(stats).toEqual({ pending: 2, sent: 3, failed: 1, oldestPendingAt: after(3) });
    expect(Object.isFrozen(stats)).toBe(true);
  });
});

describe('bad input', () => {
  type Call = (manager: ReturnType<typeof db.manager>) => Promise<unknown>;
  const lease = after(1);
  const cases: readonly (readonly [string, Call])[] = [
    ...[0, 201, 1.5, NaN, '5'].map((limit): readonly [string, Call] => [
      `claim limit ${limit}`,
      (manager) => claimDueAlerts(manager, scope, deps, { limit: limit as number }),
    ]),
    ...[0, 3601, 0.5].map((leaseSeconds): readonly [string, Call] => [
      `claim leaseSeconds ${leaseSeconds}`,
      (manager) => claimDueAlerts(manager, scope, deps, { leaseSeconds }),
    ]),
    ...[0, 1001].map((limit): readonly [string, Call] => [
      `retry limit ${limit}`,
      (manager) => retryFailedAlerts(manager, scope, deps, { limit }),
    ]),
    ['an empty id', (manager) => markAlertSent(manager, scope, deps, '', lease)],
    ['a long id', (manager) => markAlertFailed(manager, scope, deps, 'x'.repeat(101), lease, 'e')],
    ['no lease', (manager) => markAlertSent(manager, scope, deps, 'a', new Date(NaN))],
    ['a long error', (manager) => markAlertFailed(manager, scope, deps, 'a', lease, 'x'.repeat(501))],
    ['a NUL character', (manager) => markAlertFailed(manager, scope, deps, 'a', lease, 'a\0b')],
    ['half a surrogate', (manager) => markAlertFailed(manager, scope, deps, 'a', lease, '\ud800')],
  ];

  it.each(cases)('%s is refused before any SQL', async (_name, call) => {
    const sent = await captureStatements(db.manager(), () =>
      expect(call(db.manager())).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' }),
    );
    expect(sent).toEqual([]);
  });

  it('a call without a scope made by systemScope is refused before any SQL', async () => {
    const forged: SystemScope = { kind: 'system', reason: 'forged' };
    const calls = [
      () => claimDueAlerts(db.manager(), forged, deps),
      () => markAlertSent(db.manager(), forged, deps, 'a', lease),
      () => markAlertFailed(db.manager(), forged, deps, 'a', lease, 'e'),
      () => retryFailedAlerts(db.manager(), forged, deps),
      () => fetchAlertQueueStats(db.manager(), forged),
    ];
    const sent = await captureStatements(db.manager(), async () => {
      for (const call of calls) await expect(call()).rejects.toMatchObject({ code: 'TENANT_SCOPE' });
      expect(() => getAlertQueue(db.manager(), forged, deps)).toThrow(
        expect.objectContaining({ code: 'TENANT_SCOPE' }),
      );
    });
    expect(sent).toEqual([]);
  });
});

it.each([
  ['alert_type', ALERT_TYPES],
  ['status', ALERT_STATUSES],
])('the CHECK of %s holds exactly the list of the schemas', async (column, values) => {
  const [row]: { definition: string }[] = await db
    .manager()
    .query('SELECT pg_get_constraintdef(oid) AS definition FROM pg_constraint WHERE conname = $1', [
      `ck_costsim_alert_queue_${column}`,
    ]);
  expect([...(row?.definition ?? '').matchAll(/'([^']+)'::text/g)].map((match) => match[1])).toEqual([...values]);
});
