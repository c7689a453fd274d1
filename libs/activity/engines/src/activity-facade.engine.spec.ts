import type {
  ActivityMetricsRow,
  DimensionBreakdownRows,
  PolicyContext,
  RunFilter,
  RunProofResult,
  RunSort,
  RunWithPolicyRow,
} from '@hoc/activity/schemas';
import {
  assertDate,
  assertId,
  assertList,
  assertOneOf,
  assertTenantId,
  decodeCursor,
  encodeCursor,
  filterFingerprint,
  invalid,
  type JsonObject,
  NotFoundError,
  type Page,
  pageLimit,
  type PageRequest,
  RUN_STATUSES,
  UnavailableError,
} from '@hoc/shared/kernel';
import { fixedClock, sequentialIds } from '@hoc/shared/testing';
import fc from 'fast-check';
import { type FacadeDeps, getActivityFacade, type ReadDriver } from './activity-facade.engine';

const clock = fixedClock('2026-03-10T12:00:00.000Z');
const deps: FacadeDeps = { clock, ids: sequentialIds('x') };
const at = (text: string): Date => new Date(`2026-03-${text}Z`);
const NO_LIMIT: PolicyContext = {
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
const run = (runId: string, more: Partial<RunWithPolicyRow> = {}): RunWithPolicyRow => ({
  runId,
  tenantId: 't-a',
  projectId: null,
  isSynthetic: false,
  source: 'agent',
  providerType: 'openai',
  state: 'LIVE',
  status: 'running',
  startedAt: at('10T10:00:00'),
  lastSeenAt: null,
  completedAt: null,
  durationMs: null,
  riskLevel: 'NORMAL',
  latencyBucket: 'OK',
  evidenceHealth: 'FLOWING',
  integrityStatus: 'UNKNOWN',
  incidentCount: 0,
  policyDraftCount: 0,
  policyViolation: false,
  inputTokens: null,
  outputTokens: null,
  estimatedCostCents: null,
  policyContext: NO_LIMIT,
  ...more,
});
const ended = { state: 'COMPLETED', status: 'succeeded' } as const;
const RUNS = [
  run('r1', { ...ended, startedAt: at('10T09:00:00'), riskLevel: 'NEAR_THRESHOLD' }),
  run('r2', { ...ended, status: 'failed', riskLevel: 'VIOLATED' }),
  run('r3', { riskLevel: 'AT_RISK', projectId: 'p1' }),
  run('r4', { status: 'queued', startedAt: null }),
  run('r5', { ...ended, startedAt: at('09T23:59:59.999') }),
];

const KEYS = [
  'projectId',
  'state',
  'statuses',
  'riskLevels',
  'startedFrom',
  'startedTo',
  'completedFrom',
  'completedTo',
];

/** The runs that a filter takes, with the refusals of the driver. */
function matching(tenantId: string, filter: RunFilter): readonly RunWithPolicyRow[] {
  assertTenantId(tenantId);
  if (Object.keys(filter).some((key) => !KEYS.includes(key)))
    throw invalid('filter', 'unknown_key', 'the filter has an unknown key');
  const { projectId, state, statuses, riskLevels, startedFrom, startedTo } = filter;
  if (statuses !== undefined && assertList(statuses, 'statuses', 50).length === 0)
    throw invalid('statuses', 'empty', 'statuses must not be empty');
  for (const status of statuses ?? []) assertOneOf(status, RUN_STATUSES, 'status');
  for (const end of [startedFrom, startedTo]) if (end !== undefined) assertDate(end, 'startedFrom');
  return RUNS.filter((each) => each.tenantId === tenantId)
    .filter((each) => projectId === undefined || each.projectId === projectId)
    .filter((each) => state === undefined || each.state === state)
    .filter((each) => statuses?.includes(each.status) ?? true)
    .filter((each) => riskLevels?.includes(each.riskLevel) ?? true)
    .filter((each) => startedFrom === undefined || (each.startedAt !== null && each.startedAt >= startedFrom))
    .filter((each) => startedTo === undefined || (each.startedAt !== null && each.startedAt < startedTo));
}

/** Sorted by start and id; the cursor is the last id under its own list's fingerprint. */
function paged<T extends RunWithPolicyRow>(
  rows: readonly T[],
  list: readonly unknown[],
  page: PageRequest,
  sort: RunSort,
): Page<T> {
  assertOneOf(sort.direction, ['asc', 'desc'], 'sort.direction');
  const sign = sort.direction === 'asc' ? 1 : -1;
  const keyOf = ({ startedAt, runId }: T): string => `${startedAt?.toISOString() ?? ''} ${runId}`;
  const sorted = [...rows].sort((a, b) => (keyOf(a) < keyOf(b) ? -sign : sign));
  const limit = pageLimit(page);
  const fingerprint = filterFingerprint('runs', 't', JSON.parse(JSON.stringify([list, sort])) as JsonObject);
  const [after] = page.cursor === undefined ? [null] : decodeCursor(page.cursor, 'runs', fingerprint, 1);
  const start = sorted.findIndex(({ runId }) => runId === after) + 1;
  const items = sorted.slice(start, start + limit);
  const last = start + limit < sorted.length ? items.at(-1) : undefined;
  return { items, nextCursor: last === undefined ? null : encodeCursor('runs', fingerprint, [last.runId]) };
}

const NEWEST: RunSort = { field: 'startedAt', direction: 'desc' };
let breakdown: DimensionBreakdownRows;
let calls = 0;
const driver: ReadDriver = {
  countRuns: async (tenant, filter = {}) => Promise.resolve(matching(tenant, filter).length),
  fetchRuns: async (tenant, filter = {}, sort = NEWEST, page = {}) =>
    Promise.resolve(paged(matching(tenant, filter), [tenant, filter], page, sort)),
  fetchRunsWithPolicyContext: async (tenant, filter, sort, page) =>
    Promise.resolve(paged(matching(tenant, filter), [tenant, filter, 'policy'], page, sort)),
  fetchRunDetail: async (tenant, runId) => {
    const found = RUNS.find(
      (each) => each.tenantId === assertTenantId(tenant) && each.runId === assertId(runId, 'runId'),
    );
    return Promise.resolve(found === undefined ? null : Object.freeze({ ...found, ...DETAIL }));
  },
  fetchStatusSummary: async (tenant, filter = {}) => {
    const found = matching(tenant, filter).map(({ status }) => status);
    return Promise.resolve(
      [...new Set(found)].map((status) => ({ status, count: found.filter((each) => each === status).length })),
    );
  },
  fetchMetrics: async (tenant, filter) => {
    calls += 1;
    const found = matching(tenant, filter);
    const count = (level: string): number => found.filter(({ riskLevel }) => riskLevel === level).length;
    return Promise.resolve({
      ...METRICS,
      atRiskCount: count('AT_RISK'),
      violatedCount: count('VIOLATED'),
      nearThresholdCount: count('NEAR_THRESHOLD'),
      totalAtRisk: found.length - count('NORMAL'),
    });
  },
  fetchThresholdSignals: async (tenant, { riskType: _, evaluationOutcome: __, ...filter }, page, rule) => {
    const { items, nextCursor } = paged(matching(tenant, filter), [tenant, filter, rule], page, NEWEST);
    const shown = {
      limitType: 'COST_CENTS',
      proximityPct: null,
      evaluationOutcome: 'OK',
      policyContext: NO_LIMIT,
    } as const;
    return Promise.resolve({
      items: items.map(({ runId, state, startedAt }) => ({ runId, state, startedAt, ...shown })),
      nextCursor,
    });
  },
  fetchAtRiskRuns: async () => Promise.resolve({ items: [], nextCursor: null }),
  fetchDimensionBreakdown: async () => Promise.resolve(breakdown),
};
const DETAIL = {
  agentId: 'ag',
  actorType: 'SYSTEM',
  actorId: null,
  originSystemId: 'o',
  goal: 'g',
  errorMessage: null,
  attempts: 0,
  maxAttempts: 3,
  parentRunId: null,
  priority: 0,
  expectedLatencyMs: null,
  terminationReason: null,
  stoppedAtStep: null,
  violationPolicyId: null,
  policySnapshotId: null,
  observabilityStatus: 'FULL',
  syntheticScenarioId: null,
  createdAt: at('10T08:00:00'),
  updatedAt: at('10T08:00:00'),
} as const;
const METRICS: ActivityMetricsRow = {
  atRiskCount: 0,
  violatedCount: 0,
  nearThresholdCount: 0,
  totalAtRisk: 0,
  liveCount: 5,
  completedCount: 6,
  evidenceFlowingCount: 7,
  evidenceDegradedCount: 8,
  evidenceMissingCount: 9,
  costRiskCount: 10,
  timeRiskCount: 11,
  tokenRiskCount: 12,
  rateRiskCount: 13,
};
const facade = getActivityFacade(driver, deps);
const idsOf = (items: readonly { readonly runId: string }[]): readonly string[] => items.map(({ runId }) => runId);
const isDeepFrozen = (value: unknown): boolean =>
  typeof value !== 'object' ||
  value === null ||
  value instanceof Date ||
  (Object.isFrozen(value) && Object.values(value).every(isDeepFrozen));
const bad = (value: unknown): never => value as never;

describe('lists of runs', () => {
  it('the newest first, or as sorted, page by page', async () => {
    expect(idsOf((await facade.getRuns('t-a')).items)).toEqual(['r3', 'r2', 'r1', 'r5', 'r4']);
    const sort = { field: 'startedAt', direction: 'asc' } as const;
    const read: string[] = [];
    let cursor: string | null = null;
    do {
      const page: { items: readonly { runId: string }[]; nextCursor: string | null } = await facade.getRuns('t-a', {
        sort,
        limit: 2,
        ...(cursor === null ? {} : { cursor }),
      });
      read.push(...idsOf(page.items));
      cursor = page.nextCursor;
    } while (cursor !== null);
    expect(read).toEqual(['r4', 'r5', 'r1', 'r2', 'r3']);
  });
  it('filtersApplied: the tenant and exactly what was given, no sort, page or default', async () => {
    expect((await facade.getRuns('t-a')).filtersApplied).toEqual({ tenantId: 't-a' });
    const query = { state: 'LIVE', riskLevels: ['AT_RISK', 'VIOLATED'], startedFrom: at('10T00:00:00') } as const;
    const result = await facade.getRuns('t-a', {
      ...query,
      sort: NEWEST,
      limit: 10,
      ...({ projectId: undefined } as object),
    });
    expect(result.filtersApplied).toStrictEqual({
      tenantId: 't-a',
      state: 'LIVE',
      riskLevels: ['AT_RISK', 'VIOLATED'],
      startedFrom: '2026-03-10T00:00:00.000Z',
    });
    expect(idsOf(result.items)).toEqual(['r3']);
  });
  it('a result is frozen at every level, and the caller’s own lists and Dates are not a part of it', async () => {
    const riskLevels: ('NORMAL' | 'AT_RISK')[] = ['NORMAL'];
    const startedFrom = at('10T00:00:00');
    const asked = facade.getRuns('t-a', { riskLevels, startedFrom });
    riskLevels.push('AT_RISK');
    startedFrom.setTime(0);
    const result = await asked;
    expect(result.filtersApplied).toMatchObject({ riskLevels: ['NORMAL'], startedFrom: '2026-03-10T00:00:00.000Z' });
    expect(isDeepFrozen(result)).toBe(true);
    expect(Object.isFrozen(riskLevels)).toBe(false);
  });
  it('live and completed runs are of their state', async () => {
    const live = await facade.getLiveRuns('t-a', { limit: 1 });
    expect([live.state, idsOf(live.items), live.generatedAt]).toEqual(['LIVE', ['r3'], clock.now()]);
    expect(isDeepFrozen(live)).toBe(true);
    const next = await facade.getLiveRuns('t-a', { limit: 1, cursor: live.nextCursor ?? '' });
    expect([idsOf(next.items), next.nextCursor]).toEqual([['r4'], null]);
    const completed = await facade.getCompletedRuns('t-a', { statuses: ['succeeded'] });
    expect([completed.state, idsOf(completed.items)]).toEqual(['COMPLETED', ['r1', 'r5']]);
  });
  it.each([
    ['statuses', 'state', ['running']],
    ['statuses', 'state', ['succeeded', 'queued']],
    ['statuses', 'list', 'failed'],
    ['statuses', 'list', { some: 1 }],
    ['statuses', 'empty', []],
    ['status', 'one_of', ['crashed']],
  ])('completed runs by bad %s (%s): INVALID_ARGUMENT: %j', async (field, reason, statuses) => {
    await expect(facade.getCompletedRuns('t-a', { statuses: bad(statuses) })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      details: { field, reason },
    });
  });
});

