import {
  type LimitOverrideRequest,
  type LimitOverrideResponse,
  LimitNotFoundError,
  LimitOverrideServiceError,
  type OverridePort,
  OverrideNotFoundError,
  OverrideValidationError,
  StackingAbuseError,
} from '@hoc/controls/schemas';
import {
  InvalidArgumentError,
  LimitExceededError,
  NotFoundError,
  TenantScopeError,
  TransactionRequiredError,
} from '@hoc/shared/kernel';
import { entities, LimitOverrideEntity, migrations } from '@hoc/shared/models';
import { type Columns, fixedClock, makeLimit, makeLimitOverride, makeTenant, sequentialIds } from '@hoc/shared/testing';
import { captureStatements, insertRows, useDatabase } from '@hoc/testkit';
import * as driverFile from './override.driver';
import { getLimitOverrideService, LimitOverrideService } from './override.driver';

const db = useDatabase({ entities, migrations });
const NOW = new Date('2026-03-10T12:00:00.000Z');
const HOUR = 3_600_000;
const later = (ms: number): Date => new Date(NOW.getTime() + ms);
const clock = fixedClock(NOW);
const bad = (value: unknown): never => value as never;
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
/** The call's result, with all that it wrote taken back. */
async function alone<T>(work: () => Promise<T>): Promise<T> {
  await db.manager().query('SAVEPOINT alone');
  try {
    return await work();
  } finally {
    await db.manager().query('ROLLBACK TO SAVEPOINT alone');
  }
}

describe('the file', () => {
  it('carries the seed’s names and numbers, and its errors from the schemas', () => {
    expect([
      LimitOverrideService.MAX_ACTIVE_PER_TENANT,
      LimitOverrideService.MAX_DURATION_HOURS,
      LimitOverrideService.MAX_SCHEDULE_AHEAD_DAYS,
    ]).toEqual([5, 168, 30]);
    for (const known of [
      LimitOverrideServiceError,
      LimitNotFoundError,
      OverrideNotFoundError,
      OverrideValidationError,
      StackingAbuseError,
    ])
      expect(Reflect.get(driverFile, known.name)).toBe(known);
    expect(service).toBeInstanceOf(LimitOverrideService);
  });
  it('is the port, no method more or less', () => {
    const port: OverridePort = service;
    const names: Record<keyof OverridePort, true> & Record<keyof LimitOverrideService, true> = {
      requestOverride: true,
      getOverride: true,
      listOverrides: true,
      countOverrides: true,
      cancelOverride: true,
      approveOverride: true,
      rejectOverride: true,
      expireOverrides: true,
      activateDueOverrides: true,
      detectTenantsWithDueOverrides: true,
      fetchOverridesInEffect: true,
    };
    for (const name of Object.keys(names)) expect(typeof Reflect.get(port, name)).toBe('function');
  });
});

