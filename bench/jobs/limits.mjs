// Limit reads and the sweeps of controls, beside the original's forms.
import 'reflect-metadata';
import { getBudgetReservationDriver, getLimitOverrideService, getLimitsReadDriver } from '@hoc/controls/drivers';
import { systemScope, uuidV7Generator } from '@hoc/shared/kernel';
import { clock, connect, openHoc, prepare } from '../lib/database.mjs';
import { cell, job } from '../lib/run.mjs';

const ROWS = 10_000;
const TENANT = 't-07';
const deps = { clock, ids: uuidV7Generator(clock) };
const scope = systemScope('bench');

/** 20 tenants with 400 limits each, and 200,000 breaches of the last 60 days. */
async function fill(admin) {
  await admin.query(
    `INSERT INTO tenants (id, name, slug, created_at, updated_at)
     SELECT 't-' || to_char(n, 'FM00'), 'n', 's-' || n, now(), now() FROM generate_series(0, 19) n`,
  );
  await admin.query(
    `INSERT INTO limits (tenant_id, id, name, limit_category, limit_type, max_value, reset_period, created_at, updated_at)
     SELECT 't-' || to_char(n % 20, 'FM00'), 'l-' || to_char(n / 20, 'FM0000'), 'limit', 'BUDGET', 'COST_CENTS', 1000, 'MONTHLY',
       now() - n * interval '1 minute', now() FROM generate_series(0, 7999) n`,
  );
  await admin.query(
    `INSERT INTO limit_breaches (tenant_id, id, limit_id, breach_type, limit_value, breached_at)
     SELECT 't-' || to_char(n % 20, 'FM00'), 'b-' || n, 'l-' || to_char(n / 20 % 300, 'FM0000'), 'BREACHED', 1000,
       now() - n * interval '26 seconds' FROM generate_series(0, 199999) n`,
  );
  await admin.query('VACUUM ANALYZE tenants, limits, limit_breaches');
}

const times = (count, work) => async () => {
  const start = performance.now();
  for (let n = 0; n < count; n += 1) await work();
  return (count * 1000) / (performance.now() - start);
};

const SHOWN = `l.id, l.name, l.limit_category, l.limit_type, l.scope, l.scope_id, l.enforcement, l.status, l.max_value,
  l.window_seconds, l.reset_period, l.created_at, i.integrity_status, i.integrity_score`;
const ORDER = `ORDER BY COALESCE(b.last, '-infinity') DESC, l.created_at DESC, l.id DESC LIMIT 51`;

async function pages(url, admin) {
  const hoc = openHoc(url, 1);
  await hoc.health();
  const driver = getLimitsReadDriver(hoc.dataSource.manager, deps);
  const full = (rows) => {
    if (rows.length < 50) throw new Error(`${rows.length} rows`);
  };
  const byHand = {
    name: 'lateral',
    text: `SELECT ${SHOWN}, b.n, b.last FROM limits l
      LEFT JOIN limit_integrity i ON i.tenant_id = l.tenant_id AND i.limit_id = l.id
      CROSS JOIN LATERAL (
        SELECT count(*) AS n, max(breached_at) AS last FROM limit_breaches
        WHERE tenant_id = l.tenant_id AND limit_id = l.id AND breached_at >= now() - interval '30 days'
      ) AS b
      WHERE l.tenant_id = $1 AND l.limit_category = 'BUDGET' AND l.status = 'ACTIVE' ${ORDER}`,
    values: [TENANT],
  };
  // Without the tenant: every tenant's breaches are read, and equal ids of two tenants are added up.
  const original = {
    name: 'original',
    text: `SELECT ${SHOWN}, b.n, b.last FROM limits l
      LEFT JOIN limit_integrity i ON i.tenant_id = l.tenant_id AND i.limit_id = l.id
      LEFT JOIN (
        SELECT limit_id, count(*) AS n, max(breached_at) AS last FROM limit_breaches
        WHERE breached_at >= now() - interval '30 days' GROUP BY limit_id
      ) AS b ON b.limit_id = l.id
      WHERE l.tenant_id = $1 AND l.limit_category = 'BUDGET' AND l.status = 'ACTIVE' ${ORDER}`,
    values: [TENANT],
  };
  const result = await cell('page of 50 limits', {
    base: 'pg by hand',
    variants: {
      'pg by hand': times(60, async () => full((await admin.query(byHand)).rows)),
      'hoc fetchLimits': times(60, async () => full((await driver.fetchLimits(TENANT)).items)),
      'pg, the original’s form': times(8, async () => full((await admin.query(original)).rows)),
    },
  });
  await hoc.close();
  return result;
}

/** Marks `count` rows, and says that each was marked. */
const marking =
  (admin, { table, status, count }, work) =>
  async () => {
    const start = performance.now();
    await work();
    const rate = (count * 1000) / (performance.now() - start);
    const { rows } = await admin.query(`SELECT count(*)::int AS n FROM ${table} WHERE status = '${status}'`);
    if (rows[0].n !== count) throw new Error(`${rows[0].n} of ${count}`);
    return rate;
  };

