// A short benchmark of the ingest path: the packages' own engine beside the same statement by hand, and psql's COPY into a
// bare table as the outermost limit. Interleaved rounds with a rotated order; a ratio is the median of per-round quotients.
//   node tools/ci/short-bench.mjs [--check]     after a build; --check fails below the gate of performance.md §11, row 1
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const require = createRequire(import.meta.url);
const { startEphemeral } = require('@hoc/pg-server');
const { createHoc, ensureImportTarget } = require('@hoc/shared');
const { activityModule } = require('@hoc/activity');
const { Client } = require('pg');

const [ROUNDS, BATCHES, ROWS] = [5, 10, 1000];
/** performance.md §11, row 1: 0.70 of the statement by hand, which checks nothing and compares nothing. */
const GATE = 0.7;
const TARGET = { tenantId: 't', integrationId: 'i' };

/** The base: the same statement by hand, on all columns of a call. It checks no argument and compares no content. */
const HAND = `WITH inserted AS (
  INSERT INTO cus_llm_usage (tenant_id, id, integration_id, session_id, agent_id, call_id, provider, model, tokens_in, tokens_out, cost_cents, latency_ms, policy_result,
    error_code, error_message, metadata, created_at, recorded_at)
  SELECT 't', u.*, now() FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[], $9::bigint[], $10::numeric[], $11::int[], $12::text[],
    $13::text[], $14::text[], $15::jsonb[], $16::timestamptz[])
    AS u(id, integration_id, session_id, agent_id, call_id, provider, model, tokens_in, tokens_out, cost, latency, policy, error_code, error_message, metadata, at) ORDER BY u.call_id
  ON CONFLICT (tenant_id, call_id) DO NOTHING RETURNING *
), daily AS (
  INSERT INTO cus_usage_daily AS d (tenant_id, integration_id, date, total_calls, total_tokens_in, total_tokens_out, total_cost_cents, latency_total_ms, latency_count, error_count, blocked_count, updated_at)
  SELECT 't', integration_id, (created_at AT TIME ZONE 'UTC')::date, count(*), sum(tokens_in), sum(tokens_out), sum(cost_cents), sum(latency_ms), count(latency_ms),
    count(error_code), count(*) FILTER (WHERE policy_result = 'blocked'), now()
  FROM inserted GROUP BY 2, 3 ORDER BY 2, 3
  ON CONFLICT (tenant_id, integration_id, date) DO UPDATE SET total_calls = d.total_calls + EXCLUDED.total_calls, total_tokens_in = d.total_tokens_in + EXCLUDED.total_tokens_in,
    total_tokens_out = d.total_tokens_out + EXCLUDED.total_tokens_out, total_cost_cents = d.total_cost_cents + EXCLUDED.total_cost_cents,
    latency_total_ms = d.latency_total_ms + EXCLUDED.latency_total_ms, latency_count = d.latency_count + EXCLUDED.latency_count,
    error_count = d.error_count + EXCLUDED.error_count, blocked_count = d.blocked_count + EXCLUDED.blocked_count
) SELECT id, call_id FROM inserted`;

const server = await startEphemeral({ durable: true });
const folder = mkdtempSync(join(tmpdir(), 'hoc-bench-'));
const clock = { now: () => new Date() };
const hoc = createHoc({ connection: { url: server.url, applicationName: 'bench' }, modules: [activityModule] });
const client = new Client({ connectionString: server.url });
try {
  await hoc.migrate();
  await hoc.transaction(({ manager }) => ensureImportTarget(manager, TARGET, { clock }));
  await client.connect();
  await client.query('CREATE UNLOGGED TABLE bare (LIKE cus_llm_usage)');
  const results = {};
  const variants = {
    'by hand': byHand,
    'by hand again': byHand,
    'hoc.ingestImported': byEngine,
    'psql copy, bare table': byPsql,
  };
  for (const [name, variant] of Object.entries(variants)) await variant(`warm-${name}`, 1);
  for (let round = 0; round < ROUNDS; round += 1) {
    const order = Object.entries(variants);
    for (let i = 0; i < order.length; i += 1) {
      const [name, variant] = order[(i + round) % order.length];
      await client.query('TRUNCATE cus_llm_usage, cus_usage_daily, bare');
      const rate = await variant(`r${round}-${name}`, BATCHES);
      if (rate !== null) (results[name] ??= []).push(rate);
    }
  }
  report(results);
} finally {
  await client.end();
  await hoc.close();
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
}

function rows(prefix) {
  return Array.from({ length: ROWS }, (_, n) => ({
    integrationId: 'i',
    sessionId: `session-${n % 50}`,
    agentId: 'agent-1',
    policyResult: 'allowed',
    callId: `${prefix}-${String((n * 7919) % ROWS).padStart(5, '0')}`,
    provider: 'openai',
    model: 'gpt-4o',
    tokensIn: 374 + (n % 900),
    tokensOut: 44 + (n % 200),
    costCents: '1.386',
    latencyMs: n,
    metadata: { dataset: 'bench', line: n },
    occurredAt: new Date(1_700_000_000_000 + n * 1000),
  }));
}

