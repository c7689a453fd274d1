import type { NewUsage } from '@hoc/activity/schemas';
import { entities, migrations } from '@hoc/shared/models';
import {
  ConflictError,
  type DecimalString,
  HocError,
  toIsoDate,
  UnavailableError,
  uuidV7Generator,
} from '@hoc/shared/kernel';
import { fixedClock, makeIntegration, makeTenant } from '@hoc/shared/testing';
import { asAdmin, dataSourceOn, insertRows, tcpProxy, useFreshDatabase, waitFor } from '@hoc/testkit';
import type { DataSource, EntityManager } from 'typeorm';
import { type CusTelemetryDriver, getCusTelemetryDriver } from './cus-telemetry.driver';

/** Of each short race; interleavings differ from one to the next. */
const REPETITIONS = 20;
/** Of races of thousands of calls. */
const LARGE_REPETITIONS = 2;

const content = { entities, migrations };
const db = useFreshDatabase(content);
const DAY = toIsoDate('2026-03-10');
const clock = fixedClock('2026-03-10T12:00:00.000Z');
const deps = { clock, ids: uuidV7Generator(clock, (length) => Buffer.alloc(length, Math.floor(Math.random() * 256))) };

const U: NewUsage = {
  integrationId: 'int-1',
  callId: 'c-1',
  provider: 'azure_openai',
  model: 'gpt-4',
  tokensIn: 374,
  tokensOut: 44,
  costCents: '1.386' as DecimalString,
  latencyMs: 250,
};
const usage = (callId: string, more: Partial<NewUsage> = {}): NewUsage => ({ ...U, callId, ...more });
/** A call whose content follows from its number: two integrations, so that a batch adds to two days' rows. */
const numbered = (i: number, prefix = 'c'): NewUsage =>
  usage(`${prefix}-${i}`, {
    integrationId: i % 2 ? 'int-1' : 'int-2',
    tokensIn: i,
    costCents: `0.${1 + (i % 9)}` as DecimalString,
  });
const range = (from: number, length: number): readonly number[] => Array.from({ length }, (_, i) => from + i);

const on = (manager: EntityManager): CusTelemetryDriver => getCusTelemetryDriver(manager, deps);
const home = (): CusTelemetryDriver => on(db.dataSource().manager);
const random = (below: number): number => Math.floor(Math.random() * below);
const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

function shuffled<T>(items: readonly T[]): T[] {
  const copy = [...items];
  for (let i = copy.length - 1; i > 0; i -= 1) {
    const j = random(i + 1);
    [copy[i], copy[j]] = [copy[j] as T, copy[i] as T];
  }
  return copy;
}

/** Waits before every statement on the manager's connection, so that transactions interleave. */
async function dawdle(manager: EntityManager, upToMs: number): Promise<void> {
  const client: { query: (...given: unknown[]) => unknown } = await manager.queryRunner?.connect();
  const original = client.query.bind(client);
  const slow = (...given: unknown[]): unknown => {
    if (isStream(given[0])) return original(...given);
    return wait(random(upToMs + 1)).then(() => original(...given));
  };
  Object.defineProperty(client, 'query', { value: slow, configurable: true, writable: true });
}
const isStream = (given: unknown): boolean => typeof given === 'object' && given !== null && 'pipe' in given;

/** What the spine does, which drivers may not import: again after a deadlock, later each time and never in step. */
async function again<T>(source: DataSource, work: (manager: EntityManager) => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1)
    try {
      return await source.transaction(work);
    } catch (error) {
      if (!UnavailableError.is(error) || error.details['reason'] !== 'deadlock' || attempt === 100) throw error;
      await wait(random(40 * Math.min(attempt, 20)));
    }
}

async function deadlocks(): Promise<number> {
  const rows: { deadlocks: string }[] = await db
    .dataSource()
    .query('SELECT pg_stat_clear_snapshot(), deadlocks FROM pg_stat_database WHERE datname = current_database()');
  return Number(rows[0]?.deadlocks);
}

/** Deadlocks that the server found during `work`: a back end has told its own at the latest when it is gone. */
async function deadlocksOf(sources: readonly DataSource[], work: () => Promise<unknown>): Promise<number> {
  const before = await deadlocks();
  await work();
  await Promise.all(sources.map((source) => source.destroy()));
  await waitFor(async () => (await sessions()) === 0, 'the writers are gone');
  return (await deadlocks()) - before;
}

