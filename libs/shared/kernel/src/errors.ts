import type { JsonObject, JsonValue } from './json-value';

/** The closed list of codes; a domain's own class has its parent's code and a finer `details.reason`. */
export type HocErrorCode =
  | 'INVALID_ARGUMENT'
  | 'TENANT_SCOPE'
  | 'NOT_FOUND'
  | 'CONFLICT'
  | 'TRANSACTION_REQUIRED'
  | 'LIMIT_EXCEEDED'
  | 'UNAVAILABLE'
  | 'DATA_INTEGRITY'
  | 'INTERNAL';

/** What an error may carry besides its message. */
export interface HocErrorOptions {
  /** JSON for the caller: ids, field names, reasons; never a bound value or a secret. Frozen. */
  readonly details?: Readonly<Record<string, JsonValue>>;
  /** What led to it. Kept out of JSON and of `inspect`: a foreign error may hold SQL text and bound values. */
  readonly cause?: unknown;
  /** Whether the same call, made again as it is, may succeed. Default false. */
  readonly retryable?: boolean;
}

const BRAND = Symbol.for('hoc.error.brand');
const INSPECT = Symbol.for('nodejs.util.inspect.custom');

/**
 * The base of every error that leaves a package. Recognised across two installed copies by a global-symbol brand: use
 * {@link HocError.is}, or the `is` of a subclass, instead of `instanceof`.
 */
export class HocError extends Error {
  readonly code: HocErrorCode;
  readonly details: Readonly<Record<string, JsonValue>>;
  readonly retryable: boolean;

  constructor(code: HocErrorCode, message: string, options: HocErrorOptions = {}) {
    super(message);
    this.code = code;
    this.details = freezeJson({ ...options.details });
    this.retryable = options.retryable ?? false;
    const family = familyOf(this);
    Object.defineProperty(this, 'name', { value: family[0], configurable: true });
    Object.defineProperty(this, BRAND, { value: family });
    Object.defineProperty(this, INSPECT, { value: inspectSafely });
    if (options.cause !== undefined) Object.defineProperty(this, 'cause', { value: options.cause });
    Error.captureStackTrace(this, new.target);
  }

  /** Further families that a class belongs to: a seed's base error that is not among its ancestors. */
  static readonly alsoKnownAs: readonly string[] = [];

  /** Whether `value` is an `HocError` of any installed copy; on a subclass: of that class or of one below it. */
  static is(value: unknown): value is HocError {
    return hasBrand(value, 'HocError');
  }

  /** What may be logged or sent: no cause, no stack. */
  toJSON(): { name: string; code: HocErrorCode; message: string; details: JsonObject; retryable: boolean } {
    return {
      name: this.name,
      code: this.code,
      message: this.message,
      details: this.details,
      retryable: this.retryable,
    };
  }
}

/** An argument breaks its rule; `details.field` and `details.reason` say which. Nothing was sent. */
export class InvalidArgumentError extends HocError {
  constructor(message: string, options?: HocErrorOptions) {
    super('INVALID_ARGUMENT', message, options);
  }
  static override is(value: unknown): value is InvalidArgumentError {
    return hasBrand(value, 'InvalidArgumentError');
  }
}

/** The tenant, or the system scope, is missing or malformed. Nothing was sent. */
export class TenantScopeError extends HocError {
  constructor(message: string, options?: HocErrorOptions) {
    super('TENANT_SCOPE', message, options);
  }
  static override is(value: unknown): value is TenantScopeError {
    return hasBrand(value, 'TenantScopeError');
  }
}

/** No such row of this tenant: one of another tenant's is the same. */
export class NotFoundError extends HocError {
  constructor(message: string, options?: HocErrorOptions) {
    super('NOT_FOUND', message, options);
  }
  static override is(value: unknown): value is NotFoundError {
    return hasBrand(value, 'NotFoundError');
  }
}

/** What is stored stands against the call: another content under its key, another state, a reference. */
export class ConflictError extends HocError {
  constructor(message: string, options?: HocErrorOptions) {
    super('CONFLICT', message, options);
  }
  static override is(value: unknown): value is ConflictError {
    return hasBrand(value, 'ConflictError');
  }
}

/** The call needs an open transaction, or got a manager whose transaction is over. */
export class TransactionRequiredError extends HocError {
  constructor(message: string, options?: HocErrorOptions) {
    super('TRANSACTION_REQUIRED', message, options);
  }
  static override is(value: unknown): value is TransactionRequiredError {
    return hasBrand(value, 'TransactionRequiredError');
  }
}

/** A limit, cap or quota would be exceeded. */
export class LimitExceededError extends HocError {
  constructor(message: string, options?: HocErrorOptions) {
    super('LIMIT_EXCEEDED', message, options);
  }
  static override is(value: unknown): value is LimitExceededError {
    return hasBrand(value, 'LimitExceededError');
  }
}

/** The database, or another service, did not do its part; `retryable` says whether to try again. */
export class UnavailableError extends HocError {
  constructor(message: string, options?: HocErrorOptions) {
    super('UNAVAILABLE', message, options);
  }
  static override is(value: unknown): value is UnavailableError {
    return hasBrand(value, 'UnavailableError');
  }
}

/** A row, or the schema, breaks its own contract. */
export class DataIntegrityError extends HocError {
  constructor(message: string, options?: HocErrorOptions) {
    super('DATA_INTEGRITY', message, options);
  }
  static override is(value: unknown): value is DataIntegrityError {
    return hasBrand(value, 'DataIntegrityError');
  }
}

/** For a domain's own subclass: `static override is(v): v is Mine { return hasBrand(v, 'Mine'); }`. */
export function hasBrand(value: unknown, className: string): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const brand: unknown = Reflect.get(value, BRAND);
  return Array.isArray(brand) && brand.includes(className);
}

/** A copy of an `HocError`, anything else as it is: for several callers of one failed work, so that none changes another's. */
export function copyOfError(error: unknown): unknown {
  if (!HocError.is(error)) return error;
  const copy: unknown = Object.create(Object.getPrototypeOf(error) as object, Object.getOwnPropertyDescriptors(error));
  return copy;
}

/** Class names from the concrete class up to `HocError`, and the second families of each. */
function familyOf(error: HocError): readonly string[] {
  const names: string[] = [];
  let prototype: unknown = Object.getPrototypeOf(error);
  while (prototype instanceof HocError || prototype === HocError.prototype) {
    const constructor = (prototype as HocError).constructor as typeof HocError;
    names.push(constructor.name);
    if (Object.hasOwn(constructor, 'alsoKnownAs')) names.push(...constructor.alsoKnownAs);
    prototype = Object.getPrototypeOf(prototype);
  }
  return Object.freeze([...new Set(names)]);
}

/** `inspect` prints own properties and the cause's; this prints what toJSON says and the stack. */
function inspectSafely(this: HocError): string {
  const { code, details, retryable } = this.toJSON();
  return `${this.stack ?? `${this.name}: ${this.message}`} ${JSON.stringify({ code, details, retryable })}`;
}

function freezeJson<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.values(value).forEach(freezeJson);
    Object.freeze(value);
  }
  return value;
}
