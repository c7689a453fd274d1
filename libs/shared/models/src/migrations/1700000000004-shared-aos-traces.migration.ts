import type { MigrationInterface, QueryRunner } from 'typeorm';

/** `aos_traces` and `aos_trace_steps`, with their immutability guards. */
export class SharedAosTraces1700000000004 implements MigrationInterface {
  readonly name = 'SharedAosTraces1700000000004';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(TRACES);
    await runner.query(STEPS);
    await runner.query(INDEXES);
    await runner.query(
      `CREATE FUNCTION hoc_aos_traces_guard() RETURNS trigger LANGUAGE plpgsql AS $guard$${AOS_TRACES_GUARD_SOURCE}$guard$`,
    );
    await runner.query(
      `CREATE FUNCTION hoc_aos_trace_steps_guard() RETURNS trigger LANGUAGE plpgsql AS $guard$${AOS_TRACE_STEPS_GUARD_SOURCE}$guard$`,
    );
    await runner.query(`
      CREATE TRIGGER aos_traces_immutable_guard BEFORE UPDATE ON aos_traces
        FOR EACH ROW EXECUTE FUNCTION hoc_aos_traces_guard()`);
    await runner.query(`
      CREATE TRIGGER aos_trace_steps_immutable_guard BEFORE UPDATE ON aos_trace_steps
        FOR EACH ROW EXECUTE FUNCTION hoc_aos_trace_steps_guard()`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE aos_trace_steps');
    await runner.query('DROP TABLE aos_traces');
    await runner.query('DROP FUNCTION hoc_aos_trace_steps_guard()');
    await runner.query('DROP FUNCTION hoc_aos_traces_guard()');
  }
}

/**
 * Body of `hoc_aos_traces_guard()`. It puts the old value of every column that may change into a copy of the new row and
 * compares the whole: a column that is added later is immutable until it is named here.
 */
export const AOS_TRACES_GUARD_SOURCE = `
DECLARE
  kept record := NEW;
BEGIN
  kept.status := OLD.status;
  kept.completed_at := OLD.completed_at;
  kept.metadata := OLD.metadata;
  kept.incident_id := OLD.incident_id;
  kept.violation_step_index := OLD.violation_step_index;
  kept.violation_timestamp := OLD.violation_timestamp;
  kept.violation_policy_id := OLD.violation_policy_id;
  kept.violation_reason := OLD.violation_reason;
  kept.replay_mode := OLD.replay_mode;
  kept.replay_attempt_id := OLD.replay_attempt_id;
  kept.replay_artifact_version := OLD.replay_artifact_version;
  kept.trace_completeness_status := OLD.trace_completeness_status;
  IF OLD.agent_id IS NULL THEN
    kept.agent_id := NULL;
  END IF;
  IF kept IS DISTINCT FROM OLD THEN
    RAISE EXCEPTION 'a trace keeps what it recorded'
      USING ERRCODE = 'restrict_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = TG_NAME;
  END IF;
  RETURN NEW;
END
`;

/** Body of `hoc_aos_trace_steps_guard()`: no UPDATE at all, not even one that changes nothing. */
export const AOS_TRACE_STEPS_GUARD_SOURCE = `
BEGIN
  RAISE EXCEPTION 'a trace step does not change'
    USING ERRCODE = 'restrict_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = TG_NAME;
END
`;

