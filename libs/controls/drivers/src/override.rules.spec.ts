import { OVERRIDE_STATUSES, type OverrideStatus } from '@hoc/controls/schemas';
import { compareDecimal, type DecimalString, toDecimalString } from '@hoc/shared/kernel';
import fc from 'fast-check';
import { endOf, grantFault, grantOf, isInEffect, planCapFor, requestFault, statusAt } from './override.rules';

const RUNS = 300;
const NOW = new Date('2026-03-10T12:00:00.000Z');
const HOUR = 3_600_000;
const decimal = (value: string): DecimalString => value as DecimalString;
const QUOTAS = {
  maxTokensPerMonth: decimal('1000000'),
  maxRunsPerDay: decimal('100'),
  maxConcurrentRuns: decimal('5'),
};
const instant = fc.integer({ min: -5, max: 5 }).map((ms) => new Date(NOW.getTime() + ms));
const amount = fc.integer({ min: 1, max: 20 }).map((n) => toDecimalString(n));

it.each([
  ['TOKENS_PER_MONTH', '1000000'],
  ['TOKENS_', '1000000'],
  ['TOKENSXDAY', null],
  ['RUNS_PER_DAY', '100'],
  ['CONCURRENT_RUNS', '5'],
  ['COST_CENTS', null],
  ['REQUESTS_PER_MINUTE', null],
])('the plan’s cap of %s: %s', (limitType, cap) => expect(planCapFor(limitType, QUOTAS)).toBe(cap));

it('in effect exactly where it is active and startsAt ≤ t < expiresAt', () => {
  fc.assert(
    fc.property(fc.constantFrom(...OVERRIDE_STATUSES), instant, instant, instant, (status, startsAt, expiresAt, at) => {
      const within = startsAt.getTime() <= at.getTime() && at.getTime() < expiresAt.getTime();
      expect(isInEffect({ status, startsAt, expiresAt }, at)).toBe(status === 'ACTIVE' && within);
      expect(isInEffect({ status, startsAt: null, expiresAt: null }, at)).toBe(false);
    }),
    { numRuns: RUNS },
  );
});

it.each<readonly [OverrideStatus, number | null, OverrideStatus]>([
  ['ACTIVE', 1, 'ACTIVE'],
  ['ACTIVE', 0, 'EXPIRED'],
  ['ACTIVE', null, 'ACTIVE'],
  ['PENDING', 0, 'PENDING'],
  ['APPROVED', 0, 'APPROVED'],
  ['CANCELLED', 0, 'CANCELLED'],
])('%s, %p ms before its end, is %s', (status, left, seen) =>
  expect(statusAt(status, left === null ? null : new Date(NOW.getTime() + left), NOW)).toBe(seen),
);

it('an hour is 3,600 seconds, whatever a calendar does', () => {
  expect(endOf(new Date('2026-03-29T00:30:00.000Z'), 168)).toEqual(new Date('2026-04-05T00:30:00.000Z'));
});

describe('requestFault', () => {
  const asked = (over: object = {}) => ({ value: decimal('11'), durationHours: 1, scheduledStart: null, ...over });
  const bounds = { above: decimal('10'), cap: decimal('12') };
  it('duration, then value, then start', () => {
    const past = { scheduledStart: NOW };
    expect(requestFault(asked({ durationHours: 169, value: decimal('1'), ...past }), bounds, NOW)).toBe('DURATION');
    expect(requestFault(asked({ value: decimal('10'), ...past }), bounds, NOW)).toBe('NOT_AN_INCREASE');
    expect(requestFault(asked({ value: decimal('12.000001'), ...past }), bounds, NOW)).toBe('ABOVE_PLAN_CAP');
    expect(requestFault(asked({ value: decimal('12'), ...past }), bounds, NOW)).toBe('START');
    expect(requestFault(asked({ value: decimal('12') }), bounds, NOW)).toBeNull();
    expect(requestFault(asked({ durationHours: 168 }), bounds, NOW)).toBeNull();
  });
  it('a limit of zero has no override: of nothing there is no more', () => {
    expect(requestFault(asked(), { above: decimal('0'), cap: null }, NOW)).toBe('LIMIT_OF_ZERO');
    expect(requestFault(asked({ durationHours: 169 }), { above: decimal('0'), cap: null }, NOW)).toBe('DURATION');
  });
  it('a value passes exactly above the limit and up to the cap', () => {
    fc.assert(
      fc.property(amount, amount, fc.option(amount), (value, above, cap) => {
        const passes = compareDecimal(value, above) > 0 && (cap === null || compareDecimal(value, cap) <= 0);
        expect(requestFault(asked({ value }), { above, cap }, NOW) === null).toBe(passes);
      }),
      { numRuns: RUNS },
    );
  });
});

describe('a grant', () => {
  const pending = { value: decimal('11'), durationHours: 2, startsAt: new Date(NOW.getTime() + HOUR) };
  const at = (ms: number): Date => new Date(NOW.getTime() + ms);
  it('is what was asked for, or what the approver makes of it', () => {
    expect(grantOf(pending, {}, NOW)).toEqual({ ...pending, status: 'APPROVED' });
    expect(grantOf(pending, { value: decimal('12'), durationHours: 5 }, NOW)).toEqual({
      ...{ value: '12', durationHours: 5, startsAt: pending.startsAt, status: 'APPROVED' },
    });
    expect(grantOf(pending, {}, at(HOUR)).status).toBe('ACTIVE');
    expect(grantOf({ ...pending, startsAt: null }, {}, NOW)).toMatchObject({ startsAt: NOW, status: 'ACTIVE' });
  });
  it('value, then end', () => {
    const bounds = { above: decimal('10'), cap: decimal('12') };
    const fault = (value: string, ms: number) =>
      grantFault(grantOf(pending, { value: decimal(value) }, at(ms)), bounds, at(ms));
    expect(fault('10', 3 * HOUR)).toBe('NOT_AN_INCREASE');
    expect(fault('13', 3 * HOUR)).toBe('ABOVE_PLAN_CAP');
    expect(fault('12', 3 * HOUR)).toBe('WINDOW_PASSED');
    expect(fault('12', 3 * HOUR - 1)).toBeNull();
  });
});
