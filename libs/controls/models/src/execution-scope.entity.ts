import { charLength, declareTable, index, notNegativeNumeric, oneOf, rule, systemWide } from '@hoc/shared/models';
import { Column, Entity, PrimaryColumn } from 'typeorm';

/** The column's values; the schemas export the same list, which models may not import. */
const SCOPE_STATUSES = Object.freeze(['active', 'exhausted', 'expired', 'revoked'] as const);

/**
 * Leave to act on one incident: these actions, so often, for so much, until then. What was used of it stands in the row
 * itself, so that its lock and its CHECKs hold the ceilings.
 */
@Entity('execution_scopes', { synchronize: false })
export class ExecutionScopeEntity {
  @PrimaryColumn({ name: 'tenant_id', type: 'text', primaryKeyConstraintName: 'pk_execution_scopes' })
  tenantId!: string;
  /** `scope_` and what the IdGenerator gave. */
  @PrimaryColumn({ name: 'id', type: 'text', primaryKeyConstraintName: 'pk_execution_scopes' })
  id!: string;
  /** No foreign key: the incident may live in another system. */
  @Column({ name: 'incident_id', type: 'text', nullable: false })
  incidentId!: string;
  @Column({ name: 'allowed_actions', type: 'text', array: true, nullable: false })
  allowedActions!: string[];
  @Column({ name: 'target_agents', type: 'text', array: true, nullable: false, default: '{}' })
  targetAgents!: string[];
  @Column({ name: 'max_cost_cents', type: 'numeric', precision: 20, scale: 6, nullable: false, default: 50 })
  maxCostCents!: string;
  @Column({ name: 'max_attempts', type: 'integer', nullable: false, default: 1 })
  maxAttempts!: number;
  @Column({ name: 'cost_used_cents', type: 'numeric', precision: 20, scale: 6, nullable: false, default: 0 })
  costUsedCents!: string;
  @Column({ name: 'attempts_used', type: 'integer', nullable: false, default: 0 })
  attemptsUsed!: number;
  @Column({ name: 'intent', type: 'text', nullable: false })
  intent!: string;
  /** An `active` scope may be over by its time: a job marks it later. */
  @Column({ name: 'status', type: 'text', nullable: false, default: 'active' })
  status!: (typeof SCOPE_STATUSES)[number];
  @Column({ name: 'created_by', type: 'text', nullable: false, default: 'system' })
  createdBy!: string;
  @Column({ name: 'created_at', type: 'timestamptz', nullable: false })
  createdAt!: Date;
  /** Exclusive. */
  @Column({ name: 'expires_at', type: 'timestamptz', nullable: false })
  expiresAt!: Date;
  @Column({ name: 'revoked_at', type: 'timestamptz', nullable: true })
  revokedAt!: Date | null;
  @Column({ name: 'revoked_by', type: 'text', nullable: true })
  revokedBy!: string | null;
}

/** Every element of a text array is a text of 1–100 characters; a CHECK may hold no sub-select, and a JSON path needs none. */
const elements = (column: string): string =>
  `array_position(${column}, NULL) IS NULL AND NOT jsonb_path_exists(to_jsonb(${column}), '$[*] ? (!(@ like_regex "^.{1,100}$"))')`;

/** `execution_scopes` beyond its entity (spec controls B.2). */
export const executionScopesCatalogue = declareTable({
  table: 'execution_scopes',
  bytewise: ['tenant_id', 'id', 'incident_id', 'allowed_actions', 'target_agents'],
  checks: [
    charLength(1, 100, 'tenant_id', 'id', 'incident_id'),
    rule('allowed_actions', `cardinality(allowed_actions) BETWEEN 1 AND 20 AND ${elements('allowed_actions')}`),
    rule('target_agents', `cardinality(target_agents) <= 100 AND ${elements('target_agents')}`),
    notNegativeNumeric('max_cost_cents'),
    rule('max_attempts', 'max_attempts BETWEEN 1 AND 1000'),
    rule('cost', 'cost_used_cents >= 0 AND cost_used_cents <= max_cost_cents'),
    rule('attempts', 'attempts_used >= 0 AND attempts_used <= max_attempts'),
    charLength(1, 500, 'intent'),
    oneOf('status', SCOPE_STATUSES),
    charLength(1, 128, 'created_by', 'revoked_by'),
    rule('expires_at', 'expires_at > created_at'),
  ],
  foreignKeys: [
    {
      name: 'fk_execution_scopes_tenant',
      definition: 'FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE RESTRICT',
    },
  ],
  indexes: [
    index('ix_execution_scopes_incident', '(tenant_id, incident_id, created_at DESC, id DESC)', 'getScopesForIncident'),
    systemWide('ix_execution_scopes_expiry', `(expires_at, tenant_id, id) WHERE status = 'active'`, 'cleanupExpired'),
  ],
});
