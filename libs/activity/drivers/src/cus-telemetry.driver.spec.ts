import type { NewUsage } from '@hoc/activity/schemas';
import { entities, migrations } from '@hoc/shared/models';
import { deepFreeze, HocError, type DecimalString, toIsoDate } from '@hoc/shared/kernel';
import { fixedClock, makeIntegration, makeTenant, makeUsage, sequentialIds } from '@hoc/shared/testing';
import { insertRows, insertUsageRows, statementCounter, useDatabase } from '@hoc/testkit';
import { type CusTelemetryDriver, getCusTelemetryDriver, utcNow } from './cus-telemetry.driver';

const NOW = '2026-03-10T12:00:00.000Z';
const db = useDatabase({ entities, migrations });
const clock = fixedClock(NOW);
let ids = sequentialIds('u');
let driver: CusTelemetryDriver;

/** U of the worked examples. */
const U: NewUsage = deepFreeze({
  integrationId: 'int-1',
  callId: 'c-1',
  provider: 'azure_openai',
  model: 'gpt-4',
  tokensIn: 374,
  tokensOut: 44,
  costCents: '1.386' as DecimalString,
  latencyMs: 250,
});
const usage = (callId: string, more: Partial<NewUsage> = {}): NewUsage => ({ ...U, callId, ...more });
const rows = async (): Promise<number> => {
  const found: { n: string }[] = await db.manager().query('SELECT count(*) AS n FROM cus_llm_usage');
  return Number(found[0]?.n);
};
const code = async (work: Promise<unknown>): Promise<unknown> => {
  try {
    await work;
  } catch (error) {
    if (!HocError.is(error)) throw error;
    return { code: error.code, ...error.details };
  }
  return 'no error';
};

beforeEach(async () => {
  clock.set(NOW);
  ids = sequentialIds('u');
  driver = getCusTelemetryDriver(db.manager(), { clock, ids });
  await insertRows(
    db.manager(),
    makeTenant({ id: 't-a' }),
    makeTenant({ id: 't-b' }),
    makeIntegration('t-a', { id: 'int-1', name: 'Prod OpenAI' }),
    makeIntegration('t-a', { id: 'int-2', name: 'Azure', provider_type: 'azure_openai' }),
    makeIntegration('t-b', { id: 'int-1', name: 'Other' }),
  );
});

const today = () =>
  driver.fetchDailyAggregates('t-a', { fromDate: toIsoDate('2026-03-10'), toDate: toIsoDate('2026-03-11') });

