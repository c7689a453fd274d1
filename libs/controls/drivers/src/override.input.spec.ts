import type { LimitOverrideRequest } from '@hoc/controls/schemas';
import {
  type DecimalString,
  InvalidArgumentError,
  systemScope,
  TenantScopeError,
  TransactionRequiredError,
} from '@hoc/shared/kernel';
import { entities, migrations } from '@hoc/shared/models';
import {
  type BuiltRow,
  type Columns,
  fixedClock,
  makeLimit,
  makeLimitOverride,
  makeTenant,
  sequentialIds,
} from '@hoc/shared/testing';
import { insertRows, useDatabase } from '@hoc/testkit';
import { getLimitOverrideService, type LimitOverrideService } from './override.driver';

const db = useDatabase({ entities, migrations });
const NOW = new Date('2026-03-10T12:00:00.000Z');
const HOUR = 3_600_000;
const later = (ms: number): Date => new Date(NOW.getTime() + ms);
const clock = fixedClock(NOW);
const scope = systemScope('nightly');
const bad = (value: unknown): never => value as never;
let service: LimitOverrideService;

beforeEach(async () => {
  clock.set(NOW);
  service = getLimitOverrideService(db.manager(), { clock, ids: sequentialIds('o') });
  await insertRows(db.manager(), makeTenant({ id: 't1' }), makeTenant({ id: 't2' }));
});

/** A limit `l-<id>` and its override. */
const rows = (id: string, given: Columns, tenant = 't1'): readonly BuiltRow[] => [
  makeLimit(tenant, { id: `l-${id}`, name: `Limit ${id}` }),
  makeLimitOverride(tenant, `l-${id}`, { id, ...given }),
];
const approved = (start: number, end: number): Columns => ({
  ...{ status: 'APPROVED', approved_at: NOW, starts_at: later(start), expires_at: later(end) },
});
const active = (end: number, start = -HOUR): Columns => ({ ...approved(start, end), status: 'ACTIVE' });
const pending = (start: number, end: number): Columns => ({ starts_at: later(start), expires_at: later(end) });
const put = (...built: readonly (readonly BuiltRow[])[]): Promise<void> => insertRows(db.manager(), ...built.flat());
const everything = async (): Promise<unknown> =>
  db.manager().query('SELECT * FROM limit_overrides ORDER BY tenant_id, id');

const REQUEST: LimitOverrideRequest = {
  ...{ limitId: 'l-a', overrideValue: '3000', durationHours: 2, reason: 'a campaign of the day' },
};
type Call = (on: LimitOverrideService, tenant: string) => Promise<unknown>;
const WRITES: Readonly<Record<string, Call>> = {
  requestOverride: (on, tenant) => on.requestOverride(tenant, { ...REQUEST, limitId: 'l-b' }, 'ann'),
  cancelOverride: (on, tenant) => on.cancelOverride(tenant, 'a', 'ann'),
  approveOverride: (on, tenant) => on.approveOverride(tenant, 'a', 'ann'),
  rejectOverride: (on, tenant) => on.rejectOverride(tenant, 'a', 'ann', 'no'),
  activateDueOverrides: (on, tenant) => on.activateDueOverrides(tenant),
};
const READS: Readonly<Record<string, Call>> = {
  getOverride: (on, tenant) => on.getOverride(tenant, 'a'),
  listOverrides: (on, tenant) => on.listOverrides(tenant),
  countOverrides: (on, tenant) => on.countOverrides(tenant),
  fetchOverridesInEffect: (on, tenant) => on.fetchOverridesInEffect(tenant, ['l-a']),
};
const ALL = { ...WRITES, ...READS };

