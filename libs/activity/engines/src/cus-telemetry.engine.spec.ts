import {
  type BatchIngestResult,
  type CusLlmUsageIngest,
  INGEST_BATCH_MAX,
  type IntegrationRef,
  type NewUsage,
  type UsageBatchOutcome,
  type UsageRange,
  type UsageSummaryRow,
} from '@hoc/activity/schemas';
import {
  canonicalJson,
  ConflictError,
  type DecimalString,
  deepFreeze,
  HocError,
  sumDecimal,
  toIsoDate,
  toMoney,
} from '@hoc/shared/kernel';
import { fixedClock } from '@hoc/shared/testing';
import { type CusTelemetryEngine, getCusTelemetryEngine, type TelemetryDriver } from './cus-telemetry.engine';

const NOW = '2026-03-10T12:00:00.000Z';
const clock = fixedClock(NOW);
let driver: FakeDriver;
let engine: CusTelemetryEngine;

/** U of the worked examples, as a sender reports it. */
const U: CusLlmUsageIngest = deepFreeze({
  callId: 'c-1',
  provider: 'azure_openai',
  model: 'gpt-4',
  tokensIn: 374,
  tokensOut: 44,
  costCents: '1.386',
  latencyMs: 250,
});
const call = (callId: string, more: Partial<CusLlmUsageIngest> = {}): CusLlmUsageIngest => ({ ...U, callId, ...more });
const stored = (callId: string, more: Partial<NewUsage> = {}): NewUsage => ({
  ...U,
  callId,
  integrationId: 'int-1',
  costCents: toMoney(U.costCents),
  ...more,
});
const day = (text: string) => toIsoDate(text);
const refusal = async (work: Promise<unknown>): Promise<Readonly<Record<string, unknown>>> => {
  try {
    await work;
  } catch (error) {
    if (!HocError.is(error)) throw error;
    return { ...error.details, code: error.code, message: error.message };
  }
  return { code: 'no error' };
};

beforeEach(() => {
  clock.set(NOW);
  driver = new FakeDriver();
  driver.integrations.set('t-a int-1', true).set('t-a int-2', true).set('t-b int-b', true);
  engine = getCusTelemetryEngine(driver, { clock });
});

describe('ingestUsage', () => {
  it('stores a call of the integration that the argument or the payload names', async () => {
    expect(await engine.ingestUsage('t-a', 'int-1', U)).toEqual({ status: 'accepted', id: 'u-1', callId: 'c-1' });
    expect(driver.asked.at(-1)).toEqual(['createUsage', 't-a', stored('c-1')]);
    const own = await engine.ingestUsage('t-a', null, call('c-2', { integrationId: 'int-2' }));
    expect(own.status).toBe('accepted');
    const both = await engine.ingestUsage('t-a', 'int-2', call('c-3', { integrationId: 'int-2' }));
    expect(Object.isFrozen(both)).toBe(true);
    expect([...driver.rows.values()].map(({ usage }) => usage.integrationId)).toEqual(['int-1', 'int-2', 'int-2']);
  });

  it('refuses two integrations, and none', async () => {
    expect(await refusal(engine.ingestUsage('t-a', 'int-1', call('c', { integrationId: 'int-2' })))).toMatchObject({
      code: 'INVALID_ARGUMENT',
      field: 'integrationId',
      reason: 'mismatch',
    });
    expect(await refusal(engine.ingestUsage('t-a', null, U))).toMatchObject({
      code: 'INVALID_ARGUMENT',
      field: 'integrationId',
    });
    expect(await refusal(engine.ingestUsage('t-a', '', U))).toMatchObject({ field: 'integrationId' });
    expect(driver.asked).toEqual([]);
  });

  it.each([
    ['unknown', 'int-9'],
    ['foreign', 'int-b'],
    ['deleted', 'int-2'],
  ])('%s integration: NotFoundError and nothing is stored', async (_, integrationId) => {
    driver.integrations.set('t-a int-2', false);
    expect(await refusal(engine.ingestUsage('t-a', integrationId, U))).toMatchObject({
      code: 'NOT_FOUND',
      field: 'integrationId',
    });
    expect(driver.rows.size).toBe(0);
  });

  it('a replay is a duplicate, also of an integration that was deleted since', async () => {
    await engine.ingestUsage('t-a', 'int-2', U);
    driver.integrations.set('t-a int-2', false);
    driver.asked.length = 0;
    clock.advance(3_600_000);
    expect(await engine.ingestUsage('t-a', 'int-2', { ...U, costCents: '1.386000' })).toEqual({
      status: 'duplicate',
      id: 'u-1',
      callId: 'c-1',
    });
    expect(driver.asked.map(([method]) => method)).toEqual(['fetchByCallId', 'createUsage']);
    expect(await refusal(engine.ingestUsage('t-a', 'int-2', { ...U, tokensOut: 45 }))).toMatchObject({
      code: 'CONFLICT',
      existingId: 'u-1',
    });
  });

  it('asks for the tenant first, then the payload, then the call, then the integration', async () => {
    for (const tenant of [undefined, null, '', ' ', 7, 'a'.repeat(101)])
      expect(await refusal(engine.ingestUsage(tenant as string, '', {} as CusLlmUsageIngest))).toMatchObject({
        code: 'TENANT_SCOPE',
      });
    expect(await refusal(engine.ingestUsage('t-a', 'int-9', call('c', { tokensIn: -1 })))).toMatchObject({
      field: 'tokensIn',
    });
    expect(driver.asked).toEqual([]);
    await engine.ingestUsage('t-a', 'int-1', U);
    expect(driver.asked.map(([method]) => method)).toEqual(['fetchByCallId', 'fetchIntegration', 'createUsage']);
  });
});

