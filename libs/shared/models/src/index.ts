import { AosTraceStepEntity, aosTraceStepsCatalogue } from './aos-trace-step.entity';
import { AosTraceEntity, aosTracesCatalogue } from './aos-trace.entity';
import { type CatalogueDeclaration, type SystemWideIndex, systemWideIndexes } from './catalogue';
import { CusIntegrationEntity, cusIntegrationsCatalogue } from './cus-integration.entity';
import { CusLlmUsageEntity, cusLlmUsageCatalogue } from './cus-llm-usage.entity';
import { CusUsageDailyEntity, cusUsageDailyCatalogue } from './cus-usage-daily.entity';
import { IncidentEntity, incidentsCatalogue } from './incident.entity';
import { LimitBreachEntity, limitBreachesCatalogue } from './limit-breach.entity';
import { LimitOverrideEntity, limitOverridesCatalogue } from './limit-override.entity';
import { LimitEntity, limitsCatalogue } from './limit.entity';
import { RunEntity, runsCatalogue } from './run.entity';
import { TenantEntity, tenantsCatalogue } from './tenant.entity';
import { WorkerRunEntity, workerRunsCatalogue } from './worker-run.entity';

/** The entities of `@hoc/shared`; spread them into a DataSource's `entities`. */
export const entities = Object.freeze([
  TenantEntity,
  RunEntity,
  WorkerRunEntity,
  AosTraceEntity,
  AosTraceStepEntity,
  CusIntegrationEntity,
  CusLlmUsageEntity,
  CusUsageDailyEntity,
  IncidentEntity,
  LimitEntity,
  LimitBreachEntity,
  LimitOverrideEntity,
]);

/** What entity metadata can't say, per table; a table stands behind those that it references. */
export const catalogue: readonly CatalogueDeclaration[] = Object.freeze([
  tenantsCatalogue,
  runsCatalogue,
  workerRunsCatalogue,
  aosTracesCatalogue,
  aosTraceStepsCatalogue,
  cusIntegrationsCatalogue,
  cusLlmUsageCatalogue,
  cusUsageDailyCatalogue,
  incidentsCatalogue,
  limitsCatalogue,
  limitBreachesCatalogue,
  limitOverridesCatalogue,
]);

/** The shared indexes that don't lead with `tenant_id`, each with the system-wide call that it serves. */
export const SYSTEM_WIDE_INDEXES: readonly SystemWideIndex[] = Object.freeze(systemWideIndexes(catalogue));

export {
  AosTraceEntity,
  AosTraceStepEntity,
  CusIntegrationEntity,
  CusLlmUsageEntity,
  CusUsageDailyEntity,
  IncidentEntity,
  LimitBreachEntity,
  LimitEntity,
  LimitOverrideEntity,
  RunEntity,
  TenantEntity,
  WorkerRunEntity,
};
export * from './catalogue';
export { HOC_MIGRATION_RANGES, isHocMigration, migrationNumber, type MigrationRange } from './migration-ranges';
export * from './migrations';
export {
  ACTOR_TYPES,
  AUTHORIZATION_DECISIONS,
  CUS_HEALTH_STATES,
  CUS_INTEGRATION_STATUSES,
  CUS_POLICY_RESULTS,
  CUS_PROVIDER_TYPES,
  EVIDENCE_HEALTH,
  INCIDENT_SEVERITIES,
  INCIDENT_STATUSES,
  INTEGRITY_STATUSES,
  LATENCY_BUCKETS,
  LIMIT_BREACH_TYPES,
  LIMIT_CATEGORIES,
  LIMIT_CONSEQUENCES,
  LIMIT_ENFORCEMENTS,
  LIMIT_SCOPES,
  LIMIT_STATUSES,
  OBSERVABILITY_STATUSES,
  OVERRIDE_STATUSES,
  REPLAY_MODES,
  RESET_PERIODS,
  RISK_LEVELS,
  RUN_PROVIDER_TYPES,
  RUN_SOURCES,
  RUN_STATES,
  RUN_STATUSES,
  RUN_TERMINATION_REASONS,
  TENANT_STATUSES,
  TRACE_LEVELS,
  TRACE_STATUSES,
  TRACE_STEP_SOURCES,
  TRACE_STEP_STATUSES,
  WORKER_RUN_STATUSES,
} from '@hoc/shared/kernel';
