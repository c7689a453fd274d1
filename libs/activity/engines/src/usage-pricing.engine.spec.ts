import type { PriceEntry } from '@hoc/activity/schemas';
import { HocError, InvalidArgumentError, toIsoDate, toMoney } from '@hoc/shared/kernel';
import fc from 'fast-check';
import { costCents, parsePriceTable, priceTable } from './usage-pricing.engine';

const GPT4 = {
  provider: 'azure_openai',
  model: 'gpt-4',
  effective_from: '2023-03-14',
  input_cents_per_million: '3000',
  output_cents_per_million: '6000',
};
const table = (...prices: readonly object[]): string => JSON.stringify({ version: 1, prices });
const entry = (input: string, output: string, more: Partial<PriceEntry> = {}): PriceEntry => ({
  provider: 'p',
  model: 'm',
  effectiveFrom: toIsoDate('2023-01-01'),
  inputCentsPerMillion: toMoney(input),
  outputCentsPerMillion: toMoney(output),
  ...more,
});
const refusedPath = (text: string): unknown => {
  try {
    parsePriceTable(text);
  } catch (error) {
    if (InvalidArgumentError.is(error)) return error.details['field'];
    throw error;
  }
  return 'taken';
};

describe('costCents', () => {
  it.each([
    [374, 44, '1.386'],
    [396, 109, '1.842'],
    [879, 55, '2.967'],
    [91, 16, '0.369'],
    [0, 0, '0'],
  ])('F61, F62: %d in and %d out at 3000 and 6000 are %s cents', (tokensIn, tokensOut, cents) => {
    expect(costCents(entry('3000', '6000'), tokensIn, tokensOut)).toBe(cents);
  });

  it('F70: thirds', () => {
    const third = entry('0.333333', '0');
    expect(costCents(third, 1, 0)).toBe('0');
    expect(costCents(third, 2_000_000, 0)).toBe('0.666666');
  });

  it('half a millionth is rounded up, and the sum once: not each part', () => {
    expect(costCents(entry('0.5', '0'), 1, 0)).toBe('0.000001');
    expect(costCents(entry('0.499999', '0'), 1, 0)).toBe('0');
    expect(costCents(entry('0.3', '0.3'), 1, 1)).toBe('0.000001');
    expect(costCents(entry('0.5', '0.5'), 1, 1)).toBe('0.000001');
  });

  it('law: the exact value, rounded half up at the sixth decimal; no float on the way', () => {
    const millionths = fc.bigInt({ min: 0n, max: 10n ** 15n });
    const tokens = fc.integer({ min: 0, max: 1_000_000_000 });
    fc.assert(
      fc.property(millionths, millionths, tokens, tokens, (input, output, tokensIn, tokensOut) => {
        const exact = BigInt(tokensIn) * input + BigInt(tokensOut) * output;
        const cents = (exact + 500_000n) / 1_000_000n;
        fc.pre(cents < 10n ** 20n);
        expect(costCents(entry(text(input), text(output)), tokensIn, tokensOut)).toBe(toMoney(text(cents)));
      }),
      { numRuns: 500 },
    );
  });
});

describe('parsePriceTable', () => {
  it('reads the documented table, with prices as text or as integers', () => {
    const { entries } = parsePriceTable(
      table(GPT4, { ...GPT4, model: '*', input_cents_per_million: 10, output_cents_per_million: '0.50' }),
    );
    expect(entries).toEqual([
      entry('3000', '6000', { provider: 'azure_openai', model: 'gpt-4', effectiveFrom: toIsoDate('2023-03-14') }),
      entry('10', '0.5', { provider: 'azure_openai', model: '*', effectiveFrom: toIsoDate('2023-03-14') }),
    ]);
    expect(Object.isFrozen(entries) && Object.isFrozen(entries[0])).toBe(true);
  });

  it.each<readonly [string, string, string]>([
    ['no JSON', '{', 'prices'],
    ['a list', '[]', 'prices'],
    ['null', 'null', 'prices'],
    ['a text', '"x"', 'prices'],
    ['no version', JSON.stringify({ prices: [GPT4] }), 'version'],
    ['version 2', JSON.stringify({ version: 2, prices: [GPT4] }), 'version'],
    ['version as text', JSON.stringify({ version: '1', prices: [GPT4] }), 'version'],
    ['no prices', '{"version":1}', 'prices'],
    ['an empty list', table(), 'prices'],
    ['prices by name', JSON.stringify({ version: 1, prices: { a: GPT4 } }), 'prices'],
    ['an unknown key', JSON.stringify({ version: 1, prices: [GPT4], note: 'x' }), 'note'],
    ['a price that is none', table(GPT4, []), 'prices[1]'],
    ['an unknown key of a price', table(GPT4, { ...GPT4, currency: 'EUR' }), 'prices[1].currency'],
    [
      'the same three twice',
      table(GPT4, { ...GPT4, model: 'x' }, { ...GPT4, output_cents_per_million: 1 }),
      'prices[2]',
    ],
    ['__proto__', '{"version":1,"prices":[{"__proto__":{}}]}', 'prices[0].__proto__'],
  ])('refuses %s and names the path', (_, text, path) => {
    expect(refusedPath(text)).toBe(path);
  });

  it.each<readonly [keyof typeof GPT4, readonly unknown[]]>([
    ['provider', [undefined, '', ' ', 'x'.repeat(51), 7, 'a\0', null]],
    ['model', [undefined, '', 'x'.repeat(101), ['gpt-4'], '\ud83d']],
    ['effective_from', [undefined, '', '2023-3-14', '2023-02-30', '2023-03-14T00:00:00Z', 20230314, null]],
    ['input_cents_per_million', [undefined, null, '', '-1', -1, 1.5, '1.1234567', '1e3', 'NaN', '1'.repeat(15), true]],
    ['output_cents_per_million', [undefined, null, '', '-0.5', -3, 0.1, '0.0000001', '1,5', {}, []]],
  ])('refuses a %s that is none', (key, values) => {
    for (const value of values)
      expect(refusedPath(table(GPT4, { ...GPT4, model: 'b', [key]: value }))).toBe(`prices[1].${key}`);
  });

  it('at most 1 MiB of text, counted in bytes', () => {
    const padded = (unit: string): string => table(GPT4) + unit.repeat((1_048_576 - table(GPT4).length) / unit.length);
    expect(refusedPath(padded(' '))).toBe('taken');
    expect(refusedPath(`${padded(' ')} `)).toBe('prices');
    expect(refusedPath(table({ ...GPT4, note: 'ü'.repeat(600_000) }))).toBe('prices');
    expect(refusedPath(undefined as never)).toBe('prices');
  });

  it('says nothing of the table but its path', () => {
    const message = (() => {
      try {
        parsePriceTable(table({ ...GPT4, provider: 'secret\0' }));
        return '';
      } catch (error) {
        return HocError.is(error) ? JSON.stringify([error.message, error.details]) : '';
      }
    })();
    expect(message).toContain('prices[0].provider');
    expect(message).not.toContain('secret');
  });
});

