import type { MigrationInterface, QueryRunner } from 'typeorm';

/** `limit_overrides`. */
export class SharedLimitOverrides1700000000023 implements MigrationInterface {
  readonly name = 'SharedLimitOverrides1700000000023';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(TABLE);
    await runner.query(INDEXES);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE limit_overrides');
  }
}

const TABLE = `
  CREATE TABLE limit_overrides (
    tenant_id text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    limit_id text COLLATE "C" NOT NULL,
    original_value numeric(20,6) NOT NULL,
    override_value numeric(20,6) NOT NULL,
    status text COLLATE "C" NOT NULL DEFAULT 'PENDING',
    duration_hours integer NOT NULL,
    requested_at timestamptz NOT NULL,
    approved_at timestamptz,
    starts_at timestamptz,
    expires_at timestamptz,
    cancelled_at timestamptz,
    rejected_at timestamptz,
    requested_by text NOT NULL,
    approved_by text,
    cancelled_by text,
    rejected_by text,
    reason text NOT NULL,
    rejection_reason text,
    audit_trail jsonb NOT NULL DEFAULT '[]',
    CONSTRAINT pk_limit_overrides PRIMARY KEY (tenant_id, id),
    CONSTRAINT fk_limit_overrides_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE RESTRICT,
    CONSTRAINT fk_limit_overrides_limit FOREIGN KEY (tenant_id, limit_id)
      REFERENCES limits (tenant_id, id) ON DELETE RESTRICT,
    CONSTRAINT ck_limit_overrides_tenant_id CHECK (char_length(tenant_id) BETWEEN 1 AND 100),
    CONSTRAINT ck_limit_overrides_id CHECK (char_length(id) BETWEEN 1 AND 100),
    CONSTRAINT ck_limit_overrides_limit_id CHECK (char_length(limit_id) BETWEEN 1 AND 100),
    CONSTRAINT ck_limit_overrides_original_value CHECK (original_value > 0 AND original_value < 'NaN'),
    CONSTRAINT ck_limit_overrides_increase CHECK (override_value > original_value AND override_value < 'NaN'),
    CONSTRAINT ck_limit_overrides_status
      CHECK (status IN ('PENDING', 'APPROVED', 'ACTIVE', 'EXPIRED', 'REJECTED', 'CANCELLED')),
    CONSTRAINT ck_limit_overrides_duration_hours CHECK (duration_hours BETWEEN 1 AND 168),
    CONSTRAINT ck_limit_overrides_window
      CHECK (CASE WHEN starts_at IS NULL THEN expires_at IS NULL ELSE COALESCE(expires_at > starts_at, false) END),
    CONSTRAINT ck_limit_overrides_live CHECK (status NOT IN ('ACTIVE', 'APPROVED')
      OR (approved_at IS NOT NULL AND starts_at IS NOT NULL AND expires_at IS NOT NULL)),
    CONSTRAINT ck_limit_overrides_requested_by CHECK (char_length(requested_by) BETWEEN 1 AND 128),
    CONSTRAINT ck_limit_overrides_approved_by CHECK (char_length(approved_by) <= 128),
    CONSTRAINT ck_limit_overrides_cancelled_by CHECK (char_length(cancelled_by) <= 128),
    CONSTRAINT ck_limit_overrides_rejected_by CHECK (char_length(rejected_by) <= 128),
    CONSTRAINT ck_limit_overrides_reason CHECK (char_length(reason) BETWEEN 10 AND 500),
    CONSTRAINT ck_limit_overrides_rejection_reason CHECK (char_length(rejection_reason) <= 500),
    CONSTRAINT ck_limit_overrides_rejected CHECK (status <> 'REJECTED' OR rejection_reason IS NOT NULL),
    CONSTRAINT ck_limit_overrides_audit_trail
      CHECK (jsonb_typeof(audit_trail) = 'array' AND octet_length(audit_trail::text) <= 65536)
  )`;

const INDEXES = `
  CREATE UNIQUE INDEX uq_limit_overrides_live ON limit_overrides (tenant_id, limit_id)
    WHERE status IN ('PENDING', 'APPROVED', 'ACTIVE');
  CREATE INDEX ix_limit_overrides_list ON limit_overrides (tenant_id, requested_at DESC, id DESC);
  CREATE INDEX ix_limit_overrides_status ON limit_overrides (tenant_id, status, requested_at DESC, id DESC);
  CREATE INDEX ix_limit_overrides_limit ON limit_overrides (tenant_id, limit_id, requested_at DESC, id DESC);
  CREATE INDEX ix_limit_overrides_due ON limit_overrides (tenant_id, starts_at, id) WHERE status = 'APPROVED';
  CREATE INDEX ix_limit_overrides_expiry ON limit_overrides (tenant_id, expires_at, id)
    WHERE status IN ('PENDING', 'APPROVED', 'ACTIVE');
  CREATE INDEX ix_limit_overrides_due_all ON limit_overrides (starts_at, tenant_id, id) WHERE status = 'APPROVED';
  COMMENT ON INDEX ix_limit_overrides_due_all IS 'system-wide: detectTenantsWithDueOverrides';
  CREATE INDEX ix_limit_overrides_expiry_all ON limit_overrides (expires_at, tenant_id, id)
    WHERE status IN ('PENDING', 'APPROVED', 'ACTIVE');
  COMMENT ON INDEX ix_limit_overrides_expiry_all IS 'system-wide: expireOverrides, detectTenantsWithDueOverrides'`;
