import { InvalidArgumentError, type JsonObject } from '@hoc/shared/kernel';
import fc from 'fast-check';
import { azureCallId, EqualLines, jsonLineCallId } from './call-id.engine';

const DATASET = 'azure-conv-2023';
const RECORD: JsonObject = {
  tenant_id: 't-a',
  integration_id: 'int-1',
  provider: 'openai',
  model: 'gpt-4o',
  tokens_in: 1200,
  tokens_out: 350,
  latency_ms: 812,
  status: 'ok',
};

it.each([
  ['F61', '2023-11-16 18:15:46.6805900', 374, 44, 0, '19b44d2180ad726a3e21bb98234f723834abf4e2'],
  ['F62', '2023-11-16 18:15:50.9951690', 396, 109, 0, '1e8b9776fff3b81250b7ffab8303b7b28d2b9c8f'],
  ['F63', '2023-11-16 18:15:51.3910170', 91, 16, 0, '55d387a6871c63cbf7aafb0a31c57ad74c2d2132'],
  ['F63, its equal', '2023-11-16 18:15:51.3910170', 91, 16, 1, 'b62413f8a806d139e443db5abbab74781b5b4548'],
] as const)('%s: %s,%d,%d (%d)', (_, timestamp, tokensIn, tokensOut, ordinal, hash) => {
  expect(azureCallId(DATASET, timestamp, tokensIn, tokensOut, ordinal)).toBe(`aztr-${hash}`);
});

it('F67: a JSON line, whatever the order of its keys', () => {
  const id = 'jsnl-148bfbd87d6145ac5c3e505831a163af2e872412';
  expect(jsonLineCallId('nov-export', RECORD, 0)).toBe(id);
  expect(jsonLineCallId('nov-export', Object.fromEntries(Object.entries(RECORD).reverse()), 0)).toBe(id);
  expect(jsonLineCallId('nov-export', RECORD, 1)).not.toBe(id);
  expect(jsonLineCallId('dec-export', RECORD, 0)).not.toBe(id);
});

it('law: another dataset, line or ordinal is another call', () => {
  const line = fc.tuple(
    fc.stringMatching(/^[A-Za-z0-9._-]{1,12}$/),
    fc.constantFrom('2023-11-16 18:15:46', '2023-11-16 18:15:46.0', '2023-11-16T18:15:46'),
    fc.nat(12),
    fc.nat(12),
    fc.nat(12),
  );
  fc.assert(
    fc.property(line, line, (one, other) => {
      const same = JSON.stringify(one) === JSON.stringify(other);
      expect(azureCallId(...one) === azureCallId(...other)).toBe(same);
      expect(azureCallId(...one)).toMatch(/^aztr-[0-9a-f]{40}$/);
    }),
    { numRuns: 300 },
  );
});

it('law: a JSON line’s id is that of its value', () => {
  const record = fc.dictionary(fc.string({ maxLength: 4 }), fc.jsonValue({ maxDepth: 2 }), { maxKeys: 4 });
  fc.assert(
    fc.property(record, fc.nat(3), (value, ordinal) => {
      const parsed = JSON.parse(JSON.stringify(value)) as JsonObject;
      const spaced = JSON.parse(
        JSON.stringify(Object.fromEntries(Object.entries(parsed).reverse()), null, 2),
      ) as JsonObject;
      const id = jsonLineCallId('d', parsed, ordinal);
      expect(jsonLineCallId('d', spaced, ordinal)).toBe(id);
      expect(jsonLineCallId('d', { ...parsed, other: 1 }, ordinal) === id).toBe(parsed['other'] === 1);
    }),
    { numRuns: 200 },
  );
});

it('a line with half a character has no id', () => {
  expect(() => jsonLineCallId('d', { model: '\ud83d' }, 0)).toThrow(InvalidArgumentError);
});

describe('EqualLines', () => {
  it('law: the n-th equal line has ordinal n − 1, wherever the others stand', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom('a', 'b', 'c', 'a\n', ''), { maxLength: 30 }), (lines) => {
        const equal = new EqualLines();
        const seen: string[] = [];
        for (const line of lines) {
          expect(equal.ordinalOf(line)).toBe(seen.filter((other) => other === line).length);
          seen.push(line);
        }
      }),
      { numRuns: 200 },
    );
  });
});
