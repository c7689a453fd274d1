import { entities, migrations } from '@hoc/controls/models';
import { systemScope } from '@hoc/shared/kernel';
import { entities as shared, migrations as sharedMigrations } from '@hoc/shared/models';
import { fixedClock, makeLimit, makeTenant, sequentialIds } from '@hoc/shared/testing';
import { captureStatements, explain, insertRows, type Plan, type SentStatement, useEmptyDatabase } from '@hoc/testkit';
import type { EntityManager, QueryRunner } from 'typeorm';
import { type BudgetReservationDriver, getBudgetReservationDriver } from './budget-reservation.driver';

// G.3: 50,000 reservations of 50 tenants with 40 limits each; no table is ever analysed unless a test says so.
const ROWS = 50_000;
const TENANT = 't-07';
const LIMITS = ['l-01', 'l-02', 'l-03', 'l-04'];
const NOW = new Date('2026-03-10T12:00:00.000Z');
const TABLES = ['limits', 'limit_overrides', 'budget_windows', 'budget_reservations'];
const RESERVE_INDEXES = ['pk_budget_windows', 'pk_limits', 'uq_limit_overrides_live'];
const scope = systemScope('test');
const item = (key: string) => ({ amountCents: '1', idempotencyKey: key });
const batch = (name: string) => Array.from({ length: 64 }, (_, n) => item(`${name}-${n}`));

const db = useEmptyDatabase({ entities: [...shared, ...entities], migrations: [...sharedMigrations, ...migrations] });
let runner: QueryRunner;
let manager: EntityManager;
let driver: BudgetReservationDriver;

/** The plans of named statements are kept from now on, whatever becomes of the tables. */
const kept = new Map<string, SentStatement>();

const literal = (value: unknown): string => {
  if (value === null || value === undefined) return 'NULL';
  const text = Array.isArray(value) ? `{${value.map((each) => JSON.stringify(each)).join(',')}}` : String(value);
  return `'${text.replaceAll("'", "''")}'`;
};
const execute = (name: string, values: readonly unknown[]): string =>
  `EXECUTE ${name}(${values.map(literal).join(', ')})`;
async function sentBy(work: () => Promise<unknown>): Promise<readonly SentStatement[]> {
  await manager.query('SAVEPOINT asked');
  const sent = await captureStatements(manager, () => work().catch(() => null));
  await manager.query('ROLLBACK TO SAVEPOINT asked');
  return sent.filter(({ text }) => !/SAVEPOINT/.test(text));
}
/** Prepares the last statement of `work` and has its generic plan made for the tables as they are. */
async function keep(name: string, work: () => Promise<unknown>): Promise<void> {
  const sent = (await sentBy(work)).filter(isKept).at(-1);
  if (sent === undefined) throw new Error(`${name} sends nothing`);
  kept.set(name, sent);
  await manager.query(`PREPARE ${name} AS ${sent.text}`);
  await manager.query('SAVEPOINT asked');
  await manager.query(`EXPLAIN ${execute(name, sent.values)}`);
  await manager.query('ROLLBACK TO SAVEPOINT asked');
}
/** Those of look-ups by key are planned anew each time. */
const isKept = ({ name }: SentStatement): boolean => name !== undefined;
/** The kept plan, run with what `work` sends now. */
async function planOf(name: string, work: () => Promise<unknown>): Promise<Plan> {
  const [sent, ...more] = (await sentBy(work)).filter(isKept);
  expect([more, sent?.text === kept.get(name)?.text]).toEqual([[], true]);
  await manager.query('SAVEPOINT asked');
  const plan = await explain(manager, execute(name, sent?.values ?? []), [], { analyze: true });
  await manager.query('ROLLBACK TO SAVEPOINT asked');
  return plan;
}
const indexesOf = (plan: Plan): readonly string[] => [...new Set(plan.indexes)].sort();
/** Rows that scans of a table gave, those that a filter threw away included. */
const readFrom = ({ nodes }: Plan, table: string): number =>
  nodes
    .filter((node) => node['Relation Name'] === table && /Scan/.test(node['Node Type']))
    .reduce(
      (sum, node) =>
        sum + ((node['Actual Rows'] ?? 0) + (node['Rows Removed by Filter'] ?? 0)) * (node['Actual Loops'] ?? 1),
      0,
    );

const SAMPLES: readonly (readonly [string, () => Promise<unknown>])[] = [
  ['reserve', () => driver.reserve(TENANT, { limitIds: LIMITS, ...item('sample') })],
  ['reserve_one', () => driver.reserve(TENANT, { limitIds: ['l-01'], ...item('sample') })],
  ['settle', () => driver.settle(TENANT, 'x-000007', '1')],
  ['release', () => driver.release(TENANT, 'x-000007')],
  ['fetch_reservation', () => driver.fetchReservation(TENANT, 'x-000007')],
  ['fetch_window', () => driver.fetchWindow(TENANT, 'l-01')],
];

