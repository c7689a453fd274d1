import type { ImportOptions, ImportReport, Reject, RunChunk } from '@hoc/activity/schemas';
import { toIsoDate, toMoney, UnavailableError } from '@hoc/shared/kernel';
import { createHoc, ensureImportTarget } from '@hoc/shared/spine';
import { fixedClock } from '@hoc/shared/testing';
import { useEmptyDatabase } from '@hoc/testkit';
import fc from 'fast-check';
import { activityModule, importAzureTrace, importUsageJsonLines, priceTable, splitLines } from './index';

const TENANTS = ['t-a', 't-b'];
const clock = fixedClock('2026-03-10T12:00:00.000Z');
const db = useEmptyDatabase({ entities: [], migrations: [] });
const connect = () =>
  createHoc({ connection: { url: db.url(), applicationName: 'laws' }, modules: [activityModule], clock });
let processes: readonly ReturnType<typeof connect>[];

const price = {
  provider: 'azure_openai',
  model: '*',
  effectiveFrom: toIsoDate('2020-01-01'),
  inputCentsPerMillion: toMoney('3000'),
  outputCentsPerMillion: toMoney('6000'),
};
const target = { integrationId: 'int-1', provider: 'azure_openai', model: 'gpt-4', prices: priceTable([price]) };

/** A file: its kind and its lines. */
interface File {
  readonly kind: 'trace' | 'json';
  readonly lines: readonly string[];
}
/** What happens to a transaction: nothing; it never begins; it is rolled back; it commits and its answer is lost. */
type Fault = 'none' | 'before' | 'rollback' | 'answer lost';

const interrupted = (): UnavailableError => new UnavailableError('interrupted', { details: { reason: 'test' } });

/** Bytes of the file, as they come from a disk that fails after so many lines. */
async function* source({ lines }: File, upTo: number): AsyncGenerator<Uint8Array> {
  for (const [n, line] of lines.entries()) {
    if (n === upTo) throw interrupted();
    yield await Promise.resolve(Buffer.from(n === 0 ? line : `\r\n${line}`));
  }
}

/** Transactions of one process that end as `faults` say, one after the other; `accepted` counts what was committed. */
function runner(process: number, faults: Fault[], accepted: Map<string, number>): RunChunk {
  return async (work) => {
    const fault = faults.shift() ?? 'none';
    if (fault === 'before') throw interrupted();
    const seen: string[] = [];
    const result = await (processes[process] as ReturnType<typeof connect>).transaction(async ({ activity }) => {
      // A transaction that is retried begins again.
      seen.length = 0;
      const done = await work({
        telemetry: {
          ingestImported: async (tenantId, usages) => {
            const batch = await activity.telemetry.ingestImported(tenantId, usages);
            for (const { status, callId } of batch.items) if (status === 'accepted') seen.push(`${tenantId} ${callId}`);
            return batch;
          },
        },
      });
      if (fault === 'rollback') throw interrupted();
      return done;
    });
    for (const key of seen) accepted.set(key, (accepted.get(key) ?? 0) + 1);
    if (fault === 'answer lost') throw interrupted();
    return result;
  };
}

interface Attempt {
  readonly report: ImportReport | null;
  readonly rejects: readonly Reject[];
}

async function attempt(
  file: File,
  run: RunChunk,
  more: Partial<ImportOptions> & { upTo?: number } = {},
): Promise<Attempt> {
  const rejects: Reject[] = [];
  const { upTo = Infinity, ...options } = more;
  const base = {
    ...target,
    datasetId: 'law',
    clock,
    onReject: (reject: Reject) => void rejects.push(reject),
    ...options,
  };
  const lines = splitLines(source(file, upTo));
  try {
    const report =
      file.kind === 'trace'
        ? await importAzureTrace(lines, { ...base, tenantId: 't-a' }, run)
        : await importUsageJsonLines(lines, { ...base, defaultTenantId: 't-a' }, run);
    return { report, rejects };
  } catch (error) {
    if (UnavailableError.is(error) && error.details['reason'] === 'test') return { report: null, rejects };
    throw error;
  }
}

async function finish(file: File, run: RunChunk, chunkSizes: readonly number[]): Promise<Attempt> {
  for (let n = 0; ; n += 1) {
    const done = await attempt(file, run, { chunkSize: chunkSizes[n % chunkSizes.length] ?? 1 });
    if (done.report !== null) return done;
  }
}

