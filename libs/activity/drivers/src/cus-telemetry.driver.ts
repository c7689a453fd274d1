import {
  type CreateUsageOutcome,
  DAILY_RANGE_MAX_DAYS,
  type DailyAggregateRaw,
  type DailyAggregateRow,
  type DailyDiscrepancy,
  type IntegrationRef,
  type IntegrationUsageRow,
  type ModelUsageRow,
  type NewUsage,
  type UsageBatchOutcome,
  type UsageFilter,
  type UsageRange,
  type UsageRow,
  type UsageSummaryRow,
} from '@hoc/activity/schemas';
import {
  assertCallId,
  assertId,
  assertInt,
  assertList,
  assertTenantId,
  type Clock,
  DataIntegrityError,
  daysBetween,
  type DriverDeps,
  filterFingerprint,
  invalid,
  type IsoDate,
  type Page,
  type PageRequest,
  toIsoDate,
  utcDayRange,
} from '@hoc/shared/kernel';
import {
  assertInTransaction,
  type DriverManager,
  guarded,
  type KeysetList,
  keysetPage,
  keysetRequest,
  run,
  runOne,
} from '@hoc/shared/drivers';
import { createUsage } from './cus-telemetry/create-usage.driver';
import { createUsageBatch } from './cus-telemetry/create-usage-batch.driver';
import { assertDailyRows, dailyColumns } from './cus-telemetry/daily.rules';
import { DAILY, DISCREPANCIES, LOCK_DAILY_ROWS, LOCK_DAY, RECOUNT, SET_DAILY } from './cus-telemetry/daily.query';
import { bounds, checkFilter, split } from './cus-telemetry/usage-range.rules';
import {
  HISTORY,
  ID_BY_CALL,
  INTEGRATIONS,
  PER_INTEGRATION,
  PER_MODEL,
  SUMMARY,
  type SumsRow,
} from './cus-telemetry/usage-read.query';
import { storedCallIds } from './cus-telemetry/usage-write.query';
import {
  toDailyRaw,
  toDailyRow,
  toDiscrepancy,
  toIntegrationRef,
  toIntegrationUsageRow,
  toModelUsageRow,
  toSummaryRow,
  toUsageRow,
} from './cus-telemetry/usage.rows';

export { USAGE_BATCH_MAX_ROWS, USAGE_CHUNK_ROWS, USAGE_COPY_MIN_ROWS } from './cus-telemetry/create-usage-batch.driver';
export { DAILY_RANGE_MAX_DAYS } from '@hoc/activity/schemas';
/** Call ids of one look-up. */
export const CALL_IDS_MAX = 5000;
/** Integrations of one look-up, and models of one list. */
export const INTEGRATIONS_MAX = 1000;

/** The clock's instant. @see cus_telemetry_driver.py, utc_now */
export const utcNow = (clock: Clock): Date => clock.now();

/** The driver on the given manager. @see cus_telemetry_driver.py, get_cus_telemetry_driver */
export function getCusTelemetryDriver(manager: DriverManager, deps: DriverDeps): CusTelemetryDriver {
  return new CusTelemetryDriver(manager, deps);
}

/**
 * Usage of LLM calls: facts written once per `(tenant, call id)`, their daily sums, and what is read of both. Money is
 * cents, exact; instants are UTC; ranges are half-open. No read needs a transaction: each is one statement.
 * @see cus_telemetry_driver.py
 */
export class CusTelemetryDriver {
  constructor(
    private readonly manager: DriverManager,
    private readonly deps: DriverDeps,
  ) {}

  /** The id of the call's row, or null. @see fetch_by_call_id */
  async fetchByCallId(tenantId: string, callId: string): Promise<string | null> {
    const values = [assertTenantId(tenantId), assertCallId(callId)];
    return guarded(async () => (await runOne(this.manager, ID_BY_CALL, values))?.id ?? null);
  }

  /** Which of at most 5,000 call ids are stored. @see fetch_call_ids_batch */
  async fetchCallIdsBatch(tenantId: string, callIds: readonly string[]): Promise<ReadonlySet<string>> {
    const tenant = assertTenantId(tenantId);
    const ids = new Set(assertList(callIds, 'callIds', CALL_IDS_MAX).map(assertCallId));
    if (ids.size === 0) return new Set();
    return guarded(() => storedCallIds(this.manager, tenant, [...ids]));
  }

  /** The integration, whatever its status; null where missing or deleted. @see fetch_integration */
  async fetchIntegration(tenantId: string, integrationId: string): Promise<IntegrationRef | null> {
    return (await this.fetchIntegrationsBatch(tenantId, [integrationId])).get(integrationId) ?? null;
  }

