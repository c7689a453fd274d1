import { type Statement, statement } from '@hoc/shared/drivers';
import type { IntegrityColumns, LimitColumns } from './limit.rows';

const LIMIT_COLUMNS = `tenant_id, id, name, description, limit_category, limit_type, scope, scope_id, max_value, reset_period,
  next_reset_at, window_seconds, measurement_window_seconds, params, enforcement, consequence, status, version, created_by,
  updated_by, created_at, updated_at`;
const INTEGRITY_COLUMNS = 'tenant_id, id, limit_id, integrity_status, integrity_score, computed_at';

/** $1 tenant, $2 id. */
export const LIMIT_BY_ID: Statement<LimitColumns> = statement(
  'limit_by_id',
  `SELECT ${LIMIT_COLUMNS} FROM limits WHERE tenant_id = $1 AND id = $2`,
);

/** $1 tenant … $17 creator, $18 clock; see `limitValues`. A stored id gives no row. */
const NEW_LIMIT = `
  INSERT INTO limits (tenant_id, id, name, description, limit_category, limit_type, scope, scope_id, max_value, reset_period,
    window_seconds, measurement_window_seconds, params, enforcement, consequence, status, created_by, created_at, updated_at)
  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::numeric, $10, $11::integer, $12::integer, $13::jsonb, $14, $15, $16, $17,
    $18::timestamptz, $18::timestamptz)
  ON CONFLICT (tenant_id, id) DO NOTHING
  RETURNING ${LIMIT_COLUMNS}`;

/** The limit alone. */
export const INSERT_LIMIT: Statement<LimitColumns> = statement('insert_limit', NEW_LIMIT);

/** The limit, and $19 id, $20 status and $21 score of its verification: both or neither. */
export const INSERT_LIMIT_WITH_INTEGRITY: Statement<LimitColumns> = statement(
  'insert_limit_with_integrity',
  `WITH made AS (${NEW_LIMIT}), verified AS (
     INSERT INTO limit_integrity (${INTEGRITY_COLUMNS})
     SELECT tenant_id, $19, id, $20, $21::double precision, $18::timestamptz FROM made
   )
   SELECT ${LIMIT_COLUMNS} FROM made`,
);

/** $1 tenant, $2 id, $3 limit, $4 status, $5 score, $6 clock. Gives the row that stands: a later one is not overwritten. */
export const UPSERT_INTEGRITY: Statement<IntegrityColumns> = statement(
  'upsert_limit_integrity',
  `INSERT INTO limit_integrity AS i (${INTEGRITY_COLUMNS})
   VALUES ($1, $2, $3, $4, $5::double precision, $6::timestamptz)
   ON CONFLICT (tenant_id, limit_id) DO UPDATE SET
     integrity_status = CASE WHEN excluded.computed_at >= i.computed_at THEN excluded.integrity_status ELSE i.integrity_status END,
     integrity_score = CASE WHEN excluded.computed_at >= i.computed_at THEN excluded.integrity_score ELSE i.integrity_score END,
     computed_at = GREATEST(excluded.computed_at, i.computed_at)
   RETURNING ${INTEGRITY_COLUMNS}`,
);

/** $1 tenant, $2 id, $3 limit, $4 clock. */
export const INSERT_MISSING_INTEGRITY: Statement<{ readonly added: string }> = statement(
  'insert_missing_limit_integrity',
  `WITH added AS (
     INSERT INTO limit_integrity (${INTEGRITY_COLUMNS})
     VALUES ($1, $2, $3, 'VERIFIED', 1, $4::timestamptz)
     ON CONFLICT (tenant_id, limit_id) DO NOTHING
     RETURNING 1
   )
   SELECT count(*) AS added FROM added`,
);

/** A limit before or after a change. */
export interface ChangedColumns extends LimitColumns {
  readonly part: 'before' | 'after';
}

/**
 * $1 tenant, $2 id, $3 clock, $4 expected version or null, then what changes: $5 name, $6 whether the description does, $7
 * description, $8 value, $9 enforcement, $10 reset period, $11 window, $12 params, $13 status, $14 whether the author does,
 * $15 author. Null leaves a column as it is, so two writers of different fields both survive. `before` is locked first and is
 * therefore the newest row, also for whoever waited.
 */
export const UPDATE_LIMIT: Statement<ChangedColumns> = statement(
  'update_limit',
  `WITH before AS MATERIALIZED (
     SELECT ${LIMIT_COLUMNS} FROM limits WHERE tenant_id = $1 AND id = $2 FOR NO KEY UPDATE
   ), after AS (
     UPDATE limits l SET
       name = COALESCE($5, l.name),
       description = CASE WHEN $6::boolean THEN $7 ELSE l.description END,
       max_value = COALESCE($8::numeric, l.max_value),
       enforcement = COALESCE($9, l.enforcement),
       reset_period = COALESCE($10, l.reset_period),
       window_seconds = COALESCE($11::integer, l.window_seconds),
       params = CASE
         WHEN $12::jsonb IS NULL THEN l.params
         WHEN $12::jsonb ? 'max_cost_cents' THEN (l.params - 'max_cost_usd') || $12::jsonb
         ELSE l.params || $12::jsonb
       END,
       status = COALESCE($13, l.status),
       updated_by = CASE WHEN $14::boolean THEN $15 ELSE l.updated_by END,
       version = l.version + 1,
       updated_at = $3::timestamptz
     FROM before b
     WHERE l.tenant_id = b.tenant_id AND l.id = b.id AND ($4::integer IS NULL OR b.version = $4::integer)
     RETURNING ${LIMIT_COLUMNS.replace(/\w+/g, 'l.$&')}
   )
   SELECT 'before' AS part, ${LIMIT_COLUMNS} FROM before
   UNION ALL
   SELECT 'after' AS part, ${LIMIT_COLUMNS} FROM after`,
);

/** $1 tenant, $2 id, $3 clock, $4 author. Of a limit that is disabled, or missing, there is no row. */
export const DISABLE_LIMIT: Statement<ChangedColumns> = statement(
  'disable_limit',
  `WITH before AS MATERIALIZED (
     SELECT ${LIMIT_COLUMNS} FROM limits WHERE tenant_id = $1 AND id = $2 AND status = 'ACTIVE' FOR NO KEY UPDATE
   ), after AS (
     UPDATE limits l SET status = 'DISABLED', updated_by = $4, version = l.version + 1, updated_at = $3::timestamptz
     FROM before b
     WHERE l.tenant_id = b.tenant_id AND l.id = b.id
     RETURNING ${LIMIT_COLUMNS.replace(/\w+/g, 'l.$&')}
   )
   SELECT 'before' AS part, ${LIMIT_COLUMNS} FROM before
   UNION ALL
   SELECT 'after' AS part, ${LIMIT_COLUMNS} FROM after`,
);

/** $1 and $2 where the page goes on, $3 limit. */
export const LIMITS_WITHOUT_INTEGRITY: Statement<{ readonly tenant_id: string; readonly id: string }> = statement(
  'limits_without_integrity',
  `SELECT l.tenant_id, l.id
   FROM limits l
   WHERE (l.tenant_id, l.id) > ($1, $2)
     AND NOT EXISTS (SELECT 1 FROM limit_integrity i WHERE i.tenant_id = l.tenant_id AND i.limit_id = l.id)
   ORDER BY l.tenant_id, l.id
   LIMIT $3`,
  { replan: true },
);
