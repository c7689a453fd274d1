import { entities, migrations } from '@hoc/controls/models';
import type { ReserveInput } from '@hoc/controls/schemas';
import { ConflictError, NotFoundError, systemScope } from '@hoc/shared/kernel';
import { entities as shared, migrations as sharedMigrations } from '@hoc/shared/models';
import { type BuiltRow, fixedClock, makeLimit, makeTenant, memoryLogger, sequentialIds } from '@hoc/shared/testing';
import { captureStatements, insertRows, useDatabase } from '@hoc/testkit';
import { type BudgetReservationDriver, getBudgetReservationDriver } from './budget-reservation.driver';

const db = useDatabase({ entities: [...shared, ...entities], migrations: [...sharedMigrations, ...migrations] });
const NOW = new Date('2026-03-10T12:00:00.000Z');
const MONTH = new Date('2026-03-01T00:00:00.000Z');
const clock = fixedClock(NOW);
const scope = systemScope('nightly');
let logger = memoryLogger();
let driver: BudgetReservationDriver;
let key = 0;

const budget = (id: string, max: string, given: Record<string, unknown> = {}, tenant = 't1'): BuiltRow =>
  makeLimit(tenant, { id, limit_category: 'BUDGET', reset_period: 'MONTHLY', max_value: max, ...given });
const limits = (...rows: readonly BuiltRow[]): Promise<void> => insertRows(db.manager(), ...rows);
const ask = (limitIds: readonly string[], amountCents: string, given: Partial<ReserveInput> = {}): ReserveInput => ({
  limitIds,
  amountCents,
  idempotencyKey: `key-${(key += 1)}`,
  ...given,
});
const reserve = (limitIds: readonly string[], amountCents: string, given: Partial<ReserveInput> = {}) =>
  driver.reserve('t1', ask(limitIds, amountCents, given));
const window = (limitId: string) => driver.fetchWindow('t1', limitId);
const failure = async (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => 'no error',
    (error: unknown) => error,
  );

beforeEach(async () => {
  clock.set(NOW);
  logger = memoryLogger();
  driver = getBudgetReservationDriver(db.manager(), { clock, ids: sequentialIds('r'), logger });
  await limits(makeTenant({ id: 't1' }), makeTenant({ id: 't2' }));
});

