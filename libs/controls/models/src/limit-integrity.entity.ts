import { charLength, declareTable, index, oneOf, rule, unique } from '@hoc/shared/models';
import { Column, Entity, PrimaryColumn } from 'typeorm';

/**
 * The latest verification of a limit's definition: one row a limit. No trigger asks for it: the original's demanded this
 * row before its limit, and its foreign key the limit before this row, so that neither could be written.
 */
@Entity('limit_integrity', { synchronize: false })
export class LimitIntegrityEntity {
  @PrimaryColumn({ name: 'tenant_id', type: 'text', primaryKeyConstraintName: 'pk_limit_integrity' })
  tenantId!: string;
  @PrimaryColumn({ name: 'id', type: 'text', primaryKeyConstraintName: 'pk_limit_integrity' })
  id!: string;
  @Column({ name: 'limit_id', type: 'text', nullable: false })
  limitId!: string;
  @Column({ name: 'integrity_status', type: 'text', nullable: false })
  integrityStatus!: 'VERIFIED' | 'DEGRADED' | 'FAILED';
  /** 0–1. */
  @Column({ name: 'integrity_score', type: 'double precision', nullable: false })
  integrityScore!: number;
  @Column({ name: 'computed_at', type: 'timestamptz', nullable: false })
  computedAt!: Date;
}

/** `limit_integrity` beyond its entity (spec controls B.2). */
export const limitIntegrityCatalogue = declareTable({
  table: 'limit_integrity',
  bytewise: ['tenant_id', 'id', 'limit_id'],
  checks: [
    charLength(1, 100, 'tenant_id', 'id', 'limit_id'),
    oneOf('integrity_status', ['VERIFIED', 'DEGRADED', 'FAILED']),
    rule('integrity_score', 'integrity_score >= 0 AND integrity_score <= 1'),
  ],
  foreignKeys: [
    {
      name: 'fk_limit_integrity_tenant',
      definition: 'FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE RESTRICT',
    },
    {
      name: 'fk_limit_integrity_limit',
      definition: 'FOREIGN KEY (tenant_id, limit_id) REFERENCES limits (tenant_id, id) ON DELETE RESTRICT',
    },
  ],
  indexes: [
    unique('uq_limit_integrity_limit', '(tenant_id, limit_id)', 'one row a limit; fk_limit_integrity_limit'),
    index('ix_limit_integrity_status', '(tenant_id, integrity_status, computed_at)', 'limits to verify anew'),
  ],
});
