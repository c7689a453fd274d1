import {
  CHARGE_MAX_IN_FLIGHT,
  LimitNotFoundError,
  type Reservation,
  type ReserveInput,
  type ReserveItem,
  type ReserveOutcome,
} from '@hoc/controls/schemas';
import {
  addDecimal,
  compareDecimal,
  ConflictError,
  type DecimalString,
  HocError,
  InvalidArgumentError,
  LimitExceededError,
  subtractDecimal,
  TenantScopeError,
  UnavailableError,
} from '@hoc/shared/kernel';
import fc from 'fast-check';
import { type ChargeCoalescer, type ChargeEngines, createChargeCoalescer } from './charge-coalescer.engine';

const AT = new Date('2026-03-10T12:00:00.000Z');
const decimal = (text: string | number): DecimalString => String(text) as DecimalString;
const bad = (value: unknown): never => value as never;

/** A ledger in memory that decides as the driver does: in order, one item after the other. */
class Ledger {
  readonly batches: { readonly limitIds: readonly string[]; readonly keys: readonly string[] }[] = [];
  readonly stored = new Map<string, { readonly reservation: Reservation; readonly limits: string }>();
  reserved = decimal(0);

  constructor(readonly cap: DecimalString) {}

  reserveBatch(
    tenantId: string,
    limitIds: readonly string[],
    items: readonly ReserveItem[],
  ): readonly ReserveOutcome[] {
    if (limitIds.includes('missing')) throw new LimitNotFoundError('missing');
    this.batches.push({ limitIds, keys: items.map((item) => item.idempotencyKey) });
    return items.map((item) => this.decide(tenantId, limitIds, item));
  }

  private decide(tenantId: string, limitIds: readonly string[], item: ReserveItem): ReserveOutcome {
    const { amountCents, idempotencyKey, runId = null } = item;
    const known = this.stored.get(idempotencyKey);
    if (known !== undefined) {
      const { reservation, limits } = known;
      return reservation.amountCents === amountCents && reservation.runId === runId && limits === limitIds.join()
        ? { kind: 'duplicate', reservation: { ...reservation, duplicate: true } }
        : { kind: 'conflict', reservationId: reservation.reservationId };
    }
    const remaining = subtractDecimal(this.cap, this.reserved);
    if (compareDecimal(amountCents, remaining) > 0) return { kind: 'refused', limitId: limitIds[0] ?? '', remaining };
    this.reserved = addDecimal(this.reserved, amountCents);
    const reservation: Reservation = {
      reservationId: `r-${this.stored.size + 1}`,
      tenantId,
      limits: limitIds.map((limitId) => ({ limitId, windowStart: new Date(AT) })),
      runId,
      amountCents,
      settledCents: null,
      status: 'RESERVED',
      idempotencyKey,
      createdAt: new Date(AT),
      expiresAt: new Date(AT),
      duplicate: false,
    };
    this.stored.set(idempotencyKey, { reservation, limits: limitIds.join() });
    return { kind: 'granted', reservation };
  }
}

/** Transactions that the test lets end one by one, or all as they come. */
class Transactions {
  open = 0;
  most = 0;
  private readonly gates: (() => void)[] = [];
  held = false;
  failure: unknown;

  constructor(private readonly ledger: Ledger) {}

  readonly run = async <T>(work: (engines: ChargeEngines) => Promise<T>): Promise<T> => {
    this.open += 1;
    this.most = Math.max(this.most, this.open);
    try {
      if (this.held) await new Promise<void>((resolve) => this.gates.push(resolve));
      else await Promise.resolve();
      if (this.failure !== undefined) {
        const failure = this.failure;
        this.failure = undefined;
        throw failure;
      }
      return await work({
        reservations: { reserveBatch: async (...args) => this.ledger.reserveBatch(...args) },
      });
    } finally {
      this.open -= 1;
    }
  };
  release(): void {
    this.gates.shift()?.();
  }
  releaseAll(): void {
    this.held = false;
    this.gates.splice(0).forEach((gate) => gate());
  }
}

