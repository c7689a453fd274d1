import { entities, ExecutionScopeEntity, migrations } from '@hoc/controls/models';
import { type ExecuteWithScopeRequest, SCOPE_STATUSES, type ScopePort } from '@hoc/controls/schemas';
import { type DecimalString, systemScope } from '@hoc/shared/kernel';
import { entities as shared, migrations as sharedMigrations } from '@hoc/shared/models';
import { fixedClock, makeTenant, memoryLogger, sequentialIds } from '@hoc/shared/testing';
import { captureStatements, insertRows, useDatabase } from '@hoc/testkit';
import {
  BoundExecutionScope,
  createRecoveryScope,
  executeWithScope,
  getScopes,
  getScopeStore,
  type ScopeStore,
  settleScopeAttempt,
} from './scoped-execution.driver';

const db = useDatabase({ entities: [...shared, ...entities], migrations: [...sharedMigrations, ...migrations] });
const NOW = new Date('2026-03-10T12:00:00.000Z');
const later = (ms: number): Date => new Date(NOW.getTime() + ms);
const dec = (text: string): DecimalString => text as DecimalString;
const clock = fixedClock(NOW);
const nightly = systemScope('nightly');
let logger = memoryLogger();
let deps = { clock, ids: sequentialIds('x'), logger };
let store: ScopeStore;

beforeEach(async () => {
  clock.set(NOW);
  logger = memoryLogger();
  deps = { clock, ids: sequentialIds('x'), logger };
  store = getScopeStore(db.manager(), deps);
  await insertRows(db.manager(), makeTenant({ id: 't-a' }), makeTenant({ id: 't-b' }));
});

/** Leave to retry on `inc`, twice, for 50 cents, for 300 s. */
const open = (more: object = {}, tenant = 't-a'): Promise<BoundExecutionScope> =>
  store.createScope(tenant, { incidentId: 'inc', allowedActions: ['retry'], maxAttempts: 2, ...more });
const ask = (scopeId: string, more: Partial<ExecuteWithScopeRequest> = {}): ExecuteWithScopeRequest => ({
  scopeId,
  action: 'retry',
  incidentId: 'inc',
  ...more,
});
const execute = (scopeId: string, more: Partial<ExecuteWithScopeRequest> = {}, tenant = 't-a') =>
  executeWithScope(db.manager(), tenant, ask(scopeId, more), deps);
const settle = (scopeId: string, attempt: number, cents: string, tenant = 't-a') =>
  settleScopeAttempt(db.manager(), tenant, scopeId, attempt, dec(cents), deps);
const used = async (scopeId: string, tenant = 't-a'): Promise<readonly unknown[]> => {
  const scope = await store.getScope(tenant, scopeId);
  return [scope?.attemptsUsed, scope?.costUsedCents, scope?.status, scope?.executionLog.length];
};

describe('createScope', () => {
  it('stores what was asked, from the clock on, and gives it back, frozen, no entity', async () => {
    const scope = await store.createScope('t-a', {
      incidentId: 'inc',
      allowedActions: ['retry', 'a "b", {c}\\'],
      maxCostCents: '12.500000',
      maxAttempts: 3,
      ttlSeconds: 60,
      intent: 'repair é',
      targetAgents: ['ag-1', 'ag-2'],
      createdBy: 'jo',
    });
    expect({ ...scope }).toEqual({
      scopeId: 'scope_x-000001',
      tenantId: 't-a',
      incidentId: 'inc',
      allowedActions: ['retry', 'a "b", {c}\\'],
      maxCostCents: '12.5',
      maxAttempts: 3,
      expiresAt: later(60_000),
      intent: 'repair é',
      targetAgents: ['ag-1', 'ag-2'],
      createdAt: NOW,
      createdBy: 'jo',
      attemptsUsed: 0,
      costUsedCents: '0',
      status: 'active',
      executionLog: [],
    });
    expect([scope instanceof BoundExecutionScope, scope instanceof ExecutionScopeEntity]).toEqual([true, false]);
    expect([scope, scope.allowedActions, scope.targetAgents, scope.executionLog].every(Object.isFrozen)).toBe(true);
    expect(await store.getScope('t-a', scope.scopeId)).toEqual(scope);
  });
  it('fills in one attempt, 50 cents, 300 seconds, and an intent that names the incident', async () => {
    const scope = await store.createScope('t-a', { incidentId: 'inc-7', allowedActions: ['retry'], intent: '' });
    expect(scope).toMatchObject({
      maxCostCents: '50',
      maxAttempts: 1,
      expiresAt: later(300_000),
      intent: 'Recovery action for incident inc-7',
      targetAgents: [],
      createdBy: 'system',
    });
  });
  it('takes every bound', async () => {
    const hundred = 'é'.repeat(100);
    const scope = await store.createScope('t-a', {
      incidentId: hundred,
      allowedActions: Array.from({ length: 20 }, (_, n) => `${'a'.repeat(98)}${String(n).padStart(2, '0')}`),
      maxCostCents: '1000000.000000',
      maxAttempts: 1000,
      ttlSeconds: 86_400,
      intent: 'i'.repeat(500),
      targetAgents: Array.from({ length: 100 }, () => hundred),
      createdBy: 'j'.repeat(128),
    });
    expect(scope).toMatchObject({ maxCostCents: '1000000', expiresAt: later(86_400_000), incidentId: hundred });
    expect([scope.allowedActions.length, scope.targetAgents.length]).toEqual([20, 100]);
  });
  it('a tenant that does not exist is refused by its key', async () => {
    await expect(open({}, 'nobody')).rejects.toMatchObject({ code: 'CONFLICT', details: { reason: 'foreign_key' } });
  });
});

