import { entities, migrations } from '@hoc/controls/models';
import type { Reservation, ReserveInput, ReserveOutcome } from '@hoc/controls/schemas';
import { type DecimalString, LimitExceededError, systemScope } from '@hoc/shared/kernel';
import { entities as shared, migrations as sharedMigrations } from '@hoc/shared/models';
import { fixedClock, makeLimit, makeTenant, sequentialIds } from '@hoc/shared/testing';
import { insertRows, useFreshDatabase, waitFor } from '@hoc/testkit';
import type { DataSource, EntityManager, QueryRunner } from 'typeorm';
import { type BudgetReservationDriver, getBudgetReservationDriver } from './budget-reservation.driver';

const NOW = new Date('2026-03-10T12:00:00.000Z');
const PATIENCE_MS = 60_000;
const scope = systemScope('test');
const clock = fixedClock(NOW);
const db = useFreshDatabase({ entities: [...shared, ...entities], migrations: [...sharedMigrations, ...migrations] });

let ids = sequentialIds('r');
const on = (manager: EntityManager): BudgetReservationDriver => getBudgetReservationDriver(manager, { clock, ids });
const item = (idempotencyKey: string, amountCents: string) => ({ idempotencyKey, amountCents });
const ask = (limitIds: readonly string[], amountCents: string, idempotencyKey: string): ReserveInput => ({
  limitIds,
  ...item(idempotencyKey, amountCents),
});
const times = <T>(n: number, make: (at: number) => T): readonly T[] => Array.from({ length: n }, (_, at) => make(at));
/** A pool on which `n` calls at once have a connection each. */
async function pool(n: number): Promise<DataSource> {
  const [source] = await db.connections(1, { max: n });
  return source as DataSource;
}
const budgets = (...caps: readonly (readonly [string, string])[]): Promise<void> =>
  insertRows(
    db.dataSource().manager,
    makeTenant({ id: 't' }),
    ...caps.map(([id, max_value]) =>
      makeLimit('t', { id, limit_category: 'BUDGET', reset_period: 'MONTHLY', max_value }),
    ),
  );
const windowOf = async (limitId: string): Promise<readonly [string, string]> => {
  const state = await on(db.dataSource().manager).fetchWindow('t', limitId);
  return [state?.reservedCents ?? 'none', state?.spentCents ?? 'none'];
};
async function begin(source: DataSource, isolation?: 'REPEATABLE READ'): Promise<QueryRunner> {
  const runner = source.createQueryRunner();
  await runner.startTransaction(isolation);
  return runner;
}
async function end(runner: QueryRunner, how: 'commitTransaction' | 'rollbackTransaction'): Promise<void> {
  await runner[how]();
  await runner.release();
}
/** `n` sessions of this database wait for a lock. */
const waiting = (n: number): Promise<boolean> =>
  waitFor(
    async () => {
      const [row]: { n: number }[] = await db
        .dataSource()
        .query(
          `SELECT count(DISTINCT pid)::int AS n FROM pg_locks WHERE NOT granted AND pid IN (SELECT pid FROM pg_stat_activity WHERE datname = current_database())`,
        );
      return row !== undefined && row.n >= n;
    },
    `${n} sessions wait`,
    PATIENCE_MS,
  );

/** One snapshot of both tables: windows whose counters are not the sums over the ledger, or above the cap. */
const BROKEN = `
  SELECT w.limit_id, w.reserved, w.spent, l.max_value, s.held, s.settled
  FROM budget_windows w JOIN limits l ON l.tenant_id = w.tenant_id AND l.id = w.limit_id
  CROSS JOIN LATERAL (
    SELECT COALESCE(sum(r.amount) FILTER (WHERE r.status = 'RESERVED'), 0) AS held, COALESCE(sum(r.settled_amount), 0) AS settled
    FROM budget_reservations r, unnest(r.limit_ids, r.window_starts) AS u(limit_id, window_start)
    WHERE r.tenant_id = w.tenant_id AND u.limit_id = w.limit_id AND u.window_start = w.window_start
  ) AS s
  WHERE w.reserved <> s.held OR w.spent <> s.settled OR w.reserved + w.spent > l.max_value`;