async function reservations(hoc, admin) {
  const expired = { table: 'budget_reservations', status: 'EXPIRED' };
  const reset = async () => {
    await admin.query('TRUNCATE budget_reservations, budget_windows');
    await admin.query(
      `INSERT INTO budget_windows SELECT 't-' || to_char(n % 20, 'FM00'), 'l-0001', date_trunc('month', now(), 'UTC'), ${ROWS / 20}, 0, now()
       FROM generate_series(0, 19) n`,
    );
    await admin.query(
      `INSERT INTO budget_reservations
         (tenant_id, id, limit_ids, window_starts, amount, status, idempotency_key, created_at, expires_at)
       SELECT 't-' || to_char(n % 20, 'FM00'), 'r-' || n, ARRAY['l-0001'], ARRAY[date_trunc('month', now(), 'UTC')], 1, 'RESERVED',
         'k-' || n, now() - interval '1 hour', now() - interval '1 minute' FROM generate_series(0, ${ROWS - 1}) n`,
    );
    await admin.query('VACUUM ANALYZE budget_reservations, budget_windows');
  };
  return cell('expire 10,000 reservations', {
    base: 'pg prepared loop',
    reset,
    variants: {
      'pg prepared loop': marking(admin, { ...expired, count: 500 }, () =>
        loop(
          admin,
          'budget_reservations',
          500,
          `WITH gone AS (
             UPDATE budget_reservations SET status = 'EXPIRED', closed_at = now()
             WHERE tenant_id = $1 AND id = $2 AND status = 'RESERVED' RETURNING limit_ids[1] AS limit_id, window_starts[1] AS start, amount
           )
           UPDATE budget_windows w SET reserved = reserved - gone.amount FROM gone
           WHERE w.tenant_id = $1 AND w.limit_id = gone.limit_id AND w.window_start = gone.start`,
        ),
      ),
      'hoc expireReservations': marking(admin, { ...expired, count: ROWS }, () =>
        hoc.services.controls.sweeps.expireReservations(scope),
      ),
      'hoc, one statement': marking(admin, { ...expired, count: ROWS }, () =>
        getBudgetReservationDriver(hoc.dataSource.manager, deps).expireReservations(scope, ROWS),
      ),
    },
  });
}

async function overrides(hoc, admin) {
  const expired = { table: 'limit_overrides', status: 'EXPIRED' };
  const reset = async () => {
    await admin.query('TRUNCATE limit_overrides');
    await admin.query(
      `INSERT INTO limit_overrides (tenant_id, id, limit_id, original_value, override_value, status, duration_hours, requested_at,
         approved_at, starts_at, expires_at, requested_by, reason)
       SELECT tenant_id, 'o-' || id, id, 1000, 2000, 'ACTIVE', 1, now() - interval '2 hours', now() - interval '2 hours',
         now() - interval '2 hours', now() - interval '1 hour', 'ann', 'a campaign of the day' FROM limits
       WHERE tenant_id LIKE 't-%'`,
    );
    await admin.query('VACUUM ANALYZE limit_overrides');
  };
  await admin.query(
    `INSERT INTO limits (tenant_id, id, name, limit_category, limit_type, max_value, reset_period, created_at, updated_at)
     SELECT 't-' || to_char(n % 20, 'FM00'), 'm-' || n, 'limit', 'BUDGET', 'COST_CENTS', 1000, 'MONTHLY', now(), now()
     FROM generate_series(0, 1999) n`,
  );
  return cell('expire 10,000 overrides', {
    base: 'pg prepared loop',
    reset,
    variants: {
      'pg prepared loop': marking(admin, { ...expired, count: 500 }, () =>
        loop(
          admin,
          'limit_overrides',
          500,
          `UPDATE limit_overrides SET status = 'EXPIRED',
             audit_trail = audit_trail || jsonb_build_object('at', now(), 'actor', 'system', 'from', status, 'to', 'EXPIRED')
           WHERE tenant_id = $1 AND id = $2 AND status = 'ACTIVE'`,
        ),
      ),
      'hoc expireOverrides': marking(admin, { ...expired, count: ROWS }, async () => {
        const n = await hoc.transaction(({ manager }) => getLimitOverrideService(manager, deps).expireOverrides(scope));
        if (n !== ROWS) throw new Error(`${n}`);
      }),
    },
  });
}

/** The original's shape: look, then one prepared update a row in one transaction. */
async function loop(admin, table, count, text) {
  await admin.query('BEGIN');
  const { rows } = await admin.query(`SELECT tenant_id, id FROM ${table} ORDER BY tenant_id, id LIMIT ${count}`);
  for (const { tenant_id, id } of rows) await admin.query({ name: `mark-${table}`, text, values: [tenant_id, id] });
  await admin.query('COMMIT');
}

await job('limits', async (url) => {
  const hoc = await prepare(url);
  const admin = await connect(url);
  await fill(admin);
  const cells = [await pages(url, admin), await reservations(hoc, admin), await overrides(hoc, admin)];
  await admin.end();
  await hoc.close();
  return cells;
});
