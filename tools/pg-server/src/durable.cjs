// @ts-check
const { existsSync, lstatSync, mkdirSync, rmSync } = require('node:fs');
const { createHash } = require('node:crypto');
const { tmpdir } = require('node:os');
const { spawnSync } = require('node:child_process');
const { join, resolve } = require('node:path');
const { giveTo, serverAccount, usableBinaries } = require('./binaries.cjs');
const { initCluster, startServer } = require('./launch.cjs');
const { holderOf, isAlive, takeStartLock } = require('./start-lock.cjs');

const DURABLE = ['max_connections=100'];
const OLD_SERVER_LIMIT_MS = 30_000;

/**
 * The local server of `npm start`: fsync on, data kept between runs, removed by `reset` alone.
 * @param {{ repositoryRoot: string, reset?: boolean, onNotice?: (text: string) => void }} options
 * @returns {Promise<{ url: string, dataDirectory: string, stop: () => Promise<void> }>}
 */
async function startDurable({ repositoryRoot, reset = false, onNotice = () => {} }) {
  const account = serverAccount();
  const home = homeFolder(resolve(repositoryRoot), account, onNotice);
  const release = takeStartLock(home);
  try {
    const data = join(home, 'data');
    await oldServerEnded(data);
    if (reset) rmSync(data, { recursive: true, force: true });
    const binaries = usableBinaries(home, account);
    if (!existsSync(join(data, 'PG_VERSION'))) {
      // An initdb that was killed half-way leaves a folder that nothing accepts.
      rmSync(data, { recursive: true, force: true });
      initCluster({ binaries, data, account, durable: true });
    }
    const server = await startServer({ binaries, data, account, settings: DURABLE, signal: 'INT' });
    const stop = async () => {
      await server.stop();
      release();
    };
    return { url: server.url, dataDirectory: data, stop };
  } catch (error) {
    release();
    throw error;
  }
}

/**
 * The server of a parent that was killed writes its last checkpoint while the lock is already free.
 * @param {string} data
 */
async function oldServerEnded(data) {
  const file = join(data, 'postmaster.pid');
  for (let waited = 0; waited < OLD_SERVER_LIMIT_MS; waited += 50) {
    // The file of a server that was killed as well stays behind: PostgreSQL itself deals with that one.
    if (!isAlive(holderOf(file))) return;
    await new Promise((next) => setTimeout(next, 50));
  }
  throw new Error(
    `a server still runs on ${data} (process ${holderOf(file)}): end it; if that process is no PostgreSQL, remove ${file}`,
  );
}

/**
 * `.hoc/pg15` of the repository; where the server's account can't reach it, a folder of the temporary directory that
 * belongs to this repository's path.
 * @param {string} root
 * @param {import('./binaries.cjs').Account} account
 * @param {(text: string) => void} onNotice
 */
function homeFolder(root, account, onNotice) {
  const inside = join(root, '.hoc', 'pg15');
  mkdirSync(inside, { recursive: true });
  giveTo(inside, account);
  if (account.uid === undefined) return inside;
  const reachable = spawnSync('/bin/sh', ['-c', 'cd "$1"', 'sh', inside], { ...account, cwd: '/' }).status === 0;
  if (reachable) return inside;
  const outside = join(tmpdir(), `hoc-pg15-${createHash('sha256').update(root).digest('hex').slice(0, 12)}`);
  mkdirSync(outside, { recursive: true, mode: 0o700 });
  refuseForeign(outside, account);
  giveTo(outside, account);
  onNotice(`the database is kept in ${outside}, because the server's account can't reach the repository`);
  return outside;
}

/**
 * Everybody may write in the temporary directory, and this name can be foreseen: another user's link or folder is refused.
 * @param {string} path
 * @param {import('./binaries.cjs').Account} account
 */
function refuseForeign(path, account) {
  const found = lstatSync(path);
  if (found.isDirectory() && (found.uid === 0 || found.uid === account.uid)) return;
  throw new Error(`${path} belongs to somebody else: remove it`);
}

module.exports = { startDurable };
