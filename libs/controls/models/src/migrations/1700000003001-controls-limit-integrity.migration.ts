import type { MigrationInterface, QueryRunner } from 'typeorm';

/** `limit_integrity`. */
export class ControlsLimitIntegrity1700000003001 implements MigrationInterface {
  readonly name = 'ControlsLimitIntegrity1700000003001';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(TABLE);
    await runner.query(INDEXES);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE limit_integrity');
  }
}

const TABLE = `
  CREATE TABLE limit_integrity (
    tenant_id text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    limit_id text COLLATE "C" NOT NULL,
    integrity_status text COLLATE "C" NOT NULL,
    integrity_score double precision NOT NULL,
    computed_at timestamptz NOT NULL,
    CONSTRAINT pk_limit_integrity PRIMARY KEY (tenant_id, id),
    CONSTRAINT fk_limit_integrity_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE RESTRICT,
    CONSTRAINT fk_limit_integrity_limit FOREIGN KEY (tenant_id, limit_id)
      REFERENCES limits (tenant_id, id) ON DELETE RESTRICT,
    CONSTRAINT ck_limit_integrity_tenant_id CHECK (char_length(tenant_id) BETWEEN 1 AND 100),
    CONSTRAINT ck_limit_integrity_id CHECK (char_length(id) BETWEEN 1 AND 100),
    CONSTRAINT ck_limit_integrity_limit_id CHECK (char_length(limit_id) BETWEEN 1 AND 100),
    CONSTRAINT ck_limit_integrity_integrity_status CHECK (integrity_status IN ('VERIFIED', 'DEGRADED', 'FAILED')),
    CONSTRAINT ck_limit_integrity_integrity_score CHECK (integrity_score >= 0 AND integrity_score <= 1)
  )`;

const INDEXES = `
  CREATE UNIQUE INDEX uq_limit_integrity_limit ON limit_integrity (tenant_id, limit_id);
  CREATE INDEX ix_limit_integrity_status ON limit_integrity (tenant_id, integrity_status, computed_at)`;