  /** The integrations that exist of at most 1,000 ids, by id. */
  async fetchIntegrationsBatch(tenantId: string, ids: readonly string[]): Promise<ReadonlyMap<string, IntegrationRef>> {
    const tenant = assertTenantId(tenantId);
    const wanted = assertList(ids, 'integrationIds', INTEGRATIONS_MAX).map((id) => assertId(id, 'integrationId'));
    if (wanted.length === 0) return new Map();
    const rows = await guarded(() => run(this.manager, INTEGRATIONS, [tenant, [...new Set(wanted)]]));
    return new Map(rows.map((row) => [row.id, toIntegrationRef(tenant, row)]));
  }

  /** Sums over `[from, to)`: whole UTC days from the daily rows, the edges from the calls. @see fetch_usage_summary */
  async fetchUsageSummary(tenantId: string, filter: UsageFilter = {}): Promise<UsageSummaryRow> {
    return toSummaryRow(await this.sums(tenantId, filter));
  }

  /** How many calls; the total of the original's history tuple. */
  async countUsage(tenantId: string, filter: UsageFilter = {}): Promise<number> {
    return toSummaryRow(await this.sums(tenantId, filter)).totalCalls;
  }

  /** Sums by integration, dearest first; deleted ones keep their name. @see fetch_per_integration_usage */
  async fetchPerIntegrationUsage(tenantId: string, range: UsageRange = {}): Promise<readonly IntegrationUsageRow[]> {
    const tenant = assertTenantId(tenantId);
    const { days, edges } = split(checkFilter(range));
    const query = edges === null ? PER_INTEGRATION.days : PER_INTEGRATION.edges;
    const rows = await guarded(() => run(this.manager, query, [tenant, ...days, ...(edges ?? [])]));
    return Object.freeze(rows.map(toIntegrationUsageRow));
  }

  /** Sums by provider and model, dearest first, at most `limit` (1–1,000, 100). Reads the calls of the range. */
  async fetchPerModelUsage(tenantId: string, range: UsageRange = {}, limit = 100): Promise<readonly ModelUsageRow[]> {
    const tenant = assertTenantId(tenantId);
    const values = [tenant, ...bounds(checkFilter(range)), assertInt(limit, 'limit', 1, INTEGRATIONS_MAX)];
    return Object.freeze((await guarded(() => run(this.manager, PER_MODEL, values))).map(toModelUsageRow));
  }

  /** Calls, newest first. @see fetch_usage_history */
  async fetchUsageHistory(tenantId: string, filter: UsageFilter, page: PageRequest): Promise<Page<UsageRow>> {
    const tenant = assertTenantId(tenantId);
    const { integrationId } = checkFilter(filter);
    const list = historyList(tenant, filter);
    const request = keysetRequest(list, page);
    const [at = 'infinity', id = ''] = request.after ?? [];
    const values = [tenant, ...bounds(filter), at ?? 'infinity', id, request.limit + 1];
    const rows = await guarded(() =>
      integrationId === undefined
        ? run(this.manager, HISTORY.all, values)
        : run(this.manager, HISTORY.ofOne, [...values, integrationId]),
    );
    return keysetPage(list, request, rows, { item: toUsageRow, position: (row) => [row.position, row.id] });
  }

  /** Stored days of `[fromDate, toDate)`, at most 366, by day and integration. @see fetch_daily_aggregates */
  async fetchDailyAggregates(
    tenantId: string,
    filter: { readonly integrationId?: string; readonly fromDate: IsoDate; readonly toDate: IsoDate },
  ): Promise<readonly DailyAggregateRow[]> {
    const tenant = assertTenantId(tenantId);
    const { integrationId } = checkFilter({ ...pickIntegration(filter) });
    const values = [tenant, ...assertDays(filter.fromDate, filter.toDate)];
    const rows = await guarded(() =>
      integrationId === undefined
        ? run(this.manager, DAILY.all, values)
        : run(this.manager, DAILY.ofOne, [...values, integrationId]),
    );
    return Object.freeze(rows.map(toDailyRow));
  }

  /**
   * Stores one call and adds it to its day, in one statement; needs no transaction. A replay of the same content is a
   * duplicate.
   * @throws ConflictError for another content under the call id (`details.existingId`), and, reason `foreign_key`, for an
   * integration that the tenant doesn't have
   * @see create_usage
   */
  async createUsage(tenantId: string, usage: NewUsage): Promise<CreateUsageOutcome> {
    const tenant = assertTenantId(tenantId);
    return guarded(() => createUsage(this.manager, this.deps, tenant, usage));
  }

  /**
   * Stores up to 20,000 calls; a conflict is an outcome and undoes nothing. Over 1,000 calls it needs a transaction.
   * @throws InvalidArgumentError with `details.index`, and nothing is written; ConflictError reason `foreign_key`
   * @see create_usage_batch
   */
  async createUsageBatch(tenantId: string, usages: readonly NewUsage[]): Promise<readonly UsageBatchOutcome[]> {
    const tenant = assertTenantId(tenantId);
    return guarded(() => createUsageBatch(this.manager, this.deps, tenant, usages));
  }

