import type { EvaluationRule, RunFilter, RunSort } from '@hoc/activity/schemas';
import type { DecimalString } from '@hoc/shared/kernel';
import { entities, migrations } from '@hoc/shared/models';
import { fixedClock, makeLimit, makeRun, makeTenant } from '@hoc/shared/testing';
import { captureStatements, explain, insertRows, type Plan, useEmptyDatabase, waitFor } from '@hoc/testkit';
import type { EntityManager, QueryRunner } from 'typeorm';
import { type ActivityReadDriver, getActivityReadDriver } from './activity-read.driver';
import { getRunSignalDriver } from './run-signal.driver';

/** 200,000 runs over 50 tenants; of each tenant's, one in four needs attention, one in ten still goes on. */
const RUNS = 200_000;
const TENANT = 't-07';
const RULE: EvaluationRule = { nearThresholdRatio: '0.8' as DecimalString };
const NEWEST: RunSort = { field: 'startedAt', direction: 'desc' };

const db = useEmptyDatabase({ entities, migrations });
let runner: QueryRunner;
let manager: EntityManager;
let driver: ActivityReadDriver;

beforeAll(async () => {
  await db.dataSource().runMigrations();
  await db.dataSource().transaction(async (m) => {
    for (let t = 0; t < 50; t += 1) await insertRows(m, makeTenant({ id: `t-${String(t).padStart(2, '0')}` }));
    await m.query(
      `INSERT INTO runs (tenant_id, id, agent_id, origin_system_id, goal, status, state, project_id, source, provider_type, risk_level,
         incident_count, duration_ms, input_tokens, output_tokens, estimated_cost_cents, created_at, started_at, completed_at, updated_at)
       SELECT 't-' || to_char(n % 50, 'FM00'), 'r-' || to_char(n, 'FM000000'), 'agent-' || k % 13, 'console', 'goal',
         CASE WHEN k % 10 = 3 THEN 'running' WHEN k % 7 = 2 THEN 'failed' ELSE 'succeeded' END, CASE WHEN k % 10 = 3 THEN 'LIVE' ELSE 'COMPLETED' END,
         'p-' || k % 11, 'agent', 'openai', CASE WHEN k % 4 = 1 THEN 'AT_RISK' ELSE 'NORMAL' END, 0, k % 997, k % 900, k % 70, k % 40,
         at, CASE WHEN k % 100 <> 99 THEN at END, CASE WHEN k % 10 <> 3 THEN at + interval '1 minute' END, at
       FROM (SELECT n, n / 50 AS k, timestamptz '2026-03-10T00:00:00Z' - n * interval '13 seconds' AS at
             FROM generate_series(0, $1::int - 1) n) AS s`,
      [RUNS],
    );
    const cost = { limit_category: 'THRESHOLD', scope: 'TENANT', limit_type: 'COST_CENTS', max_value: '30' };
    await insertRows(m, ...['a', 'b', 'c'].map((id) => makeLimit(TENANT, { id, ...cost })));
    await m.query(`INSERT INTO limits SELECT (jsonb_populate_record(l, jsonb_build_object('tenant_id', t.id))).*
      FROM limits l CROSS JOIN tenants t WHERE t.id <> l.tenant_id`);
    await m.query(`INSERT INTO limit_breaches (tenant_id, id, limit_id, run_id, breach_type, limit_value, breached_at)
      SELECT tenant_id, 'breach-' || id, 'b', id, 'BREACHED', 30, created_at FROM runs WHERE duration_ms % 10 = 0 AND tenant_id < 't-15'`);
  });
  for (const table of ['tenants', 'runs', 'limits', 'limit_breaches'])
    await db.dataSource().query(`VACUUM ANALYZE ${table}`);
  await waitFor(isVisibleToAll, 'VACUUM to see that every page of runs is visible to all');
});

/** Not before the server has written out the commit of its rows, which it does in its own time without synchronous_commit. */
async function isVisibleToAll(): Promise<boolean> {
  await db.dataSource().query('VACUUM runs');
  const sql = "SELECT relallvisible = relpages AS yes FROM pg_class WHERE oid = 'runs'::regclass";
  const rows: { yes: boolean }[] = await db.dataSource().query(sql);
  return rows[0]?.yes === true;
}

beforeEach(async () => {
  runner = db.dataSource().createQueryRunner();
  await runner.startTransaction();
  manager = runner.manager;
  driver = getActivityReadDriver(manager);
});

afterEach(async () => {
  await runner.rollbackTransaction();
  await runner.release();
});

/** The plan of the one statement that a call sends. */
async function planOf(work: () => Promise<unknown>, analyze = true): Promise<Plan> {
  const [sent] = await captureStatements(manager, work);
  const plan = await explain(manager, sent?.text ?? '', sent?.values ?? [], { analyze });
  expect(plan.seqScans).not.toContain('runs');
  return plan;
}

