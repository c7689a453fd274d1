// The value lists of shared columns: stored as text with a CHECK, in TypeScript a string union with its list.
// They stand in the kernel because schemas and engines may not import models.

/** `tenants.status`. */
export const TENANT_STATUSES = Object.freeze(['active', 'suspended', 'churned'] as const);
/** One of {@link TENANT_STATUSES}. */
export type TenantStatus = (typeof TENANT_STATUSES)[number];
/** Whether a value is one of {@link TENANT_STATUSES}. */
export const isTenantStatus = memberOf(TENANT_STATUSES);

/** `runs.actor_type`. */
export const ACTOR_TYPES = Object.freeze(['HUMAN', 'SYSTEM', 'SERVICE'] as const);
/** One of {@link ACTOR_TYPES}. */
export type ActorType = (typeof ACTOR_TYPES)[number];
/** Whether a value is one of {@link ACTOR_TYPES}. */
export const isActorType = memberOf(ACTOR_TYPES);

/** `runs.status`; the last five are terminal. */
export const RUN_STATUSES = Object.freeze([
  'queued',
  'running',
  'retry',
  'succeeded',
  'failed',
  'failed_policy',
  'cancelled',
  'halted',
] as const);
/** One of {@link RUN_STATUSES}. */
export type RunStatus = (typeof RUN_STATUSES)[number];
/** Whether a value is one of {@link RUN_STATUSES}. */
export const isRunStatus = memberOf(RUN_STATUSES);

/** `runs.state`. */
export const RUN_STATES = Object.freeze(['LIVE', 'COMPLETED'] as const);
/** One of {@link RUN_STATES}. */
export type RunState = (typeof RUN_STATES)[number];
/** Whether a value is one of {@link RUN_STATES}. */
export const isRunState = memberOf(RUN_STATES);

/** `runs.source`. */
export const RUN_SOURCES = Object.freeze(['agent', 'human', 'sdk'] as const);
/** One of {@link RUN_SOURCES}. */
export type RunSource = (typeof RUN_SOURCES)[number];
/** Whether a value is one of {@link RUN_SOURCES}. */
export const isRunSource = memberOf(RUN_SOURCES);

/** `runs.provider_type`. */
export const RUN_PROVIDER_TYPES = Object.freeze([
  'openai',
  'anthropic',
  'azure_openai',
  'bedrock',
  'internal',
  'custom',
] as const);
/** One of {@link RUN_PROVIDER_TYPES}. */
export type RunProviderType = (typeof RUN_PROVIDER_TYPES)[number];
/** Whether a value is one of {@link RUN_PROVIDER_TYPES}. */
export const isRunProviderType = memberOf(RUN_PROVIDER_TYPES);

/** `runs.risk_level`, from harmless to worst. */
export const RISK_LEVELS = Object.freeze(['NORMAL', 'NEAR_THRESHOLD', 'AT_RISK', 'VIOLATED'] as const);
/** One of {@link RISK_LEVELS}. */
export type RiskLevel = (typeof RISK_LEVELS)[number];
/** Whether a value is one of {@link RISK_LEVELS}. */
export const isRiskLevel = memberOf(RISK_LEVELS);

/** `runs.latency_bucket`. */
export const LATENCY_BUCKETS = Object.freeze(['OK', 'SLOW', 'STALLED'] as const);
/** One of {@link LATENCY_BUCKETS}. */
export type LatencyBucket = (typeof LATENCY_BUCKETS)[number];
/** Whether a value is one of {@link LATENCY_BUCKETS}. */
export const isLatencyBucket = memberOf(LATENCY_BUCKETS);

/** `runs.evidence_health`. */
export const EVIDENCE_HEALTH = Object.freeze(['FLOWING', 'DEGRADED', 'MISSING'] as const);
/** One of {@link EVIDENCE_HEALTH}. */
export type EvidenceHealth = (typeof EVIDENCE_HEALTH)[number];
/** Whether a value is one of {@link EVIDENCE_HEALTH}. */
export const isEvidenceHealth = memberOf(EVIDENCE_HEALTH);

