// Rows 10–13: a point read, pages, pages at depth, the usage summary.
import 'reflect-metadata';
import { RunEntity } from '@hoc/shared/models';
import { getActivityReadDriver, getCusTelemetryDriver } from '@hoc/activity/drivers';
import { connect, prepare } from '../lib/database.mjs';
import { cell, job, percentile } from '../lib/run.mjs';

const RUNS = 200_000;
const CALLS = 1_500_000;
const COLUMNS = `id, tenant_id, project_id, is_synthetic, source, provider_type, state, status, started_at, last_seen_at, completed_at, duration_ms, risk_level,
  latency_bucket, evidence_health, integrity_status, incident_count, policy_draft_count, policy_violation, input_tokens, output_tokens, estimated_cost_cents`;
const KEY = `COALESCE(started_at, '-infinity'::timestamptz)`;
const NEWEST = { field: 'startedAt', direction: 'desc' };

await job('reads', async (url) => {
  const hoc = await prepare(url);
  const admin = await connect(url);
  await fill(admin);
  const runner = hoc.dataSource.createQueryRunner();
  const driver = getActivityReadDriver(runner.manager);
  const repository = runner.manager.getRepository(RunEntity);
  const idOf = (n) => `r-${String((n * 7919) % RUNS).padStart(6, '0')}`;

  const times = (count, work) => async () => {
    const waits = [];
    const start = performance.now();
    for (let n = 0; n < count; n += 1) {
      const from = performance.now();
      await work(n);
      waits.push(performance.now() - from);
    }
    return {
      rate: (count * 1000) / (performance.now() - start),
      p50: percentile(waits, 0.5),
      p99: percentile(waits, 0.99),
    };
  };
  const check = (condition, what) => {
    if (!condition) throw new Error(what);
  };
  const detail = { name: 'detail', text: 'SELECT * FROM runs WHERE tenant_id = $1 AND id = $2' };
  const point = await cell('point read', {
    base: 'pg named',
    variants: {
      'pg named': times(1500, async (n) =>
        check((await admin.query({ ...detail, values: ['t', idOf(n)] })).rows.length === 1, 'point'),
      ),
      'hoc fetchRunDetail': times(1500, async (n) =>
        check((await driver.fetchRunDetail('t', idOf(n))).runId === idOf(n), 'point'),
      ),
      'typeorm findOne': times(1500, async (n) =>
        check((await repository.findOne({ where: { tenantId: 't', id: idOf(n) } })).id === idOf(n), 'point'),
      ),
    },
  });
  const first = {
    name: 'page',
    text: `SELECT ${COLUMNS} FROM runs WHERE tenant_id = $1 ORDER BY ${KEY} DESC, id DESC LIMIT 51`,
  };
  const builder = () =>
    repository
      .createQueryBuilder('r')
      .where('r.tenantId = :t', { t: 't' })
      .orderBy(`COALESCE(r.started_at, '-infinity'::timestamptz)`, 'DESC')
      .addOrderBy('r.id', 'DESC')
      .limit(51);
  const { nextCursor } = await driver.fetchRuns('t', {}, NEWEST, { limit: 50 });
  const page = await cell('page of 50', {
    base: 'pg named rows',
    variants: {
      'pg named rows': times(400, async () =>
        check((await admin.query({ ...first, values: ['t'] })).rows.length === 51, 'page'),
      ),
      'hoc fetchRuns': times(400, async () =>
        check((await driver.fetchRuns('t', {}, NEWEST, { limit: 50, cursor: nextCursor })).items.length === 50, 'page'),
      ),
      'typeorm getMany': times(400, async () => check((await builder().getMany()).length === 51, 'page')),
    },
  });
  const depth = 100_000;
  const {
    rows: [at],
  } = await admin.query(
    `SELECT id, started_at FROM runs WHERE tenant_id = 't' ORDER BY ${KEY} DESC, id DESC OFFSET ${depth - 1} LIMIT 1`,
  );
  const deep = await cursorAt(driver, depth);
  const offset = {
    name: 'offset',
    text: `SELECT ${COLUMNS} FROM runs WHERE tenant_id = $1 ORDER BY ${KEY} DESC, id DESC OFFSET $2 LIMIT 51`,
  };
  const or = {
    name: 'or',
    text: `SELECT ${COLUMNS} FROM runs WHERE tenant_id = $1 AND (${KEY} < $2 OR (${KEY} = $2 AND id < $3)) ORDER BY ${KEY} DESC, id DESC LIMIT 51`,
  };
  const atDepth = await cell('page at depth 100,000', {
    base: 'hoc depth 0',
    variants: {
      'hoc depth 0': times(100, () => driver.fetchRuns('t', {}, NEWEST, { limit: 50 })),
      'hoc depth 100,000': times(100, async () =>
        check((await driver.fetchRuns('t', {}, NEWEST, { limit: 50, cursor: deep })).items[0] !== undefined, 'deep'),
      ),
      'pg OFFSET': times(10, async () =>
        check((await admin.query({ ...offset, values: ['t', depth] })).rows.length === 51, 'offset'),
      ),
      'pg OR form': times(10, async () =>
        check((await admin.query({ ...or, values: ['t', at.started_at, at.id] })).rows.length === 51, 'or'),
      ),
    },
  });
  const summary = await summaries(runner, admin, times);
  await runner.release();
  await admin.end();
  await hoc.close();
  return [point, page, atDepth, ...summary];
});

