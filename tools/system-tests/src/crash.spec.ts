import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { activityModule } from '@hoc/activity';
import { createHoc, ensureImportTarget } from '@hoc/shared';
import { useEmptyDatabase, waitFor } from '@hoc/testkit';
import { SWEEPER, WORKER } from './crash-scripts';
import { build, emptyFolder } from './repository';

const [WORKERS, KILLED, STOPPED, SWEEPERS] = [50, 20, 10, 3];
/** Against hanging alone. */
const LIMIT_MS = 180_000;
jest.setTimeout(900_000);
const db = useEmptyDatabase({ entities: [], migrations: [] });
const folder = emptyFolder('crash');

interface Entry {
  readonly did: 'created' | 'sending' | 'call' | 'finished' | 'refused' | 'marked' | 'failed';
  readonly id?: string;
  readonly callId?: string;
  readonly status?: string;
  readonly details?: { readonly status?: string; readonly reason?: string };
  readonly message?: string;
}

interface Process {
  readonly child: ChildProcess;
  readonly journal: string;
  readonly ready: Promise<void>;
  readonly ended: Promise<number | null>;
}

const all: Process[] = [];
function start(script: string, name: string, ...args: readonly string[]): Process {
  const journal = join(folder, `${name}.jsonl`);
  const child = spawn(process.execPath, [join(folder, script), db.url(), ...args, journal], {
    cwd: folder,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const ready = new Promise<void>((resolve, reject) => {
    child.stdout.once('data', () => resolve());
    child.once('exit', (code) => reject(new Error(`${name} ended with ${code} before it was ready`)));
  });
  ready.catch(() => undefined);
  const ended = new Promise<number | null>((resolve) => child.on('exit', resolve));
  const made = { child, journal, ready, ended };
  all.push(made);
  return made;
}
// Before the database looks for connections that were left open; a test that failed leaves many.
afterEach(() => {
  for (const { child } of all) child.kill('SIGKILL');
});

/** What a process wrote; a line that a kill cut in half says nothing. */
function entriesOf({ journal }: Process): readonly Entry[] {
  if (!existsSync(journal)) return [];
  const lines = readFileSync(journal, 'utf8').split('\n');
  return lines.slice(0, -1).map((line) => JSON.parse(line) as Entry);
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const hasFinished = (process: Process): boolean => entriesOf(process).some(({ did }) => did === 'finished');
/** In a run that goes on for a while: its last call, the fourth, is still to come. */
const isAtWork = (process: Process): boolean => /-[012]$/.test(entriesOf(process).at(-1)?.callId ?? '');
/** The numbers of as many as are to be killed or stopped; null while fewer are at work. */
function victimsOf(workers: readonly Process[]): readonly number[] | null {
  const found = workers.flatMap((worker, n) => (isAtWork(worker) ? [n] : []));
  return found.length < KILLED + STOPPED ? null : found.slice(0, KILLED + STOPPED);
}

/** A few at a time: fifty at once would leave nothing of the machine to whatever runs beside. */
async function startWorkers(): Promise<readonly Process[]> {
  const workers: Process[] = [];
  while (workers.length < WORKERS) {
    const few = [0, 1, 2, 3, 4].map((n) => `${workers.length + n}`);
    const started = few.map((number) => start('worker.cjs', `worker-${number}`, number));
    workers.push(...started);
    await Promise.all(started.map(({ ready }) => ready));
  }
  return workers;
}
const column = async (sql: string): Promise<string[]> =>
  ((await db.dataSource().query(sql)) as { value: string }[]).map(({ value }) => value);
const openRunsOf = async (workers: readonly number[]): Promise<number> => {
  const ids = workers.map((n) => `'worker-${n}'`).join(', ');
  const open = `status IN ('queued', 'running') AND worker_id IN (${ids})`;
  return (await column(`SELECT id AS value FROM worker_runs WHERE ${open}`)).length;
};

beforeAll(async () => {
  build();
  writeFileSync(join(folder, 'worker.cjs'), WORKER);
  writeFileSync(join(folder, 'sweeper.cjs'), SWEEPER);
  const hoc = createHoc({ connection: { url: db.url(), applicationName: 'crash' }, modules: [activityModule] });
  await hoc.migrate();
  const target = { tenantId: 't', integrationId: 'i', providerType: 'openai' } as const;
  await hoc.transaction(({ manager }) => ensureImportTarget(manager, target, { clock: { now: () => new Date() } }));
  await hoc.close();
});

it('50 workers, 20 killed, 10 stopped and resumed, three sweepers: every orphan marked once, nothing lost, nothing doubled', async () => {
  const workers = await startWorkers();
  const numbers = workers.map((_, n) => n);
  const sweepers = Array.from({ length: SWEEPERS }, (_, n) => start('sweeper.cjs', `sweeper-${n}`));
  for (const { child } of workers) child.stdin?.write('go\n');
  await waitFor(() => workers.every(hasFinished), 'every worker has ended a run', LIMIT_MS);
  const victims = await waitFor(() => victimsOf(workers), 'enough of them are in the middle of another', LIMIT_MS);
  const killed = victims.slice(0, KILLED);
  const stopped = victims.slice(KILLED);
  const living = numbers.filter((n) => !victims.includes(n));
  for (const n of killed) {
    workers[n]?.child.kill('SIGKILL');
    await pause(Math.random() * 20);
  }
  for (const n of stopped) workers[n]?.child.kill('SIGSTOP');
  await waitFor(async () => (await openRunsOf([...killed, ...stopped])) === 0, 'all their runs are marked', LIMIT_MS);
  const resumed = stopped.flatMap((n) => workers[n] ?? []);
  const before = resumed.map((worker) => entriesOf(worker).length);
  for (const { child } of resumed) child.kill('SIGCONT');
  const hasMoved = (worker: Process, k: number): boolean => entriesOf(worker).length > (before[k] ?? 0);
  await waitFor(() => resumed.every(hasMoved), 'those that were stopped have gone on', LIMIT_MS);
  for (const { child } of workers) child.stdin?.end();
  const codes = await Promise.all(workers.map(({ ended }) => ended));
  for (const { child } of sweepers) child.stdin?.end();
  const sweeperCodes = await Promise.all(sweepers.map(({ ended }) => ended));

  const journal = workers.map(entriesOf);
  expect(journal.flat().filter(({ did }) => did === 'failed')).toEqual([]);
  expect([...killed.map((n) => codes[n]), ...sweeperCodes]).toEqual([...killed.map(() => null), 0, 0, 0]);
  expect([...stopped, ...living].map((n) => codes[n])).toEqual([...stopped, ...living].map(() => 0));

  const marked = sweepers.flatMap(entriesOf).map(({ id }) => id ?? '');
  const crashed = await column(`SELECT id AS value FROM worker_runs WHERE status = 'crashed'`);
  expect(new Set(marked).size).toBe(marked.length);
  expect([...marked].sort()).toEqual([...crashed].sort());
  // Whoever was marked had been silent for the minute: a living one too, where the machine left it no time for that long.
  const life = 'GREATEST(created_at, started_at, last_seen_at)';
  expect(
    await column(
      `SELECT id AS value FROM worker_runs WHERE status = 'crashed' AND ${life} >= completed_at - interval '1 minute'`,
    ),
  ).toEqual([]);
  expect(crashed.length).toBeGreaterThanOrEqual(KILLED / 2);

  const finished = journal.flat().flatMap(({ did, id }) => (did === 'finished' && id !== undefined ? [id] : []));
  const completed = await column(
    `SELECT id AS value FROM worker_runs WHERE status = 'completed' AND total_tokens = 46 AND cost_cents = 1 AND success`,
  );
  expect(finished.filter((id) => !completed.includes(id))).toEqual([]);
  expect(await column(`SELECT id AS value FROM worker_runs WHERE status IN ('queued', 'running')`)).toEqual([]);

  const refused = stopped.flatMap((n) => journal[n]?.filter(({ did }) => did === 'refused') ?? []);
  expect(refused.length).toBeGreaterThanOrEqual(1);
  for (const { details } of refused) expect(details).toMatchObject({ status: 'crashed', reason: 'terminal' });
  const late = refused.flatMap(({ id }) =>
    journal.flat().filter((entry) => entry.did === 'call' && entry.callId?.startsWith(`${id}-`)),
  );

  const sent = new Set(journal.flat().flatMap(({ did, callId }) => (did === 'sending' ? [callId] : [])));
  const told = journal.flat().flatMap(({ did, callId, status }) => (did === 'call' ? [{ callId, status }] : []));
  const stored = new Set(await column('SELECT call_id AS value FROM cus_llm_usage'));
  expect(told.filter(({ status }) => status !== 'accepted' && status !== 'duplicate')).toEqual([]);
  expect(told.filter(({ callId }) => !stored.has(callId ?? ''))).toEqual([]);
  expect([...stored].filter((callId) => !sent.has(callId))).toEqual([]);
  expect(late.length).toBeGreaterThanOrEqual(refused.length);
  const sums: unknown = await db.dataSource().query(
    `SELECT count(*)::int AS calls, sum(cost_cents)::text AS cost, (SELECT sum(total_calls)::int FROM cus_usage_daily) AS daily,
            (SELECT sum(total_cost_cents)::text FROM cus_usage_daily) AS daily_cost FROM cus_llm_usage`,
  );
  const cost = (stored.size * 0.25).toFixed(6);
  expect(sums).toEqual([{ calls: stored.size, cost, daily: stored.size, daily_cost: cost }]);
  process.stderr.write(
    `crash test: ${finished.length} runs finished, ${crashed.length} orphans marked once by three sweepers, ${refused.length} late ends refused, ${told.length} calls told stored of ${stored.size}\n`,
  );
});
