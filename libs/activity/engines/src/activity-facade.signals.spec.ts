import {
  type AtRiskFilter,
  type AtRiskRunRow,
  type EvaluationOutcome,
  RISK_TYPES,
  SEVERITY_LEVELS,
  severityFromRiskLevel,
  SIGNAL_TYPES,
  type SignalFeedbackPort,
  type SignalFeedbackStatus,
  type SignalProjection,
  type SignalsResult,
} from '@hoc/activity/schemas';
import {
  decodeCursor,
  encodeCursor,
  filterFingerprint,
  InvalidArgumentError,
  type PageRequest,
  pageLimit,
  refusedCursor,
  RISK_LEVELS,
  UnavailableError,
} from '@hoc/shared/kernel';
import { fixedClock, memoryLogger, sequentialIds } from '@hoc/shared/testing';
import fc from 'fast-check';
import { type ActivityFacade, type FacadeDeps, getActivityFacade, type ReadDriver } from './activity-facade.engine';
import type { SignalsQuery } from './facade-query.engine';
import { computeSignalFingerprint } from './signal-identity.engine';
import { signalTypeOf } from './signal-projection.engine';

const NOW = new Date('2026-03-10T12:00:00.000Z');
const HOUR = 3_600_000;
const context = (evaluationOutcome: EvaluationOutcome, riskType: AtRiskRunRow['policyContext']['riskType']) => ({
  policyId: 'L1',
  policyName: 'a limit',
  policyScope: 'TENANT' as const,
  limitType: null,
  thresholdValue: null,
  thresholdUnit: null,
  thresholdSource: 'TENANT_OVERRIDE' as const,
  evaluationOutcome,
  actualValue: null,
  riskType,
  proximityPct: null,
});
const run = (runId: string, more: Partial<AtRiskRunRow> = {}): AtRiskRunRow => ({
  runId,
  tenantId: 't-a',
  projectId: null,
  isSynthetic: false,
  source: 'agent',
  providerType: 'openai',
  state: 'LIVE',
  status: 'running',
  startedAt: new Date(NOW.getTime() - HOUR),
  createdAt: new Date(NOW.getTime() - 2 * HOUR),
  riskLevel: 'AT_RISK',
  evidenceHealth: 'FLOWING',
  incidentCount: 0,
  policyViolation: false,
  policyContext: context('ADVISORY', null),
  ...more,
});

/** The list as the driver keeps it: newest first, no start last, ties by id; a cursor of another list is refused. */
class Runs implements Pick<ReadDriver, 'fetchAtRiskRuns'> {
  readonly limits: number[] = [];
  constructor(private readonly rows: readonly AtRiskRunRow[]) {}
  fetchAtRiskRuns(tenantId: string, filter: AtRiskFilter, page: PageRequest) {
    const { projectId, riskLevels, startedFrom, startedTo } = filter;
    const limit = pageLimit(page);
    this.limits.push(limit);
    const fingerprint = filterFingerprint('at_risk', tenantId, [projectId ?? null, [...(riskLevels ?? [])].sort()]);
    const after = page.cursor === undefined ? null : decodeCursor(page.cursor, 'at_risk', fingerprint, 2);
    if (after !== null && !/^-?\d+$/.test(after[0] ?? '0')) throw refusedCursor();
    const startOf = ({ startedAt }: AtRiskRunRow): number => startedAt?.getTime() ?? Number.NEGATIVE_INFINITY;
    const [start, id] = [after?.[0] == null ? Number.NEGATIVE_INFINITY : Number(after[0]), after?.[1] ?? ''];
    const listed = this.rows
      .filter((row) => row.tenantId === tenantId && (projectId ?? row.projectId) === row.projectId)
      .filter((row) => riskLevels?.includes(row.riskLevel) ?? true)
      .filter((row) => startedFrom === undefined || startOf(row) >= startedFrom.getTime())
      .filter((row) => startedTo === undefined || (row.startedAt !== null && startOf(row) < startedTo.getTime()))
      .filter((row) => after === null || startOf(row) < start || (startOf(row) === start && row.runId < id))
      .sort((a, b) => (startOf(a) === startOf(b) ? (a.runId < b.runId ? 1 : -1) : startOf(a) < startOf(b) ? 1 : -1));
    const items = listed.slice(0, limit);
    const last = listed.length > limit ? items.at(-1) : undefined;
    const position = last && [last.startedAt === null ? null : String(startOf(last)), last.runId];
    return Promise.resolve({
      items,
      nextCursor: position === undefined ? null : encodeCursor('at_risk', fingerprint, position),
    });
  }
}

