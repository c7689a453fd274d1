import type { NewUsage } from '@hoc/activity/schemas';
import { entities, migrations } from '@hoc/shared/models';
import { ConflictError, type DecimalString, HocError, toIsoDate, UnavailableError, uuidV7Generator } from '@hoc/shared/kernel';
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
  usage(`${prefix}-${i}`, { integrationId: i % 2 ? 'int-1' : 'int-2', tokensIn: i, costCents: `0.${1 + (i % 9)}` as DecimalString });
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

/** What the spine does, which drivers may not import: again after a deadlock. */
async function again<T>(source: DataSource, work: (manager: EntityManager) => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1)
    try {
      return await source.transaction(work);
    } catch (error) {
      if (!UnavailableError.is(error) || error.details['reason'] !== 'deadlock' || attempt === 10) throw error;
    }
}

async function deadlocks(): Promise<number> {
  const rows: { deadlocks: string }[] = await db.dataSource().query(
    'SELECT pg_stat_clear_snapshot(), deadlocks FROM pg_stat_database WHERE datname = current_database()',
  );
  return Number(rows[0]?.deadlocks);
}

/** A back end tells the statistics of its deadlocks when its transaction ends, at most a second later or when it closes. */
async function deadlocksOf(work: () => Promise<unknown>, connections: readonly DataSource[]): Promise<number> {
  const before = await deadlocks();
  await work();
  await Promise.all(connections.map((source) => source.destroy()));
  await db.dataSource().query('SELECT pg_stat_force_next_flush()');
  return (await deadlocks()) - before;
}

const created = (results: readonly (readonly { status: string }[])[]): number =>
  results.flat().filter(({ status }) => status === 'created').length;
const differences = (driver = home()) =>
  driver.fetchDailyDiscrepancies('t-a', toIsoDate('2026-03-01'), toIsoDate('2026-04-01'));

/** Compares days with calls on a connection of its own until `work` has ended; how often, and what it found. */
async function whileChecking(work: () => Promise<unknown>): Promise<{ readonly looks: number; readonly found: unknown[] }> {
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
const clear = (): Promise<unknown> => db.dataSource().query('TRUNCATE cus_llm_usage, cus_usage_daily');

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
      expect((await home().fetchUsageHistory('t-a', {}, { limit: 200 })).items.find((row) => row.id === id)).toMatchObject({
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
