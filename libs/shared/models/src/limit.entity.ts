import {
  type JsonObject,
  LIMIT_CATEGORIES,
  LIMIT_CONSEQUENCES,
  LIMIT_ENFORCEMENTS,
  LIMIT_SCOPES,
  LIMIT_STATUSES,
  type LimitCategory,
  type LimitConsequence,
  type LimitEnforcement,
  type LimitScope,
  type LimitStatus,
  RESET_PERIODS,
  type ResetPeriod,
} from '@hoc/shared/kernel';
import { Column, Entity, PrimaryColumn } from 'typeorm';
import { charLength, charLengthAtMost, declareTable, index, notNegativeNumeric, oneOf, rule } from './catalogue';

/** What a tenant may spend, how often, or where a threshold lies; read by activity, kept by controls. */
@Entity('limits', { synchronize: false })
export class LimitEntity {
  @PrimaryColumn({ name: 'tenant_id', type: 'text', primaryKeyConstraintName: 'pk_limits' })
  tenantId!: string;
  @PrimaryColumn({ name: 'id', type: 'text', primaryKeyConstraintName: 'pk_limits' })
  id!: string;
  @Column({ name: 'name', type: 'text', nullable: false })
  name!: string;
  @Column({ name: 'description', type: 'text', nullable: true })
  description!: string | null;
  @Column({ name: 'limit_category', type: 'text', nullable: false })
  limitCategory!: LimitCategory;
  /** Open list, upper case; the prefix says the unit of `max_value`. Never COST_USD: money is cents. */
  @Column({ name: 'limit_type', type: 'text', nullable: false })
  limitType!: string;
  @Column({ name: 'scope', type: 'text', nullable: false, default: 'TENANT' })
  scope!: LimitScope;
  /** What PROJECT, AGENT or PROVIDER means; a NULL there matches nothing. */
  @Column({ name: 'scope_id', type: 'text', nullable: true })
  scopeId!: string | null;
  /** Cents, tokens or a count: by the prefix of `limit_type`. */
  @Column({ name: 'max_value', type: 'numeric', precision: 20, scale: 6, nullable: false })
  maxValue!: string;
  @Column({ name: 'reset_period', type: 'text', nullable: true })
  resetPeriod!: ResetPeriod | null;
  /** Stored for compatibility, neither kept nor read here: the window is derived. */
  @Column({ name: 'next_reset_at', type: 'timestamptz', nullable: true })
  nextResetAt!: Date | null;
  @Column({ name: 'window_seconds', type: 'integer', nullable: true })
  windowSeconds!: number | null;
  @Column({ name: 'measurement_window_seconds', type: 'integer', nullable: true })
  measurementWindowSeconds!: number | null;
  /** Only THRESHOLD limits use it. */
  @Column({ name: 'params', type: 'jsonb', nullable: false, default: {} })
  params!: JsonObject;
  @Column({ name: 'enforcement', type: 'text', nullable: false, default: 'BLOCK' })
  enforcement!: LimitEnforcement;
  @Column({ name: 'consequence', type: 'text', nullable: true })
  consequence!: LimitConsequence | null;
  @Column({ name: 'status', type: 'text', nullable: false, default: 'ACTIVE' })
  status!: LimitStatus;
  /** Raised by one in every update. */
  @Column({ name: 'version', type: 'integer', nullable: false, default: 1 })
  version!: number;
  @Column({ name: 'created_by', type: 'text', nullable: true })
  createdBy!: string | null;
  @Column({ name: 'updated_by', type: 'text', nullable: true })
  updatedBy!: string | null;
  @Column({ name: 'created_at', type: 'timestamptz', nullable: false })
  createdAt!: Date;
  @Column({ name: 'updated_at', type: 'timestamptz', nullable: false })
  updatedAt!: Date;
}

/** `limits` beyond its entity (spec controls B.1). */
export const limitsCatalogue = declareTable({
  table: 'limits',
  bytewise: ['tenant_id', 'id', 'scope_id'],
  checks: [
    charLength(1, 100, 'tenant_id', 'id', 'scope_id'),
    charLength(1, 256, 'name'),
    charLengthAtMost(1024, 'description'),
    oneOf('limit_category', LIMIT_CATEGORIES, 'category'),
    rule('type', `limit_type ~ '^[A-Z][A-Z0-9_]{0,31}$' AND limit_type <> 'COST_USD'`),
    oneOf('scope', LIMIT_SCOPES),
    notNegativeNumeric('max_value'),
    oneOf('reset_period', RESET_PERIODS),
    rule('budget_reset', `limit_category <> 'BUDGET' OR reset_period IS NOT NULL`),
    rule('window_seconds', 'window_seconds BETWEEN 1 AND 2678400'),
    rule('rate_window', `limit_category <> 'RATE' OR window_seconds IS NOT NULL`),
    rule('measurement_window_seconds', 'measurement_window_seconds BETWEEN 1 AND 2678400'),
    rule('params', `jsonb_typeof(params) = 'object' AND octet_length(params::text) <= 65536`),
    oneOf('enforcement', LIMIT_ENFORCEMENTS),
    oneOf('consequence', LIMIT_CONSEQUENCES),
    oneOf('status', LIMIT_STATUSES),
    rule('version', 'version >= 1'),
    charLengthAtMost(128, 'created_by', 'updated_by'),
  ],
  foreignKeys: [
    { name: 'fk_limits_tenant', definition: 'FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE RESTRICT' },
  ],
  indexes: [
    index(
      'ix_limits_list',
      '(tenant_id, status, limit_category, created_at DESC, id DESC)',
      'fetchLimits, countLimits, fetchBudgetLimits, getActiveThresholdLimits; policy context of activity',
    ),
    index(
      'ix_limits_scope_active',
      `(tenant_id, limit_category, scope, scope_id, created_at DESC, id DESC) WHERE status = 'ACTIVE'`,
      'getThresholdLimitByScope, fetchApplyingLimits',
    ),
  ],
});