/** The plan that a connection keeps of a named statement from the sixth time on: the one for any values. */
async function keptPlanOf(work: () => Promise<unknown>): Promise<Plan> {
  const [sent] = await captureStatements(manager, work);
  expect(sent?.name).toBeDefined();
  const literals = (sent?.values ?? []).map((value) => `'${String(value).replaceAll("'", "''")}'`);
  await manager.query('SET LOCAL plan_cache_mode = force_generic_plan');
  await manager.query(`PREPARE any_values AS ${sent?.text ?? ''}`);
  const plan = await explain(manager, `EXECUTE any_values(${literals.join(', ')})`);
  await manager.query('DEALLOCATE any_values');
  await manager.query('SET LOCAL plan_cache_mode = auto');
  expect(plan.seqScans).not.toContain('runs');
  return plan;
}

const page = (filter: RunFilter, sort: RunSort, cursor?: string) =>
  driver.fetchRuns(TENANT, filter, sort, { limit: 20, ...(cursor === undefined ? {} : { cursor }) });
const withPolicy = (cursor?: string) =>
  driver.fetchRunsWithPolicyContext(
    TENANT,
    {},
    NEWEST,
    { limit: 50, ...(cursor === undefined ? {} : { cursor }) },
    RULE,
  );

/** The cursor behind so many pages of 20. */
async function after(pages: number, filter: RunFilter, sort: RunSort): Promise<string> {
  let cursor: string | undefined;
  for (let n = 0; n < pages; n += 1) cursor = (await page(filter, sort, cursor)).nextCursor ?? '';
  expect(cursor).not.toBe('');
  return cursor ?? '';
}

const loopsOf = (plan: Plan, relation: string): number =>
  Math.max(...plan.nodes.filter((node) => node['Relation Name'] === relation).map((node) => node['Actual Loops'] ?? 0));
/** What a node of the plan reads by this index is what its condition lets through: nothing is read and thrown away. */
const filteredOut = (plan: Plan, index: string): number =>
  Math.max(
    0,
    ...plan.nodes.filter((node) => node['Index Name'] === index).map((node) => node['Rows Removed by Filter'] ?? 0),
  );

