import { entities, migrations } from '@hoc/controls/models';
import {
  ConflictError,
  type DecimalString,
  type HocError,
  InvalidArgumentError,
  NotFoundError,
  systemScope,
  TenantScopeError,
  TransactionRequiredError,
} from '@hoc/shared/kernel';
import { entities as shared, migrations as sharedMigrations } from '@hoc/shared/models';
import { fixedClock, makeTenant, sequentialIds } from '@hoc/shared/testing';
import { captureStatements, insertRows, useDatabase } from '@hoc/testkit';
import {
  createRecoveryScope,
  executeWithScope,
  getScopeStore,
  type ScopeStore,
  settleScopeAttempt,
} from './scoped-execution.driver';

const db = useDatabase({ entities: [...shared, ...entities], migrations: [...sharedMigrations, ...migrations] });
const clock = fixedClock('2026-03-10T12:00:00.000Z');
const deps = { clock, ids: sequentialIds('x') };
const bad = (value: unknown): never => value as never;
const scopeId = 'scope_one';
const ID = `"'; DROP TABLE execution_scopes; --"`;
let store: ScopeStore;

beforeEach(async () => {
  store = getScopeStore(db.manager(), deps);
  await insertRows(db.manager(), makeTenant({ id: 't-a' }));
  const own = getScopeStore(db.manager(), { clock, ids: { next: () => 'one' } });
  await own.createScope('t-a', { incidentId: 'inc', allowedActions: ['retry'], maxAttempts: 9 });
  await execute({ idempotencyKey: 'k', costCents: '3' });
});

/** Each call, of whatever tenant. */
const calls = (tenant: unknown) => ({
  create: (more: object) =>
    store.createScope(bad(tenant), bad({ incidentId: 'inc', allowedActions: ['retry'], ...more })),
  get: () => store.getScope(bad(tenant), scopeId),
  page: (more: unknown) => store.getScopesForIncident(bad(tenant), 'inc', bad(more)),
  consume: () => store.consumeScope(bad(tenant), { scopeId, action: 'retry', incidentId: 'inc' }),
  revoke: () => store.revokeScope(bad(tenant), scopeId),
  recover: (more: object) =>
    createRecoveryScope(db.manager(), bad(tenant), bad({ incidentId: 'inc', action: 'retry', ...more }), deps),
  execute: (more: object) =>
    executeWithScope(db.manager(), bad(tenant), bad({ scopeId, action: 'retry', incidentId: 'inc', ...more }), deps),
  settle: (attempt: unknown, cents: unknown, scope: unknown) =>
    settleScopeAttempt(db.manager(), bad(tenant), bad(scope), bad(attempt), bad(cents), deps),
});
const { create, page, recover, execute } = calls('t-a');
const settle = (attempt: unknown, cents: unknown, scope: unknown = scopeId) =>
  calls('t-a').settle(attempt, cents, scope);

const rows = (): Promise<unknown> =>
  db
    .manager()
    .query(
      `SELECT (SELECT json_agg(s ORDER BY id) FROM execution_scopes s) AS scopes, (SELECT json_agg(a ORDER BY id) FROM execution_scope_attempts a) AS attempts`,
    );

/** Refused with `statements` sent, every row is what it was, and nothing of the caller's or of SQL is in the error. */
async function expectRefused(
  asked: () => Promise<unknown>,
  type: new (...args: never[]) => HocError,
  statements = 0,
): Promise<void> {
  const before = await rows();
  let error: unknown = 'no error';
  const sent = await captureStatements(db.manager(), () =>
    asked().catch((reason: unknown) => {
      error = reason;
    }),
  );
  expect(error).toBeInstanceOf(type);
  expect(sent).toHaveLength(statements);
  expect(await rows()).toEqual(before);
  expect(JSON.stringify(error)).not.toMatch(/SELECT|UPDATE|INSERT|DROP|execution_scope/);
}