/** `runs.integrity_status`. */
export const INTEGRITY_STATUSES = Object.freeze(['UNKNOWN', 'VERIFIED', 'DEGRADED', 'FAILED'] as const);
/** One of {@link INTEGRITY_STATUSES}. */
export type IntegrityStatus = (typeof INTEGRITY_STATUSES)[number];
/** Whether a value is one of {@link INTEGRITY_STATUSES}. */
export const isIntegrityStatus = memberOf(INTEGRITY_STATUSES);

/** `runs.authorization_decision`. */
export const AUTHORIZATION_DECISIONS = Object.freeze(['GRANTED', 'DENIED', 'PENDING_APPROVAL'] as const);
/** One of {@link AUTHORIZATION_DECISIONS}. */
export type AuthorizationDecision = (typeof AUTHORIZATION_DECISIONS)[number];
/** Whether a value is one of {@link AUTHORIZATION_DECISIONS}. */
export const isAuthorizationDecision = memberOf(AUTHORIZATION_DECISIONS);

/** `runs.termination_reason`, in order of precedence. */
export const RUN_TERMINATION_REASONS = Object.freeze([
  'policy_block',
  'budget_exceeded',
  'rate_limited',
  'timeout',
  'system_failure',
  'user_abort',
  'completed',
] as const);
/** One of {@link RUN_TERMINATION_REASONS}. */
export type RunTerminationReason = (typeof RUN_TERMINATION_REASONS)[number];
/** Whether a value is one of {@link RUN_TERMINATION_REASONS}. */
export const isRunTerminationReason = memberOf(RUN_TERMINATION_REASONS);

/** `runs.observability_status`. */
export const OBSERVABILITY_STATUSES = Object.freeze(['FULL', 'DEGRADED', 'NONE'] as const);
/** One of {@link OBSERVABILITY_STATUSES}. */
export type ObservabilityStatus = (typeof OBSERVABILITY_STATUSES)[number];
/** Whether a value is one of {@link OBSERVABILITY_STATUSES}. */
export const isObservabilityStatus = memberOf(OBSERVABILITY_STATUSES);

/** `worker_runs.status`; the last three are terminal. */
export const WORKER_RUN_STATUSES = Object.freeze(['queued', 'running', 'completed', 'failed', 'crashed'] as const);
/** One of {@link WORKER_RUN_STATUSES}. */
export type WorkerRunStatus = (typeof WORKER_RUN_STATUSES)[number];
/** Whether a value is one of {@link WORKER_RUN_STATUSES}. */
export const isWorkerRunStatus = memberOf(WORKER_RUN_STATUSES);

/** `aos_traces.status`. */
export const TRACE_STATUSES = Object.freeze(['running', 'completed', 'failed', 'aborted'] as const);
/** One of {@link TRACE_STATUSES}. */
export type TraceStatus = (typeof TRACE_STATUSES)[number];
/** Whether a value is one of {@link TRACE_STATUSES}. */
export const isTraceStatus = memberOf(TRACE_STATUSES);

/** `aos_traces.replay_mode`. */
export const REPLAY_MODES = Object.freeze(['FULL', 'TRACE_ONLY'] as const);
/** One of {@link REPLAY_MODES}. */
export type ReplayMode = (typeof REPLAY_MODES)[number];
/** Whether a value is one of {@link REPLAY_MODES}. */
export const isReplayMode = memberOf(REPLAY_MODES);

/** `aos_trace_steps.status`. */
export const TRACE_STEP_STATUSES = Object.freeze(['success', 'failure', 'retry', 'skipped'] as const);
/** One of {@link TRACE_STEP_STATUSES}. */
export type TraceStepStatus = (typeof TRACE_STEP_STATUSES)[number];
/** Whether a value is one of {@link TRACE_STEP_STATUSES}. */
export const isTraceStepStatus = memberOf(TRACE_STEP_STATUSES);

/** `aos_trace_steps.source`. */
export const TRACE_STEP_SOURCES = Object.freeze(['engine', 'external', 'replay'] as const);
/** One of {@link TRACE_STEP_SOURCES}. */
export type TraceStepSource = (typeof TRACE_STEP_SOURCES)[number];
/** Whether a value is one of {@link TRACE_STEP_SOURCES}. */
export const isTraceStepSource = memberOf(TRACE_STEP_SOURCES);

