import type { NewUsage, UsageFilter, UsageRow, UsageSummaryRow } from '@hoc/activity/schemas';
import { entities, migrations } from '@hoc/shared/models';
import { addDays, CUS_POLICY_RESULTS, type DecimalString, type IsoDate, toIsoDate, toMoney } from '@hoc/shared/kernel';
import { fixedClock, makeIntegration, makeTenant } from '@hoc/shared/testing';
import { insertRows, useDatabase } from '@hoc/testkit';
import fc from 'fast-check';
import { type CusTelemetryDriver, getCusTelemetryDriver } from './cus-telemetry.driver';

/** Of each law; a run is undone by a savepoint. */
const RUNS = { numRuns: 50 };
const FROM = toIsoDate('2026-03-01');
const TO = toIsoDate('2026-03-06');

const db = useDatabase({ entities, migrations });
const clock = fixedClock('2026-03-10T12:00:00.000Z');
let waiting: string[] = [];
let made = 0;
let driver: CusTelemetryDriver;

beforeEach(async () => {
  const ids = { next: () => waiting.shift() ?? `id-${String((made += 1)).padStart(8, '0')}` };
  driver = getCusTelemetryDriver(db.manager(), { clock, ids });
  await insertRows(db.manager(), makeTenant({ id: 't-a' }), makeTenant({ id: 't-b' }), makeTenant({ id: 't' }));
  for (const tenant of ['t-a', 't-b', 't'])
    await insertRows(
      db.manager(),
      ...INTEGRATIONS.map((id) => makeIntegration(tenant, { id, name: `${id} of ${tenant}` })),
    );
});

/** A property of the database: each run starts with empty tables. */
const law = <T extends [unknown, ...unknown[]]>(
  arbitraries: { [K in keyof T]: fc.Arbitrary<T[K]> },
  holds: (...values: T) => Promise<void>,
): Promise<void> =>
  fc.assert(
    fc.asyncProperty<T>(...arbitraries, async (...values) => {
      await db.manager().query('SAVEPOINT law');
      try {
        waiting = [];
        await holds(...values);
      } finally {
        await db.manager().query('ROLLBACK TO SAVEPOINT law');
      }
    }),
    RUNS,
  );

const INTEGRATIONS = ['int-1', 'int-2', 'ｉnt-3', '🦉'];
const START = Date.parse('2026-03-01T00:00:00.000Z');
const HOUR = 3_600_000;
/** Five days; often a midnight, a millisecond beside one, or one of few instants, so that many are equal. */
const instant = fc
  .oneof(
    fc.integer({ min: 0, max: 4 }).map((n) => n * 24 * HOUR),
    fc.integer({ min: 1, max: 4 }).map((n) => n * 24 * HOUR - 1),
    fc.integer({ min: 0, max: 119 }).map((n) => n * HOUR),
    fc.integer({ min: 0, max: 120 * HOUR - 1 }),
  )
  .map((ms) => new Date(START + ms));
/** Up to 12 integer digits, so that a day's sum keeps its column's 14. */
const money = fc
  .tuple(fc.bigInt({ min: 0n, max: 10n ** 12n - 1n }), fc.integer({ min: 0, max: 999_999 }))
  .map(([whole, fraction]) => toMoney(`${whole}.${String(fraction).padStart(6, '0')}`));

const contentOf = fc.record(
  {
    integrationId: fc.constantFrom(...INTEGRATIONS),
    provider: fc.constantFrom('openai', 'azure_openai'),
    model: fc.constantFrom('m', 'M', 'ｍ', '🦉'),
    tokensIn: fc.integer({ min: 0, max: 1_000_000_000 }),
    tokensOut: fc.integer({ min: 0, max: 1_000_000_000 }),
    costCents: money,
    occurredAt: instant,
    latencyMs: fc.integer({ min: 0, max: 2_147_483_647 }),
    policyResult: fc.constantFrom(...CUS_POLICY_RESULTS),
    errorCode: fc.constantFrom('timeout', 'NULL'),
    sessionId: fc.constantFrom('s', '\\N', '"'),
    metadata: fc.dictionary(
      fc.string({ maxLength: 3, unit: 'grapheme' }).filter((key) => key !== '__proto__'),
      fc.integer(),
      { maxKeys: 2 },
    ),
  },
  { requiredKeys: ['integrationId', 'provider', 'model', 'tokensIn', 'tokensOut', 'costCents', 'occurredAt'] },
);
/** Different calls. */
const usages: fc.Arbitrary<readonly NewUsage[]> = fc
  .array(contentOf, { maxLength: 25 })
  .map((contents) => contents.map((content, i): NewUsage => ({ ...content, callId: `c-${i}` })));
