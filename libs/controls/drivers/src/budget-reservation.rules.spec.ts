import fc from 'fast-check';
import {
  checkReserveItems,
  type Decision,
  isSameReserve,
  periodStarts,
  settleVerdict,
  undecided,
} from './budget-reservation.rules';

const item = (idempotencyKey: string) => ({ idempotencyKey, amountCents: '1' });

describe('undecided', () => {
  const list = (kinds: readonly Decision<string>['kind'][]): readonly Decision<string>[] =>
    kinds.map((kind) => (kind === 'raced' ? { kind } : { kind, answer: '' }));

  it('is nothing where no key was taken meanwhile', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom<'stored' | 'refused'>('stored', 'refused')), (kinds) => {
        expect(undecided(list(kinds)).size).toBe(0);
      }),
    );
  });
  it('is every key that was taken, and every refused item behind the first of them', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom<Decision<string>['kind']>('stored', 'refused', 'raced')), (kinds) => {
        const first = kinds.indexOf('raced');
        const expected = kinds.flatMap((kind, at) =>
          kind === 'raced' || (kind === 'refused' && first >= 0 && at > first) ? [at] : [],
        );
        expect([...undecided(list(kinds))]).toEqual(expected);
      }),
      { numRuns: 200 },
    );
  });
});

describe('checkReserveItems', () => {
  it('fills the defaults in and makes amounts canonical', () => {
    expect(checkReserveItems([{ ...item('k'), amountCents: '01.50' }])).toEqual([
      { idempotencyKey: 'k', amountCents: '1.5', runId: null, ttlSeconds: 900 },
    ]);
  });
  it.each<[string, unknown, string]>([
    ['none', [], 'items'],
    ['no list', 'k', 'items'],
    ['1,001', Array.from({ length: 1001 }, (_, n) => item(`k-${n}`)), 'items'],
    ['a repeated key', [item('a'), item('b'), item('a')], 'items[2].idempotencyKey'],
    ['a bad amount', [item('a'), { ...item('b'), amountCents: '-1' }], 'items[1].amountCents'],
    ['no object', [item('a'), null], 'items[1]'],
  ])('refuses %s', (_, items, field) => {
    expect(() => checkReserveItems(items as never)).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT', details: expect.objectContaining({ field }) }),
    );
  });
});

it('isSameReserve compares limits, amount and run, and nothing else', () => {
  const content = { limitIds: ['a', 'b'], amountCents: '1', runId: 'r' };
  expect(isSameReserve(content, { ...content, limitIds: ['a', 'b'] })).toBe(true);
  for (const other of [{ limitIds: ['a'] }, { limitIds: ['a', 'c'] }, { amountCents: '2' }, { runId: null }])
    expect(isSameReserve(content, { ...content, ...other })).toBe(false);
});

it('settleVerdict: what is open or expired is settled, the same again is a duplicate, the rest a conflict', () => {
  const verdicts = (['RESERVED', 'EXPIRED', 'SETTLED', 'RELEASED'] as const).map((status) =>
    settleVerdict({ status, settledCents: status === 'SETTLED' ? '5' : null }, '5'),
  );
  expect(verdicts).toEqual(['settled', 'settled', 'duplicate', 'conflict']);
  expect(settleVerdict({ status: 'SETTLED', settledCents: '5' }, '6')).toBe('conflict');
});

it('periodStarts: the day, the Monday and the first of the month, in UTC', () => {
  expect(periodStarts(new Date('2026-03-01T00:00:00.000Z'))).toEqual([
    '2026-03-01T00:00:00.000Z',
    '2026-02-23T00:00:00.000Z',
    '2026-03-01T00:00:00.000Z',
  ]);
});
