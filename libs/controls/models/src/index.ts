import { type CatalogueDeclaration, type SystemWideIndex, systemWideIndexes } from '@hoc/shared/models';
import type { MigrationInterface } from 'typeorm';
import { ControlsLimitIntegrity1700000003001 } from './migrations/1700000003001-controls-limit-integrity.migration';
import { ControlsDecisions1700000003002 } from './migrations/1700000003002-controls-decisions.migration';
import { ControlsOpsEvents1700000003003 } from './migrations/1700000003003-controls-ops-events.migration';
import { ControlsCircuitBreaker1700000003004 } from './migrations/1700000003004-controls-circuit-breaker.migration';
import { ControlsScopedExecution1700000003005 } from './migrations/1700000003005-controls-scoped-execution.migration';
import { ControlsBudgetReservations1700000003006 } from './migrations/1700000003006-controls-budget-reservations.migration';
import { ControlsEvaluationEvidence1700000003007 } from './migrations/1700000003007-controls-evaluation-evidence.migration';
import { ControlsScopeSettlement1700000003008 } from './migrations/1700000003008-controls-scope-settlement.migration';
import { limitIntegrityCatalogue, LimitIntegrityEntity } from './limit-integrity.entity';
import { DecisionRecordEntity, decisionRecordsCatalogue } from './decision-record.entity';
import { provenancesCatalogue, RunProvenanceEntity } from './run-provenance.entity';
import { opsEventCatalogue, OpsEventEntity } from './ops-event.entity';
import { CostSimCBIncidentEntity, costSimCBIncidentsCatalogue } from './costsim-cb-incident.entity';
import { costSimCBStateCatalogue, CostSimCBStateEntity } from './costsim-cb-state.entity';
import { costSimAlertQueueCatalogue, CostSimAlertQueueEntity } from './costsim-alert-queue.entity';
import { statusHistoryCatalogue, StatusHistoryEntity } from './status-history.entity';
import { ExecutionScopeEntity, executionScopesCatalogue } from './execution-scope.entity';
import { ExecutionScopeAttemptEntity, executionScopeAttemptsCatalogue } from './execution-scope-attempt.entity';
import { BudgetWindowEntity, budgetWindowsCatalogue } from './budget-window.entity';
import { BudgetReservationEntity, budgetReservationsCatalogue } from './budget-reservation.entity';
import {
  controlsEvaluationEvidenceCatalogue,
  ControlsEvaluationEvidenceEntity,
} from './controls-evaluation-evidence.entity';

export { ControlsLimitIntegrity1700000003001 } from './migrations/1700000003001-controls-limit-integrity.migration';
export { ControlsDecisions1700000003002 } from './migrations/1700000003002-controls-decisions.migration';
export { ControlsOpsEvents1700000003003 } from './migrations/1700000003003-controls-ops-events.migration';
export { ControlsCircuitBreaker1700000003004 } from './migrations/1700000003004-controls-circuit-breaker.migration';
export { ControlsScopedExecution1700000003005 } from './migrations/1700000003005-controls-scoped-execution.migration';
export { ControlsBudgetReservations1700000003006 } from './migrations/1700000003006-controls-budget-reservations.migration';
export { ControlsEvaluationEvidence1700000003007 } from './migrations/1700000003007-controls-evaluation-evidence.migration';
export { ControlsScopeSettlement1700000003008 } from './migrations/1700000003008-controls-scope-settlement.migration';
export { limitIntegrityCatalogue, LimitIntegrityEntity } from './limit-integrity.entity';
export { DecisionRecordEntity, decisionRecordsCatalogue } from './decision-record.entity';
export { provenancesCatalogue, RunProvenanceEntity } from './run-provenance.entity';
export { opsEventCatalogue, OpsEventEntity } from './ops-event.entity';
export { CostSimCBIncidentEntity, costSimCBIncidentsCatalogue } from './costsim-cb-incident.entity';
export { costSimCBStateCatalogue, CostSimCBStateEntity } from './costsim-cb-state.entity';
export { costSimAlertQueueCatalogue, CostSimAlertQueueEntity } from './costsim-alert-queue.entity';
export { statusHistoryCatalogue, StatusHistoryEntity } from './status-history.entity';
export { ExecutionScopeEntity, executionScopesCatalogue } from './execution-scope.entity';
export { ExecutionScopeAttemptEntity, executionScopeAttemptsCatalogue } from './execution-scope-attempt.entity';
export { BudgetWindowEntity, budgetWindowsCatalogue } from './budget-window.entity';
export { BudgetReservationEntity, budgetReservationsCatalogue } from './budget-reservation.entity';
export {
  controlsEvaluationEvidenceCatalogue,
  ControlsEvaluationEvidenceEntity,
} from './controls-evaluation-evidence.entity';

type Class<T = object> = new () => T;

/** Entities that this package brings along; every other table that it reads and writes is a shared one. */
export const entities: readonly Class[] = Object.freeze([
  LimitIntegrityEntity,
  DecisionRecordEntity,
  RunProvenanceEntity,
  OpsEventEntity,
  CostSimCBIncidentEntity,
  CostSimCBStateEntity,
  CostSimAlertQueueEntity,
  StatusHistoryEntity,
  ExecutionScopeEntity,
  ExecutionScopeAttemptEntity,
  BudgetWindowEntity,
  BudgetReservationEntity,
  ControlsEvaluationEvidenceEntity,
]);
/** Migrations of {@link entities}, in the order of their numbers. */
export const migrations: readonly Class<MigrationInterface>[] = Object.freeze([
  ControlsLimitIntegrity1700000003001,
  ControlsDecisions1700000003002,
  ControlsOpsEvents1700000003003,
  ControlsCircuitBreaker1700000003004,
  ControlsScopedExecution1700000003005,
  ControlsBudgetReservations1700000003006,
  ControlsEvaluationEvidence1700000003007,
  ControlsScopeSettlement1700000003008,
]);
/** What {@link entities} can't say of their tables; a table stands behind those that it references. */
export const catalogue: readonly CatalogueDeclaration[] = Object.freeze([
  limitIntegrityCatalogue,
  decisionRecordsCatalogue,
  provenancesCatalogue,
  opsEventCatalogue,
  costSimCBIncidentsCatalogue,
  costSimCBStateCatalogue,
  costSimAlertQueueCatalogue,
  statusHistoryCatalogue,
  executionScopesCatalogue,
  executionScopeAttemptsCatalogue,
  budgetWindowsCatalogue,
  budgetReservationsCatalogue,
  controlsEvaluationEvidenceCatalogue,
]);
/** The indexes of {@link entities} that don't lead with `tenant_id`, each with the system-wide call that it serves. */
export const SYSTEM_WIDE_INDEXES: readonly SystemWideIndex[] = Object.freeze(systemWideIndexes(catalogue));
