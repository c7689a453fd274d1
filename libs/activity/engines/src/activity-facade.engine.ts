import type { ActivityReadDriver } from '@hoc/activity/drivers';
import {
  type AttentionQueueResult,
  type CompletedRunsResult,
  type DimensionBreakdownResult,
  type EvaluationRule,
  type LiveRunsResult,
  type MetricsFilter,
  type MetricsResult,
  type RiskSignalsResult,
  type RunDetailRow,
  type RunDimension,
  type RunEvidencePort,
  type RunEvidenceResult,
  type RunFilter,
  type RunListResult,
  type RunProofPort,
  type RunProofResult,
  type RunsResult,
  type RunState,
  type SignalFeedbackPort,
  type SignalsResult,
  type StatusSummaryResult,
  type ThresholdSignalFilter,
  type ThresholdSignalsResult,
  isRunStatus,
  lifecycleStateOf,
} from '@hoc/activity/schemas';
import {
  assertId,
  assertTenantId,
  deepFreeze,
  divideDecimal,
  type DriverDeps,
  invalid,
  multiplyDecimal,
  NotFoundError,
  toDecimalString,
  toMoney,
  UnavailableError,
} from '@hoc/shared/kernel';
import { attentionQueue } from './attention-queue.engine';
import {
  type AttentionQuery,
  type CompletedRunsQuery,
  filtersApplied,
  type LiveRunsQuery,
  only,
  type Paged,
  partsOf,
  type RunsQuery,
  type SignalsQuery,
  sortedPartsOf,
} from './facade-query.engine';
import { signalPage } from './signal-page.engine';

export type { AttentionQuery, CompletedRunsQuery, LiveRunsQuery, RunsQuery, SignalsQuery } from './facade-query.engine';

/** From which part of a limit a run counts as near it. */
export const NEAR_THRESHOLD_RATIO = toMoney('0.8');
const RULE: EvaluationRule = Object.freeze({ nearThresholdRatio: NEAR_THRESHOLD_RATIO });

/** What the facade needs of the driver. */
export type ReadDriver = Pick<
  ActivityReadDriver,
  | 'countRuns'
  | 'fetchRuns'
  | 'fetchRunDetail'
  | 'fetchStatusSummary'
  | 'fetchRunsWithPolicyContext'
  | 'fetchAtRiskRuns'
  | 'fetchMetrics'
  | 'fetchThresholdSignals'
  | 'fetchDimensionBreakdown'
>;

/** What the facade needs of the consumer; an absent port says so when it is asked. */
export interface FacadeDeps extends DriverDeps {
  readonly evidence?: RunEvidencePort;
  readonly proof?: RunProofPort;
  readonly feedback?: SignalFeedbackPort;
}

/** The facade on a driver of one unit of work. */
export function getActivityFacade(driver: ReadDriver, deps: FacadeDeps): ActivityFacade {
  return new ActivityFacade(driver, deps);
}

/**
 * Runs as an operator's console shows them: lists, one run, counts, signals, what needs somebody first. Reads only; no
 * method needs a transaction. Results are frozen.
 * @see activity_facade.py
 */
export class ActivityFacade {
  constructor(
    private readonly driver: ReadDriver,
    private readonly deps: FacadeDeps,
  ) {}

  /**
   * A page of runs, the newest first unless sorted otherwise, and the filters that it was made under.
   * @throws InvalidArgumentError for a bad filter, sort, limit, or a cursor of another list
   */
  async getRuns(tenantId: string, query: RunsQuery = {}): Promise<RunListResult> {
    const tenant = assertTenantId(tenantId);
    const { sort, page, filter } = sortedPartsOf(query);
    const { items, nextCursor } = await this.driver.fetchRuns(tenant, filter, sort, page);
    return deepFreeze({ items, nextCursor, filtersApplied: filtersApplied(tenant, filter) });
  }

  /** How many runs there are under the filter. */
  async countRuns(tenantId: string, filter: RunFilter = {}): Promise<number> {
    return this.driver.countRuns(tenantId, filter);
  }

  /** One run in full. @throws NotFoundError where it is missing, or another tenant's */
  async getRunDetail(tenantId: string, runId: string): Promise<RunDetailRow> {
    const detail = await this.driver.fetchRunDetail(tenantId, runId);
    if (detail === null) throw new NotFoundError('the tenant has no such run', { details: { field: 'runId' } });
    return detail;
  }

  /** Runs by status, the most frequent first. */
  async getStatusSummary(
    tenantId: string,
    filter: { readonly projectId?: string; readonly state?: RunState } = {},
  ): Promise<StatusSummaryResult> {
    const statuses = await this.driver.fetchStatusSummary(tenantId, only(filter, ['projectId', 'state']));
    return deepFreeze({ statuses, total: statuses.reduce((sum, { count }) => sum + count, 0) });
  }

  /** Runs that go on, with the limit that bounds each most. */
  async getLiveRuns(tenantId: string, query: LiveRunsQuery = {}): Promise<LiveRunsResult> {
    return this.runsOf('LIVE', tenantId, query, LIVE_KEYS);
  }

  /** Runs that have ended, with the limit that bounded each most. @throws InvalidArgumentError for a status that isn't an end */
  async getCompletedRuns(tenantId: string, query: CompletedRunsQuery = {}): Promise<CompletedRunsResult> {
    return this.runsOf('COMPLETED', tenantId, query, COMPLETED_KEYS);
  }