const ordered = (points: readonly Date[]): Date[] => [...points].sort((a, b) => a.getTime() - b.getTime());

const NUMBERS = ['totalCalls', 'totalTokensIn', 'totalTokensOut', 'errorCount', 'blockedCount'] as const;
type Sums = Pick<UsageSummaryRow, (typeof NUMBERS)[number] | 'totalCostCents'>;
/** Sums without a decimal library: money in millionths of a cent. */
const added = (parts: readonly Partial<Sums>[]): Record<string, bigint> => ({
  ...Object.fromEntries(NUMBERS.map((name) => [name, parts.reduce((sum, part) => sum + BigInt(part[name] ?? 0), 0n)])),
  totalCostCents: parts.reduce((sum, part) => sum + millionths(part.totalCostCents ?? '0'), 0n),
});
function millionths(amount: string): bigint {
  const [whole = '0', fraction = ''] = amount.split('.');
  return BigInt(whole + fraction.padEnd(6, '0'));
}
const asSums = (usage: NewUsage): Sums => ({
  totalCalls: 1,
  totalTokensIn: usage.tokensIn,
  totalTokensOut: usage.tokensOut,
  totalCostCents: usage.costCents,
  errorCount: usage.errorCode === undefined ? 0 : 1,
  blockedCount: usage.policyResult === 'blocked' ? 1 : 0,
});

async function pages(tenant: string, filter: UsageFilter, limits: readonly number[]): Promise<UsageRow[]> {
  const rows: UsageRow[] = [];
  let cursor: string | null = null;
  let page = 0;
  do {
    const limit = limits[(page += 1) % limits.length] ?? 1;
    const found = await driver.fetchUsageHistory(tenant, filter, { limit, ...(cursor === null ? {} : { cursor }) });
    rows.push(...found.items);
    cursor = found.nextCursor;
  } while (cursor !== null);
  return rows;
}

it('law 1: pages put together are the reference sort, ids in byte order', async () => {
  // Byte order and UTF-16 order differ between the last two kinds.
  const id = fc.oneof(
    fc.string({ minLength: 1, maxLength: 3, unit: fc.constantFrom('a', 'B', '~', 'é', 'ﬀ', '\uffee', '🦉', '𝄞') }),
    fc.string({ minLength: 1, maxLength: 8, unit: 'grapheme' }).filter((text) => /^[^\p{Cc}]{1,100}$/u.test(text)),
  );
  const filters = fc.record(
    { integrationId: fc.constantFrom(...INTEGRATIONS), from: instant, to: instant },
    { requiredKeys: [] },
  );
  const limits = fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1, maxLength: 3 });
  await law(
    [usages, fc.uniqueArray(id, { minLength: 25, maxLength: 25 }), filters, limits],
    async (calls, ids, filter, sizes) => {
      waiting = [...ids];
      const { from, to } = filter;
      if (from && to && from > to) Object.assign(filter, { from: to, to: from });
      await driver.createUsageBatch('t-a', calls);
      const expected = calls
        .map((call, i) => ({ ...call, id: ids[i] ?? '', at: call.occurredAt?.getTime() ?? 0 }))
        .filter(({ integrationId }) => (filter.integrationId ?? integrationId) === integrationId)
        .filter(({ at }) => at >= (filter.from?.getTime() ?? at) && at < (filter.to?.getTime() ?? at + 1))
        .sort((a, b) => b.at - a.at || Buffer.compare(Buffer.from(b.id), Buffer.from(a.id)))
        .map(({ id: name }) => name);
      expect((await pages('t-a', filter, sizes)).map((row) => row.id)).toEqual(expected);
      expect(await driver.countUsage('t-a', filter)).toBe(expected.length);
    },
  );
});

it('laws 3 and 6: adjoining ranges add up, to the exact sums of the inputs', async () => {
  const one = fc.option(fc.constantFrom(...INTEGRATIONS), { nil: undefined });
  await law([usages, fc.array(instant, { minLength: 3, maxLength: 3 }), one], async (calls, points, integrationId) => {
    const [a, b, c] = ordered(points);
    if (!a || !b || !c) throw new Error('three points');
    await driver.createUsageBatch('t-a', calls);
    const only = integrationId === undefined ? {} : { integrationId };
    const sums = (from: Date, to: Date) => driver.fetchUsageSummary('t-a', { from, to, ...only });
    const whole = added([await sums(a, c)]);
    expect(added([await sums(a, b), await sums(b, c)])).toEqual(whole);
    const inside = calls.filter(
      ({ occurredAt, integrationId: own }) =>
        occurredAt && occurredAt >= a && occurredAt < c && (integrationId ?? own) === own,
    );
    expect(whole).toEqual(added(inside.map(asSums)));
    const latencies = inside.flatMap(({ latencyMs }) => latencyMs ?? []);
    const total = latencies.reduce((sum, ms) => sum + ms, 0);
    const average = latencies.length === 0 ? null : Math.floor((2 * total + latencies.length) / (2 * latencies.length));
    expect((await sums(a, c)).avgLatencyMs).toBe(average);
  });
});

