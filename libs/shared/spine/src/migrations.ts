import { assertInt, DataIntegrityError, InvalidArgumentError } from '@hoc/shared/kernel';
import { guarded } from '@hoc/shared/drivers';
import { isHocMigration } from '@hoc/shared/models';
import { type DataSource, MigrationExecutor, type QueryRunner } from 'typeorm';
import { ready } from './ready';

/** Which migrations run, and in which direction. */
export interface MigrationOptions {
  /** `down` reverts the last migration, or all down to (not including) `to`. */
  readonly direction?: 'up' | 'down';
  /** A migration's name. */
  readonly to?: string;
  /** How long to wait for another runner. Default 60,000. */
  readonly lockTimeoutMs?: number;
  /** Told before each migration: its name, its place and how many there are. */
  readonly onProgress?: (progress: MigrationProgress) => void;
}

/** One migration that is done, of how many. */
export interface MigrationProgress {
  readonly name: string;
  readonly index: number;
  readonly total: number;
}

/** Constant over all versions, so that two of them exclude each other too. */
const LOCK_KEY = '5211290814';

/**
 * Brings the schema up (or down), one runner at a time under an advisory lock: of two that start together one migrates,
 * the other waits and then finds nothing to do. Each migration runs in a transaction of its own.
 * @returns the names of what was applied, or reverted, in that order
 * @throws DataIntegrityError before any change, where the database records a HOC migration that this code doesn't know
 * @throws UnavailableError retryable where another runner held the lock too long
 */
export async function runMigrations(
  source: DataSource,
  options: MigrationOptions = {},
): Promise<{ readonly applied: readonly string[] }> {
  const lockTimeout = assertInt(options.lockTimeoutMs ?? 60_000, 'lockTimeoutMs', 1, 86_400_000);
  return guarded(async () => {
    await ready(source);
    const runner = source.createQueryRunner();
    try {
      await runner.connect();
      await runner.query(`SET lock_timeout = ${lockTimeout}; SET statement_timeout = 0`);
      await runner.query('SELECT pg_advisory_lock($1)', [LOCK_KEY]);
      const applied = await underLock(source, runner, options);
      return Object.freeze({ applied: Object.freeze(applied) });
    } finally {
      await unlock(runner);
      await runner.release();
    }
  });
}

/** Names recorded in the database's migrations table, in the order of their numbers; none where the table is missing. */
export async function recordedMigrations(runner: QueryRunner, source: DataSource): Promise<readonly string[]> {
  const table = source.options.migrationsTableName ?? 'migrations';
  const found: { found: boolean }[] = await runner.query('SELECT to_regclass($1) IS NOT NULL AS found', [
    quoted(table),
  ]);
  if (found[0]?.found !== true) return [];
  const rows: { name: string }[] = await runner.query(`SELECT name FROM ${quoted(table)} ORDER BY timestamp, id`);
  return rows.map(({ name }) => name);
}

/** Recorded names that lie in HOC's number ranges and that this code doesn't hold. */
export function unknownMigrations(recorded: readonly string[], source: DataSource): readonly string[] {
  const known = new Set(migrationNames(source));
  return recorded.filter((name) => isHocMigration(name) && !known.has(name));
}

export const migrationNames = (source: DataSource): readonly string[] =>
  source.migrations.map((migration) => migration.name ?? migration.constructor.name);

async function underLock(source: DataSource, runner: QueryRunner, options: MigrationOptions): Promise<string[]> {
  const recorded = await recordedMigrations(runner, source);
  const unknown = unknownMigrations(recorded, source);
  if (unknown.length > 0)
    throw new DataIntegrityError('the database is ahead of this code: it has run migrations that are not installed', {
      details: { reason: 'unknown_migration', migrations: [...unknown] },
    });
  return (options.direction ?? 'up') === 'up' ? up(source, runner, options) : down(source, runner, recorded, options);
}

async function up(source: DataSource, runner: QueryRunner, { to, onProgress }: MigrationOptions): Promise<string[]> {
  const executor = new MigrationExecutor(source, runner);
  const pending = await executor.getPendingMigrations();
  const end = to === undefined ? pending.length : pending.findIndex(({ name }) => name === to) + 1;
  if (to !== undefined && end === 0) throw unknownTarget(to);
  const applied: string[] = [];
  for (const [index, migration] of pending.slice(0, end).entries()) {
    onProgress?.({ name: migration.name, index, total: end });
    // A migration may say that it can't run in a transaction (CREATE INDEX CONCURRENTLY).
    if (migration.instance?.transaction === false) await executor.executeMigration(migration);
    else await inTransaction(runner, () => executor.executeMigration(migration));
    applied.push(migration.name);
  }
  return applied;
}

async function inTransaction(runner: QueryRunner, work: () => Promise<unknown>): Promise<void> {
  await runner.startTransaction();
  try {
    await work();
    await runner.commitTransaction();
  } catch (error) {
    if (runner.isTransactionActive) await runner.rollbackTransaction();
    throw error;
  }
}

async function down(
  source: DataSource,
  runner: QueryRunner,
  recorded: readonly string[],
  { to, onProgress }: MigrationOptions,
): Promise<string[]> {
  const keep = to === undefined ? recorded.length - 1 : recorded.indexOf(to) + 1;
  if (to !== undefined && keep === 0) throw unknownTarget(to);
  const reverted = recorded.slice(Math.max(keep, 0)).reverse();
  for (const [index, name] of reverted.entries()) {
    onProgress?.({ name, index, total: reverted.length });
    const executor = new MigrationExecutor(source, runner);
    executor.transaction = 'each';
    await executor.undoLastMigration();
  }
  return reverted;
}

/** The lock goes with the session; a broken session has given it up already. */
async function unlock(runner: QueryRunner): Promise<void> {
  try {
    await runner.query('SELECT pg_advisory_unlock_all()');
    await runner.query('RESET lock_timeout; RESET statement_timeout');
  } catch {
    // The session is gone, and its lock with it.
  }
}

function unknownTarget(to: string): InvalidArgumentError {
  return new InvalidArgumentError('no such migration', { details: { field: 'to', reason: 'unknown_migration', to } });
}

const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`;