describe('createUsage', () => {
  it('F31: stores the call and adds it to its day', async () => {
    expect(await driver.createUsage('t-a', U)).toEqual({ status: 'created', id: 'u-000001', callId: 'c-1' });
    const [row] = (await driver.fetchUsageHistory('t-a', {}, {})).items;
    expect(row).toEqual({
      id: 'u-000001',
      integrationId: 'int-1',
      callId: 'c-1',
      sessionId: null,
      agentId: null,
      provider: 'azure_openai',
      model: 'gpt-4',
      tokensIn: 374,
      tokensOut: 44,
      costCents: '1.386',
      latencyMs: 250,
      policyResult: 'allowed',
      errorCode: null,
      errorMessage: null,
      createdAt: new Date(NOW),
      recordedAt: new Date(NOW),
    });
    expect(Object.isFrozen(row)).toBe(true);
    expect(await today()).toEqual([
      {
        date: '2026-03-10',
        integrationId: 'int-1',
        totalCalls: 1,
        totalTokensIn: 374,
        totalTokensOut: 44,
        totalCostCents: '1.386',
        latencyTotalMs: 250,
        latencyCount: 1,
        avgLatencyMs: 250,
        errorCount: 0,
        blockedCount: 0,
      },
    ]);
  });

  it('F32: the same an hour later is a duplicate', async () => {
    await driver.createUsage('t-a', U);
    clock.advance(3_600_000);
    expect(await driver.createUsage('t-a', { ...U, costCents: '1.386000' as DecimalString, metadata: {} })).toEqual({
      status: 'duplicate',
      id: 'u-000001',
      callId: 'c-1',
    });
    expect(await rows()).toBe(1);
    expect((await driver.fetchUsageHistory('t-a', {}, {})).items[0]?.recordedAt).toEqual(new Date(NOW));
    expect((await today())[0]?.totalCalls).toBe(1);
  });

  it('F33, F35: other content under the call id is a conflict, and the first write stands', async () => {
    await driver.createUsage('t-a', U);
    for (const other of [
      { tokensOut: 45 },
      { occurredAt: new Date('2023-11-16T18:15:46.680Z') },
      { metadata: { a: 1 } },
      { sessionId: 's' },
      { latencyMs: 251 },
      { policyResult: 'warned' as const },
      { model: 'gpt-4o' },
    ])
      expect(await code(driver.createUsage('t-a', { ...U, ...other }))).toEqual({
        code: 'CONFLICT',
        reason: 'content',
        callId: 'c-1',
        existingId: 'u-000001',
      });
    expect(await rows()).toBe(1);
    expect((await today())[0]).toMatchObject({ totalCalls: 1, totalTokensOut: 44 });
  });

  it('takes metadata as equal whatever its key order', async () => {
    await driver.createUsage('t-a', { ...U, metadata: { a: 1, b: { c: [1, 2], d: null } } });
    expect((await driver.createUsage('t-a', { ...U, metadata: { b: { d: null, c: [1, 2] }, a: 1.0 } })).status).toBe(
      'duplicate',
    );
  });

  it('F34: call ids are per tenant', async () => {
    await driver.createUsage('t-a', U);
    expect((await driver.createUsage('t-b', U)).status).toBe('created');
  });

  it('keeps hostile text as it is', async () => {
    const callId = `"'; DROP TABLE cus_llm_usage; --"\\,{}`;
    await driver.createUsage(
      't-a',
      usage(callId, { errorCode: 'x', errorMessage: 'line 1\nline\t2 \\N {a,"b"} NULL é🦉', model: 'NULL' }),
    );
    expect((await driver.fetchUsageHistory('t-a', {}, {})).items[0]).toMatchObject({
      callId,
      errorMessage: 'line 1\nline\t2 \\N {a,"b"} NULL é🦉',
      model: 'NULL',
    });
    expect(await driver.fetchByCallId('t-a', callId)).toBe('u-000001');
  });

  it('refuses an integration of another tenant', async () => {
    expect(await code(driver.createUsage('t-b', { ...U, integrationId: 'int-2' }))).toMatchObject({
      code: 'CONFLICT',
      reason: 'foreign_key',
    });
  });
});

