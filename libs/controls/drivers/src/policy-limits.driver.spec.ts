import { entities, LimitIntegrityEntity, migrations } from '@hoc/controls/models';
import { LimitNotFoundError, type NewLimit, PolicyLimitsServiceError } from '@hoc/controls/schemas';
import {
  ConflictError,
  type DecimalString,
  InvalidArgumentError,
  NotFoundError,
  systemScope,
  TenantScopeError,
} from '@hoc/shared/kernel';
import { entities as shared, migrations as sharedMigrations } from '@hoc/shared/models';
import { fixedClock, makeLimit, makeTenant, sequentialIds } from '@hoc/shared/testing';
import { captureStatements, insertRows, useDatabase } from '@hoc/testkit';
import { getPolicyLimitsDriver, type PolicyLimitsDriver } from './policy-limits.driver';

const db = useDatabase({ entities: [...shared, ...entities], migrations: [...sharedMigrations, ...migrations] });
const NOW = new Date('2026-03-10T12:00:00.000Z');
const clock = fixedClock(NOW);
const decimal = (text: string): DecimalString => text as DecimalString;
const BUDGET: NewLimit = {
  name: 'Monthly budget',
  description: null,
  limitCategory: 'BUDGET',
  limitType: 'COST_CENTS',
  scope: 'TENANT',
  scopeId: null,
  maxValue: decimal('500000.000001'),
  resetPeriod: 'MONTHLY',
  windowSeconds: null,
  measurementWindowSeconds: null,
  params: {},
  enforcement: 'BLOCK',
  consequence: null,
  createdBy: 'ann',
};
const bad = (value: unknown): never => value as never;
let driver: PolicyLimitsDriver;

beforeEach(async () => {
  clock.set(NOW);
  driver = getPolicyLimitsDriver(db.manager(), { clock, ids: sequentialIds('l') });
  await insertRows(db.manager(), makeTenant({ id: 't1' }), makeTenant({ id: 't2' }));
});

const count = async (table = 'limits'): Promise<number> => {
  const [row]: { n: number }[] = await db.manager().query(`SELECT count(*)::int AS n FROM ${table}`);
  return row?.n ?? -1;
};
const refusal = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => 'passed',
    (error: unknown) => error,
  );

