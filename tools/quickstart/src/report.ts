import type {
  CrashedRun,
  DailyAggregateRow,
  IntegrationUsageRow,
  ModelUsageRow,
  SignalProjection,
  StatusSummaryResult,
  UsageSummary,
} from '@hoc/activity/schemas';
import type { BudgetWindowState, LimitOverrideResponse, LimitSummary } from '@hoc/controls/schemas';
import {
  addDays,
  addDecimal,
  daysBetween,
  type IsoDate,
  LIMIT_CATEGORIES,
  systemScope,
  ZERO_DECIMAL,
} from '@hoc/shared/kernel';
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
  /** Active limits, the last breached first, with the present window of a budget; none where the tenant has none. */
  readonly limits: readonly LimitReport[];
  /** The newest overrides. */
  readonly overrides: readonly LimitOverrideResponse[];
}

/** A limit, and what its window holds where it is a budget that somebody has charged. */
export interface LimitReport extends LimitSummary {
  readonly window: BudgetWindowState | null;
}

const AT_RISK_SHOWN = 5;
const CRASHES_READ = 100;
const LIMITS_SHOWN = 20;
const OVERRIDES_SHOWN = 5;

const WINDOW_DAYS = 366;

/** Reads a tenant's usage over `[fromDate, toDate)`, in one transaction, so that all parts show one state. */
export function readTenant(app: App, tenantId: string, fromDate: IsoDate, toDate: IsoDate): Promise<TenantReport> {
  const range = { fromDate, toDate };
  return app.transaction(
    async ({ activity: { telemetry, activity, orphans }, controls }) => {
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
      const limits = await readLimits(controls, tenantId, toDate);
      const { items: overrides } = await controls.overrides.listOverrides(tenantId, {}, { limit: OVERRIDES_SHOWN });
      return { summary, models, days, discrepancies, statuses, atRisk, crashes, limits, overrides };
    },
    { isolation: 'REPEATABLE READ', readOnly: true, statementTimeoutMs: 0 },
  );
}

type Controls = Parameters<Parameters<App['transaction']>[0]>[0]['controls'];

/** Of each category; a budget's window is that of the reported range's end. */
async function readLimits(
  { limits, reservations }: Controls,
  tenantId: string,
  toDate: IsoDate,
): Promise<readonly LimitReport[]> {
  const found: LimitReport[] = [];
  for (const category of LIMIT_CATEGORIES) {
    const { items } = await limits.listLimits(tenantId, { category }, { limit: LIMITS_SHOWN });
    for (const limit of items) {
      const at = new Date(Date.parse(toDate) - 1);
      const window = category === 'BUDGET' ? await reservations.fetchWindow(tenantId, limit.limitId, at) : null;
      found.push({ ...limit, window });
    }
  }
  return found;
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
    ...renderControls(report, columns),
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

/** Limits, budgets and overrides; nothing for a tenant without limits. */
function renderControls({ limits, overrides }: TenantReport, columns: number | null): readonly string[] {
  const parts: TableData[] = [];
  if (limits.length > 0) parts.push(limitTable(limits));
  const budgets = limits.flatMap(({ name, window }) => (window === null ? [] : [{ name, ...window }]));
  if (budgets.length > 0) parts.push(budgetTable(budgets));
  if (overrides.length > 0) parts.push(overrideTable(overrides));
  return parts.map((part) => drawTable(part, columns));
}

const limitTable = (limits: readonly LimitReport[]): TableData => ({
  title: 'Limits',
  head: ['limit', 'category', 'type', 'value', 'enforcement'],
  rows: limits.map(({ name, limitCategory, limitType, maxValue, enforcement }) => [
    name,
    limitCategory,
    limitType,
    limitType.startsWith('COST') ? dollars(maxValue) : maxValue,
    enforcement,
  ]),
});

const budgetTable = (budgets: readonly (BudgetWindowState & { readonly name: string })[]): TableData => ({
  title: 'Budgets at the end of the range',
  head: ['budget', 'since (UTC)', 'cap', 'reserved', 'spent', 'remaining'],
  rows: budgets.map(({ name, windowStart, capCents, reservedCents, spentCents, remainingCents }) => [
    name,
    minute(windowStart),
    ...[capCents, reservedCents, spentCents, remainingCents].map(dollars),
  ]),
});

const overrideTable = (overrides: readonly LimitOverrideResponse[]): TableData => ({
  title: 'Newest overrides',
  head: ['limit', 'from', 'to', 'status', 'until (UTC)'],
  rows: overrides.map(({ limitName, originalValue, overrideValue, status, expiresAt }) => [
    limitName,
    originalValue,
    overrideValue,
    status,
    expiresAt === null ? '' : minute(expiresAt),
  ]),
});

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
