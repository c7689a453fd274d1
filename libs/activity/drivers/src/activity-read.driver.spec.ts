import { type EvaluationRule, type RunFilter, type RunSort, RUN_DIMENSIONS } from '@hoc/activity/schemas';
import { type DecimalString, InvalidArgumentError, TenantScopeError } from '@hoc/shared/kernel';
import { entities, migrations, RunEntity } from '@hoc/shared/models';
import { makeLimit, makeLimitBreach, makeRun, makeTenant } from '@hoc/shared/testing';
import { insertRows, statementCounter, useDatabase } from '@hoc/testkit';
import { type ActivityReadDriver, getActivityReadDriver } from './activity-read.driver';

const db = useDatabase({ entities, migrations });
const driver = (): ActivityReadDriver => getActivityReadDriver(db.manager());
const RULE: EvaluationRule = { nearThresholdRatio: '0.8' as DecimalString };
const NEWEST: RunSort = { field: 'startedAt', direction: 'desc' };
const at = (text: string): Date => new Date(`2026-${text}Z`);

/** Fixture R of the specification. */
const fixture = () => [
  makeTenant({ id: 't-a' }),
  makeTenant({ id: 't-b' }),
  run('r1', {
    status: 'succeeded',
    started_at: at('03-10T09:00:00'),
    completed_at: at('03-10T09:01:00'),
    duration_ms: 60_000,
    input_tokens: 100,
    output_tokens: 50,
    estimated_cost_cents: '150',
  }),
  run('r2', {
    status: 'failed',
    started_at: at('03-10T10:00:00'),
    completed_at: at('03-10T10:00:00'),
    duration_ms: 0,
    risk_level: 'VIOLATED',
    policy_violation: true,
    input_tokens: 900,
    output_tokens: 100,
    estimated_cost_cents: '2000',
  }),
  run('r3', {
    status: 'running',
    started_at: at('03-10T10:00:00'),
    risk_level: 'AT_RISK',
    project_id: 'p1',
    input_tokens: 700,
    output_tokens: 150,
    estimated_cost_cents: '1700',
  }),
  run('r4', { status: 'queued', created_at: at('03-10T08:00:00') }),
  run('r5', {
    status: 'succeeded',
    started_at: at('03-09T23:59:59.999'),
    completed_at: at('03-10T00:00:01'),
    duration_ms: 1001,
    incident_count: 1,
    evidence_health: 'MISSING',
    input_tokens: 10,
    output_tokens: 10,
    estimated_cost_cents: '0',
  }),
  makeRun('t-b', { id: 'r1', status: 'failed', agent_id: 'ag', started_at: at('03-10T09:00:00') }),
];
const BARE = {
  agent_id: 'ag',
  source: 'agent',
  provider_type: 'openai',
  started_at: null,
  last_seen_at: null,
  completed_at: null,
  duration_ms: null,
  input_tokens: null,
  output_tokens: null,
  estimated_cost_cents: null,
};
const run = (id: string, columns: Record<string, unknown>) => makeRun('t-a', { ...BARE, id, ...columns });
const insert = (...rows: Parameters<typeof insertRows>[1][]) => insertRows(db.manager(), ...rows);
const idsOf = (rows: readonly { readonly runId: string }[]): string[] => rows.map((row) => row.runId);

beforeEach(() => insert(...fixture()));

async function pages(filter: RunFilter, sort: RunSort, limit: number): Promise<string[][]> {
  const found: string[][] = [];
  let cursor: string | undefined;
  do {
    const page = await driver().fetchRuns('t-a', filter, sort, { limit, ...(cursor === undefined ? {} : { cursor }) });
    found.push(idsOf(page.items));
    cursor = page.nextCursor ?? undefined;
  } while (cursor !== undefined);
  return found;
}