describe('addLimit', () => {
  it('stores the limit at once and gives the row back, exact to the last digit, frozen, no entity', async () => {
    const limit = await driver.addLimit('t1', BUDGET);
    expect(limit).toEqual({
      ...BUDGET,
      limitId: 'l-000001',
      tenantId: 't1',
      nextResetAt: null,
      status: 'ACTIVE',
      version: 1,
      updatedBy: null,
      createdAt: NOW,
      updatedAt: NOW,
    });
    expect(Object.isFrozen(limit) && Object.isFrozen(limit.params)).toBe(true);
    expect(await driver.fetchLimitById('t1', 'l-000001')).toEqual(limit);
  });
  it('keeps every field of the other categories', async () => {
    const threshold = await driver.addLimit('t1', {
      ...BUDGET,
      id: 'mine',
      limitCategory: 'THRESHOLD',
      limitType: 'TOKENS_PER_RUN',
      scope: 'AGENT',
      scopeId: 'a7',
      maxValue: decimal('60000'),
      resetPeriod: null,
      windowSeconds: 60,
      measurementWindowSeconds: 2_678_400,
      params: { max_tokens: 60_000, nested: { deep: [1, null] } },
      enforcement: 'ALERT',
      consequence: 'INCIDENT',
      status: 'DISABLED',
      description: 'é',
      createdBy: null,
    });
    expect(await driver.fetchLimitById('t1', 'mine')).toEqual(threshold);
    expect(threshold).toMatchObject({ scopeId: 'a7', consequence: 'INCIDENT', params: { max_tokens: 60_000 } });
  });
  it('an id that exists is a conflict, and the transaction goes on', async () => {
    await driver.addLimit('t1', { ...BUDGET, id: 'one' });
    expect(await refusal(driver.addLimit('t1', { ...BUDGET, id: 'one', name: 'other' }))).toMatchObject({
      code: 'CONFLICT',
      details: { reason: 'unique', limitId: 'one' },
    });
    expect(await driver.fetchLimitById('t1', 'one')).toMatchObject({ name: BUDGET.name });
    expect(await driver.addLimit('t2', { ...BUDGET, id: 'one' })).toMatchObject({ tenantId: 't2' });
  });
  it('an unknown tenant is not found', async () => {
    expect(NotFoundError.is(await refusal(driver.addLimit('nobody', BUDGET)))).toBe(true);
  });
  it('F44: COST_USD is refused before any SQL, with a message that names COST_CENTS; the CHECK refuses it too', async () => {
    const sent = await captureStatements(db.manager(), async () => {
      expect(await refusal(driver.addLimit('t1', { ...BUDGET, limitType: 'COST_USD' }))).toMatchObject({
        code: 'INVALID_ARGUMENT',
        message: expect.stringContaining('COST_CENTS') as string,
        details: { field: 'limitType' },
      });
    });
    expect(sent).toEqual([]);
    await expect(
      insertRows(db.manager(), makeLimit('t1', { limit_type: 'COST_USD', max_value: '12.5' })),
    ).rejects.toMatchObject({ driverError: { code: '23514', constraint: 'ck_limits_type' } });
  });
  it('what only the table knows comes back as a bad argument that names the CHECK', async () => {
    expect(await refusal(driver.addLimit('t1', { ...BUDGET, resetPeriod: null }))).toMatchObject({
      code: 'INVALID_ARGUMENT',
      details: { reason: 'check', constraint: 'ck_limits_budget_reset' },
    });
  });
  it.each<[string, Partial<Record<keyof NewLimit, unknown>>]>([
    ['name', { name: '' }],
    ['name', { name: 'x'.repeat(257) }],
    ['description', { description: 'x'.repeat(1025) }],
    ['description', { description: 'a\u0000b' }],
    ['limitCategory', { limitCategory: 'QUOTA' }],
    ['limitType', { limitType: 'cost_cents' }],
    ['scope', { scope: 'TEAM' }],
    ['scopeId', { scopeId: '' }],
    ['maxValue', { maxValue: '1e3' }],
    ['maxValue', { maxValue: '-1' }],
    ['maxValue', { maxValue: '1.0000001' }],
    ['maxValue', { maxValue: '123456789012345' }],
    ['resetPeriod', { resetPeriod: 'YEARLY' }],
    ['windowSeconds', { windowSeconds: 0 }],
    ['measurementWindowSeconds', { measurementWindowSeconds: 2_678_401 }],
    ['params', { params: [1] }],
    ['params', { params: { big: 'x'.repeat(65_536) } }],
    ['params', { params: { wide: new Array(300).fill(1e300) } }],
    ['params', { params: { n: 1n } }],
    ['params', { params: { text: 'a\u0000' } }],
    ['enforcement', { enforcement: 'STOP' }],
    ['consequence', { consequence: 'FINE' }],
    ['status', { status: 'OFF' }],
    ['actor', { createdBy: 'x'.repeat(129) }],
    ['id', { id: '' }],
  ])('refuses a bad %s before any SQL', async (field, given) => {
    const sent = await captureStatements(db.manager(), async () => {
      const error = await refusal(driver.addLimit('t1', bad({ ...BUDGET, ...given })));
      expect(InvalidArgumentError.is(error)).toBe(true);
      expect(JSON.stringify(error)).toContain(field);
    });
    expect(sent).toEqual([]);
    expect(await count()).toBe(0);
  });
});

