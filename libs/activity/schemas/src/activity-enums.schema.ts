import {
  invalid,
  LIMIT_SCOPES,
  type LimitScope,
  RISK_LEVELS,
  type RiskLevel,
  type RunState,
  type RunStatus,
  type RunTerminationReason,
} from '@hoc/shared/kernel';

export {
  CUS_INTEGRATION_STATUSES,
  CUS_POLICY_RESULTS,
  CUS_PROVIDER_TYPES,
  type CusIntegrationStatus,
  type CusPolicyResult,
  type CusProviderType,
  EVIDENCE_HEALTH,
  type EvidenceHealth,
  INTEGRITY_STATUSES,
  type IntegrityStatus,
  isCusIntegrationStatus,
  isCusPolicyResult,
  isCusProviderType,
  isEvidenceHealth,
  isIntegrityStatus,
  isLatencyBucket,
  isRiskLevel,
  isRunProviderType,
  isRunSource,
  isRunState,
  isRunStatus,
  isRunTerminationReason,
  isWorkerRunStatus,
  LATENCY_BUCKETS,
  type LatencyBucket,
  RISK_LEVELS,
  type RiskLevel,
  RUN_PROVIDER_TYPES,
  RUN_SOURCES,
  RUN_STATES,
  RUN_STATUSES,
  RUN_TERMINATION_REASONS,
  type RunProviderType,
  type RunSource,
  type RunState,
  type RunStatus,
  type RunTerminationReason,
  WORKER_RUN_STATUSES,
  type WorkerRunStatus,
} from '@hoc/shared/kernel';
export { THRESHOLD_SIGNALS, type ThresholdSignal } from '@hoc/shared/schemas';

const among =
  <T extends string>(values: readonly T[]) =>
  (value: unknown): value is T =>
    values.some((each) => each === value);

/** What a run's signal is about. @see activity_enums.py, SignalType */
export const SIGNAL_TYPES = Object.freeze([
  'cost_risk',
  'time_risk',
  'token_risk',
  'rate_risk',
  'policy_breach',
  'evidence_degraded',
  'reliability',
  'security',
  'threshold_proximity',
] as const);
/** One of {@link SIGNAL_TYPES}. */
export type SignalType = (typeof SIGNAL_TYPES)[number];
/** Whether a value is a {@link SignalType}. */
export const isSignalType = among(SIGNAL_TYPES);

/** How bad a signal is, for people. @see activity_enums.py, SeverityLevel */
export const SEVERITY_LEVELS = Object.freeze(['high', 'medium', 'low'] as const);
/** One of {@link SEVERITY_LEVELS}. */
export type SeverityLevel = (typeof SEVERITY_LEVELS)[number];
/** Whether a value is a {@link SeverityLevel}. */
export const isSeverityLevel = among(SEVERITY_LEVELS);

/** What a limit bounds. */
export const RISK_TYPES = Object.freeze(['COST', 'TIME', 'TOKENS', 'RATE', 'OTHER'] as const);
/** One of {@link RISK_TYPES}. */
export type RiskType = (typeof RISK_TYPES)[number];
/** Whether a value is a {@link RiskType}. */
export const isRiskType = among(RISK_TYPES);

/** How a run stands to a limit, the worst first. */
export const EVALUATION_OUTCOMES = Object.freeze(['BREACH', 'OVERRIDDEN', 'NEAR_THRESHOLD', 'OK', 'ADVISORY'] as const);
/** One of {@link EVALUATION_OUTCOMES}. */
export type EvaluationOutcome = (typeof EVALUATION_OUTCOMES)[number];
/** Whether a value is an {@link EvaluationOutcome}. */
export const isEvaluationOutcome = among(EVALUATION_OUTCOMES);

/** Whom a limit holds for: the scopes of `limits`. */
export const POLICY_SCOPES = LIMIT_SCOPES;
/** One of {@link POLICY_SCOPES}. */
export type PolicyScope = LimitScope;

/** Whether a threshold is everybody's or the tenant's own. */
export const THRESHOLD_SOURCES = Object.freeze(['SYSTEM_DEFAULT', 'TENANT_OVERRIDE'] as const);
/** One of {@link THRESHOLD_SOURCES}. */
export type ThresholdSource = (typeof THRESHOLD_SOURCES)[number];

