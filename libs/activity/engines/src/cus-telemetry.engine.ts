import type { CusTelemetryDriver } from '@hoc/activity/drivers';
import {
  type BatchIngestItem,
  type BatchIngestResult,
  type CusLlmUsageIngest,
  type DailyAggregateRow,
  type DailyAggregatesQuery,
  type DailyDiscrepancy,
  INGEST_BATCH_MAX,
  type IngestResult,
  type ModelUsageRow,
  type NewUsage,
  type UsageHistoryQuery,
  type UsageRow,
  type UsageSummary,
  type UsageSummaryQuery,
} from '@hoc/activity/schemas';
import {
  addDays,
  assertId,
  assertList,
  assertTenantId,
  invalid,
  type IsoDate,
  NotFoundError,
  type Page,
  type ReadDeps,
  toIsoDate,
  utcDayOf,
  utcDayRange,
  utcToday,
} from '@hoc/shared/kernel';
import { assertImported, errorCodeOf, isBadRequest, toNewUsage } from './usage-request.engine';

/** What the engine needs of its driver. */
export type TelemetryDriver = Pick<
  CusTelemetryDriver,
  | 'fetchByCallId'
  | 'fetchCallIdsBatch'
  | 'fetchIntegration'
  | 'fetchIntegrationsBatch'
  | 'fetchUsageSummary'
  | 'fetchPerIntegrationUsage'
  | 'fetchPerModelUsage'
  | 'fetchUsageHistory'
  | 'fetchDailyAggregates'
  | 'fetchDailyDiscrepancies'
  | 'createUsage'
  | 'createUsageBatch'
  | 'upsertDailyAggregates'
  | 'computeDailyAggregatesRaw'
  | 'lockDailyAggregates'
>;

const DEFAULT_DAYS = 30;
/** What the driver takes in one batch. */
const IMPORT_MAX = 20_000;

/** The engine over the given driver. @see cus_telemetry_engine.py, get_cus_telemetry_engine */
export function getCusTelemetryEngine(driver: TelemetryDriver, deps: ReadDeps): CusTelemetryEngine {
  return new CusTelemetryEngine(driver, deps);
}

/**
 * Ingestion and reports of LLM usage: which integration a call belongs to, what a replay is, which days a report covers.
 * Lives as long as one unit of work. @see cus_telemetry_engine.py
 */
export class CusTelemetryEngine {
  constructor(
    private readonly driver: TelemetryDriver,
    private readonly deps: ReadDeps,
  ) {}

  /**
   * Takes one call, once: a replay of the same content is a duplicate, also when its integration was deleted since.
   * Needs no transaction.
   * @throws InvalidArgumentError, NotFoundError for the integration, ConflictError for another content under the call id
   */
  async ingestUsage(tenantId: string, integrationId: string | null, payload: CusLlmUsageIngest): Promise<IngestResult> {
    const tenant = assertTenantId(tenantId);
    const usage = toNewUsage(payload, integrationId, this.deps.clock.now());
    const known = await this.driver.fetchByCallId(tenant, usage.callId);
    if (known === null && (await this.driver.fetchIntegration(tenant, usage.integrationId)) === null)
      throw new NotFoundError('the tenant has no such integration', { details: { field: 'integrationId' } });
    const { status, id, callId } = await this.driver.createUsage(tenant, usage);
    return Object.freeze({ status: status === 'created' ? 'accepted' : 'duplicate', id, callId });
  }

  /**
   * Takes 1–100 calls; an invalid record or an unknown integration is an item with its code, the others are stored.
   * @throws InvalidArgumentError for 0 or more than 100 records; nothing is stored then
   */
  async ingestBatch(
    tenantId: string,
    defaultIntegrationId: string | null,
    records: readonly CusLlmUsageIngest[],
  ): Promise<BatchIngestResult> {
    const tenant = assertTenantId(tenantId);
    if (defaultIntegrationId !== null) assertId(defaultIntegrationId, 'integrationId');
    if (assertList(records, 'records', INGEST_BATCH_MAX).length === 0)
      throw invalid('records', 'empty', 'a batch holds 1 to 100 records');
    const now = this.deps.clock.now();
    const errors: BatchIngestItem[] = [];
    const taken: { readonly index: number; readonly usage: NewUsage }[] = [];
    records.forEach((record, index) => {
      try {
        taken.push({ index, usage: toNewUsage(record, defaultIntegrationId, now) });
      } catch (error) {
        if (!isBadRequest(error)) throw error;
        errors.push(errorItem(index, callIdOf(record), errorCodeOf(error)));
      }
    });
    return this.ingest(tenant, taken, errors);
  }

