import Table from 'cli-table3';

/** A table before it is drawn: the first column is text, the others are figures. */
export interface TableData {
  readonly title: string;
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

const BORDER = 1;
const PADDING = 2;
const MIN_TEXT = 8;

/** Draws the table no wider than `columns` (the text column gives way), or as plain tab-free lines where it is null. */
export function drawTable({ title, head, rows }: TableData, columns: number | null): string {
  const plain = (): string =>
    [title, ...rows.map((row) => `  ${row.map((cell, i) => `${head[i] ?? ''}=${cell}`).join('  ')}`)].join('\n');
  if (columns === null) return plain();
  const widths = head.map((name, i) => Math.max(name.length, ...rows.map((row) => (row[i] ?? '').length)) + PADDING);
  const total = widths.reduce((sum, width) => sum + width + BORDER, BORDER);
  // A terminal too narrow for the figures gets lines: half a figure is a wrong figure.
  if (total - (widths[0] ?? 0) + MIN_TEXT > columns) return plain();
  const text = Math.max(MIN_TEXT, (widths[0] ?? 0) - Math.max(0, total - columns));
  const table = new Table({
    head: [...head],
    colWidths: [text, ...widths.slice(1)],
    colAligns: head.map((_, i) => (i === 0 ? 'left' : 'right')),
    style: { head: [], border: [], compact: true },
  });
  table.push(...rows.map((row) => [...row]));
  return `${title}\n${table.toString()}`;
}
