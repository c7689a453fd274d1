import { type DailyAggregateRow, USAGE_TEXT_MAX } from '@hoc/activity/schemas';
import { assertId, assertInt, assertList, invalid, toIsoDate, toMoney } from '@hoc/shared/kernel';

/** Days of one repair. */
const DAILY_ROWS_MAX = 20_000;

/** Checked rows in the order of their key. @throws InvalidArgumentError with `details.field`, also for a key given twice */
export function assertDailyRows(rows: readonly DailyAggregateRow[]): readonly DailyAggregateRow[] {
  assertList(rows, 'rows', DAILY_ROWS_MAX);
  const keys = new Set<string>();
  for (const row of rows) {
    assertFigures(row);
    const key = `${row.date} ${row.integrationId}`;
    if (keys.has(key)) throw invalid('rows', 'double', 'an integration and day stands twice among the rows');
    keys.add(key);
  }
  return rows;
}

function assertFigures(row: DailyAggregateRow): void {
  toIsoDate(row.date, 'date');
  assertId(row.integrationId, 'integrationId', USAGE_TEXT_MAX.id);
  toMoney(row.totalCostCents, 'totalCostCents');
  for (const field of ['totalCalls', 'totalTokensIn', 'totalTokensOut', 'latencyTotalMs', 'latencyCount'] as const)
    assertInt(row[field], field, 0, Number.MAX_SAFE_INTEGER);
  for (const field of ['errorCount', 'blockedCount'] as const) assertInt(row[field], field, 0, row.totalCalls);
}

/** The bound arrays of the statement that sets days. */
export function dailyColumns(rows: readonly DailyAggregateRow[]): readonly (readonly unknown[])[] {
  return [
    rows.map((row) => row.integrationId),
    rows.map((row) => row.date),
    rows.map((row) => row.totalCalls),
    rows.map((row) => row.totalTokensIn),
    rows.map((row) => row.totalTokensOut),
    rows.map((row) => row.totalCostCents),
    rows.map((row) => row.latencyTotalMs),
    rows.map((row) => row.latencyCount),
    rows.map((row) => row.errorCount),
    rows.map((row) => row.blockedCount),
  ];
}