describe('ingestBatch', () => {
  const counts = (result: BatchIngestResult) => [
    result.accepted,
    result.duplicates,
    result.conflicts,
    result.errors,
    result.total,
  ];

  it('an item per record in input order; the good ones are stored', async () => {
    await engine.ingestUsage('t-a', 'int-1', call('old'));
    driver.asked.length = 0;
    const result = await engine.ingestBatch('t-a', null, [
      call('a', { integrationId: 'int-1' }),
      call('b', { tokensIn: -1, integrationId: 'int-1' }),
      call('c'),
      call('d', { integrationId: 'int-9' }),
      call('e', { integrationId: 'int-b' }),
      call('old', { integrationId: 'int-1' }),
      call('old', { integrationId: 'int-1', tokensIn: 1 }),
      call('a', { integrationId: 'int-1' }),
      null as never,
    ]);
    expect(result.items).toEqual([
      { index: 0, callId: 'a', status: 'accepted', id: 'u-2' },
      { index: 1, callId: 'b', status: 'error', id: null, code: 'FIELD_INVALID' },
      { index: 2, callId: 'c', status: 'error', id: null, code: 'INTEGRATION_MISSING' },
      { index: 3, callId: 'd', status: 'error', id: null, code: 'INTEGRATION_NOT_FOUND' },
      { index: 4, callId: 'e', status: 'error', id: null, code: 'INTEGRATION_NOT_FOUND' },
      { index: 5, callId: 'old', status: 'duplicate', id: 'u-1' },
      { index: 6, callId: 'old', status: 'conflict', id: null },
      { index: 7, callId: 'a', status: 'duplicate', id: 'u-2' },
      { index: 8, callId: '', status: 'error', id: null, code: 'FIELD_INVALID' },
    ]);
    expect(counts(result)).toEqual([1, 2, 1, 5, 9]);
    expect(driver.rows.size).toBe(2);
    expect([result, result.items, result.items[0], result.affectedDays].every(Object.isFrozen)).toBe(true);
    expect(driver.asked.map(([method]) => method)).toEqual([
      'fetchIntegrationsBatch',
      'fetchCallIdsBatch',
      'createUsageBatch',
    ]);
  });

  it('asks for integrations once, and for call ids only where an integration was not found', async () => {
    await engine.ingestBatch('t-a', 'int-1', [call('a'), call('b', { integrationId: 'int-1' })]);
    expect(driver.asked.slice(0, 1)).toEqual([['fetchIntegrationsBatch', 't-a', ['int-1']]]);
    expect(driver.asked.map(([method]) => method)).toEqual(['fetchIntegrationsBatch', 'createUsageBatch']);
  });

  it('the default wins where a record names none or the same', async () => {
    const { items } = await engine.ingestBatch('t-a', 'int-1', [call('a'), call('b', { integrationId: 'int-2' })]);
    expect(items.map(({ status, code }) => [status, code])).toEqual([
      ['accepted', undefined],
      ['error', 'FIELD_INVALID'],
    ]);
    expect(await refusal(engine.ingestBatch('t-a', ' ', [call('c')]))).toMatchObject({ field: 'integrationId' });
  });

  it('replays of a deleted integration are duplicates and conflicts, its new calls are not taken', async () => {
    await engine.ingestBatch('t-a', 'int-2', [call('a'), call('b')]);
    driver.integrations.set('t-a int-2', false);
    const result = await engine.ingestBatch('t-a', 'int-2', [call('new'), call('a'), call('b', { model: 'other' })]);
    expect(result.items.map(({ status, code }) => code ?? status)).toEqual([
      'INTEGRATION_NOT_FOUND',
      'duplicate',
      'conflict',
    ]);
    expect(result.affectedDays).toEqual([]);
    expect(driver.rows.size).toBe(2);
  });

  it('a call under a right integration, then under a wrong one, is a conflict in one batch as in two; the other way not', async () => {
    const both = (id: string) => [call(id, { integrationId: 'int-1' }), call(id, { integrationId: 'int-9' })];
    const codes = async (records: readonly CusLlmUsageIngest[]) =>
      (await engine.ingestBatch('t-a', null, records)).items.map(({ status, code }) => code ?? status);
    expect(await codes(both('a'))).toEqual(['accepted', 'conflict']);
    expect(await codes(both('b').reverse())).toEqual(['INTEGRATION_NOT_FOUND', 'accepted']);
  });

  it('0 and 101 records are refused, 100 are taken', async () => {
    for (const records of [[], Array.from({ length: 101 }, (_, i) => call(`c-${i}`)), null as never, {} as never])
      expect(await refusal(engine.ingestBatch('t-a', 'int-1', records))).toMatchObject({
        code: 'INVALID_ARGUMENT',
        field: 'records',
      });
    expect(await refusal(engine.ingestBatch('', 'int-1', []))).toMatchObject({ code: 'TENANT_SCOPE' });
    expect(driver.asked).toEqual([]);
    const most = Array.from({ length: INGEST_BATCH_MAX }, (_, i) => call(`c-${i}`));
    expect((await engine.ingestBatch('t-a', 'int-1', most)).accepted).toBe(100);
  });

  it('affected days: sorted UTC days of what was accepted', async () => {
    await engine.ingestUsage('t-a', 'int-1', call('old', { occurredAt: new Date('2026-01-01T00:00:00Z') }));
    const at = (text: string) => ({ occurredAt: new Date(text) });
    const { affectedDays } = await engine.ingestBatch('t-a', 'int-1', [
      call('a'),
      call('b', at('2026-03-09T23:59:59.999Z')),
      call('c', at('2026-02-01T05:30:00+05:30')),
      call('d', at('2026-03-09T00:00:00Z')),
      call('old', at('2026-01-01T00:00:00Z')),
      call('e', { ...at('2025-12-01T00:00:00Z'), tokensIn: -1 }),
    ]);
    expect(affectedDays).toEqual(['2026-02-01', '2026-03-09', '2026-03-10']);
  });

  it('a write over midnight affects the day on which the driver took its time', async () => {
    clock.set('2026-03-10T23:59:59.999Z');
    driver.whileWriting = () => clock.advance(5000);
    expect((await engine.ingestBatch('t-a', 'int-1', [call('a')])).affectedDays).toEqual(['2026-03-10']);
  });
});