describe('G.4: bad input writes nothing', () => {
  let before: unknown;
  beforeEach(async () => {
    await put(rows('a', pending(0, HOUR)), [makeLimit('t1', { id: 'l-b' })], rows('over', active(0)));
    before = await everything();
  });
  afterEach(async () => expect(await everything()).toEqual(before));
  const refused = async (work: () => Promise<unknown>, field?: string): Promise<void> => {
    const error: unknown = await work().then(
      () => 'nothing',
      (thrown: unknown) => thrown,
    );
    expect(InvalidArgumentError.is(error) ? error.message : error).toEqual(expect.any(String));
    expect(InvalidArgumentError.is(error)).toBe(true);
    if (field !== undefined) expect(error).toMatchObject({ details: { field } });
    expect(JSON.stringify(error)).not.toMatch(/SELECT|UPDATE|INSERT/);
  };

  it.each(Object.keys(ALL))('%s: no tenant', async (name) => {
    for (const tenant of ['', 'x'.repeat(101), undefined, null, 7])
      expect(TenantScopeError.is(await ALL[name]?.(service, bad(tenant)).catch((error: unknown) => error))).toBe(true);
  });
  it.each(Object.keys(WRITES))('%s: no transaction', async (name) => {
    const outside = getLimitOverrideService(db.dataSource().manager, { clock, ids: sequentialIds() });
    const error: unknown = await WRITES[name]?.(outside, 't1').catch((thrown: unknown) => thrown);
    expect(TransactionRequiredError.is(error)).toBe(true);
  });
  it.each<readonly [name: string, request: unknown, field: string]>([
    ['nothing', null, ''],
    ['a list', [], ''],
    ['no limit', { ...REQUEST, limitId: '' }, 'limitId'],
    ['a limit id of 101', { ...REQUEST, limitId: 'x'.repeat(101) }, 'limitId'],
    ...[
      '1e3',
      '-1',
      '+1',
      ' 1',
      '1.',
      '.5',
      '0x1',
      'NaN',
      '１',
      '1.0000001',
      '1'.repeat(15),
      3000,
      '0',
      '0.000000',
    ].map(
      (value) =>
        [`a value of ${JSON.stringify(value)}`, { ...REQUEST, overrideValue: value }, 'overrideValue'] as const,
    ),
    ...[0, 169, 1.5, '2', NaN].map(
      (hours) => [`${hours} hours`, { ...REQUEST, durationHours: hours }, 'durationHours'] as const,
    ),
    ['at once, with a start', { ...REQUEST, scheduledStart: later(1) }, 'scheduledStart'],
    [
      'at once, said so, with a start',
      { ...REQUEST, startImmediately: true, scheduledStart: later(1) },
      'scheduledStart',
    ],
    ['later, without a start', { ...REQUEST, startImmediately: false }, 'scheduledStart'],
    ['later, from null on', { ...REQUEST, startImmediately: false, scheduledStart: null }, 'scheduledStart'],
    [
      'a start as text',
      { ...REQUEST, startImmediately: false, scheduledStart: later(1).toISOString() },
      'scheduledStart',
    ],
    ['no date', { ...REQUEST, startImmediately: false, scheduledStart: new Date(NaN) }, 'scheduledStart'],
    ['at once as null', { ...REQUEST, startImmediately: null }, 'startImmediately'],
    ['at once as text', { ...REQUEST, startImmediately: 'true' }, 'startImmediately'],
    ['a reason that is none', { ...REQUEST, reason: 12 }, 'reason'],
    ['a reason with U+0000', { ...REQUEST, reason: `${REQUEST.reason}\0` }, 'reason'],
    ['an unknown property', { ...REQUEST, tenantId: 't2' }, 'tenantId'],
  ])('requestOverride: %s', (_name, request, field) =>
    refused(() => service.requestOverride('t1', bad(request), 'ann'), field),
  );
  it('an actor of 1–128 characters', async () => {
    for (const actor of ['', 'x'.repeat(129), undefined, 'a\nb']) {
      await refused(() => service.requestOverride('t1', REQUEST, bad(actor)), 'requestedBy');
      await refused(() => service.cancelOverride('t1', 'a', bad(actor)), 'cancelledBy');
      await refused(() => service.approveOverride('t1', 'a', bad(actor)), 'approvedBy');
      await refused(() => service.rejectOverride('t1', 'a', bad(actor), 'no'), 'rejectedBy');
    }
  });
  it.each(['', 'x'.repeat(501), undefined, 'a\0'])('rejectOverride: reason %p', (reason) =>
    refused(() => service.rejectOverride('t1', 'a', 'ann', bad(reason)), 'rejectionReason'),
  );
  it('approveOverride: an adjustment that is none', async () => {
    for (const adjust of [null, [], 'x']) await refused(() => service.approveOverride('t1', 'a', 'ann', bad(adjust)));
    for (const value of ['0', '-1', '1e3', '1.0000001', 3000, null])
      await refused(() => service.approveOverride('t1', 'a', 'ann', { value: bad(value) }), 'value');
    for (const hours of [0, 169, 1.5, '2', null])
      await refused(() => service.approveOverride('t1', 'a', 'ann', { durationHours: bad(hours) }), 'durationHours');
    const ok = { value: '2500' as DecimalString };
    await refused(() => service.approveOverride('t1', '', 'ann', ok), 'overrideId');
  });
  it('listOverrides and countOverrides: filter, limit, cursor', async () => {
    for (const limit of [0, 201, 1.5, NaN]) await refused(() => service.listOverrides('t1', {}, { limit }), 'limit');
    await insertRows(db.manager(), makeLimit('t2', { id: 'l' }), makeLimitOverride('t2', 'l', { id: 'x' }));
    const cursorOf = async (tenant: string, filter: object): Promise<string> => {
      const page = await service.listOverrides(tenant, filter, { limit: 1 });
      return page.nextCursor ?? '';
    };
    const mine = await cursorOf('t1', {});
    expect(mine).not.toBe('');
    for (const cursor of ['x', mine.slice(0, -1), `${mine}=`])
      await refused(() => service.listOverrides('t1', {}, { cursor }), 'cursor');
    await refused(() => service.listOverrides('t2', {}, { cursor: mine }), 'cursor');
    await refused(() => service.listOverrides('t1', { status: 'PENDING' }, { cursor: mine }), 'cursor');
    await refused(() => service.listOverrides('t1', { limitId: 'l-a' }, { cursor: mine }), 'cursor');
    for (const [filter, field] of [
      [{ status: 'OPEN' }, 'status'],
      [{ status: null }, 'status'],
      [{ limitId: '' }, 'limitId'],
      [null, 'filter'],
    ] as const) {
      await refused(() => service.listOverrides('t1', bad(filter)), field);
      await refused(() => service.countOverrides('t1', bad(filter)), field);
    }
    await db.manager().query(`DELETE FROM limit_overrides WHERE id = 'x'`);
  });
  it('fetchOverridesInEffect: more than a thousand, or no id', async () => {
    const many = Array.from({ length: 1001 }, (_, n) => `l${n}`);
    for (const ids of [many, [''], [7], null, 'l-a'])
      await refused(() => service.fetchOverridesInEffect('t1', bad(ids)), 'limitIds');
  });
  it('system-wide calls: a scope, and a limit of 1–1,000', async () => {
    for (const given of [undefined, null, { kind: 'system', reason: 'mine' }]) {
      const errors = [
        await service.expireOverrides(bad(given)).catch((error: unknown) => error),
        await service.detectTenantsWithDueOverrides(bad(given)).catch((error: unknown) => error),
      ];
      expect(errors.map(TenantScopeError.is)).toEqual([true, true]);
    }
    for (const limit of [0, 1001, 1.5, NaN])
      await refused(() => service.detectTenantsWithDueOverrides(scope, limit), 'limit');
    await refused(() => service.detectTenantsWithDueOverrides(scope, 1, ''), 'after');
  });
});

