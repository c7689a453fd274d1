import type { AtRiskRunRow, RunDetailRow, RunSummaryRow, RunWithPolicyRow } from '@hoc/activity/schemas';
import {
  ACTOR_TYPES,
  EVIDENCE_HEALTH,
  fromPgNumeric,
  INTEGRITY_STATUSES,
  LATENCY_BUCKETS,
  OBSERVABILITY_STATUSES,
  RISK_LEVELS,
  RUN_PROVIDER_TYPES,
  RUN_SOURCES,
  RUN_STATES,
  RUN_STATUSES,
  RUN_TERMINATION_REASONS,
  toSafeInteger,
} from '@hoc/shared/kernel';
import { frozenWith, storedValue } from '@hoc/shared/drivers';
import type { PolicyColumns } from './policy-context.query';
import { toPolicyContext } from './policy-context.rows';
import type { RunDetailColumns, RunSummaryColumns } from './run-columns.query';

export const toRunSummary = (row: RunSummaryColumns): RunSummaryRow => Object.freeze(summary(row));

export const toRunWithPolicy = (row: RunSummaryColumns & PolicyColumns): RunWithPolicyRow =>
  frozenWith(summary(row), { policyContext: toPolicyContext(row) });

export const toRunDetail = (row: RunDetailColumns): RunDetailRow =>
  frozenWith(summary(row), {
    agentId: row.agent_id,
    actorType: storedValue(row.actor_type, ACTOR_TYPES, 'actorType'),
    actorId: row.actor_id,
    originSystemId: row.origin_system_id,
    goal: row.goal,
    errorMessage: row.error_message,
    attempts: row.attempts,
    maxAttempts: row.max_attempts,
    parentRunId: row.parent_run_id,
    priority: row.priority,
    expectedLatencyMs: integer(row.expected_latency_ms, 'expectedLatencyMs'),
    terminationReason:
      row.termination_reason === null
        ? null
        : storedValue(row.termination_reason, RUN_TERMINATION_REASONS, 'terminationReason'),
    stoppedAtStep: row.stopped_at_step,
    violationPolicyId: row.violation_policy_id,
    policySnapshotId: row.policy_snapshot_id,
    observabilityStatus: storedValue(row.observability_status, OBSERVABILITY_STATUSES, 'observabilityStatus'),
    syntheticScenarioId: row.synthetic_scenario_id,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  });

/** The columns of a run at risk. */
export type AtRiskColumns = RunSummaryColumns & PolicyColumns & { readonly created_at: Date };

export const toAtRiskRun = (row: AtRiskColumns): AtRiskRunRow =>
  Object.freeze({
    runId: row.id,
    tenantId: row.tenant_id,
    projectId: row.project_id,
    isSynthetic: row.is_synthetic,
    source: storedValue(row.source, RUN_SOURCES, 'source'),
    providerType: storedValue(row.provider_type, RUN_PROVIDER_TYPES, 'providerType'),
    state: storedValue(row.state, RUN_STATES, 'state'),
    status: storedValue(row.status, RUN_STATUSES, 'status'),
    startedAt: row.started_at,
    createdAt: row.created_at,
    riskLevel: storedValue(row.risk_level, RISK_LEVELS, 'riskLevel'),
    evidenceHealth: storedValue(row.evidence_health, EVIDENCE_HEALTH, 'evidenceHealth'),
    incidentCount: row.incident_count,
    policyViolation: row.policy_violation,
    policyContext: toPolicyContext(row),
  });

const summary = (row: RunSummaryColumns): RunSummaryRow => ({
  runId: row.id,
  tenantId: row.tenant_id,
  projectId: row.project_id,
  isSynthetic: row.is_synthetic,
  source: storedValue(row.source, RUN_SOURCES, 'source'),
  providerType: storedValue(row.provider_type, RUN_PROVIDER_TYPES, 'providerType'),
  state: storedValue(row.state, RUN_STATES, 'state'),
  status: storedValue(row.status, RUN_STATUSES, 'status'),
  startedAt: row.started_at,
  lastSeenAt: row.last_seen_at,
  completedAt: row.completed_at,
  durationMs: integer(row.duration_ms, 'durationMs'),
  riskLevel: storedValue(row.risk_level, RISK_LEVELS, 'riskLevel'),
  latencyBucket: storedValue(row.latency_bucket, LATENCY_BUCKETS, 'latencyBucket'),
  evidenceHealth: storedValue(row.evidence_health, EVIDENCE_HEALTH, 'evidenceHealth'),
  integrityStatus: storedValue(row.integrity_status, INTEGRITY_STATUSES, 'integrityStatus'),
  incidentCount: row.incident_count,
  policyDraftCount: row.policy_draft_count,
  policyViolation: row.policy_violation,
  inputTokens: integer(row.input_tokens, 'inputTokens'),
  outputTokens: integer(row.output_tokens, 'outputTokens'),
  estimatedCostCents: fromPgNumeric(row.estimated_cost_cents, 'estimatedCostCents'),
});

/** 0 stays 0: only a missing figure is null. */
const integer = (text: string | null, field: string): number | null =>
  text === null ? null : toSafeInteger(text, field);