async function sessions(): Promise<number> {
  const rows: { n: string }[] = await db
    .dataSource()
    .query('SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()');
  return Number(rows[0]?.n);
}

const created = (results: readonly (readonly { status: string }[])[]): number =>
  results.flat().filter(({ status }) => status === 'created').length;
const differences = (driver = home()) =>
  driver.fetchDailyDiscrepancies('t-a', toIsoDate('2026-03-01'), toIsoDate('2026-04-01'));

/** Compares days with calls on a connection of its own until `work` has ended; how often, and what it found. */
async function whileChecking(
  work: () => Promise<unknown>,
): Promise<{ readonly looks: number; readonly found: unknown[] }> {
  const [source] = await db.connections(1);
  if (source === undefined) throw new Error('no connection');
  let over = false;
  const found: unknown[] = [];
  const checker = (async () => {
    let looks = 0;
    for (; !over; looks += 1) found.push(...(await differences(on(source.manager))));
    return looks;
  })();
  try {
    await work();
  } finally {
    over = true;
  }
  return { looks: await checker, found };
}

async function setUp(): Promise<void> {
  await insertRows(
    db.dataSource().manager,
    makeTenant({ id: 't-a' }),
    makeIntegration('t-a', { id: 'int-1' }),
    makeIntegration('t-a', { id: 'int-2' }),
  );
}

/** The repair, as the engine makes it: lock, then count, then set. */
async function recompute(
  manager: EntityManager,
  pause: () => Promise<unknown> = () => wait(random(4)),
): Promise<number> {
  const driver = on(manager);
  const locked = new Set(await driver.lockDailyAggregates('t-a', DAY));
  await pause();
  const counted = await driver.computeDailyAggregatesRaw('t-a', DAY);
  await pause();
  const held = counted.filter(({ integrationId }) => locked.has(integrationId));
  await driver.upsertDailyAggregates(
    't-a',
    held.map((row) => ({ date: DAY, ...row })),
  );
  return counted.length;
}
const daily = (driver = home()) =>
  driver.fetchDailyAggregates('t-a', { fromDate: DAY, toDate: toIsoDate('2026-03-11') });

beforeEach(setUp);

describe('createUsage', () => {
  it('16 senders of one call: one creates it, the others meet a duplicate', async () => {
    const sources = await db.connections(16, { max: 1 });
    for (let i = 0; i < REPETITIONS; i += 1) {
      const outcomes = await Promise.all(sources.map(({ manager }) => on(manager).createUsage('t-a', usage(`c-${i}`))));
      expect(created([outcomes])).toBe(1);
      expect(new Set(outcomes.map(({ id }) => id)).size).toBe(1);
    }
    expect(await home().countUsage('t-a')).toBe(REPETITIONS);
    expect(await differences()).toEqual([]);
  });

  it('16 contents of one call: the first stands, the others conflict', async () => {
    const sources = await db.connections(16, { max: 1 });
    for (let i = 0; i < REPETITIONS; i += 1) {
      const callId = `c-${i}`;
      const results = await Promise.allSettled(
        sources.map(({ manager }, tokensIn) => on(manager).createUsage('t-a', usage(callId, { tokensIn }))),
      );
      const winner = results.findIndex(({ status }) => status === 'fulfilled');
      const lost = results.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []));
      expect(lost).toHaveLength(15);
      const id = await home().fetchByCallId('t-a', callId);
      for (const error of lost) {
        expect(ConflictError.is(error)).toBe(true);
        expect(HocError.is(error) && error.details).toEqual({ reason: 'content', callId, existingId: id });
      }
      expect(
        (await home().fetchUsageHistory('t-a', {}, { limit: 200 })).items.find((row) => row.id === id),
      ).toMatchObject({
        tokensIn: winner,
      });
    }
    expect(await differences()).toEqual([]);
  });

  it('waits for a writer that rolls back, and then creates the call', async () => {
    const [first, second] = await db.connections(2);
    if (first === undefined || second === undefined) throw new Error('no connection');
    for (let i = 0; i < REPETITIONS; i += 1) {
      const runner = first.createQueryRunner();
      await runner.startTransaction();
      await on(runner.manager).createUsage('t-a', usage(`c-${i}`, { tokensIn: 1 }));
      const waiting = on(second.manager).createUsage('t-a', usage(`c-${i}`));
      await wait(random(6));
      await runner.rollbackTransaction();
      await runner.release();
      expect((await waiting).status).toBe('created');
    }
    expect(await home().fetchUsageSummary('t-a')).toMatchObject({
      totalCalls: REPETITIONS,
      totalTokensIn: REPETITIONS * U.tokensIn,
    });
    expect(await differences()).toEqual([]);
  });
});