/** `aos_trace_steps.level`. */
export const TRACE_LEVELS = Object.freeze(['INFO', 'WARN', 'ERROR'] as const);
/** One of {@link TRACE_LEVELS}. */
export type TraceLevel = (typeof TRACE_LEVELS)[number];
/** Whether a value is one of {@link TRACE_LEVELS}. */
export const isTraceLevel = memberOf(TRACE_LEVELS);

/** `cus_integrations.provider_type`. */
export const CUS_PROVIDER_TYPES = Object.freeze(['openai', 'anthropic', 'azure_openai', 'bedrock', 'custom'] as const);
/** One of {@link CUS_PROVIDER_TYPES}. */
export type CusProviderType = (typeof CUS_PROVIDER_TYPES)[number];
/** Whether a value is one of {@link CUS_PROVIDER_TYPES}. */
export const isCusProviderType = memberOf(CUS_PROVIDER_TYPES);

/** `cus_integrations.status`. */
export const CUS_INTEGRATION_STATUSES = Object.freeze(['created', 'enabled', 'disabled', 'error'] as const);
/** One of {@link CUS_INTEGRATION_STATUSES}. */
export type CusIntegrationStatus = (typeof CUS_INTEGRATION_STATUSES)[number];
/** Whether a value is one of {@link CUS_INTEGRATION_STATUSES}. */
export const isCusIntegrationStatus = memberOf(CUS_INTEGRATION_STATUSES);

/** `cus_integrations.health_state`. */
export const CUS_HEALTH_STATES = Object.freeze(['unknown', 'healthy', 'degraded', 'failing'] as const);
/** One of {@link CUS_HEALTH_STATES}. */
export type CusHealthState = (typeof CUS_HEALTH_STATES)[number];
/** Whether a value is one of {@link CUS_HEALTH_STATES}. */
export const isCusHealthState = memberOf(CUS_HEALTH_STATES);

/** `cus_llm_usage.policy_result`. */
export const CUS_POLICY_RESULTS = Object.freeze(['allowed', 'warned', 'blocked'] as const);
/** One of {@link CUS_POLICY_RESULTS}. */
export type CusPolicyResult = (typeof CUS_POLICY_RESULTS)[number];
/** Whether a value is one of {@link CUS_POLICY_RESULTS}. */
export const isCusPolicyResult = memberOf(CUS_POLICY_RESULTS);

/** `limits.limit_category`. */
export const LIMIT_CATEGORIES = Object.freeze(['BUDGET', 'RATE', 'THRESHOLD'] as const);
/** One of {@link LIMIT_CATEGORIES}. */
export type LimitCategory = (typeof LIMIT_CATEGORIES)[number];
/** Whether a value is one of {@link LIMIT_CATEGORIES}. */
export const isLimitCategory = memberOf(LIMIT_CATEGORIES);

/** `limits.scope`, from widest to narrowest. */
export const LIMIT_SCOPES = Object.freeze(['GLOBAL', 'TENANT', 'PROJECT', 'AGENT', 'PROVIDER'] as const);
/** One of {@link LIMIT_SCOPES}. */
export type LimitScope = (typeof LIMIT_SCOPES)[number];
/** Whether a value is one of {@link LIMIT_SCOPES}. */
export const isLimitScope = memberOf(LIMIT_SCOPES);

/** `limits.enforcement`. */
export const LIMIT_ENFORCEMENTS = Object.freeze(['BLOCK', 'WARN', 'REJECT', 'QUEUE', 'DEGRADE', 'ALERT'] as const);
/** One of {@link LIMIT_ENFORCEMENTS}. */
export type LimitEnforcement = (typeof LIMIT_ENFORCEMENTS)[number];
/** Whether a value is one of {@link LIMIT_ENFORCEMENTS}. */
export const isLimitEnforcement = memberOf(LIMIT_ENFORCEMENTS);

/** `limits.consequence`. */
export const LIMIT_CONSEQUENCES = Object.freeze(['ALERT', 'INCIDENT', 'ABORT'] as const);
/** One of {@link LIMIT_CONSEQUENCES}. */
export type LimitConsequence = (typeof LIMIT_CONSEQUENCES)[number];
/** Whether a value is one of {@link LIMIT_CONSEQUENCES}. */
export const isLimitConsequence = memberOf(LIMIT_CONSEQUENCES);

