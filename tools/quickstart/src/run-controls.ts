import { activityModule } from '@hoc/activity';
import { controlsModule } from '@hoc/controls';
import { createHoc } from '@hoc/shared';
import { type Clock, LimitExceededError, systemScope, toDecimalString, UnavailableError } from '@hoc/shared/kernel';
import type { App } from './app';
import { type SettableClock, settableClock } from './settable-clock';
import {
  BUDGET_NAME,
  CHARGES,
  DRIFT,
  generateControls,
  HALTED_RUN,
  OVERRIDE,
  type PlannedCharge,
} from './workload-controls';
import { generateHistory, HISTORY_END, type PlannedRun } from './workload-runs';

/** What the generated controls came to. */
export interface ControlsResult {
  readonly limits: number;
  /** Runs that crossed a threshold for the first time. */
  readonly signalled: number;
  readonly charges: { readonly granted: number; readonly refused: number; readonly duplicates: number };
  /** Budget halts that were found without a decision, and decided. */
  readonly haltsDecided: number;
  /** Whether the breaker tripped, and recovered, in this run of the quickstart. */
  readonly breakerTripped: boolean;
  readonly breakerRecovered: boolean;
}

const CHUNK = 20;

/**
 * Limits, an override, charges, thresholds, a budget halt and a breaker, through the packages' own engines, on a clock that
 * shows the time at which each thing happened. Each step is a transaction that finds what an earlier quickstart left.
 */
export async function runControls(app: App, seed: number, signal: AbortSignal): Promise<ControlsResult> {
  const clock = settableClock(HISTORY_END);
  const hoc = openControls(app, clock);
  try {
    const limits = await createLimits(hoc, signal);
    const signalled = await evaluateRuns(hoc, seed, signal);
    const before = await charge(hoc, clock, OVERRIDE.requestedAt, CHARGES.before);
    const budgetId = await budgetOf(hoc, OVERRIDE.tenantId);
    await liveOverride(hoc, clock, budgetId);
    const during = await charge(hoc, clock, OVERRIDE.during, CHARGES.during);
    await endOverride(hoc, clock);
    await haltRun(hoc, clock);
    const { emitted } = await app.services.controls.sweeps.haltDecisions(systemScope('quickstart'), { signal });
    const breaker = await tripAndRecover(hoc, clock);
    const charges = {
      granted: before.granted + during.granted,
      refused: before.refused + during.refused,
      duplicates: before.duplicates + during.duplicates,
    };
    return { limits, signalled, charges, haltsDecided: emitted, ...breaker };
  } finally {
    await hoc.close();
  }
}

const openControls = ({ dataSource }: App, clock: Clock) =>
  createHoc({
    dataSource,
    modules: [activityModule, controlsModule],
    clock,
    deps: { controls: { breaker: { name: DRIFT.breaker } } },
  });
type Controls = ReturnType<typeof openControls>;

/** All of a tenant's or none, so that a second quickstart knows them by the budget's name. */
async function createLimits(hoc: Controls, signal: AbortSignal): Promise<number> {
  let created = 0;
  for (const { tenantId, limits } of generateControls())
    created += await hoc.transaction(
      async ({ controls: { limits: stored, policyLimits } }) => {
        const { items } = await stored.listLimits(tenantId, { category: 'BUDGET' }, { limit: 200 });
        if (items.some(({ name }) => name === BUDGET_NAME)) return 0;
        for (const limit of limits) await policyLimits.create(tenantId, limit, 'quickstart');
        return limits.length;
      },
      { signal },
    );
  return created;
}

/** Every ended run against the thresholds of its tenant and agent; a run that crossed one is on record once. */
async function evaluateRuns(hoc: Controls, seed: number, signal: AbortSignal): Promise<number> {
  let signalled = 0;
  for (const { tenantId, runs } of generateHistory(seed))
    for (let at = 0; at < runs.length; at += CHUNK)
      signalled += await hoc.transaction(
        async ({ controls }) => {
          let fresh = 0;
          for (const run of runs.slice(at, at + CHUNK)) fresh += (await evaluate(controls, tenantId, run)) ? 1 : 0;
          return fresh;
        },
        { signal },
      );
  return signalled;
}

type Engines = Parameters<Parameters<Controls['transaction']>[0]>[0]['controls'];

async function evaluate(
  { thresholds, signals }: Engines,
  tenantId: string,
  { run, startedAt, ended }: PlannedRun,
): Promise<boolean> {
  if (startedAt === null || ended === null) return false;
  const { status, figures = {} } = ended.finish;
  const evaluation = await thresholds.evaluateCompletedRun({
    runId: run.id,
    tenantId,
    status,
    executionTimeMs: ended.at.getTime() - startedAt.getTime(),
    tokensUsed: (figures.inputTokens ?? 0) + (figures.outputTokens ?? 0),
    costCents: toDecimalString(figures.estimatedCostCents ?? '0'),
    agentId: run.agentId,
  });
  const { emitted } = await signals.emitAndPersistThresholdSignal(tenantId, {
    runId: run.id,
    state: 'completed',
    signals: evaluation.signals,
    paramsUsed: evaluation.paramsUsed,
  });
  return emitted.length > 0;
}