  /** Takes up to 20,000 calls that an importer or the coalescer has made. Over 1,000 it needs a transaction. */
  async ingestImported(tenantId: string, usages: readonly NewUsage[]): Promise<BatchIngestResult> {
    const tenant = assertTenantId(tenantId);
    assertList(usages, 'usages', IMPORT_MAX);
    assertImported(usages);
    return this.ingest(
      tenant,
      usages.map((usage, index) => ({ index, usage })),
      [],
    );
  }

  /** Sums of `[fromDate, toDate)`; by default the last 30 UTC days, today included. */
  async getUsageSummary(tenantId: string, query: UsageSummaryQuery = {}): Promise<UsageSummary> {
    const tenant = assertTenantId(tenantId);
    const { fromDate, toDate } = this.period(query);
    const range = { from: utcDayRange(fromDate).from, to: utcDayRange(toDate).from };
    const { integrationId } = query;
    const sums = await this.driver.fetchUsageSummary(tenant, { ...range, ...given({ integrationId }) });
    const byIntegration =
      integrationId === undefined ? await this.driver.fetchPerIntegrationUsage(tenant, range) : null;
    return Object.freeze({ tenantId: tenant, fromDate, toDate, ...sums, byIntegration });
  }

  /** Sums by provider and model over the same days, dearest first, at most `limit` (100). */
  async getUsageByModel(
    tenantId: string,
    query: Pick<UsageSummaryQuery, 'fromDate' | 'toDate'> & { readonly limit?: number } = {},
  ): Promise<readonly ModelUsageRow[]> {
    const tenant = assertTenantId(tenantId);
    const { fromDate, toDate } = this.period(query);
    const range = { from: utcDayRange(fromDate).from, to: utcDayRange(toDate).from };
    return this.driver.fetchPerModelUsage(tenant, range, query.limit);
  }

  /** Calls, newest first. */
  async getUsageHistory(tenantId: string, query: UsageHistoryQuery = {}): Promise<Page<UsageRow>> {
    const tenant = assertTenantId(tenantId);
    const { integrationId, limit, cursor } = query;
    return this.driver.fetchUsageHistory(tenant, given({ integrationId }), given({ limit, cursor }));
  }

  /** Stored days of `[fromDate, toDate)`, at most 366; by default the last 30. */
  async getDailyAggregates(
    tenantId: string,
    query: Partial<DailyAggregatesQuery> = {},
  ): Promise<readonly DailyAggregateRow[]> {
    const tenant = assertTenantId(tenantId);
    const { integrationId } = query;
    return this.driver.fetchDailyAggregates(tenant, { ...this.period(query), ...given({ integrationId }) });
  }

  /**
   * Repairs a day from its calls and returns the number of integrations; normally without effect. A day without calls
   * changes nothing: its usage may have been archived.
   * @throws TransactionRequiredError outside a transaction
   */
  async computeDailyAggregates(tenantId: string, targetDate: IsoDate): Promise<number> {
    const tenant = assertTenantId(tenantId);
    const date = toIsoDate(targetDate, 'targetDate');
    const locked = new Set(await this.driver.lockDailyAggregates(tenant, date));
    const counted = await this.driver.computeDailyAggregatesRaw(tenant, date);
    // What isn't locked had no call when we looked: its row is right from its first call on, and may have grown since we counted.
    const held = counted.filter(({ integrationId }) => locked.has(integrationId));
    if (held.length > 0)
      await this.driver.upsertDailyAggregates(
        tenant,
        held.map((row) => ({ date, ...row })),
      );
    return counted.length;
  }

  /** Days whose stored sums are not the recount: normally none. */
  async getDailyDiscrepancies(
    tenantId: string,
    query: { readonly fromDate: IsoDate; readonly toDate: IsoDate },
  ): Promise<readonly DailyDiscrepancy[]> {
    return this.driver.fetchDailyDiscrepancies(assertTenantId(tenantId), query.fromDate, query.toDate);
  }

