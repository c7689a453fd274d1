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

const HYPHEN = 45;
const INSTANT = /^(\d{4,})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?([+-])(\d\d)(?::?(\d\d))?(?::?(\d\d))?$/;

/** PostgreSQL's ISO output, in whatever zone the session has. Microseconds are cut: a `Date` has none. */
export function readInstant(text: string): Date {
  // Sessions of the spine are in UTC, and JavaScript reads its own form of it ten times as fast.
  if (text.endsWith('+00') && text.charCodeAt(4) === HYPHEN) {
    const plain = new Date(`${text.slice(0, 10)}T${text.slice(11, Math.min(text.length - 3, 23))}Z`);
    if (!Number.isNaN(plain.getTime())) return plain;
  }
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
