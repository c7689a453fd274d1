import {
  ACTOR_TYPES,
  type ActorType,
  AUTHORIZATION_DECISIONS,
  type AuthorizationDecision,
  EVIDENCE_HEALTH,
  type EvidenceHealth,
  INTEGRITY_STATUSES,
  type IntegrityStatus,
  type JsonObject,
  type JsonValue,
  LATENCY_BUCKETS,
  type LatencyBucket,
  OBSERVABILITY_STATUSES,
  type ObservabilityStatus,
  RISK_LEVELS,
  type RiskLevel,
  RUN_PROVIDER_TYPES,
  RUN_SOURCES,
  RUN_STATES,
  RUN_STATUSES,
  RUN_TERMINATION_REASONS,
  type RunProviderType,
  type RunSource,
  type RunState,
  type RunStatus,
  type RunTerminationReason,
} from '@hoc/shared/kernel';
import { Column, Entity, PrimaryColumn } from 'typeorm';
import {
  charLength,
  charLengthAtMost,
  declareTable,
  index,
  notNegative,
  notNegativeNumeric,
  oneOf,
  rule,
  unique,
} from './catalogue';

/**
 * One run of an agent: queued | retry → running; running → retry | succeeded; queued, running, retry → failed |
 * failed_policy | cancelled | halted. The terminal ones never change, but `risk_level` may still rise.
 */
