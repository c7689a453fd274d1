import { entities, migrations } from '@hoc/activity/models';
import { systemScope } from '@hoc/shared/kernel';
import { entities as shared, migrations as sharedMigrations } from '@hoc/shared/models';
import { fixedClock, makeTenant, sequentialIds } from '@hoc/shared/testing';
import { captureStatements, explain, insertRows, type Plan, useEmptyDatabase } from '@hoc/testkit';
import type { EntityManager, QueryRunner } from 'typeorm';
import { getSignalFeedbackDriver, type SignalFeedbackDriver } from './signal-feedback.driver';

/** 200,000 answers of 50 tenants, each on 250 signals; four in ten suppress, and half of these have ended. */
const ROWS = 200_000;
const TENANT = 't-07';
const NOW = new Date('2026-03-10T12:00:00.000Z');
const LATEST = 'ix_signal_feedback_latest';
const SUPPRESSED = 'ix_signal_feedback_tenant_suppressed';
const EXPIRY = 'ix_signal_feedback_expiry';
const scope = systemScope('test');

const db = useEmptyDatabase({ entities: [...shared, ...entities], migrations: [...sharedMigrations, ...migrations] });
let runner: QueryRunner;
let manager: EntityManager;
let driver: SignalFeedbackDriver;

beforeAll(async () => {
  await db.dataSource().runMigrations();
  await db.dataSource().transaction(async (m) => {
    for (let t = 0; t < 50; t += 1) await insertRows(m, makeTenant({ id: `t-${String(t).padStart(2, '0')}` }));
    await m.query(
      `INSERT INTO signal_feedback (tenant_id, id, signal_fingerprint, feedback_state, actor_id, as_of, ttl_seconds, expires_at, created_at, updated_at)
       SELECT 't-' || to_char(n % 50, 'FM00'), 'x-' || to_char(n, 'FM000000'), md5((n / 50 % 250)::text), state, 'jo', at,
         CASE WHEN state = 'SUPPRESSED' THEN ttl END, CASE WHEN state = 'SUPPRESSED' THEN at + ttl * interval '1 second' END, at, at
       FROM (SELECT n, CASE WHEN n / 50 % 10 < 4 THEN 'SUPPRESSED' ELSE 'ACKNOWLEDGED' END AS state,
               CASE WHEN n / 50 % 2 = 0 THEN 60 ELSE 9000000 + n END AS ttl,
               timestamptz '2026-03-10T11:00:00Z' - n * interval '13 seconds' AS at FROM generate_series(0, $1::int - 1) n) AS s`,
      [ROWS],
    );
  });
  await db.dataSource().query('VACUUM ANALYZE signal_feedback');
});

beforeEach(async () => {
  runner = db.dataSource().createQueryRunner();
  await runner.startTransaction();
  manager = runner.manager;
  driver = getSignalFeedbackDriver(manager, { clock: fixedClock(NOW), ids: sequentialIds('new') });
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

it.each([1, 50, 200])('fetchLatestFeedback of %i signals: one row each, in the order of the index', async (n) => {
  const rows: { fingerprint: string }[] = await manager.query(
    'SELECT DISTINCT signal_fingerprint AS fingerprint FROM signal_feedback WHERE tenant_id = $1 LIMIT $2',
    [TENANT, n],
  );
  const plan = await planOf(() =>
    driver.fetchLatestFeedback(
      TENANT,
      rows.map(({ fingerprint }) => fingerprint),
    ),
  );
  expect([plan.indexes, plan.hasSort]).toEqual([[LATEST], false]);
  expect(rows).toHaveLength(n);
  expect(readFrom(plan, LATEST)).toBe(n);
});

it('fetchActiveSuppressions: in the order of the index, and a later page begins at its cursor', async () => {
  const first = await planOf(() => driver.fetchActiveSuppressions(TENANT, NOW, { limit: 10 }));
  let { nextCursor } = await driver.fetchActiveSuppressions(TENANT, NOW, { limit: 10 });
  for (let page = 2; page < 4; page += 1)
    ({ nextCursor } = await driver.fetchActiveSuppressions(TENANT, NOW, { limit: 10, cursor: nextCursor ?? '' }));
  const fourth = await planOf(() =>
    driver.fetchActiveSuppressions(TENANT, NOW, { limit: 10, cursor: nextCursor ?? '' }),
  );
  for (const plan of [first, fourth]) {
    expect(new Set(plan.indexes)).toEqual(new Set([SUPPRESSED, LATEST]));
    expect(plan.hasSort).toBe(false);
  }
  expect(fourth.indexConditions.join()).toMatch(/expires_at >.*ROW\(.*expires_at, .*id\) > ROW\(/);
  expect(fourth.buffers).toBeLessThanOrEqual(3 * first.buffers);
});

it.each([20, 1000])(
  'markExpiredAsEvaluated, limit %i: that many of the ended ones, each marked by its key',
  async (n) => {
    const plan = await planOf(() => driver.markExpiredAsEvaluated(scope, NOW, n));
    expect(new Set(plan.indexes)).toEqual(new Set([EXPIRY, 'pk_signal_feedback']));
    expect([readFrom(plan, EXPIRY), readFrom(plan, 'pk_signal_feedback')]).toEqual([n, n]);
  },
);

it('markExpiredAsEvaluated where nothing has ended: a look into the index', async () => {
  const plan = await planOf(() => driver.markExpiredAsEvaluated(scope, new Date('2020-01-01T00:00:00Z')));
  expect([readFrom(plan, EXPIRY), plan.buffers < 10]).toEqual([0, true]);
});

it('round by round, a driver marks all that has ended and then nothing', async () => {
  const [{ n }]: [{ n: number }] = await manager.query(
    `SELECT count(*)::int AS n FROM signal_feedback WHERE feedback_state = 'SUPPRESSED' AND expires_at <= $1`,
    [NOW.toISOString()],
  );
  let marked = 0;
  for (let round = -1; round !== 0; marked += Math.max(round, 0))
    round = await driver.markExpiredAsEvaluated(scope, NOW);
  expect([marked, n > 10_000]).toEqual([n, true]);
});
