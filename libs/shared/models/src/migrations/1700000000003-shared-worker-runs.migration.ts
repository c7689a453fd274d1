import type { MigrationInterface, QueryRunner } from 'typeorm';

/** `worker_runs`, with the guard of its terminal rows. */
export class SharedWorkerRuns1700000000003 implements MigrationInterface {
  readonly name = 'SharedWorkerRuns1700000000003';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(TABLE);
    await runner.query(INDEXES);
    await runner.query(
      `CREATE FUNCTION hoc_worker_runs_guard() RETURNS trigger LANGUAGE plpgsql AS $guard$${WORKER_RUNS_GUARD_SOURCE}$guard$`,
    );
    await runner.query(`
      CREATE TRIGGER worker_runs_immutable_guard BEFORE UPDATE ON worker_runs
        FOR EACH ROW EXECUTE FUNCTION hoc_worker_runs_guard()`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE worker_runs');
    await runner.query('DROP FUNCTION hoc_worker_runs_guard()');
  }
}

/** Body of `hoc_worker_runs_guard()`: how a worker run ended is history; a missing `parent_run_id` may still be filled in. */
export const WORKER_RUNS_GUARD_SOURCE = `
BEGIN
  IF OLD.status IN ('completed', 'failed', 'crashed')
    AND (NEW.status, NEW.success, NEW.error, NEW.output_json, NEW.total_tokens, NEW.cost_cents, NEW.started_at, NEW.completed_at)
      IS DISTINCT FROM
        (OLD.status, OLD.success, OLD.error, OLD.output_json, OLD.total_tokens, OLD.cost_cents, OLD.started_at, OLD.completed_at)
  THEN
    RAISE EXCEPTION 'a finished worker run does not change'
      USING ERRCODE = 'restrict_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = TG_NAME;
  END IF;
  RETURN NEW;
END
`;

const TABLE = `
  CREATE TABLE worker_runs (
    tenant_id text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    worker_id text COLLATE "C" NOT NULL,
    api_key_id text COLLATE "C",
    user_id text COLLATE "C",
    task text NOT NULL,
    input_json jsonb,
    output_json jsonb,
    replay_token_json jsonb,
    status text COLLATE "C" NOT NULL DEFAULT 'queued',
    success boolean,
    error text,
    total_tokens bigint,
    total_latency_ms bigint,
    stages_completed integer,
    recoveries integer NOT NULL DEFAULT 0,
    policy_violations integer NOT NULL DEFAULT 0,
    cost_cents numeric(20,6),
    parent_run_id text COLLATE "C",
    attempt integer NOT NULL DEFAULT 1,
    is_retry boolean NOT NULL DEFAULT false,
    is_synthetic boolean NOT NULL DEFAULT false,
    synthetic_scenario_id text COLLATE "C",
    created_at timestamptz NOT NULL,
    started_at timestamptz,
    completed_at timestamptz,
    last_seen_at timestamptz,
    CONSTRAINT pk_worker_runs PRIMARY KEY (tenant_id, id),
    CONSTRAINT fk_worker_runs_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE RESTRICT,
    CONSTRAINT fk_worker_runs_parent FOREIGN KEY (tenant_id, parent_run_id)
      REFERENCES worker_runs (tenant_id, id) ON DELETE SET NULL (parent_run_id),
    CONSTRAINT ck_worker_runs_tenant_id CHECK (char_length(tenant_id) BETWEEN 1 AND 100),
    CONSTRAINT ck_worker_runs_id CHECK (char_length(id) BETWEEN 1 AND 100),
    CONSTRAINT ck_worker_runs_worker_id CHECK (char_length(worker_id) BETWEEN 1 AND 100),
    CONSTRAINT ck_worker_runs_api_key_id CHECK (char_length(api_key_id) <= 100),
    CONSTRAINT ck_worker_runs_user_id CHECK (char_length(user_id) <= 100),
    CONSTRAINT ck_worker_runs_status CHECK (status IN ('queued', 'running', 'completed', 'failed', 'crashed')),
    CONSTRAINT ck_worker_runs_total_tokens CHECK (total_tokens >= 0),
    CONSTRAINT ck_worker_runs_total_latency_ms CHECK (total_latency_ms >= 0),
    CONSTRAINT ck_worker_runs_stages_completed CHECK (stages_completed >= 0),
    CONSTRAINT ck_worker_runs_recoveries CHECK (recoveries >= 0),
    CONSTRAINT ck_worker_runs_policy_violations CHECK (policy_violations >= 0),
    CONSTRAINT ck_worker_runs_cost_cents CHECK (cost_cents >= 0 AND cost_cents < 'NaN'),
    CONSTRAINT ck_worker_runs_parent_run_id CHECK (char_length(parent_run_id) BETWEEN 1 AND 100),
    CONSTRAINT ck_worker_runs_attempt CHECK (attempt >= 1),
    CONSTRAINT ck_worker_runs_retry CHECK (is_retry = (attempt > 1)),
    CONSTRAINT ck_worker_runs_synthetic_scenario_id CHECK (char_length(synthetic_scenario_id) <= 100)
  )`;

// ix_worker_runs_open and ix_worker_runs_crashed serve calls that span tenants (orphan detection, crash summary), so
// they lead with what those calls sort by; the catalogue declaration lists them as system-wide.
const INDEXES = `
  CREATE INDEX ix_worker_runs_open ON worker_runs
    ((GREATEST(created_at, started_at, last_seen_at)), tenant_id, id) WHERE status IN ('queued', 'running');
  CREATE INDEX ix_worker_runs_crashed ON worker_runs
    (completed_at DESC NULLS LAST, tenant_id, id) WHERE status = 'crashed';
  CREATE INDEX ix_worker_runs_tenant_created ON worker_runs (tenant_id, created_at DESC, id DESC);
  CREATE INDEX ix_worker_runs_tenant_status_created ON worker_runs (tenant_id, status, created_at DESC, id DESC);
  CREATE INDEX ix_worker_runs_tenant_worker ON worker_runs (tenant_id, worker_id, created_at DESC, id DESC);
  CREATE INDEX ix_worker_runs_parent ON worker_runs (tenant_id, parent_run_id) WHERE parent_run_id IS NOT NULL;
  CREATE UNIQUE INDEX uq_worker_runs_open_retry ON worker_runs (tenant_id, parent_run_id)
    WHERE status IN ('queued', 'running') AND is_retry;
  COMMENT ON INDEX ix_worker_runs_open IS 'system-wide: detectOrphanedRuns, recoverOrphanedRuns';
  COMMENT ON INDEX ix_worker_runs_crashed IS 'system-wide: getCrashRecoverySummary'`;
