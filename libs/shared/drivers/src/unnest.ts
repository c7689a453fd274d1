/** A value of a bound array: what isn't text or a number is printed by the caller, instants with {@link instantText}. */
export type ArrayValue = string | number | boolean | null;

/**
 * Columns of a set-based statement: one array per column, in the order of `columns`, for `unnest($1::text[], …)`. As
 * array literals: pg would look at each element several times (a fifth of an ingest).
 */
export function toColumns<Item>(
  items: readonly Item[],
  columns: readonly ((item: Item) => ArrayValue)[],
): readonly string[] {
  return columns.map((column) => arrayText(items, column));
}

function arrayText<Item>(items: readonly Item[], column: (item: Item) => ArrayValue): string {
  let text = '{';
  for (const item of items) {
    const value = column(item);
    if (text.length > 1) text += ',';
    if (value === null) text += 'NULL';
    else if (typeof value === 'string') text += `"${ESCAPED.test(value) ? value.replace(ESCAPED_ALL, '\\$&') : value}"`;
    else text += String(value);
  }
  return `${text}}`;
}

const ESCAPED = /["\\]/;
const ESCAPED_ALL = /["\\]/g;

/** Pieces of at most `size`, in order. */
export function chunksOf<Item>(items: readonly Item[], size: number): readonly (readonly Item[])[] {
  const chunks: (readonly Item[])[] = [];
  for (let start = 0; start < items.length; start += size) chunks.push(items.slice(start, start + size));
  return chunks;
}

/** Byte order of the UTF-8 texts, as `COLLATE "C"` sorts, without making their bytes. */
export function compareBytes(a: string, b: string): number {
  const shorter = Math.min(a.length, b.length);
  for (let at = 0; at < shorter; at += 1) {
    const [left, right] = [a.charCodeAt(at), b.charCodeAt(at)];
    if (left !== right) return codePointOrder(left) - codePointOrder(right);
  }
  return a.length - b.length;
}

/** UTF-16 puts the halves of a surrogate pair before U+E000–U+FFFF, and UTF-8 what they stand for after it. */
function codePointOrder(unit: number): number {
  if (unit < 0xd800) return unit;
  return unit < 0xe000 ? unit + 0x2000 : unit - 0x800;
}

/** An instant for a bound array: pg would print a `Date` in the machine's zone. Null stays null. */
export const instantText = (at: Date | null | undefined): string | null => at?.toISOString() ?? null;