describe('executeWithScope', () => {
  it('F31: attempts and cents up to the ceilings, and nothing beyond', async () => {
    const { scopeId } = await open({ maxCostCents: '50', ttlSeconds: 300 });
    expect(await execute(scopeId, { costCents: '20' })).toEqual({
      success: true,
      scopeId,
      action: 'retry',
      incidentId: 'inc',
      attemptNumber: 1,
      scopeStatus: 'active',
      attemptsRemaining: 1,
      costUsedCents: '20',
      duplicate: false,
      executedAt: NOW,
    });
    await expect(execute(scopeId, { costCents: '30.000001' })).rejects.toMatchObject({
      name: 'ScopeExhausted',
      code: 'LIMIT_EXCEEDED',
      details: { scopeId, reason: 'COST_CEILING' },
    });
    expect(await used(scopeId)).toEqual([1, '20', 'active', 1]);
    clock.advance(1000);
    const second = await execute(scopeId, { costCents: '30' });
    expect(second).toMatchObject({
      attemptNumber: 2,
      scopeStatus: 'exhausted',
      attemptsRemaining: 0,
      costUsedCents: '50',
      executedAt: later(1000),
    });
    expect(Object.isFrozen(second)).toBe(true);
    await expect(execute(scopeId)).rejects.toMatchObject({ name: 'ScopeExhausted', details: { reason: 'ATTEMPTS' } });
    expect(await used(scopeId)).toEqual([2, '50', 'exhausted', 2]);
  });
  it('F32: another action, another incident, another time, another tenant', async () => {
    const { scopeId } = await open();
    await expect(execute(scopeId, { action: 'Retry' })).rejects.toMatchObject({
      name: 'ScopeActionMismatch',
      details: { scopeId, allowedActions: ['retry'] },
    });
    await expect(execute(scopeId, { incidentId: 'other', action: 'scale' })).rejects.toMatchObject({
      name: 'ScopeIncidentMismatch',
      details: { scopeId },
    });
    clock.set(later(300_000));
    await expect(execute(scopeId)).rejects.toMatchObject({
      name: 'ScopeExpired',
      details: { scopeId, expiresAt: '2026-03-10T12:05:00.000Z' },
    });
    await expect(execute(scopeId, {}, 't-b')).rejects.toMatchObject({ name: 'ScopeNotFound', details: { scopeId } });
    expect(await used(scopeId)).toEqual([0, '0', 'active', 0]);
    clock.set(later(299_999));
    expect(await execute(scopeId)).toMatchObject({ attemptNumber: 1 });
  });
  it('F33: what an action is named decides nothing: a revoked scope says that it was revoked', async () => {
    const { scopeId } = await open({ allowedActions: ['expired-exhausted'] });
    expect(await store.revokeScope('t-a', scopeId, 'jo')).toBe(true);
    await expect(execute(scopeId, { action: 'expired-exhausted' })).rejects.toMatchObject({
      name: 'ScopedExecutionRequired',
      code: 'CONFLICT',
      details: { action: 'expired-exhausted', incidentId: 'inc', status: 'revoked' },
    });
  });
});

