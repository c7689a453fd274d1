import {
  type LimitOverrideRequest,
  type LimitOverrideResponse,
  OverrideNotFoundError,
  OverrideValidationError,
  StackingAbuseError,
} from '@hoc/controls/schemas';
import { type DecimalString, NotFoundError } from '@hoc/shared/kernel';
import { entities, migrations } from '@hoc/shared/models';
import { type Columns, fixedClock, makeLimit, makeLimitOverride, makeTenant, sequentialIds } from '@hoc/shared/testing';
import { captureStatements, insertRows, useDatabase } from '@hoc/testkit';
import { getLimitOverrideService, type LimitOverrideService } from './override.driver';

const db = useDatabase({ entities, migrations });
const NOW = new Date('2026-03-10T12:00:00.000Z');
const HOUR = 3_600_000;
const later = (ms: number): Date => new Date(NOW.getTime() + ms);
const clock = fixedClock(NOW);
const decimal = (value: string): DecimalString => value as DecimalString;
let service: LimitOverrideService;

beforeEach(async () => {
  clock.set(NOW);
  service = getLimitOverrideService(db.manager(), { clock, ids: sequentialIds('o') });
  await insertRows(
    db.manager(),
    makeTenant({ id: 't1' }),
    makeTenant({ id: 't2' }),
    makeLimit('t1', { id: 'L', name: 'Budget', max_value: '500000' }),
    makeLimit('t2', { id: 'L2', max_value: '500000' }),
  );
});

const ask = (over: Partial<LimitOverrideRequest> = {}): LimitOverrideRequest => ({
  limitId: 'L',
  overrideValue: '800000',
  durationHours: 48,
  reason: 'a campaign of the day',
  ...over,
});
const at = (ms: number, over: Partial<LimitOverrideRequest> = {}): LimitOverrideRequest =>
  ask({ startImmediately: false, scheduledStart: later(ms), durationHours: 2, ...over });
const request = (over: Partial<LimitOverrideRequest> = {}, tenant = 't1'): Promise<LimitOverrideResponse> =>
  service.requestOverride(tenant, ask(over), 'ann');
const limits = (n: number, given: Columns = {}): Promise<void> =>
  insertRows(
    db.manager(),
    ...Array.from({ length: n }, (_, i) => makeLimit('t1', { id: `l${i + 1}`, max_value: '500000', ...given })),
  );
/** Active overrides of that many further limits. */
async function active(n: number): Promise<readonly string[]> {
  await limits(n);
  const ids: string[] = [];
  for (let i = 1; i <= n; i += 1) ids.push((await request({ limitId: `l${i}` })).overrideId);
  return ids;
}
const stored = async (id: string, tenant = 't1'): Promise<Record<string, unknown>> => {
  const rows: Record<string, unknown>[] = await db
    .manager()
    .query('SELECT * FROM limit_overrides WHERE tenant_id = $1 AND id = $2', [tenant, id]);
  return rows[0] ?? {};
};
const trail = async (id: string): Promise<unknown> => (await stored(id))['audit_trail'];
const refusal = async (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => 'nothing',
    (error: unknown) => error,
  );
const reasonOf = async (work: Promise<unknown>): Promise<unknown> => {
  const error = await refusal(work);
  return OverrideValidationError.is(error) ? error.details['reason'] : error;
};

