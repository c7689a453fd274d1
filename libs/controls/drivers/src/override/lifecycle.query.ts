import { type Statement, statement } from '@hoc/shared/drivers';
import {
  ACTIVE_OF_TENANT,
  EXPIRED_OF_TENANT,
  expiredWith,
  hasCome,
  isToCome,
  LIVE,
  PLANNED_ANEW,
  trailWith,
} from './columns.query';

/**
 * $1 clock, $2 system actor. What another transaction holds is skipped: each row is marked once, and nobody waits. The lock
 * reads the row anew, so one that was cancelled meanwhile isn't taken.
 */
export const EXPIRE_OVERRIDES: Statement<{ readonly expired: string }> = statement(
  'expire_overrides',
  `WITH overdue AS MATERIALIZED (
     SELECT tenant_id, id FROM limit_overrides
     WHERE ${LIVE} AND ${hasCome('expires_at', '$1::timestamptz')}
     ORDER BY tenant_id, id
     FOR NO KEY UPDATE SKIP LOCKED
   ), ${expiredWith('$1::timestamptz', '$2::text')}
   SELECT count(*) AS expired FROM expired`,
  PLANNED_ANEW,
);

/** A due override and whether it went. */
export interface DueColumns {
  readonly id: string;
  readonly activated: boolean;
}

/**
 * $1 tenant, $2 clock, $3 system actor, $4 most that may be active. Behind the tenant's lock: those that are due, by their
 * start; the first for whom there is room become active.
 */
export const ACTIVATE_DUE: Statement<DueColumns> = statement(
  'activate_due_overrides',
  `WITH ${EXPIRED_OF_TENANT}, ${ACTIVE_OF_TENANT}, due AS MATERIALIZED (
     SELECT id, starts_at FROM limit_overrides
     WHERE tenant_id = $1 AND status = 'APPROVED' AND ${hasCome('starts_at', '$2::timestamptz')}
       AND ${isToCome('expires_at', '$2::timestamptz')}
     ORDER BY starts_at, id
     FOR NO KEY UPDATE
   ), ranked AS MATERIALIZED (
     SELECT id, row_number() OVER (ORDER BY starts_at, id) AS place FROM due
   ), activated AS (
     UPDATE limit_overrides o
     SET status = 'ACTIVE', audit_trail = ${trailWith({ at: '$2::timestamptz', actor: '$3::text', to: `'ACTIVE'` })}
     FROM ranked r, active
     WHERE o.tenant_id = $1 AND o.id = r.id AND r.place <= $4::integer - active.n
     RETURNING o.id
   )
   SELECT r.id, a.id IS NOT NULL AS activated FROM ranked r LEFT JOIN activated a ON a.id = r.id ORDER BY r.place`,
  PLANNED_ANEW,
);

/**
 * $1 clock, $2 limit, $3 the tenant after which the list goes on. Both halves are read whole: each is what a sweep is about
 * to work off.
 */
export const DUE_TENANTS: Statement<{ readonly tenant_id: string }> = statement(
  'tenants_with_due_overrides',
  `SELECT tenant_id FROM (
     SELECT tenant_id FROM limit_overrides
     WHERE status = 'APPROVED' AND ${hasCome('starts_at', '$1::timestamptz')} AND tenant_id > $3
     UNION
     SELECT tenant_id FROM limit_overrides
     WHERE ${LIVE} AND ${hasCome('expires_at', '$1::timestamptz')} AND tenant_id > $3
   ) AS due
   ORDER BY tenant_id
   LIMIT $2`,
  PLANNED_ANEW,
);
