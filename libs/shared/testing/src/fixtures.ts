import { isRunStatus } from '@hoc/shared/kernel';

/** A row to insert as it is: its table, and every column by its SQL name. */
export interface BuiltRow {
  readonly table: string;
  readonly row: Readonly<Record<string, unknown>>;
}

/** Columns to set instead of the defaults. */
export type Columns = Readonly<Record<string, unknown>>;

const AT = new Date('2026-03-10T12:00:00.000Z');
const LIVE = new Set(['queued', 'running', 'retry']);
let last = 0;
const nextId = (prefix: string): string => `${prefix}-${String((last += 1)).padStart(6, '0')}`;

const build = (table: string, defaults: Columns, given: Columns = {}): BuiltRow =>
  Object.freeze({ table, row: Object.freeze({ ...defaults, ...given }) });

const none = (...columns: readonly string[]): Columns => Object.fromEntries(columns.map((column) => [column, null]));
const synthetic = { is_synthetic: false, synthetic_scenario_id: null };
const born = { created_at: AT, updated_at: AT };

/** A tenant on the free plan. */
export function makeTenant(given: Columns = {}): BuiltRow {
  const id = String(given['id'] ?? nextId('t'));
  return build(
    'tenants',
    {
      id,
      name: `Tenant ${id}`,
      slug: id,
      ...none(
        'clerk_org_id',
        'billing_email',
        'stripe_customer_id',
        'last_run_reset_at',
        'suspended_reason',
        'frozen_at',
        'freeze_reason',
      ),
      plan: 'free',
      max_workers: 3,
      max_runs_per_day: 100,
      max_concurrent_runs: 5,
      max_tokens_per_month: 1_000_000,
      max_api_keys: 5,
      runs_today: 0,
      runs_this_month: 0,
      tokens_this_month: 0,
      status: 'active',
      onboarding_state: 0,
      ...synthetic,
      ...born,
    },
    given,
  );
}

/** A queued run; `state` follows from `status` unless it is given. */
export function makeRun(tenantId: string, given: Columns = {}): BuiltRow {
  const status = given['status'] ?? 'queued';
  return build(
    'runs',
    {
      tenant_id: tenantId,
      id: nextId('r'),
      agent_id: 'ag',
      actor_type: 'SYSTEM',
      origin_system_id: 'test',
      goal: 'a goal',
      status,
      state: isRunStatus(status) && !LIVE.has(status) ? 'COMPLETED' : 'LIVE',
      attempts: 0,
      max_attempts: 3,
      priority: 0,
      source: 'agent',
      provider_type: 'openai',
      risk_level: 'NORMAL',
      latency_bucket: 'OK',
      evidence_health: 'FLOWING',
      integrity_status: 'UNKNOWN',
      incident_count: 0,
      policy_draft_count: 0,
      policy_violation: false,
      authorization_decision: 'GRANTED',
      observability_status: 'FULL',
      ...none(
        'actor_id',
        'error_message',
        'plan_json',
        'tool_calls_json',
        'idempotency_key',
        'parent_run_id',
        'project_id',
      ),
      ...none('input_tokens', 'output_tokens', 'estimated_cost_cents', 'expected_latency_ms', 'duration_ms'),
      ...none('authorization_engine', 'authorization_context', 'authorized_at', 'authorized_by', 'policy_snapshot_id'),
      ...none('termination_reason', 'stopped_at_step', 'violation_policy_id', 'observability_error'),
      ...none('started_at', 'last_seen_at', 'completed_at', 'next_attempt_at'),
      ...synthetic,
      ...born,
    },
    given,
  );
}

/** A queued worker run, first attempt. */
export function makeWorkerRun(tenantId: string, given: Columns = {}): BuiltRow {
  return build(
    'worker_runs',
    {
      tenant_id: tenantId,
      id: nextId('w'),
      worker_id: 'worker-1',
      task: 'a task',
      status: 'queued',
      recoveries: 0,
      policy_violations: 0,
      attempt: 1,
      is_retry: false,
      ...none('api_key_id', 'user_id', 'input_json', 'output_json', 'replay_token_json', 'success', 'error'),
      ...none('total_tokens', 'total_latency_ms', 'stages_completed', 'cost_cents', 'parent_run_id'),
      ...none('started_at', 'completed_at', 'last_seen_at'),
      ...synthetic,
      created_at: AT,
    },
    given,
  );
}

/** A running trace of no steps. */
export function makeTrace(tenantId: string, given: Columns = {}): BuiltRow {
  return build(
    'aos_traces',
    {
      tenant_id: tenantId,
      trace_id: nextId('trace'),
      run_id: 'r-1',
      correlation_id: 'c-1',
      seed: 42,
      root_hash: '0'.repeat(64),
      schema_version: '1.1',
      plan: {},
      trace: {},
      metadata: {},
      status: 'running',
      started_at: AT,
      created_at: AT,
      ...none(
        'agent_id',
        'plan_id',
        'frozen_timestamp',
        'plan_hash',
        'checksum',
        'completed_at',
        'stored_by',
        'incident_id',
      ),
      ...none('violation_step_index', 'violation_timestamp', 'violation_policy_id', 'violation_reason'),
      ...none('replay_mode', 'replay_attempt_id', 'replay_artifact_version', 'trace_completeness_status'),
      ...synthetic,
    },
    given,
  );
}

