import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { controlsModule } from '@hoc/controls';
import { createHoc } from '@hoc/shared';
import { systemScope } from '@hoc/shared/kernel';
import { useEmptyDatabase, waitFor } from '@hoc/testkit';
import type { QueryRunner } from 'typeorm';
import { CLIENT, EXPIRER } from './budget-scripts';
import { build, emptyFolder } from './repository';

/** Reserves, settles, releases and refusals together; `npm run verify:full` asks for a million. */
const OPERATIONS = Number(process.env['HOC_PROOF_OPERATIONS'] ?? 6_000);
const CLIENTS = 4;
const KILLS = 6;
/** Against hanging alone: many times what an operation takes on two quiet cores. */
const TIME_LIMIT_MS = 600_000 + 20 * OPERATIONS;
const db = useEmptyDatabase({ entities: [], migrations: [] });
const folder = emptyFolder('budget');

interface Process {
  readonly child: ChildProcess;
  readonly journal: string;
  readonly ended: Promise<number | null>;
}

let started = 0;
const all: Process[] = [];
function start(script: string, ...args: readonly string[]): Process {
  const journal = join(folder, `${(started += 1)}.log`);
  const child = spawn(process.execPath, [join(folder, script), db.url(), ...args, journal], {
    cwd: folder,
    stdio: ['pipe', 'ignore', 'inherit'],
  });
  const ended = new Promise<number | null>((resolve) => child.on('exit', resolve));
  const made = { child, journal, ended };
  all.push(made);
  return made;
}
const clients: Process[] = [];
function client(): Process {
  const made = start('client.cjs', `p${started + 1}`);
  clients.push(made);
  return made;
}

/** Lines that were written whole. */
const linesOf = ({ journal }: Process): readonly string[] =>
  existsSync(journal) ? readFileSync(journal, 'utf8').split('\n').slice(0, -1) : [];
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

interface Window {
  readonly id: string;
  readonly used: string;
  readonly within: boolean;
}
const BEYOND = `
  SELECT l.id, (w.reserved + w.spent)::text AS used, w.reserved + w.spent <= l.max_value AND w.reserved >= 0 AS within
  FROM budget_windows w JOIN limits l ON l.tenant_id = w.tenant_id AND l.id = w.limit_id`;
/** Windows whose counters aren't the sums over their ledger, in one snapshot. */
const DIFFERENT = `
  SELECT w.limit_id, w.reserved::text, w.spent::text, s.reserved::text AS ledger_reserved, s.spent::text AS ledger_spent
  FROM budget_windows w
  LEFT JOIN LATERAL (
    SELECT COALESCE(sum(r.amount) FILTER (WHERE r.status = 'RESERVED'), 0) AS reserved,
      COALESCE(sum(r.settled_amount) FILTER (WHERE r.status = 'SETTLED'), 0) AS spent
    FROM budget_reservations r WHERE r.tenant_id = w.tenant_id AND w.limit_id = ANY (r.limit_ids)
  ) AS s ON true
  WHERE w.reserved <> s.reserved OR w.spent <> s.spent`;

/** On a connection of its own: caps every 10 ms, counters against the ledger once a second. */
async function check(runner: QueryRunner, done: () => boolean): Promise<{ snapshots: number; recounts: number }> {
  const counts = { snapshots: 0, recounts: 0 };
  let recounted = Date.now();
  while (!done()) {
    const windows = (await runner.query(BEYOND)) as Window[];
    expect(windows.filter(({ within }) => !within)).toEqual([]);
    counts.snapshots += 1;
    if (Date.now() - recounted > 1000) {
      expect(await runner.query(DIFFERENT)).toEqual([]);
      counts.recounts += 1;
      recounted = Date.now();
    }
    await pause(10);
  }
  return counts;
}

beforeAll(async () => {
  build();
  writeFileSync(join(folder, 'client.cjs'), CLIENT);
  writeFileSync(join(folder, 'sweeper.cjs'), EXPIRER);
  const hoc = createHoc({ connection: { url: db.url(), applicationName: 'budget' }, modules: [controlsModule] });
  await hoc.migrate();
  await hoc.close();
  // Tight enough that a third is refused towards the end, at every level.
  await db.dataSource().query(`
    INSERT INTO tenants (id, name, slug, created_at, updated_at) VALUES ('t', 't', 't', now(), now());
    INSERT INTO limits (tenant_id, id, name, limit_category, limit_type, scope, scope_id, max_value, reset_period, created_at, updated_at)
    SELECT 't', id, id, 'BUDGET', 'COST_CENTS', scope, scope_id, value, 'NONE', now(), now()
    FROM (
      SELECT 'tenant' AS id, 'TENANT' AS scope, NULL AS scope_id, ${OPERATIONS} * 0.35 AS value
      UNION ALL SELECT 'project-' || n, 'PROJECT', 'p' || n, ${OPERATIONS} * 0.1 FROM generate_series(0, 3) n
      UNION ALL SELECT 'agent-' || n, 'AGENT', 'a' || n, ${OPERATIONS} * 0.03 FROM generate_series(0, 15) n
    ) AS made`);
}, TIME_LIMIT_MS);
// Before the database looks for connections that were left open; a test that failed leaves many.
afterEach(() => {
  for (const { child } of all) child.kill('SIGKILL');
});