describe('fetchRuns', () => {
  it('F11: newest first in pages of two: a tie by id, NULL last, then no cursor', async () => {
    expect(await pages({}, NEWEST, 2)).toEqual([['r3', 'r2'], ['r1', 'r5'], ['r4']]);
  });
  it('F12: the same ascending', async () => {
    expect(await pages({}, { field: 'startedAt', direction: 'asc' }, 50)).toEqual([['r4', 'r5', 'r1', 'r2', 'r3']]);
  });
  it('F13: risk by severity, not by the alphabet', async () => {
    expect(await pages({}, { field: 'riskLevel', direction: 'desc' }, 2)).toEqual([['r2', 'r3'], ['r5', 'r4'], ['r1']]);
  });
  it('F14: duration ascending: the NULLs first, and 0 is 0', async () => {
    expect((await pages({}, { field: 'durationMs', direction: 'asc' }, 2)).flat()).toEqual([
      'r3',
      'r4',
      'r2',
      'r5',
      'r1',
    ]);
    const page = await driver().fetchRuns('t-a', { statuses: ['failed'] });
    expect(page.items[0]).toMatchObject({ runId: 'r2', durationMs: 0, estimatedCostCents: '2000', inputTokens: 900 });
  });
  it('completed: NULL smallest in both directions', async () => {
    expect((await pages({}, { field: 'completedAt', direction: 'desc' }, 2)).flat()).toEqual([
      'r2',
      'r1',
      'r5',
      'r4',
      'r3',
    ]);
  });
  it('a row has the 22 fields, frozen, and is no entity', async () => {
    const { items } = await driver().fetchRuns('t-a', { state: 'LIVE', projectId: 'p1' });
    expect(items).toHaveLength(1);
    const [row] = items;
    expect(Object.keys(row ?? {})).toHaveLength(22);
    expect(row).toMatchObject({ runId: 'r3', tenantId: 't-a', projectId: 'p1', state: 'LIVE', completedAt: null });
    expect(row).not.toBeInstanceOf(RunEntity);
    expect(Object.isFrozen(row)).toBe(true);
    expect(Object.isFrozen(items)).toBe(true);
  });
  it('F18: a cursor of another tenant, another sort or another filter, or a cut one, is refused', async () => {
    const { nextCursor } = await driver().fetchRuns('t-a', {}, NEWEST, { limit: 2 });
    const cursor = nextCursor ?? '';
    const refused = { details: { field: 'cursor', reason: 'cursor' } };
    const asked = [
      () => driver().fetchRuns('t-b', {}, NEWEST, { limit: 2, cursor }),
      () => driver().fetchRuns('t-a', {}, { field: 'startedAt', direction: 'asc' }, { limit: 2, cursor }),
      () => driver().fetchRuns('t-a', { state: 'LIVE' }, NEWEST, { limit: 2, cursor }),
      () => driver().fetchRuns('t-a', {}, NEWEST, { limit: 2, cursor: cursor.slice(0, -1) }),
      () => driver().fetchRunsWithPolicyContext('t-a', {}, NEWEST, { limit: 2, cursor }, RULE),
      ...['', 'abc', 'x'.repeat(5000)].map((text) => () => driver().fetchRuns('t-a', {}, NEWEST, { cursor: text })),
    ];
    for (const ask of asked) await expect(ask()).rejects.toMatchObject(refused);
  });
  it.each([
    [{ atRiskOnly: true }, ['r3', 'r2', 'r5']],
    [{ atRiskOnly: false }, ['r3', 'r2', 'r1', 'r5', 'r4']],
    [{ riskLevels: ['VIOLATED', 'AT_RISK'] }, ['r3', 'r2']],
    [{ statuses: ['queued', 'running'] }, ['r3', 'r4']],
    [{ evidenceHealth: ['MISSING'] }, ['r5']],
    [{ latencyBuckets: ['SLOW'] }, []],
    [{ integrityStatuses: ['UNKNOWN'], state: 'COMPLETED' }, ['r2', 'r1', 'r5']],
    [{ sources: ['agent'], providerTypes: ['openai'], agentId: 'ag', isSynthetic: false, projectId: 'p1' }, ['r3']],
    [{ isSynthetic: true }, []],
    [{ completedFrom: at('03-10T00:00:01'), completedTo: at('03-10T09:01:00') }, ['r5']],
    [{ startedFrom: at('03-10T09:00:00'), startedTo: at('03-10T09:00:00') }, []],
  ] as [RunFilter, string[]][])('filter %j', async (filter, ids) => {
    expect((await pages(filter, NEWEST, 2)).flat()).toEqual(ids);
    expect(await driver().countRuns('t-a', filter)).toBe(ids.length);
  });
});