  private async ingest(
    tenantId: string,
    records: readonly { readonly index: number; readonly usage: NewUsage }[],
    errors: readonly BatchIngestItem[],
  ): Promise<BatchIngestResult> {
    const { kept, lost } = await this.withIntegration(tenantId, records);
    // The driver takes its time of the insert at once, while the write itself may last over a midnight.
    const now = this.deps.clock.now();
    const outcomes = await this.driver.createUsageBatch(
      tenantId,
      kept.map(({ usage }) => usage),
    );
    const items = [
      ...errors,
      ...lost.map(({ index, usage }) => errorItem(index, usage.callId, 'INTEGRATION_NOT_FOUND')),
      ...outcomes.map(({ callId, status, id }, place): BatchIngestItem => {
        const index = kept[place]?.index ?? place;
        return { index, callId, status: status === 'created' ? 'accepted' : status, id };
      }),
    ];
    if (errors.length + lost.length > 0) items.sort((a, b) => a.index - b.index);
    const taken = kept.filter((_, place) => outcomes[place]?.status === 'created');
    return result(items, daysOf(taken, now));
  }

  /**
   * Records whose integration exists; and, of the others, those whose call is stored, or will be by an earlier record: a
   * replay outlives its integration, and is answered alike in one batch or in two.
   */
  private async withIntegration<R extends { readonly usage: NewUsage }>(
    tenantId: string,
    records: readonly R[],
  ): Promise<{ readonly kept: readonly R[]; readonly lost: readonly R[] }> {
    const wanted = [...new Set(records.map(({ usage }) => usage.integrationId))];
    const found = new Set<string>();
    for (let at = 0; at < wanted.length; at += 1000)
      for (const id of (await this.driver.fetchIntegrationsBatch(tenantId, wanted.slice(at, at + 1000))).keys())
        found.add(id);
    if (found.size === wanted.length) return { kept: records, lost: [] };
    const orphans = records.filter(({ usage }) => !found.has(usage.integrationId));
    const known = new Set<string>();
    const calls = orphans.map(({ usage }) => usage.callId);
    for (let at = 0; at < calls.length; at += 5000)
      for (const id of await this.driver.fetchCallIdsBatch(tenantId, calls.slice(at, at + 5000))) known.add(id);
    const [kept, lost]: [R[], R[]] = [[], []];
    for (const record of records) {
      const { integrationId, callId } = record.usage;
      if (!found.has(integrationId) && !known.has(callId)) lost.push(record);
      else {
        kept.push(record);
        known.add(callId);
      }
    }
    return { kept, lost };
  }

  /** Half-open UTC days: to defaults to tomorrow, from to 30 days before to. */
  private period(query: { readonly fromDate?: IsoDate; readonly toDate?: IsoDate }): {
    readonly fromDate: IsoDate;
    readonly toDate: IsoDate;
  } {
    const toDate = toIsoDate(query.toDate ?? addDays(utcToday(this.deps.clock), 1), 'toDate');
    const fromDate = toIsoDate(query.fromDate ?? addDays(toDate, -DEFAULT_DAYS), 'fromDate');
    if (fromDate >= toDate) throw invalid('fromDate', 'range', 'fromDate must lie before toDate');
    return { fromDate, toDate };
  }
}

/** The UTC days of the calls, sorted. Most calls of a batch share one, so a day is printed once. */
function daysOf(records: readonly { readonly usage: NewUsage }[], now: Date): readonly IsoDate[] {
  const instants = new Map<number, Date>();
  for (const { usage } of records) {
    const at = usage.occurredAt ?? now;
    instants.set(Math.floor(at.getTime() / DAY_MS), at);
  }
  return [...instants.values()].map((at) => utcDayOf(at)).sort();
}

const DAY_MS = 86_400_000;

function result(items: readonly BatchIngestItem[], affectedDays: readonly IsoDate[]): BatchIngestResult {
  const counts = { accepted: 0, duplicate: 0, conflict: 0, error: 0 };
  for (const item of items) {
    counts[item.status] += 1;
    Object.freeze(item);
  }
  return Object.freeze({
    accepted: counts.accepted,
    duplicates: counts.duplicate,
    conflicts: counts.conflict,
    errors: counts.error,
    total: items.length,
    items: Object.freeze(items),
    affectedDays: Object.freeze(affectedDays),
  });
}

const errorItem = (index: number, callId: string, code: NonNullable<BatchIngestItem['code']>): BatchIngestItem => ({
  index,
  callId,
  status: 'error',
  id: null,
  code,
});

/** An invalid record may have anything for a call id. */
function callIdOf(record: unknown): string {
  const callId: unknown = typeof record === 'object' && record !== null ? Reflect.get(record, 'callId') : null;
  return typeof callId === 'string' ? callId.slice(0, 255) : '';
}

/** Members that were given: an absent one and `undefined` are two things to an exact optional property. */
function given<T extends object>(members: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const entries = Object.entries(members).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]?: Exclude<T[K], undefined> };
}
