import type { Client, Pool, PoolClient } from 'pg';
import type { DataSource, EntityManager } from 'typeorm';

/** A statement as it reached the connection. */
export interface SentStatement {
  readonly text: string;
  readonly values: readonly unknown[];
  readonly name: string | undefined;
}

/** What went over the connections of a `DataSource` since `reset()`. */
export interface StatementCounter {
  /** Without BEGIN, COMMIT, ROLLBACK, SAVEPOINT, RELEASE and SET TRANSACTION; any other SET is a round trip like the rest. */
  readonly count: () => number;
  readonly statements: () => readonly SentStatement[];
  readonly all: () => readonly SentStatement[];
  readonly reset: () => void;
}

const CONTROL = /^\s*(BEGIN|START TRANSACTION|COMMIT|ROLLBACK|SAVEPOINT|RELEASE|SET TRANSACTION)\b/i;
const watched = new WeakMap<object, SentStatement[][]>();

/** Counts at the pg client, so that named statements, COPY and TypeORM's own are all seen. */
export function statementCounter(source: DataSource): StatementCounter {
  const sent: SentStatement[] = [];
  const pool = poolOf(source);
  listenersOf(pool).add(sent);
  for (const client of idleClients(pool)) listen(client, sent);
  const counted = (): readonly SentStatement[] => sent.filter(({ text }) => !CONTROL.test(text));
  return {
    count: () => counted().length,
    statements: counted,
    all: () => sent,
    reset: () => {
      sent.length = 0;
    },
  };
}

/** The statements that `work` sends: on the manager's own connection, or on any of a `DataSource`. */
export async function captureStatements(
  on: EntityManager | DataSource,
  work: () => Promise<unknown>,
): Promise<readonly SentStatement[]> {
  if ('driver' in on) {
    const counter = statementCounter(on);
    await work();
    return [...counter.statements()];
  }
  const sent: SentStatement[] = [];
  const client: unknown = await on.queryRunner?.connect();
  if (typeof client !== 'object' || client === null)
    throw new Error('captureStatements needs a manager with a connection');
  listen(client as Client, sent);
  await work();
  return [...sent].filter(({ text }) => !CONTROL.test(text));
}

const pools = new WeakMap<object, Set<SentStatement[]>>();

/** One pair of handlers per pool, however many counters there are. */
function listenersOf(pool: Pool): Set<SentStatement[]> {
  const known = pools.get(pool);
  if (known) return known;
  const made = new Set<SentStatement[]>();
  pools.set(pool, made);
  const watch = (client: PoolClient): void => made.forEach((sent) => listen(client, sent));
  pool.on('connect', watch);
  pool.on('acquire', watch);
  return made;
}

function listen(client: Pick<Client, 'query'>, sent: SentStatement[]): void {
  const listeners = watched.get(client);
  if (listeners) {
    if (!listeners.includes(sent)) listeners.push(sent);
    return;
  }
  const mine = [sent];
  watched.set(client, mine);
  const original = client.query.bind(client) as (...args: unknown[]) => unknown;
  const counting = (...args: unknown[]): unknown => {
    const statement = asStatement(args);
    for (const listener of mine) listener.push(statement);
    return original(...args);
  };
  Object.defineProperty(client, 'query', { value: counting, configurable: true, writable: true });
}

function asStatement([first, second]: readonly unknown[]): SentStatement {
  if (typeof first === 'string') return { text: first, values: Array.isArray(second) ? second : [], name: undefined };
  const config = first as { text?: string; values?: unknown[]; name?: string };
  return {
    text: config.text ?? String(first),
    values: config.values ?? (Array.isArray(second) ? second : []),
    name: config.name,
  };
}

function poolOf(source: DataSource): Pool {
  return (source.driver as unknown as { master: Pool }).master; // the pool is not in TypeORM's public types
}

function idleClients(pool: Pool): readonly PoolClient[] {
  const idle = (pool as unknown as { _clients?: PoolClient[] })._clients; // pg keeps its open clients here, and nowhere public
  return idle ?? [];
}