describe('queries with what isn’t known', () => {
  const ask: Readonly<Record<string, (query: never) => Promise<unknown>>> = {
    getRuns: (query) => facade.getRuns('t-a', query),
    countRuns: (query) => facade.countRuns('t-a', query),
    getStatusSummary: (query) => facade.getStatusSummary('t-a', query),
    getLiveRuns: (query) => facade.getLiveRuns('t-a', query),
    getCompletedRuns: (query) => facade.getCompletedRuns('t-a', query),
    getSignals: (query) => facade.getSignals('t-a', query),
    getMetrics: (query) => facade.getMetrics('t-a', query),
    getThresholdSignals: (query) => facade.getThresholdSignals('t-a', query),
    getRiskSignals: (query) => facade.getRiskSignals('t-a', query),
    getDimensionBreakdown: (query) => facade.getDimensionBreakdown('t-a', query),
    getAttentionQueue: (query) => facade.getAttentionQueue('t-a', query),
    getRunProof: (query) => facade.getRunProof('t-a', 'r1', query),
  };
  it.each(Object.keys(ask))('%s refuses an unknown key', async (name) => {
    await expect(ask[name]?.(bad({ projectID: 'p1' }))).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      details: { reason: 'unknown_key' },
    });
  });
  it.each([
    ['getLiveRuns', { statuses: ['running'] }],
    ['getLiveRuns', { state: 'COMPLETED' }],
    ['getCompletedRuns', { state: 'LIVE' }],
    ['getCompletedRuns', { sources: ['agent'] }],
    ['getThresholdSignals', { sort: NEWEST }],
    ['getStatusSummary', { statuses: ['running'] }],
    ['getDimensionBreakdown', { dimension: 'status', cursor: 'x' }],
    ['getAttentionQueue', { cursor: 'x' }],
  ])('%s takes no %j', async (name, query) => {
    await expect(ask[name]?.(bad(query))).rejects.toMatchObject({ details: { reason: 'unknown_key' } });
  });
  it.each([
    'getRuns',
    'getLiveRuns',
    'getSignals',
    'getThresholdSignals',
    'getDimensionBreakdown',
    'getAttentionQueue',
  ])('%s of what is no object', async (name) => {
    for (const query of [null, 'x', [], at('10T00:00:00')])
      await expect(ask[name]?.(bad(query))).rejects.toMatchObject({ details: { field: 'query', reason: 'object' } });
  });
});

