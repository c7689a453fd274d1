import type { MigrationInterface, QueryRunner } from 'typeorm';

/** `ops_events`. */
export class ControlsOpsEvents1700000003003 implements MigrationInterface {
  readonly name = 'ControlsOpsEvents1700000003003';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(TABLE);
    await runner.query(INDEXES);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE ops_events');
  }
}

const TABLE = `
  CREATE TABLE ops_events (
    tenant_id text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    occurred_at timestamptz NOT NULL,
    event_type text COLLATE "C" NOT NULL,
    entity_type text COLLATE "C",
    entity_id text COLLATE "C",
    severity smallint,
    latency_ms integer,
    cost_cents numeric(20,6),
    metadata jsonb NOT NULL DEFAULT '{}',
    idempotency_key text COLLATE "C" NOT NULL,
    CONSTRAINT pk_ops_events PRIMARY KEY (tenant_id, id),
    CONSTRAINT ck_ops_events_tenant_id CHECK (char_length(tenant_id) BETWEEN 1 AND 100),
    CONSTRAINT ck_ops_events_id CHECK (char_length(id) BETWEEN 1 AND 100),
    CONSTRAINT ck_ops_events_event_type CHECK (event_type IN (
      'API_CALL_RECEIVED', 'INCIDENT_CREATED', 'POLICY_EVALUATED', 'POLICY_BLOCKED', 'LLM_CALL_MADE', 'LLM_CALL_FAILED',
      'INFRA_LIMIT_HIT', 'FREEZE_ACTIVATED')),
    CONSTRAINT ck_ops_events_entity_type
      CHECK (entity_type IN ('incident', 'policy', 'llm_call', 'api_key', 'tenant', 'user')),
    CONSTRAINT ck_ops_events_entity_id CHECK (char_length(entity_id) <= 100),
    CONSTRAINT ck_ops_events_severity CHECK (severity BETWEEN 1 AND 5),
    CONSTRAINT ck_ops_events_latency_ms CHECK (latency_ms >= 0),
    CONSTRAINT ck_ops_events_cost_cents CHECK (cost_cents >= 0 AND cost_cents < 'NaN'),
    CONSTRAINT ck_ops_events_metadata
      CHECK (jsonb_typeof(metadata) = 'object' AND octet_length(metadata::text) <= 65536),
    CONSTRAINT ck_ops_events_idempotency_key CHECK (char_length(idempotency_key) BETWEEN 1 AND 300)
  )`;

const INDEXES = `
  CREATE UNIQUE INDEX uq_ops_events_idempotency ON ops_events (tenant_id, idempotency_key);
  CREATE INDEX ix_ops_events_time ON ops_events (tenant_id, occurred_at DESC, id DESC);
  CREATE INDEX ix_ops_events_type ON ops_events (tenant_id, event_type, occurred_at DESC, id DESC);
  CREATE INDEX ix_ops_events_entity ON ops_events (tenant_id, entity_type, entity_id)`;
