import fc from 'fast-check';
import { DataIntegrityError } from '@hoc/shared/kernel';
import { readInstant } from './column-types';

const micros = fc.integer({ min: 0, max: 999_999 });
const second = fc.date({
  min: new Date('0001-01-01T00:00:00Z'),
  max: new Date('9999-12-31T23:59:59Z'),
  noInvalidDate: true,
});
/** As PostgreSQL writes it: without the fraction's last zeros, and without the point where nothing is left of it. */
const fractionOf = (us: number): string => `.${String(us).padStart(6, '0')}`.replace(/\.?0+$/, '');

describe('readInstant', () => {
  it('reads what a session in UTC writes, to the millisecond below', () => {
    fc.assert(
      fc.property(second, micros, (at, us) => {
        const seconds = at.toISOString().slice(0, 19);
        const expected = `${seconds}.${String(us).padStart(6, '0').slice(0, 3)}Z`;
        expect(readInstant(`${seconds.replace('T', ' ')}${fractionOf(us)}+00`).toISOString()).toBe(expected);
      }),
    );
  });

  it('reads the same instant in every zone', () => {
    fc.assert(
      fc.property(second, micros, fc.integer({ min: -14 * 60, max: 14 * 60 }), (at, us, minutes) => {
        fc.pre(Math.abs(at.getUTCFullYear() - 5000) < 4990);
        const here = new Date(at.getTime() + minutes * 60_000).toISOString().slice(0, 19).replace('T', ' ');
        const [hours, rest] = [Math.floor(Math.abs(minutes) / 60), Math.abs(minutes) % 60];
        const two = (n: number): string => String(n).padStart(2, '0');
        const zone = `${minutes < 0 ? '-' : '+'}${two(hours)}${rest === 0 ? '' : `:${two(rest)}`}`;
        const expected = Math.floor(at.getTime() / 1000) * 1000 + Math.floor(us / 1000);
        expect(readInstant(`${here}${fractionOf(us)}${zone}`).getTime()).toBe(expected);
      }),
    );
  });

  it.each([
    '2026-03-10T12:00:00+00',
    '2026/03/10 12:00:00+00',
    '2026-03-10 12:00+00',
    '2026-03-1a 12:00:00+00',
    '2026-03-10 12:00:00.+00',
    '2026-03-10 12:00:00,123+00',
    '+00',
  ])('refuses %p', (text) => expect(() => readInstant(text)).toThrow(DataIntegrityError));
});
