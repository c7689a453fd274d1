// The targets of performance.md §11, measured against the results that stand in `results/`.
import { existsSync, readFileSync } from 'node:fs';

const read = (path) => JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8'));
const resultOf = (job) =>
  existsSync(new URL(`../results/${job}.json`, import.meta.url)) ? read(`../results/${job}.json`) : null;
export const JOBS = ['ingest', 'writes', 'reads', 'orphans', 'budget', 'limits', 'startup'];
export const results = () => JOBS.flatMap((job) => resultOf(job) ?? []);

/** Each target with what was measured: met, missed, inconclusive, or skipped with its reason. */
export const judged = () => read('../targets.json').map((target) => ({ ...target, ...judge(target) }));

function judge(target) {
  const cell = resultOf(target.job)?.cells[target.cell];
  if (!cell) return { verdict: 'skipped', reason: 'no result: run the bench' };
  if (target.counter) return verdictOf(cell.counters[target.counter], target, cell);
  if (target.rate) return verdictOf(cell.ratios[target.rate].median, target, cell);
  const [variant, base] = [cell.ratios[target.variant], cell.ratios[target.base]];
  if (!variant || !base)
    return { verdict: 'skipped', reason: cell.skipped[variant ? target.base : target.variant] ?? 'not measured' };
  return verdictOf(target.p99 ? variant.p99 / base.p99 : variant.ratio / base.ratio, target, cell);
}

function verdictOf(value, { min, max }, { base, ratios }) {
  const control = ratios[`${base} again`]?.ratio ?? 1;
  const met = (min === undefined || value >= min) && (max === undefined || value <= max);
  // A base that differs from itself says that the machine was busy: then a miss is no miss, and a hit no hit.
  if (control < 0.85 || control > 1.15) return { verdict: 'inconclusive', value, control };
  return { verdict: met ? 'met' : 'missed', value, control };
}

export const nameOf = ({ variant, base, counter, rate, p99 }) =>
  counter ?? rate ?? `${variant} / ${base}${p99 ? ' (p99)' : ''}`;
