import { Readable } from 'node:stream';
import type { Reject, SourceLine } from '@hoc/activity/schemas';
import { deepFreeze, toIsoDate } from '@hoc/shared/kernel';
import { createHoc, ensureImportTarget } from '@hoc/shared/spine';
import { fixedClock } from '@hoc/shared/testing';
import { useEmptyDatabase } from '@hoc/testkit';
import { activityModule, parsePriceTable, splitLines } from './index';

const db = useEmptyDatabase({ entities: [], migrations: [] });
const clock = fixedClock('2026-03-10T12:00:00.000Z');
const connect = () =>
  createHoc({ connection: { url: db.url(), applicationName: 'import' }, modules: [activityModule], clock });
let hoc: ReturnType<typeof connect>;

const prices = (output = '6000') =>
  parsePriceTable(
    JSON.stringify({
      version: 1,
      prices: [
        {
          provider: 'azure_openai',
          model: 'gpt-4',
          effective_from: '2023-03-14',
          input_cents_per_million: '3000',
          output_cents_per_million: output,
        },
      ],
    }),
  );
const target = deepFreeze({ tenantId: 't-a', integrationId: 'int-1', provider: 'azure_openai', model: 'gpt-4' });
const lines = (...text: string[]): AsyncIterable<SourceLine> =>
  splitLines(Readable.from([Buffer.from(text.join('\r\n'))]));
const HEADER = 'TIMESTAMP,ContextTokens,GeneratedTokens';

async function importTrace(text: readonly string[], more: { chunkSize?: number; output?: string } = {}) {
  const rejects: Reject[] = [];
  const report = await hoc.services.activity.importer.importAzureTrace(lines(...text), {
    ...target,
    datasetId: 'azure-conv-2023',
    prices: prices(more.output),
    onReject: (reject) => void rejects.push(reject),
    ...(more.chunkSize === undefined ? {} : { chunkSize: more.chunkSize }),
  });
  return { report, rejects };
}
const summary = () =>
  hoc.transaction(({ activity }) =>
    activity.telemetry.getUsageSummary('t-a', { fromDate: toIsoDate('2023-11-16'), toDate: toIsoDate('2023-11-17') }),
  );

