// Rows 15–18: reservations on one budget, coalesced charges, the breaker's check.
import 'reflect-metadata';
import { CircuitBreaker, getBudgetReservationDriver } from '@hoc/controls/drivers';
import { systemScope, uuidV7Generator } from '@hoc/shared/kernel';
import pg from 'pg';
import { clock, connect, openHoc, prepare } from '../lib/database.mjs';
import { cell, job, percentile } from '../lib/run.mjs';

const TENANT = 't';
const LIMIT = 'budget';
const CAP = '99999999';
const START = new Date(Date.UTC(new Date().getUTCFullYear(), new Date().getUTCMonth())).toISOString();
const deps = { clock, ids: uuidV7Generator(clock) };
let serial = 0;
const key = () => `k-${(serial += 1)}`;

/** The counter equals its ledger, and both are what was granted. */
async function proved(admin, granted) {
  const { rows } = await admin.query(
    `SELECT (SELECT reserved + spent FROM budget_windows) AS counter,
       (SELECT sum(COALESCE(settled_amount, amount)) FROM budget_reservations WHERE status IN ('RESERVED', 'SETTLED')) AS ledger`,
  );
  const [{ counter, ledger }] = rows;
  if (Number(counter) !== granted || Number(ledger) !== granted) throw new Error(`${counter} ${ledger} of ${granted}`);
}

/** `clients` callers, `calls` calls in all; each call charges 1 cent. */
const charging =
  (admin, { clients, calls }, charge) =>
  async () => {
    const start = performance.now();
    await Promise.all(
      Array.from({ length: clients }, async () => {
        for (let n = 0; n < calls / clients; n += 1) await charge();
      }),
    );
    const rate = (calls * 1000) / (performance.now() - start);
    await proved(admin, calls);
    return rate;
  };

const UPDATE_AND_LEDGER = `
  WITH charged AS (
    UPDATE budget_windows SET reserved = reserved + $3::numeric, updated_at = now()
    WHERE tenant_id = $1 AND limit_id = $2 AND window_start = $4::timestamptz
      AND spent + reserved + $3::numeric <= (SELECT max_value FROM limits WHERE tenant_id = $1 AND id = $2)
    RETURNING 1
  )
  INSERT INTO budget_reservations
    (tenant_id, id, limit_ids, window_starts, amount, status, idempotency_key, created_at, expires_at)
  SELECT $1, $5, ARRAY[$2], ARRAY[$4::timestamptz], $3::numeric, 'RESERVED', $6, now(), now() + interval '15 minutes' FROM charged
  ON CONFLICT DO NOTHING
  RETURNING id`;

async function reserving(url, { admin, reset, clients }) {
  const pool = new pg.Pool({ connectionString: url, max: clients });
  const hoc = openHoc(url, clients);
  await hoc.health();
  const driver = getBudgetReservationDriver(hoc.dataSource.manager, deps);
  const calls = clients === 1 ? 600 : 1600;
  const work = (charge) => charging(admin, { clients, calls }, charge);
  const reserve = () => driver.reserve(TENANT, { limitIds: [LIMIT], amountCents: '1', idempotencyKey: key() });
  const result = await cell(`reserve, ${clients} clients`, {
    base: 'pg update + ledger',
    reset,
    variants: {
      'pg update + ledger': work(() =>
        pool.query({
          name: 'by-hand',
          text: UPDATE_AND_LEDGER,
          values: [TENANT, LIMIT, '1', START, deps.ids.next(), key()],
        }),
      ),
      'hoc reserve': work(reserve),
      'pg for update, update, insert': work(() => forUpdate(pool)),
    },
  });
  let beyond = 0;
  if (clients === 32) {
    await reset();
    await admin.query(`UPDATE limits SET max_value = 500`);
    const answers = await Promise.allSettled(Array.from({ length: 32 * 40 }, reserve));
    await admin.query(`UPDATE limits SET max_value = ${CAP}`);
    beyond = Math.abs(answers.filter(({ status }) => status === 'fulfilled').length - 500);
    await proved(admin, 500);
  }
  await pool.end();
  await hoc.close();
  return { ...result, counters: { 'granted beyond 500': beyond } };
}

/** What the original's successors do: look with a lock, then write. */
async function forUpdate(pool) {
  const client = await pool.connect();
  const named = (name, text, values) => client.query({ name, text, values });
  try {
    await client.query('BEGIN');
    const { rows } = await named(
      'look',
      `SELECT w.reserved + w.spent AS used, l.max_value FROM budget_windows w
       JOIN limits l ON l.tenant_id = w.tenant_id AND l.id = w.limit_id
       WHERE w.tenant_id = $1 AND w.limit_id = $2 AND w.window_start = $3::timestamptz FOR UPDATE OF w`,
      [TENANT, LIMIT, START],
    );
    if (Number(rows[0].used) + 1 <= Number(rows[0].max_value)) {
      await named(
        'write',
        `UPDATE budget_windows SET reserved = reserved + 1, updated_at = now()
         WHERE tenant_id = $1 AND limit_id = $2 AND window_start = $3::timestamptz`,
        [TENANT, LIMIT, START],
      );
      await named(
        'ledger',
        `INSERT INTO budget_reservations
           (tenant_id, id, limit_ids, window_starts, amount, status, idempotency_key, created_at, expires_at)
         VALUES ($1, $4, ARRAY[$2], ARRAY[$3::timestamptz], 1, 'RESERVED', $5, now(), now() + interval '15 minutes')`,
        [TENANT, LIMIT, START, deps.ids.next(), key()],
      );
    }
    await client.query('COMMIT');
  } finally {
    client.release();
  }
}

