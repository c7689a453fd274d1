import { type JsonValue, LIMIT_BREACH_TYPES, type LimitBreachType } from '@hoc/shared/kernel';
import { Column, Entity, PrimaryColumn } from 'typeorm';
import { charLength, declareTable, index, oneOf, rule, unique } from './catalogue';

/** One crossing of a limit: append-only history. Reaches its tenant through the limit. */
@Entity('limit_breaches', { synchronize: false })
export class LimitBreachEntity {
  @PrimaryColumn({ name: 'tenant_id', type: 'text', primaryKeyConstraintName: 'pk_limit_breaches' })
  tenantId!: string;
  @PrimaryColumn({ name: 'id', type: 'text', primaryKeyConstraintName: 'pk_limit_breaches' })
  id!: string;
  @Column({ name: 'limit_id', type: 'text', nullable: false })
  limitId!: string;
  @Column({ name: 'run_id', type: 'text', nullable: true })
  runId!: string | null;
  @Column({ name: 'incident_id', type: 'text', nullable: true })
  incidentId!: string | null;
  /** OVERRIDDEN: crossed while an override covered it. */
  @Column({ name: 'breach_type', type: 'text', nullable: false })
  breachType!: LimitBreachType;
  /** In the limit's unit. */
  @Column({ name: 'value_at_breach', type: 'numeric', precision: 20, scale: 6, nullable: true })
  valueAtBreach!: string | null;
  /** The limit in force at that moment, override included. */
  @Column({ name: 'limit_value', type: 'numeric', precision: 20, scale: 6, nullable: false })
  limitValue!: string;
  @Column({ name: 'details', type: 'jsonb', nullable: true })
  details!: JsonValue | null;
  @Column({ name: 'breached_at', type: 'timestamptz', nullable: false })
  breachedAt!: Date;
  @Column({ name: 'recovered_at', type: 'timestamptz', nullable: true })
  recoveredAt!: Date | null;
  @Column({ name: 'idempotency_key', type: 'text', nullable: true })
  idempotencyKey!: string | null;
}

/** `limit_breaches` beyond its entity (spec controls B.1). */
export const limitBreachesCatalogue = declareTable({
  table: 'limit_breaches',
  bytewise: ['tenant_id', 'id', 'limit_id', 'run_id', 'incident_id', 'idempotency_key'],
  checks: [
    charLength(1, 100, 'tenant_id', 'id', 'limit_id', 'run_id', 'incident_id'),
    oneOf('breach_type', LIMIT_BREACH_TYPES),
    rule('details', 'octet_length(details::text) <= 65536'),
    rule('recovered_at', 'recovered_at >= breached_at'),
    charLength(1, 200, 'idempotency_key'),
  ],
  foreignKeys: [
    {
      name: 'fk_limit_breaches_limit',
      definition: 'FOREIGN KEY (tenant_id, limit_id) REFERENCES limits (tenant_id, id) ON DELETE RESTRICT',
    },
    {
      name: 'fk_limit_breaches_run',
      definition: 'FOREIGN KEY (tenant_id, run_id) REFERENCES runs (tenant_id, id) ON DELETE SET NULL (run_id)',
    },
    {
      name: 'fk_limit_breaches_incident',
      definition:
        'FOREIGN KEY (tenant_id, incident_id) REFERENCES incidents (tenant_id, id) ON DELETE SET NULL (incident_id)',
    },
  ],
  indexes: [
    unique('uq_limit_breaches_idempotency', '(tenant_id, idempotency_key)', 'replays of a recorded breach'),
    index(
      'ix_limit_breaches_limit',
      '(tenant_id, limit_id, breached_at DESC)',
      'breaches of 30 days and the last one, index-only; fk_limit_breaches_limit',
    ),
    index(
      'ix_limit_breaches_run',
      '(tenant_id, run_id, limit_id, breached_at DESC, id DESC)',
      'fetchLimitBreachesForRun, policy context of activity; fk_limit_breaches_run',
    ),
    index('ix_limit_breaches_incident', '(tenant_id, incident_id)', 'fk_limit_breaches_incident'),
  ],
});
