import type { MigrationInterface, QueryRunner } from 'typeorm';

/** `cus_usage_daily`. */
export class SharedCusUsageDaily1700000000007 implements MigrationInterface {
  readonly name = 'SharedCusUsageDaily1700000000007';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(TABLE);
    await runner.query(
      'CREATE INDEX ix_cus_usage_daily_tenant_date ON cus_usage_daily (tenant_id, date, integration_id)',
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE cus_usage_daily');
  }
}

// Every call that is recorded updates the row of its day, and no index holds a column that such an update changes:
// with half of each page free the new version stays on the page (heap-only), and neither index grows.
const TABLE = `
  CREATE TABLE cus_usage_daily (
    tenant_id text COLLATE "C" NOT NULL,
    integration_id text COLLATE "C" NOT NULL,
    date date NOT NULL,
    total_calls bigint NOT NULL DEFAULT 0,
    error_count bigint NOT NULL DEFAULT 0,
    blocked_count bigint NOT NULL DEFAULT 0,
    total_tokens_in bigint NOT NULL DEFAULT 0,
    total_tokens_out bigint NOT NULL DEFAULT 0,
    total_cost_cents numeric(20,6) NOT NULL DEFAULT 0,
    latency_total_ms bigint NOT NULL DEFAULT 0,
    latency_count bigint NOT NULL DEFAULT 0,
    avg_latency_ms integer
      GENERATED ALWAYS AS (round(latency_total_ms::numeric / NULLIF(latency_count, 0))::integer) STORED,
    updated_at timestamptz NOT NULL,
    CONSTRAINT pk_cus_usage_daily PRIMARY KEY (tenant_id, integration_id, date),
    CONSTRAINT fk_cus_usage_daily_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE RESTRICT,
    CONSTRAINT fk_cus_usage_daily_integration FOREIGN KEY (tenant_id, integration_id)
      REFERENCES cus_integrations (tenant_id, id) ON DELETE RESTRICT,
    CONSTRAINT ck_cus_usage_daily_tenant_id CHECK (char_length(tenant_id) BETWEEN 1 AND 100),
    CONSTRAINT ck_cus_usage_daily_integration_id CHECK (char_length(integration_id) BETWEEN 1 AND 100),
    CONSTRAINT ck_cus_usage_daily_total_calls CHECK (total_calls >= 0),
    CONSTRAINT ck_cus_usage_daily_error_count CHECK (error_count >= 0 AND error_count <= total_calls),
    CONSTRAINT ck_cus_usage_daily_blocked_count CHECK (blocked_count >= 0 AND blocked_count <= total_calls),
    CONSTRAINT ck_cus_usage_daily_total_tokens_in CHECK (total_tokens_in >= 0),
    CONSTRAINT ck_cus_usage_daily_total_tokens_out CHECK (total_tokens_out >= 0),
    CONSTRAINT ck_cus_usage_daily_total_cost_cents CHECK (total_cost_cents >= 0 AND total_cost_cents < 'NaN'),
    CONSTRAINT ck_cus_usage_daily_latency_total_ms CHECK (latency_total_ms >= 0),
    CONSTRAINT ck_cus_usage_daily_latency_count CHECK (latency_count >= 0)
  ) WITH (fillfactor = 50)`;
