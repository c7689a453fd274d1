import type { MigrationInterface, QueryRunner } from 'typeorm';

/** `runs`. */
export class SharedRuns1700000000002 implements MigrationInterface {
  readonly name = 'SharedRuns1700000000002';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(TABLE);
    await runner.query(INDEXES);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE runs');
  }
}

const TABLE = `
  CREATE TABLE runs (
    tenant_id text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    agent_id text COLLATE "C" NOT NULL,
    actor_type text COLLATE "C" NOT NULL DEFAULT 'SYSTEM',
    actor_id text COLLATE "C",
    origin_system_id text COLLATE "C" NOT NULL,
    goal text NOT NULL,
    status text COLLATE "C" NOT NULL DEFAULT 'queued',
    state text COLLATE "C" NOT NULL DEFAULT 'LIVE',
    attempts integer NOT NULL DEFAULT 0,
    max_attempts integer NOT NULL DEFAULT 3,
    error_message text,
    plan_json jsonb,
    tool_calls_json jsonb,
    idempotency_key text COLLATE "C",
    parent_run_id text COLLATE "C",
    priority integer NOT NULL DEFAULT 0,
    project_id text COLLATE "C",
    source text COLLATE "C" NOT NULL DEFAULT 'agent',
    provider_type text COLLATE "C" NOT NULL DEFAULT 'anthropic',
    risk_level text COLLATE "C" NOT NULL DEFAULT 'NORMAL',
    latency_bucket text COLLATE "C" NOT NULL DEFAULT 'OK',
    evidence_health text COLLATE "C" NOT NULL DEFAULT 'FLOWING',
    integrity_status text COLLATE "C" NOT NULL DEFAULT 'UNKNOWN',
    incident_count integer NOT NULL DEFAULT 0,
    policy_draft_count integer NOT NULL DEFAULT 0,
    policy_violation boolean NOT NULL DEFAULT false,
    input_tokens bigint,
    output_tokens bigint,
    estimated_cost_cents numeric(20,6),
    expected_latency_ms bigint,
    duration_ms bigint,
    authorization_decision text COLLATE "C" DEFAULT 'GRANTED',
    authorization_engine text,
    authorization_context jsonb,
    authorized_at timestamptz,
    authorized_by text,
    policy_snapshot_id text COLLATE "C",
    termination_reason text COLLATE "C",
    stopped_at_step integer,
    violation_policy_id text COLLATE "C",
    observability_status text COLLATE "C" NOT NULL DEFAULT 'FULL',
    observability_error text,
    is_synthetic boolean NOT NULL DEFAULT false,
    synthetic_scenario_id text COLLATE "C",
    created_at timestamptz NOT NULL,
    started_at timestamptz,
    last_seen_at timestamptz,
    completed_at timestamptz,
    next_attempt_at timestamptz,
    updated_at timestamptz NOT NULL,
    CONSTRAINT pk_runs PRIMARY KEY (tenant_id, id),
    CONSTRAINT fk_runs_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE RESTRICT,
    CONSTRAINT fk_runs_parent FOREIGN KEY (tenant_id, parent_run_id)
      REFERENCES runs (tenant_id, id) ON DELETE SET NULL (parent_run_id),
    CONSTRAINT ck_runs_tenant_id CHECK (char_length(tenant_id) BETWEEN 1 AND 100),
    CONSTRAINT ck_runs_id CHECK (char_length(id) BETWEEN 1 AND 100),
    CONSTRAINT ck_runs_agent_id CHECK (char_length(agent_id) BETWEEN 1 AND 100 AND agent_id <> 'legacy-unknown'),
    CONSTRAINT ck_runs_actor_type CHECK (actor_type IN ('HUMAN', 'SYSTEM', 'SERVICE')),
    CONSTRAINT ck_runs_actor_id CHECK (char_length(actor_id) BETWEEN 1 AND 100),
    CONSTRAINT ck_runs_actor CHECK ((actor_type = 'HUMAN') = (actor_id IS NOT NULL) AND actor_id <> ''),
    CONSTRAINT ck_runs_origin_system_id
      CHECK (char_length(origin_system_id) BETWEEN 1 AND 100 AND origin_system_id <> 'legacy-migration'),
    CONSTRAINT ck_runs_status CHECK (status IN
      ('queued', 'running', 'retry', 'succeeded', 'failed', 'failed_policy', 'cancelled', 'halted')),
    CONSTRAINT ck_runs_state CHECK (state IN ('LIVE', 'COMPLETED')),
    CONSTRAINT ck_runs_state_matches_status CHECK ((state = 'LIVE') = (status IN ('queued', 'running', 'retry'))),
    CONSTRAINT ck_runs_attempts CHECK (attempts >= 0),
    CONSTRAINT ck_runs_max_attempts CHECK (max_attempts >= 1),
    CONSTRAINT ck_runs_idempotency_key CHECK (char_length(idempotency_key) BETWEEN 1 AND 255),
    CONSTRAINT ck_runs_parent_run_id CHECK (char_length(parent_run_id) BETWEEN 1 AND 100),
    CONSTRAINT ck_runs_project_id CHECK (char_length(project_id) BETWEEN 1 AND 100),
    CONSTRAINT ck_runs_source CHECK (source IN ('agent', 'human', 'sdk')),
    CONSTRAINT ck_runs_provider_type CHECK (provider_type IN
      ('openai', 'anthropic', 'azure_openai', 'bedrock', 'internal', 'custom')),
    CONSTRAINT ck_runs_risk_level CHECK (risk_level IN ('NORMAL', 'NEAR_THRESHOLD', 'AT_RISK', 'VIOLATED')),
    CONSTRAINT ck_runs_latency_bucket CHECK (latency_bucket IN ('OK', 'SLOW', 'STALLED')),
    CONSTRAINT ck_runs_evidence_health CHECK (evidence_health IN ('FLOWING', 'DEGRADED', 'MISSING')),
    CONSTRAINT ck_runs_integrity_status CHECK (integrity_status IN ('UNKNOWN', 'VERIFIED', 'DEGRADED', 'FAILED')),
    CONSTRAINT ck_runs_incident_count CHECK (incident_count >= 0),
    CONSTRAINT ck_runs_policy_draft_count CHECK (policy_draft_count >= 0),
    CONSTRAINT ck_runs_input_tokens CHECK (input_tokens >= 0),
    CONSTRAINT ck_runs_output_tokens CHECK (output_tokens >= 0),
    CONSTRAINT ck_runs_estimated_cost_cents CHECK (estimated_cost_cents >= 0 AND estimated_cost_cents < 'NaN'),
    CONSTRAINT ck_runs_expected_latency_ms CHECK (expected_latency_ms >= 0),
    CONSTRAINT ck_runs_duration_ms CHECK (duration_ms >= 0),
    CONSTRAINT ck_runs_authorization_decision
      CHECK (authorization_decision IN ('GRANTED', 'DENIED', 'PENDING_APPROVAL')),
    CONSTRAINT ck_runs_authorization_engine CHECK (char_length(authorization_engine) <= 100),
    CONSTRAINT ck_runs_authorized_by CHECK (char_length(authorized_by) <= 100),
    CONSTRAINT ck_runs_policy_snapshot_id CHECK (char_length(policy_snapshot_id) <= 100),
    CONSTRAINT ck_runs_termination_reason CHECK (termination_reason IN
      ('policy_block', 'budget_exceeded', 'rate_limited', 'timeout', 'system_failure', 'user_abort', 'completed')),
    CONSTRAINT ck_runs_stopped_at_step CHECK (stopped_at_step >= 0),
    CONSTRAINT ck_runs_violation_policy_id CHECK (char_length(violation_policy_id) <= 100),
    CONSTRAINT ck_runs_observability_status CHECK (observability_status IN ('FULL', 'DEGRADED', 'NONE')),
    CONSTRAINT ck_runs_synthetic_scenario_id CHECK (char_length(synthetic_scenario_id) <= 100)
  )`;

