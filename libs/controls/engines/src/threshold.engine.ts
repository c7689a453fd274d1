import {
  assertAmount,
  assertThresholdParams,
  type CompletedRunInput,
  EVALUATION_STATES,
  type EvaluationState,
  type LiveRunInput,
  type ResolvedThresholds,
  type ThresholdContext,
  type ThresholdDriverProtocol,
  type ThresholdEvaluationResult,
  type ThresholdParams,
  type ThresholdSignalRecord,
} from '@hoc/controls/schemas';
import {
  assertDate,
  assertId,
  assertInt,
  assertObject,
  assertOneOf,
  assertTenantId,
  compareDecimal,
  type DecimalString,
  deepFreeze,
  type ReadDeps,
} from '@hoc/shared/kernel';
import { THRESHOLD_SIGNALS, type ThresholdSignal } from '@hoc/shared/schemas';
import { resolveParams } from './threshold-params.engine';

export { readStoredParams, resolveParams, validateThresholdParams } from './threshold-params.engine';

/** Finds the thresholds of a run among the active limits of its tenant. @see spec controls E.3 */
export class LLMRunThresholdResolver {
  constructor(private readonly driver: ThresholdDriverProtocol) {}

  /**
   * As {@link resolveParams} over all active THRESHOLD limits of the tenant.
   *
   * @throws TenantScopeError; InvalidArgumentError where an id of the context is none; what the driver throws
   */
  async resolve(tenantId: string, context: ThresholdContext = {}): Promise<ResolvedThresholds> {
    const tenant = assertTenantId(tenantId);
    // An id that is none shall cost no statement.
    resolveParams([], assertObject(context, 'context'));
    return resolveParams(await this.driver.getActiveThresholdLimits(tenant), context);
  }
}

/** The same class: there is no second, synchronous access to a database. */
export const LLMRunThresholdResolverSync = LLMRunThresholdResolver;
/** The same class. */
export type LLMRunThresholdResolverSync = LLMRunThresholdResolver;

/**
 * Says which thresholds a run has crossed. It reads and writes no run: what it finds is emitted with the functions of
 * `ThresholdSignalPort`. A value crosses a threshold when it is greater: equal is within.
 *
 * @see spec controls E.3
 */
export class LLMRunEvaluator {
  constructor(
    private readonly resolver: LLMRunThresholdResolver,
    private readonly deps: ReadDeps,
  ) {}

  /**
   * A run that is still running, as of the clock: time since its start, and tokens so far.
   *
   * @throws TenantScopeError; InvalidArgumentError for a negative or unsafe number, a start that is no Date, an id that is none
   */
  async evaluateLiveRun(input: LiveRunInput): Promise<ThresholdEvaluationResult> {
    const tenant = assertTenantId(assertObject(input, 'input')['tenantId']);
    const runId = assertId(input.runId, 'runId');
    const startedAt = assertDate(input.startedAt, 'startedAt');
    const tokensUsed = assertCount(input.tokensUsed, 'tokensUsed');
    const evaluatedAt = this.deps.clock.now();
    const executionTimeMs = Math.max(0, evaluatedAt.getTime() - startedAt.getTime());
    const resolved = await this.resolver.resolve(tenant, contextOf(input));
    return toResult(runId, resolved, { executionTimeMs, tokensUsed }, evaluatedAt);
  }

  /**
   * A run that has ended: whether it failed, its time, its tokens and its cost, which is compared as a decimal.
   *
   * @throws TenantScopeError; InvalidArgumentError for a negative or unsafe number, an amount or an id that is none
   */
  async evaluateCompletedRun(input: CompletedRunInput): Promise<ThresholdEvaluationResult> {
    const tenant = assertTenantId(assertObject(input, 'input')['tenantId']);
    const runId = assertId(input.runId, 'runId');
    const figures: RunFigures = {
      failed: assertId(input.status, 'status') === 'failed',
      executionTimeMs: assertCount(input.executionTimeMs, 'executionTimeMs'),
      tokensUsed: assertCount(input.tokensUsed, 'tokensUsed'),
      costCents: assertAmount(input.costCents, 'costCents'),
    };
    const resolved = await this.resolver.resolve(tenant, contextOf(input));
    return toResult(runId, resolved, figures, this.deps.clock.now());
  }
}

/** The same class: there is no second, synchronous evaluation. */
export const LLMRunEvaluatorSync = LLMRunEvaluator;
/** The same class. */
export type LLMRunEvaluatorSync = LLMRunEvaluator;

/**
 * The record of one signal, as a frozen copy.
 *
 * @throws TenantScopeError; InvalidArgumentError for an unknown state or signal, thresholds, an id or an instant that are none
 */
export function createThresholdSignalRecord(input: ThresholdSignalRecord): ThresholdSignalRecord {
  const tenantId = assertTenantId(assertObject(input, 'input')['tenantId']);
  return deepFreeze({
    tenantId,
    runId: assertId(input.runId, 'runId'),
    state: assertOneOf(input.state, EVALUATION_STATES, 'state'),
    signal: assertOneOf(input.signal, THRESHOLD_SIGNALS, 'signal'),
    paramsUsed: assertThresholdParams(input.paramsUsed, 'paramsUsed'),
    emittedAt: assertDate(input.emittedAt, 'emittedAt'),
  });
}

/** A record a signal of an evaluation, in its order, as of the clock. @throws as {@link createThresholdSignalRecord} */
export function collectSignalsFromEvaluation(
  evaluation: ThresholdEvaluationResult,
  tenantId: string,
  state: EvaluationState,
  deps: ReadDeps,
): readonly ThresholdSignalRecord[] {
  const tenant = assertTenantId(tenantId);
  const emittedAt = deps.clock.now();
  const { runId, paramsUsed } = evaluation;
  return Object.freeze(
    evaluation.signals.map((signal) =>
      createThresholdSignalRecord({ tenantId: tenant, runId, state, signal, paramsUsed, emittedAt }),
    ),
  );
}

/** What is known of a run; of a live one neither whether it failed nor its cost. */
interface RunFigures {
  readonly failed?: boolean;
  readonly executionTimeMs: number;
  readonly tokensUsed: number;
  readonly costCents?: DecimalString;
}

function signalsOf(figures: RunFigures, params: ThresholdParams): readonly ThresholdSignal[] {
  const { failed = false, executionTimeMs, tokensUsed, costCents } = figures;
  const signals: ThresholdSignal[] = [];
  if (failed && params.failureSignal) signals.push('RUN_FAILED');
  if (executionTimeMs > params.maxExecutionTimeMs) signals.push('EXECUTION_TIME_EXCEEDED');
  if (tokensUsed > params.maxTokens) signals.push('TOKEN_LIMIT_EXCEEDED');
  if (costCents !== undefined && compareDecimal(costCents, params.maxCostCents) > 0)
    signals.push('COST_LIMIT_EXCEEDED');
  return signals;
}

const toResult = (
  runId: string,
  { params, sources, rejectedLimitIds }: ResolvedThresholds,
  figures: RunFigures,
  evaluatedAt: Date,
): ThresholdEvaluationResult =>
  deepFreeze({
    runId,
    signals: signalsOf(figures, params),
    paramsUsed: params,
    sources,
    rejectedLimitIds,
    evaluatedAt,
  });

const contextOf = ({ agentId, projectId }: ThresholdContext): ThresholdContext => ({
  ...(agentId === undefined ? {} : { agentId }),
  ...(projectId === undefined ? {} : { projectId }),
});

const assertCount = (value: unknown, field: string): number => assertInt(value, field, 0, Number.MAX_SAFE_INTEGER);