/** Runs `work` while a connection of its own compares counters and ledger at every commit that it can see. */
async function watched(work: () => Promise<unknown>): Promise<void> {
  let over = false;
  let looks = 0;
  const checker = (async (): Promise<void> => {
    for (; !over || looks < 2; looks += 1) expect(await db.dataSource().query(BROKEN)).toEqual([]);
  })();
  try {
    await work();
  } finally {
    over = true;
    await checker;
  }
  expect(await db.dataSource().query(BROKEN)).toEqual([]);
}

beforeEach(() => {
  clock.set(NOW);
  ids = sequentialIds('r');
});

it('H2-2: 50 connections on one limit grant what fits, and each refusal knows the rest', async () => {
  await budgets(['a', '100']);
  const source = await pool(50);
  const answers = await Promise.allSettled(
    times(50, (n) => on(source.manager).reserve('t', ask(['a'], '3', `k-${n}`))),
  );
  const refused = answers.filter((answer): answer is PromiseRejectedResult => answer.status === 'rejected');
  expect(answers.length - refused.length).toBe(33);
  for (const { reason } of refused)
    expect([LimitExceededError.is(reason), reason]).toEqual([
      true,
      expect.objectContaining({ details: { limitId: 'a', remaining: '1' } }),
    ]);
  expect(await windowOf('a')).toEqual(['99', '0']);
});

it('G.1: random subsets of four limits, half of them inside a transaction: no dead lock, ledger = counters ≤ cap', async () => {
  const limits = ['a', 'b', 'c', 'd'];
  const caps = { a: 900, b: 700, c: 500, d: 300 };
  await budgets(...Object.entries(caps).map(([id, cap]) => [id, String(cap)] as const));
  const source = await pool(50);
  let seed = 7;
  const random = (below: number): number => (seed = (seed * 48_271) % 2_147_483_647) % below;
  const granted: Reservation[] = [];
  const charge = async (key: string): Promise<void> => {
    const subset = limits.filter(() => random(2) === 0);
    const input = ask(subset.length === 0 ? ['d', 'a'] : subset.reverse(), String(1 + random(9)), key);
    const work = (manager: EntityManager): Promise<Reservation> => on(manager).reserve('t', input);
    try {
      granted.push(await (random(2) === 0 ? work(source.manager) : source.transaction(work)));
    } catch (error) {
      expect([LimitExceededError.is(error), error]).toEqual([true, error]);
    }
  };
  await watched(() =>
    Promise.all(
      times(50, async (caller) => {
        for (let n = 0; n < 12; n += 1) await charge(`k-${caller}-${n}`);
      }),
    ),
  );
  const [{ n }]: [{ n: number }] = await source.query('SELECT count(*)::int AS n FROM budget_reservations');
  expect([n, granted.some(({ duplicate }) => duplicate)]).toEqual([granted.length, false]);
  for (const [id, cap] of Object.entries(caps)) {
    const sum = granted
      .filter(({ limits: of }) => of.some(({ limitId }) => limitId === id))
      .reduce((total, { amountCents }) => total + Number(amountCents), 0);
    expect([id, await windowOf(id), sum <= cap]).toEqual([id, [String(sum), '0'], true]);
  }
});