const NO_TENANTS: readonly unknown[] = ['', 'x'.repeat(101), undefined, null, 7, ' ', 'a\0'];
const NO_AMOUNTS: readonly unknown[] = [
  ...['1e3', '-1', '+1', ' 1', '1.', '.5', '0x1', 'NaN', '１', '1.0000001', '1'.repeat(15), ''],
  ...[5, null],
];

describe.each<[string, (tenant: unknown) => Promise<unknown>]>([
  ['createScope', (tenant) => calls(tenant).create({})],
  ['getScope', (tenant) => calls(tenant).get()],
  ['getScopesForIncident', (tenant) => calls(tenant).page({})],
  ['consumeScope', (tenant) => calls(tenant).consume()],
  ['revokeScope', (tenant) => calls(tenant).revoke()],
  ['createRecoveryScope', (tenant) => calls(tenant).recover({})],
  ['executeWithScope', (tenant) => calls(tenant).execute({})],
  ['settleScopeAttempt', (tenant) => calls(tenant).settle(1, '1', scopeId)],
])('%s', (_name, asked) => {
  it.each(NO_TENANTS)('tenant %j: TenantScopeError', (tenant) => expectRefused(() => asked(tenant), TenantScopeError));
});

it.each(NO_TENANTS)('cleanupExpired with the scope %j: TenantScopeError', (scope) =>
  expectRefused(() => store.cleanupExpired(bad(scope)), TenantScopeError),
);

describe('without a transaction', () => {
  const outside = () => db.dataSource().manager;
  const asked = { scopeId, action: 'retry', incidentId: 'inc' };
  it.each<[string, () => Promise<unknown>]>([
    ['consumeScope', () => getScopeStore(outside(), deps).consumeScope('t-a', asked)],
    ['executeWithScope', () => executeWithScope(outside(), 't-a', asked, deps)],
    ['a bad executeWithScope', () => executeWithScope(outside(), 't-a', bad({}), deps)],
    ['settleScopeAttempt', () => settleScopeAttempt(outside(), 't-a', scopeId, 1, '1' as DecimalString, deps)],
  ])('%s: TransactionRequiredError', (_name, call) => expectRefused(call, TransactionRequiredError));
  it('the tenant is looked at before', () =>
    expectRefused(() => executeWithScope(outside(), '', asked, deps), TenantScopeError));
  it('all other calls work', async () => {
    const own = getScopeStore(outside(), deps);
    expect(await own.getScope('t-a', scopeId)).toBeNull();
    expect(await own.revokeScope('t-a', scopeId)).toBe(false);
    expect((await own.getScopesForIncident('t-a', 'inc')).items).toEqual([]);
    expect(await own.cleanupExpired(systemScope('test'))).toBe(0);
  });
});