  /** Sets one day's figures, for repair; the stored row. @see upsert_daily_aggregate */
  async upsertDailyAggregate(tenantId: string, row: DailyAggregateRow): Promise<DailyAggregateRow> {
    const [stored] = await this.setDaily(tenantId, [row]);
    if (stored === undefined) throw new DataIntegrityError('the day was not stored', { details: { reason: 'lost' } });
    return stored;
  }

  /** Sets days, in one statement; how many. @throws InvalidArgumentError for a key given twice */
  async upsertDailyAggregates(tenantId: string, rows: readonly DailyAggregateRow[]): Promise<number> {
    return (await this.setDaily(tenantId, rows)).length;
  }

  /** A recount of the day's calls, by integration. @see compute_daily_aggregates_raw */
  async computeDailyAggregatesRaw(tenantId: string, targetDate: IsoDate): Promise<readonly DailyAggregateRaw[]> {
    const tenant = assertTenantId(tenantId);
    const { from, to } = utcDayRange(toIsoDate(targetDate, 'targetDate'));
    const rows = await guarded(() => run(this.manager, RECOUNT, [tenant, from.toISOString(), to.toISOString()]));
    return Object.freeze(rows.map(toDailyRaw));
  }

  /** Days and integrations whose stored figures are not the recount: empty unless somebody wrote to the tables by hand. */
  async fetchDailyDiscrepancies(
    tenantId: string,
    fromDate: IsoDate,
    toDate: IsoDate,
  ): Promise<readonly DailyDiscrepancy[]> {
    const values = [assertTenantId(tenantId), ...assertDays(fromDate, toDate)];
    return Object.freeze((await guarded(() => run(this.manager, DISCREPANCIES, values))).map(toDiscrepancy));
  }

  /**
   * Until the end of the transaction nobody adds to the day's rows of the integrations that it returns: all that have
   * calls or a row, in id order. Recount in a **later** statement and set those alone: one whose first call commits after
   * the lock isn't held, and its row needs no repair. A row that calls should have and don't is made, of zeros.
   * @throws TransactionRequiredError outside a transaction
   */
  async lockDailyAggregates(tenantId: string, targetDate: IsoDate): Promise<readonly string[]> {
    const tenant = assertTenantId(tenantId);
    assertInTransaction(this.manager);
    const date = toIsoDate(targetDate, 'targetDate');
    const { from, to } = utcDayRange(date);
    const range = [from.toISOString(), to.toISOString(), this.deps.clock.now().toISOString()];
    return guarded(async () => {
      await run(this.manager, LOCK_DAY, [tenant, date]);
      const rows = await run(this.manager, LOCK_DAILY_ROWS, [tenant, date, ...range]);
      return Object.freeze(rows.map((row) => row.integration_id));
    });
  }

  private async sums(tenantId: string, filter: UsageFilter): Promise<SumsRow> {
    const tenant = assertTenantId(tenantId);
    const { integrationId } = checkFilter(filter);
    const { days, edges } = split(filter);
    const values = [tenant, ...days, ...(edges ?? []), ...(integrationId === undefined ? [] : [integrationId])];
    const one = integrationId !== undefined;
    const query = edges === null ? (one ? SUMMARY.daysOfOne : SUMMARY.days) : one ? SUMMARY.edgesOfOne : SUMMARY.edges;
    const row = await guarded(() => runOne(this.manager, query, values));
    if (row === null) throw new DataIntegrityError('no sums', { details: { reason: 'lost' } });
    return row;
  }

  private async setDaily(tenantId: string, rows: readonly DailyAggregateRow[]): Promise<readonly DailyAggregateRow[]> {
    const tenant = assertTenantId(tenantId);
    const checked = assertDailyRows(rows);
    if (checked.length === 0) return [];
    const values = [tenant, this.deps.clock.now().toISOString(), ...dailyColumns(checked)];
    return (await guarded(() => run(this.manager, SET_DAILY, values))).map(toDailyRow);
  }
}

/** Newest first; the filter's instants as text, so that the fingerprint covers them. */
function historyList(tenantId: string, { integrationId, from, to }: UsageFilter): KeysetList {
  const filter = {
    integrationId: integrationId ?? null,
    from: from?.toISOString() ?? null,
    to: to?.toISOString() ?? null,
  };
  return {
    kind: 'usage',
    fingerprint: filterFingerprint('usage', tenantId, filter),
    positions: ['instant', 'text'],
  };
}

const pickIntegration = ({ integrationId }: { readonly integrationId?: string }): UsageFilter =>
  integrationId === undefined ? {} : { integrationId };

function assertDays(from: IsoDate, to: IsoDate): readonly [IsoDate, IsoDate] {
  const range = [toIsoDate(from, 'fromDate'), toIsoDate(to, 'toDate')] as const;
  const days = daysBetween(...range);
  if (days < 0) throw invalid('toDate', 'range', 'toDate must not lie before fromDate');
  if (days > DAILY_RANGE_MAX_DAYS)
    throw invalid('toDate', 'range', `the range must not exceed ${DAILY_RANGE_MAX_DAYS} days`);
  return range;
}
