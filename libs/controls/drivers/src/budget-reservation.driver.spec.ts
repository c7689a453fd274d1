import { BudgetReservationEntity, entities, migrations } from '@hoc/controls/models';
import {
  type BudgetReservationPort,
  LimitNotFoundError,
  RESERVATION_STATUSES,
  type ReserveInput,
} from '@hoc/controls/schemas';
import { ConflictError, InvalidArgumentError, LimitExceededError } from '@hoc/shared/kernel';
import { entities as shared, migrations as sharedMigrations } from '@hoc/shared/models';
import {
  type BuiltRow,
  fixedClock,
  makeLimit,
  makeLimitOverride,
  makeTenant,
  sequentialIds,
} from '@hoc/shared/testing';
import { captureStatements, insertRows, useDatabase } from '@hoc/testkit';
import { BudgetReservationDriver, getBudgetReservationDriver } from './budget-reservation.driver';

const db = useDatabase({ entities: [...shared, ...entities], migrations: [...sharedMigrations, ...migrations] });
const NOW = new Date('2026-03-10T12:00:00.000Z');
const MONTH = new Date('2026-03-01T00:00:00.000Z');
const clock = fixedClock(NOW);
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
const reserved = async (...ids: readonly string[]): Promise<readonly (string | undefined)[]> => {
  const amounts: (string | undefined)[] = [];
  for (const id of ids) amounts.push((await window(id))?.reservedCents);
  return amounts;
};
const ledger = async (): Promise<unknown> => {
  const counts: { n: number }[] = await db
    .manager()
    .query(`SELECT count(*)::int AS n FROM budget_reservations UNION ALL SELECT count(*)::int FROM budget_windows`);
  return counts.map(({ n }) => n);
};
const failure = async (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => 'no error',
    (error: unknown) => error,
  );

beforeEach(async () => {
  clock.set(NOW);
  driver = getBudgetReservationDriver(db.manager(), { clock, ids: sequentialIds('r') });
  await limits(makeTenant({ id: 't1' }), makeTenant({ id: 't2' }));
});

it('is the port that engines are given', () => {
  const port: BudgetReservationPort = driver;
  expect(port).toBeInstanceOf(BudgetReservationDriver);
});

it('the statuses of the schemas are those of the CHECK', async () => {
  const [check]: { definition: string }[] = await db
    .manager()
    .query(
      `SELECT pg_get_constraintdef(oid) AS definition FROM pg_constraint WHERE conname = 'ck_budget_reservations_status'`,
    );
  expect([...(check?.definition ?? '').matchAll(/'([A-Z]+)'/g)].map(([, status]) => status)).toEqual([
    ...RESERVATION_STATUSES,
  ]);
});