describe('consumeScope', () => {
  it('gives the scope with its log, as getScope would', async () => {
    const { scopeId } = await open();
    await store.consumeScope('t-a', ask(scopeId, { costCents: '1.25' }));
    clock.advance(5);
    const second = await store.consumeScope('t-a', ask(scopeId, { costCents: '2' }));
    expect(second).toEqual({
      scope: await store.getScope('t-a', scopeId),
      attemptNumber: 2,
      duplicate: false,
      executedAt: later(5),
    });
    expect(second.scope.executionLog).toEqual([
      { action: 'retry', costCents: '1.25', timestamp: NOW, attemptNumber: 1 },
      { action: 'retry', costCents: '2', timestamp: later(5), attemptNumber: 2 },
    ]);
  });
  it('writes the attempt down with its parameters', async () => {
    const { scopeId } = await open();
    await execute(scopeId, { parameters: { b: [1, null], a: 'é' }, idempotencyKey: 'k', costCents: '0.000001' });
    const rows: unknown = await db
      .manager()
      .query(
        'SELECT id, scope_id, attempt_number, action, cost_cents, parameters, idempotency_key, executed_at FROM execution_scope_attempts',
      );
    expect(rows).toEqual([
      {
        id: 'x-000002',
        scope_id: scopeId,
        attempt_number: 1,
        action: 'retry',
        cost_cents: '0.000001',
        parameters: { a: 'é', b: [1, null] },
        idempotency_key: 'k',
        executed_at: NOW,
      },
    ]);
  });
  it('a replay gets the first outcome and consumes nothing, however its JSON and its cents are written', async () => {
    const { scopeId } = await open();
    const first = { idempotencyKey: 'k', costCents: '20', parameters: { a: 1, b: 2 } };
    await execute(scopeId, first);
    clock.advance(1000);
    const again = await execute(scopeId, { ...first, costCents: '20.000', parameters: { b: 2, a: 1.0 } });
    expect(again).toMatchObject({ attemptNumber: 1, duplicate: true, executedAt: NOW, costUsedCents: '20' });
    expect((await store.consumeScope('t-a', ask(scopeId, first))).scope).toEqual(await store.getScope('t-a', scopeId));
    expect(await used(scopeId)).toEqual([1, '20', 'active', 1]);
  });
  it('a replay is answered though the scope is over since', async () => {
    const [usedUp, expired, revoked] = [await open({ maxAttempts: 1 }), await open(), await open()];
    for (const { scopeId } of [usedUp, expired, revoked]) await execute(scopeId, { idempotencyKey: 'k' });
    await store.revokeScope('t-a', revoked.scopeId);
    expect(await execute(usedUp.scopeId, { idempotencyKey: 'k' })).toMatchObject({ scopeStatus: 'exhausted' });
    clock.set(later(300_000));
    expect(await execute(expired.scopeId, { idempotencyKey: 'k' })).toMatchObject({
      duplicate: true,
      attemptNumber: 1,
      scopeStatus: 'expired',
    });
    expect(await execute(revoked.scopeId, { idempotencyKey: 'k' })).toMatchObject({
      duplicate: true,
      scopeStatus: 'revoked',
    });
    await expect(execute(expired.scopeId, { idempotencyKey: 'new' })).rejects.toMatchObject({ name: 'ScopeExpired' });
  });
  it.each<[string, Partial<ExecuteWithScopeRequest>]>([
    ['cost', { costCents: '21' }],
    ['action', { action: 'scale' }],
    ['parameters', { parameters: { a: 2 } }],
    ['incident', { incidentId: 'other' }],
  ])('another %s under the key of an attempt: ConflictError, and the first stands', async (_name, more) => {
    const { scopeId } = await open({ allowedActions: ['retry', 'scale'] });
    const first = { idempotencyKey: 'k', costCents: '20', parameters: { a: 1 } };
    await execute(scopeId, first);
    await expect(execute(scopeId, { ...first, ...more })).rejects.toMatchObject({
      name: 'ConflictError',
      details: { scopeId, reason: 'content' },
    });
    expect(await used(scopeId)).toEqual([1, '20', 'active', 1]);
  });
  it('a key is a scope’s own', async () => {
    const [a, b] = [await open(), await open()];
    await execute(a.scopeId, { idempotencyKey: 'k', costCents: '1' });
    expect(await execute(b.scopeId, { idempotencyKey: 'k', costCents: '2' })).toMatchObject({ duplicate: false });
  });
  it('is two statements, with a key or without; a refusal that needs no look at the keys is one', async () => {
    const { scopeId } = await open({ maxAttempts: 3 });
    const sent = (more: object) =>
      captureStatements(db.manager(), () => execute(scopeId, more).catch(() => undefined)).then((all) => all.length);
    expect(await sent({})).toBe(2);
    expect(await sent({ idempotencyKey: 'k' })).toBe(2);
    expect(await sent({ idempotencyKey: 'k' })).toBe(2);
    expect(await sent({ action: 'scale' })).toBe(1);
  });
  it('works in the caller’s unit of work: a rollback takes it back', async () => {
    const { scopeId } = await open();
    await db.manager().query('SAVEPOINT here');
    await execute(scopeId, { costCents: '1' });
    await db.manager().query('ROLLBACK TO SAVEPOINT here');
    expect(await used(scopeId)).toEqual([0, '0', 'active', 0]);
  });
});

