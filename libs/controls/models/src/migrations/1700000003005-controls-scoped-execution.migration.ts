import type { MigrationInterface, QueryRunner } from 'typeorm';

/** `execution_scopes` and `execution_scope_attempts`. */
export class ControlsScopedExecution1700000003005 implements MigrationInterface {
  readonly name = 'ControlsScopedExecution1700000003005';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(SCOPES);
    await runner.query(ATTEMPTS);
    await runner.query(INDEXES);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE execution_scope_attempts');
    await runner.query('DROP TABLE execution_scopes');
  }
}

const SCOPES = `
  CREATE TABLE execution_scopes (
    tenant_id text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    incident_id text COLLATE "C" NOT NULL,
    allowed_actions text[] COLLATE "C" NOT NULL,
    target_agents text[] COLLATE "C" NOT NULL DEFAULT '{}',
    max_cost_cents numeric(20,6) NOT NULL DEFAULT 50,
    max_attempts integer NOT NULL DEFAULT 1,
    cost_used_cents numeric(20,6) NOT NULL DEFAULT 0,
    attempts_used integer NOT NULL DEFAULT 0,
    intent text NOT NULL,
    status text COLLATE "C" NOT NULL DEFAULT 'active',
    created_by text NOT NULL DEFAULT 'system',
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    revoked_by text,
    CONSTRAINT pk_execution_scopes PRIMARY KEY (tenant_id, id),
    CONSTRAINT fk_execution_scopes_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE RESTRICT,
    CONSTRAINT ck_execution_scopes_tenant_id CHECK (char_length(tenant_id) BETWEEN 1 AND 100),
    CONSTRAINT ck_execution_scopes_id CHECK (char_length(id) BETWEEN 1 AND 100),
    CONSTRAINT ck_execution_scopes_incident_id CHECK (char_length(incident_id) BETWEEN 1 AND 100),
    CONSTRAINT ck_execution_scopes_allowed_actions CHECK (cardinality(allowed_actions) BETWEEN 1 AND 20
      AND array_position(allowed_actions, NULL) IS NULL
      AND NOT jsonb_path_exists(to_jsonb(allowed_actions), '$[*] ? (!(@ like_regex "^.{1,100}$"))')),
    CONSTRAINT ck_execution_scopes_target_agents CHECK (cardinality(target_agents) <= 100
      AND array_position(target_agents, NULL) IS NULL
      AND NOT jsonb_path_exists(to_jsonb(target_agents), '$[*] ? (!(@ like_regex "^.{1,100}$"))')),
    CONSTRAINT ck_execution_scopes_max_cost_cents CHECK (max_cost_cents >= 0 AND max_cost_cents < 'NaN'),
    CONSTRAINT ck_execution_scopes_max_attempts CHECK (max_attempts BETWEEN 1 AND 1000),
    CONSTRAINT ck_execution_scopes_cost CHECK (cost_used_cents >= 0 AND cost_used_cents <= max_cost_cents),
    CONSTRAINT ck_execution_scopes_attempts CHECK (attempts_used >= 0 AND attempts_used <= max_attempts),
    CONSTRAINT ck_execution_scopes_intent CHECK (char_length(intent) BETWEEN 1 AND 500),
    CONSTRAINT ck_execution_scopes_status CHECK (status IN ('active', 'exhausted', 'expired', 'revoked')),
    CONSTRAINT ck_execution_scopes_created_by CHECK (char_length(created_by) BETWEEN 1 AND 128),
    CONSTRAINT ck_execution_scopes_revoked_by CHECK (char_length(revoked_by) BETWEEN 1 AND 128),
    CONSTRAINT ck_execution_scopes_expires_at CHECK (expires_at > created_at)
  )`;

const ATTEMPTS = `
  CREATE TABLE execution_scope_attempts (
    tenant_id text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    scope_id text COLLATE "C" NOT NULL,
    attempt_number integer NOT NULL,
    action text NOT NULL,
    cost_cents numeric(20,6) NOT NULL,
    parameters jsonb NOT NULL DEFAULT '{}',
    idempotency_key text COLLATE "C",
    executed_at timestamptz NOT NULL,
    CONSTRAINT pk_execution_scope_attempts PRIMARY KEY (tenant_id, id),
    CONSTRAINT fk_execution_scope_attempts_scope FOREIGN KEY (tenant_id, scope_id)
      REFERENCES execution_scopes (tenant_id, id) ON DELETE RESTRICT,
    CONSTRAINT ck_execution_scope_attempts_tenant_id CHECK (char_length(tenant_id) BETWEEN 1 AND 100),
    CONSTRAINT ck_execution_scope_attempts_id CHECK (char_length(id) BETWEEN 1 AND 100),
    CONSTRAINT ck_execution_scope_attempts_scope_id CHECK (char_length(scope_id) BETWEEN 1 AND 100),
    CONSTRAINT ck_execution_scope_attempts_action CHECK (char_length(action) BETWEEN 1 AND 100),
    CONSTRAINT ck_execution_scope_attempts_attempt_number CHECK (attempt_number >= 1),
    CONSTRAINT ck_execution_scope_attempts_cost_cents CHECK (cost_cents >= 0 AND cost_cents < 'NaN'),
    CONSTRAINT ck_execution_scope_attempts_parameters CHECK (octet_length(parameters::text) <= 65536),
    CONSTRAINT ck_execution_scope_attempts_idempotency_key CHECK (char_length(idempotency_key) BETWEEN 1 AND 200)
  )`;

const INDEXES = `
  CREATE INDEX ix_execution_scopes_incident ON execution_scopes (tenant_id, incident_id, created_at DESC, id DESC);
  CREATE INDEX ix_execution_scopes_expiry ON execution_scopes (expires_at, tenant_id, id) WHERE status = 'active';
  COMMENT ON INDEX ix_execution_scopes_expiry IS 'system-wide: cleanupExpired';
  CREATE UNIQUE INDEX uq_execution_scope_attempts_number
    ON execution_scope_attempts (tenant_id, scope_id, attempt_number);
  CREATE UNIQUE INDEX uq_execution_scope_attempts_key
    ON execution_scope_attempts (tenant_id, scope_id, idempotency_key) WHERE idempotency_key IS NOT NULL`;