describe('createUsageBatch', () => {
  it('F36: outcomes in input order, each record measured against what is stored in the end', async () => {
    await driver.createUsage('t-a', U);
    const batch = [usage('c-2'), U, usage('c-2'), usage('c-2', { tokensIn: 1 }), usage('c-3')];
    expect(await driver.createUsageBatch('t-a', batch)).toEqual([
      { index: 0, callId: 'c-2', status: 'created', id: 'u-000002' },
      { index: 1, callId: 'c-1', status: 'duplicate', id: 'u-000001' },
      { index: 2, callId: 'c-2', status: 'duplicate', id: 'u-000002' },
      { index: 3, callId: 'c-2', status: 'conflict', id: null },
      { index: 4, callId: 'c-3', status: 'created', id: 'u-000006' },
    ]);
    expect(await rows()).toBe(3);
    expect((await today())[0]).toMatchObject({ totalCalls: 3, totalTokensIn: 3 * 374, totalCostCents: '4.158' });
  });

  it('a leader may be a conflict and a later record a duplicate', async () => {
    await driver.createUsage('t-a', U);
    const outcomes = await driver.createUsageBatch('t-a', [usage('c-1', { tokensIn: 9 }), U]);
    expect(outcomes.map(({ status, id }) => [status, id])).toEqual([
      ['conflict', null],
      ['duplicate', 'u-000001'],
    ]);
  });

  it.each([1000, 2500, 12_000])('%i calls: the days are the recount, a replay changes nothing', async (n) => {
    const batch = Array.from({ length: n }, (_, i) =>
      usage(`call-${(i * 7919) % n}`, {
        integrationId: i % 3 === 0 ? 'int-2' : 'int-1',
        costCents: `0.${String(1 + (i % 9))}` as DecimalString,
        occurredAt: new Date(Date.parse('2026-03-01T00:00:00Z') + (i % 9) * 86_400_000),
        ...(i % 5 === 0 ? {} : { latencyMs: i }),
        ...(i % 7 === 0 ? { errorCode: 'timeout' } : {}),
        ...(i % 11 === 0 ? { policyResult: 'blocked' as const } : {}),
      }),
    );
    const first = await driver.createUsageBatch('t-a', batch);
    expect(first.map((outcome) => outcome.index)).toEqual(batch.map((_, i) => i));
    expect(first.filter(({ status }) => status === 'created')).toHaveLength(n);
    expect(await driver.fetchDailyDiscrepancies('t-a', toIsoDate('2026-01-01'), toIsoDate('2026-12-01'))).toEqual([]);
    expect(await driver.countUsage('t-a')).toBe(n);
    const again = await driver.createUsageBatch('t-a', [...batch].reverse());
    expect(new Set(again.map(({ status }) => status))).toEqual(new Set(['duplicate']));
    expect(await driver.countUsage('t-a')).toBe(n);
    expect(await driver.fetchDailyDiscrepancies('t-a', toIsoDate('2026-01-01'), toIsoDate('2026-12-01'))).toEqual([]);
    const left: unknown[] = await db.manager().query("SELECT 1 FROM pg_class WHERE relname = 'hoc_usage_copy'");
    expect(left).toEqual([]);
  });

  it('COPY keeps every text and finds conflicts and later records as the arrays do', async () => {
    const odd = usage('call-0', { errorCode: 'e', errorMessage: 'tab\there\nline \\N \\. \r é🦉', sessionId: 's\\t' });
    const batch = Array.from({ length: 10_000 }, (_, i) => (i === 0 ? odd : usage(`call-${i}`)));
    await driver.createUsage('t-a', usage('call-5', { tokensIn: 1 }));
    const outcomes = await driver.createUsageBatch('t-a', [...batch, odd, usage('call-1', { tokensIn: 2 })]);
    expect(outcomes[0]).toMatchObject({ status: 'created' });
    expect(outcomes[5]).toEqual({ index: 5, callId: 'call-5', status: 'conflict', id: null });
    expect(outcomes[10_000]).toMatchObject({ status: 'duplicate', id: outcomes[0]?.id });
    expect(outcomes[10_001]).toMatchObject({ status: 'conflict' });
    expect((await driver.createUsageBatch('t-a', [odd]))[0]).toMatchObject({
      status: 'duplicate',
      id: outcomes[0]?.id,
    });
    expect((await today())[0]?.totalCalls).toBe(10_000);
  });

  it('G.5: statements per call', async () => {
    const counter = statementCounter(db.dataSource());
    const count = async (work: () => Promise<unknown>): Promise<number> => {
      counter.reset();
      await work();
      return counter.count();
    };
    const batch = (n: number) => Array.from({ length: n }, (_, i) => usage(`b${n}-${i}`));
    expect(await count(() => driver.createUsage('t-a', U))).toBe(1);
    expect(await count(() => driver.createUsage('t-a', U))).toBe(2);
    expect(await count(() => driver.createUsageBatch('t-a', []))).toBe(0);
    expect(await count(() => driver.createUsageBatch('t-a', batch(1000)))).toBe(2);
    expect(await count(() => driver.createUsageBatch('t-a', batch(1000)))).toBe(2);
    expect(await count(() => driver.createUsageBatch('t-a', [...batch(500), usage('b1000-1')]))).toBe(3);
    expect(await count(() => driver.createUsageBatch('t-a', batch(2500)))).toBe(3 * 2 + 1);
    expect(await count(() => driver.createUsageBatch('t-a', batch(10_000)))).toBeLessThanOrEqual(6);
    for (const read of [
      () => driver.fetchUsageSummary('t-a'),
      () => driver.fetchUsageSummary('t-a', { from: new Date('2026-03-09T10:00:00Z'), integrationId: 'int-1' }),
      () => driver.fetchPerIntegrationUsage('t-a'),
      () => driver.fetchPerModelUsage('t-a'),
      () => driver.fetchUsageHistory('t-a', {}, {}),
      () => driver.countUsage('t-a'),
      () => driver.fetchByCallId('t-a', 'c-1'),
      () => driver.fetchCallIdsBatch('t-a', ['c-1', 'c-1', 'x']),
      () => driver.fetchIntegration('t-a', 'int-1'),
      () => today(),
      () => driver.computeDailyAggregatesRaw('t-a', toIsoDate('2026-03-10')),
      () => driver.fetchDailyDiscrepancies('t-a', toIsoDate('2026-03-10'), toIsoDate('2026-03-11')),
    ])
      expect(await count(read)).toBe(1);
    const unnamed = counter.statements().filter(({ name }) => name === undefined);
    expect(unnamed).toEqual([]);
    await count(() => driver.createUsageBatch('t-a', batch(1000)));
    // Look-up and comparison are planned for the size that the table has now.
    expect(counter.statements().filter(({ name }) => name === undefined)).toHaveLength(2);
  });
});

