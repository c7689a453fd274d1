import type { MigrationInterface, QueryRunner } from 'typeorm';

/** `decision_records` and `provenances`; both need `runs`. */
export class ControlsDecisions1700000003002 implements MigrationInterface {
  readonly name = 'ControlsDecisions1700000003002';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(DECISION_RECORDS);
    await runner.query(PROVENANCES);
    await runner.query(INDEXES);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE provenances, decision_records');
  }
}

const DECISION_RECORDS = `
  CREATE TABLE decision_records (
    tenant_id text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    decision_type text COLLATE "C" NOT NULL,
    decision_source text COLLATE "C" NOT NULL,
    decision_trigger text COLLATE "C" NOT NULL,
    decision_inputs jsonb NOT NULL DEFAULT '{}',
    decision_outcome text COLLATE "C" NOT NULL,
    decision_reason text,
    run_id text COLLATE "C",
    workflow_id text COLLATE "C",
    causal_role text COLLATE "C" NOT NULL DEFAULT 'in_run',
    details jsonb NOT NULL DEFAULT '{}',
    decided_at timestamptz NOT NULL,
    CONSTRAINT pk_decision_records PRIMARY KEY (tenant_id, id),
    CONSTRAINT fk_decision_records_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE RESTRICT,
    CONSTRAINT fk_decision_records_run FOREIGN KEY (tenant_id, run_id)
      REFERENCES runs (tenant_id, id) ON DELETE RESTRICT,
    CONSTRAINT ck_decision_records_tenant_id CHECK (char_length(tenant_id) BETWEEN 1 AND 100),
    CONSTRAINT ck_decision_records_id CHECK (char_length(id) BETWEEN 1 AND 100),
    CONSTRAINT ck_decision_records_run_id CHECK (char_length(run_id) BETWEEN 1 AND 100),
    CONSTRAINT ck_decision_records_decision_type
      CHECK (decision_type IN ('budget_enforcement', 'budget', 'policy', 'recovery', 'routing', 'memory')),
    CONSTRAINT ck_decision_records_decision_source CHECK (decision_source IN ('human', 'system', 'hybrid')),
    CONSTRAINT ck_decision_records_decision_trigger CHECK (decision_trigger IN ('explicit', 'autonomous', 'reactive')),
    CONSTRAINT ck_decision_records_decision_inputs
      CHECK (jsonb_typeof(decision_inputs) = 'object' AND octet_length(decision_inputs::text) <= 65536),
    CONSTRAINT ck_decision_records_decision_outcome
      CHECK (decision_outcome IN ('selected', 'rejected', 'skipped', 'blocked', 'none', 'execution_halted')),
    CONSTRAINT ck_decision_records_decision_reason CHECK (char_length(decision_reason) <= 1000),
    CONSTRAINT ck_decision_records_workflow_id CHECK (char_length(workflow_id) <= 100),
    CONSTRAINT ck_decision_records_causal_role CHECK (causal_role IN ('pre_run', 'in_run', 'post_run')),
    CONSTRAINT ck_decision_records_details
      CHECK (jsonb_typeof(details) = 'object' AND octet_length(details::text) <= 65536)
  )`;

// No foreign key to the tenant: a row reaches it through its run.
const PROVENANCES = `
  CREATE TABLE provenances (
    tenant_id text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    run_id text COLLATE "C" NOT NULL,
    agent_id text COLLATE "C",
    status text COLLATE "C" NOT NULL DEFAULT 'completed',
    plan_json jsonb,
    tool_calls_json jsonb,
    error_message text,
    attempts integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    started_at timestamptz,
    completed_at timestamptz,
    duration_ms double precision,
    CONSTRAINT pk_provenances PRIMARY KEY (tenant_id, id),
    CONSTRAINT fk_provenances_run FOREIGN KEY (tenant_id, run_id)
      REFERENCES runs (tenant_id, id) ON DELETE RESTRICT,
    CONSTRAINT ck_provenances_tenant_id CHECK (char_length(tenant_id) BETWEEN 1 AND 100),
    CONSTRAINT ck_provenances_id CHECK (char_length(id) BETWEEN 1 AND 100),
    CONSTRAINT ck_provenances_run_id CHECK (char_length(run_id) BETWEEN 1 AND 100),
    CONSTRAINT ck_provenances_agent_id CHECK (char_length(agent_id) BETWEEN 1 AND 100),
    CONSTRAINT ck_provenances_status
      CHECK (status IN ('pending', 'running', 'completed', 'failed', 'partial', 'halted')),
    CONSTRAINT ck_provenances_plan_json
      CHECK (jsonb_typeof(plan_json) = 'object' AND octet_length(plan_json::text) <= 65536),
    CONSTRAINT ck_provenances_tool_calls_json
      CHECK (jsonb_typeof(tool_calls_json) = 'array' AND octet_length(tool_calls_json::text) <= 65536),
    CONSTRAINT ck_provenances_attempts CHECK (attempts >= 0),
    CONSTRAINT ck_provenances_duration_ms CHECK (duration_ms >= 0 AND duration_ms < 'Infinity')
  )`;

const INDEXES = `
  CREATE UNIQUE INDEX uq_decision_budget_run ON decision_records (tenant_id, run_id)
    WHERE decision_type = 'budget_enforcement';
  CREATE INDEX ix_decision_records_run ON decision_records (tenant_id, run_id, decided_at DESC, id DESC);
  CREATE INDEX ix_decision_records_type ON decision_records (tenant_id, decision_type, decided_at DESC, id DESC);
  CREATE INDEX ix_provenances_run ON provenances (tenant_id, run_id, created_at DESC, id DESC)`;
