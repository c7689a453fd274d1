import {
  INCIDENT_SEVERITIES,
  INCIDENT_STATUSES,
  type IncidentSeverity,
  type IncidentStatus,
  type JsonObject,
} from '@hoc/shared/kernel';
import { Column, Entity, PrimaryColumn } from 'typeorm';
import { charLength, charLengthAtMost, declareTable, index, oneOf, rule, systemWide } from './catalogue';

/** An incident of a tenant; written by the consumer's incident domain, read here. It outlives its run. */
@Entity('incidents', { synchronize: false })
export class IncidentEntity {
  @PrimaryColumn({ name: 'tenant_id', type: 'text', primaryKeyConstraintName: 'pk_incidents' })
  tenantId!: string;
  @PrimaryColumn({ name: 'id', type: 'text', primaryKeyConstraintName: 'pk_incidents' })
  id!: string;
  @Column({ name: 'title', type: 'text', nullable: false })
  title!: string;
  @Column({ name: 'severity', type: 'text', nullable: false, default: 'medium' })
  severity!: IncidentSeverity;
  @Column({ name: 'status', type: 'text', nullable: false, default: 'open' })
  status!: IncidentStatus;
  @Column({ name: 'description', type: 'text', nullable: true })
  description!: string | null;
  @Column({ name: 'run_id', type: 'text', nullable: true })
  runId!: string | null;
  /** The domain or the rule that raised it. */
  @Column({ name: 'source', type: 'text', nullable: true })
  source!: string | null;
  @Column({ name: 'details', type: 'jsonb', nullable: false, default: {} })
  details!: JsonObject;
  @Column({ name: 'created_at', type: 'timestamptz', nullable: false })
  createdAt!: Date;
  @Column({ name: 'updated_at', type: 'timestamptz', nullable: false })
  updatedAt!: Date;
  @Column({ name: 'resolved_at', type: 'timestamptz', nullable: true })
  resolvedAt!: Date | null;
  @Column({ name: 'resolved_by', type: 'text', nullable: true })
  resolvedBy!: string | null;
}

/** `incidents` beyond its entity (spec controls B.1). */
export const incidentsCatalogue = declareTable({
  table: 'incidents',
  bytewise: ['tenant_id', 'id', 'run_id'],
  checks: [
    charLength(1, 100, 'tenant_id', 'id', 'run_id', 'source'),
    charLength(1, 255, 'title'),
    oneOf('severity', INCIDENT_SEVERITIES),
    oneOf('status', INCIDENT_STATUSES),
    charLengthAtMost(4000, 'description'),
    rule('details', `jsonb_typeof(details) = 'object' AND octet_length(details::text) <= 65536`),
    rule('resolved_at', 'resolved_at >= created_at'),
    charLengthAtMost(128, 'resolved_by'),
  ],
  foreignKeys: [
    { name: 'fk_incidents_tenant', definition: 'FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE RESTRICT' },
  ],
  indexes: [
    index('ix_incidents_tenant_created', '(tenant_id, created_at DESC, id DESC)', 'getLastIncident of a tenant'),
    systemWide('ix_incidents_created', '(created_at DESC, id DESC, tenant_id DESC)', 'getLastIncident of integrations'),
  ],
});
