import {
  type JsonObject,
  type JsonValue,
  REPLAY_MODES,
  type ReplayMode,
  TRACE_STATUSES,
  type TraceStatus,
} from '@hoc/shared/kernel';
import { Column, Entity, PrimaryColumn } from 'typeorm';
import { charLength, charLengthAtMost, declareTable, index, notNegative, oneOf, updateGuard } from './catalogue';
import { AOS_TRACES_GUARD_SOURCE } from './migrations/1700000000004-shared-aos-traces.migration';

/**
 * The trace of a run: what was planned and done, with its hashes. A trigger lets only the outcome, the incident, the
 * violation and replay columns and `metadata` change, and a NULL `agent_id` be filled.
 */
@Entity('aos_traces', { synchronize: false })
export class AosTraceEntity {
  @PrimaryColumn({ name: 'tenant_id', type: 'text', primaryKeyConstraintName: 'pk_aos_traces' })
  tenantId!: string;
  @PrimaryColumn({ name: 'trace_id', type: 'text', primaryKeyConstraintName: 'pk_aos_traces' })
  traceId!: string;
  /** No foreign key: a trace may arrive before its run. */
  @Column({ name: 'run_id', type: 'text', nullable: false })
  runId!: string;
  @Column({ name: 'correlation_id', type: 'text', nullable: false })
  correlationId!: string;
  @Column({ name: 'agent_id', type: 'text', nullable: true })
  agentId!: string | null;
  @Column({ name: 'plan_id', type: 'text', nullable: true })
  planId!: string | null;
  @Column({ name: 'seed', type: 'bigint', nullable: true, default: 42 })
  seed!: string | null;
  @Column({ name: 'frozen_timestamp', type: 'text', nullable: true })
  frozenTimestamp!: string | null;
  @Column({ name: 'root_hash', type: 'text', nullable: false })
  rootHash!: string;
  @Column({ name: 'plan_hash', type: 'text', nullable: true })
  planHash!: string | null;
  @Column({ name: 'checksum', type: 'text', nullable: true })
  checksum!: string | null;
  @Column({ name: 'schema_version', type: 'text', nullable: false, default: '1.1' })
  schemaVersion!: string;
  @Column({ name: 'plan', type: 'jsonb', nullable: false })
  plan!: JsonValue;
  @Column({ name: 'trace', type: 'jsonb', nullable: false })
  trace!: JsonValue;
  @Column({ name: 'metadata', type: 'jsonb', nullable: true, default: {} })
  metadata!: JsonObject | null;
  @Column({ name: 'status', type: 'text', nullable: false, default: 'running' })
  status!: TraceStatus;
  @Column({ name: 'started_at', type: 'timestamptz', nullable: false })
  startedAt!: Date;
  @Column({ name: 'created_at', type: 'timestamptz', nullable: false })
  createdAt!: Date;
  @Column({ name: 'completed_at', type: 'timestamptz', nullable: true })
  completedAt!: Date | null;
  @Column({ name: 'stored_by', type: 'text', nullable: true })
  storedBy!: string | null;
  @Column({ name: 'incident_id', type: 'text', nullable: true })
  incidentId!: string | null;
  @Column({ name: 'violation_step_index', type: 'integer', nullable: true })
  violationStepIndex!: number | null;
  @Column({ name: 'violation_timestamp', type: 'timestamptz', nullable: true })
  violationTimestamp!: Date | null;
  @Column({ name: 'violation_policy_id', type: 'text', nullable: true })
  violationPolicyId!: string | null;
  @Column({ name: 'violation_reason', type: 'text', nullable: true })
  violationReason!: string | null;
  @Column({ name: 'replay_mode', type: 'text', nullable: true })
  replayMode!: ReplayMode | null;
  @Column({ name: 'replay_attempt_id', type: 'text', nullable: true })
  replayAttemptId!: string | null;
  @Column({ name: 'replay_artifact_version', type: 'text', nullable: true })
  replayArtifactVersion!: string | null;
  @Column({ name: 'trace_completeness_status', type: 'text', nullable: true })
  traceCompletenessStatus!: string | null;
  @Column({ name: 'is_synthetic', type: 'boolean', nullable: false, default: false })
  isSynthetic!: boolean;
  @Column({ name: 'synthetic_scenario_id', type: 'text', nullable: true })
  syntheticScenarioId!: string | null;
}

/** `aos_traces` beyond its entity (spec activity B.4). */
export const aosTracesCatalogue = declareTable({
  table: 'aos_traces',
  bytewise: [
    ...['tenant_id', 'trace_id', 'run_id', 'correlation_id', 'agent_id', 'plan_id', 'incident_id'],
    ...['violation_policy_id', 'replay_attempt_id', 'synthetic_scenario_id', 'root_hash'],
  ],
  checks: [
    charLength(1, 100, 'tenant_id', 'trace_id', 'run_id', 'correlation_id'),
    charLength(1, 64, 'root_hash'),
    charLengthAtMost(100, 'agent_id', 'plan_id', 'stored_by', 'incident_id'),
    charLengthAtMost(100, 'violation_policy_id', 'synthetic_scenario_id'),
    charLengthAtMost(64, 'frozen_timestamp', 'plan_hash', 'checksum', 'replay_attempt_id', 'replay_artifact_version'),
    charLengthAtMost(16, 'schema_version'),
    charLengthAtMost(512, 'violation_reason'),
    charLengthAtMost(30, 'trace_completeness_status'),
    oneOf('status', TRACE_STATUSES),
    oneOf('replay_mode', REPLAY_MODES),
    notNegative('violation_step_index'),
  ],
  foreignKeys: [
    { name: 'fk_aos_traces_tenant', definition: 'FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE RESTRICT' },
  ],
  indexes: [
    index('ix_aos_traces_tenant_run', '(tenant_id, run_id, created_at, trace_id)', 'proof of a run'),
    index('ix_aos_traces_tenant_created', '(tenant_id, created_at)', 'reads of analytics'),
    index('ix_aos_traces_tenant_root_hash', '(tenant_id, root_hash)', 'a trace by its root hash'),
    index(
      'ix_aos_traces_tenant_violation',
      '(tenant_id, violation_step_index) WHERE violation_step_index IS NOT NULL',
      'traces with a violation',
    ),
  ],
  triggers: [updateGuard('aos_traces_immutable_guard', 'hoc_aos_traces_guard')],
  functions: [{ name: 'hoc_aos_traces_guard', source: AOS_TRACES_GUARD_SOURCE }],
});
