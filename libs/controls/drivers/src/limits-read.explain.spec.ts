import { entities, migrations } from '@hoc/controls/models';
import type { LimitsFilter } from '@hoc/controls/schemas';
import type { PageRequest } from '@hoc/shared/kernel';
import { entities as shared, migrations as sharedMigrations } from '@hoc/shared/models';
import { fixedClock } from '@hoc/shared/testing';
import { captureStatements, explain, type Plan, useEmptyDatabase, waitFor } from '@hoc/testkit';
import type { EntityManager, QueryRunner } from 'typeorm';
import { getLimitsReadDriver, type LimitsReadDriver } from './limits-read.driver';

/**
 * 50 tenants of 400 limits: 320 active budgets, 40 disabled ones, 40 rates. 400,000 breaches, 20 of each limit over 60 days;
 * each tenth by one of 40 runs of the tenant. Half of the limits were verified.
 */
const TENANT = 't-07';
const ACTIVE_BUDGETS = 320;
const LIST = 'ix_limits_list';
const BREACHES = 'ix_limit_breaches_limit';
const INTEGRITY = 'uq_limit_integrity_limit';

const db = useEmptyDatabase({ entities: [...shared, ...entities], migrations: [...sharedMigrations, ...migrations] });
let runner: QueryRunner;
let manager: EntityManager;
let driver: LimitsReadDriver;

const NUMBERED = `to_char(n % 50, 'FM00') AS t, n / 50 AS k`;
const SEED = [
  `INSERT INTO tenants (id, name, slug, plan, max_workers, max_runs_per_day, max_concurrent_runs, max_tokens_per_month,
     max_api_keys, runs_today, runs_this_month, tokens_this_month, status, onboarding_state, is_synthetic, created_at, updated_at)
   SELECT 't-' || t, t, t, 'free', 3, 100, 5, 1000000, 5, 0, 0, 0, 'active', 0, false, at, at
   FROM (SELECT ${NUMBERED}, timestamptz '2026-01-01T00:00:00Z' AS at FROM generate_series(0, 49) n) s`,
  `INSERT INTO limits (tenant_id, id, name, limit_category, limit_type, scope, max_value, reset_period, window_seconds,
     enforcement, status, created_at, updated_at)
   SELECT 't-' || t, 'l-' || to_char(k, 'FM000'), 'A limit', CASE WHEN k % 10 = 0 THEN 'RATE' ELSE 'BUDGET' END,
     CASE WHEN k % 2 = 0 THEN 'COST_CENTS' ELSE 'TOKENS_PER_DAY' END, 'TENANT', 1000 + k, 'MONTHLY', 60, 'BLOCK',
     CASE WHEN k % 10 = 1 THEN 'DISABLED' ELSE 'ACTIVE' END, at, at
   FROM (SELECT ${NUMBERED}, timestamptz '2026-01-01T00:00:00Z' + n * interval '1 minute' AS at FROM generate_series(0, 19999) n) s`,
  `INSERT INTO limit_integrity (tenant_id, id, limit_id, integrity_status, integrity_score, computed_at)
   SELECT tenant_id, 'i' || id, id, 'VERIFIED', 1, created_at FROM limits WHERE right(id, 1) IN ('2', '4', '5', '7', '8')`,
  `INSERT INTO limit_breaches (tenant_id, id, limit_id, run_id, breach_type, limit_value, breached_at)
   SELECT 't-' || t, 'b-' || to_char(n, 'FM000000'), 'l-' || to_char(k % 400, 'FM000'),
     CASE WHEN k % 10 = 0 THEN 'r-' || k / 10 % 40 END, 'BREACHED', 1000,
     timestamptz '2026-03-10T11:00:00Z' - n * interval '13 seconds'
   FROM (SELECT n, ${NUMBERED} FROM generate_series(0, 399999) n) s`,
];

beforeAll(async () => {
  await db.dataSource().runMigrations();
  await db.dataSource().transaction(async (m) => {
    // Plans don't ask whether a row that is referred to exists: neither does the seed.
    await m.query('SET LOCAL session_replication_role = replica');
    for (const statement of SEED) await m.query(statement);
  });
  await db.dataSource().query('VACUUM ANALYZE limits, limit_breaches, limit_integrity');
  await waitFor(isVisibleToAll, 'VACUUM to see that every page of limit_breaches is visible to all');
});