/** A successful step; `level` follows from `status` unless it is given. */
export function makeTraceStep(tenantId: string, traceId: string, given: Columns = {}): BuiltRow {
  const status = given['status'] ?? 'success';
  return build(
    'aos_trace_steps',
    {
      tenant_id: tenantId,
      trace_id: traceId,
      step_index: 0,
      skill_id: 'skill',
      skill_name: 'Skill',
      params: {},
      status,
      outcome_category: 'ok',
      cost_cents: '0',
      duration_ms: 0,
      retry_count: 0,
      replay_behavior: 'execute',
      source: 'engine',
      level: status === 'failure' ? 'ERROR' : status === 'retry' ? 'WARN' : 'INFO',
      ...none('outcome_code', 'outcome_data', 'input_hash', 'output_hash', 'rng_state_before', 'idempotency_key'),
      ...synthetic,
      timestamp: AT,
    },
    given,
  );
}

/** An enabled OpenAI integration without limits. */
export function makeIntegration(tenantId: string, given: Columns = {}): BuiltRow {
  const id = String(given['id'] ?? nextId('int'));
  return build(
    'cus_integrations',
    {
      tenant_id: tenantId,
      id,
      name: `Integration ${id}`,
      provider_type: 'openai',
      credential_ref: 'env://HOC_TEST_KEY',
      config: {},
      status: 'enabled',
      health_state: 'unknown',
      budget_limit_cents: '0',
      token_limit_month: 0,
      rate_limit_rpm: 0,
      ...none(
        'health_checked_at',
        'health_check_started_at',
        'health_message',
        'default_model',
        'created_by',
        'deleted_at',
      ),
      ...born,
    },
    given,
  );
}

/** One call of 100 tokens in and 10 out that cost a cent. */
export function makeUsage(tenantId: string, integrationId: string, given: Columns = {}): BuiltRow {
  const id = String(given['id'] ?? nextId('u'));
  return build(
    'cus_llm_usage',
    {
      tenant_id: tenantId,
      id,
      integration_id: integrationId,
      ...none('session_id', 'agent_id', 'latency_ms', 'error_code', 'error_message'),
      call_id: `call-${id}`,
      provider: 'openai',
      model: 'gpt-4o',
      tokens_in: 100,
      tokens_out: 10,
      cost_cents: '1',
      policy_result: 'allowed',
      metadata: {},
      created_at: AT,
      recorded_at: AT,
    },
    given,
  );
}

/** A day without calls; `avg_latency_ms` is generated and not among the columns. */
export function makeUsageDaily(tenantId: string, integrationId: string, given: Columns = {}): BuiltRow {
  return build(
    'cus_usage_daily',
    {
      tenant_id: tenantId,
      integration_id: integrationId,
      date: '2026-03-10',
      total_calls: 0,
      error_count: 0,
      blocked_count: 0,
      total_tokens_in: 0,
      total_tokens_out: 0,
      total_cost_cents: '0',
      latency_total_ms: 0,
      latency_count: 0,
      updated_at: AT,
    },
    given,
  );
}

/** An active threshold of 2,000 cents for the whole tenant. */
export function makeLimit(tenantId: string, given: Columns = {}): BuiltRow {
  return build(
    'limits',
    {
      tenant_id: tenantId,
      id: nextId('limit'),
      name: 'A limit',
      limit_category: 'THRESHOLD',
      limit_type: 'COST_CENTS',
      scope: 'TENANT',
      max_value: '2000',
      params: {},
      enforcement: 'BLOCK',
      status: 'ACTIVE',
      version: 1,
      ...none(
        'description',
        'scope_id',
        'reset_period',
        'next_reset_at',
        'window_seconds',
        'measurement_window_seconds',
      ),
      ...none('consequence', 'created_by', 'updated_by'),
      ...born,
    },
    given,
  );
}

/** A breach of no run. */
export function makeLimitBreach(tenantId: string, limitId: string, given: Columns = {}): BuiltRow {
  return build(
    'limit_breaches',
    {
      tenant_id: tenantId,
      id: nextId('breach'),
      limit_id: limitId,
      breach_type: 'BREACHED',
      limit_value: '2000',
      breached_at: AT,
      ...none('run_id', 'incident_id', 'value_at_breach', 'details', 'recovered_at', 'idempotency_key'),
    },
    given,
  );
}

/** A pending override that nobody has scheduled, of 2,000 to 3,000 for two hours. */
export function makeLimitOverride(tenantId: string, limitId: string, given: Columns = {}): BuiltRow {
  return build(
    'limit_overrides',
    {
      tenant_id: tenantId,
      id: nextId('override'),
      limit_id: limitId,
      original_value: '2000',
      override_value: '3000',
      status: 'PENDING',
      duration_hours: 2,
      requested_at: AT,
      requested_by: 'ann',
      reason: 'a campaign of the day',
      audit_trail: '[]',
      ...none('approved_at', 'starts_at', 'expires_at', 'cancelled_at', 'rejected_at'),
      ...none('approved_by', 'cancelled_by', 'rejected_by', 'rejection_reason'),
    },
    given,
  );
}

/** An open incident of medium severity. */
export function makeIncident(tenantId: string, given: Columns = {}): BuiltRow {
  return build(
    'incidents',
    {
      tenant_id: tenantId,
      id: nextId('inc'),
      title: 'An incident',
      severity: 'medium',
      status: 'open',
      details: {},
      ...none('description', 'run_id', 'source', 'resolved_at', 'resolved_by'),
      ...born,
    },
    given,
  );
}
