import type { JsonObject, JsonValue } from '@hoc/shared/kernel';
import { charLength, declareTable, index, notNegative, oneOf, rule } from '@hoc/shared/models';
import { Column, Entity, PrimaryColumn } from 'typeorm';

const STATUSES = Object.freeze(['pending', 'running', 'completed', 'failed', 'partial', 'halted'] as const);

/**
 * Plan and tool calls that led to a run's outcome; the newest of a run counts. Append-only: reaches its tenant through the
 * run.
 */
@Entity('provenances', { synchronize: false })
export class RunProvenanceEntity {
  @PrimaryColumn({ name: 'tenant_id', type: 'text', primaryKeyConstraintName: 'pk_provenances' })
  tenantId!: string;
  @PrimaryColumn({ name: 'id', type: 'text', primaryKeyConstraintName: 'pk_provenances' })
  id!: string;
  @Column({ name: 'run_id', type: 'text', nullable: false })
  runId!: string;
  @Column({ name: 'agent_id', type: 'text', nullable: true })
  agentId!: string | null;
  @Column({ name: 'status', type: 'text', nullable: false, default: 'completed' })
  status!: (typeof STATUSES)[number];
  @Column({ name: 'plan_json', type: 'jsonb', nullable: true })
  planJson!: JsonObject | null;
  @Column({ name: 'tool_calls_json', type: 'jsonb', nullable: true })
  toolCallsJson!: readonly JsonValue[] | null;
  @Column({ name: 'error_message', type: 'text', nullable: true })
  errorMessage!: string | null;
  @Column({ name: 'attempts', type: 'integer', nullable: false, default: 1 })
  attempts!: number;
  @Column({ name: 'created_at', type: 'timestamptz', nullable: false })
  createdAt!: Date;
  @Column({ name: 'started_at', type: 'timestamptz', nullable: true })
  startedAt!: Date | null;
  @Column({ name: 'completed_at', type: 'timestamptz', nullable: true })
  completedAt!: Date | null;
  @Column({ name: 'duration_ms', type: 'double precision', nullable: true })
  durationMs!: number | null;
}

const isJson = (column: string, type: 'object' | 'array'): string =>
  `jsonb_typeof(${column}) = '${type}' AND octet_length(${column}::text) <= 65536`;

/** `provenances` beyond its entity (spec controls B.2). */
export const provenancesCatalogue = declareTable({
  table: 'provenances',
  bytewise: ['tenant_id', 'id', 'run_id', 'agent_id'],
  checks: [
    charLength(1, 100, 'tenant_id', 'id', 'run_id', 'agent_id'),
    oneOf('status', STATUSES),
    rule('plan_json', isJson('plan_json', 'object')),
    rule('tool_calls_json', isJson('tool_calls_json', 'array')),
    notNegative('attempts'),
    rule('duration_ms', `duration_ms >= 0 AND duration_ms < 'Infinity'`),
  ],
  foreignKeys: [
    {
      name: 'fk_provenances_run',
      definition: 'FOREIGN KEY (tenant_id, run_id) REFERENCES runs (tenant_id, id) ON DELETE RESTRICT',
    },
  ],
  indexes: [
    index(
      'ix_provenances_run',
      '(tenant_id, run_id, created_at DESC, id DESC)',
      'newest provenance of a run: fetchPendingBudgetHalts; fk_provenances_run',
    ),
  ],
});