const unused = (): never => {
  throw new Error('not a part of this test');
};
const others: Omit<ReadDriver, 'fetchAtRiskRuns'> = {
  countRuns: unused,
  fetchRuns: unused,
  fetchRunDetail: unused,
  fetchStatusSummary: unused,
  fetchRunsWithPolicyContext: unused,
  fetchMetrics: unused,
  fetchThresholdSignals: unused,
  fetchDimensionBreakdown: unused,
};
const deps: FacadeDeps = { clock: fixedClock(NOW), ids: sequentialIds('x') };
const facade = (rows: readonly AtRiskRunRow[] | Runs, more: Partial<FacadeDeps> = {}): ActivityFacade => {
  const runs = rows instanceof Runs ? rows : new Runs(rows);
  return getActivityFacade(
    { ...others, fetchAtRiskRuns: (tenant, filter, page) => runs.fetchAtRiskRuns(tenant, filter, page) },
    { ...deps, ...more },
  );
};
const idsOf = (items: readonly { readonly runId: string }[]): readonly string[] => items.map(({ runId }) => runId);
const isDeepFrozen = (value: unknown): boolean =>
  typeof value !== 'object' ||
  value === null ||
  value instanceof Date ||
  (Object.isFrozen(value) && Object.values(value).every(isDeepFrozen));

/** All pages of a query, one after the other. */
async function pages(of: ActivityFacade, query: SignalsQuery): Promise<readonly SignalsResult[]> {
  const read = [await of.getSignals('t-a', query)];
  for (let cursor = read[0]?.nextCursor ?? null; cursor !== null; cursor = read.at(-1)?.nextCursor ?? null)
    read.push(await of.getSignals('t-a', { ...query, cursor }));
  return read;
}

const anyRun = fc.record({
  riskLevel: fc.constantFrom(...RISK_LEVELS),
  evidenceHealth: fc.constantFrom('FLOWING' as const, 'DEGRADED' as const, 'MISSING' as const),
  incidentCount: fc.nat(1),
  policyViolation: fc.boolean(),
  projectId: fc.constantFrom(null, 'p1'),
  startedAt: fc.option(fc.integer({ min: -200, max: 2 }).map((h) => new Date(NOW.getTime() + h * HOUR))),
  policyContext: fc
    .tuple(fc.constantFrom('BREACH', 'NEAR_THRESHOLD', 'OK', 'OVERRIDDEN'), fc.constantFrom(...RISK_TYPES))
    .map(([outcome, riskType]) => context(outcome as EvaluationOutcome, riskType)),
});
const anyRuns = fc
  .array(anyRun, { maxLength: 90 })
  .map((rows) => rows.map((row, n) => run(`r${n}`, { ...row, tenantId: n % 7 === 6 ? 't-b' : 't-a' })));