it('law 4: what is summed by integration, model and day is the summary; days are the recount', async () => {
  await law([usages, instant, instant], async (calls, p, q) => {
    await driver.createUsageBatch('t-a', calls);
    const [from, to] = ordered([p, q]);
    const range = from && to ? { from, to } : {};
    const integrations = await driver.fetchPerIntegrationUsage('t-a', range);
    const summary = await driver.fetchUsageSummary('t-a', range);
    const tokens = integrations.reduce((sum, row) => sum + row.totalTokens, 0);
    expect(tokens).toBe(summary.totalTokensIn + summary.totalTokensOut);
    expect({ ...added(integrations), totalTokensIn: 0, totalTokensOut: 0, blockedCount: 0 }).toEqual({
      ...added([summary]),
      totalTokensIn: 0,
      totalTokensOut: 0,
      blockedCount: 0,
    });
    const dearest = (rows: readonly { totalCostCents: DecimalString }[]) =>
      rows.map((row) => millionths(row.totalCostCents));
    const models = await driver.fetchPerModelUsage('t-a', range);
    expect({ ...added(models), blockedCount: 0n }).toEqual({ ...added([summary]), blockedCount: 0n });
    for (const costs of [dearest(integrations), dearest(models)])
      expect(costs).toEqual([...costs].sort((a, b) => (a > b ? -1 : a < b ? 1 : 0)));
    const all = await driver.fetchUsageSummary('t-a', { from: new Date(START), to: new Date(START + 120 * HOUR) });
    const raw = [];
    for (let day: IsoDate = FROM; day < TO; day = addDays(day, 1))
      raw.push(...(await driver.computeDailyAggregatesRaw('t-a', day)));
    expect(added(raw)).toEqual(added([all]));
    expect(added(await driver.fetchDailyAggregates('t-a', { fromDate: FROM, toDate: TO }))).toEqual(added([all]));
    expect(await driver.fetchDailyDiscrepancies('t-a', FROM, TO)).toEqual([]);
  });
});

/** Facts and days without what differs from one writing to the next. */
async function stored(): Promise<unknown> {
  const facts: unknown = await db
    .manager()
    .query(`SELECT to_jsonb(u) - 'id' - 'recorded_at' AS fact FROM cus_llm_usage u ORDER BY tenant_id, call_id`);
  const days: unknown = await db
    .manager()
    .query(`SELECT to_jsonb(d) - 'updated_at' AS day FROM cus_usage_daily d ORDER BY tenant_id, integration_id, date`);
  return { facts, days };
}

it('law 5: order, split and repetition of what is ingested change no fact and no day', async () => {
  const way = fc.record({
    order: fc.array(fc.nat({ max: 1_000_000 }), { minLength: 50, maxLength: 50 }),
    repeated: fc.array(fc.nat({ max: 24 }), { maxLength: 15 }),
    sizes: fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 1, maxLength: 5 }),
  });
  await law([usages, way], async (calls, { order, repeated, sizes }) => {
    await db.manager().query('SAVEPOINT plain');
    await driver.createUsageBatch('t-a', calls);
    const expected = await stored();
    await db.manager().query('ROLLBACK TO SAVEPOINT plain');
    const sent = [...calls, ...repeated.flatMap((i) => calls[i] ?? [])]
      .map((call, i) => ({ call, rank: order[i] ?? 0 }))
      .sort((a, b) => a.rank - b.rank)
      .map(({ call }) => call);
    let created = 0;
    for (let at = 0, turn = 0; at < sent.length; turn += 1) {
      const size = sizes[turn % sizes.length] ?? 0;
      const [single] = sent.slice(at, at + 1);
      const outcomes =
        size === 0 && single
          ? [await driver.createUsage('t-a', single)]
          : await driver.createUsageBatch('t-a', sent.slice(at, at + size));
      expect(outcomes.map(({ status }) => status)).not.toContain('conflict');
      created += outcomes.filter(({ status }) => status === 'created').length;
      at += Math.max(size, 1);
    }
    expect(created).toBe(calls.length);
    expect(await stored()).toEqual(expected);
  });
});

