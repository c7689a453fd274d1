import {
  type JsonValue,
  TRACE_LEVELS,
  TRACE_STEP_SOURCES,
  TRACE_STEP_STATUSES,
  type TraceLevel,
  type TraceStepSource,
  type TraceStepStatus,
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
  updateGuard,
} from './catalogue';
import { AOS_TRACE_STEPS_GUARD_SOURCE } from './migrations/1700000000004-shared-aos-traces.migration';

/** One step of a trace: append-only, a trigger refuses every UPDATE. Reaches its tenant through the trace. */
@Entity('aos_trace_steps', { synchronize: false })
export class AosTraceStepEntity {
  @PrimaryColumn({ name: 'tenant_id', type: 'text', primaryKeyConstraintName: 'pk_aos_trace_steps' })
  tenantId!: string;
  @PrimaryColumn({ name: 'trace_id', type: 'text', primaryKeyConstraintName: 'pk_aos_trace_steps' })
  traceId!: string;
  @PrimaryColumn({ name: 'step_index', type: 'integer', primaryKeyConstraintName: 'pk_aos_trace_steps' })
  stepIndex!: number;
  @Column({ name: 'skill_id', type: 'text', nullable: false })
  skillId!: string;
  @Column({ name: 'skill_name', type: 'text', nullable: false })
  skillName!: string;
  @Column({ name: 'params', type: 'jsonb', nullable: false })
  params!: JsonValue;
  @Column({ name: 'status', type: 'text', nullable: false })
  status!: TraceStepStatus;
  @Column({ name: 'outcome_category', type: 'text', nullable: false })
  outcomeCategory!: string;
  @Column({ name: 'outcome_code', type: 'text', nullable: true })
  outcomeCode!: string | null;
  @Column({ name: 'outcome_data', type: 'jsonb', nullable: true })
  outcomeData!: JsonValue | null;
  /** Cents. */
  @Column({ name: 'cost_cents', type: 'numeric', precision: 20, scale: 6, nullable: false, default: 0 })
  costCents!: string;
  @Column({ name: 'duration_ms', type: 'bigint', nullable: false, default: 0 })
  durationMs!: string;
  @Column({ name: 'retry_count', type: 'integer', nullable: false, default: 0 })
  retryCount!: number;
  @Column({ name: 'input_hash', type: 'text', nullable: true })
  inputHash!: string | null;
  @Column({ name: 'output_hash', type: 'text', nullable: true })
  outputHash!: string | null;
  @Column({ name: 'rng_state_before', type: 'text', nullable: true })
  rngStateBefore!: string | null;
  @Column({ name: 'idempotency_key', type: 'text', nullable: true })
  idempotencyKey!: string | null;
  @Column({ name: 'replay_behavior', type: 'text', nullable: false, default: 'execute' })
  replayBehavior!: string;
  @Column({ name: 'source', type: 'text', nullable: false, default: 'engine' })
  source!: TraceStepSource;
  /** Follows from the status: success, skipped → INFO; retry → WARN; failure → ERROR. */
  @Column({ name: 'level', type: 'text', nullable: false, default: 'INFO' })
  level!: TraceLevel;
  @Column({ name: 'is_synthetic', type: 'boolean', nullable: false, default: false })
  isSynthetic!: boolean;
  @Column({ name: 'synthetic_scenario_id', type: 'text', nullable: true })
  syntheticScenarioId!: string | null;
  @Column({ name: 'timestamp', type: 'timestamptz', nullable: false })
  occurredAt!: Date;
}

/** `aos_trace_steps` beyond its entity (spec activity B.5). */
export const aosTraceStepsCatalogue = declareTable({
  table: 'aos_trace_steps',
  bytewise: ['tenant_id', 'trace_id', 'skill_id', 'idempotency_key', 'synthetic_scenario_id'],
  checks: [
    charLength(1, 100, 'tenant_id', 'trace_id'),
    charLength(1, 128, 'skill_id', 'skill_name'),
    charLength(1, 64, 'outcome_category'),
    charLengthAtMost(64, 'outcome_code', 'input_hash', 'output_hash'),
    charLengthAtMost(128, 'rng_state_before', 'idempotency_key'),
    charLengthAtMost(16, 'replay_behavior'),
    charLengthAtMost(100, 'synthetic_scenario_id'),
    oneOf('status', TRACE_STEP_STATUSES),
    oneOf('source', TRACE_STEP_SOURCES),
    oneOf('level', TRACE_LEVELS),
    rule(
      'level_matches_status',
      `level = CASE status WHEN 'failure' THEN 'ERROR' WHEN 'retry' THEN 'WARN' ELSE 'INFO' END`,
    ),
    notNegative('step_index', 'duration_ms', 'retry_count'),
    notNegativeNumeric('cost_cents'),
  ],
  foreignKeys: [
    {
      name: 'fk_aos_trace_steps_trace',
      definition: 'FOREIGN KEY (tenant_id, trace_id) REFERENCES aos_traces (tenant_id, trace_id) ON DELETE RESTRICT',
    },
  ],
  indexes: [
    index(
      'ix_aos_trace_steps_idempotency',
      '(tenant_id, idempotency_key) WHERE idempotency_key IS NOT NULL',
      'a step by its idempotency key',
    ),
    index('ix_aos_trace_steps_level', '(tenant_id, trace_id, level)', 'steps of a trace by level'),
  ],
  triggers: [updateGuard('aos_trace_steps_immutable_guard', 'hoc_aos_trace_steps_guard')],
  functions: [{ name: 'hoc_aos_trace_steps_guard', source: AOS_TRACE_STEPS_GUARD_SOURCE }],
});