describe('settle, release and expire', () => {
  beforeEach(() => limits(budget('a', '100'), budget('b', '100')));
  const counters = async (id = 'a'): Promise<unknown> => {
    const state = await window(id);
    return [state?.reservedCents, state?.spentCents];
  };

  it('H2-5: a reservation is closed once, and its replay says how', async () => {
    const { reservationId: id } = await reserve(['a', 'b'], '10', { idempotencyKey: 'k' });
    const settled = await driver.settle('t1', id, '12.0');
    expect(settled).toMatchObject({ status: 'SETTLED', settledCents: '12', amountCents: '10', duplicate: false });
    expect(Object.isFrozen(settled)).toBe(true);
    expect([await counters('a'), await counters('b')]).toEqual([
      ['0', '12'],
      ['0', '12'],
    ]);
    expect(await driver.settle('t1', id, '12')).toEqual({ ...settled, duplicate: true });
    const error = await failure(driver.settle('t1', id, '11'));
    expect([ConflictError.is(error), error]).toEqual([
      true,
      expect.objectContaining({ details: { reservationId: id, status: 'SETTLED', reason: 'status' } }),
    ]);
    expect(await driver.release('t1', id)).toBe(false);
    expect(await reserve(['a', 'b'], '10', { idempotencyKey: 'k' })).toEqual({ ...settled, duplicate: true });
    expect([await counters('a'), await counters('b')]).toEqual([
      ['0', '12'],
      ['0', '12'],
    ]);
  });

  it('release gives the amount back once; what is released can not be settled', async () => {
    const { reservationId: id } = await reserve(['a', 'b'], '10');
    expect([await driver.release('t1', id), await driver.release('t1', id)]).toEqual([true, false]);
    expect([await counters('a'), await counters('b')]).toEqual([
      ['0', '0'],
      ['0', '0'],
    ]);
    expect(await failure(driver.settle('t1', id, '10'))).toMatchObject({
      code: 'CONFLICT',
      details: { status: 'RELEASED' },
    });
    expect(await driver.fetchReservation('t1', id)).toMatchObject({ status: 'RELEASED', settledCents: null });
  });

  it('H2-6, on one connection: what nobody settles gives its reserve back, and may be settled late', async () => {
    const { reservationId: id } = await reserve(['a'], '10', { ttlSeconds: 60 });
    await reserve(['b'], '5', { ttlSeconds: 61 });
    clock.advance(59_999);
    expect(await driver.expireReservations(scope)).toBe(0);
    clock.advance(1);
    expect([await driver.expireReservations(scope), await driver.expireReservations(scope)]).toEqual([1, 0]);
    expect([await counters('a'), await counters('b')]).toEqual([
      ['0', '0'],
      ['5', '0'],
    ]);
    expect(await driver.release('t1', id)).toBe(false);
    expect(await driver.settle('t1', id, '7')).toMatchObject({
      status: 'SETTLED',
      settledCents: '7',
      duplicate: false,
    });
    expect(await counters('a')).toEqual(['0', '7']);
    expect(logger.entries[0]).toEqual({
      level: 'info',
      event: 'budget_reservations_expired',
      fields: { reason: 'nightly', expired: 0 },
    });
  });

  it('expires the longest over first, of all tenants, as many as asked for', async () => {
    await limits(budget('a', '100', {}, 't2'));
    const third = await reserve(['a', 'b'], '1', { ttlSeconds: 30 });
    const first = await driver.reserve('t2', ask(['a'], '2', { ttlSeconds: 10 }));
    const second = await reserve(['a'], '4', { ttlSeconds: 20 });
    clock.advance(60_000);
    expect(await driver.expireReservations(scope, 2)).toBe(2);
    expect([
      (await driver.fetchReservation('t2', first.reservationId))?.status,
      (await driver.fetchReservation('t1', second.reservationId))?.status,
      (await driver.fetchReservation('t1', third.reservationId))?.status,
    ]).toEqual(['EXPIRED', 'EXPIRED', 'RESERVED']);
    expect([await counters('a'), (await driver.fetchWindow('t2', 'a'))?.reservedCents]).toEqual([['1', '0'], '0']);
    expect(await driver.expireReservations(scope, 2)).toBe(1);
  });

  it('a settle counts in the windows of its reserve, though the period is over', async () => {
    const { reservationId: id } = await reserve(['a'], '10');
    clock.set('2026-04-02T00:00:00.000Z');
    await driver.settle('t1', id, '3');
    expect(await counters('a')).toEqual(['0', '0']);
    expect(await driver.fetchWindow('t1', 'a', NOW)).toMatchObject({ reservedCents: '0', spentCents: '3' });
  });

  it('a settle above the reserve counts in full, and the budget refuses what follows', async () => {
    const { reservationId: id } = await reserve(['a'], '10');
    await driver.settle('t1', id, '130');
    expect(await window('a')).toMatchObject({ spentCents: '130', remainingCents: '0' });
    expect(await failure(reserve(['a'], '0.000001'))).toMatchObject({ details: { limitId: 'a', remaining: '0' } });
  });

  it('each call is one statement', async () => {
    const { reservationId: id } = await reserve(['a', 'b'], '10');
    const { reservationId: other } = await reserve(['a', 'b'], '10');
    for (const work of [
      () => driver.settle('t1', id, '1'),
      () => driver.release('t1', other),
      () => driver.expireReservations(scope),
      () => driver.fetchReservation('t1', id),
      () => driver.fetchWindow('t1', 'a'),
    ])
      expect(await captureStatements(db.manager(), work)).toHaveLength(1);
  });

  it('settle and release write the windows last: others wait for those', async () => {
    const [settled, released] = [await reserve(['a', 'b'], '10'), await reserve(['a', 'b'], '10')];
    await db.manager().query(`
      CREATE TEMPORARY TABLE written (n serial, what text) ON COMMIT DROP;
      CREATE FUNCTION pg_temp.note() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO written (what) VALUES (TG_TABLE_NAME); RETURN NEW; END $$;
      CREATE TRIGGER note BEFORE UPDATE ON budget_windows FOR EACH ROW EXECUTE FUNCTION pg_temp.note();
      CREATE TRIGGER note BEFORE UPDATE ON budget_reservations FOR EACH ROW EXECUTE FUNCTION pg_temp.note()`);
    await driver.settle('t1', settled.reservationId, '1');
    await driver.release('t1', released.reservationId);
    const written: { what: string }[] = await db.manager().query('SELECT what FROM written ORDER BY n');
    const each = ['budget_reservations', 'budget_windows', 'budget_windows'];
    expect(written.map(({ what }) => what)).toEqual([...each, ...each]);
  });

  it('what is missing or another tenant’s is not found', async () => {
    const { reservationId: id } = await reserve(['a'], '10');
    for (const [tenant, reservation] of [
      ['t1', 'nothing'],
      ['t2', id],
    ] as const) {
      expect(NotFoundError.is(await failure(driver.settle(tenant, reservation, '1')))).toBe(true);
      expect(await driver.release(tenant, reservation)).toBe(false);
      expect(await driver.fetchReservation(tenant, reservation)).toBeNull();
    }
    expect(await driver.fetchWindow('t2', 'a')).toBeNull();
    expect(await counters('a')).toEqual(['10', '0']);
  });
});

describe('fetchWindow', () => {
  it('of a budget that nobody has used: zeros; of no budget in cents: null', async () => {
    await limits(
      budget('a', '100'),
      budget('off', '7', { status: 'DISABLED' }),
      budget('tokens', '100', { limit_type: 'TOKENS_DAY' }),
      makeLimit('t1', { id: 'threshold' }),
    );
    const state = await window('a');
    expect(state).toEqual({
      windowStart: MONTH,
      capCents: '100',
      reservedCents: '0',
      spentCents: '0',
      remainingCents: '100',
    });
    expect([Object.isFrozen(state), (await window('off'))?.capCents]).toEqual([true, '7']);
    expect([await window('tokens'), await window('threshold'), await window('none')]).toEqual([null, null, null]);
  });
});
