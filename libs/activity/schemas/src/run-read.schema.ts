import type {
  ActorType,
  DecimalString,
  EvidenceHealth,
  IntegrityStatus,
  LatencyBucket,
  ObservabilityStatus,
  RiskLevel,
  RunProviderType,
  RunSource,
  RunState,
  RunStatus,
  RunTerminationReason,
} from '@hoc/shared/kernel';

import type {
  EvaluationOutcome,
  PolicyScope,
  RiskType,
  RunDimension,
  RunSortField,
  SeverityLevel,
  SignalType,
  SortDirection,
  ThresholdSource,
  ThresholdUnit,
} from './activity-enums.schema';
import type { SignalFeedbackStatus } from './ports.schema';

/** Values of one list of a {@link RunFilter}. */
export const FILTER_VALUES_MAX = 50;
/** Groups of one dimension breakdown, at most. */
export const BREAKDOWN_LIMIT_MAX = 100;
/** Groups of one dimension breakdown where the caller names no limit. @see activity_read_driver.py, the default limit */
export const BREAKDOWN_LIMIT_DEFAULT = 20;
/** The policy of a run that no limit holds for. */
export const SYSTEM_DEFAULT_POLICY = Object.freeze({
  policyId: 'SYSTEM_DEFAULT',
  policyName: 'Default Safety Thresholds',
} as const);

/**
 * Which runs: absent = no filter, a list = any of its values. An empty list is refused: a caller who filtered everything
 * away wants nothing, not everything. Ranges are half-open and exclude runs whose instant is null.
 */
export interface RunFilter {
  readonly projectId?: string;
  readonly agentId?: string;
  readonly state?: RunState;
  readonly statuses?: readonly RunStatus[];
  /** True: risk above NORMAL, or an incident, or a policy violation. False adds nothing. */
  readonly atRiskOnly?: boolean;
  readonly riskLevels?: readonly RiskLevel[];
  readonly latencyBuckets?: readonly LatencyBucket[];
  readonly evidenceHealth?: readonly EvidenceHealth[];
  readonly integrityStatuses?: readonly IntegrityStatus[];
  readonly sources?: readonly RunSource[];
  readonly providerTypes?: readonly RunProviderType[];
  readonly isSynthetic?: boolean;
  /** Inclusive. */
  readonly startedFrom?: Date;
  /** Exclusive. */
  readonly startedTo?: Date;
  /** Inclusive. */
  readonly completedFrom?: Date;
  /** Exclusive. */
  readonly completedTo?: Date;
}

/** The order of a list of runs; ties by id in the same direction; null is smaller than every value. */
export interface RunSort {
  readonly field: RunSortField;
  readonly direction: SortDirection;
}
/** The newest first. */
export const DEFAULT_RUN_SORT: RunSort = Object.freeze({ field: 'startedAt', direction: 'desc' });

/** From which part of a limit a run counts as near it. */
export interface EvaluationRule {
  /** 0 < r ≤ 1. */
  readonly nearThresholdRatio: DecimalString;
}

/** Which runs at risk. */
export interface AtRiskFilter {
  readonly projectId?: string;
  readonly riskLevels?: readonly RiskLevel[];
  readonly startedFrom?: Date;
  readonly startedTo?: Date;
}

/** Over which runs the metrics count. */
export interface MetricsFilter {
  readonly projectId?: string;
  readonly startedFrom?: Date;
  readonly startedTo?: Date;
}

/** Which runs that a threshold was evaluated for. */
export interface ThresholdSignalFilter {
  readonly projectId?: string;
  readonly riskType?: RiskType;
  readonly evaluationOutcome?: Exclude<EvaluationOutcome, 'ADVISORY'>;
  readonly state?: RunState;
  readonly startedFrom?: Date;
  readonly startedTo?: Date;
}

