import { entities, migrations } from '@hoc/controls/models';
import type { NewLimit } from '@hoc/controls/schemas';
import { type DecimalString, systemScope } from '@hoc/shared/kernel';
import { entities as shared, migrations as sharedMigrations } from '@hoc/shared/models';
import { fixedClock, makeTenant, sequentialIds } from '@hoc/shared/testing';
import { captureStatements, explain, insertRows, useEmptyDatabase } from '@hoc/testkit';
import type { EntityManager, QueryRunner } from 'typeorm';
import { getPolicyLimitsDriver, type PolicyLimitsDriver } from './policy-limits.driver';

/** Limits of one tenant, far more than any has: what a look-up reads of them shows. */
const ROWS = 5000;
const NOW = new Date('2026-03-10T12:00:00.000Z');
const LIMIT: NewLimit = {
  name: 'Monthly budget',
  description: null,
  limitCategory: 'BUDGET',
  limitType: 'COST_CENTS',
  scope: 'TENANT',
  scopeId: null,
  maxValue: '500000' as DecimalString,
  resetPeriod: 'MONTHLY',
  windowSeconds: null,
  measurementWindowSeconds: null,
  params: {},
  enforcement: 'BLOCK',
  consequence: null,
  createdBy: 'ann',
};
const db = useEmptyDatabase({ entities: [...shared, ...entities], migrations: [...sharedMigrations, ...migrations] });
let runner: QueryRunner;
let manager: EntityManager;
let driver: PolicyLimitsDriver;
let made = 0;

const CALLS: readonly (readonly [string, () => Promise<unknown>])[] = [
  ['fetchLimitById', () => driver.fetchLimitById('t1', 'l-02007')],
  ['updateLimit', () => driver.updateLimit('t1', 'l-02008', { name: `Renamed ${(made += 1)}` })],
  ['disableLimit', () => driver.disableLimit('t1', 'l-02009', null)],
  [
    'addIntegrity',
    () => driver.addIntegrity('t1', { limitId: 'l-02007', integrityStatus: 'FAILED', integrityScore: 0 }),
  ],
  ['addMissingIntegrity', () => driver.addMissingIntegrity('t1', 'l-02007')],
  ['createLimit', () => driver.createLimit('t1', { ...LIMIT, id: `new-${(made += 1)}` })],
];

/** Rows of the two tables that this transaction's statements have read so far, by whatever plan. */
async function rowsRead(): Promise<number> {
  const [row]: { n: number }[] = await manager.query(
    `SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::int AS n FROM pg_stat_xact_user_tables
     WHERE relname IN ('limits', 'limit_integrity')`,
  );
  return row?.n ?? -1;
}

// A describe of its own: its hooks end before the database looks for connections that were left open.
describe('statements on a tenant with thousands of limits', () => {
  beforeAll(async () => {
    await db.dataSource().runMigrations();
    runner = db.dataSource().createQueryRunner();
    await runner.startTransaction();
    manager = runner.manager;
    driver = getPolicyLimitsDriver(manager, { clock: fixedClock(NOW), ids: sequentialIds('i') });
    await insertRows(manager, makeTenant({ id: 't1' }));
    // Often enough that the server keeps a plan of each statement, made for tables that are next to empty.
    await driver.createLimit('t1', { ...LIMIT, id: 'l-02007' });
    for (let n = 0; n < 10; n += 1) for (const [, call] of CALLS) await call();
    await manager.query(`DELETE FROM limit_integrity; DELETE FROM limits`);
    await manager.query(
      `INSERT INTO limits (tenant_id, id, name, limit_category, limit_type, max_value, reset_period, created_at, updated_at)
     SELECT 't1', 'l-' || to_char(n, 'FM00000'), 'Budget ' || n, 'BUDGET', 'COST_CENTS', 100, 'MONTHLY', $2::timestamptz, $2::timestamptz
     FROM generate_series(0, $1::int - 1) n`,
      [ROWS, NOW.toISOString()],
    );
    await manager.query(
      `INSERT INTO limit_integrity (tenant_id, id, limit_id, integrity_status, integrity_score, computed_at)
     SELECT 't1', 'v-' || id, id, 'VERIFIED', 1, created_at FROM limits WHERE id > 'l-00500'`,
    );
  });

  afterAll(async () => {
    await runner.rollbackTransaction();
    await runner.release();
  });

  it.each(CALLS)(
    '%s reads its rows and no other, also by a plan that was kept from empty tables',
    async (_name, call) => {
      const before = await rowsRead();
      expect(await call()).not.toBeNull();
      expect((await rowsRead()) - before).toBeLessThan(10);
    },
  );

  it('detectLimitsWithoutIntegrity goes along the keys, and reads no more than a page', async () => {
    const [sent] = await captureStatements(manager, () =>
      driver.detectLimitsWithoutIntegrity(systemScope('test'), { limit: 50 }),
    );
    const plan = await explain(manager, sent?.text ?? '', sent?.values ?? [], { analyze: true });
    expect([plan.seqScans, plan.hasSort]).toEqual([[], false]);
    expect(plan.indexes.toSorted()).toEqual(['pk_limits', 'uq_limit_integrity_limit']);
  });
});