describe('ingestImported', () => {
  it('keeps the promises of a batch, beyond 1,000 integrations and 5,000 replays', async () => {
    await engine.ingestUsage('t-a', 'int-2', call('kept'));
    driver.integrations.set('t-a int-2', false);
    const many = Array.from({ length: 6000 }, (_, i) => stored(`c-${i}`, { integrationId: `gone-${i}` }));
    const result = await engine.ingestImported('t-a', [
      ...many,
      stored('kept', { integrationId: 'int-2' }),
      stored('new'),
    ]);
    expect(result).toMatchObject({ accepted: 1, duplicates: 1, conflicts: 0, errors: 6000, total: 6002 });
    expect(result.items.slice(-2).map(({ status }) => status)).toEqual(['duplicate', 'accepted']);
    const sizes = (method: string) =>
      driver.asked.filter(([name]) => name === method).map(([, , list]) => (list as readonly string[]).length);
    expect(sizes('fetchIntegrationsBatch')).toEqual([1000, 1000, 1000, 1000, 1000, 1000, 2]);
    expect(sizes('fetchCallIdsBatch')).toEqual([5000, 1001]);
  });

  it('a bad call is named by its place, and nothing is stored', async () => {
    for (const bad of [null, 7, stored('c', { integrationId: '' }), stored(''), stored('x'.repeat(256))])
      expect(await refusal(engine.ingestImported('t-a', [stored('a'), bad as NewUsage]))).toMatchObject({
        code: 'INVALID_ARGUMENT',
        index: 1,
      });
    expect(
      await refusal(
        engine.ingestImported(
          't-a',
          Array.from({ length: 20_001 }, () => stored('a')),
        ),
      ),
    ).toMatchObject({
      code: 'INVALID_ARGUMENT',
      field: 'usages',
    });
    expect(await refusal(engine.ingestImported(' ', []))).toMatchObject({ code: 'TENANT_SCOPE' });
    expect(driver.asked).toEqual([]);
    expect(await engine.ingestImported('t-a', [])).toMatchObject({ total: 0, items: [], affectedDays: [] });
  });
});

