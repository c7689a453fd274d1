export { AlertDeliveryEngine, type AlertDeliveryEngines } from './alert-delivery.engine';
export { alertFailureText } from './alert-failure.engine';
export {
  BudgetEnforcementEngine,
  type BudgetHaltPort,
  countSteps,
  emitBudgetHaltDecision,
  parseBudgetFromError,
  processPendingBudgetDecisions,
} from './budget-enforcement.engine';
export { ChargeCoalescer, type ChargeEngines, createChargeCoalescer } from './charge-coalescer.engine';
export {
  BREAKER_WHEN_UNAVAILABLE,
  type BreakerDriver,
  type BreakerVerdict,
  type BreakerWhenUnavailable,
  CircuitBreakerEngine,
  type CircuitBreakerEngineOptions,
  type DriftObservation,
  getCircuitBreakerEngine,
} from './circuit-breaker.engine';
export {
  type ControlsDeps,
  type ControlsEngines,
  type ControlsRunner,
  type ControlsServices,
} from './controls-engines.engine';
export { type ControlsGuardEngines, type ControlsGuards, createControlsGuards } from './controls-guards.engine';
export {
  type ControlsSweepEngines,
  type ControlsSweeps,
  createControlsSweeps,
  type HaltDecisionsOptions,
} from './controls-sweeps.engine';
export { LIMIT_CHECK_UNAVAILABLE, LimitCheckEngine } from './limit-check.engine';
export {
  budgetWindow,
  type BudgetWindow,
  getLimitsQueryEngine,
  LimitsQueryEngine,
  type LimitsReader,
} from './limits-query.engine';
export { OverrideLifecycleEngine, type OverrideLifecycleEngines } from './override-lifecycle.engine';
export {
  type CategoryFields,
  getPolicyLimitsService,
  type LimitsDriver,
  PolicyLimitsService,
  toPolicyLimitResponse,
  validateCategoryFields,
} from './policy-limits.engine';
export { readStoredParams, resolveParams, validateThresholdParams } from './threshold-params.engine';
export {
  collectSignalsFromEvaluation,
  createThresholdSignalRecord,
  LLMRunEvaluator,
  LLMRunEvaluatorSync,
  LLMRunThresholdResolver,
  LLMRunThresholdResolverSync,
} from './threshold.engine';
