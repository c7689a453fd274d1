import type { MigrationInterface, QueryRunner } from 'typeorm';

/** `signal_feedback`. */
export class ActivitySignalFeedback1700000001001 implements MigrationInterface {
  readonly name = 'ActivitySignalFeedback1700000001001';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE signal_feedback (
        tenant_id text COLLATE "C" NOT NULL,
        id text COLLATE "C" NOT NULL,
        signal_fingerprint text COLLATE "C" NOT NULL,
        feedback_state text COLLATE "C" NOT NULL,
        actor_id text COLLATE "C" NOT NULL,
        as_of timestamptz NOT NULL,
        ttl_seconds integer,
        expires_at timestamptz,
        bulk_action_id text COLLATE "C",
        target_set_hash text,
        target_count integer,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        CONSTRAINT pk_signal_feedback PRIMARY KEY (tenant_id, id),
        CONSTRAINT fk_signal_feedback_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE RESTRICT,
        CONSTRAINT ck_signal_feedback_tenant_id CHECK (char_length(tenant_id) BETWEEN 1 AND 100),
        CONSTRAINT ck_signal_feedback_id CHECK (char_length(id) BETWEEN 1 AND 100),
        CONSTRAINT ck_signal_feedback_bulk_action_id CHECK (char_length(bulk_action_id) BETWEEN 1 AND 100),
        CONSTRAINT ck_signal_feedback_target_set_hash CHECK (char_length(target_set_hash) BETWEEN 1 AND 100),
        CONSTRAINT ck_signal_feedback_signal_fingerprint CHECK (signal_fingerprint ~ '^[0-9a-f]{32}$'),
        CONSTRAINT ck_signal_feedback_feedback_state
          CHECK (feedback_state IN ('ACKNOWLEDGED', 'SUPPRESSED', 'REOPENED', 'EVALUATED')),
        CONSTRAINT ck_signal_feedback_actor_id CHECK (char_length(actor_id) BETWEEN 1 AND 200),
        CONSTRAINT ck_signal_feedback_ttl_seconds CHECK (ttl_seconds BETWEEN 1 AND 31536000),
        CONSTRAINT ck_signal_feedback_expires_at CHECK (expires_at > as_of),
        CONSTRAINT ck_signal_feedback_suppression
          CHECK ((ttl_seconds IS NULL) = (expires_at IS NULL) AND (expires_at IS NOT NULL OR feedback_state <> 'SUPPRESSED')),
        CONSTRAINT ck_signal_feedback_target_count CHECK (target_count >= 0)
      )`);
    await runner.query(
      'CREATE INDEX ix_signal_feedback_latest ON signal_feedback (tenant_id, signal_fingerprint, created_at DESC, id DESC)',
    );
    await runner.query(
      `CREATE INDEX ix_signal_feedback_tenant_suppressed ON signal_feedback (tenant_id, expires_at, id)
       WHERE feedback_state = 'SUPPRESSED'`,
    );
    await runner.query(
      `CREATE INDEX ix_signal_feedback_expiry ON signal_feedback (expires_at, tenant_id, id)
       WHERE feedback_state = 'SUPPRESSED'`,
    );
    await runner.query(`COMMENT ON INDEX ix_signal_feedback_expiry IS 'system-wide: markExpiredAsEvaluated'`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE signal_feedback');
  }
}