describe('a look-up asks for a few calls of a batch', () => {
  const batch = (n: number, more: Partial<NewUsage> = {}) =>
    Array.from({ length: n }, (_, i) => usage(`n-${String(i).padStart(4, '0')}`, more));
  const calls = (counter: ReturnType<typeof statementCounter>) =>
    counter
      .statements()
      .map(({ text }) => (/INSERT/.test(text) ? 'insert' : / AS same/.test(text) ? 'compare' : 'look-up'));
  const days = () => driver.fetchDailyDiscrepancies('t-a', toIsoDate('2026-01-01'), toIsoDate('2026-12-01'));

  it('32 of 1,000, taken from all over the batch', async () => {
    const counter = statementCounter(db.dataSource());
    await driver.createUsageBatch('t-a', batch(1000));
    const [lookUp] = counter.statements();
    const asked = lookUp?.values[1] as readonly string[];
    expect(asked).toHaveLength(32);
    expect(asked).toEqual(Array.from({ length: 32 }, (_, n) => batch(1000)[Math.floor(n * 31.25)]?.callId));
    expect(calls(counter)).toEqual(['look-up', 'insert']);
  });

  it.each([
    ['none', 0, ['look-up', 'insert']],
    ['all', 1, ['look-up', 'compare']],
    ['every second', 2, ['look-up', 'compare', 'insert']],
    // Call 999 isn't asked for.
    ['one that is not asked for', 999, ['look-up', 'insert', 'compare']],
  ])('%s known: the outcomes are those of single calls, in at most 3 statements', async (_name, step, statements) => {
    const all = batch(1000);
    const isKnown = (i: number) => (step === 999 ? i === 999 : step > 0 && i % step === 0);
    const known = all.filter((_, i) => isKnown(i));
    for (const each of known.length === 1 ? known : []) await driver.createUsage('t-a', each);
    if (known.length > 1) await driver.createUsageBatch('t-a', known);
    // Of the known ones every fifth comes with another content.
    const sent = all.map((each, i) => (isKnown(i) && i % 5 === 4 ? { ...each, tokensIn: 1 } : each));
    const counter = statementCounter(db.dataSource());
    const outcomes = await driver.createUsageBatch('t-a', sent);
    expect(calls(counter)).toEqual(statements);
    expect(outcomes.map(({ status }) => status)).toEqual(
      all.map((_, i) => (!isKnown(i) ? 'created' : i % 5 === 4 ? 'conflict' : 'duplicate')),
    );
    expect([await rows(), await days()]).toEqual([1000, []]);
  });

  it('of a batch that holds a call twice it asks for all, and compares once', async () => {
    const known = batch(1000).filter((_, i) => i % 2 === 0);
    await driver.createUsageBatch('t-a', known);
    const counter = statementCounter(db.dataSource());
    const outcomes = await driver.createUsageBatch('t-a', [...batch(999), usage('n-0001', { tokensIn: 1 })]);
    expect(calls(counter)).toEqual(['look-up', 'insert', 'compare']);
    expect(outcomes[999]?.status).toBe('conflict');
    expect(outcomes.filter(({ status }) => status === 'created')).toHaveLength(499);
    expect([await rows(), await days()]).toEqual([999, []]);
  });

  it.each([2, 128])('nothing is asked for %i calls', async (n) => {
    const counter = statementCounter(db.dataSource());
    await driver.createUsageBatch('t-a', batch(n));
    expect(calls(counter)).toEqual(['insert']);
    counter.reset();
    const again = await driver.createUsageBatch('t-a', batch(n));
    expect(calls(counter)).toEqual(['insert', 'compare']);
    expect(new Set(again.map(({ status }) => status))).toEqual(new Set(['duplicate']));
    expect(await days()).toEqual([]);
  });
});

