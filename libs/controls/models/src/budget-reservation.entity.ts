import { charLength, declareTable, notNegativeNumeric, oneOf, rule, systemWide, unique } from '@hoc/shared/models';
import { Column, Entity, PrimaryColumn } from 'typeorm';

/**
 * One amount held back against 1–4 limits, and what became of it. The windows that it counts in stand in two arrays: a
 * child table made the batch a third slower, and their rows, which are never deleted, carry the reference to `limits`.
 */
@Entity('budget_reservations', { synchronize: false })
export class BudgetReservationEntity {
  @PrimaryColumn({ name: 'tenant_id', type: 'text', primaryKeyConstraintName: 'pk_budget_reservations' })
  tenantId!: string;
  @PrimaryColumn({ name: 'id', type: 'text', primaryKeyConstraintName: 'pk_budget_reservations' })
  id!: string;
  /** In byte order, distinct. */
  @Column({ name: 'limit_ids', type: 'text', array: true, nullable: false })
  limitIds!: string[];
  /** The window of each limit, in the order of `limit_ids`. */
  @Column({ name: 'window_starts', type: 'timestamptz', array: true, nullable: false })
  windowStarts!: Date[];
  /** No reference: a reservation may come before its run's row. */
  @Column({ name: 'run_id', type: 'text', nullable: true })
  runId!: string | null;
  /** Cents. */
  @Column({ name: 'amount', type: 'numeric', precision: 20, scale: 6, nullable: false })
  amount!: string;
  /** Cents; set exactly when SETTLED. */
  @Column({ name: 'settled_amount', type: 'numeric', precision: 20, scale: 6, nullable: true })
  settledAmount!: string | null;
  @Column({ name: 'status', type: 'text', nullable: false })
  status!: 'RESERVED' | 'SETTLED' | 'RELEASED' | 'EXPIRED';
  @Column({ name: 'idempotency_key', type: 'text', nullable: false })
  idempotencyKey!: string;
  @Column({ name: 'created_at', type: 'timestamptz', nullable: false })
  createdAt!: Date;
  @Column({ name: 'expires_at', type: 'timestamptz', nullable: false })
  expiresAt!: Date;
  /** When it left RESERVED for good or, EXPIRED, for the time being. */
  @Column({ name: 'closed_at', type: 'timestamptz', nullable: true })
  closedAt!: Date | null;
}

/** `budget_reservations` beyond its entity (spec controls H.2). */
export const budgetReservationsCatalogue = declareTable({
  table: 'budget_reservations',
  bytewise: ['tenant_id', 'id', 'limit_ids', 'run_id', 'idempotency_key'],
  checks: [
    charLength(1, 100, 'tenant_id', 'id', 'run_id'),
    rule('limit_ids', 'array_ndims(limit_ids) = 1 AND cardinality(limit_ids) BETWEEN 1 AND 4'),
    rule('limit_ids_members', 'array_position(limit_ids, NULL) IS NULL'),
    rule('window_starts', 'array_ndims(window_starts) = 1 AND cardinality(window_starts) = cardinality(limit_ids)'),
    rule('window_starts_members', 'array_position(window_starts, NULL) IS NULL'),
    notNegativeNumeric('amount', 'settled_amount'),
    oneOf('status', ['RESERVED', 'SETTLED', 'RELEASED', 'EXPIRED']),
    rule('settled', `(status = 'SETTLED') = (settled_amount IS NOT NULL)`),
    rule('closed', `(status = 'RESERVED') = (closed_at IS NULL)`),
    charLength(1, 200, 'idempotency_key'),
  ],
  foreignKeys: [
    {
      name: 'fk_budget_reservations_tenant',
      definition: 'FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE RESTRICT',
    },
  ],
  indexes: [
    unique('uq_budget_reservations_key', '(tenant_id, idempotency_key)', 'one reservation a key'),
    systemWide(
      'ix_budget_reservations_expiry',
      `(expires_at, tenant_id, id) WHERE status = 'RESERVED'`,
      'expireReservations',
    ),
  ],
});
