import {
  type BuiltRow,
  makeIncident,
  makeIntegration,
  makeLimit,
  makeLimitBreach,
  makeLimitOverride,
  makeRun,
  makeTenant,
  makeTrace,
  makeTraceStep,
  makeUsage,
  makeUsageDaily,
  makeWorkerRun,
} from '@hoc/shared/testing';
import { insertRows, useDatabase } from '@hoc/testkit';
import { QueryFailedError } from 'typeorm';
import { catalogue, entities, migrations } from './index';

/** Values, or whole sets of columns, that one CHECK refuses and that it lets pass. */
interface Case {
  readonly refused: readonly unknown[];
  readonly passed: readonly unknown[];
  /** CHECKs that would refuse the same rows first. */
  readonly without?: readonly string[];
}
type Columns = Readonly<Record<string, unknown>>;

const x = (length: number): string => 'x'.repeat(length);
const text = (min: number, max: number): Case => ({
  refused: min > 0 ? [x(min - 1), x(max + 1)] : [x(max + 1)],
  passed: [x(min), x(max), 'é'.repeat(max)],
});
const upTo = (max: number): Case => text(0, max);
const between = (min: number, max: number): Case => ({ refused: [min - 1, max + 1], passed: [min, max] });
const atLeast = (min: number): Case => ({ refused: [min - 1], passed: [min, 2_000_000_000] });
const money: Case = { refused: ['-0.000001', 'NaN'], passed: ['0', '0.000001', '99999999999999.999999'] };
const list = (...values: readonly string[]): Case => ({ refused: ['no such value', ''], passed: values });
const json = { refused: [[1], { a: x(65_536) }], passed: [{}, { a: x(65_000) }] };
const id = text(1, 100);
const scenario = upTo(100);
const AFTER = new Date('2026-03-10T12:00:00.001Z');
const BEFORE = new Date('2026-03-10T11:59:59.999Z');