describe('tenancy', () => {
  it('the same ids in two tenants: each call reaches its own tenant’s row, and only that', async () => {
    for (const tenant of ['t1', 't2'])
      await insertRows(
        db.manager(),
        makeLimit(tenant, { id: 'l-a', name: `Limit of ${tenant}` }),
        makeLimit(tenant, { id: 'l-b' }),
        makeLimitOverride(tenant, 'l-a', { id: 'a', ...pending(0, HOUR) }),
      );
    const other = async (): Promise<unknown> =>
      db.manager().query(`SELECT * FROM limit_overrides WHERE tenant_id = 't2' ORDER BY id`);
    const before = await other();
    expect(await service.getOverride('t1', 'a')).toMatchObject({ tenantId: 't1', limitName: 'Limit of t1' });
    for (const name of ['requestOverride', 'approveOverride', 'cancelOverride', 'activateDueOverrides'])
      await ALL[name]?.(service, 't1');
    expect(await other()).toEqual(before);
    expect(await service.getOverride('t2', 'a')).toMatchObject({ status: 'PENDING', limitName: 'Limit of t2' });
    expect(await service.countOverrides('t2')).toBe(1);
    expect((await service.fetchOverridesInEffect('t2', ['l-a', 'l-b'])).size).toBe(0);
  });
  it.each(['getOverride', 'cancelOverride', 'approveOverride', 'rejectOverride'])(
    '%s: another tenant’s override is as one that is missing',
    async (name) => {
      await put(rows('a', pending(0, HOUR)));
      const said = async (tenant: string): Promise<unknown> =>
        ALL[name]?.(service, tenant).catch((error: unknown) =>
          error instanceof Error ? [error.name, error.message, Reflect.get(error, 'details')] : error,
        );
      const foreign = await said('t2');
      await db.manager().query(`DELETE FROM limit_overrides`);
      expect(foreign).toEqual(await said('t1'));
    },
  );
});
