import {
  ConflictError,
  DataIntegrityError,
  HocError,
  InvalidArgumentError,
  TransactionRequiredError,
  UnavailableError,
  type HocErrorOptions,
  type JsonValue,
} from '@hoc/shared/kernel';

/**
 * Turns any error of a database call into an {@link HocError}; an `HocError` comes back as it is. Understands a bare pg
 * error, TypeORM's `QueryFailedError`, Node system errors and the `AggregateError` of several connection attempts.
 *
 * `details` hold `reason`, and `sqlstate`, `constraint`, `table`, `column` where pg names them. SQL text, bound values,
 * pg's detail, hint and where, host and user are dropped; `cause` is a copy that holds the code and the stack alone.
 */
export function pgErrorToHocError(error: unknown): HocError {
  if (HocError.is(error)) return error;
  const source = sourceOf(error);
  const code = textOf(source, 'code');
  const kind =
    (code === null ? undefined : (BY_CODE[code] ?? BY_CLASS[code.slice(0, 2)])) ?? byMessage(source) ?? UNKNOWN;
  return kind.make(kind.message, {
    retryable: kind.retryable,
    details: { reason: kind.reason, ...namedBy(source, code) },
    cause: reducedCause(source, code),
  });
}

/** Whether a named statement was prepared before a change of its columns. */
export const isStalePlan = (error: unknown): boolean =>
  STALE_PLAN_MESSAGE.test(textOf(sourceOf(error), 'message') ?? '');

interface Kind {
  readonly make: (message: string, options: HocErrorOptions) => HocError;
  readonly reason: string;
  readonly retryable: boolean;
  readonly message: string;
}

const conflict = (reason: string, message: string): Kind => ({
  make: (text, options) => new ConflictError(text, options),
  reason,
  retryable: false,
  message,
});
const invalid = (reason: string, message: string): Kind => ({
  make: (text, options) => new InvalidArgumentError(text, options),
  reason,
  retryable: false,
  message,
});
const unavailable = (reason: string, retryable: boolean, message: string): Kind => ({
  make: (text, options) => new UnavailableError(text, options),
  reason,
  retryable,
  message,
});

const VALUE = invalid('value', 'a value does not fit its column');
const SCHEMA: Kind = {
  make: (text, options) => new DataIntegrityError(text, options),
  reason: 'schema',
  retryable: false,
  message: 'the database schema is not the one that this version needs: run the migrations',
};
const SHUTDOWN = unavailable('shutdown', true, 'the database server is shutting down or starting');
const STALE_PLAN = unavailable('stale_plan', true, 'a table was changed under a prepared statement: run it again');
const CONNECTION = unavailable('connection', true, 'the connection to the database failed');
const ACCESS = unavailable('access', false, 'the database refused access');
const UNKNOWN: Kind = {
  make: (text, options) => new HocError('INTERNAL', text, options),
  reason: 'unknown',
  retryable: false,
  message: 'the database call failed unexpectedly',
};

