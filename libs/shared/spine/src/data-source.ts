import 'reflect-metadata';
import { assertInt, InvalidArgumentError, textFault } from '@hoc/shared/kernel';
import { PREPARED_STATEMENTS_OPTION } from '@hoc/shared/drivers';
import { DataSource, type DataSourceOptions, getMetadataArgsStorage } from 'typeorm';

/** Where the database is. Give `url`, or its parts. */
export interface HocConnectionOptions {
  readonly url?: string;
  readonly host?: string;
  readonly port?: number;
  readonly database?: string;
  readonly user?: string;
  readonly password?: string;
  /** First in the `search_path`; `public` stays behind it. */
  readonly schema?: string;
  /** 1–63 characters: who is connected, as `pg_stat_activity` shows it. */
  readonly applicationName: string;
  readonly poolSize?: number;
  readonly statementTimeoutMs?: number;
  readonly lockTimeoutMs?: number;
  readonly idleInTransactionTimeoutMs?: number;
  readonly connectTimeoutMs?: number;
  readonly ssl?: boolean | object;
  /** `false` behind a transaction pooler that can't keep prepared statements. Default true. */
  readonly preparedStatements?: boolean;
}

/** A connection and what it is to hold: the lists of the installed packages, merged. */
export interface HocDataSourceOptions extends HocConnectionOptions {
  readonly entities: readonly Function[];
  readonly migrations: readonly Function[];
}

/** The migrations table of a DataSource that {@link createHocDataSource} made. */
export const HOC_MIGRATIONS_TABLE = 'hoc_migrations';

const MINUTE = 60_000;
const DAY = 86_400_000;

/**
 * A `DataSource`, not initialised: no synchronisation, migrations by `runMigrations`, session parameters by the
 * connection's options (UTC, time-outs, `application_name`, `search_path`). Reads no environment variable, and touches no
 * global type parser of pg.
 * @throws InvalidArgumentError for a bad option, a table that two entities claim, a migration's name given twice
 */
export function createHocDataSource(options: HocDataSourceOptions): DataSource {
  if (textFault(options.applicationName, 1, 63) !== null)
    throw new InvalidArgumentError('applicationName of 1 to 63 characters is required', {
      details: { field: 'applicationName', reason: 'length' },
    });
  refuseDoubles(options.entities, options.migrations);
  const { url, host, port, database, user, password, ssl } = options;
  const where = url === undefined ? { host, port, database, username: user, password } : { url };
  const settings = {
    type: 'postgres',
    ...where,
    ...(ssl === undefined ? {} : { ssl }),
    ...(options.schema === undefined ? {} : { schema: options.schema }),
    entities: [...options.entities],
    migrations: [...options.migrations],
    migrationsTableName: HOC_MIGRATIONS_TABLE,
    migrationsTransactionMode: 'each',
    migrationsRun: false,
    synchronize: false,
    applicationName: options.applicationName,
    poolSize: assertInt(options.poolSize ?? 10, 'poolSize', 1, 1000),
    connectTimeoutMS: assertInt(options.connectTimeoutMs ?? 10_000, 'connectTimeoutMs', 1, DAY),
    // A broken idle connection is the pool's to replace; without a handler TypeORM prints it to the console.
    poolErrorHandler: () => undefined,
    extra: { options: sessionOptions(options), [PREPARED_STATEMENTS_OPTION]: options.preparedStatements ?? true },
  };
  const source = new DataSource(settings as unknown as DataSourceOptions); // TypeORM's MixedList types refuse `Function`
  return hideCredentials(source, options.applicationName);
}

function sessionOptions(options: HocDataSourceOptions): string {
  const parameters: Readonly<Record<string, string | number>> = {
    statement_timeout: assertInt(options.statementTimeoutMs ?? 30_000, 'statementTimeoutMs', 0, DAY),
    lock_timeout: assertInt(options.lockTimeoutMs ?? 5_000, 'lockTimeoutMs', 0, DAY),
    idle_in_transaction_session_timeout: assertInt(
      options.idleInTransactionTimeoutMs ?? MINUTE,
      'idleInTransactionTimeoutMs',
      0,
      DAY,
    ),
    TimeZone: 'UTC',
    ...(options.schema === undefined ? {} : { search_path: `${quoteIdentifier(options.schema)},public` }),
  };
  return Object.entries(parameters)
    .map(([name, value]) => `-c ${name}=${String(value).replace(/[\\ ]/g, '\\$&')}`)
    .join(' ');
}

const quoteIdentifier = (name: string): string => `"${name.replaceAll('"', '""')}"`;

/** Two packages that claim one table, or one migration twice, would silently undo each other. */
export function refuseDoubles(entities: readonly Function[], migrations: readonly Function[]): void {
  const names = migrations.map((migration) => migration.name);
  const double = firstDouble(names) ?? firstDouble(entities.map(tableOf));
  if (double !== null)
    throw new InvalidArgumentError(`${double} is given twice: by two versions of one package?`, {
      details: { field: names.includes(double) ? 'migrations' : 'entities', reason: 'double', name: double },
    });
}

function firstDouble(names: readonly string[]): string | null {
  return names.find((name, index) => names.indexOf(name) !== index) ?? null;
}

function tableOf(entity: Function): string {
  const table = getMetadataArgsStorage().tables.find(({ target }) => target === entity);
  return table?.name ?? entity.name;
}

/** `inspect` of a DataSource prints its options, the password among them. */
function hideCredentials(source: DataSource, applicationName: string): DataSource {
  Object.defineProperty(source, Symbol.for('nodejs.util.inspect.custom'), {
    value: () =>
      `DataSource { postgres, ${applicationName}, ${source.isInitialized ? 'initialised' : 'not initialised'} }`,
  });
  return source;
}