describe('counts', () => {
  it('runs, and their statuses with a total', async () => {
    expect(await facade.countRuns('t-a', { state: 'COMPLETED' })).toBe(3);
    const summary = await facade.getStatusSummary('t-a');
    expect([summary.statuses.find(({ status }) => status === 'succeeded')?.count, summary.total]).toEqual([2, 5]);
    expect((await facade.getStatusSummary('t-a', { projectId: 'p1' })).total).toBe(1);
    expect(await facade.getStatusSummary('t-b')).toEqual({ statuses: [], total: 0 });
    expect(isDeepFrozen(summary)).toBe(true);
  });
  it('metrics with their instant; risk signals from one and the same question', async () => {
    const metrics = await facade.getMetrics('t-a', { startedFrom: at('10T00:00:00') });
    const counted = { atRiskCount: 1, violatedCount: 1, nearThresholdCount: 1, totalAtRisk: 3 };
    expect(metrics).toEqual({ ...METRICS, ...counted, generatedAt: clock.now() });
    calls = 0;
    const risks = await facade.getRiskSignals('t-a');
    expect(risks).toEqual({ ...counted, byRiskType: { COST: 10, TIME: 11, TOKENS: 12, RATE: 13 } });
    expect([calls, isDeepFrozen(metrics), isDeepFrozen(risks)]).toEqual([1, true, true]);
  });
  it('threshold signals, page by page, and what they were asked by', async () => {
    const first = await facade.getThresholdSignals('t-a', { riskType: 'COST', limit: 4 });
    expect([first.signals.length, first.riskTypeFilter, first.generatedAt]).toEqual([4, 'COST', clock.now()]);
    const query = { riskType: 'COST', limit: 4, cursor: first.nextCursor ?? '' } as const;
    const rest = await facade.getThresholdSignals('t-a', query);
    expect([idsOf(rest.signals), rest.nextCursor]).toEqual([['r4'], null]);
    expect((await facade.getThresholdSignals('t-a')).riskTypeFilter).toBeNull();
    expect(isDeepFrozen(first)).toBe(true);
  });
  it('one run; a missing one and another tenant’s are not found', async () => {
    expect(await facade.getRunDetail('t-a', 'r1')).toMatchObject({ runId: 'r1', goal: 'g' });
    for (const call of [() => facade.getRunDetail('t-b', 'r1'), () => facade.getRunDetail('t-a', 'r9')])
      await expect(call()).rejects.toThrow(NotFoundError);
  });
});

