// Rows 1–6: batches of several sizes, the whole of what a sender gets: new calls stored once, their days added up.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { connect, openHoc, prepare } from '../lib/database.mjs';
import * as variant from '../lib/ingest-variants.mjs';
import { usages } from '../lib/rows.mjs';
import { cell, job, ROUNDS } from '../lib/run.mjs';

let serial = 0;
/** Every round has keys of its own. */
const fresh = (count) => usages(`b${(serial += 1)}`, count);

await job('ingest', async (url) => {
  const hoc = await prepare(url);
  const admin = await connect(url);
  const pool = new pg.Pool({ connectionString: url, max: 4 });
  const mikro = await variant.byMikroOrm(url);
  const folder = mkdtempSync(join(tmpdir(), 'hoc-bench-'));
  await admin.query('CREATE UNLOGGED TABLE bare (LIKE cus_llm_usage)');
  const ingest = {
    'pg.unnest-cte': variant.byHand(admin),
    'hoc.ingest': variant.byHoc(hoc),
    'typeorm.save': variant.byTypeormSave(hoc.dataSource),
    'typeorm.builder': variant.byTypeormBuilder(hoc.dataSource),
    kysely: variant.byKysely(pool),
    drizzle: variant.byDrizzle(pool),
    'mikro-orm': mikro.ingest,
  };
  const reset = () => admin.query('TRUNCATE cus_llm_usage, cus_usage_daily, bare');
  const measured = (work, size, batches) => async () => {
    const lists = Array.from({ length: batches }, () => fresh(size));
    const start = performance.now();
    for (const rows of lists) await work(rows);
    const rate = (size * batches * 1000) / (performance.now() - start);
    const { rows } = await admin.query(
      'SELECT (SELECT count(*)::int FROM cus_llm_usage) AS calls, (SELECT sum(total_calls)::int FROM cus_usage_daily) AS days',
    );
    if (rows[0].calls !== size * batches || rows[0].days !== size * batches)
      throw new Error(`${JSON.stringify(rows[0])} of ${size * batches}`);
    return rate;
  };
  const psql = variant.byPsql(url, folder);
  const limit = (size, batches) => async () => {
    const run = psql(fresh(size * batches));
    const start = performance.now();
    try {
      run();
    } catch (error) {
      return { skip: error.message.split('\n')[0] };
    }
    return (size * batches * 1000) / (performance.now() - start);
  };
  const cells = [];
  for (const [size, batches] of [
    [1, 100],
    [10, 50],
    [100, 20],
    [1000, 6],
    [5000, 2],
    [10_000, 1],
  ]) {
    const some = size === 1 || size === 1000 ? Object.keys(ingest) : ['pg.unnest-cte', 'hoc.ingest', 'typeorm.builder'];
    const variants = Object.fromEntries(some.map((name) => [name, measured(ingest[name], size, batches)]));
    if (size === 1000) {
      variants['psql copy, bare table'] = limit(size, batches);
      variants.prisma = async () => ({ skip: variant.prismaSkip() });
      variants['py.orm'] = async () => ({ skip: variant.pythonSkip() ?? 'its worker is not part of this bench yet' });
    }
    cells.push(await cell(`size=${size}`, { base: 'pg.unnest-cte', variants, reset }));
  }
  cells.push(await fourConnections(url, { admin, reset, hoc }));
  cells.push(await ownRates(cells));
  await mikro.close();
  await pool.end();
  await admin.end();
  await hoc.close();
  rmSync(folder, { recursive: true, force: true });
  return cells;
});

/** Row 4: four connections at once, each with its own calls. */
async function fourConnections(url, { admin, reset, hoc }) {
  const four = (make) => async () => {
    const lists = Array.from({ length: 4 }, () => [fresh(1000), fresh(1000)]);
    const work = make();
    const start = performance.now();
    await Promise.all(
      lists.map(async (batches) => {
        for (const rows of batches) await work(rows);
      }),
    );
    const rate = 8_000_000 / (performance.now() - start);
    const { rows } = await admin.query('SELECT count(*)::int AS calls FROM cus_llm_usage');
    if (rows[0].calls !== 8000) throw new Error(`${rows[0].calls} of 8000`);
    return rate;
  };
  const alone = async () => {
    const batches = [fresh(1000), fresh(1000), fresh(1000), fresh(1000)];
    const work = variant.byHoc(hoc);
    const start = performance.now();
    for (const rows of batches) await work(rows);
    return 4_000_000 / (performance.now() - start);
  };
  return cell('conns=4', {
    base: 'hoc.ingest',
    reset,
    variants: {
      'hoc.ingest': four(() => variant.byHoc(hoc)),
      'hoc.ingest, one connection': alone,
      'typeorm.save': four(() => variant.byTypeormSave(hoc.dataSource)),
      'typeorm.builder': four(() => variant.byTypeormBuilder(hoc.dataSource)),
    },
  });
}

/** Row 6: our own rate of large batches beside that of 1,000, from the cells above. */
async function ownRates(cells) {
  const own = (name) => cells.find((each) => each.name === name).ratios['hoc.ingest'].median;
  const ratios = Object.fromEntries(
    ['size=1000', 'size=5000', 'size=10000'].map((name) => [
      name,
      { ratio: own(name) / own('size=1000'), lo: 0, hi: 0, median: own(name), n: ROUNDS },
    ]),
  );
  return { name: 'own', base: 'size=1000', ratios, skipped: {} };
}
