import Big from 'big.js';
import { type Brand } from './brand';
import { DataIntegrityError, InvalidArgumentError } from './errors';
import { assertInt, invalid } from './guards';

/** An exact decimal in canonical form: no exponent, no plus sign, no needless zero, never `-0`. Money is cents. */
export type DecimalString = Brand<string, 'DecimalString'>;

/** `numeric(20,6)`: what a money column can hold. */
export const MONEY_INTEGER_DIGITS = 14;
/** Digits after the point of a money column. */
export const MONEY_SCALE = 6;
/** Nothing, as a decimal. */
export const ZERO_DECIMAL = '0' as DecimalString;

const INPUT = /^-?\d{1,14}(?:\.\d{1,6})?$/;
/** An input that is canonical already: most are. */
const CANONICAL = /^(?:0|-?[1-9]\d{0,13})$|^-?(?:0|[1-9]\d{0,13})\.\d{0,5}[1-9]$/;
const FINITE = /^-?\d+(?:\.\d+)?$/;
const SCALE_MAX = 1000;

/** An own constructor, so that a consumer's settings of the global one change nothing here. */
const Decimal = Big();
Decimal.RM = Big.roundHalfUp;

/**
 * A caller's amount: at most 14 integer and 6 fraction digits, as text, safe integer or bigint.
 * @throws InvalidArgumentError for a fractional number (0.1 isn't exact), an exponent, blanks, more digits even if zero
 */
export function toDecimalString(value: string | number | bigint, field = 'amount'): DecimalString {
  const text = typeof value === 'bigint' || Number.isSafeInteger(value) ? String(value) : value;
  if (typeof text !== 'string' || !INPUT.test(text))
    throw invalid(field, 'decimal', `${field} must be a decimal text of at most 14 integer and 6 fraction digits`);
  return CANONICAL.test(text) ? (text as DecimalString) : canonical(text);
}

/** A caller's amount of money in cents, not negative. @throws InvalidArgumentError as {@link toDecimalString}, and below 0 */
export function toMoney(value: string | number | bigint, field = 'amount'): DecimalString {
  const amount = toDecimalString(value, field);
  if (amount.startsWith('-')) throw invalid(field, 'negative', `${field} must not be negative`);
  return amount;
}

/**
 * pg's text of a numeric, of any size; null stays null.
 * @throws DataIntegrityError for NaN and Infinity
 */
export function fromPgNumeric(value: string, field?: string): DecimalString;
export function fromPgNumeric(value: string | null, field?: string): DecimalString | null;
export function fromPgNumeric(value: string | null, field = 'numeric'): DecimalString | null {
  if (value === null) return null;
  if (typeof value !== 'string' || !FINITE.test(value))
    throw new DataIntegrityError(`${field} is not a finite decimal`, { details: { field, reason: 'numeric' } });
  return canonical(value);
}

/** Exact. */
export const addDecimal = (a: DecimalString, b: DecimalString): DecimalString => text(big(a).plus(big(b)));
/** Exact. */
export const subtractDecimal = (a: DecimalString, b: DecimalString): DecimalString => text(big(a).minus(big(b)));
/** Exact. */
export const multiplyDecimal = (a: DecimalString, b: DecimalString): DecimalString => text(big(a).times(big(b)));

/** Half away from zero at `scale` fraction digits (6). @throws InvalidArgumentError for a divisor of 0 */
export function divideDecimal(a: DecimalString, b: DecimalString, scale: number = MONEY_SCALE): DecimalString {
  assertInt(scale, 'scale', 0, SCALE_MAX);
  if (big(b).eq(0))
    throw new InvalidArgumentError('division by zero', { details: { field: 'divisor', reason: 'zero' } });
  // A constructor of its own per scale: DP is a setting of the constructor, and another caller's scale may differ.
  const Scaled = Big();
  Scaled.DP = scale;
  Scaled.RM = Big.roundHalfUp;
  return text(new Scaled(a).div(new Scaled(b)));
}

/** Exact; `'0'` for none. */
export function sumDecimal(values: Iterable<DecimalString>): DecimalString {
  let sum = new Decimal(0);
  for (const value of values) sum = sum.plus(big(value));
  return text(sum);
}

/** -1, 0 or 1, by value: `1.0` and `1` are equal. */
export const compareDecimal = (a: DecimalString, b: DecimalString): -1 | 0 | 1 => big(a).cmp(big(b)) as -1 | 0 | 1;

/** Half away from zero, as PostgreSQL rounds `numeric`. */
export function roundDecimal(a: DecimalString, scale: number): DecimalString {
  assertInt(scale, 'scale', 0, SCALE_MAX);
  return text(big(a).round(scale, Big.roundHalfUp));
}

function big(value: DecimalString): Big.Big {
  if (typeof value !== 'string' || !FINITE.test(value))
    throw invalid('amount', 'decimal', 'a decimal text is required');
  return new Decimal(value);
}

const text = (value: Big.Big): DecimalString => canonical(value.toFixed());

/** Without the zeros that say nothing. Looked at from both ends: most texts are cut in one place, and none needs a pattern. */
function canonical(value: string): DecimalString {
  const negative = value.startsWith('-');
  let from = negative ? 1 : 0;
  let to = value.length;
  if (value.includes('.')) {
    while (value.charCodeAt(to - 1) === ZERO) to -= 1;
    if (value.charCodeAt(to - 1) === POINT) to -= 1;
  }
  while (from < to - 1 && value.charCodeAt(from) === ZERO && value.charCodeAt(from + 1) !== POINT) from += 1;
  const magnitude = value.slice(from, to);
  return (negative && magnitude !== '0' ? `-${magnitude}` : magnitude) as DecimalString;
}

const ZERO = 48;
const POINT = 46;
