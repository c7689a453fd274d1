import { entities, migrations } from '@hoc/controls/models';
import {
  type ApplyingLimit,
  type ApplyingLimitsFilter,
  LIMIT_INTEGRITY_STATUSES,
  LIMITS_APPLYING_MAX,
  type LimitsFilter,
  type LimitSummary,
} from '@hoc/controls/schemas';
import { addDays, DataIntegrityError, InvalidArgumentError, toIsoDate } from '@hoc/shared/kernel';
import { entities as shared, migrations as sharedMigrations } from '@hoc/shared/models';
import { type Columns, fixedClock, makeLimit, makeLimitBreach, makeRun, makeTenant } from '@hoc/shared/testing';
import { type BuiltRow, captureStatements, insertRows, useDatabase } from '@hoc/testkit';
import { getLimitsReadDriver, LimitsReadDriver } from './limits-read.driver';

const db = useDatabase({ entities: [...shared, ...entities], migrations: [...sharedMigrations, ...migrations] });
const NOW = new Date('2026-03-10T12:00:00.000Z');
const clock = fixedClock(NOW);
const at = (text: string): Date => new Date(`2026-${text}`);
let driver: LimitsReadDriver;

beforeEach(async () => {
  clock.set(NOW);
  driver = getLimitsReadDriver(db.manager(), { clock });
  await insert(makeTenant({ id: 't1' }), makeTenant({ id: 't2' }));
});

const insert = (...rows: readonly BuiltRow[]): Promise<void> => insertRows(db.manager(), ...rows);
const budget = (id: string, more: Columns = {}): BuiltRow =>
  makeLimit('t1', { id, limit_category: 'BUDGET', reset_period: 'MONTHLY', ...more });
const rate = (id: string, limit_type: string, more: Columns = {}): BuiltRow =>
  makeLimit('t1', { id, limit_category: 'RATE', limit_type, window_seconds: 60, ...more });
const breach = (limit: string, breached_at: Date | string, more: Columns = {}): BuiltRow =>
  makeLimitBreach('t1', limit, { breached_at, ...more });
const integrity = (limit_id: string, more: Columns = {}): BuiltRow => ({
  table: 'limit_integrity',
  row: {
    tenant_id: 't1',
    id: `i-${limit_id}`,
    limit_id,
    integrity_status: 'DEGRADED',
    integrity_score: 0.75,
    computed_at: NOW,
    ...more,
  },
});
const idsOf = (items: readonly LimitSummary[]): string[] => items.map(({ limitId }) => limitId);
const listed = async (filter: LimitsFilter = {}): Promise<string[]> =>
  idsOf((await driver.fetchLimits('t1', filter)).items);
const seen = ({ limitId, breachCount30d, lastBreachedAt }: LimitSummary): unknown[] => [
  limitId,
  breachCount30d,
  lastBreachedAt?.toISOString() ?? null,
];

/** The limits of F14. */
const f14 = (): Promise<void> =>
  insert(
    budget('A', { created_at: at('01-01T00:00:00Z') }),
    budget('B', { created_at: at('01-02T00:00:00Z') }),
    budget('C', { created_at: at('01-03T00:00:00Z') }),
    breach('A', at('03-09T00:00:00Z')),
    breach('B', at('02-08T12:00:00.000Z')),
    breach('B', at('02-08T11:59:59.999Z')),
  );