it.each([
  ['one limit', ['a']],
  ['two', ['a', 'b']],
])('G.1: one idempotency key by 30 callers on %s: one granted, 29 duplicates, counted once', async (_, limitIds) => {
  const source = await pool(31);
  for (let round = 0; round < 3; round += 1) {
    await db.dataSource().query('TRUNCATE tenants CASCADE');
    await budgets(['a', '10'], ['b', '100']);
    await on(source.manager).reserve('t', ask(['b', 'a'], '0', 'opens the windows'));
    // All of them have looked the key up, and found nothing, before the first can store it.
    const holder = await begin(source);
    await holder.query(`SELECT 1 FROM budget_windows WHERE limit_id = 'a' FOR UPDATE`);
    const calls = times(30, () => on(source.manager).reserve('t', ask(limitIds, '7', 'one')));
    await waiting(30);
    await end(holder, 'commitTransaction');
    const answers = await Promise.all(calls);
    expect(new Set(answers.map(({ reservationId }) => reservationId)).size).toBe(1);
    expect(answers.filter(({ duplicate }) => !duplicate)).toHaveLength(1);
    for (const id of limitIds) expect(await windowOf(id)).toEqual(['7', '0']);
  }
});

it('G.1: first reservations of windows that are not there yet, overlapping sets: no error, one row each', async () => {
  const source = await pool(30);
  const sets = [['a'], ['b', 'c'], ['c', 'a'], ['d', 'b', 'a'], ['d', 'c', 'b', 'a']];
  for (let round = 0; round < 3; round += 1) {
    await db.dataSource().query('TRUNCATE tenants CASCADE');
    await budgets(['a', '1000'], ['b', '1000'], ['c', '1000'], ['d', '1000']);
    await watched(() =>
      Promise.all(
        times(30, (n) => {
          const work = (manager: EntityManager): Promise<Reservation> =>
            on(manager).reserve('t', ask(sets[n % sets.length] ?? [], '1', `k-${n}`));
          return n % 2 === 0 ? work(source.manager) : source.transaction(work);
        }),
      ),
    );
    const rows: unknown[] = await source.query('SELECT limit_id, reserved::int FROM budget_windows ORDER BY 1');
    expect(rows).toEqual([
      { limit_id: 'a', reserved: 24 },
      { limit_id: 'b', reserved: 18 },
      { limit_id: 'c', reserved: 18 },
      { limit_id: 'd', reserved: 12 },
    ]);
  }
});

it('G.1: settle, release, expire and reserve on the same windows: counters = sums, each reservation closed once', async () => {
  await budgets(['a', '10000'], ['b', '10000'], ['c', '10000']);
  const source = await pool(32);
  const sets = [['a'], ['b', 'a'], ['c', 'b'], ['c', 'b', 'a']];
  const open: Reservation[] = [];
  for (let n = 0; n < 60; n += 1)
    open.push(
      await on(source.manager).reserve('t', {
        ...ask(sets[n % 4] ?? [], '5', `k-${n}`),
        ttlSeconds: n % 3 === 0 ? 1 : 900,
      }),
    );
  clock.advance(1000);
  const settled = new Map<string, number>();
  const released = new Map<string, number>();
  let expired = 0;
  const add = (to: Map<string, number>, id: string): void => void to.set(id, (to.get(id) ?? 0) + 1);
  const close = async (id: string, how: number): Promise<void> => {
    const driver = on(source.manager);
    if (how === 0) {
      if (await driver.release('t', id)) add(released, id);
      return;
    }
    try {
      if (!(await driver.settle('t', id, '4')).duplicate) add(settled, id);
    } catch (error) {
      expect(error).toMatchObject({ code: 'CONFLICT', details: { status: 'RELEASED' } });
    }
  };
  await watched(() =>
    Promise.all([
      ...times(28, async (worker) => {
        for (let n = 0; n < open.length; n += 1) {
          const at = (n * 7 + worker * 11) % open.length;
          await close(open[at]?.reservationId ?? '', (worker + at) % 3);
          if (n % 15 === 0) await on(source.manager).reserve('t', ask(sets[n % 4] ?? [], '1', `new-${worker}-${n}`));
        }
      }),
      ...times(4, async () => {
        for (let n = 0; n < 5; n += 1) expired += await on(source.manager).expireReservations(scope, 3);
      }),
    ]),
  );
  const rows: { id: string; status: string }[] = await source.query(
    `SELECT id, status FROM budget_reservations WHERE idempotency_key NOT LIKE 'new-%'`,
  );
  for (const { id, status } of rows) {
    const closings = [settled.get(id) ?? 0, released.get(id) ?? 0];
    expect([id, status, closings]).toEqual([id, status, status === 'SETTLED' ? [1, 0] : [0, 1]]);
  }
  expect(expired).toBeLessThanOrEqual(20);
});

