import { entities, migrations } from '@hoc/controls/models';
import { encodeCursor, filterFingerprint, HocError, type Page, type PageRequest } from '@hoc/shared/kernel';
import { entities as shared, migrations as sharedMigrations } from '@hoc/shared/models';
import { type Columns, fixedClock, makeLimit, makeLimitBreach, makeRun, makeTenant } from '@hoc/shared/testing';
import { type BuiltRow, captureStatements, insertRows, useDatabase } from '@hoc/testkit';
import { getLimitsReadDriver, type LimitsReadDriver } from './limits-read.driver';

const db = useDatabase({ entities: [...shared, ...entities], migrations: [...sharedMigrations, ...migrations] });
const clock = fixedClock('2026-03-10T12:00:00.000Z');
let driver: LimitsReadDriver;

beforeEach(async () => {
  driver = getLimitsReadDriver(db.manager(), { clock });
  await insertRows(db.manager(), makeTenant({ id: 't1' }), makeTenant({ id: 't2' }), ...rowsOf('t1', '1000'), VERIFIED);
});

/** The verification of one limit of one tenant. */
const VERIFIED: BuiltRow = {
  table: 'limit_integrity',
  row: {
    tenant_id: 't1',
    id: 'i',
    limit_id: 'B',
    integrity_status: 'FAILED',
    integrity_score: 0,
    computed_at: clock.now(),
  },
};

/** Two budgets, the newer one breached twice by run `r`. */
function rowsOf(tenant: string, max_value: string): readonly BuiltRow[] {
  const budget = (id: string, more: Columns = {}): BuiltRow =>
    makeLimit(tenant, { id, limit_category: 'BUDGET', reset_period: 'DAILY', max_value, ...more });
  return [
    makeRun(tenant, { id: 'r' }),
    budget('A'),
    budget('B'),
    makeLimitBreach(tenant, 'B', { id: 'b1', run_id: 'r', limit_value: max_value }),
    makeLimitBreach(tenant, 'B', { id: 'b2', run_id: 'r', limit_value: max_value }),
  ];
}

const bad = (value: unknown): never => value as never;

/** The refusal: its code and field, before any statement. */
async function refusal(work: () => Promise<unknown>): Promise<readonly [string, unknown]> {
  let error: unknown;
  const sent = await captureStatements(db.manager(), async () => {
    error = await work().then(
      () => null,
      (thrown: unknown) => thrown,
    );
  });
  expect(sent).toEqual([]);
  if (!HocError.is(error)) throw new Error('not refused');
  expect(JSON.stringify([error.message, error.details])).not.toMatch(/SELECT|limit_breaches/);
  return [error.code, error.details['field']];
}

const CALLS: readonly [string, (tenant: string) => Promise<unknown>][] = [
  ['fetchLimits', (tenant) => driver.fetchLimits(tenant)],
  ['countLimits', (tenant) => driver.countLimits(tenant)],
  ['fetchLimitById', (tenant) => driver.fetchLimitById(tenant, 'B')],
  ['fetchApplyingLimits', (tenant) => driver.fetchApplyingLimits(tenant, { category: 'BUDGET', typePrefix: 'RUNS_' })],
  ['fetchBudgetLimits', (tenant) => driver.fetchBudgetLimits(tenant)],
  ['fetchLimitBreachesForRun', (tenant) => driver.fetchLimitBreachesForRun(tenant, 'r')],
];
const LISTS: readonly [string, (tenant: string, page: PageRequest) => Promise<Page<object>>][] = [
  ['fetchLimits', (tenant, page) => driver.fetchLimits(tenant, {}, page)],
  ['fetchBudgetLimits', (tenant, page) => driver.fetchBudgetLimits(tenant, {}, page)],
  ['fetchLimitBreachesForRun', (tenant, page) => driver.fetchLimitBreachesForRun(tenant, 'r', page)],
];

describe.each(CALLS)('%s', (_name, call) => {
  it.each([
    ['empty', ''],
    ['of 101 characters', 't'.repeat(101)],
    ['absent', undefined],
  ])('G.4: a tenant id that is %s', async (_what, tenant) => {
    expect(await refusal(() => call(bad(tenant)))).toEqual(['TENANT_SCOPE', 'tenantId']);
  });
});

