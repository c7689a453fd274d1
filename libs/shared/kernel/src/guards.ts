import type { CallId, TenantId } from './brand';
import { DataIntegrityError, InvalidArgumentError, TenantScopeError } from './errors';
import { idFault } from './text';

/** Characters of a tenant id, at most. */
export const TENANT_ID_MAX = 100;
/** Characters of an identifier, at most. */
export const ID_MAX = 100;
/** Characters of a call id, at most. */
export const CALL_ID_MAX = 255;

/**
 * 1–100 code points, not only white space, no control character, no lone surrogate. Nothing is trimmed, folded or
 * normalised: `'A'`, `'a'` and `'a '` are three tenants.
 * @throws TenantScopeError for anything else
 */
export function assertTenantId(value: unknown): TenantId {
  const fault = idFault(value, TENANT_ID_MAX);
  if (fault !== null)
    throw new TenantScopeError('a tenant id of 1 to 100 characters is required', {
      details: { field: 'tenantId', reason: fault },
    });
  return value as TenantId;
}

/** An opaque identifier of 1–`max` code points (100). @throws InvalidArgumentError naming `field` */
export function assertId(value: unknown, field: string, max: number = ID_MAX): string {
  const fault = idFault(value, max);
  if (fault !== null) throw invalid(field, fault, `${field} must be an identifier of 1 to ${max} characters`);
  return value as string;
}

/** 1–255 code points. @throws InvalidArgumentError naming `callId` */
export function assertCallId(value: unknown): CallId {
  return assertId(value, 'callId', CALL_ID_MAX);
}

/**
 * The ends of a half-open range `[from, to)`; either may be absent. `from = to` is refused unless `allowEmpty`.
 * @throws InvalidArgumentError naming `field`
 */
export function assertRange(
  from: Date | undefined,
  to: Date | undefined,
  field: string,
  options: { readonly allowEmpty?: boolean } = {},
): void {
  for (const end of [from, to]) if (end !== undefined) assertDate(end, field);
  if (from === undefined || to === undefined) return;
  const [a, b] = [from.getTime(), to.getTime()];
  if (a > b || (a === b && options.allowEmpty !== true))
    throw invalid(field, 'range', `${field} must begin before it ends`);
}

/** A valid `Date`, as a copy of the caller's own. @throws InvalidArgumentError naming `field` */
export function assertDate(value: unknown, field: string): Date {
  if (!(value instanceof Date) || Number.isNaN(value.getTime()))
    throw invalid(field, 'date', `${field} must be a valid Date`);
  return new Date(value.getTime());
}

/** An integer in `[min, max]`. @throws InvalidArgumentError naming `field` */
export function assertInt(value: unknown, field: string, min: number, max: number): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max)
    throw invalid(field, 'integer', `${field} must be an integer from ${min} to ${max}`);
  return value;
}

/** A member of `list`. @throws InvalidArgumentError naming `field` */
export function assertOneOf<T extends string>(value: unknown, list: readonly T[], field: string): T {
  const found = list.find((item) => item === value);
  if (found === undefined) throw invalid(field, 'one_of', `${field} must be one of ${list.join(', ')}`);
  return found;
}

/** A list of at most `max` items (an empty one passes), without holes. @throws InvalidArgumentError naming `field` */
export function assertList(value: unknown, field: string, max: number): readonly unknown[] {
  if (!Array.isArray(value)) throw invalid(field, 'list', `${field} must be a list`);
  if (value.length > max) throw invalid(field, 'too_many', `${field} takes at most ${max} items`);
  if (hasHole(value)) throw invalid(field, 'hole', `${field} must be a list without holes`);
  return value;
}

/** Whether the list lacks one of its places: `map` and `forEach` would step over it, unchecked. */
export function hasHole(list: readonly unknown[]): boolean {
  for (let at = 0; at < list.length; at += 1) if (!(at in list)) return true;
  return false;
}

/** An object that is no list and no Date. @throws InvalidArgumentError naming `field` */
export function assertObject(value: unknown, field: string): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof Date)
    throw invalid(field, 'object', `${field} must be an object`);
  return value as Readonly<Record<string, unknown>>;
}

/**
 * pg's int8 text (or a number) as a number.
 * @throws DataIntegrityError naming `field` where it isn't an integer, or beyond ±(2⁵³−1): never a rounded number
 */
export function toSafeInteger(value: unknown, field: string): number {
  const number = typeof value === 'string' && /^-?\d+$/.test(value) ? Number(value) : value;
  if (typeof number !== 'number' || !Number.isSafeInteger(number))
    throw new DataIntegrityError(`${field} is not an integer that a number can hold exactly`, {
      details: { field, reason: 'unsafe_integer' },
    });
  return number === 0 ? 0 : number;
}

/** Freezes every level. A `Date` can't be frozen: it is the caller's own copy. */
export function deepFreeze<T>(value: T): Readonly<T> {
  if (typeof value === 'object' && value !== null && !(value instanceof Date) && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const member of Object.values(value)) deepFreeze(member);
  }
  return value;
}

/** The error of a refused argument, in the one shape that all checks use. */
export function invalid(field: string, reason: string, message: string): InvalidArgumentError {
  return new InvalidArgumentError(message, { details: { field, reason } });
}