describe('reserve', () => {
  it('holds the amount back and gives the reservation, frozen, no entity', async () => {
    await limits(budget('a', '100'));
    const given = await reserve(['a'], '3.50', { idempotencyKey: 'k', runId: 'run-1', ttlSeconds: 60 });
    expect(given).toEqual({
      reservationId: 'r-000001',
      tenantId: 't1',
      limits: [{ limitId: 'a', windowStart: MONTH }],
      runId: 'run-1',
      amountCents: '3.5',
      settledCents: null,
      status: 'RESERVED',
      idempotencyKey: 'k',
      createdAt: NOW,
      expiresAt: new Date('2026-03-10T12:01:00.000Z'),
      duplicate: false,
    });
    expect([given, given.limits, given.limits[0]].map((part) => Object.isFrozen(part))).toEqual([true, true, true]);
    expect(given).not.toBeInstanceOf(BudgetReservationEntity);
    expect(await driver.fetchReservation('t1', 'r-000001')).toEqual(given);
    expect(await window('a')).toEqual({
      windowStart: MONTH,
      capCents: '100',
      reservedCents: '3.5',
      spentCents: '0',
      remainingCents: '96.5',
    });
  });

  it('is one statement, and three the first time in a window', async () => {
    await limits(budget('a', '100'), budget('b', '100'));
    expect(await captureStatements(db.manager(), () => reserve(['a'], '1'))).toHaveLength(3);
    const [sent, ...more] = await captureStatements(db.manager(), () => reserve(['a'], '1'));
    expect([sent?.name, more]).toEqual([expect.stringMatching(/^hoc_reserve_budget_one_/), []]);
    expect(await captureStatements(db.manager(), () => reserve(['b', 'a'], '1'))).toHaveLength(3);
    const [general, ...others] = await captureStatements(db.manager(), () => reserve(['b', 'a'], '1'));
    expect([general?.name, others]).toEqual([expect.stringMatching(/^hoc_reserve_budget_[0-9a-f]{12}$/), []]);
    // One that isn't granted may be a replay: its key is looked up.
    for (const ids of [['a'], ['a', 'b']])
      expect(await captureStatements(db.manager(), () => failure(reserve(ids, '1000')))).toHaveLength(2);
  });

  it('H2-1: all limits grant it or none does; the one with the least left refuses', async () => {
    await limits(
      budget('a', '100'),
      budget('b', '50', { scope: 'PROJECT', scope_id: 'p' }),
      budget('c', '50', { scope: 'AGENT', scope_id: 'ag' }),
    );
    await reserve(['b', 'c', 'a'], '47');
    await reserve(['a'], '48');
    const before = await ledger();
    const error = await failure(reserve(['c', 'a', 'b'], '4'));
    expect([LimitExceededError.is(error), error]).toEqual([
      true,
      expect.objectContaining({ details: { limitId: 'b', remaining: '3' } }),
    ]);
    expect([await ledger(), await reserved('a', 'b', 'c')]).toEqual([before, ['95', '47', '47']]);
    const given = await reserve(['c', 'a', 'b'], '3');
    expect(given.limits.map(({ limitId }) => limitId)).toEqual(['a', 'b', 'c']);
    expect(await reserved('a', 'b', 'c')).toEqual(['98', '50', '50']);
  });

  it('H2-3: each limit counts in its own period', async () => {
    await limits(budget('d', '10', { reset_period: 'DAILY' }), budget('m', '1000'));
    await reserve(['d', 'm'], '10');
    clock.advance(86_400_000);
    await reserve(['d', 'm'], '10');
    expect(await window('d')).toMatchObject({
      windowStart: new Date('2026-03-11T00:00:00.000Z'),
      reservedCents: '10',
      remainingCents: '0',
    });
    expect(await window('m')).toMatchObject({ windowStart: MONTH, reservedCents: '20' });
    expect(await driver.fetchWindow('t1', 'd', NOW)).toMatchObject({
      windowStart: new Date('2026-03-10T00:00:00.000Z'),
      reservedCents: '10',
    });
  });

  it('of limits with as little left, the smaller id refuses, in byte order', async () => {
    await limits(budget('é', '5'), budget('b', '5'), budget('Z', '5'), budget('a', '9'));
    expect(await failure(reserve(['a', 'b', 'Z', 'é'], '6'))).toMatchObject({
      details: { limitId: 'Z', remaining: '5' },
    });
  });

  it('H2-7: limits that cannot be reserved against, and lists that are none', async () => {
    await limits(
      budget('theirs', '100', {}, 't2'),
      budget('off', '100', { status: 'DISABLED' }),
      budget('tokens', '100', { limit_type: 'TOKENS_DAY' }),
      makeLimit('t1', { id: 'threshold' }),
      budget('ok', '100'),
    );
    const missing = await failure(reserve(['ok', 'theirs'], '1'));
    expect([LimitNotFoundError.is(missing), missing]).toEqual([
      true,
      expect.objectContaining({ details: { limitId: 'theirs' } }),
    ]);
    for (const id of ['off', 'tokens', 'threshold']) {
      const error = await failure(reserve(['ok', id], '1'));
      expect([InvalidArgumentError.is(error), error]).toEqual([
        true,
        expect.objectContaining({ details: { field: 'limitIds', reason: 'not_a_budget', limitId: id } }),
      ]);
    }
    for (const ids of [['a', 'b', 'c', 'd', 'e'], ['ok', 'ok'], []])
      expect(await failure(reserve(ids, '1'))).toMatchObject({
        code: 'INVALID_ARGUMENT',
        details: { field: 'limitIds' },
      });
    expect(await ledger()).toEqual([0, 0]);
  });

  describe.each([
    ['alone', []],
    ['beside one with room', ['roomy']],
  ])('a limit %s', (_, beside) => {
    beforeEach(() => limits(budget('roomy', '1000000', { reset_period: 'NONE' })));
    const one = (amountCents: string, given: Partial<ReserveInput> = {}) =>
      reserve(['a', ...beside], amountCents, given);

    it.each([
      ['DAILY', '2026-03-10T00:00:00.000Z'],
      ['WEEKLY', '2026-03-09T00:00:00.000Z'],
      ['MONTHLY', '2026-03-01T00:00:00.000Z'],
      ['NONE', '1970-01-01T00:00:00.000Z'],
    ])('a %s limit counts from %s', async (period, start) => {
      await limits(budget('a', '10', { reset_period: period }));
      expect((await one('1')).limits[0]).toEqual({ limitId: 'a', windowStart: new Date(start) });
      expect(await window('a')).toMatchObject({ windowStart: new Date(start), reservedCents: '1' });
    });

    it('H2-4: an override counts while it is in effect', async () => {
      const end = new Date('2026-03-10T13:00:00.000Z');
      await limits(
        budget('a', '100'),
        makeLimitOverride('t1', 'a', {
          original_value: '100',
          override_value: '200',
          status: 'ACTIVE',
          approved_at: NOW,
          starts_at: NOW,
          expires_at: end,
        }),
      );
      await one('150');
      clock.set(new Date(end.getTime() - 1));
      await one('40');
      expect((await window('a'))?.capCents).toBe('200');
      clock.set(end);
      expect(await failure(one('1'))).toMatchObject({ details: { limitId: 'a', remaining: '0' } });
      expect(await window('a')).toMatchObject({ capCents: '100', reservedCents: '190', remainingCents: '0' });
    });

    it.each([
      ['not yet begun', { status: 'ACTIVE', starts_at: new Date(NOW.getTime() + 1) }],
      ['approved, not active', { status: 'APPROVED', starts_at: NOW }],
    ])('an override that is %s does not count', async (_, given) => {
      await limits(
        budget('a', '100'),
        makeLimitOverride('t1', 'a', {
          original_value: '100',
          override_value: '200',
          approved_at: NOW,
          expires_at: new Date('2026-03-11T00:00:00.000Z'),
          ...given,
        }),
      );
      expect(await failure(one('101'))).toMatchObject({ details: { limitId: 'a', remaining: '100' } });
    });

    it('an override of the next limit does not count', async () => {
      await limits(
        budget('a', '100'),
        budget('a0', '100'),
        makeLimitOverride('t1', 'a0', {
          original_value: '100',
          override_value: '200',
          status: 'ACTIVE',
          approved_at: NOW,
          starts_at: NOW,
          expires_at: new Date('2026-03-11T00:00:00.000Z'),
        }),
      );
      expect(await failure(one('101'))).toMatchObject({ details: { limitId: 'a', remaining: '100' } });
    });

    it('law 10: a limit that was raised above its override counts as it stands', async () => {
      await limits(
        budget('a', '300'),
        makeLimitOverride('t1', 'a', {
          original_value: '100',
          override_value: '200',
          status: 'ACTIVE',
          approved_at: NOW,
          starts_at: NOW,
          expires_at: new Date('2026-03-11T00:00:00.000Z'),
        }),
      );
      expect((await window('a'))?.capCents).toBe('300');
      await one('250');
      expect(await failure(one('51'))).toMatchObject({ details: { limitId: 'a', remaining: '50' } });
      expect(await window('a')).toMatchObject({ capCents: '300', remainingCents: '50' });
    });

    it('an amount of exactly what is left is granted, six decimals deep; zero always fits', async () => {
      await limits(budget('a', '1'));
      await one('0.999999');
      expect(await failure(one('0.000002'))).toMatchObject({ details: { remaining: '0.000001' } });
      await one('0.000001');
      expect((await one('0')).amountCents).toBe('0');
      expect(await window('a')).toMatchObject({ reservedCents: '1', remainingCents: '0' });
    });

    it('a limit that shrank below what it gave away refuses, with nothing left', async () => {
      await limits(budget('a', '100'));
      await one('80');
      await db.manager().query(`UPDATE limits SET max_value = 50 WHERE tenant_id = 't1' AND id = 'a'`);
      expect(await failure(one('1'))).toMatchObject({ details: { remaining: '0' } });
      expect(await window('a')).toMatchObject({ capCents: '50', remainingCents: '0' });
    });

    it('a limit is hard here whatever its enforcement says, and holds no run to be known', async () => {
      await limits(budget('a', '10', { enforcement: 'WARN' }));
      await one('10', { runId: 'never seen' });
      expect(LimitExceededError.is(await failure(one('1')))).toBe(true);
    });

    it('is not there, another tenant’s, or none to reserve against: nothing is written', async () => {
      await limits(budget('a', '100', {}, 't2'), budget('a0', '100'));
      const missing = await failure(one('1'));
      expect([LimitNotFoundError.is(missing), missing]).toEqual([
        true,
        expect.objectContaining({ details: { limitId: 'a' } }),
      ]);
      await limits(budget('a', '100'));
      await one('1');
      for (const change of [
        `status = 'DISABLED'`,
        `status = 'ACTIVE', limit_type = 'TOKENS_DAY'`,
        `limit_type = 'COST_CENTS', limit_category = 'THRESHOLD'`,
      ]) {
        await db.manager().query(`UPDATE limits SET ${change} WHERE tenant_id = 't1' AND id = 'a'`);
        expect(await failure(one('1'))).toMatchObject({
          code: 'INVALID_ARGUMENT',
          details: { field: 'limitIds', reason: 'not_a_budget', limitId: 'a' },
        });
      }
      expect(await ledger()).toEqual([1, 1 + beside.length]);
    });

    it('answers a replay by its key, and what is stored otherwise is a conflict', async () => {
      await limits(budget('a', '100'));
      const first = await one('60', { idempotencyKey: 'k' });
      expect(await one('60.0', { idempotencyKey: 'k' })).toEqual({ ...first, duplicate: true });
      expect(await failure(one('1', { idempotencyKey: 'k' }))).toMatchObject({
        code: 'CONFLICT',
        details: { reservationId: first.reservationId, reason: 'content' },
      });
      expect([await reserved('a'), await ledger()]).toEqual([['60'], [1, 1 + beside.length]]);
    });
  });
});

