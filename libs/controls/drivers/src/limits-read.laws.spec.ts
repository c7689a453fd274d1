import { entities, migrations } from '@hoc/controls/models';
import { LIMIT_ENFORCEMENTS, LIMIT_SCOPES, LIMIT_STATUSES, type LimitsFilter } from '@hoc/controls/schemas';
import type { Page, PageRequest } from '@hoc/shared/kernel';
import { entities as shared, migrations as sharedMigrations } from '@hoc/shared/models';
import { fixedClock, makeLimit, makeLimitBreach, makeRun, makeTenant } from '@hoc/shared/testing';
import { insertRows, useDatabase } from '@hoc/testkit';
import fc from 'fast-check';
import { getLimitsReadDriver, type LimitsReadDriver } from './limits-read.driver';

const RUNS = 60;
const db = useDatabase({ entities: [...shared, ...entities], migrations: [...sharedMigrations, ...migrations] });
const NOW = '2026-03-10T12:00:00.000Z';
const clock = fixedClock(NOW);
let driver: LimitsReadDriver;

beforeEach(async () => {
  driver = getLimitsReadDriver(db.manager(), { clock });
  await insertRows(db.manager(), makeTenant({ id: 't1' }), makeTenant({ id: 't2' }), makeRun('t1', { id: 'r' }));
});

/** Few instants, a microsecond apart, so that every leading column has ties; the first two are the ends of the 30 days. */
const IN_WINDOW = [
  '2026-02-08T12:00:00.000000Z',
  '2026-03-10T12:00:00.000999Z',
  '2026-03-01T08:00:00.000001Z',
  '2026-03-01T08:00:00.000002Z',
];
const OUTSIDE = ['2026-02-08T11:59:59.999999Z', '2026-03-10T12:00:00.001000Z'];
const CREATED = ['2026-01-01T00:00:00.000001Z', '2026-01-01T00:00:00.000002Z', '2026-01-02T00:00:00.000000Z'];
const TYPES = ['COST_CENTS', 'COST_PER_DAY', 'COSTX', 'TOKENS_PER_DAY'];

interface Stored {
  readonly id: string;
  readonly created: string;
  readonly breaches: readonly string[];
  readonly type: string;
  readonly scope: string;
  readonly enforcement: string;
  readonly status: string;
}
const ids = fc.constantFrom('a', 'B', 'b', 'é', '\uE000', '😀', 'a a', 'l-1', 'l-10', 'l-2');
const limit: fc.Arbitrary<Stored> = fc.record({
  id: ids,
  created: fc.constantFrom(...CREATED),
  breaches: fc.array(fc.constantFrom(...IN_WINDOW, ...OUTSIDE), { maxLength: 3 }),
  type: fc.constantFrom(...TYPES),
  scope: fc.constantFrom('GLOBAL', 'TENANT', 'AGENT'),
  enforcement: fc.constantFrom('BLOCK', 'WARN'),
  status: fc.constantFrom('ACTIVE', 'ACTIVE', 'ACTIVE', 'DISABLED'),
});
const limits = fc.uniqueArray(limit, { minLength: 1, maxLength: 10, selector: ({ id }) => id });
const size = fc.integer({ min: 1, max: 4 });
const filters: fc.Arbitrary<LimitsFilter> = fc.record(
  {
    status: fc.constantFrom(...LIMIT_STATUSES),
    scope: fc.constantFrom(...LIMIT_SCOPES),
    enforcement: fc.constantFrom(...LIMIT_ENFORCEMENTS.slice(0, 2)),
    limitType: fc.constantFrom('*', 'COST_*', 'C*', ...TYPES),
    createdAfter: fc.constantFrom(new Date('2026-01-01T00:00:00Z'), new Date('2026-01-02T00:00:00Z')),
    createdBefore: fc.constantFrom(new Date('2026-01-02T00:00:00Z'), new Date('2026-01-03T00:00:00Z')),
  },
  { requiredKeys: [] },
);

/** The law on fresh rows each time. */
const law = <T extends [unknown, ...unknown[]]>(
  inputs: { [K in keyof T]: fc.Arbitrary<T[K]> },
  holds: (...values: T) => Promise<void>,
): Promise<void> =>
  fc.assert(
    fc.asyncProperty(...inputs, async (...values) => {
      await db.manager().query('SAVEPOINT law');
      clock.set(NOW);
      try {
        await holds(...values);
      } finally {
        await db.manager().query('ROLLBACK TO SAVEPOINT law');
      }
    }),
    { numRuns: RUNS },
  );

async function store(tenant: string, stored: readonly Stored[]): Promise<void> {
  for (const { id, created, breaches, type, scope, enforcement, status } of stored)
    await insertRows(
      db.manager(),
      makeLimit(tenant, {
        id,
        limit_category: 'BUDGET',
        reset_period: 'DAILY',
        limit_type: type,
        scope,
        scope_id: scope === 'AGENT' ? 'a7' : null,
        enforcement,
        status,
        created_at: created,
      }),
      ...breaches.map((breached_at) => makeLimitBreach(tenant, id, { breached_at })),
    );
}

async function allOf<Item>(list: (page: PageRequest) => Promise<Page<Item>>, limit: number): Promise<readonly Item[]> {
  const items: Item[] = [];
  for (let cursor: string | undefined; ;) {
    const page = await list({ limit, ...(cursor === undefined ? {} : { cursor }) });
    items.push(...page.items);
    if (page.nextCursor === null) return items;
    expect(page.items).toHaveLength(limit);
    cursor = page.nextCursor;
  }
}

const bytes = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));
const inWindow = ({ breaches }: Stored): readonly string[] =>
  breaches.filter((each) => IN_WINDOW.includes(each)).sort(bytes);
