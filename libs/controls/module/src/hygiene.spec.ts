import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  BudgetEnforcementDriver,
  CircuitBreaker,
  getAlertQueue,
  getEvaluationEvidenceDriver,
  getLimitBreachDriver,
  getLimitsReadDriver,
  getPolicyLimitsDriver,
  getThresholdDriver,
  testRecoveryScope,
} from '@hoc/controls/drivers';
import { catalogue } from '@hoc/controls/models';
import { controlSetVersion, DEFAULT_LLM_RUN_PARAMS } from '@hoc/controls/schemas';
import { type DecimalString, HocError, systemScope } from '@hoc/shared/kernel';
import { createHoc } from '@hoc/shared/spine';
import { fixedClock, makeLimit, makeRun, makeTenant, sequentialIds } from '@hoc/shared/testing';
import { insertRows, useEmptyDatabase, withRollback } from '@hoc/testkit';
import type { EntityManager } from 'typeorm';
import { controlsModule } from './controls.module';

// What holds of every file and every call of the package (spec controls G.4). That no import reads the environment, starts a
// timer or connects is shown by tools/pack/side-effects.mjs, which loads each subpath of the built package.

describe('the sources', () => {
  const root = join(__dirname, '../..');
  const sources = ['schemas', 'models', 'drivers', 'engines', 'module'].flatMap((layer) =>
    readdirSync(join(root, layer, 'src'), { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.ts') && !path.endsWith('.spec.ts'))
      .map((path) => ({
        path: `${layer}/${path}`,
        text: readFileSync(join(root, layer, 'src', path), 'utf8').replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, ''),
      })),
  );
  const importsOf = (text: string): readonly string[] =>
    [...text.matchAll(/^(?:import|export)\s[^;]*?from '([^']+)'|^import '([^']+)'/gm)].map(
      ([, from, bare]) => from ?? bare ?? '',
    );
  const having = (pattern: RegExp): readonly string[] =>
    sources.filter(({ text }) => pattern.test(text)).map(({ path }) => path);

  it('are all there', () => expect(sources.length).toBeGreaterThan(100));

  it.each([/\bDate\.now\b/, /\bnew Date\(\s*\)/, /\bMath\.random\b/, /\bprocess\.(?!nextTick)/, /\bsetInterval\b/])(
    'none has %p: time, chance and settings are given',
    (pattern) => expect(having(pattern)).toEqual([]),
  );

  it('one has a timer: how long a send may take', () =>
    expect(having(/\bsetTimeout\(/)).toEqual(['engines/alert-delivery.engine.ts']));

  it('drivers import nothing of engines, rules nothing but schemas, the kernel and rules, engines nothing that does I/O', () => {
    const found = sources.flatMap(({ path, text }) => {
      const allowed = path.startsWith('drivers/')
        ? path.endsWith('.rules.ts')
          ? /^(@hoc\/(controls|shared)\/schemas|@hoc\/shared\/kernel|\.{1,2}\/[\w/-]+\.rules)$/
          : /^(?!@hoc\/controls\/(engines|module)$|@hoc\/controls$)/
        : path.startsWith('engines/')
          ? /^(@hoc\/(controls|shared)\/schemas|@hoc\/shared\/kernel|@hoc\/controls\/drivers|\.\/[\w-]+\.engine)$/
          : /./;
      return importsOf(text).flatMap((from) => (allowed.test(from) ? [] : `${path} imports ${from}`));
    });
    expect(found).toEqual([]);
  });

  it('engines import drivers as types alone', () =>
    expect(
      sources
        .filter(({ path }) => path.startsWith('engines/'))
        .filter(({ text }) => /^import (?!type\b)[^;]*from '@hoc\/controls\/drivers'/m.test(text))
        .map(({ path }) => path),
    ).toEqual([]));
});

const db = useEmptyDatabase({ entities: [], migrations: [] });
const NOW = new Date('2026-03-10T12:00:00.000Z');
/** Names that no message of ours holds by chance. */
const [T, RUN_ID] = ['t-4711', 'r-4711'];
const scope = systemScope('test');
const cents = (text: string): DecimalString => text as DecimalString;
const LIMIT = {
  name: 'Budget',
  description: null,
  limitCategory: 'BUDGET',
  limitType: 'COST_CENTS',
  scope: 'TENANT',
  scopeId: null,
  maxValue: cents('100'),
  resetPeriod: 'MONTHLY',
  windowSeconds: null,
  measurementWindowSeconds: null,
  params: { deep: { list: [{}] } },
  enforcement: 'BLOCK',
  consequence: null,
  createdBy: null,
} as const;
const DECISION = {
  ...{ tenantId: T, runId: RUN_ID, budgetLimitCents: cents('1'), budgetConsumedCents: cents('2') },
  ...{ stepCostCents: cents('0'), completedSteps: 1, totalSteps: 2 },
};
const SIGNALS = { runId: RUN_ID, state: 'live', paramsUsed: DEFAULT_LLM_RUN_PARAMS } as const;
const BREACH = { limitId: 'a', runId: RUN_ID, breachType: 'BREACHED', valueAtBreach: cents('101') } as const;
const EVIDENCE = {
  ...{ runId: RUN_ID, controlSetVersion: controlSetVersion([]), overrideIdsApplied: ['o'] },
  ...{ resolverVersion: '1', decision: 'ALLOW' as const },
};
const REQUEST = { overrideValue: '200', durationHours: 1, reason: 'a campaign of the day' };
const LATER = { startImmediately: false, scheduledStart: new Date('2026-03-10T13:00:00.000Z') };
const ATTEMPT = { action: 'retry', incidentId: 'i', parameters: { list: [{}] } };

/** Every call of the package that asks the database, in an order in which each has something to tell. */
function calls(manager: EntityManager): readonly (readonly [string, () => Promise<unknown>])[] {
  const clock = fixedClock(NOW);
  const deps = { clock, ids: sequentialIds('x') };
  const engines = controlsModule.compose(manager, deps);
  const { overrides, scopes, reservations, signals, checks, policyLimits, thresholds, budgets: sweep } = engines;
  const reader = getLimitsReadDriver(manager, deps);
  const policy = getPolicyLimitsDriver(manager, deps);
  const snapshots = getThresholdDriver(manager);
  const halts = new BudgetEnforcementDriver(manager, scope, deps);
  const breaker = new CircuitBreaker(manager, scope, deps);
  const breaches = getLimitBreachDriver(manager, deps);
  const evidence = getEvaluationEvidenceDriver(manager, deps);
  const alerts = getAlertQueue(manager, scope, deps);
  const known: Record<string, string> = { override: 'o', pending: 'p', other: 'q', scope: 's', held: 'h', more: 'm' };
  const id = (name: string): string => known[name] ?? 'none';
  const keep = async <R>(name: string, work: Promise<R>, read: (result: R) => string | undefined): Promise<R> => {
    const result = await work;
    known[name] = read(result) ?? 'none';
    return result;
  };
  const pending = (name: string, limitId: string) =>
    keep(name, overrides.requestOverride(T, { limitId, ...REQUEST, ...LATER }, 'ann'), (made) => made.overrideId);
  const charge = (idempotencyKey: string) => ({ amountCents: cents('1'), idempotencyKey, runId: RUN_ID });
  return [
    ['addLimit', () => policy.addLimit(T, { ...LIMIT, id: 'a' })],
    ['createLimit', () => policy.createLimit(T, { ...LIMIT, id: 'b' })],
    ['detectLimitsWithoutIntegrity', () => policy.detectLimitsWithoutIntegrity(scope, { limit: 1 })],
    ['addIntegrity', () => policy.addIntegrity(T, { limitId: 'a', integrityStatus: 'FAILED', integrityScore: 0.5 })],
    ['addMissingIntegrity', () => policy.addMissingIntegrity(T, 'b')],
    ['updateLimit', () => policy.updateLimit(T, 'a', { name: 'Renamed' })],
    ['policy.fetchLimitById', () => policy.fetchLimitById(T, 'a')],
    ['create', () => policyLimits.create(T, { ...REQUIRED })],
    ['update', () => policyLimits.update(T, 'a', { name: 'Again' })],
    ['get', () => policyLimits.get(T, 'a')],
    ['recordBreach', () => breaches.recordBreach(T, { ...BREACH, idempotencyKey: 'k1', details: { list: [{}] } })],
    ['recordBreaches', () => breaches.recordBreaches(T, [{ ...BREACH, idempotencyKey: 'k2' }])],
    ['markBreachRecovered', () => breaches.markBreachRecovered(T, 'nothing')],
    ['fetchLimits', () => reader.fetchLimits(T, {}, { limit: 1 })],
    ['countLimits', () => reader.countLimits(T)],
    ['fetchLimitById', () => reader.fetchLimitById(T, 'a')],
    ['fetchBudgetLimits', () => reader.fetchBudgetLimits(T)],
    ['fetchLimitBreachesForRun', () => reader.fetchLimitBreachesForRun(T, RUN_ID)],
    ['listLimits', () => engines.limits.listLimits(T)],
    ['getLimitDetail', () => engines.limits.getLimitDetail(T, 'a', { currentValue: cents('7') })],
    ['listBudgets', () => engines.limits.listBudgets(T)],
    ['listBreachesForRun', () => engines.limits.listBreachesForRun(T, RUN_ID)],
    ['getActiveThresholdLimits', () => snapshots.getActiveThresholdLimits(T)],
    ['getThresholdLimitByScope', () => snapshots.getThresholdLimitByScope(T, 'TENANT')],
    ['evaluateLiveRun', () => thresholds.evaluateLiveRun({ ...RUN, startedAt: NOW })],
    [
      'evaluateCompletedRun',
      () => thresholds.evaluateCompletedRun({ ...RUN, status: 'failed', executionTimeMs: 1, costCents: '999' }),
    ],
    ['emitThresholdSignal', () => signals.emitThresholdSignal(T, { ...SIGNALS, signal: 'RUN_FAILED' })],
    [
      'emitAndPersistThresholdSignal',
      () => signals.emitAndPersistThresholdSignal(T, { ...SIGNALS, signals: ['TOKEN_LIMIT_EXCEEDED', 'RUN_FAILED'] }),
    ],
    [
      'requestOverride',
      () =>
        keep('override', overrides.requestOverride(T, { limitId: 'a', ...REQUEST }, 'ann'), (made) => made.overrideId),
    ],
    ['requestOverride, later', () => pending('pending', 'b')],
    ['getOverride', () => overrides.getOverride(T, id('override'))],
    ['listOverrides', () => overrides.listOverrides(T, {}, { limit: 1 })],
    ['countOverrides', () => overrides.countOverrides(T)],
    ['fetchOverridesInEffect', () => overrides.fetchOverridesInEffect(T, ['a'])],
    ['check', () => checks.check(T, { kind: 'cost', estimated: '199' })],
    ['approveOverride', () => overrides.approveOverride(T, id('pending'), 'bob')],
    ['cancelOverride', () => overrides.cancelOverride(T, id('pending'), 'bob')],
    ['requestOverride, again', () => pending('other', 'b')],
    ['rejectOverride', () => overrides.rejectOverride(T, id('other'), 'bob', 'no budget')],
    ['expireOverrides', () => overrides.expireOverrides(scope)],
    ['detectTenantsWithDueOverrides', () => overrides.detectTenantsWithDueOverrides(scope)],
    ['activateDueOverrides', () => overrides.activateDueOverrides(T)],
    [
      'reserve',
      () =>
        keep('held', reservations.reserve(T, { limitIds: ['a', 'b'], ...charge('1') }), (made) => made.reservationId),
    ],
    [
      'reserveBatch',
      () =>
        keep(
          'more',
          reservations.reserveBatch(T, ['a'], [charge('2'), { ...charge('3'), amountCents: cents('999') }]),
          (made) => (made[0]?.kind === 'granted' ? made[0].reservation.reservationId : undefined),
        ),
    ],
    ['fetchReservation', () => reservations.fetchReservation(T, id('held'))],
    ['fetchWindow', () => reservations.fetchWindow(T, 'a')],
    ['settle', () => reservations.settle(T, id('held'), cents('2'))],
    ['release', () => reservations.release(T, id('more'))],
    ['expireReservations', () => reservations.expireReservations(scope)],
    [
      'createScope',
      () =>
        keep(
          'scope',
          scopes.createScope(T, { incidentId: 'i', allowedActions: ['retry'], maxAttempts: 3 }),
          (made) => made.scopeId,
        ),
    ],
    ['consumeScope', () => scopes.consumeScope(T, { scopeId: id('scope'), ...ATTEMPT })],
    ['executeWithScope', () => scopes.executeWithScope(T, { scopeId: id('scope'), ...ATTEMPT })],
    ['settleScopeAttempt', () => scopes.settleScopeAttempt(T, id('scope'), 1, cents('3'))],
    ['getScope', () => scopes.getScope(T, id('scope'))],
    ['getScopesForIncident', () => scopes.getScopesForIncident(T, 'i')],
    ['createRecoveryScope', () => scopes.createRecoveryScope(T, { incidentId: 'i', action: 'retry' })],
    ['revokeScope', () => scopes.revokeScope(T, id('scope'))],
    ['cleanupExpired', () => scopes.cleanupExpired(scope)],
    ['recordEvidence', () => evidence.recordEvidence(T, EVIDENCE)],
    ['queryEvidence', () => evidence.queryEvidence(T, {})],
    ['fetchPendingBudgetHalts', () => halts.fetchPendingBudgetHalts()],
    ['processPendingHalts', () => sweep.processPendingHalts()],
    ['emitDecisionForHalt', () => sweep.emitDecisionForHalt(DECISION)],
    ['insertBudgetDecisions', () => halts.insertBudgetDecisions([DECISION, { ...DECISION, runId: 'other' }])],
    ['fetchBudgetDecision', () => halts.fetchBudgetDecision(T, RUN_ID)],
    ['isDisabled', () => breaker.isDisabled()],
    ['shouldUseV2', () => engines.breaker.shouldUseV2()],
    ['observe', () => engines.breaker.observe({ driftScore: 0.9 })],
    ['reportDrift', () => breaker.reportDrift(0.9)],
    ['reportSchemaError', () => breaker.reportSchemaError(5, { list: [{}] })],
    ['disableV2', () => breaker.disableV2('maintenance', 'ann')],
    ['getState', () => breaker.getState()],
    ['getIncidents', () => breaker.getIncidents({ includeResolved: true })],
    ['enableV2', () => breaker.enableV2('ann')],
    ['reset', () => breaker.reset()],
    ['autoRecover', () => breaker.autoRecover()],
    ['getOrCreateState', () => breaker.getOrCreateState(true)],
    ['resolveIncident', () => breaker.resolveIncident('none', 'ann', 'done')],
    ['enqueueAlert', () => breaker.enqueueAlert('canary_fail', [{ labels: {} }], null)],
    ['fetchAlertQueueStats', () => alerts.fetchAlertQueueStats()],
    ['claimDueAlerts', () => alerts.claimDueAlerts()],
    ['markAlertSent', () => alerts.markAlertSent('none', NOW)],
    ['markAlertFailed', () => alerts.markAlertFailed('none', NOW, 'no answer')],
    ['retryFailedAlerts', () => alerts.retryFailedAlerts()],
    ['delete', () => policyLimits.delete(T, 'a')],
    ['disableLimit', () => policy.disableLimit(T, 'b', 'ann')],
  ];
}
const RUN = { runId: RUN_ID, tenantId: T, tokensUsed: 999_999 };
const REQUIRED = {
  name: 'Monthly',
  limitCategory: 'BUDGET',
  limitType: 'COST_CENTS',
  maxValue: '100',
  resetPeriod: 'MONTHLY',
} as const;

beforeAll(async () => {
  const hoc = createHoc({ connection: { url: db.url(), applicationName: 'migrate' }, modules: [controlsModule] });
  await hoc.migrate();
  await hoc.close();
});

const onRows = (work: (manager: EntityManager) => Promise<void>): Promise<void> =>
  withRollback(db.dataSource(), async (manager) => {
    await insertRows(
      manager,
      makeTenant({ id: T }),
      makeLimit(T, { id: 'threshold', params: { max_tokens: 300, deep: { list: [{}] } } }),
      ...[RUN_ID, 'other'].map((id) =>
        makeRun(T, {
          ...{ id, status: 'halted', state: 'COMPLETED', completed_at: NOW, plan_json: { steps: [{ deep: {} }] } },
          error_message: 'Hard budget limit reached: 2c consumed >= 1c limit',
        }),
      ),
    );
    await work(manager);
  });

/** Where a result can still be changed; of a map, its values are looked at. */
function loose(value: unknown, path: string): readonly string[] {
  if (typeof value !== 'object' || value === null || value instanceof Date) return [];
  const members = value instanceof Map ? [...value] : Object.entries(value);
  const inside = members.flatMap(([key, member]: [unknown, unknown]) => loose(member, `${path}.${String(key)}`));
  return Object.isFrozen(value) || value instanceof Map ? inside : [path, ...inside];
}

it('every result is frozen, at every level', () =>
  onRows(async (manager) => {
    expect(loose({ a: [new Map([['b', { c: NOW }]])] }, 'x')).toEqual(['x', 'x.a', 'x.a.0.b']);
    const found: string[] = [];
    const empty: string[] = [];
    for (const [name, call] of calls(manager)) {
      const result = await call();
      found.push(...loose(result, name));
      if (result === null || result === undefined) empty.push(name);
    }
    expect(found).toEqual([]);
    // Two drifts open no breaker, and an end of a limit has nothing to say.
    expect(empty).toEqual(['reportDrift', 'delete']);
    const trial = { actionId: 'a', actionName: 'a', actionType: 'retry', riskClass: 'low', parameters: {} };
    expect(loose(await testRecoveryScope(trial, { clock: fixedClock(NOW) }), 'trial')).toEqual([]);
  }));

it('every failure of the database is a HocError, and tells nothing of the statement or its values', () =>
  onRows(async (manager) => {
    const tables = [
      'tenants',
      'runs',
      'limits',
      'limit_overrides',
      'limit_breaches',
      ...catalogue.map(({ table }) => table),
    ];
    for (const table of tables) await manager.query(`ALTER TABLE ${table} RENAME TO gone_${table}`);
    const secrets = new RegExp(
      `\\b(select|insert|update|delete|from|where|relation|${T}|${RUN_ID}|${tables.join('|')})\\b|\\$\\d`,
      'i',
    );
    for (const [name, call] of calls(manager)) {
      await manager.query('SAVEPOINT asked');
      const error: unknown = await call().then(
        () => 'no error',
        (reason: unknown) => reason,
      );
      await manager.query('ROLLBACK TO SAVEPOINT asked');
      if (!HocError.is(error)) throw new Error(`${name}: ${String(error)}`);
      expect([name, error.code, error.details['reason']]).toEqual([name, 'DATA_INTEGRITY', 'schema']);
      expect([name, secrets.exec(`${error.message} ${JSON.stringify(error.details)}`)]).toEqual([name, null]);
    }
  }));
