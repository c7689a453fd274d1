/**
 * What the engines of a transaction are, where they aren't classes of this package's own: each has exactly the public methods
 * of a driver, or of a driver's functions bound to one manager. A consumer's code types what it needs by these.
 */
export type { AlertQueuePort } from './alert.schema';
export type { BreakerControlPort } from './breaker-control.schema';
export type { BudgetReservationPort } from './budget-reservation.schema';
export type { EvaluationEvidencePort } from './evidence.schema';
export type { LimitBreachPort } from './limit-breach.schema';
export type { OverridePort } from './overrides.schema';
export type { ScopePort } from './scoped-execution.schema';
export type { ThresholdDriverProtocol, ThresholdSignalPort } from './threshold.schema';