describe('replays', () => {
  beforeEach(() => limits(budget('a', '100'), budget('b', '100')));

  it('the same content is the first reservation, whatever its order, form and ttl', async () => {
    const first = await reserve(['a', 'b'], '10', { idempotencyKey: 'k', runId: 'r' });
    const again = await reserve(['b', 'a'], '10.00', { idempotencyKey: 'k', runId: 'r', ttlSeconds: 5 });
    expect(again).toEqual({ ...first, duplicate: true });
    expect(await reserved('a', 'b')).toEqual(['10', '10']);
  });

  it.each<[string, Partial<ReserveInput>]>([
    ['another amount', { amountCents: '11' }],
    ['another limit', { limitIds: ['a'] }],
    ['a further limit', { limitIds: ['a', 'b', 'c'] }],
    ['another run', { runId: 's' }],
    ['no run', {}],
  ])('%s is a conflict, and the first stands', async (_, given) => {
    await limits(budget('c', '100'));
    const { runId = 'r', ...rest } = given;
    const first = await reserve(['a', 'b'], '10', { idempotencyKey: 'k', runId: 'r' });
    const error = await failure(
      driver.reserve('t1', {
        ...ask(['a', 'b'], '10', { idempotencyKey: 'k', ...rest }),
        ...(Object.keys(given).length === 0 ? {} : { runId }),
      }),
    );
    expect([ConflictError.is(error), error]).toEqual([
      true,
      expect.objectContaining({ details: { reservationId: first.reservationId, reason: 'content' } }),
    ]);
    expect([await driver.fetchReservation('t1', first.reservationId), await reserved('a', 'b')]).toEqual([
      first,
      ['10', '10'],
    ]);
  });

  it('is answered when the budget is exhausted, the limit disabled, the period over', async () => {
    const first = await reserve(['a'], '100', { idempotencyKey: 'k' });
    await db.manager().query(`UPDATE limits SET status = 'DISABLED'`);
    clock.advance(40 * 86_400_000);
    expect(await reserve(['a'], '100', { idempotencyKey: 'k' })).toEqual({ ...first, duplicate: true });
  });

  it('two tenants may use one key', async () => {
    await limits(budget('a', '100', {}, 't2'));
    await reserve(['a'], '10', { idempotencyKey: 'k' });
    const theirs = await driver.reserve('t2', ask(['a'], '20', { idempotencyKey: 'k' }));
    expect([theirs.duplicate, (await driver.fetchWindow('t2', 'a'))?.reservedCents]).toEqual([false, '20']);
    expect(await reserved('a')).toEqual(['10']);
  });
});

