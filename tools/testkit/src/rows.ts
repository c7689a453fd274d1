import type { EntityManager } from 'typeorm';

/** What a row builder of `@hoc/shared/testing` gives: a table and every column by its SQL name. */
export interface BuiltRow {
  readonly table: string;
  readonly row: Readonly<Record<string, unknown>>;
}

/** Plain INSERTs in the given order. */
export async function insertRows(manager: EntityManager, ...built: readonly BuiltRow[]): Promise<void> {
  for (const { table, row } of built) {
    const columns = Object.keys(row);
    const values = columns.map((column) => asParameter(row[column]));
    const names = columns.map((column) => `"${column}"`).join(', ');
    await manager.query(
      `INSERT INTO ${table} (${names}) VALUES (${columns.map((_, i) => `$${i + 1}`).join(', ')})`,
      values,
    );
  }
}

/** Usage rows with their share of the daily row, so that the one truth of both tables holds from the start. */
export async function insertUsageRows(manager: EntityManager, ...built: readonly BuiltRow[]): Promise<void> {
  for (const item of built) {
    await insertRows(manager, item);
    await manager.query(
      `INSERT INTO cus_usage_daily AS d (tenant_id, integration_id, date, total_calls, total_tokens_in, total_tokens_out,
         total_cost_cents, latency_total_ms, latency_count, error_count, blocked_count, updated_at)
       SELECT tenant_id, integration_id, (created_at AT TIME ZONE 'UTC')::date, 1, tokens_in, tokens_out, cost_cents,
         coalesce(latency_ms, 0), (latency_ms IS NOT NULL)::int, (error_code IS NOT NULL)::int, (policy_result = 'blocked')::int, recorded_at
       FROM cus_llm_usage WHERE tenant_id = $1 AND id = $2
       ON CONFLICT (tenant_id, integration_id, date) DO UPDATE SET total_calls = d.total_calls + 1,
         total_tokens_in = d.total_tokens_in + EXCLUDED.total_tokens_in, total_tokens_out = d.total_tokens_out + EXCLUDED.total_tokens_out,
         total_cost_cents = d.total_cost_cents + EXCLUDED.total_cost_cents, latency_total_ms = d.latency_total_ms + EXCLUDED.latency_total_ms,
         latency_count = d.latency_count + EXCLUDED.latency_count, error_count = d.error_count + EXCLUDED.error_count,
         blocked_count = d.blocked_count + EXCLUDED.blocked_count`,
      [item.row['tenant_id'], item.row['id']],
    );
  }
}

/** pg would send an array as a PostgreSQL array: open-ended details are JSON. */
const asParameter = (value: unknown): unknown =>
  typeof value === 'object' && value !== null && !(value instanceof Date) ? JSON.stringify(value) : value;
