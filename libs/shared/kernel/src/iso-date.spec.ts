import fc from 'fast-check';
import { InvalidArgumentError } from './errors';
import { addDays, daysBetween, toIsoDate, utcDayOf, utcDayRange, utcToday } from './iso-date';

describe('IsoDate', () => {
  it('F5: days are UTC days', () => {
    expect(utcDayOf(new Date('2026-03-09T23:59:59.999Z'))).toBe('2026-03-09');
    expect(utcDayRange(toIsoDate('2024-02-29'))).toEqual({
      from: new Date('2024-02-29T00:00:00Z'),
      to: new Date('2024-03-01T00:00:00Z'),
    });
    expect(addDays(toIsoDate('2026-02-28'), 1)).toBe('2026-03-01');
    expect(utcToday({ now: () => new Date('2026-03-10T12:00:00Z') })).toBe('2026-03-10');
  });
  it.each([
    '2026-02-29',
    '2026-13-01',
    '2026-00-10',
    '2026-1-1',
    '20260101',
    '0000-01-01',
    '10000-01-01',
    '2026-01-01T00:00:00Z',
    '',
    null,
    20260101,
  ])('refuses %p', (value) => {
    expect(() => toIsoDate(value as string)).toThrow(InvalidArgumentError);
  });
  it('refuses an invalid Date and a day out of range', () => {
    expect(() => utcDayOf(new Date(NaN))).toThrow(InvalidArgumentError);
    expect(() => addDays(toIsoDate('9999-12-31'), 1)).toThrow(InvalidArgumentError);
    expect(() => addDays(toIsoDate('0001-01-01'), -1)).toThrow(InvalidArgumentError);
  });
  it('adding and counting days are inverse', () => {
    const day = fc
      .date({ min: new Date('1900-01-01'), max: new Date('2200-01-01'), noInvalidDate: true })
      .map(utcDayOf);
    fc.assert(
      fc.property(day, fc.integer({ min: -40_000, max: 40_000 }), (start, n) => {
        expect(daysBetween(start, addDays(start, n))).toBe(n);
        expect(utcDayOf(utcDayRange(start).from)).toBe(start);
      }),
      { numRuns: 300 },
    );
  });
});
