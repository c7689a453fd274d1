import {
  compareDecimal,
  encodeCursor,
  type HocError,
  type Page,
  type PageRequest,
  toDecimalString,
} from '@hoc/shared/kernel';
import { entities, migrations } from '@hoc/shared/models';
import { explain, useDatabase } from '@hoc/testkit';
import fc from 'fast-check';
import { keysetPage, keysetRequest, type KeysetList, type PositionType } from './keyset';
import { run, statement } from './statement';

const db = useDatabase({ entities, migrations });

interface Row {
  readonly id: string;
  readonly position: string | null;
}
type Direction = 'asc' | 'desc';

/** Sort keys of every type: the SQL of the key, its position as text, and NULL's place as a value. */
const KEYS = {
  at: {
    type: 'instant',
    sql: `COALESCE(at, '-infinity')`,
    cast: 'timestamptz',
    null: '-infinity',
    text: isoMicros('at'),
  },
  n: { type: 'integer', sql: 'n', cast: 'bigint', null: null, text: 'n::text' },
  amount: { type: 'decimal', sql: 'amount', cast: 'numeric', null: null, text: 'amount::text' },
  name: { type: 'text', sql: 'name', cast: 'text', null: null, text: 'name' },
} as const;
type Key = keyof typeof KEYS;

const listOf = (key: Key, direction: Direction): KeysetList => ({
  kind: 'rows',
  fingerprint: `${key} ${direction}`,
  positions: [KEYS[key].type, 'text'],
});

async function page(key: Key, direction: Direction, request: PageRequest): Promise<Page<string>> {
  const list = listOf(key, direction);
  const { limit, after } = keysetRequest(list, request);
  const { sql, cast, text, null: nothing } = KEYS[key];
  const [comparison, order] = direction === 'asc' ? ['>', 'ASC'] : ['<', 'DESC'];
  const where = after === null ? '' : `WHERE (${sql}, id) ${comparison} ($2::${cast}, $3::text)`;
  const query = statement<Row>(
    'page',
    `SELECT id, ${text} AS position FROM keyset_rows ${where} ORDER BY ${sql} ${order}, id ${order} LIMIT $1`,
  );
  const bound = after === null ? [] : [after[0] ?? nothing, after[1]];
  const rows = await run(db.manager(), query, [limit + 1, ...bound]);
  return keysetPage(list, { limit, after }, rows, { item: (row) => row.id, position: (row) => [row.position, row.id] });
}

async function walk(key: Key, direction: Direction, limit: number): Promise<readonly string[]> {
  const seen: string[] = [];
  let cursor: string | undefined;
  do {
    const { items, nextCursor }: Page<string> = await page(key, direction, {
      limit,
      ...(cursor === undefined ? {} : { cursor }),
    });
    expect(items.length === limit || nextCursor === null).toBe(true);
    seen.push(...items);
    cursor = nextCursor ?? undefined;
  } while (cursor !== undefined);
  return seen;
}

const create = (): Promise<unknown> =>
  db
    .manager()
    .query(
      'CREATE TEMP TABLE keyset_rows (id text COLLATE "C" PRIMARY KEY, at timestamptz, n bigint, amount numeric, name text COLLATE "C") ON COMMIT DROP',
    );
const fill = (rows: readonly Item[]): Promise<unknown> =>
  db
    .manager()
    .query(
      `INSERT INTO keyset_rows SELECT * FROM jsonb_to_recordset($1) AS r(id text, at timestamptz, n bigint, amount numeric, name text)`,
      [JSON.stringify(rows)],
    );

interface Item {
  readonly id: string;
  readonly at: string | null;
  readonly n: number;
  readonly amount: string;
  readonly name: string;
}

const item: fc.Arbitrary<Omit<Item, 'id'>> = fc.record({
  // Microseconds that a Date can't tell apart, and none.
  at: fc.constantFrom(null, ...['0', '1', '999', '1000'].map((us) => `2026-03-10T12:00:00.${us.padStart(6, '0')}Z`)),
  n: fc.constantFrom(-(2 ** 40), -1, 0, 2, 10, 999_999_999_999_999),
  amount: fc.constantFrom('-1.5', '0', '0.000001', '2', '10', '99999999999999.999999'),
  name: fc.constantFrom('a', 'B', 'ä', 'Z', '\uffff', '\u{1f600}', "o'x", 'a b'),
});
const items = fc
  .array(item, { maxLength: 25 })
  .map((rows) => rows.map((row, n) => ({ ...row, id: `id-${(n * 7) % 26}` })));

