import { entities, migrations } from '@hoc/controls/models';
import { systemScope } from '@hoc/shared/kernel';
import { entities as shared, migrations as sharedMigrations } from '@hoc/shared/models';
import { fixedClock, makeLimit, makeTenant, sequentialIds } from '@hoc/shared/testing';
import { captureStatements, insertRows, useDatabase } from '@hoc/testkit';
import { type BudgetReservationDriver, getBudgetReservationDriver } from './budget-reservation.driver';

// G.4: each is refused before a statement is sent, and its error says which argument it was.
const db = useDatabase({ entities: [...shared, ...entities], migrations: [...sharedMigrations, ...migrations] });
const scope = systemScope('test');
const GOOD = { limitIds: ['a'], amountCents: '1', idempotencyKey: 'k' };
let driver: BudgetReservationDriver;
const bad = (value: unknown): never => value as never;

beforeEach(async () => {
  driver = getBudgetReservationDriver(db.manager(), {
    clock: fixedClock('2026-03-10T12:00:00.000Z'),
    ids: sequentialIds('r'),
  });
  await insertRows(
    db.manager(),
    makeTenant({ id: 't' }),
    makeLimit('t', { id: 'a', limit_category: 'BUDGET', reset_period: 'NONE', max_value: '100' }),
  );
});

async function refuses(work: () => Promise<unknown>, expected: object): Promise<void> {
  const sent = await captureStatements(db.manager(), () => expect(work()).rejects.toMatchObject(expected));
  expect(sent).toEqual([]);
}

it.each<[string, string, unknown]>([
  ['no limits', 'limitIds', []],
  ['five limits', 'limitIds', ['a', 'b', 'c', 'd', 'e']],
  ['a repeated limit', 'limitIds', ['a', 'b', 'a']],
  ['no list of limits', 'limitIds', 'a'],
  ['an empty limit id', 'limitIds', ['']],
  ['a limit id of 101 characters', 'limitIds', ['x'.repeat(101)]],
  ['a limit id with a control character', 'limitIds', ['a\n']],
  ['a negative amount', 'amountCents', '-1'],
  ['seven decimals', 'amountCents', '1.0000001'],
  ['fifteen digits', 'amountCents', '100000000000000'],
  ['an exponent', 'amountCents', '1e3'],
  ['a number', 'amountCents', 1],
  ['no amount', 'amountCents', undefined],
  ['a ttl of 0', 'ttlSeconds', 0],
  ['a ttl of more than a day', 'ttlSeconds', 86_401],
  ['half a second', 'ttlSeconds', 0.5],
  ['an empty key', 'idempotencyKey', ''],
  ['a key of 201 characters', 'idempotencyKey', 'k'.repeat(201)],
  ['a key with half a character', 'idempotencyKey', 'k\ud800'],
  ['an empty run', 'runId', ''],
  ['a run of 101 characters', 'runId', 'r'.repeat(101)],
  ['a run of null', 'runId', null],
])('reserve and reserveBatch: %s', async (_, field, value) => {
  const input = bad({ ...GOOD, [field]: value });
  await refuses(() => driver.reserve('t', input), { code: 'INVALID_ARGUMENT', details: { field } });
  const { limitIds, ...item }: typeof GOOD = input;
  await refuses(() => driver.reserveBatch('t', limitIds, [item]), {
    code: 'INVALID_ARGUMENT',
    details: { field: field === 'limitIds' ? field : `items[0].${field}` },
  });
});

it('reserve takes the longest of everything', async () => {
  const longest = { ...GOOD, amountCents: '99.999999', idempotencyKey: '😀'.repeat(200), runId: 'é'.repeat(100) };
  const given = await driver.reserve('t', { ...longest, ttlSeconds: 86_400 });
  expect(given).toMatchObject({
    idempotencyKey: longest.idempotencyKey,
    runId: longest.runId,
    amountCents: '99.999999',
  });
  expect(await driver.reserve('t', longest)).toEqual({ ...given, duplicate: true });
});

it.each<[string, unknown, string]>([
  ['none', [], 'items'],
  ['a repeated key', [{ ...GOOD }, { ...GOOD }], 'items[1].idempotencyKey'],
  ['1,001 of them', Array.from({ length: 1001 }, (_, n) => ({ ...GOOD, idempotencyKey: `k-${n}` })), 'items'],
])('reserveBatch, items: %s', async (_, items, field) => {
  await refuses(() => driver.reserveBatch('t', ['a'], bad(items)), { code: 'INVALID_ARGUMENT', details: { field } });
});

it.each<[string, (tenant: never) => Promise<unknown>]>([
  ['reserve', (tenant) => driver.reserve(tenant, bad({}))],
  ['reserveBatch', (tenant) => driver.reserveBatch(tenant, bad([]), bad([]))],
  ['settle', (tenant) => driver.settle(tenant, '', '-1')],
  ['release', (tenant) => driver.release(tenant, '')],
  ['fetchReservation', (tenant) => driver.fetchReservation(tenant, '')],
  ['fetchWindow', (tenant) => driver.fetchWindow(tenant, '')],
])('%s: the tenant is checked first', async (_, call) => {
  for (const tenant of ['', ' ', 'x'.repeat(101), null, undefined])
    await refuses(() => call(bad(tenant)), { code: 'TENANT_SCOPE' });
});

it.each<[string, () => Promise<unknown>, string]>([
  ['settle, no reservation', () => driver.settle('t', '', '1'), 'reservationId'],
  ['settle, a negative amount', () => driver.settle('t', 'r', '-0.1'), 'actualCents'],
  ['settle, a number', () => driver.settle('t', 'r', bad(1)), 'actualCents'],
  ['settle, seven decimals', () => driver.settle('t', 'r', '0.1234567'), 'actualCents'],
  ['release, no reservation', () => driver.release('t', ''), 'reservationId'],
  ['fetchReservation, no reservation', () => driver.fetchReservation('t', ''), 'reservationId'],
  ['fetchWindow, no limit', () => driver.fetchWindow('t', ''), 'limitId'],
  ['fetchWindow, no instant', () => driver.fetchWindow('t', 'a', new Date(Number.NaN)), 'at'],
  ['fetchWindow, before the calendar', () => driver.fetchWindow('t', 'a', new Date('-000001-01-01T00:00:00Z')), 'at'],
  ['fetchWindow, beyond it', () => driver.fetchWindow('t', 'a', new Date('+010000-01-01T00:00:00Z')), 'at'],
  ['expireReservations, none', () => driver.expireReservations(scope, 0), 'limit'],
  ['expireReservations, too many', () => driver.expireReservations(scope, 10_001), 'limit'],
])('%s', async (_, call, field) => {
  await refuses(call, { code: 'INVALID_ARGUMENT', details: { field } });
});

it('expireReservations needs a scope', async () => {
  await refuses(() => driver.expireReservations(bad({ kind: 'system', reason: 'x' })), { code: 'TENANT_SCOPE' });
});

it('a settle beyond what a counter holds is refused, and counts nothing', async () => {
  const first = await driver.reserve('t', GOOD);
  const second = await driver.reserve('t', { ...GOOD, idempotencyKey: 'k2' });
  await driver.settle('t', first.reservationId, '99999999999999.999999');
  await db.manager().query('SAVEPOINT s');
  await expect(driver.settle('t', second.reservationId, '99999999999999.999999')).rejects.toMatchObject({
    code: 'INVALID_ARGUMENT',
  });
  await db.manager().query('ROLLBACK TO SAVEPOINT s');
  expect(await driver.fetchWindow('t', 'a')).toMatchObject({ reservedCents: '1', spentCents: '99999999999999.999999' });
});
