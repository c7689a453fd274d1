import {
  type ActivityMetricsRow,
  type AtRiskFilter,
  type AtRiskRunRow,
  BREAKDOWN_LIMIT_DEFAULT,
  BREAKDOWN_LIMIT_MAX,
  DEFAULT_RUN_SORT,
  type DimensionBreakdownRows,
  type EvaluationRule,
  type MetricsFilter,
  type RunDetailRow,
  type RunDimension,
  type RunFilter,
  type RunSort,
  type RunSummaryRow,
  type RunWithPolicyRow,
  type StatusCountRow,
  type ThresholdSignalFilter,
  type ThresholdSignalRow,
} from '@hoc/activity/schemas';
import {
  assertId,
  assertInt,
  assertTenantId,
  deepFreeze,
  filterFingerprint,
  type Page,
  type PageRequest,
  RUN_STATUSES,
  toSafeInteger,
} from '@hoc/shared/kernel';
import {
  type DriverManager,
  guarded,
  type KeysetList,
  keysetPage,
  keysetRequest,
  run,
  runOne,
  type Statement,
  statement,
  storedValue,
} from '@hoc/shared/drivers';
import { breakdown, checkDimension, type GroupColumns } from './activity-read/breakdown.query';
import { Conditions } from './activity-read/conditions.rules';
import { metrics, type MetricsColumns, toMetrics } from './activity-read/metrics.query';
import type { PolicyColumns } from './activity-read/policy-context.query';
import { type AtRiskColumns, toAtRiskRun, toRunDetail, toRunSummary, toRunWithPolicy } from './activity-read/run.rows';
import {
  DETAIL_COLUMNS,
  pageOfRuns,
  type Positioned,
  type RunDetailColumns,
  type RunSummaryColumns,
  SUMMARY_COLUMNS,
} from './activity-read/run-columns.query';
import { filterAsJson } from './activity-read/run-filter.rules';
import {
  checkRule,
  filtered,
  listOf,
  only,
  planned,
  positionOf,
  prepared,
  withPolicy,
} from './activity-read/run-list.query';
import { checkRunSort } from './activity-read/run-sort.rules';
import {
  checkThresholdFilter,
  countOfThresholds,
  pageOfThresholds,
  type ThresholdColumns,
} from './activity-read/threshold.query';
import { toThresholdSignal } from './activity-read/threshold.rows';

/** The driver on the given manager. @see activity_read_driver.py, get_activity_read_driver */
export function getActivityReadDriver(manager: DriverManager): ActivityReadDriver {
  return new ActivityReadDriver(manager);
}

/**
 * Runs as operators see them: filtered pages, one run in full, counts, and the limit that makes a run look bad. Filters
 * are typed and bound, never text; each method is one statement, so what it returns is of one snapshot. Nothing is locked,
 * no transaction is needed. Instants are UTC, ranges half-open, money cents.
 * @see activity_read_driver.py
 */
export class ActivityReadDriver {
  constructor(private readonly manager: DriverManager) {}

  /** Runs under the filter; 0 for an unknown tenant. @see count_runs */
  async countRuns(tenantId: string, filter: RunFilter = {}): Promise<number> {
    const conditions = filtered(assertTenantId(tenantId), filter);
    return this.count(conditions, `SELECT count(*) AS n FROM runs r WHERE ${conditions.sql}`);
  }

  /**
   * A page of runs in the given order, ties by id; null is smaller than every value. Pages of any limit, one after the
   * other, give each run once if no row changes meanwhile.
   * @throws InvalidArgumentError for a bad filter, sort, limit, or a cursor of another list
   * @see fetch_runs
   */
  async fetchRuns(
    tenantId: string,
    filter: RunFilter = {},
    sort: RunSort = DEFAULT_RUN_SORT,
    page: PageRequest = {},
  ): Promise<Page<RunSummaryRow>> {
    const tenant = assertTenantId(tenantId);
    const conditions = filtered(tenant, filter);
    const order = checkRunSort(sort);
    const list = listOf('runs', tenant, filterAsJson(filter), order);
    const request = keysetRequest(list, page);
    const sql = prepared<RunSummaryColumns & Positioned>(
      'runs',
      conditions,
      pageOfRuns(conditions, order, request, SUMMARY_COLUMNS),
    );
    return guarded(async () => {
      const rows = await run(this.manager, sql, conditions.values);
      return keysetPage(list, request, rows, { item: toRunSummary, position: positionOf });
    });
  }

