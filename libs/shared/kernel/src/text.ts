/** Reasons why a text is refused, from the least surprising on. */
export type TextFault = 'type' | 'length' | 'blank' | 'control_character' | 'nul' | 'surrogate';

/** A surrogate without its other half is no character: PostgreSQL refuses it, JSON of two systems differs on it. */
const LONE_SURROGATE = /\p{Surrogate}/u;
const CONTROL = /\p{Cc}/u;

/** Most identifiers: no blank, no control character, nothing beyond ASCII, so a code point is a unit. */
const PLAIN_ID = /^[\x21-\x7e]+$/;

/** First fault of an identifier, or null: `min`–`max` code points, no control character, not only white space. */
export function idFault(value: unknown, max: number): TextFault | null {
  if (typeof value === 'string' && value.length <= max && PLAIN_ID.test(value)) return null;
  const fault = textFault(value, 1, max);
  if (fault !== null) return fault;
  const text = value as string;
  if (CONTROL.test(text)) return 'control_character';
  return text.trim() === '' ? 'blank' : null;
}

/** First fault of a free text, or null: `min`–`max` code points, no U+0000 (`text` can't hold it), no lone surrogate. */
export function textFault(value: unknown, min: number, max: number): TextFault | null {
  if (typeof value !== 'string') return 'type';
  if (!hasLength(value, min, max)) return 'length';
  if (value.includes('\0')) return 'nul';
  return hasLoneSurrogate(value) ? 'surrogate' : null;
}

/** Whether the text holds half a surrogate pair. */
export const hasLoneSurrogate = (text: string): boolean => LONE_SURROGATE.test(text);

/** A code point is one or two units, so most lengths are decided without counting. */
function hasLength(text: string, min: number, max: number): boolean {
  if (text.length < min || text.length > max * 2) return false;
  if (text.length <= max && text.length >= min * 2) return true;
  const points = codePoints(text);
  return points >= min && points <= max;
}

function codePoints(text: string): number {
  let count = 0;
  for (const _ of text) count += 1;
  return count;
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