async function byEngine(prefix, batches) {
  return timed(batches, async (batch) => {
    const usages = rows(`${prefix}-${batch}`);
    const start = performance.now();
    const { accepted } = await hoc.transaction(({ activity }) => activity.telemetry.ingestImported('t', usages));
    if (accepted !== ROWS) throw new Error(`accepted ${accepted}`);
    return performance.now() - start;
  }).then((rate) => verified(rate, batches, prefix));
}

async function byHand(prefix, batches) {
  return timed(batches, async (batch) => {
    const usages = rows(`${prefix}-${batch}`);
    const start = performance.now();
    const column = (read) => usages.map(read);
    const values = [
      column((u) => `id-${u.callId}`),
      column((u) => u.integrationId),
      column((u) => u.sessionId),
      column((u) => u.agentId),
      column((u) => u.callId),
      column((u) => u.provider),
      column((u) => u.model),
      column((u) => u.tokensIn),
      column((u) => u.tokensOut),
      column((u) => u.costCents),
      column((u) => u.latencyMs),
      column((u) => u.policyResult),
      column(() => null),
      column(() => null),
      column((u) => JSON.stringify(u.metadata)),
      column((u) => u.occurredAt.toISOString()),
    ];
    await client.query('BEGIN');
    await client.query({ name: 'by-hand', text: HAND, values });
    await client.query('COMMIT');
    return performance.now() - start;
  }).then((rate) => verified(rate, batches, prefix));
}

/** The same columns as text into an unlogged table without a key: no guarantee at all. Null where there is no psql. */
async function byPsql(prefix, batches) {
  const file = join(folder, 'rows.tsv');
  const lines = Array.from({ length: batches }, (_, batch) => rows(`${prefix}-${batch}`)).flat();
  writeFileSync(
    file,
    lines
      .map((u) =>
        [
          't',
          `id-${u.callId}`,
          'i',
          '\\N',
          '\\N',
          u.callId,
          u.provider,
          u.model,
          u.tokensIn,
          u.tokensOut,
          u.costCents,
          u.latencyMs,
          'allowed',
          '\\N',
          '\\N',
          JSON.stringify(u.metadata),
          u.occurredAt.toISOString(),
          u.occurredAt.toISOString(),
        ].join('\t'),
      )
      .join('\n') + '\n',
  );
  const start = performance.now();
  const run = spawnSync('psql', [server.url, '-qc', `\\copy bare FROM '${file}'`], { encoding: 'utf8' });
  if (run.error || run.status !== 0) return null;
  return (lines.length / (performance.now() - start)) * 1000;
}

async function timed(batches, one) {
  let ms = 0;
  for (let batch = 0; batch < batches; batch += 1) {
    const took = await one(batch);
    ms += took;
  }
  return (batches * ROWS * 1000) / ms;
}

/** A rate counts only with its result: as many calls in both tables as were sent. */
async function verified(rate, batches, prefix) {
  const { rows: found } = await client.query(
    'SELECT (SELECT count(*) FROM cus_llm_usage WHERE call_id LIKE $1)::int AS calls, (SELECT sum(total_calls) FROM cus_usage_daily)::int AS days',
    [`${prefix}-%`],
  );
  if (found[0].calls !== batches * ROWS || found[0].days < found[0].calls)
    throw new Error(`${prefix}: ${JSON.stringify(found[0])}`);
  return rate;
}

function report(results) {
  const base = results['by hand'];
  const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];
  for (const [name, rates] of Object.entries(results)) {
    const quotients = rates.map((rate, round) => rate / base[round]);
    const span = `${Math.min(...quotients).toFixed(2)}–${Math.max(...quotients).toFixed(2)}`;
    console.log(
      `${name.padEnd(24)} ${String(Math.round(median(rates))).padStart(8)} rows/s   ratio ${median(quotients).toFixed(2)} (${span})`,
    );
  }
  if (!results['psql copy, bare table']) console.log('psql copy: skipped, there is no psql on this machine');
  const control = median(results['by hand again'].map((rate, round) => rate / base[round]));
  const ratio = median(results['hoc.ingestImported'].map((rate, round) => rate / base[round]));
  if (control < 0.85 || control > 1.15)
    return console.log(`inconclusive: the base against itself is ${control.toFixed(2)}`);
  console.log(`${ratio >= GATE ? 'met' : 'missed'}: ${ratio.toFixed(2)} of the statement by hand, gate ${GATE}`);
  if (process.argv.includes('--check') && ratio < GATE) process.exitCode = 1;
}
