import {
  type ArrayValue,
  type DriverManager,
  run,
  runOne,
  type Statement,
  statement,
  toColumns,
} from '@hoc/shared/drivers';
import type { UsageRecord } from './usage-record.rules';

/** What every statement that writes usage is told once, not per row. */
export interface WriteContext {
  readonly tenantId: string;
  /** ISO text: recorded_at, and created_at of a record that gives none. */
  readonly recordedAt: string;
}

/** What a statement inserted. */
export interface InsertedRow {
  /** Call ids of the new rows; null where every record is new, which is most often so and then needs no list. */
  readonly call_ids: readonly string[] | null;
  /** Null where the statement has rolled them up itself. */
  readonly sums: readonly DaySumJson[] | null;
}

/** The new calls, null for all of them, and their sums. */
export interface Inserted {
  readonly callIds: readonly string[] | null;
  readonly sums: readonly DaySumJson[];
}

/** One day's share of a statement, exact: whole numbers and money as text. */
export interface DaySumJson {
  readonly integration_id: string;
  readonly date: string;
  readonly calls: string;
  readonly tokens_in: string;
  readonly tokens_out: string;
  readonly cost: string;
  readonly latency_total: string;
  readonly latency_count: string;
  readonly errors: string;
  readonly blocked: string;
}

/** A stored call under a record's call id, and whether it has the record's content. */
export interface ComparedRow {
  readonly index: number;
  readonly id: string;
  readonly same: boolean;
}

/** Inserts what is new and adds it to its days, in one statement. */
export const insertWithDaily = (
  manager: DriverManager,
  context: WriteContext,
  records: readonly UsageRecord[],
): Promise<Inserted> => insert(manager, INSERT_WITH_DAILY, context, records);

/** Inserts what is new and gives back its sums: the caller rolls them up last. */
export const insertWithSums = (
  manager: DriverManager,
  context: WriteContext,
  records: readonly UsageRecord[],
): Promise<Inserted> => insert(manager, INSERT_WITH_SUMS, context, records);

async function insert(
  manager: DriverManager,
  sql: Statement<InsertedRow>,
  context: WriteContext,
  records: readonly UsageRecord[],
): Promise<Inserted> {
  const row = await runOne(manager, sql, parameters(context, records));
  return { callIds: row === null ? [] : row.call_ids, sums: row?.sums ?? [] };
}

/** Compares records with what is stored under their call ids; a record without a stored call has no row. */
export const compareUsage = (
  manager: DriverManager,
  context: WriteContext,
  records: readonly UsageRecord[],
): Promise<readonly ComparedRow[]> =>
  run(manager, COMPARE, [...parameters(context, records), ...toColumns(records, [(record) => record.index])]);

/** Which of the call ids are stored. */
export async function storedCallIds(
  manager: DriverManager,
  tenantId: string,
  callIds: readonly string[],
): Promise<ReadonlySet<string>> {
  const rows = await run(manager, STORED_CALL_IDS, [tenantId, callIds]);
  return new Set(rows.map((row) => row.call_id));
}

/** The columns that a record brings; the order of the bound arrays, of COPY, and of every list below. */
const RECORD_COLUMNS = [
  ['id', 'text', (r) => r.id],
  ['integration_id', 'text', (r) => r.integrationId],
  ['session_id', 'text', (r) => r.sessionId],
  ['agent_id', 'text', (r) => r.agentId],
  ['call_id', 'text', (r) => r.callId],
  ['provider', 'text', (r) => r.provider],
  ['model', 'text', (r) => r.model],
  ['tokens_in', 'bigint', (r) => r.tokensIn],
  ['tokens_out', 'bigint', (r) => r.tokensOut],
  ['cost_cents', 'numeric', (r) => r.costCents],
  ['latency_ms', 'integer', (r) => r.latencyMs],
  ['policy_result', 'text', (r) => r.policyResult],
  ['error_code', 'text', (r) => r.errorCode],
  ['error_message', 'text', (r) => r.errorMessage],
  ['metadata', 'jsonb', (r) => r.metadata],
  ['occurred_at', 'timestamptz', (r) => r.occurredAt],
] as const satisfies readonly (readonly [string, string, (record: UsageRecord) => ArrayValue])[];

/** A record's values, in the order of {@link USAGE_COPY_COLUMNS}. */
export const RECORD_READERS: readonly ((record: UsageRecord) => ArrayValue)[] = RECORD_COLUMNS.map(
  ([, , read]) => read,
);
const FIRST_ARRAY = 3;

/** $1 tenant, $2 recorded_at, from $3 on one array per column. */
function parameters(context: WriteContext, records: readonly UsageRecord[]): readonly unknown[] {
  return [context.tenantId, context.recordedAt, ...toColumns(records, RECORD_READERS)];
}

/** Columns of the table that COPY fills. */
export const USAGE_COPY_COLUMNS: string = RECORD_COLUMNS.map(([name, type]) =>
  type === 'text' ? `${name} text COLLATE "C"` : `${name} ${type}`,
).join(', ');

const ARRAYS = RECORD_COLUMNS.map(([, type], index) => `$${FIRST_ARRAY + index}::${type}[]`).join(', ');
const NAMES = RECORD_COLUMNS.map(([name]) => name).join(', ');
const STORED = RECORD_COLUMNS.map(([name]) => name).filter((name) => name !== 'occurred_at');

/**
 * The insert that all ways of writing share. `source` is sorted by call id: two writers of overlapping calls then wait
 * for each other in one order and never deadlock (measured: 4–56 deadlocks per run unsorted, none sorted).
 */
