import { getActivityReadDriver } from '@hoc/activity/drivers';
import { getActivityFacade, type SignalsQuery, signalTypeOf } from '@hoc/activity/engines';
import { SEVERITY_LEVELS, severityFromRiskLevel } from '@hoc/activity/schemas';
import { RISK_LEVELS, type RiskLevel, toMoney } from '@hoc/shared/kernel';
import { createHoc, ensureImportTarget } from '@hoc/shared/spine';
import { fixedClock, makeLimit, makeRun, sequentialIds } from '@hoc/shared/testing';
import { captureStatements, insertRows, statementCounter, useEmptyDatabase, withRollback } from '@hoc/testkit';
import fc from 'fast-check';
import { activityModule } from './activity.module';

const NOW = new Date('2026-03-10T12:00:00.000Z');
const HOUR = 3_600_000;
const clock = fixedClock(NOW);
const deps = { clock, ids: sequentialIds('f') };
const db = useEmptyDatabase({ entities: [], migrations: [] });
type Manager = ReturnType<ReturnType<typeof db.dataSource>['createQueryRunner']>['manager'];
const facade = (manager: Manager) => getActivityFacade(getActivityReadDriver(manager), deps);
const idsOf = (items: readonly { readonly runId: string }[]): readonly string[] => items.map(({ runId }) => runId);
const isDeepFrozen = (value: unknown): boolean =>
  typeof value !== 'object' ||
  value === null ||
  value instanceof Date ||
  (Object.isFrozen(value) && Object.values(value).every(isDeepFrozen));
const limit = (id: string, columns: Record<string, unknown>) => makeLimit('t-a', { id, ...columns });
const bad = (value: unknown): never => value as never;