/** Everything but id and recorded_at. */
const stored = async (): Promise<{ readonly rows: readonly Stored[]; readonly daily: readonly object[] }> => ({
  rows: await db.dataSource().query(
    `SELECT tenant_id, integration_id, call_id, session_id, agent_id, provider, model, tokens_in, tokens_out, cost_cents,
       latency_ms, policy_result, error_code, error_message, metadata, created_at
     FROM cus_llm_usage ORDER BY tenant_id, call_id`,
  ),
  daily: await db.dataSource().query(
    `SELECT tenant_id, integration_id, date::text, total_calls, total_tokens_in, total_tokens_out, total_cost_cents, error_count
     FROM cus_usage_daily ORDER BY 1, 2, 3`,
  ),
});
interface Stored {
  readonly tenant_id: string;
  readonly call_id: string;
}
const clear = (): Promise<unknown> => db.dataSource().query('TRUNCATE cus_llm_usage, cus_usage_daily');

const HEADER = 'TIMESTAMP,ContextTokens,GeneratedTokens';
const traceLine = fc.oneof(
  {
    weight: 8,
    arbitrary: fc
      .tuple(fc.integer({ min: 4, max: 9 }), fc.nat(2))
      .map(([s, n]) => `2023-11-16 23:59:5${s}.99999,${n},1`),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom('', '  ', 'a,b', ',,', '2023-11-16 18:15:46,-1,5', '2023-02-30 00:00:00,1,1'),
  },
);
const jsonLine = fc.oneof(
  {
    weight: 8,
    arbitrary: fc
      .record(
        {
          tenant_id: fc.constantFrom(...TENANTS),
          call_id: fc.constantFrom('c-1', 'c-2', 'c-3'),
          tokens_in: fc.constantFrom(1, 2),
          status: fc.constantFrom('ok', 'failed'),
          occurred_at: fc.constantFrom('2026-03-09T23:59:59.999Z', '2026-03-10T00:00:00+00:00'),
          region: fc.constantFrom('eu', 'us'),
        },
        { requiredKeys: ['tokens_in', 'occurred_at'] },
      )
      .map((record) => JSON.stringify({ tokens_out: 1, ...record })),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom('', '[]', '{"tokens_in":"1"}', '{"integration_id":"nope","tokens_in":1,"tokens_out":1}'),
  },
);
const files: fc.Arbitrary<File> = fc.oneof(
  fc.array(traceLine, { maxLength: 24 }).map((lines) => ({ kind: 'trace' as const, lines: [HEADER, ...lines] })),
  fc.array(jsonLine, { maxLength: 24 }).map((lines) => ({ kind: 'json' as const, lines: [...lines, '{"end":true}'] })),
);
const chunkSizes = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 4 });
const faults = fc.array(fc.constantFrom<Fault>('none', 'none', 'before', 'rollback', 'answer lost'), { maxLength: 8 });
const once = (accepted: ReadonlyMap<string, number>): readonly string[] => {
  for (const [key, times] of accepted) expect([key, times]).toEqual([key, 1]);
  return [...accepted.keys()].sort();
};
const keysOf = (rows: readonly Stored[]): readonly string[] =>
  rows.map((row) => `${row.tenant_id} ${row.call_id}`).sort();

