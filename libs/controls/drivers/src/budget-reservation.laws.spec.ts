import { entities, migrations } from '@hoc/controls/models';
import { type Reservation, reservationOf, type ReserveItem, type ReserveOutcome } from '@hoc/controls/schemas';
import {
  addDecimal,
  compareDecimal,
  type DecimalString,
  HocError,
  subtractDecimal,
  systemScope,
} from '@hoc/shared/kernel';
import { entities as shared, migrations as sharedMigrations } from '@hoc/shared/models';
import { fixedClock, makeLimit, makeTenant, sequentialIds } from '@hoc/shared/testing';
import { insertRows, useDatabase } from '@hoc/testkit';
import fc from 'fast-check';
import { type BudgetReservationDriver, getBudgetReservationDriver } from './budget-reservation.driver';

const db = useDatabase({ entities: [...shared, ...entities], migrations: [...sharedMigrations, ...migrations] });
const NOW = new Date('2026-03-10T12:00:00.000Z');
const scope = systemScope('test');
const clock = fixedClock(NOW);
const dec = (text: string): DecimalString => text;
const SETS: readonly (readonly string[])[] = [['a'], ['b'], ['a', 'b'], ['c', 'a'], ['a', 'b', 'c']];

/** Amounts of up to six decimals, small enough that several fit into a cap. */
const cents = fc
  .tuple(fc.integer({ min: 0, max: 9 }), fc.constantFrom('', '.5', '.000001', '.999999'))
  .map(([whole, rest]) => dec(`${whole}${rest}`));
const caps = fc.record({ a: fc.integer({ min: 0, max: 30 }), b: fc.integer({ min: 0, max: 30 }), c: fc.constant(12) });

/** What the driver promises, without a database: counters by limit, reservations by key. */
class Model {
  readonly reserved: Record<string, DecimalString> = { a: dec('0'), b: dec('0'), c: dec('0') };
  readonly spent: Record<string, DecimalString> = { a: dec('0'), b: dec('0'), c: dec('0') };
  readonly byKey = new Map<
    string,
    { limitIds: string; amount: DecimalString; status: string; settled?: DecimalString }
  >();

  constructor(private readonly caps: Readonly<Record<string, number>>) {}

  reserve(limitIds: readonly string[], { idempotencyKey, amountCents }: ReserveItem): string {
    const ids = [...limitIds].sort();
    const stored = this.byKey.get(idempotencyKey);
    if (stored !== undefined)
      return stored.limitIds === ids.join() && compareDecimal(stored.amount, amountCents) === 0
        ? `duplicate ${stored.status}`
        : 'conflict';
    const rooms = ids.map((id) => ({ id, room: subtractDecimal(dec(String(this.caps[id])), this.used(id)) }));
    const least = rooms.reduce((best, next) => (compareDecimal(next.room, best.room) < 0 ? next : best));
    if (compareDecimal(amountCents, least.room) > 0)
      return `refused ${least.id} ${compareDecimal(least.room, dec('0')) < 0 ? '0' : least.room}`;
    this.byKey.set(idempotencyKey, { limitIds: ids.join(), amount: amountCents, status: 'RESERVED' });
    for (const id of ids) this.reserved[id] = addDecimal(this.reserved[id] ?? dec('0'), amountCents);
    return 'granted RESERVED';
  }

  close(key: string, to: 'SETTLED' | 'RELEASED' | 'EXPIRED', actual = dec('0')): string {
    const stored = this.byKey.get(key);
    if (stored === undefined) return 'missing';
    const late = to === 'SETTLED' && stored.status === 'EXPIRED';
    if (stored.status !== 'RESERVED' && !late)
      return to === 'SETTLED' && stored.settled !== undefined && compareDecimal(stored.settled, actual) === 0
        ? 'duplicate'
        : 'no';
    for (const id of stored.limitIds.split(',')) {
      if (!late) this.reserved[id] = subtractDecimal(this.reserved[id] ?? dec('0'), stored.amount);
      this.spent[id] = addDecimal(this.spent[id] ?? dec('0'), actual);
    }
    Object.assign(stored, { status: to }, to === 'SETTLED' ? { settled: actual } : {});
    return 'yes';
  }

  used(id: string): DecimalString {
    return addDecimal(this.reserved[id] ?? dec('0'), this.spent[id] ?? dec('0'));
  }
}

let driver: BudgetReservationDriver;

async function fresh(given: Readonly<Record<string, number>>): Promise<void> {
  await db.manager().query('DELETE FROM budget_reservations');
  await db.manager().query('DELETE FROM budget_windows');
  await db.manager().query('DELETE FROM limits');
  await db.manager().query('DELETE FROM tenants');
  clock.set(NOW);
  driver = getBudgetReservationDriver(db.manager(), { clock, ids: sequentialIds('r') });
  await insertRows(
    db.manager(),
    makeTenant({ id: 't' }),
    ...Object.entries(given).map(([id, max]) =>
      makeLimit('t', { id, limit_category: 'BUDGET', reset_period: 'MONTHLY', max_value: String(max) }),
    ),
  );
}
const said = (outcome: ReserveOutcome): string =>
  outcome.kind === 'refused'
    ? `refused ${outcome.limitId} ${outcome.remaining}`
    : outcome.kind === 'conflict'
      ? 'conflict'
      : `${outcome.kind} ${outcome.reservation.status}`;
