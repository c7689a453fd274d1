/** Reasons why a text is refused, from the least surprising on. */
export type TextFault = 'type' | 'length' | 'blank' | 'control_character' | 'nul' | 'surrogate';

/** A surrogate without its other half is no character: PostgreSQL refuses it, JSON of two systems differs on it. */
const LONE_SURROGATE = /\p{Surrogate}/u;
const CONTROL = /\p{Cc}/u;

/** First fault of an identifier, or null: `min`–`max` code points, no control character, not only white space. */
export function idFault(value: unknown, max: number): TextFault | null {
  const fault = textFault(value, 1, max);
  if (fault !== null) return fault;
  const text = value as string;
  if (CONTROL.test(text)) return 'control_character';
  return text.trim() === '' ? 'blank' : null;
}

/** First fault of a free text, or null: `min`–`max` code points, no U+0000 (`text` can't hold it), no lone surrogate. */
export function textFault(value: unknown, min: number, max: number): TextFault | null {
  if (typeof value !== 'string') return 'type';
  // A code point is at most two units, so a longer string needs no counting.
  if (value.length > max * 2 || codePoints(value) > max || codePoints(value) < min) return 'length';
  if (value.includes('\0')) return 'nul';
  return hasLoneSurrogate(value) ? 'surrogate' : null;
}

/** Whether the text holds half a surrogate pair. */
export const hasLoneSurrogate = (text: string): boolean => LONE_SURROGATE.test(text);

function codePoints(text: string): number {
  let count = 0;
  for (const _ of text) count += 1;
  return count;
}