describe('getScopesForIncident', () => {
  const three = async (): Promise<readonly string[]> => {
    const ids: string[] = [];
    for (const ms of [0, 0, 5]) {
      clock.set(later(ms));
      ids.push((await open()).scopeId);
    }
    return ids;
  };
  it('gives the newest first, by id where they are of one instant, with their logs, in pages', async () => {
    const [a, b, c] = (await three()) as [string, string, string];
    await open({ incidentId: 'other' });
    await execute(a, { costCents: '3' });
    const first = await store.getScopesForIncident('t-a', 'inc', { limit: 2 });
    const next = await store.getScopesForIncident('t-a', 'inc', { limit: 2, cursor: first.nextCursor ?? '' });
    expect([...first.items, ...next.items].map(({ scopeId }) => scopeId)).toEqual([c, b, a]);
    expect(next.nextCursor).toBeNull();
    expect(next.items).toEqual([await store.getScope('t-a', a)]);
    expect([first, first.items, ...first.items].every(Object.isFrozen)).toBe(true);
    expect((await store.getScopesForIncident('t-a', 'nothing')).items).toEqual([]);
  });
  it('keeps scopes that are over', async () => {
    const [a] = await three();
    await store.revokeScope('t-a', a ?? '');
    clock.set(later(400_000));
    await store.cleanupExpired(nightly);
    const { items } = await store.getScopesForIncident('t-a', 'inc');
    expect(items.map(({ status }) => status)).toEqual(['expired', 'expired', 'revoked']);
  });
  it('refuses a cursor of another tenant or incident, or a broken one', async () => {
    await three();
    const { nextCursor } = await store.getScopesForIncident('t-a', 'inc', { limit: 1 });
    const cursor = nextCursor ?? '';
    for (const wrong of [
      () => store.getScopesForIncident('t-b', 'inc', { cursor }),
      () => store.getScopesForIncident('t-a', 'other', { cursor }),
      () => store.getScopesForIncident('t-a', 'inc', { cursor: 'x' }),
      () => store.getScopesForIncident('t-a', 'inc', { cursor: cursor.slice(0, -1) }),
    ])
      await expect(wrong()).rejects.toMatchObject({ code: 'INVALID_ARGUMENT', details: { reason: 'cursor' } });
  });
});

describe('revokeScope', () => {
  const revocation = async (): Promise<unknown> =>
    db.manager().query('SELECT status, revoked_at AS at, revoked_by AS by FROM execution_scopes');
  it('takes an active scope back, once, and says by whom', async () => {
    const { scopeId } = await open();
    clock.advance(5);
    expect(await store.revokeScope('t-a', scopeId, 'jo')).toBe(true);
    expect(await store.revokeScope('t-a', scopeId, 'al')).toBe(false);
    expect(await revocation()).toEqual([{ status: 'revoked', at: later(5), by: 'jo' }]);
  });
  it('by the system where nobody says', async () => {
    await store.revokeScope('t-a', (await open()).scopeId);
    expect(await revocation()).toMatchObject([{ by: 'system' }]);
  });
  it('false for a missing one, another tenant’s, and one that ended', async () => {
    const { scopeId } = await open({ maxAttempts: 1 });
    expect(await store.revokeScope('t-b', scopeId)).toBe(false);
    expect(await store.revokeScope('t-a', 'scope_none')).toBe(false);
    await execute(scopeId);
    expect(await store.revokeScope('t-a', scopeId)).toBe(false);
    expect(await used(scopeId)).toEqual([1, '0', 'exhausted', 1]);
  });
});

