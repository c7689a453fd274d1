import { compareDecimal, toDecimalString } from '@hoc/shared/kernel';
import fc from 'fast-check';
import { countSteps, parseBudgetFromError } from './budget-enforcement.engine';

const RUNS = 500;
const digits = (min: number, max: number): fc.Arbitrary<string> =>
  fc.array(fc.constantFrom(...'0123456789'), { minLength: min, maxLength: max }).map((each) => each.join(''));
/** What the grammar takes: up to 14 digits, and up to 6 behind a point. */
const amount = fc
  .tuple(digits(1, 14), fc.option(digits(1, 6), { nil: null }))
  .map(([whole, fraction]) => (fraction === null ? whole : `${whole}.${fraction}`));
const format = (consumed: string, limit: string): string =>
  `Hard budget limit reached: ${consumed}c consumed >= ${limit}c limit`;

it('G.2 1: parse ∘ format gives both amounts back, exactly', () => {
  fc.assert(
    fc.property(amount, amount, (a, b) => {
      const read = parseBudgetFromError(format(a, b));
      expect(read).toEqual({ consumedCents: toDecimalString(a), limitCents: toDecimalString(b) });
      if (read !== null) expect(compareDecimal(read.consumedCents, toDecimalString(a))).toBe(0);
    }),
    { numRuns: RUNS },
  );
});

it('what stands around the sentence changes nothing, as long as it belongs to no number', () => {
  const around = fc
    .string({ maxLength: 40 })
    .filter((text) => !/([\d.,]|[\d.][eE][+-]?)$/.test(text) && !text.includes('c consumed'));
  const behind = fc.string({ maxLength: 40 }).filter((text) => !/^\w/.test(text));
  fc.assert(
    fc.property(around, amount, amount, behind, (before, a, b, after) => {
      expect(parseBudgetFromError(`${before}${a}c consumed >= ${b}c limit${after}`)).toEqual({
        consumedCents: toDecimalString(a),
        limitCents: toDecimalString(b),
      });
    }),
    { numRuns: RUNS },
  );
});

it('an amount with more digits than the grammar has is never read in part', () => {
  const long = fc.oneof(
    digits(15, 40),
    fc.tuple(digits(1, 14), digits(7, 20)).map(([whole, fraction]) => `${whole}.${fraction}`),
  );
  fc.assert(
    fc.property(long, amount, (a, b) => {
      expect(parseBudgetFromError(format(a, b))).toBeNull();
      expect(parseBudgetFromError(format(b, a))).toBeNull();
    }),
    { numRuns: RUNS },
  );
});

it('no text makes it throw; what it gives are amounts that a decision takes', () => {
  const piece = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 20 }),
    amount,
    fc.constantFrom('c consumed >= ', 'c limit', '.', ',', '-', ' '),
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
      const read = parseBudgetFromError(pieces.join(''));
      for (const value of read === null ? [] : [read.consumedCents, read.limitCents])
        expect(toDecimalString(value)).toBe(value);
    }),
    { numRuns: RUNS },
  );
});

// A backtracking pattern would not come back from these within the life of the suite: no clock is asked.
it.each([
  ['digits', '1'.repeat(2_000_000)],
  ['points', '1.'.repeat(1_000_000)],
  ['beginnings', '1c consumed >= '.repeat(150_000)],
  ['amounts without an end', '12345678901234.123456c consumed >= 12345678901234.123456c '.repeat(40_000)],
])('2 MB of %s are read to the end', (_name, text) => {
  expect(parseBudgetFromError(text)).toBeNull();
  expect(parseBudgetFromError(`${text} 1c consumed >= 2c limit`)).toEqual({ consumedCents: '1', limitCents: '2' });
});

it('countSteps counts lists, and 0 for everything else', () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.jsonValue(), (steps, calls) => {
      const counted = countSteps({ steps: steps as never }, calls as never);
      expect(counted).toEqual({
        totalSteps: Array.isArray(steps) ? steps.length : 0,
        completedSteps: Array.isArray(calls) ? calls.length : 0,
      });
    }),
    { numRuns: RUNS },
  );
});