// A NULL instant or duration sorts below every value through its sentinel: one index then serves both directions, and
// a row comparison can continue a page.
const INDEXES = `
  CREATE INDEX ix_runs_tenant_started ON runs
    (tenant_id, (COALESCE(started_at, '-infinity'::timestamptz)) DESC, id DESC);
  CREATE INDEX ix_runs_tenant_state_started ON runs
    (tenant_id, state, (COALESCE(started_at, '-infinity'::timestamptz)) DESC, id DESC);
  CREATE INDEX ix_runs_tenant_completed ON runs
    (tenant_id, (COALESCE(completed_at, '-infinity'::timestamptz)) DESC, id DESC);
  CREATE INDEX ix_runs_tenant_duration ON runs (tenant_id, (COALESCE(duration_ms, -1)) DESC, id DESC);
  CREATE INDEX ix_runs_tenant_risk_rank ON runs (
    tenant_id,
    (CASE risk_level WHEN 'VIOLATED' THEN 3 WHEN 'AT_RISK' THEN 2 WHEN 'NEAR_THRESHOLD' THEN 1 ELSE 0 END) DESC,
    id DESC
  );
  CREATE INDEX ix_runs_tenant_attention ON runs
    (tenant_id, (COALESCE(started_at, '-infinity'::timestamptz)) DESC, id DESC)
    WHERE risk_level <> 'NORMAL' OR incident_count > 0 OR policy_violation;
  CREATE INDEX ix_runs_tenant_project_started ON runs
    (tenant_id, project_id, (COALESCE(started_at, '-infinity'::timestamptz)) DESC, id DESC);
  CREATE INDEX ix_runs_tenant_status ON runs (tenant_id, status);
  CREATE INDEX ix_runs_tenant_agent ON runs (tenant_id, agent_id);
  CREATE INDEX ix_runs_tenant_provider ON runs (tenant_id, provider_type);
  CREATE INDEX ix_runs_tenant_created ON runs (tenant_id, created_at);
  CREATE INDEX ix_runs_parent ON runs (tenant_id, parent_run_id) WHERE parent_run_id IS NOT NULL;
  CREATE UNIQUE INDEX uq_runs_tenant_idempotency ON runs (tenant_id, idempotency_key)
    WHERE idempotency_key IS NOT NULL;
  CREATE INDEX ix_runs_status_halted ON runs (tenant_id, id) WHERE status = 'halted'`;