describe('counts', () => {
  it('F15: half-open on both ends, and NULL is in no range', async () => {
    const range = { startedFrom: at('03-10T00:00:00'), startedTo: at('03-10T10:00:00') };
    expect(await driver().countRuns('t-a', range)).toBe(1);
    expect(await driver().countRuns('t-a', { startedFrom: new Date('0001-01-01T00:00:00Z') })).toBe(4);
  });
  it('F16: at risk only; an empty list is refused', async () => {
    expect(await driver().countRuns('t-a', { atRiskOnly: true })).toBe(3);
    await expect(driver().countRuns('t-a', { statuses: [] })).rejects.toThrow(InvalidArgumentError);
    expect(await driver().countRuns('nobody')).toBe(0);
  });
  it('F17: one run in full, of its own tenant alone', async () => {
    expect(await driver().fetchRunDetail('t-b', 'r2')).toBeNull();
    expect(await driver().fetchRunDetail('t-b', 'r1')).toMatchObject({
      runId: 'r1',
      tenantId: 't-b',
      status: 'failed',
    });
    const detail = await driver().fetchRunDetail('t-a', 'r2');
    expect(detail).toMatchObject({ agentId: 'ag', attempts: 0, maxAttempts: 3, parentRunId: null });
    expect(detail?.goal.length).toBeGreaterThan(0);
    expect(await driver().fetchRunDetail('t-a', `"'; DROP TABLE runs; --"`)).toBeNull();
    expect(await driver().countRuns('t-a')).toBe(5);
  });
  it('F19: statuses, the most frequent first, ties in byte order', async () => {
    expect(await driver().fetchStatusSummary('t-a')).toEqual([
      { status: 'succeeded', count: 2 },
      { status: 'failed', count: 1 },
      { status: 'queued', count: 1 },
      { status: 'running', count: 1 },
    ]);
    expect(await driver().fetchStatusSummary('t-a', { state: 'LIVE' })).toHaveLength(2);
    expect(await driver().fetchStatusSummary('nobody')).toEqual([]);
  });
  it('F20: groups cut off by the limit stay in the total', async () => {
    expect(await driver().fetchDimensionBreakdown('t-a', 'status', {}, 1)).toEqual({
      dimension: 'status',
      totalRuns: 5,
      groups: [{ value: 'succeeded', count: 2 }],
    });
    expect(await driver().fetchDimensionBreakdown('nobody', 'status')).toEqual({
      dimension: 'status',
      totalRuns: 0,
      groups: [],
    });
  });
  it('F21: an unknown dimension is refused before any statement', async () => {
    const counter = statementCounter(db.dataSource());
    for (const dimension of ['goal', 'constructor', '__proto__'])
      await expect(driver().fetchDimensionBreakdown('t-a', dimension as 'status')).rejects.toThrow(
        InvalidArgumentError,
      );
    expect(counter.count()).toBe(0);
    for (const dimension of RUN_DIMENSIONS)
      expect((await driver().fetchDimensionBreakdown('t-a', dimension)).totalRuns).toBe(5);
  });
});

const limit = (id: string, columns: Record<string, unknown>) =>
  makeLimit('t-a', { id, limit_category: 'THRESHOLD', status: 'ACTIVE', scope_id: null, ...columns });
const f22 = () => [
  limit('L1', { scope: 'TENANT', limit_type: 'COST_CENTS', max_value: '2000' }),
  limit('L2', { scope: 'PROJECT', scope_id: 'p1', limit_type: 'TOKENS_TOTAL', max_value: '1000' }),
  limit('L3', { scope: 'AGENT', scope_id: 'zz', limit_type: 'COST_CENTS', max_value: '1' }),
];
const breach = (runId: string, limitId: string, type: string) =>
  makeLimitBreach('t-a', limitId, { run_id: runId, breach_type: type });
const contexts = async () => {
  const { items } = await driver().fetchRunsWithPolicyContext('t-a', {}, NEWEST, {}, RULE);
  return new Map(items.map((item) => [item.runId, item.policyContext]));
};

