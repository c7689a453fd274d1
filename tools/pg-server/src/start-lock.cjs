// @ts-check
const { closeSync, linkSync, openSync, readFileSync, rmSync, statSync, writeFileSync } = require('node:fs');
const { join } = require('node:path');

const TAKEOVER_STALE_MS = 10_000;

/**
 * One start at a time in a folder: the file names its holder, and a dead holder's file is taken over.
 * @param {string} home
 * @returns {() => void} gives the lock back
 */
function takeStartLock(home) {
  const path = join(home, 'start.lock');
  if (claim(path) || takeOver(path)) return () => rmSync(path, { force: true });
  const holder = holderOf(path);
  throw new Error(
    `another process uses the local database (process ${holder}, ${path}): end it, or give --url a database of your own; ` +
      `if that process is no HOC, remove the file`,
  );
}

/**
 * Writes first and links after: nobody ever sees a lock that does not name its holder yet.
 * @param {string} path
 */
function claim(path) {
  const draft = `${path}.${process.pid}`;
  writeFileSync(draft, String(process.pid));
  try {
    linkSync(draft, path);
    return true;
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
    return false;
  } finally {
    rmSync(draft, { force: true });
  }
}

/**
 * Of several that see the same dead holder, only one may remove its file: the second would remove the first one's new lock.
 * @param {string} path
 */
function takeOver(path) {
  const gate = `${path}.takeover`;
  if (!openGate(gate)) return false;
  try {
    if (isAlive(holderOf(path))) return false;
    rmSync(path, { force: true });
    return claim(path);
  } finally {
    rmSync(gate, { force: true });
  }
}

/** @param {string} gate */
function openGate(gate) {
  try {
    // The gate is held for a few synchronous calls: an old one belongs to a process that was killed between them.
    if (Date.now() - statSync(gate).mtimeMs > TAKEOVER_STALE_MS) rmSync(gate, { force: true });
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
  }
  try {
    closeSync(openSync(gate, 'wx'));
    return true;
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
    return false;
  }
}

/** @param {string} path */
function holderOf(path) {
  try {
    return Number.parseInt(readFileSync(path, 'utf8'), 10);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
    return 0;
  }
}

/** @param {number} pid */
function isAlive(pid) {
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) === 'EPERM';
  }
}

/** @param {unknown} error */
const codeOf = (error) => /** @type {NodeJS.ErrnoException} */ (error).code;

module.exports = { takeStartLock, isAlive, holderOf };