function made(cap: string | number, options: object = {}) {
  const ledger = new Ledger(decimal(cap));
  const transactions = new Transactions(ledger);
  return { ledger, transactions, coalescer: createChargeCoalescer(transactions.run, options) };
}
const charge = (amount: string | number, key: string, limitIds: readonly string[] = ['a']): ReserveInput => ({
  limitIds,
  amountCents: decimal(amount),
  idempotencyKey: key,
});
/** What a caller hears, in a line. */
const heard = (answer: Promise<Reservation>): Promise<string> =>
  answer.then(
    ({ duplicate, reservationId }) => `${duplicate ? 'duplicate' : 'granted'} ${reservationId}`,
    (error: unknown) => {
      if (LimitExceededError.is(error)) return `refused ${String(error.details['remaining'])}`;
      if (ConflictError.is(error)) return 'conflict';
      return HocError.is(error) ? `${error.name} ${String(error.details['reason'] ?? '')}` : 'unknown';
    },
  );
const all = (coalescer: ChargeCoalescer, charges: readonly ReserveInput[]): Promise<string[]> =>
  Promise.all(charges.map((input) => heard(coalescer.reserve('t1', input))));
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

it('C1: decides in order of arrival; a refused charge refuses none behind it; one statement', async () => {
  const { coalescer, ledger } = made(10);
  expect(await all(coalescer, [charge(6, 'a'), charge(7, 'b'), charge(4, 'c'), charge(1, 'd')])).toEqual([
    'granted r-1',
    'refused 4',
    'granted r-2',
    'refused 0',
  ]);
  expect([ledger.batches.length, ledger.reserved]).toEqual([1, '10']);
});

it('C2: the same key and content share an answer; other content waits for the next statement', async () => {
  const { coalescer, ledger } = made(10);
  expect(await all(coalescer, [charge(6, 'p'), charge('6.0', 'p'), charge(5, 'p'), charge(4, 'q')])).toEqual([
    'granted r-1',
    'duplicate r-1',
    'conflict',
    'granted r-2',
  ]);
  expect([ledger.batches.map(({ keys }) => keys), ledger.reserved]).toEqual([[['p'], ['p', 'q']], '10']);
});

it.each(['granted', 'stored'])('C2: an answer that callers share, %s: each has instants of its own', async (kind) => {
  const { coalescer } = made(100);
  if (kind === 'stored') await coalescer.reserve('t1', charge(1, 'k'));
  const [first, ...others] = await Promise.all([1, 2, 3].map(() => coalescer.reserve('t1', charge(1, 'k'))));
  first?.createdAt.setTime(0);
  first?.expiresAt.setTime(0);
  first?.limits[0]?.windowStart.setTime(0);
  for (const other of others)
    expect([other.createdAt, other.expiresAt, other.limits[0]?.windowStart]).toEqual([AT, AT, AT]);
  const instants = others.flatMap(({ createdAt, expiresAt, limits }) => [createdAt, expiresAt, limits[0]?.windowStart]);
  expect(new Set(instants).size).toBe(6);
});

it('C2: the same key and content share a refusal; a smaller one under that key is decided anew', async () => {
  const { coalescer, ledger } = made(5);
  expect(await all(coalescer, [charge(6, 'p'), charge(6, 'p'), charge(5, 'p')])).toEqual([
    'refused 5',
    'refused 5',
    'granted r-1',
  ]);
  expect(ledger.batches).toHaveLength(2);
});

it('C3: a stored key is a duplicate for its caller alone, and costs nothing', async () => {
  const { coalescer } = made(10);
  await coalescer.reserve('t1', charge(6, 'p'));
  expect(await all(coalescer, [charge(6, 'p'), charge(0, 'q'), charge('0.000001', 'r'), charge(4, 's')])).toEqual([
    'duplicate r-1',
    'granted r-2',
    'granted r-3',
    'refused 3.999999',
  ]);
});

it('C4: a full queue refuses, retryable; when the batch is through the call is taken', async () => {
  const { coalescer, transactions } = made(10, { maxQueue: 2 });
  transactions.held = true;
  const first = heard(coalescer.reserve('t1', charge(1, 'a')));
  await turn();
  const second = heard(coalescer.reserve('t1', charge(1, 'b')));
  expect([transactions.open, coalescer.pending]).toEqual([1, 2]);
  await expect(coalescer.reserve('t1', charge(1, 'c'))).rejects.toMatchObject({
    code: 'UNAVAILABLE',
    retryable: true,
    details: { reason: 'queue_full' },
  });
  expect(coalescer.pending).toBe(2);
  transactions.releaseAll();
  expect(await Promise.all([first, second])).toEqual(['granted r-1', 'granted r-2']);
  expect(await heard(coalescer.reserve('t1', charge(1, 'c')))).toBe('granted r-3');
  expect(coalescer.pending).toBe(0);
});