describe('reports', () => {
  const FROM = new Date('2026-02-09T00:00:00.000Z');
  const TO = new Date('2026-03-11T00:00:00.000Z');
  const asked = () => driver.asked.at(-1)?.slice(1);

  it('F42: without dates the last 30 UTC days, today included', async () => {
    for (const [i, at] of ['2026-03-10T11:00:00Z', '2026-02-09T00:00:00Z', '2026-02-08T23:59:59Z'].entries())
      await engine.ingestUsage('t-a', 'int-1', call(`c-${i}`, { occurredAt: new Date(at) }));
    driver.asked.length = 0;
    const summary = await engine.getUsageSummary('t-a');
    expect(summary).toMatchObject({
      tenantId: 't-a',
      fromDate: '2026-02-09',
      toDate: '2026-03-11',
      totalCalls: 2,
      totalCostCents: '2.772',
    });
    expect(summary.byIntegration).toEqual([]);
    expect(Object.isFrozen(summary)).toBe(true);
    expect(driver.asked).toEqual([
      ['fetchUsageSummary', 't-a', { from: FROM, to: TO }],
      ['fetchPerIntegrationUsage', 't-a', { from: FROM, to: TO }],
    ]);
  });

  it('one date, both, and one integration', async () => {
    await engine.getUsageSummary('t-a', { toDate: day('2026-01-31') });
    expect(asked()).toEqual(['t-a', { from: new Date('2026-01-01T00:00:00Z'), to: new Date('2026-01-31T00:00:00Z') }]);
    await engine.getUsageSummary('t-a', { fromDate: day('2026-03-10') });
    expect(asked()).toEqual(['t-a', { from: new Date('2026-03-10T00:00:00Z'), to: TO }]);
    driver.asked.length = 0;
    const range = { fromDate: day('2026-03-01'), toDate: day('2026-03-02') };
    const summary = await engine.getUsageSummary('t-a', { ...range, integrationId: 'int-1' });
    expect(summary).toMatchObject({ ...range, byIntegration: null });
    expect(driver.asked).toEqual([
      [
        'fetchUsageSummary',
        't-a',
        { from: new Date('2026-03-01T00:00:00Z'), to: new Date('2026-03-02T00:00:00Z'), integrationId: 'int-1' },
      ],
    ]);
  });

  it('daily sums and models have the same default days', async () => {
    await engine.getDailyAggregates('t-a');
    expect(asked()).toEqual(['t-a', { fromDate: '2026-02-09', toDate: '2026-03-11' }]);
    await engine.getDailyAggregates('t-a', { integrationId: 'int-1', fromDate: day('2026-03-01') });
    expect(asked()).toEqual(['t-a', { fromDate: '2026-03-01', toDate: '2026-03-11', integrationId: 'int-1' }]);
    await engine.getUsageByModel('t-a', { limit: 7 });
    expect(asked()).toEqual(['t-a', { from: FROM, to: TO }, 7]);
  });

  it('from must lie before to, and days are days', async () => {
    const d = (text: string) => text as ReturnType<typeof day>;
    for (const query of [
      { fromDate: day('2026-03-10'), toDate: day('2026-03-10') },
      { fromDate: day('2026-03-11') },
      { fromDate: d('2026-13-01') },
      { toDate: d('2026-02-30') },
      { toDate: d('yesterday') },
    ])
      for (const work of [
        engine.getUsageSummary('t-a', query),
        engine.getDailyAggregates('t-a', query),
        engine.getUsageByModel('t-a', query),
      ])
        expect(await refusal(work)).toMatchObject({ code: 'INVALID_ARGUMENT' });
    expect(driver.asked).toEqual([]);
  });

  it('history passes the page on, and only what was given', async () => {
    await engine.getUsageHistory('t-a');
    expect(asked()).toEqual(['t-a', {}, {}]);
    await engine.getUsageHistory('t-a', { integrationId: 'int-1', limit: 7, cursor: 'x' });
    expect(asked()).toEqual(['t-a', { integrationId: 'int-1' }, { limit: 7, cursor: 'x' }]);
  });

  it('discrepancies pass through', async () => {
    await engine.getDailyDiscrepancies('t-a', { fromDate: day('2026-03-01'), toDate: day('2026-03-02') });
    expect(asked()).toEqual(['t-a', '2026-03-01', '2026-03-02']);
  });

  it.each([undefined, null, '', ' ', 7])('tenant %p: refused before anything else, nothing is asked', async (given) => {
    const tenant = given as string;
    const query = { fromDate: 'x', toDate: 'x' } as never;
    for (const work of [
      engine.ingestBatch(tenant, '', []),
      engine.ingestImported(tenant, null as never),
      engine.getUsageSummary(tenant, query),
      engine.getUsageByModel(tenant, query),
      engine.getUsageHistory(tenant),
      engine.getDailyAggregates(tenant, query),
      engine.getDailyDiscrepancies(tenant, query),
      engine.computeDailyAggregates(tenant, 'x' as never),
    ])
      expect(await refusal(work)).toMatchObject({ code: 'TENANT_SCOPE' });
    expect(driver.asked).toEqual([]);
  });
});