/** Not before the server has written out the commit of its rows, which it does in its own time without synchronous_commit. */
async function isVisibleToAll(): Promise<boolean> {
  await db.dataSource().query('VACUUM limit_breaches');
  const sql = "SELECT relallvisible = relpages AS yes FROM pg_class WHERE oid = 'limit_breaches'::regclass";
  const rows: { yes: boolean }[] = await db.dataSource().query(sql);
  return rows[0]?.yes === true;
}

beforeEach(async () => {
  runner = db.dataSource().createQueryRunner();
  await runner.startTransaction();
  manager = runner.manager;
  driver = getLimitsReadDriver(manager, { clock: fixedClock('2026-03-10T12:00:00.000Z') });
});

afterEach(async () => {
  await runner.rollbackTransaction();
  await runner.release();
});

/** The plan of the one statement that a call sends; it is never kept, and reads no table from end to end. */
async function planOf(work: () => Promise<unknown>): Promise<Plan> {
  const [sent, ...more] = await captureStatements(manager, work);
  expect([more, sent?.name]).toEqual([[], undefined]);
  const plan = await explain(manager, sent?.text ?? '', sent?.values ?? [], { analyze: true });
  expect(plan.seqScans).toEqual([]);
  return plan;
}

/** Rows that the scans of an index gave, and how often it was gone into. */
function readFrom({ nodes }: Plan, index: string): { readonly rows: number; readonly scans: number } {
  const scans = nodes.filter((node) => node['Index Name'] === index);
  const loops = scans.map((node) => node['Actual Loops'] ?? 0);
  const rows = scans.map((node, n) => (node['Actual Rows'] ?? 0) * (loops[n] ?? 0));
  return { rows: sum(rows), scans: sum(loops) };
}
const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);

/** The request for the page behind `pages` pages of 50. */
async function behind(pages: number, filter: LimitsFilter): Promise<PageRequest> {
  let page: PageRequest = { limit: 50 };
  for (let n = 0; n < pages; n += 1) {
    const { nextCursor } = await driver.fetchLimits(TENANT, filter, page);
    page = { limit: 50, cursor: nextCursor ?? '' };
  }
  return page;
}

it.each([0, 3])(
  'fetchLimits, %i pages deep: the newest breach of each limit, a count for those of the page alone',
  async (deep) => {
    const page = await behind(deep, {});
    const plan = await planOf(() => driver.fetchLimits(TENANT, {}, page));
    expect(new Set(plan.indexes)).toEqual(new Set([LIST, BREACHES, INTEGRITY]));
    expect(readFrom(plan, LIST)).toEqual({ rows: ACTIVE_BUDGETS, scans: 1 });
    const breaches = plan.nodes.filter((node) => node['Index Name'] === BREACHES);
    expect(breaches.map((node) => node['Node Type'])).toEqual(['Index Only Scan', 'Index Only Scan']);
    expect(readFrom(plan, INTEGRITY).scans).toBe(51);
    expect(readFrom(plan, BREACHES).scans).toBe(ACTIVE_BUDGETS + 51);
    expect(readFrom(plan, BREACHES).rows).toBeLessThanOrEqual(ACTIVE_BUDGETS + 51 * 20);
  },
);

it('fetchLimits of few limits looks at the breaches of these alone', async () => {
  const filter: LimitsFilter = { createdAfter: new Date('2026-01-14T20:00:00Z') };
  const { items } = await driver.fetchLimits(TENANT, filter, { limit: 200 });
  const plan = await planOf(() => driver.fetchLimits(TENANT, filter));
  expect([items.length > 0, items.length < 20]).toEqual([true, true]);
  expect(readFrom(plan, LIST)).toEqual({ rows: items.length, scans: 1 });
  expect(readFrom(plan, BREACHES).scans).toBeLessThanOrEqual(2 * items.length);
});

