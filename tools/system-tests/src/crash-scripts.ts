/**
 * A worker process: one worker run after the other, each with its calls and heartbeats, until its standard input ends. It
 * rests between them: fifty that don't would leave nothing of the machine to whatever runs beside.
 * What it is about to do, and what it was told is done, it writes to its journal at once: a file outlives SIGKILL.
 * Arguments: URL, number, journal.
 */
export const WORKER = `
const { appendFileSync } = require('node:fs');
const { createHoc } = require('@hoc/shared');
const { activityModule } = require('@hoc/activity');
const [url, me, journal] = process.argv.slice(2);
const note = (entry) => appendFileSync(journal, JSON.stringify(entry) + '\\n');
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const hoc = createHoc({ connection: { url, applicationName: 'crash-worker', poolSize: 2, idleInTransactionTimeoutMs: 2_000 }, modules: [activityModule] });
/** What any sender does: again, under the same id, when it couldn't be told; it gives up late, however slow the machine is. */
async function again(work) {
  const until = Date.now() + 120_000;
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work();
    } catch (error) {
      const mine = attempt > 1 && error.code === 'CONFLICT' && error.details.reason === 'already_started';
      if (mine) return undefined;
      if (error.code !== 'UNAVAILABLE' || (attempt >= 100 && Date.now() > until)) throw error;
      await sleep(50 + Math.random() * 100);
    }
  }
}
const lifecycle = (work) => again(() => hoc.transaction(({ activity }) => work(activity.lifecycle)));
const { coalescer } = hoc.services.activity;
let going = true;

async function oneRun(id) {
  await lifecycle((l) => l.createWorkerRuns('t', [{ id, workerId: 'worker-' + me, task: 'work' }]));
  note({ did: 'created', id });
  await lifecycle((l) => l.startWorkerRun('t', id));
  const stop = beating(id);
  try {
    await work(id);
  } finally {
    await stop();
  }
}

/** Signs of life of their own, so that a run whose call waits for a lock isn't thought dead. */
function beating(id) {
  let on = true;
  const beats = (async () => {
    while (on) {
      await lifecycle((l) => l.touchWorkerRun('t', id));
      await sleep(1000);
    }
  })();
  return () => ((on = false), beats);
}

async function work(id) {
  for (let n = 0; n < 4; n += 1) {
    const callId = id + '-' + n;
    note({ did: 'sending', callId });
    const call = { callId, provider: 'openai', model: 'm', tokensIn: 10, tokensOut: n, costCents: '0.25' };
    const { status } = await again(() => coalescer.ingest('t', 'i', call));
    note({ did: 'call', callId, status });
    await sleep(300 + Math.random() * 300);
  }
  await lifecycle((l) => l.finishWorkerRun('t', id, { status: 'completed', figures: { totalTokens: 46, costCents: '1' } }));
  note({ did: 'finished', id });
}

async function main() {
  await lifecycle((l) => l.getRetryChain('t', 'none')).catch(() => undefined);
  process.stdout.write('ready\\n');
  await new Promise((resolve) => process.stdin.once('data', resolve));
  process.stdin.on('end', () => (going = false));
  for (let n = 0; going; n += 1) {
    const id = 'run-' + me + '-' + n;
    try {
      await oneRun(id);
    } catch (error) {
      if (error.code !== 'CONFLICT') throw error;
      note({ did: 'refused', id, details: error.details });
    }
  }
  await hoc.close();
}
main().catch((error) => {
  note({ did: 'failed', message: String(error && error.stack) });
  process.exit(1);
});
`;

/**
 * A sweeper process: recovers orphans again and again until its standard input ends. Its clock is ahead, so that the least
 * threshold of a minute is eight seconds of silence. Arguments: URL, journal.
 */
export const SWEEPER = `
const { appendFileSync } = require('node:fs');
const { createHoc } = require('@hoc/shared');
const { systemScope } = require('@hoc/shared/kernel');
const { activityModule } = require('@hoc/activity');
const [url, journal] = process.argv.slice(2);
const clock = { now: () => new Date(Date.now() + 52_000) };
const hoc = createHoc({ connection: { url, applicationName: 'crash-sweeper', poolSize: 2 }, modules: [activityModule], clock });
let going = true;

async function main() {
  process.stdin.on('end', () => (going = false)).resume();
  while (going) {
    const { runs } = await hoc.services.activity.sweeps.recoverOrphans(systemScope('crash test'), { thresholdMinutes: 1, limit: 3 });
    for (const { runId } of runs) appendFileSync(journal, JSON.stringify({ did: 'marked', id: runId }) + '\\n');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  await hoc.close();
}
main().catch((error) => {
  appendFileSync(journal, JSON.stringify({ did: 'failed', message: String(error && error.stack) }) + '\\n');
  process.exit(1);
});
`;
