import { entities as ownEntities, migrations as ownMigrations } from '@hoc/controls/models';
import { systemScope } from '@hoc/shared/kernel';
import { entities, migrations } from '@hoc/shared/models';
import { fixedClock } from '@hoc/shared/testing';
import { useFreshDatabase } from '@hoc/testkit';
import type { DataSource } from 'typeorm';
import { claimDueAlerts, markAlertFailed, markAlertSent, retryFailedAlerts } from './alert-queue.driver';

const REPETITIONS = 20;
const NOW = new Date('2026-03-10T12:00:00.000Z');
const clock = fixedClock(NOW);
const deps = { clock };
const scope = systemScope('test');
const db = useFreshDatabase({ entities: [...entities, ...ownEntities], migrations: [...migrations, ...ownMigrations] });

/** Alerts `a-1` … `a-<n>`, due. */
const queued = (n: number, status = 'pending'): Promise<unknown> =>
  db.dataSource().query(
    `INSERT INTO costsim_alert_queue (id, payload, alert_type, circuit_breaker_name, next_attempt_at, created_at, status)
     SELECT 'a-' || n, '[]', 'enable', 'costsim_v2', $2::timestamptz, $2::timestamptz, $3 FROM generate_series(1, $1::int) n`,
    [n, NOW, status],
  );
const clear = (): Promise<unknown> => db.dataSource().query('TRUNCATE costsim_alert_queue');

beforeEach(() => clock.set(NOW));

it('eight workers claim until nothing is due: each alert is in exactly one claim', async () => {
  const sources = await db.connections(8, { max: 1 });
  const drain = async ({ manager }: DataSource): Promise<string[]> => {
    const mine: string[] = [];
    for (let claimed = 1; claimed > 0;) {
      const alerts = await claimDueAlerts(manager, scope, deps, { limit: 7 });
      mine.push(...alerts.map(({ alertId }) => alertId));
      claimed = alerts.length;
    }
    return mine;
  };
  for (let n = 0; n < REPETITIONS; n += 1) {
    await clear();
    await queued(60);
    const all = (await Promise.all(sources.map(drain))).flat();
    expect([all.length, new Set(all).size]).toEqual([60, 60]);
  }
});

it('a claim passes over what an open one holds, without a wait, and a claim that is rolled back takes nothing', async () => {
  const [holder] = await db.connections(1, { max: 1 });
  const [other] = await db.connections(1, { max: 1, options: '-c lock_timeout=1000' });
  await queued(3);
  const runner = (holder as DataSource).createQueryRunner();
  await runner.startTransaction();
  const held = await claimDueAlerts(runner.manager, scope, deps, { limit: 2 });
  const free = await claimDueAlerts((other as DataSource).manager, scope, deps);
  expect([held.length, free.length]).toEqual([2, 1]);
  await runner.rollbackTransaction();
  await runner.release();
  expect(await claimDueAlerts((other as DataSource).manager, scope, deps)).toHaveLength(2);
});

it('a late mark against the next claim: the alert is marked, or the next worker’s, and never both', async () => {
  const [a, b] = (await db.connections(2, { max: 1 })) as [DataSource, DataSource];
  for (let n = 0; n < REPETITIONS; n += 1) {
    await clear();
    clock.set(NOW);
    await queued(1);
    const [first] = await claimDueAlerts(a.manager, scope, deps, { leaseSeconds: 1 });
    clock.advance(1000);
    const lease = first?.lockedUntil ?? NOW;
    const mark = (): Promise<boolean> =>
      n % 4 < 2
        ? markAlertSent(a.manager, scope, deps, 'a-1', lease)
        : markAlertFailed(a.manager, scope, deps, 'a-1', lease, 'late');
    const claim = () => claimDueAlerts(b.manager, scope, deps);
    const [marked, next] =
      n % 2
        ? await Promise.all([mark(), claim()])
        : await Promise.all([claim(), mark()]).then(([claimed, done]) => [done, claimed] as const);
    expect(next.length).toBe(marked ? 0 : 1);
    const [row]: { status: string; attempts: number }[] = await db
      .dataSource()
      .query('SELECT status, attempts FROM costsim_alert_queue');
    const sent = marked && n % 4 < 2;
    expect(row).toEqual({ status: sent ? 'sent' : 'pending', attempts: marked && !sent ? 1 : 0 });
  }
});

it('the same mark by eight callers counts once', async () => {
  const sources = await db.connections(8, { max: 1 });
  for (let n = 0; n < REPETITIONS; n += 1) {
    await clear();
    await queued(1);
    const [claimed] = await claimDueAlerts(db.dataSource().manager, scope, deps);
    const lease = claimed?.lockedUntil ?? NOW;
    const marks = await Promise.all(
      sources.map(({ manager }) => markAlertFailed(manager, scope, deps, 'a-1', lease, 'once')),
    );
    expect(marks.filter(Boolean)).toHaveLength(1);
    expect(await db.dataSource().query('SELECT attempts FROM costsim_alert_queue')).toEqual([{ attempts: 1 }]);
  }
});

it('given-up alerts are shared between callers that retry at once', async () => {
  const sources = await db.connections(4, { max: 1 });
  for (let n = 0; n < REPETITIONS; n += 1) {
    await clear();
    await queued(40, 'failed');
    const counts = await Promise.all(sources.map(({ manager }) => retryFailedAlerts(manager, scope, deps)));
    // A row that another caller is just taking is skipped, and is that caller's.
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(40);
  }
});