describe('requestOverride', () => {
  it('F24: is in effect at once, for 48 hours to the millisecond; then over, though nobody has marked it', async () => {
    const made = await request();
    const expected = {
      overrideId: 'o-000001',
      limitId: 'L',
      limitName: 'Budget',
      tenantId: 't1',
      originalValue: '500000',
      overrideValue: '800000',
      effectiveValue: '800000',
      inEffect: true,
      status: 'ACTIVE',
      requestedAt: NOW,
      approvedAt: NOW,
      startsAt: NOW,
      expiresAt: new Date('2026-03-12T12:00:00.000Z'),
      cancelledAt: null,
      requestedBy: 'ann',
      approvedBy: 'ann',
      cancelledBy: null,
      rejectedBy: null,
      reason: 'a campaign of the day',
      rejectionReason: null,
    };
    expect(made).toEqual(expected);
    expect([Object.isFrozen(made), made instanceof LimitOverrideEntity]).toEqual([true, false]);
    clock.set('2026-03-12T11:59:59.999Z');
    expect(await service.getOverride('t1', made.overrideId)).toEqual(expected);
    clock.set('2026-03-12T12:00:00.000Z');
    expect(await service.getOverride('t1', made.overrideId)).toEqual({
      ...expected,
      effectiveValue: '500000',
      inEffect: false,
    });
    expect(await trail(made.overrideId)).toEqual([{ at: NOW.toISOString(), actor: 'ann', from: null, to: 'ACTIVE' }]);
  });
  it('F25: at its end the limit takes the next one, and the old one is marked', async () => {
    const old = await request();
    clock.set('2026-03-12T12:00:00.000Z');
    expect(await request({ overrideValue: '900000' })).toMatchObject({ status: 'ACTIVE', overrideValue: '900000' });
    expect(await service.getOverride('t1', old.overrideId)).toMatchObject({ status: 'EXPIRED', inEffect: false });
    expect(await trail(old.overrideId)).toEqual([
      { at: NOW.toISOString(), actor: 'ann', from: null, to: 'ACTIVE' },
      { at: '2026-03-12T12:00:00.000Z', actor: 'system', from: 'ACTIVE', to: 'EXPIRED' },
    ]);
  });
  it('F26: five active refuse a sixth, a scheduled one too; another tenant’s is none of them', async () => {
    const ids = await active(5);
    const error = await refusal(request());
    expect(StackingAbuseError.is(error)).toBe(true);
    expect([LimitExceededError.is(error), LimitOverrideServiceError.is(error)]).toEqual([true, true]);
    expect(error).toMatchObject({ details: { active: 5, max: 5 } });
    expect(StackingAbuseError.is(await refusal(service.requestOverride('t1', at(HOUR), 'ann')))).toBe(true);
    expect(await request({ limitId: 'L2' }, 't2')).toMatchObject({ tenantId: 't2', status: 'ACTIVE' });
    await service.cancelOverride('t1', ids[2] ?? '', 'ann');
    expect(await request()).toMatchObject({ status: 'ACTIVE' });
  });
  it('scheduled and approved ones are none of the five, nor are those that are over and unmarked', async () => {
    await active(4);
    await insertRows(
      db.manager(),
      ...['p', 'a', 'x'].map((id) => makeLimit('t1', { id })),
      makeLimitOverride('t1', 'p', { id: 'pending', starts_at: later(HOUR), expires_at: later(2 * HOUR) }),
      makeLimitOverride('t1', 'a', {
        id: 'approved',
        status: 'APPROVED',
        ...{ approved_at: NOW, starts_at: later(HOUR), expires_at: later(2 * HOUR) },
      }),
      makeLimitOverride('t1', 'x', {
        id: 'over',
        status: 'ACTIVE',
        ...{ approved_at: NOW, starts_at: later(-HOUR), expires_at: NOW },
      }),
    );
    expect(await request()).toMatchObject({ status: 'ACTIVE' });
    expect((await stored('over'))['status']).toBe('EXPIRED');
  });
  it.each([
    ['1000000', 'made'],
    ['1000000.000001', 'ABOVE_PLAN_CAP'],
    ['900000', 'NOT_AN_INCREASE'],
    ['900000.000001', 'made'],
  ])('F27: a limit of 900,000 tokens under a plan of a million, to %s: %s', async (overrideValue, expected) => {
    await limits(1, { limit_type: 'TOKENS_PER_MONTH', max_value: '900000' });
    const asked = alone(() => request({ limitId: 'l1', overrideValue }));
    if (expected === 'made') expect(await asked).toMatchObject({ overrideValue, originalValue: '900000' });
    else expect(await reasonOf(asked)).toBe(expected);
  });
  it.each([
    ['nine', 'x'.repeat(9), false],
    ['nine and blanks', `  ${'x'.repeat(9)} `, false],
    ['ten', 'x'.repeat(10), true],
    ['ten beyond the basic plane', '😀'.repeat(10), true],
    ['five hundred beyond it', '😀'.repeat(500), true],
    ['501', 'x'.repeat(501), false],
    ['ten blanks', ' '.repeat(10), false],
  ])('F27: a reason of %s characters', async (_name, reason, fits) => {
    if (fits) expect((await request({ reason })).reason).toBe(reason.trim());
    else expect(await refusal(request({ reason }))).toMatchObject({ details: { field: 'reason' } });
  });
  it.each([
    ['RUNS_PER_DAY', '99', '100', '101'],
    ['CONCURRENT_RUNS', '4', '5', '6'],
  ])(
    'the plan caps %s, limit %s: its own figure %s passes, %s does not',
    async (limit_type, max_value, equal, above) => {
      await limits(1, { limit_type, max_value });
      expect(await reasonOf(alone(() => request({ limitId: 'l1', overrideValue: above })))).toBe('ABOVE_PLAN_CAP');
      expect(await request({ limitId: 'l1', overrideValue: equal })).toMatchObject({ overrideValue: equal });
    },
  );
  it('a limit of zero is refused before the database would, and the transaction goes on', async () => {
    await limits(1, { max_value: '0' });
    expect(await reasonOf(request({ limitId: 'l1', overrideValue: '5' }))).toBe('LIMIT_OF_ZERO');
    expect(await request({ limitId: 'L' })).toMatchObject({ limitId: 'L', status: 'ACTIVE' });
  });
  it('F42: a disabled limit, and a limit of another tenant', async () => {
    await limits(1, { max_value: '100', status: 'DISABLED' });
    const disabled = await refusal(request({ limitId: 'l1' }));
    expect([OverrideValidationError.is(disabled), InvalidArgumentError.is(disabled)]).toEqual([true, true]);
    expect(disabled).toMatchObject({ details: { reason: 'LIMIT_DISABLED', limitId: 'l1' } });
    for (const [limitId, tenant] of [['L2'], ['none'], ['L', 'nobody']] as const) {
      const missing = await refusal(request({ limitId }, tenant));
      expect([LimitNotFoundError.is(missing), NotFoundError.is(missing)]).toEqual([true, true]);
    }
  });
  it('a scheduled one waits for somebody’s approval, and its window is known', async () => {
    const made = await service.requestOverride('t1', at(HOUR), 'ann');
    expect(made).toMatchObject({
      ...{ status: 'PENDING', inEffect: false, effectiveValue: '500000', approvedAt: null, approvedBy: null },
      ...{ startsAt: later(HOUR), expiresAt: later(3 * HOUR) },
    });
    expect(await trail(made.overrideId)).toEqual([{ at: NOW.toISOString(), actor: 'ann', from: null, to: 'PENDING' }]);
  });
  it.each([
    ['now', 0, 'START'],
    ['a millisecond later', 1, 'made'],
    ['in 30 days', 30 * 24 * HOUR, 'made'],
    ['a millisecond after these', 30 * 24 * HOUR + 1, 'START'],
    ['in the last year of all', 8.64e15 - NOW.getTime(), 'START'],
  ])('scheduled for %s (%i ms): %s', async (_when, ms, expected) => {
    const asked = service.requestOverride('t1', at(ms), 'ann');
    expect(expected === 'made' ? (await asked).status : await reasonOf(asked)).toBe(
      expected === 'made' ? 'PENDING' : expected,
    );
  });
  it('refuses in the specified order: what is wrong later is not told before', async () => {
    const wrong = at(-1, { overrideValue: '1' });
    const [first = ''] = await active(4);
    const held = await request();
    await db.manager().query(`UPDATE limits SET status = 'DISABLED', limit_type = 'TOKENS_X' WHERE id = 'L'`);
    const refused = (asked: LimitOverrideRequest = wrong, tenant = 't1', by = 'ann') =>
      reasonOf(service.requestOverride(tenant, asked, by));
    const outside = getLimitOverrideService(db.dataSource().manager, { clock, ids: sequentialIds() });

    expect(TenantScopeError.is(await refusal(outside.requestOverride('', bad(null), '')))).toBe(true);
    expect(TransactionRequiredError.is(await refusal(outside.requestOverride('t1', bad(null), '')))).toBe(true);
    expect(await refused({ ...wrong, limitId: 'none', durationHours: 0 })).toMatchObject({ code: 'INVALID_ARGUMENT' });
    expect(await refused({ ...wrong, limitId: 'none' }, 't1', '')).toMatchObject({ details: { field: 'requestedBy' } });
    expect(LimitNotFoundError.is(await refused({ ...wrong, limitId: 'none' }))).toBe(true);
    expect(await refused()).toBe('LIMIT_DISABLED');
    await db.manager().query(`UPDATE limits SET status = 'ACTIVE' WHERE id = 'L'`);
    expect(StackingAbuseError.is(await refused())).toBe(true);
    await service.cancelOverride('t1', first, 'ann');
    expect(await refused()).toBe('ALREADY_EXISTS');
    await service.cancelOverride('t1', held.overrideId, 'ann');
    expect(await refused()).toBe('NOT_AN_INCREASE');
    expect(await refused({ ...wrong, overrideValue: '1000001' })).toBe('ABOVE_PLAN_CAP');
    expect(await refused({ ...wrong, overrideValue: '1000000' })).toBe('START');
    expect(await service.requestOverride('t1', at(1), 'ann')).toMatchObject({ status: 'PENDING' });
  });
  it.each(['PENDING', 'APPROVED', 'ACTIVE'])('one live override a limit: %s refuses another', async (status) => {
    await insertRows(
      db.manager(),
      makeLimitOverride('t1', 'L', {
        status,
        ...{ approved_at: NOW, starts_at: later(-HOUR), expires_at: later(1) },
      }),
    );
    expect(await refusal(request())).toMatchObject({ details: { reason: 'ALREADY_EXISTS', limitId: 'L' } });
    clock.advance(1);
    expect(await request()).toMatchObject({ status: 'ACTIVE' });
  });
  it('a pending one without an end is live for ever', async () => {
    await insertRows(db.manager(), makeLimitOverride('t1', 'L'));
    clock.advance(1000 * HOUR);
    expect(await reasonOf(request())).toBe('ALREADY_EXISTS');
    expect(await reasonOf(request({ overrideValue: '1' }))).toBe('ALREADY_EXISTS');
  });
  it('a disabled limit leaves its tenant’s overdue rows alone; a refusal after that has marked them', async () => {
    const { overrideId } = await request({ durationHours: 1 });
    await limits(1, { status: 'DISABLED' });
    clock.advance(HOUR);
    expect(await reasonOf(request({ limitId: 'l1' }))).toBe('LIMIT_DISABLED');
    expect((await stored(overrideId))['status']).toBe('ACTIVE');
    expect(await reasonOf(request({ overrideValue: '1' }))).toBe('NOT_AN_INCREASE');
    expect((await stored(overrideId))['status']).toBe('EXPIRED');
  });
  it('two statements, whatever comes of it', async () => {
    expect(await captureStatements(db.manager(), () => request())).toHaveLength(2);
    expect(await captureStatements(db.manager(), () => refusal(request()))).toHaveLength(2);
  });
  it.each(['REPEATABLE READ', 'SERIALIZABLE'])(
    'is refused at %s: the count would be of before the lock',
    async (level) => {
      const runner = db.dataSource().createQueryRunner();
      await runner.startTransaction(level as 'SERIALIZABLE');
      try {
        await insertRows(runner.manager, makeTenant({ id: 't9' }), makeLimit('t9', { id: 'l' }));
        const strict = getLimitOverrideService(runner.manager, { clock, ids: sequentialIds() });
        for (const work of [
          () => strict.requestOverride('t9', ask({ limitId: 'l' }), 'ann'),
          () => strict.activateDueOverrides('t9'),
        ])
          expect(await refusal(work())).toMatchObject({
            code: 'TRANSACTION_REQUIRED',
            details: { reason: 'isolation' },
          });
      } finally {
        await runner.rollbackTransaction();
        await runner.release();
      }
    },
  );
});
