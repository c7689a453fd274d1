import type { InvalidArgumentError } from './errors';
import { invalid, assertInt } from './guards';
import { canonicalJson, sha256Hex } from './json';
import type { JsonValue } from './json-value';
import { hasLoneSurrogate } from './text';

/** Which part of a list is asked for. */
export interface PageRequest {
  /** 1–200, default 50. */
  readonly limit?: number;
  /** The `nextCursor` of the page before; absent for the first one. */
  readonly cursor?: string;
}

/** One part of a list in a stable order; `nextCursor` is null exactly when nothing followed in that snapshot. */
export interface Page<T> {
  readonly items: readonly T[];
  readonly nextCursor: string | null;
}

/** Items of a page where the caller names no limit. */
export const PAGE_LIMIT_DEFAULT = 50;
/** Items of a page, at most. */
export const PAGE_LIMIT_MAX = 200;
const CURSOR_MAX = 4096;
const VERSION = 1;

/** The asked limit, or the default. @throws InvalidArgumentError naming `limit` */
export function pageLimit(page: PageRequest, fallback: number = PAGE_LIMIT_DEFAULT): number {
  if (typeof page !== 'object' || page === null) throw invalid('page', 'object', 'page must be an object');
  return page.limit === undefined ? fallback : assertInt(page.limit, 'limit', 1, PAGE_LIMIT_MAX);
}

/** An opaque cursor: the position of a page's last row under the fingerprint of its filter. */
export function encodeCursor(kind: string, fingerprint: string, position: readonly (string | null)[]): string {
  const cursor = Buffer.from(canonicalJson({ v: VERSION, k: kind, f: fingerprint, p: position }), 'utf8').toString(
    'base64url',
  );
  if (cursor.length > CURSOR_MAX) throw refusedCursor();
  return cursor;
}

/**
 * The position that {@link encodeCursor} wrote for the same kind and filter. Strict: exactly what it would write, no
 * padding, no ignored tail.
 * @throws InvalidArgumentError reason `cursor` for anything else, another tenant's or filter's cursor included
 */
export function decodeCursor(
  cursor: string,
  kind: string,
  fingerprint: string,
  positions: number,
): readonly (string | null)[] {
  if (typeof cursor !== 'string' || cursor.length === 0 || cursor.length > CURSOR_MAX) throw refusedCursor();
  const position = positionOf(Buffer.from(cursor, 'base64url').toString('utf8'));
  if (position === null || position.length !== positions) throw refusedCursor();
  if (encodeCursor(kind, fingerprint, position) !== cursor) throw refusedCursor();
  return position;
}

/** Ties a cursor to its list: 16 hex digits over kind, tenant (`''` for a system-wide call), filter and sort. */
export function filterFingerprint(kind: string, tenantId: string, filter: JsonValue, sort: JsonValue = null): string {
  return sha256Hex(canonicalJson({ kind, tenantId, filter, sort })).slice(0, 16);
}

/** The one refusal of a cursor; a driver throws it where a position does not parse as its type. */
export const refusedCursor = (): InvalidArgumentError =>
  invalid('cursor', 'cursor', 'the cursor is not one of this list: ask for the first page again');

/** Half a character has no canonical form: no list wrote it. */
const isPosition = (item: unknown): boolean => item === null || (typeof item === 'string' && !hasLoneSurrogate(item));

function positionOf(text: string): readonly (string | null)[] | null {
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch {
    return null;
  }
  const position: unknown = typeof content === 'object' && content !== null ? Reflect.get(content, 'p') : null;
  const valid = Array.isArray(position) && position.every(isPosition);
  return valid ? Object.freeze(position as (string | null)[]) : null;
}