describe.each(LISTS)('%s', (name, list) => {
  it.each([0, 201, 1.5, Number.NaN, '10', null])('G.4: a limit of %p', async (limit) => {
    expect(await refusal(() => list('t1', { limit: bad(limit) }))).toEqual(['INVALID_ARGUMENT', 'limit']);
  });
  it('G.4: a cursor that is none, truncated, another tenant’s or another list’s', async () => {
    const { nextCursor } = await list('t1', { limit: 1 });
    const cursor = nextCursor ?? '';
    expect(cursor).not.toBe('');
    const [, other = ['', () => bad(null)]] = [0, LISTS.find(([another]) => another !== name)];
    const foreign = (await other[1]('t1', { limit: 1 })).nextCursor ?? '';
    for (const refused of ['x', '', cursor.slice(0, -1), `${cursor}=`, foreign])
      expect(await refusal(() => list('t1', { cursor: refused }))).toEqual(['INVALID_ARGUMENT', 'cursor']);
    expect(await refusal(() => list('t2', { cursor }))).toEqual(['INVALID_ARGUMENT', 'cursor']);
  });
  it('a page that is no object', async () => {
    expect(await refusal(() => list('t1', bad(null)))).toEqual(['INVALID_ARGUMENT', 'page']);
  });
});

describe('filters', () => {
  it.each([
    ['category', ''],
    ['category', 'budget'],
    ['status', 'ENABLED'],
    ['scope', 'TEAM'],
    ['scope', null],
    ['enforcement', ['BLOCK']],
    ['limitType', ''],
    ['limitType', 'TOK%'],
    ['limitType', 'tokens'],
    ['limitType', '**'],
    ['limitType', 'TOKENS_*_X'],
    ['limitType', `${'T'.repeat(33)}*`],
    ['limitType', 7],
    ['createdAfter', new Date('x')],
    ['createdAfter', '2026-01-01'],
    ['createdBefore', new Date('+010000-01-01T00:00:00Z')],
  ])('fetchLimits and countLimits refuse %s %p', async (field, value) => {
    expect(await refusal(() => driver.fetchLimits('t1', bad({ [field]: value })))).toEqual(['INVALID_ARGUMENT', field]);
    expect(await refusal(() => driver.countLimits('t1', bad({ [field]: value })))).toEqual(['INVALID_ARGUMENT', field]);
  });
  it('refuse a range that ends before it begins, a key that is unknown, and what is no object', async () => {
    const range = { createdAfter: new Date(1), createdBefore: new Date(0) };
    expect(await refusal(() => driver.fetchLimits('t1', range))).toEqual(['INVALID_ARGUMENT', 'createdAfter']);
    for (const filter of [{ agent: 'a' }, null, []])
      expect(await refusal(() => driver.countLimits('t1', bad(filter)))).toEqual(['INVALID_ARGUMENT', 'filter']);
    expect(await refusal(() => driver.fetchBudgetLimits('t1', bad({ category: 'RATE' })))).toEqual([
      'INVALID_ARGUMENT',
      'filter',
    ]);
    expect(await refusal(() => driver.fetchBudgetLimits('t1', { scope: bad('X') }))).toEqual([
      'INVALID_ARGUMENT',
      'scope',
    ]);
    expect(await refusal(() => driver.fetchBudgetLimits('t1', { status: bad('') }))).toEqual([
      'INVALID_ARGUMENT',
      'status',
    ]);
  });
  it('G.4: a cursor of another filter; the defaults written out are the same filter', async () => {
    const { nextCursor } = await driver.fetchLimits('t1', {}, { limit: 1 });
    const cursor = nextCursor ?? '';
    for (const filter of [
      { scope: 'TENANT' },
      { status: 'DISABLED' },
      { limitType: '*' },
      { createdAfter: new Date(0) },
    ])
      expect(await refusal(() => driver.fetchLimits('t1', bad(filter), { cursor }))).toEqual([
        'INVALID_ARGUMENT',
        'cursor',
      ]);
    const same = await driver.fetchLimits('t1', { category: 'BUDGET', status: 'ACTIVE', scope: undefined } as never, {
      cursor,
    });
    expect(same.items.map(({ limitId }) => limitId)).toEqual(['A']);
    expect(await refusal(() => driver.fetchLimitBreachesForRun('t1', 'r2', { cursor }))).toEqual([
      'INVALID_ARGUMENT',
      'cursor',
    ]);
  });
  it.each([[''], ['x'.repeat(101)], ['a\u0000b'], [undefined]])('an id of %p', async (id) => {
    expect(await refusal(() => driver.fetchLimitById('t1', bad(id)))).toEqual(['INVALID_ARGUMENT', 'limitId']);
    expect(await refusal(() => driver.fetchLimitBreachesForRun('t1', bad(id)))).toEqual(['INVALID_ARGUMENT', 'runId']);
  });
});