describe('fetchLimits', () => {
  it('F14: the last breached first, then the newest; breaches of 30 days, to the millisecond', async () => {
    await f14();
    const { items, nextCursor } = await driver.fetchLimits('t1');
    expect(items.map(seen)).toEqual([
      ['A', 1, '2026-03-09T00:00:00.000Z'],
      ['B', 1, '2026-02-08T12:00:00.000Z'],
      ['C', 0, null],
    ]);
    expect(nextCursor).toBeNull();
  });
  it('F15: all pages see the 30 days of the first one, whatever is breached meanwhile', async () => {
    await f14();
    const first = await driver.fetchLimits('t1', {}, { limit: 1 });
    await insert(breach('C', at('03-10T12:05:00Z')));
    clock.set(at('03-10T12:10:00Z'));
    const second = await driver.fetchLimits('t1', {}, { limit: 1, cursor: first.nextCursor ?? '' });
    const third = await driver.fetchLimits('t1', {}, { limit: 1, cursor: second.nextCursor ?? '' });
    expect([first, second, third].map(({ items }) => items.map(seen))).toEqual([
      [['A', 1, '2026-03-09T00:00:00.000Z']],
      [['B', 1, '2026-02-08T12:00:00.000Z']],
      [['C', 0, null]],
    ]);
    expect(third.nextCursor).toBeNull();
    expect(idsOf((await driver.fetchLimits('t1')).items)).toEqual(['C', 'A', 'B']);
  });
  it('a breach stamped with the same reading of the clock counts; one of a millisecond later does not', async () => {
    await insert(
      budget('A'),
      breach('A', NOW),
      breach('A', '2026-03-10T12:00:00.000999Z'),
      breach('A', at('03-10T12:00:00.001Z')),
    );
    expect((await driver.fetchLimits('t1')).items.map(seen)).toEqual([['A', 2, NOW.toISOString()]]);
  });
  it('30 days are 30 times 24 hours, whatever the zone of the session', async () => {
    await db.manager().query(`SET LOCAL TIME ZONE 'America/New_York'`);
    const clock = fixedClock('2026-03-20T12:00:00.000Z');
    await insert(budget('A'), breach('A', at('02-18T12:00:00Z')), breach('A', at('02-18T11:59:59.999Z')));
    const { items } = await getLimitsReadDriver(db.manager(), { clock }).fetchLimits('t1');
    expect(items.map(seen)).toEqual([['A', 1, '2026-02-18T12:00:00.000Z']]);
  });
  it('F16: what a type begins with is literal text; no other character is a wildcard', async () => {
    await insert(rate('a', 'TOKENS_PER_RUN'), rate('b', 'TOKENSXDAY'), rate('c', 'TOKENS_PER_DAY'));
    const types = async (limitType: string): Promise<string[]> =>
      (await listed({ category: 'RATE', limitType })).sort();
    expect(await types('TOKENS_*')).toEqual(['a', 'c']);
    expect(await types('*')).toEqual(['a', 'b', 'c']);
    expect(await types('TOKENS_PER_DAY')).toEqual(['c']);
    expect(await types('TOKENS_PER')).toEqual([]);
    await expect(types('TOK%')).rejects.toThrow(InvalidArgumentError);
    expect(await driver.countLimits('t1', { category: 'RATE', limitType: 'TOKENS_*' })).toBe(2);
  });
  it('F17: a limit that was never verified is there, and counted, with nulls', async () => {
    await insert(budget('plain'), budget('verified'), integrity('verified'));
    const { items } = await driver.fetchLimits('t1');
    expect(
      items.map(({ limitId, integrityStatus, integrityScore }) => [limitId, integrityStatus, integrityScore]),
    ).toEqual([
      ['verified', 'DEGRADED', 0.75],
      ['plain', null, null],
    ]);
    expect(await driver.countLimits('t1')).toBe(2);
    expect(await driver.fetchLimitById('t1', 'plain')).toMatchObject({ integrityStatus: null, integrityScore: null });
  });
  it('F44: dollars are refused by name, before any statement, and the table holds none', async () => {
    const sent = await captureStatements(db.manager(), async () => {
      const asked = driver.fetchLimits('t1', { limitType: 'COST_USD' });
      await expect(asked).rejects.toMatchObject({ code: 'INVALID_ARGUMENT', details: { field: 'limitType' } });
      await expect(asked).rejects.toThrow('COST_USD is not supported: use COST_CENTS');
      await expect(driver.countLimits('t1', { limitType: 'COST_USD' })).rejects.toThrow('COST_CENTS');
    });
    expect(sent).toEqual([]);
    await expect(insert(budget('x', { limit_type: 'COST_USD' }))).rejects.toMatchObject({
      constraint: 'ck_limits_type',
    });
  });
  it('by default of active budgets; each filter alone narrows list and count alike', async () => {
    const day = (n: number): Date => new Date(`${addDays(toIsoDate('2026-01-01'), n)}T00:00:00Z`);
    await insert(
      budget('plain', { created_at: day(0) }),
      budget('off', { status: 'DISABLED', created_at: day(1) }),
      budget('warns', { enforcement: 'WARN', created_at: day(2) }),
      budget('agent', { scope: 'AGENT', scope_id: 'a7', created_at: day(3) }),
      rate('rate', 'REQUESTS_PER_MINUTE', { created_at: day(4) }),
    );
    const cases: [LimitsFilter, string[]][] = [
      [{}, ['agent', 'warns', 'plain']],
      [{ status: 'DISABLED' }, ['off']],
      [{ category: 'RATE' }, ['rate']],
      [{ category: 'THRESHOLD' }, []],
      [{ scope: 'AGENT' }, ['agent']],
      [{ enforcement: 'WARN' }, ['warns']],
      [{ createdAfter: day(2) }, ['agent', 'warns']],
      [{ createdBefore: day(2) }, ['plain']],
      [{ createdAfter: day(2), createdBefore: day(3) }, ['warns']],
      [{ createdAfter: day(2), createdBefore: day(2) }, []],
      [{ limitType: 'COST_*', enforcement: 'BLOCK', scope: 'TENANT' }, ['plain']],
    ];
    for (const [filter, expected] of cases) {
      expect([filter, await listed(filter)]).toEqual([filter, expected]);
      expect([filter, await driver.countLimits('t1', filter)]).toEqual([filter, expected.length]);
    }
  });
  it('gives every field, frozen; amounts canonical, instants of their own', async () => {
    await insert(
      rate('r', 'REQUESTS_PER_MINUTE', {
        name: 'Requests',
        scope: 'PROVIDER',
        scope_id: 'openai',
        max_value: '60.500000',
        enforcement: 'QUEUE',
        created_at: at('01-05T10:00:00.123Z'),
      }),
      integrity('r', { integrity_status: 'VERIFIED', integrity_score: 1 }),
      breach('r', at('03-01T00:00:00Z')),
    );
    const page = await driver.fetchLimits('t1', { category: 'RATE' });
    expect(page).toEqual({
      items: [
        {
          limitId: 'r',
          name: 'Requests',
          limitCategory: 'RATE',
          limitType: 'REQUESTS_PER_MINUTE',
          scope: 'PROVIDER',
          scopeId: 'openai',
          enforcement: 'QUEUE',
          status: 'ACTIVE',
          maxValue: '60.5',
          windowSeconds: 60,
          resetPeriod: null,
          integrityStatus: 'VERIFIED',
          integrityScore: 1,
          breachCount30d: 1,
          lastBreachedAt: at('03-01T00:00:00Z'),
          createdAt: at('01-05T10:00:00.123Z'),
        },
      ],
      nextCursor: null,
    });
    expect([page, page.items, page.items[0]].every((each) => Object.isFrozen(each))).toBe(true);
  });
  it('is one statement, a page with breaches included, and needs no transaction', async () => {
    await f14();
    expect(await captureStatements(db.manager(), () => driver.fetchLimits('t1', {}, { limit: 2 }))).toHaveLength(1);
    const outside = getLimitsReadDriver(db.dataSource().manager, { clock });
    expect(await outside.fetchLimits('t1')).toEqual({ items: [], nextCursor: null });
    expect(await outside.countLimits('t1')).toBe(0);
  });
});