it('C5: close decides what waits, takes nothing more, and gives the same promise each time', async () => {
  const { coalescer, transactions } = made(100);
  transactions.held = true;
  const early = all(coalescer, [charge(1, 'a'), charge(1, 'b', ['a', 'b'])]);
  await turn();
  const waiting = all(coalescer, [charge(1, 'c'), charge(1, 'd', ['b', 'a']), charge(1, 'e')]);
  const closing = coalescer.close();
  expect(coalescer.close()).toBe(closing);
  await expect(coalescer.reserve('t1', charge(1, 'f'))).rejects.toMatchObject({
    code: 'UNAVAILABLE',
    retryable: false,
    details: { reason: 'closed' },
  });
  expect(transactions.open).toBe(2);
  let closed = false;
  void closing.then(() => (closed = true));
  await turn();
  expect([closed, coalescer.pending]).toEqual([false, 5]);
  transactions.releaseAll();
  expect([...(await early), ...(await waiting)].every((line) => line.startsWith('granted'))).toBe(true);
  await closing;
  expect(coalescer.pending).toBe(0);
});

it('closing an idle coalescer is done at once', async () => {
  const { coalescer } = made(1);
  await expect(coalescer.close()).resolves.toBeUndefined();
});

it('C6: a failed batch is each of its callers’ own error; the next batch is unharmed', async () => {
  const { coalescer, transactions } = made(100);
  transactions.failure = new UnavailableError('the connection was lost while committing', {
    details: { reason: 'connection', outcome: 'unknown' },
  });
  const answers = await Promise.allSettled([1, 2, 3, 4, 5].map((n) => coalescer.reserve('t1', charge(1, `k${n}`))));
  const errors = answers.flatMap((answer) => (answer.status === 'rejected' ? [answer.reason as unknown] : []));
  expect([errors.length, new Set(errors).size]).toEqual([5, 5]);
  for (const error of errors) {
    expect(UnavailableError.is(error)).toBe(true);
    expect(error).toMatchObject({ retryable: false, details: { outcome: 'unknown' } });
  }
  expect(await heard(coalescer.reserve('t1', charge(1, 'k1')))).toBe('granted r-1');
});

it('C7: a missing limit fails its own caller alone', async () => {
  const { coalescer } = made(10);
  expect(await all(coalescer, [charge(1, 'a', ['missing']), charge(1, 'b', ['a', 'b']), charge(1, 'c')])).toEqual([
    'LimitNotFoundError ',
    'granted r-1',
    'granted r-2',
  ]);
});

it('sends at most four batches at once, one of each set of limits, longest waiting first', async () => {
  const { coalescer, ledger, transactions } = made(1000);
  transactions.held = true;
  const sets = ['a', 'b', 'c', 'd', 'e', 'f'];
  const answers = all(
    coalescer,
    [...sets, ...sets].map((id, index) => charge(1, `k${index}`, [id])),
  );
  await turn();
  const more = all(coalescer, [charge(1, 'late', ['a'])]);
  expect(transactions.open).toBe(CHARGE_MAX_IN_FLIGHT);
  for (let n = 0; n < 7; n += 1) {
    transactions.release();
    await turn();
  }
  await Promise.all([answers, more]);
  expect(transactions.most).toBe(CHARGE_MAX_IN_FLIGHT);
  expect(ledger.batches.map(({ limitIds, keys }) => [limitIds.join(), keys.length])).toEqual([
    ['a', 2],
    ['b', 2],
    ['c', 2],
    ['d', 2],
    ['e', 2],
    ['f', 2],
    ['a', 1],
  ]);
});

it('what waited behind a batch of its own limits goes before what came later for others', async () => {
  const { coalescer, ledger, transactions } = made(1000);
  transactions.held = true;
  const first = all(
    coalescer,
    ['a', 'b', 'c', 'd'].map((id) => charge(1, id, [id])),
  );
  await turn();
  const more = all(
    coalescer,
    ['a', 'e', 'f'].map((id) => charge(1, `more ${id}`, [id])),
  );
  for (let n = 0; n < 7; n += 1) {
    transactions.release();
    await turn();
  }
  await Promise.all([first, more]);
  expect(ledger.batches.map(({ limitIds }) => limitIds.join())).toEqual(['a', 'b', 'c', 'd', 'a', 'e', 'f']);
});

