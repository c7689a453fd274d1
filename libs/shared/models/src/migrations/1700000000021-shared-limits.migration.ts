import type { MigrationInterface, QueryRunner } from 'typeorm';

/** `limits`. */
export class SharedLimits1700000000021 implements MigrationInterface {
  readonly name = 'SharedLimits1700000000021';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(TABLE);
    await runner.query(INDEXES);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE limits');
  }
}

const TABLE = `
  CREATE TABLE limits (
    tenant_id text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    name text NOT NULL,
    description text,
    limit_category text COLLATE "C" NOT NULL,
    limit_type text NOT NULL,
    scope text COLLATE "C" NOT NULL DEFAULT 'TENANT',
    scope_id text COLLATE "C",
    max_value numeric(20,6) NOT NULL,
    reset_period text COLLATE "C",
    next_reset_at timestamptz,
    window_seconds integer,
    measurement_window_seconds integer,
    params jsonb NOT NULL DEFAULT '{}',
    enforcement text COLLATE "C" NOT NULL DEFAULT 'BLOCK',
    consequence text COLLATE "C",
    status text COLLATE "C" NOT NULL DEFAULT 'ACTIVE',
    version integer NOT NULL DEFAULT 1,
    created_by text,
    updated_by text,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT pk_limits PRIMARY KEY (tenant_id, id),
    CONSTRAINT fk_limits_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE RESTRICT,
    CONSTRAINT ck_limits_tenant_id CHECK (char_length(tenant_id) BETWEEN 1 AND 100),
    CONSTRAINT ck_limits_id CHECK (char_length(id) BETWEEN 1 AND 100),
    CONSTRAINT ck_limits_name CHECK (char_length(name) BETWEEN 1 AND 256),
    CONSTRAINT ck_limits_description CHECK (char_length(description) <= 1024),
    CONSTRAINT ck_limits_category CHECK (limit_category IN ('BUDGET', 'RATE', 'THRESHOLD')),
    CONSTRAINT ck_limits_type CHECK (limit_type ~ '^[A-Z][A-Z0-9_]{0,31}$' AND limit_type <> 'COST_USD'),
    CONSTRAINT ck_limits_scope CHECK (scope IN ('GLOBAL', 'TENANT', 'PROJECT', 'AGENT', 'PROVIDER')),
    CONSTRAINT ck_limits_scope_id CHECK (char_length(scope_id) BETWEEN 1 AND 100),
    CONSTRAINT ck_limits_max_value CHECK (max_value >= 0 AND max_value < 'NaN'),
    CONSTRAINT ck_limits_reset_period CHECK (reset_period IN ('DAILY', 'WEEKLY', 'MONTHLY', 'NONE')),
    CONSTRAINT ck_limits_budget_reset CHECK (limit_category <> 'BUDGET' OR reset_period IS NOT NULL),
    CONSTRAINT ck_limits_window_seconds CHECK (window_seconds BETWEEN 1 AND 2678400),
    CONSTRAINT ck_limits_rate_window CHECK (limit_category <> 'RATE' OR window_seconds IS NOT NULL),
    CONSTRAINT ck_limits_measurement_window_seconds CHECK (measurement_window_seconds BETWEEN 1 AND 2678400),
    CONSTRAINT ck_limits_params CHECK (jsonb_typeof(params) = 'object' AND octet_length(params::text) <= 65536),
    CONSTRAINT ck_limits_enforcement CHECK (enforcement IN ('BLOCK', 'WARN', 'REJECT', 'QUEUE', 'DEGRADE', 'ALERT')),
    CONSTRAINT ck_limits_consequence CHECK (consequence IN ('ALERT', 'INCIDENT', 'ABORT')),
    CONSTRAINT ck_limits_status CHECK (status IN ('ACTIVE', 'DISABLED')),
    CONSTRAINT ck_limits_version CHECK (version >= 1),
    CONSTRAINT ck_limits_created_by CHECK (char_length(created_by) <= 128),
    CONSTRAINT ck_limits_updated_by CHECK (char_length(updated_by) <= 128)
  )`;

const INDEXES = `
  CREATE INDEX ix_limits_list ON limits (tenant_id, status, limit_category, created_at DESC, id DESC);
  CREATE INDEX ix_limits_scope_active ON limits (tenant_id, limit_category, scope, scope_id, created_at DESC, id DESC)
    WHERE status = 'ACTIVE'`;
