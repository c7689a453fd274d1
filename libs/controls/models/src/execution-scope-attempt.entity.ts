import type { JsonObject } from '@hoc/shared/kernel';
import { charLength, declareTable, notNegativeNumeric, rule, unique } from '@hoc/shared/models';
import { Column, Entity, PrimaryColumn } from 'typeorm';

/** What was done under a scope: one row an attempt, numbered from 1 without a gap. Only its settlement is added later. */
@Entity('execution_scope_attempts', { synchronize: false })
export class ExecutionScopeAttemptEntity {
  @PrimaryColumn({ name: 'tenant_id', type: 'text', primaryKeyConstraintName: 'pk_execution_scope_attempts' })
  tenantId!: string;
  @PrimaryColumn({ name: 'id', type: 'text', primaryKeyConstraintName: 'pk_execution_scope_attempts' })
  id!: string;
  @Column({ name: 'scope_id', type: 'text', nullable: false })
  scopeId!: string;
  @Column({ name: 'attempt_number', type: 'integer', nullable: false })
  attemptNumber!: number;
  @Column({ name: 'action', type: 'text', nullable: false })
  action!: string;
  /** Reserved before the action. */
  @Column({ name: 'cost_cents', type: 'numeric', precision: 20, scale: 6, nullable: false })
  costCents!: string;
  @Column({ name: 'parameters', type: 'jsonb', nullable: false, default: {} })
  parameters!: JsonObject;
  @Column({ name: 'idempotency_key', type: 'text', nullable: true })
  idempotencyKey!: string | null;
  @Column({ name: 'executed_at', type: 'timestamptz', nullable: false })
  executedAt!: Date;
  /** What the action cost in the end; null until somebody says so. */
  @Column({ name: 'actual_cost_cents', type: 'numeric', precision: 20, scale: 6, nullable: true })
  actualCostCents!: string | null;
  /** Null exactly where `actual_cost_cents` is. */
  @Column({ name: 'settled_at', type: 'timestamptz', nullable: true })
  settledAt!: Date | null;
}

/** `execution_scope_attempts` beyond its entity (spec controls B.2, H.5). It reaches the tenant through its scope. */
export const executionScopeAttemptsCatalogue = declareTable({
  table: 'execution_scope_attempts',
  bytewise: ['tenant_id', 'id', 'scope_id', 'idempotency_key'],
  checks: [
    charLength(1, 100, 'tenant_id', 'id', 'scope_id', 'action'),
    rule('attempt_number', 'attempt_number >= 1'),
    notNegativeNumeric('cost_cents'),
    rule('parameters', 'octet_length(parameters::text) <= 65536'),
    charLength(1, 200, 'idempotency_key'),
    notNegativeNumeric('actual_cost_cents'),
    rule('settlement', '(actual_cost_cents IS NULL) = (settled_at IS NULL)'),
  ],
  foreignKeys: [
    {
      name: 'fk_execution_scope_attempts_scope',
      definition: 'FOREIGN KEY (tenant_id, scope_id) REFERENCES execution_scopes (tenant_id, id) ON DELETE RESTRICT',
    },
  ],
  indexes: [
    unique(
      'uq_execution_scope_attempts_number',
      '(tenant_id, scope_id, attempt_number)',
      'the numbers of a scope; its log; fk_execution_scope_attempts_scope',
    ),
    unique(
      'uq_execution_scope_attempts_key',
      '(tenant_id, scope_id, idempotency_key) WHERE idempotency_key IS NOT NULL',
      'one attempt a key',
    ),
  ],
});