const tenants = (n: number) =>
  Array.from({ length: n }, (_, t) => makeTenant({ id: `t-${String(t).padStart(2, '0')}` }));
async function fill(): Promise<void> {
  await insertRows(manager, ...tenants(50));
  const [template] = [makeLimit('t', { limit_category: 'BUDGET', reset_period: 'MONTHLY', max_value: '9000000' }).row];
  const columns = Object.keys(template ?? {});
  await insertRows(manager, makeTenant({ id: 't' }), { table: 'limits', row: { ...template, id: 'template' } });
  const listed = columns.map((column) =>
    column === 'tenant_id'
      ? `'t-' || to_char(n % 50, 'FM00')`
      : column === 'id'
        ? `'l-' || to_char(n / 50, 'FM00')`
        : column,
  );
  await manager.query(
    `INSERT INTO limits (${columns.join(', ')}) SELECT ${listed.join(', ')} FROM limits, generate_series(0, 1999) n WHERE id = 'template'`,
  );
  await manager.query(
    `INSERT INTO limit_overrides (tenant_id, id, limit_id, original_value, override_value, status, duration_hours, requested_at, requested_by, reason, approved_at, starts_at, expires_at)
     SELECT tenant_id, id || '-' || n, id, 10, 9000001, CASE n WHEN 0 THEN 'ACTIVE' ELSE 'EXPIRED' END, 2, created_at, 'ann', 'a campaign of the day',
       created_at, timestamptz '2026-03-10T11:00:00Z' - n * interval '1 day', timestamptz '2026-03-10T13:00:00Z' - n * interval '1 day'
     FROM limits, generate_series(0, 9) n WHERE tenant_id LIKE 't-%'`,
  );
  await manager.query(
    `INSERT INTO budget_windows (tenant_id, limit_id, window_start, reserved, spent, updated_at)
     SELECT tenant_id, id, timestamptz '2026-03-01T00:00:00Z' - n * interval '1 day', CASE n WHEN 0 THEN 50000 ELSE 0 END, 0, created_at
     FROM limits, generate_series(0, 9) n WHERE tenant_id LIKE 't-%'`,
  );
  await manager.query(
    `INSERT INTO budget_reservations (tenant_id, id, limit_ids, window_starts, amount, status, idempotency_key, created_at, expires_at)
     SELECT 't-' || to_char(n % 50, 'FM00'), 'x-' || to_char(n, 'FM000000'), ARRAY['l-01', 'l-02'],
       ARRAY[timestamptz '2026-03-01T00:00:00Z', '2026-03-01T00:00:00Z'], 1, 'RESERVED', 'key-' || n,
       timestamptz '2026-03-10T00:00:00Z', timestamptz '2026-03-10T11:00:00Z' + n * interval '1 second'
     FROM generate_series(0, $1::int - 1) n`,
    [ROWS],
  );
}

beforeAll(() => db.dataSource().runMigrations());