describe('createUsageBatch', () => {
  it('F37: 12 connections, the same 50 new calls, shuffled', async () => {
    const sources = await db.connections(12, { max: 1 });
    for (let i = 0; i < REPETITIONS; i += 1) {
      const batch = range(0, 50).map((n) => numbered(n, `r${i}`));
      const results = await Promise.all(
        sources.map(({ manager }) => on(manager).createUsageBatch('t-a', shuffled(batch))),
      );
      expect(results.map((outcomes) => outcomes.length)).toEqual(Array.from({ length: 12 }, () => 50));
      expect(created(results)).toBe(50);
      expect(results.flat().filter(({ status }) => status === 'duplicate')).toHaveLength(11 * 50);
    }
    expect(await home().countUsage('t-a')).toBe(REPETITIONS * 50);
    expect(await differences()).toEqual([]);
  });

  it('8 x 500 overlapping calls, shuffled: no deadlock, each call created once', async () => {
    const sources = await db.connections(8, { max: 1 });
    let sum = 0;
    const found = await deadlocksOf(sources, async () => {
      for (let i = 0; i < REPETITIONS / 2; i += 1) {
        const batches = sources.map((_, k) => shuffled(range(100 * k, 500).map((n) => numbered(n, `r${i}`))));
        const results = await Promise.all(
          sources.map((source, k) => source.transaction((m) => on(m).createUsageBatch('t-a', batches[k] ?? []))),
        );
        sum += created(results);
      }
    });
    expect(found).toBe(0);
    expect(sum).toBe((REPETITIONS / 2) * 1200);
    expect(await home().countUsage('t-a')).toBe(sum);
    expect(await differences()).toEqual([]);
  });

  it.each([
    ['8 x 2,500', range(0, 8).map((k) => range(500 * k, 2500))],
    ['2 x 2,500 against 6 x 500', range(0, 8).map((k) => (k < 2 ? range(500 * k, 2500) : range(400 * k, 500)))],
  ])('%s calls of one day in random order and rhythm: no deadlock', async (_, numbers) => {
    const distinct = new Set(numbers.flat()).size;
    for (let i = 0; i < LARGE_REPETITIONS; i += 1) {
      const sources = await db.connections(8, { max: 1 });
      let results: Awaited<ReturnType<CusTelemetryDriver['createUsageBatch']>>[] = [];
      const found = await deadlocksOf(sources, async () => {
        results = await Promise.all(
          sources.map((source, k) =>
            source.transaction(async (m) => {
              await dawdle(m, 15);
              return on(m).createUsageBatch('t-a', shuffled((numbers[k] ?? []).map((n) => numbered(n, `r${i}`))));
            }),
          ),
        );
      });
      expect(found).toBe(0);
      expect(created(results)).toBe(distinct);
      expect(results.flat().filter(({ status }) => status === 'conflict')).toEqual([]);
    }
    expect(await home().countUsage('t-a')).toBe(LARGE_REPETITIONS * distinct);
    expect(await differences()).toEqual([]);
  });

  it('the same by COPY, 4 x 10,000; no temporary table is left', async () => {
    const sources = await db.connections(4, { max: 1 });
    const [source] = sources;
    let sum = 0;
    const found = await deadlocksOf(sources, async () => {
      const results = await Promise.all(
        sources.map((each, k) =>
          each.transaction(async (m) => {
            await dawdle(m, 15);
            return on(m).createUsageBatch('t-a', shuffled(range(2000 * k, 10_000).map((n) => numbered(n))));
          }),
        ),
      );
      sum = created(results);
      expect(await source?.query("SELECT relname FROM pg_class WHERE relname LIKE 'hoc_usage_copy%'")).toEqual([]);
    });
    expect(found).toBe(0);
    expect(sum).toBe(16_000);
    expect(await home().countUsage('t-a')).toBe(16_000);
    expect(await differences()).toEqual([]);
  });

  it("two batches in one caller's transaction, ranges crossed: whoever meets a deadlock sends again", async () => {
    const sources = await db.connections(4, { max: 1, options: '-c TimeZone=UTC -c deadlock_timeout=20' });
    for (let i = 0; i < LARGE_REPETITIONS; i += 1) {
      const low = range(0, 700).map((n) => numbered(n, `r${i}`));
      const high = range(700, 700).map((n) => numbered(n, `r${i}`));
      const results = await Promise.all(
        sources.map((source, k) =>
          again(source, async (m) => {
            const batches = k % 2 ? [low, high] : [high, low];
            const outcomes = [];
            for (const batch of batches) outcomes.push(...(await on(m).createUsageBatch('t-a', shuffled(batch))));
            return outcomes;
          }),
        ),
      );
      expect(created(results)).toBe(1400);
    }
    expect(await home().countUsage('t-a')).toBe(LARGE_REPETITIONS * 1400);
    expect(await differences()).toEqual([]);
  });
});

