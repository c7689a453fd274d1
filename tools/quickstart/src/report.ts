import type { DailyAggregateRow, IntegrationUsageRow, ModelUsageRow, UsageSummary } from '@hoc/activity/schemas';
import { addDays, addDecimal, daysBetween, type IsoDate, ZERO_DECIMAL } from '@hoc/shared/kernel';
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
}

const WINDOW_DAYS = 366;

/** Reads a tenant's usage over `[fromDate, toDate)`, in one transaction, so that all parts show one state. */
export function readTenant(app: App, tenantId: string, fromDate: IsoDate, toDate: IsoDate): Promise<TenantReport> {
  const range = { fromDate, toDate };
  return app.transaction(
    async ({ activity: { telemetry } }) => {
      const summary = await telemetry.getUsageSummary(tenantId, range);
      const models = await telemetry.getUsageByModel(tenantId, range);
      const days: DailyAggregateRow[] = [];
      let discrepancies = 0;
      for (const window of windows(fromDate, toDate)) {
        days.push(...(await telemetry.getDailyAggregates(tenantId, window)));
        discrepancies += (await telemetry.getDailyDiscrepancies(tenantId, window)).length;
      }
      return { summary, models, days, discrepancies };
    },
    { isolation: 'REPEATABLE READ', readOnly: true, statementTimeoutMs: 0 },
  );
}

/** The report as text: tables no wider than `columns`, plain lines where it is null. */
export function renderTenant({ summary, models, days, discrepancies }: TenantReport, columns: number | null): string {
  const { tenantId, totalCalls, totalTokensIn, totalTokensOut, totalCostCents } = summary;
  return [
    `Tenant ${tenantId}: ${grouped(totalCalls)} calls, ${grouped(totalTokensIn)} tokens in, ${grouped(totalTokensOut)} tokens out, ${dollars(totalCostCents)} (${totalCostCents} cents)`,
    drawTable(integrationTable(summary.byIntegration ?? []), columns),
    drawTable(modelTable(models), columns),
    drawTable(dayTable(days), columns),
    discrepancies === 0
      ? 'Daily sums equal a recount of the calls.'
      : `${discrepancies} daily sums DIFFER from a recount of the calls: somebody wrote to the tables by hand.`,
  ].join('\n');
}

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
