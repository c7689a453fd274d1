import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { startDurable } from './index.cjs';
import { holderOf, isAlive } from './start-lock.cjs';
import { ask, isRunning, serverOf, startElsewhere, until } from './starter';

const REFUSED = /another process uses the local database/;

describe('startDurable', () => {
  let repositoryRoot = '';
  let folders: string[] = [];
  beforeEach(() => {
    repositoryRoot = mkdtempSync(join(tmpdir(), 'hoc-repository-'));
    chmodSync(repositoryRoot, 0o755);
    folders = [repositoryRoot];
  });
  afterEach(async () => {
    // A server whose parent was killed still writes its last checkpoint: into a folder that is being removed.
    const owner = join(repositoryRoot, '.hoc', 'pg15', 'data', 'postmaster.pid');
    await until('the last server is gone', () => !isAlive(holderOf(owner)));
    for (const folder of folders) rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  });

  const elsewhere = (more = '') =>
    startElsewhere(`server.startDurable({ repositoryRoot: ${JSON.stringify(repositoryRoot)}${more} })`);

  it('keeps the data in .hoc/pg15 from one start to the next, with fsync', async () => {
    const first = await startDurable({ repositoryRoot });
    expect(first.dataDirectory.startsWith(join(repositoryRoot, '.hoc', 'pg15'))).toBe(true);
    await expect(ask(first.url, `SELECT current_setting('fsync') AS fsync`)).resolves.toEqual({ fsync: 'on' });
    await ask(first.url, 'CREATE TABLE kept AS SELECT 42 AS n');
    await first.stop();
    const second = await startDurable({ repositoryRoot });
    await expect(ask(second.url, 'SELECT n FROM kept')).resolves.toEqual({ n: 42 });
    await second.stop();
  });

  it('empties it by reset alone', async () => {
    const first = await startDurable({ repositoryRoot });
    await ask(first.url, 'CREATE TABLE kept AS SELECT 42 AS n');
    await first.stop();
    const second = await startDurable({ repositoryRoot, reset: true });
    await expect(ask(second.url, `SELECT to_regclass('kept') AS t`)).resolves.toEqual({ t: null });
    await second.stop();
  });

  it('refuses a second start and a reset while one runs, and says what to do', async () => {
    const first = await startDurable({ repositoryRoot });
    await ask(first.url, 'CREATE TABLE kept AS SELECT 42 AS n');
    await expect(startDurable({ repositoryRoot })).rejects.toThrow(REFUSED);
    await expect(startDurable({ repositoryRoot, reset: true })).rejects.toThrow(REFUSED);
    await expect(elsewhere()).rejects.toThrow(REFUSED);
    await expect(ask(first.url, 'SELECT n FROM kept')).resolves.toEqual({ n: 42 });
    await first.stop();
  });

  it('lets one of several starts at once win, on an empty folder and beside a dead holder', async () => {
    for (let round = 0; round < 6; round += 1) {
      const settled = await Promise.allSettled([elsewhere(), elsewhere(), elsewhere()]);
      const won = settled.filter((each) => each.status === 'fulfilled').map((each) => each.value);
      const lost = settled.filter((each) => each.status === 'rejected').map((each) => String(each.reason));
      await Promise.all(won.map((each) => each.kill()));
      expect(won).toHaveLength(1);
      for (const reason of lost) expect(reason).toMatch(REFUSED);
    }
  });

  it('starts at once after a SIGKILL of the parent, which stopped the old server cleanly, with all data', async () => {
    for (let round = 0; round < 4; round += 1) {
      const killed = await elsewhere();
      const { pid } = await serverOf(killed.url);
      await ask(killed.url, 'CREATE TABLE IF NOT EXISTS kept (n int)');
      await ask(killed.url, 'INSERT INTO kept SELECT g FROM generate_series(1, 1000) g');
      await killed.kill();
      const next = await startDurable({ repositoryRoot });
      await until('the old server is gone', () => !isRunning(pid));
      await expect(ask(next.url, 'SELECT count(*)::int AS n FROM kept')).resolves.toEqual({ n: 1000 * (round + 1) });
      await next.stop();
    }
  });

  it.each([false, true])(
    'waits for a server that is still stopping, before it touches the data (reset: %s)',
    async (reset) => {
      const killed = await elsewhere();
      const { pid } = await serverOf(killed.url);
      await ask(killed.url, 'CREATE TABLE kept AS SELECT 42 AS n');
      // A stopped guard can't end its server: what a long shutdown checkpoint looks like to the next start.
      const guard = guardOf(pid);
      process.kill(guard, 'SIGSTOP');
      const lock = join(repositoryRoot, '.hoc', 'pg15', 'start.lock');
      const before = holderOf(lock);
      await killed.kill();
      const starting = elsewhere(reset ? ', reset: true' : '');
      await until('the next start has begun', () => holderOf(lock) !== before && isAlive(holderOf(lock)));
      await new Promise((resolve) => setTimeout(resolve, 1000));
      const file = join(repositoryRoot, '.hoc', 'pg15', 'data', 'postmaster.pid');
      const owner = existsSync(file) ? Number.parseInt(readFileSync(file, 'utf8'), 10) : 0;
      process.kill(guard, 'SIGCONT');
      const next = await starting;
      await expect(ask(next.url, `SELECT to_regclass('kept')::text AS t`)).resolves.toEqual({
        t: reset ? null : 'kept',
      });
      await next.kill();
      expect(owner).toBe(pid);
    },
  );

  it('respects the lock of a living process and takes over that of a dead one', async () => {
    mkdirSync(join(repositoryRoot, '.hoc', 'pg15'), { recursive: true });
    writeFileSync(join(repositoryRoot, '.hoc', 'pg15', 'start.lock'), String(process.pid));
    await expect(elsewhere()).rejects.toThrow(REFUSED);
    writeFileSync(join(repositoryRoot, '.hoc', 'pg15', 'start.lock'), '999999999');
    const server = await startDurable({ repositoryRoot });
    await server.stop();
  });

  it('recovers after a kill -9 of the parent, the guard and the server', async () => {
    const killed = await elsewhere();
    const { pid } = await serverOf(killed.url);
    await ask(killed.url, 'CREATE TABLE kept AS SELECT 42 AS n');
    process.kill(guardOf(pid), 'SIGKILL');
    process.kill(pid, 'SIGKILL');
    await killed.kill();
    await until('the server is gone', () => !isRunning(pid));
    const next = await startDurable({ repositoryRoot });
    await expect(ask(next.url, 'SELECT n FROM kept')).resolves.toEqual({ n: 42 });
    await next.stop();
  });

  it('starts over where an initdb was cut short', async () => {
    const data = join(repositoryRoot, '.hoc', 'pg15', 'data');
    mkdirSync(join(data, 'base'), { recursive: true });
    const server = await startDurable({ repositoryRoot });
    await server.stop();
  });

  it('works under a 0700 folder, and says where the data is when that is elsewhere', async () => {
    chmodSync(repositoryRoot, 0o700);
    const notices: string[] = [];
    const server = await startDurable({ repositoryRoot, onNotice: (text) => notices.push(text) });
    const { data } = await serverOf(server.url);
    await server.stop();
    const inside = data.startsWith(repositoryRoot);
    if (!inside) folders.push(dirname(data));
    expect(notices.some((text) => text.includes(dirname(data)))).toBe(!inside);
    expect(existsSync(join(data, 'PG_VERSION'))).toBe(true);
  });
});

/** The guard is the leader of its server's process group. */
function guardOf(pid: number): number {
  return Number(execFileSync('ps', ['-o', 'pgid=', '-p', String(pid)], { encoding: 'utf8' }));
}