describe('computeDailyAggregates (lock, count, set) among writers', () => {
  it('F44: two at once, a 101st call committed between their starts: 101, whichever ends last', async () => {
    const sources = await db.connections(2);
    await home().createUsageBatch(
      't-a',
      range(0, 100).map((n) => usage(`c-${n}`)),
    );
    for (let i = 0; i < REPETITIONS; i += 1) {
      let second: Promise<unknown> = Promise.resolve();
      await sources[0]?.transaction(async (m) => {
        await m.query('SELECT 1');
        await home().createUsage('t-a', usage(`later-${i}`));
        second = sources[1]?.transaction((other) => recompute(other)) ?? second;
        await wait(random(4));
        await recompute(m);
      });
      await second;
      expect((await daily())[0]?.totalCalls).toBe(101 + i);
    }
    expect(await differences()).toEqual([]);
  });

  it('F45: a second time changes nothing but updated_at', async () => {
    await home().createUsageBatch(
      't-a',
      range(0, 10).map((n) => numbered(n)),
    );
    const [source] = await db.connections(1);
    const first = await source?.transaction((m) => recompute(m));
    const rows = await daily();
    expect(await source?.transaction((m) => recompute(m))).toBe(first);
    expect(first).toBe(2);
    expect(await daily()).toEqual(rows);
  });

  it('repairs figures and a row that somebody took away', async () => {
    await home().createUsageBatch(
      't-a',
      range(0, 10).map((n) => numbered(n)),
    );
    const rows = await daily();
    await db.dataSource().query("DELETE FROM cus_usage_daily WHERE integration_id = 'int-1'");
    await db.dataSource().query('UPDATE cus_usage_daily SET total_calls = 77');
    expect(await differences()).toHaveLength(2);
    await db.dataSource().transaction((m) => recompute(m));
    expect(await daily()).toEqual(rows);
  });

  it('a first call of the day that commits while it counts is not set back', async () => {
    const [source] = await db.connections(1);
    let step = 0;
    await source?.transaction((m) => recompute(m, () => home().createUsage('t-a', usage(`c-${(step += 1)}`))));
    expect(step).toBe(2);
    expect((await daily())[0]?.totalCalls).toBe(2);
    expect(await differences()).toEqual([]);
  });

  it('4 repairs and 4 writers: the days are the recount at every snapshot, and never fall', async () => {
    const integrations = range(10, 30).map((n) => `int-${n}`);
    await insertRows(db.dataSource().manager, ...integrations.map((id) => makeIntegration('t-a', { id })));
    const [...sources] = await db.connections(8, { max: 1 });
    const watcher = (await db.connections(1))[0]?.manager;
    if (watcher === undefined) throw new Error('no connection');
    const seen = new Map<string, number>();
    const fallen: unknown[] = [];
    let over = false;
    const watching = (async () => {
      while (!over)
        for (const { integrationId, totalCalls } of await daily(on(watcher))) {
          if (totalCalls < (seen.get(integrationId) ?? 0)) fallen.push({ integrationId, totalCalls });
          seen.set(integrationId, totalCalls);
        }
    })();
    const { looks, found } = await whileChecking(() =>
      Promise.all(
        sources.map(async (source, k) => {
          for (let i = 0; i < REPETITIONS; i += 1)
            if (k < 4) await source.transaction((m) => recompute(m));
            else
              await on(source.manager).createUsageBatch(
                't-a',
                range(0, 20).map((n) =>
                  usage(`${k}-${i}-${n}`, { integrationId: integrations[random(i + 5)] ?? 'int-1' }),
                ),
              );
        }),
      ),
    );
    over = true;
    await watching;
    expect(found).toEqual([]);
    expect(fallen).toEqual([]);
    expect(looks).toBeGreaterThan(0);
    expect(await home().countUsage('t-a')).toBe(4 * REPETITIONS * 20);
    expect(await differences()).toEqual([]);
  });
});

