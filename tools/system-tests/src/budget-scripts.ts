/**
 * A client process: sixteen lanes on a pool of sixteen connections that reserve, settle and release amounts of random size
 * against a tenant's, a project's and an agent's budget, half of them through the coalescer, until its standard input ends.
 * What it was told, it writes to its journal at once: a file outlives SIGKILL. Arguments: URL, number, journal.
 */
export const CLIENT = `
const { appendFileSync } = require('node:fs');
const { createHoc } = require('@hoc/shared');
const { controlsModule } = require('@hoc/controls');
const [url, me, journal] = process.argv.slice(2);
const note = (...words) => appendFileSync(journal, words.join(' ') + '\\n');
const hoc = createHoc({
  connection: { url, applicationName: 'budget-client', poolSize: 16, idleInTransactionTimeoutMs: 2_000 },
  modules: [controlsModule],
});
const { charges } = hoc.services.controls;
const inTransaction = (work) => hoc.transaction(({ controls }) => work(controls.reservations));
const amount = () => (Math.random() * 9).toFixed(Math.floor(Math.random() * 7));
let going = true;

/** What any sender does: again, under the same key, when it couldn't be told; it gives up late, however slow the machine is. */
async function again(work) {
  const until = Date.now() + 120_000;
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work();
    } catch (error) {
      if (error.code !== 'UNAVAILABLE' || (attempt >= 100 && Date.now() > until)) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20 + Math.random() * 80));
    }
  }
}

async function lane(number) {
  for (let n = 0; going; n += 1) {
    const agent = Math.floor(Math.random() * 16);
    const limitIds = ['agent-' + agent, 'project-' + (agent % 4), 'tenant'];
    // What nobody will close runs out soon. What somebody will, late: settled after its end, on a slow machine, it would go
    // beyond a limit that others have filled meanwhile, and rightly so.
    const chance = Math.random();
    const ttlSeconds = chance < 0.9 ? 600 : 2;
    const input = { limitIds, amountCents: amount(), idempotencyKey: me + '-' + number + '-' + n, ttlSeconds };
    try {
      const { reservationId, amountCents } = await again(() =>
        number % 2 === 0 ? charges.reserve('t', input) : inTransaction((r) => r.reserve('t', input)),
      );
      note('granted', input.idempotencyKey);
      if (chance < 0.6) {
        const actual = (Number(amountCents) * Math.random()).toFixed(6);
        await again(() => inTransaction((r) => r.settle('t', reservationId, actual)));
        note('settled', input.idempotencyKey, actual);
      } else if (chance < 0.9) {
        if (await again(() => inTransaction((r) => r.release('t', reservationId)))) note('released', input.idempotencyKey);
      }
    } catch (error) {
      if (error.code !== 'LIMIT_EXCEEDED') throw error;
      note('refused', input.idempotencyKey);
    }
  }
}

async function main() {
  process.stdin.on('end', () => (going = false)).resume();
  await Promise.all(Array.from({ length: 16 }, (_, number) => lane(number)));
  await hoc.close();
}
main().catch((error) => {
  note('failed', String(error && error.stack).replace(/\\n/g, ' | '));
  process.exit(1);
});
`;

/** A sweeper process: gives back what nobody closed in its two seconds, until its standard input ends. Arguments: URL, journal. */
export const EXPIRER = `
const { appendFileSync } = require('node:fs');
const { createHoc } = require('@hoc/shared');
const { systemScope } = require('@hoc/shared/kernel');
const { controlsModule } = require('@hoc/controls');
const [url, journal] = process.argv.slice(2);
const hoc = createHoc({ connection: { url, applicationName: 'budget-sweeper', poolSize: 2 }, modules: [controlsModule] });
let going = true;
async function main() {
  process.stdin.on('end', () => (going = false)).resume();
  while (going) {
    const expired = await hoc.services.controls.sweeps.expireReservations(systemScope('budget proof'));
    appendFileSync(journal, 'expired ' + expired + '\\n');
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  await hoc.close();
}
main().catch((error) => {
  appendFileSync(journal, 'failed ' + String(error && error.stack).replace(/\\n/g, ' | ') + '\\n');
  process.exit(1);
});
`;
