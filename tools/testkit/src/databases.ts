import 'reflect-metadata';
import { createHash, randomBytes } from 'node:crypto';
import type { Client } from 'pg';
import { DataSource, type DataSourceOptions } from 'typeorm';
import { asAdmin, databaseUrl, waitFor } from './admin';

/** What a test database is made of. The testkit knows no domain: the lists are arguments. */
export interface DatabaseContent {
  readonly entities: readonly Function[];
  readonly migrations: readonly Function[];
}

const LOCK = 7_341_001;
const run = (): string => process.env['HOC_TEST_RUN'] ?? 'x';

/** A `DataSource` as the spine would make it, on one test database. */
export function dataSourceOn(url: string, content: DatabaseContent, extra: object = {}): DataSource {
  const options = {
    type: 'postgres',
    url,
    entities: [...content.entities],
    migrations: [...content.migrations],
    migrationsTableName: 'hoc_migrations',
    migrationsTransactionMode: 'each',
    synchronize: false,
    applicationName: 'hoc-test',
    extra: { options: '-c TimeZone=UTC -c statement_timeout=60000 -c lock_timeout=30000', max: 10, ...extra },
  };
  return new DataSource(options as unknown as DataSourceOptions); // TypeORM's MixedList types refuse `Function`
}

/** The template with the migrations applied: built once per run, renamed into place so that a half-built one is never used. */
async function template(client: Client, content: DatabaseContent): Promise<string> {
  const key = createHash('sha256')
    .update(content.migrations.map((m) => m.name).join())
    .digest('hex')
    .slice(0, 8);
  const name = `hoc_t_${run()}_${key}`;
  if (await exists(client, name)) return name;
  const draft = `${name}_new`;
  await client.query(`DROP DATABASE IF EXISTS ${draft}`);
  await client.query(`CREATE DATABASE ${draft} TEMPLATE template0`);
  const source = dataSourceOn(databaseUrl(draft), content);
  await source.initialize();
  try {
    await source.runMigrations();
  } finally {
    await source.destroy();
  }
  await waitFor(async () => (await sessionsIn(client, draft)) === 0, 'the template has no session');
  await client.query(`ALTER DATABASE ${draft} RENAME TO ${name}`);
  return name;
}

/** A database of its own, cloned from the template; `prefix` `w` is a worker's, `f` a fresh one. */
export async function cloneDatabase(content: DatabaseContent, prefix: 'w' | 'f'): Promise<string> {
  const suffix = prefix === 'w' ? (process.env['JEST_WORKER_ID'] ?? '1') : randomBytes(4).toString('hex');
  return asAdmin(async (client) => {
    await client.query('SELECT pg_advisory_lock($1)', [LOCK]);
    const from = await template(client, content);
    const name = `hoc_${prefix}_${run()}_${from.slice(-8)}_${suffix}`;
    if (!(await exists(client, name)))
      await client.query(`CREATE DATABASE ${name} TEMPLATE ${from} STRATEGY file_copy`);
    return name;
  });
}

export async function emptyDatabase(): Promise<string> {
  const name = `hoc_f_${run()}_empty_${randomBytes(4).toString('hex')}`;
  await asAdmin((client) => client.query(`CREATE DATABASE ${name} TEMPLATE template0`));
  return name;
}

export async function dropDatabase(name: string): Promise<void> {
  await asAdmin((client) => client.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`));
}

/** Fails when a session is left in the database. Back ends end asynchronously, on a busy machine late, so it looks again. */
export async function assertNoSession(name: string, limitMs = 30_000): Promise<void> {
  await asAdmin(async (client) => {
    let left = await sessionsIn(client, name);
    for (let waited = 0; left !== 0 && waited < limitMs; waited += 25) {
      await new Promise((resolve) => setTimeout(resolve, 25));
      left = await sessionsIn(client, name);
    }
    if (left !== 0) throw new Error(`${left} connection(s) left open in ${name}`);
  });
}

/** Clients alone: autovacuum works in a database unasked, and is nobody's leak. */
async function sessionsIn(client: Client, name: string): Promise<number> {
  const { rows } = await client.query<{ n: number }>(
    'SELECT count(*)::int AS n FROM pg_stat_activity WHERE datname = $1 AND backend_type = $$client backend$$',
    [name],
  );
  return rows[0]?.n ?? 0;
}

async function exists(client: Client, name: string): Promise<boolean> {
  return (await client.query('SELECT FROM pg_database WHERE datname = $1', [name])).rowCount === 1;
}
