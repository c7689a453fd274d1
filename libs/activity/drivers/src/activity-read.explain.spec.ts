import type { EvaluationRule, RunFilter, RunSort } from '@hoc/activity/schemas';
import type { DecimalString } from '@hoc/shared/kernel';
import { entities, migrations } from '@hoc/shared/models';
import { fixedClock, makeLimit, makeTenant } from '@hoc/shared/testing';
import { captureStatements, explain, insertRows, type Plan, useEmptyDatabase, waitFor } from '@hoc/testkit';
import type { EntityManager, QueryRunner } from 'typeorm';
import { type ActivityReadDriver, getActivityReadDriver } from './activity-read.driver';
import { getRunSignalDriver } from './run-signal.driver';

/** 200,000 runs over 50 tenants; one in twenty needs attention, one in ten still goes on. */
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
       SELECT 't-' || to_char(n % 50, 'FM00'), 'r-' || to_char(n, 'FM000000'), 'agent-' || n % 13, 'console', 'goal',
         CASE WHEN n % 10 = 3 THEN 'running' WHEN n % 7 = 2 THEN 'failed' ELSE 'succeeded' END, CASE WHEN n % 10 = 3 THEN 'LIVE' ELSE 'COMPLETED' END,
         'p-' || n % 11, 'agent', 'openai', CASE WHEN n % 20 = 7 THEN 'AT_RISK' ELSE 'NORMAL' END, 0, n % 5000, n % 900, n % 70, n % 40,
         at, CASE WHEN n % 100 <> 99 THEN at END, CASE WHEN n % 10 <> 3 THEN at + interval '1 minute' END, at
       FROM (SELECT n, timestamptz '2026-03-10T00:00:00Z' - n * interval '13 seconds' AS at FROM generate_series(0, $1::int - 1) n) AS s`,
      [RUNS],
    );
    const limits = ['a', 'b', 'c'].map((id) =>
      makeLimit(TENANT, {
        id,
        limit_category: 'THRESHOLD',
        scope: 'TENANT',
        limit_type: 'COST_CENTS',
        max_value: '30',
      }),
    );
    await insertRows(m, ...limits);
    await m.query(`INSERT INTO limits SELECT (jsonb_populate_record(l, jsonb_build_object('tenant_id', t.id))).*
      FROM limits l CROSS JOIN tenants t WHERE t.id <> l.tenant_id`);
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

const page = (filter: RunFilter, sort: RunSort, cursor?: string) =>
  driver.fetchRuns(TENANT, filter, sort, { limit: 20, ...(cursor === undefined ? {} : { cursor }) });

/** The cursor of the 99th page. */
async function deep(sort: RunSort): Promise<string> {
  const { nextCursor } = await driver.fetchRuns(TENANT, {}, sort, { limit: 200 });
  let cursor = nextCursor ?? '';
  for (let rows = 200; rows < 1980; rows += 20) {
    const next = await driver.fetchRuns(TENANT, {}, sort, { limit: 20, cursor });
    cursor = next.nextCursor ?? '';
  }
  return cursor;
}

describe('pages of runs', () => {
  it.each(['desc', 'asc'] as const)(
    'startedAt %s: the index in order, and page 100 costs what page 1 does',
    async (direction) => {
      const sort: RunSort = { field: 'startedAt', direction };
      const cursor = await deep(sort);
      const first = await planOf(() => page({}, sort));
      const hundredth = await planOf(() => page({}, sort, cursor));
      for (const plan of [first, hundredth]) {
        expect(plan.indexes).toEqual(['ix_runs_tenant_started']);
        expect(plan.hasSort).toBe(false);
      }
      expect(hundredth.indexConditions.join()).toMatch(/ROW\(COALESCE\(.*started_at.*\), .*id\) [<>] ROW\(/);
      expect(hundredth.buffers).toBeLessThanOrEqual(3 * first.buffers);
    },
  );
  it.each([
    [{ field: 'durationMs', direction: 'desc' }, 'ix_runs_tenant_duration'],
    [{ field: 'completedAt', direction: 'asc' }, 'ix_runs_tenant_completed'],
    [{ field: 'riskLevel', direction: 'desc' }, 'ix_runs_tenant_risk_rank'],
  ] as const)('sort %j', async (sort, index) => {
    const { nextCursor } = await page({}, sort);
    for (const cursor of [undefined, nextCursor ?? undefined]) {
      const plan = await planOf(() => page({}, sort, cursor));
      expect([plan.indexes, plan.hasSort]).toEqual([[index], false]);
    }
  });
  it('state LIVE', async () => {
    const plan = await planOf(() => page({ state: 'LIVE' }, NEWEST));
    expect([plan.indexes, plan.hasSort]).toEqual([['ix_runs_tenant_state_started'], false]);
  });
  it('a project', async () => {
    const plan = await planOf(() => page({ projectId: 'p-3' }, NEWEST));
    expect([plan.indexes, plan.hasSort]).toEqual([['ix_runs_tenant_project_started'], false]);
  });
  it('a started range is an index condition', async () => {
    const filter = { startedFrom: new Date('2026-03-01T00:00:00Z'), startedTo: new Date('2026-03-01T06:00:00Z') };
    const plan = await planOf(() => page(filter, NEWEST));
    expect(plan.indexes).toEqual(['ix_runs_tenant_started']);
    expect(plan.indexConditions.join()).toMatch(/COALESCE.*>=.*COALESCE.*</);
    const count = await planOf(() => driver.countRuns(TENANT, filter));
    expect(count.indexConditions.join()).toMatch(/COALESCE.*>=.*COALESCE.*</);
  });
  it('runs at risk', async () => {
    for (const ask of [
      () => page({ atRiskOnly: true }, NEWEST),
      () => driver.fetchAtRiskRuns(TENANT, {}, { limit: 20 }, RULE),
    ]) {
      const plan = await planOf(ask);
      expect(plan.indexes).toContain('ix_runs_tenant_attention');
    }
  });
  it('the policy context is evaluated for the rows of the page alone', async () => {
    const plan = await planOf(() => driver.fetchRunsWithPolicyContext(TENANT, {}, NEWEST, { limit: 50 }, RULE));
    expect(plan.indexes).toContain('ix_runs_tenant_started');
    const loops = plan.nodes
      .filter((node) => node['Relation Name'] === 'limits')
      .map((node) => node['Actual Loops'] ?? 0);
    expect(loops.length).toBeGreaterThan(0);
    expect(Math.max(...loops)).toBeLessThanOrEqual(51);
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
  it('threshold signals in a started range read the runs of the range', async () => {
    const filter = { startedFrom: new Date('2026-03-01T00:00:00Z'), startedTo: new Date('2026-03-01T06:00:00Z') };
    const plan = await planOf(() => driver.fetchThresholdSignals(TENANT, filter, {}, RULE));
    expect(plan.indexes).toContain('ix_runs_tenant_started');
  });
});
