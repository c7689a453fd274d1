// Rows 5, 7, 8, 9: single calls, replays, overlapping writers, coalesced calls.
import { getCusTelemetryDriver } from '@hoc/activity/drivers';
import pg from 'pg';
import { connect, openHoc, prepare } from '../lib/database.mjs';
import * as variant from '../lib/ingest-variants.mjs';
import { usages } from '../lib/rows.mjs';
import { cell, job, percentile } from '../lib/run.mjs';

let serial = 0;
const fresh = (count) => usages(`w${(serial += 1)}`, count);

await job('writes', async (url) => {
  const hoc = await prepare(url);
  const admin = await connect(url);
  const reset = () => admin.query('TRUNCATE cus_llm_usage, cus_usage_daily');
  const counted = async (wanted) => {
    const { rows } = await admin.query(
      'SELECT (SELECT count(*)::int FROM cus_llm_usage) AS calls, (SELECT COALESCE(sum(total_calls), 0)::int FROM cus_usage_daily) AS days',
    );
    if (rows[0].calls !== wanted || rows[0].days !== wanted) throw new Error(`${JSON.stringify(rows[0])} of ${wanted}`);
  };
  const one = (work) => async () => {
    const calls = fresh(200);
    const start = performance.now();
    for (const usage of calls) await work([usage]);
    const rate = 200_000 / (performance.now() - start);
    await counted(200);
    return rate;
  };
  const trips = await cell('one call, one transaction', {
    base: 'pg begin, cte, commit',
    reset,
    variants: {
      'pg begin, cte, commit': one(variant.byHand(admin)),
      'hoc driver, transaction': one(driverOnly(hoc)),
      'hoc.ingest, transaction': one(variant.byHoc(hoc)),
      'typeorm.save': one(variant.byTypeormSave(hoc.dataSource)),
    },
  });
  const work = variant.byHoc(hoc);
  const known = (share) => async () => {
    const lists = Array.from({ length: 6 }, () => fresh(1000));
    if (share === 1) for (const rows of lists) await work(rows);
    const start = performance.now();
    for (const rows of lists) await work(rows);
    const rate = 6_000_000 / (performance.now() - start);
    await counted(6000);
    return rate;
  };
  const replay = await cell('replay', { base: 'fresh', reset, variants: { fresh: known(0), 'all known': known(1) } });
  const overlap = await overlapping(url, { admin, reset, hoc });
  const coalesce = await coalesced(url, { reset, counted });
  await admin.end();
  await hoc.close();
  return [trips, replay, overlap, coalesce];
});

/** The driver's call without the engine's look-up of the integration: what row 5 compares with a statement by hand. */
function driverOnly(hoc) {
  const deps = { clock: { now: () => new Date() }, ids: { next: () => `id-${(serial += 1)}-${Math.random()}` } };
  return (rows) => hoc.transaction(({ manager }) => getCusTelemetryDriver(manager, deps).createUsage('t', rows[0]));
}

/** Row 8: four writers of overlapping calls in an order of their own; the server counts dead locks. */
async function overlapping(url, { admin, reset, hoc }) {
  const deadlocks = async () =>
    Number(
      (
        await admin.query(
          'SELECT pg_stat_clear_snapshot(), deadlocks FROM pg_stat_database WHERE datname = current_database()',
        )
      ).rows[0].deadlocks,
    );
  let ours = 0;
  const shuffled = (list) => [...list].sort(() => Math.random() - 0.5);
  const four = (make, count) => async () => {
    const all = fresh(2500);
    const before = await deadlocks();
    const start = performance.now();
    await Promise.all([0, 500, 1000, 1500].map((from) => make()(shuffled(all.slice(from, from + 1000)))));
    const rate = 4_000_000 / (performance.now() - start);
    await new Promise((resolve) => setTimeout(resolve, 50));
    count((await deadlocks()) - before);
    const { rows } = await admin.query('SELECT count(*)::int AS calls FROM cus_llm_usage');
    if (rows[0].calls !== 2500) throw new Error(`${rows[0].calls} of 2500`);
    return rate;
  };
  let unsorted = 0;
  const clients = await Promise.all([1, 2, 3, 4].map(() => connect(url)));
  let turn = 0;
  const text = variant.UNNEST_CTE.replace(' ORDER BY u.call_id', '');
  const byHandUnsorted = () => {
    const client = clients[(turn += 1) % 4];
    return async (rows) => {
      for (;;) {
        try {
          const { COLUMNS, valuesOf } = await import('../lib/rows.mjs');
          const values = rows.map(valuesOf);
          await client.query('BEGIN');
          await client.query({ name: 'unsorted', text, values: COLUMNS.map((_, n) => values.map((row) => row[n])) });
          return await client.query('COMMIT');
        } catch (error) {
          await client.query('ROLLBACK');
          // Writers of the same call make the same id: of two at once the key may refuse one.
          if (error.code !== '40P01' && error.code !== '23505') throw error;
        }
      }
    };
  };
  const result = await cell('overlap', {
    base: 'pg.unnest-cte, unsorted',
    reset,
    variants: {
      'pg.unnest-cte, unsorted': four(byHandUnsorted, (n) => (unsorted += n)),
      'hoc.ingest': four(
        () => variant.byHoc(hoc),
        (n) => (ours += n),
      ),
    },
  });
  await Promise.all(clients.map((client) => client.end()));
  console.log(`  overlap  dead locks: hoc ${ours}, unsorted ${unsorted}`);
  return { ...result, counters: { 'deadlocks hoc': ours, 'deadlocks unsorted': unsorted } };
}

/** Row 9: 64 callers, one call at a time each. */
async function coalesced(url, { reset, counted }) {
  const pool = new pg.Pool({ connectionString: url, max: 8 });
  const hoc = openHoc(url);
  const callers = (send) => async () => {
    const lists = Array.from({ length: 64 }, () => fresh(30));
    const waits = [];
    const start = performance.now();
    await Promise.all(
      lists.map(async (calls) => {
        for (const usage of calls) {
          const from = performance.now();
          await send(usage);
          waits.push(performance.now() - from);
        }
      }),
    );
    const rate = (64 * 30 * 1000) / (performance.now() - start);
    await counted(64 * 30);
    return { rate, p50: percentile(waits, 0.5), p99: percentile(waits, 0.99) };
  };
  const perCall = async (usage) => {
    const client = await pool.connect();
    try {
      await variant.byHand(client)([usage]);
    } finally {
      client.release();
    }
  };
  const result = await cell('coalesce', {
    base: 'one statement per call, 8 connections',
    reset,
    variants: {
      'one statement per call, 8 connections': callers(perCall),
      'hoc coalescer': callers(({ integrationId, ...usage }) =>
        hoc.services.activity.coalescer.ingest('t', 'i', usage),
      ),
    },
  });
  await pool.end();
  await hoc.close();
  return result;
}