describe('the type of a signal: the first that holds', () => {
  it.each([
    ['cost_risk', { policyContext: context('BREACH', 'COST'), policyViolation: true }],
    ['time_risk', { policyContext: context('NEAR_THRESHOLD', 'TIME'), riskLevel: 'VIOLATED' }],
    ['token_risk', { policyContext: context('BREACH', 'TOKENS'), evidenceHealth: 'MISSING' }],
    ['rate_risk', { policyContext: context('BREACH', 'RATE') }],
    ['threshold_proximity', { policyContext: context('BREACH', 'OTHER'), riskLevel: 'VIOLATED' }],
    ['policy_breach', { riskLevel: 'VIOLATED', evidenceHealth: 'MISSING' }],
    ['policy_breach', { riskLevel: 'NORMAL', policyViolation: true, policyContext: context('OK', 'COST') }],
    ['evidence_degraded', { riskLevel: 'AT_RISK', evidenceHealth: 'DEGRADED' }],
    ['evidence_degraded', { riskLevel: 'NORMAL', evidenceHealth: 'MISSING', incidentCount: 1 }],
    ['threshold_proximity', { riskLevel: 'AT_RISK', policyContext: context('OVERRIDDEN', 'COST') }],
    ['threshold_proximity', { riskLevel: 'NEAR_THRESHOLD', incidentCount: 1 }],
    ['reliability', { riskLevel: 'NORMAL', incidentCount: 1, policyContext: context('OK', 'COST') }],
  ] as const)('%#: %s', (type, columns) => {
    expect(signalTypeOf(run('r', columns))).toBe(type);
  });
});

describe('a page of signals', () => {
  it('law: pages lose and double nothing, whatever the limit, the filter and the mix; scanned adds up', async () => {
    const query = fc.record(
      {
        limit: fc.constantFrom(1, 2, 3, 7, 50, 200),
        signalType: fc.constantFrom(...SIGNAL_TYPES),
        severity: fc.constantFrom(...SEVERITY_LEVELS),
        projectId: fc.constant('p1'),
      },
      { requiredKeys: ['limit'] },
    );
    await fc.assert(
      fc.asyncProperty(anyRuns, query, async (rows, asked) => {
        const candidates = [...(await new Runs(rows).fetchAtRiskRuns('t-a', {}, { limit: 200 })).items]
          .filter((row) => asked.severity === undefined || severityFromRiskLevel(row.riskLevel) === asked.severity)
          .filter((row) => asked.projectId === undefined || row.projectId === asked.projectId);
        const read = await pages(facade(rows), asked);
        expect(read.flatMap(({ signals }) => idsOf(signals))).toEqual(
          idsOf(candidates.filter((row) => asked.signalType === undefined || signalTypeOf(row) === asked.signalType)),
        );
        expect(read.reduce((sum, { scanned }) => sum + scanned, 0)).toBe(candidates.length);
        expect(read.every(({ signals }) => signals.length <= asked.limit)).toBe(true);
      }),
      { numRuns: 300 },
    );
  });
  it('asks the driver for what is missing, 20 times at most: the page may be empty and yet go on', async () => {
    const rows = Array.from({ length: 25 }, (_, n) => run(`r${String(n + 1).padStart(2, '0')}`));
    const runs = new Runs([...rows, run('r00', { evidenceHealth: 'MISSING' })]);
    const [first, second, ...more] = await pages(facade(runs), { signalType: 'evidence_degraded', limit: 1 });
    expect([first?.signals, first?.scanned]).toEqual([[], 20]);
    expect([idsOf(second?.signals ?? []), second?.scanned, more]).toEqual([['r00'], 6, []]);
    expect(runs.limits).toEqual(Array.from({ length: 26 }, () => 1));
    const some = new Runs([run('c', { riskLevel: 'VIOLATED' }), run('b'), run('a', { riskLevel: 'VIOLATED' })]);
    expect(idsOf((await facade(some).getSignals('t-a', { signalType: 'policy_breach', limit: 2 })).signals)).toEqual([
      'c',
      'a',
    ]);
    expect(some.limits).toEqual([2, 1]);
  });
  it('a signal: who it is about, since when, and nothing can be changed in it', async () => {
    const result = await facade([run('r1', { startedAt: null, riskLevel: 'VIOLATED' })]).getSignals('t-a');
    const signalFingerprint = computeSignalFingerprint({
      signalType: 'policy_breach',
      dimension: 'run:r1',
      source: 'agent',
      tenantId: 't-a',
    });
    const signal: SignalProjection = {
      signalId: `sig-${signalFingerprint}`,
      signalFingerprint,
      runId: 'r1',
      signalType: 'policy_breach',
      severity: 'high',
      summary: 'run r1: policy_breach (VIOLATED)',
      policyContext: context('ADVISORY', null),
      createdAt: new Date(NOW.getTime() - 2 * HOUR),
      feedback: null,
    };
    expect(result).toEqual({ signals: [signal], nextCursor: null, scanned: 1, generatedAt: NOW });
    expect(isDeepFrozen(result)).toBe(true);
  });
  it.each([
    ['query', 'unknown_key', { type: 'cost_risk' }],
    ['query', 'object', null],
    ['signalType', 'one_of', { signalType: 'cost' }],
    ['severity', 'one_of', { severity: 'HIGH' }],
    ['projectId', 'type', { projectId: () => 'p1' }],
    ['projectId', 'surrogate', { projectId: '\ud800' }],
    ['projectId', 'length', { projectId: '' }],
    ['limit', 'integer', { limit: 0 }],
    ['limit', 'integer', { limit: 201 }],
    ['limit', 'integer', { limit: '50' }],
  ])('G.4: a bad %s (%s) is refused before anything is read: %p', async (field, reason, query) => {
    const runs = new Runs([run('r1')]);
    await expect(facade(runs).getSignals('t-a', query as never)).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      details: { field, reason },
    });
    expect(runs.limits).toEqual([]);
  });
});