/** What every reading method says to `t-a`. */
async function readings(): Promise<unknown> {
  const range = { from: new Date(START + 7 * HOUR), to: new Date(START + 99 * HOUR) };
  const days = { fromDate: FROM, toDate: TO };
  return {
    ids: [await driver.fetchByCallId('t-a', 'c-0'), await driver.fetchByCallId('t-a', 'c-24')],
    known: await driver.fetchCallIdsBatch('t-a', ['c-0', 'c-3', 'c-9', 'c-24', 'x']),
    integration: await driver.fetchIntegration('t-a', 'int-1'),
    integrations: await driver.fetchIntegrationsBatch('t-a', [...INTEGRATIONS, 'theirs']),
    summaries: [await driver.fetchUsageSummary('t-a'), await driver.fetchUsageSummary('t-a', range)],
    ofOne: [
      await driver.fetchUsageSummary('t-a', { integrationId: 'int-1' }),
      await driver.fetchUsageSummary('t-a', { ...range, integrationId: 'int-1' }),
    ],
    count: [await driver.countUsage('t-a'), await driver.countUsage('t-a', range)],
    perIntegration: [await driver.fetchPerIntegrationUsage('t-a'), await driver.fetchPerIntegrationUsage('t-a', range)],
    perModel: [await driver.fetchPerModelUsage('t-a'), await driver.fetchPerModelUsage('t-a', range)],
    history: [await pages('t-a', {}, [7]), await pages('t-a', { ...range, integrationId: 'int-1' }, [2])],
    daily: [
      await driver.fetchDailyAggregates('t-a', days),
      await driver.fetchDailyAggregates('t-a', { ...days, integrationId: 'int-1' }),
    ],
    raw: await driver.computeDailyAggregatesRaw('t-a', addDays(FROM, 2)),
    discrepancies: await driver.fetchDailyDiscrepancies('t-a', FROM, TO),
  };
}

it('law 9: rows of other tenants change no result', async () => {
  await law([usages, usages, usages], async (mine, theirs, others) => {
    await driver.createUsageBatch('t-a', mine);
    const before = await readings();
    await insertRows(db.manager(), makeIntegration('t-b', { id: 'theirs' }));
    expect((await driver.createUsageBatch('t-b', theirs)).map(({ status }) => status)).toEqual(
      theirs.map(() => 'created'),
    );
    expect((await driver.createUsageBatch('t', others)).map(({ status }) => status)).toEqual(
      others.map(() => 'created'),
    );
    // The day of another tenant's row is wrong on purpose: it is no discrepancy of ours.
    await db.manager().query("UPDATE cus_usage_daily SET total_calls = total_calls + 1 WHERE tenant_id <> 't-a'");
    expect(await readings()).toEqual(before);
    const [replay] = mine;
    if (replay) expect((await driver.createUsage('t-a', replay)).status).toBe('duplicate');
    await driver.lockDailyAggregates('t-a', FROM);
    expect(await readings()).toEqual(before);
  });
});

it('law 12: the zone of the session changes no fact, no day and no result', async () => {
  const zones = fc.constantFrom('Pacific/Apia', 'Asia/Kolkata', 'America/St_Johns', 'Pacific/Chatham', 'Etc/GMT+12');
  await law([usages, zones, zones], async (calls, writing, reading) => {
    const here = async (zone: string): Promise<void> => {
      await db.manager().query(`SET LOCAL TIME ZONE '${zone}'`);
    };
    const recompute = async (): Promise<void> => {
      await driver.lockDailyAggregates('t-a', FROM);
      const rows = await driver.computeDailyAggregatesRaw('t-a', FROM);
      await driver.upsertDailyAggregates(
        't-a',
        rows.map((row) => ({ date: FROM, ...row })),
      );
    };
    await here('UTC');
    await db.manager().query('SAVEPOINT plain');
    made = 0;
    await driver.createUsageBatch('t-a', calls);
    await recompute();
    const [facts, results] = [await stored(), await readings()];
    await db.manager().query('ROLLBACK TO SAVEPOINT plain');
    await here(writing);
    made = 0;
    await driver.createUsageBatch('t-a', calls);
    await recompute();
    await here(reading);
    expect(await readings()).toEqual(results);
    for (const call of calls.slice(0, 3)) expect((await driver.createUsage('t-a', call)).status).toBe('duplicate');
    await here('UTC');
    expect(await stored()).toEqual(facts);
  });
});