it('H2-6: four connections expire together; each reservation is counted once, and may be settled late', async () => {
  await budgets(['a', '1000']);
  const source = await pool(4);
  const { reservationId: id } = await on(source.manager).reserve('t', { ...ask(['a'], '10', 'k'), ttlSeconds: 60 });
  clock.advance(60_000);
  const numbers = await Promise.all(times(4, () => on(source.manager).expireReservations(scope)));
  expect([numbers.reduce((a, b) => a + b, 0), await windowOf('a')]).toEqual([1, ['0', '0']]);
  expect(await on(source.manager).settle('t', id, '7')).toMatchObject({ status: 'SETTLED', duplicate: false });
  expect(await windowOf('a')).toEqual(['0', '7']);
});

it('many expiry jobs at once share the work', async () => {
  await budgets(['a', '1000'], ['b', '1000']);
  const source = await pool(6);
  const items = times(120, (n) => ({ ...item(`k-${n}`, '1'), ttlSeconds: 1 + (n % 5) }));
  await on(source.manager).reserveBatch('t', ['b', 'a'], items);
  clock.advance(5000);
  const job = async (): Promise<number> => {
    for (let sum = 0; ;) {
      const ended = await on(source.manager).expireReservations(scope, 7);
      if (ended === 0) return sum;
      sum += ended;
    }
  };
  let sums: readonly number[] = [];
  await watched(async () => {
    sums = await Promise.all(times(6, job));
  });
  const left = await on(source.manager).expireReservations(scope);
  expect([sums.reduce((a, b) => a + b, 0) + left, await windowOf('a'), await windowOf('b')]).toEqual([
    120,
    ['0', '0'],
    ['0', '0'],
  ]);
});

describe('a key that another connection takes while the batch runs', () => {
  const kinds = (outcomes: readonly ReserveOutcome[]): unknown =>
    outcomes.map((outcome) => (outcome.kind === 'refused' ? outcome.remaining : outcome.kind));

  it.each([
    [
      'commits: what was refused behind it is decided again',
      'commitTransaction',
      ['conflict', 'granted', 'granted', '0'],
    ],
    ['rolls back: the first decision stands', 'rollbackTransaction', ['granted', '4', 'granted', '1']],
  ] as const)('and %s', async (_, how, expected) => {
    await budgets(['a', '10'], ['x', '10']);
    const source = await pool(3);
    await on(source.manager).reserve('t', ask(['a', 'x'], '0', 'opens the windows'));
    const other = await begin(source);
    await on(other.manager).reserve('t', ask(['x'], '1', 'p'));
    const batch = on(source.manager).reserveBatch(
      't',
      ['a'],
      [item('p', '6'), item('q', '7'), item('r', '3'), item('s', '2')],
    );
    await waiting(1);
    await end(other, how);
    expect(kinds(await batch)).toEqual(expected);
    expect(await windowOf('a')).toEqual([how === 'commitTransaction' ? '10' : '9', '0']);
  });

  it('in opposite orders, against different limits: no dead lock, one batch gets them all', async () => {
    await budgets(['a', '100'], ['b', '100'], ['x', '100']);
    const source = await pool(4);
    await on(source.manager).reserve('t', ask(['a', 'b', 'x'], '0', 'opens the windows'));
    const other = await begin(source);
    await on(other.manager).reserve('t', ask(['x'], '1', 'm'));
    // Whoever took its first key before waiting for `m` would hold what the other needs next.
    const items = ['p', 'm', 'q'].map((key) => item(key, '1'));
    const batches = [
      on(source.manager).reserveBatch('t', ['a'], items),
      on(source.manager).reserveBatch('t', ['b'], [...items].reverse()),
    ];
    await waiting(2);
    await end(other, 'rollbackTransaction');
    const answers = (await Promise.all(batches)).map(kinds);
    expect(answers).toContainEqual(['granted', 'granted', 'granted']);
    expect(answers).toContainEqual(['conflict', 'conflict', 'conflict']);
    expect(await source.query(BROKEN)).toEqual([]);
  });
});

