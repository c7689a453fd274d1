import { InvalidArgumentError, RESET_PERIODS } from '@hoc/shared/kernel';
import fc from 'fast-check';
import { assertLimitType, budgetWindow, limitUnit } from './limit-terms.schema';

const RUNS = 500;
const DAY_MS = 86_400_000;
const bad = (value: unknown): never => value as never;
const at = (text: string): Date => new Date(`${text}Z`);
const instant = fc.date({ min: at('1900-01-01T00:00:00'), max: at('2200-01-01T00:00:00'), noInvalidDate: true });

describe('limitUnit', () => {
  it.each([
    ['COST_CENTS', 'cents'],
    ['COST_PER_DAY', 'cents'],
    ['COST', 'cents'],
    ['TOKENS_PER_MONTH', 'tokens'],
    ['TOKENS_', 'tokens'],
    ['TOKENSX', 'count'],
    ['REQUESTS_PER_MINUTE', 'count'],
    ['RUNS_PER_DAY', 'count'],
    ['CONCURRENT_RUNS', 'count'],
    ['MY_COST', 'count'],
  ])('%s is in %s', (type, unit) => {
    expect(limitUnit(type)).toBe(unit);
  });
  it('refuses dollars and says what to use', () => {
    const refused = () => limitUnit('COST_USD');
    expect(refused).toThrow('COST_USD is not supported: use COST_CENTS');
    expect(refused).toThrow(InvalidArgumentError);
    expect(() => assertLimitType('COST_USD')).toThrow(
      expect.objectContaining({ details: { field: 'limitType', reason: 'dollars' } }),
    );
    expect(limitUnit('COST_USD_CENTS')).toBe('cents');
  });
  it.each(['', 'cost', 'Cost', '1COST', '_COST', 'COST-X', 'COST ', 'T'.repeat(33), null, undefined, 7, ['COST']])(
    'refuses %p',
    (type) => {
      expect(() => limitUnit(bad(type))).toThrow(InvalidArgumentError);
      expect(() => assertLimitType(type)).toThrow(InvalidArgumentError);
    },
  );
  it('takes a type of 32 characters', () => {
    expect(assertLimitType('T'.repeat(32))).toBe('T'.repeat(32));
  });
});

describe('budgetWindow', () => {
  it('F37: the day, the week of Monday and the month of a Sunday that begins a month', () => {
    const sunday = at('2026-03-01T00:00:00.000');
    expect(budgetWindow('DAILY', sunday)).toEqual({ from: at('2026-03-01T00:00:00'), to: at('2026-03-02T00:00:00') });
    expect(budgetWindow('WEEKLY', sunday)).toEqual({ from: at('2026-02-23T00:00:00'), to: at('2026-03-02T00:00:00') });
    expect(budgetWindow('MONTHLY', sunday)).toEqual({ from: at('2026-03-01T00:00:00'), to: at('2026-04-01T00:00:00') });
    expect(budgetWindow('NONE', sunday)).toEqual({ from: null, to: null });
  });
  it.each([
    ['WEEKLY', '2026-03-01T23:59:59.999', '2026-02-23', '2026-03-02'],
    ['WEEKLY', '2026-03-02T00:00:00.000', '2026-03-02', '2026-03-09'],
    ['MONTHLY', '2026-12-31T23:59:59.999', '2026-12-01', '2027-01-01'],
    ['MONTHLY', '2024-02-29T12:00:00.000', '2024-02-01', '2024-03-01'],
    ['MONTHLY', '0050-12-15T12:00:00.000', '0050-12-01', '0051-01-01'],
    ['MONTHLY', '2026-01-31T23:59:59.999', '2026-01-01', '2026-02-01'],
    ['DAILY', '1969-12-31T23:00:00.000', '1969-12-31', '1970-01-01'],
    ['WEEKLY', '1969-12-28T00:00:00.000', '1969-12-22', '1969-12-29'],
  ] as const)('%s at %s: from %s to %s', (period, now, from, to) => {
    expect(budgetWindow(period, at(now))).toEqual({ from: at(`${from}T00:00:00`), to: at(`${to}T00:00:00`) });
  });
  it('law 9: holds the instant, touches the windows beside it, and is as long as it says', () => {
    fc.assert(
      fc.property(fc.constantFrom(...RESET_PERIODS), instant, (period, now) => {
        const { from, to } = budgetWindow(period, now);
        if (from === null || to === null) {
          expect([period, from, to]).toEqual(['NONE', null, null]);
          return;
        }
        expect(from <= now && now < to).toBe(true);
        expect(budgetWindow(period, to).from).toEqual(to);
        expect(budgetWindow(period, new Date(from.getTime() - 1)).to).toEqual(from);
        const days = (to.getTime() - from.getTime()) / DAY_MS;
        if (period === 'MONTHLY') expect([28, 29, 30, 31]).toContain(days);
        else expect(days).toBe(period === 'DAILY' ? 1 : 7);
        if (period === 'WEEKLY') expect(from.getUTCDay()).toBe(1);
        if (period === 'MONTHLY') expect(from.getUTCDate()).toBe(1);
        expect(from.getTime() % DAY_MS === 0).toBe(true);
      }),
      { numRuns: RUNS },
    );
  });
  it('is frozen, and refuses what is no instant', () => {
    expect(Object.isFrozen(budgetWindow('DAILY', new Date(0)))).toBe(true);
    for (const wrong of [new Date(Number.NaN), 0, '2026-03-01', undefined])
      expect(() => budgetWindow('DAILY', bad(wrong))).toThrow(InvalidArgumentError);
  });
});
