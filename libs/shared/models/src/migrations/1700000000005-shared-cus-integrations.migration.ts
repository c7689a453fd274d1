import type { MigrationInterface, QueryRunner } from 'typeorm';

/** `cus_integrations`. */
export class SharedCusIntegrations1700000000005 implements MigrationInterface {
  readonly name = 'SharedCusIntegrations1700000000005';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(TABLE);
    await runner.query(INDEXES);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE cus_integrations');
  }
}

const TABLE = `
  CREATE TABLE cus_integrations (
    tenant_id text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    provider_type text COLLATE "C" NOT NULL,
    credential_ref text NOT NULL,
    config jsonb NOT NULL DEFAULT '{}',
    status text COLLATE "C" NOT NULL DEFAULT 'created',
    health_state text COLLATE "C" NOT NULL DEFAULT 'unknown',
    health_checked_at timestamptz,
    health_check_started_at timestamptz,
    health_message text,
    default_model text,
    budget_limit_cents numeric(20,6) NOT NULL DEFAULT 0,
    token_limit_month bigint NOT NULL DEFAULT 0,
    rate_limit_rpm integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    created_by text,
    deleted_at timestamptz,
    CONSTRAINT pk_cus_integrations PRIMARY KEY (tenant_id, id),
    CONSTRAINT fk_cus_integrations_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE RESTRICT,
    CONSTRAINT ck_cus_integrations_tenant_id CHECK (char_length(tenant_id) BETWEEN 1 AND 100),
    CONSTRAINT ck_cus_integrations_id CHECK (char_length(id) BETWEEN 1 AND 100),
    CONSTRAINT ck_cus_integrations_name CHECK (char_length(name) BETWEEN 1 AND 255 AND name = btrim(name)),
    CONSTRAINT ck_cus_integrations_provider_type
      CHECK (provider_type IN ('openai', 'anthropic', 'azure_openai', 'bedrock', 'custom')),
    CONSTRAINT ck_cus_integrations_credential_ref CHECK (
      char_length(credential_ref) BETWEEN 1 AND 4096 AND credential_ref ~ '^(vault|cus-vault|encrypted|env)://.'
    ),
    CONSTRAINT ck_cus_integrations_config CHECK (jsonb_typeof(config) = 'object'),
    CONSTRAINT ck_cus_integrations_config_size CHECK (octet_length(config::text) <= 65536),
    CONSTRAINT ck_cus_integrations_status CHECK (status IN ('created', 'enabled', 'disabled', 'error')),
    CONSTRAINT ck_cus_integrations_health_state CHECK (health_state IN ('unknown', 'healthy', 'degraded', 'failing')),
    CONSTRAINT ck_cus_integrations_health_message CHECK (char_length(health_message) <= 2000),
    CONSTRAINT ck_cus_integrations_default_model CHECK (char_length(default_model) BETWEEN 1 AND 100),
    CONSTRAINT ck_cus_integrations_budget_limit_cents
      CHECK (budget_limit_cents >= 0 AND budget_limit_cents < 'NaN'),
    CONSTRAINT ck_cus_integrations_token_limit_month CHECK (token_limit_month BETWEEN 0 AND 9007199254740991),
    CONSTRAINT ck_cus_integrations_rate_limit_rpm CHECK (rate_limit_rpm >= 0),
    CONSTRAINT ck_cus_integrations_created_by CHECK (char_length(created_by) BETWEEN 1 AND 100),
    CONSTRAINT ck_cus_integrations_deleted_at CHECK (deleted_at IS NULL OR status = 'disabled')
  )`;

const INDEXES = `
  CREATE UNIQUE INDEX uq_cus_integrations_tenant_name ON cus_integrations (tenant_id, name) WHERE deleted_at IS NULL;
  CREATE INDEX ix_cus_integrations_tenant_created ON cus_integrations (tenant_id, created_at DESC, id DESC);
  CREATE INDEX ix_cus_integrations_tenant_status ON cus_integrations
    (tenant_id, status, created_at DESC, id DESC) WHERE deleted_at IS NULL;
  CREATE INDEX ix_cus_integrations_tenant_provider ON cus_integrations
    (tenant_id, provider_type, created_at DESC, id DESC) WHERE deleted_at IS NULL;
  CREATE INDEX ix_cus_integrations_stale ON cus_integrations
    (tenant_id, health_checked_at ASC NULLS FIRST, id) WHERE status = 'enabled' AND deleted_at IS NULL`;