@Entity('runs', { synchronize: false })
export class RunEntity {
  @PrimaryColumn({ name: 'tenant_id', type: 'text', primaryKeyConstraintName: 'pk_runs' })
  tenantId!: string;
  @PrimaryColumn({ name: 'id', type: 'text', primaryKeyConstraintName: 'pk_runs' })
  id!: string;
  @Column({ name: 'agent_id', type: 'text', nullable: false })
  agentId!: string;
  @Column({ name: 'actor_type', type: 'text', nullable: false, default: 'SYSTEM' })
  actorType!: ActorType;
  /** Exactly with HUMAN. */
  @Column({ name: 'actor_id', type: 'text', nullable: true })
  actorId!: string | null;
  @Column({ name: 'origin_system_id', type: 'text', nullable: false })
  originSystemId!: string;
  @Column({ name: 'goal', type: 'text', nullable: false })
  goal!: string;
  @Column({ name: 'status', type: 'text', nullable: false, default: 'queued' })
  status!: RunStatus;
  /** LIVE exactly while the status is queued, running or retry. */
  @Column({ name: 'state', type: 'text', nullable: false, default: 'LIVE' })
  state!: RunState;
  @Column({ name: 'attempts', type: 'integer', nullable: false, default: 0 })
  attempts!: number;
  @Column({ name: 'max_attempts', type: 'integer', nullable: false, default: 3 })
  maxAttempts!: number;
  @Column({ name: 'error_message', type: 'text', nullable: true })
  errorMessage!: string | null;
  @Column({ name: 'plan_json', type: 'jsonb', nullable: true })
  planJson!: JsonObject | null;
  @Column({ name: 'tool_calls_json', type: 'jsonb', nullable: true })
  toolCallsJson!: JsonValue | null;
  @Column({ name: 'idempotency_key', type: 'text', nullable: true })
  idempotencyKey!: string | null;
  @Column({ name: 'parent_run_id', type: 'text', nullable: true })
  parentRunId!: string | null;
  @Column({ name: 'priority', type: 'integer', nullable: false, default: 0 })
  priority!: number;
  @Column({ name: 'project_id', type: 'text', nullable: true })
  projectId!: string | null;
  @Column({ name: 'source', type: 'text', nullable: false, default: 'agent' })
  source!: RunSource;
  @Column({ name: 'provider_type', type: 'text', nullable: false, default: 'anthropic' })
  providerType!: RunProviderType;
  @Column({ name: 'risk_level', type: 'text', nullable: false, default: 'NORMAL' })
  riskLevel!: RiskLevel;
  @Column({ name: 'latency_bucket', type: 'text', nullable: false, default: 'OK' })
  latencyBucket!: LatencyBucket;
  @Column({ name: 'evidence_health', type: 'text', nullable: false, default: 'FLOWING' })
  evidenceHealth!: EvidenceHealth;
  @Column({ name: 'integrity_status', type: 'text', nullable: false, default: 'UNKNOWN' })
  integrityStatus!: IntegrityStatus;
  @Column({ name: 'incident_count', type: 'integer', nullable: false, default: 0 })
  incidentCount!: number;
  @Column({ name: 'policy_draft_count', type: 'integer', nullable: false, default: 0 })
  policyDraftCount!: number;
  @Column({ name: 'policy_violation', type: 'boolean', nullable: false, default: false })
  policyViolation!: boolean;
  @Column({ name: 'input_tokens', type: 'bigint', nullable: true })
  inputTokens!: string | null;
  @Column({ name: 'output_tokens', type: 'bigint', nullable: true })
  outputTokens!: string | null;
  /** Cents. */
  @Column({ name: 'estimated_cost_cents', type: 'numeric', precision: 20, scale: 6, nullable: true })
  estimatedCostCents!: string | null;
  @Column({ name: 'expected_latency_ms', type: 'bigint', nullable: true })
  expectedLatencyMs!: string | null;
  @Column({ name: 'duration_ms', type: 'bigint', nullable: true })
  durationMs!: string | null;
  @Column({ name: 'authorization_decision', type: 'text', nullable: true, default: 'GRANTED' })
  authorizationDecision!: AuthorizationDecision | null;
  @Column({ name: 'authorization_engine', type: 'text', nullable: true })
  authorizationEngine!: string | null;
  @Column({ name: 'authorization_context', type: 'jsonb', nullable: true })
  authorizationContext!: JsonObject | null;
  @Column({ name: 'authorized_at', type: 'timestamptz', nullable: true })
  authorizedAt!: Date | null;
  @Column({ name: 'authorized_by', type: 'text', nullable: true })
  authorizedBy!: string | null;
  @Column({ name: 'policy_snapshot_id', type: 'text', nullable: true })
  policySnapshotId!: string | null;
  @Column({ name: 'termination_reason', type: 'text', nullable: true })
  terminationReason!: RunTerminationReason | null;
  @Column({ name: 'stopped_at_step', type: 'integer', nullable: true })
  stoppedAtStep!: number | null;
  @Column({ name: 'violation_policy_id', type: 'text', nullable: true })
  violationPolicyId!: string | null;
  @Column({ name: 'observability_status', type: 'text', nullable: false, default: 'FULL' })
  observabilityStatus!: ObservabilityStatus;
  @Column({ name: 'observability_error', type: 'text', nullable: true })
  observabilityError!: string | null;
  @Column({ name: 'is_synthetic', type: 'boolean', nullable: false, default: false })
  isSynthetic!: boolean;
  @Column({ name: 'synthetic_scenario_id', type: 'text', nullable: true })
  syntheticScenarioId!: string | null;
  @Column({ name: 'created_at', type: 'timestamptz', nullable: false })
  createdAt!: Date;
  @Column({ name: 'started_at', type: 'timestamptz', nullable: true })
  startedAt!: Date | null;
  @Column({ name: 'last_seen_at', type: 'timestamptz', nullable: true })
  lastSeenAt!: Date | null;
  @Column({ name: 'completed_at', type: 'timestamptz', nullable: true })
  completedAt!: Date | null;
  @Column({ name: 'next_attempt_at', type: 'timestamptz', nullable: true })
  nextAttemptAt!: Date | null;
  @Column({ name: 'updated_at', type: 'timestamptz', nullable: false })
  updatedAt!: Date;
}

// Sort keys with a sentinel for NULL, so that one index serves both directions and a row comparison can continue a page.
const STARTED = `(COALESCE(started_at, '-infinity'::timestamptz)) DESC, id DESC`;
const COMPLETED = `(COALESCE(completed_at, '-infinity'::timestamptz)) DESC, id DESC`;
const DURATION = `(COALESCE(duration_ms, -1)) DESC, id DESC`;
const RISK = `(CASE risk_level WHEN 'VIOLATED' THEN 3 WHEN 'AT_RISK' THEN 2 WHEN 'NEAR_THRESHOLD' THEN 1 ELSE 0 END) DESC, id DESC`;
const NEEDS_ATTENTION = `WHERE risk_level <> 'NORMAL' OR incident_count > 0 OR policy_violation`;

