import {
  assertInt,
  type HocError,
  type HocErrorOptions,
  InvalidArgumentError,
  type Logger,
  TransactionRequiredError,
  UnavailableError,
  type UnitOfWorkRunner,
} from '@hoc/shared/kernel';
import { isInTransaction, pgErrorToHocError, withClient } from '@hoc/shared/drivers';
import type { DataSource, EntityManager, QueryRunner } from 'typeorm';

/** The isolation levels of PostgreSQL that differ. */
export type IsolationLevel = 'READ COMMITTED' | 'REPEATABLE READ' | 'SERIALIZABLE';

/** How one unit of work runs. */
export interface TransactionOptions {
  readonly isolation?: IsolationLevel;
  readonly readOnly?: boolean;
  /** Runs in all, 1–100; default 4. */
  readonly maxAttempts?: number;
  /** Upper bound of the first delay; doubled for each further one. Default 20. */
  readonly baseDelayMs?: number;
  /** Upper bound of every delay; default 500. */
  readonly maxDelayMs?: number;
  readonly statementTimeoutMs?: number;
  readonly lockTimeoutMs?: number;
  /** Names the work in the log. */
  readonly label?: string;
  /** Stops before the first attempt and between attempts; never in the middle of one. */
  readonly signal?: AbortSignal;
  /** In [0, 1); the jitter of the delays. */
  readonly random?: () => number;
  readonly sleep?: (ms: number) => Promise<void>;
  readonly logger?: Logger;
}

type Work<T> = (manager: EntityManager, attempt: number) => Promise<T>;

/**
 * Runs `work` in one transaction on one connection and commits. A throw rolls back and leaves as an `HocError`. The
 * **whole** work runs again, after a jittered delay, where it met a concurrent change (40001) or a deadlock (40P01); so
 * it must not keep state of a failed attempt.
 *
 * Given a manager that is in a transaction it makes a savepoint of it: one attempt, no COMMIT. Nesting goes by this
 * argument alone: `withTransaction(dataSource, …)` inside a work is **another** transaction on another connection.
 *
 * @throws UnavailableError retryable, with `details.attempts`, after the last attempt; not retryable with
 * `details.outcome` `unknown` where the connection was lost during COMMIT: read back before you send again
 * @throws InvalidArgumentError for isolation, readOnly or a time-out inside a transaction
 */
export async function withTransaction<T>(
  source: DataSource | EntityManager,
  work: Work<T>,
  options: TransactionOptions = {},
): Promise<T> {
  if (isManager(source)) {
    if (isInTransaction(source)) return nested(source, work, options);
    return withTransaction(source.connection, work, options);
  }
  const maxAttempts = assertInt(options.maxAttempts ?? 4, 'maxAttempts', 1, 100);
  for (let attempt = 1; ; attempt += 1) {
    refuseAborted(options.signal);
    try {
      return await oneAttempt(source, work, options, attempt);
    } catch (error) {
      const failure = pgErrorToHocError(error);
      if (!isConcurrency(failure)) throw failure;
      if (attempt >= maxAttempts) throw exhausted(failure, attempt);
      options.logger?.debug('transaction_retry', { label: options.label ?? '', attempt, reason: reasonOf(failure) });
      await delay(options, attempt);
    }
  }
}

/** A savepoint of the manager's transaction. @throws TransactionRequiredError outside one */
export async function withSavepoint<T>(manager: EntityManager, work: (m: EntityManager) => Promise<T>): Promise<T> {
  if (!isInTransaction(manager)) throw new TransactionRequiredError('a savepoint needs an open transaction');
  return nested(manager, work, {});
}

/** {@link withTransaction} with its source and options bound: what services are given. */
export function unitOfWork(
  source: DataSource | EntityManager,
  options?: TransactionOptions,
): UnitOfWorkRunner<EntityManager> {
  return (work) => withTransaction(source, (manager) => work(manager), options);
}

async function oneAttempt<T>(
  source: DataSource,
  work: Work<T>,
  options: TransactionOptions,
  attempt: number,
): Promise<T> {
  const runner = source.createQueryRunner();
  let broken = false;
  try {
    await begin(runner, options);
    let result: T;
    try {
      result = await work(runner.manager, attempt);
    } catch (error) {
      broken = !(await rolledBack(runner));
      throw error;
    }
    await commit(runner);
    return result;
  } finally {
    if (broken) await destroy(runner);
    await runner.release();
  }
}

async function begin(runner: QueryRunner, options: TransactionOptions): Promise<void> {
  const isolation = options.isolation ?? 'READ COMMITTED';
  await (isolation === (await defaultIsolationOf(runner))
    ? runner.startTransaction()
    : runner.startTransaction(isolation));
  const settings = [
    options.readOnly === true ? 'SET TRANSACTION READ ONLY' : null,
    localTimeout('statement_timeout', options.statementTimeoutMs),
    localTimeout('lock_timeout', options.lockTimeoutMs),
  ].filter((setting) => setting !== null);
  if (settings.length > 0) await runner.query(settings.join('; '));
}

