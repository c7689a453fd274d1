import type { EvaluationRule, PolicyContext, RunSort, ThresholdSignalFilter } from '@hoc/activity/schemas';
import { DataIntegrityError, type DecimalString, InvalidArgumentError } from '@hoc/shared/kernel';
import { entities, migrations } from '@hoc/shared/models';
import { type Columns, makeLimit, makeLimitBreach, makeRun, makeTenant } from '@hoc/shared/testing';
import { insertRows, useDatabase } from '@hoc/testkit';
import { type ActivityReadDriver, getActivityReadDriver } from './activity-read.driver';

const db = useDatabase({ entities, migrations });
const driver = (): ActivityReadDriver => getActivityReadDriver(db.manager());
const RULE: EvaluationRule = { nearThresholdRatio: '0.8' as DecimalString };
const NEWEST: RunSort = { field: 'startedAt', direction: 'desc' };
const at = (text: string): Date => new Date(`2026-${text}Z`);

const NOTHING_KNOWN = {
  started_at: null,
  duration_ms: null,
  input_tokens: null,
  output_tokens: null,
  estimated_cost_cents: null,
};
const run = (id: string, columns: Columns) =>
  makeRun('t-a', { agent_id: 'ag', provider_type: 'openai', ...NOTHING_KNOWN, id, ...columns });
const spent = (input: number, output: number, cents: string) => ({
  input_tokens: input,
  output_tokens: output,
  estimated_cost_cents: cents,
});
const violated = { risk_level: 'VIOLATED', policy_violation: true };
const forgotten = { incident_count: 1, evidence_health: 'MISSING' };
/** Fixture R of the specification, as far as a policy sees it. */
const fixture = () => [
  run('r1', { status: 'succeeded', started_at: at('03-10T09:00:00'), duration_ms: 60_000, ...spent(100, 50, '150') }),
  run('r2', { status: 'failed', started_at: at('03-10T10:00:00'), ...violated, ...spent(900, 100, '2000') }),
  run('r3', {
    status: 'running',
    started_at: at('03-10T10:00:00'),
    risk_level: 'AT_RISK',
    project_id: 'p1',
    ...spent(700, 150, '1700'),
  }),
  run('r4', { status: 'queued' }),
  run('r5', { status: 'succeeded', started_at: at('03-09T23:59:59.999'), ...forgotten, ...spent(10, 10, '0') }),
];
const limit = (id: string, columns: Columns) => makeLimit('t-a', { id, scope_id: null, ...columns });
/** The limits of F22. */
const limits = () => [
  limit('L1', { scope: 'TENANT', limit_type: 'COST_CENTS', max_value: '2000' }),
  limit('L2', { scope: 'PROJECT', scope_id: 'p1', limit_type: 'TOKENS_TOTAL', max_value: '1000' }),
  limit('L3', { scope: 'AGENT', scope_id: 'zz', limit_type: 'COST_CENTS', max_value: '1' }),
];
const breach = (runId: string, limitId: string, type: string) =>
  makeLimitBreach('t-a', limitId, { run_id: runId, breach_type: type });
const insert = (...rows: Parameters<typeof insertRows>[1][]) => insertRows(db.manager(), ...rows);

async function contexts(rule: EvaluationRule = RULE): Promise<ReadonlyMap<string, PolicyContext>> {
  const { items } = await driver().fetchRunsWithPolicyContext('t-a', {}, NEWEST, { limit: 200 }, rule);
  return new Map(items.map((item) => [item.runId, item.policyContext]));
}
const shown = async (filter: ThresholdSignalFilter = {}, rule = RULE) =>
  (await driver().fetchThresholdSignals('t-a', filter, {}, rule)).items.map((row) => [row.runId, row.proximityPct]);

beforeEach(() => insert(makeTenant({ id: 't-a' }), makeTenant({ id: 't-b' })));

const DEFAULT_CONTEXT: PolicyContext = {
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
};

