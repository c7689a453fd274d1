import fc from 'fast-check';
import { uuidV7Generator } from './id-generator';

const V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

describe('uuidV7Generator', () => {
  it('carries the millisecond and is a version 7 of variant 10', () => {
    const id = uuidV7Generator({ now: () => new Date(0x0123456789ab) }, (n) => new Uint8Array(n).fill(0xff)).next();
    expect(id).toBe('01234567-89ab-7000-bfff-ffffffffffff');
    expect(id).toMatch(V7);
  });
  it('law 13: strictly increasing under any clock, also past the counter', () => {
    const times = fc.array(fc.integer({ min: 0, max: 50 }), { minLength: 2, maxLength: 300 });
    fc.assert(
      fc.property(times, (sequence) => {
        let i = 0;
        const ids = uuidV7Generator({ now: () => new Date(1_700_000_000_000 + sequence[i++ % sequence.length]!) });
        let last = '';
        for (let n = 0; n < sequence.length; n += 1) {
          const id = ids.next();
          expect(id > last).toBe(true);
          expect(id).toMatch(V7);
          last = id;
        }
      }),
      { numRuns: 200 },
    );
    const stopped = uuidV7Generator({ now: () => new Date(1_700_000_000_000) });
    const many = Array.from({ length: 10_000 }, () => stopped.next());
    expect([...many].sort()).toEqual(many);
    expect(new Set(many).size).toBe(10_000);
  });
});
