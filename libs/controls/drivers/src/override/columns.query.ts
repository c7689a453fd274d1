/** A stored override with its limit's name. Decimals are text. */
export interface OverrideColumns {
  readonly id: string;
  readonly limit_id: string;
  readonly limit_name: string;
  readonly original_value: string;
  readonly override_value: string;
  readonly status: string;
  readonly requested_at: Date;
  readonly approved_at: Date | null;
  readonly starts_at: Date | null;
  readonly expires_at: Date | null;
  readonly cancelled_at: Date | null;
  readonly requested_by: string;
  readonly approved_by: string | null;
  readonly cancelled_by: string | null;
  readonly rejected_by: string | null;
  readonly reason: string;
  readonly rejection_reason: string | null;
}

/** {@link OverrideColumns} of `o`. The name is looked up by row: a join could read all limits for one override. */
export const COLUMNS = `o.id, o.limit_id,
  (SELECT l.name FROM limits l WHERE l.tenant_id = o.tenant_id AND l.id = o.limit_id) AS limit_name,
  o.original_value, o.override_value, o.status, o.requested_at, o.approved_at, o.starts_at, o.expires_at, o.cancelled_at,
  o.requested_by, o.approved_by, o.cancelled_by, o.rejected_by, o.reason, o.rejection_reason`;

/**
 * For all statements on overrides: planned anew each time. What a plan made for small tables takes for a look-up (any index
 * that begins with the tenant will do) reads all rows of a tenant later, and requests are too rare to save on.
 */
export const PLANNED_ANEW = Object.freeze({ replan: true });

/** States that an override may still leave. */
export const LIVE = `status IN ('PENDING', 'APPROVED', 'ACTIVE')`;

/** Arguments are SQL: the instant, who did it, the new status, and what else there is to say. */
interface Entry {
  readonly at: string;
  readonly actor: string;
  readonly to: string;
  readonly note?: string;
}

/** The trail of `o` with one entry more; the instant is printed as JavaScript does. */
export const trailWith = ({ at, actor, to, note = 'NULL' }: Entry): string =>
  `o.audit_trail || jsonb_build_array(jsonb_strip_nulls(jsonb_build_object(
     'at', to_char(${at} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), 'actor', ${actor}, 'from', o.status,
     'to', ${to}, 'note', ${note})))`;

/**
 * Whether `column` has come at `at` (SQL). Nearly all that is stored has, and hardly any of what is live: a planner that
 * knew the instant would expect most live rows, and read them all. Of a range whose end it doesn't know it expects few.
 */
export const hasCome = (column: string, at: string): string =>
  `${column} > '-infinity' AND ${column} <= (SELECT ${at})`;

/** Whether `column` is still to come at `at` (SQL); for the same reason without telling when that is. */
export const isToCome = (column: string, at: string): string => `${column} > (SELECT ${at})`;

/** CTE `expired`: marks what `overdue` (tenant_id, id; locked) found. `at` and `actor` are SQL. */
export const expiredWith = (at: string, actor: string): string =>
  `expired AS (
     UPDATE limit_overrides o SET status = 'EXPIRED', audit_trail = ${trailWith({ at, actor, to: `'EXPIRED'` })}
     FROM overdue d WHERE o.tenant_id = d.tenant_id AND o.id = d.id
     RETURNING 1
   )`;

/**
 * CTEs that mark a tenant's live overrides whose end has come; $1 tenant, $2 clock, $3 system actor. Locked by id: whoever
 * takes several takes them in this order. What follows in the statement sees them as they were, and leaves them out itself.
 */
export const EXPIRED_OF_TENANT = `overdue AS MATERIALIZED (
     SELECT tenant_id, id FROM limit_overrides
     WHERE tenant_id = $1 AND ${LIVE} AND ${hasCome('expires_at', '$2::timestamptz')}
     ORDER BY id
     FOR NO KEY UPDATE
   ), ${expiredWith('$2::timestamptz', '$3::text')}`;

/** CTE `active`: how many overrides of tenant $1 are active at $2. */
export const ACTIVE_OF_TENANT = `active AS MATERIALIZED (
     SELECT count(*)::integer AS n FROM limit_overrides
     WHERE tenant_id = $1 AND status = 'ACTIVE' AND ${isToCome('expires_at', '$2::timestamptz')}
   )`;