export const insertFrom = (source: string): string => `
  inserted AS (
    INSERT INTO cus_llm_usage (tenant_id, ${STORED.join(', ')}, created_at, recorded_at)
    SELECT $1, ${STORED.map((name) => `u.${name}`).join(', ')}, COALESCE(u.occurred_at, $2::timestamptz), $2::timestamptz
    FROM ${source}
    ORDER BY u.call_id COLLATE "C"
    ON CONFLICT (tenant_id, call_id) DO NOTHING
    RETURNING id, call_id, integration_id, tokens_in, tokens_out, cost_cents, latency_ms, policy_result, error_code, created_at
  ), sums AS (
    SELECT integration_id, (created_at AT TIME ZONE 'UTC')::date AS date, count(*) AS calls,
           sum(tokens_in) AS tokens_in, sum(tokens_out) AS tokens_out, sum(cost_cents) AS cost,
           COALESCE(sum(latency_ms), 0) AS latency_total, count(latency_ms) AS latency_count,
           count(*) FILTER (WHERE error_code IS NOT NULL) AS errors,
           count(*) FILTER (WHERE policy_result = 'blocked') AS blocked
    FROM inserted
    GROUP BY 1, 2
  )`;

/** The sums of all new rows. */
export const SUMS = `(SELECT json_agg(json_build_object('integration_id', integration_id, 'date', to_char(date, 'YYYY-MM-DD'),
    'calls', calls::text, 'tokens_in', tokens_in::text, 'tokens_out', tokens_out::text, 'cost', cost::text,
    'latency_total', latency_total::text, 'latency_count', latency_count::text, 'errors', errors::text,
    'blocked', blocked::text)) FROM sums) AS sums`;

/** One row, however many were inserted; the list of call ids only where some record is missing in it. */
export const createdOf = (records: string): string =>
  `CASE WHEN count(*) < ${records} THEN COALESCE(array_agg(call_id), '{}') END AS call_ids`;
const CREATED = createdOf(`cardinality($${FIRST_ARRAY}::text[])`);

/** Adds, never sets. In key order, after the call ids: every writer locks calls first and days last. */
export const ADD_TO_DAILY = `
  INSERT INTO cus_usage_daily AS d (tenant_id, integration_id, date, total_calls, total_tokens_in, total_tokens_out,
    total_cost_cents, latency_total_ms, latency_count, error_count, blocked_count, updated_at)
  SELECT $1, integration_id, date, calls, tokens_in, tokens_out, cost, latency_total, latency_count, errors, blocked, $2::timestamptz
  FROM sums
  ORDER BY integration_id, date
  ON CONFLICT (tenant_id, integration_id, date) DO UPDATE SET
    total_calls = d.total_calls + EXCLUDED.total_calls,
    total_tokens_in = d.total_tokens_in + EXCLUDED.total_tokens_in,
    total_tokens_out = d.total_tokens_out + EXCLUDED.total_tokens_out,
    total_cost_cents = d.total_cost_cents + EXCLUDED.total_cost_cents,
    latency_total_ms = d.latency_total_ms + EXCLUDED.latency_total_ms,
    latency_count = d.latency_count + EXCLUDED.latency_count,
    error_count = d.error_count + EXCLUDED.error_count,
    blocked_count = d.blocked_count + EXCLUDED.blocked_count,
    updated_at = GREATEST(d.updated_at, EXCLUDED.updated_at)`;

/** `s` the stored call, `u` the record: equal column by column; a record without a time says nothing about it. */
export const SAME_CONTENT = `(
    (s.integration_id, s.provider, s.model, s.tokens_in, s.tokens_out, s.cost_cents, s.policy_result, s.metadata)
      = (u.integration_id, u.provider, u.model, u.tokens_in, u.tokens_out, u.cost_cents, u.policy_result, u.metadata)
    AND (s.session_id, s.agent_id, s.latency_ms, s.error_code, s.error_message)
      IS NOT DISTINCT FROM (u.session_id, u.agent_id, u.latency_ms, u.error_code, u.error_message)
    AND (u.occurred_at IS NULL OR s.created_at = u.occurred_at))`;

const INPUT = `unnest(${ARRAYS}) AS u(${NAMES})`;

const INSERT_WITH_DAILY: Statement<InsertedRow> = statement(
  'insert_usage',
  `WITH ${insertFrom(INPUT)}, daily AS (${ADD_TO_DAILY}) SELECT ${CREATED}, NULL::json AS sums FROM inserted`,
);

const INSERT_WITH_SUMS: Statement<InsertedRow> = statement(
  'insert_usage_sums',
  `WITH ${insertFrom(INPUT)} SELECT ${CREATED}, ${SUMS} FROM inserted`,
);

const COMPARE: Statement<ComparedRow> = statement(
  'compare_usage',
  `SELECT u.index, s.id, ${SAME_CONTENT} AS same
   FROM unnest(${ARRAYS}, $${FIRST_ARRAY + RECORD_COLUMNS.length}::integer[]) AS u(${NAMES}, index)
   CROSS JOIN LATERAL (SELECT * FROM cus_llm_usage WHERE tenant_id = $1 AND call_id = u.call_id LIMIT 1) AS s
   WHERE $2::timestamptz IS NOT NULL`,
  { replan: true },
);

/** One index look-up per id. Planned anew: the plan of a small table would read the whole one later on. */
const STORED_CALL_IDS: Statement<{ call_id: string }> = statement(
  'stored_call_ids',
  `SELECT s.call_id
   FROM unnest($2::text[]) AS u(call_id)
   CROSS JOIN LATERAL (
     SELECT call_id FROM cus_llm_usage WHERE tenant_id = $1 AND call_id = u.call_id LIMIT 1
   ) AS s`,
  { replan: true },
);
