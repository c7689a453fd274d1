import { Column, Entity, PrimaryColumn } from 'typeorm';
import { charLength, declareTable, index, notNegative, notNegativeNumeric, rule } from './catalogue';

/** The sums of one integration's calls on one UTC day; kept by the statement that inserts the calls. */
@Entity('cus_usage_daily', { synchronize: false })
export class CusUsageDailyEntity {
  @PrimaryColumn({ name: 'tenant_id', type: 'text', primaryKeyConstraintName: 'pk_cus_usage_daily' })
  tenantId!: string;
  @PrimaryColumn({ name: 'integration_id', type: 'text', primaryKeyConstraintName: 'pk_cus_usage_daily' })
  integrationId!: string;
  /** UTC day, `YYYY-MM-DD`. */
  @PrimaryColumn({ name: 'date', type: 'date', primaryKeyConstraintName: 'pk_cus_usage_daily' })
  date!: string;
  @Column({ name: 'total_calls', type: 'bigint', nullable: false, default: 0 })
  totalCalls!: string;
  @Column({ name: 'error_count', type: 'bigint', nullable: false, default: 0 })
  errorCount!: string;
  @Column({ name: 'blocked_count', type: 'bigint', nullable: false, default: 0 })
  blockedCount!: string;
  @Column({ name: 'total_tokens_in', type: 'bigint', nullable: false, default: 0 })
  totalTokensIn!: string;
  @Column({ name: 'total_tokens_out', type: 'bigint', nullable: false, default: 0 })
  totalTokensOut!: string;
  /** Cents. */
  @Column({ name: 'total_cost_cents', type: 'numeric', precision: 20, scale: 6, nullable: false, default: 0 })
  totalCostCents!: string;
  /** Sum of the latencies that were given, in milliseconds. */
  @Column({ name: 'latency_total_ms', type: 'bigint', nullable: false, default: 0 })
  latencyTotalMs!: string;
  /** Number of the latencies that were given. */
  @Column({ name: 'latency_count', type: 'bigint', nullable: false, default: 0 })
  latencyCount!: string;
  /** Generated from the two above; null where no call of the day had a latency. */
  @Column({ name: 'avg_latency_ms', type: 'integer', nullable: true, insert: false, update: false })
  avgLatencyMs!: number | null;
  @Column({ name: 'updated_at', type: 'timestamptz', nullable: false })
  updatedAt!: Date;
}

/** `cus_usage_daily` beyond its entity (spec activity B.8). */
export const cusUsageDailyCatalogue = declareTable({
  table: 'cus_usage_daily',
  bytewise: ['tenant_id', 'integration_id'],
  checks: [
    charLength(1, 100, 'tenant_id', 'integration_id'),
    notNegative('total_calls', 'total_tokens_in', 'total_tokens_out', 'latency_total_ms', 'latency_count'),
    rule('error_count', 'error_count >= 0 AND error_count <= total_calls'),
    rule('blocked_count', 'blocked_count >= 0 AND blocked_count <= total_calls'),
    notNegativeNumeric('total_cost_cents'),
  ],
  foreignKeys: [
    {
      name: 'fk_cus_usage_daily_tenant',
      definition: 'FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE RESTRICT',
    },
    {
      name: 'fk_cus_usage_daily_integration',
      definition:
        'FOREIGN KEY (tenant_id, integration_id) REFERENCES cus_integrations (tenant_id, id) ON DELETE RESTRICT',
    },
  ],
  indexes: [index('ix_cus_usage_daily_tenant_date', '(tenant_id, date, integration_id)', 'fetchDailyAggregates')],
  generated: [
    {
      column: 'avg_latency_ms',
      expression: 'round(latency_total_ms::numeric / NULLIF(latency_count, 0))::integer',
    },
  ],
  fillfactor: 50,
});
