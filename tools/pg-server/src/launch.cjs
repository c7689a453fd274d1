// @ts-check
const { spawn, spawnSync } = require('node:child_process');
const { createServer } = require('node:net');
const { join } = require('node:path');

/** @typedef {import('./binaries.cjs').Account} Account */
/**
 * @typedef {object} Launch
 * @property {string} binaries folder that holds bin/postgres
 * @property {string} data the cluster
 * @property {Account} account
 * @property {readonly string[]} settings `name=value`
 * @property {'QUIT' | 'INT'} signal how the server is told to end: at once, or after rolling back and a checkpoint
 * @property {string} [removeAfter] a folder that goes when the server has ended
 */
/** @typedef {{ url: string, port: number, stop: () => Promise<void> }} RunningServer */

const ATTEMPTS = 3;
// Against hanging alone: initdb takes a second on a quiet machine, and very long beside fifty busy processes.
const START_LIMIT_MS = 120_000;

// The guard's stdin closes with its parent, however the parent dies: SIGKILL included. So no server is left behind.
// It gives up its own outputs, so that they end when the server does: a server that dies at once is noticed at once.
// A word on stdin means that the folder is still needed, for the next attempt.
const GUARD = [
  'signal="$1"; dir="$2"; shift 2',
  '"$@" & p=$!',
  'exec >/dev/null 2>&1',
  'read -r keep',
  'kill -"$signal" $p; wait $p',
  '[ -n "$keep" ] || [ -z "$dir" ] || rm -rf "$dir"',
].join('\n');

/** @param {{ binaries: string, data: string, account: Account, durable: boolean }} cluster */
function initCluster({ binaries, data, account, durable }) {
  const flags = ['-D', data, '-U', 'postgres', '--auth=trust', '--encoding=UTF8', '--locale=C', '--no-instructions'];
  const result = spawnSync(join(binaries, 'bin', 'initdb'), [...flags, ...(durable ? [] : ['--no-sync'])], {
    ...processOptions(account),
    encoding: 'utf8',
    timeout: START_LIMIT_MS,
  });
  if (result.status !== 0) throw new Error(`initdb failed: ${result.error ?? result.stderr}`);
}

/**
 * Starts a server on a free port of 127.0.0.1 and waits until it takes connections.
 * @param {Launch} launch
 * @returns {Promise<RunningServer>}
 */
async function startServer(launch) {
  let log = '';
  for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
    const port = await freePort();
    const server = await tryStart(launch, port);
    if ('stop' in server) return server;
    log = server.log;
  }
  throw new Error(`PostgreSQL did not start:\n${log.slice(-2000)}`);
}

/**
 * @param {Launch} launch
 * @param {number} port
 * @returns {Promise<RunningServer | { log: string }>}
 */
async function tryStart(launch, port) {
  const settings = [`port=${port}`, 'listen_addresses=127.0.0.1', 'unix_socket_directories=', ...launch.settings];
  const command = [join(launch.binaries, 'bin', 'postgres'), '-D', launch.data, ...settings.flatMap((s) => ['-c', s])];
  const guard = spawn('/bin/sh', ['-c', GUARD, 'sh', launch.signal, launch.removeAfter ?? '', ...command], {
    ...processOptions(launch.account),
    stdio: ['pipe', 'pipe', 'pipe'],
    // An own process group: Ctrl-C must reach the server through its guard, in order, and not directly.
    detached: true,
  });
  const exited = new Promise((resolve) => guard.once('exit', resolve));
  // A guard that is gone already takes no word.
  guard.stdin?.on('error', () => undefined);
  const stop = async (/** @type {string} */ word = '') => {
    guard.ref();
    guard.stdin?.end(word);
    await exited;
  };
  const { ready, log } = await readiness(guard);
  if (ready) {
    guard.stdout?.resume();
    guard.stderr?.resume();
    // Neither the guard nor its pipes keep the parent alive: a script that forgets stop() still ends, and the server with it.
    guard.unref();
    for (const stream of [guard.stdin, guard.stdout, guard.stderr]) /** @type {any} */ (stream)?.unref?.();
    return { url: `postgresql://postgres@127.0.0.1:${port}/postgres`, port, stop: once(() => stop()) };
  }
  await stop('keep\n');
  return { log };
}

/** @param {import('node:child_process').ChildProcess} guard */
function readiness(guard) {
  return new Promise((resolve) => {
    let log = '';
    const done = (/** @type {boolean} */ ready) => {
      clearTimeout(timer);
      // What a running server logs is read and let go: kept, it would grow as long as the server runs.
      guard.stderr?.off('data', seen);
      guard.stdout?.off('data', seen);
      resolve({ ready, log });
    };
    const timer = setTimeout(() => done(false), START_LIMIT_MS);
    const seen = (/** @type {Buffer} */ chunk) => {
      log += chunk;
      if (log.includes('ready to accept connections')) done(true);
      else if (/FATAL|PANIC/.test(log)) done(false);
    };
    guard.stderr?.on('data', seen);
    guard.stdout?.on('data', seen);
    guard.once('error', (error) => {
      log += String(error);
      done(false);
    });
    guard.stderr?.once('end', () => done(false));
    guard.once('exit', () => done(false));
  });
}

/** @returns {Promise<number>} */
function freePort() {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = /** @type {import('node:net').AddressInfo} */ (probe.address());
      probe.close(() => resolve(port));
    });
  });
}

/** @param {Account} account */
const processOptions = (account) => ({
  ...account,
  cwd: '/',
  env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' },
});

/** @template T @param {() => Promise<T>} work */
function once(work) {
  /** @type {Promise<T> | undefined} */
  let result;
  return () => (result ??= work());
}

module.exports = { initCluster, startServer };
