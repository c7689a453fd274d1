import { createHash } from 'node:crypto';
import { isStalePlan } from './pg-error';
import { type HocError, TransactionRequiredError, UnavailableError } from '@hoc/shared/kernel';
import type { QueryRunner } from 'typeorm';
import type { DriverManager } from './driver-manager';
import { readColumn } from './column-types';

/**
 * One SQL statement of a driver, written once, with the name under which a connection keeps it prepared. `Row` is what
 * its columns are read as (see {@link readColumn}).
 */
export interface Statement<Row> {
  /** Null for a statement that is planned anew each time. */
  readonly name: string | null;
  readonly text: string;
  /** Never set: carries the type of a row. */
  readonly row?: Row;
}

/** What is used of pg's client. Our own words for it: the declarations of pg are not among a consumer's peers. */
export interface PgClient {
  query<Row>(config: PgQuery): Promise<{ readonly rows: Row[] }>;
  /** Hands a stream to the connection, for COPY. */
  query<Stream extends { submit: (...args: never[]) => void }>(stream: Stream): Stream;
  /** The protocol below the client: tells the tag of each command that completed. */
  readonly connection: {
    readonly stream: { readonly destroyed: boolean };
    on(event: 'commandComplete', listener: (message: { readonly text: string }) => void): unknown;
    off(event: 'commandComplete', listener: (message: { readonly text: string }) => void): unknown;
  };
  on(event: 'error', listener: (error: Error) => void): unknown;
  end(): Promise<void>;
}

/** One query as pg takes it; `types` reads the columns of its result. */
export interface PgQuery {
  readonly name?: string;
  readonly text: string;
  readonly values: readonly unknown[];
  readonly types: { getTypeParser(oid: number): (text: string) => unknown };
}

/** The option of `DataSource.options.extra` that a consumer behind a transaction pooler sets to `false`. */
export const PREPARED_STATEMENTS_OPTION = 'hocPreparedStatements';

/** Plans that one connection keeps for us. Beyond it statements go unnamed: a plan costs server memory for ever. */
const NAMES_PER_CONNECTION = 400;

/**
 * A statement under a readable label. Two labels may share a text; a text never has two names under one label.
 * `replan` for a look-up whose plan depends on the size of its table: a plan that was kept from when the table was small
 * scans it ever after (seen: 100 times slower), and planning anew costs a third of a millisecond.
 */
export function statement<Row>(
  label: string,
  text: string,
  { replan = false }: { readonly replan?: boolean } = {},
): Statement<Row> {
  const digest = createHash('sha256').update(text).digest('hex').slice(0, 12);
  return Object.freeze({ name: replan ? null : `hoc_${label}_${digest}`.slice(0, 63), text });
}

/**
 * Sends the statement on the transaction's own connection, or on one of the pool where the manager has none, *named*: it
 * is parsed and planned once per connection, 1.4–1.65 times as fast as `manager.query` (performance.md §2). Values are
 * read by an own table of types, so a consumer's parsers on the pg module change no result.
 */
export async function run<Row>(
  manager: DriverManager,
  { name, text }: Statement<Row>,
  values: readonly unknown[],
): Promise<readonly Row[]> {
  return withClient(manager, (client, prepared) =>
    prepared && name !== null && takesName(client, name)
      ? sendNamed<Row>(client, { name, text, values })
      : sendOnce<Row>(client, { text, values }),
  );
}

/** Its members are spelled out: pg copies a query by its members' descriptors, and one that was spread takes a third of a small read. */
async function sendNamed<Row>(
  client: PgClient,
  { name, text, values }: { readonly name: string; readonly text: string; readonly values: readonly unknown[] },
): Promise<readonly Row[]> {
  try {
    return (await client.query<Row>({ name, text, values: [...values], types: COLUMN_TYPES })).rows;
  } catch (error) {
    // A migration changed the columns under the prepared statement: this connection would refuse it for ever.
    if (isStalePlan(error)) staleOf(client).add(name);
    throw error;
  }
}