async function fill(admin) {
  await admin.query(
    `INSERT INTO runs (tenant_id, id, agent_id, origin_system_id, goal, status, state, duration_ms, input_tokens, output_tokens, estimated_cost_cents, created_at, started_at, updated_at)
     SELECT 't', 'r-' || to_char(n, 'FM000000'), 'a', 'o', 'goal', 'succeeded', 'COMPLETED', n % 5000, n % 900, n % 70, n % 40, at, at, at
     FROM (SELECT n, timestamptz '2026-03-10' - n * interval '13 seconds' AS at FROM generate_series(0, $1::int - 1) n) AS s`,
    [RUNS],
  );
  await admin.query(
    `INSERT INTO cus_integrations SELECT (jsonb_populate_record(c, '{"id": "big", "name": "big"}')).* FROM cus_integrations c WHERE id = 'i'`,
  );
  // 30 days; the integration `big` has ten times the calls of `i` in as many days.
  await admin.query(
    `INSERT INTO cus_llm_usage (tenant_id, id, integration_id, call_id, provider, model, tokens_in, tokens_out, cost_cents, latency_ms, policy_result, created_at, recorded_at)
     SELECT 't', 'u-' || n, CASE WHEN n % 11 = 0 THEN 'i' ELSE 'big' END, 'c-' || n, 'openai', 'm', n % 1000, n % 77, (n % 1000) * 0.01, n % 500, 'allowed',
       timestamptz '2026-03-10' - (n + 1) * interval '30 days' / $1, now() FROM generate_series(0, $1::int - 1) n`,
    [CALLS],
  );
  await admin.query(
    `INSERT INTO cus_usage_daily (tenant_id, integration_id, date, total_calls, total_tokens_in, total_tokens_out, total_cost_cents, latency_total_ms, latency_count, updated_at)
     SELECT tenant_id, integration_id, (created_at AT TIME ZONE 'UTC')::date, count(*), sum(tokens_in), sum(tokens_out), sum(cost_cents), sum(latency_ms), count(*), now() FROM cus_llm_usage GROUP BY 1, 2, 3`,
  );
  for (const table of ['runs', 'cus_llm_usage', 'cus_usage_daily', 'cus_integrations'])
    await admin.query(`VACUUM ANALYZE ${table}`);
}

async function cursorAt(driver, depth) {
  let cursor;
  for (let seen = 0; seen < depth; seen += 200) {
    const page = await driver.fetchRuns('t', {}, NEWEST, { limit: 200, ...(cursor ? { cursor } : {}) });
    cursor = page.nextCursor;
  }
  return cursor;
}

/** Row 13: whole days from the roll-up, beside the raw rows through the b-tree; and ten times the rows. */
async function summaries(runner, admin, times) {
  const driver = getCusTelemetryDriver(runner.manager, {
    clock: { now: () => new Date('2026-03-10T00:00:00Z') },
    ids: { next: () => 'x' },
  });
  const [from, to] = [new Date('2026-02-08T00:00:00Z'), new Date('2026-03-10T00:00:00Z')];
  const raw = {
    name: 'raw',
    text: `SELECT count(*), sum(tokens_in), sum(tokens_out), sum(cost_cents), sum(latency_ms) FROM cus_llm_usage
      WHERE tenant_id = 't' AND integration_id = 'big' AND created_at >= $1 AND created_at < $2`,
  };
  const calls = async (integrationId, range = { from, to }) =>
    (await driver.fetchUsageSummary('t', { ...range, integrationId })).totalCalls;
  const {
    rows: [wanted],
  } = await admin.query({ ...raw, values: [from, to] });
  const edges = { from: new Date(from.getTime() + 3_600_000), to: new Date(to.getTime() - 3_600_000) };
  const cells = await cell('summary of 30 days', {
    base: 'pg raw rows',
    variants: {
      'pg raw rows': times(3, () => admin.query({ ...raw, values: [from, to] })),
      'hoc fetchUsageSummary': times(200, async () => {
        if ((await calls('big')) !== Number(wanted.count)) throw new Error('summary');
      }),
      'hoc, edges inside a day': times(20, () => calls('big', edges)),
      'hoc, a tenth of the rows': times(200, () => calls('i')),
    },
  });
  return [cells];
}