describe('cancelOverride', () => {
  it('F29: another tenant’s is not found; it is cancelled once', async () => {
    const { overrideId } = await request();
    const foreign = await refusal(service.cancelOverride('t2', overrideId, 'bob'));
    expect([OverrideNotFoundError.is(foreign), NotFoundError.is(foreign)]).toEqual([true, true]);
    expect(foreign).toMatchObject({ details: { overrideId } });
    clock.advance(1000);
    expect(await service.cancelOverride('t1', overrideId, 'bob')).toMatchObject({
      ...{ status: 'CANCELLED', cancelledBy: 'bob', cancelledAt: later(1000) },
      ...{ inEffect: false, effectiveValue: '500000', limitName: 'Budget' },
    });
    expect(await refusal(service.cancelOverride('t1', overrideId, 'bob'))).toMatchObject({
      details: { reason: 'NOT_CANCELLABLE', overrideId, status: 'CANCELLED' },
    });
    expect(await trail(overrideId)).toEqual([
      { at: NOW.toISOString(), actor: 'ann', from: null, to: 'ACTIVE' },
      { at: later(1000).toISOString(), actor: 'bob', from: 'ACTIVE', to: 'CANCELLED' },
    ]);
  });
  it.each([
    ['PENDING', 1, null],
    ['PENDING', 0, null],
    ['APPROVED', 1, null],
    ['APPROVED', 0, null],
    ['ACTIVE', 1, null],
    ['ACTIVE', 0, 'EXPIRED'],
    ['EXPIRED', 1, 'EXPIRED'],
    ['REJECTED', 1, 'REJECTED'],
    ['CANCELLED', 1, 'CANCELLED'],
  ])('%s, %i ms before its end: %s', async (status, left, refused) => {
    await insertRows(
      db.manager(),
      makeLimitOverride('t1', 'L', {
        id: 'o',
        status,
        ...{ approved_at: NOW, starts_at: later(-HOUR), expires_at: later(left), rejection_reason: 'no' },
      }),
    );
    const work = service.cancelOverride('t1', 'o', 'bob');
    if (refused === null) expect(await work).toMatchObject({ status: 'CANCELLED' });
    else expect(await refusal(work)).toMatchObject({ details: { reason: 'NOT_CANCELLABLE', status: refused } });
  });
  it('is one statement', async () => {
    const { overrideId } = await request();
    expect(await captureStatements(db.manager(), () => service.cancelOverride('t1', overrideId, 'bob'))).toHaveLength(
      1,
    );
  });
});