const byBytes = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));
const COMPARE: Readonly<Record<Key, (a: Item, b: Item) => number>> = {
  at: (a, b) => byBytes(a.at ?? '', b.at ?? ''),
  n: (a, b) => a.n - b.n,
  amount: (a, b) => compareDecimal(toDecimalString(a.amount), toDecimalString(b.amount)),
  name: (a, b) => byBytes(a.name, b.name),
};

describe.each(Object.keys(KEYS) as Key[])('law 1: pages by %s', (key) => {
  it.each<Direction>(['asc', 'desc'])(
    '%s: all pages together are the whole list in its order, nothing twice',
    async (direction) => {
      await create();
      await fc.assert(
        fc.asyncProperty(items, fc.integer({ min: 1, max: 7 }), async (rows, limit) => {
          await db.manager().query('TRUNCATE keyset_rows');
          await fill(rows);
          const sorted = [...rows].sort((a, b) => COMPARE[key](a, b) || byBytes(a.id, b.id)).map(({ id }) => id);
          expect(await walk(key, direction, limit)).toEqual(direction === 'asc' ? sorted : sorted.reverse());
        }),
        { numRuns: 50 },
      );
    },
  );
});

describe('keysetPage', () => {
  const list = listOf('n', 'desc');
  const read = { item: (row: Row) => row.id, position: (row: Row) => [row.position, row.id] };
  const rows = (count: number): readonly Row[] =>
    Array.from({ length: count }, (_, n) => ({ id: `i${n}`, position: `${n}` }));

  it.each([
    [0, []],
    [1, ['i0']],
    [2, ['i0', 'i1']],
  ])('%d rows of a limit of 2 are the last page', (count, ids) => {
    expect(keysetPage(list, { limit: 2, after: null }, rows(count), read)).toEqual({ items: ids, nextCursor: null });
  });

  it('one row more than the limit: the cursor is the last shown one’s position, and leads behind it', () => {
    const { items: shown, nextCursor } = keysetPage(list, { limit: 2, after: null }, rows(3), read);
    expect(shown).toEqual(['i0', 'i1']);
    expect(keysetRequest(list, { limit: 5, cursor: nextCursor ?? '' })).toEqual({ limit: 5, after: ['1', 'i1'] });
  });

  it('is frozen', () => {
    const made = keysetPage(list, { limit: 2, after: null }, rows(3), read);
    expect([Object.isFrozen(made), Object.isFrozen(made.items)]).toEqual([true, true]);
  });
});