  /** One run in full; null where it is missing, or another tenant's. @see fetch_run_detail */
  async fetchRunDetail(tenantId: string, runId: string): Promise<RunDetailRow | null> {
    const values = [assertTenantId(tenantId), assertId(runId, 'runId')];
    return guarded(async () => {
      const row = await runOne(this.manager, DETAIL, values);
      return row === null ? null : toRunDetail(row);
    });
  }

  /** Statuses that some run under the filter has, the most frequent first. @see fetch_status_summary */
  async fetchStatusSummary(tenantId: string, filter: RunFilter = {}): Promise<readonly StatusCountRow[]> {
    const conditions = filtered(assertTenantId(tenantId), filter);
    const sql = prepared<{ readonly status: string; readonly n: string }>(
      'run_statuses',
      conditions,
      `SELECT r.status, count(*) AS n FROM runs r WHERE ${conditions.sql} GROUP BY r.status ORDER BY n DESC, r.status COLLATE "C"`,
    );
    return guarded(async () =>
      deepFreeze(
        (await run(this.manager, sql, conditions.values)).map(({ status, n }) => ({
          status: storedValue(status, RUN_STATUSES, 'status'),
          count: toSafeInteger(n, 'count'),
        })),
      ),
    );
  }

  /** {@link fetchRuns} with the limit that bounds each run most, evaluated for the page's rows only. @see fetch_runs_with_policy_context */
  async fetchRunsWithPolicyContext(
    tenantId: string,
    filter: RunFilter,
    sort: RunSort,
    page: PageRequest,
    rule: EvaluationRule,
  ): Promise<Page<RunWithPolicyRow>> {
    const tenant = assertTenantId(tenantId);
    const conditions = filtered(tenant, filter);
    const order = checkRunSort(sort);
    const ratio = checkRule(rule);
    const list = listOf('runs_policy', tenant, filterAsJson(filter), order);
    const request = keysetRequest(list, page);
    const sql = planned<RunSummaryColumns & Positioned & PolicyColumns>(
      'runs_policy',
      withPolicy(conditions, { order, request, ratio }),
    );
    return guarded(async () => {
      const rows = await run(this.manager, sql, conditions.values);
      return keysetPage(list, request, rows, { item: toRunWithPolicy, position: positionOf });
    });
  }

  /** Runs with a risk above NORMAL, an incident or a policy violation, the newest first. @see fetch_at_risk_runs */
  async fetchAtRiskRuns(
    tenantId: string,
    filter: AtRiskFilter,
    page: PageRequest,
    rule: EvaluationRule,
  ): Promise<Page<AtRiskRunRow>> {
    const tenant = assertTenantId(tenantId);
    const conditions = filtered(tenant, { ...only(filter, AT_RISK_KEYS), atRiskOnly: true });
    const ratio = checkRule(rule);
    const list = listOf('at_risk', tenant, filterAsJson(filter), DEFAULT_RUN_SORT);
    const request = keysetRequest(list, page);
    const sql = planned<AtRiskColumns & Positioned>(
      'at_risk_runs',
      withPolicy(conditions, { order: DEFAULT_RUN_SORT, request, ratio }),
    );
    return guarded(async () => {
      const rows = await run(this.manager, sql, conditions.values);
      return keysetPage(list, request, rows, { item: toAtRiskRun, position: positionOf });
    });
  }

  /** 13 counts over the runs under the filter, all 0 where there is none. @see fetch_metrics */
  async fetchMetrics(tenantId: string, filter: MetricsFilter, rule: EvaluationRule): Promise<ActivityMetricsRow> {
    const conditions = filtered(assertTenantId(tenantId), only(filter, METRICS_KEYS));
    const sql = planned<MetricsColumns>('run_metrics', metrics(conditions, conditions.bind(checkRule(rule))));
    return guarded(async () => {
      return toMetrics(await run(this.manager, sql, conditions.values));
    });
  }

