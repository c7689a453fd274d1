import { getLimitOverrideService } from '@hoc/controls/drivers';
import { OverrideLifecycleEngine, type OverrideLifecycleEngines } from '@hoc/controls/engines';
import { type LimitOverrideResponse, OverrideValidationError, StackingAbuseError } from '@hoc/controls/schemas';
import { systemScope, type UnitOfWorkRunner } from '@hoc/shared/kernel';
import { createHoc, type HocModule, type HocServices } from '@hoc/shared/spine';
import { fixedClock, makeLimit, makeLimitOverride, makeTenant } from '@hoc/shared/testing';
import { insertRows, useEmptyDatabase } from '@hoc/testkit';

const NOW = new Date('2026-03-10T12:00:00.000Z');
const HOUR = 3_600_000;
const later = (ms: number): Date => new Date(NOW.getTime() + ms);
const scope = systemScope('the scheduler');
const clock = fixedClock(NOW);
const db = useEmptyDatabase({ entities: [], migrations: [] });

/** The part of the package that overrides need: all its tables are shared ones. */
const overrideModule: HocModule<'overrides', OverrideLifecycleEngines, HocServices> = {
  name: 'overrides',
  requires: [],
  entities: [],
  migrations: [],
  catalogue: [],
  compose: (manager, deps) => ({ overrides: getLimitOverrideService(manager, deps) }),
  services: () => ({ close: () => Promise.resolve() }),
};
const connect = () =>
  createHoc({ connection: { url: db.url(), applicationName: 'overrides' }, modules: [overrideModule], clock });
let hoc: ReturnType<typeof connect>;
const runner =
  (lockTimeoutMs: number): UnitOfWorkRunner<OverrideLifecycleEngines> =>
  (work) =>
    hoc.transaction(({ overrides }) => work(overrides), { lockTimeoutMs });
const run = runner(30_000);
const engine = (lockTimeoutMs = 30_000): OverrideLifecycleEngine => new OverrideLifecycleEngine(runner(lockTimeoutMs));

const ask = (tenant: string, limitId: string, ahead: number | null): Promise<LimitOverrideResponse> =>
  run(({ overrides }) =>
    overrides.requestOverride(
      tenant,
      {
        ...{ limitId, overrideValue: '3000', durationHours: 2, reason: 'a campaign of the day' },
        ...(ahead === null ? {} : { startImmediately: false, scheduledStart: new Date(clock.now().getTime() + ahead) }),
      },
      'ann',
    ),
  );
const statuses = async (): Promise<unknown> => {
  const rows: { tenant_id: string; limit_id: string; status: string }[] = await db
    .dataSource()
    .query('SELECT tenant_id, limit_id, status FROM limit_overrides ORDER BY tenant_id, limit_id');
  return Object.fromEntries(rows.map((row) => [`${row.tenant_id}/${row.limit_id}`, row.status]));
};
const refusal = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => 'nothing',
    (error: unknown) => error,
  );

