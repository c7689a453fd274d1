import { DataIntegrityError } from '@hoc/shared/kernel';

/**
 * A column's text as the one value that drivers read it as: boolean, small integers and floats as such, `jsonb` parsed,
 * `timestamptz` as a `Date` (to the millisecond), arrays of text as lists; everything else, `bigint`, `numeric` and
 * `date` above all, stays text, because a number or a `Date` would not hold it exactly.
 */
export function readColumn(oid: number, text: string): unknown {
  switch (oid) {
    case BOOL:
      return text === 't';
    case INT2:
    case INT4:
    case FLOAT4:
    case FLOAT8:
      return Number(text);
    case JSON_OID:
    case JSONB:
      return JSON.parse(text) as unknown;
    case TIMESTAMPTZ:
      return readInstant(text);
    case TEXT_ARRAY:
      return readTextArray(text);
    default:
      return text;
  }
}

const BOOL = 16;
const INT2 = 21;
const INT4 = 23;
const JSON_OID = 114;
const FLOAT4 = 700;
const FLOAT8 = 701;
const TEXT_ARRAY = 1009;
const TIMESTAMPTZ = 1184;
const JSONB = 3802;

const INSTANT = /^(\d{4,})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?([+-])(\d\d)(?::?(\d\d))?(?::?(\d\d))?$/;

/** PostgreSQL's ISO output, in whatever zone the session has. Microseconds are cut: a `Date` has none. */
export function readInstant(text: string): Date {
  const utc = utcMillis(text);
  if (!Number.isNaN(utc)) return new Date(utc);
  const match = INSTANT.exec(text);
  if (match === null)
    throw new DataIntegrityError('an instant that a Date can not hold', { details: { reason: 'timestamp' } });
  const [, year, month, day, hour, minute, second, fraction = '', sign, ...offset] = match.map((part) => part ?? '0');
  const millis = Number(fraction.padEnd(3, '0').slice(0, 3));
  const local = new Date(0);
  local.setUTCFullYear(Number(year), Number(month) - 1, Number(day));
  local.setUTCHours(Number(hour), Number(minute), Number(second), millis);
  const [hours = 0, minutes = 0, seconds = 0] = offset.map(Number);
  const shift = ((hours * 60 + minutes) * 60 + seconds) * 1000;
  return new Date(local.getTime() + (sign === '-' ? shift : -shift));
}

/**
 * `2026-03-10 12:00:00.123456+00`, which sessions of the spine write, in milliseconds: digit by digit, because a page has
 * hundreds of them. NaN for any other form, and below the year 100, which `Date.UTC` takes for one of the last century.
 */
function utcMillis(text: string): number {
  const year = digits(text, 0, 4);
  if (!isUtcForm(text) || year < 100) return Number.NaN;
  const [month, day] = [digits(text, 5, 7), digits(text, 8, 10)];
  const [hour, minute, second] = [digits(text, 11, 13), digits(text, 14, 16), digits(text, 17, 19)];
  return Date.UTC(year, month - 1, day, hour, minute, second, text.length === 22 ? 0 : milliseconds(text));
}

const isUtcForm = (text: string): boolean =>
  text.endsWith('+00') &&
  text.charCodeAt(4) === HYPHEN &&
  text.charCodeAt(7) === HYPHEN &&
  text.charCodeAt(10) === BLANK &&
  text.charCodeAt(13) === COLON &&
  text.charCodeAt(16) === COLON;

/** Of one to six digits after the point, the first three. */
function milliseconds(text: string): number {
  if (text.charCodeAt(19) !== POINT) return Number.NaN;
  const end = Math.min(text.length - 3, 23);
  return digits(text, 20, end) * 10 ** (23 - end);
}

function digits(text: string, from: number, to: number): number {
  let number = from < to ? 0 : Number.NaN;
  for (let at = from; at < to; at += 1) {
    const digit = text.charCodeAt(at) - ZERO;
    if (!(digit >= 0 && digit <= 9)) return Number.NaN;
    number = number * 10 + digit;
  }
  return number;
}

const ZERO = 48;
const HYPHEN = 45;
const BLANK = 32;
const COLON = 58;
const POINT = 46;

/** `{a,"b c",NULL}`, one dimension. */
function readTextArray(text: string): readonly (string | null)[] {
  const items: (string | null)[] = [];
  const item = /"((?:[^"\\]|\\.)*)"|([^,{}]+)/g;
  for (let match = item.exec(text); match !== null; match = item.exec(text)) {
    const [, quoted, bare] = match;
    if (quoted !== undefined) items.push(quoted.replace(/\\(.)/g, '$1'));
    else items.push(bare === 'NULL' ? null : (bare ?? ''));
  }
  return items;
}