describe('computeDailyAggregates', () => {
  const raw = (integrationId: string) => ({
    integrationId,
    totalCalls: 2,
    totalTokensIn: 3,
    totalTokensOut: 4,
    totalCostCents: '5' as DecimalString,
    latencyTotalMs: 0,
    latencyCount: 0,
    avgLatencyMs: null,
    errorCount: 1,
    blockedCount: 0,
  });

  it('locks, then counts, then sets; the number of integrations', async () => {
    driver.counted = [raw('int-1'), raw('int-2')];
    driver.locked = ['int-1', 'int-2'];
    expect(await engine.computeDailyAggregates('t-a', day('2026-03-09'))).toBe(2);
    expect(driver.asked).toEqual([
      ['lockDailyAggregates', 't-a', '2026-03-09'],
      ['computeDailyAggregatesRaw', 't-a', '2026-03-09'],
      ['upsertDailyAggregates', 't-a', driver.counted.map((row) => ({ date: '2026-03-09', ...row }))],
    ]);
  });

  it('leaves alone an integration whose first call of the day came after the lock: it is being added up', async () => {
    driver.counted = [raw('int-1'), raw('int-2')];
    driver.locked = ['int-1'];
    expect(await engine.computeDailyAggregates('t-a', day('2026-03-09'))).toBe(2);
    expect(driver.asked.at(-1)).toEqual(['upsertDailyAggregates', 't-a', [{ date: '2026-03-09', ...raw('int-1') }]]);
  });

  it('a day without calls: 0, and nothing is set', async () => {
    driver.locked = ['int-1'];
    expect(await engine.computeDailyAggregates('t-a', day('2026-03-09'))).toBe(0);
    expect(driver.asked.map(([method]) => method)).not.toContain('upsertDailyAggregates');
    expect(await refusal(engine.computeDailyAggregates('t-a', '2026-02-30' as never))).toMatchObject({
      code: 'INVALID_ARGUMENT',
      field: 'targetDate',
    });
  });
});