const defaults = new WeakMap<object, string>();

/** Asked once per connection: naming the level that the session has anyway costs each transaction a round trip. */
async function defaultIsolationOf(runner: QueryRunner): Promise<string> {
  const client = await withClient(runner.manager, (own) => Promise.resolve(own));
  const known = defaults.get(client);
  if (known !== undefined) return known;
  const rows: { default_transaction_isolation: string }[] = await runner.query('SHOW default_transaction_isolation');
  const level = (rows[0]?.default_transaction_isolation ?? '').toUpperCase();
  defaults.set(client, level);
  return level;
}

function localTimeout(name: string, ms: number | undefined): string | null {
  return ms === undefined ? null : `SET LOCAL ${name} = ${assertInt(ms, name, 0, 86_400_000)}`;
}

/**
 * A work that swallowed a database error has lost its transaction: COMMIT answers ROLLBACK then, without an error, and
 * only the command's tag says so.
 */
async function commit(runner: QueryRunner): Promise<void> {
  const ended = await endingOf(runner, () => commitOrUnknown(runner));
  if (ended === 'ROLLBACK')
    throw new UnavailableError('the work swallowed an error that had aborted its transaction', {
      details: { reason: 'aborted_transaction' },
    });
}

/** The tag of the last command that `work` completed on the connection. */
async function endingOf(runner: QueryRunner, work: () => Promise<void>): Promise<string> {
  return withClient(runner.manager, async ({ connection }) => {
    let tag = '';
    const listen = ({ text }: { readonly text: string }): void => {
      tag = text;
    };
    connection.on('commandComplete', listen);
    try {
      await work();
    } finally {
      connection.off('commandComplete', listen);
    }
    return tag;
  });
}

async function commitOrUnknown(runner: QueryRunner): Promise<void> {
  try {
    await runner.commitTransaction();
  } catch (error) {
    const failure = pgErrorToHocError(error);
    if (!LOST_IN_COMMIT.has(reasonOf(failure))) throw failure;
    await destroy(runner);
    throw new UnavailableError('the connection was lost during COMMIT: whether it took effect is unknown', {
      details: { ...failure.details, outcome: 'unknown' },
      cause: failure,
    });
  }
}

const LOST_IN_COMMIT: ReadonlySet<string> = new Set(['connection', 'shutdown', 'unknown']);

/** False where ROLLBACK itself failed: such a connection must not go back to the pool. */
async function rolledBack(runner: QueryRunner): Promise<boolean> {
  try {
    if (runner.isTransactionActive) await runner.rollbackTransaction();
    return true;
  } catch {
    return false;
  }
}

/** An ended client is thrown away by the pool. It may be gone already, and then it can't be ended. */
async function destroy(runner: QueryRunner): Promise<void> {
  if (runner.isReleased) return;
  try {
    await withClient(runner.manager, (client) => client.end());
  } catch {
    // Nothing to end.
  }
}

async function nested<T>(manager: EntityManager, work: Work<T>, options: TransactionOptions): Promise<T> {
  const fixed = (['isolation', 'readOnly', 'statementTimeoutMs', 'lockTimeoutMs'] as const).find(
    (name) => options[name] !== undefined,
  );
  if (fixed !== undefined)
    throw new InvalidArgumentError(`${fixed} can't change inside a transaction`, {
      details: { field: fixed, reason: 'nested' },
    });
  refuseAborted(options.signal);
  const runner = runnerOf(manager);
  try {
    await runner.startTransaction();
    const result = await work(manager, 1);
    await runner.commitTransaction();
    return result;
  } catch (error) {
    await rolledBack(runner);
    throw pgErrorToHocError(error);
  }
}

function runnerOf(manager: EntityManager): QueryRunner {
  if (manager.queryRunner === undefined) throw new TransactionRequiredError('the manager has no connection of its own');
  return manager.queryRunner;
}

async function delay(options: TransactionOptions, attempt: number): Promise<void> {
  const bound = Math.min(options.maxDelayMs ?? 500, (options.baseDelayMs ?? 20) * 2 ** (attempt - 1));
  await (options.sleep ?? sleep)((options.random ?? Math.random)() * bound);
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

function refuseAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw new UnavailableError('aborted by the caller', { details: { reason: 'aborted' } });
}

function exhausted(failure: HocError, attempts: number): UnavailableError {
  const options: HocErrorOptions = { retryable: true, details: { ...failure.details, attempts }, cause: failure };
  return new UnavailableError(`${failure.message} (after ${attempts} attempts)`, options);
}

const isConcurrency = (error: HocError): boolean =>
  UnavailableError.is(error) &&
  ['serialization', 'deadlock'].includes(reasonOf(error)) &&
  !('attempts' in error.details);

const reasonOf = (error: HocError): string => String(error.details['reason'] ?? '');

const isManager = (source: DataSource | EntityManager): source is EntityManager => 'connection' in source;
