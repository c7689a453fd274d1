// The main job on real input, against a sum made outside the system: imported once, again, and after a kill half-way.
//   node tools/ci/real-input.mjs     (after a build; prints "real input: …" and exits 0, or says what differs and exits 1)
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const trace = resolve(root, '../shared/data/AzureLLMInferenceTrace_conv.csv');
const cli = join(root, 'tools/quickstart/dist/src/main.js');
const require = createRequire(import.meta.url);
const { startEphemeral } = require('@hoc/pg-server');
const { Client } = require('pg');

if (!existsSync(trace)) {
  console.log('real input: skipped, ../shared/data is not here');
  process.exit(0);
}

/** Prices of the quickstart's own table: 3,000 and 6,000 cents per million tokens. */
const AWK = `NR > 1 { sub(/\\r$/, ""); split($0, f, ","); n++; a += f[2]; b += f[3] }
  END { printf "%d %d %d %.6f", n, a, b, (a * 3000 + b * 6000) / 1000000 }`;
const [calls, tokensIn, tokensOut, cents] = spawnSync('awk', [AWK, trace], { encoding: 'utf8' }).stdout.split(' ');
const expected = {
  calls: Number(calls),
  tokensIn: Number(tokensIn),
  tokensOut: Number(tokensOut),
  cents: Number(cents),
};
const known = { calls: 19366, tokensIn: 22361870, tokensOut: 4088665, cents: 91617.6 };
same('awk over the raw file', expected, known);

const server = await startEphemeral();
try {
  const once = await database('once');
  const first = await importTrace(once);
  same(
    'first import',
    { accepted: first.accepted, duplicates: first.duplicates, rejected: first.rejected },
    { accepted: expected.calls, duplicates: 0, rejected: 0 },
  );
  await totals('after the first import', once);
  const second = await importTrace(once);
  same(
    'second import',
    { accepted: second.accepted, duplicates: second.duplicates },
    { accepted: 0, duplicates: expected.calls },
  );
  await totals('after the second import', once);

  const killed = await database('killed');
  const before = await killHalfWay(killed);
  const rest = await importTrace(killed, readFileSync(trace));
  same('after a kill', rest.accepted + rest.duplicates, expected.calls);
  same('what the killed run had committed', rest.duplicates, before);
  await totals('after a kill and a second run', killed);
  console.log(
    `real input: ${expected.calls} calls, ${expected.tokensIn} + ${expected.tokensOut} tokens, 91617.6 cents; again; killed at ${before} and completed`,
  );
} finally {
  await server.stop();
}

async function database(name) {
  await query(server.url, `CREATE DATABASE ${name}`);
  const url = new URL(server.url);
  url.pathname = `/${name}`;
  return url.toString();
}

/** The command line's own report; its numbers were read back through the drivers. The trace as a file, or through a pipe. */
async function importTrace(url, input = null) {
  const run = spawnSync(process.execPath, [cli, '--url', url, '--file', input === null ? trace : '-', '--json'], {
    encoding: 'utf8',
    ...(input === null ? {} : { input }),
    maxBuffer: 1 << 26,
  });
  if (run.status !== 0) fail(`the import ended with ${run.status}: ${run.stderr.slice(-2000)}`);
  return JSON.parse(run.stdout);
}

/** Kills the import when some calls are in, and not all: the second half of its lines never comes. */
async function killHalfWay(url) {
  const child = spawn(process.execPath, [cli, '--url', url, '--file', '-', '--json'], {
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  const ended = new Promise((done) => child.once('exit', done));
  const raw = readFileSync(trace);
  child.stdin.on('error', () => undefined).write(raw.subarray(0, raw.length / 2));
  for (;;) {
    const count = await query(url, 'SELECT count(*)::int AS n FROM cus_llm_usage').then(
      (rows) => rows[0].n,
      () => 0,
    );
    if (count > 0) break;
    if (child.exitCode !== null) fail('the import ended before it could be killed');
  }
  child.kill('SIGKILL');
  await ended;
  // Its back end may still be at work on the last statement: it must be gone before the rows are counted.
  while (
    (
      await query(
        url,
        'SELECT count(*)::int AS n FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()',
      )
    )[0].n > 0
  );
  const [{ n }] = await query(url, 'SELECT count(*)::int AS n FROM cus_llm_usage');
  if (n === 0 || n >= expected.calls) fail(`killed too ${n === 0 ? 'early' : 'late'}: ${n} calls were in`);
  return n;
}

/** Both tables, by SQL of our own: the calls, and the days that were added up beside them. */
async function totals(when, url) {
  const sums = (table, columns) =>
    query(url, `SELECT ${columns} FROM ${table}`).then(([row]) => ({
      calls: Number(row.calls),
      tokensIn: Number(row.a),
      tokensOut: Number(row.b),
      cents: Number(row.cents),
    }));
  same(
    `calls ${when}`,
    await sums(
      'cus_llm_usage',
      'count(*) AS calls, sum(tokens_in) AS a, sum(tokens_out) AS b, sum(cost_cents) AS cents',
    ),
    expected,
  );
  same(
    `days ${when}`,
    await sums(
      'cus_usage_daily',
      'sum(total_calls) AS calls, sum(total_tokens_in) AS a, sum(total_tokens_out) AS b, sum(total_cost_cents) AS cents',
    ),
    expected,
  );
}

async function query(url, text) {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(text)).rows;
  } finally {
    await client.end();
  }
}

function same(what, actual, wanted) {
  const [a, b] = [JSON.stringify(actual), JSON.stringify(wanted)];
  if (a !== b) fail(`${what}: ${a}, and not ${b}`);
}

function fail(message) {
  console.error(`real input: ${message}`);
  process.exit(1);
}