describe('the limit of a run', () => {
  it('F22: worst outcome, then nearest, then the narrower scope', async () => {
    await insert(...f22());
    const of = await contexts();
    expect(of.get('r1')).toEqual({
      policyId: 'L1',
      policyName: expect.any(String) as string,
      policyScope: 'TENANT',
      limitType: 'COST_CENTS',
      thresholdValue: '2000',
      thresholdUnit: 'cents',
      thresholdSource: 'TENANT_OVERRIDE',
      evaluationOutcome: 'OK',
      actualValue: '150',
      riskType: 'COST',
      proximityPct: 7.5,
    });
    expect(of.get('r2')).toMatchObject({ policyId: 'L1', evaluationOutcome: 'BREACH', proximityPct: 100 });
    expect(of.get('r3')).toMatchObject({
      policyId: 'L2',
      evaluationOutcome: 'NEAR_THRESHOLD',
      actualValue: '850',
      proximityPct: 85,
    });
    expect(of.get('r4')).toMatchObject({
      policyId: 'L1',
      evaluationOutcome: 'ADVISORY',
      actualValue: null,
      proximityPct: null,
    });
    expect(of.get('r5')).toMatchObject({ policyId: 'L1', evaluationOutcome: 'OK', actualValue: '0', proximityPct: 0 });
  });
  it('F23: a run comes once, however often it breached', async () => {
    await insert(...f22(), breach('r1', 'L1', 'VIOLATED'), breach('r1', 'L1', 'EXHAUSTED'));
    const { items } = await driver().fetchRunsWithPolicyContext('t-a', {}, NEWEST, {}, RULE);
    expect(idsOf(items)).toEqual(['r3', 'r2', 'r1', 'r5', 'r4']);
    expect(items[2]?.policyContext).toMatchObject({ evaluationOutcome: 'BREACH', proximityPct: 7.5 });
  });
  it('F24: overridden only, unless it also breached', async () => {
    await insert(...f22(), breach('r2', 'L1', 'OVERRIDDEN'));
    expect((await contexts()).get('r2')?.evaluationOutcome).toBe('OVERRIDDEN');
    await insert(breach('r2', 'L1', 'BREACHED'));
    expect((await contexts()).get('r2')?.evaluationOutcome).toBe('BREACH');
  });
  it('F25: a limit of zero lets nothing cost, and has no proximity', async () => {
    await insert(
      limit('L0', { scope: 'TENANT', limit_type: 'COST_CENTS', max_value: '0' }),
      run('r6', { status: 'running', estimated_cost_cents: '1' }),
    );
    const of = await contexts();
    expect(of.get('r5')).toMatchObject({ evaluationOutcome: 'OK', proximityPct: null });
    expect(of.get('r6')).toMatchObject({ evaluationOutcome: 'BREACH', proximityPct: null });
  });
  it('no candidate: the default policy, advisory', async () => {
    expect((await contexts()).get('r1')).toEqual({
      policyId: 'SYSTEM_DEFAULT',
      policyName: 'Default Safety Thresholds',
      policyScope: 'GLOBAL',
      limitType: null,
      thresholdValue: null,
      thresholdUnit: null,
      thresholdSource: 'SYSTEM_DEFAULT',
      evaluationOutcome: 'ADVISORY',
      actualValue: null,
      riskType: null,
      proximityPct: null,
    });
  });
  it("scopes: a limit of another project, agent or provider, a disabled one and another tenant's hold for nobody", async () => {
    await insert(
      limit('a', { scope: 'PROJECT', scope_id: 'p2', limit_type: 'COST_CENTS', max_value: '1' }),
      limit('b', { scope: 'PROVIDER', scope_id: 'anthropic', limit_type: 'COST_CENTS', max_value: '1' }),
      limit('c', { scope: 'PROJECT', limit_type: 'COST_CENTS', max_value: '1' }),
      limit('d', { scope: 'TENANT', limit_type: 'COST_CENTS', max_value: '1', status: 'DISABLED' }),
      makeLimit('t-b', {
        id: 'e',
        limit_category: 'THRESHOLD',
        scope: 'TENANT',
        limit_type: 'COST_CENTS',
        max_value: '1',
      }),
    );
    expect((await contexts()).get('r2')?.policyId).toBe('SYSTEM_DEFAULT');
    await insert(limit('f', { scope: 'PROVIDER', scope_id: 'openai', limit_type: 'TOKENS_INPUT', max_value: '900' }));
    expect((await contexts()).get('r2')).toMatchObject({
      policyId: 'f',
      actualValue: '900',
      evaluationOutcome: 'BREACH',
    });
  });
  it('each type is compared with its own figure', async () => {
    const types = ['TOKENS_OUTPUT', 'TOKENS_TOTAL', 'TIME_MS', 'LATENCY_MS', 'REQUESTS_PM', 'CUSTOM'];
    const seen: unknown[] = [];
    for (const type of types) {
      await db.manager().query('DELETE FROM limits');
      await insert(limit('x', { scope: 'GLOBAL', limit_type: type, max_value: '10000000' }));
      const context = (await contexts()).get('r1');
      seen.push([context?.actualValue, context?.riskType, context?.thresholdSource]);
    }
    expect(seen).toEqual([
      ['50', 'TOKENS', 'SYSTEM_DEFAULT'],
      ['150', 'TOKENS', 'SYSTEM_DEFAULT'],
      ['60000', 'TIME', 'SYSTEM_DEFAULT'],
      ['60000', 'TIME', 'SYSTEM_DEFAULT'],
      [null, 'RATE', 'SYSTEM_DEFAULT'],
      [null, 'OTHER', 'SYSTEM_DEFAULT'],
    ]);
  });
  it('runs at risk with their limit, in pages', async () => {
    await insert(...f22());
    const first = await driver().fetchAtRiskRuns('t-a', {}, { limit: 2 }, RULE);
    expect(idsOf(first.items)).toEqual(['r3', 'r2']);
    expect(first.items[0]?.policyContext.policyId).toBe('L2');
    const next = await driver().fetchAtRiskRuns('t-a', {}, { limit: 2, cursor: first.nextCursor ?? '' }, RULE);
    expect([idsOf(next.items), next.nextCursor]).toEqual([['r5'], null]);
    expect(idsOf((await driver().fetchAtRiskRuns('t-a', { riskLevels: ['VIOLATED'] }, {}, RULE)).items)).toEqual([
      'r2',
    ]);
  });
  it('F26: threshold signals, the nearest first; an advisory run is none', async () => {
    await insert(...f22());
    const all = await driver().fetchThresholdSignals('t-a', {}, { limit: 3 }, RULE);
    expect(all.items.map((row) => [row.runId, row.proximityPct])).toEqual([
      ['r2', 100],
      ['r3', 85],
      ['r1', 7.5],
    ]);
    const rest = await driver().fetchThresholdSignals('t-a', {}, { limit: 3, cursor: all.nextCursor ?? '' }, RULE);
    expect([rest.items.map((row) => [row.runId, row.proximityPct]), rest.nextCursor]).toEqual([[['r5', 0]], null]);
    expect(idsOf((await driver().fetchThresholdSignals('t-a', { riskType: 'TOKENS' }, {}, RULE)).items)).toEqual([
      'r3',
    ]);
    const near = { evaluationOutcome: 'NEAR_THRESHOLD', state: 'LIVE', startedFrom: at('03-10T10:00:00') } as const;
    expect(idsOf((await driver().fetchThresholdSignals('t-a', near, {}, RULE)).items)).toEqual(['r3']);
    expect(await driver().countThresholdSignals('t-a', {}, RULE)).toBe(4);
    expect(await driver().countThresholdSignals('t-a', near, RULE)).toBe(1);
  });
  it('F27: metrics', async () => {
    await insert(...f22());
    expect(await driver().fetchMetrics('t-a', {}, RULE)).toEqual({
      atRiskCount: 1,
      violatedCount: 1,
      nearThresholdCount: 0,
      totalAtRisk: 2,
      liveCount: 2,
      completedCount: 3,
      evidenceFlowingCount: 4,
      evidenceDegradedCount: 0,
      evidenceMissingCount: 1,
      costRiskCount: 1,
      timeRiskCount: 0,
      tokenRiskCount: 1,
      rateRiskCount: 0,
    });
    const none = await driver().fetchMetrics('t-a', { projectId: 'nobody' }, RULE);
    expect(Object.values(none).every((count) => count === 0)).toBe(true);
  });
});