/** A run in a list: 22 fields. @see activity_read_driver.py */
export interface RunSummaryRow {
  readonly runId: string;
  readonly tenantId: string;
  readonly projectId: string | null;
  readonly isSynthetic: boolean;
  readonly source: RunSource;
  readonly providerType: RunProviderType;
  readonly state: RunState;
  readonly status: RunStatus;
  readonly startedAt: Date | null;
  readonly lastSeenAt: Date | null;
  readonly completedAt: Date | null;
  readonly durationMs: number | null;
  readonly riskLevel: RiskLevel;
  readonly latencyBucket: LatencyBucket;
  readonly evidenceHealth: EvidenceHealth;
  readonly integrityStatus: IntegrityStatus;
  readonly incidentCount: number;
  readonly policyDraftCount: number;
  readonly policyViolation: boolean;
  readonly inputTokens: number | null;
  readonly outputTokens: number | null;
  readonly estimatedCostCents: DecimalString | null;
}

/** A run in full. */
export interface RunDetailRow extends RunSummaryRow {
  readonly agentId: string;
  readonly actorType: ActorType;
  readonly actorId: string | null;
  readonly originSystemId: string;
  readonly goal: string;
  readonly errorMessage: string | null;
  readonly attempts: number;
  readonly maxAttempts: number;
  readonly parentRunId: string | null;
  readonly priority: number;
  readonly expectedLatencyMs: number | null;
  readonly terminationReason: RunTerminationReason | null;
  readonly stoppedAtStep: number | null;
  readonly violationPolicyId: string | null;
  readonly policySnapshotId: string | null;
  readonly observabilityStatus: ObservabilityStatus;
  readonly syntheticScenarioId: string | null;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** The limit that makes a run look as it does: the worst outcome, then the nearest, then the narrowest scope. */
export interface PolicyContext {
  readonly policyId: string;
  readonly policyName: string;
  readonly policyScope: PolicyScope;
  readonly limitType: string | null;
  readonly thresholdValue: DecimalString | null;
  readonly thresholdUnit: ThresholdUnit | null;
  readonly thresholdSource: ThresholdSource;
  readonly evaluationOutcome: EvaluationOutcome;
  readonly actualValue: DecimalString | null;
  readonly riskType: RiskType | null;
  /** Per cent of the threshold, one decimal; null where there is none, or where it is 0. */
  readonly proximityPct: number | null;
}

/** A run with the limit that bounds it most. */
export interface RunWithPolicyRow extends RunSummaryRow {
  readonly policyContext: PolicyContext;
}

/** A run that somebody should look at. */
export interface AtRiskRunRow {
  readonly runId: string;
  readonly tenantId: string;
  readonly projectId: string | null;
  readonly isSynthetic: boolean;
  readonly source: RunSource;
  readonly providerType: RunProviderType;
  readonly state: RunState;
  readonly status: RunStatus;
  readonly startedAt: Date | null;
  readonly createdAt: Date;
  readonly riskLevel: RiskLevel;
  readonly evidenceHealth: EvidenceHealth;
  readonly incidentCount: number;
  readonly policyViolation: boolean;
  readonly policyContext: PolicyContext;
}

/** A run that a threshold was evaluated for. */
export interface ThresholdSignalRow {
  readonly runId: string;
  readonly state: RunState;
  readonly startedAt: Date | null;
  readonly limitType: string;
  readonly proximityPct: number | null;
  readonly evaluationOutcome: Exclude<EvaluationOutcome, 'ADVISORY'>;
  readonly policyContext: PolicyContext;
}

/** How many runs have a status. */
export interface StatusCountRow {
  readonly status: RunStatus;
  readonly count: number;
}

/** The health of a tenant's runs: 13 counts. */
export interface ActivityMetricsRow {
  readonly atRiskCount: number;
  readonly violatedCount: number;
  readonly nearThresholdCount: number;
  readonly totalAtRisk: number;
  readonly liveCount: number;
  readonly completedCount: number;
  readonly evidenceFlowingCount: number;
  readonly evidenceDegradedCount: number;
  readonly evidenceMissingCount: number;
  readonly costRiskCount: number;
  readonly timeRiskCount: number;
  readonly tokenRiskCount: number;
  readonly rateRiskCount: number;
}

/** The largest groups of one dimension; `totalRuns` counts all runs under the filter, also those of groups cut off. */
export interface DimensionBreakdownRows {
  readonly dimension: RunDimension;
  readonly totalRuns: number;
  readonly groups: readonly { readonly value: string; readonly count: number }[];
}

/** The filters that a list was made under: the tenant and what the caller gave, instants as ISO text, no default. */
export type FiltersApplied = Readonly<Record<string, string | boolean | readonly string[]>>;

/** A page of runs. */
export interface RunListResult {
  readonly items: readonly RunSummaryRow[];
  readonly nextCursor: string | null;
  readonly filtersApplied: FiltersApplied;
}

/** A page of runs of one state, with their policy context. */
export interface RunsResult {
  readonly state: RunState;
  readonly items: readonly RunWithPolicyRow[];
  readonly nextCursor: string | null;
  readonly generatedAt: Date;
}
/** A page of runs that go on. */
export type LiveRunsResult = RunsResult;
/** A page of runs that have ended. */
export type CompletedRunsResult = RunsResult;

/** Runs by status; `total` is the sum of the counts. */
export interface StatusSummaryResult {
  readonly statuses: readonly StatusCountRow[];
  readonly total: number;
}

/** A run at risk, as a signal that people can answer. */
export interface SignalProjection {
  /** `sig-` + the fingerprint. */
  readonly signalId: string;
  /** 32 hex digits; the key of its feedback. */
  readonly signalFingerprint: string;
  readonly runId: string;
  readonly signalType: SignalType;
  readonly severity: SeverityLevel;
  readonly summary: string;
  readonly policyContext: PolicyContext;
  /** The run's start; where it has none, its creation. */
  readonly createdAt: Date;
  readonly feedback: SignalFeedbackStatus | null;
}

/** A page of signals: it may be short, or empty, and yet have a cursor. */
export interface SignalsResult {
  readonly signals: readonly SignalProjection[];
  readonly nextCursor: string | null;
  /** Runs at risk that were looked at for this page. */
  readonly scanned: number;
  readonly generatedAt: Date;
}

/** The metrics and the instant they were asked at. */
export interface MetricsResult extends ActivityMetricsRow {
  readonly generatedAt: Date;
}

/** A page of threshold signals. */
export interface ThresholdSignalsResult {
  readonly signals: readonly ThresholdSignalRow[];
  readonly nextCursor: string | null;
  readonly riskTypeFilter: RiskType | null;
  readonly generatedAt: Date;
}

/** Runs at risk, by level and by what they are about to exceed. */
export interface RiskSignalsResult {
  readonly atRiskCount: number;
  readonly violatedCount: number;
  readonly nearThresholdCount: number;
  readonly totalAtRisk: number;
  readonly byRiskType: Readonly<Record<'COST' | 'TIME' | 'TOKENS' | 'RATE', number>>;
}

/** Groups of one dimension with their share. */
export interface DimensionBreakdownResult {
  readonly dimension: RunDimension;
  /** `percentage` of all runs under the filter, two decimals. */
  readonly groups: readonly { readonly value: string; readonly count: number; readonly percentage: number }[];
  readonly totalRuns: number;
  readonly stateFilter: RunState | null;
}

/** One signal in the order in which people should look at them. */
export interface AttentionItem {
  readonly signalId: string;
  readonly signalType: SignalType;
  readonly runId: string;
  readonly severity: SeverityLevel;
  /** From 0 to 1. */
  readonly attentionScore: number;
  readonly attentionReason: string;
  readonly createdAt: Date;
}

/** The signals that need somebody most. */
export interface AttentionQueueResult {
  readonly items: readonly AttentionItem[];
  readonly generatedAt: Date;
  /** Signals that were ranked, before the limit and the least score. */
  readonly considered: number;
}
