import { CHARGE_MAX_IN_FLIGHT, type Reservation, type ReserveInput } from '@hoc/controls/schemas';
import { ConflictError, HocError, LimitExceededError, systemClock, uuidV7Generator } from '@hoc/shared/kernel';
import { createHoc, createHocDataSource, withTransaction } from '@hoc/shared/spine';
import { makeLimit, makeTenant } from '@hoc/shared/testing';
import { insertRows, killBackend, statementCounter, useEmptyDatabase, waitFor } from '@hoc/testkit';
import { controlsModule } from './controls.module';

const deps = { clock: systemClock(), ids: uuidV7Generator(systemClock()) };
const db = useEmptyDatabase({ entities: [], migrations: [] });
/** Longer than any machine takes for what others have to wait for: an end of patience is a failure here. */
const PATIENCE_MS = 60_000;
const connect = (url: string) =>
  createHoc({
    connection: { url, applicationName: 'charges', lockTimeoutMs: PATIENCE_MS, statementTimeoutMs: PATIENCE_MS },
    modules: [controlsModule],
  });
let hoc: ReturnType<typeof connect>;

/** Three sets over three limits; each limit is in two of them. */
const SETS = [['a'], ['b', 'a'], ['c', 'b']] as const;
const CALLERS = 64;
const CHARGES = 50;

const charge = (limitIds: readonly string[], amountCents: string, idempotencyKey: string): ReserveInput => ({
  ...{ limitIds, amountCents, idempotencyKey },
});
type Answer = Reservation | HocError;
const settled = (work: Promise<Reservation>): Promise<Answer> =>
  work.catch((error: unknown) => {
    if (HocError.is(error)) return error;
    throw error;
  });
const query = async <T>(sql: string): Promise<T[]> => db.dataSource().query(sql);

/** A coalescer as a process of its own would have it: on its own pool, with its transactions counted. */
async function ownCoalescer(url: string) {
  const source = await createHocDataSource({
    ...{ url, applicationName: 'charges', poolSize: CHARGE_MAX_IN_FLIGHT + 1 },
    ...{ lockTimeoutMs: PATIENCE_MS, statementTimeoutMs: PATIENCE_MS },
    ...{ entities: [], migrations: [] },
  }).initialize();
  const counted = { open: 0, most: 0, begun: 0 };
  const { charges, close } = controlsModule.services(async (work) => {
    counted.begun += 1;
    counted.most = Math.max(counted.most, (counted.open += 1));
    try {
      return await withTransaction(source, work);
    } finally {
      counted.open -= 1;
    }
  }, deps);
  return {
    charges,
    counted,
    statements: statementCounter(source),
    close: async () => {
      await close();
      await source.destroy();
    },
  };
}

