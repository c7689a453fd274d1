import fc from 'fast-check';
import Big from 'big.js';
import {
  addDecimal,
  compareDecimal,
  divideDecimal,
  fromPgNumeric,
  multiplyDecimal,
  roundDecimal,
  subtractDecimal,
  sumDecimal,
  toDecimalString,
  toMoney,
  type DecimalString,
} from './decimal';
import { DataIntegrityError, InvalidArgumentError } from './errors';

const d = (text: string): DecimalString => toDecimalString(text);
/** Amounts in millionths, so that BigInt is the reference. */
const amount = fc.bigInt({ min: -(10n ** 20n - 1n), max: 10n ** 20n - 1n });
const ofMillionths = (n: bigint): DecimalString => {
  const digits = (n < 0n ? -n : n).toString().padStart(7, '0');
  return fromPgNumeric(`${n < 0n ? '-' : ''}${digits.slice(0, -6)}.${digits.slice(-6)}`);
};

describe('DecimalString', () => {
  it('F1: canonical forms', () => {
    expect([fromPgNumeric('12.500000'), d('007.10'), toDecimalString(0), d('-0'), fromPgNumeric('0.000000')]).toEqual([
      '12.5',
      '7.1',
      '0',
      '0',
      '0',
    ]);
    expect([toDecimalString(5n), toDecimalString(-7), fromPgNumeric(null)]).toEqual(['5', '-7', null]);
  });
  it('F1: every text of a value is the one that Big prints of it, whatever zeros stand around it', () => {
    const digits = fc.stringMatching(/^0{0,4}[0-9]{0,12}0{0,4}$/).filter((text) => text !== '');
    fc.assert(
      fc.property(fc.boolean(), digits, fc.option(digits), (negative, whole, fraction) => {
        const text = `${negative ? '-' : ''}${whole}${fraction === null ? '' : `.${fraction}`}`;
        const value = new Big(text);
        expect(fromPgNumeric(text)).toBe(value.eq(0) ? '0' : value.toFixed());
      }),
    );
  });
  it.each([
    0.1,
    '1e3',
    '1.0000000',
    ' 1',
    '1 ',
    '',
    '123456789012345',
    '.5',
    '5.',
    '1,5',
    'NaN',
    'Infinity',
    '+1',
    NaN,
    1e21,
    null,
    undefined,
    {},
    [],
    true,
    '١',
  ])('F2: refuses %p', (value) => {
    expect(() => toDecimalString(value as string, 'costCents')).toThrow(InvalidArgumentError);
  });
  it('money is not negative', () => {
    expect(() => toMoney('-1')).toThrow(InvalidArgumentError);
    expect(toMoney('-0')).toBe('0');
  });
  it.each(['NaN', 'Infinity', '-Infinity', '', 'x'])('refuses %p from the database as broken data', (text) => {
    expect(() => fromPgNumeric(text)).toThrow(DataIntegrityError);
  });
  it('F3: exact sums', () => {
    expect(addDecimal(d('0.1'), d('0.2'))).toBe('0.3');
    expect(sumDecimal(Array.from({ length: 10 }, () => d('0.000001')))).toBe('0.00001');
    expect(sumDecimal([])).toBe('0');
  });
  it('F4: rounds and divides half away from zero', () => {
    expect(roundDecimal(fromPgNumeric('2.0000005'), 6)).toBe('2.000001');
    expect(roundDecimal(fromPgNumeric('-2.0000005'), 6)).toBe('-2.000001');
    expect([divideDecimal(d('1'), d('3')), divideDecimal(d('2'), d('3')), divideDecimal(d('1'), d('3'), 2)]).toEqual([
      '0.333333',
      '0.666667',
      '0.33',
    ]);
    expect(() => divideDecimal(d('1'), d('0'))).toThrow(InvalidArgumentError);
  });
  it('adds, subtracts, multiplies and compares as integers do', () => {
    fc.assert(
      fc.property(amount, amount, (a, b) => {
        const [x, y] = [ofMillionths(a), ofMillionths(b)];
        expect(addDecimal(x, y)).toBe(ofMillionths(a + b));
        expect(subtractDecimal(x, y)).toBe(ofMillionths(a - b));
        expect(multiplyDecimal(x, y)).toBe(fromPgNumeric(new Big(x).times(y).toFixed()));
        expect(compareDecimal(x, y)).toBe(a < b ? -1 : a > b ? 1 : 0);
      }),
      { numRuns: 500 },
    );
  });
  it('is idempotent, and not moved by the settings of the global Big', () => {
    const before = { DP: Big.DP, RM: Big.RM, PE: Big.PE };
    Object.assign(Big, { DP: 0, RM: 0, PE: 1 });
    try {
      fc.assert(
        fc.property(
          fc.bigInt({ min: 0n, max: 10n ** 19n }),
          (n) => toDecimalString(ofMillionths(n)) === ofMillionths(n),
        ),
        { numRuns: 300 },
      );
      expect(divideDecimal(d('2'), d('3'))).toBe('0.666667');
      expect(addDecimal(d('99999999999999.999999'), d('0.000001'))).toBe('100000000000000');
    } finally {
      Object.assign(Big, before);
    }
  });
});
