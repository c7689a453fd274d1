import type { JsonObject } from '@hoc/shared/kernel';
import { charLength, charLengthAtMost, declareTable, index, oneOf, rule, unique } from '@hoc/shared/models';
import { Column, Entity, PrimaryColumn } from 'typeorm';

const TYPES = Object.freeze(['budget_enforcement', 'budget', 'policy', 'recovery', 'routing', 'memory'] as const);
const SOURCES = Object.freeze(['human', 'system', 'hybrid'] as const);
const TRIGGERS = Object.freeze(['explicit', 'autonomous', 'reactive'] as const);
const OUTCOMES = Object.freeze(['selected', 'rejected', 'skipped', 'blocked', 'none', 'execution_halted'] as const);
const CAUSAL_ROLES = Object.freeze(['pre_run', 'in_run', 'post_run'] as const);

/** One decision of the system or of a person, never changed. Of the type `budget_enforcement`, a run has one at most. */
@Entity('decision_records', { synchronize: false })
export class DecisionRecordEntity {
  @PrimaryColumn({ name: 'tenant_id', type: 'text', primaryKeyConstraintName: 'pk_decision_records' })
  tenantId!: string;
  @PrimaryColumn({ name: 'id', type: 'text', primaryKeyConstraintName: 'pk_decision_records' })
  id!: string;
  @Column({ name: 'decision_type', type: 'text', nullable: false })
  decisionType!: (typeof TYPES)[number];
  @Column({ name: 'decision_source', type: 'text', nullable: false })
  decisionSource!: (typeof SOURCES)[number];
  @Column({ name: 'decision_trigger', type: 'text', nullable: false })
  decisionTrigger!: (typeof TRIGGERS)[number];
  /** What it was decided on; money as decimal text, in cents. */
  @Column({ name: 'decision_inputs', type: 'jsonb', nullable: false, default: {} })
  decisionInputs!: JsonObject;
  @Column({ name: 'decision_outcome', type: 'text', nullable: false })
  decisionOutcome!: (typeof OUTCOMES)[number];
  @Column({ name: 'decision_reason', type: 'text', nullable: true })
  decisionReason!: string | null;
  @Column({ name: 'run_id', type: 'text', nullable: true })
  runId!: string | null;
  @Column({ name: 'workflow_id', type: 'text', nullable: true })
  workflowId!: string | null;
  @Column({ name: 'causal_role', type: 'text', nullable: false, default: 'in_run' })
  causalRole!: (typeof CAUSAL_ROLES)[number];
  @Column({ name: 'details', type: 'jsonb', nullable: false, default: {} })
  details!: JsonObject;
  @Column({ name: 'decided_at', type: 'timestamptz', nullable: false })
  decidedAt!: Date;
}

const isObject = (column: string): string =>
  `jsonb_typeof(${column}) = 'object' AND octet_length(${column}::text) <= 65536`;

/** `decision_records` beyond its entity (spec controls B.2). */
export const decisionRecordsCatalogue = declareTable({
  table: 'decision_records',
  bytewise: ['tenant_id', 'id', 'run_id', 'workflow_id'],
  checks: [
    charLength(1, 100, 'tenant_id', 'id', 'run_id'),
    oneOf('decision_type', TYPES),
    oneOf('decision_source', SOURCES),
    oneOf('decision_trigger', TRIGGERS),
    rule('decision_inputs', isObject('decision_inputs')),
    oneOf('decision_outcome', OUTCOMES),
    charLengthAtMost(1000, 'decision_reason'),
    charLengthAtMost(100, 'workflow_id'),
    oneOf('causal_role', CAUSAL_ROLES),
    rule('details', isObject('details')),
  ],
  foreignKeys: [
    {
      name: 'fk_decision_records_tenant',
      definition: 'FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE RESTRICT',
    },
    {
      name: 'fk_decision_records_run',
      definition: 'FOREIGN KEY (tenant_id, run_id) REFERENCES runs (tenant_id, id) ON DELETE RESTRICT',
    },
  ],
  indexes: [
    unique(
      'uq_decision_budget_run',
      `(tenant_id, run_id) WHERE decision_type = 'budget_enforcement'`,
      'one decision a halted run; fetchPendingBudgetHalts, fetchBudgetDecision',
    ),
    index('ix_decision_records_run', '(tenant_id, run_id, decided_at DESC, id DESC)', 'fk_decision_records_run'),
    index(
      'ix_decision_records_type',
      '(tenant_id, decision_type, decided_at DESC, id DESC)',
      'decisions of one type, newest first',
    ),
  ],
});
