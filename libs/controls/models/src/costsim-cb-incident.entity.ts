import type { JsonObject } from '@hoc/shared/kernel';
import {
  charLength,
  charLengthAtMost,
  declareTable,
  index,
  notNegative,
  oneOf,
  rule,
  unique,
} from '@hoc/shared/models';
import { Column, Entity, PrimaryColumn } from 'typeorm';

/** The column's values; the schemas export the same list, which models may not import. */
const SEVERITIES = Object.freeze(['P1', 'P2', 'P3'] as const);

/** One time that a breaker was open, from its trip until somebody or its time-out closed it. At most one of a breaker is open. */
@Entity('costsim_cb_incidents', { synchronize: false })
export class CostSimCBIncidentEntity {
  @PrimaryColumn({ name: 'id', type: 'text', primaryKeyConstraintName: 'pk_costsim_cb_incidents' })
  id!: string;
  @Column({ name: 'circuit_breaker_name', type: 'text', nullable: false })
  circuitBreakerName!: string;
  /** When the breaker tripped. */
  @Column({ name: 'timestamp', type: 'timestamptz', nullable: false })
  timestamp!: Date;
  @Column({ name: 'reason', type: 'text', nullable: false })
  reason!: string;
  @Column({ name: 'severity', type: 'text', nullable: false })
  severity!: (typeof SEVERITIES)[number];
  @Column({ name: 'drift_score', type: 'double precision', nullable: true })
  driftScore!: number | null;
  @Column({ name: 'sample_count', type: 'integer', nullable: true })
  sampleCount!: number | null;
  @Column({ name: 'details', type: 'jsonb', nullable: false, default: {} })
  details!: JsonObject;
  @Column({ name: 'resolved', type: 'boolean', nullable: false, default: false })
  resolved!: boolean;
  /** Set exactly where `resolved` is true. */
  @Column({ name: 'resolved_at', type: 'timestamptz', nullable: true })
  resolvedAt!: Date | null;
  @Column({ name: 'resolved_by', type: 'text', nullable: true })
  resolvedBy!: string | null;
  @Column({ name: 'resolution_notes', type: 'text', nullable: true })
  resolutionNotes!: string | null;
  /** Whether an alert about it was accepted by the consumer's receiver; set together with `alert_sent_at`. */
  @Column({ name: 'alert_sent', type: 'boolean', nullable: false, default: false })
  alertSent!: boolean;
  @Column({ name: 'alert_sent_at', type: 'timestamptz', nullable: true })
  alertSentAt!: Date | null;
  @Column({ name: 'alert_response', type: 'text', nullable: true })
  alertResponse!: string | null;
}

const OPEN = 'NOT resolved';

/** `costsim_cb_incidents` beyond its entity (spec controls B.3): no tenant, a reference table on Citus. */
export const costSimCBIncidentsCatalogue = declareTable({
  table: 'costsim_cb_incidents',
  bytewise: ['id', 'circuit_breaker_name'],
  checks: [
    charLength(1, 100, 'id', 'circuit_breaker_name'),
    charLength(1, 500, 'reason'),
    oneOf('severity', SEVERITIES),
    rule('drift_score', 'drift_score BETWEEN 0 AND 1'),
    notNegative('sample_count'),
    rule('details', `jsonb_typeof(details) = 'object' AND octet_length(details::text) <= 65536`),
    rule(
      'resolution',
      'resolved = (resolved_at IS NOT NULL) AND (resolved OR (resolved_by IS NULL AND resolution_notes IS NULL))',
    ),
    charLengthAtMost(128, 'resolved_by'),
    charLengthAtMost(1000, 'resolution_notes'),
    rule('alert_sent', 'alert_sent = (alert_sent_at IS NOT NULL) AND (alert_sent OR alert_response IS NULL)'),
    charLengthAtMost(500, 'alert_response'),
  ],
  indexes: [
    index(
      'ix_cb_incidents_list',
      '(circuit_breaker_name, timestamp DESC, id DESC)',
      'getIncidents with the resolved ones',
    ),
    index('ix_cb_incidents_open', `(circuit_breaker_name, timestamp DESC, id DESC) WHERE ${OPEN}`, 'getIncidents'),
    unique('uq_cb_incident_open', `(circuit_breaker_name) WHERE ${OPEN}`, 'one open incident a breaker'),
  ],
});