const TRACES = `
  CREATE TABLE aos_traces (
    tenant_id text COLLATE "C" NOT NULL,
    trace_id text COLLATE "C" NOT NULL,
    run_id text COLLATE "C" NOT NULL,
    correlation_id text COLLATE "C" NOT NULL,
    agent_id text COLLATE "C",
    plan_id text COLLATE "C",
    seed bigint DEFAULT 42,
    frozen_timestamp text,
    root_hash text COLLATE "C" NOT NULL,
    plan_hash text,
    checksum text,
    schema_version text NOT NULL DEFAULT '1.1',
    plan jsonb NOT NULL,
    trace jsonb NOT NULL,
    metadata jsonb DEFAULT '{}',
    status text COLLATE "C" NOT NULL DEFAULT 'running',
    started_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    completed_at timestamptz,
    stored_by text,
    incident_id text COLLATE "C",
    violation_step_index integer,
    violation_timestamp timestamptz,
    violation_policy_id text COLLATE "C",
    violation_reason text,
    replay_mode text COLLATE "C",
    replay_attempt_id text COLLATE "C",
    replay_artifact_version text,
    trace_completeness_status text,
    is_synthetic boolean NOT NULL DEFAULT false,
    synthetic_scenario_id text COLLATE "C",
    CONSTRAINT pk_aos_traces PRIMARY KEY (tenant_id, trace_id),
    CONSTRAINT fk_aos_traces_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE RESTRICT,
    CONSTRAINT ck_aos_traces_tenant_id CHECK (char_length(tenant_id) BETWEEN 1 AND 100),
    CONSTRAINT ck_aos_traces_trace_id CHECK (char_length(trace_id) BETWEEN 1 AND 100),
    CONSTRAINT ck_aos_traces_run_id CHECK (char_length(run_id) BETWEEN 1 AND 100),
    CONSTRAINT ck_aos_traces_correlation_id CHECK (char_length(correlation_id) BETWEEN 1 AND 100),
    CONSTRAINT ck_aos_traces_agent_id CHECK (char_length(agent_id) <= 100),
    CONSTRAINT ck_aos_traces_plan_id CHECK (char_length(plan_id) <= 100),
    CONSTRAINT ck_aos_traces_frozen_timestamp CHECK (char_length(frozen_timestamp) <= 64),
    CONSTRAINT ck_aos_traces_root_hash CHECK (char_length(root_hash) BETWEEN 1 AND 64),
    CONSTRAINT ck_aos_traces_plan_hash CHECK (char_length(plan_hash) <= 64),
    CONSTRAINT ck_aos_traces_checksum CHECK (char_length(checksum) <= 64),
    CONSTRAINT ck_aos_traces_schema_version CHECK (char_length(schema_version) <= 16),
    CONSTRAINT ck_aos_traces_status CHECK (status IN ('running', 'completed', 'failed', 'aborted')),
    CONSTRAINT ck_aos_traces_stored_by CHECK (char_length(stored_by) <= 100),
    CONSTRAINT ck_aos_traces_incident_id CHECK (char_length(incident_id) <= 100),
    CONSTRAINT ck_aos_traces_violation_step_index CHECK (violation_step_index >= 0),
    CONSTRAINT ck_aos_traces_violation_policy_id CHECK (char_length(violation_policy_id) <= 100),
    CONSTRAINT ck_aos_traces_violation_reason CHECK (char_length(violation_reason) <= 512),
    CONSTRAINT ck_aos_traces_replay_mode CHECK (replay_mode IN ('FULL', 'TRACE_ONLY')),
    CONSTRAINT ck_aos_traces_replay_attempt_id CHECK (char_length(replay_attempt_id) <= 64),
    CONSTRAINT ck_aos_traces_replay_artifact_version CHECK (char_length(replay_artifact_version) <= 64),
    CONSTRAINT ck_aos_traces_trace_completeness_status CHECK (char_length(trace_completeness_status) <= 30),
    CONSTRAINT ck_aos_traces_synthetic_scenario_id CHECK (char_length(synthetic_scenario_id) <= 100)
  )`;

