import type { JsonValue } from '@hoc/shared/kernel';
import { charLength, charLengthAtMost, declareTable, index, notNegative, oneOf, rule } from '@hoc/shared/models';
import { Column, Entity, PrimaryColumn } from 'typeorm';

/** The columns' values; the schemas export the same lists, which models may not import. */
const ALERT_TYPES = Object.freeze(['disable', 'enable', 'canary_fail'] as const);
const ALERT_STATUSES = Object.freeze(['pending', 'sent', 'failed'] as const);

/** An alert on its way out, written in the transaction that it tells of and delivered afterwards, at least once. */
@Entity('costsim_alert_queue', { synchronize: false })
export class CostSimAlertQueueEntity {
  @PrimaryColumn({ name: 'id', type: 'text', primaryKeyConstraintName: 'pk_costsim_alert_queue' })
  id!: string;
  /** What the receiver is sent: an array, in Alertmanager's form. */
  @Column({ name: 'payload', type: 'jsonb', nullable: false })
  payload!: readonly JsonValue[];
  @Column({ name: 'alert_type', type: 'text', nullable: false })
  alertType!: (typeof ALERT_TYPES)[number];
  @Column({ name: 'circuit_breaker_name', type: 'text', nullable: false })
  circuitBreakerName!: string;
  @Column({ name: 'incident_id', type: 'text', nullable: true })
  incidentId!: string | null;
  /** Deliveries that failed. */
  @Column({ name: 'attempts', type: 'integer', nullable: false, default: 0 })
  attempts!: number;
  /** At so many failed deliveries the alert is given up: `failed`. */
  @Column({ name: 'max_attempts', type: 'integer', nullable: false, default: 10 })
  maxAttempts!: number;
  @Column({ name: 'last_attempt_at', type: 'timestamptz', nullable: true })
  lastAttemptAt!: Date | null;
  /** Due from this instant on. */
  @Column({ name: 'next_attempt_at', type: 'timestamptz', nullable: false })
  nextAttemptAt!: Date;
  /** A worker has it until this instant, exclusive; null: nobody. */
  @Column({ name: 'locked_until', type: 'timestamptz', nullable: true })
  lockedUntil!: Date | null;
  @Column({ name: 'last_error', type: 'text', nullable: true })
  lastError!: string | null;
  @Column({ name: 'status', type: 'text', nullable: false, default: 'pending' })
  status!: (typeof ALERT_STATUSES)[number];
  @Column({ name: 'created_at', type: 'timestamptz', nullable: false })
  createdAt!: Date;
  /** Set exactly where the status is `sent`. */
  @Column({ name: 'sent_at', type: 'timestamptz', nullable: true })
  sentAt!: Date | null;
}

/** `costsim_alert_queue` beyond its entity (spec controls B.3, H.1): no tenant, a reference table on Citus. */
export const costSimAlertQueueCatalogue = declareTable({
  table: 'costsim_alert_queue',
  bytewise: ['id', 'incident_id'],
  checks: [
    charLength(1, 100, 'id', 'circuit_breaker_name', 'incident_id'),
    rule('payload', `jsonb_typeof(payload) = 'array' AND octet_length(payload::text) <= 65536`),
    oneOf('alert_type', ALERT_TYPES),
    notNegative('attempts'),
    rule('max_attempts', 'max_attempts >= 1'),
    rule('lease', `locked_until IS NULL OR status = 'pending'`),
    charLengthAtMost(500, 'last_error'),
    oneOf('status', ALERT_STATUSES),
    rule('sent_at', `(status = 'sent') = (sent_at IS NOT NULL)`),
  ],
  foreignKeys: [
    {
      name: 'fk_costsim_alert_queue_incident',
      definition: 'FOREIGN KEY (incident_id) REFERENCES costsim_cb_incidents (id) ON DELETE SET NULL',
    },
  ],
  indexes: [
    index('ix_alert_queue_ready', `(next_attempt_at, id) WHERE status = 'pending'`, 'claimDueAlerts'),
    index('ix_alert_queue_incident', '(incident_id)', 'fk_costsim_alert_queue_incident'),
    index('ix_alert_queue_status', '(status, created_at, id)', 'retryFailedAlerts, fetchAlertQueueStats'),
  ],
});
