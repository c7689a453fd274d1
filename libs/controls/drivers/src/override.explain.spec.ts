import { systemScope } from '@hoc/shared/kernel';
import { entities, migrations } from '@hoc/shared/models';
import { fixedClock, makeTenant, sequentialIds } from '@hoc/shared/testing';
import { captureStatements, explain, insertRows, type Plan, useEmptyDatabase } from '@hoc/testkit';
import type { EntityManager, QueryRunner } from 'typeorm';
import { getLimitOverrideService, type LimitOverrideService } from './override.driver';

/**
 * 100,000 overrides of 50 tenants with 400 limits each. Of the 400 newest of a tenant, one a limit: 3 are active, 4 active
 * and over, 6 approved and due, 10 approved for later, 20 pending; the others, and all older ones, are done with.
 */
const TENANT = 't-07';
const LIMIT = 'l-t-07-397';
const NOW = new Date('2026-03-10T12:00:00.000Z');
const scope = systemScope('test');

const db = useEmptyDatabase({ entities, migrations });
let runner: QueryRunner;
let manager: EntityManager;
let service: LimitOverrideService;

beforeAll(async () => {
  await db.dataSource().runMigrations();
  await db.dataSource().transaction(async (m) => {
    // The rows fit together: a hundred thousand look-ups of their parents would only take time.
    await m.query('SET LOCAL session_replication_role = replica');
    for (let t = 0; t < 50; t += 1) await insertRows(m, makeTenant({ id: `t-${String(t).padStart(2, '0')}` }));
    await m.query(
      `INSERT INTO limits (tenant_id, id, name, limit_category, limit_type, scope, max_value, params, enforcement, status, version, created_at, updated_at)
       SELECT id, 'l-' || id || '-' || n, 'A limit', 'THRESHOLD', 'COST_CENTS', 'TENANT', 2000, '{}', 'BLOCK', 'ACTIVE', 1, created_at, created_at
       FROM tenants, generate_series(0, 399) n`,
    );
    await m.query(
      `INSERT INTO limit_overrides (tenant_id, id, limit_id, original_value, override_value, status, duration_hours, requested_at,
         approved_at, starts_at, expires_at, requested_by, reason, audit_trail)
       SELECT t.id, 'o-' || lpad(n::text, 4, '0'), 'l-' || t.id || '-' || n % 400, 2000, 3000, s.status, 2, s.at, s.at, s.starts,
         s.starts + interval '2 hours', 'ann', 'a campaign of the day', '[]'
       FROM tenants t, (
         SELECT n, timestamptz '2026-03-09T00:00:00Z' - n * interval '1 minute' AS at,
           CASE WHEN n < 3 OR n BETWEEN 3 AND 6 THEN 'ACTIVE' WHEN n BETWEEN 7 AND 22 THEN 'APPROVED'
             WHEN n BETWEEN 23 AND 42 THEN 'PENDING' ELSE 'EXPIRED' END AS status,
           timestamptz '2026-03-10T12:00:00Z' + CASE WHEN n < 3 OR n BETWEEN 7 AND 12 THEN interval '-1 hour'
             WHEN n BETWEEN 3 AND 6 THEN interval '-3 hours' WHEN n <= 42 THEN interval '5 hours'
             ELSE -n * interval '1 hour' END AS starts
         FROM generate_series(0, 1999) n) AS s`,
    );
  });
  await db.dataSource().query('VACUUM ANALYZE limits, limit_overrides, tenants');
});

beforeEach(async () => {
  runner = db.dataSource().createQueryRunner();
  await runner.startTransaction();
  manager = runner.manager;
  service = getLimitOverrideService(manager, { clock: fixedClock(NOW), ids: sequentialIds('new') });
});

afterEach(async () => {
  await runner.rollbackTransaction();
  await runner.release();
});

/** The plan of each statement that a call sends, run on the rows as they were before it. */
async function plansOf(work: () => Promise<unknown>): Promise<readonly Plan[]> {
  await manager.query('SAVEPOINT asked');
  const sent = (await captureStatements(manager, work)).filter(({ text }) => !/SAVEPOINT/.test(text));
  await manager.query('ROLLBACK TO SAVEPOINT asked');
  // No connection keeps a plan that was made when the tables were small.
  expect(sent.map(({ name }) => name)).toEqual(sent.map(() => undefined));
  const plans: Plan[] = [];
  for (const { text, values } of sent) plans.push(await explain(manager, text, values, { analyze: true }));
  for (const plan of plans) expect(plan.seqScans.filter((table) => table !== 'tenants')).toEqual([]);
  return plans;
}
async function planOf(work: () => Promise<unknown>): Promise<Plan> {
  const [plan, ...more] = await plansOf(work);
  if (plan === undefined || more.length > 0) throw new Error('not one statement');
  return plan;
}
/** Indexes of the overrides. */
const indexes = ({ indexes: all }: Plan): readonly string[] =>
  [...new Set(all)].filter((name) => name.includes('limit_overrides')).sort();
/** Rows that the scans of an index gave. */
const readFrom = ({ nodes }: Plan, index: string): number =>
  nodes
    .filter((node) => node['Index Name'] === index)
    .reduce((sum, node) => sum + (node['Actual Rows'] ?? 0) * (node['Actual Loops'] ?? 1), 0);