describe.each([
  ['one limit', ['a']],
  ['two', ['a', 'b']],
])('against %s', (_, limitIds) => {
  const reserve = (manager: EntityManager, amountCents: string, key: string) =>
    on(manager).reserve('t', ask(limitIds, amountCents, key));
  beforeEach(() => budgets(['a', '10'], ['b', '100']));

  it('a cap that changes while the call waits for the window counts from the next call on', async () => {
    const source = await pool(3);
    await reserve(source.manager, '1', 'opens the window');
    const holder = await begin(source);
    await reserve(holder.manager, '2', 'first');
    const call = reserve(source.manager, '7', 'second');
    await waiting(1);
    await db.dataSource().query(`UPDATE limits SET max_value = 5`);
    await end(holder, 'commitTransaction');
    expect((await call).amountCents).toBe('7');
    await expect(reserve(source.manager, '1', 'third')).rejects.toMatchObject({ details: { remaining: '0' } });
    expect(await windowOf('a')).toEqual(['10', '0']);
  });

  it('what another took while the call waited counts', async () => {
    const source = await pool(3);
    await reserve(source.manager, '1', 'opens the window');
    const holder = await begin(source);
    await reserve(holder.manager, '4', 'first');
    const call = reserve(source.manager, '6', 'second');
    await waiting(1);
    await end(holder, 'commitTransaction');
    await expect(call).rejects.toMatchObject({ details: { limitId: 'a', remaining: '5' } });
    expect(await windowOf('a')).toEqual(['5', '0']);
  });

  it('a key that another connection takes while the call runs is answered as that, and counted once', async () => {
    const source = await pool(3);
    await reserve(source.manager, '1', 'opens the window');
    await insertRows(
      db.dataSource().manager,
      makeLimit('t', { id: 'x', limit_category: 'BUDGET', reset_period: 'MONTHLY', max_value: '10' }),
    );
    const other = await begin(source);
    await on(other.manager).reserve('t', ask(['x'], '1', 'k'));
    const call = reserve(source.manager, '1', 'k');
    await waiting(1);
    await end(other, 'commitTransaction');
    await expect(call).rejects.toMatchObject({ code: 'CONFLICT', details: { reason: 'content' } });
    expect(await windowOf('a')).toEqual(['1', '0']);
  });

  it('in REPEATABLE READ a reserve that met another fails as one to run again, and leaves nothing', async () => {
    const source = await pool(3);
    await reserve(source.manager, '1', 'opens the window');
    const runner = await begin(source, 'REPEATABLE READ');
    await runner.query('SELECT 1 FROM budget_windows');
    await reserve(source.manager, '1', 'meanwhile');
    await expect(reserve(runner.manager, '1', 'late')).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      retryable: true,
      details: { reason: 'serialization' },
    });
    await end(runner, 'rollbackTransaction');
    expect(await windowOf('a')).toEqual(['2', '0']);
  });
});

it('two settles of one reservation at once: one of them does it', async () => {
  await budgets(['a', '10'], ['b', '10']);
  const source = await pool(4);
  for (let round = 0; round < 10; round += 1) {
    const { reservationId: id } = await on(source.manager).reserve('t', ask(['a', 'b'], '1', `k-${round}`));
    const actual: DecimalString = '0.5';
    const answers = await Promise.all(times(4, () => on(source.manager).settle('t', id, actual)));
    expect(answers.filter(({ duplicate }) => !duplicate)).toHaveLength(1);
  }
  expect([await windowOf('a'), await windowOf('b')]).toEqual([
    ['0', '5'],
    ['0', '5'],
  ]);
});
