import { charLength, declareTable, index, oneOf, rule, systemWide } from '@hoc/shared/models';
import { Column, Entity, PrimaryColumn } from 'typeorm';

/** The column's values; the schemas export the same list, which models may not import. */
const FEEDBACK_STATES = Object.freeze(['ACKNOWLEDGED', 'SUPPRESSED', 'REOPENED', 'EVALUATED'] as const);

/**
 * What somebody said of a signal: one row an answer, and the newest of a fingerprint counts. Only an ended suppression
 * changes: SUPPRESSED → EVALUATED.
 */
@Entity('signal_feedback', { synchronize: false })
export class SignalFeedbackEntity {
  @PrimaryColumn({ name: 'tenant_id', type: 'text', primaryKeyConstraintName: 'pk_signal_feedback' })
  tenantId!: string;
  @PrimaryColumn({ name: 'id', type: 'text', primaryKeyConstraintName: 'pk_signal_feedback' })
  id!: string;
  @Column({ name: 'signal_fingerprint', type: 'text', nullable: false })
  signalFingerprint!: string;
  @Column({ name: 'feedback_state', type: 'text', nullable: false })
  feedbackState!: (typeof FEEDBACK_STATES)[number];
  @Column({ name: 'actor_id', type: 'text', nullable: false })
  actorId!: string;
  /** It holds from this instant on. */
  @Column({ name: 'as_of', type: 'timestamptz', nullable: false })
  asOf!: Date;
  /** Null exactly where `expires_at` is: an answer that holds until the next one. */
  @Column({ name: 'ttl_seconds', type: 'integer', nullable: true })
  ttlSeconds!: number | null;
  /** Exclusive. */
  @Column({ name: 'expires_at', type: 'timestamptz', nullable: true })
  expiresAt!: Date | null;
  /** Of one action on many signals: its id, a hash of the set that was meant, and its size. */
  @Column({ name: 'bulk_action_id', type: 'text', nullable: true })
  bulkActionId!: string | null;
  @Column({ name: 'target_set_hash', type: 'text', nullable: true })
  targetSetHash!: string | null;
  @Column({ name: 'target_count', type: 'integer', nullable: true })
  targetCount!: number | null;
  @Column({ name: 'created_at', type: 'timestamptz', nullable: false })
  createdAt!: Date;
  @Column({ name: 'updated_at', type: 'timestamptz', nullable: false })
  updatedAt!: Date;
}

const SUPPRESSED = `feedback_state = 'SUPPRESSED'`;

/** `signal_feedback` beyond its entity (spec activity H.1). */
export const signalFeedbackCatalogue = declareTable({
  table: 'signal_feedback',
  bytewise: ['tenant_id', 'id', 'signal_fingerprint', 'actor_id', 'bulk_action_id'],
  checks: [
    charLength(1, 100, 'tenant_id', 'id', 'bulk_action_id', 'target_set_hash'),
    rule('signal_fingerprint', `signal_fingerprint ~ '^[0-9a-f]{32}$'`),
    oneOf('feedback_state', FEEDBACK_STATES),
    charLength(1, 200, 'actor_id'),
    rule('ttl_seconds', 'ttl_seconds BETWEEN 1 AND 31536000'),
    rule('expires_at', 'expires_at > as_of'),
    rule(
      'suppression',
      `(ttl_seconds IS NULL) = (expires_at IS NULL) AND (expires_at IS NOT NULL OR feedback_state <> 'SUPPRESSED')`,
    ),
    rule('target_count', 'target_count >= 0'),
  ],
  foreignKeys: [
    {
      name: 'fk_signal_feedback_tenant',
      definition: 'FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE RESTRICT',
    },
  ],
  indexes: [
    index(
      'ix_signal_feedback_latest',
      '(tenant_id, signal_fingerprint, created_at DESC, id DESC)',
      'fetchLatestFeedback, getSignalFeedback',
    ),
    index(
      'ix_signal_feedback_tenant_suppressed',
      `(tenant_id, expires_at, id) WHERE ${SUPPRESSED}`,
      'fetchActiveSuppressions',
    ),
    systemWide(
      'ix_signal_feedback_expiry',
      `(expires_at, tenant_id, id) WHERE ${SUPPRESSED}`,
      'markExpiredAsEvaluated',
    ),
  ],
});