describe('the limit of a run', () => {
  beforeEach(() => insert(...fixture()));

  it('F22: worst outcome, then nearest, then the narrower scope; a figure that nobody knows is advisory', async () => {
    await insert(...limits());
    const of = await contexts();
    expect(of.get('r1')).toEqual({
      policyId: 'L1',
      policyName: 'A limit',
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
    const [r2, r3, r4, r5] = ['r2', 'r3', 'r4', 'r5'].map((id) => of.get(id));
    expect(r2).toMatchObject({ policyId: 'L1', actualValue: '2000', evaluationOutcome: 'BREACH', proximityPct: 100 });
    expect(r3).toMatchObject({ policyId: 'L2', actualValue: '850', proximityPct: 85 });
    expect(r3).toMatchObject({ evaluationOutcome: 'NEAR_THRESHOLD', policyScope: 'PROJECT', thresholdUnit: 'tokens' });
    expect(r4).toMatchObject({ policyId: 'L1', actualValue: null, evaluationOutcome: 'ADVISORY', proximityPct: null });
    expect(r5).toMatchObject({ policyId: 'L1', actualValue: '0', evaluationOutcome: 'OK', proximityPct: 0 });
  });

  it('F23: a run comes once, however often it breached', async () => {
    await insert(...limits(), breach('r1', 'L1', 'VIOLATED'), breach('r1', 'L1', 'EXHAUSTED'));
    const { items } = await driver().fetchRunsWithPolicyContext('t-a', {}, NEWEST, {}, RULE);
    expect(items.map((row) => row.runId)).toEqual(['r3', 'r2', 'r1', 'r5', 'r4']);
    expect(items[2]?.policyContext).toMatchObject({ evaluationOutcome: 'BREACH', proximityPct: 7.5 });
  });

  it('F24: overridden, unless it also breached', async () => {
    await insert(...limits(), breach('r2', 'L1', 'OVERRIDDEN'));
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

  it('no candidate: the default policy, advisory, all else null; the run still counts', async () => {
    expect(new Set((await contexts()).values())).toEqual(new Set([DEFAULT_CONTEXT]));
    const { liveCount, completedCount, totalAtRisk, costRiskCount } = await driver().fetchMetrics('t-a', {}, RULE);
    expect({ liveCount, completedCount, totalAtRisk, costRiskCount }).toEqual({
      liveCount: 2,
      completedCount: 3,
      totalAtRisk: 2,
      costRiskCount: 0,
    });
    expect(await shown()).toEqual([]);
  });

  it('a breach that is on record makes a breach of an advisory limit, and one of another run or tenant does not', async () => {
    await insert(
      makeRun('t-b', { id: 'r1' }),
      makeLimit('t-b', { id: 'L1' }),
      limit('L1', { scope: 'TENANT', limit_type: 'REQUESTS_PM', max_value: '60' }),
      makeLimitBreach('t-b', 'L1', { run_id: 'r1' }),
      breach('r4', 'L1', 'THROTTLED'),
    );
    const of = await contexts();
    expect(of.get('r1')?.evaluationOutcome).toBe('ADVISORY');
    expect(of.get('r4')).toMatchObject({
      evaluationOutcome: 'BREACH',
      riskType: 'RATE',
      thresholdUnit: 'requests/min',
    });
    expect(await shown()).toEqual([['r4', null]]);
  });

  it.each([
    [['GLOBAL', 'TENANT', 'PROVIDER', 'PROJECT', 'AGENT'], 'AGENT'],
    [['GLOBAL', 'TENANT', 'PROVIDER', 'PROJECT'], 'PROJECT'],
    [['GLOBAL', 'TENANT', 'PROVIDER'], 'PROVIDER'],
    [['GLOBAL', 'TENANT'], 'TENANT'],
    [['GLOBAL'], 'GLOBAL'],
  ])('of equal limits with scopes %j it is that of %s', async (scopes, narrowest) => {
    const ids: Record<string, string> = { PROVIDER: 'openai', PROJECT: 'p1', AGENT: 'ag' };
    await insert(
      ...scopes.map((scope, n) =>
        limit(`l${n}`, { scope, scope_id: ids[scope] ?? null, limit_type: 'COST_CENTS', max_value: '4000' }),
      ),
    );
    const context = (await contexts()).get('r3');
    expect(context?.policyScope).toBe(narrowest);
    expect(context?.thresholdSource).toBe(narrowest === 'GLOBAL' ? 'SYSTEM_DEFAULT' : 'TENANT_OVERRIDE');
  });

  it('of equal limits with one scope it is the first id, in byte order', async () => {
    const same = { scope: 'TENANT', limit_type: 'COST_CENTS', max_value: '4000' };
    await insert(limit('b', same), limit('ä', same), limit('B', same));
    expect((await contexts()).get('r3')?.policyId).toBe('B');
  });

  it("a limit of another project, agent or provider, without its scope's id, disabled, of another category or tenant holds for nobody", async () => {
    const low = { limit_type: 'COST_CENTS', max_value: '1' };
    await insert(
      limit('a', { ...low, scope: 'PROJECT', scope_id: 'p2' }),
      limit('b', { ...low, scope: 'PROVIDER', scope_id: 'anthropic' }),
      limit('c', { ...low, scope: 'PROJECT' }),
      limit('d', { ...low, scope: 'AGENT' }),
      limit('e', { ...low, scope: 'PROVIDER' }),
      limit('f', { ...low, scope: 'AGENT', scope_id: 'p1' }),
      limit('g', { ...low, scope: 'TENANT', status: 'DISABLED' }),
      limit('h', { ...low, scope: 'TENANT', limit_category: 'BUDGET', reset_period: 'NONE' }),
      makeLimit('t-b', { id: 'i', ...low, scope: 'TENANT' }),
    );
    expect(new Set((await contexts()).values())).toEqual(new Set([DEFAULT_CONTEXT]));
  });

  it.each([
    ['COST_CENTS', '150', 'COST', 'cents'],
    ['COST_TOTAL', '150', 'COST', 'cents'],
    ['TOKENS_INPUT', '100', 'TOKENS', 'tokens'],
    ['TOKENS_OUTPUT', '50', 'TOKENS', 'tokens'],
    ['TOKENS_TOTAL', '150', 'TOKENS', 'tokens'],
    ['TIME_MS', '60000', 'TIME', 'ms'],
    ['LATENCY_MS', '60000', 'TIME', 'ms'],
    ['REQUESTS_PM', null, 'RATE', 'requests/min'],
    ['REQUESTS_PH', null, 'RATE', 'requests/hour'],
    ['CUSTOM', null, 'OTHER', 'units'],
  ])('a limit of type %s is compared with %s', async (limit_type, actualValue, riskType, thresholdUnit) => {
    await insert(limit('x', { scope: 'GLOBAL', limit_type, max_value: '10000000' }));
    expect((await contexts()).get('r1')).toMatchObject({ actualValue, riskType, thresholdUnit });
  });

  it('one known half of the tokens is their total', async () => {
    await insert(
      run('r6', { status: 'running', output_tokens: 7 }),
      limit('x', { scope: 'TENANT', limit_type: 'TOKENS_TOTAL', max_value: '10' }),
    );
    expect((await contexts()).get('r6')?.actualValue).toBe('7');
    expect((await contexts()).get('r4')?.actualValue).toBeNull();
  });
});

describe('figures', () => {
  it('no figure passes through a float: 14 digits before the point and 6 behind it, and sums above 2⁵³', async () => {
    const most = Number.MAX_SAFE_INTEGER;
    await insert(
      run('r1', { status: 'running', ...spent(most, most, '99999999999999.999999') }),
      limit('c', { scope: 'TENANT', limit_type: 'COST_CENTS', max_value: '99999999999999.999999' }),
    );
    expect((await contexts()).get('r1')).toMatchObject({
      actualValue: '99999999999999.999999',
      thresholdValue: '99999999999999.999999',
      evaluationOutcome: 'BREACH',
      proximityPct: 100,
    });
    await insert(
      limit('t', { scope: 'AGENT', scope_id: 'ag', limit_type: 'TOKENS_TOTAL', max_value: '18014398509481' }),
    );
    expect((await contexts()).get('r1')).toMatchObject({ policyId: 't', actualValue: '18014398509481982' });
  });

  it('a run whose tokens no number holds is refused, not rounded', async () => {
    await insert(run('r1', { status: 'running', input_tokens: '9007199254740993' }));
    const refused = { code: 'DATA_INTEGRITY', details: { field: 'inputTokens', reason: 'unsafe_integer' } };
    await expect(contexts()).rejects.toMatchObject(refused);
    await expect(driver().fetchRuns('t-a')).rejects.toMatchObject(refused);
    await expect(driver().fetchRunDetail('t-a', 'r1')).rejects.toBeInstanceOf(DataIntegrityError);
  });

  it('near begins at the very ratio, and the proximity is rounded half up', async () => {
    await insert(
      run('below', { status: 'running', estimated_cost_cents: '7.999999' }),
      run('near', { status: 'running', estimated_cost_cents: '8' }),
      run('half', { status: 'running', estimated_cost_cents: '0.005' }),
      limit('c', { scope: 'TENANT', limit_type: 'COST_CENTS', max_value: '10' }),
    );
    const of = await contexts();
    expect(of.get('below')).toMatchObject({ evaluationOutcome: 'OK', proximityPct: 80 });
    expect(of.get('near')).toMatchObject({ evaluationOutcome: 'NEAR_THRESHOLD', proximityPct: 80 });
    expect(of.get('half')?.proximityPct).toBe(0.1);
    const strict = await contexts({ nearThresholdRatio: '1' as DecimalString });
    expect(strict.get('near')?.evaluationOutcome).toBe('OK');
  });
});

describe('lists and counts by limit', () => {
  beforeEach(() => insert(...fixture(), ...limits()));

  it('runs at risk with their limit, the newest first, in pages', async () => {
    const first = await driver().fetchAtRiskRuns('t-a', {}, { limit: 2 }, RULE);
    expect(first.items.map((row) => [row.runId, row.policyContext.policyId])).toEqual([
      ['r3', 'L2'],
      ['r2', 'L1'],
    ]);
    expect(Object.keys(first.items[0] ?? {}).sort()).toEqual(
      [
        ...['createdAt', 'evidenceHealth', 'incidentCount', 'isSynthetic', 'policyContext', 'policyViolation'],
        ...['projectId', 'providerType', 'riskLevel', 'runId', 'source', 'startedAt', 'state', 'status', 'tenantId'],
      ].sort(),
    );
    const next = await driver().fetchAtRiskRuns('t-a', {}, { limit: 2, cursor: first.nextCursor ?? '' }, RULE);
    expect([next.items.map((row) => row.runId), next.nextCursor]).toEqual([['r5'], null]);
  });

  it.each([
    [{ riskLevels: ['VIOLATED'] }, ['r2']],
    [{ projectId: 'p1' }, ['r3']],
    [{ startedFrom: at('03-10T00:00:00') }, ['r3', 'r2']],
    [{ startedTo: at('03-10T00:00:00') }, ['r5']],
  ] as const)('runs at risk under %j', async (filter, ids) => {
    const { items } = await driver().fetchAtRiskRuns('t-a', filter, {}, RULE);
    expect(items.map((row) => row.runId)).toEqual(ids);
  });

  it('F26: threshold signals, the nearest first; an advisory run is none', async () => {
    expect(await shown()).toEqual([
      ['r2', 100],
      ['r3', 85],
      ['r1', 7.5],
      ['r5', 0],
    ]);
    expect(await shown({ riskType: 'TOKENS' })).toEqual([['r3', 85]]);
    const { items } = await driver().fetchThresholdSignals('t-a', { riskType: 'TOKENS' }, {}, RULE);
    expect(items).toEqual([
      {
        runId: 'r3',
        state: 'LIVE',
        startedAt: at('03-10T10:00:00'),
        limitType: 'TOKENS_TOTAL',
        proximityPct: 85,
        evaluationOutcome: 'NEAR_THRESHOLD',
        policyContext: (await contexts()).get('r3'),
      },
    ]);
  });

  it.each([
    [{ evaluationOutcome: 'BREACH' }, ['r2']],
    [{ evaluationOutcome: 'OVERRIDDEN' }, []],
    [{ evaluationOutcome: 'OK' }, ['r1', 'r5']],
    [{ state: 'LIVE' }, ['r3']],
    [{ projectId: 'p1' }, ['r3']],
    [{ riskType: 'COST' }, ['r2', 'r1', 'r5']],
    [{ riskType: 'OTHER' }, []],
    [{ startedFrom: at('03-10T00:00:00'), startedTo: at('03-10T10:00:00') }, ['r1']],
    [{ evaluationOutcome: 'NEAR_THRESHOLD', state: 'LIVE', startedFrom: at('03-10T10:00:00') }, ['r3']],
  ] as const)('threshold signals under %j, and their count', async (filter, ids) => {
    expect((await shown(filter)).map(([id]) => id)).toEqual(ids);
    expect(await driver().countThresholdSignals('t-a', filter, RULE)).toBe(ids.length);
  });

  it('a zero threshold with a breach has no proximity, and stands last', async () => {
    await insert(
      run('r6', { status: 'running', project_id: 'p0', duration_ms: 1 }),
      limit('L0', { scope: 'PROJECT', scope_id: 'p0', limit_type: 'TIME_MS', max_value: '0' }),
    );
    expect((await shown()).slice(-2)).toEqual([
      ['r5', 0],
      ['r6', null],
    ]);
    const found: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await driver().fetchThresholdSignals('t-a', {}, { limit: 1, ...(cursor && { cursor }) }, RULE);
      found.push(...page.items.map((row) => row.runId));
      cursor = page.nextCursor ?? undefined;
    } while (cursor !== undefined);
    expect(found).toEqual(['r2', 'r3', 'r1', 'r5', 'r6']);
  });

  it('F27: metrics count a risk type where its limit is breached or near, not where there merely is one', async () => {
    const counts = {
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
    };
    expect(await driver().fetchMetrics('t-a', {}, RULE)).toEqual(counts);
    await insert(breach('r2', 'L1', 'OVERRIDDEN'));
    expect(await driver().fetchMetrics('t-a', {}, RULE)).toEqual({ ...counts, costRiskCount: 0 });
    const none = await driver().fetchMetrics('t-a', { projectId: 'nobody' }, RULE);
    expect(none).toEqual(Object.fromEntries(Object.keys(counts).map((name) => [name, 0])));
    const one = await driver().fetchMetrics('t-a', { startedFrom: at('03-10T10:00:00'), projectId: 'p1' }, RULE);
    expect(one).toMatchObject({ liveCount: 1, completedCount: 0, totalAtRisk: 1, tokenRiskCount: 1 });
  });

  it('a cursor belongs to its list: another list, filter, ratio or tenant refuses it', async () => {
    const page = { limit: 1 };
    const with_ = (cursor: string | null) => ({ limit: 1, cursor: cursor ?? '' });
    const policy = with_((await driver().fetchRunsWithPolicyContext('t-a', {}, NEWEST, page, RULE)).nextCursor);
    const risky = with_((await driver().fetchAtRiskRuns('t-a', {}, page, RULE)).nextCursor);
    const near = with_((await driver().fetchThresholdSignals('t-a', {}, page, RULE)).nextCursor);
    const other: EvaluationRule = { nearThresholdRatio: '0.9' as DecimalString };
    const asked: (() => Promise<unknown>)[] = [
      () => driver().fetchRuns('t-a', { atRiskOnly: true }, NEWEST, risky),
      () => driver().fetchRuns('t-a', {}, NEWEST, policy),
      () => driver().fetchAtRiskRuns('t-a', {}, policy, RULE),
      () => driver().fetchAtRiskRuns('t-a', { projectId: 'p1' }, risky, RULE),
      () => driver().fetchAtRiskRuns('t-b', {}, risky, RULE),
      () => driver().fetchThresholdSignals('t-a', { riskType: 'COST' }, near, RULE),
      () => driver().fetchThresholdSignals('t-a', {}, near, other),
      () => driver().fetchThresholdSignals('t-b', {}, near, RULE),
      () => driver().fetchRunsWithPolicyContext('t-a', {}, NEWEST, near, RULE),
    ];
    for (const ask of asked) await expect(ask()).rejects.toThrow(InvalidArgumentError);
    expect((await driver().fetchThresholdSignals('t-a', {}, near, RULE)).items[0]?.runId).toBe('r3');
  });

  it('what comes back is frozen at every level', async () => {
    const { items } = await driver().fetchRunsWithPolicyContext('t-a', {}, NEWEST, {}, RULE);
    const risky = await driver().fetchAtRiskRuns('t-a', {}, {}, RULE);
    const near = await driver().fetchThresholdSignals('t-a', {}, {}, RULE);
    const all = [items, risky, risky.items, near, near.items, await driver().fetchMetrics('t-a', {}, RULE)];
    const rows = [...items, ...risky.items, ...near.items].flatMap((row) => [row, row.policyContext]);
    expect([...all, ...rows].filter((value) => !Object.isFrozen(value))).toEqual([]);
  });
});