/** By table, then by what follows `ck_<table>_`. Spelled out: the lists and bounds are those of the specification. */
const CASES: Readonly<Record<string, Readonly<Record<string, Case>>>> = {
  tenants: {
    id,
    name: text(1, 255),
    slug: id,
    clerk_org_id: id,
    plan: text(1, 50),
    billing_email: upTo(255),
    stripe_customer_id: upTo(100),
    max_workers: atLeast(0),
    max_runs_per_day: atLeast(0),
    max_concurrent_runs: atLeast(0),
    max_tokens_per_month: atLeast(0),
    max_api_keys: atLeast(0),
    runs_today: atLeast(0),
    runs_this_month: atLeast(0),
    tokens_this_month: atLeast(0),
    status: list('active', 'suspended', 'churned'),
    onboarding_state: between(0, 4),
    synthetic_scenario_id: scenario,
  },
  runs: {
    tenant_id: id,
    id,
    agent_id: { refused: ['', x(101), 'legacy-unknown'], passed: ['x', x(100)] },
    actor_type: { refused: ['ROBOT'], passed: ['SYSTEM', 'SERVICE', { actor_type: 'HUMAN', actor_id: 'u' }] },
    actor_id: {
      refused: [{ actor_type: 'HUMAN', actor_id: x(101) }],
      passed: [{ actor_type: 'HUMAN', actor_id: x(100) }],
    },
    actor: {
      refused: [
        { actor_type: 'HUMAN', actor_id: null },
        { actor_type: 'HUMAN', actor_id: '' },
        { actor_type: 'SYSTEM', actor_id: 'u' },
      ],
      passed: [{ actor_type: 'HUMAN', actor_id: 'u' }, { actor_type: 'SERVICE' }],
    },
    origin_system_id: { refused: ['', x(101), 'legacy-migration'], passed: ['x', x(100)] },
    status: {
      refused: [{ status: 'crashed', state: 'COMPLETED' }],
      passed: [
        ...['queued', 'running', 'retry'],
        ...['succeeded', 'failed', 'failed_policy', 'cancelled', 'halted'].map((status) => ({
          status,
          state: 'COMPLETED',
        })),
      ],
    },
    state: { refused: [{ status: 'succeeded', state: 'DONE' }], passed: ['LIVE'] },
    state_matches_status: {
      refused: [
        { status: 'retry', state: 'COMPLETED' },
        { status: 'succeeded', state: 'LIVE' },
      ],
      passed: [{ status: 'retry', state: 'LIVE' }],
    },
    attempts: atLeast(0),
    max_attempts: atLeast(1),
    idempotency_key: text(1, 255),
    parent_run_id: id,
    project_id: id,
    source: list('agent', 'human', 'sdk'),
    provider_type: list('openai', 'anthropic', 'azure_openai', 'bedrock', 'internal', 'custom'),
    risk_level: list('NORMAL', 'NEAR_THRESHOLD', 'AT_RISK', 'VIOLATED'),
    latency_bucket: list('OK', 'SLOW', 'STALLED'),
    evidence_health: list('FLOWING', 'DEGRADED', 'MISSING'),
    integrity_status: list('UNKNOWN', 'VERIFIED', 'DEGRADED', 'FAILED'),
    incident_count: atLeast(0),
    policy_draft_count: atLeast(0),
    input_tokens: atLeast(0),
    output_tokens: atLeast(0),
    estimated_cost_cents: money,
    expected_latency_ms: atLeast(0),
    duration_ms: atLeast(0),
    authorization_decision: list('GRANTED', 'DENIED', 'PENDING_APPROVAL'),
    authorization_engine: upTo(100),
    authorized_by: upTo(100),
    policy_snapshot_id: upTo(100),
    termination_reason: list(
      ...['policy_block', 'budget_exceeded', 'rate_limited', 'timeout', 'system_failure', 'user_abort', 'completed'],
    ),
    stopped_at_step: atLeast(0),
    violation_policy_id: upTo(100),
    observability_status: list('FULL', 'DEGRADED', 'NONE'),
    synthetic_scenario_id: scenario,
  },
  worker_runs: {
    tenant_id: id,
    id,
    worker_id: id,
    api_key_id: upTo(100),
    user_id: upTo(100),
    status: list('queued', 'running', 'completed', 'failed', 'crashed'),
    total_tokens: atLeast(0),
    total_latency_ms: atLeast(0),
    stages_completed: atLeast(0),
    recoveries: atLeast(0),
    policy_violations: atLeast(0),
    cost_cents: money,
    parent_run_id: id,
    attempt: { refused: [0], passed: [1, { attempt: 2, is_retry: true }] },
    retry: {
      refused: [
        { attempt: 2, is_retry: false },
        { attempt: 1, is_retry: true },
      ],
      passed: [{ attempt: 2, is_retry: true }],
    },
    synthetic_scenario_id: scenario,
  },
  aos_traces: {
    tenant_id: id,
    trace_id: id,
    run_id: id,
    correlation_id: id,
    agent_id: upTo(100),
    plan_id: upTo(100),
    frozen_timestamp: upTo(64),
    root_hash: text(1, 64),
    plan_hash: upTo(64),
    checksum: upTo(64),
    schema_version: upTo(16),
    status: list('running', 'completed', 'failed', 'aborted'),
    stored_by: upTo(100),
    incident_id: upTo(100),
    violation_step_index: atLeast(0),
    violation_policy_id: upTo(100),
    violation_reason: upTo(512),
    replay_mode: list('FULL', 'TRACE_ONLY'),
    replay_attempt_id: upTo(64),
    replay_artifact_version: upTo(64),
    trace_completeness_status: upTo(30),
    synthetic_scenario_id: scenario,
  },
  aos_trace_steps: {
    tenant_id: id,
    trace_id: id,
    step_index: atLeast(0),
    skill_id: text(1, 128),
    skill_name: text(1, 128),
    status: {
      refused: ['no such value'],
      passed: ['success', 'skipped', { status: 'failure', level: 'ERROR' }, { status: 'retry', level: 'WARN' }],
    },
    outcome_category: text(1, 64),
    outcome_code: upTo(64),
    cost_cents: money,
    duration_ms: atLeast(0),
    retry_count: atLeast(0),
    input_hash: upTo(64),
    output_hash: upTo(64),
    rng_state_before: upTo(128),
    idempotency_key: upTo(128),
    replay_behavior: upTo(16),
    source: list('engine', 'external', 'replay'),
    level: { refused: ['DEBUG'], passed: ['INFO'] },
    level_matches_status: {
      refused: [
        { status: 'failure', level: 'INFO' },
        { status: 'retry', level: 'ERROR' },
        { status: 'skipped', level: 'WARN' },
      ],
      passed: [{ status: 'skipped', level: 'INFO' }],
    },
    synthetic_scenario_id: scenario,
  },
  cus_integrations: {
    tenant_id: id,
    id,
    name: { refused: ['', x(256), ' padded', 'padded '], passed: ['x', x(255), 'two words'] },
    provider_type: list('openai', 'anthropic', 'azure_openai', 'bedrock', 'custom'),
    credential_ref: {
      refused: ['', 'sk-live-in-the-clear', 'env://', 'https://secret', ` env://A`, `env://${x(4091)}`],
      passed: ['vault://a', 'cus-vault://a', 'encrypted://a', 'env://A', `env://${x(4090)}`],
    },
    config: { refused: [[1]], passed: [{}] },
    config_size: { refused: [{ config: { a: x(65_536) } }], passed: [{ config: { a: x(65_000) } }] },
    status: list('created', 'enabled', 'disabled', 'error'),
    health_state: list('unknown', 'healthy', 'degraded', 'failing'),
    health_message: upTo(2000),
    default_model: text(1, 100),
    budget_limit_cents: money,
    token_limit_month: { refused: [-1, '9007199254740992'], passed: [0, '9007199254740991'] },
    rate_limit_rpm: atLeast(0),
    created_by: text(1, 100),
    deleted_at: {
      refused: [{ deleted_at: AFTER, status: 'enabled' }],
      passed: [{ deleted_at: AFTER, status: 'disabled' }, { status: 'disabled' }],
    },
  },
  cus_llm_usage: {
    tenant_id: id,
    id,
    integration_id: id,
    session_id: id,
    agent_id: id,
    call_id: text(1, 255),
    provider: text(1, 50),
    model: text(1, 100),
    tokens_in: atLeast(0),
    tokens_out: atLeast(0),
    cost_cents: money,
    latency_ms: atLeast(0),
    policy_result: list('allowed', 'warned', 'blocked'),
    error_code: text(1, 50),
    error_message: upTo(8000),
  },
  cus_usage_daily: {
    tenant_id: id,
    integration_id: id,
    total_calls: {
      refused: [-1],
      passed: [0, 1],
      without: ['ck_cus_usage_daily_blocked_count', 'ck_cus_usage_daily_error_count'],
    },
    error_count: { refused: [-1, { error_count: 2, total_calls: 1 }], passed: [{ error_count: 1, total_calls: 1 }] },
    blocked_count: {
      refused: [-1, { blocked_count: 2, total_calls: 1 }],
      passed: [{ blocked_count: 1, total_calls: 1 }],
    },
    total_tokens_in: atLeast(0),
    total_tokens_out: atLeast(0),
    total_cost_cents: money,
    latency_total_ms: atLeast(0),
    latency_count: atLeast(0),
  },
  incidents: {
    tenant_id: id,
    id,
    title: text(1, 255),
    severity: list('low', 'medium', 'high', 'critical'),
    status: list('open', 'acknowledged', 'resolved', 'closed'),
    description: upTo(4000),
    run_id: id,
    source: id,
    details: {
      refused: json.refused.map((details) => ({ details })),
      passed: json.passed.map((details) => ({ details })),
    },
    resolved_at: { refused: [BEFORE], passed: [AFTER] },
    resolved_by: upTo(128),
  },
  limits: {
    tenant_id: id,
    id,
    name: text(1, 256),
    description: upTo(1024),
    category: { refused: [{ limit_category: 'QUOTA' }], passed: [{ limit_category: 'THRESHOLD' }] },
    type: {
      refused: ['COST_USD', 'cost_cents', '', '1COST', `A${x(31).toUpperCase()}Z`].map((limit_type) => ({
        limit_type,
      })),
      passed: ['COST_CENTS', 'T', `A${x(31).toUpperCase()}`].map((limit_type) => ({ limit_type })),
    },
    scope: list('GLOBAL', 'TENANT', 'PROJECT', 'AGENT', 'PROVIDER'),
    scope_id: id,
    max_value: money,
    reset_period: list('DAILY', 'WEEKLY', 'MONTHLY', 'NONE'),
    budget_reset: {
      refused: [{ limit_category: 'BUDGET', reset_period: null }],
      passed: [{ limit_category: 'BUDGET', reset_period: 'DAILY' }],
    },
    window_seconds: between(1, 2_678_400),
    rate_window: {
      refused: [{ limit_category: 'RATE', window_seconds: null }],
      passed: [{ limit_category: 'RATE', window_seconds: 60 }],
    },
    measurement_window_seconds: between(1, 2_678_400),
    params: { refused: json.refused.map((params) => ({ params })), passed: json.passed.map((params) => ({ params })) },
    enforcement: list('BLOCK', 'WARN', 'REJECT', 'QUEUE', 'DEGRADE', 'ALERT'),
    consequence: list('ALERT', 'INCIDENT', 'ABORT'),
    status: list('ACTIVE', 'DISABLED'),
    version: atLeast(1),
    created_by: upTo(128),
    updated_by: upTo(128),
  },
  limit_breaches: {
    tenant_id: id,
    id,
    limit_id: id,
    run_id: id,
    incident_id: id,
    breach_type: list('BREACHED', 'EXHAUSTED', 'THROTTLED', 'VIOLATED', 'OVERRIDDEN'),
    details: { refused: [{ details: { a: x(65_536) } }], passed: [{ details: { a: x(65_000) } }] },
    recovered_at: { refused: [BEFORE], passed: [AFTER] },
    idempotency_key: text(1, 200),
  },
  limit_overrides: {
    tenant_id: id,
    id,
    limit_id: id,
    original_value: {
      refused: ['0', '-0.000001', 'NaN'].map((original_value) => ({ original_value, override_value: '9' })),
      passed: ['0.000001'].map((original_value) => ({ original_value, override_value: '9' })),
      without: ['ck_limit_overrides_increase'],
    },
    increase: {
      refused: ['2000', '1999.999999', 'NaN'].map((override_value) => ({ override_value })),
      passed: ['2000.000001', '99999999999999.999999'].map((override_value) => ({ override_value })),
    },
    status: {
      ...list('PENDING', 'EXPIRED', 'CANCELLED'),
      refused: ['no such value', ''],
    },
    duration_hours: between(1, 168),
    window: {
      refused: [{ starts_at: AFTER }, { expires_at: AFTER }, { starts_at: AFTER, expires_at: AFTER }],
      passed: [{ starts_at: BEFORE, expires_at: AFTER }, {}],
    },
    live: {
      refused: [
        { status: 'ACTIVE' },
        { status: 'APPROVED', starts_at: BEFORE, expires_at: AFTER },
        { status: 'ACTIVE', approved_at: BEFORE },
      ],
      passed: ['ACTIVE', 'APPROVED'].map((status) => ({
        status,
        approved_at: BEFORE,
        starts_at: BEFORE,
        expires_at: AFTER,
      })),
    },
    requested_by: text(1, 128),
    approved_by: upTo(128),
    cancelled_by: upTo(128),
    rejected_by: upTo(128),
    reason: text(10, 500),
    rejection_reason: upTo(500),
    rejected: {
      refused: [{ status: 'REJECTED' }],
      passed: [{ status: 'REJECTED', rejection_reason: 'no' }],
    },
    audit_trail: {
      refused: [{ audit_trail: '{}' }, { audit_trail: JSON.stringify([x(65_536)]) }],
      passed: [{ audit_trail: JSON.stringify([x(65_000)]) }],
    },
  },
};