// A describe of its own: its hooks end before the database looks for connections that were left open.
describe('coalescers on a database', () => {
  beforeAll(async () => {
    hoc = connect(db.url());
    await hoc.migrate();
    await insertRows(db.dataSource().manager, makeTenant({ id: 't' }));
  });
  afterEach(() => query('TRUNCATE budget_reservations, budget_windows, limits CASCADE'));
  afterAll(() => hoc.close());

  const budgets = (caps: Readonly<Record<string, string>>): Promise<void> =>
    insertRows(
      db.dataSource().manager,
      ...Object.entries(caps).map(([id, max_value]) =>
        makeLimit('t', { id, limit_category: 'BUDGET', reset_period: 'NONE', max_value }),
      ),
    );
  const stored = async (): Promise<ReadonlyMap<string, { id: string; amount: string }>> => {
    const rows = await query<{ key: string; id: string; amount: string }>(
      'SELECT idempotency_key AS key, id, trim_scale(amount)::text AS amount FROM budget_reservations',
    );
    return new Map(rows.map((row) => [row.key, row]));
  };
  /** Of each window its counter, the sum over its reservations, and the cap. */
  const windows = () =>
    query<{ limit_id: string; reserved: number; held: number; cap: number }>(
      `SELECT w.limit_id, w.reserved::float8 AS reserved, l.max_value::float8 AS cap,
         (SELECT COALESCE(sum(amount), 0)::float8 FROM budget_reservations r WHERE r.limit_ids @> ARRAY[w.limit_id]) AS held
       FROM budget_windows w JOIN limits l ON l.tenant_id = w.tenant_id AND l.id = w.limit_id ORDER BY 1`,
    );

  it('G.1: two coalescers, 64 callers each, 50 charges over three sets of limits, an eighth of them replays: answers and rows agree, no budget is overspent', async () => {
    // `a` and `c` can't hold what is asked of them, `b` can.
    await budgets({ a: '2500', b: '100000', c: '1400' });
    const both = [await ownCoalescer(db.url()), await ownCoalescer(db.url())];
    const answers: { readonly input: ReserveInput; readonly answer: Answer; readonly replay: boolean }[] = [];
    const before = both.map(({ statements }) => statements.count());
    await Promise.all(
      both.flatMap(({ charges }, process) =>
        Array.from({ length: CALLERS }, async (_, caller) => {
          for (let n = 0; n < CHARGES; n += 1) {
            const replay = n % 8 === 7;
            // Every other replay is of a charge that the other process sends as well, perhaps at this moment.
            const at = replay ? n - 3 : n;
            const owner = at % 8 === 4 && caller % 2 === 0 ? 'both' : String(process);
            const input = charge(
              SETS[(caller + at) % 3] ?? SETS[0],
              String(1 + ((caller * 7 + at) % 3)),
              `${owner}-${caller}-${at}`,
            );
            answers.push({ input, replay, answer: await settled(charges.reserve('t', input)) });
          }
        }),
      ),
    );
    for (const { charges, counted, close } of both) {
      expect([charges.pending, counted.open]).toEqual([0, 0]);
      expect(counted.most).toBeLessThanOrEqual(CHARGE_MAX_IN_FLIGHT);
      expect(counted.begun).toBeLessThan((CALLERS * CHARGES) / 4);
      await close();
    }
    both.forEach(({ statements }, n) =>
      expect(statements.count() - (before[n] ?? 0)).toBeLessThan((CALLERS * CHARGES) / 4),
    );
    const rows = await stored();
    expect(answers).toHaveLength(2 * CALLERS * CHARGES);
    let granted = 0;
    for (const { input, answer } of answers) {
      const row = rows.get(input.idempotencyKey);
      if (HocError.is(answer)) {
        expect([LimitExceededError.is(answer), answer]).toEqual([true, answer]);
        continue;
      }
      expect([answer.reservationId, answer.amountCents, answer.limits.map(({ limitId }) => limitId)]).toEqual([
        ...[row?.id, row?.amount, [...input.limitIds].sort()],
      ]);
      granted += answer.duplicate ? 0 : 1;
    }
    // Each row was granted to one caller, and is in the counters of its windows once.
    expect(granted).toBe(rows.size);
    const counters = await windows();
    expect(counters.map(({ limit_id }) => limit_id)).toEqual(['a', 'b', 'c']);
    for (const { reserved, held, cap } of counters) expect([reserved, reserved <= cap]).toEqual([held, true]);
    // Amounts are 1 to 3: what a hard pressed budget keeps is less than the largest.
    for (const { limit_id, reserved, cap } of counters.filter(({ limit_id: id }) => id !== 'b'))
      expect([limit_id, cap - reserved < 3]).toEqual([limit_id, true]);
    const replays = answers.filter(({ replay, answer }) => replay && !HocError.is(answer));
    expect(replays.length).toBeGreaterThan(0);
    expect(replays.every(({ answer }) => (answer as Reservation).duplicate)).toBe(true);
  });

  it('seven sets of limits at once: four transactions, no more, and every set is decided', async () => {
    const sets = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];
    await budgets(Object.fromEntries(sets.map((id) => [id, '1000'])));
    const { charges, close, counted } = await ownCoalescer(db.url());
    const answers = await Promise.all(
      Array.from({ length: 350 }, (_, n) => settled(charges.reserve('t', charge([sets[n % 7] ?? 'a'], '1', `k-${n}`)))),
    );
    expect(answers.filter((answer) => HocError.is(answer))).toEqual([]);
    expect([counted.most, counted.begun]).toEqual([CHARGE_MAX_IN_FLIGHT, 7]);
    expect((await windows()).map(({ reserved }) => reserved)).toEqual(sets.map(() => 50));
    await close();
  });

  it('many charges are few statements', async () => {
    await budgets({ a: '1000' });
    const { charges, close, statements } = await ownCoalescer(db.url());
    await charges.reserve('t', charge(['a'], '0', 'opens the window'));
    statements.reset();
    await Promise.all(Array.from({ length: 500 }, (_, n) => charges.reserve('t', charge(['a'], '1', `k-${n}`))));
    expect(statements.count()).toBeLessThanOrEqual(4);
    await close();
  });

  it('close while batches are in flight: all that was taken is decided, later ones are closed, nothing is left', async () => {
    await budgets({ a: '100000', b: '100000', c: '100000' });
    for (let repetition = 0; repetition < 8; repetition += 1) {
      const own = connect(db.url());
      const { charges } = own.services.controls;
      const taken = Array.from({ length: 60 }, (_, n) =>
        charges.reserve('t', charge(SETS[n % 3] ?? SETS[0], '1', `r${repetition}-${n}`)),
      );
      await new Promise((resolve) => setTimeout(resolve, repetition));
      const closed = own.close();
      const late = await settled(charges.reserve('t', charge(['a'], '1', 'late')));
      expect(HocError.is(late) && late.details['reason']).toBe('closed');
      await closed;
      expect((await Promise.all(taken)).every(({ duplicate }) => !duplicate)).toBe(true);
      expect(charges.pending).toBe(0);
    }
    expect((await windows()).map(({ reserved, held }) => [reserved, held])).toEqual([
      [320, 320],
      [320, 320],
      [160, 160],
    ]);
  });

  it('G.1: the back end is ended during COMMIT: unknown for its 64 callers; a second sending of all gives each key once; callers of other batches are unharmed', async () => {
    const own = connect(db.url());
    const { charges } = own.services.controls;
    const send = (limit: string, prefix: string): Promise<readonly Answer[]> =>
      Promise.all(
        Array.from({ length: 64 }, (_, n) => settled(charges.reserve('t', charge([limit], '1', `${prefix}-${n}`)))),
      );
    const holder = db.dataSource().createQueryRunner();
    await holder.connect();
    // A COMMIT of charges on `a` waits for a lock that the test holds.
    await query(`CREATE FUNCTION hold_commit() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN IF NEW.limit_ids = '{a}' THEN PERFORM pg_advisory_xact_lock_shared(4711); END IF; RETURN NULL; END $$`);
    await query(`CREATE CONSTRAINT TRIGGER hold_commit AFTER INSERT ON budget_reservations
      DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION hold_commit()`);
    try {
      for (let repetition = 0; repetition < 5; repetition += 1) {
        await budgets({ a: '64', b: '64' });
        await holder.query('SELECT pg_advisory_lock(4711)');
        const lost = send('a', 'k');
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
        const unharmed = await send('b', 'other');
        await killBackend(pid);
        for (const answer of await lost)
          expect(answer).toMatchObject({ code: 'UNAVAILABLE', retryable: false, details: { outcome: 'unknown' } });
        await holder.query('SELECT pg_advisory_unlock(4711)');
        const again = await send('a', 'k');
        const rows = await stored();
        expect(rows.size).toBe(128);
        for (const answer of [...again, ...unharmed])
          expect(HocError.is(answer) ? answer : rows.get(answer.idempotencyKey)?.id).toBe(
            HocError.is(answer) ? undefined : answer.reservationId,
          );
        expect((await windows()).map(({ reserved, held }) => [reserved, held])).toEqual([
          [64, 64],
          [64, 64],
        ]);
        await query('TRUNCATE budget_reservations, budget_windows, limits CASCADE');
      }
    } finally {
      await own.close();
      await query('DROP FUNCTION hold_commit CASCADE');
      await holder.release();
    }
  });

  it('another content under a stored key fails for its caller alone', async () => {
    await budgets({ a: '10', b: '10' });
    const { charges } = hoc.services.controls;
    await charges.reserve('t', charge(['a'], '1', 'k'));
    const answers = await Promise.all(
      [charge(['a'], '2', 'k'), charge(['a'], '1', 'l'), charge(['b'], '1', 'k')].map((input) =>
        settled(charges.reserve('t', input)),
      ),
    );
    expect(answers.map((answer) => (ConflictError.is(answer) ? 'conflict' : HocError.is(answer)))).toEqual([
      ...['conflict', false, 'conflict'],
    ]);
  });
});