/** `runs` beyond its entity (spec activity B.2). */
export const runsCatalogue = declareTable({
  table: 'runs',
  bytewise: [
    ...['tenant_id', 'id', 'agent_id', 'actor_id', 'origin_system_id', 'idempotency_key', 'parent_run_id'],
    ...['project_id', 'policy_snapshot_id', 'violation_policy_id', 'synthetic_scenario_id'],
  ],
  checks: [
    charLength(1, 100, 'tenant_id', 'id', 'actor_id', 'parent_run_id', 'project_id'),
    rule('agent_id', `char_length(agent_id) BETWEEN 1 AND 100 AND agent_id <> 'legacy-unknown'`),
    rule(
      'origin_system_id',
      `char_length(origin_system_id) BETWEEN 1 AND 100 AND origin_system_id <> 'legacy-migration'`,
    ),
    oneOf('actor_type', ACTOR_TYPES),
    rule('actor', `(actor_type = 'HUMAN') = (actor_id IS NOT NULL) AND actor_id <> ''`),
    oneOf('status', RUN_STATUSES),
    oneOf('state', RUN_STATES),
    rule('state_matches_status', `(state = 'LIVE') = (status IN ('queued', 'running', 'retry'))`),
    charLength(1, 255, 'idempotency_key'),
    oneOf('source', RUN_SOURCES),
    oneOf('provider_type', RUN_PROVIDER_TYPES),
    oneOf('risk_level', RISK_LEVELS),
    oneOf('latency_bucket', LATENCY_BUCKETS),
    oneOf('evidence_health', EVIDENCE_HEALTH),
    oneOf('integrity_status', INTEGRITY_STATUSES),
    oneOf('authorization_decision', AUTHORIZATION_DECISIONS),
    oneOf('termination_reason', RUN_TERMINATION_REASONS),
    oneOf('observability_status', OBSERVABILITY_STATUSES),
    notNegative('attempts', 'incident_count', 'policy_draft_count', 'input_tokens', 'output_tokens'),
    notNegative('expected_latency_ms', 'duration_ms', 'stopped_at_step'),
    rule('max_attempts', 'max_attempts >= 1'),
    notNegativeNumeric('estimated_cost_cents'),
    charLengthAtMost(100, 'authorization_engine', 'authorized_by', 'policy_snapshot_id', 'violation_policy_id'),
    charLengthAtMost(100, 'synthetic_scenario_id'),
  ],
  foreignKeys: [
    { name: 'fk_runs_tenant', definition: 'FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE RESTRICT' },
    {
      name: 'fk_runs_parent',
      definition:
        'FOREIGN KEY (tenant_id, parent_run_id) REFERENCES runs (tenant_id, id) ON DELETE SET NULL (parent_run_id)',
    },
  ],
  indexes: [
    index('ix_runs_tenant_started', `(tenant_id, ${STARTED})`, 'default page, started range'),
    index('ix_runs_tenant_state_started', `(tenant_id, state, ${STARTED})`, 'live and completed pages'),
    index('ix_runs_tenant_completed', `(tenant_id, ${COMPLETED})`, 'completed range and sort'),
    index('ix_runs_tenant_duration', `(tenant_id, ${DURATION})`, 'sort by duration'),
    index('ix_runs_tenant_risk_rank', `(tenant_id, ${RISK})`, 'sort by risk'),
    index('ix_runs_tenant_attention', `(tenant_id, ${STARTED}) ${NEEDS_ATTENTION}`, 'fetchAtRiskRuns, atRiskOnly'),
    index('ix_runs_tenant_project_started', `(tenant_id, project_id, ${STARTED})`, 'project filter'),
    index('ix_runs_tenant_status', '(tenant_id, status)', 'status summary (index-only), status filter'),
    index('ix_runs_tenant_agent', '(tenant_id, agent_id)', 'dimension agentId'),
    index('ix_runs_tenant_provider', '(tenant_id, provider_type)', 'dimension providerType'),
    index('ix_runs_tenant_created', '(tenant_id, created_at)', 'usage series of analytics'),
    index('ix_runs_parent', '(tenant_id, parent_run_id) WHERE parent_run_id IS NOT NULL', 'fk_runs_parent'),
    unique(
      'uq_runs_tenant_idempotency',
      '(tenant_id, idempotency_key) WHERE idempotency_key IS NOT NULL',
      'replays of a submission',
    ),
    index('ix_runs_status_halted', `(tenant_id, id) WHERE status = 'halted'`, 'budget halts of controls'),
  ],
});
