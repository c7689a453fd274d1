import { entities, migrations } from '@hoc/shared/models';
import { useDatabase } from '@hoc/testkit';
import fc from 'fast-check';
import { run, statement } from './statement';
import { chunksOf, compareBytes, toColumns } from './unnest';

const db = useDatabase({ entities, migrations });

const text = fc.string({ unit: 'binary', maxLength: 12 }).filter((value) => !value.includes('\0'));
const special = fc.string({ unit: fc.constantFrom('"', '\\', '{', '}', ',', "'", ' ', '\n', 'N', 'ü', '\u{1f600}') });

describe('toColumns', () => {
  const ECHO = statement<{ readonly texts: readonly (string | null)[]; readonly numbers: readonly string[] }>(
    'echo',
    `SELECT array_agg(t ORDER BY n) AS texts, array_agg(b::text ORDER BY n) AS numbers
     FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS u(t, b, n)`,
  );

  it('law: PostgreSQL reads back what was bound, whatever the texts hold', async () => {
    const value = fc.oneof(text, special, fc.constantFrom(null, '', 'NULL', 'null', '{}', '""', '\\'));
    const item = fc.record({ value, number: fc.maxSafeInteger() });
    await fc.assert(
      fc.asyncProperty(fc.array(item, { minLength: 1, maxLength: 30 }), async (items) => {
        const columns = toColumns(items, [(each) => each.value, (each) => each.number]);
        const [row] = await run(db.dataSource().manager, ECHO, columns);
        expect(row?.texts).toEqual(items.map((each) => each.value));
        expect(row?.numbers).toEqual(items.map((each) => String(each.number)));
      }),
      { numRuns: 100 },
    );
  });

  it('half a surrogate pair stays what it is: JSON would spell it out', () => {
    expect(toColumns(['"\ud800', '"\u{1f600}'], [(each) => each])).toEqual(['{"\\"\ud800","\\"\u{1f600}"}']);
  });

  it('no items are empty arrays', () => {
    expect(toColumns([], [() => 'x', () => 1])).toEqual(['{}', '{}']);
  });
});

describe('compareBytes', () => {
  it('law: the order of the UTF-8 bytes', () => {
    const edges = fc.string({ unit: fc.constantFrom('a', '\ud7ff', '\ue000', '\uffff', '\u{10000}', '\u{10ffff}') });
    const any = fc.oneof(text, edges);
    fc.assert(
      fc.property(any, any, (a, b) => {
        expect(Math.sign(compareBytes(a, b))).toBe(Buffer.compare(Buffer.from(a, 'utf8'), Buffer.from(b, 'utf8')));
      }),
      { numRuns: 1000 },
    );
  });
});

describe('chunksOf', () => {
  it('cuts in order, the last piece shorter', () => {
    expect(chunksOf([1, 2, 3, 4, 5], 2)).toEqual([[1, 2], [3, 4], [5]]);
    expect(chunksOf([], 2)).toEqual([]);
  });
});