const lastOf = (stored: Stored): string => inWindow(stored).at(-1) ?? '';

/** The list as its order is defined: an absent last breach is the empty text, which stands behind every instant. */
const ordered = (stored: readonly Stored[]): readonly Stored[] =>
  [...stored].sort((a, b) => bytes(lastOf(b), lastOf(a)) || bytes(b.created, a.created) || bytes(b.id, a.id));

const matches =
  (filter: LimitsFilter) =>
  (stored: Stored): boolean =>
    stored.status === (filter.status ?? 'ACTIVE') &&
    (filter.scope === undefined || stored.scope === filter.scope) &&
    (filter.enforcement === undefined || stored.enforcement === filter.enforcement) &&
    (filter.limitType === undefined ||
      (filter.limitType.endsWith('*')
        ? stored.type.startsWith(filter.limitType.slice(0, -1))
        : stored.type === filter.limitType)) &&
    (filter.createdAfter === undefined || stored.created >= filter.createdAfter.toISOString().replace('Z', '000Z')) &&
    (filter.createdBefore === undefined || stored.created < filter.createdBefore.toISOString().replace('Z', '000Z'));

it('law 7: pages of fetchLimits of any size are the one list, with ties, microseconds and limits that were never breached', () =>
  law([limits, size], async (stored, limit) => {
    await store('t1', stored);
    const expected = ordered(stored.filter(({ status }) => status === 'ACTIVE'));
    const paged = await allOf((page) => driver.fetchLimits('t1', {}, page), limit);
    expect(
      paged.map(({ limitId, breachCount30d, lastBreachedAt }) => [
        limitId,
        breachCount30d,
        lastBreachedAt?.toISOString() ?? null,
      ]),
    ).toEqual(expected.map((each) => [each.id, inWindow(each).length, lastOf(each).replace(/\d{3}Z$/, 'Z') || null]));
    expect(paged).toEqual((await driver.fetchLimits('t1', {}, { limit: 200 })).items);
  }));

it('law 7: whatever is breached while somebody pages, each limit comes once, where it stood at the first page', () =>
  law([limits, size, fc.array(fc.integer({ min: 0, max: 9 }), { maxLength: 4 })], async (stored, limit, hits) => {
    await store('t1', stored);
    const before = (await driver.fetchLimits('t1', {}, { limit: 200 })).items;
    const waiting = [...hits];
    const paged = await allOf(async (page) => {
      const hit = page.cursor === undefined ? undefined : stored[waiting.pop() ?? -1];
      if (page.cursor !== undefined) clock.advance(60_000);
      if (hit !== undefined)
        await insertRows(db.manager(), makeLimitBreach('t1', hit.id, { breached_at: clock.now() }));
      return driver.fetchLimits('t1', {}, page);
    }, limit);
    expect(paged.map(({ limitId }) => limitId)).toEqual(before.map(({ limitId }) => limitId));
  }));

it('law 8: countLimits is the length of all pages of fetchLimits, and both are what the filter says', () =>
  law([limits, filters, size], async (stored, filter, limit) => {
    await store('t1', stored);
    if ((filter.createdAfter ?? 0) > (filter.createdBefore ?? Number.POSITIVE_INFINITY)) return;
    const expected = ordered(stored.filter(matches(filter))).map(({ id }) => id);
    const paged = await allOf((page) => driver.fetchLimits('t1', filter, page), limit);
    expect(paged.map(({ limitId }) => limitId)).toEqual(expected);
    expect(await driver.countLimits('t1', filter)).toBe(expected.length);
  }));

it('law 7: pages of fetchBudgetLimits are the one list, the newest first', () =>
  law([limits, size], async (stored, limit) => {
    await store('t1', stored);
    const active = stored.filter(({ status }) => status === 'ACTIVE');
    const expected = [...active].sort((a, b) => bytes(b.created, a.created) || bytes(b.id, a.id));
    const paged = await allOf((page) => driver.fetchBudgetLimits('t1', {}, page), limit);
    expect(paged.map(({ id }) => id)).toEqual(expected.map(({ id }) => id));
  }));

it('law 7: pages of fetchLimitBreachesForRun are the one list, the last first', () =>
  law(
    [
      fc.uniqueArray(fc.record({ id: ids, at: fc.constantFrom(...IN_WINDOW) }), {
        maxLength: 10,
        selector: ({ id }) => id,
      }),
      size,
    ],
    async (breaches, limit) => {
      await insertRows(db.manager(), makeLimit('t1', { id: 'x' }), makeLimit('t1', { id: 'y' }));
      for (const [n, { id, at }] of breaches.entries())
        await insertRows(
          db.manager(),
          makeLimitBreach('t1', n % 2 === 0 ? 'x' : 'y', { id, run_id: 'r', breached_at: at }),
        );
      const expected = [...breaches].sort((a, b) => bytes(b.at, a.at) || bytes(b.id, a.id));
      const paged = await allOf((page) => driver.fetchLimitBreachesForRun('t1', 'r', page), limit);
      expect(paged.map(({ breachId }) => breachId)).toEqual(expected.map(({ id }) => id));
    },
  ));

it('law 12: whatever another tenant stores under the same ids, a tenant reads the same', () =>
  law([limits, limits], async (mine, theirs) => {
    await store('t1', mine);
    const readable = async (): Promise<readonly unknown[]> => [
      await driver.fetchLimits('t1'),
      await driver.countLimits('t1'),
      await driver.fetchLimitById('t1', 'a'),
      await driver.fetchApplyingLimits('t1', { category: 'BUDGET', typePrefix: 'COST_' }),
      await driver.fetchBudgetLimits('t1'),
    ];
    const alone = await readable();
    await store('t2', theirs);
    expect(await readable()).toEqual(alone);
  }));
