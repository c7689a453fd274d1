export {
  isLimitBreachType,
  isLimitCategory,
  isLimitConsequence,
  isLimitEnforcement,
  isLimitScope,
  isLimitStatus,
  isOverrideStatus,
  isResetPeriod,
  isRiskLevel,
  LIMIT_BREACH_TYPES,
  LIMIT_CATEGORIES,
  LIMIT_CONSEQUENCES,
  LIMIT_ENFORCEMENTS,
  LIMIT_SCOPES,
  LIMIT_STATUSES,
  type LimitBreachType,
  type LimitCategory,
  type LimitConsequence,
  type LimitEnforcement,
  type LimitScope,
  type LimitStatus,
  OVERRIDE_STATUSES,
  type OverrideStatus,
  RESET_PERIODS,
  type ResetPeriod,
  RISK_LEVELS,
  type RiskLevel,
} from '@hoc/shared/kernel';
export { THRESHOLD_SIGNALS, type ThresholdSignal } from '@hoc/shared/schemas';

/** Whether a limit's definition was verified; not the runs' `IntegrityStatus`. */
export const LIMIT_INTEGRITY_STATUSES = Object.freeze(['VERIFIED', 'DEGRADED', 'FAILED'] as const);
/** One of {@link LIMIT_INTEGRITY_STATUSES}. */
export type LimitIntegrityStatus = (typeof LIMIT_INTEGRITY_STATUSES)[number];

/** Whether a run was still running when it was evaluated; not the runs' `RunState`. */
export const EVALUATION_STATES = Object.freeze(['live', 'completed'] as const);
/** One of {@link EVALUATION_STATES}. */
export type EvaluationState = (typeof EVALUATION_STATES)[number];

/** How risky a recovery action is, from the least. @see scoped_execution.py, RiskClass */
export const RISK_CLASSES = Object.freeze(['low', 'medium', 'high', 'critical'] as const);
/** One of {@link RISK_CLASSES}. */
export type RiskClass = (typeof RISK_CLASSES)[number];
/** The seed's members. @see scoped_execution.py, RiskClass */
export const RiskClass = Object.freeze({ LOW: 'low', MEDIUM: 'medium', HIGH: 'high', CRITICAL: 'critical' } as const);

/** On what part of the world an action is tried. @see scoped_execution.py, ExecutionScope */
export const EXECUTION_SCOPES = Object.freeze([
  'agent_subset',
  'request_sample',
  'budget_fraction',
  'dry_run',
] as const);
/** One of {@link EXECUTION_SCOPES}. */
export type ExecutionScope = (typeof EXECUTION_SCOPES)[number];
/** The seed's members. @see scoped_execution.py, ExecutionScope */
export const ExecutionScope = Object.freeze({
  AGENT_SUBSET: 'agent_subset',
  REQUEST_SAMPLE: 'request_sample',
  BUDGET_FRACTION: 'budget_fraction',
  DRY_RUN: 'dry_run',
} as const);

/** What has become of a bound execution scope. */
export const SCOPE_STATUSES = Object.freeze(['active', 'exhausted', 'expired', 'revoked'] as const);
/** One of {@link SCOPE_STATUSES}. */
export type ScopeStatus = (typeof SCOPE_STATUSES)[number];

/** Severity of a breaker's incident, from the worst. */
export const BREAKER_SEVERITIES = Object.freeze(['P1', 'P2', 'P3'] as const);
/** One of {@link BREAKER_SEVERITIES}. */
export type BreakerSeverity = (typeof BREAKER_SEVERITIES)[number];

/** What an alert of the outbox says. */
export const ALERT_TYPES = Object.freeze(['disable', 'enable', 'canary_fail'] as const);
/** One of {@link ALERT_TYPES}. */
export type AlertType = (typeof ALERT_TYPES)[number];

/** How far the delivery of an alert has come; `failed` waits for `retryFailedAlerts`. */
export const ALERT_STATUSES = Object.freeze(['pending', 'sent', 'failed'] as const);
/** One of {@link ALERT_STATUSES}. */
export type AlertStatus = (typeof ALERT_STATUSES)[number];

/** Answer of a check before execution, from the best. */
export const SIMULATION_DECISIONS = Object.freeze(['ALLOW', 'WARN', 'BLOCK'] as const);
/** One of {@link SIMULATION_DECISIONS}. */
export type SimulationDecision = (typeof SIMULATION_DECISIONS)[number];

/** What has become of a budget reservation. */
export const RESERVATION_STATUSES = Object.freeze(['RESERVED', 'SETTLED', 'RELEASED', 'EXPIRED'] as const);
/** One of {@link RESERVATION_STATUSES}. */
export type ReservationStatus = (typeof RESERVATION_STATUSES)[number];