/** A row of each table that every CHECK lets pass. */
const VALID: Readonly<Record<string, (given: Columns) => BuiltRow>> = {
  tenants: (given) => makeTenant({ id: 'new', ...given }),
  runs: (given) => makeRun('t', given),
  worker_runs: (given) => makeWorkerRun('t', given),
  aos_traces: (given) => makeTrace('t', given),
  aos_trace_steps: (given) => makeTraceStep('t', 'trace', { level: 'INFO', ...given }),
  cus_integrations: (given) => makeIntegration('t', given),
  cus_llm_usage: (given) => makeUsage('t', 'int', given),
  cus_usage_daily: (given) => makeUsageDaily('t', 'int', given),
  incidents: (given) => makeIncident('t', given),
  limits: (given) => makeLimit('t', given),
  limit_breaches: (given) => makeLimitBreach('t', 'limit', given),
  limit_overrides: (given) => makeLimitOverride('t', 'limit', given),
};

const isColumns = (value: unknown): value is Columns =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date);

describe('CHECK', () => {
  const db = useDatabase({ entities, migrations });
  const names = catalogue.flatMap(({ table, checks }) => checks.map((check) => ({ table, name: check.name })));

  it('has a case for each one, and no case is without its CHECK', () => {
    const cases = Object.entries(CASES).flatMap(([table, byName]) =>
      Object.keys(byName).map((s) => `ck_${table}_${s}`),
    );
    expect(cases.sort()).toEqual(names.map(({ name }) => name).sort());
  });

  it.each(names)('$name refuses what lies outside and passes what lies on the bound', async ({ table, name }) => {
    const suffix = name.slice(`ck_${table}_`.length);
    const { refused, passed, without = [] } = CASES[table]?.[suffix] ?? { refused: [], passed: [] };
    for (const other of without) await db.manager().query(`ALTER TABLE ${table} DROP CONSTRAINT ${other}`);
    expect(refused.length).toBeGreaterThan(0);
    for (const value of refused) expect([value, await insert(table, suffix, value)]).toEqual([value, `23514 ${name}`]);
    for (const value of passed) expect([value, await insert(table, suffix, value)]).toEqual([value, 'no CHECK']);
  });

  /** The CHECK that refused the row; a missing parent is none of a CHECK's business. */
  async function insert(table: string, suffix: string, value: unknown): Promise<string> {
    const made = VALID[table]?.(isColumns(value) && suffix !== 'config' ? value : { [suffix]: value });
    if (!made) throw new Error(`no row of ${table}`);
    const manager = db.manager();
    await manager.query('SAVEPOINT before_row');
    try {
      await insertRows(manager, made);
      return 'no CHECK';
    } catch (error) {
      if (!(error instanceof QueryFailedError)) throw error;
      const { code, constraint }: { code?: string; constraint?: string } = error.driverError;
      return code === '23503' ? 'no CHECK' : `${code} ${constraint}`;
    } finally {
      await manager.query('ROLLBACK TO SAVEPOINT before_row');
    }
  }
});
