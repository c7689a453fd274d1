export type { DriverManager } from '@hoc/shared/drivers';
export {
  claimDueAlerts,
  fetchAlertQueueStats,
  getAlertQueue,
  markAlertFailed,
  markAlertSent,
  retryFailedAlerts,
} from './alert-queue.driver';
export {
  BUDGET_DECISIONS_MAX,
  BUDGET_HALT_MARKER,
  BudgetEnforcementDriver,
  DEFAULT_PENDING_HALT_LIMIT,
  getBudgetEnforcementDriver,
} from './budget-enforcement.driver';
export { BudgetReservationDriver, getBudgetReservationDriver } from './budget-reservation.driver';
export {
  type BreakerRow,
  buildDisableAlertPayload,
  buildEnableAlertPayload,
  CB_NAME,
  CircuitBreaker,
  type CircuitBreakerOptions,
  CircuitBreakerState,
  createCircuitBreaker,
  disableV2,
  enableV2,
  FEATURE_INTENT,
  getAsyncCircuitBreaker,
  getIncidents,
  getState,
  Incident,
  isV2Disabled,
  reportDrift,
  reportSchemaError,
  RETRY_POLICY,
  type TripInput,
} from './circuit-breaker.driver';
export { getEvaluationEvidenceDriver, queryEvidence, recordEvidence } from './evaluation-evidence.driver';
export { getLimitBreachDriver, markBreachRecovered, recordBreach, recordBreaches } from './limit-breach.driver';
export { getLimitsReadDriver, LimitsReadDriver } from './limits-read.driver';
export {
  getLimitForOverride,
  getLimitOverrideService,
  type LimitForOverride,
  LimitNotFoundError,
  LimitOverrideService,
  LimitOverrideServiceError,
  OverrideNotFoundError,
  OverrideValidationError,
  StackingAbuseError,
  toOverrideResponse,
} from './override.driver';
export { getPolicyLimitsDriver, PolicyLimitsDriver } from './policy-limits.driver';
export {
  BoundExecutionScope,
  computeHash,
  createRecoveryScope,
  dryRunValidate,
  elapsedMs,
  estimateCost,
  executeScoped,
  executeWithScope,
  getScopes,
  getScopeStore,
  requiresScopedExecution,
  ScopedExecutionContext,
  type ScopeOptions,
  ScopeStore,
  settleScopeAttempt,
  testRecoveryScope,
  validateScopeRequired,
} from './scoped-execution.driver';
export {
  emitAndPersistThresholdSignal,
  emitThresholdSignal,
  emitThresholdSignalSync,
  getThresholdDriver,
  getThresholdSignals,
  type PersistedSignalEmission,
  sharedRunsRiskSink,
  type SignalEmission,
  ThresholdDriver,
  ThresholdDriverSync,
  type ThresholdSignalInput,
  type ThresholdSignalsInput,
} from './threshold.driver';
export { AsyncCircuitBreaker } from './circuit-breaker-async.driver';
