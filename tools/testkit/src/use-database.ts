import type { DataSource, EntityManager, QueryRunner } from 'typeorm';
import { databaseUrl } from './admin';
import {
  assertNoSession,
  cloneDatabase,
  type DatabaseContent,
  dataSourceOn,
  dropDatabase,
  emptyDatabase,
} from './databases';

/** A worker's database with a rolled-back transaction around each test. */
export interface TestDatabase {
  readonly url: () => string;
  readonly dataSource: () => DataSource;
  /** In the test's transaction, which is rolled back afterwards. */
  readonly manager: () => EntityManager;
}

/** Registers the hooks of a describe: BEGIN before each test, ROLLBACK after it, a leak check at the end. */
export function useDatabase(content: DatabaseContent): TestDatabase {
  let name = '';
  let source: DataSource | undefined;
  let runner: QueryRunner | undefined;
  beforeAll(async () => {
    name = await cloneDatabase(content, 'w');
    source = await dataSourceOn(databaseUrl(name), content).initialize();
  });
  beforeEach(async () => {
    runner = source?.createQueryRunner();
    await runner?.startTransaction();
  });
  afterEach(async () => {
    if (runner?.isTransactionActive) await runner.rollbackTransaction();
    await runner?.release();
    runner = undefined;
  });
  afterAll(async () => {
    await source?.destroy();
    await assertNoSession(name);
  });
  return { url: () => databaseUrl(name), dataSource: () => made(source), manager: () => made(runner).manager };
}

/** A database whose rows are committed: for races and several connections. */
export interface FreshDatabase {
  readonly name: () => string;
  readonly url: () => string;
  readonly dataSource: () => DataSource;
  /** Separate pools on the same database, closed at the end of the describe. */
  readonly connections: (n: number, extra?: object) => Promise<readonly DataSource[]>;
}

/** Registers the hooks of a describe: a database from the template before, emptied after each test, dropped after all. */
export function useFreshDatabase(content: DatabaseContent): FreshDatabase {
  return freshDatabase(content, () => cloneDatabase(content, 'f'), true);
}

/** The same without a single table: for the migrations themselves. */
export function useEmptyDatabase(content: DatabaseContent): FreshDatabase {
  return freshDatabase(content, emptyDatabase, false);
}

function freshDatabase(content: DatabaseContent, make: () => Promise<string>, empty: boolean): FreshDatabase {
  let name = '';
  let source: DataSource | undefined;
  let others: DataSource[] = [];
  beforeAll(async () => {
    name = await make();
    source = await dataSourceOn(databaseUrl(name), content).initialize();
  });
  afterEach(async () => {
    await Promise.all(others.map((other) => (other.isInitialized ? other.destroy() : undefined)));
    others = [];
    if (empty) await deleteEverything(made(source));
  });
  afterAll(async () => {
    await source?.destroy();
    await assertNoSession(name);
    await dropDatabase(name);
  });
  return {
    name: () => name,
    url: () => databaseUrl(name),
    dataSource: () => made(source),
    connections: async (n, extra) => {
      const opened = await Promise.all(
        Array.from({ length: n }, () => dataSourceOn(databaseUrl(name), content, { max: 4, ...extra }).initialize()),
      );
      others.push(...opened);
      return opened;
    },
  };
}

/** One message, so that foreign keys don't matter; only the list of applied migrations stays, rows that a migration made go too. */
async function deleteEverything(source: DataSource): Promise<void> {
  await source.query(`DO $$ BEGIN
    EXECUTE (SELECT coalesce('TRUNCATE ' || string_agg(quote_ident(tablename), ', '), 'SELECT 1')
               FROM pg_tables WHERE schemaname = current_schema() AND tablename <> 'hoc_migrations');
  END $$`);
}

function made<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('used outside a test');
  return value;
}
