// results/report.md with a table and a plot per cell: ratio bars with worst–best whiskers, without a browser.
import { writeFileSync } from 'node:fs';
import { judged, nameOf, results } from './lib/targets.mjs';

const RESULTS = new URL('results/', import.meta.url);
const escape = (text) => text.replace(/[<>&]/g, (char) => `&#${char.charCodeAt(0)};`);
const slug = (text) => text.replace(/[^a-z0-9]+/gi, '-').toLowerCase();

/** Horizontal bars on a logarithmic axis around 1, the base. */
function plot(cell) {
  const entries = Object.entries(cell.ratios);
  const [left, width, height] = [260, 420, 24];
  const values = entries.flatMap(([, { ratio, lo, hi }]) => [ratio, lo || ratio, hi || ratio, 1]);
  const [low, high] = [Math.log(Math.min(...values) * 0.8), Math.log(Math.max(...values) * 1.25)];
  const x = (value) => left + ((Math.log(value) - low) / (high - low)) * width;
  const bars = entries.map(([name, { ratio, lo, hi }], n) => {
    const y = 30 + n * height;
    const [from, to] = [Math.min(x(1), x(ratio)), Math.max(x(1), x(ratio))];
    const whisker = lo > 0 ? `<line x1="${x(lo)}" x2="${x(hi)}" y1="${y + 8}" y2="${y + 8}" stroke="#222"/>` : '';
    return `<text x="${left - 8}" y="${y + 12}" text-anchor="end">${escape(name)}</text><rect x="${from}" y="${y}" width="${Math.max(to - from, 1)}" height="16" fill="${name.startsWith('hoc') ? '#2a7' : '#9ab'}"/>${whisker}<text x="${to + 4}" y="${y + 12}">${ratio.toFixed(2)}</text>`;
  });
  const total = 40 + entries.length * height;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${left + width + 70}" height="${total}" font-family="sans-serif" font-size="12"><text x="8" y="16" font-weight="bold">${escape(cell.name)} (base: ${escape(cell.base)} = 1, log axis)</text><line x1="${x(1)}" x2="${x(1)}" y1="24" y2="${total - 8}" stroke="#c33"/>${bars.join('')}</svg>\n`;
}

const parts = [
  '# Benchmarks\n',
  'Ratios against the base of the same run; above 1 is faster. Worst and best round in brackets.\n',
];
for (const { name, at, commit, node, settings, cpus, load, rounds, cells } of results()) {
  parts.push(
    `## ${name}\n\nCommit ${commit}, ${at}, Node ${node}, PostgreSQL ${settings.server_version}, fsync ${settings.fsync}, ${cpus} cores, load ${load.toFixed(1)}, ${rounds} rounds.\n`,
  );
  for (const cell of Object.values(cells)) {
    const file = `${name}-${slug(cell.name)}.svg`;
    writeFileSync(new URL(file, RESULTS), plot(cell));
    const rows = Object.entries(cell.ratios).map(
      ([variant, { ratio, lo, hi, median, p50, p99 }]) =>
        `| ${variant} | ${ratio.toFixed(2)} (${lo.toFixed(2)}–${hi.toFixed(2)}) | ${Math.round(median)} | ${p50 ? `${p50.toFixed(2)} / ${p99.toFixed(2)}` : ''} |`,
    );
    const skipped = Object.entries(cell.skipped).map(([variant, reason]) => `| ${variant} | skipped: ${reason} | | |`);
    parts.push(
      [
        `### ${cell.name}\n`,
        '| variant | ratio | per second | p50 / p99 ms |',
        '|---|---|---|---|',
        ...rows,
        ...skipped,
        '',
        `![${cell.name}](${file})\n`,
      ].join('\n'),
    );
  }
}
parts.push('## Targets\n', '| row | kind | verdict | ratio | bound | what |\n|---|---|---|---|---|---|');
parts.push(
  ...judged().map(
    (target) =>
      `| ${target.row} | ${target.kind} | ${target.verdict} | ${target.value?.toFixed(2) ?? ''} | ${target.min === undefined ? `≤ ${target.max}` : `≥ ${target.min}`} | ${nameOf(target)}${target.reason ? `: ${target.reason}` : ''} |`,
  ),
);
writeFileSync(new URL('report.md', RESULTS), `${parts.join('\n')}\n`);