it('a cursor that was made by hand, with a position that no list has', async () => {
  const fingerprint = filterFingerprint('limits', 't1', { category: 'BUDGET', status: 'ACTIVE' });
  const now = '2026-03-10T12:00:00.000000Z';
  const made = (...position: (string | null)[]): PageRequest => ({
    cursor: encodeCursor('limits', fingerprint, position),
  });
  expect((await driver.fetchLimits('t1', {}, made(now, null, now, 'AA'))).items).toHaveLength(1);
  for (const page of [
    made(null, null, now, 'A'),
    made('0001-01-01T00:00:00.000000Z', null, now, 'A'),
    made(now, null, null, 'A'),
    made(now, null, now, null),
    made(now, '2026-02-30T00:00:00.000000Z', now, 'A'),
    made(now, now, 'A'),
  ])
    expect(await refusal(() => driver.fetchLimits('t1', {}, page))).toEqual(['INVALID_ARGUMENT', 'cursor']);
  const budgets = encodeCursor('budgets', filterFingerprint('budgets', 't1', { status: 'ACTIVE' }), [null, 'A']);
  expect(await refusal(() => driver.fetchBudgetLimits('t1', {}, { cursor: budgets }))).toEqual([
    'INVALID_ARGUMENT',
    'cursor',
  ]);
});

describe('fetchApplyingLimits', () => {
  const given = { category: 'BUDGET', typePrefix: 'COST_' };
  it.each([
    ['filter', null],
    ['filter', { ...given, status: 'DISABLED' }],
    ['category', { typePrefix: 'COST_' }],
    ['category', { ...given, category: 'budget' }],
    ['typePrefix', { category: 'BUDGET' }],
    ['typePrefix', { ...given, typePrefix: '' }],
    ['typePrefix', { ...given, typePrefix: 'COST_*' }],
    ['typePrefix', { ...given, typePrefix: 'COST%' }],
    ['typePrefix', { ...given, typePrefix: 'T'.repeat(33) }],
    ['typePrefix', { ...given, typePrefix: ['COST_'] }],
    ['context', { ...given, context: null }],
    ['context', { ...given, context: { userId: 'u' } }],
    ['context.projectId', { ...given, context: { projectId: '' } }],
    ['context.agentId', { ...given, context: { agentId: 'x'.repeat(101) } }],
    ['context.providerId', { ...given, context: { providerId: null } }],
  ])('names %s of %p', async (field, filter) => {
    expect(await refusal(() => driver.fetchApplyingLimits('t1', bad(filter)))).toEqual(['INVALID_ARGUMENT', field]);
  });
});

it('F18: another tenant’s limit is not found, and no tenant is no scope', async () => {
  expect(await driver.fetchLimitById('t2', 'A')).toBeNull();
  expect(await driver.fetchLimitById('t1', 'missing')).toBeNull();
  expect(await refusal(() => driver.fetchLimitById('', 'A'))).toEqual(['TENANT_SCOPE', 'tenantId']);
});

it('law 12: a tenant with the same ids everywhere changes nothing, and sees its own rows alone', async () => {
  const readable = async (tenant: string): Promise<readonly unknown[]> => {
    const answers: unknown[] = [];
    for (const [, call] of CALLS) answers.push(await call(tenant));
    return answers;
  };
  const none = { items: [], nextCursor: null };
  const before = await readable('t1');
  expect(await readable('t2')).toEqual([none, 0, null, [], none, none]);
  await insertRows(db.manager(), ...rowsOf('t2', '7'), makeLimitBreach('t2', 'A', { id: 'b3' }));
  expect(await readable('t1')).toEqual(before);
  const theirs = await driver.fetchLimits('t2');
  expect(theirs.items.map(({ limitId, maxValue, breachCount30d }) => [limitId, maxValue, breachCount30d])).toEqual([
    ['B', '7', 2],
    ['A', '7', 1],
  ]);
  expect(theirs.items.map(({ integrityStatus }) => integrityStatus)).toEqual([null, null]);
  expect(await driver.fetchLimitById('t2', 'B')).toMatchObject({ breachCount30d: 2, integrityStatus: null });
  expect(await driver.fetchLimitById('t1', 'B')).toMatchObject({ breachCount30d: 2, integrityStatus: 'FAILED' });
  expect((await driver.fetchLimitBreachesForRun('t2', 'r')).items.map(({ thresholdValue }) => thresholdValue)).toEqual([
    '7',
    '7',
  ]);
});

it('a filter of a class with getters is applied, as it is read the first time', async () => {
  class Shifting {
    private reads = 0;
    get scope(): 'AGENT' | 'TENANT' {
      this.reads += 1;
      return this.reads === 1 ? 'AGENT' : 'TENANT';
    }
  }
  const filter = (): object => Object.create(new Shifting()) as object;
  expect((await driver.fetchLimits('t1')).items).toHaveLength(2);
  expect((await driver.fetchLimits('t1', filter())).items).toEqual([]);
  expect(await driver.countLimits('t1', filter())).toBe(0);
  expect((await driver.fetchBudgetLimits('t1', filter())).items).toEqual([]);
});