describe('createLimit', () => {
  it('stores the limit and its verification in one statement', async () => {
    const sent = await captureStatements(db.manager(), () => driver.createLimit('t1', { ...BUDGET, id: 'one' }));
    expect(sent).toHaveLength(1);
    expect(await db.manager().find(LimitIntegrityEntity)).toEqual([
      {
        tenantId: 't1',
        id: 'l-000001',
        limitId: 'one',
        integrityStatus: 'VERIFIED',
        integrityScore: 1,
        computedAt: NOW,
      },
    ]);
  });
  it('an active limit can be made: the original’s trigger and foreign key let none be', async () => {
    expect(await driver.createLimit('t1', BUDGET)).toMatchObject({ status: 'ACTIVE' });
  });
  it('where the id exists neither row is written', async () => {
    await driver.addLimit('t1', { ...BUDGET, id: 'one' });
    const error = await refusal(
      driver.createLimit('t1', { ...BUDGET, id: 'one' }, { integrityStatus: 'FAILED', integrityScore: 0 }),
    );
    expect(ConflictError.is(error)).toBe(true);
    expect([await count(), await count('limit_integrity')]).toEqual([1, 0]);
  });
});

describe('addIntegrity', () => {
  beforeEach(() => driver.addLimit('t1', { ...BUDGET, id: 'one' }));

  it('keeps one row a limit: the latest', async () => {
    const first = await driver.addIntegrity('t1', {
      limitId: 'one',
      integrityStatus: 'VERIFIED',
      integrityScore: 0.25,
    });
    clock.set(new Date(NOW.getTime() + 1));
    const second = await driver.createIntegrity('t1', {
      limitId: 'one',
      integrityStatus: 'FAILED',
      integrityScore: 0,
    });
    expect(second).toEqual({ ...first, integrityStatus: 'FAILED', integrityScore: 0, computedAt: clock.now() });
    expect(await count('limit_integrity')).toBe(1);
  });
  it('an older finding does not overwrite a later one, and says what stands', async () => {
    const later = await driver.addIntegrity('t1', { limitId: 'one', integrityStatus: 'DEGRADED', integrityScore: 0.5 });
    clock.set(new Date(NOW.getTime() - 1));
    expect(await driver.addIntegrity('t1', { limitId: 'one', integrityStatus: 'VERIFIED', integrityScore: 1 })).toEqual(
      later,
    );
  });
  it.each([NaN, -0.1, 1.1, Infinity, '1'])('refuses a score of %p', async (integrityScore) => {
    expect(
      await refusal(
        driver.addIntegrity('t1', { limitId: 'one', integrityStatus: 'VERIFIED', integrityScore: bad(integrityScore) }),
      ),
    ).toMatchObject({ code: 'INVALID_ARGUMENT', details: { field: 'integrityScore' } });
  });
  it('another tenant’s limit is not found, in both families of errors', async () => {
    const error = await refusal(
      driver.addIntegrity('t2', { limitId: 'one', integrityStatus: 'VERIFIED', integrityScore: 1 }),
    );
    expect(LimitNotFoundError.is(error) && PolicyLimitsServiceError.is(error)).toBe(true);
  });
});

describe('addMissingIntegrity', () => {
  it('adds VERIFIED, 1 once, and leaves what a verification found', async () => {
    await driver.addLimit('t1', { ...BUDGET, id: 'one' });
    expect([await driver.addMissingIntegrity('t1', 'one'), await driver.addMissingIntegrity('t1', 'one')]).toEqual([
      true,
      false,
    ]);
    await driver.addIntegrity('t1', { limitId: 'one', integrityStatus: 'FAILED', integrityScore: 0 });
    expect(await driver.addMissingIntegrity('t1', 'one')).toBe(false);
    expect(await db.manager().find(LimitIntegrityEntity)).toMatchObject([{ integrityStatus: 'FAILED' }]);
    expect(LimitNotFoundError.is(await refusal(driver.addMissingIntegrity('t2', 'one')))).toBe(true);
  });
});

