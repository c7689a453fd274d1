import { ChargeCoalescer } from '@hoc/controls/engines';
import type { Reservation, ReserveInput } from '@hoc/controls/schemas';
import { HocError, LimitExceededError, uuidV7Generator } from '@hoc/shared/kernel';
import { createHoc, withTransaction } from '@hoc/shared/spine';
import { fixedClock, makeLimit, makeTenant } from '@hoc/shared/testing';
import { insertRows, killBackend, statementCounter, tcpProxy, useEmptyDatabase, waitFor } from '@hoc/testkit';
import fc from 'fast-check';
import { controlsModule, createChargeCoalescer } from './index';

const NOW = '2026-03-10T12:00:00.000Z';
/** Longer than any machine takes for what others have to wait for: an end of patience is a failure here. */
const PATIENCE_MS = 60_000;
const clock = fixedClock(NOW);
const deps = { clock, ids: uuidV7Generator(clock) };
const db = useEmptyDatabase({ entities: [], migrations: [] });
const connect = (url: string) =>
  createHoc({
    connection: { url, applicationName: 'charges', lockTimeoutMs: PATIENCE_MS, statementTimeoutMs: PATIENCE_MS },
    modules: [controlsModule],
    clock,
  });
let hoc: ReturnType<typeof connect>;

const charge = (amountCents: string, idempotencyKey: string, limitIds: readonly string[] = ['a']): ReserveInput => ({
  ...{ limitIds, amountCents, idempotencyKey },
});
/** What a caller is told: a reservation, or the refusal. */
type Answer = Reservation | HocError;
const settled = (work: Promise<Reservation>): Promise<Answer> =>
  work.catch((error: unknown) => {
    if (HocError.is(error)) return error;
    throw error;
  });
/** The same in a line, without the id. */
function told(answer: Answer): string {
  if (!HocError.is(answer)) return answer.duplicate ? 'duplicate' : 'granted';
  const { name, details } = answer;
  if (LimitExceededError.is(answer))
    return `refused by ${String(details['limitId'])}, ${String(details['remaining'])} left`;
  return [name, details['reason'] ?? details['limitId']].filter(Boolean).join(' ');
}
const idOf = (answer: Answer | undefined): string | undefined =>
  answer === undefined || HocError.is(answer) ? undefined : answer.reservationId;

/** The module's services on transactions of the database, each of which fails at its end where `sqlstates` says so. */
function services(sqlstates: (string | null)[] = [], before: () => Promise<void> = () => Promise.resolve(), more = {}) {
  let begun = 0;
  const made = controlsModule.services(
    async (work) => {
      await before();
      return withTransaction(
        db.dataSource(),
        async (manager) => {
          begun += 1;
          const done = await work(manager);
          const sqlstate = sqlstates.shift() ?? null;
          if (sqlstate !== null)
            await manager.query(`DO $$ BEGIN RAISE EXCEPTION 'forced' USING ERRCODE = '${sqlstate}'; END $$`);
          return done;
        },
        { sleep: () => Promise.resolve() },
      );
    },
    { ...deps, ...more },
  );
  const all = (...inputs: readonly ReserveInput[]): Promise<readonly Answer[]> =>
    Promise.all(inputs.map((input) => settled(made.charges.reserve('t', input))));
  return { ...made, all, transactions: () => begun };
}

const query = async <T>(sql: string, values: readonly unknown[] = []): Promise<T[]> =>
  db.dataSource().query(sql, [...values]);
const rows = (): Promise<{ key: string; id: string; amount: string; limits: string[] }[]> =>
  query(
    `SELECT idempotency_key AS key, id, trim_scale(amount)::text AS amount, limit_ids AS limits FROM budget_reservations ORDER BY 1`,
  );
const reserved = async (): Promise<Record<string, string>> => {
  const windows = await query<{ limit_id: string; reserved: string }>(
    'SELECT limit_id, trim_scale(reserved)::text AS reserved FROM budget_windows',
  );
  return Object.fromEntries(windows.map((row) => [row.limit_id, row.reserved]));
};
const budgets = (caps: Readonly<Record<string, string>>): Promise<void> =>
  insertRows(
    db.dataSource().manager,
    ...Object.entries(caps).map(([id, max_value]) =>
      makeLimit('t', { id, limit_category: 'BUDGET', reset_period: 'MONTHLY', max_value }),
    ),
  );