// A describe of its own: its hooks end before the database looks for connections that were left open.
describe('the lifecycle on a database', () => {
  beforeAll(async () => {
    hoc = connect();
    await hoc.migrate();
  });
  beforeEach(async () => {
    clock.set(NOW);
    await insertRows(
      db.dataSource().manager,
      ...['ta', 'tb', 'tc'].flatMap((id) => [
        makeTenant({ id }),
        ...Array.from({ length: 8 }, (_, n) => makeLimit(id, { id: `l${n}` })),
      ]),
    );
  });
  afterEach(() => db.dataSource().query('TRUNCATE limit_overrides, limits, tenants CASCADE'));
  afterAll(() => hoc.close());

  it('asked for, approved, started, ended: a day of an override', async () => {
    const { overrideId } = await ask('ta', 'l0', HOUR);
    expect(await engine().decide('ta', overrideId, { approved: true, adjustedValue: '2500' }, 'bob')).toMatchObject({
      ...{ status: 'APPROVED', overrideValue: '2500', approvedBy: 'bob' },
    });
    expect(await engine().sweep(scope)).toEqual({ expired: 0, activated: 0, blockedByCap: 0, failedTenants: [] });
    clock.set(later(HOUR));
    expect(await engine().sweep(scope)).toEqual({ expired: 0, activated: 1, blockedByCap: 0, failedTenants: [] });
    const inEffect = () => run(({ overrides }) => overrides.fetchOverridesInEffect('ta', ['l0']));
    expect((await inEffect()).get('l0')).toMatchObject({ effectiveValue: '2500' });
    clock.set(later(3 * HOUR));
    expect((await inEffect()).size).toBe(0);
    expect(await engine().sweep(scope)).toEqual({ expired: 1, activated: 0, blockedByCap: 0, failedTenants: [] });
    expect(await statuses()).toEqual({ 'ta/l0': 'EXPIRED' });
    const [row]: { audit_trail: { to: string; actor: string }[] }[] = await db
      .dataSource()
      .query('SELECT audit_trail FROM limit_overrides');
    expect(row?.audit_trail.map(({ to, actor }) => `${to} ${actor}`)).toEqual([
      ...['PENDING ann', 'APPROVED bob', 'ACTIVE system', 'EXPIRED system'],
    ]);
  });

  it('a rejected one never starts, and frees its limit', async () => {
    const { overrideId } = await ask('ta', 'l0', HOUR);
    await engine().decide('ta', overrideId, { approved: false, rejectionReason: 'not this month' }, 'bob');
    clock.set(later(HOUR));
    expect(await engine().sweep(scope)).toMatchObject({ activated: 0 });
    expect(await ask('ta', 'l0', null)).toMatchObject({ status: 'ACTIVE' });
    const again = await refusal(engine().decide('ta', overrideId, { approved: true }, 'bob'));
    expect(OverrideValidationError.is(again)).toBe(true);
  });

  it('a refused decision leaves nothing behind', async () => {
    const { overrideId } = await ask('ta', 'l7', HOUR);
    for (let n = 0; n < 5; n += 1) await ask('ta', `l${n}`, null);
    clock.set(later(HOUR));
    expect(StackingAbuseError.is(await refusal(engine().decide('ta', overrideId, { approved: true }, 'bob')))).toBe(
      true,
    );
    expect(await statuses()).toMatchObject({ 'ta/l7': 'PENDING' });
  });

  it('the cap holds some back; the next sweep starts them when there is room', async () => {
    const due = { status: 'APPROVED', approved_at: NOW, starts_at: NOW };
    await insertRows(
      db.dataSource().manager,
      ...Array.from({ length: 8 }, (_, n) =>
        makeLimitOverride('ta', `l${n}`, { ...due, expires_at: later(n < 5 ? HOUR : 2 * HOUR) }),
      ),
      makeLimitOverride('tc', 'l0', { ...due, expires_at: later(HOUR) }),
    );
    expect(await engine().sweep(scope)).toEqual({ expired: 0, activated: 6, blockedByCap: 3, failedTenants: [] });
    expect(await engine().sweep(scope)).toEqual({ expired: 0, activated: 0, blockedByCap: 3, failedTenants: [] });
    clock.set(later(HOUR));
    expect(await engine().sweep(scope)).toEqual({ expired: 6, activated: 3, blockedByCap: 0, failedTenants: [] });
  });

  it('a tenant that somebody holds fails alone, and is done by the next sweep', async () => {
    const due = { status: 'APPROVED', approved_at: NOW, starts_at: NOW, expires_at: later(HOUR) };
    await insertRows(db.dataSource().manager, ...['ta', 'tb', 'tc'].map((id) => makeLimitOverride(id, 'l0', due)));
    const holder = db.dataSource().createQueryRunner();
    await holder.startTransaction();
    await holder.query(`SELECT 1 FROM tenants WHERE id = 'tb' FOR UPDATE`);
    expect(await engine(500).sweep(scope)).toEqual({
      expired: 0,
      activated: 2,
      blockedByCap: 0,
      failedTenants: ['tb'],
    });
    await holder.rollbackTransaction();
    await holder.release();
    expect(await statuses()).toEqual({ 'ta/l0': 'ACTIVE', 'tb/l0': 'APPROVED', 'tc/l0': 'ACTIVE' });
    expect(await engine().sweep(scope)).toEqual({ expired: 0, activated: 1, blockedByCap: 0, failedTenants: [] });
  });

  it('three sweeps at once start and end each override once', async () => {
    const due = { approved_at: NOW, starts_at: later(-HOUR) };
    await insertRows(
      db.dataSource().manager,
      ...['ta', 'tb', 'tc'].flatMap((id) => [
        ...[0, 1, 2, 3].map((n) =>
          makeLimitOverride(id, `l${n}`, { ...due, status: 'APPROVED', expires_at: later(HOUR) }),
        ),
        ...[4, 5, 6].map((n) => makeLimitOverride(id, `l${n}`, { ...due, status: 'ACTIVE', expires_at: NOW })),
      ]),
    );
    const results = await Promise.all([engine(), engine(), engine()].map((each) => each.sweep(scope)));
    expect(results.flatMap(({ failedTenants }) => failedTenants)).toEqual([]);
    expect(results.reduce((sum, { activated }) => sum + activated, 0)).toBe(12);
    const rows: { status: string; n: number; entries: number }[] = await db.dataSource().query(
      `SELECT status, count(*)::int AS n, max(jsonb_array_length(audit_trail)) AS entries
       FROM limit_overrides GROUP BY 1 ORDER BY 1`,
    );
    expect(rows).toEqual([
      { status: 'ACTIVE', n: 12, entries: 1 },
      { status: 'EXPIRED', n: 9, entries: 1 },
    ]);
  });
});
