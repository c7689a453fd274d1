import { entities, migrations } from '@hoc/controls/models';
import { type DecimalString, systemScope } from '@hoc/shared/kernel';
import { entities as shared, migrations as sharedMigrations } from '@hoc/shared/models';
import { fixedClock, makeTenant, sequentialIds } from '@hoc/shared/testing';
import { captureStatements, explain, insertRows, type Plan, useEmptyDatabase } from '@hoc/testkit';
import type { EntityManager, QueryRunner } from 'typeorm';
import { executeWithScope, getScopeStore, type ScopeStore, settleScopeAttempt } from './scoped-execution.driver';

/** 100,000 scopes of 50 tenants, forty an incident; three in four are active, most of them for long. 100,000 attempts, two a scope. */
const SCOPES = 100_000;
const NOW = new Date('2026-03-10T12:00:00.000Z');
const TENANT = 't-07';
/** Tenant t-07, incident i-00: n % 50 = 7 and n / 50 % 50 = 0. */
const ID = 's-000007';
const INCIDENT = 'ix_execution_scopes_incident';
const EXPIRY = 'ix_execution_scopes_expiry';
const KEY = 'pk_execution_scopes';
const NUMBER = 'uq_execution_scope_attempts_number';
const scope = systemScope('test');
const deps = { clock: fixedClock(NOW), ids: sequentialIds('new') };

const db = useEmptyDatabase({ entities: [...shared, ...entities], migrations: [...sharedMigrations, ...migrations] });
let runner: QueryRunner;
let manager: EntityManager;
let store: ScopeStore;

beforeAll(async () => {
  await db.dataSource().runMigrations();
  await db.dataSource().transaction(async (m) => {
    for (let t = 0; t < 50; t += 1) await insertRows(m, makeTenant({ id: `t-${String(t).padStart(2, '0')}` }));
    await m.query(
      `INSERT INTO execution_scopes (tenant_id, id, incident_id, allowed_actions, max_attempts, attempts_used, cost_used_cents, intent,
         status, created_at, expires_at)
       SELECT 't-' || to_char(n % 50, 'FM00'), 's-' || to_char(n, 'FM000000'), 'i-' || to_char(n / 50 % 50, 'FM00'), '{retry}', 9, 2, 4, 'i',
         CASE WHEN n / 50 % 4 < 3 THEN 'active' ELSE 'exhausted' END, at,
         at + CASE WHEN n / 50 % 20 = 1 THEN interval '5 minutes' ELSE interval '1 year' END
       FROM (SELECT n, timestamptz '2026-03-10T11:54:00Z' - n * interval '13 seconds' AS at FROM generate_series(0, $1::int - 1) n) AS s`,
      [SCOPES],
    );
    await m.query(
      `INSERT INTO execution_scope_attempts (tenant_id, id, scope_id, attempt_number, action, cost_cents, idempotency_key, executed_at)
       SELECT tenant_id, id || '-' || n, id, n, 'retry', 2, CASE n WHEN 1 THEN 'k' END, created_at
       FROM execution_scopes, generate_series(1, 2) n WHERE tenant_id < 't-25'`,
    );
  });
  await db.dataSource().query('VACUUM ANALYZE execution_scopes, execution_scope_attempts');
});

beforeEach(async () => {
  runner = db.dataSource().createQueryRunner();
  await runner.startTransaction();
  manager = runner.manager;
  store = getScopeStore(manager, deps);
});

afterEach(async () => {
  await runner.rollbackTransaction();
  await runner.release();
});

/** The plans of the statements that a call sends, each run on the rows as they were before the call. */
async function plansOf(work: () => Promise<unknown>): Promise<readonly Plan[]> {
  await manager.query('SAVEPOINT asked');
  const sent = (await captureStatements(manager, work)).filter(({ text }) => !/SAVEPOINT/.test(text));
  await manager.query('ROLLBACK TO SAVEPOINT asked');
  const plans: Plan[] = [];
  for (const { text, values } of sent) {
    const plan = await explain(manager, text, values, { analyze: true });
    await manager.query('ROLLBACK TO SAVEPOINT asked');
    expect(plan.seqScans).toEqual([]);
    plans.push(plan);
  }
  return plans;
}
async function planOf(work: () => Promise<unknown>): Promise<Plan> {
  const [plan, ...more] = await plansOf(work);
  expect(more).toEqual([]);
  return plan as Plan;
}
/** Rows that the scans of an index gave. */
const readFrom = ({ nodes }: Plan, index: string): number =>
  nodes
    .filter((node) => node['Index Name'] === index)
    .reduce((sum, node) => sum + (node['Actual Rows'] ?? 0) * (node['Actual Loops'] ?? 1), 0);