describe('fetchApplyingLimits', () => {
  const filter = { category: 'BUDGET', typePrefix: 'COST_' } as const;
  const applying = async (more: Partial<ApplyingLimitsFilter> = {}): Promise<string[]> =>
    (await driver.fetchApplyingLimits('t1', { ...filter, ...more })).map(({ limitId }) => limitId);
  const cost = (id: string, more: Columns = {}): BuiltRow => budget(id, { limit_type: 'COST_CENTS', ...more });

  it('a limit of a project, an agent or a provider applies where the context names it', async () => {
    await insert(
      cost('tenant'),
      cost('global', { scope: 'GLOBAL' }),
      ...['PROJECT', 'AGENT', 'PROVIDER'].flatMap((scope) => [
        cost(scope, { scope, scope_id: 'x1' }),
        cost(`${scope}-other`, { scope, scope_id: 'x2' }),
        cost(`${scope}-lost`, { scope, scope_id: null }),
      ]),
    );
    expect(await applying()).toEqual(['global', 'tenant']);
    expect(await applying({ context: {} })).toEqual(['global', 'tenant']);
    expect(await applying({ context: { projectId: 'x1' } })).toEqual(['PROJECT', 'global', 'tenant']);
    expect(await applying({ context: { agentId: 'x1' } })).toEqual(['AGENT', 'global', 'tenant']);
    expect(await applying({ context: { providerId: 'x1' } })).toEqual(['PROVIDER', 'global', 'tenant']);
    expect(await applying({ context: { projectId: 'x2', agentId: 'x1', providerId: 'X1' } })).toEqual([
      'AGENT',
      'PROJECT-other',
      'global',
      'tenant',
    ]);
  });
  it('of the active limits of the category those whose type begins with the prefix, no character of which is a wildcard', async () => {
    await insert(
      cost('cents'),
      cost('day', { limit_type: 'COST_CENTS_DAILY' }),
      cost('costs', { limit_type: 'COSTS_CENTS' }),
      cost('low', { limit_type: 'LOW_COST_CENTS' }),
      cost('off', { status: 'DISABLED' }),
      rate('rate', 'COST_CENTS'),
    );
    expect(await applying()).toEqual(['cents', 'day']);
    expect(await applying({ typePrefix: 'COST_CENTS_DAILY' })).toEqual(['day']);
    expect(await applying({ typePrefix: 'COST' })).toEqual(['cents', 'costs', 'day']);
    expect(await applying({ category: 'RATE' })).toEqual(['rate']);
  });
  it('each as a decision needs it, by id in byte order, frozen, in one statement', async () => {
    await insert(
      cost('b', {
        name: 'B',
        scope: 'AGENT',
        scope_id: 'x',
        max_value: '12.5',
        reset_period: 'DAILY',
        enforcement: 'WARN',
      }),
      cost('a'),
      cost('B'),
      breach('b', NOW),
      integrity('b'),
    );
    let found: readonly ApplyingLimit[] = [];
    const sent = await captureStatements(db.manager(), async () => {
      found = await driver.fetchApplyingLimits('t1', { ...filter, context: { agentId: 'x' } });
    });
    expect(sent).toHaveLength(1);
    expect(found.map(({ limitId }) => limitId)).toEqual(['B', 'a', 'b']);
    expect(found[2]).toEqual({
      limitId: 'b',
      name: 'B',
      limitType: 'COST_CENTS',
      scope: 'AGENT',
      scopeId: 'x',
      maxValue: '12.5',
      resetPeriod: 'DAILY',
      enforcement: 'WARN',
    });
    expect([found, found[0]].every((each) => Object.isFrozen(each))).toBe(true);
  });
  it('another tenant’s limits, under the same scope, apply to nobody else', async () => {
    const theirs = { limit_category: 'BUDGET', limit_type: 'COST_CENTS', reset_period: 'MONTHLY' };
    await insert(
      cost('mine'),
      makeLimit('t2', { ...theirs, id: 'global', scope: 'GLOBAL' }),
      makeLimit('t2', { ...theirs, id: 'agent', scope: 'AGENT', scope_id: 'x' }),
    );
    expect(await applying({ context: { agentId: 'x' } })).toEqual(['mine']);
    expect(await driver.fetchApplyingLimits('t3', filter)).toEqual([]);
  });
  it('1,000 are given, one more is refused; those that do not apply do not count', async () => {
    const fill = (scope: string, scopeId: string | null, from: number, to: number) =>
      db.manager().query(
        `INSERT INTO limits (tenant_id, id, name, limit_category, limit_type, scope, scope_id, max_value, reset_period, created_at, updated_at)
         SELECT 't1', $1::text || n, 'x', 'BUDGET', 'COST_CENTS', $1, $2, 1, 'DAILY', now(), now() FROM generate_series($3::int, $4::int) n`,
        [scope, scopeId, from, to],
      );
    await fill('TENANT', null, 1, 600);
    await fill('PROJECT', 'p', 1, 400);
    await fill('AGENT', 'other', 1, 500);
    expect(await applying({ context: { projectId: 'p' } })).toHaveLength(LIMITS_APPLYING_MAX);
    await fill('PROJECT', 'p', 401, 401);
    const refused: unknown = await applying({ context: { projectId: 'p' } }).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(DataIntegrityError);
    expect(refused).toMatchObject({ details: { field: 'limits', reason: 'too_many' } });
    expect(await applying()).toHaveLength(600);
  });
});