describe('keysetRequest', () => {
  const list = (...positions: readonly PositionType[]): KeysetList => ({ kind: 'rows', fingerprint: 'f', positions });
  const ask = (positions: readonly PositionType[], after: readonly (string | null)[]) =>
    keysetRequest(list(...positions), { cursor: encodeCursor('rows', 'f', after) }).after;
  const refused = (work: () => unknown): unknown => {
    try {
      return work();
    } catch (error) {
      const { code, details } = error as HocError;
      return [code, details['reason']];
    }
  };
  const NONE = ['INVALID_ARGUMENT', 'cursor'];

  it('the limit is 50 by default, or the list’s own', () => {
    expect(keysetRequest(list('text'), {})).toEqual({ limit: 50, after: null });
    expect(keysetRequest({ ...list('text'), defaultLimit: 10 }, {})).toEqual({ limit: 10, after: null });
    expect(keysetRequest({ ...list('text'), defaultLimit: 10 }, { limit: 200 }).limit).toBe(200);
  });

  it.each([0, 201, 1.5, Number.NaN, -1, '50'])('G.4: no limit of %p', (limit) => {
    expect(() => keysetRequest(list('text'), { limit: limit as number })).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
    );
  });

  it.each<readonly [PositionType, readonly string[]]>([
    ['instant', ['2026-03-10T12:00:00.000001Z', '0001-01-01T00:00:00.000000Z', '2024-02-29T23:59:59.999999Z']],
    ['integer', ['0', '-1', '999999999999999999']],
    ['decimal', ['0', '-1.5', '99999999999999.999999']],
    ['text', ['x', "'; DROP TABLE runs; --", 'ü'.repeat(255), '\u{1f600}'.repeat(255)]],
  ])('%s: takes what the list wrote', (type, values) => {
    for (const value of values) expect(ask([type, 'text'], [value, 'id'])).toEqual([value, 'id']);
  });

  it.each<readonly [PositionType, readonly string[]]>([
    ['instant', ['', 'now', 'infinity', '2026-03-10', '2026-03-10T12:00:00Z', '2026-03-10T12:00:00.000Z']],
    ['instant', ['2026-02-29T00:00:00.000000Z', '2026-04-31T00:00:00.000000Z', '0000-01-01T00:00:00.000000Z']],
    ['instant', ['2026-03-10T24:00:00.000000Z', '2026-03-10T12:00:60.000000Z', '2026-03-10T12:00:00.000000+01']],
    ['integer', ['', '1.0', '1e3', '+1', ' 1', '9'.repeat(19), '0x1', 'NaN', '1_0']],
    ['decimal', ['', '.5', '1.', '1e3', 'NaN', 'Infinity', '9'.repeat(41), '--1', '1,5']],
    ['text', ['', 'a\nb', 'a\u0000', '\u0085', 'x'.repeat(256)]],
  ])('%s: refuses what it never wrote, before any SQL: %j', (type, values) => {
    for (const value of values)
      expect([value, refused(() => ask([type, 'text'], [value, 'id']))]).toEqual([value, NONE]);
  });

  it('null stands for no value, but the unique last key always has one', () => {
    expect(ask(['instant', 'text'], [null, 'id'])).toEqual([null, 'id']);
    expect(refused(() => ask(['instant', 'text'], ['2026-03-10T12:00:00.000001Z', null]))).toEqual(NONE);
  });

  it('a cursor of another list is none of this', () => {
    const other = [
      encodeCursor('other', 'f', ['1', 'id']),
      encodeCursor('rows', 'g', ['1', 'id']),
      encodeCursor('rows', 'f', ['1']),
      encodeCursor('rows', 'f', ['1', 'id', 'id']),
      `${encodeCursor('rows', 'f', ['1', 'id'])}=`,
      Buffer.from('{"v":2,"k":"rows","f":"f","p":["1","id"]}').toString('base64url'),
      Buffer.from('{"f":"f","k":"rows","p":["\\ud83d","id"],"v":1}').toString('base64url'),
      ...['', 'abc', 'x'.repeat(5000)],
    ];
    for (const cursor of other)
      expect([cursor, refused(() => keysetRequest(list('integer', 'text'), { cursor }))]).toEqual([cursor, NONE]);
  });

  it('law: what is taken, PostgreSQL reads: a cursor never fails a statement', async () => {
    const digits = fc.stringMatching(/^-?\d{1,19}(\.\d{1,6})?$/);
    const instant = fc
      .tuple(fc.integer({ min: 0, max: 9999 }), fc.nat(13), fc.nat(32), fc.nat(24), fc.nat(60), fc.nat(999_999))
      .map(([y, m, d, h, s, us]) => {
        const two = (n: number): string => String(n).padStart(2, '0');
        return `${String(y).padStart(4, '0')}-${two(m)}-${two(d)}T${two(h)}:59:${two(s)}.${String(us).padStart(6, '0')}Z`;
      });
    const casts = { instant: 'timestamptz', integer: 'bigint', decimal: 'numeric', text: 'text' } as const;
    const type = fc.constantFrom<PositionType>('instant', 'integer', 'decimal', 'text');
    let taken = 0;
    await fc.assert(
      fc.asyncProperty(
        type,
        fc.oneof(digits, instant, fc.string({ unit: 'binary', maxLength: 6 })),
        async (as, value) => {
          const after = refused(() => ask([as, 'text'], [value, 'id']));
          if ((after as readonly unknown[])[0] === 'INVALID_ARGUMENT') return;
          taken += 1;
          await db.manager().query(`SELECT $1::${casts[as]}`, [value]);
        },
      ),
      { numRuns: 1000 },
    );
    expect(taken).toBeGreaterThan(50);
  });
});

it('the row comparison is an index condition: page 40 reads what page 1 does', async () => {
  await db
    .manager()
    .query('CREATE TEMP TABLE keyset_plan (n bigint, id text COLLATE "C", PRIMARY KEY (n, id)) ON COMMIT DROP');
  await db.manager().query(`INSERT INTO keyset_plan SELECT i / 3, 'id-' || i FROM generate_series(1, 20000) AS i`);
  await db.manager().query('ANALYZE keyset_plan');
  for (const [comparison, order] of [
    ['>', 'ASC'],
    ['<', 'DESC'],
  ]) {
    const sql = `SELECT id FROM keyset_plan WHERE (n, id) ${comparison} ($1::bigint, $2::text) ORDER BY n ${order}, id ${order} LIMIT 51`;
    const plan = JSON.stringify(await explain(db.manager(), sql, ['3000', 'id-9000']));
    expect(plan).toMatch(/"Index Cond":"[^"]*ROW\(n, id\)/);
    expect(plan).not.toContain('"Sort"');
  }
});

/** As the drivers write an instant into a cursor. */
function isoMicros(column: string): string {
  return `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;
}
