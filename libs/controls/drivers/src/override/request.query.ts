import { type Statement, statement } from '@hoc/shared/drivers';
import {
  ACTIVE_OF_TENANT,
  COLUMNS,
  EXPIRED_OF_TENANT,
  isToCome,
  LIVE,
  type OverrideColumns,
  PLANNED_ANEW,
} from './columns.query';

/** What a tenant's plan grants, and the level at which the transaction reads. */
export interface TenantColumns {
  readonly isolation: string;
  readonly max_tokens_per_month: string;
  readonly max_runs_per_day: string;
  readonly max_concurrent_runs: string;
}

/**
 * CTE `tenant`: holds tenant $1 until the end of the transaction, so that decisions on its cap come one after the other.
 * NO KEY: rows that refer to the tenant are written meanwhile. What is counted must be counted by a later statement: this
 * one's snapshot is older than the lock.
 */
export const HELD_TENANT = `tenant AS MATERIALIZED (
     SELECT id, current_setting('transaction_isolation') AS isolation, max_tokens_per_month::text,
       max_runs_per_day::text, max_concurrent_runs::text
     FROM tenants WHERE id = $1
     FOR NO KEY UPDATE
   )`;

/** {@link TenantColumns} of `t`. */
export const TENANT_COLUMNS = 't.isolation, t.max_tokens_per_month, t.max_runs_per_day, t.max_concurrent_runs';

/** $1 tenant. */
export const HOLD_TENANT: Statement<TenantColumns> = statement(
  'hold_tenant_of_overrides',
  `WITH ${HELD_TENANT} SELECT ${TENANT_COLUMNS} FROM tenant t`,
  PLANNED_ANEW,
);

/** A limit and its tenant, both held. */
export interface HeldLimitColumns extends TenantColumns {
  readonly id: string;
  readonly limit_type: string;
  readonly max_value: string;
  readonly status: string;
}

/** $1 tenant, $2 limit. Both are held, the tenant first; the limit's value can't change until the transaction ends. */
export const HOLD_LIMIT: Statement<HeldLimitColumns> = statement(
  'hold_limit_of_override',
  `WITH ${HELD_TENANT}
   SELECT l.id, l.limit_type, l.max_value, l.status, ${TENANT_COLUMNS}
   FROM tenant t
   CROSS JOIN LATERAL (
     SELECT id, limit_type, max_value, status FROM limits WHERE tenant_id = t.id AND id = $2 FOR SHARE
   ) AS l`,
  PLANNED_ANEW,
);

/** What a request met, and what it made: `id` is null for nothing. */
export type RequestColumns = {
  readonly active: number;
  /** Whether the limit has a live override. */
  readonly live: boolean;
} & (OverrideColumns | { readonly id: null });

/**
 * $1 tenant, $2 clock, $3 system actor, $4 limit, $5 most that may be active, $6 whether the request itself is in order,
 * $7 id, $8 original value, $9 value, $10 status, $11 hours, $12 start, $13 who asks, $14 reason, $15 audit trail.
 *
 * One statement behind the tenant's lock: what is over is marked, the rest is counted, and the row goes in where nothing
 * speaks against it. The insert waits for the marks, or the limit's override of yesterday would still hold its place.
 */
export const REQUEST_OVERRIDE: Statement<RequestColumns> = statement(
  'request_override',
  `WITH ${EXPIRED_OF_TENANT}, ${ACTIVE_OF_TENANT}, live AS MATERIALIZED (
     SELECT 1 FROM limit_overrides
     WHERE tenant_id = $1 AND limit_id = $4 AND ${LIVE} AND (${isToCome('expires_at', '$2::timestamptz')} OR expires_at IS NULL)
   ), made AS (
     INSERT INTO limit_overrides AS o (tenant_id, id, limit_id, original_value, override_value, status, duration_hours,
       requested_at, starts_at, expires_at, approved_at, approved_by, requested_by, reason, audit_trail)
     SELECT $1, $7, $4, $8::numeric, $9::numeric, $10::text, $11::integer,
       $2::timestamptz, $12::timestamptz, $12::timestamptz + make_interval(hours => $11::integer),
       CASE WHEN $10 = 'ACTIVE' THEN $2::timestamptz END, CASE WHEN $10 = 'ACTIVE' THEN $13::text END, $13, $14, $15::jsonb
     FROM active, (SELECT count(*) AS n FROM expired) AS marked
     WHERE $6::boolean AND active.n < $5::integer AND marked.n >= 0 AND NOT EXISTS (SELECT 1 FROM live)
     ON CONFLICT (tenant_id, limit_id) WHERE ${LIVE} DO NOTHING
     RETURNING ${COLUMNS}
   )
   SELECT active.n AS active, EXISTS (SELECT 1 FROM live) AS live, made.* FROM active LEFT JOIN made ON true`,
  PLANNED_ANEW,
);