describe('bad input', () => {
  const bad = (text: string): never => text as never;
  it.each([
    ['sort field', () => driver().fetchRuns('t-a', {}, { field: bad('id; select'), direction: 'asc' })],
    ['sort of the prototype', () => driver().fetchRuns('t-a', {}, { field: bad('__proto__'), direction: 'asc' })],
    ['direction', () => driver().fetchRuns('t-a', {}, { field: 'startedAt', direction: bad('DESC') })],
    ['limit 0', () => driver().fetchRuns('t-a', {}, NEWEST, { limit: 0 })],
    ['limit 201', () => driver().fetchRuns('t-a', {}, NEWEST, { limit: 201 })],
    ['limit text', () => driver().fetchRuns('t-a', {}, NEWEST, { limit: bad('50') })],
    ['list empty', () => driver().countRuns('t-a', { riskLevels: [] })],
    ['list of 51', () => driver().countRuns('t-a', { sources: Array.from({ length: 51 }, () => 'agent' as const) })],
    ['unknown value', () => driver().countRuns('t-a', { statuses: [bad('done')] })],
    ['unknown key', () => driver().countRuns('t-a', bad({ tenant: 't-b' } as never))],
    ['flag text', () => driver().countRuns('t-a', { atRiskOnly: bad('yes') })],
    ['invalid date', () => driver().countRuns('t-a', { startedFrom: new Date(Number.NaN) })],
    [
      'from after to',
      () => driver().countRuns('t-a', { completedFrom: at('03-11T00:00:00'), completedTo: at('03-10T00:00:00') }),
    ],
    ['run id empty', () => driver().fetchRunDetail('t-a', '')],
    ['run id long', () => driver().fetchRunDetail('t-a', 'x'.repeat(101))],
    ['breakdown limit', () => driver().fetchDimensionBreakdown('t-a', 'status', {}, 101)],
    ['ratio 0', () => driver().fetchMetrics('t-a', {}, { nearThresholdRatio: bad('0') })],
    ['ratio 1.1', () => driver().fetchMetrics('t-a', {}, { nearThresholdRatio: bad('1.1') })],
    ['ratio x', () => driver().fetchMetrics('t-a', {}, { nearThresholdRatio: bad('x') })],
    ['outcome ADVISORY', () => driver().fetchThresholdSignals('t-a', { evaluationOutcome: bad('ADVISORY') }, {}, RULE)],
    ['threshold key', () => driver().countThresholdSignals('t-a', bad({ agentId: 'x' } as never), RULE)],
    ['at-risk key', () => driver().fetchAtRiskRuns('t-a', bad({ statuses: ['failed'] } as never), {}, RULE)],
  ])('%s: INVALID_ARGUMENT before any statement', async (_name, ask) => {
    const counter = statementCounter(db.dataSource());
    await expect(ask()).rejects.toThrow(InvalidArgumentError);
    expect(counter.count()).toBe(0);
  });
  it.each([undefined, null, '', ' ', 'x'.repeat(101), 7, 'a\0', '\ud800'])(
    'tenant %p: TENANT_SCOPE',
    async (tenant) => {
      const counter = statementCounter(db.dataSource());
      const id = tenant as string;
      for (const ask of everyRead(id)) await expect(ask()).rejects.toThrow(TenantScopeError);
      expect(counter.count()).toBe(0);
    },
  );
  it('each read is one statement', async () => {
    for (const ask of everyRead('t-a')) {
      const counter = statementCounter(db.dataSource());
      await ask();
      expect(counter.count()).toBe(1);
    }
  });
});

const everyRead = (tenant: string): (() => Promise<unknown>)[] => [
  () => driver().countRuns(tenant),
  () => driver().fetchRuns(tenant),
  () => driver().fetchRunDetail(tenant, 'r1'),
  () => driver().fetchStatusSummary(tenant),
  () => driver().fetchRunsWithPolicyContext(tenant, {}, NEWEST, {}, RULE),
  () => driver().fetchAtRiskRuns(tenant, {}, {}, RULE),
  () => driver().fetchMetrics(tenant, {}, RULE),
  () => driver().fetchThresholdSignals(tenant, {}, {}, RULE),
  () => driver().countThresholdSignals(tenant, {}, RULE),
  () => driver().fetchDimensionBreakdown(tenant, 'status'),
];
