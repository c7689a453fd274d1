import type { LimitOverrideResponse } from '@hoc/controls/schemas';
import { systemScope } from '@hoc/shared/kernel';
import { entities, migrations } from '@hoc/shared/models';
import {
  type BuiltRow,
  type Columns,
  fixedClock,
  makeLimit,
  makeLimitOverride,
  makeTenant,
  memoryLogger,
  sequentialIds,
} from '@hoc/shared/testing';
import { captureStatements, insertRows, useDatabase } from '@hoc/testkit';
import {
  getLimitForOverride,
  getLimitOverrideService,
  type LimitOverrideService,
  toOverrideResponse,
} from './override.driver';

const db = useDatabase({ entities, migrations });
const NOW = new Date('2026-03-10T12:00:00.000Z');
const HOUR = 3_600_000;
const later = (ms: number): Date => new Date(NOW.getTime() + ms);
const clock = fixedClock(NOW);
const scope = systemScope('nightly');
let service: LimitOverrideService;
let logger = memoryLogger();

beforeEach(async () => {
  clock.set(NOW);
  logger = memoryLogger();
  service = getLimitOverrideService(db.manager(), { clock, ids: sequentialIds('o'), logger });
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
const statuses = async (): Promise<unknown> => {
  const found: { id: string; status: string }[] = await db
    .manager()
    .query('SELECT id, status FROM limit_overrides ORDER BY tenant_id, id');
  return Object.fromEntries(found.map(({ id, status }) => [id, status]));
};
const idsOf = ({ items }: { readonly items: readonly LimitOverrideResponse[] }): readonly string[] =>
  items.map(({ overrideId }) => overrideId);

describe('expireOverrides', () => {
  it('marks what is over, of all tenants, once, with the job in the trail', async () => {
    await put(
      rows('a', active(0)),
      rows('b', approved(-1, 0)),
      rows('c', pending(-1, 0), 't2'),
      rows('d', active(1)),
      rows('e', approved(0, 1)),
      rows('f', {}),
      rows('g', { ...active(-1), status: 'CANCELLED' }),
    );
    const sent = await captureStatements(db.manager(), async () =>
      expect(await service.expireOverrides(scope)).toBe(3),
    );
    expect(sent).toHaveLength(1);
    expect(await service.expireOverrides(scope)).toBe(0);
    expect(await statuses()).toEqual({
      ...{ a: 'EXPIRED', b: 'EXPIRED', c: 'EXPIRED', d: 'ACTIVE', e: 'APPROVED', f: 'PENDING', g: 'CANCELLED' },
    });
    const trails: { trail: unknown }[] = await db
      .manager()
      .query(`SELECT audit_trail AS trail FROM limit_overrides WHERE status = 'EXPIRED' ORDER BY id`);
    expect(trails.map(({ trail }) => trail)).toEqual(
      ['ACTIVE', 'APPROVED', 'PENDING'].map((from) => [
        { at: NOW.toISOString(), actor: 'system', from, to: 'EXPIRED' },
      ]),
    );
    expect(logger.entries[0]).toEqual({
      ...{ level: 'info', event: 'overrides_expired', fields: { reason: 'nightly', expired: 3 } },
    });
  });
});

describe('activateDueOverrides', () => {
  it('the earliest start first, then the id, while there is room; the rest is told and left', async () => {
    await put(
      ...['a1', 'a2', 'a3'].map((id) => rows(id, active(HOUR))),
      rows('over', active(0)),
      rows('d2', approved(-1, HOUR)),
      rows('d1', approved(-1, HOUR)),
      rows('d0', approved(0, HOUR)),
      rows('d3', approved(-2, HOUR)),
      rows('soon', approved(1, HOUR)),
      rows('asked', pending(-1, HOUR)),
      rows('foreign', approved(-1, HOUR), 't2'),
    );
    const result = await service.activateDueOverrides('t1');
    expect(result).toEqual({ activated: ['d3', 'd1'], blockedByCap: ['d2', 'd0'] });
    expect([result, result.activated, result.blockedByCap].every(Object.isFrozen)).toBe(true);
    expect(await statuses()).toEqual({
      ...{ a1: 'ACTIVE', a2: 'ACTIVE', a3: 'ACTIVE', over: 'EXPIRED', d3: 'ACTIVE', d1: 'ACTIVE', d2: 'APPROVED' },
      ...{ d0: 'APPROVED', soon: 'APPROVED', asked: 'PENDING', foreign: 'APPROVED' },
    });
    expect(await service.activateDueOverrides('t1')).toEqual({ activated: [], blockedByCap: ['d2', 'd0'] });
  });
  it('one whose whole window has passed is over, and not started', async () => {
    await put(rows('a', approved(-HOUR, 0)));
    expect(await service.activateDueOverrides('t1')).toEqual({ activated: [], blockedByCap: [] });
    expect(await statuses()).toEqual({ a: 'EXPIRED' });
  });
  it('a tenant that does not exist has none', async () => {
    expect(await service.activateDueOverrides('nobody')).toEqual({ activated: [], blockedByCap: [] });
  });
});

describe('detectTenantsWithDueOverrides', () => {
  it('tenants with a due start or a due end, once each, by id; page by page', async () => {
    const tenants = ['ta', 'tB', 'tc', 'td', 'te'];
    await insertRows(db.manager(), ...tenants.map((id) => makeTenant({ id })));
    await put(
      rows('1', approved(0, HOUR), 'ta'),
      rows('2', active(0), 'ta'),
      rows('3', pending(-HOUR, 0), 'tB'),
      rows('4', approved(1, HOUR), 'tc'),
      rows('5', active(1), 'td'),
      rows('6', active(-1), 'te'),
    );
    expect(await service.detectTenantsWithDueOverrides(scope)).toEqual(['tB', 'ta', 'te']);
    expect(await service.detectTenantsWithDueOverrides(scope, 2)).toEqual(['tB', 'ta']);
    expect(await service.detectTenantsWithDueOverrides(scope, 2, 'ta')).toEqual(['te']);
    expect(await service.detectTenantsWithDueOverrides(scope, 1000, 'te')).toEqual([]);
  });
});

describe('reading', () => {
  beforeEach(() =>
    put(
      rows('a', { requested_at: later(-3), ...active(HOUR) }),
      rows('b', { requested_at: later(-2) }),
      rows('c', { requested_at: later(-2), ...active(0) }),
      rows('d', { requested_at: later(-1), ...active(HOUR), status: 'CANCELLED' }),
      rows('e', { requested_at: later(0) }, 't2'),
    ),
  );

  it('the newest request first, then the id; by status as stored, by limit, by both', async () => {
    expect(idsOf(await service.listOverrides('t1'))).toEqual(['d', 'c', 'b', 'a']);
    expect(idsOf(await service.listOverrides('t1', { status: 'ACTIVE' }))).toEqual(['c', 'a']);
    expect(idsOf(await service.listOverrides('t1', { limitId: 'l-b' }))).toEqual(['b']);
    expect(idsOf(await service.listOverrides('t1', { limitId: 'l-b', status: 'ACTIVE' }))).toEqual([]);
    expect(idsOf(await service.listOverrides('t1', { limitId: 'l-a', status: 'ACTIVE' }))).toEqual(['a']);
    const page = await service.listOverrides('t1', { status: 'ACTIVE' });
    expect(page.items.map(({ limitName, inEffect }) => [limitName, inEffect])).toEqual([
      ['Limit c', false],
      ['Limit a', true],
    ]);
    expect([page, page.items, ...page.items].every(Object.isFrozen)).toBe(true);
  });
  it('counts what it lists', async () => {
    for (const [filter, n] of [
      [{}, 4],
      [{ status: 'ACTIVE' as const }, 2],
      [{ limitId: 'l-b' }, 1],
      [{ limitId: 'l-b', status: 'ACTIVE' as const }, 0],
    ] as const)
      expect(await service.countOverrides('t1', filter)).toBe(n);
    expect(await service.countOverrides('t1')).toBe(4);
  });
  it('law 7: pages of any size, with ties and microseconds, are the whole list', async () => {
    await db.manager().query(`UPDATE limit_overrides SET requested_at = '2026-03-10T11:59:59.9980001Z' WHERE id = 'b'`);
    for (const limit of [1, 2, 3, 4, 200]) {
      const seen: string[] = [];
      for (let cursor: string | null | undefined; cursor !== null;) {
        const page = await service.listOverrides('t1', {}, { limit, ...(cursor === undefined ? {} : { cursor }) });
        seen.push(...idsOf(page));
        cursor = page.nextCursor;
      }
      expect(seen).toEqual(['d', 'c', 'b', 'a']);
    }
  });
  it('the overrides in effect of the limits that are asked for, in one statement', async () => {
    const asked = ['l-a', 'l-a', 'l-b', 'l-c', 'l-d', 'l-e', 'none'];
    const found = await service.fetchOverridesInEffect('t1', asked);
    expect([...found.keys()]).toEqual(['l-a']);
    expect(found.get('l-a')).toMatchObject({ overrideId: 'a', inEffect: true, effectiveValue: '3000' });
    expect(await captureStatements(db.manager(), () => service.fetchOverridesInEffect('t1', []))).toEqual([]);
    const thousand = Array.from({ length: 1000 }, (_, n) => (n === 500 ? 'l-a' : `x${n}`));
    expect(await captureStatements(db.manager(), () => service.fetchOverridesInEffect('t1', thousand))).toHaveLength(1);
    clock.set(later(HOUR));
    expect((await service.fetchOverridesInEffect('t1', asked)).size).toBe(0);
  });
  it('in effect from its start on', async () => {
    await put(rows('z', active(HOUR, 0)));
    clock.set(later(-1));
    expect((await service.fetchOverridesInEffect('t1', ['l-z'])).size).toBe(0);
    expect(await service.getOverride('t1', 'z')).toMatchObject({ inEffect: false, effectiveValue: '2000' });
    clock.set(NOW);
    expect((await service.fetchOverridesInEffect('t1', ['l-z'])).get('l-z')).toMatchObject({ inEffect: true });
  });
  it('needs no transaction, nor does the sweep of ends', async () => {
    const outside = getLimitOverrideService(db.dataSource().manager, { clock, ids: sequentialIds() });
    expect((await outside.listOverrides('t1')).items).toEqual([]);
    expect(await outside.countOverrides('t1')).toBe(0);
    expect((await outside.fetchOverridesInEffect('t1', ['l-a'])).size).toBe(0);
    expect(await outside.detectTenantsWithDueOverrides(scope)).toEqual([]);
    expect(await outside.expireOverrides(scope)).toBe(0);
  });
  it('getLimitForOverride holds the limit for its transaction, and tells the plan’s cap', async () => {
    await insertRows(db.manager(), makeLimit('t1', { id: 'tok', limit_type: 'TOKENS_PER_MONTH', max_value: '7.50' }));
    expect(await getLimitForOverride(db.manager(), 't1', 'tok')).toEqual({
      ...{ limitId: 'tok', status: 'ACTIVE', maxValue: '7.5', planCap: '1000000' },
    });
    expect(await getLimitForOverride(db.manager(), 't1', 'l-a')).toMatchObject({ planCap: null });
  });
  it('a status that this version does not know is not handed on', async () => {
    const [row] = await db.manager().query(`SELECT *, 'x' AS limit_name FROM limit_overrides WHERE id = 'a'`);
    expect(toOverrideResponse('t1', row, NOW)).toMatchObject({ status: 'ACTIVE' });
    expect(() => toOverrideResponse('t1', { ...row, status: 'PAUSED' }, NOW)).toThrow(
      expect.objectContaining({ code: 'DATA_INTEGRITY' }),
    );
  });
});