describe('InvalidArgumentError, and no statement', () => {
  const many = (n: number): readonly string[] => Array.from({ length: n }, (_, i) => `a-${i}`);
  it.each<[string, () => Promise<unknown>]>([
    ['no request', () => store.createScope('t-a', bad(undefined))],
    ['a list as the request', () => store.createScope('t-a', bad([]))],
    ['an unknown key', () => create({ status: 'active' })],
    ['no incident', () => create({ incidentId: undefined })],
    ['an incident of 101 characters', () => create({ incidentId: 'x'.repeat(101) })],
    ['an incident with U+0000', () => create({ incidentId: 'a\0' })],
    ['no actions', () => create({ allowedActions: [] })],
    ['21 actions', () => create({ allowedActions: many(21) })],
    ['duplicates', () => create({ allowedActions: ['a', 'b', 'a'] })],
    ['an empty action', () => create({ allowedActions: [''] })],
    ['an action of 101 characters', () => create({ allowedActions: ['x'.repeat(101)] })],
    ['actions as a text', () => create({ allowedActions: 'retry' })],
    ['0 seconds', () => create({ ttlSeconds: 0 })],
    ['86,401 seconds', () => create({ ttlSeconds: 86_401 })],
    ['half a second', () => create({ ttlSeconds: 0.5 })],
    ['no attempt', () => create({ maxAttempts: 0 })],
    ['1,001 attempts', () => create({ maxAttempts: 1001 })],
    ['attempts as a text', () => create({ maxAttempts: '2' })],
    ['null attempts', () => create({ maxAttempts: null })],
    ['more than a million cents', () => create({ maxCostCents: '1000000.000001' })],
    ['an intent of 501 characters', () => create({ intent: 'x'.repeat(501) })],
    ['101 agents', () => create({ targetAgents: many(101) })],
    ['an agent that is none', () => create({ targetAgents: [7] })],
    ['nobody', () => create({ createdBy: '' })],
    ['129 characters of somebody', () => create({ createdBy: 'x'.repeat(129) })],
    ['a recovery without an action', () => recover({ action: undefined })],
    ['a recovery of several actions', () => recover({ allowedActions: ['a', 'b'], other: 1 })],
    ['no recovery', () => createRecoveryScope(db.manager(), 't-a', bad(null), deps)],
    ['no scope', () => execute({ scopeId: '' })],
    ['no action', () => execute({ action: '' })],
    ['no incident', () => execute({ incidentId: undefined })],
    ['an unknown key', () => execute({ cost: '3' })],
    ['an empty idempotency key', () => execute({ idempotencyKey: '' })],
    ['a key of 201 characters', () => execute({ idempotencyKey: 'x'.repeat(201) })],
    ['parameters beyond 64 KiB', () => execute({ parameters: { a: 'x'.repeat(65_536) } })],
    ['parameters beyond 64 KiB as they are stored', () => execute({ parameters: { a: new Array(30_000).fill(1) } })],
    ['a BigInt', () => execute({ parameters: { a: 1n } })],
    ['a NUL character', () => execute({ parameters: { a: ['\0'] } })],
    ['a list as parameters', () => execute({ parameters: [] })],
    ['an empty id', () => store.getScope('t-a', '')],
    ['an id that is none', () => store.getScope('t-a', bad(7))],
    ['nobody revokes', () => store.revokeScope('t-a', scopeId, '')],
    ['nothing is revoked', () => store.revokeScope('t-a', bad(null))],
    ['an empty incident', () => store.getScopesForIncident('t-a', '')],
    ...[0, 201, 1.5, Number.NaN, '50'].map((limit): [string, () => Promise<unknown>] => [
      `a page of ${limit}`,
      () => page({ limit }),
    ]),
    ['cursor x', () => page({ cursor: 'x' })],
    ['no page', () => page(null)],
    ['a cleanup of none', () => store.cleanupExpired(systemScope('test'), 0)],
    ['a cleanup of 10,001', () => store.cleanupExpired(systemScope('test'), 10_001)],
    ['attempt 0', () => settle(0, '1')],
    ['attempt 1.5', () => settle(1.5, '1')],
    ['attempt 1,001', () => settle(1001, '1')],
    ['an attempt of no scope', () => settle(1, '1', '')],
  ])('%s', (_name, asked) => expectRefused(asked, InvalidArgumentError));
  it.each(NO_AMOUNTS)('the amount %j', async (amount) => {
    await expectRefused(() => create({ maxCostCents: amount }), InvalidArgumentError);
    await expectRefused(() => execute({ costCents: amount }), InvalidArgumentError);
    await expectRefused(() => settle(1, amount), InvalidArgumentError);
  });
});

it('the key of an attempt with another cost: ConflictError', () =>
  expectRefused(() => execute({ idempotencyKey: 'k', costCents: '4' }), ConflictError, 2));

it('SQL in an id is an id: no such scope, and the tables are there', async () => {
  expect(await store.getScope('t-a', ID)).toBeNull();
  expect(await store.revokeScope('t-a', ID)).toBe(false);
  const made = await store.createScope('t-a', { incidentId: ID, allowedActions: [ID], targetAgents: [ID, '{a,"b'] });
  expect((await store.getScopesForIncident('t-a', ID)).items).toEqual([made]);
  await expectRefused(() => execute({ scopeId: 'none' }), NotFoundError, 1);
});