describe('shares of a dimension', () => {
  const sharesOf = async (totalRuns: number, ...counts: readonly number[]): Promise<readonly number[]> => {
    breakdown = { dimension: 'status', totalRuns, groups: counts.map((count, n) => ({ value: `v${n}`, count })) };
    const result = await facade.getDimensionBreakdown('t-a', { dimension: 'status' });
    expect(isDeepFrozen(result)).toBe(true);
    return result.groups.map(({ percentage }) => percentage);
  };
  it('F20: of all runs, not of the groups that are listed', async () => {
    expect(await sharesOf(5, 2)).toEqual([40]);
    expect(await sharesOf(0)).toEqual([]);
    expect(await sharesOf(0, 0)).toEqual([0]);
  });
  it('half-up, where a float would be below the half', async () => {
    expect(await sharesOf(3, 1, 2)).toEqual([33.33, 66.67]);
    expect(await sharesOf(20_000, 201, 57, 3, 1)).toEqual([1.01, 0.29, 0.02, 0.01]);
  });
  it('law: the nearest hundredth of a per cent, half-up, for any count of any total', async () => {
    const counts = fc.integer({ min: 1, max: 10 ** 9 }).chain((total) => fc.tuple(fc.constant(total), fc.nat(total)));
    const ties = fc.nat(9_999).map((n): [number, number] => [20_000, 2 * n + 1]);
    await fc.assert(
      fc.asyncProperty(fc.oneof(counts, ties), async ([total, count]) => {
        const hundredths = (BigInt(count) * 20_000n + BigInt(total)) / (2n * BigInt(total));
        expect(await sharesOf(total, count)).toEqual([Number(hundredths) / 100]);
      }),
      { numRuns: 1000 },
    );
  });
  it('names the state that it was asked under', async () => {
    breakdown = { dimension: 'status', totalRuns: 0, groups: [] };
    const query = { dimension: 'status', state: 'LIVE' } as const;
    expect(await facade.getDimensionBreakdown('t-a', query)).toMatchObject({
      dimension: 'status',
      stateFilter: 'LIVE',
    });
    expect((await facade.getDimensionBreakdown('t-a', { dimension: 'status' })).stateFilter).toBeNull();
  });
});

