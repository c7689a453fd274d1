import type {
  AlertQueuePort,
  AlertTransport,
  BreakerControlPort,
  BudgetReservationPort,
  ChargeCoalescerOptions,
  CircuitBreakerOptions,
  EvaluationEvidencePort,
  LimitAuditSink,
  LimitBreachPort,
  OverridePort,
  RunRiskSink,
  ScopePort,
  ThresholdSignalPort,
} from '@hoc/controls/schemas';
import type { DriverDeps, UnitOfWorkRunner } from '@hoc/shared/kernel';
import type { AlertDeliveryEngine } from './alert-delivery.engine';
import type { BudgetEnforcementEngine } from './budget-enforcement.engine';
import type { ChargeCoalescer } from './charge-coalescer.engine';
import type { CircuitBreakerEngine, CircuitBreakerEngineOptions } from './circuit-breaker.engine';
import type { ControlsGuards } from './controls-guards.engine';
import type { ControlsSweeps } from './controls-sweeps.engine';
import type { LimitCheckEngine } from './limit-check.engine';
import type { LimitsQueryEngine } from './limits-query.engine';
import type { OverrideLifecycleEngine } from './override-lifecycle.engine';
import type { PolicyLimitsService } from './policy-limits.engine';
import type { LLMRunEvaluator } from './threshold.engine';

/** What the engines of this package need from the consumer; `Manager` is the transaction's, for a port that writes in it. */
export interface ControlsDeps<Manager> extends DriverDeps {
  /** Which breaker, with which thresholds, and what holds while it can't be asked. */
  readonly breaker?: CircuitBreakerOptions & CircuitBreakerEngineOptions;
  /** Absent: the run's own risk level rises. */
  readonly riskSink?: (manager: Manager) => RunRiskSink;
  /** Absent: no audit of limits is kept. */
  readonly limitAudit?: (manager: Manager) => LimitAuditSink;
  /** Absent: alerts stay in the queue. */
  readonly alertTransport?: AlertTransport;
  readonly charges?: ChargeCoalescerOptions;
}

/** The engines of one transaction. */
export interface ControlsEngines {
  /** Limits as a console lists them. */
  readonly limits: LimitsQueryEngine;
  /** Whether something may happen, asked before it does. */
  readonly checks: LimitCheckEngine;
  /** Making and changing limits. */
  readonly policyLimits: PolicyLimitsService;
  /** Limits raised for a while. */
  readonly overrides: OverridePort;
  /** Which thresholds a run has crossed. */
  readonly thresholds: LLMRunEvaluator;
  /** Puts crossed thresholds on record. */
  readonly signals: ThresholdSignalPort;
  /** The simulator's circuit breaker. */
  readonly breaker: CircuitBreakerEngine;
  /** The same breaker for people and monitors: its state, its incidents, opening and closing it by hand. */
  readonly breakerControl: BreakerControlPort;
  /** Decisions for runs that were stopped for their budget. */
  readonly budgets: BudgetEnforcementEngine;
  /** Scoped execution of recovery actions. */
  readonly scopes: ScopePort;
  /** Budgets that parallel runs can't overspend. */
  readonly reservations: BudgetReservationPort;
  /** History of crossed limits. */
  readonly breaches: LimitBreachPort;
  /** Which controls were in force when a run was evaluated. */
  readonly evidence: EvaluationEvidencePort;
  /** The alerts that wait for delivery. */
  readonly alerts: AlertQueuePort;
}

/** What spans transactions; made once per process. */
export interface ControlsServices {
  readonly overrideLifecycle: OverrideLifecycleEngine;
  readonly alerts: AlertDeliveryEngine;
  /** Charges of many callers at the rate of batches. */
  readonly charges: ChargeCoalescer;
  /** The breaker and the limits, asked so that there is an answer while the database has none. */
  readonly guards: ControlsGuards;
  /** What a scheduler calls. */
  readonly sweeps: ControlsSweeps;
  /** Waits for what runs and for what waits; a second call gives the same promise. */
  close(): Promise<void>;
}

/** One call, one transaction, with the engines on it. */
export type ControlsRunner = UnitOfWorkRunner<ControlsEngines>;