/** A gate before each transaction. */
function gate() {
  let release: () => void = () => undefined;
  const open = new Promise<void>((resolve) => (release = resolve));
  return { before: () => open, release: () => release() };
}
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

// A describe of its own: its hooks end before the database looks for connections that were left open.
describe('the coalescer on a database', () => {
  beforeAll(async () => {
    hoc = connect(db.url());
    await hoc.migrate();
    await insertRows(db.dataSource().manager, makeTenant({ id: 't' }));
  });
  afterEach(() => query('TRUNCATE budget_reservations, budget_windows, limits CASCADE'));
  afterAll(() => hoc.close());

  it('is one of the services, and closes with them: what it had taken is decided', async () => {
    await budgets({ a: '10' });
    const own = connect(db.url());
    const { charges } = own.services.controls;
    expect(charges).toBeInstanceOf(ChargeCoalescer);
    const taken = charges.reserve('t', charge('6', 'k'));
    await own.close();
    expect(told(await taken)).toBe('granted');
    expect(told(await settled(charges.reserve('t', charge('1', 'late'))))).toBe('UnavailableError closed');
    expect(await rows()).toEqual([{ key: 'k', id: (await taken).reservationId, amount: '6', limits: ['a'] }]);
  });

  it('an app makes one of its own from any runner, with bounds of its own', async () => {
    await budgets({ a: '10' });
    const own = createChargeCoalescer(
      (work) => withTransaction(db.dataSource(), (manager) => work(controlsModule.compose(manager, deps))),
      { maxBatch: 1 },
    );
    const answers = await Promise.all(['1', '2'].map((key) => own.reserve('t', charge('1', key))));
    expect(answers.map(told)).toEqual(['granted', 'granted']);
    await own.close();
  });

  it('C1: decides in order of arrival; a refused charge refuses none behind it; one statement', async () => {
    await budgets({ a: '10' });
    await hoc.transaction(({ controls }) => controls.reservations.reserve('t', charge('0', 'opens the window')));
    const { all, close, transactions } = services();
    const counter = statementCounter(db.dataSource());
    const answers = await all(charge('6', 'k1'), charge('7', 'k2'), charge('4', 'k3'), charge('1', 'k4'));
    expect(answers.map(told)).toEqual(['granted', 'refused by a, 4 left', 'granted', 'refused by a, 0 left']);
    expect([
      transactions(),
      counter.statements().filter(({ text }) => text.includes('INSERT INTO budget_')).length,
    ]).toEqual([1, 1]);
    expect(await reserved()).toEqual({ a: '10' });
    await close();
  });

  it('C2: one key, one content, one answer; other content is for the next statement, and a conflict there', async () => {
    await budgets({ a: '10' });
    const { all, close, transactions } = services();
    const answers = await all(charge('6', 'p'), charge('6', 'p'), charge('5', 'p'), charge('4', 'q'));
    expect(answers.map(told)).toEqual(['granted', 'duplicate', 'ConflictError content', 'granted']);
    expect(idOf(answers[1])).toBe(idOf(answers[0]));
    expect((answers[2] as HocError).details['reservationId']).toBe(idOf(answers[0]));
    expect([transactions(), await reserved()]).toEqual([2, { a: '10' }]);
    await close();
  });

  it('C3: a stored key is a duplicate for its caller alone, and leaves its room to the others', async () => {
    await budgets({ a: '10' });
    const first = await hoc.transaction(({ controls }) => controls.reservations.reserve('t', charge('6', 'p')));
    const { all, close } = services();
    const answers = await all(charge('6', 'p'), charge('0', 'q'), charge('0.000001', 'r'), charge('4', 's'));
    expect(answers.map(told)).toEqual(['duplicate', 'granted', 'granted', 'refused by a, 3.999999 left']);
    expect(idOf(answers[0])).toBe(first.reservationId);
    expect(await reserved()).toEqual({ a: '6.000001' });
    await close();
  });

  it('C4: a full queue refuses before anything is sent; when the batch is through, the call is taken', async () => {
    await budgets({ a: '10' });
    const { before, release } = gate();
    const { all, charges, close, transactions } = services([], before, { charges: { maxQueue: 2 } });
    const taken = all(charge('1', 'k1'));
    await turn();
    const waiting = all(charge('1', 'k2'));
    const refusal = await settled(charges.reserve('t', charge('1', 'k3')));
    expect([told(refusal), HocError.is(refusal) && refusal.retryable]).toEqual(['UnavailableError queue_full', true]);
    expect([charges.pending, transactions()]).toEqual([2, 0]);
    release();
    expect([...(await taken), ...(await waiting), ...(await all(charge('1', 'k3')))].map(told)).toEqual([
      ...['granted', 'granted', 'granted'],
    ]);
    expect((await rows()).map(({ key }) => key)).toEqual(['k1', 'k2', 'k3']);
    await close();
  });

  it('C5: close, while two sets of limits have a batch in flight and three calls wait: all are decided', async () => {
    await budgets({ a: '10', b: '10' });
    const { before, release } = gate();
    const { all, charges, close } = services([], before);
    const flying = all(charge('1', 'k1'), charge('1', 'k2', ['a', 'b']));
    await turn();
    const waiting = all(charge('1', 'k3'), charge('1', 'k4', ['b', 'a']), charge('9', 'k5'));
    const closed = charges.close();
    expect(charges.close()).toBe(closed);
    expect(told(await settled(charges.reserve('t', charge('1', 'k6'))))).toBe('UnavailableError closed');
    expect([charges.pending, await rows()]).toEqual([5, []]);
    release();
    expect((await flying).map(told)).toEqual(['granted', 'granted']);
    const [k3, k4, k5] = (await waiting).map(told);
    expect([k3, k4]).toEqual(['granted', 'granted']);
    // How much is left for the last one depends on which of the two sets was decided first.
    expect(k5).toMatch(/^refused by a, [678] left$/);
    await closed;
    expect([charges.pending, await reserved()]).toEqual([0, { a: '4', b: '2' }]);
    await close();
  });

  it('C6: the back end is ended while COMMIT runs: its callers alone do not know; nothing was stored, and all is granted again', async () => {
    await budgets({ a: '5', b: '10' });
    const own = connect(db.url());
    const { charges } = own.services.controls;
    const holder = db.dataSource().createQueryRunner();
    try {
      await charges.reserve('t', charge('0', 'opens the window', ['b']));
      // A COMMIT of charges of 1 on `a` waits for a lock that the test holds.
      await query(`CREATE FUNCTION hold_commit() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN IF NEW.limit_ids = '{a}' AND NEW.amount = 1 THEN PERFORM pg_advisory_xact_lock(4711); END IF; RETURN NULL; END $$`);
      await query(`CREATE CONSTRAINT TRIGGER hold_commit AFTER INSERT ON budget_reservations
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION hold_commit()`);
      await holder.connect();
      await holder.query('SELECT pg_advisory_lock(4711)');
      const sent = ['1', '2', '3', '4', '5'].map((key) => settled(charges.reserve('t', charge('1', key))));
      const pid = await waitFor(
        async () => {
          const [row] = await query<{ pid: number }>(
            `SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
          );
          return row?.pid;
        },
        'a COMMIT waits',
        PATIENCE_MS,
      );
      const others = ['6', '7'].map((key) => settled(charges.reserve('t', charge('1', key, ['b']))));
      expect((await Promise.all(others)).map(told)).toEqual(['granted', 'granted']);
      const next = settled(charges.reserve('t', charge('0', 'next')));
      await killBackend(pid);
      for (const answer of await Promise.all(sent))
        expect(answer).toMatchObject({ code: 'UNAVAILABLE', retryable: false, details: { outcome: 'unknown' } });
      expect(told(await next)).toBe('granted');
      await holder.query('SELECT pg_advisory_unlock(4711)');
      const again = await Promise.all(
        ['1', '2', '3', '4', '5'].map((key) => settled(charges.reserve('t', charge('1', key)))),
      );
      expect(again.map(told)).toEqual(['granted', 'granted', 'granted', 'granted', 'granted']);
      expect((await rows()).map(({ key }) => key)).toEqual([
        ...['1', '2', '3', '4', '5', '6', '7', 'next', 'opens the window'],
      ]);
      expect(await reserved()).toEqual({ a: '5', b: '2' });
    } finally {
      await query('DROP FUNCTION IF EXISTS hold_commit CASCADE');
      await holder.release();
      await own.close();
    }
  });

  it('C6: the answer to COMMIT is lost: what it stored is a duplicate for the second sending', async () => {
    await budgets({ a: '5', b: '10' });
    const proxy = await tcpProxy(db.url());
    const own = connect(proxy.url);
    const { charges } = own.services.controls;
    const send = (to: ChargeCoalescer): Promise<readonly Answer[]> =>
      Promise.all(['1', '2', '3', '4', '5'].map((key) => settled(to.reserve('t', charge('1', key)))));
    let next: Promise<Answer> | undefined;
    try {
      await charges.reserve('t', charge('0', 'warm-up', ['b']));
      proxy.onClientData((chunk) => {
        if (!chunk.includes('COMMIT')) return;
        proxy.onClientData(null);
        proxy.freezeReplies();
        next = settled(charges.reserve('t', charge('0', 'next')));
        // Five charges and the first one: what was committed is there for all to see.
        void waitFor(async () => (await rows()).length === 6, 'the COMMIT took effect', PATIENCE_MS).finally(
          proxy.drop,
        );
      });
      const lost = await send(charges);
      for (const answer of lost)
        expect(answer).toMatchObject({ code: 'UNAVAILABLE', retryable: false, details: { outcome: 'unknown' } });
      expect(new Set(lost).size).toBe(5);
      expect(next === undefined ? 'none' : told(await next)).toBe('granted');
    } finally {
      await own.close();
      await proxy.close();
    }
    const again = await send(hoc.services.controls.charges);
    const ids = new Map((await rows()).map(({ key, id }) => [key, id]));
    again.forEach((answer, n) => expect([told(answer), idOf(answer)]).toEqual(['duplicate', ids.get(String(n + 1))]));
    expect([[...ids.keys()], await reserved()]).toEqual([
      ['1', '2', '3', '4', '5', 'next', 'warm-up'],
      { a: '5', b: '0' },
    ]);
  });

  it('C7: a missing limit fails its own caller alone', async () => {
    await budgets({ a: '10', b: '10' });
    const { all, close } = services();
    const answers = await all(charge('1', 'k1', ['nope']), charge('1', 'k2', ['b', 'a']), charge('1', 'k3'));
    expect(answers.map(told)).toEqual(['LimitNotFoundError nope', 'granted', 'granted']);
    expect(await reserved()).toEqual({ a: '2', b: '1' });
    await close();
  });

  it('a deadlock is retried unseen; a batch whose every attempt fails tells its callers, and the next one is stored', async () => {
    await budgets({ a: '10' });
    const { all, charges, close, transactions } = services([...['40P01', null, '40P01', '40001', '40P01', '40P01']]);
    expect((await all(charge('1', 'k1'), charge('1', 'k2'))).map(told)).toEqual(['granted', 'granted']);
    expect(transactions()).toBe(2);
    const lost = all(charge('1', 'k3'), charge('1', 'k4'));
    await Promise.resolve();
    const next = settled(charges.reserve('t', charge('1', 'k5')));
    for (const answer of await lost)
      expect(answer).toMatchObject({ code: 'UNAVAILABLE', retryable: true, details: { attempts: 4 } });
    expect(told(await next)).toBe('granted');
    expect([(await rows()).map(({ key }) => key), await reserved()]).toEqual([['k1', 'k2', 'k5'], { a: '3' }]);
    await close();
  });

  it('G.4: a bad call costs no statement, is answered at once and changes nothing', async () => {
    await budgets({ a: '10' });
    const { all, charges, close, transactions } = services();
    const counter = statementCounter(db.dataSource());
    const bad: readonly object[] = [
      { limitIds: [] },
      { limitIds: ['a', 'a'] },
      { limitIds: ['a', 'b', 'c', 'd', 'e'] },
      { amountCents: '-1' },
      { amountCents: 1 },
      { amountCents: '0.0000001' },
      { idempotencyKey: '' },
      { idempotencyKey: 'x'.repeat(201) },
      { runId: '' },
      { ttlSeconds: 0 },
      { ttlSeconds: 86_401 },
    ];
    for (const given of bad) {
      const [answer] = await all({ ...charge('1', 'k'), ...given });
      expect([given, HocError.is(answer) && answer.code, charges.pending]).toEqual([given, 'INVALID_ARGUMENT', 0]);
    }
    const answer = await settled(charges.reserve(' ', charge('1', 'k')));
    expect(HocError.is(answer) && answer.code).toBe('TENANT_SCOPE');
    expect([counter.count(), transactions(), await rows()]).toEqual([0, 0, []]);
    await close();
  });

  it('G.1: each charge has the outcome that it would have had one by one', async () => {
    const amounts = fc.constantFrom('0', '0.000001', '1', '2.5', '3', '7', '100');
    const sets = fc.constantFrom(['a'], ['b', 'a'], ['b']);
    // One content a key: what a second content is told depends on whether the first one is stored by then.
    const call = fc.record({ amount: amounts, limits: sets, key: fc.nat(11), pause: fc.boolean() });
    const cap = fc.constantFrom('0', '1', '5.000001', '12', '40');
    await fc.assert(
      fc.asyncProperty(fc.array(call, { maxLength: 24 }), cap, cap, fc.nat(4), async (calls, a, b, extra) => {
        await query('TRUNCATE budget_reservations, budget_windows, limits CASCADE');
        await budgets({ a, b });
        const first = new Map(calls.map((each) => [each.key, each]));
        const inputs = calls.map(({ key }) => {
          const { amount, limits } = first.get(key) ?? { amount: '0', limits: ['a'] };
          return charge(amount, `k${key}`, limits);
        });
        // Who asks for the very same again shares the first one's refusal, and with it what was left then.
        const repeated = (n: number): boolean => calls.findIndex(({ key }) => key === calls[n]?.key) < n;
        const heardBy = (n: number, answer: Answer): string =>
          repeated(n) ? told(answer).replace(/, \S+ left$/, '') : told(answer);
        let turns = 0;
        let answered = 0;
        let last = Promise.resolve();
        const { charges, close } = controlsModule.services(
          async (work) => {
            let place = 0;
            const done = await withTransaction(db.dataSource(), async (manager) => {
              const outcomes = await work(manager);
              // Before COMMIT frees the limits for the next batch: the order in which the batches had them.
              place = turns++;
              return outcomes;
            });
            // One batch's callers hear their answers, and read the place, before the next one's do.
            const heard = last.then(() => void (answered = place));
            last = heard.then(turn);
            await heard;
            return done;
          },
          { ...deps, charges: { maxBatch: 1 + extra } },
        );
        const answers: Promise<{ n: number; place: number; answer: Answer }>[] = [];
        for (const [n, input] of inputs.entries()) {
          answers.push(settled(charges.reserve('t', input)).then((answer) => ({ n, place: answered, answer })));
          if (calls[n]?.pause === true) await turn();
        }
        // Batches of sets that share a limit may pass one another; those of one set never do.
        const together = (await Promise.all(answers)).sort((x, y) => x.place - y.place || x.n - y.n);
        await close();
        const stored = await rows();
        await query('TRUNCATE budget_reservations, budget_windows');
        await hoc.transaction(async ({ controls }) => {
          for (const { n, answer } of together) {
            const alone = await settled(controls.reservations.reserve('t', inputs[n] as ReserveInput));
            expect([n, heardBy(n, answer)]).toEqual([n, heardBy(n, alone)]);
          }
        });
        const content = (list: typeof stored) => list.map(({ key, amount, limits }) => [key, amount, limits]);
        expect(content(await rows())).toEqual(content(stored));
      }),
      { numRuns: 50 },
    );
  });
});