/** Row 16: two statements and a ledger, against a counter that nobody can audit. */
async function settling(url, { admin, reset }) {
  const clients = 32;
  const pool = new pg.Pool({ connectionString: url, max: clients });
  const hoc = openHoc(url, clients);
  await hoc.health();
  const driver = getBudgetReservationDriver(hoc.dataSource.manager, deps);
  const calls = 1600;
  const bare = async () => {
    const start = performance.now();
    await Promise.all(
      Array.from({ length: clients }, async () => {
        for (let n = 0; n < calls / clients; n += 1)
          await pool.query({
            name: 'bare',
            text: `UPDATE budget_windows SET spent = spent + $3::numeric
                   WHERE tenant_id = $1 AND limit_id = $2 AND window_start = $4::timestamptz AND spent + $3::numeric <= $5::numeric
                   RETURNING spent`,
            values: [TENANT, LIMIT, '1', START, CAP],
          });
      }),
    );
    return (calls * 1000) / (performance.now() - start);
  };
  const result = await cell('reserve + settle, 32 clients', {
    base: 'pg update, bare counter',
    reset,
    variants: {
      'pg update, bare counter': bare,
      'hoc reserve, settle': charging(admin, { clients, calls }, async () => {
        const { reservationId } = await driver.reserve(TENANT, {
          limitIds: [LIMIT],
          amountCents: '2',
          idempotencyKey: key(),
        });
        await driver.settle(TENANT, reservationId, '1');
      }),
    },
  });
  await pool.end();
  await hoc.close();
  return result;
}

/** Row 17: 64 callers, one charge at a time each. */
async function coalesced(url, { admin, reset }) {
  const hoc = openHoc(url, 8);
  await hoc.health();
  const driver = getBudgetReservationDriver(hoc.dataSource.manager, deps);
  const charges = hoc.services.controls.charges;
  const callers = (reserve, each) => async () => {
    const waits = [];
    const start = performance.now();
    await Promise.all(
      Array.from({ length: 64 }, async () => {
        for (let n = 0; n < each; n += 1) {
          const from = performance.now();
          await reserve({ limitIds: [LIMIT], amountCents: '1', idempotencyKey: key() });
          waits.push(performance.now() - from);
        }
      }),
    );
    const rate = (64 * each * 1000) / (performance.now() - start);
    await proved(admin, 64 * each);
    return { rate, p50: percentile(waits, 0.5), p99: percentile(waits, 0.99) };
  };
  const result = await cell('coalesced charges', {
    base: 'one reserve per call, 8 connections',
    reset,
    variants: {
      'one reserve per call, 8 connections': callers((input) => driver.reserve(TENANT, input), 30),
      'hoc coalescer': callers((input) => charges.reserve(TENANT, input), 150),
    },
  });
  await hoc.close();
  return result;
}

/** Row 18: may the guarded thing happen? */
async function breakerReads(url, { admin, clients }) {
  const pool = new pg.Pool({ connectionString: url, max: clients });
  const hoc = openHoc(url, clients);
  await hoc.health();
  await admin.query('DELETE FROM costsim_cb_state');
  await admin.query(
    `INSERT INTO costsim_cb_state (name, disabled, consecutive_failures, updated_at, created_at) VALUES ('costsim_v2', false, 0, now(), now())`,
  );
  const breaker = new CircuitBreaker(hoc.dataSource.manager, systemScope('bench'), deps);
  const COLUMNS = 'name, disabled, disabled_until, incident_id';
  const reading = (read, calls) => async () => {
    const start = performance.now();
    await Promise.all(
      Array.from({ length: clients }, async () => {
        for (let n = 0; n < calls / clients; n += 1) if (await read()) throw new Error('open');
      }),
    );
    return (calls * 1000) / (performance.now() - start);
  };
  const select = {
    name: 'state',
    text: `SELECT ${COLUMNS} FROM costsim_cb_state WHERE name = $1`,
    values: ['costsim_v2'],
  };
  const result = await cell(`breaker read, ${clients} clients`, {
    base: 'pg named select',
    variants: {
      'pg named select': reading(async () => (await pool.query(select)).rows[0].disabled, 6400),
      'hoc isDisabled': reading(() => breaker.isDisabled(), 6400),
      'pg for update in a transaction': reading(async () => {
        const client = await pool.connect();
        try {
          await client.query('BEGIN');
          const { rows } = await client.query({ ...select, name: 'locked', text: `${select.text} FOR UPDATE` });
          await client.query('COMMIT');
          return rows[0].disabled;
        } finally {
          client.release();
        }
      }, 1600),
    },
  });
  await pool.end();
  await hoc.close();
  return result;
}

await job('budget', async (url) => {
  const hoc = await prepare(url);
  const admin = await connect(url);
  await admin.query(
    `INSERT INTO limits (tenant_id, id, name, limit_category, limit_type, max_value, reset_period, created_at, updated_at)
     VALUES ('${TENANT}', '${LIMIT}', 'budget', 'BUDGET', 'COST_CENTS', ${CAP}, 'MONTHLY', now(), now())`,
  );
  const reset = async () => {
    await admin.query('TRUNCATE budget_reservations, budget_windows');
    await admin.query(`INSERT INTO budget_windows VALUES ('${TENANT}', '${LIMIT}', '${START}', 0, 0, now())`);
    await admin.query('ANALYZE budget_reservations, budget_windows');
  };
  const cells = [];
  for (const clients of [1, 8, 32]) cells.push(await reserving(url, { admin, reset, clients }));
  cells.push(await settling(url, { admin, reset }));
  cells.push(await coalesced(url, { admin, reset }));
  for (const clients of [8, 32]) cells.push(await breakerReads(url, { admin, clients }));
  await admin.end();
  await hoc.close();
  return cells;
});