it(
  '64 connections on three nested levels, clients killed at random: nothing beyond a limit, nothing lost, nothing twice',
  async () => {
    const sweepers = [start('sweeper.cjs'), start('sweeper.cjs')];
    const living = Array.from({ length: CLIENTS }, client);
    const killed: Process[] = [];
    const runner = db.dataSource().createQueryRunner();
    let over = false;
    const checking = check(runner, () => over);
    const told = (): number => clients.reduce((sum, each) => sum + linesOf(each).length, 0);
    for (let kills = 0; told() < OPERATIONS || kills < KILLS;) {
      expect(all.flatMap(linesOf).filter((line) => line.startsWith('failed'))).toEqual([]);
      await pause(OPERATIONS > 100_000 ? 3000 : 200);
      if (kills === KILLS || told() < ((kills + 1) * OPERATIONS) / (KILLS + 2)) continue;
      kills += 1;
      const [victim] = living.splice(Math.floor(Math.random() * living.length), 1);
      if (victim === undefined) continue;
      victim.child.kill('SIGKILL');
      killed.push(victim);
      living.push(client());
    }
    for (const { child } of living) child.stdin?.end();
    expect(await Promise.all(living.map(({ ended }) => ended))).toEqual(living.map(() => 0));
    const forgotten = `SELECT 1 FROM budget_reservations WHERE status = 'RESERVED' AND expires_at < created_at + interval '1 minute'`;
    const left = async (): Promise<unknown[]> => db.dataSource().query(forgotten);
    await waitFor(async () => (await left()).length === 0, 'the sweepers have given back what nobody closed');
    for (const { child } of sweepers) child.stdin?.end();
    expect(await Promise.all(sweepers.map(({ ended }) => ended))).toEqual([0, 0]);
    over = true;
    const { snapshots, recounts } = await checking;
    expect(await runner.query(DIFFERENT)).toEqual([]);
    await runner.release();

    // What the killed ones held is given back when its time is over.
    const hoc = createHoc({
      connection: { url: db.url(), applicationName: 'budget' },
      modules: [controlsModule],
      clock: { now: () => new Date(Date.now() + 3_600_000) },
    });
    await hoc.services.controls.sweeps.expireReservations(systemScope('budget proof'));
    await hoc.close();
    expect(await db.dataSource().query('SELECT limit_id FROM budget_windows WHERE reserved <> 0')).toEqual([]);

    const lines = [...killed, ...living].flatMap(linesOf).map((line) => line.split(' '));
    expect(lines.filter(([did]) => did === 'failed')).toEqual([]);
    const rows = (await db
      .dataSource()
      .query('SELECT idempotency_key AS key, status, settled_amount::text AS settled FROM budget_reservations')) as {
      key: string;
      status: string;
      settled: string | null;
    }[];
    const stored = new Map(rows.map((row) => [row.key, row]));
    const lost = lines.filter(([did, key = '', actual]) => {
      const row = stored.get(key);
      if (did === 'settled') return row?.status !== 'SETTLED' || row.settled !== actual;
      if (did === 'released') return row?.status !== 'RELEASED';
      return did === 'granted' ? row === undefined : row !== undefined;
    });
    expect(lost).toEqual([]);
    const did = (what: string): number => lines.filter(([word]) => word === what).length;
    expect(did('granted')).toBeGreaterThan(0);
    expect(did('settled')).toBeGreaterThan(0);
    expect(did('refused')).toBeGreaterThan(0);
    expect(killed).toHaveLength(KILLS);
    process.stderr.write(
      `budget proof: ${did('granted')} granted, ${did('refused')} refused, ${did('settled')} settled, ${did('released')} released, ${rows.filter(({ status }) => status === 'EXPIRED').length} expired; ${killed.length} of ${killed.length + living.length} clients killed; ${snapshots} snapshots within every limit, ${recounts + 1} recounts equal\n`,
    );
  },
  TIME_LIMIT_MS,
);