describe('updateLimit', () => {
  beforeEach(() => driver.addLimit('t1', { ...BUDGET, id: 'one', description: 'old', params: { a: 1, b: 2 } }));

  it('changes what is given and nothing else, and gives the limit before and after', async () => {
    clock.set(new Date(NOW.getTime() + 1000));
    const stored = await driver.fetchLimitById('t1', 'one');
    const change = await driver.updateLimit('t1', 'one', { name: 'New', maxValue: decimal('7.5') });
    expect(change?.before).toEqual(stored);
    expect(change?.after).toEqual({
      ...stored,
      name: 'New',
      maxValue: '7.5',
      version: 2,
      updatedAt: clock.now(),
    });
    expect(await driver.fetchLimitById('t1', 'one')).toEqual(change?.after);
  });
  it('changes every field that may change; null clears the description and the author', async () => {
    const change = await driver.updateLimit('t1', 'one', {
      name: 'n',
      description: null,
      maxValue: decimal('1'),
      enforcement: 'WARN',
      resetPeriod: 'DAILY',
      windowSeconds: 60,
      params: { b: 3, c: null },
      status: 'DISABLED',
      updatedBy: 'bob',
    });
    expect(change?.after).toMatchObject({
      name: 'n',
      description: null,
      maxValue: '1',
      enforcement: 'WARN',
      resetPeriod: 'DAILY',
      windowSeconds: 60,
      params: { a: 1, b: 3, c: null },
      status: 'DISABLED',
      updatedBy: 'bob',
      version: 2,
    });
    const next = await driver.updateLimit('t1', 'one', { name: 'm', updatedBy: null });
    expect(next?.after).toMatchObject({ name: 'm', updatedBy: null, version: 3 });
  });
  it('a new limit in cents mends a stored one in dollars', async () => {
    await driver.addLimit('t1', { ...BUDGET, id: 'two', params: { max_cost_usd: 0.29, max_tokens: 9000 } });
    const kept = await driver.updateLimit('t1', 'two', { params: { max_tokens: 1 } });
    expect(kept?.after.params).toEqual({ max_cost_usd: 0.29, max_tokens: 1 });
    const mended = await driver.updateLimit('t1', 'two', { params: { max_cost_cents: '29' } });
    expect(mended?.after.params).toEqual({ max_tokens: 1, max_cost_cents: '29' });
  });
  it('refuses another version and says which one stands; nothing is written', async () => {
    expect(await refusal(driver.updateLimit('t1', 'one', { name: 'x' }, 2))).toMatchObject({
      code: 'CONFLICT',
      details: { reason: 'version', currentVersion: 1 },
    });
    expect(await driver.fetchLimitById('t1', 'one')).toMatchObject({ name: BUDGET.name, version: 1 });
    expect(await driver.updateLimit('t1', 'one', { name: 'x' }, 1)).toMatchObject({ after: { version: 2 } });
  });
  it('a missing limit, and another tenant’s, is null', async () => {
    expect(await driver.updateLimit('t1', 'none', { name: 'x' })).toBeNull();
    expect(await driver.updateLimit('t2', 'one', { name: 'x' })).toBeNull();
    expect(await driver.fetchLimitById('t1', 'one')).toMatchObject({ version: 1 });
  });
  it.each<[string, unknown]>([
    ['patch', {}],
    ['patch', { updatedBy: 'ann' }],
    ['patch', { name: undefined }],
    ['patch', null],
    ['name', { name: '' }],
    ['maxValue', { maxValue: 7 / 2 }],
    ['params', { params: 'x' }],
    ['status', { status: 'off' }],
    ['actor', { name: 'x', updatedBy: '' }],
  ])('refuses a bad %s', async (field, patch) => {
    expect(await refusal(driver.updateLimit('t1', 'one', bad(patch)))).toMatchObject({
      code: 'INVALID_ARGUMENT',
      details: { field },
    });
    expect(await driver.fetchLimitById('t1', 'one')).toMatchObject({ version: 1 });
  });
  it.each([0, 1.5, NaN, '1'])('refuses the expected version %p', async (version) => {
    expect(await refusal(driver.updateLimit('t1', 'one', { name: 'x' }, bad(version)))).toMatchObject({
      details: { field: 'expectedVersion' },
    });
  });
});