describe('fetchLimitById', () => {
  it('one limit in full, of any category and status, with its breaches', async () => {
    await insert(
      makeLimit('t1', {
        id: 'th',
        name: 'Tokens of a run',
        description: 'what a run may use',
        limit_type: 'TOKENS_PER_RUN',
        max_value: '20000',
        measurement_window_seconds: 3600,
        params: { max_tokens: 20000, other: [1] },
        enforcement: 'ALERT',
        consequence: 'INCIDENT',
        status: 'DISABLED',
        version: 3,
        created_at: at('01-01T00:00:00Z'),
        updated_at: at('02-01T00:00:00Z'),
      }),
      breach('th', at('03-09T00:00:00Z')),
      breach('th', at('03-08T00:00:00Z')),
      breach('th', at('01-08T00:00:00Z')),
    );
    const detail = await driver.fetchLimitById('t1', 'th');
    expect(detail).toEqual({
      limitId: 'th',
      name: 'Tokens of a run',
      description: 'what a run may use',
      limitCategory: 'THRESHOLD',
      limitType: 'TOKENS_PER_RUN',
      scope: 'TENANT',
      scopeId: null,
      enforcement: 'ALERT',
      consequence: 'INCIDENT',
      status: 'DISABLED',
      maxValue: '20000',
      windowSeconds: null,
      measurementWindowSeconds: 3600,
      resetPeriod: null,
      params: { max_tokens: 20000, other: [1] },
      integrityStatus: null,
      integrityScore: null,
      breachCount30d: 2,
      lastBreachedAt: at('03-09T00:00:00Z'),
      version: 3,
      createdAt: at('01-01T00:00:00Z'),
      updatedAt: at('02-01T00:00:00Z'),
    });
    expect([Object.isFrozen(detail), Object.isFrozen(detail?.params['other'])]).toEqual([true, true]);
  });
  it('one without a breach in 30 days has none', async () => {
    await insert(budget('A'), breach('A', at('01-08T00:00:00Z')));
    expect(await driver.fetchLimitById('t1', 'A')).toMatchObject({ breachCount30d: 0, lastBreachedAt: null });
  });
});

