import { type JsonValue, OVERRIDE_STATUSES, type OverrideStatus } from '@hoc/shared/kernel';
import { Column, Entity, PrimaryColumn } from 'typeorm';
import { charLength, charLengthAtMost, declareTable, index, oneOf, rule, systemWide, unique } from './catalogue';

/** A limit raised for a while: requested, approved, in effect, over. At most one of a limit is live. */
@Entity('limit_overrides', { synchronize: false })
export class LimitOverrideEntity {
  @PrimaryColumn({ name: 'tenant_id', type: 'text', primaryKeyConstraintName: 'pk_limit_overrides' })
  tenantId!: string;
  @PrimaryColumn({ name: 'id', type: 'text', primaryKeyConstraintName: 'pk_limit_overrides' })
  id!: string;
  @Column({ name: 'limit_id', type: 'text', nullable: false })
  limitId!: string;
  /** The limit's `max_value` when it was requested; in the limit's unit. */
  @Column({ name: 'original_value', type: 'numeric', precision: 20, scale: 6, nullable: false })
  originalValue!: string;
  @Column({ name: 'override_value', type: 'numeric', precision: 20, scale: 6, nullable: false })
  overrideValue!: string;
  @Column({ name: 'status', type: 'text', nullable: false, default: 'PENDING' })
  status!: OverrideStatus;
  @Column({ name: 'duration_hours', type: 'integer', nullable: false })
  durationHours!: number;
  @Column({ name: 'requested_at', type: 'timestamptz', nullable: false })
  requestedAt!: Date;
  @Column({ name: 'approved_at', type: 'timestamptz', nullable: true })
  approvedAt!: Date | null;
  /** Inclusive. */
  @Column({ name: 'starts_at', type: 'timestamptz', nullable: true })
  startsAt!: Date | null;
  /** Exclusive. */
  @Column({ name: 'expires_at', type: 'timestamptz', nullable: true })
  expiresAt!: Date | null;
  @Column({ name: 'cancelled_at', type: 'timestamptz', nullable: true })
  cancelledAt!: Date | null;
  @Column({ name: 'rejected_at', type: 'timestamptz', nullable: true })
  rejectedAt!: Date | null;
  @Column({ name: 'requested_by', type: 'text', nullable: false })
  requestedBy!: string;
  @Column({ name: 'approved_by', type: 'text', nullable: true })
  approvedBy!: string | null;
  @Column({ name: 'cancelled_by', type: 'text', nullable: true })
  cancelledBy!: string | null;
  @Column({ name: 'rejected_by', type: 'text', nullable: true })
  rejectedBy!: string | null;
  @Column({ name: 'reason', type: 'text', nullable: false })
  reason!: string;
  @Column({ name: 'rejection_reason', type: 'text', nullable: true })
  rejectionReason!: string | null;
  /** `{at, actor, from, to, note?}` of each change of state; the request is the first, from null. */
  @Column({ name: 'audit_trail', type: 'jsonb', nullable: false, default: [] })
  auditTrail!: readonly JsonValue[];
}

const LIVE = `status IN ('PENDING', 'APPROVED', 'ACTIVE')`;

/** `limit_overrides` beyond its entity (spec controls B.1). */
export const limitOverridesCatalogue = declareTable({
  table: 'limit_overrides',
  bytewise: ['tenant_id', 'id', 'limit_id'],
  checks: [
    charLength(1, 100, 'tenant_id', 'id', 'limit_id'),
    rule('original_value', `original_value > 0 AND original_value < 'NaN'`),
    rule('increase', `override_value > original_value AND override_value < 'NaN'`),
    oneOf('status', OVERRIDE_STATUSES),
    rule('duration_hours', 'duration_hours BETWEEN 1 AND 168'),
    rule(
      'window',
      'CASE WHEN starts_at IS NULL THEN expires_at IS NULL ELSE COALESCE(expires_at > starts_at, false) END',
    ),
    rule(
      'live',
      `status NOT IN ('ACTIVE', 'APPROVED')
         OR (approved_at IS NOT NULL AND starts_at IS NOT NULL AND expires_at IS NOT NULL)`,
    ),
    charLength(1, 128, 'requested_by'),
    charLengthAtMost(128, 'approved_by', 'cancelled_by', 'rejected_by'),
    charLength(10, 500, 'reason'),
    charLengthAtMost(500, 'rejection_reason'),
    rule('rejected', `status <> 'REJECTED' OR rejection_reason IS NOT NULL`),
    rule('audit_trail', `jsonb_typeof(audit_trail) = 'array' AND octet_length(audit_trail::text) <= 65536`),
  ],
  foreignKeys: [
    {
      name: 'fk_limit_overrides_tenant',
      definition: 'FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE RESTRICT',
    },
    {
      name: 'fk_limit_overrides_limit',
      definition: 'FOREIGN KEY (tenant_id, limit_id) REFERENCES limits (tenant_id, id) ON DELETE RESTRICT',
    },
  ],
  indexes: [
    unique('uq_limit_overrides_live', `(tenant_id, limit_id) WHERE ${LIVE}`, 'one live override a limit'),
    index('ix_limit_overrides_list', '(tenant_id, requested_at DESC, id DESC)', 'listOverrides without status'),
    index(
      'ix_limit_overrides_status',
      '(tenant_id, status, requested_at DESC, id DESC)',
      'listOverrides with status, the count of the cap',
    ),
    index(
      'ix_limit_overrides_limit',
      '(tenant_id, limit_id, requested_at DESC, id DESC)',
      'fk_limit_overrides_limit; listOverrides of one limit',
    ),
    index('ix_limit_overrides_due', `(tenant_id, starts_at, id) WHERE status = 'APPROVED'`, 'activateDueOverrides'),
    index('ix_limit_overrides_expiry', `(tenant_id, expires_at, id) WHERE ${LIVE}`, 'overdue rows of one tenant'),
    systemWide(
      'ix_limit_overrides_due_all',
      `(starts_at, tenant_id, id) WHERE status = 'APPROVED'`,
      'detectTenantsWithDueOverrides',
    ),
    systemWide(
      'ix_limit_overrides_expiry_all',
      `(expires_at, tenant_id, id) WHERE ${LIVE}`,
      'expireOverrides, detectTenantsWithDueOverrides',
    ),
  ],
});
