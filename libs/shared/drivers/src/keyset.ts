import { decodeCursor, encodeCursor, type Page, type PageRequest, pageLimit, refusedCursor } from '@hoc/shared/kernel';

/** What a position of a cursor must look like, so that a broken one is refused before any SQL. */
export type PositionType = 'instant' | 'integer' | 'decimal' | 'text';

/** A keyset list: its kind, the fingerprint of its filter, the types of its sort keys with the unique one last. */
export interface KeysetList {
  readonly kind: string;
  readonly fingerprint: string;
  readonly positions: readonly PositionType[];
  /** The seed's default where it states one; 50 otherwise. */
  readonly defaultLimit?: number;
}

/** A page to ask for: `limit + 1` rows tell whether more follow. `after` is null for the first page. */
export interface KeysetRequest {
  readonly limit: number;
  readonly after: readonly (string | null)[] | null;
}

/** The page request checked, its cursor decoded. @throws InvalidArgumentError for a limit out of 1–200, or a cursor that isn't one of this list */
export function keysetRequest(list: KeysetList, page: PageRequest): KeysetRequest {
  const limit = pageLimit(page, list.defaultLimit);
  if (page.cursor === undefined) return { limit, after: null };
  const after = decodeCursor(page.cursor, list.kind, list.fingerprint, list.positions.length);
  after.forEach((value, index) => {
    const last = index === list.positions.length - 1;
    const type = list.positions[index];
    if (value === null ? last : type === undefined || !parses(value, type)) throw refusedCursor();
  });
  return { limit, after };
}

/** The page of `limit + 1` fetched rows; the cursor is the last shown row's position. */
export function keysetPage<Row, Item>(
  list: KeysetList,
  { limit }: KeysetRequest,
  rows: readonly Row[],
  read: { readonly item: (row: Row) => Item; readonly position: (row: Row) => readonly (string | null)[] },
): Page<Item> {
  const shown = rows.slice(0, limit);
  const last = rows.length > limit ? shown.at(-1) : undefined;
  return Object.freeze({
    items: Object.freeze(shown.map(read.item)),
    nextCursor: last === undefined ? null : encodeCursor(list.kind, list.fingerprint, read.position(last)),
  });
}

/** A day that the calendar lacks would pass the pattern, fail in the database, and with it the caller's transaction. */
const parses = (value: string, type: PositionType): boolean =>
  PATTERN[type].test(value) && (type !== 'instant' || isOnCalendar(value.slice(0, 23)));

const isOnCalendar = (instant: string): boolean => {
  const at = Date.parse(`${instant}Z`);
  return !instant.startsWith('0000') && !Number.isNaN(at) && new Date(at).toISOString() === `${instant}Z`;
};

const PATTERN: Readonly<Record<PositionType, RegExp>> = Object.freeze({
  instant: /^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{6}Z$/,
  integer: /^-?\d{1,18}$/,
  decimal: /^-?\d{1,40}(\.\d{1,20})?$/,
  text: /^[^\p{Cc}]{1,255}$/u,
});