describe('approveOverride', () => {
  it('F28: approved before its start, active at it; another one’s window has passed', async () => {
    const { overrideId } = await service.requestOverride('t1', at(HOUR), 'ann');
    await limits(1);
    const late = await service.requestOverride('t1', at(HOUR, { limitId: 'l1' }), 'ann');
    clock.set(later(HOUR / 2));
    expect(await service.approveOverride('t1', overrideId, 'bob')).toMatchObject({
      ...{ status: 'APPROVED', approvedBy: 'bob', approvedAt: later(HOUR / 2), inEffect: false },
      ...{ startsAt: later(HOUR), expiresAt: later(3 * HOUR) },
    });
    clock.set(later(HOUR - 1));
    expect(await service.activateDueOverrides('t1')).toEqual({ activated: [], blockedByCap: [] });
    clock.set(later(HOUR));
    expect(await service.activateDueOverrides('t1')).toEqual({ activated: [overrideId], blockedByCap: [] });
    expect(await service.getOverride('t1', overrideId)).toMatchObject({ status: 'ACTIVE', inEffect: true });
    expect(await trail(overrideId)).toEqual([
      { at: NOW.toISOString(), actor: 'ann', from: null, to: 'PENDING' },
      { at: later(HOUR / 2).toISOString(), actor: 'bob', from: 'PENDING', to: 'APPROVED' },
      { at: later(HOUR).toISOString(), actor: 'system', from: 'APPROVED', to: 'ACTIVE' },
    ]);
    clock.set(later(3 * HOUR));
    expect(await reasonOf(service.approveOverride('t1', late.overrideId, 'bob'))).toBe('WINDOW_PASSED');
  });
  it('at its start or later it is in effect at once, and ends when it was to end', async () => {
    const { overrideId } = await service.requestOverride('t1', at(HOUR), 'ann');
    clock.set(later(HOUR));
    expect(await service.approveOverride('t1', overrideId, 'bob')).toMatchObject({
      ...{ status: 'ACTIVE', inEffect: true, startsAt: later(HOUR), expiresAt: later(3 * HOUR) },
    });
  });
  it('with another value and duration; the trail keeps what was asked for', async () => {
    const { overrideId } = await service.requestOverride('t1', at(HOUR), 'ann');
    const adjust = { value: decimal('600000.50'), durationHours: 168 };
    expect(await service.approveOverride('t1', overrideId, 'bob', adjust)).toMatchObject({
      ...{ overrideValue: '600000.5', originalValue: '500000', expiresAt: later(169 * HOUR) },
    });
    expect((await stored(overrideId))['duration_hours']).toBe(168);
    expect(await trail(overrideId)).toEqual([
      expect.anything(),
      {
        ...{ at: NOW.toISOString(), actor: 'bob', from: 'PENDING', to: 'APPROVED' },
        note: 'requested: 800000 for 2 h',
      },
    ]);
  });
  it('a longer duration opens a window that had passed', async () => {
    const { overrideId } = await service.requestOverride('t1', at(HOUR), 'ann');
    clock.set(later(3 * HOUR));
    expect(await service.approveOverride('t1', overrideId, 'bob', { durationHours: 3 })).toMatchObject({
      ...{ status: 'ACTIVE', expiresAt: later(4 * HOUR) },
    });
  });
  it('one that was never scheduled starts with its approval', async () => {
    await insertRows(db.manager(), makeLimitOverride('t1', 'L', { id: 'o' }));
    expect(await service.approveOverride('t1', 'o', 'bob')).toMatchObject({
      ...{ status: 'ACTIVE', startsAt: NOW, expiresAt: later(2 * HOUR) },
    });
  });
  it('refuses in the specified order', async () => {
    await db.manager().query(`UPDATE limits SET limit_type = 'TOKENS_X' WHERE id = 'L'`);
    const { overrideId } = await service.requestOverride('t1', at(HOUR), 'ann');
    const [first = ''] = await active(5);
    clock.set(later(3 * HOUR));
    const refused = (adjust: { value?: DecimalString; durationHours?: number } = {}, id = overrideId, tenant = 't1') =>
      reasonOf(service.approveOverride(tenant, id, 'bob', adjust));
    expect(await refused({ durationHours: 0 }, 'none')).toMatchObject({ details: { field: 'durationHours' } });
    expect(OverrideNotFoundError.is(await refused({ value: decimal('1') }, 'none'))).toBe(true);
    expect(OverrideNotFoundError.is(await refused({}, overrideId, 't2'))).toBe(true);
    expect(OverrideNotFoundError.is(await refused({}, overrideId, 'nobody'))).toBe(true);
    expect(await refused({ value: decimal('1') }, first)).toBe('NOT_PENDING');
    expect(await refused({ value: decimal('500000') })).toBe('NOT_AN_INCREASE');
    expect(await refused({ value: decimal('1000000.000001') })).toBe('ABOVE_PLAN_CAP');
    expect(await refused()).toBe('WINDOW_PASSED');
    expect(StackingAbuseError.is(await refused({ durationHours: 3 }))).toBe(true);
    expect((await stored(overrideId))['status']).toBe('PENDING');
    await service.cancelOverride('t1', first, 'ann');
    expect(await service.approveOverride('t1', overrideId, 'bob', { durationHours: 3 })).toMatchObject({
      status: 'ACTIVE',
    });
  });
  it('five active don’t refuse one that starts later', async () => {
    const { overrideId } = await service.requestOverride('t1', at(HOUR), 'ann');
    await active(5);
    expect(await service.approveOverride('t1', overrideId, 'bob')).toMatchObject({ status: 'APPROVED' });
  });
  it('NOT_PENDING tells the status', async () => {
    const { overrideId } = await request();
    expect(await refusal(service.approveOverride('t1', overrideId, 'bob'))).toMatchObject({
      details: { reason: 'NOT_PENDING', overrideId, status: 'ACTIVE' },
    });
  });
});

describe('rejectOverride', () => {
  it('refuses for good, and says who and why', async () => {
    const { overrideId } = await service.requestOverride('t1', at(HOUR), 'ann');
    clock.advance(1);
    expect(await service.rejectOverride('t1', overrideId, 'bob', 'no')).toMatchObject({
      ...{ status: 'REJECTED', rejectedBy: 'bob', rejectionReason: 'no', approvedBy: null },
    });
    expect((await stored(overrideId))['rejected_at']).toEqual(later(1));
    expect(await trail(overrideId)).toEqual([
      expect.anything(),
      { at: later(1).toISOString(), actor: 'bob', from: 'PENDING', to: 'REJECTED' },
    ]);
    for (const again of [
      () => service.rejectOverride('t1', overrideId, 'bob', 'no'),
      () => service.approveOverride('t1', overrideId, 'bob'),
    ])
      expect(await refusal(again())).toMatchObject({ details: { reason: 'NOT_PENDING', status: 'REJECTED' } });
  });
  it('only a pending one; a missing one is not found', async () => {
    const { overrideId } = await request();
    expect(await reasonOf(service.rejectOverride('t1', overrideId, 'bob', 'no'))).toBe('NOT_PENDING');
    expect(OverrideNotFoundError.is(await refusal(service.rejectOverride('t1', 'none', 'bob', 'no')))).toBe(true);
  });
});