describe('fetchBudgetLimits', () => {
  it('active budgets, the newest first, frozen; other categories are none', async () => {
    await insert(
      budget('old', { created_at: at('01-01T00:00:00Z'), scope: 'PROJECT', scope_id: 'p1', max_value: '12.50' }),
      budget('new', { created_at: at('01-02T00:00:00Z'), reset_period: 'NONE' }),
      budget('off', { status: 'DISABLED' }),
      rate('rate', 'COST_PER_MINUTE'),
    );
    const { items } = await driver.fetchBudgetLimits('t1');
    expect(items).toEqual([
      {
        id: 'new',
        name: 'A limit',
        scope: 'TENANT',
        scopeId: null,
        maxValue: '2000',
        resetPeriod: 'NONE',
        enforcement: 'BLOCK',
        status: 'ACTIVE',
        createdAt: at('01-02T00:00:00Z'),
      },
      expect.objectContaining({ id: 'old', scope: 'PROJECT', scopeId: 'p1', maxValue: '12.5' }),
    ]);
    expect([items, items[0]].every((each) => Object.isFrozen(each))).toBe(true);
    expect((await driver.fetchBudgetLimits('t1', { scope: 'PROJECT' })).items.map(({ id }) => id)).toEqual(['old']);
    expect((await driver.fetchBudgetLimits('t1', { status: 'DISABLED' })).items.map(({ id }) => id)).toEqual(['off']);
  });
});

describe('fetchLimitBreachesForRun', () => {
  it('what the run crossed, the last first: the limit as it was then, and as it is today', async () => {
    await insert(
      makeRun('t1', { id: 'r1' }),
      makeRun('t1', { id: 'r2' }),
      budget('A', { name: 'Month', max_value: '1500' }),
      breach('A', at('03-01T00:00:00Z'), {
        id: 'b1',
        run_id: 'r1',
        value_at_breach: '1200.500000',
        limit_value: '1000',
      }),
      breach('A', at('03-02T00:00:00Z'), { id: 'b2', run_id: 'r1', breach_type: 'OVERRIDDEN', limit_value: '900' }),
      breach('A', at('03-03T00:00:00Z'), { id: 'b3', run_id: 'r2' }),
      breach('A', at('03-04T00:00:00Z'), { id: 'b4' }),
    );
    const { items } = await driver.fetchLimitBreachesForRun('t1', 'r1');
    expect(items).toEqual([
      {
        breachId: 'b2',
        limitId: 'A',
        limitName: 'Month',
        limitType: 'COST_CENTS',
        valueAtBreach: null,
        limitValue: '900',
        thresholdValue: '1500',
        breachType: 'OVERRIDDEN',
        breachedAt: at('03-02T00:00:00Z'),
      },
      expect.objectContaining({ breachId: 'b1', valueAtBreach: '1200.5', limitValue: '1000', breachType: 'BREACHED' }),
    ]);
    expect([items, items[0]].every((each) => Object.isFrozen(each))).toBe(true);
    expect(await driver.fetchLimitBreachesForRun('t1', 'r-unknown')).toEqual({ items: [], nextCursor: null });
  });
});

it('the statuses of a verification are those that the table takes', async () => {
  const [{ definition }]: [{ definition: string }] = await db
    .manager()
    .query(
      `SELECT pg_get_constraintdef(oid) AS definition FROM pg_constraint WHERE conname = 'ck_limit_integrity_integrity_status'`,
    );
  expect([...definition.matchAll(/'([A-Z]+)'/g)].map(([, value]) => value)).toEqual([...LIMIT_INTEGRITY_STATUSES]);
});

it('the factory makes the class', () => {
  expect(driver).toBeInstanceOf(LimitsReadDriver);
});
