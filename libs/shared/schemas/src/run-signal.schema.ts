import { invalid, RISK_LEVELS, type RiskLevel, textFault } from '@hoc/shared/kernel';

/** What a limit evaluation, or a runner, reports of a run; the names that controls emits. */
export const THRESHOLD_SIGNALS = Object.freeze([
  'EXECUTION_TIME_EXCEEDED',
  'TOKEN_LIMIT_EXCEEDED',
  'COST_LIMIT_EXCEEDED',
  'RUN_FAILED',
] as const);
/** One of {@link THRESHOLD_SIGNALS}. */
export type ThresholdSignal = (typeof THRESHOLD_SIGNALS)[number];

/** The risk level that each known signal raises a run to. @see run_signal_driver.py, SIGNAL_TO_RISK_LEVEL */
export const SIGNAL_TO_RISK_LEVEL: Readonly<Record<ThresholdSignal, RiskLevel>> = Object.freeze({
  EXECUTION_TIME_EXCEEDED: 'AT_RISK',
  TOKEN_LIMIT_EXCEEDED: 'AT_RISK',
  COST_LIMIT_EXCEEDED: 'AT_RISK',
  RUN_FAILED: 'VIOLATED',
});

/** A run without signals. @see run_signal_driver.py, DEFAULT_RISK_LEVEL */
export const DEFAULT_RISK_LEVEL: RiskLevel = 'NORMAL';
/** A signal of a valid name that nobody mapped: noticed, not trusted. */
export const UNKNOWN_SIGNAL_RISK_LEVEL: RiskLevel = 'NEAR_THRESHOLD';
/** The order of risk levels: a run's level only rises. */
export const RISK_LEVEL_PRIORITY = Object.freeze({ NORMAL: 0, NEAR_THRESHOLD: 1, AT_RISK: 2, VIOLATED: 3 } as const);

const NAME = /^[A-Z0-9_]{1,64}$/;

/** The level of one signal. @throws InvalidArgumentError unless its name is 1–64 characters of `[A-Z0-9_]` */
export function riskLevelForSignal(signal: string): RiskLevel {
  if (textFault(signal, 1, 64) !== null || !NAME.test(signal))
    throw invalid('signals', 'signal_name', 'a signal is 1 to 64 characters of A-Z, 0-9 and _');
  return isThresholdSignal(signal) ? SIGNAL_TO_RISK_LEVEL[signal] : UNKNOWN_SIGNAL_RISK_LEVEL;
}

/** The worst of the levels; the default one for none. */
export function maxRiskLevel(levels: Iterable<RiskLevel>): RiskLevel {
  let worst = RISK_LEVEL_PRIORITY[DEFAULT_RISK_LEVEL] as number;
  for (const level of levels) worst = Math.max(worst, RISK_LEVEL_PRIORITY[level]);
  return RISK_LEVELS[worst] ?? DEFAULT_RISK_LEVEL;
}

/** The worst level of the signals; the default one for none. @throws InvalidArgumentError as {@link riskLevelForSignal} */
export function maxRiskLevelForSignals(signals: readonly string[]): RiskLevel {
  return maxRiskLevel(signals.map(riskLevelForSignal));
}

const isThresholdSignal = (signal: string): signal is ThresholdSignal => Object.hasOwn(SIGNAL_TO_RISK_LEVEL, signal);