it.each([
  ['all', {}, 'ix_limit_overrides_list'],
  ['of a status', { status: 'PENDING' }, 'ix_limit_overrides_status'],
  ['of a limit', { limitId: LIMIT }, 'ix_limit_overrides_limit'],
] as const)(
  'G.3: listOverrides, %s: in the order of the index, and a later page begins at its cursor',
  async (_name, filter, index) => {
    const first = await planOf(() => service.listOverrides(TENANT, filter, { limit: 2 }));
    const { nextCursor } = await service.listOverrides(TENANT, filter, { limit: 2 });
    const second = await planOf(() => service.listOverrides(TENANT, filter, { limit: 2, cursor: nextCursor ?? '' }));
    for (const plan of [first, second]) {
      expect([indexes(plan), plan.hasSort]).toEqual([[index], false]);
      expect(readFrom(plan, index)).toBe(3);
      expect(plan.buffers).toBeLessThan(40);
    }
    expect(second.indexConditions.join()).toMatch(/ROW\(.*requested_at, .*id\) < ROW\(/);
  },
);

it('listOverrides of a limit and a status: one of both indexes', async () => {
  const plan = await planOf(() => service.listOverrides(TENANT, { limitId: LIMIT, status: 'EXPIRED' }));
  expect(['ix_limit_overrides_status', 'ix_limit_overrides_limit']).toEqual(expect.arrayContaining([...indexes(plan)]));
});

it.each([
  ['all', {}],
  ['of a status', { status: 'PENDING' }],
  ['of a limit', { limitId: LIMIT }],
] as const)('countOverrides, %s: by an index', async (_name, filter) => {
  const plan = await planOf(() => service.countOverrides(TENANT, filter));
  expect(indexes(plan)).toHaveLength(1);
});

it('getOverride: by its key', async () => {
  expect(indexes(await planOf(() => service.getOverride(TENANT, 'o-0001')))).toEqual(['pk_limit_overrides']);
});

it.each([1, 200, 1000])('fetchOverridesInEffect of %i limits: one look-up each of the live override', async (n) => {
  const ids = Array.from({ length: n }, (_, i) => `l-${TENANT}-${i}`);
  const plan = await planOf(() => service.fetchOverridesInEffect(TENANT, ids));
  expect(indexes(plan)).toEqual(['uq_limit_overrides_live']);
  expect(readFrom(plan, 'uq_limit_overrides_live')).toBeLessThanOrEqual(7);
});

it('requestOverride: its tenant and limit by key; ends, the count and the limit’s own by their indexes', async () => {
  const [hold, request] = (await plansOf(() =>
    service.requestOverride(
      TENANT,
      { limitId: LIMIT, overrideValue: '3000', durationHours: 2, reason: 'a campaign of the day' },
      'ann',
    ),
  )) as [Plan, Plan];
  expect(hold.indexes).toContain('pk_limits');
  expect(hold.buffers).toBeLessThan(20);
  expect(indexes(request)).toEqual([
    ...['ix_limit_overrides_expiry', 'ix_limit_overrides_status', 'pk_limit_overrides', 'uq_limit_overrides_live'],
  ]);
  // Four are over, seven stored as active, and the insert that was taken back is still among the entries.
  expect(readFrom(request, 'ix_limit_overrides_expiry')).toBe(4);
  expect(readFrom(request, 'ix_limit_overrides_status')).toBeLessThanOrEqual(8);
});

it('G.3: activateDueOverrides: ends by ix_limit_overrides_expiry, starts by ix_limit_overrides_due', async () => {
  const [, activate] = (await plansOf(() => service.activateDueOverrides(TENANT))) as [Plan, Plan];
  expect(indexes(activate)).toEqual([
    ...['ix_limit_overrides_due', 'ix_limit_overrides_expiry', 'ix_limit_overrides_status', 'pk_limit_overrides'],
  ]);
  expect([readFrom(activate, 'ix_limit_overrides_expiry'), readFrom(activate, 'ix_limit_overrides_due')]).toEqual([
    4, 6,
  ]);
});

it('approveOverride and cancelOverride: by key, and the cap by its index', async () => {
  const [hold, approve] = (await plansOf(() => service.approveOverride(TENANT, 'o-0030', 'bob'))) as [Plan, Plan];
  expect(indexes(hold)).toEqual(['pk_limit_overrides']);
  expect(indexes(approve)).toEqual(['ix_limit_overrides_status', 'pk_limit_overrides']);
  expect(indexes(await planOf(() => service.cancelOverride(TENANT, 'o-0001', 'bob')))).toEqual(['pk_limit_overrides']);
});

it('G.3: the sweep over all tenants: what is over by ix_limit_overrides_expiry_all, each marked by its key', async () => {
  const plan = await planOf(() => service.expireOverrides(scope));
  expect(indexes(plan)).toEqual(['ix_limit_overrides_expiry_all', 'pk_limit_overrides']);
  expect([readFrom(plan, 'ix_limit_overrides_expiry_all'), readFrom(plan, 'pk_limit_overrides')]).toEqual([200, 200]);
});

it('G.3: detectTenantsWithDueOverrides: by ix_limit_overrides_due_all and _expiry_all, no more than is due', async () => {
  const plan = await planOf(() => service.detectTenantsWithDueOverrides(scope, 1000));
  expect(indexes(plan)).toEqual(['ix_limit_overrides_due_all', 'ix_limit_overrides_expiry_all']);
  expect([readFrom(plan, 'ix_limit_overrides_due_all'), readFrom(plan, 'ix_limit_overrides_expiry_all')]).toEqual([
    300, 200,
  ]);
});