it('the order in which a caller names its limits makes no other queue', async () => {
  const { coalescer, ledger } = made(10);
  await all(coalescer, [charge(1, 'x', ['c', 'a', 'b']), charge(1, 'y', ['b', 'c', 'a'])]);
  expect(ledger.batches).toEqual([{ limitIds: ['a', 'b', 'c'], keys: ['x', 'y'] }]);
});

it('sends at most maxBatch charges in a statement', async () => {
  const { coalescer, ledger } = made(100, { maxBatch: 2 });
  await all(
    coalescer,
    [0, 1, 2, 3, 4].map((n) => charge(1, `k${n}`)),
  );
  expect(ledger.batches.map(({ keys }) => keys.length)).toEqual([2, 2, 1]);
});

it('what a caller changes after the call changes nothing', async () => {
  const { coalescer, ledger } = made(10);
  const limitIds = ['a'];
  const input = { limitIds, amountCents: decimal(3), idempotencyKey: 'k' };
  const answer = heard(coalescer.reserve('t1', input));
  limitIds[0] = 'missing';
  input.amountCents = decimal(1000);
  expect([await answer, ledger.reserved]).toEqual(['granted r-1', '3']);
});

describe('G.4: a bad call fails alone and at once', () => {
  it.each<[string, Partial<Record<keyof ReserveInput, unknown>>]>([
    ['limitIds', { limitIds: [] }],
    ['limitIds', { limitIds: ['a', 'b', 'c', 'd', 'e'] }],
    ['limitIds', { limitIds: ['a', 'a'] }],
    ['amountCents', { amountCents: '-1' }],
    ['amountCents', { amountCents: '1.0000001' }],
    ['amountCents', { amountCents: 1 }],
    ['ttlSeconds', { ttlSeconds: 0 }],
    ['ttlSeconds', { ttlSeconds: 86_401 }],
    ['idempotencyKey', { idempotencyKey: '' }],
    ['idempotencyKey', { idempotencyKey: 'x'.repeat(201) }],
    ['runId', { runId: '' }],
  ])('%s', async (field, given) => {
    const { coalescer, ledger } = made(10);
    const good = heard(coalescer.reserve('t1', charge(1, 'good')));
    await expect(coalescer.reserve('t1', bad({ ...charge(1, 'k'), ...given }))).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      details: { field },
    });
    expect([await good, ledger.stored.size]).toEqual(['granted r-1', 1]);
  });
  it.each([{ maxQueue: 0 }, { maxQueue: 1_000_001 }, { maxBatch: 0 }, { maxBatch: 1001 }, { maxQueue: '9' }, null])(
    'options %j',
    (options) => {
      expect(() => made(1, bad(options))).toThrow(InvalidArgumentError);
    },
  );
  it('tenant', async () => {
    await expect(made(1).coalescer.reserve('', charge(1, 'k'))).rejects.toBeInstanceOf(TenantScopeError);
  });
});

it('says what the same charges would have heard one after the other', async () => {
  const amount = fc.integer({ min: 0, max: 900 });
  const calls = fc.array(fc.tuple(amount, fc.integer({ min: 0, max: 12 })), { minLength: 1, maxLength: 25 });
  await fc.assert(
    fc.asyncProperty(
      calls,
      fc.integer({ min: 0, max: 3000 }),
      fc.integer({ min: 1, max: 6 }),
      async (given, cap, size) => {
        // One content a key: a shared refusal tells the room of its first asker, and so would be the only difference.
        const contents = new Map<number, number>();
        for (const [cents, key] of given) if (!contents.has(key)) contents.set(key, cents);
        const charges = given.map(([, key]) => charge((contents.get(key) ?? 0) / 100, `k${key}`));
        const together = made(cap / 100, { maxBatch: size });
        const alone = made(cap / 100);
        const word = (line: string): string => (line.startsWith('refused') ? 'refused' : line);
        const answers = (await all(together.coalescer, charges)).map(word);
        const expected: string[] = [];
        for (const input of charges) expected.push(word(await heard(alone.coalescer.reserve('t1', input))));
        expect(answers).toEqual(expected);
        expect(together.ledger.reserved).toBe(alone.ledger.reserved);
      },
    ),
    { numRuns: 300 },
  );
});
