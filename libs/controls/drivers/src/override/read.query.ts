import { type Statement, statement } from '@hoc/shared/drivers';
import { COLUMNS, isToCome, type OverrideColumns, PLANNED_ANEW } from './columns.query';

/** $1 tenant, $2 override. */
export const GET_OVERRIDE: Statement<OverrideColumns> = statement(
  'get_override',
  `SELECT ${COLUMNS} FROM limit_overrides o WHERE o.tenant_id = $1 AND o.id = $2`,
  PLANNED_ANEW,
);

/** $1 tenant, $2 limits, $3 clock. A limit has at most one live override: one look-up of its unique key each. */
export const OVERRIDES_IN_EFFECT: Statement<OverrideColumns> = statement(
  'overrides_in_effect',
  `SELECT e.*
   FROM unnest($2::text[]) AS u(limit_id)
   CROSS JOIN LATERAL (
     SELECT ${COLUMNS} FROM limit_overrides o
     WHERE o.tenant_id = $1 AND o.limit_id = u.limit_id AND o.status = 'ACTIVE'
       AND o.starts_at <= $3::timestamptz AND ${isToCome('o.expires_at', '$3::timestamptz')}
     LIMIT 1
   ) AS e`,
  PLANNED_ANEW,
);

/** An override and its place in the list. */
export interface ListedColumns extends OverrideColumns {
  readonly position: string;
}

/** A list and its count, under the same filter. */
export interface OverrideList {
  /** $1 tenant, the filter's values, then where the page goes on (instant, id) and how many. */
  readonly page: Statement<ListedColumns>;
  /** $1 tenant, the filter's values. */
  readonly count: Statement<{ readonly n: string }>;
}

/** The list of overrides by the columns that are asked for. */
const listBy = (label: string, ...columns: readonly string[]): OverrideList => {
  const where = ['o.tenant_id = $1', ...columns.map((column, n) => `o.${column} = $${n + 2}`)].join(' AND ');
  const next = columns.length + 2;
  return {
    page: statement(
      `list_${label}`,
      `SELECT ${COLUMNS}, to_char(o.requested_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS position
       FROM limit_overrides o
       WHERE ${where} AND (o.requested_at, o.id) < ($${next}::timestamptz, $${next + 1})
       ORDER BY o.requested_at DESC, o.id DESC
       LIMIT $${next + 2}`,
      PLANNED_ANEW,
    ),
    count: statement(`count_${label}`, `SELECT count(*) AS n FROM limit_overrides o WHERE ${where}`, PLANNED_ANEW),
  };
};

/** Every combination of filters. */
export const OVERRIDE_LISTS = Object.freeze({
  all: listBy('overrides'),
  status: listBy('overrides_of_status', 'status'),
  limit: listBy('overrides_of_limit', 'limit_id'),
  both: listBy('overrides_of_limit_and_status', 'limit_id', 'status'),
});