const STEPS = `
  CREATE TABLE aos_trace_steps (
    tenant_id text COLLATE "C" NOT NULL,
    trace_id text COLLATE "C" NOT NULL,
    step_index integer NOT NULL,
    skill_id text COLLATE "C" NOT NULL,
    skill_name text NOT NULL,
    params jsonb NOT NULL,
    status text COLLATE "C" NOT NULL,
    outcome_category text NOT NULL,
    outcome_code text,
    outcome_data jsonb,
    cost_cents numeric(20,6) NOT NULL DEFAULT 0,
    duration_ms bigint NOT NULL DEFAULT 0,
    retry_count integer NOT NULL DEFAULT 0,
    input_hash text,
    output_hash text,
    rng_state_before text,
    idempotency_key text COLLATE "C",
    replay_behavior text NOT NULL DEFAULT 'execute',
    source text COLLATE "C" NOT NULL DEFAULT 'engine',
    level text COLLATE "C" NOT NULL DEFAULT 'INFO',
    is_synthetic boolean NOT NULL DEFAULT false,
    synthetic_scenario_id text COLLATE "C",
    timestamp timestamptz NOT NULL,
    CONSTRAINT pk_aos_trace_steps PRIMARY KEY (tenant_id, trace_id, step_index),
    CONSTRAINT fk_aos_trace_steps_trace FOREIGN KEY (tenant_id, trace_id)
      REFERENCES aos_traces (tenant_id, trace_id) ON DELETE RESTRICT,
    CONSTRAINT ck_aos_trace_steps_tenant_id CHECK (char_length(tenant_id) BETWEEN 1 AND 100),
    CONSTRAINT ck_aos_trace_steps_trace_id CHECK (char_length(trace_id) BETWEEN 1 AND 100),
    CONSTRAINT ck_aos_trace_steps_step_index CHECK (step_index >= 0),
    CONSTRAINT ck_aos_trace_steps_skill_id CHECK (char_length(skill_id) BETWEEN 1 AND 128),
    CONSTRAINT ck_aos_trace_steps_skill_name CHECK (char_length(skill_name) BETWEEN 1 AND 128),
    CONSTRAINT ck_aos_trace_steps_status CHECK (status IN ('success', 'failure', 'retry', 'skipped')),
    CONSTRAINT ck_aos_trace_steps_outcome_category CHECK (char_length(outcome_category) BETWEEN 1 AND 64),
    CONSTRAINT ck_aos_trace_steps_outcome_code CHECK (char_length(outcome_code) <= 64),
    CONSTRAINT ck_aos_trace_steps_cost_cents CHECK (cost_cents >= 0 AND cost_cents < 'NaN'),
    CONSTRAINT ck_aos_trace_steps_duration_ms CHECK (duration_ms >= 0),
    CONSTRAINT ck_aos_trace_steps_retry_count CHECK (retry_count >= 0),
    CONSTRAINT ck_aos_trace_steps_input_hash CHECK (char_length(input_hash) <= 64),
    CONSTRAINT ck_aos_trace_steps_output_hash CHECK (char_length(output_hash) <= 64),
    CONSTRAINT ck_aos_trace_steps_rng_state_before CHECK (char_length(rng_state_before) <= 128),
    CONSTRAINT ck_aos_trace_steps_idempotency_key CHECK (char_length(idempotency_key) <= 128),
    CONSTRAINT ck_aos_trace_steps_replay_behavior CHECK (char_length(replay_behavior) <= 16),
    CONSTRAINT ck_aos_trace_steps_source CHECK (source IN ('engine', 'external', 'replay')),
    CONSTRAINT ck_aos_trace_steps_level CHECK (level IN ('INFO', 'WARN', 'ERROR')),
    CONSTRAINT ck_aos_trace_steps_level_matches_status
      CHECK (level = CASE status WHEN 'failure' THEN 'ERROR' WHEN 'retry' THEN 'WARN' ELSE 'INFO' END),
    CONSTRAINT ck_aos_trace_steps_synthetic_scenario_id CHECK (char_length(synthetic_scenario_id) <= 100)
  )`;

const INDEXES = `
  CREATE INDEX ix_aos_traces_tenant_run ON aos_traces (tenant_id, run_id, created_at, trace_id);
  CREATE INDEX ix_aos_traces_tenant_created ON aos_traces (tenant_id, created_at);
  CREATE INDEX ix_aos_traces_tenant_root_hash ON aos_traces (tenant_id, root_hash);
  CREATE INDEX ix_aos_traces_tenant_violation ON aos_traces (tenant_id, violation_step_index)
    WHERE violation_step_index IS NOT NULL;
  CREATE INDEX ix_aos_trace_steps_idempotency ON aos_trace_steps (tenant_id, idempotency_key)
    WHERE idempotency_key IS NOT NULL;
  CREATE INDEX ix_aos_trace_steps_level ON aos_trace_steps (tenant_id, trace_id, level)`;
