import type { JsonValue } from '@hoc/shared/kernel';
import { useDatabase } from '@hoc/testkit';
import fc from 'fast-check';
import { jsonbBytes } from '../stored-json.rules';
import { assertDetails } from './records.rules';

const db = useDatabase({ entities: [], migrations: [] });

async function printed(value: JsonValue): Promise<number | undefined> {
  const rows: { n: number }[] = await db
    .manager()
    .query('SELECT octet_length($1::jsonb::text) AS n', [JSON.stringify(value)]);
  return rows[0]?.n;
}

it.each([
  [{}],
  [{ a: [], b: {} }],
  [{ a: 1e308, b: -1.5e300, c: 5e-324, d: -1.25e-7, e: 1e21, f: 0.000001, g: 123456789012345680000 }],
  [{ 'é"\n\u0001': ['\u007f', '🛑', true, null, [[1, 2], { x: 'a, b: c' }]] }],
])('counts what PostgreSQL prints of %j', async (value) => {
  expect(jsonbBytes(value)).toBe(await printed(value));
});

it('counts what PostgreSQL prints of any JSON', () => {
  const text = fc.string({ unit: 'grapheme' }).filter((value) => !value.includes('\0'));
  const { tree } = fc.letrec<{ tree: JsonValue }>((tie) => ({
    tree: fc.oneof(
      { maxDepth: 4 },
      fc.oneof(
        fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => (value === 0 ? 0 : value)),
        fc.integer(),
        fc.boolean(),
        fc.constant(null),
        text,
      ),
      fc.array(tie('tree')),
      fc.dictionary(
        text.filter((key) => key !== '__proto__'),
        tie('tree'),
      ),
    ),
  }));
  return fc.assert(
    fc.asyncProperty(tree, async (value) => {
      expect(jsonbBytes(value)).toBe(await printed(value));
    }),
    { numRuns: 200 },
  );
});

it('takes 64 KiB as they are stored, and not a byte more', () => {
  // As stored: `{"list": [0, 0, …]}`
  const list = (n: number): object => ({ list: Array.from({ length: n }, () => 0), rest: '' });
  const most = (65_536 - JSON.stringify({ list: [], rest: '' }).length - 3 + 2) / 3;
  expect(assertDetails(list(Math.floor(most)))).toEqual(list(Math.floor(most)));
  expect(() => assertDetails(list(Math.floor(most) + 1))).toThrow(
    expect.objectContaining({ code: 'INVALID_ARGUMENT', details: { field: 'details', reason: 'size' } }),
  );
});
