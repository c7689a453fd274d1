import type { NewUsage } from '@hoc/activity/schemas';
import { entities, migrations } from '@hoc/shared/models';
import { addDays, type DecimalString, toIsoDate } from '@hoc/shared/kernel';
import { fixedClock, makeIntegration, makeTenant, sequentialIds } from '@hoc/shared/testing';
import { captureStatements, explain, insertRows, type Plan, type SentStatement, useEmptyDatabase } from '@hoc/testkit';
import type { EntityManager, QueryRunner } from 'typeorm';
import { type CusTelemetryDriver, getCusTelemetryDriver } from './cus-telemetry.driver';

/** 500,000 calls of 60 days: 49 tenants with 8,474 each, and `t-49`, which has ten times as many in as many days. */
const CALLS = 500_000;
const SMALL = 't-07';
const LARGE = 't-49';
const INTEGRATIONS = ['int-0', 'int-1', 'int-2', 'int-3'];
const TODAY = toIsoDate('2026-03-10');

const db = useEmptyDatabase({ entities, migrations });
const deps = { clock: fixedClock('2026-03-10T12:00:00.000Z'), ids: sequentialIds('new') };
let runner: QueryRunner;
let manager: EntityManager;
let driver: CusTelemetryDriver;

beforeAll(async () => {
  await db.dataSource().runMigrations();
  await db.dataSource().transaction(async (m) => {
    for (let t = 0; t < 50; t += 1) {
      const tenant = `t-${String(t).padStart(2, '0')}`;
      await insertRows(m, makeTenant({ id: tenant }), ...INTEGRATIONS.map((id) => makeIntegration(tenant, { id })));
    }
    await m.query(
      `INSERT INTO cus_llm_usage (tenant_id, id, integration_id, call_id, provider, model, tokens_in, tokens_out, cost_cents,
         latency_ms, policy_result, created_at, recorded_at)
       SELECT 't-' || to_char(least(n % 59, 49), 'FM00'), 'u-' || to_char(n, 'FM000000'), 'int-' || (n / 59) % 4, 'call-' || n,
         'openai', 'm-' || n % 7, n % 1000, n % 77, (n % 1000) * 0.01, n % 500, 'allowed',
         timestamptz '2026-03-11T00:00:00Z' - (n + 0.5) * interval '60 days' / $1, now()
       FROM generate_series(0, $1::int - 1) n`,
      [CALLS],
    );
    await m.query(`INSERT INTO cus_usage_daily (tenant_id, integration_id, date, total_calls, total_tokens_in, total_tokens_out,
         total_cost_cents, latency_total_ms, latency_count, updated_at)
       SELECT tenant_id, integration_id, (created_at AT TIME ZONE 'UTC')::date, count(*), sum(tokens_in), sum(tokens_out), sum(cost_cents),
         sum(latency_ms), count(*), now() FROM cus_llm_usage GROUP BY 1, 2, 3`);
  });
  for (const table of ['tenants', 'cus_integrations', 'cus_llm_usage', 'cus_usage_daily'])
    await db.dataSource().query(`VACUUM ANALYZE ${table}`);
});

beforeEach(async () => {
  runner = db.dataSource().createQueryRunner();
  await runner.startTransaction();
  manager = runner.manager;
  driver = getCusTelemetryDriver(manager, deps);
});

afterEach(async () => {
  await runner.rollbackTransaction();
  await runner.release();
});

const BY_TIME = 'ix_cus_llm_usage_tenant_created';
const BY_INTEGRATION = 'ix_cus_llm_usage_tenant_integration_created';
const BY_CALL = 'uq_cus_llm_usage_tenant_call';

/** The statements that a call of the driver sends. */
const sentBy = (work: () => Promise<unknown>): Promise<readonly SentStatement[]> => captureStatements(manager, work);

/** Plans of a statement: for its values, and for any (what a connection uses from the sixth time on). */
async function plansOf({ text, values }: SentStatement): Promise<readonly Plan[]> {
  const custom = await explain(manager, text, values, { analyze: !/INSERT|FOR UPDATE/.test(text) });
  await manager.query('SET LOCAL plan_cache_mode = force_generic_plan');
  await manager.query(`PREPARE any_values AS ${text}`);
  const generic = await explain(manager, `EXECUTE any_values(${values.map(literal).join(', ')})`);
  await manager.query('DEALLOCATE any_values');
  await manager.query('SET LOCAL plan_cache_mode = auto');
  return [custom, generic];
}

/** EXECUTE takes no bound values. */
function literal(value: unknown): string {
  if (value === null || value === undefined) return 'NULL';
  const quote = (text: string): string => `'${text.replaceAll("'", "''")}'`;
  if (!Array.isArray(value)) return quote(String(value));
  const element = (item: unknown): string =>
    item === null ? 'NULL' : `"${String(item).replace(/[\\"]/g, (c) => `\\${c}`)}"`;
  return quote(`{${value.map(element).join(',')}}`);
}

