import fc from 'fast-check';
import { HocError, InvalidArgumentError } from './errors';
import { decodeCursor, encodeCursor, filterFingerprint, pageLimit } from './page';

const fingerprint = filterFingerprint('runs', 't-a', { state: 'LIVE' }, 'startedAt desc');
const cursor = encodeCursor('runs', fingerprint, ['2026-03-10T10:00:00.000000Z', 'r3']);
const raw = (content: unknown) => Buffer.from(JSON.stringify(content)).toString('base64url');

describe('cursor', () => {
  it('law 10: decode is the inverse of encode', () => {
    const position = fc.array(fc.option(fc.string({ unit: 'grapheme', maxLength: 40 })), { maxLength: 4 });
    fc.assert(
      fc.property(position, (p) => {
        expect(decodeCursor(encodeCursor('k', fingerprint, p), 'k', fingerprint, p.length)).toEqual(p);
      }),
      { numRuns: 300 },
    );
  });
  it('law 10: every change of one character is refused or is another position of the same list', () => {
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=';
    for (let at = 0; at < cursor.length; at += 1)
      for (const char of [alphabet[(at * 7) % 65]!, alphabet[(at * 31 + 5) % 65]!]) {
        const changed = cursor.slice(0, at) + char + cursor.slice(at + 1);
        try {
          expect(decodeCursor(changed, 'runs', fingerprint, 2)).toHaveLength(2);
        } catch (error) {
          expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', details: { reason: 'cursor' } });
        }
      }
  });
  it.each([
    ['empty', ''],
    ['no base64', 'abc'],
    ['5,000 characters', 'a'.repeat(5000)],
    ['padding', `${cursor}=`],
    ['a tail', `${cursor}A`],
    ['cut', cursor.slice(0, -1)],
    ['version 2', raw({ f: fingerprint, k: 'runs', p: ['a', 'b'], v: 2 })],
    ['positions missing', raw({ f: fingerprint, k: 'runs', p: ['a'], v: 1 })],
    ['another filter', encodeCursor('runs', filterFingerprint('runs', 't-a', {}), ['a', 'b'])],
    [
      'another tenant',
      encodeCursor('runs', filterFingerprint('runs', 't-b', { state: 'LIVE' }, 'startedAt desc'), ['a', 'b']),
    ],
    ['another kind', encodeCursor('at_risk', fingerprint, ['a', 'b'])],
    ['a number as position', raw({ f: fingerprint, k: 'runs', p: [1, 'b'], v: 1 })],
    ['not a text', 7],
  ])('refuses %s', (_name, value) => {
    expect(() => decodeCursor(value as string, 'runs', fingerprint, 2)).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT', details: { field: 'cursor', reason: 'cursor' } }),
    );
  });
  it('holds a name of 255 code points', () => {
    const long = '🦉'.repeat(255);
    expect(decodeCursor(encodeCursor('k', fingerprint, [long, long]), 'k', fingerprint, 2)).toEqual([long, long]);
  });
});

describe('pageLimit', () => {
  it('defaults', () => expect([pageLimit({}), pageLimit({}, 10), pageLimit({ limit: 200 })]).toEqual([50, 10, 200]));
  it.each([0, 201, 1.5, NaN, '50', null])('refuses %p', (limit) => {
    expect(() => pageLimit({ limit: limit as number })).toThrow(InvalidArgumentError);
  });
  it('refuses a page that is no object', () => {
    expect(() => pageLimit(null as never)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
    expect(HocError.is(new InvalidArgumentError('x'))).toBe(true);
  });
});
