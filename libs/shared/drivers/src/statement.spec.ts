import { types } from 'pg';
import { DataIntegrityError } from '@hoc/shared/kernel';
import { entities, migrations } from '@hoc/shared/models';
import { killBackend, useFreshDatabase, waitFor } from '@hoc/testkit';
import { readInstant } from './column-types';
import { guarded } from './guarded';
import { run, runOne, statement } from './statement';

const db = useFreshDatabase({ entities, migrations });
const ALL = statement<Record<string, unknown>>(
  'all_types',
  `SELECT true AS b, 7::smallint AS i2, 8 AS i4, 9007199254740993::bigint AS i8, 1.5::float8 AS f8, 12.500000::numeric AS n,
          '2026-03-10'::date AS d, '2026-03-10 12:00:00.123456+00'::timestamptz AS t, '{"a":[1,null]}'::jsonb AS j,
          ARRAY['a','b "c"',NULL,'NULL','','x,y'] AS l, NULL::int AS nothing, 'text' AS s`,
);
const EXPECTED = {
  b: true,
  i2: 7,
  i4: 8,
  i8: '9007199254740993',
  f8: 1.5,
  n: '12.500000',
  d: '2026-03-10',
  t: new Date('2026-03-10T12:00:00.123Z'),
  j: { a: [1, null] },
  l: ['a', 'b "c"', null, 'NULL', '', 'x,y'],
  nothing: null,
  s: 'text',
};
const prepared = async (source = db.dataSource()): Promise<string[]> => {
  const rows: { name: string }[] = await source.transaction(async (m) => {
    await run(m, ALL, []);
    return m.query("SELECT name FROM pg_prepared_statements WHERE name LIKE 'hoc%'");
  });
  return rows.map(({ name }) => name);
};

describe('run', () => {
  it('sends a named statement that the connection keeps', async () => {
    expect(await prepared()).toEqual([ALL.name]);
    expect(ALL.name).toMatch(/^hoc_all_types_[0-9a-f]{12}$/);
  });

  it('sends it unnamed behind a transaction pooler', async () => {
    const [source] = await db.connections(1, { hocPreparedStatements: false });
    expect(await prepared(source)).toEqual([]);
    expect(await runOne(source!.manager, ALL, [])).toEqual(EXPECTED);
  });

  it('reads columns the same way whatever the pg module was told, and in whatever zone', async () => {
    const before = [20, 1700, 1184, 1082, 3802].map((oid) => [oid, types.getTypeParser(oid)] as const);
    for (const [oid] of before) types.setTypeParser(oid, () => 'changed');
    try {
      for (const zone of ['UTC', 'Asia/Kolkata', 'Pacific/Apia', 'America/St_Johns'])
        await db.dataSource().transaction(async (m) => {
          await m.query(`SET LOCAL TIME ZONE '${zone}'`);
          expect(await runOne(m, ALL, [])).toEqual(EXPECTED);
        });
    } finally {
      for (const [oid, parser] of before) types.setTypeParser(oid, parser);
    }
  });

  it('works on a manager without a transaction, and gives its connection back', async () => {
    for (let i = 0; i < 25; i += 1) expect(await run(db.dataSource().manager, ALL, [])).toEqual([EXPECTED]);
    expect(await runOne(db.dataSource().manager, statement('none', 'SELECT 1 WHERE false'), [])).toBeNull();
  });
});

it('a connection that breaks under a read outside a transaction is not given to the next one', async () => {
  const [source] = await db.connections(1, { max: 1 });
  const { manager } = source!;
  const broken = guarded(() => run(manager, statement('sleeps', 'SELECT pg_sleep(600)'), [])).catch((e: unknown) => e);
  const pids = (): Promise<{ pid: number }[]> =>
    db
      .dataSource()
      .query(
        `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query = 'SELECT pg_sleep(600)' AND state = 'active'`,
      );
  await waitFor(async () => (await pids()).length === 1, 'the read runs');
  for (const { pid } of await pids()) await killBackend(pid);
  expect(await broken).toMatchObject({ code: 'UNAVAILABLE', retryable: true });
  expect(await run(manager, ALL, [])).toEqual([EXPECTED]);
});

describe('a table that is changed under a prepared statement', () => {
  const LOOK = statement<{ readonly name: string }>('look', 'SELECT * FROM changing');
  it('is a retryable error once on each connection, and works from then on', async () => {
    const [source] = await db.connections(1, { max: 1 });
    const { manager } = source!;
    await manager.query('CREATE TABLE changing (name text)');
    await manager.query(`INSERT INTO changing VALUES ('a')`);
    expect(await run(manager, LOOK, [])).toEqual([{ name: 'a' }]);
    await db.dataSource().query('ALTER TABLE changing ADD COLUMN more text');
    await expect(guarded(() => run(manager, LOOK, []))).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      retryable: true,
      details: { reason: 'stale_plan' },
    });
    for (let n = 0; n < 2; n += 1) expect(await run(manager, LOOK, [])).toEqual([{ name: 'a', more: null }]);
    await db.dataSource().query('DROP TABLE changing');
  });
});

describe('readInstant', () => {
  it.each([
    ['2026-03-10 12:00:00+00', '2026-03-10T12:00:00.000Z'],
    ['2026-03-10 17:30:00.5+05:30', '2026-03-10T12:00:00.500Z'],
    ['2026-03-10 08:30:00.123456-03:30', '2026-03-10T12:00:00.123Z'],
    ['0001-01-01 00:00:00+00', '0001-01-01T00:00:00.000Z'],
    ['1847-01-01 00:00:00-00:01:15', '1847-01-01T00:01:15.000Z'],
  ])('%s', (text, expected) => expect(readInstant(text).toISOString()).toBe(expected));
  it.each(['infinity', '-infinity', '0044-03-15 00:00:00+00 BC', 'Tue Mar 10 12:00:00 2026 UTC', ''])(
    'refuses %p',
    (text) => {
      expect(() => readInstant(text)).toThrow(DataIntegrityError);
    },
  );
});
