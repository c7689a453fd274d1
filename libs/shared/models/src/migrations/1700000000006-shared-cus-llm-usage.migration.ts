import type { MigrationInterface, QueryRunner } from 'typeorm';

/** `cus_llm_usage`. */
export class SharedCusLlmUsage1700000000006 implements MigrationInterface {
  readonly name = 'SharedCusLlmUsage1700000000006';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(TABLE);
    await runner.query(INDEXES);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE cus_llm_usage');
  }
}

const TABLE = `
  CREATE TABLE cus_llm_usage (
    tenant_id text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    integration_id text COLLATE "C" NOT NULL,
    session_id text COLLATE "C",
    agent_id text COLLATE "C",
    call_id text COLLATE "C" NOT NULL,
    provider text NOT NULL,
    model text NOT NULL,
    tokens_in bigint NOT NULL,
    tokens_out bigint NOT NULL,
    cost_cents numeric(20,6) NOT NULL,
    latency_ms integer,
    policy_result text COLLATE "C" NOT NULL DEFAULT 'allowed',
    error_code text,
    error_message text,
    metadata jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    CONSTRAINT pk_cus_llm_usage PRIMARY KEY (tenant_id, id),
    CONSTRAINT fk_cus_llm_usage_integration FOREIGN KEY (tenant_id, integration_id)
      REFERENCES cus_integrations (tenant_id, id) ON DELETE RESTRICT,
    CONSTRAINT ck_cus_llm_usage_tenant_id CHECK (char_length(tenant_id) BETWEEN 1 AND 100),
    CONSTRAINT ck_cus_llm_usage_id CHECK (char_length(id) BETWEEN 1 AND 100),
    CONSTRAINT ck_cus_llm_usage_integration_id CHECK (char_length(integration_id) BETWEEN 1 AND 100),
    CONSTRAINT ck_cus_llm_usage_session_id CHECK (char_length(session_id) BETWEEN 1 AND 100),
    CONSTRAINT ck_cus_llm_usage_agent_id CHECK (char_length(agent_id) BETWEEN 1 AND 100),
    CONSTRAINT ck_cus_llm_usage_call_id CHECK (char_length(call_id) BETWEEN 1 AND 255),
    CONSTRAINT ck_cus_llm_usage_provider CHECK (char_length(provider) BETWEEN 1 AND 50),
    CONSTRAINT ck_cus_llm_usage_model CHECK (char_length(model) BETWEEN 1 AND 100),
    CONSTRAINT ck_cus_llm_usage_tokens_in CHECK (tokens_in >= 0),
    CONSTRAINT ck_cus_llm_usage_tokens_out CHECK (tokens_out >= 0),
    CONSTRAINT ck_cus_llm_usage_cost_cents CHECK (cost_cents >= 0 AND cost_cents < 'NaN'),
    CONSTRAINT ck_cus_llm_usage_latency_ms CHECK (latency_ms >= 0),
    CONSTRAINT ck_cus_llm_usage_policy_result CHECK (policy_result IN ('allowed', 'warned', 'blocked')),
    CONSTRAINT ck_cus_llm_usage_error_code CHECK (char_length(error_code) BETWEEN 1 AND 50),
    CONSTRAINT ck_cus_llm_usage_error_message CHECK (char_length(error_message) <= 8000)
  )`;

const INDEXES = `
  CREATE UNIQUE INDEX uq_cus_llm_usage_tenant_call ON cus_llm_usage (tenant_id, call_id);
  CREATE INDEX ix_cus_llm_usage_tenant_created ON cus_llm_usage (tenant_id, created_at DESC, id DESC);
  CREATE INDEX ix_cus_llm_usage_tenant_integration_created ON cus_llm_usage
    (tenant_id, integration_id, created_at DESC, id DESC);
  CREATE INDEX ix_cus_llm_usage_tenant_agent_created ON cus_llm_usage
    (tenant_id, agent_id, created_at DESC, id DESC) WHERE agent_id IS NOT NULL`;