/** By what runs can be grouped. @see activity_read_driver.py, the allow-list of dimensions */
export const RUN_DIMENSIONS = Object.freeze([
  'riskLevel',
  'latencyBucket',
  'evidenceHealth',
  'integrityStatus',
  'source',
  'providerType',
  'status',
  'state',
  'agentId',
] as const);
/** One of {@link RUN_DIMENSIONS}. */
export type RunDimension = (typeof RUN_DIMENSIONS)[number];
/** Whether a value is a {@link RunDimension}. */
export const isRunDimension = among(RUN_DIMENSIONS);

/** By what runs can be sorted; ties by id, null smaller than every value. */
export const RUN_SORT_FIELDS = Object.freeze(['startedAt', 'completedAt', 'durationMs', 'riskLevel'] as const);
/** One of {@link RUN_SORT_FIELDS}. */
export type RunSortField = (typeof RUN_SORT_FIELDS)[number];
/** Whether a value is a {@link RunSortField}. */
export const isRunSortField = among(RUN_SORT_FIELDS);

/** The direction of a sort. */
export const SORT_DIRECTIONS = Object.freeze(['asc', 'desc'] as const);
/** One of {@link SORT_DIRECTIONS}. */
export type SortDirection = (typeof SORT_DIRECTIONS)[number];
/** Whether a value is a {@link SortDirection}. */
export const isSortDirection = among(SORT_DIRECTIONS);

/** The label of a score in [0, 1]: from 0.7 high, from 0.4 medium. @throws InvalidArgumentError for any other number */
export function severityFromScore(score: number): SeverityLevel {
  if (typeof score !== 'number' || !(score >= 0 && score <= 1)) {
    throw invalid('score', 'range', 'score must be a number from 0 to 1');
  }
  if (score >= 0.7) return 'high';
  return score >= 0.4 ? 'medium' : 'low';
}

const SEVERITY_OF_RISK: Readonly<Record<RiskLevel, SeverityLevel>> = Object.freeze({
  VIOLATED: 'high',
  AT_RISK: 'medium',
  NEAR_THRESHOLD: 'low',
  NORMAL: 'low',
});

/** The label of a run's risk level. @throws InvalidArgumentError for an unknown level */
export function severityFromRiskLevel(level: RiskLevel): SeverityLevel {
  if (!RISK_LEVELS.includes(level)) throw invalid('riskLevel', 'value', 'riskLevel is none of the known levels');
  return SEVERITY_OF_RISK[level];
}

/** What a limit of this type bounds, by the words its name starts with. @throws InvalidArgumentError unless a text */
export function riskTypeOfLimit(limitType: string): RiskType {
  assertLimitType(limitType);
  if (limitType.startsWith('COST')) return 'COST';
  if (limitType.startsWith('TOKEN')) return 'TOKENS';
  if (limitType.startsWith('TIME') || limitType.startsWith('LATENCY')) return 'TIME';
  return limitType.startsWith('REQUEST') ? 'RATE' : 'OTHER';
}

/** The unit that the threshold of a limit is given in. */
export type ThresholdUnit = 'cents' | 'tokens' | 'ms' | 'requests/min' | 'requests/hour' | 'units';

/** The unit of a limit's maximum. @throws InvalidArgumentError for `COST_USD`: money is cents, COST_CENTS */
export function thresholdUnitOfLimit(limitType: string): ThresholdUnit {
  assertLimitType(limitType);
  if (limitType === 'COST_USD') throw invalid('limitType', 'value', 'money is cents: use COST_CENTS');
  if (limitType.startsWith('COST')) return 'cents';
  if (limitType.startsWith('TOKEN')) return 'tokens';
  if (limitType === 'TIME_MS' || limitType === 'LATENCY_MS') return 'ms';
  if (limitType === 'REQUESTS_PM') return 'requests/min';
  return limitType === 'REQUESTS_PH' ? 'requests/hour' : 'units';
}

/** The state that a run's status belongs to. */
export const lifecycleStateOf = (status: RunStatus): RunState =>
  status === 'queued' || status === 'running' || status === 'retry' ? 'LIVE' : 'COMPLETED';

/** The status that a run ends in for each reason of its end. */
export const TERMINATION_TO_STATUS: Readonly<Record<RunTerminationReason, RunStatus>> = Object.freeze({
  completed: 'succeeded',
  policy_block: 'failed_policy',
  user_abort: 'cancelled',
  budget_exceeded: 'failed',
  rate_limited: 'failed',
  timeout: 'failed',
  system_failure: 'failed',
});

function assertLimitType(limitType: unknown): asserts limitType is string {
  if (typeof limitType !== 'string' || limitType === '')
    throw invalid('limitType', 'string', 'limitType must be a text');
}
