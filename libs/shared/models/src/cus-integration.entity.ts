import {
  CUS_HEALTH_STATES,
  CUS_INTEGRATION_STATUSES,
  CUS_PROVIDER_TYPES,
  type CusHealthState,
  type CusIntegrationStatus,
  type CusProviderType,
  type JsonObject,
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

/** A customer's connection to an LLM provider, with its budgets (0 = unlimited) and its health. Deleted softly. */
@Entity('cus_integrations', { synchronize: false })
export class CusIntegrationEntity {
  @PrimaryColumn({ name: 'tenant_id', type: 'text', primaryKeyConstraintName: 'pk_cus_integrations' })
  tenantId!: string;
  @PrimaryColumn({ name: 'id', type: 'text', primaryKeyConstraintName: 'pk_cus_integrations' })
  id!: string;
  @Column({ name: 'name', type: 'text', nullable: false })
  name!: string;
  @Column({ name: 'provider_type', type: 'text', nullable: false })
  providerType!: CusProviderType;
  /** A reference or a ciphertext, never a secret in the clear; read only by a query that asks for it. */
  @Column({ name: 'credential_ref', type: 'text', nullable: false, select: false })
  credentialRef!: string;
  @Column({ name: 'config', type: 'jsonb', nullable: false, default: {} })
  config!: JsonObject;
  @Column({ name: 'status', type: 'text', nullable: false, default: 'created' })
  status!: CusIntegrationStatus;
  @Column({ name: 'health_state', type: 'text', nullable: false, default: 'unknown' })
  healthState!: CusHealthState;
  @Column({ name: 'health_checked_at', type: 'timestamptz', nullable: true })
  healthCheckedAt!: Date | null;
  /** Slot of a running health check. */
  @Column({ name: 'health_check_started_at', type: 'timestamptz', nullable: true })
  healthCheckStartedAt!: Date | null;
  @Column({ name: 'health_message', type: 'text', nullable: true })
  healthMessage!: string | null;
  @Column({ name: 'default_model', type: 'text', nullable: true })
  defaultModel!: string | null;
  /** Cents a month. */
  @Column({ name: 'budget_limit_cents', type: 'numeric', precision: 20, scale: 6, nullable: false, default: 0 })
  budgetLimitCents!: string;
  @Column({ name: 'token_limit_month', type: 'bigint', nullable: false, default: 0 })
  tokenLimitMonth!: string;
  @Column({ name: 'rate_limit_rpm', type: 'integer', nullable: false, default: 0 })
  rateLimitRpm!: number;
  @Column({ name: 'created_at', type: 'timestamptz', nullable: false })
  createdAt!: Date;
  @Column({ name: 'updated_at', type: 'timestamptz', nullable: false })
  updatedAt!: Date;
  @Column({ name: 'created_by', type: 'text', nullable: true })
  createdBy!: string | null;
  @Column({ name: 'deleted_at', type: 'timestamptz', nullable: true })
  deletedAt!: Date | null;
}

/** `cus_integrations` beyond its entity (spec activity B.6). */
export const cusIntegrationsCatalogue = declareTable({
  table: 'cus_integrations',
  bytewise: ['tenant_id', 'id', 'name'],
  checks: [
    charLength(1, 100, 'tenant_id', 'id', 'default_model', 'created_by'),
    rule('name', 'char_length(name) BETWEEN 1 AND 255 AND name = btrim(name)'),
    oneOf('provider_type', CUS_PROVIDER_TYPES),
    rule(
      'credential_ref',
      `char_length(credential_ref) BETWEEN 1 AND 4096 AND credential_ref ~ '^(vault|cus-vault|encrypted|env)://.'`,
    ),
    rule('config', `jsonb_typeof(config) = 'object'`),
    rule('config_size', 'octet_length(config::text) <= 65536'),
    oneOf('status', CUS_INTEGRATION_STATUSES),
    oneOf('health_state', CUS_HEALTH_STATES),
    charLengthAtMost(2000, 'health_message'),
    notNegativeNumeric('budget_limit_cents'),
    rule('token_limit_month', 'token_limit_month BETWEEN 0 AND 9007199254740991'),
    notNegative('rate_limit_rpm'),
    rule('deleted_at', `deleted_at IS NULL OR status = 'disabled'`),
  ],
  foreignKeys: [
    {
      name: 'fk_cus_integrations_tenant',
      definition: 'FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE RESTRICT',
    },
  ],
  indexes: [
    unique(
      'uq_cus_integrations_tenant_name',
      '(tenant_id, name) WHERE deleted_at IS NULL',
      'one live integration a name; a deleted name is free again',
    ),
    index('ix_cus_integrations_tenant_created', '(tenant_id, created_at DESC, id DESC)', 'list'),
    index(
      'ix_cus_integrations_tenant_status',
      '(tenant_id, status, created_at DESC, id DESC) WHERE deleted_at IS NULL',
      'list by status',
    ),
    index(
      'ix_cus_integrations_tenant_provider',
      '(tenant_id, provider_type, created_at DESC, id DESC) WHERE deleted_at IS NULL',
      'list by provider',
    ),
    index(
      'ix_cus_integrations_stale',
      `(tenant_id, health_checked_at ASC NULLS FIRST, id) WHERE status = 'enabled' AND deleted_at IS NULL`,
      'integrations whose health is due for a check',
    ),
  ],
});