describe('lost connections', () => {
  const VICTIM = 'hoc-victim';
  /** Calls of one writer; a fifth of what it sends are calls that another one sends too. */
  const ROUNDS = 30;

  it('8 writers, 20 % replays, back ends ended and clients cut: the days are the recount at every snapshot', async () => {
    const proxy = await tcpProxy(db.url());
    const unexpected: unknown[] = [];
    const lost = { count: 0 };
    let over = false;
    try {
      const source = await dataSourceOn(proxy.url, content, { max: 8, application_name: VICTIM }).initialize();
      const killing = killAtRandom(() => over, proxy.drop);
      const { looks, found } = await whileChecking(() =>
        Promise.all(range(0, 8).map((k) => writer(source, k, unexpected, lost))),
      );
      over = true;
      const kills = await killing;
      await source.destroy();
      expect(found).toEqual([]);
      expect(unexpected).toEqual([]);
      expect(looks).toBeGreaterThan(0);
      expect(kills).toBeGreaterThan(0);
      expect(lost.count).toBeGreaterThan(0);
    } finally {
      over = true;
      await proxy.close();
    }
    await waitFor(async () => (await victims()) === 0, 'the cut back ends are gone');
    const all = [
      ...new Map(
        range(0, 8)
          .flatMap((k) => range(0, ROUNDS).flatMap((i) => sent(k, i)))
          .map((u) => [u.callId, u]),
      ).values(),
    ];
    const outcomes: { status: string }[] = [];
    for (let at = 0; at < all.length; at += 20_000) {
      const part = all.slice(at, at + 20_000);
      outcomes.push(...(await db.dataSource().transaction((m) => on(m).createUsageBatch('t-a', part))));
    }
    expect(outcomes.filter(({ status }) => status === 'conflict')).toEqual([]);
    expect(created([outcomes])).toBeLessThan(all.length);
    expect(await home().fetchUsageSummary('t-a')).toMatchObject({
      totalCalls: all.length,
      totalTokensIn: all.reduce((sum, { tokensIn }) => sum + tokensIn, 0),
      totalTokensOut: all.length * U.tokensOut,
    });
    expect(await differences()).toEqual([]);
  });

  /** What writer k sends in round i: the first fifth is a round of its neighbour's, or its own round before. */
  function sent(k: number, i: number): readonly NewUsage[] {
    const size = i % 10 === 9 ? 1200 : 1 + ((k * 7 + i * 3) % 40);
    const name = (writer: number, round: number, n: number): number => writer * 1_000_000 + round * 2000 + n;
    return range(0, size).map((n) => {
      if (n % 5 !== 0) return numbered(name(k, i, n));
      return numbered(i % 2 ? name((k + 1) % 8, i, n + 1) : name(k, Math.max(0, i - 1), n + 1));
    });
  }

  async function writer(source: DataSource, k: number, unexpected: unknown[], lost: { count: number }): Promise<void> {
    for (let i = 0; i < ROUNDS; i += 1) {
      const batch = shuffled(sent(k, i));
      const write = async (manager: EntityManager): Promise<unknown> => {
        try {
          return await (batch.length === 1
            ? on(manager).createUsage('t-a', batch[0] ?? U)
            : on(manager).createUsageBatch('t-a', batch));
        } catch (error) {
          // Whoever loses its connection is told so, by an error that is ours.
          if (!UnavailableError.is(error)) unexpected.push(error);
          throw error;
        }
      };
      try {
        await (batch.length > 1000 || i % 3 === 0 ? source.transaction(write) : write(source.manager));
      } catch {
        lost.count += 1;
      }
    }
  }

  /** Ends a back end, or cuts every client, at random moments. */
  async function killAtRandom(over: () => boolean, cut: () => void): Promise<number> {
    return asAdmin(async (client) => {
      let kills = 0;
      for (; !over(); kills += 1) {
        await wait(10 + random(40));
        if (random(4) === 0) cut();
        else
          await client.query(
            "SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity WHERE application_name = $1 AND state <> 'idle' ORDER BY random() LIMIT 1) AS one",
            [VICTIM],
          );
      }
      return kills;
    });
  }

  async function victims(): Promise<number> {
    const rows: { n: string }[] = await db
      .dataSource()
      .query('SELECT count(*) AS n FROM pg_stat_activity WHERE application_name = $1', [VICTIM]);
    return Number(rows[0]?.n);
  }
});