// A describe of its own: its hooks end before the database looks for connections that were left open.
describe('the facade on a driver', () => {
  beforeAll(async () => {
    const hoc = createHoc({
      connection: { url: db.url(), applicationName: 'facade-laws' },
      modules: [activityModule],
      clock,
    });
    await hoc.migrate();
    for (const tenantId of ['t-a', 't-b'])
      await hoc.transaction(({ manager }) =>
        ensureImportTarget(manager, { tenantId, integrationId: 'i', providerType: 'openai' }, { clock }),
      );
    await hoc.close();
    await insertRows(
      db.dataSource().manager,
      limit('L1', { limit_type: 'COST_CENTS', max_value: '1000' }),
      limit('L2', { limit_type: 'TOKENS_TOTAL', max_value: '1000', scope: 'PROJECT', scope_id: 'p1' }),
    );
  });

  describe('signals', () => {
    /** Hours before now are whole, so that many runs start at once and only the id tells them apart. */
    const anyRun = fc.record({
      tenant: fc.constantFrom('t-a', 't-a', 't-a', 't-b'),
      risk_level: fc.constantFrom(...RISK_LEVELS),
      evidence_health: fc.constantFrom('FLOWING', 'FLOWING', 'MISSING'),
      incident_count: fc.nat(1),
      policy_violation: fc.boolean(),
      project_id: fc.constantFrom(null, 'p1'),
      estimated_cost_cents: fc.constantFrom(null, '799.999999', '800', '1000'),
      input_tokens: fc.constantFrom(null, 799, 800, 2000),
      started_at: fc.option(fc.integer({ min: -5, max: 0 }).map((hours) => new Date(NOW.getTime() + hours * HOUR))),
    });
    const query = fc.record(
      {
        limit: fc.integer({ min: 1, max: 5 }),
        signalType: fc.constantFrom('cost_risk' as const, 'token_risk' as const, 'policy_breach' as const),
        severity: fc.constantFrom('high' as const, 'medium' as const, 'low' as const),
        projectId: fc.constant('p1'),
      },
      { requiredKeys: ['limit'] },
    );
    /** The list without the facade: one page of the driver, filtered afterwards. */
    const listed = async (manager: Manager, { signalType, severity, projectId }: SignalsQuery) => {
      const rule = { nearThresholdRatio: toMoney('0.8') };
      const driver = getActivityReadDriver(manager);
      const { items } = await driver.fetchAtRiskRuns('t-a', {}, { limit: 200 }, rule);
      const candidates = items
        .filter((row) => severity === undefined || severityFromRiskLevel(row.riskLevel) === severity)
        .filter((row) => projectId === undefined || row.projectId === projectId);
      const shown = candidates.filter((row) => signalType === undefined || signalTypeOf(row) === signalType);
      return { shown: idsOf(shown), scanned: candidates.length };
    };

    it('law: pages lose and double nothing for any limit, any filter, any mix of runs; scanned adds up', async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(anyRun, { maxLength: 25 }), query, (rows, asked) =>
          withRollback(db.dataSource(), async (manager) => {
            const runs = rows.map(({ tenant, ...columns }, n) => makeRun(tenant, { id: `r${n}`, ...columns }));
            await insertRows(manager, ...runs);
            const read: string[] = [];
            let scanned = 0;
            let cursor: string | null = null;
            do {
              const next: SignalsQuery = { ...asked, ...(cursor === null ? {} : { cursor }) };
              const page = await facade(manager).getSignals('t-a', next);
              expect(page.signals.length).toBeLessThanOrEqual(asked.limit);
              read.push(...idsOf(page.signals));
              scanned += page.scanned;
              cursor = page.nextCursor;
            } while (cursor !== null);
            expect({ shown: read, scanned }).toEqual(await listed(manager, asked));
          }),
        ),
        { numRuns: 60 },
      );
    });
    it('from 80 per cent of a limit on, and of each level’s label', async () => {
      await withRollback(db.dataSource(), async (manager) => {
        const costs: readonly [string, RiskLevel, string][] = [
          ['d', 'NORMAL', '799.999999'],
          ['c', 'NEAR_THRESHOLD', '800'],
          ['b', 'AT_RISK', '1000'],
          ['a', 'VIOLATED', '1'],
        ];
        for (const [id, risk_level, estimated_cost_cents] of costs)
          await insertRows(manager, makeRun('t-a', { id, risk_level, estimated_cost_cents, incident_count: 1 }));
        const { signals } = await facade(manager).getSignals('t-a');
        expect(signals.map(({ runId, signalType, severity }) => [runId, signalType, severity])).toEqual([
          ['d', 'reliability', 'low'],
          ['c', 'cost_risk', 'low'],
          ['b', 'cost_risk', 'medium'],
          ['a', 'policy_breach', 'high'],
        ]);
        const shown: (readonly string[])[] = [];
        for (const severity of SEVERITY_LEVELS)
          shown.push(idsOf((await facade(manager).getSignals('t-a', { severity })).signals));
        expect(shown).toEqual([['a'], ['b'], ['d', 'c']]);
      });
    });
    it('a cursor of another tenant or query, or of the runs, is refused', async () => {
      await withRollback(db.dataSource(), async (manager) => {
        for (const id of ['a', 'b', 'c']) await insertRows(manager, makeRun('t-a', { id, risk_level: 'AT_RISK' }));
        const of = facade(manager);
        const own = (await of.getSignals('t-a', { limit: 1 })).nextCursor ?? '';
        const runs = (await of.getRuns('t-a', { limit: 1, atRiskOnly: true })).nextCursor ?? '';
        const calls = [
          () => of.getSignals('t-b', { limit: 1, cursor: own }),
          () => of.getSignals('t-a', { limit: 1, cursor: own, severity: 'medium' }),
          () => of.getSignals('t-a', { limit: 1, cursor: runs }),
          () => of.getRuns('t-a', { limit: 1, cursor: own }),
          () => of.getLiveRuns('t-a', { limit: 1, cursor: runs }),
        ];
        for (const call of calls)
          await expect(call()).rejects.toMatchObject({ code: 'INVALID_ARGUMENT', details: { reason: 'cursor' } });
        const next = await of.getSignals('t-a', { limit: 2, cursor: own });
        expect([idsOf(next.signals), next.nextCursor]).toEqual([['b', 'a'], null]);
      });
    });
  });

  it('the attention queue: 168 hours, both ends, and nothing of the future or without a start', async () => {
    await withRollback(db.dataSource(), async (manager) => {
      const ages = { in0: 0, in168: 168 * HOUR, out168: 168 * HOUR + 1, future: -1 };
      const runs = Object.entries(ages).map(([id, age]) =>
        makeRun('t-a', { id, risk_level: 'AT_RISK', started_at: new Date(NOW.getTime() - age) }),
      );
      await insertRows(manager, ...runs, makeRun('t-a', { id: 'never', risk_level: 'VIOLATED', started_at: null }));
      const { items, considered } = await facade(manager).getAttentionQueue('t-a');
      expect([idsOf(items), considered]).toEqual([['in0', 'in168'], 2]);
      expect(items.map(({ attentionReason }) => attentionReason)).toEqual([
        'severity=0.6 recencyHours=0.0 frequency=2',
        'severity=0.6 recencyHours=168.0 frequency=2',
      ]);
    });
  });

  const reads: Readonly<Record<string, (of: ReturnType<typeof facade>, tenant: string) => Promise<unknown>>> = {
    getRuns: (of, tenant) => of.getRuns(tenant),
    countRuns: (of, tenant) => of.countRuns(tenant),
    getRunDetail: (of, tenant) => of.getRunDetail(tenant, 'r1'),
    getStatusSummary: (of, tenant) => of.getStatusSummary(tenant),
    getLiveRuns: (of, tenant) => of.getLiveRuns(tenant),
    getCompletedRuns: (of, tenant) => of.getCompletedRuns(tenant),
    getSignals: (of, tenant) => of.getSignals(tenant),
    getMetrics: (of, tenant) => of.getMetrics(tenant),
    getThresholdSignals: (of, tenant) => of.getThresholdSignals(tenant),
    getRiskSignals: (of, tenant) => of.getRiskSignals(tenant),
    getDimensionBreakdown: (of, tenant) => of.getDimensionBreakdown(tenant, { dimension: 'status' }),
    getAttentionQueue: (of, tenant) => of.getAttentionQueue(tenant),
  };
  it.each(Object.keys(reads))(
    'G.5: %s is one statement, and what it returns is frozen at every level',
    async (name) => {
      await withRollback(db.dataSource(), async (manager) => {
        const figures = { risk_level: 'AT_RISK', estimated_cost_cents: '900', started_at: NOW };
        await insertRows(
          manager,
          makeRun('t-a', { id: 'r1', ...figures }),
          makeRun('t-a', { id: 'r2', status: 'failed' }),
        );
        let result: unknown;
        const sent = await captureStatements(manager, async () => {
          result = await reads[name]?.(facade(manager), 't-a');
        });
        expect(sent).toHaveLength(1);
        expect(result).toBeDefined();
        expect(isDeepFrozen(result)).toBe(true);
      });
    },
  );
  it('G.5: feedback on a page of signals is one statement more, however many they are', async () => {
    await withRollback(db.dataSource(), async (manager) => {
      for (const id of ['a', 'b', 'c']) await insertRows(manager, makeRun('t-a', { id, risk_level: 'AT_RISK' }));
      const { activity } = activityModule.compose(manager, deps);
      const sent = await captureStatements(manager, () => activity.getSignals('t-a'));
      expect(sent).toHaveLength(2);
    });
  });
  it.each(Object.keys(reads))('G.4: %s without a tenant is TENANT_SCOPE, and sends nothing', async (name) => {
    const of = facade(db.dataSource().manager);
    const counter = statementCounter(db.dataSource());
    for (const tenant of [undefined, null, '', ' ', 'a'.repeat(101), 7, 'a\u0000', '\ud800'])
      await expect(reads[name]?.(of, bad(tenant))).rejects.toMatchObject({ code: 'TENANT_SCOPE' });
    expect(counter.count()).toBe(0);
  });
  it.each<[string, (of: ReturnType<typeof facade>) => Promise<unknown>]>([
    ['run id', (of) => of.getRunDetail('t-a', '')],
    ['long run id', (of) => of.getRunDetail('t-a', 'a'.repeat(101))],
    ['limit', (of) => of.getRuns('t-a', { limit: 201 })],
    ['limit of groups', (of) => of.getDimensionBreakdown('t-a', { dimension: 'status', limit: 101 })],
    ['sort field', (of) => of.getRuns('t-a', { sort: bad({ field: 'id; select', direction: 'desc' }) })],
    ['sort direction', (of) => of.getLiveRuns('t-a', { sort: bad({ field: 'startedAt', direction: 'DESC' }) })],
    ['empty list', (of) => of.getLiveRuns('t-a', { riskLevels: [] })],
    ['text for a list', (of) => of.getCompletedRuns('t-a', { statuses: bad('failed') })],
    ['unknown status', (of) => of.getCompletedRuns('t-a', { statuses: [bad('crashed')] })],
    ['long list', (of) => of.getRuns('t-a', { statuses: Array.from({ length: 51 }, () => 'failed') })],
    ['Invalid Date', (of) => of.getRuns('t-a', { startedFrom: new Date(Number.NaN) })],
    ['range', (of) => of.getMetrics('t-a', { startedFrom: NOW, startedTo: new Date(0) })],
    ['unknown dimension', (of) => of.getDimensionBreakdown('t-a', { dimension: bad('constructor') })],
    ['sort of threshold signals', (of) => of.getThresholdSignals('t-a', bad({ sort: { field: 'startedAt' } }))],
    ['project', (of) => of.getAttentionQueue('t-a', { projectId: '' })],
  ])('G.4: a bad %s is INVALID_ARGUMENT, and sends nothing', async (_, call) => {
    const counter = statementCounter(db.dataSource());
    await expect(call(facade(db.dataSource().manager))).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    expect(counter.count()).toBe(0);
  });
});
