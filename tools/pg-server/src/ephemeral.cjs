// @ts-check
const { mkdtempSync, rmSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { join } = require('node:path');
const { giveTo, serverAccount, usableBinaries } = require('./binaries.cjs');
const { initCluster, startServer } = require('./launch.cjs');

/**
 * What a test may lose: nothing outlives the run. No autovacuum: it would count the rows of a table in the middle of a test
 * that depends on what the planner knows, on one machine and not on the next. Connections for any two spec files at once: the
 * crash test has more than a hundred, the budget proof nearly as many.
 */
const FAST = ['fsync=off', 'synchronous_commit=off', 'full_page_writes=off', 'autovacuum=off', 'max_connections=400'];

/**
 * A server for one run: data in a temporary folder, no durability, gone with `stop()` or with this process.
 * @param {{ settings?: readonly string[], durable?: boolean }} [options] `durable` keeps fsync on: for the bench
 * @returns {Promise<{ url: string, stop: () => Promise<void> }>}
 */
async function startEphemeral(options = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'hoc-pg-'));
  const account = serverAccount();
  giveTo(folder, account);
  try {
    const binaries = usableBinaries(folder, account);
    const data = join(folder, 'data');
    initCluster({ binaries, data, account, durable: false });
    const settings = [...(options.durable ? ['max_connections=200'] : FAST), ...(options.settings ?? [])];
    const server = await startServer({ binaries, data, account, settings, signal: 'QUIT', removeAfter: folder });
    const stop = async () => {
      await server.stop();
      // Copied binaries belong to root while the guard runs as nobody: the parent removes what the guard couldn't.
      rmSync(folder, { recursive: true, force: true });
    };
    return { url: server.url, stop };
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
}

module.exports = { startEphemeral };
