// @ts-check
const { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, writeSync } = require('node:fs');
const { createHash } = require('node:crypto');
const { tmpdir } = require('node:os');
const { spawnSync } = require('node:child_process');
const { join, resolve } = require('node:path');
const { giveTo, serverAccount, usableBinaries } = require('./binaries.cjs');
const { initCluster, startServer } = require('./launch.cjs');

const DURABLE = ['max_connections=100'];

/**
 * The local server of `npm start`: fsync on, data kept between runs, removed by `reset` alone.
 * @param {{ repositoryRoot: string, reset?: boolean, onNotice?: (text: string) => void }} options
 * @returns {Promise<{ url: string, dataDirectory: string, stop: () => Promise<void> }>}
 */
async function startDurable({ repositoryRoot, reset = false, onNotice = () => {} }) {
  const account = serverAccount();
  const home = homeFolder(resolve(repositoryRoot), account, onNotice);
  const release = takeLock(home);
  try {
    const data = join(home, 'data');
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
  mkdirSync(outside, { recursive: true });
  giveTo(outside, account);
  onNotice(`the database is kept in ${outside}, because the server's account can't reach the repository`);
  return outside;
}

/** One start at a time: the file names its holder, and a dead holder's file is taken over. @param {string} home */
function takeLock(home) {
  const path = join(home, 'start.lock');
  for (let attempt = 0; attempt < 2; attempt += 1) {
    try {
      const file = openSync(path, 'wx');
      writeSync(file, String(process.pid));
      closeSync(file);
      return () => rmSync(path, { force: true });
    } catch (error) {
      if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'EEXIST') throw error;
      if (isAlive(Number(readFileSync(path, 'utf8')))) break;
      rmSync(path, { force: true });
    }
  }
  throw new Error(
    `another process uses the local database (${path}): wait for it, or give --url a database of your own`,
  );
}

/** @param {number} pid */
function isAlive(pid) {
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return /** @type {NodeJS.ErrnoException} */ (error).code === 'EPERM';
  }
}

module.exports = { startDurable };