describe('cleanupExpired', () => {
  it('marks what is over, of all tenants, and nothing twice; the rows stay', async () => {
    const [mine, longer, revoked] = [await open(), await open({ ttlSeconds: 301 }), await open()];
    const theirs = await open({}, 't-b');
    await execute(mine.scopeId);
    await store.revokeScope('t-a', revoked.scopeId);
    clock.set(later(299_999));
    expect(await store.cleanupExpired(nightly)).toBe(0);
    clock.set(later(300_000));
    expect(await store.cleanupExpired(nightly)).toBe(2);
    expect(await store.cleanupExpired(nightly)).toBe(0);
    expect(await used(mine.scopeId)).toEqual([1, '0', 'expired', 1]);
    expect(await used(theirs.scopeId, 't-b')).toEqual([0, '0', 'expired', 0]);
    expect((await used(longer.scopeId))[2]).toBe('active');
    expect((await used(revoked.scopeId))[2]).toBe('revoked');
    await expect(execute(mine.scopeId)).rejects.toMatchObject({ name: 'ScopeExpired' });
  });
  it('takes the longest over first, as many as it may, and says why it ran', async () => {
    const scopes = [await open({ ttlSeconds: 3 }), await open({ ttlSeconds: 1 }), await open({ ttlSeconds: 2 })];
    clock.set(later(10_000));
    expect(await store.cleanupExpired(nightly, 2)).toBe(2);
    const stands: unknown[] = [];
    for (const { scopeId } of scopes) stands.push((await used(scopeId))[2]);
    expect(stands).toEqual(['active', 'expired', 'expired']);
    expect(logger.entries).toEqual([
      { level: 'info', event: 'execution_scopes_expired', fields: { reason: 'nightly', expired: 2 } },
    ]);
  });
});

it('createRecoveryScope is a scope for one action, as JSON', async () => {
  const dict = await createRecoveryScope(
    db.manager(),
    't-a',
    { incidentId: 'inc', action: 'retry', maxAttempts: 4, maxCostCents: '7', ttlSeconds: 9, createdBy: 'jo' },
    deps,
  );
  expect(dict).toEqual((await store.getScope('t-a', 'scope_x-000001'))?.toDict());
  expect(dict).toMatchObject({ allowedActions: ['retry'], attemptsRemaining: 4, costRemainingCents: '7' });
});

describe('settleScopeAttempt', () => {
  it('H.5: above the ceiling the ceiling wins, the scope is used up, and the overrun is said', async () => {
    const { scopeId } = await open({ maxAttempts: 3 });
    await execute(scopeId, { costCents: '20' });
    const settled = await settle(scopeId, 1, '60');
    expect(settled?.overrunCents).toBe('10');
    expect(settled?.scope).toEqual(await store.getScope('t-a', scopeId));
    expect(await used(scopeId)).toEqual([1, '50', 'exhausted', 1]);
    expect([Object.isFrozen(settled), settled?.scope.executionLog[0]?.costCents]).toEqual([true, '20']);
  });
  it('gives back what was reserved above the actual cost, once', async () => {
    const { scopeId } = await open();
    await execute(scopeId, { costCents: '50' });
    clock.advance(5);
    expect(await settle(scopeId, 1, '12.5')).toMatchObject({
      overrunCents: '0',
      scope: { costUsedCents: '12.5', status: 'active' },
    });
    expect(await settle(scopeId, 1, '0')).toBeNull();
    expect(await execute(scopeId, { costCents: '37.5' })).toMatchObject({ costUsedCents: '50' });
    const rows: unknown = await db
      .manager()
      .query(
        'SELECT actual_cost_cents AS actual, settled_at AS at FROM execution_scope_attempts ORDER BY 1 NULLS LAST',
      );
    expect(rows).toEqual([
      { actual: '12.500000', at: later(5) },
      { actual: null, at: null },
    ]);
  });
  it('an overrun that the ceiling cut off stays spent when another attempt is settled for less', async () => {
    const { scopeId } = await open({ maxAttempts: 3 });
    await execute(scopeId, { costCents: '20' });
    await execute(scopeId, { costCents: '20' });
    expect(await settle(scopeId, 1, '60')).toMatchObject({ overrunCents: '30', scope: { costUsedCents: '50' } });
    expect(await settle(scopeId, 2, '0')).toMatchObject({ overrunCents: '10', scope: { costUsedCents: '50' } });
  });
  it('a scope that has ended stays as it ended', async () => {
    const { scopeId } = await open();
    await execute(scopeId, { costCents: '20' });
    await store.revokeScope('t-a', scopeId);
    expect(await settle(scopeId, 1, '99')).toMatchObject({ overrunCents: '49', scope: { status: 'revoked' } });
  });
  it('null for a missing attempt, a missing scope, and another tenant’s', async () => {
    const { scopeId } = await open();
    await execute(scopeId, { costCents: '20' });
    expect(await settle(scopeId, 2, '1')).toBeNull();
    expect(await settle('scope_none', 1, '1')).toBeNull();
    expect(await settle(scopeId, 1, '1', 't-b')).toBeNull();
    expect(await used(scopeId)).toEqual([1, '20', 'active', 1]);
  });
});