describe('reads', () => {
  it('F38, F39: exact sums; averages are rounded half up over the latencies that were given', async () => {
    await driver.createUsageBatch('t-a', [
      usage('a', { latencyMs: 10, costCents: '0.1' as DecimalString }),
      usage('b', { latencyMs: 11, costCents: '0.2' as DecimalString, errorCode: 'timeout' }),
      { ...usage('d', { latencyMs: 0, costCents: '0.000001' as DecimalString, policyResult: 'blocked' }) },
    ]);
    const { latencyMs: _, ...silent } = usage('c', { costCents: '0' as DecimalString });
    await driver.createUsage('t-a', silent);
    const expected = {
      totalCalls: 4,
      totalTokensIn: 4 * 374,
      totalTokensOut: 176,
      totalCostCents: '0.300001',
      avgLatencyMs: 7,
      errorCount: 1,
      blockedCount: 1,
    };
    expect(await driver.fetchUsageSummary('t-a')).toEqual(expected);
    const edges = { from: new Date('2026-03-10T11:59:59.999Z'), to: new Date('2026-03-10T12:00:00.001Z') };
    expect(await driver.fetchUsageSummary('t-a', edges)).toEqual(expected);
    expect(await driver.fetchUsageSummary('t-a', { ...edges, integrationId: 'int-2' })).toMatchObject({
      totalCalls: 0,
      avgLatencyMs: null,
    });
  });

  it.each([
    [[10, 11], 11],
    [[0], 0],
    [[null], null],
  ])('F39: latencies %p average to %p', async (latencies, expected) => {
    for (const [i, latency] of latencies.entries()) {
      const { latencyMs: _, ...silent } = usage(`l-${i}`);
      await driver.createUsage('t-a', latency === null ? silent : { ...silent, latencyMs: latency });
    }
    expect((await driver.fetchUsageSummary('t-a')).avgLatencyMs).toBe(expected);
    expect((await today())[0]?.avgLatencyMs).toBe(expected);
  });

  it('F40: nothing', async () => {
    expect(await driver.fetchUsageSummary('t-a')).toEqual({
      totalCalls: 0,
      totalTokensIn: 0,
      totalTokensOut: 0,
      totalCostCents: '0',
      avgLatencyMs: null,
      errorCount: 0,
      blockedCount: 0,
    });
    expect(await driver.fetchPerIntegrationUsage('t-a')).toEqual([]);
    expect(await driver.fetchUsageHistory('t-a', {}, {})).toEqual({ items: [], nextCursor: null });
    expect(await driver.computeDailyAggregatesRaw('t-a', toIsoDate('2026-03-10'))).toEqual([]);
    expect(await driver.fetchPerModelUsage('t-a')).toEqual([]);
  });

  it('F41: a day is a UTC day, whatever zone the session has', async () => {
    await db.manager().query("SET LOCAL TIME ZONE 'Asia/Kolkata'");
    for (const [i, at] of [
      '2026-03-09T23:59:59.999Z',
      '2026-03-10T00:00:00.000Z',
      '2026-03-10T23:59:59.999Z',
      '2026-03-11T00:00:00Z',
    ].entries())
      await insertUsageRows(db.manager(), makeUsage('t-a', 'int-1', { id: `z-${i}`, created_at: new Date(at) }));
    expect((await driver.computeDailyAggregatesRaw('t-a', toIsoDate('2026-03-10')))[0]?.totalCalls).toBe(2);
    expect((await today())[0]?.totalCalls).toBe(2);
    expect(await driver.fetchDailyDiscrepancies('t-a', toIsoDate('2026-03-01'), toIsoDate('2026-03-20'))).toEqual([]);
    expect((await driver.fetchUsageHistory('t-a', {}, {})).items[0]?.createdAt).toEqual(
      new Date('2026-03-11T00:00:00Z'),
    );
  });

  it('F43: per integration, dearest first, ties by id; a deleted one keeps its name; tenants are not mixed', async () => {
    await driver.createUsageBatch('t-a', [
      usage('a', { costCents: '5' as DecimalString }),
      usage('b', { integrationId: 'int-2', costCents: '5' as DecimalString }),
    ]);
    await driver.createUsage('t-b', usage('a', { costCents: '99' as DecimalString }));
    await db.manager().query("UPDATE cus_integrations SET status = 'disabled', deleted_at = now() WHERE id = 'int-2'");
    const found = await driver.fetchPerIntegrationUsage('t-a');
    expect(
      found.map(({ integrationId, integrationName, providerType, totalTokens, totalCostCents }) => [
        integrationId,
        integrationName,
        providerType,
        totalTokens,
        totalCostCents,
      ]),
    ).toEqual([
      ['int-1', 'Prod OpenAI', 'openai', 418, '5'],
      ['int-2', 'Azure', 'azure_openai', 418, '5'],
    ]);
    expect(await driver.fetchIntegration('t-a', 'int-2')).toBeNull();
  });

  it('F46: a sum beyond 2^53-1 is refused, not rounded', async () => {
    await insertUsageRows(
      db.manager(),
      makeUsage('t-a', 'int-1', { id: 'big-1', tokens_in: '9007199254740991' }),
      makeUsage('t-a', 'int-1', { id: 'big-2', tokens_in: '2' }),
    );
    expect(await code(driver.fetchUsageSummary('t-a'))).toMatchObject({
      code: 'DATA_INTEGRITY',
      field: 'totalTokensIn',
    });
    expect(await code(driver.fetchUsageSummary('t-a', { from: new Date('2026-03-10T11:00:00Z') }))).toMatchObject({
      field: 'totalTokensIn',
    });
  });

  it('pages the history without a gap or a repeat, also among equal instants', async () => {
    for (let i = 0; i < 25; i += 1)
      await insertUsageRows(
        db.manager(),
        makeUsage('t-a', i % 2 ? 'int-1' : 'int-2', {
          id: `h-${String(i).padStart(2, '0')}`,
          created_at: new Date(Date.parse(NOW) - (i % 4) * 1000),
        }),
      );
    await db
      .manager()
      .query(
        "UPDATE cus_llm_usage SET created_at = created_at + interval '7 microseconds' WHERE id IN ('h-03', 'h-11')",
      );
    for (const [filter, limit] of [
      [{}, 1],
      [{}, 7],
      [{ integrationId: 'int-1' }, 5],
      [{ from: new Date(Date.parse(NOW) - 2000), to: new Date(NOW) }, 3],
    ] as const) {
      const seen: string[] = [];
      let cursor: string | undefined;
      do {
        const page = await driver.fetchUsageHistory('t-a', filter, {
          limit,
          ...(cursor === undefined ? {} : { cursor }),
        });
        seen.push(...page.items.map(({ id }) => id));
        cursor = page.nextCursor ?? undefined;
      } while (cursor !== undefined);
      const whole = (await driver.fetchUsageHistory('t-a', filter, { limit: 200 })).items.map(({ id }) => id);
      expect(seen).toEqual(whole);
      expect(new Set(seen).size).toBe(await driver.countUsage('t-a', filter));
    }
  });

  it('a cursor belongs to its tenant and filter', async () => {
    await driver.createUsageBatch('t-a', [usage('a'), usage('b'), usage('c')]);
    const { nextCursor } = await driver.fetchUsageHistory('t-a', {}, { limit: 1 });
    const cursor = nextCursor!;
    for (const work of [
      driver.fetchUsageHistory('t-b', {}, { cursor }),
      driver.fetchUsageHistory('t-a', { integrationId: 'int-1' }, { cursor }),
      driver.fetchUsageHistory('t-a', { from: new Date(0) }, { cursor }),
      driver.fetchUsageHistory('t-a', {}, { cursor: cursor.slice(0, -1) }),
    ])
      expect(await code(work)).toMatchObject({ code: 'INVALID_ARGUMENT', reason: 'cursor' });
  });

  it('by model, dearest first', async () => {
    await driver.createUsageBatch('t-a', [
      usage('a', { model: 'small', costCents: '1' as DecimalString }),
      usage('b', { model: 'big', costCents: '10' as DecimalString }),
      usage('c', { model: 'big', costCents: '0.5' as DecimalString, errorCode: 'e' }),
    ]);
    expect(await driver.fetchPerModelUsage('t-a')).toEqual([
      {
        provider: 'azure_openai',
        model: 'big',
        totalCalls: 2,
        totalTokensIn: 748,
        totalTokensOut: 88,
        totalCostCents: '10.5',
        errorCount: 1,
      },
      {
        provider: 'azure_openai',
        model: 'small',
        totalCalls: 1,
        totalTokensIn: 374,
        totalTokensOut: 44,
        totalCostCents: '1',
        errorCount: 0,
      },
    ]);
  });

  it('an integration without its secrets', async () => {
    const found = await driver.fetchIntegration('t-a', 'int-1');
    expect(found).toMatchObject({
      id: 'int-1',
      tenantId: 't-a',
      name: 'Prod OpenAI',
      providerType: 'openai',
      status: 'enabled',
      budgetLimitCents: '0',
      tokenLimitMonth: 0,
    });
    expect(JSON.stringify(found)).not.toContain('HOC_TEST_KEY');
    expect((await driver.fetchIntegrationsBatch('t-a', ['int-2', 'int-1', 'int-1', 'nope'])).size).toBe(2);
    expect(await driver.fetchIntegration('t-b', 'int-2')).toBeNull();
  });

  it('utcNow is the clock', () => expect(utcNow(clock)).toEqual(new Date(NOW)));
});

