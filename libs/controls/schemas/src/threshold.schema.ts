import type { JsonObject, LimitScope, LimitStatus, RiskLevel } from '@hoc/shared/kernel';
import type { ThresholdSignal } from '@hoc/shared/schemas';
import type { EvaluationState } from './controls-enums.schema';
import type { ThresholdParams } from './threshold-params.schema';

export {
  DEFAULT_LLM_RUN_PARAMS,
  type ThresholdParams,
  ThresholdParamsUpdate,
  toStoredParams,
} from './threshold-params.schema';

/** Active THRESHOLD limits that one tenant may have: with more of them something is broken. */
export const ACTIVE_THRESHOLDS_MAX = 1000;
/** Signals of one call. */
export const THRESHOLD_SIGNALS_MAX = 100;

/** The event that each signal is, for the operators' console. @see spec controls C.3 */
export const THRESHOLD_SIGNAL_EVENTS: Readonly<
  Record<ThresholdSignal, { readonly eventType: 'INFRA_LIMIT_HIT' | 'LLM_CALL_FAILED'; readonly severity: number }>
> = Object.freeze({
  EXECUTION_TIME_EXCEEDED: Object.freeze({ eventType: 'INFRA_LIMIT_HIT', severity: 2 }),
  TOKEN_LIMIT_EXCEEDED: Object.freeze({ eventType: 'INFRA_LIMIT_HIT', severity: 2 }),
  COST_LIMIT_EXCEEDED: Object.freeze({ eventType: 'INFRA_LIMIT_HIT', severity: 2 }),
  RUN_FAILED: Object.freeze({ eventType: 'LLM_CALL_FAILED', severity: 3 }),
});

/** What of a THRESHOLD limit decides. @see threshold_driver.py, LimitSnapshot */
export interface LimitSnapshot {
  readonly id: string;
  readonly tenantId: string;
  readonly scope: LimitScope;
  /** Null exactly with GLOBAL and TENANT; a null on another scope matches nothing. */
  readonly scopeId: string | null;
  /** As stored, unchecked. */
  readonly params: JsonObject;
  readonly status: LimitStatus;
  readonly createdAt: Date;
}

/** Whom a run belongs to, besides its tenant; without an id no limit of that scope applies. */
export interface ThresholdContext {
  readonly agentId?: string;
  readonly projectId?: string;
}

/** The thresholds of one run, and where each of them comes from. */
export interface ResolvedThresholds {
  readonly params: ThresholdParams;
  /** The limit that set each value; null where the default holds. */
  readonly sources: Readonly<Record<keyof ThresholdParams, string | null>>;
  /** Limits that would apply but whose stored parameters break the rules: none of their values counts. Lowest rank first. */
  readonly rejectedLimitIds: readonly string[];
}

/** What a live evaluation is told. */
export interface LiveRunInput extends ThresholdContext {
  readonly runId: string;
  readonly tenantId: string;
  /** One in the future counts as now. */
  readonly startedAt: Date;
  readonly tokensUsed: number;
}

/** What the evaluation of a run that has ended is told. */
export interface CompletedRunInput extends ThresholdContext {
  readonly runId: string;
  readonly tenantId: string;
  /** Exactly `failed` is a failure. */
  readonly status: string;
  readonly executionTimeMs: number;
  readonly tokensUsed: number;
  /** Decimal text, cents. */
  readonly costCents: string;
}

/** Which thresholds a run has crossed. */
export interface ThresholdEvaluationResult {
  readonly runId: string;
  /** In the order failure, time, tokens, cost. */
  readonly signals: readonly ThresholdSignal[];
  readonly paramsUsed: ThresholdParams;
  /** The limit that set each value; null where the default holds. */
  readonly sources: Readonly<Record<keyof ThresholdParams, string | null>>;
  readonly rejectedLimitIds: readonly string[];
  readonly evaluatedAt: Date;
}

/** One signal of one evaluation, as an audit keeps it. */
export interface ThresholdSignalRecord {
  readonly tenantId: string;
  readonly runId: string;
  readonly state: EvaluationState;
  readonly signal: ThresholdSignal;
  readonly paramsUsed: ThresholdParams;
  readonly emittedAt: Date;
}

/** Where thresholds come from. */
export interface ThresholdDriverProtocol {
  getActiveThresholdLimits(tenantId: string): Promise<readonly LimitSnapshot[]>;
}
/** The same: TypeScript has no second, synchronous access to a database. @see threshold_driver.py, ThresholdDriverSync */
export type ThresholdDriverSyncProtocol = ThresholdDriverProtocol;

/**
 * The customer's half of a dual emission: raises the risk level of a run, in the transaction of the events. A consumer may
 * bind activity's run signals to it.
 */
export interface RunRiskSink {
  /** The run's level afterwards; null for a run that the tenant doesn't have. */
  raise(tenantId: string, runId: string, signals: readonly ThresholdSignal[]): Promise<RiskLevel | null>;
}

/** One signal of a run, to emit. */
export interface ThresholdSignalInput {
  readonly runId: string;
  readonly state: EvaluationState;
  readonly signal: ThresholdSignal;
  readonly paramsUsed: ThresholdParams;
}

/** All signals of one evaluation, to emit. */
export interface ThresholdSignalsInput {
  readonly runId: string;
  readonly state: EvaluationState;
  /** At most 100; repetitions count once. */
  readonly signals: readonly ThresholdSignal[];
  readonly paramsUsed: ThresholdParams;
}

/** What an emission wrote, and what was on record before; each in the order of the input. */
export interface SignalEmission {
  readonly emitted: readonly ThresholdSignal[];
  readonly duplicates: readonly ThresholdSignal[];
}

/** An emission, and the run's risk level after it: null for a run that doesn't exist, and where there was no signal. */
export interface PersistedSignalEmission extends SignalEmission {
  readonly riskLevel: RiskLevel | null;
}

/** The emission of signals, on the manager of one unit of work. */
export interface ThresholdSignalPort {
  emitThresholdSignal(tenantId: string, input: ThresholdSignalInput): Promise<SignalEmission>;
  emitAndPersistThresholdSignal(tenantId: string, input: ThresholdSignalsInput): Promise<PersistedSignalEmission>;
}
