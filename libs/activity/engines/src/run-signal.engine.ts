import type { RunSignalDriver } from '@hoc/activity/drivers';
import type {
  RiskLevelChange,
  RunFiguresForSignals,
  RunSignalLimits,
  RunSignals,
  ThresholdSignal,
} from '@hoc/activity/schemas';
import {
  assertInt,
  assertObject,
  compareDecimal,
  type DecimalString,
  NotFoundError,
  type ReadDeps,
  type RiskLevel,
  toMoney,
} from '@hoc/shared/kernel';

/** What the engine needs of the driver. */
export type SignalDriver = Pick<RunSignalDriver, 'updateRiskLevel' | 'updateRiskLevels' | 'getRiskLevel'>;

/** The engine on a driver of one unit of work. */
export function getRunSignalEngine(driver: SignalDriver, deps: ReadDeps): RunSignalEngine {
  return new RunSignalEngine(driver, deps);
}

/** Signals of runs: what a limit evaluation or a runner reports raises the run's risk level, which never falls. @see run_signal_driver.py */
export class RunSignalEngine {
  constructor(
    private readonly driver: SignalDriver,
    _deps: ReadDeps,
  ) {}

  /** @throws NotFoundError for a run that the tenant doesn't have, InvalidArgumentError for a bad name or more than 100 signals */
  async applySignals(tenantId: string, runId: string, signals: readonly string[]): Promise<RiskLevelChange> {
    const change = await this.driver.updateRiskLevel(tenantId, runId, signals);
    if (change === null) throw missing();
    return change;
  }

  /** At most 1,000 runs in one statement; a run that the tenant doesn't have has no change. */
  async applySignalsBatch(tenantId: string, items: readonly RunSignals[]): Promise<readonly RiskLevelChange[]> {
    return this.driver.updateRiskLevels(tenantId, items);
  }

  /** @throws NotFoundError for a run that the tenant doesn't have */
  async getRiskLevel(tenantId: string, runId: string): Promise<RiskLevel> {
    const level = await this.driver.getRiskLevel(tenantId, runId);
    if (level === null) throw missing();
    return level;
  }
}

/**
 * The signals of a completed run, in fixed order: failed, time, tokens, cost. Only the status `failed` is a failure: a
 * policy stop and a budget halt are not. A figure must be strictly greater than its limit; null never is.
 * @throws InvalidArgumentError for a limit or a figure that is no amount
 */
export function evaluateRunSignals(run: RunFiguresForSignals, limits: RunSignalLimits): readonly ThresholdSignal[] {
  assertObject(run, 'run');
  assertObject(limits, 'limits');
  const input = amount(run.inputTokens, 'inputTokens');
  const output = amount(run.outputTokens, 'outputTokens');
  const tokens = input === null && output === null ? null : (input ?? 0) + (output ?? 0);
  const signals: ThresholdSignal[] = [];
  if (run.status === 'failed') signals.push('RUN_FAILED');
  if (exceeds(amount(run.durationMs, 'durationMs'), amount(limits.maxExecutionTimeMs, 'maxExecutionTimeMs')))
    signals.push('EXECUTION_TIME_EXCEEDED');
  if (exceeds(tokens, amount(limits.maxTokens, 'maxTokens'))) signals.push('TOKEN_LIMIT_EXCEEDED');
  if (costs(money(run.estimatedCostCents, 'estimatedCostCents'), money(limits.maxCostCents, 'maxCostCents')))
    signals.push('COST_LIMIT_EXCEEDED');
  return Object.freeze(signals);
}

/** What nobody measured exceeds nothing, and what nobody bounds is exceeded by nothing. */
const exceeds = (figure: number | null, limit: number | null): boolean =>
  figure !== null && limit !== null && figure > limit;

const costs = (figure: DecimalString | null, limit: DecimalString | null): boolean =>
  figure !== null && limit !== null && compareDecimal(figure, limit) > 0;

const amount = (value: number | null | undefined, field: string): number | null =>
  value === null || value === undefined ? null : assertInt(value, field, 0, Number.MAX_SAFE_INTEGER);

const money = (value: string | null | undefined, field: string): DecimalString | null =>
  value === null || value === undefined ? null : toMoney(value, field);

const missing = (): NotFoundError => new NotFoundError('the tenant has no such run', { details: { field: 'runId' } });