interface Kept {
  readonly id: string;
  readonly usage: NewUsage;
  readonly createdAt: Date;
}

/** The driver's documented behaviour in memory, and a record of what it was asked. */
class FakeDriver implements TelemetryDriver {
  readonly asked: unknown[][] = [];
  /** `tenant id` → whether it still exists; a deleted one keeps its row. */
  readonly integrations = new Map<string, boolean>();
  readonly rows = new Map<string, Kept>();
  counted: Awaited<ReturnType<TelemetryDriver['computeDailyAggregatesRaw']>> = [];
  locked: readonly string[] = [];
  whileWriting: () => void = () => undefined;

  fetchByCallId: TelemetryDriver['fetchByCallId'] = async (tenant, callId) =>
    this.answer(['fetchByCallId', tenant, callId], this.rows.get(`${tenant} ${callId}`)?.id ?? null);

  fetchCallIdsBatch: TelemetryDriver['fetchCallIdsBatch'] = async (tenant, callIds) =>
    this.answer(
      ['fetchCallIdsBatch', tenant, callIds],
      new Set(callIds.filter((id) => this.rows.has(`${tenant} ${id}`))),
    );

  fetchIntegration: TelemetryDriver['fetchIntegration'] = async (tenant, id) =>
    this.answer(
      ['fetchIntegration', tenant, id],
      this.integrations.get(`${tenant} ${id}`) === true ? ref(tenant, id) : null,
    );

  fetchIntegrationsBatch: TelemetryDriver['fetchIntegrationsBatch'] = async (tenant, ids) =>
    this.answer(
      ['fetchIntegrationsBatch', tenant, ids],
      new Map(ids.filter((id) => this.integrations.get(`${tenant} ${id}`)).map((id) => [id, ref(tenant, id)])),
    );

  createUsage: TelemetryDriver['createUsage'] = async (tenant, usage) => {
    const { status, id, existing } = this.answer(['createUsage', tenant, usage], this.write(tenant, usage));
    if (status === 'conflict') throw new ConflictError('other content', { details: { existingId: existing } });
    return { status, id: id ?? existing, callId: usage.callId };
  };

  createUsageBatch: TelemetryDriver['createUsageBatch'] = async (tenant, usages) => {
    const outcomes = usages.map((usage, index): UsageBatchOutcome => {
      const { status, id } = this.write(tenant, usage);
      return { index, callId: usage.callId, status, id };
    });
    this.whileWriting();
    return this.answer(['createUsageBatch', tenant, usages], outcomes);
  };

  fetchUsageSummary: TelemetryDriver['fetchUsageSummary'] = async (tenant, filter = {}) =>
    this.answer(['fetchUsageSummary', tenant, filter], this.sums(tenant, filter));

