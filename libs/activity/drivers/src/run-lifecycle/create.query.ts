import {
  type ArrayValue,
  type DriverManager,
  run,
  runOne,
  type Statement,
  statement,
  toColumns,
} from '@hoc/shared/drivers';
import type { NewRecord } from './new-run.rules';

/** One kind of run: the statements that create it, one for all rows each. */
export interface Creation {
  readonly insert: Statement<{ readonly ids: readonly string[] | null }>;
  readonly compare: Statement<StoredRun>;
  readonly columns: readonly string[];
}

/** What is stored under a record's id or key; all null where nothing is. */
export interface StoredRun {
  readonly index: number;
  readonly id: string | null;
  readonly same: boolean | null;
  /** Nothing is stored under the id, and yet another unique key refuses the row. */
  readonly refused: boolean;
}

/** Records of one call, as the statements take them. */
export interface CreateContext {
  readonly tenantId: string;
  readonly now: string;
}

/** Ids that were inserted: null where all were. */
export async function insertRuns(
  manager: DriverManager,
  { insert, columns }: Creation,
  context: CreateContext,
  records: readonly NewRecord[],
): Promise<ReadonlySet<string>> {
  const row = await runOne(manager, insert, parameters(columns, context, records));
  return new Set(row?.ids ?? records.map((record) => record.id));
}

/** One row per record. */
export const compareRuns = (
  manager: DriverManager,
  { compare, columns }: Creation,
  context: CreateContext,
  records: readonly NewRecord[],
): Promise<readonly StoredRun[]> =>
  run(manager, compare, [...parameters(columns, context, records), ...toColumns(records, [(record) => record.index])]);

function parameters(
  columns: readonly string[],
  { tenantId, now }: CreateContext,
  records: readonly NewRecord[],
): readonly unknown[] {
  const readers = columns.map(
    (name) =>
      (record: NewRecord): ArrayValue =>
        record.columns[name] ?? null,
  );
  return [tenantId, now, ...toColumns(records, [(record) => record.id, ...readers])];
}

const RUN_COLUMNS = {
  agent_id: 'text',
  origin_system_id: 'text',
  goal: 'text',
  actor_type: 'text',
  actor_id: 'text',
  project_id: 'text',
  source: 'text',
  provider_type: 'text',
  parent_run_id: 'text',
  priority: 'integer',
  max_attempts: 'integer',
  idempotency_key: 'text',
  expected_latency_ms: 'bigint',
  plan_json: 'jsonb',
  is_synthetic: 'boolean',
  synthetic_scenario_id: 'text',
  created_at: 'timestamptz',
} as const;

const WORKER_RUN_COLUMNS = {
  worker_id: 'text',
  task: 'text',
  api_key_id: 'text',
  user_id: 'text',
  input_json: 'jsonb',
  parent_run_id: 'text',
  attempt: 'integer',
  is_synthetic: 'boolean',
  synthetic_scenario_id: 'text',
  created_at: 'timestamptz',
} as const;

/** `runs`: a key that is stored decides before the id does. */
export const CREATE_RUNS: Creation = creation('runs', RUN_COLUMNS, {
  computed: { status: `'queued'`, state: `'LIVE'`, updated_at: '$2::timestamptz' },
  key: 'u.idempotency_key',
  stored: `SELECT * FROM (
      SELECT r.*, 0 AS rank FROM runs r WHERE r.tenant_id = $1 AND r.idempotency_key = u.idempotency_key
      UNION ALL
      SELECT r.*, 1 FROM runs r WHERE r.tenant_id = $1 AND r.id = u.id
    ) AS found ORDER BY rank LIMIT 1`,
  refused: 'false',
});

/** `worker_runs`: of the same parent only one retry may be open. */
export const CREATE_WORKER_RUNS: Creation = creation('worker_runs', WORKER_RUN_COLUMNS, {
  computed: { status: `'queued'`, is_retry: 'u.attempt > 1' },
  key: 'CASE WHEN u.attempt > 1 THEN u.parent_run_id END',
  stored: 'SELECT w.* FROM worker_runs w WHERE w.tenant_id = $1 AND w.id = u.id',
  refused: `EXISTS (SELECT 1 FROM worker_runs o WHERE o.tenant_id = $1 AND o.parent_run_id = u.parent_run_id
      AND o.status IN ('queued', 'running') AND o.is_retry AND u.attempt > 1)`,
});

/**
 * The rows go in by the other unique key first, then by id. Replays of a batch may come in any order and, under the same
 * keys, with other ids: writers that took the rows by id alone would wait for each other's keys in a circle.
 */
function creation(
  table: string,
  types: Readonly<Record<string, string>>,
  given: {
    readonly computed: Readonly<Record<string, string>>;
    /** The table's other unique key: see {@link NewRecord.key}. */
    readonly key: string;
    readonly stored: string;
    readonly refused: string;
  },
): Creation {
  const columns = Object.keys(types);
  const arrays = ['text', ...Object.values(types)].map((type, n) => `$${n + 3}::${type}[]`).join(', ');
  const names = ['id', ...columns].join(', ');
  const content = columns.filter((name) => name !== 'created_at');
  const values = content.map((name) => `u.${name}`).join(', ');
  const stored = content.map((name) => `s.${name}`).join(', ');
  return {
    columns,
    insert: statement(
      `create_${table}`,
      `WITH inserted AS (
         INSERT INTO ${table} (tenant_id, id, ${content.join(', ')}, created_at, ${Object.keys(given.computed).join(', ')})
         SELECT $1, u.id, ${values}, COALESCE(u.created_at, $2::timestamptz), ${Object.values(given.computed).join(', ')}
         FROM unnest(${arrays}) AS u(${names})
         ORDER BY ${given.key} COLLATE "C", u.id COLLATE "C"
         ON CONFLICT DO NOTHING
         RETURNING id
       )
       SELECT CASE WHEN count(*) < cardinality($3::text[]) THEN COALESCE(array_agg(id), '{}') END AS ids FROM inserted`,
    ),
    compare: statement(
      `compare_${table}`,
      `SELECT u.index, s.id, (${stored}) IS NOT DISTINCT FROM (${values})
              AND (u.created_at IS NULL OR s.created_at = u.created_at) AND $2::timestamptz IS NOT NULL AS same,
              s.id IS NULL AND ${given.refused} AS refused
       FROM unnest(${arrays}, $${columns.length + 4}::integer[]) AS u(${names}, index)
       LEFT JOIN LATERAL (${given.stored}) AS s ON true`,
      { replan: true },
    ),
  };
}