async function budgetOf(hoc: Controls, tenantId: string): Promise<string> {
  const { items } = await hoc.transaction(({ controls }) =>
    controls.limits.listLimits(tenantId, { category: 'BUDGET' }, { limit: 200 }),
  );
  const budget = items.find(({ name }) => name === BUDGET_NAME);
  if (budget === undefined) throw new UnavailableError('the budget of the quickstart is gone');
  return budget.limitId;
}

/** Asked for, approved before it begins, in effect; where an earlier quickstart was interrupted, from there on. */
async function liveOverride(hoc: Controls, clock: SettableClock, limitId: string): Promise<void> {
  const { tenantId, overrideValue, durationHours, reason, startsAt } = OVERRIDE;
  clock.set(OVERRIDE.requestedAt);
  const overrideId = await hoc.transaction(async ({ controls: { overrides } }) => {
    const { items } = await overrides.listOverrides(tenantId, { limitId }, { limit: 1 });
    const [known] = items;
    if (known !== undefined) return known.status === 'PENDING' ? known.overrideId : null;
    const request = {
      limitId,
      overrideValue,
      durationHours,
      reason,
      startImmediately: false,
      scheduledStart: startsAt,
    };
    return (await overrides.requestOverride(tenantId, request, 'ann')).overrideId;
  });
  if (overrideId !== null) {
    clock.set(OVERRIDE.approvedAt);
    await hoc.services.controls.overrideLifecycle.decide(tenantId, overrideId, { approved: true }, 'bob');
  }
  clock.set(startsAt);
  await hoc.transaction(({ controls }) => controls.overrides.activateDueOverrides(tenantId));
}

/** The tenant's own sweep: the one of all tenants would end others' overrides by this clock. */
async function endOverride(hoc: Controls, clock: SettableClock): Promise<void> {
  clock.set(OVERRIDE.endedAt);
  await hoc.transaction(({ controls }) => controls.overrides.activateDueOverrides(OVERRIDE.tenantId));
}

/** Charges one after the other, each settled where the plan says at what; what was charged before answers as a duplicate. */
async function charge(
  hoc: Controls,
  clock: SettableClock,
  at: Date,
  charges: readonly PlannedCharge[],
): Promise<ControlsResult['charges']> {
  const sums = { granted: 0, refused: 0, duplicates: 0 };
  const tenantId = OVERRIDE.tenantId;
  const limitId = await budgetOf(hoc, tenantId);
  clock.set(at);
  for (const { key, amountCents, actualCents } of charges) {
    const reserve = { limitIds: [limitId], amountCents: toDecimalString(amountCents), idempotencyKey: key };
    try {
      const { reservationId, duplicate } = await hoc.services.controls.charges.reserve(tenantId, reserve);
      sums[duplicate ? 'duplicates' : 'granted'] += 1;
      if (actualCents === null) continue;
      const actual = toDecimalString(actualCents);
      await hoc.transaction(({ controls }) => controls.reservations.settle(tenantId, reservationId, actual));
    } catch (error) {
      if (!LimitExceededError.is(error)) throw error;
      sums.refused += 1;
    }
  }
  return sums;
}

/** The run, stopped for its budget; who stopped it died before the decision was on record. */
async function haltRun(hoc: Controls, clock: SettableClock): Promise<void> {
  const { tenantId, run, startedAt, haltedAt, errorMessage } = HALTED_RUN;
  clock.set(startedAt);
  await hoc.transaction(async ({ activity: { lifecycle } }) => {
    const [outcome] = await lifecycle.createRuns(tenantId, [run]);
    if (outcome?.status !== 'created') return;
    await lifecycle.startRun(tenantId, run.id);
    clock.set(haltedAt);
    await lifecycle.finishRun(tenantId, run.id, { status: 'halted', figures: { errorMessage } });
  });
}

/** Reports the drifts, and looks again a day later: the breaker has closed itself by then. Once: its incident is the record. */
async function tripAndRecover(
  hoc: Controls,
  clock: SettableClock,
): Promise<Pick<ControlsResult, 'breakerTripped' | 'breakerRecovered'>> {
  clock.set(DRIFT.at);
  const breakerTripped = await hoc.transaction(async ({ controls: { breaker, breakerControl } }) => {
    const { items } = await breakerControl.getIncidents({ includeResolved: true, limit: 1 });
    if (items.length > 0) return false;
    let tripped = false;
    for (const driftScore of DRIFT.scores)
      tripped = (await breaker.observe({ driftScore, sampleCount: 100 })).incident !== null || tripped;
    return tripped;
  });
  clock.set(DRIFT.recoveredAt);
  const breakerRecovered = await hoc.transaction(async ({ controls: { breaker, breakerControl } }) => {
    const before = await breakerControl.getIncidents({ limit: 1 });
    return (await breaker.shouldUseV2()).use && before.items.length > 0;
  });
  return { breakerTripped, breakerRecovered };
}