it('getScope: the scope by its key, and its attempts in the order of their numbers', async () => {
  const plan = await planOf(() => store.getScope(TENANT, ID));
  expect(new Set(plan.indexes)).toEqual(new Set([KEY, NUMBER]));
  expect([readFrom(plan, KEY), readFrom(plan, NUMBER)]).toEqual([1, 2]);
});

it('getScopesForIncident: in the order of the index, logs of the page alone, and a later page begins at its cursor', async () => {
  const first = await planOf(() => store.getScopesForIncident(TENANT, 'i-00', { limit: 10 }));
  let { nextCursor } = await store.getScopesForIncident(TENANT, 'i-00', { limit: 10 });
  for (let page = 2; page < 4; page += 1)
    ({ nextCursor } = await store.getScopesForIncident(TENANT, 'i-00', { limit: 10, cursor: nextCursor ?? '' }));
  const last = await planOf(() => store.getScopesForIncident(TENANT, 'i-00', { limit: 10, cursor: nextCursor ?? '' }));
  for (const plan of [first, last]) {
    expect(new Set(plan.indexes)).toEqual(new Set([INCIDENT, NUMBER]));
    expect(readFrom(plan, INCIDENT)).toBeLessThanOrEqual(11);
    expect(readFrom(plan, NUMBER)).toBeLessThanOrEqual(22);
  }
  expect(last.indexConditions.join()).toMatch(/ROW\(.*created_at, .*id\) < ROW\(/);
  expect(last.buffers).toBeLessThanOrEqual(2 * first.buffers);
});

it.each([20, 1000])('cleanupExpired, limit %i: that many that are over, each marked by its key', async (n) => {
  const plan = await planOf(() => store.cleanupExpired(scope, n));
  expect(new Set(plan.indexes)).toEqual(new Set([EXPIRY, KEY]));
  expect([readFrom(plan, EXPIRY), readFrom(plan, KEY)]).toEqual([n, n]);
});

it.each<[string, object]>([
  ['without a key', {}],
  ['with a new key', { idempotencyKey: 'new' }],
  ['a replay', { idempotencyKey: 'k', costCents: '2' }],
])('consumeScope %s: two statements by keys, whose work doesn’t grow', async (_name, more) => {
  const asked = { scopeId: ID, action: 'retry', incidentId: 'i-00', ...more };
  const plans = await plansOf(() => executeWithScope(manager, TENANT, asked, deps));
  expect(plans).toHaveLength(2);
  expect(plans[0]?.indexes).toEqual([KEY]);
  const allowed = [KEY, NUMBER, 'uq_execution_scope_attempts_key'];
  expect(plans[1]?.indexes.filter((index) => !allowed.includes(index))).toEqual([]);
  expect(plans[1]?.buffers).toBeLessThan(60);
});

it('revokeScope: by the key', async () => {
  const plan = await planOf(() => store.revokeScope(TENANT, ID));
  expect(plan.indexes).toEqual([KEY]);
});

it('settleScopeAttempt: by keys, and the attempts of this scope alone', async () => {
  const plans = await plansOf(() => settleScopeAttempt(manager, TENANT, ID, 1, '5' as DecimalString, deps));
  expect(plans.map(({ indexes }) => [...new Set(indexes)].sort())).toEqual([[KEY], [KEY, NUMBER]]);
});

it('round by round, all that is over is marked, and then nothing', async () => {
  const [row]: { n: number }[] = await manager.query(
    `SELECT count(*)::int AS n FROM execution_scopes WHERE status = 'active' AND expires_at <= $1`,
    [NOW.toISOString()],
  );
  let marked = 0;
  for (let round = -1; round !== 0; marked += Math.max(round, 0)) round = await store.cleanupExpired(scope);
  expect([marked, (row?.n ?? 0) > 2000]).toEqual([row?.n, true]);
});