describe('the cursor of signals', () => {
  const rows = [run('r1'), run('r2'), run('r3', { tenantId: 't-b' }), run('r4', { tenantId: 't-b' })];
  const query: SignalsQuery = { limit: 1, severity: 'medium' };
  const own = async (): Promise<string> => (await facade(rows).getSignals('t-a', query)).nextCursor ?? '';
  const refused = (cursor: unknown, more: SignalsQuery = {}, tenant = 't-a'): Promise<void> =>
    expect(facade(rows).getSignals(tenant, { ...query, ...more, cursor } as never)).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      details: { field: 'cursor', reason: 'cursor' },
    });

  it('wraps the driver’s own', async () => {
    const { v, k, f, p } = JSON.parse(Buffer.from(await own(), 'base64url').toString()) as Record<string, unknown>;
    expect([v, k, f]).toEqual([1, 'signals', expect.stringMatching(/^[0-9a-f]{16}$/)]);
    const inner = await new Runs(rows).fetchAtRiskRuns('t-a', { riskLevels: ['AT_RISK'] }, { limit: 1 });
    expect(p).toEqual([inner.nextCursor]);
  });
  it('of another tenant or query, of the driver, of another version, with other positions, or none at all: refused', async () => {
    const cursor = await own();
    await refused(cursor, {}, 't-b');
    await refused(cursor, { severity: 'high' });
    await refused(cursor, { signalType: 'cost_risk' });
    await refused(cursor, { projectId: 'p1' });
    const content = JSON.parse(Buffer.from(cursor, 'base64url').toString()) as { f: string; p: [string] };
    await refused(content.p[0]);
    await refused(Buffer.from(JSON.stringify({ ...content, v: 2 })).toString('base64url'));
    const foreign = (await new Runs(rows).fetchAtRiskRuns('t-b', {}, { limit: 1 })).nextCursor;
    for (const positions of [[], [null], ['junk'], [''], [foreign], [content.p[0], 'r1']])
      await refused(encodeCursor('signals', content.f, positions));
    for (const junk of ['', 'abc', 'x'.repeat(5000), null, 7, `${cursor}=`, `${cursor} `]) await refused(junk);
  });
  it('law: with any character changed it is refused, or no more than another place in the same list', async () => {
    const cursor = await own();
    let [changes, refusals] = [0, 0];
    for (let at = 0; at < cursor.length; at += 1)
      for (const to of ['A', 'z', '0', '_', '=', 'é'].filter((each) => each !== cursor[at])) {
        changes += 1;
        const tampered = cursor.slice(0, at) + to + cursor.slice(at + 1);
        const answer = await facade(rows)
          .getSignals('t-a', { ...query, cursor: tampered })
          .catch((error: unknown) => error as InvalidArgumentError);
        if (answer instanceof InvalidArgumentError) {
          refusals += 1;
          expect(answer.details).toEqual({ field: 'cursor', reason: 'cursor' });
        } else expect(['r1', 'r2']).toEqual(expect.arrayContaining([...idsOf(answer.signals)]));
      }
    expect(refusals).toBeGreaterThan(0.9 * changes);
  });
});

