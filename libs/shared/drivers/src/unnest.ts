/** Columns of a set-based statement: one array per column, in the order of `columns`, for `unnest($1::text[], …)`. */
export function toColumns<Item>(
  items: readonly Item[],
  columns: readonly ((item: Item) => unknown)[],
): readonly (readonly unknown[])[] {
  return columns.map((column) => items.map(column));
}

/** Pieces of at most `size`, in order. */
export function chunksOf<Item>(items: readonly Item[], size: number): readonly (readonly Item[])[] {
  const chunks: (readonly Item[])[] = [];
  for (let start = 0; start < items.length; start += size) chunks.push(items.slice(start, start + size));
  return chunks;
}

/** Byte order, as `COLLATE "C"` sorts: UTF-16 order differs from it beyond the basic plane. */
export function compareBytes(a: string, b: string): number {
  if (a === b) return 0;
  return Buffer.compare(Buffer.from(a, 'utf8'), Buffer.from(b, 'utf8'));
}

/** An instant for a bound array: pg would print a `Date` in the machine's zone. Null stays null. */
export const instantText = (at: Date | null | undefined): string | null => at?.toISOString() ?? null;