describe('pages of runs', () => {
  it.each([
    ['startedAt', 'desc', 'ix_runs_tenant_started', 'COALESCE\\(.*started_at.*\\)'],
    ['startedAt', 'asc', 'ix_runs_tenant_started', 'COALESCE\\(.*started_at.*\\)'],
    ['completedAt', 'desc', 'ix_runs_tenant_completed', 'COALESCE\\(.*completed_at.*\\)'],
    ['completedAt', 'asc', 'ix_runs_tenant_completed', 'COALESCE\\(.*completed_at.*\\)'],
    ['durationMs', 'desc', 'ix_runs_tenant_duration', 'COALESCE\\(.*duration_ms.*\\)'],
    ['durationMs', 'asc', 'ix_runs_tenant_duration', 'COALESCE\\(.*duration_ms.*\\)'],
    ['riskLevel', 'desc', 'ix_runs_tenant_risk_rank', 'CASE.*END'],
    ['riskLevel', 'asc', 'ix_runs_tenant_risk_rank', 'CASE.*END'],
  ] as const)('%s %s: %s in order, page 100 costs what page 1 does', async (field, direction, index, key) => {
    const sort: RunSort = { field, direction };
    const cursor = await after(99, {}, sort);
    const first = await planOf(() => page({}, sort));
    const hundredth = await planOf(() => page({}, sort, cursor));
    const kept = await keptPlanOf(() => page({}, sort));
    const keptNext = await keptPlanOf(() => page({}, sort, cursor));
    for (const plan of [first, hundredth, kept, keptNext])
      expect([plan.indexes, plan.hasSort]).toEqual([[index], false]);
    const continued = new RegExp(`ROW\\(\\(?${key}\\)?, .*id\\) ${direction === 'desc' ? '<' : '>'} ROW\\(`);
    for (const plan of [hundredth, keptNext]) expect(plan.indexConditions.join()).toMatch(continued);
    expect(first.buffers).toBeGreaterThan(0);
    expect(hundredth.buffers).toBeLessThanOrEqual(3 * first.buffers);
  });

  it.each([
    ['state LIVE', { state: 'LIVE' }, 'ix_runs_tenant_state_started'],
    ['a project', { projectId: 'p-3' }, 'ix_runs_tenant_project_started'],
    ['at risk', { atRiskOnly: true }, 'ix_runs_tenant_attention'],
  ] as const)('%s: its index in order, in both directions, first page and tenth', async (_name, filter, index) => {
    for (const direction of ['desc', 'asc'] as const) {
      const sort: RunSort = { field: 'startedAt', direction };
      const cursor = await after(9, filter, sort);
      const first = await planOf(() => page(filter, sort));
      const tenth = await planOf(() => page(filter, sort, cursor));
      for (const plan of [first, tenth]) {
        expect([plan.indexes, plan.hasSort]).toEqual([[index], false]);
        expect(filteredOut(plan, index)).toBe(0);
      }
      expect(tenth.indexConditions.join()).toMatch(/ROW\(COALESCE\(.*started_at.*\), .*id\) [<>] ROW\(/);
      expect(tenth.buffers).toBeLessThanOrEqual(3 * first.buffers);
    }
  });

  it('without a filter a page of the default length, or a longer one, is not planned anew each time', async () => {
    const cursor = await after(1, {}, NEWEST);
    for (const request of [{}, { cursor }]) {
      const ask = (limit?: number) =>
        driver.fetchRuns(TENANT, {}, NEWEST, { ...request, ...(limit === undefined ? {} : { limit }) });
      const [sent] = await captureStatements(manager, () => ask());
      const planned = async (): Promise<number> => {
        const sql = 'SELECT custom_plans::int AS n FROM pg_prepared_statements WHERE name = $1';
        const rows: { n: number }[] = await manager.query(sql, [sent?.name]);
        return rows[0]?.n ?? 0;
      };
      for (let n = 0; n < 10; n += 1) await ask();
      const settled = await planned();
      for (const limit of [undefined, 100, 200]) for (let n = 0; n < 3; n += 1) await ask(limit);
      expect(settled).toBeGreaterThan(0);
      expect(await planned()).toBe(settled);
    }
  });

  it('a started range is an index condition, of the page and of the count', async () => {
    const filter = { startedFrom: new Date('2026-03-01T00:00:00Z'), startedTo: new Date('2026-03-01T06:00:00Z') };
    const plan = await planOf(() => page(filter, NEWEST));
    expect([plan.indexes, plan.hasSort]).toEqual([['ix_runs_tenant_started'], false]);
    const count = await planOf(() => driver.countRuns(TENANT, filter));
    for (const each of [plan, count]) expect(each.indexConditions.join()).toMatch(/COALESCE.*>=.*COALESCE.*</);
    const atRisk = await planOf(() => page({ ...filter, atRiskOnly: true }, NEWEST));
    expect(atRisk.indexConditions.join()).toMatch(/COALESCE.*>=.*COALESCE.*</);
  });

  it('a completed range is an index condition', async () => {
    const filter = { completedFrom: new Date('2026-03-01T00:00:00Z'), completedTo: new Date('2026-03-01T06:00:00Z') };
    const plan = await planOf(() => page(filter, { field: 'completedAt', direction: 'desc' }));
    expect([plan.indexes, plan.hasSort]).toEqual([['ix_runs_tenant_completed'], false]);
    expect(plan.indexConditions.join()).toMatch(/COALESCE.*>=.*COALESCE.*</);
  });
});

describe('the limit of each run', () => {
  it('is looked up for the rows of the page alone, on every page', async () => {
    let cursor: string | undefined;
    for (const asked of [1, 40]) {
      for (let n = 1; n < asked; n += 1) cursor = (await withPolicy(cursor)).nextCursor ?? '';
      const plan = await planOf(() => withPolicy(cursor));
      expect(plan.indexes).toContain('ix_runs_tenant_started');
      expect(loopsOf(plan, 'runs')).toBe(1);
      expect(loopsOf(plan, 'limits')).toBeGreaterThan(0);
      expect(loopsOf(plan, 'limits')).toBeLessThanOrEqual(51);
      expect(loopsOf(plan, 'limit_breaches')).toBeLessThanOrEqual(51 * 3);
      expect(plan.indexes).toContain('ix_limit_breaches_run');
      expect(filteredOut(plan, 'ix_limit_breaches_run')).toBe(0);
      expect(plan.seqScans).not.toContain('limit_breaches');
    }
  });

  it('runs at risk: the index of attention, and no more than the page', async () => {
    const plan = await planOf(() => driver.fetchAtRiskRuns(TENANT, {}, { limit: 20 }, RULE));
    expect(plan.indexes).toContain('ix_runs_tenant_attention');
    expect(loopsOf(plan, 'limits')).toBeGreaterThan(0);
    expect(loopsOf(plan, 'limits')).toBeLessThanOrEqual(21);
  });

  it('threshold signals and metrics in a started range read the runs of the range', async () => {
    const range = { startedFrom: new Date('2026-03-01T00:00:00Z'), startedTo: new Date('2026-03-01T06:00:00Z') };
    for (const ask of [
      () => driver.fetchThresholdSignals(TENANT, range, {}, RULE),
      () => driver.countThresholdSignals(TENANT, range, RULE),
      () => driver.fetchMetrics(TENANT, range, RULE),
    ]) {
      const plan = await planOf(ask);
      expect(plan.indexes).toContain('ix_runs_tenant_started');
      expect(plan.indexConditions.join()).toMatch(/COALESCE.*>=.*COALESCE.*</);
      expect(loopsOf(plan, 'limits')).toBeLessThanOrEqual(34);
    }
  });
});

describe('single runs and counts', () => {
  const signals = () => getRunSignalDriver(manager, { clock: fixedClock('2026-03-10T12:00:00.000Z') });
  it.each([
    ['fetchRunDetail', () => driver.fetchRunDetail(TENANT, 'r-000007')],
    ['getRiskLevel', () => signals().getRiskLevel(TENANT, 'r-000007')],
    ['updateRiskLevel', () => signals().updateRiskLevel(TENANT, 'r-000007', ['RUN_FAILED'])],
  ])('%s: by key', async (_name, ask) => {
    const plan = await planOf(ask, false);
    expect(new Set(plan.indexes)).toEqual(new Set(['pk_runs']));
  });
  it('a batch of 1,000 signals: a key look-up per run', async () => {
    const items = Array.from({ length: 1000 }, (_, n) => ({
      runId: `r-${String(n * 50 + 7).padStart(6, '0')}`,
      signals: ['RUN_FAILED'],
    }));
    const plan = await planOf(() => signals().updateRiskLevels(TENANT, items), false);
    expect(plan.indexes).toContain('pk_runs');
  });
  it('the status summary is index-only', async () => {
    const plan = await planOf(() => driver.fetchStatusSummary(TENANT));
    expect(plan.indexes).toEqual(['ix_runs_tenant_status']);
    expect(plan.nodes.map((node) => node['Node Type'])).toContain('Index Only Scan');
  });
  it.each(['agentId', 'providerType', 'status'] as const)('dimension %s reads its index', async (dimension) => {
    const plan = await planOf(() => driver.fetchDimensionBreakdown(TENANT, dimension));
    expect(plan.indexes.join()).toMatch(/^ix_runs_tenant_(agent|provider|status)$/);
  });
});

describe('a connection that asked while the tables were small', () => {
  // A database of its own: the planner goes by what VACUUM has counted, and a worker's has been used by other spec files.
  const fresh = useEmptyDatabase({ entities, migrations });
  beforeAll(() => fresh.dataSource().runMigrations());

  const rowsRead = async (m: EntityManager): Promise<number> => {
    const sql = `SELECT COALESCE(sum(seq_tup_read + idx_tup_fetch), 0)::int AS n
      FROM pg_stat_xact_user_tables WHERE relname IN ('runs', 'limit_breaches')`;
    const rows: { n: number }[] = await m.query(sql);
    return rows[0]?.n ?? 0;
  };

  it('reads as few rows when they have grown', () =>
    fresh.dataSource().transaction(async (m) => {
      const own = getActivityReadDriver(m);
      await insertRows(m, makeTenant({ id: 't-a' }), makeLimit('t-a', { id: 'L' }), makeRun('t-a', { id: 'r-0' }));
      const asks: readonly (() => Promise<unknown>)[] = [
        () => own.fetchRunDetail('t-a', 'r-7'),
        () => own.fetchRuns('t-a', {}, NEWEST, { limit: 2 }),
        () => own.fetchRunsWithPolicyContext('t-a', {}, NEWEST, { limit: 2 }, RULE),
        () => own.fetchAtRiskRuns('t-a', {}, { limit: 2 }, RULE),
      ];
      for (const ask of asks) for (let n = 0; n < 8; n += 1) await ask();
      await m.query(`INSERT INTO runs (tenant_id, id, agent_id, origin_system_id, goal, created_at, updated_at, started_at, incident_count)
        SELECT 't-a', 'r-' || n, 'ag', 'console', 'goal', at, at, at, 1
        FROM (SELECT n, timestamptz '2026-03-10T00:00:00Z' + n * interval '1 second' AS at FROM generate_series(1, 5000) n) AS s`);
      await m.query(`INSERT INTO limit_breaches (tenant_id, id, limit_id, run_id, breach_type, limit_value, breached_at)
        SELECT tenant_id, 'b-' || id, 'L', id, 'BREACHED', 1, created_at FROM runs`);
      for (const ask of asks) {
        const before = await rowsRead(m);
        await ask();
        expect((await rowsRead(m)) - before).toBeLessThanOrEqual(6);
      }
    }));
});