async function sendOnce<Row>(
  client: PgClient,
  { text, values }: { readonly text: string; readonly values: readonly unknown[] },
): Promise<readonly Row[]> {
  return (await client.query<Row>({ text, values: [...values], types: COLUMN_TYPES })).rows;
}

/** The statement's one row; null for none. */
export async function runOne<Row>(
  manager: DriverManager,
  sql: Statement<Row>,
  values: readonly unknown[],
): Promise<Row | null> {
  return (await run(manager, sql, values))[0] ?? null;
}

/** The pg client under the manager, for what only a client can do (COPY). Inside a transaction it is the transaction's. */
export async function withClient<T>(
  manager: DriverManager,
  work: (client: PgClient, prepared: boolean) => Promise<T>,
): Promise<T> {
  const extra = (manager.connection.options as { extra?: Readonly<Record<string, unknown>> }).extra;
  const prepared = extra?.[PREPARED_STATEMENTS_OPTION] !== false;
  const own = manager.queryRunner;
  if (own?.isReleased === true) throw await releasedError(own);
  if (own !== undefined) return work(await clientOf(own), prepared);
  const [client, release] = await borrow(manager);
  try {
    return await work(watch(client), prepared);
  } finally {
    await release();
  }
}

/** TypeORM's own way to the pool, without the query runner around it: a third of what a small read costs the client. */
interface Pooled {
  obtainMasterConnection(): Promise<[client: PgClient, release: (error?: Error) => void]>;
}

const isPooled = (driver: object): driver is Pooled =>
  typeof Reflect.get(driver, 'obtainMasterConnection') === 'function';

async function borrow({ connection }: DriverManager): Promise<readonly [PgClient, () => void | Promise<void>]> {
  const driver: object = connection.driver;
  if (!isPooled(driver)) {
    const runner = connection.createQueryRunner();
    return [await clientOf(runner), () => runner.release()];
  }
  const [client, release] = await driver.obtainMasterConnection();
  return [client, () => release(broken.has(client) ? new Error('the connection broke') : undefined)];
}

/**
 * A released runner still knows its client, which by now may be in somebody else's transaction. TypeORM also releases a
 * runner whose connection broke: then it is the connection that failed, and not the caller.
 */
async function releasedError(runner: QueryRunner): Promise<HocError> {
  const client = await clientOf(runner);
  if (broken.has(client) || client.connection.stream.destroyed)
    return new UnavailableError('the connection to the database failed', {
      retryable: true,
      details: { reason: 'connection' },
    });
  return new TransactionRequiredError('the unit of work of this manager has ended: a promise of it was not awaited');
}

const broken = new WeakSet<object>();
const watched = new WeakSet<object>();

/** pg says an idle connection's end as an event, and nowhere else. */
function watch(client: PgClient): PgClient {
  if (!watched.has(client)) {
    watched.add(client);
    client.on('error', () => broken.add(client));
  }
  return client;
}

/** TypeORM types the connection as `any`; for PostgreSQL it is the pg client. */
async function clientOf(runner: QueryRunner): Promise<PgClient> {
  const client: PgClient = await runner.connect();
  return watch(client);
}

const namesOf = new WeakMap<object, Set<string>>();

const stale = new WeakMap<object, Set<string>>();

function staleOf(client: PgClient): Set<string> {
  let names = stale.get(client);
  if (names === undefined) stale.set(client, (names = new Set()));
  return names;
}

function takesName(client: PgClient, name: string): boolean {
  if (stale.get(client)?.has(name) === true) return false;
  let names = namesOf.get(client);
  if (names === undefined) namesOf.set(client, (names = new Set()));
  if (names.has(name)) return true;
  if (names.size >= NAMES_PER_CONNECTION) return false;
  names.add(name);
  return true;
}

/** pg asks this for each column of a result; its own table is global and a consumer may have changed it. */
const COLUMN_TYPES = {
  getTypeParser: (oid: number): ((text: string) => unknown) => {
    let parser = parsers.get(oid);
    if (parser === undefined) parsers.set(oid, (parser = (text) => readColumn(oid, text)));
    return parser;
  },
};
const parsers = new Map<number, (text: string) => unknown>();