describe('daily rows by hand', () => {
  const day = toIsoDate('2026-03-10');
  const figures = {
    date: day,
    integrationId: 'int-1',
    totalCalls: 2,
    totalTokensIn: 3,
    totalTokensOut: 4,
    totalCostCents: '5.5' as DecimalString,
    latencyTotalMs: 3,
    latencyCount: 2,
    avgLatencyMs: null,
    errorCount: 1,
    blockedCount: 0,
  };

  it('sets, never adds, and says what differs from the calls', async () => {
    expect(await driver.upsertDailyAggregate('t-a', figures)).toEqual({ ...figures, avgLatencyMs: 2 });
    expect(
      await driver.upsertDailyAggregates('t-a', [
        figures,
        { ...figures, integrationId: 'int-2', totalCalls: 0, errorCount: 0 },
      ]),
    ).toBe(2);
    expect((await today()).map(({ totalCalls }) => totalCalls)).toEqual([2, 0]);
    const [first] = await driver.fetchDailyDiscrepancies('t-a', day, toIsoDate('2026-03-11'));
    expect(first).toEqual({
      date: day,
      integrationId: 'int-1',
      stored: { ...figures, avgLatencyMs: 2 },
      counted: null,
    });
  });

  it('refuses a key given twice', async () => {
    expect(await code(driver.upsertDailyAggregates('t-a', [figures, figures]))).toMatchObject({
      code: 'INVALID_ARGUMENT',
      reason: 'double',
    });
    expect(await today()).toEqual([]);
  });

  it('locks a day in a transaction only', async () => {
    await driver.lockDailyAggregates('t-a', day);
    expect(
      await code(getCusTelemetryDriver(db.dataSource().manager, { clock, ids }).lockDailyAggregates('t-a', day)),
    ).toMatchObject({ code: 'TRANSACTION_REQUIRED' });
  });
});

