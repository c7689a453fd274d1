import { entities as ownEntities, migrations as ownMigrations } from '@hoc/controls/models';
import { systemScope } from '@hoc/shared/kernel';
import { entities, migrations } from '@hoc/shared/models';
import { fixedClock } from '@hoc/shared/testing';
import { captureStatements, explain, type Plan, type PlanNode, useEmptyDatabase, waitFor } from '@hoc/testkit';
import type { EntityManager, QueryRunner } from 'typeorm';
import {
  claimDueAlerts,
  fetchAlertQueueStats,
  markAlertFailed,
  markAlertSent,
  retryFailedAlerts,
} from './alert-queue.driver';

/** 100,000 alerts: 1,000 pending (a tenth of them leased), 500 given up, the rest sent. */
const ALERTS = 100_000;
const READY = 'ix_alert_queue_ready';
const STATUS = 'ix_alert_queue_status';

const db = useEmptyDatabase({ entities: [...entities, ...ownEntities], migrations: [...migrations, ...ownMigrations] });
const clock = fixedClock('2026-03-10T12:00:00.000Z');
const deps = { clock };
const scope = systemScope('test');
let runner: QueryRunner;
let manager: EntityManager;

beforeAll(async () => {
  await db.dataSource().runMigrations();
  await db.dataSource().query(
    `INSERT INTO costsim_cb_incidents (id, circuit_breaker_name, timestamp, reason, severity, resolved, resolved_at)
     SELECT 'i-' || n, 'costsim_v2', at, 'drift', 'P1', true, at
     FROM (SELECT n, timestamptz '2026-03-10T10:00:00Z' - n * interval '1 minute' AS at FROM generate_series(1, 20000) n) s`,
  );
  await db.dataSource().query(
    `INSERT INTO costsim_alert_queue (id, payload, alert_type, circuit_breaker_name, incident_id, next_attempt_at,
       created_at, status, sent_at, locked_until)
     SELECT 'a-' || to_char(n, 'FM0000000'), '[{"labels":{"alertname":"x"}}]', 'disable', 'costsim_v2', 'i-' || (n % 20000 + 1), at, at,
       CASE WHEN n % 100 = 7 THEN 'pending' WHEN n % 200 = 50 THEN 'failed' ELSE 'sent' END,
       CASE WHEN n % 100 <> 7 AND n % 200 <> 50 THEN at END,
       CASE WHEN n % 1000 = 107 THEN timestamptz '2026-03-10T13:00:00Z' END
     FROM (SELECT n, timestamptz '2026-03-10T10:00:00Z' - n * interval '1 second' AS at FROM generate_series(1, $1::int) n) s`,
    [ALERTS],
  );
  await db.dataSource().query('VACUUM ANALYZE costsim_alert_queue, costsim_cb_incidents');
  await waitFor(isVisibleToAll, 'VACUUM to see that every page of costsim_alert_queue is visible to all');
});

/** Not before the server has written out the commit of its rows, which it does in its own time without synchronous_commit. */
async function isVisibleToAll(): Promise<boolean> {
  await db.dataSource().query('VACUUM costsim_alert_queue');
  const sql = "SELECT relallvisible = relpages AS yes FROM pg_class WHERE oid = 'costsim_alert_queue'::regclass";
  const rows: { yes: boolean }[] = await db.dataSource().query(sql);
  return rows[0]?.yes === true;
}

beforeEach(async () => {
  runner = db.dataSource().createQueryRunner();
  await runner.startTransaction();
  manager = runner.manager;
});

afterEach(async () => {
  await runner.rollbackTransaction();
  await runner.release();
});

/** The plan of the one statement that a call sends, run on the rows as they were before it. */
async function planOf(work: () => Promise<unknown>): Promise<Plan> {
  await manager.query('SAVEPOINT asked');
  const [sent, ...more] = (await captureStatements(manager, work)).filter(({ text }) => !/SAVEPOINT/.test(text));
  expect(more).toEqual([]);
  await manager.query('ROLLBACK TO SAVEPOINT asked');
  const plan = await explain(manager, sent?.text ?? '', sent?.values ?? [], { analyze: true });
  expect(plan.seqScans).toEqual([]);
  return plan;
}

/** Rows that the scans of an index gave. */
const readFrom = ({ nodes }: Plan, index: string): number =>
  nodes
    .filter((node) => node['Index Name'] === index)
    .reduce((sum, node) => sum + (node['Actual Rows'] ?? 0) * (node['Actual Loops'] ?? 1), 0);

it.each([10, 200])(
  'G.3: claimDueAlerts, limit %i: in the order of the due ones, no more than asked for',
  async (limit) => {
    const plan = await planOf(() => claimDueAlerts(manager, scope, deps, { limit }));
    expect(new Set(plan.indexes)).toEqual(new Set([READY, 'pk_costsim_alert_queue']));
    expect(plan.indexConditions[0]).toMatch(/next_attempt_at <= /);
    expect(readFrom(plan, READY)).toBe(limit);
  },
);

it('claimDueAlerts where nothing is due: a look into the index', async () => {
  clock.set('2026-01-01T00:00:00.000Z');
  const plan = await planOf(() => claimDueAlerts(manager, scope, deps));
  clock.set('2026-03-10T12:00:00.000Z');
  expect(plan.indexes).toContain(READY);
  expect([readFrom(plan, READY), plan.buffers < 10]).toEqual([0, true]);
});

it('markAlertSent and markAlertFailed: by key', async () => {
  const [alert] = await claimDueAlerts(manager, scope, deps, { limit: 1 });
  if (alert === undefined) throw new Error('no alert');
  const sent = await planOf(() => markAlertSent(manager, scope, deps, alert.alertId, alert.lockedUntil));
  expect(new Set(sent.indexes)).toEqual(new Set(['pk_costsim_alert_queue', 'pk_costsim_cb_incidents']));
  const failed = await planOf(() => markAlertFailed(manager, scope, deps, alert.alertId, alert.lockedUntil, 'e'));
  expect(failed.indexes).toEqual(['pk_costsim_alert_queue']);
});

it('retryFailedAlerts: the oldest of the given-up ones, no more than asked for', async () => {
  const plan = await planOf(() => retryFailedAlerts(manager, scope, deps, { limit: 50 }));
  expect(new Set(plan.indexes)).toEqual(new Set([STATUS, 'pk_costsim_alert_queue']));
  expect(readFrom(plan, STATUS)).toBe(50);
});

it('fetchAlertQueueStats: pending and given-up ones by an index; only the sent ones, nearly all there are, may be scanned', async () => {
  const [sent] = await captureStatements(manager, () => fetchAlertQueueStats(manager, scope));
  const plan = await explain(manager, sent?.text ?? '', sent?.values ?? [], { analyze: true });
  expect(plan.seqScans.length).toBeLessThanOrEqual(1);
  for (const index of plan.indexes) expect([READY, STATUS]).toContain(index);
  const read = (node: PlanNode): number => (node['Actual Rows'] ?? 0) * (node['Actual Loops'] ?? 1);
  const scans = plan.nodes.filter((node) => node['Relation Name'] === 'costsim_alert_queue').map(read);
  expect(scans.sort((a, b) => a - b)).toEqual([1, 500, 1000, ALERTS - 1500]);
});