async function alone(limitIds: readonly string[], item: ReserveItem): Promise<string> {
  try {
    const { duplicate, status } = await driver.reserve('t', { limitIds, ...item });
    return `${duplicate ? 'duplicate' : 'granted'} ${status}`;
  } catch (error) {
    if (!HocError.is(error)) throw error;
    return error.code === 'CONFLICT'
      ? 'conflict'
      : `refused ${String(error.details['limitId'])} ${String(error.details['remaining'])}`;
  }
}
async function counters(): Promise<Record<string, readonly [string, string]>> {
  const all: Record<string, readonly [string, string]> = {};
  for (const id of ['a', 'b', 'c']) {
    const state = await driver.fetchWindow('t', id);
    all[id] = [state?.reservedCents ?? '0', state?.spentCents ?? '0'];
  }
  return all;
}
const modelled = (model: Model): unknown =>
  Object.fromEntries(['a', 'b', 'c'].map((id) => [id, [model.reserved[id], model.spent[id]]]));

const batches = fc.array(
  fc.tuple(
    fc.constantFrom(...SETS),
    fc.uniqueArray(fc.record({ key: fc.integer({ min: 0, max: 14 }), amountCents: cents }), {
      selector: ({ key }) => key,
      minLength: 1,
      maxLength: 8,
    }),
  ),
  { minLength: 1, maxLength: 4 },
);
const asItem = ({ key, amountCents }: { key: number; amountCents: DecimalString }): ReserveItem => ({
  idempotencyKey: `k-${key}`,
  amountCents,
});

it('reserveBatch answers as the same reserves made one after the other, and both as the model', async () => {
  await fc.assert(
    fc.asyncProperty(caps, batches, async (limits, calls) => {
      await fresh(limits);
      const model = new Model(limits);
      const expected = calls.map(([ids, items]) => items.map((item) => model.reserve(ids, asItem(item))));
      const batched: string[][] = [];
      for (const [ids, items] of calls)
        batched.push((await driver.reserveBatch('t', ids, items.map(asItem))).map(said));
      const together = await counters();
      await fresh(limits);
      const single: string[][] = [];
      for (const [ids, items] of calls) {
        single.push([]);
        for (const item of items) single.at(-1)?.push(await alone(ids, asItem(item)));
      }
      expect([batched, single, together, await counters()]).toEqual([
        expected,
        expected,
        modelled(model),
        modelled(model),
      ]);
    }),
    { numRuns: 60 },
  );
});

const steps = fc.array(
  fc.oneof(
    fc.record({
      do: fc.constant('reserve' as const),
      key: fc.integer({ min: 0, max: 9 }),
      ids: fc.constantFrom(...SETS),
      amount: cents,
    }),
    fc.record({ do: fc.constant('settle' as const), key: fc.integer({ min: 0, max: 9 }), amount: cents }),
    fc.record({ do: fc.constant('release' as const), key: fc.integer({ min: 0, max: 9 }) }),
    fc.record({ do: fc.constant('expire' as const) }),
  ),
  { minLength: 1, maxLength: 20 },
);

it('any sequence of reserve, settle, release and expire leaves the counters at the sums, as the model', async () => {
  await fc.assert(
    fc.asyncProperty(caps, steps, async (limits, plan) => {
      await fresh(limits);
      const model = new Model(limits);
      const ids = new Map<string, string>();
      for (const step of plan) {
        if (step.do === 'expire') {
          clock.advance(900_000);
          const open = [...model.byKey].filter(([, { status }]) => status === 'RESERVED').map(([key]) => key);
          for (const key of open) model.close(key, 'EXPIRED');
          expect(await driver.expireReservations(scope)).toBe(open.length);
          continue;
        }
        const key = `k-${step.key}`;
        if (step.do === 'reserve') {
          const item = { idempotencyKey: key, amountCents: step.amount };
          const [outcome] = await driver.reserveBatch('t', step.ids, [item]);
          expect(outcome === undefined ? 'none' : said(outcome)).toBe(model.reserve(step.ids, item));
          if (outcome?.kind === 'granted') ids.set(key, outcome.reservation.reservationId);
        } else if (step.do === 'release') {
          expect(await driver.release('t', ids.get(key) ?? 'none')).toBe(model.close(key, 'RELEASED') === 'yes');
        } else {
          expect(await settle(ids.get(key) ?? 'none', step.amount)).toBe(model.close(key, 'SETTLED', step.amount));
        }
      }
      expect(await counters()).toEqual(modelled(model));
      const stored: Reservation[] = [];
      for (const id of ids.values()) {
        const row = await driver.fetchReservation('t', id);
        if (row !== null) stored.push(row);
      }
      expect(stored.map(({ idempotencyKey, status }) => [idempotencyKey, status])).toEqual(
        [...ids.keys()].map((key) => [key, model.byKey.get(key)?.status]),
      );
    }),
    { numRuns: 60 },
  );
});

async function settle(id: string, actual: DecimalString): Promise<string> {
  try {
    return (await driver.settle('t', id, actual)).duplicate ? 'duplicate' : 'yes';
  } catch (error) {
    if (!HocError.is(error)) throw error;
    return error.code === 'NOT_FOUND' ? 'missing' : 'no';
  }
}

it('the outcome of a single reserve is its reservation, or the error that says the same', () => {
  fc.assert(
    fc.property(cents, (remaining) => {
      const refused = (): unknown => reservationOf({ kind: 'refused', limitId: 'a', remaining });
      expect(refused).toThrow(
        expect.objectContaining({ code: 'LIMIT_EXCEEDED', details: { limitId: 'a', remaining } }),
      );
    }),
    { numRuns: 200 },
  );
  expect(() => reservationOf({ kind: 'conflict', reservationId: 'r' })).toThrow(
    expect.objectContaining({ code: 'CONFLICT', details: { reservationId: 'r', reason: 'content' } }),
  );
});