describe('fetchApplyingLimits', () => {
  const filter = { category: 'BUDGET', typePrefix: 'COST_' } as const;
  const context = { projectId: 'p-1', agentId: 'a-1', providerId: 'v-1' };
  /** 30,000 limits of scopes with an id, 10 of each id; with `everyone`, as many of the whole tenant besides. */
  async function seedScopes(everyone = 0): Promise<void> {
    await manager.query(
      `INSERT INTO limits (tenant_id, id, name, limit_category, limit_type, scope, scope_id, max_value, reset_period, created_at, updated_at)
       SELECT '${TENANT}', 's-' || n, 'A limit', 'BUDGET', 'COST_CENTS', (ARRAY['PROJECT', 'AGENT', 'PROVIDER'])[n % 3 + 1],
         (ARRAY['p-', 'a-', 'v-'])[n % 3 + 1] || n / 3 % 1000, 1, 'MONTHLY', now(), now()
       FROM generate_series(0, 29999) n
       UNION ALL
       SELECT '${TENANT}', 'g-' || n, 'A limit', 'BUDGET', 'COST_CENTS', 'GLOBAL', NULL, 1, 'MONTHLY', now(), now()
       FROM generate_series(1, $1::int) n`,
      [everyone],
    );
    await manager.query('ANALYZE limits');
  }
  /** Rows that were read for the statement, those that the type's filter took away included. */
  const readOf = ({ nodes }: Plan): number =>
    sum(
      nodes
        .filter((node) => node['Relation Name'] === 'limits')
        .map(
          (node) => ((node['Actual Rows'] ?? 0) + (node['Rows Removed by Filter'] ?? 0)) * (node['Actual Loops'] ?? 0),
        ),
    );
  const SERVING = [LIST, 'ix_limits_scope_active'];

  it('of limits of the whole tenant reads these once, and neither breaches nor verifications', async () => {
    const applying = await driver.fetchApplyingLimits(TENANT, filter);
    expect(applying).toHaveLength(160);
    const plan = await planOf(() => driver.fetchApplyingLimits(TENANT, filter));
    expect(SERVING).toEqual(expect.arrayContaining([...plan.indexes]));
    expect(readOf(plan)).toBe(ACTIVE_BUDGETS);
  });
  it('among 30,000 limits of others’ scopes reads those of its own alone', async () => {
    await seedScopes();
    const applying = await driver.fetchApplyingLimits(TENANT, { ...filter, context });
    expect(applying).toHaveLength(160 + 30);
    const plan = await planOf(() => driver.fetchApplyingLimits(TENANT, { ...filter, context }));
    expect(new Set(plan.indexes)).toEqual(new Set(['ix_limits_scope_active']));
    expect(readOf(plan)).toBe(ACTIVE_BUDGETS + 30);
    const nobody = await planOf(() => driver.fetchApplyingLimits(TENANT, filter));
    expect(readOf(nobody)).toBe(ACTIVE_BUDGETS);
  });
  it('of more than it answers reads no more than it takes to know', async () => {
    await seedScopes(20_000);
    const refused = () => driver.fetchApplyingLimits(TENANT, { ...filter, context }).catch(() => null);
    const plan = await planOf(refused);
    expect(readOf(plan)).toBeLessThanOrEqual(1001 + ACTIVE_BUDGETS);
    expect(await refused()).toBeNull();
  });
});

it('countLimits: the limits, and no breach', async () => {
  const plan = await planOf(() => driver.countLimits(TENANT, { limitType: 'COST_*' }));
  expect(plan.indexes).toEqual([LIST]);
});

it('fetchLimitById: one row of each, and the breaches of 30 days', async () => {
  const plan = await planOf(() => driver.fetchLimitById(TENANT, 'l-123'));
  expect(new Set(plan.indexes)).toEqual(new Set(['pk_limits', INTEGRITY, BREACHES]));
  expect(readFrom(plan, BREACHES).rows).toBeLessThanOrEqual(20);
});

it('fetchBudgetLimits: in the order of the index, and a later page begins at its cursor', async () => {
  const { nextCursor } = await driver.fetchBudgetLimits(TENANT, {}, { limit: 200 });
  const first = await planOf(() => driver.fetchBudgetLimits(TENANT, {}, { limit: 10 }));
  const later = await planOf(() => driver.fetchBudgetLimits(TENANT, {}, { limit: 10, cursor: nextCursor ?? '' }));
  for (const plan of [first, later]) {
    expect([plan.indexes, plan.hasSort]).toEqual([[LIST], false]);
    expect(readFrom(plan, LIST).rows).toBe(11);
  }
  expect(later.indexConditions.join()).toMatch(/ROW\(.*created_at, .*id\) < ROW\(/);
});

it('fetchLimitBreachesForRun: the breaches of the run, and the limits of the page', async () => {
  const plan = await planOf(() => driver.fetchLimitBreachesForRun(TENANT, 'r-7', { limit: 5 }));
  expect(new Set(plan.indexes)).toEqual(new Set(['ix_limit_breaches_run', 'pk_limits']));
  expect(readFrom(plan, 'ix_limit_breaches_run').rows).toBe(20);
  expect(readFrom(plan, 'pk_limits').rows).toBeLessThanOrEqual(6);
});