  /**
   * Runs at risk as signals, the newest first, with what people said of them. Filtered before the page is filled; a page
   * may be short, or empty, and yet have a cursor: ask on until it is null.
   */
  async getSignals(tenantId: string, query: SignalsQuery = {}): Promise<SignalsResult> {
    return signalPage(this.driver, this.deps, assertTenantId(tenantId), query, RULE);
  }

  /** 13 counts over the runs under the filter. */
  async getMetrics(tenantId: string, filter: MetricsFilter = {}): Promise<MetricsResult> {
    const metrics = await this.driver.fetchMetrics(tenantId, filter, RULE);
    return deepFreeze({ ...metrics, generatedAt: this.deps.clock.now() });
  }

  /** Runs that a threshold was evaluated for, the nearest to it first. Bound it with a started range. */
  async getThresholdSignals(
    tenantId: string,
    query: ThresholdSignalFilter & Paged = {},
  ): Promise<ThresholdSignalsResult> {
    const { page, filter } = partsOf(query);
    const { items, nextCursor } = await this.driver.fetchThresholdSignals(tenantId, filter, page, RULE);
    const riskTypeFilter = query.riskType ?? null;
    return deepFreeze({ signals: items, nextCursor, riskTypeFilter, generatedAt: this.deps.clock.now() });
  }

  /** Runs at risk by level, and by what they exceed or are about to. */
  async getRiskSignals(tenantId: string, filter: MetricsFilter = {}): Promise<RiskSignalsResult> {
    const metrics = await this.driver.fetchMetrics(tenantId, filter, RULE);
    const { atRiskCount, violatedCount, nearThresholdCount, totalAtRisk } = metrics;
    const byRiskType = {
      COST: metrics.costRiskCount,
      TIME: metrics.timeRiskCount,
      TOKENS: metrics.tokenRiskCount,
      RATE: metrics.rateRiskCount,
    };
    return deepFreeze({ atRiskCount, violatedCount, nearThresholdCount, totalAtRisk, byRiskType });
  }

  /** The largest groups of one dimension with their share of all runs. */
  async getDimensionBreakdown(
    tenantId: string,
    query: { readonly dimension: RunDimension; readonly state?: RunState; readonly limit?: number },
  ): Promise<DimensionBreakdownResult> {
    const { dimension, state, limit } = only(query, ['dimension', 'state', 'limit']);
    const filter = state === undefined ? {} : { state };
    const { totalRuns, groups } = await this.driver.fetchDimensionBreakdown(tenantId, dimension, filter, limit);
    const shares = groups.map((group) => ({ ...group, percentage: percentage(group.count, totalRuns) }));
    return deepFreeze({ dimension, groups: shares, totalRuns, stateFilter: state ?? null });
  }

  /** The signals of the last 168 hours that need somebody most. */
  async getAttentionQueue(tenantId: string, query: AttentionQuery = {}): Promise<AttentionQueueResult> {
    return attentionQueue(this.driver, this.deps, assertTenantId(tenantId), query, RULE);
  }

  /** What a run caused elsewhere, as the port says it. @throws UnavailableError reason `not_configured` where the consumer bound no port */
  async getRunEvidence(tenantId: string, runId: string): Promise<RunEvidenceResult> {
    const [tenant, run] = [assertTenantId(tenantId), assertId(runId, 'runId')];
    return deepFreeze(await port(this.deps.evidence, 'evidence').getRunEvidence(tenant, run));
  }

  /** That a run's record is whole. @throws UnavailableError reason `not_configured` where the consumer bound no port */
  async getRunProof(
    tenantId: string,
    runId: string,
    options: { readonly includePayloads?: boolean } = {},
  ): Promise<RunProofResult> {
    const [tenant, run] = [assertTenantId(tenantId), assertId(runId, 'runId')];
    const { includePayloads = false } = only(options, ['includePayloads']);
    return deepFreeze(await port(this.deps.proof, 'proof').getRunProof(tenant, run, { includePayloads }));
  }

  private async runsOf(
    state: RunState,
    tenantId: string,
    query: RunsQuery,
    keys: readonly string[],
  ): Promise<RunsResult> {
    const { sort, page, filter } = sortedPartsOf(only(query, [...keys, 'sort', 'limit', 'cursor']));
    // What is no list, or holds what is no status, the driver refuses.
    const statuses: unknown = filter.statuses;
    if (Array.isArray(statuses) && statuses.some((status) => isRunStatus(status) && lifecycleStateOf(status) !== state))
      throw invalid('statuses', 'state', `only statuses of the state ${state} can be asked for`);
    const { items, nextCursor } = await this.driver.fetchRunsWithPolicyContext(
      tenantId,
      { ...filter, state },
      sort,
      page,
      RULE,
    );
    return deepFreeze({ state, items, nextCursor, generatedAt: this.deps.clock.now() });
  }
}

const LIVE_KEYS = ['projectId', 'riskLevels', 'evidenceHealth', 'sources', 'providerTypes'];
const COMPLETED_KEYS = ['projectId', 'statuses', 'riskLevels', 'completedFrom', 'completedTo'];

/** Half-up at two decimals, without a float in between. */
function percentage(count: number, total: number): number {
  if (total === 0) return 0;
  const hundredfold = multiplyDecimal(toDecimalString(count), toDecimalString(100));
  return Number(divideDecimal(hundredfold, toDecimalString(total), 2));
}

function port<T>(bound: T | undefined, name: string): T {
  if (bound === undefined)
    throw new UnavailableError(`no ${name} port is bound: give one in the deps of the module`, {
      details: { reason: 'not_configured', port: name },
    });
  return bound;
}
