import { type Statement, statement } from '@hoc/shared/drivers';
import type { JsonObject } from '@hoc/shared/kernel';

/** What is read of a THRESHOLD limit. */
export interface SnapshotColumns {
  readonly id: string;
  readonly tenant_id: string;
  readonly scope: string;
  readonly scope_id: string | null;
  readonly params: JsonObject;
  readonly status: string;
  readonly created_at: Date;
}

const COLUMNS = 'id, tenant_id, scope, scope_id, params, status, created_at';
const ACTIVE = `tenant_id = $1 AND limit_category = 'THRESHOLD' AND status = 'ACTIVE'`;

/** $1 tenant, $2 limit. The oldest first. */
export const ACTIVE_THRESHOLDS: Statement<SnapshotColumns> = statement(
  'active_thresholds',
  `SELECT ${COLUMNS} FROM limits WHERE ${ACTIVE} ORDER BY created_at, id LIMIT $2`,
  { replan: true },
);

/**
 * The newest of a scope; two statements, for no index serves IS NOT DISTINCT FROM. The planner knows that a column which
 * equals a value needs no sorting, but not that one which is null doesn't: `scope_id` stands in the order for that.
 */
const newest = (label: string, scopeId: string): Statement<SnapshotColumns> =>
  statement(
    label,
    `SELECT ${COLUMNS} FROM limits WHERE ${ACTIVE} AND scope = $2 AND scope_id ${scopeId}
     ORDER BY scope_id, created_at DESC, id DESC LIMIT 1`,
    { replan: true },
  );

/** $1 tenant, $2 scope, one that has no id. */
export const THRESHOLD_OF_SCOPE = newest('threshold_of_scope', 'IS NULL');
/** $1 tenant, $2 scope, $3 its id. */
export const THRESHOLD_OF_SCOPE_ID = newest('threshold_of_scope_id', '= $3');