/** Every statement, in both plans, reads calls by one of these indexes alone. */
async function expectIndexes(work: () => Promise<unknown>, ...indexes: readonly string[]): Promise<readonly Plan[]> {
  const sent = await sentBy(work);
  expect(sent.length).toBeGreaterThan(0);
  const plans = (await Promise.all(sent.map(plansOf))).flat();
  for (const plan of plans) {
    expect(plan.seqScans).not.toContain('cus_llm_usage');
    const used = plan.indexes.filter((name) => name.includes('cus_llm_usage'));
    expect(used.length).toBeGreaterThan(0);
    expect(indexes).toEqual(expect.arrayContaining([...new Set(used)]));
  }
  return plans;
}

const rowComparison = /ROW\(created_at, id\) < ROW\(/;

describe('history', () => {
  it.each([
    [SMALL, {}, BY_TIME],
    [LARGE, {}, BY_TIME],
    [SMALL, { integrationId: 'int-2' }, BY_INTEGRATION],
    [LARGE, { integrationId: 'int-2' }, BY_INTEGRATION],
    [LARGE, { from: new Date('2026-01-20T05:00:00Z'), to: new Date('2026-03-01T05:00:00Z') }, BY_TIME],
    [LARGE, { integrationId: 'int-2', from: new Date('2026-01-20T05:00:00Z') }, BY_INTEGRATION],
  ])(
    '%s, %j: the keyset is an index condition, no sort, page 40 costs what page 1 does',
    async (tenant, filter, index) => {
      const limit = 50;
      const first = await expectIndexes(() => driver.fetchUsageHistory(tenant, filter, { limit }), index);
      let cursor = '';
      for (let page = 1; page < 40; page += 1)
        cursor =
          (await driver.fetchUsageHistory(tenant, filter, { limit, ...(cursor ? { cursor } : {}) })).nextCursor ?? '';
      expect(cursor).not.toBe('');
      const deep = await expectIndexes(() => driver.fetchUsageHistory(tenant, filter, { limit, cursor }), index);
      for (const plan of [...first, ...deep]) {
        expect(plan.hasSort).toBe(false);
        expect(plan.indexConditions.join()).toMatch(rowComparison);
      }
      expect(deep[0]?.buffers).toBeGreaterThan(0);
      expect(deep[0]?.buffers).toBeLessThanOrEqual(3 * (first[0]?.buffers ?? 0));
    },
  );
});

describe('look-ups', () => {
  it.each([1, 100, 1000])('of %i call ids', async (n) => {
    const ids = Array.from({ length: n }, (_, i) => `call-${(i * 97) % CALLS}`);
    await expectIndexes(() => driver.fetchCallIdsBatch(LARGE, ids), BY_CALL);
    await expectIndexes(() => driver.fetchCallIdsBatch(SMALL, ids), BY_CALL);
  });

  it('of one', async () => {
    await expectIndexes(() => driver.fetchByCallId(SMALL, 'call-7'), BY_CALL);
  });
});

describe('sums', () => {
  const month = { from: new Date('2026-02-09T00:00:00Z'), to: new Date('2026-03-11T00:00:00Z') };
  const day = { from: new Date('2026-03-09T06:00:00Z'), to: new Date('2026-03-10T06:00:00Z') };
  const ragged = { from: new Date('2026-02-09T06:00:00Z'), to: new Date('2026-03-10T06:00:00Z') };
  const reads: readonly (readonly [string, (tenant: string, range: typeof month) => Promise<unknown>])[] = [
    ['summary', (tenant, range) => driver.fetchUsageSummary(tenant, range)],
    ['count', (tenant, range) => driver.countUsage(tenant, range)],
    [
      'summary of one integration',
      (tenant, range) => driver.fetchUsageSummary(tenant, { ...range, integrationId: 'int-1' }),
    ],
    ['per integration', (tenant, range) => driver.fetchPerIntegrationUsage(tenant, range)],
  ];

  it.each(reads)(
    '%s of whole days: from the roll-up alone, at a cost that does not grow with the calls',
    async (_, read) => {
      const buffers: number[] = [];
      for (const tenant of [SMALL, LARGE])
        for (const sent of await sentBy(() => read(tenant, month))) {
          const [custom, generic] = await plansOf(sent);
          for (const plan of [custom, generic]) {
            expect(plan?.nodes.map((node) => node['Relation Name'])).not.toContain('cus_llm_usage');
            expect(plan?.seqScans).not.toContain('cus_usage_daily');
          }
          buffers.push(custom?.buffers ?? 0);
        }
      expect(buffers).toHaveLength(2);
      expect(buffers[0]).toBeGreaterThan(0);
      expect(buffers[1]).toBeLessThanOrEqual(2 * (buffers[0] ?? 0));
    },
  );

  it.each(reads)('%s across edges of days: the calls of the edges by index', async (_, read) => {
    for (const tenant of [SMALL, LARGE])
      for (const range of [day, ragged]) await expectIndexes(() => read(tenant, range), BY_TIME, BY_INTEGRATION);
  });

  it('per model, recount, discrepancies: a range of the index', async () => {
    for (const tenant of [SMALL, LARGE])
      for (const read of [
        () => driver.fetchPerModelUsage(tenant, day),
        () => driver.computeDailyAggregatesRaw(tenant, addDays(TODAY, -3)),
        () => driver.fetchDailyDiscrepancies(tenant, addDays(TODAY, -3), addDays(TODAY, -2)),
      ])
        for (const plan of await expectIndexes(read, BY_TIME))
          expect(plan.indexConditions.join()).toMatch(/created_at >= .* AND \(created_at < /);
  });

  it.each([{}, { integrationId: 'int-1' }])('stored days %j: by key', async (filter) => {
    const range = { fromDate: addDays(TODAY, -30), toDate: TODAY };
    const [sent] = await sentBy(() => driver.fetchDailyAggregates(SMALL, { ...filter, ...range }));
    for (const plan of sent ? await plansOf(sent) : []) {
      expect(plan.seqScans).toEqual([]);
      expect(['ix_cus_usage_daily_tenant_date', 'pk_cus_usage_daily']).toContain(plan.indexes[0]);
      expect(plan.indexConditions.join()).toMatch(/date >= /);
    }
    expect(sent).toBeDefined();
  });
});

describe('writes', () => {
  const usage = (callId: string): NewUsage => ({
    integrationId: 'int-1',
    callId,
    provider: 'openai',
    model: 'm',
    tokensIn: 1,
    tokensOut: 1,
    costCents: '1' as DecimalString,
  });
  /** Half of them stored: tenant k of 59 has the calls k, k + 59, k + 118, … */
  const batch = (tenant: string, n: number): readonly NewUsage[] => {
    const k = Number(tenant.slice(2));
    const first = Math.floor((CALLS - 1 - k) / 59) + 1 - Math.ceil(n / 2);
    return Array.from({ length: n }, (_, i) => usage(`call-${(first + i) * 59 + k}`));
  };

  it.each([1, 100, 1000])('%i calls, half of them known: look-up and comparison by call id', async (n) => {
    for (const tenant of [SMALL, LARGE]) {
      let statuses: unknown[] = [];
      const sent = await sentBy(async () => {
        statuses = (await driver.createUsageBatch(tenant, batch(tenant, n))).map(({ status }) => status);
      });
      expect(statuses.filter((status) => status === 'conflict')).toHaveLength(Math.ceil(n / 2));
      expect(sent).toHaveLength(n <= 128 ? 2 : 3);
      for (const statement of sent)
        for (const plan of await plansOf(statement)) {
          expectByCall(plan);
          expect(plan.seqScans).not.toContain('cus_usage_daily');
        }
    }
  });

  it('by COPY: the merge is in call-id order, the comparison by call id', async () => {
    const sent = await sentBy(() => driver.createUsageBatch(LARGE, batch(LARGE, 10_000)));
    const [create, , merge, compare] = sent;
    expect(sent).toHaveLength(6);
    if (create === undefined || merge === undefined || compare === undefined) throw new Error('fewer statements');
    await manager.query(create.text);
    await manager.query(
      `INSERT INTO hoc_usage_copy (id, integration_id, call_id, provider, model, tokens_in, tokens_out, cost_cents, policy_result,
         metadata, index, leads)
       SELECT 'x-' || id, integration_id, call_id, provider, model, tokens_in, tokens_out, cost_cents, policy_result, metadata, 1, true
       FROM cus_llm_usage WHERE tenant_id = $1 LIMIT 10000`,
      [LARGE],
    );
    for (const plan of await plansOf(merge)) {
      expect(plan.seqScans).not.toContain('cus_llm_usage');
      expect(plan.hasSort).toBe(true);
    }
    for (const plan of await plansOf(compare)) expectByCall(plan);
  });

  /** Whatever reads calls reads them by their ids; a bitmap of the same index is as good. */
  function expectByCall(plan: Plan): void {
    expect(plan.seqScans).not.toContain('cus_llm_usage');
    const used = plan.indexes.filter((name) => name.includes('cus_llm_usage'));
    expect(used.filter((name) => name !== BY_CALL)).toEqual([]);
    if (used.length > 0) expect(plan.indexConditions.filter((condition) => !condition.includes('call_id'))).toEqual([]);
  }
});