describe('reserveBatch', () => {
  const items = (...amounts: readonly string[]) =>
    amounts.map((amountCents, n) => ({ amountCents, idempotencyKey: `b-${n}` }));
  const kinds = async (...amounts: readonly string[]): Promise<unknown> =>
    (await driver.reserveBatch('t1', ['a'], items(...amounts))).map((outcome) =>
      outcome.kind === 'refused' ? outcome.remaining : outcome.kind,
    );

  it('decides in the order of arrival; a refused item does not refuse a later, smaller one', async () => {
    await limits(budget('a', '10'));
    expect(await kinds('6', '7', '4', '1')).toEqual(['granted', '4', 'granted', '0']);
    expect(await reserved('a')).toEqual(['10']);
  });

  it('answers stored keys where they stand, and counts nothing for them', async () => {
    await limits(budget('a', '10'));
    const first = await reserve(['a'], '6', { idempotencyKey: 'b-0' });
    await reserve(['a'], '0.5', { idempotencyKey: 'b-2' });
    const outcomes = await driver.reserveBatch('t1', ['a'], items('6', '3', '1', '0.5'));
    expect(outcomes).toEqual([
      { kind: 'duplicate', reservation: { ...first, duplicate: true } },
      { kind: 'granted', reservation: expect.objectContaining({ amountCents: '3', duplicate: false }) },
      { kind: 'conflict', reservationId: 'r-000002' },
      { kind: 'granted', reservation: expect.objectContaining({ amountCents: '0.5' }) },
    ]);
    expect([await reserved('a'), Object.isFrozen(outcomes), outcomes.every((each) => Object.isFrozen(each))]).toEqual([
      ['10'],
      true,
      true,
    ]);
  });

  it('the largest batch: its keys, one statement, and the keys of what was refused', async () => {
    await limits(budget('a', '100'), budget('b', '600'));
    await reserve(['a', 'b'], '0');
    const many = items(...Array.from({ length: 1000 }, (_, n) => (n % 2 === 0 ? '1' : '2')));
    const sent = await captureStatements(db.manager(), async () => {
      const outcomes = await driver.reserveBatch('t1', ['b', 'a'], many);
      expect(outcomes.filter(({ kind }) => kind === 'granted')).toHaveLength(67);
      expect(outcomes.at(-1)).toEqual({ kind: 'refused', limitId: 'a', remaining: '0' });
    });
    const labels = sent.map(({ name }) => name?.replace(/_[0-9a-f]{12}$/, ''));
    expect([labels, await reserved('a', 'b')]).toEqual([
      [undefined, 'hoc_reserve_budget', undefined],
      ['100', '100'],
    ]);
  });

  it('a limit that fails, fails the whole call; replays alone are answered all the same', async () => {
    await limits(budget('a', '10'));
    await reserve(['a'], '1', { idempotencyKey: 'b-0' });
    await db.manager().query(`UPDATE limits SET status = 'DISABLED'`);
    expect(await failure(driver.reserveBatch('t1', ['a'], items('1', '1')))).toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
    expect(await kinds('1')).toEqual(['duplicate']);
    expect(await ledger()).toEqual([1, 1]);
  });

  it('a batch of replays waits for nobody: it takes no lock', async () => {
    await limits(budget('a', '10'));
    await kinds('1', '2');
    await db.manager().query('SAVEPOINT s');
    const [{ before }] = await db.manager().query(`SELECT xmax::text AS before FROM budget_windows`);
    expect(await kinds('1', '2')).toEqual(['duplicate', 'duplicate']);
    const [{ after }] = await db.manager().query(`SELECT xmax::text AS after FROM budget_windows`);
    expect(after).toBe(before);
  });
});