describe('import, end to end', () => {
  // Inside the describe: these end before the leak check of the file does.
  beforeAll(async () => {
    hoc = connect();
    await hoc.migrate();
    await hoc.transaction(({ manager }) => ensureImportTarget(manager, target, { clock }));
  });
  afterAll(() => hoc.close());

  const TRACE = [
    HEADER,
    '2023-11-16 18:15:46.6805900,374,44',
    '2023-11-16 18:15:50.9951690,396,109',
    '2023-11-16 18:15:51.2224670,879,55',
    '2023-11-16 18:15:51.3910170,91,16',
    '2023-11-16 18:15:51.3910170,91,16',
  ];

  it('F61 to F63: ids, instants and exact cents', async () => {
    const { report, rejects } = await importTrace(TRACE);
    expect(rejects).toEqual([]);
    expect(report).toMatchObject({
      linesRead: 5,
      accepted: 5,
      duplicates: 0,
      costCents: '6.933',
      tokensIn: 1831,
      tokensOut: 240,
    });
    expect(report.firstAt).toEqual(new Date('2023-11-16T18:15:46.680Z'));
    expect(report.affectedDays).toEqual([{ tenantId: 't-a', day: '2023-11-16' }]);
    const page = await hoc.transaction(({ activity }) => activity.telemetry.getUsageHistory('t-a', {}));
    expect(page.items.map((row) => row.costCents).sort()).toEqual(['0.369', '0.369', '1.386', '1.842', '2.967']);
    for (const id of [
      '19b44d2180ad726a3e21bb98234f723834abf4e2',
      '1e8b9776fff3b81250b7ffab8303b7b28d2b9c8f',
      '55d387a6871c63cbf7aafb0a31c57ad74c2d2132',
      'b62413f8a806d139e443db5abbab74781b5b4548',
    ])
      expect(page.items.map((row) => row.callId)).toContain(`aztr-${id}`);
    expect(await summary()).toMatchObject({ totalCalls: 5, totalCostCents: '6.933' });
  });

  it('F65, F66: again, in other chunks, reversed: duplicates; at another price: conflicts, and the sums stand', async () => {
    for (const [text, chunkSize] of [
      [TRACE, 1000],
      [TRACE, 2],
      [[HEADER, ...TRACE.slice(1).reverse()], 1],
    ] as const)
      expect((await importTrace(text, { chunkSize })).report).toMatchObject({
        accepted: 0,
        duplicates: 5,
        rejected: 0,
      });
    const { report, rejects } = await importTrace(TRACE, { output: '6001' });
    expect(report).toMatchObject({ accepted: 0, duplicates: 0, rejected: 5 });
    expect(rejects.map(({ line, reason }) => [line, reason])).toEqual(
      [2, 3, 4, 5, 6].map((line) => [line, 'CONFLICT']),
    );
    expect(await summary()).toMatchObject({ totalCalls: 5, totalCostCents: '6.933' });
  });

  it('F68: bad lines are named, the good ones are in', async () => {
    const good = (n: number) => `2023-11-16 18:15:46.000000${n},1,1`;
    const { report, rejects } = await importTrace([
      HEADER,
      good(1),
      '',
      '2023-11-16 18:15:46,-1,5',
      '2023-02-30 00:00:00,1,1',
      'a,b',
      good(2),
    ]);
    expect(report).toMatchObject({ linesRead: 6, blank: 1, accepted: 2, rejected: 3 });
    expect(rejects.map(({ line, reason, field }) => [line, reason, field])).toEqual([
      [4, 'TOKENS', 'ContextTokens'],
      [5, 'TIMESTAMP', 'TIMESTAMP'],
      [6, 'MALFORMED', null],
    ]);
  });

  it('F67, F69: JSON lines', async () => {
    const rejects: Reject[] = [];
    const line =
      '{"tenant_id":"t-a","integration_id":"int-1","provider":"openai","model":"gpt-4o","tokens_in":1200,"tokens_out":350,"latency_ms":812,"status":"ok"}';
    const table = parsePriceTable(
      '{"version":1,"prices":[{"provider":"openai","model":"*","effective_from":"2020-01-01","input_cents_per_million":250,"output_cents_per_million":"1000"}]}',
    );
    const run = (text: string[], more: object = {}) =>
      hoc.services.activity.importer.importUsageJsonLines(lines(...text), {
        datasetId: 'nov-export',
        prices: table,
        onReject: (reject) => void rejects.push(reject),
        ...more,
      });
    expect(await run([line])).toMatchObject({ accepted: 1, costCents: '0.65' });
    const reordered = JSON.stringify(Object.fromEntries(Object.entries(JSON.parse(line) as object).reverse()));
    expect(await run([reordered])).toMatchObject({ accepted: 0, duplicates: 1 });
    const id = await hoc.transaction(({ activity }) => activity.telemetry.getUsageHistory('t-a', { limit: 200 }));
    expect(id.items.map(({ callId }) => callId)).toContain('jsnl-148bfbd87d6145ac5c3e505831a163af2e872412');
    const bad = (change: object) => JSON.stringify({ ...(JSON.parse(line) as object), ...change });
    await run(
      [
        bad({ tokens_in: '12' }),
        bad({ status: 'weird' }),
        bad({ cost_cents: 1e-7 }),
        bad({ tenant_id: 't-b' }),
        '[]',
        bad({ region: 'eu', tokens_in: 12.0 }),
      ],
      { tenantId: 't-a' },
    );
    expect(rejects.map(({ line: n, reason }) => [n, reason])).toEqual([
      [1, 'TOKENS'],
      [2, 'UNKNOWN_STATUS'],
      [3, 'COST'],
      [4, 'TENANT_MISMATCH'],
      [5, 'MALFORMED'],
    ]);
    const stored: { metadata: object }[] = await hoc.dataSource.query(
      'SELECT metadata FROM cus_llm_usage WHERE tokens_in = 12',
    );
    expect(stored[0]?.metadata).toEqual({ extra: { region: 'eu' } });
  });

  it('a wrong header stops before any write; an unknown integration is a reject', async () => {
    await expect(importTrace(['a,b,c', '2023-11-16 18:15:46,1,1'])).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      details: { reason: 'header' },
    });
    const rejects: Reject[] = [];
    const report = await hoc.services.activity.importer.importAzureTrace(lines(HEADER, '2023-11-16 18:15:46,1,1'), {
      ...target,
      integrationId: 'nope',
      datasetId: 'x',
      prices: prices(),
      onReject: (reject) => void rejects.push(reject),
    });
    expect(report).toMatchObject({ accepted: 0, rejected: 1 });
    expect(rejects[0]).toMatchObject({ line: 2, reason: 'INTEGRATION_NOT_FOUND' });
  });

  it('an aborted signal stops between transactions, and the same file completes it', async () => {
    const abort = new AbortController();
    const text = [HEADER, ...Array.from({ length: 10 }, (_, i) => `2023-11-16 19:00:0${i},${i},1`)];
    const work = hoc.services.activity.importer.importAzureTrace(lines(...text), {
      ...target,
      datasetId: 'stopped',
      prices: prices(),
      chunkSize: 2,
      signal: abort.signal,
      onReject: () => undefined,
      onProgress: ({ accepted }) => {
        if (accepted === 4) abort.abort();
      },
    });
    await expect(work).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      details: { reason: 'aborted', firstLine: 6, lastLine: 7 },
    });
    const again = await hoc.services.activity.importer.importAzureTrace(lines(...text), {
      ...target,
      datasetId: 'stopped',
      prices: prices(),
      onReject: () => undefined,
    });
    expect(again).toMatchObject({ accepted: 6, duplicates: 4 });
  });
});