describe('find', () => {
  const day = toIsoDate;
  const prices = parsePriceTable(
    table(
      { ...GPT4, effective_from: '2024-01-01', input_cents_per_million: '2' },
      { ...GPT4, effective_from: '2023-01-01', input_cents_per_million: '1' },
      { ...GPT4, effective_from: '2025-01-01', input_cents_per_million: '3' },
      { ...GPT4, model: '*', effective_from: '2022-01-01', input_cents_per_million: '9' },
      { ...GPT4, model: '*', effective_from: '2024-06-01', input_cents_per_million: '8' },
      { ...GPT4, provider: 'other', model: 'late', effective_from: '2024-01-01', input_cents_per_million: '7' },
    ),
  );
  it.each([
    ['the day before its first price: the star', 'azure_openai', 'gpt-4', '2022-12-31', '9'],
    ['its first day', 'azure_openai', 'gpt-4', '2023-01-01', '1'],
    ['the last day of a price', 'azure_openai', 'gpt-4', '2023-12-31', '1'],
    ['the first day of the next', 'azure_openai', 'gpt-4', '2024-01-01', '2'],
    ['the newest in force, before a newer star', 'azure_openai', 'gpt-4', '2024-12-31', '2'],
    ['long after', 'azure_openai', 'gpt-4', '2030-01-01', '3'],
    ['another model: the star', 'azure_openai', 'gpt-5', '2023-01-01', '9'],
    ['another model: the newest star', 'azure_openai', 'gpt-5', '2024-06-01', '8'],
    ['before any price', 'azure_openai', 'gpt-4', '2021-12-31', null],
    ['exact means exact', 'azure_openai', 'GPT-4', '2021-12-31', null],
    ['not yet in force, and no star', 'other', 'late', '2023-12-31', null],
    ['another provider has no star', 'other', 'gpt-4', '2024-01-01', null],
    ['an unknown provider', 'nobody', 'gpt-4', '2024-01-01', null],
  ])('%s', (_, provider, model, on, input) => {
    expect(prices.find(provider, model, day(on))?.inputCentsPerMillion ?? null).toBe(input);
  });

  it('law: the exact model before the star, the newest in force, in whatever order they were given', () => {
    const days = ['2023-01-01', '2023-01-02', '2023-01-03', '2023-01-04'].map((text) => day(text));
    const one = fc.record({
      provider: fc.constantFrom('p', 'q'),
      model: fc.constantFrom('m', 'n', '*'),
      effectiveFrom: fc.constantFrom(...days),
    });
    const unique = fc.uniqueArray(one, { selector: (each) => JSON.stringify(each), maxLength: 12 });
    fc.assert(
      fc.property(
        unique,
        fc.constantFrom('p', 'q'),
        fc.constantFrom('m', 'n'),
        fc.constantFrom(...days),
        (keys, ...asked) => {
          const entries = keys.map((key, n) => entry(String(n), '0', key));
          const [provider, model, on] = asked;
          const inForce = (name: string): readonly PriceEntry[] =>
            entries.filter((e) => e.provider === provider && e.model === name && e.effectiveFrom <= on);
          const candidates = inForce(model).length > 0 ? inForce(model) : inForce('*');
          const newest = candidates
            .map((e) => e.effectiveFrom)
            .sort()
            .at(-1);
          const expected = candidates.find((e) => e.effectiveFrom === newest) ?? null;
          expect(priceTable(entries).find(...asked)).toEqual(expected);
        },
      ),
      { numRuns: 500 },
    );
  });

  it('a table keeps its own copy of what it was given', () => {
    const list = [entry('1', '2')];
    const made = priceTable(list);
    list.length = 0;
    expect(made.entries).toHaveLength(1);
    expect(made.find('p', 'm', day('2023-01-01'))?.inputCentsPerMillion).toBe('1');
  });
});

/** Millionths as decimal text. */
function text(millionths: bigint): string {
  const digits = millionths.toString().padStart(7, '0');
  return `${digits.slice(0, -6)}.${digits.slice(-6)}`;
}
