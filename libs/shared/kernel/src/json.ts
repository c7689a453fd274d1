import { createHash } from 'node:crypto';
import canonicalize from 'canonicalize';
import { invalid } from './guards';
import type { JsonObject, JsonValue } from './json-value';
import { hasLoneSurrogate } from './text';

export type { JsonObject, JsonValue } from './json-value';

/** Bytes of the canonical form of an open-ended detail. */
export const JSON_MAX_BYTES = 65_536;
/** Levels of objects and arrays. */
export const JSON_MAX_DEPTH = 20;

/**
 * A plain JSON object of at most 64 KiB (canonical form) and 20 levels, without a `__proto__` key and without U+0000,
 * which `jsonb` can't hold. Comes back as a frozen copy: what the caller changes later changes nothing here.
 * @throws InvalidArgumentError naming `field`
 */
export function assertJsonObject(value: unknown, field: string): JsonObject {
  return JSON.parse(jsonObjectText(value, field), (_key, member: unknown) => Object.freeze(member)) as JsonObject;
}

/** The text of what {@link assertJsonObject} takes: for a `jsonb` parameter, which has an order of its own. @throws InvalidArgumentError as it does */
export function jsonObjectText(value: unknown, field: string): string {
  if (!isPlainObject(value)) throw invalid(field, 'object', `${field} must be a plain JSON object`);
  const fault = jsonFault(value, JSON_MAX_DEPTH, { storable: true });
  if (fault !== null) throw invalid(field, fault, `${field} must be a plain JSON object: ${fault}`);
  // As long as the canonical form, of which it differs in the order of keys alone.
  const text = JSON.stringify(value);
  if (text.length * 3 > JSON_MAX_BYTES && Buffer.byteLength(text, 'utf8') > JSON_MAX_BYTES)
    throw invalid(field, 'size', `${field} must not exceed ${JSON_MAX_BYTES} bytes`);
  return text;
}

/**
 * RFC 8785 (JCS): keys sorted by UTF-16 code unit, no spaces, ECMAScript numbers, `-0` as `0`.
 * @throws InvalidArgumentError for what JSON can't say, at any depth: undefined, class instances, NaN, cycles, lone surrogates
 */
export function canonicalJson(value: JsonValue): string {
  const fault = jsonFault(value, Number.POSITIVE_INFINITY, { storable: false });
  if (fault !== null) throw invalid('json', fault, `not JSON: ${fault}`);
  return serialise(value);
}

/** SHA-256 of the UTF-8 text, 64 lower-case hex digits. */
export function sha256Hex(text: string): string {
  return createHash('sha256').update(text, 'utf8').digest('hex');
}

function serialise(value: unknown): string {
  const text = canonicalize(value);
  if (text === undefined) throw invalid('json', 'type', 'not JSON');
  return text;
}

/** Checked before the library sees the value: it prints or drops what it should refuse. */
function jsonFault(root: unknown, maxDepth: number, rule: { readonly storable: boolean }): string | null {
  const open = new Set<object>();
  const visit = (value: unknown, depth: number): string | null => {
    if (value === null || typeof value === 'boolean') return null;
    if (typeof value === 'number') return Number.isFinite(value) ? null : 'not_finite';
    if (typeof value === 'string') return textFault(value, rule.storable);
    if (typeof value !== 'object') return typeof value;
    if (open.has(value)) return 'cycle';
    if (!Array.isArray(value) && !isPlainObject(value)) return 'class_instance';
    if (depth >= maxDepth) return 'depth';
    open.add(value);
    for (const key of Reflect.ownKeys(value)) {
      const fault = Array.isArray(value) && key === 'length' ? null : memberFault(value, key, depth);
      if (fault !== null) return fault;
    }
    // A hole in an array has no key: it would be printed as null.
    if (Array.isArray(value) && Object.keys(value).length !== value.length) return 'undefined';
    open.delete(value);
    return null;
  };
  const memberFault = (owner: object, key: string | symbol, depth: number): string | null => {
    if (typeof key === 'symbol') return 'symbol';
    if (rule.storable && key === '__proto__') return 'forbidden_key';
    const property = Object.getOwnPropertyDescriptor(owner, key);
    if (property === undefined || !('value' in property)) return 'accessor';
    return textFault(key, rule.storable) ?? visit(property.value, depth + 1);
  };
  return visit(root, 0);
}

function textFault(text: string, storable: boolean): string | null {
  if (storable && text.includes('\0')) return 'nul';
  return hasLoneSurrogate(text) ? 'surrogate' : null;
}

function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  // An object of another realm (Jest, vm) has an Object.prototype of its own, one step below null.
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}