  fetchPerIntegrationUsage: TelemetryDriver['fetchPerIntegrationUsage'] = async (tenant, range) =>
    this.answer(['fetchPerIntegrationUsage', tenant, range], []);

  fetchPerModelUsage: TelemetryDriver['fetchPerModelUsage'] = async (tenant, range, limit) =>
    this.answer(['fetchPerModelUsage', tenant, range, limit], []);

  fetchUsageHistory: TelemetryDriver['fetchUsageHistory'] = async (tenant, filter, page) =>
    this.answer(['fetchUsageHistory', tenant, filter, page], { items: [], nextCursor: null });

  fetchDailyAggregates: TelemetryDriver['fetchDailyAggregates'] = async (tenant, filter) =>
    this.answer(['fetchDailyAggregates', tenant, filter], []);

  fetchDailyDiscrepancies: TelemetryDriver['fetchDailyDiscrepancies'] = async (tenant, from, to) =>
    this.answer(['fetchDailyDiscrepancies', tenant, from, to], []);

  lockDailyAggregates: TelemetryDriver['lockDailyAggregates'] = async (tenant, date) =>
    this.answer(['lockDailyAggregates', tenant, date], this.locked);

  computeDailyAggregatesRaw: TelemetryDriver['computeDailyAggregatesRaw'] = async (tenant, date) =>
    this.answer(['computeDailyAggregatesRaw', tenant, date], this.counted);

  upsertDailyAggregates: TelemetryDriver['upsertDailyAggregates'] = async (tenant, rows) =>
    this.answer(['upsertDailyAggregates', tenant, rows], rows.length);

  private answer<T>(question: unknown[], value: T): T {
    this.asked.push(question);
    return value;
  }

  private write(tenant: string, usage: NewUsage) {
    const key = `${tenant} ${usage.callId}`;
    const before = this.rows.get(key);
    if (before === undefined) {
      if (!this.integrations.has(`${tenant} ${usage.integrationId}`))
        throw new ConflictError('no such integration', { details: { reason: 'foreign_key' } });
      const id = `u-${this.rows.size + 1}`;
      this.rows.set(key, { id, usage, createdAt: usage.occurredAt ?? clock.now() });
      return { status: 'created', id, existing: id } as const;
    }
    const same =
      content(before.usage) === content(usage) &&
      (usage.occurredAt ?? before.createdAt).getTime() === before.createdAt.getTime();
    return { status: same ? 'duplicate' : 'conflict', id: same ? before.id : null, existing: before.id } as const;
  }

  private sums(tenant: string, { from, to }: UsageRange): UsageSummaryRow {
    const calls = [...this.rows.entries()]
      .filter(
        ([key, { createdAt }]) =>
          key.startsWith(`${tenant} `) && (!from || createdAt >= from) && (!to || createdAt < to),
      )
      .map(([, { usage }]) => usage);
    return {
      totalCalls: calls.length,
      totalTokensIn: calls.reduce((sum, { tokensIn }) => sum + tokensIn, 0),
      totalTokensOut: calls.reduce((sum, { tokensOut }) => sum + tokensOut, 0),
      totalCostCents: sumDecimal(calls.map(({ costCents }) => costCents)),
      avgLatencyMs: null,
      errorCount: calls.filter(({ errorCode }) => errorCode !== undefined).length,
      blockedCount: calls.filter(({ policyResult }) => policyResult === 'blocked').length,
    };
  }
}

const content = ({ occurredAt: _, ...usage }: NewUsage): string =>
  canonicalJson({ policyResult: 'allowed', metadata: {}, ...usage });

const ref = (tenantId: string, id: string): IntegrationRef => ({
  id,
  tenantId,
  name: id,
  providerType: 'custom',
  status: 'enabled',
  healthState: 'unknown',
  defaultModel: null,
  budgetLimitCents: '0' as DecimalString,
  tokenLimitMonth: 0,
  rateLimitRpm: 0,
  createdAt: new Date(0),
  updatedAt: new Date(0),
});