describe('bad input sends nothing', () => {
  const bad: readonly [string, unknown, string][] = [
    ['metadata over 64 KiB', { metadata: { k: 'a'.repeat(65_529) } }, 'metadata'],
    ['errorMessage with U+0000', { errorCode: 'x', errorMessage: 'a\0' }, 'errorMessage'],
    ['a message without a code', { errorMessage: 'a' }, 'errorMessage'],
    ['empty provider', { provider: '' }, 'provider'],
    ['negative tokens', { tokensIn: -1 }, 'tokensIn'],
    ['fractional tokens', { tokensIn: 1.5 }, 'tokensIn'],
    ['too many tokens', { tokensOut: 1_000_000_001 }, 'tokensOut'],
    ['a number as cost', { costCents: 1.5 }, 'costCents'],
    ['negative cost', { costCents: '-1' }, 'costCents'],
    ['seven fraction digits', { costCents: '1.1234567' }, 'costCents'],
    ['NaN as cost', { costCents: 'NaN' }, 'costCents'],
    ['empty call id', { callId: '' }, 'callId'],
    ['call id of 256', { callId: 'c'.repeat(256) }, 'callId'],
    ['a lone surrogate', { model: '\ud800' }, 'model'],
    ['unknown policy', { policyResult: 'maybe' }, 'policyResult'],
    ['the future', { occurredAt: new Date('2026-03-10T12:05:00.001Z') }, 'occurredAt'],
    ['before 2000', { occurredAt: new Date('1999-12-31T23:59:59.999Z') }, 'occurredAt'],
    ['an invalid date', { occurredAt: new Date(NaN) }, 'occurredAt'],
    ['latency beyond integer', { latencyMs: 2_147_483_648 }, 'latencyMs'],
  ];
  it.each(bad)('F47: %s', async (_name, change, field) => {
    const counter = statementCounter(db.dataSource());
    const record = { ...U, ...(change as Partial<NewUsage>) };
    expect(await code(driver.createUsage('t-a', record))).toMatchObject({ code: 'INVALID_ARGUMENT', field });
    expect(await code(driver.createUsageBatch('t-a', [usage('fine'), record]))).toMatchObject({
      code: 'INVALID_ARGUMENT',
      field,
      index: 1,
    });
    expect(counter.count()).toBe(0);
    expect(await rows()).toBe(0);
  });

  it.each([undefined, null, '', ' ', 'a'.repeat(101), 7, 'a\0', '\ud800'])('tenant %p', async (tenant) => {
    const counter = statementCounter(db.dataSource());
    const t = tenant as string;
    const day = toIsoDate('2026-03-10');
    for (const work of [
      driver.fetchByCallId(t, 'c'),
      driver.fetchCallIdsBatch(t, ['c']),
      driver.fetchIntegration(t, 'i'),
      driver.fetchIntegrationsBatch(t, ['i']),
      driver.fetchUsageSummary(t),
      driver.countUsage(t),
      driver.fetchPerIntegrationUsage(t),
      driver.fetchPerModelUsage(t),
      driver.fetchUsageHistory(t, {}, {}),
      driver.fetchDailyAggregates(t, { fromDate: day, toDate: day }),
      driver.createUsage(t, U),
      driver.createUsageBatch(t, [U]),
      driver.upsertDailyAggregates(t, []),
      driver.computeDailyAggregatesRaw(t, day),
      driver.fetchDailyDiscrepancies(t, day, day),
      driver.lockDailyAggregates(t, day),
    ])
      expect(await code(work)).toMatchObject({ code: 'TENANT_SCOPE' });
    expect(counter.count()).toBe(0);
  });

  it('limits, ranges, lists and days', async () => {
    const [a, b] = [new Date(1), new Date(0)];
    const d = (text: string) => text as ReturnType<typeof toIsoDate>;
    for (const work of [
      ...[0, 201, 1.5, NaN, '50'].map((limit) => driver.fetchUsageHistory('t-a', {}, { limit: limit as number })),
      ...['', 'abc', 'a'.repeat(5000)].map((cursor) => driver.fetchUsageHistory('t-a', {}, { cursor })),
      driver.fetchUsageHistory('t-a', { from: a, to: b }, {}),
      driver.fetchUsageSummary('t-a', { from: new Date(NaN) }),
      driver.fetchUsageSummary('t-a', { integrationId: '' }),
      driver.fetchCallIdsBatch(
        't-a',
        Array.from({ length: 5001 }, (_, i) => `c${i}`),
      ),
      driver.fetchCallIdsBatch('t-a', ['']),
      driver.createUsageBatch(
        't-a',
        Array.from({ length: 20_001 }, () => U),
      ),
      driver.createUsageBatch('t-a', null as never),
      driver.fetchDailyAggregates('t-a', { fromDate: d('2025-01-01'), toDate: d('2026-01-03') }),
      driver.fetchDailyAggregates('t-a', { fromDate: d('2026-13-01'), toDate: d('2026-01-03') }),
      driver.fetchPerModelUsage('t-a', {}, 0),
    ])
      expect(await code(work)).toMatchObject({ code: 'INVALID_ARGUMENT' });
    const outside = getCusTelemetryDriver(db.dataSource().manager, { clock, ids });
    expect(
      await code(
        outside.createUsageBatch(
          't-a',
          Array.from({ length: 1001 }, (_, i) => usage(`c${i}`)),
        ),
      ),
    ).toMatchObject({ code: 'TRANSACTION_REQUIRED' });
    expect(await rows()).toBe(0);
  });
});
