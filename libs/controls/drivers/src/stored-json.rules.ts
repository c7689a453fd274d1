import { invalid, JSON_MAX_BYTES, jsonObjectText, type JsonValue } from '@hoc/shared/kernel';

/**
 * The text of a plain JSON object for a `jsonb` column that is bound to 64 KiB **as `jsonb` prints it**, which is longer than
 * the text: one that fits as text alone would be refused by the column, and the transaction with it.
 * @throws InvalidArgumentError naming `field`: as `jsonObjectText`, and reason `size`
 */
export function storedJsonText(value: unknown, field: string): string {
  const text = jsonObjectText(value, field);
  if (text.length > SURELY_FITS && jsonbBytes(JSON.parse(text) as JsonValue) > JSON_MAX_BYTES)
    throw invalid(field, 'size', `${field} must not exceed ${JSON_MAX_BYTES} bytes as they are stored`);
  return text;
}

/** A number is what grows most: the six characters of `1e308,` become 311. */
const SURELY_FITS = JSON_MAX_BYTES / 64;

/** Bytes that `jsonb` prints: a blank behind each comma and colon, numbers without an exponent. */
export function jsonbBytes(value: JsonValue): number {
  if (typeof value === 'number') return plainDigits(String(value));
  if (typeof value !== 'object' || value === null) return Buffer.byteLength(JSON.stringify(value), 'utf8');
  const members = isList(value)
    ? value.map(jsonbBytes)
    : Object.entries(value).map(([key, member]) => jsonbBytes(key) + 2 + jsonbBytes(member));
  return members.reduce((sum, bytes) => sum + bytes + 2, members.length === 0 ? 2 : 0);
}

const isList = (value: JsonValue): value is readonly JsonValue[] => Array.isArray(value);

function plainDigits(number: string): number {
  const [mantissa = '', exponent] = number.split('e');
  if (exponent === undefined) return number.length;
  const sign = mantissa.startsWith('-') ? 1 : 0;
  const digits = mantissa.replace(/[-.]/g, '').length;
  const power = Number(exponent);
  return sign + (power > 0 ? power + 1 : 1 - power + digits);
}
