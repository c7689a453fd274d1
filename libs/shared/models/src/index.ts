import { TenantEntity, TENANTS_CATALOGUE } from './tenant.entity';
import { RunEntity, RUNS_CATALOGUE } from './run.entity';
import { WorkerRunEntity, WORKER_RUNS_CATALOGUE } from './worker-run.entity';
import { AosTraceEntity, AOS_TRACES_CATALOGUE } from './aos-trace.entity';
import { AosTraceStepEntity, AOS_TRACE_STEPS_CATALOGUE } from './aos-trace-step.entity';
import { CusIntegrationEntity, CUS_INTEGRATIONS_CATALOGUE } from './cus-integration.entity';
import { CusLlmUsageEntity, CUS_LLM_USAGE_CATALOGUE } from './cus-llm-usage.entity';
import { CusUsageDailyEntity, CUS_USAGE_DAILY_CATALOGUE } from './cus-usage-daily.entity';
import { IncidentEntity, INCIDENTS_CATALOGUE } from './incident.entity';
import { LimitEntity, LIMITS_CATALOGUE } from './limit.entity';
import { LimitBreachEntity, LIMIT_BREACHES_CATALOGUE } from './limit-breach.entity';
import type { CatalogueDeclaration } from './catalogue';

export { type CatalogueDeclaration, SYSTEM_WIDE_INDEXES, type TriggerDeclaration } from './catalogue';
export { HOC_MIGRATION_RANGES, isHocMigration, migrationNumber, type MigrationRange } from './migration-ranges';
export { migrations } from './migrations';
export {
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
};

/** Entities of the shared tables. */
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
]);

/** What the entities can't say, table by table. */
export const catalogue: readonly CatalogueDeclaration[] = Object.freeze([
  TENANTS_CATALOGUE,
  RUNS_CATALOGUE,
  WORKER_RUNS_CATALOGUE,
  AOS_TRACES_CATALOGUE,
  AOS_TRACE_STEPS_CATALOGUE,
  CUS_INTEGRATIONS_CATALOGUE,
  CUS_LLM_USAGE_CATALOGUE,
  CUS_USAGE_DAILY_CATALOGUE,
  INCIDENTS_CATALOGUE,
  LIMITS_CATALOGUE,
  LIMIT_BREACHES_CATALOGUE,
]);

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