describe('law 15: exact re-import', () => {
  beforeAll(async () => {
    processes = [connect(), connect()];
    await processes[0]?.migrate();
    for (const tenantId of TENANTS)
      await processes[0]?.transaction(({ manager }) =>
        ensureImportTarget(manager, { tenantId, integrationId: 'int-1', providerType: 'azure_openai' }, { clock }),
      );
  });
  beforeEach(clear);
  afterAll(() => Promise.all(processes.map((hoc) => hoc.close())));

  /** What one import without any interruption leaves, and says. */
  async function expected(file: File): Promise<Attempt & Awaited<ReturnType<typeof stored>>> {
    await clear();
    const done = await attempt(file, runner(0, [], new Map()));
    const left = await stored();
    await clear();
    return { ...done, ...left };
  }

  it('interrupted anywhere, however often, and in any chunks: the same rows, each accepted once', async () => {
    await fc.assert(
      fc.asyncProperty(files, faults, chunkSizes, fc.nat(30), async (file, interruptions, sizes, upTo) => {
        const whole = await expected(file);
        const accepted = new Map<string, number>();
        const run = runner(0, [...interruptions], accepted);
        await attempt(file, run, { chunkSize: sizes[0] ?? 1, upTo });
        const { report, rejects } = await finish(file, run, sizes);
        const again = await attempt(file, runner(0, [], accepted));
        const { rows, daily } = await stored();
        expect({ rows, daily }).toEqual({ rows: whole.rows, daily: whole.daily });
        // Equal lines of a trace are several calls.
        if (file.kind === 'trace')
          expect(rows).toHaveLength(file.lines.filter((line) => /^2023-11-16 23/.test(line)).length);
        expect(once(accepted)).toEqual(keysOf(rows));
        const { linesRead, blank, rejected } = whole.report ?? { linesRead: -1, blank: -1, rejected: -1 };
        const known = linesRead - blank - rejected;
        expect(report).toMatchObject({ linesRead, blank, rejected });
        expect((report?.accepted ?? 0) + (report?.duplicates ?? 0)).toBe(known);
        expect(again.report).toMatchObject({ linesRead, blank, rejected, accepted: 0, duplicates: known });
        const reasons = (list: readonly Reject[]) => list.map(({ line, reason }) => `${line} ${reason}`).sort();
        expect(reasons(rejects)).toEqual(reasons(whole.rejects));
        expect(reasons(again.rejects)).toEqual(reasons(whole.rejects));
      }),
      { numRuns: 60 },
    );
  });

  it('G.1: two processes at once, in different chunks and both interrupted: the same rows, each accepted once', async () => {
    await fc.assert(
      fc.asyncProperty(files, faults, faults, chunkSizes, chunkSizes, async (file, one, two, these, those) => {
        const whole = await expected(file);
        const accepted = new Map<string, number>();
        await Promise.all([
          finish(file, runner(0, [...one], accepted), these),
          finish(file, runner(1, [...two], accepted), those),
        ]);
        const { rows, daily } = await stored();
        expect({ rows, daily }).toEqual({ rows: whole.rows, daily: whole.daily });
        expect(once(accepted)).toEqual(keysOf(rows));
      }),
      { numRuns: 50 },
    );
  });

  it('a trace in any order of its lines: the same rows', async () => {
    const trace = fc.array(traceLine, { maxLength: 20 });
    const shuffled = trace.chain((lines) =>
      fc.tuple(fc.constant(lines), fc.shuffledSubarray(lines, { minLength: lines.length })),
    );
    await fc.assert(
      fc.asyncProperty(shuffled, chunkSizes, async ([lines, other], [chunkSize = 1]) => {
        const whole = await expected({ kind: 'trace', lines: [HEADER, ...lines] });
        await attempt({ kind: 'trace', lines: [HEADER, ...other] }, runner(0, [], new Map()), { chunkSize });
        expect(await stored()).toEqual({ rows: whole.rows, daily: whole.daily });
      }),
      { numRuns: 50 },
    );
  });

  it('no line stops an import: what the parser takes, the database takes', async () => {
    const text = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 8 }),
      fc.constantFrom('', ' ', 'a\0b', '\ud83d', '\n', 'x'.repeat(300)),
    );
    const value = fc.oneof(
      text,
      fc.double(),
      fc.integer({ min: -1, max: 3 }),
      fc.constantFrom<unknown>(null, true, 1e21, -0, 2 ** 53, 't-none', { '': '\ud83d' }, { a: 'b\0' }),
    );
    const keys = [
      'tenant_id',
      'integration_id',
      'provider',
      'model',
      'call_id',
      'tokens_in',
      'cost_cents',
      'latency_ms',
    ];
    keys.push('error_code', 'error_message', 'session_id', 'agent_id', 'metadata', 'occurred_at', 'other');
    const hostile = fc.dictionary(fc.constantFrom(...keys), value, { minKeys: 1, maxKeys: 2, noNullPrototype: true });
    const record = hostile.map((fields) => ({ status: 'ok', tokens_in: 1, tokens_out: 2, ...fields }));
    await fc.assert(
      fc.asyncProperty(fc.array(record, { minLength: 1, maxLength: 12 }), async (records) => {
        const file = { kind: 'json' as const, lines: records.map((each) => JSON.stringify(each)) };
        const { report, rejects } = await attempt(file, runner(0, [], new Map()), { datasetId: 'hostile' });
        expect(report).toMatchObject({ linesRead: records.length, rejected: rejects.length });
        expect(new Set(rejects.map(({ line }) => line)).size).toBe(rejects.length);
      }),
      { numRuns: 150 },
    );
  });
});