describe('ports', () => {
  const evidence = {
    runId: 'r1',
    incidentsCaused: [{ id: 'i' }],
    policiesTriggered: [],
    decisionsMade: [],
    limitsHit: [],
  };
  const integrity = {
    model: 'hash_chain',
    rootHash: null,
    verificationStatus: 'none',
    chainLength: 0,
    failureReason: null,
  };
  const proofOf = (runId: string, includePayloads: boolean): RunProofResult => ({
    runId,
    integrity,
    traces: [{ tenant: 'x' }],
    steps: [],
    rawLogs: includePayloads ? [{ a: 1 }] : null,
  });
  const bound = getActivityFacade(driver, {
    ...deps,
    evidence: {
      getRunEvidence: (tenant, runId) => Promise.resolve({ ...structuredClone(evidence), runId: `${tenant}/${runId}` }),
    },
    proof: {
      getRunProof: (tenant, runId, { includePayloads }) =>
        Promise.resolve(proofOf(`${tenant}/${runId}`, includePayloads)),
    },
  });
  it('not configured: UNAVAILABLE, and asking again won’t help', async () => {
    for (const [call, port] of [
      [() => facade.getRunEvidence('t-a', 'r1'), 'evidence'],
      [() => facade.getRunProof('t-a', 'r1'), 'proof'],
    ] as const)
      await expect(call()).rejects.toMatchObject({
        code: 'UNAVAILABLE',
        retryable: false,
        details: { reason: 'not_configured', port },
      });
  });
  it('their answers, frozen; payloads only when they are asked for', async () => {
    const answer = await bound.getRunEvidence('t-a', 'r1');
    expect(answer).toEqual({ ...evidence, runId: 't-a/r1' });
    const proof = await bound.getRunProof('t-a', 'r1');
    expect([proof.runId, proof.rawLogs]).toEqual(['t-a/r1', null]);
    expect((await bound.getRunProof('t-a', 'r1', { includePayloads: true })).rawLogs).toEqual([{ a: 1 }]);
    expect([isDeepFrozen(answer), isDeepFrozen(proof)]).toEqual([true, true]);
  });
  it('their errors are the caller’s', async () => {
    const away = new UnavailableError('away', { details: { reason: 'connection' } });
    const failing = getActivityFacade(driver, { ...deps, evidence: { getRunEvidence: () => Promise.reject(away) } });
    await expect(failing.getRunEvidence('t-a', 'r1')).rejects.toBe(away);
  });
  it('G.4: tenant and run are checked before a port is asked', async () => {
    for (const tenant of [undefined, null, '', ' ', 'a'.repeat(101), 7, 'a\u0000', '\ud800'])
      for (const call of [() => bound.getRunEvidence(bad(tenant), 'r1'), () => bound.getRunProof(bad(tenant), 'r1')])
        await expect(call()).rejects.toMatchObject({ code: 'TENANT_SCOPE' });
    for (const runId of ['', 'a'.repeat(101)])
      for (const call of [() => bound.getRunEvidence('t-a', runId), () => bound.getRunProof('t-a', runId)])
        await expect(call()).rejects.toMatchObject({ code: 'INVALID_ARGUMENT', details: { field: 'runId' } });
  });
});