describe.each([
  ['while the tables were empty', false],
  ['while the tables held a few rows, and analysed', true],
])('plans made %s', (_, analysed) => {
  beforeAll(async () => {
    runner = db.dataSource().createQueryRunner();
    await runner.startTransaction();
    manager = runner.manager;
    driver = getBudgetReservationDriver(manager, { clock: fixedClock(NOW), ids: sequentialIds('new') });
    await manager.query('SET LOCAL plan_cache_mode = force_generic_plan');
    for (const table of TABLES) await manager.query(`ALTER TABLE ${table} SET (autovacuum_enabled = false)`);
    if (analysed) {
      await insertRows(
        manager,
        makeTenant({ id: 'few' }),
        ...LIMITS.map((id) =>
          makeLimit('few', { id, limit_category: 'BUDGET', reset_period: 'MONTHLY', max_value: '9000000' }),
        ),
      );
      await driver.reserveBatch('few', LIMITS, batch('few'));
      for (const table of TABLES) await manager.query(`ANALYZE ${table}`);
    }
    for (const [name, work] of SAMPLES) await keep(`${name}_${analysed}`, work);
    await fill();
  });
  afterAll(async () => {
    for (const [name] of SAMPLES) await manager.query(`DEALLOCATE ${name}_${analysed}`);
    await runner.rollbackTransaction();
    await runner.release();
  });

  it('reserve against four limits: a few rows by key', async () => {
    const plan = await planOf(`reserve_${analysed}`, () =>
      driver.reserve(TENANT, { limitIds: LIMITS, ...item('one') }),
    );
    expect([plan.seqScans, indexesOf(plan)]).toEqual([[], RESERVE_INDEXES]);
    // Of the limits, where statistics know four rows on many pages, at most those of the tenant.
    const most = { limits: analysed ? 4 * 40 : 4, limit_overrides: 4, budget_windows: 8, budget_reservations: 0 };
    for (const [table, rows] of Object.entries(most))
      expect([table, readFrom(plan, table) <= rows]).toEqual([table, true]);
  });

  it('reserve against one limit: a row of each table by key, the ledger written and not read', async () => {
    const plan = await planOf(`reserve_one_${analysed}`, () =>
      driver.reserve(TENANT, { limitIds: ['l-03'], ...item('one') }),
    );
    expect([plan.seqScans, indexesOf(plan)]).toEqual([[], RESERVE_INDEXES]);
    const most = { limits: analysed ? 40 : 1, limit_overrides: 1, budget_windows: 1, budget_reservations: 0 };
    for (const [table, rows] of Object.entries(most))
      expect([table, readFrom(plan, table) <= rows]).toEqual([table, true]);
    expect(plan.buffers).toBeLessThan(100);
  });

  it('reserveBatch of 64: the ledger is written and not read', async () => {
    const plan = await planOf(`reserve_${analysed}`, () => driver.reserveBatch(TENANT, LIMITS, batch('fresh')));
    expect([plan.seqScans, indexesOf(plan)]).toEqual([[], RESERVE_INDEXES]);
    expect([readFrom(plan, 'budget_reservations'), plan.buffers < 64 * 60]).toEqual([0, true]);
  });

  it('64 replays: each key is one look-up, and nothing is decided', async () => {
    const items = Array.from({ length: 64 }, (_n, n) => item(`key-${n * 50 + 7}`));
    const [sent, ...more] = await sentBy(() => driver.reserveBatch(TENANT, LIMITS, items));
    expect([more, sent?.name]).toEqual([[], undefined]);
    const plan = await explain(manager, sent?.text ?? '', sent?.values ?? [], { analyze: true });
    expect([plan.seqScans, indexesOf(plan)]).toEqual([[], ['uq_budget_reservations_key']]);
    expect(readFrom(plan, 'budget_reservations')).toBeLessThanOrEqual(64);
  });

  it.each<[string, () => Promise<unknown>, readonly string[]]>([
    ['settle', () => driver.settle(TENANT, 'x-000057', '1'), ['pk_budget_reservations']],
    ['release', () => driver.release(TENANT, 'x-000057'), ['pk_budget_reservations']],
    ['fetch_reservation', () => driver.fetchReservation(TENANT, 'x-000057'), ['pk_budget_reservations']],
    [
      'fetch_window',
      () => driver.fetchWindow(TENANT, 'l-05'),
      ['pk_budget_windows', 'pk_limits', 'uq_limit_overrides_live'],
    ],
  ])('%s: a few rows by key', async (name, work, indexes) => {
    const plan = await planOf(`${name}_${analysed}`, work);
    expect([plan.seqScans, indexesOf(plan)]).toEqual([[], indexes]);
    expect(plan.buffers).toBeLessThan(100);
  });

  // Without statistics it may sort all 3,601 that are due.
  it.each([
    [20, false, 20],
    [1000, false, 3601],
    [1000, true, 1000],
  ])(
    'expireReservations of %i, statistics of today %s: in the order of the index, each by its key',
    async (n, fresh, most) => {
      if (fresh) for (const table of TABLES) await manager.query(`ANALYZE ${table}`);
      const [sent, ...more] = await sentBy(() => driver.expireReservations(scope, n));
      expect([more, sent?.name]).toEqual([[], undefined]);
      await manager.query('SAVEPOINT asked');
      const plan = await explain(manager, sent?.text ?? '', sent?.values ?? [], { analyze: true });
      await manager.query('ROLLBACK TO SAVEPOINT asked');
      expect([plan.seqScans, indexesOf(plan)]).toEqual([[], ['ix_budget_reservations_expiry']]);
      expect(readFrom(plan, 'budget_reservations')).toBeLessThanOrEqual(most);
    },
  );
});

it.each([
  ['one limit', 'lone', ['l-01']],
  ['several', 'more', LIMITS],
])(
  'a connection keeps the plan of single reserves against %s: to plan anew costs more than to run',
  async (_, tenant, limitIds) => {
    const [source] = await db.connections(1, { max: 1 });
    await source?.transaction(async (own) => {
      const reservations = getBudgetReservationDriver(own, { clock: fixedClock(NOW), ids: sequentialIds(tenant) });
      await insertRows(
        own,
        makeTenant({ id: tenant }),
        ...LIMITS.map((id) =>
          makeLimit(tenant, { id, limit_category: 'BUDGET', reset_period: 'NONE', max_value: '9000000' }),
        ),
      );
      for (let n = 0; n < 12; n += 1) await reservations.reserve(tenant, { limitIds, ...item(`own-${n}`) });
      const [plans]: { custom: number; generic: number }[] = await own.query(
        `SELECT custom_plans::int AS custom, generic_plans::int AS generic FROM pg_prepared_statements WHERE name LIKE 'hoc_reserve_budget%'`,
      );
      expect(plans).toEqual({ custom: 5, generic: 8 });
    });
  },
);