/** `limits.status`. */
export const LIMIT_STATUSES = Object.freeze(['ACTIVE', 'DISABLED'] as const);
/** One of {@link LIMIT_STATUSES}. */
export type LimitStatus = (typeof LIMIT_STATUSES)[number];
/** Whether a value is one of {@link LIMIT_STATUSES}. */
export const isLimitStatus = memberOf(LIMIT_STATUSES);

/** `limits.reset_period`. */
export const RESET_PERIODS = Object.freeze(['DAILY', 'WEEKLY', 'MONTHLY', 'NONE'] as const);
/** One of {@link RESET_PERIODS}. */
export type ResetPeriod = (typeof RESET_PERIODS)[number];
/** Whether a value is one of {@link RESET_PERIODS}. */
export const isResetPeriod = memberOf(RESET_PERIODS);

/** `limit_breaches.breach_type`. */
export const LIMIT_BREACH_TYPES = Object.freeze([
  'BREACHED',
  'EXHAUSTED',
  'THROTTLED',
  'VIOLATED',
  'OVERRIDDEN',
] as const);
/** One of {@link LIMIT_BREACH_TYPES}. */
export type LimitBreachType = (typeof LIMIT_BREACH_TYPES)[number];
/** Whether a value is one of {@link LIMIT_BREACH_TYPES}. */
export const isLimitBreachType = memberOf(LIMIT_BREACH_TYPES);

/** `limit_overrides.status`. */
export const OVERRIDE_STATUSES = Object.freeze([
  'PENDING',
  'APPROVED',
  'ACTIVE',
  'EXPIRED',
  'REJECTED',
  'CANCELLED',
] as const);
/** One of {@link OVERRIDE_STATUSES}. */
export type OverrideStatus = (typeof OVERRIDE_STATUSES)[number];
/** Whether a value is one of {@link OVERRIDE_STATUSES}. */
export const isOverrideStatus = memberOf(OVERRIDE_STATUSES);

/** `incidents.severity`. */
export const INCIDENT_SEVERITIES = Object.freeze(['low', 'medium', 'high', 'critical'] as const);
/** One of {@link INCIDENT_SEVERITIES}. */
export type IncidentSeverity = (typeof INCIDENT_SEVERITIES)[number];
/** Whether a value is one of {@link INCIDENT_SEVERITIES}. */
export const isIncidentSeverity = memberOf(INCIDENT_SEVERITIES);

/** `incidents.status`. */
export const INCIDENT_STATUSES = Object.freeze(['open', 'acknowledged', 'resolved', 'closed'] as const);
/** One of {@link INCIDENT_STATUSES}. */
export type IncidentStatus = (typeof INCIDENT_STATUSES)[number];
/** Whether a value is one of {@link INCIDENT_STATUSES}. */
export const isIncidentStatus = memberOf(INCIDENT_STATUSES);

/** What a plan grants. */
export interface PlanQuota {
  readonly maxWorkers: number;
  readonly maxRunsPerDay: number;
  readonly maxConcurrentRuns: number;
  readonly maxTokensPerMonth: number;
  readonly maxApiKeys: number;
}

/** Quotas of the known plans; the list of plan names is open, these are the defaults of three of them. */
export const PLAN_QUOTAS: Readonly<Record<'free' | 'pro' | 'enterprise', PlanQuota>> = Object.freeze({
  free: quota(3, 100, 5, 1_000_000, 5),
  pro: quota(10, 1_000, 20, 10_000_000, 20),
  enterprise: quota(100, 100_000, 100, 1_000_000_000, 100),
});

function quota(
  maxWorkers: number,
  maxRunsPerDay: number,
  maxConcurrentRuns: number,
  maxTokensPerMonth: number,
  maxApiKeys: number,
): PlanQuota {
  return Object.freeze({ maxWorkers, maxRunsPerDay, maxConcurrentRuns, maxTokensPerMonth, maxApiKeys });
}

function memberOf<T extends string>(list: readonly T[]): (value: unknown) => value is T {
  const members: ReadonlySet<unknown> = new Set(list);
  return (value): value is T => members.has(value);
}