describe('feedback on signals', () => {
  const status: SignalFeedbackStatus = {
    acknowledged: true,
    acknowledgedBy: 'jo',
    acknowledgedAt: NOW,
    suppressed: false,
    suppressedUntil: null,
  };
  const rows = [run('r1'), run('r2', { riskLevel: 'VIOLATED' }), run('r3')];
  const answers = (give: (fingerprints: readonly string[]) => Promise<ReadonlyMap<string, SignalFeedbackStatus>>) => {
    const asked: [string, readonly string[]][] = [];
    const feedback: SignalFeedbackPort = {
      getSignalFeedback: (tenant, fingerprints) => {
        asked.push([tenant, fingerprints]);
        return give(fingerprints);
      },
    };
    const logger = memoryLogger();
    const signals = async () => (await facade(rows, { feedback, logger }).getSignals('t-a')).signals;
    return { asked, signals, log: logger.entries };
  };
  it('one question for the page; what nobody answered, and what no port answers, is null', async () => {
    const port = answers(([, second]) => Promise.resolve(new Map([[second ?? '', status]])));
    const signals = await port.signals();
    expect(signals.map(({ feedback }) => feedback)).toEqual([null, status, null]);
    expect(port.asked).toEqual([['t-a', signals.map(({ signalFingerprint }) => signalFingerprint)]]);
    expect(isDeepFrozen(signals)).toBe(true);
    const without = (await facade(rows).getSignals('t-a')).signals;
    expect(without.map(({ feedback }) => feedback)).toEqual([null, null, null]);
  });
  it('no question for an empty page', async () => {
    const getSignalFeedback = (): never => unused();
    expect((await facade([], { feedback: { getSignalFeedback } }).getSignals('t-a')).signals).toEqual([]);
  });
  it('a source that is away is logged, and nulls; any other error is the caller’s', async () => {
    const away = answers(() => Promise.reject(new UnavailableError('away', { details: { reason: 'connection' } })));
    expect((await away.signals()).map(({ feedback }) => feedback)).toEqual([null, null, null]);
    const fields = { tenantId: 't-a', reason: 'connection' };
    expect(away.log).toEqual([{ level: 'warn', event: 'signal_feedback_unavailable', fields }]);
    const broken = answers(() => Promise.reject(new TypeError('broken')));
    await expect(broken.signals()).rejects.toThrow('broken');
    expect(broken.log).toEqual([]);
  });
});