/** SQLSTATEs and Node system codes; the table of activity.md D.1.2. */
const BY_CODE: Readonly<Record<string, Kind>> = Object.freeze({
  '23505': conflict('unique', 'a row with this key exists'),
  '23503': conflict('foreign_key', 'a row that this one refers to is missing, or is still referred to'),
  '23001': conflict('immutable', 'this row may not be changed any more'),
  '23P01': conflict('exclusion', 'the row overlaps another one'),
  '23502': invalid('not_null', 'a required value is missing'),
  '23514': invalid('check', 'a value breaks a rule of its table'),
  '22001': VALUE,
  '22003': VALUE,
  '22007': VALUE,
  '22008': VALUE,
  '22009': VALUE,
  '22021': VALUE,
  '22023': VALUE,
  '22P02': VALUE,
  '22P05': VALUE,
  '22012': VALUE,
  '40001': unavailable('serialization', true, 'the transaction met a concurrent change: run it again'),
  '40P01': unavailable('deadlock', true, 'the transaction was chosen to end a deadlock: run it again'),
  '55P03': unavailable('lock_timeout', true, 'a lock was not granted in time'),
  '57014': unavailable('statement_timeout', true, 'the statement was cancelled, by its time-out or by an operator'),
  '25P03': unavailable('idle_in_transaction_timeout', true, 'the transaction was idle for too long: run it again'),
  '57P01': SHUTDOWN,
  '57P02': SHUTDOWN,
  '57P03': SHUTDOWN,
  '25006': unavailable('read_only', true, 'the database server accepts no writes'),
  '25P02': unavailable('aborted_transaction', false, 'the transaction has failed already: roll it back'),
  '25P01': {
    make: (text, options) => new TransactionRequiredError(text, options),
    reason: 'no_transaction',
    retryable: false,
    message: 'this call needs an open transaction',
  },
  '42501': ACCESS,
  '3D000': ACCESS,
  '42P01': SCHEMA,
  '42703': SCHEMA,
  '42883': SCHEMA,
  '42704': SCHEMA,
  ECONNREFUSED: CONNECTION,
  ECONNRESET: CONNECTION,
  EPIPE: CONNECTION,
  ETIMEDOUT: CONNECTION,
  ENOTFOUND: CONNECTION,
  EHOSTUNREACH: CONNECTION,
});

/** Whole classes of SQLSTATEs, by their first two characters. */
const BY_CLASS: Readonly<Record<string, Kind>> = Object.freeze({
  '08': CONNECTION,
  '28': ACCESS,
  '53': unavailable('resources', true, 'the database server is out of a resource'),
});

/** pg reports a lost or refused connection without a code. */
const CONNECTION_MESSAGE =
  /connection terminated|connection ended|client has encountered a connection error|client was closed|not queryable|timeout exceeded when trying to connect|timeout expired|driver not connected/i;
/** Its SQLSTATE, 0A000, also stands for what will never work. */
const STALE_PLAN_MESSAGE = /cached plan must not change result type/i;
/** TypeORM and pg's own words for a manager or client that was given back. */
const RELEASED_MESSAGE = /query ?runner already released|released client/i;

function byMessage(source: unknown): Kind | undefined {
  const message = textOf(source, 'message') ?? '';
  if (STALE_PLAN_MESSAGE.test(message)) return STALE_PLAN;
  if (RELEASED_MESSAGE.test(message)) return BY_CODE['25P01'];
  return CONNECTION_MESSAGE.test(message) ? CONNECTION : undefined;
}

/** The error that carries the code: TypeORM wraps pg's in `driverError`, Node collects attempts in `errors`. */
function sourceOf(error: unknown): unknown {
  if (!isRecord(error)) return error;
  if (isRecord(error['driverError'])) return sourceOf(error['driverError']);
  if (error instanceof AggregateError && error.errors.length > 0 && textOf(error, 'code') === null)
    return sourceOf(error.errors[0]);
  return error;
}

function namedBy(source: unknown, code: string | null): Record<string, JsonValue> {
  const named: Record<string, JsonValue> = {};
  if (code !== null) named[/^E[A-Z]+$/.test(code) ? 'system' : 'sqlstate'] = code;
  for (const field of ['constraint', 'table', 'column']) {
    const value = textOf(source, field);
    if (value !== null) named[field] = value;
  }
  return named;
}

/** The first line of a stack is the message, which may quote values: only the frames are kept. */
function reducedCause(source: unknown, code: string | null): Error {
  const cause = new Error(code ?? 'database error');
  const frames = (textOf(source, 'stack') ?? '').split('\n').filter((line) => /^\s+at /.test(line));
  cause.stack = [`Error: ${cause.message}`, ...frames].join('\n');
  return cause;
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;

function textOf(source: unknown, field: string): string | null {
  const value = isRecord(source) ? source[field] : undefined;
  return typeof value === 'string' && value !== '' ? value : null;
}
