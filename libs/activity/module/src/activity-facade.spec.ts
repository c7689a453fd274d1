import type { SignalFeedbackPort } from '@hoc/activity/schemas';
import { NotFoundError, systemScope, UnavailableError } from '@hoc/shared/kernel';
import { createHoc, ensureImportTarget } from '@hoc/shared/spine';
import { fixedClock, makeLimit, makeRun, memoryLogger, sequentialIds } from '@hoc/shared/testing';
import { insertRows, useEmptyDatabase } from '@hoc/testkit';
import { activityModule, computeSignalFingerprint, type ActivityEngines } from './index';

const db = useEmptyDatabase({ entities: [], migrations: [] });
const clock = fixedClock('2026-03-10T12:00:00.000Z');
const logger = memoryLogger();
const deps = { clock, ids: sequentialIds('f'), logger };
let hoc: ReturnType<typeof connect>;
const connect = () =>
  createHoc({
    connection: { url: db.url(), applicationName: 'facade' },
    modules: [activityModule],
    clock,
    ids: deps.ids,
  });
const at = (text: string): Date => new Date(`2026-03-${text}Z`);
const BARE = {
  agent_id: 'ag',
  source: 'agent',
  provider_type: 'openai',
  started_at: null,
  last_seen_at: null,
  completed_at: null,
  duration_ms: null,
};
const run = (id: string, columns: Record<string, unknown>) =>
  makeRun('t-a', { ...BARE, id, input_tokens: null, output_tokens: null, estimated_cost_cents: null, ...columns });