it('getScopes offers the store and its functions on one manager', async () => {
  const port: ScopePort = getScopes(db.manager(), deps);
  // The class itself is a port, as far as it goes.
  const own: Omit<ScopePort, 'createRecoveryScope' | 'executeWithScope' | 'settleScopeAttempt'> = store;
  expect(own).toBe(store);
  const { scopeId } = await port.createScope('t-a', { incidentId: 'inc', allowedActions: ['retry'], maxAttempts: 9 });
  await port.consumeScope('t-a', ask(scopeId, { costCents: '5' }));
  expect(await port.executeWithScope('t-a', ask(scopeId))).toMatchObject({ attemptNumber: 2 });
  expect(await port.settleScopeAttempt('t-a', scopeId, 1, dec('4'))).toMatchObject({ overrunCents: '0' });
  expect(await port.getScope('t-a', scopeId)).toMatchObject({ costUsedCents: '4', attemptsUsed: 2 });
  expect((await port.getScopesForIncident('t-a', 'inc', { limit: 1 })).items).toHaveLength(1);
  expect(await port.revokeScope('t-a', scopeId, 'jo')).toBe(true);
  const recovery = { incidentId: 'inc', action: 'scale', ttlSeconds: 1 };
  expect(await port.createRecoveryScope('t-a', recovery)).toMatchObject({ allowedActions: ['scale'] });
  clock.advance(1000);
  expect(await port.cleanupExpired(nightly, 5)).toBe(1);
  expect(Object.isFrozen(port)).toBe(true);
});

it('each call without a decision is one statement', async () => {
  const { scopeId } = await open();
  const calls: (() => Promise<unknown>)[] = [
    () => open(),
    () => store.getScope('t-a', scopeId),
    () => store.getScopesForIncident('t-a', 'inc'),
    () => store.revokeScope('t-a', scopeId),
    () => store.cleanupExpired(nightly),
    () => createRecoveryScope(db.manager(), 't-a', { incidentId: 'inc', action: 'retry' }, deps),
  ];
  for (const call of calls) expect(await captureStatements(db.manager(), call)).toHaveLength(1);
});

it('the schemas and the table have the same list of states', async () => {
  const [row]: { def: string }[] = await db
    .manager()
    .query(`SELECT pg_get_constraintdef(oid) AS def FROM pg_constraint WHERE conname = 'ck_execution_scopes_status'`);
  expect([...(row?.def ?? '').matchAll(/'([^']+)'/g)].map(([, value]) => value)).toEqual([...SCOPE_STATUSES]);
});

it('two tenants use the same ids, incidents and keys without meeting', async () => {
  for (const tenant of ['t-a', 't-b']) {
    const own = getScopeStore(db.manager(), { clock, ids: sequentialIds('same-') });
    await own.createScope(tenant, { incidentId: 'inc', allowedActions: ['retry'] });
  }
  const id = 'scope_same--000001';
  expect(await execute(id, { idempotencyKey: 'k', costCents: '1' })).toMatchObject({ attemptNumber: 1 });
  expect(await used(id, 't-b')).toEqual([0, '0', 'active', 0]);
  expect(await execute(id, { idempotencyKey: 'k', costCents: '2' }, 't-b')).toMatchObject({ duplicate: false });
  expect(await store.revokeScope('t-b', id)).toBe(false);
  expect(await used(id)).toEqual([1, '1', 'exhausted', 1]);
});
