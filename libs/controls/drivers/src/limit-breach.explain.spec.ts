import { entities, migrations } from '@hoc/controls/models';
import type { BreachInput, LimitBreachPort } from '@hoc/controls/schemas';
import { entities as shared, migrations as sharedMigrations } from '@hoc/shared/models';
import { fixedClock, makeTenant, sequentialIds } from '@hoc/shared/testing';
import { captureStatements, explain, insertRows, type Plan, useEmptyDatabase } from '@hoc/testkit';
import type { EntityManager, QueryRunner } from 'typeorm';
import { getLimitBreachDriver } from './limit-breach.driver';

/** 50 tenants of 400 limits, each with an override in effect and one that is over, and 100,000 breaches. */
const BREACHES = 100_000;
const NOW = new Date('2026-03-10T12:00:00.000Z');
const db = useEmptyDatabase({ entities: [...shared, ...entities], migrations: [...sharedMigrations, ...migrations] });
let runner: QueryRunner;
let manager: EntityManager;
let breaches: LimitBreachPort;

beforeAll(async () => {
  await db.dataSource().runMigrations();
  await db.dataSource().transaction(async (m) => {
    for (let t = 0; t < 50; t += 1) await insertRows(m, makeTenant({ id: `t-${String(t).padStart(2, '0')}` }));
    await m.query(
      `INSERT INTO limits (tenant_id, id, name, limit_category, limit_type, max_value, created_at, updated_at)
       SELECT 't-' || to_char(n % 50, 'FM00'), 'L-' || n / 50, 'A limit', 'THRESHOLD', 'COST_CENTS', 100, $1::timestamptz, $1::timestamptz
       FROM generate_series(0, 19999) n`,
      [NOW.toISOString()],
    );
    await m.query(
      `INSERT INTO limit_overrides (tenant_id, id, limit_id, original_value, override_value, status, duration_hours,
         requested_at, approved_at, starts_at, expires_at, requested_by, reason)
       SELECT tenant_id, id || '-' || o.status, id, 100, 200, o.status, 2, at, at, at, at + interval '2 hours', 'ann', 'a campaign of the day'
       FROM limits, (VALUES ('ACTIVE', interval '1 hour'), ('EXPIRED', interval '1 day')) AS o(status, ago),
         LATERAL (SELECT $1::timestamptz - ago AS at) AS a`,
      [NOW.toISOString()],
    );
    await m.query(
      `INSERT INTO limit_breaches (tenant_id, id, limit_id, breach_type, limit_value, breached_at, idempotency_key)
       SELECT 't-' || to_char(n % 50, 'FM00'), 'b-' || n, 'L-' || n % 400, 'BREACHED', 100, $2::timestamptz, 'k-' || n
       FROM generate_series(0, $1::int - 1) n`,
      [BREACHES, NOW.toISOString()],
    );
  });
  await db.dataSource().query('VACUUM ANALYZE limits, limit_overrides, limit_breaches');
});

beforeEach(async () => {
  runner = db.dataSource().createQueryRunner();
  await runner.startTransaction();
  manager = runner.manager;
  breaches = getLimitBreachDriver(manager, { clock: fixedClock(NOW), ids: sequentialIds('new') });
});

afterEach(async () => {
  await runner.rollbackTransaction();
  await runner.release();
});

/** The plans of the statements that a call sends, each run on the rows as they were before it. */
async function plansOf(work: () => Promise<unknown>): Promise<readonly Plan[]> {
  await manager.query('SAVEPOINT asked');
  const sent = (await captureStatements(manager, work)).filter(({ text }) => !/SAVEPOINT/.test(text));
  await manager.query('ROLLBACK TO SAVEPOINT asked');
  const plans: Plan[] = [];
  for (const { text, values } of sent) plans.push(await explain(manager, text, values, { analyze: true }));
  for (const plan of plans) expect(plan.seqScans).toEqual([]);
  return plans;
}

/** Rows that the scans of an index gave. */
const readFrom = ({ nodes }: Plan, index: string): number =>
  nodes
    .filter((node) => node['Index Name'] === index)
    .reduce((sum, node) => sum + (node['Actual Rows'] ?? 0) * (node['Actual Loops'] ?? 1), 0);
/** `from` beyond the stored ones: new. */
const inputs = (from: number, n: number): readonly BreachInput[] =>
  Array.from({ length: n }, (_, k) => ({
    limitId: `L-${(from + k * 50) % 400}`,
    breachType: 'BREACHED',
    valueAtBreach: null,
    idempotencyKey: `k-${from + k * 50}`,
  }));

it.each([1, 1000])('%i new breaches: each limit and its live override by one look', async (n) => {
  const [plan, ...more] = await plansOf(() => breaches.recordBreaches('t-07', inputs(BREACHES + 7, n)));
  expect(more).toEqual([]);
  if (plan === undefined) throw new Error('no plan');
  expect(new Set(plan.indexes)).toEqual(new Set(['pk_limits', 'uq_limit_overrides_live']));
  expect([readFrom(plan, 'pk_limits'), readFrom(plan, 'uq_limit_overrides_live')].every((rows) => rows <= n)).toBe(
    true,
  );
});

it.each([1, 1000])('%i breaches that are there: each by its key', async (n) => {
  const [, compare] = await plansOf(() => breaches.recordBreaches('t-07', inputs(7, n)));
  if (compare === undefined) throw new Error('no plan');
  expect(new Set(compare.indexes)).toEqual(new Set(['uq_limit_breaches_idempotency']));
  expect(readFrom(compare, 'uq_limit_breaches_idempotency')).toBe(n);
});

it('markBreachRecovered: by key', async () => {
  const [plan] = await plansOf(() => breaches.markBreachRecovered('t-07', 'b-7'));
  expect(plan?.indexes).toEqual(['pk_limit_breaches']);
});
