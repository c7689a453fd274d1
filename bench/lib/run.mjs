// Interleaved rounds with a rotated order; a ratio is the median of per-round quotients against the base of the same round.
import { mkdirSync, writeFileSync } from 'node:fs';
import { execFileSync } from 'node:child_process';
import { cpus, loadavg } from 'node:os';
import { openServer, serverFacts } from './database.mjs';

/** `--rounds=N`; quick runs take 3, full ones 7. */
export const ROUNDS = Number(process.argv.find((arg) => arg.startsWith('--rounds='))?.slice(9) ?? 3);
const RESULTS = new URL('../results/', import.meta.url);

export const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];
export const percentile = (list, p) =>
  [...list].sort((a, b) => a - b)[Math.min(list.length - 1, Math.floor(list.length * p))];

/**
 * One cell: each variant is `async (round) => rate` (higher is faster) and proves its own result. The base runs a second
 * time as the A/A control. `reset` runs before each variant, outside its clock. A variant may also give `{ rate, p50, p99 }`.
 */
export async function cell(name, { base, variants, reset = async () => undefined, rounds = ROUNDS }) {
  const all = { ...variants, [`${base} again`]: variants[base] };
  const names = Object.keys(all);
  const rates = Object.fromEntries(names.map((each) => [each, []]));
  const tails = {};
  const skipped = {};
  for (let round = -1; round < rounds; round += 1) {
    for (let n = 0; n < names.length; n += 1) {
      const each = names[(n + Math.max(round, 0)) % names.length];
      if (skipped[each]) continue;
      await reset(each);
      const result = await all[each](round);
      if (result?.skip) skipped[each] = result.skip;
      else if (round >= 0) {
        rates[each].push(result.rate ?? result);
        if (result.p99) (tails[each] ??= []).push(result);
      }
    }
  }
  const ratios = {};
  for (const each of names) {
    if (skipped[each]) continue;
    const quotients = rates[each].map((rate, round) => rate / rates[base][round]);
    ratios[each] = {
      ratio: median(quotients),
      lo: Math.min(...quotients),
      hi: Math.max(...quotients),
      median: median(rates[each]),
      n: quotients.length,
      ...(tails[each]
        ? { p50: median(tails[each].map((t) => t.p50)), p99: median(tails[each].map((t) => t.p99)) }
        : {}),
    };
    const { ratio, lo, hi } = ratios[each];
    console.log(
      `  ${name}  ${each.padEnd(26)} ${ratio.toFixed(2)} (${lo.toFixed(2)}–${hi.toFixed(2)})  ${Math.round(ratios[each].median)}/s`,
    );
  }
  for (const [each, reason] of Object.entries(skipped)) console.log(`  ${name}  ${each.padEnd(26)} skipped: ${reason}`);
  return { name, base, ratios, skipped };
}

/** Runs a job on a server of its own and writes `results/<name>.json`. */
export async function job(name, work) {
  console.log(`${name}:`);
  const server = await openServer();
  try {
    const cells = await work(server.url);
    const { name: _unused, ...facts } = { name, settings: await serverFacts(server.url) };
    mkdirSync(RESULTS, { recursive: true });
    const result = {
      name,
      at: new Date().toISOString(),
      commit: execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim(),
      node: process.version,
      ...facts,
      cpus: cpus().length,
      load: loadavg()[0],
      rounds: ROUNDS,
      cells: Object.fromEntries(cells.map((each) => [each.name, each])),
    };
    writeFileSync(new URL(`${name}.json`, RESULTS), `${JSON.stringify(result, null, 2)}\n`);
  } finally {
    await server.stop();
  }
}

/** Items per second of `work`, which handles `items`. */
export async function rateOf(items, work) {
  const start = performance.now();
  await work();
  return (items * 1000) / (performance.now() - start);
}
