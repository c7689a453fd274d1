import type {
  CrashedRun,
  DailyAggregateRow,
  IntegrationUsageRow,
  ModelUsageRow,
  SignalProjection,
  StatusSummaryResult,
  UsageSummary,
} from '@hoc/activity/schemas';
import { addDays, addDecimal, daysBetween, type IsoDate, systemScope, ZERO_DECIMAL } from '@hoc/shared/kernel';
import type { App } from './app';
import { dollars, grouped } from './money';
import { drawTable, type TableData } from './tables';

/** What was read back of one tenant, through the engines. */
export interface TenantReport {
  readonly summary: UsageSummary;
  readonly models: readonly ModelUsageRow[];
  readonly days: readonly DailyAggregateRow[];
  /** Days whose stored sums are not the recount: there must be none. */
  readonly discrepancies: number;
  /** Runs by status. */
  readonly statuses: StatusSummaryResult;
  /** The newest runs at risk. */
  readonly atRisk: readonly SignalProjection[];
  /** Among the newest crashes of the database, the tenant's own. */
  readonly crashes: readonly CrashedRun[];
}

const AT_RISK_SHOWN = 5;
const CRASHES_READ = 100;

const WINDOW_DAYS = 366;

/** Reads a tenant's usage over `[fromDate, toDate)`, in one transaction, so that all parts show one state. */
export function readTenant(app: App, tenantId: string, fromDate: IsoDate, toDate: IsoDate): Promise<TenantReport> {
  const range = { fromDate, toDate };
  return app.transaction(
    async ({ activity: { telemetry, activity, orphans } }) => {
      const summary = await telemetry.getUsageSummary(tenantId, range);
      const models = await telemetry.getUsageByModel(tenantId, range);
      const days: DailyAggregateRow[] = [];
      let discrepancies = 0;
      for (const window of windows(fromDate, toDate)) {
        days.push(...(await telemetry.getDailyAggregates(tenantId, window)));
        discrepancies += (await telemetry.getDailyDiscrepancies(tenantId, window)).length;
      }
      const statuses = await activity.getStatusSummary(tenantId);
      const { signals: atRisk } = await activity.getSignals(tenantId, { limit: AT_RISK_SHOWN });
      const { recentCrashes } = await orphans.summary(systemScope('report'), { recentLimit: CRASHES_READ });
      const crashes = recentCrashes.filter((crash) => crash.tenantId === tenantId);
      return { summary, models, days, discrepancies, statuses, atRisk, crashes };
    },
    { isolation: 'REPEATABLE READ', readOnly: true, statementTimeoutMs: 0 },
  );
}

/** The report as text: tables no wider than `columns`, plain lines where it is null. */
export function renderTenant(report: TenantReport, columns: number | null): string {
  const { summary, models, days, discrepancies } = report;
  const { tenantId, totalCalls, totalTokensIn, totalTokensOut, totalCostCents } = summary;
  return [
    `Tenant ${tenantId}: ${grouped(totalCalls)} calls, ${grouped(totalTokensIn)} tokens in, ${grouped(totalTokensOut)} tokens out, ${dollars(totalCostCents)} (${totalCostCents} cents)`,
    drawTable(integrationTable(summary.byIntegration ?? []), columns),
    drawTable(modelTable(models), columns),
    drawTable(dayTable(days), columns),
    discrepancies === 0
      ? 'Daily sums equal a recount of the calls.'
      : `${discrepancies} daily sums DIFFER from a recount of the calls: somebody wrote to the tables by hand.`,
    ...renderRuns(report, columns),
  ].join('\n');
}

/** Status, risks and crashes; nothing for a tenant without runs. */
function renderRuns({ statuses, atRisk, crashes }: TenantReport, columns: number | null): readonly string[] {
  const parts: TableData[] = [];
  if (statuses.total > 0) parts.push(statusTable(statuses));
  if (atRisk.length > 0) parts.push(riskTable(atRisk));
  if (crashes.length > 0) parts.push(crashTable(crashes));
  return parts.map((part) => drawTable(part, columns));
}

const statusTable = ({ statuses, total }: StatusSummaryResult): TableData => ({
  title: `Runs by status (${grouped(total)})`,
  head: ['status', 'runs'],
  rows: statuses.map(({ status, count }) => [status, grouped(count)]),
});

const riskTable = (signals: readonly SignalProjection[]): TableData => ({
  title: 'Newest runs at risk',
  head: ['run', 'signal', 'severity', 'started (UTC)'],
  rows: signals.map(({ runId, signalType, severity, createdAt }) => [runId, signalType, severity, minute(createdAt)]),
});

const crashTable = (crashes: readonly CrashedRun[]): TableData => ({
  title: 'Crashed worker runs, found and marked by recovery',
  head: ['run', 'worker', 'created (UTC)', 'marked (UTC)'],
  rows: crashes.map(({ runId, workerId, createdAt, crashedAt }) => [
    runId,
    workerId,
    minute(createdAt),
    crashedAt === null ? '' : minute(crashedAt),
  ]),
});

const minute = (at: Date): string => at.toISOString().slice(0, 16).replace('T', ' ');

const integrationTable = (rows: readonly IntegrationUsageRow[]): TableData => ({
  title: 'By integration',
  head: ['integration', 'calls', 'tokens', 'errors', 'cost'],
  rows: rows.map((row) => [
    row.integrationName,
    grouped(row.totalCalls),
    grouped(row.totalTokens),
    grouped(row.errorCount),
    dollars(row.totalCostCents),
  ]),
});

const modelTable = (rows: readonly ModelUsageRow[]): TableData => ({
  title: 'By model',
  head: ['model', 'calls', 'tokens in', 'tokens out', 'cost'],
  rows: rows.map((row) => [
    `${row.provider} ${row.model}`,
    grouped(row.totalCalls),
    grouped(row.totalTokensIn),
    grouped(row.totalTokensOut),
    dollars(row.totalCostCents),
  ]),
});

/** All integrations of a day in one row. */
function dayTable(rows: readonly DailyAggregateRow[]): TableData {
  const days = new Map<IsoDate, { calls: number; tokens: number; errors: number; cost: typeof ZERO_DECIMAL }>();
  for (const row of rows) {
    const day = days.get(row.date) ?? { calls: 0, tokens: 0, errors: 0, cost: ZERO_DECIMAL };
    day.calls += row.totalCalls;
    day.tokens += row.totalTokensIn + row.totalTokensOut;
    day.errors += row.errorCount;
    day.cost = addDecimal(day.cost, row.totalCostCents);
    days.set(row.date, day);
  }
  return {
    title: 'By day (UTC)',
    head: ['day', 'calls', 'tokens', 'errors', 'cost'],
    rows: [...days].map(([date, { calls, tokens, errors, cost }]) => [
      date,
      grouped(calls),
      grouped(tokens),
      grouped(errors),
      dollars(cost),
    ]),
  };
}

/** Pieces of at most 366 days: what one call takes. */
function windows(fromDate: IsoDate, toDate: IsoDate): readonly { fromDate: IsoDate; toDate: IsoDate }[] {
  const pieces = [];
  for (let start = fromDate; start < toDate; start = addDays(start, WINDOW_DAYS)) {
    const length = Math.min(WINDOW_DAYS, daysBetween(start, toDate));
    pieces.push({ fromDate: start, toDate: addDays(start, length) });
  }
  return pieces;
}
