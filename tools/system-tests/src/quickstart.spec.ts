import { type ChildProcess, spawn } from 'node:child_process';
import { createReadStream, createWriteStream, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { Readable } from 'node:stream';
import { createGzip } from 'node:zlib';
import { asAdmin, databaseUrl, tcpProxy, waitFor } from '@hoc/testkit';
import { build, emptyFolder, REPOSITORY, TRACE } from './repository';

const CLI = join(REPOSITORY, 'tools/quickstart/dist/src/main.js');
const HEADER = 'TIMESTAMP,ContextTokens,GeneratedTokens';
const folder = emptyFolder('quickstart');
// Against hanging alone: some of these tests import the whole trace many times.
jest.setTimeout(900_000);

/** The public trace, or one of its form where it isn't at hand; and its sums, made here from the raw text. */
const raw = existsSync(TRACE) ? readFileSync(TRACE, 'latin1') : generatedTrace(19_366);
const trace = join(folder, 'trace.csv');
const expected = sumsOf(raw);

function generatedTrace(n: number): string {
  const line = (i: number): string => {
    const at = new Date(Date.parse('2023-11-16T18:15:46.680Z') + i * 181)
      .toISOString()
      .replace('T', ' ')
      .replace('Z', '0001');
    return `${at},${(i * 7919) % 4000},${(i * 31) % 700}`;
  };
  return [HEADER, ...Array.from({ length: n }, (_, i) => line(i))].join('\r\n');
}

/** 3,000 and 6,000 cents per million tokens, as the quickstart's own price table has it; whole numbers throughout. */
function sumsOf(text: string): { calls: number; tokensIn: number; tokensOut: number; cents: string } {
  const rows = text
    .split(/\r?\n/)
    .slice(1)
    .filter((line) => line !== '');
  let [tokensIn, tokensOut] = [0n, 0n];
  for (const row of rows) {
    const [, context = '0', generated = '0'] = row.split(',');
    tokensIn += BigInt(context);
    tokensOut += BigInt(generated);
  }
  const millionths = tokensIn * 3000n + tokensOut * 6000n;
  const fraction = String(millionths % 1_000_000n)
    .padStart(6, '0')
    .replace(/0+$/, '');
  const cents = `${millionths / 1_000_000n}${fraction === '' ? '' : `.${fraction}`}`;
  return { calls: rows.length, tokensIn: Number(tokensIn), tokensOut: Number(tokensOut), cents };
}

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

interface Running {
  readonly child: ChildProcess;
  /** What it has said on standard error so far. */
  readonly said: () => string;
  readonly ended: Promise<Ended>;
}

function start(args: readonly string[], input?: Readable, node: readonly string[] = []): Running {
  const child = spawn(process.execPath, [...node, CLI, ...args], { cwd: folder, stdio: ['pipe', 'pipe', 'pipe'] });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  if (input === undefined) child.stdin.end();
  else void pipeline(input, child.stdin).catch(() => undefined);
  const ended = new Promise<Ended>((resolve) => child.once('close', (code) => resolve({ code, stdout, stderr })));
  return { child, said: () => stderr, ended };
}

const run = (args: readonly string[], input?: Readable, node?: readonly string[]): Promise<Ended> =>
  start(args, input, node).ended;
const report = ({ code, stdout, stderr }: Ended): Record<string, unknown> => {
  if (code !== 0 && code !== 2) throw new Error(`ended with ${code}: ${stderr}`);
  return JSON.parse(stdout) as Record<string, unknown>;
};

/** The first half of the trace, and the rest when it is asked for: an import of it stands in its middle until then. */
function halves(): { readonly input: Readable; readonly rest: () => void } {
  let rest: () => void = () => undefined;
  const asked = new Promise<void>((resolve) => (rest = resolve));
  const middle = raw.indexOf('\n', raw.length / 2) + 1;
  const input = async function* (): AsyncGenerator<Buffer> {
    yield Buffer.from(raw.slice(0, middle), 'latin1');
    await asked;
    yield Buffer.from(raw.slice(middle), 'latin1');
  };
  return { input: Readable.from(input()), rest };
}

const databases: string[] = [];
async function freshUrl(): Promise<string> {
  const name = `hoc_f_${process.env['HOC_TEST_RUN'] ?? 'x'}_quickstart_${databases.length}`;
  await asAdmin((client) => client.query(`CREATE DATABASE ${name} TEMPLATE template0`));
  databases.push(name);
  return databaseUrl(name);
}
const query = async (url: string, text: string): Promise<Record<string, string>> =>
  asAdmin(async (client) => (await client.query<Record<string, string>>(text)).rows[0] ?? {}, url);
const stored = async (url: string): Promise<number> => {
  try {
    return Number((await query(url, 'SELECT count(*) AS n FROM cus_llm_usage'))['n']);
  } catch {
    return 0;
  }
};

/** Both tables, by SQL of our own. */
async function expectWhole(url: string): Promise<void> {
  const wanted = {
    calls: String(expected.calls),
    a: String(expected.tokensIn),
    b: String(expected.tokensOut),
    cents: expected.cents,
  };
  expect(
    await query(
      url,
      'SELECT count(*) AS calls, sum(tokens_in) AS a, sum(tokens_out) AS b, trim_scale(sum(cost_cents))::text AS cents FROM cus_llm_usage',
    ),
  ).toEqual(wanted);
  expect(
    await query(
      url,
      'SELECT sum(total_calls) AS calls, sum(total_tokens_in) AS a, sum(total_tokens_out) AS b, trim_scale(sum(total_cost_cents))::text AS cents FROM cus_usage_daily',
    ),
  ).toEqual(wanted);
}

/** Bytes to the server: beyond the migrations, and less than half of what the import sends. */
const LOST_AFTER = 2_000_000;

/** Each table by a digest over its rows: equal where no run of the quickstart has changed anything. */
async function contents(url: string): Promise<Readonly<Record<string, string>>> {
  const digests: Record<string, string> = {};
  await asAdmin(async (client) => {
    const { rows } = await client.query<{ name: string }>(
      `SELECT quote_ident(tablename) AS name FROM pg_tables WHERE schemaname = 'public'`,
    );
    for (const { name } of rows) {
      const digest = `SELECT md5(string_agg(t::text, '' ORDER BY t::text)) AS digest FROM ${name} t`;
      digests[name] = String((await client.query<{ digest: string | null }>(digest)).rows[0]?.digest);
    }
  }, url);
  return digests;
}

beforeAll(() => {
  build();
  writeFileSync(trace, raw, 'latin1');
});
afterAll(async () => {
  for (const name of databases) await asAdmin((client) => client.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`));
});

describe('npm start -- --file', () => {
  it('F64, F65: imports each line once, to the last digit; again, reversed, gzipped and piped it changes nothing', async () => {
    const url = await freshUrl();
    const json = ['--url', url, '--json'];
    const first = report(await run([...json, '--file', trace]));
    expect(first).toMatchObject({
      file: 'trace.csv',
      datasetId: 'trace',
      linesRead: expected.calls,
      accepted: expected.calls,
      duplicates: 0,
      rejected: 0,
      tokensIn: expected.tokensIn,
      tokensOut: expected.tokensOut,
      costCents: expected.cents,
    });
    expect(first['readBack']).toEqual([
      {
        tenantId: 'quickstart',
        calls: expected.calls,
        tokensIn: expected.tokensIn,
        tokensOut: expected.tokensOut,
        costCents: expected.cents,
        discrepancies: 0,
      },
    ]);
    if (existsSync(TRACE))
      expect(first).toMatchObject({
        accepted: 19_366,
        tokensIn: 22_361_870,
        tokensOut: 4_088_665,
        costCents: '91617.6',
        firstAt: '2023-11-16T18:15:46.680Z',
        lastAt: '2023-11-16T19:14:08.402Z',
      });
    await expectWhole(url);

    const [header = '', ...lines] = raw.split(/\r?\n/).filter((line) => line !== '');
    const reversed = join(emptyFolder('quickstart-reversed'), 'trace.csv');
    writeFileSync(reversed, [header, ...lines.reverse()].join('\n'));
    const zipped = join(folder, 'trace.csv.gz');
    await pipeline(createReadStream(trace), createGzip(), createWriteStream(zipped));
    for (const args of [
      ['--file', trace, '--chunk-size', '37'],
      ['--file', reversed],
      ['--file', zipped],
    ])
      expect(report(await run([...json, ...args]))).toMatchObject({
        accepted: 0,
        duplicates: expected.calls,
        rejected: 0,
        readBack: first['readBack'],
      });
    await expectWhole(url);

    const said = await run(['--url', url, '--file', trace]);
    expect(said.stdout).toMatch(/0 accepted, 19366 duplicates.*Nothing changed/);
    expect(said.stdout + said.stderr).not.toContain(new URL(url).port);
  });

  it('reads standard input, gzip or not, as the dataset stdin', async () => {
    const url = await freshUrl();
    const lines = [HEADER, '2023-11-16 18:15:46.6805900,374,44', '2023-11-16 18:15:50.9951690,396,109'].join('\r\n');
    expect(
      report(await run(['--url', url, '--json', '--file', '-'], Readable.from([Buffer.from(lines)]))),
    ).toMatchObject({ datasetId: 'stdin', accepted: 2, costCents: '3.228' });
    const gzip = createGzip();
    gzip.end(lines);
    expect(report(await run(['--url', url, '--json', '--file', '-'], gzip))).toMatchObject({
      accepted: 0,
      duplicates: 2,
    });
  });

  it.each(['SIGKILL', 'SIGINT'] as const)('%s in the middle, and again: as if it had run once', async (signal) => {
    const url = await freshUrl();
    const args = ['--url', url, '--json', '--file', '-', '--chunk-size', '200'];
    const { input, rest } = halves();
    const { child, said, ended } = start(args, input);
    await waitFor(async () => (await stored(url)) > 0, 'the import has begun');
    child.kill(signal);
    if (signal === 'SIGINT') await waitFor(() => said().includes('interrupted'), 'the signal has arrived');
    rest();
    const { code, stderr } = await ended;
    if (signal === 'SIGINT') {
      expect(code).toBe(1);
      expect(stderr).toMatch(/interrupted.*run the same command again/s);
    }
    const before = await stored(url);
    expect(before).toBeGreaterThan(0);
    expect(before).toBeLessThan(expected.calls);
    const whole = createReadStream(trace);
    const again = report(await run(args, whole));
    expect(Number(again['accepted']) + Number(again['duplicates'])).toBe(expected.calls);
    await expectWhole(url);
  });

  it('a connection lost in the middle ends with a clear error; the same command completes it', async () => {
    const url = await freshUrl();
    const proxy = await tcpProxy(url);
    const args = (to: string) => ['--url', to, '--json', '--file', trace, '--chunk-size', '200'];
    let sent = 0;
    proxy.onClientData((chunk) => {
      if (sent <= LOST_AFTER && (sent += chunk.length) > LOST_AFTER) void proxy.close();
    });
    const { code, stdout, stderr } = await start(args(proxy.url)).ended;
    const before = await stored(url);
    expect(before).toBeGreaterThan(0);
    expect(before).toBeLessThan(expected.calls);
    expect(code).toBe(1);
    expect(stdout).toBe('');
    expect(stderr).toMatch(/UNAVAILABLE: .*lines \d+ to \d+/);
    expect(stderr).toMatch(/run the same command again/);
    expect(stderr).not.toMatch(/at .*\.js:|INSERT|127\.0\.0\.1/);
    expect(report(await run(args(url)))).toMatchObject({ rejected: 0 });
    await expectWhole(url);
  });

  it('two at once with different chunks: each line is accepted by exactly one', async () => {
    const url = await freshUrl();
    const args = (size: string) => ['--url', url, '--json', '--file', trace, '--chunk-size', size];
    const both = (await Promise.all([run(args('700')), run(args('1300'))])).map(report);
    expect(both.reduce((sum, { accepted }) => sum + Number(accepted), 0)).toBe(expected.calls);
    expect(both.reduce((sum, { duplicates }) => sum + Number(duplicates), 0)).toBe(expected.calls);
    await expectWhole(url);
  });

  it('F68: bad lines go to the rejects file, the good ones are in, and the exit code says so', async () => {
    const url = await freshUrl();
    const [file, rejects] = [join(folder, 'bad.csv'), join(folder, 'rejects.jsonl')];
    const good = (n: number) => `2023-11-16 18:15:46.000000${n},1,1`;
    writeFileSync(
      file,
      [HEADER, good(1), '', '2023-11-16 18:15:46,-1,5', '2023-02-30 00:00:00,1,1', 'a,b', good(2)].join('\r\n'),
    );
    const ended = await run(['--url', url, '--json', '--file', file, '--rejects', rejects]);
    expect(ended.code).toBe(2);
    expect(report(ended)).toMatchObject({ linesRead: 6, blank: 1, accepted: 2, rejected: 3 });
    const written = readFileSync(rejects, 'utf8').trimEnd().split('\n');
    expect(written.map((line) => Object.keys(JSON.parse(line) as object))).toEqual(
      Array(3).fill(['line', 'reason', 'field', 'message', 'raw']),
    );
    expect(
      written
        .map((line) => JSON.parse(line) as { line: number; reason: string; raw: string })
        .map(({ line, reason, raw: text }) => [line, reason, text]),
    ).toEqual([
      [4, 'TOKENS', '2023-11-16 18:15:46,-1,5'],
      [5, 'TIMESTAMP', '2023-02-30 00:00:00,1,1'],
      [6, 'MALFORMED', 'a,b'],
    ]);
    const many = join(folder, 'many.csv');
    writeFileSync(many, [HEADER, ...Array(25).fill('x')].join('\n'));
    const { code, stderr } = await run(['--url', url, '--file', many]);
    expect(code).toBe(2);
    expect(stderr.match(/^rejected /gm)).toHaveLength(20);
    expect(stderr).toContain('5 more rejected lines');
  });

  it('F66: another price for the same lines is a conflict, and the sums stand', async () => {
    const url = await freshUrl();
    const [file, prices] = [join(folder, 'few.csv'), join(folder, 'prices.json')];
    writeFileSync(file, [HEADER, '2023-11-16 18:15:46.6805900,374,44'].join('\n'));
    writeFileSync(
      prices,
      '{"version":1,"prices":[{"provider":"azure_openai","model":"gpt-4","effective_from":"2023-03-14","input_cents_per_million":"3000","output_cents_per_million":"6001"}]}',
    );
    report(await run(['--url', url, '--json', '--file', file]));
    const again = await run(['--url', url, '--json', '--file', file, '--prices', prices]);
    expect(again.code).toBe(2);
    expect(report(again)).toMatchObject({ accepted: 0, rejected: 1 });
    expect(await query(url, 'SELECT trim_scale(sum(total_cost_cents))::text AS cents FROM cus_usage_daily')).toEqual({
      cents: '1.386',
    });
  });

  it.each([
    ['an unknown flag', ['--nope']],
    ['--reset with --url', ['--reset', '--url', 'postgresql://x']],
    ['standard input twice', ['--file', '-', '--file', '-']],
    ['a chunk of 0', ['--chunk-size', '0']],
    ['no PostgreSQL url', ['--url', 'mysql://x']],
    ['a word too many', ['import']],
  ])('wrong usage, %s: exit code 64', async (_name, args) => {
    const { code, stdout, stderr } = await run(args);
    expect([code, stdout]).toEqual([64, '']);
    expect(stderr).toMatch(/^error: /);
  });

  it('another file is refused before any write; a missing one is named', async () => {
    const url = await freshUrl();
    const file = join(folder, 'other.csv');
    writeFileSync(file, 'a,b,c\n1,2,3\n');
    for (const path of [file, join(folder, 'absent.csv')]) {
      const { code, stderr } = await run(['--url', url, '--file', path]);
      expect(code).toBe(1);
      expect(stderr).toMatch(/other\.csv is neither|absent\.csv/);
    }
    expect(await query(url, "SELECT count(*) AS n FROM pg_tables WHERE schemaname = 'public'")).toEqual({ n: '0' });
  });

  it('memory does not grow with the file', async () => {
    const url = await freshUrl();
    // 120 MB of refused lines: nothing to write, everything to read. A heap of 64 MB would not hold a fifth of it.
    const line = Buffer.from(`${'x'.repeat(1000)}\n`);
    const input = Readable.from(
      (function* () {
        yield Buffer.from(`${HEADER}\n`);
        for (let i = 0; i < 1200; i += 1) yield Buffer.concat(Array<Buffer>(100).fill(line));
      })(),
    );
    const ended = await run(['--url', url, '--json', '--file', '-', '--rejects', '/dev/null'], input, [
      '--max-old-space-size=64',
    ]);
    expect(ended.code).toBe(2);
    expect(report(ended)).toMatchObject({ linesRead: 120_000, rejected: 120_000 });
  });
});

describe('npm start, the generated workload', () => {
  const LIMITS = [
    { name: 'Quickstart: monthly budget', limitCategory: 'BUDGET', maxValue: '5000' },
    { name: 'Quickstart: requests a minute', limitCategory: 'RATE', maxValue: '60' },
    { name: 'Quickstart: what one run may use', limitCategory: 'THRESHOLD', maxValue: '40000' },
  ];
  const [BUDGET, ...OTHERS] = LIMITS;
  const AGENT = { name: 'Quickstart: what one run may use (agent-2)', limitCategory: 'THRESHOLD', maxValue: '60000' };
  /** What is held back and spent of acme's budget after all charges: 2,875.25, 1,999.999999 and, under the override, 2,400. */
  const CONTROLS = [
    {
      tenantId: 'acme',
      limits: [{ ...BUDGET, reservedCents: '0', spentCents: '7275.249999' }, OTHERS[0], AGENT, OTHERS[1]],
      overrides: [{ limitName: 'Quickstart: monthly budget', overrideValue: '8000', status: 'EXPIRED' }],
    },
    ...['globex', 'initech'].map((tenantId) => ({
      tenantId,
      limits: [{ ...BUDGET, reservedCents: '0', spentCents: '0' }, ...OTHERS],
      overrides: [],
    })),
  ];
  let first: Record<string, unknown>;
  let url = '';

  beforeAll(async () => {
    url = await freshUrl();
    first = report(await run(['--url', url, '--json']));
  });

  it('a first run makes limits, charges, an override, decisions and a breaker’s incident, and reads them back', async () => {
    expect(first['controls']).toEqual({
      limits: 10,
      signalled: 72,
      charges: { granted: 3, refused: 1, duplicates: 0 },
      haltsDecided: 1,
      breakerTripped: true,
      breakerRecovered: true,
    });
    expect(first['readBack']).toMatchObject(CONTROLS);
    // The same in the rows, by SQL of our own.
    expect(
      await query(
        url,
        `SELECT (SELECT count(*) FROM limits)::int AS limits,
           (SELECT string_agg(trim_scale(settled_amount)::text, ' ' ORDER BY idempotency_key) FROM budget_reservations) AS settled,
           (SELECT string_agg(trim_scale(reserved + spent)::text, ' ') FROM budget_windows) AS windows,
           (SELECT string_agg(run_id || ' ' || decision_reason, ' ') FROM decision_records) AS decisions,
           (SELECT string_agg(circuit_breaker_name || ' ' || resolved, ' ') FROM costsim_cb_incidents) AS incidents,
           (SELECT string_agg(name || ' ' || disabled, ' ') FROM costsim_cb_state) AS breakers`,
      ),
    ).toEqual({
      limits: 10,
      settled: '2875.25 1999.999999 2400',
      windows: '7275.249999',
      decisions: 'quickstart-halted Hard budget limit reached: 5001.25c consumed >= 5000c limit',
      incidents: 'quickstart true',
      breakers: 'quickstart false',
    });
  });

  it('a second run changes no row of any table, and says so; text and JSON show the same figures', async () => {
    const before = await contents(url);
    const second = report(await run(['--url', url, '--json']));
    expect(second['controls']).toEqual({
      limits: 0,
      signalled: 0,
      charges: { granted: 0, refused: 0, duplicates: 4 },
      haltsDecided: 0,
      breakerTripped: false,
      breakerRecovered: false,
    });
    expect(second['readBack']).toEqual(first['readBack']);
    const { code, stdout } = await run(['--url', url]);
    expect(code).toBe(0);
    expect(stdout).toContain('Nothing changed: every call was there already.');
    expect(stdout).toContain(
      'Controls: 0 limits made; 0 charges granted, 0 refused, 4 there already; 0 runs crossed a threshold; 0 budget halts decided.',
    );
    expect(stdout).not.toContain('Circuit breaker');
    for (const line of [
      'limit=Quickstart: monthly budget  category=BUDGET  type=COST_CENTS  value=$50.00  enforcement=BLOCK',
      'limit=Quickstart: what one run may use (agent-2)  category=THRESHOLD  type=TOKENS_PER_RUN  value=60000  enforcement=BLOCK',
      'budget=Quickstart: monthly budget  since (UTC)=2025-11-01 00:00  cap=$50.00  reserved=$0.00  spent=$72.75249999  remaining=$0.00',
      'budget=Quickstart: monthly budget  since (UTC)=2025-11-01 00:00  cap=$50.00  reserved=$0.00  spent=$0.00  remaining=$50.00',
      'limit=Quickstart: monthly budget  from=5000  to=8000  status=EXPIRED  until (UTC)=2025-11-15 04:00',
    ])
      expect(stdout).toContain(`  ${line}\n`);
    expect(await contents(url)).toEqual(before);
  });

  it('killed among the controls, and again: as if it had run once', async () => {
    const own = await freshUrl();
    const { child, ended } = start(['--url', own, '--json']);
    await waitFor(
      async () => {
        const tables = await query(own, `SELECT to_regclass('budget_reservations') IS NOT NULL AS there`);
        return tables['there'] && Number((await query(own, 'SELECT count(*) AS n FROM budget_reservations'))['n']) > 0;
      },
      'the charges have begun',
      600_000,
    );
    child.kill('SIGKILL');
    await ended;
    const again = report(await run(['--url', own, '--json']));
    expect(again['readBack']).toEqual(first['readBack']);
  });
});
