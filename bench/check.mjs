// One line per target. Exit 1: a gate is missed; 2: none is missed, and some can't be told.
import { judged, nameOf } from './lib/targets.mjs';

const all = judged();
for (const target of all) {
  const { row, kind, verdict, value, min, max, reason } = target;
  const bound = min === undefined ? `<= ${max}` : `>= ${min}`;
  const measured = value === undefined ? reason : value.toFixed(2);
  console.log(
    `row ${String(row).padStart(2)}  ${kind.padEnd(6)}  ${verdict.padEnd(12)}  ${nameOf(target)}: ${measured} (${bound})`,
  );
}
const gates = all.filter(({ kind }) => kind === 'gate');
if (gates.some(({ verdict }) => verdict === 'missed')) process.exitCode = 1;
else if (gates.some(({ verdict }) => verdict === 'inconclusive')) process.exitCode = 2;