describe('the module on a database', () => {
  beforeAll(async () => {
    hoc = connect();
    await hoc.migrate();
    await hoc.transaction(({ manager }) =>
      ensureImportTarget(manager, { tenantId: 't-a', integrationId: 'i', providerType: 'openai' }, { clock }),
    );
    await insertRows(
      db.dataSource().manager,
      run('r1', {
        status: 'succeeded',
        started_at: at('10T09:00:00'),
        input_tokens: 100,
        output_tokens: 50,
        estimated_cost_cents: '150',
      }),
      run('r2', {
        status: 'failed',
        started_at: at('10T10:00:00'),
        risk_level: 'VIOLATED',
        policy_violation: true,
        input_tokens: 900,
        output_tokens: 100,
        estimated_cost_cents: '2000',
      }),
      run('r3', {
        status: 'running',
        started_at: at('10T10:00:00'),
        risk_level: 'AT_RISK',
        project_id: 'p1',
        input_tokens: 700,
        output_tokens: 150,
        estimated_cost_cents: '1700',
      }),
      run('r4', { status: 'queued' }),
      run('r5', {
        status: 'succeeded',
        started_at: at('09T23:59:59.999'),
        incident_count: 1,
        evidence_health: 'MISSING',
        estimated_cost_cents: '0',
      }),
      makeLimit('t-a', {
        id: 'L1',
        limit_category: 'THRESHOLD',
        status: 'ACTIVE',
        scope: 'TENANT',
        scope_id: null,
        limit_type: 'COST_CENTS',
        max_value: '2000',
      }),
      makeLimit('t-a', {
        id: 'L2',
        limit_category: 'THRESHOLD',
        status: 'ACTIVE',
        scope: 'PROJECT',
        scope_id: 'p1',
        limit_type: 'TOKENS_TOTAL',
        max_value: '1000',
      }),
    );
  });
  afterAll(() => hoc.close());

  const ask = <T>(work: (engines: ActivityEngines) => Promise<T>): Promise<T> =>
    hoc.transaction(({ activity }) => work(activity));
  const withDeps = (more: object): ActivityEngines =>
    activityModule.compose(db.dataSource().manager, { ...deps, ...more });

  describe('signals', () => {
    it('F28: the newest first, each by what makes it one', async () => {
      const { signals, scanned, nextCursor } = await ask(({ activity }) => activity.getSignals('t-a'));
      expect(signals.map(({ runId, signalType, severity }) => [runId, signalType, severity])).toEqual([
        ['r3', 'token_risk', 'medium'],
        ['r2', 'cost_risk', 'high'],
        ['r5', 'evidence_degraded', 'low'],
      ]);
      expect([scanned, nextCursor]).toEqual([3, null]);
      const fingerprint = computeSignalFingerprint({
        signalType: 'token_risk',
        dimension: 'run:r3',
        source: 'agent',
        tenantId: 't-a',
      });
      expect(signals[0]).toMatchObject({
        signalId: `sig-${fingerprint}`,
        signalFingerprint: fingerprint,
        summary: 'run r3: token_risk (AT_RISK)',
        createdAt: at('10T10:00:00'),
        policyContext: { policyId: 'L2' },
        feedback: null,
      });
      const degraded = await ask(({ activity }) =>
        activity.getSignals('t-a', { signalType: 'evidence_degraded', limit: 1 }),
      );
      expect([degraded.signals.map(({ runId }) => runId), degraded.scanned]).toEqual([['r5'], 3]);
      expect(
        (await ask(({ activity }) => activity.getSignals('t-a', { severity: 'high' }))).signals.map(
          ({ runId }) => runId,
        ),
      ).toEqual(['r2']);
    });
    it('feedback: stored answers are shown; a source that is away is logged, one that is broken is an error', async () => {
      const [signal] = (await ask(({ activity }) => activity.getSignals('t-a'))).signals;
      const fingerprint = signal?.signalFingerprint ?? '';
      await ask(({ feedback }) => feedback.acknowledge('t-a', fingerprint, { actorId: 'jo' }));
      clock.advance(1);
      await ask(({ feedback }) => feedback.suppress('t-a', fingerprint, { actorId: 'al', ttlSeconds: 60 }));
      const shown = (await ask(({ activity }) => activity.getSignals('t-a'))).signals;
      expect(shown.map(({ feedback }) => feedback?.suppressed ?? null)).toEqual([true, null, null]);
      expect((await ask(({ feedback }) => feedback.getActiveSuppressions('t-a'))).items).toHaveLength(1);
      clock.advance(60_000);
      expect(await hoc.services.activity.sweeps.expireSuppressions(systemScope('test'))).toBe(1);
      expect(
        (await ask(({ feedback }) => feedback.getFeedback('t-a', [fingerprint]))).get(fingerprint)?.suppressed,
      ).toBe(false);
      clock.set('2026-03-10T12:00:00.000Z');
      const failing = (error: Error): SignalFeedbackPort => ({ getSignalFeedback: () => Promise.reject(error) });
      const away = withDeps({ feedback: failing(new UnavailableError('away', { details: { reason: 'test' } })) });
      expect((await away.activity.getSignals('t-a')).signals.map(({ feedback }) => feedback)).toEqual([
        null,
        null,
        null,
      ]);
      expect(logger.entries.map(({ event }) => event)).toContain('signal_feedback_unavailable');
      await expect(withDeps({ feedback: failing(new TypeError('broken')) }).activity.getSignals('t-a')).rejects.toThrow(
        'broken',
      );
    });
    it('the attention queue: by score, with its reason', async () => {
      const queue = await ask(({ activity }) => activity.getAttentionQueue('t-a', { minScore: 0.1 }));
      expect(queue.considered).toBe(3);
      expect(queue.items.map(({ runId }) => runId)).toEqual(['r2', 'r3', 'r5']);
      expect(queue.items[0]).toMatchObject({
        signalType: 'cost_risk',
        severity: 'high',
        attentionReason: 'severity=0.9 recencyHours=2.0 frequency=1',
      });
      expect(queue.items[0]?.attentionScore).toBeCloseTo(0.36 + 0.3 * (1 - 2 / 168) + 0.03, 12);
      expect((await ask(({ activity }) => activity.getAttentionQueue('t-a', { limit: 1, minScore: 1 }))).items).toEqual(
        [],
      );
    });
  });

  describe('lists and counts', () => {
    it('F20: the share of all runs, not of the groups that are listed', async () => {
      const breakdown = await ask(({ activity }) =>
        activity.getDimensionBreakdown('t-a', { dimension: 'status', limit: 1 }),
      );
      expect(breakdown).toEqual({
        dimension: 'status',
        groups: [{ value: 'succeeded', count: 2, percentage: 40 }],
        totalRuns: 5,
        stateFilter: null,
      });
      const live = await ask(({ activity }) =>
        activity.getDimensionBreakdown('t-a', { dimension: 'status', state: 'LIVE' }),
      );
      expect(live.groups.map(({ percentage }) => percentage)).toEqual([50, 50]);
      expect(
        (await ask(({ activity }) => activity.getDimensionBreakdown('nobody', { dimension: 'status' }))).groups,
      ).toEqual([]);
    });
    it('runs with exactly the filters that were given', async () => {
      const { items, filtersApplied } = await ask(({ activity }) =>
        activity.getRuns('t-a', { state: 'LIVE', startedFrom: at('10T00:00:00'), limit: 10 }),
      );
      expect(items.map(({ runId }) => runId)).toEqual(['r3']);
      expect(filtersApplied).toEqual({ tenantId: 't-a', state: 'LIVE', startedFrom: '2026-03-10T00:00:00.000Z' });
      expect(Object.isFrozen(filtersApplied)).toBe(true);
    });
    it('live and completed runs; a status of the other state is refused', async () => {
      const live = await ask(({ activity }) => activity.getLiveRuns('t-a', { limit: 1 }));
      expect([live.state, live.items.map(({ runId }) => runId), live.generatedAt]).toEqual([
        'LIVE',
        ['r3'],
        clock.now(),
      ]);
      const next = await ask(({ activity }) =>
        activity.getLiveRuns('t-a', { limit: 1, cursor: live.nextCursor ?? '' }),
      );
      expect([next.items.map(({ runId }) => runId), next.nextCursor]).toEqual([['r4'], null]);
      const failed = await ask(({ activity }) => activity.getCompletedRuns('t-a', { statuses: ['failed'] }));
      expect(failed.items.map(({ runId, policyContext }) => [runId, policyContext.evaluationOutcome])).toEqual([
        ['r2', 'BREACH'],
      ]);
      await expect(
        ask(({ activity }) => activity.getCompletedRuns('t-a', { statuses: ['running'] })),
      ).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
      await expect(
        ask(({ activity }) => activity.getLiveRuns('t-a', { statuses: ['running'] } as never)),
      ).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    });
    it('summary, metrics, risk signals, threshold signals', async () => {
      expect((await ask(({ activity }) => activity.getStatusSummary('t-a'))).total).toBe(5);
      expect(await ask(({ activity }) => activity.getMetrics('t-a'))).toMatchObject({
        totalAtRisk: 2,
        liveCount: 2,
        generatedAt: clock.now(),
      });
      expect(await ask(({ activity }) => activity.getRiskSignals('t-a'))).toEqual({
        atRiskCount: 1,
        violatedCount: 1,
        nearThresholdCount: 0,
        totalAtRisk: 2,
        byRiskType: { COST: 1, TIME: 0, TOKENS: 1, RATE: 0 },
      });
      const thresholds = await ask(({ activity }) => activity.getThresholdSignals('t-a', { riskType: 'TOKENS' }));
      expect([thresholds.signals.map(({ runId }) => runId), thresholds.riskTypeFilter]).toEqual([['r3'], 'TOKENS']);
    });
    it('one run; a missing one is not found; ports that nobody bound say so', async () => {
      expect(await ask(({ activity }) => activity.getRunDetail('t-a', 'r2'))).toMatchObject({ runId: 'r2' });
      await expect(ask(({ activity }) => activity.getRunDetail('t-b', 'r2'))).rejects.toThrow(NotFoundError);
      for (const call of [
        () => ask(({ activity }) => activity.getRunEvidence('t-a', 'r2')),
        () => ask(({ activity }) => activity.getRunProof('t-a', 'r2')),
      ])
        await expect(call()).rejects.toMatchObject({
          code: 'UNAVAILABLE',
          retryable: false,
          details: { reason: 'not_configured' },
        });
      const evidence = { runId: 'r2', incidentsCaused: [], policiesTriggered: [], decisionsMade: [], limitsHit: [] };
      const bound = withDeps({ evidence: { getRunEvidence: () => Promise.resolve(evidence) } });
      expect(await bound.activity.getRunEvidence('t-a', 'r2')).toBe(evidence);
    });
  });

  describe('what compose and services give', () => {
    it('every engine and service of the list', () => {
      expect(Object.keys(withDeps({})).sort()).toEqual([
        'activity',
        'feedback',
        'lifecycle',
        'orphans',
        'signals',
        'telemetry',
      ]);
      expect(Object.keys(hoc.services.activity).sort()).toEqual(['close', 'coalescer', 'importer', 'sweeps']);
    });
    it('all work in one transaction is undone by its rollback', async () => {
      await expect(
        hoc.transaction(async ({ activity }) => {
          await activity.lifecycle.createRuns('t-a', [{ agentId: 'a', originSystemId: 'o', goal: 'g' }]);
          await activity.signals.applySignals('t-a', 'r1', ['RUN_FAILED']);
          throw new Error('undo');
        }),
      ).rejects.toThrow();
      expect(await ask(({ activity }) => activity.countRuns('t-a'))).toBe(5);
      expect(await ask(({ signals }) => signals.getRiskLevel('t-a', 'r1'))).toBe('NORMAL');
    });
  });
});