  /**
   * Runs that some threshold was evaluated for, the nearest to its limit first. Evaluates all runs under the filter: bound
   * it with a started range; the statement time-out is the last fence.
   * @see fetch_threshold_signals
   */
  async fetchThresholdSignals(
    tenantId: string,
    filter: ThresholdSignalFilter,
    page: PageRequest,
    rule: EvaluationRule,
  ): Promise<Page<ThresholdSignalRow>> {
    const tenant = assertTenantId(tenantId);
    checkThresholdFilter(filter);
    const ratio = checkRule(rule);
    const list: KeysetList = {
      kind: 'threshold',
      fingerprint: filterFingerprint('threshold', tenant, { ...filterAsJson(filter), ratio }),
      positions: ['decimal', 'text'],
    };
    const request = keysetRequest(list, page);
    const conditions = new Conditions(tenant);
    const sql = planned<ThresholdColumns>('threshold_signals', pageOfThresholds(conditions, filter, ratio, request));
    return guarded(async () => {
      const rows = await run(this.manager, sql, conditions.values);
      return keysetPage(list, request, rows, {
        item: toThresholdSignal,
        position: (row) => [row.proximity, row.id],
      });
    });
  }

  /** How many {@link fetchThresholdSignals} would list. */
  async countThresholdSignals(tenantId: string, filter: ThresholdSignalFilter, rule: EvaluationRule): Promise<number> {
    const conditions = new Conditions(assertTenantId(tenantId));
    return this.count(conditions, countOfThresholds(conditions, checkThresholdFilter(filter), checkRule(rule)));
  }

  /**
   * The largest groups of one dimension, at most `limit` (1–100, default 20), and how many runs all groups have.
   * @throws InvalidArgumentError for an unknown dimension
   * @see fetch_dimension_breakdown
   */
  async fetchDimensionBreakdown(
    tenantId: string,
    dimension: RunDimension,
    filter: RunFilter = {},
    limit: number = BREAKDOWN_LIMIT_DEFAULT,
  ): Promise<DimensionBreakdownRows> {
    const conditions = filtered(assertTenantId(tenantId), filter);
    checkDimension(dimension);
    const most = assertInt(limit, 'limit', 1, BREAKDOWN_LIMIT_MAX);
    const sql = prepared<GroupColumns>('run_breakdown', conditions, breakdown(conditions, dimension, most));
    return guarded(async () => {
      const rows = await run(this.manager, sql, conditions.values);
      return deepFreeze({
        dimension,
        totalRuns: toSafeInteger(rows[0]?.total ?? 0, 'totalRuns'),
        groups: rows.map(({ value, n }) => ({ value, count: toSafeInteger(n, 'count') })),
      });
    });
  }

  private count(conditions: Conditions, text: string): Promise<number> {
    const sql = prepared<{ readonly n: string }>('count_runs', conditions, text);
    return guarded(async () => toSafeInteger((await runOne(this.manager, sql, conditions.values))?.n ?? 0, 'count'));
  }
}

/**
 * "The first at or after" the key, in the key's order: on a small table every index that starts with the tenant costs the
 * same for "it", and a plan kept from then would read all of the tenant's runs. Planning anew instead took as long again.
 */
const DETAIL: Statement<RunDetailColumns> = statement(
  'run_detail',
  `SELECT ${DETAIL_COLUMNS}
   FROM (SELECT * FROM runs r WHERE r.tenant_id = $1 AND r.id >= $2 ORDER BY r.tenant_id, r.id LIMIT 1) AS r
   WHERE r.id = $2`,
);

const AT_RISK_KEYS: ReadonlySet<string> = new Set(['projectId', 'riskLevels', 'startedFrom', 'startedTo']);
const METRICS_KEYS: ReadonlySet<string> = new Set(['projectId', 'startedFrom', 'startedTo']);
