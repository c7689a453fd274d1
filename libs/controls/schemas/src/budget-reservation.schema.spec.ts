import { compareBytes } from '@hoc/shared/kernel';
import fc from 'fast-check';
import { checkLimitIds, checkReserveInput, reservationOf, type ReserveInput } from './budget-reservation.schema';

const INPUT: ReserveInput = { limitIds: ['b', 'a'], amountCents: '01.50', idempotencyKey: 'k' };
const bad = (value: unknown): never => value as never;

it('checkReserveInput sorts the limits, makes the amount canonical, fills the defaults in; frozen', () => {
  const checked = checkReserveInput('t', INPUT);
  expect(checked).toEqual({
    tenantId: 't',
    limitIds: ['a', 'b'],
    amountCents: '1.5',
    idempotencyKey: 'k',
    runId: null,
    ttlSeconds: 900,
  });
  expect([Object.isFrozen(checked), Object.isFrozen(checked.limitIds), INPUT.limitIds]).toEqual([
    true,
    true,
    ['b', 'a'],
  ]);
  expect(checkReserveInput('t', { ...INPUT, runId: 'r', ttlSeconds: 1 })).toMatchObject({ runId: 'r', ttlSeconds: 1 });
});

it('checkReserveInput checks the tenant before the input', () => {
  expect(() => checkReserveInput('', bad(null))).toThrow(expect.objectContaining({ code: 'TENANT_SCOPE' }));
  for (const input of [null, undefined, [], 'k'])
    expect(() => checkReserveInput('t', bad(input))).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT', details: { field: 'input', reason: 'object' } }),
    );
});

it('two calls against the same limits have equal lists, in the order of their bytes', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.string({ unit: fc.constantFrom('a', 'Z', 'é', '\uffee', '😀'), minLength: 1, maxLength: 3 }), {
        minLength: 1,
        maxLength: 4,
      }),
      (ids) => {
        const sorted = [...ids].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
        expect([checkLimitIds(ids), checkLimitIds([...ids].reverse())]).toEqual([sorted, sorted]);
        expect([...ids].sort(compareBytes)).toEqual(sorted);
      },
    ),
    { numRuns: 200 },
  );
});

it('reservationOf gives each caller an error of its own', () => {
  const caught = (): unknown => {
    try {
      return reservationOf({ kind: 'refused', limitId: 'a', remaining: '3' });
    } catch (error) {
      return error;
    }
  };
  const [first, second] = [caught(), caught()];
  expect(first).toMatchObject({ code: 'LIMIT_EXCEEDED', details: { limitId: 'a', remaining: '3' } });
  expect(first).not.toBe(second);
});
