import { charLength, declareTable, notNegativeNumeric } from '@hoc/shared/models';
import { Column, Entity, PrimaryColumn } from 'typeorm';

/**
 * What one limit has given away in one of its periods: the counter that every reservation locks, so half of each page is
 * left free for the next version of its rows. Rows are made by the first reservation of a period and never deleted.
 */
@Entity('budget_windows', { synchronize: false })
export class BudgetWindowEntity {
  @PrimaryColumn({ name: 'tenant_id', type: 'text', primaryKeyConstraintName: 'pk_budget_windows' })
  tenantId!: string;
  @PrimaryColumn({ name: 'limit_id', type: 'text', primaryKeyConstraintName: 'pk_budget_windows' })
  limitId!: string;
  /** UTC; 1970-01-01 for a limit that never resets. */
  @PrimaryColumn({ name: 'window_start', type: 'timestamptz', primaryKeyConstraintName: 'pk_budget_windows' })
  windowStart!: Date;
  /** Cents held back: the sum of the amounts of RESERVED reservations. */
  @Column({ name: 'reserved', type: 'numeric', precision: 20, scale: 6, nullable: false })
  reserved!: string;
  /** Cents spent: the sum of the settled amounts. */
  @Column({ name: 'spent', type: 'numeric', precision: 20, scale: 6, nullable: false })
  spent!: string;
  @Column({ name: 'updated_at', type: 'timestamptz', nullable: false })
  updatedAt!: Date;
}

/** `budget_windows` beyond its entity (spec controls H.2). The primary key is the order of locking and serves the foreign key. */
export const budgetWindowsCatalogue = declareTable({
  table: 'budget_windows',
  bytewise: ['tenant_id', 'limit_id'],
  checks: [charLength(1, 100, 'tenant_id', 'limit_id'), notNegativeNumeric('reserved', 'spent')],
  foreignKeys: [
    {
      name: 'fk_budget_windows_limit',
      definition: 'FOREIGN KEY (tenant_id, limit_id) REFERENCES limits (tenant_id, id) ON DELETE RESTRICT',
    },
  ],
  indexes: [],
  fillfactor: 50,
});
