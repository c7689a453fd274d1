import { Client } from 'pg';
import {
  asAdmin,
  assertNoSession,
  databaseUrl,
  insertRows,
  useDatabase,
  useEmptyDatabase,
  useFreshDatabase,
} from './index';
import { cloneDatabase, dropDatabase } from './databases';
import { widgets } from './widgets';

const maker = { table: 'makers', row: { id: 'm' } };
const count = 'SELECT count(*)::int AS n FROM makers';

describe('useDatabase', () => {
  const db = useDatabase(widgets);

  it.each([1, 2])('undoes what a test wrote (round %i)', async () => {
    await expect(db.manager().query(count)).resolves.toEqual([{ n: 0 }]);
    await insertRows(db.manager(), maker);
    await expect(db.manager().query(count)).resolves.toEqual([{ n: 1 }]);
    await expect(db.dataSource().query(count)).resolves.toEqual([{ n: 0 }]);
  });

  it('has the session settings of the project', async () => {
    const rows: unknown = await db
      .manager()
      .query(
        `SELECT current_setting('TimeZone') AS zone, current_setting('statement_timeout') AS statement, current_setting('application_name') AS name`,
      );
    expect(rows).toEqual([{ zone: 'UTC', statement: '1min', name: 'hoc-test' }]);
  });

  it('ends a test that ended its transaction by an error', async () => {
    await expect(db.manager().query('SELECT 1 / 0')).rejects.toThrow();
  });

  it('is in order after that', async () => {
    await expect(db.manager().query(count)).resolves.toEqual([{ n: 0 }]);
  });
});

describe('useFreshDatabase', () => {
  const db = useFreshDatabase(widgets);

  it.each([1, 2])('commits, over several connections, and is empty again for the next test (round %i)', async () => {
    const [one, two] = await db.connections(2);
    await expect(two?.query(count)).resolves.toEqual([{ n: 0 }]);
    await one?.query(`INSERT INTO makers VALUES ('m')`);
    await one?.query(`INSERT INTO widgets VALUES ('w', 'm', 1)`);
    await expect(two?.query(count)).resolves.toEqual([{ n: 1 }]);
  });
});

describe('useEmptyDatabase', () => {
  const db = useEmptyDatabase(widgets);

  it('has no table until its migrations run', async () => {
    const tables = `SELECT count(*)::int AS n FROM pg_tables WHERE schemaname = 'public'`;
    await expect(db.dataSource().query(tables)).resolves.toEqual([{ n: 0 }]);
    await db.dataSource().runMigrations();
    await expect(db.dataSource().query(count)).resolves.toEqual([{ n: 0 }]);
  });
});

describe('assertNoSession', () => {
  let name = '';
  beforeAll(async () => {
    name = await cloneDatabase(widgets, 'f');
  });
  afterAll(() => dropDatabase(name));

  it('fails while a connection is open and passes when it is closed', async () => {
    const client = new Client({ connectionString: databaseUrl(name) });
    await client.connect();
    await expect(assertNoSession(name, 200)).rejects.toThrow(`1 connection(s) left open in ${name}`);
    await client.end();
    await expect(assertNoSession(name)).resolves.toBeUndefined();
  });
});

describe('cloneDatabase', () => {
  it('builds one template however many ask at once, and leaves no draft', async () => {
    const names = await Promise.all([1, 2, 3].map(() => cloneDatabase(widgets, 'f')));
    expect(new Set(names).size).toBe(3);
    // Its own draft alone: the other worker may be building a template of its own just now.
    const template = (names[0] ?? '').replace(/^hoc_f_/, 'hoc_t_').replace(/_[^_]+$/, '');
    const { rows } = await asAdmin((client) =>
      client.query('SELECT datname AS name FROM pg_database WHERE starts_with(datname, $1)', [template]),
    );
    expect(rows).toEqual([{ name: template }]);
    await Promise.all(names.map(dropDatabase));
  });
});