describe('markLimitDisabled', () => {
  it('ends an active limit once, with the change it made', async () => {
    await driver.addLimit('t1', { ...BUDGET, id: 'one' });
    expect(await driver.markLimitDisabled('t2', 'one', 'bob')).toBe(false);
    expect(await driver.disableLimit('t1', 'one', 'bob')).toMatchObject({
      before: { status: 'ACTIVE', version: 1 },
      after: { status: 'DISABLED', version: 2, updatedBy: 'bob' },
    });
    expect(await driver.markLimitDisabled('t1', 'one', 'bob')).toBe(false);
    expect(await driver.markLimitDisabled('t1', 'none', null)).toBe(false);
    expect(await driver.fetchLimitById('t1', 'one')).toMatchObject({ version: 2 });
  });
});

describe('detectLimitsWithoutIntegrity', () => {
  it('pages through every tenant’s limits that were never verified, in byte order', async () => {
    for (const [tenant, id] of [
      ['t2', 'a'],
      ['t1', 'b'],
      ['t1', 'B'],
      ['t1', 'a'],
    ] as const)
      await driver.addLimit(tenant, { ...BUDGET, id });
    await driver.createLimit('t1', { ...BUDGET, id: 'verified' });
    const scope = systemScope('nightly');
    const first = await driver.detectLimitsWithoutIntegrity(scope, { limit: 3 });
    const rest = await driver.detectLimitsWithoutIntegrity(scope, { limit: 3, cursor: first.nextCursor ?? '' });
    expect([...first.items, ...rest.items].map(({ tenantId, limitId }) => `${tenantId}/${limitId}`)).toEqual([
      't1/B',
      't1/a',
      't1/b',
      't2/a',
    ]);
    expect(rest.nextCursor).toBeNull();
    expect(TenantScopeError.is(await refusal(driver.detectLimitsWithoutIntegrity(bad({}))))).toBe(true);
  });
  it.each([{ limit: 0 }, { limit: 201 }, { limit: 1.5 }, { limit: NaN }, { cursor: 'x' }])(
    'refuses the page %p',
    async (page) => {
      expect(InvalidArgumentError.is(await refusal(driver.detectLimitsWithoutIntegrity(systemScope('n'), page)))).toBe(
        true,
      );
    },
  );
});

describe('tenant', () => {
  const calls: Readonly<Record<string, (tenant: string) => Promise<unknown>>> = {
    fetchLimitById: (tenant) => driver.fetchLimitById(tenant, 'one'),
    addLimit: (tenant) => driver.addLimit(tenant, BUDGET),
    createLimit: (tenant) => driver.createLimit(tenant, BUDGET),
    addIntegrity: (tenant) =>
      driver.addIntegrity(tenant, { limitId: 'one', integrityStatus: 'VERIFIED', integrityScore: 1 }),
    updateLimit: (tenant) => driver.updateLimit(tenant, 'one', { name: 'x' }),
    markLimitDisabled: (tenant) => driver.markLimitDisabled(tenant, 'one', null),
  };
  it.each(Object.keys(calls))('%s refuses a missing or malformed one', async (name) => {
    for (const tenant of ['', 'x'.repeat(101), undefined, null, 7])
      expect(TenantScopeError.is(await refusal(calls[name]?.(bad(tenant)) ?? Promise.resolve()))).toBe(true);
  });
  it('flush resolves: nothing ever waits', async () => {
    await driver.addLimit('t1', BUDGET);
    await expect(driver.flush()).resolves.toBeUndefined();
    expect(await count()).toBe(1);
  });
});
