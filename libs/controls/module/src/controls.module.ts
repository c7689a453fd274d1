import {
  CircuitBreaker,
  getAlertQueue,
  getBudgetEnforcementDriver,
  getBudgetReservationDriver,
  getEvaluationEvidenceDriver,
  getLimitBreachDriver,
  getLimitOverrideService,
  getLimitsReadDriver,
  getPolicyLimitsDriver,
  getScopes,
  getThresholdDriver,
  getThresholdSignals,
} from '@hoc/controls/drivers';
import {
  AlertDeliveryEngine,
  BudgetEnforcementEngine,
  type ControlsDeps,
  type ControlsEngines,
  type ControlsRunner,
  type ControlsServices,
  createChargeCoalescer,
  createControlsGuards,
  createControlsSweeps,
  getCircuitBreakerEngine,
  getLimitsQueryEngine,
  getPolicyLimitsService,
  LimitCheckEngine,
  LLMRunEvaluator,
  LLMRunThresholdResolver,
  OverrideLifecycleEngine,
} from '@hoc/controls/engines';
import { catalogue, entities, migrations } from '@hoc/controls/models';
import { systemScope, type UnitOfWorkRunner } from '@hoc/shared/kernel';
import type { HocModule } from '@hoc/shared/spine';
import type { EntityManager } from 'typeorm';

/** What `@hoc/controls` brings to a DataSource, and how its engines and services are made. */
export const controlsModule: HocModule<
  'controls',
  ControlsEngines,
  ControlsServices,
  ControlsDeps<EntityManager>
> = Object.freeze({
  name: 'controls' as const,
  requires: Object.freeze([]),
  entities,
  migrations,
  catalogue,
  compose,
  services,
});

const BREAKER = systemScope('controls: the circuit breaker');
const ALERTS = systemScope('controls: delivery of alerts');
const HALTS = systemScope('controls: decisions of budget halts');

function compose(manager: EntityManager, deps: ControlsDeps<EntityManager>): ControlsEngines {
  const limits = getLimitsReadDriver(manager, deps);
  const overrides = getLimitOverrideService(manager, deps);
  const { onUnavailable, ...options } = deps.breaker ?? {};
  const breaker = new CircuitBreaker(manager, BREAKER, deps, options);
  return Object.freeze({
    limits: getLimitsQueryEngine(limits),
    checks: new LimitCheckEngine(limits, overrides, deps),
    policyLimits: getPolicyLimitsService(getPolicyLimitsDriver(manager, deps), deps.limitAudit?.(manager)),
    overrides,
    thresholds: new LLMRunEvaluator(new LLMRunThresholdResolver(getThresholdDriver(manager)), deps),
    signals: getThresholdSignals(manager, deps, deps.riskSink?.(manager)),
    breaker: getCircuitBreakerEngine(breaker, onUnavailable === undefined ? {} : { onUnavailable }),
    breakerControl: breaker,
    budgets: new BudgetEnforcementEngine(getBudgetEnforcementDriver(manager, HALTS, deps)),
    scopes: getScopes(manager, deps),
    reservations: getBudgetReservationDriver(manager, deps),
    breaches: getLimitBreachDriver(manager, deps),
    evidence: getEvaluationEvidenceDriver(manager, deps),
    alerts: getAlertQueue(manager, ALERTS, deps),
  });
}

function services(run: UnitOfWorkRunner<EntityManager>, deps: ControlsDeps<EntityManager>): ControlsServices {
  const inTransaction: ControlsRunner = (work) => run((manager) => work(compose(manager, deps)));
  const overrideLifecycle = new OverrideLifecycleEngine(inTransaction);
  const alerts = new AlertDeliveryEngine(inTransaction, deps.alertTransport, deps);
  const charges = createChargeCoalescer(inTransaction, deps.charges);
  const sweeps = createControlsSweeps(inTransaction);
  let closing: Promise<void> | undefined;
  return Object.freeze({
    overrideLifecycle,
    alerts,
    charges,
    guards: createControlsGuards(inTransaction, deps, deps.breaker?.onUnavailable),
    sweeps,
    close: () =>
      (closing ??= Promise.all([overrideLifecycle.close(), alerts.close(), charges.close(), sweeps.close()]).then(
        () => undefined,
      )),
  });
}