describe('the attention queue', () => {
  const started = (ms: number): Date => new Date(NOW.getTime() + ms);
  const queueOf = (rows: readonly AtRiskRunRow[], query = {}) => facade(rows).getAttentionQueue('t-a', query);

  it('takes the last 168 hours, both ends included; later, earlier and never started is out', async () => {
    const edges = [-168 * HOUR - 1, -168 * HOUR, 0, 1].map((ms) => run(`r${ms}`, { startedAt: started(ms) }));
    const { items, considered, generatedAt } = await queueOf([...edges, run('never', { startedAt: null })]);
    expect([idsOf(items), considered, generatedAt]).toEqual([['r0', `r${-168 * HOUR}`], 2, NOW]);
  });
  it('ranks the newest 1,000; a limit shows the best of them, 20 unless said', async () => {
    const rows = Array.from({ length: 1_205 }, (_, n) => run(`r${n}`, { startedAt: started(-n * 1000) }));
    const runs = new Runs([...rows, run('old', { riskLevel: 'VIOLATED', startedAt: started(-100 * HOUR) })]);
    const { items, considered } = await facade(runs).getAttentionQueue('t-a');
    expect([items.length, considered, items[0]?.runId]).toEqual([20, 1000, 'r0']);
    expect(runs.limits).toEqual([200, 200, 200, 200, 200]);
    expect((await facade(runs).getAttentionQueue('t-a', { limit: 100 })).items).toHaveLength(100);
  });
  it('law: the best scores of the candidates, in order; considered is what was ranked', async () => {
    const query = fc.record({
      limit: fc.integer({ min: 1, max: 100 }),
      minScore: fc.double({ min: 0, max: 1, noNaN: true }),
    });
    const scoreOf = { VIOLATED: 0.9, AT_RISK: 0.6, NEAR_THRESHOLD: 0.3, NORMAL: 0.1 } as const;
    await fc.assert(
      fc.asyncProperty(anyRuns, query, async (rows, { limit, minScore }) => {
        const candidates = rows.filter(({ tenantId, startedAt }) => {
          const age = startedAt === null ? -1 : (NOW.getTime() - startedAt.getTime()) / HOUR;
          return tenantId === 't-a' && age >= 0 && age <= 168;
        });
        const expected = candidates.map((row) => {
          const alike = candidates.filter((other) => signalTypeOf(other) === signalTypeOf(row)).length;
          const age = (NOW.getTime() - (row.startedAt ?? NOW).getTime()) / HOUR;
          return {
            age,
            score: 0.4 * scoreOf[row.riskLevel] + 0.3 * (1 - age / 168) + 0.3 * Math.min(1, alike / 10),
            alike,
            row,
          };
        });
        const { items, considered } = await queueOf(rows, { limit, minScore });
        const shown = expected
          .filter(({ score }) => Math.min(1, score) >= minScore)
          .sort((a, b) => b.score - a.score || a.age - b.age || (a.row.runId < b.row.runId ? -1 : 1))
          .slice(0, limit);
        expect(idsOf(items)).toEqual(idsOf(shown.map(({ row }) => row)));
        expect(items.map(({ attentionReason }) => attentionReason)).toEqual(
          shown.map(
            ({ row, age, alike }) =>
              `severity=${scoreOf[row.riskLevel]} recencyHours=${age.toFixed(1)} frequency=${alike}`,
          ),
        );
        expect(items.every(({ attentionScore }) => attentionScore >= minScore && attentionScore <= 1)).toBe(true);
        expect(considered).toBe(candidates.length);
      }),
      { numRuns: 200 },
    );
  });
  it('an item can’t be changed, and names its signal', async () => {
    const queue = await queueOf([run('r1')]);
    const [signal] = (await facade([run('r1')]).getSignals('t-a')).signals;
    expect(queue.items[0]).toMatchObject({
      signalId: signal?.signalId,
      signalType: 'threshold_proximity',
      severity: 'medium',
    });
    expect(isDeepFrozen(queue)).toBe(true);
  });
  it.each([
    ['query', { min: 0 }],
    ['limit', { limit: 0 }],
    ['limit', { limit: 101 }],
    ['limit', { limit: null }],
    ['minScore', { minScore: 1.1 }],
    ['minScore', { minScore: -0.1 }],
    ['minScore', { minScore: Number.NaN }],
    ['minScore', { minScore: '0' }],
  ])('G.4: a bad %s is refused before anything is read: %j', async (field, query) => {
    const runs = new Runs([run('r1')]);
    await expect(facade(runs).getAttentionQueue('t-a', query as never)).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      details: { field },
    });
    expect(runs.limits).toEqual([]);
  });
});
