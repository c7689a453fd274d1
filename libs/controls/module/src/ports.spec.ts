import type {
  BudgetEnforcementDriver,
  BudgetReservationDriver,
  CircuitBreaker,
  getAlertQueue,
  getEvaluationEvidenceDriver,
  getLimitBreachDriver,
  getScopes,
  getThresholdSignals,
  LimitOverrideService,
  LimitsReadDriver,
  PolicyLimitsDriver,
  sharedRunsRiskSink,
  ThresholdDriver,
} from '@hoc/controls/drivers';
import type {
  AlertDeliveryEngines,
  BreakerDriver,
  BudgetHaltPort,
  ChargeEngines,
  ControlsEngines,
  ControlsServices,
  ControlsSweepEngines,
  LimitsDriver,
  LimitsReader,
  OverrideLifecycleEngines,
} from '@hoc/controls/engines';
import type {
  AlertQueuePort,
  BreakerControlPort,
  BudgetReservationPort,
  EvaluationEvidencePort,
  LimitBreachPort,
  OverridePort,
  OverridesInEffectPort,
  RunRiskSink,
  ScopePort,
  ThresholdDriverProtocol,
  ThresholdDriverSyncProtocol,
  ThresholdSignalPort,
} from '@hoc/controls/schemas';
import type { HocServices } from '@hoc/shared/spine';

/** Compiles only where the first is assignable to the second. */
type Fits<Made extends Port, Port> = Made;
/** The same, and neither has a public member that the other hasn't. */
type Is<Made extends Port, Port> = [keyof Made, keyof Port] extends [keyof Port, keyof Made] ? Made : never;
/** `true` where none of the entries is `never`. */
type All<Entries extends object> = {
  readonly [K in keyof Entries]: [Entries[K]] extends [never] ? false : true;
};

/** What stands behind each port of `schemas`, member by member. */
interface Ports {
  readonly OverridePort: Is<LimitOverrideService, OverridePort>;
  readonly ScopePort: Is<ReturnType<typeof getScopes>, ScopePort>;
  readonly BudgetReservationPort: Is<BudgetReservationDriver, BudgetReservationPort>;
  readonly LimitBreachPort: Is<ReturnType<typeof getLimitBreachDriver>, LimitBreachPort>;
  readonly EvaluationEvidencePort: Is<ReturnType<typeof getEvaluationEvidenceDriver>, EvaluationEvidencePort>;
  readonly ThresholdSignalPort: Is<ReturnType<typeof getThresholdSignals>, ThresholdSignalPort>;
  readonly AlertQueuePort: Is<ReturnType<typeof getAlertQueue>, AlertQueuePort>;
  readonly RunRiskSink: Is<ReturnType<typeof sharedRunsRiskSink>, RunRiskSink>;
}

/** Ports that ask for a part of their driver. */
interface Parts {
  readonly BreakerControlPort: Fits<CircuitBreaker, BreakerControlPort>;
  readonly BreakerDriver: Fits<CircuitBreaker, BreakerDriver>;
  readonly BudgetHaltPort: Fits<BudgetEnforcementDriver, BudgetHaltPort>;
  readonly LimitsReader: Fits<LimitsReadDriver, LimitsReader>;
  readonly LimitsDriver: Fits<PolicyLimitsDriver, LimitsDriver>;
  readonly OverridesInEffectPort: Fits<OverridePort, OverridesInEffectPort>;
  readonly ThresholdDriverProtocol: Fits<ThresholdDriver, ThresholdDriverProtocol>;
  readonly ThresholdDriverSyncProtocol: Fits<ThresholdDriver, ThresholdDriverSyncProtocol>;
}

/** What the services ask of a transaction, and what the spine asks of the services. */
interface Services {
  readonly OverrideLifecycleEngines: Fits<ControlsEngines, OverrideLifecycleEngines>;
  readonly AlertDeliveryEngines: Fits<ControlsEngines, AlertDeliveryEngines>;
  readonly ChargeEngines: Fits<ControlsEngines, ChargeEngines>;
  readonly ControlsSweepEngines: Fits<ControlsEngines, ControlsSweepEngines>;
  readonly HocServices: Fits<ControlsServices, HocServices>;
}

// What is tested is that this file compiles: a driver that loses, renames or changes a method of its port breaks it.
it('E.0: each driver is what its port says, member by member', () => {
  const ports: All<Ports> = {
    ...{ OverridePort: true, ScopePort: true, BudgetReservationPort: true, LimitBreachPort: true },
    ...{ EvaluationEvidencePort: true, ThresholdSignalPort: true, AlertQueuePort: true, RunRiskSink: true },
  };
  expect(Object.values(ports)).toEqual(Array.from({ length: 8 }, () => true));
});

it('E.0: each driver, and each transaction, has what the engines ask of it', () => {
  const parts: All<Parts & Services> = {
    ...{ BreakerControlPort: true, BreakerDriver: true, BudgetHaltPort: true, LimitsReader: true },
    ...{ LimitsDriver: true, OverridesInEffectPort: true, ThresholdDriverProtocol: true },
    ...{ ThresholdDriverSyncProtocol: true, OverrideLifecycleEngines: true, AlertDeliveryEngines: true },
    ...{ ChargeEngines: true, ControlsSweepEngines: true, HocServices: true },
  };
  expect(Object.values(parts)).toEqual(Array.from({ length: 13 }, () => true));
});
