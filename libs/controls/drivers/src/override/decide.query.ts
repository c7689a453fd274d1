import { type Statement, statement } from '@hoc/shared/drivers';
import { ACTIVE_OF_TENANT, COLUMNS, LIVE, type OverrideColumns, PLANNED_ANEW, trailWith } from './columns.query';
import { HELD_TENANT, TENANT_COLUMNS, type TenantColumns } from './request.query';

/** An override that is to be decided, and its tenant; both held. */
export interface HeldOverrideColumns extends TenantColumns {
  readonly limit_type: string;
  readonly original_value: string;
  readonly override_value: string;
  readonly status: string;
  readonly duration_hours: number;
  readonly starts_at: Date | null;
}

/** $1 tenant, $2 override. The tenant first, as everywhere. */
export const HOLD_OVERRIDE: Statement<HeldOverrideColumns> = statement(
  'hold_override',
  `WITH ${HELD_TENANT}
   SELECT o.original_value, o.override_value, o.status, o.duration_hours, o.starts_at, ${TENANT_COLUMNS},
     (SELECT l.limit_type FROM limits l WHERE l.tenant_id = t.id AND l.id = o.limit_id) AS limit_type
   FROM tenant t
   CROSS JOIN LATERAL (
     SELECT limit_id, original_value, override_value, status, duration_hours, starts_at FROM limit_overrides
     WHERE tenant_id = t.id AND id = $2
     FOR NO KEY UPDATE
   ) AS o`,
  PLANNED_ANEW,
);

/** What an approval met, and what it wrote: `id` is null where the cap held it back. */
export type ApprovalColumns = { readonly active: number } & (OverrideColumns | { readonly id: null });

/**
 * $1 tenant, $2 clock, $3 override, $4 most that may be active, $5 status, $6 value, $7 hours, $8 start, $9 who approves,
 * $10 note of the trail.
 */
export const APPROVE_OVERRIDE: Statement<ApprovalColumns> = statement(
  'approve_override',
  `WITH ${ACTIVE_OF_TENANT}, approved AS (
     UPDATE limit_overrides o
     SET status = $5, override_value = $6::numeric, duration_hours = $7::integer, starts_at = $8::timestamptz,
       expires_at = $8::timestamptz + make_interval(hours => $7::integer), approved_at = $2::timestamptz, approved_by = $9,
       audit_trail = ${trailWith({ at: '$2::timestamptz', actor: '$9::text', to: '$5::text', note: '$10::text' })}
     FROM active
     WHERE o.tenant_id = $1 AND o.id = $3 AND o.status = 'PENDING' AND ($5 <> 'ACTIVE' OR active.n < $4::integer)
     RETURNING ${COLUMNS}
   )
   SELECT active.n AS active, approved.* FROM active LEFT JOIN approved ON true`,
  PLANNED_ANEW,
);

/** What a change met when it had locked the row, and what it wrote: `id` is null for nothing. */
export type ChangeColumns = {
  readonly before: string;
  readonly before_expires_at: Date | null;
} & (OverrideColumns | { readonly id: null });

/** $1 tenant, $2 override, $3 clock, $4 who does it. One statement: what is reported stood when it was decided. */
const change = (label: string, rule: { readonly from: string; readonly to: string; readonly set: string }) =>
  statement<ChangeColumns>(
    label,
    `WITH held AS MATERIALIZED (
       SELECT id, status, expires_at FROM limit_overrides WHERE tenant_id = $1 AND id = $2 FOR NO KEY UPDATE
     ), written AS (
       UPDATE limit_overrides o
       SET status = '${rule.to}', ${rule.set},
         audit_trail = ${trailWith({ at: '$3::timestamptz', actor: '$4::text', to: `'${rule.to}'` })}
       FROM held h
       WHERE o.tenant_id = $1 AND o.id = h.id AND ${rule.from}
       RETURNING ${COLUMNS}
     )
     SELECT h.status AS before, h.expires_at AS before_expires_at, w.* FROM held h LEFT JOIN written w ON true`,
    PLANNED_ANEW,
  );

/** $1 tenant, $2 override, $3 clock, $4 who cancels. An active one that is over is no longer anybody's to cancel. */
export const CANCEL_OVERRIDE: Statement<ChangeColumns> = change('cancel_override', {
  from: `h.${LIVE} AND (h.status <> 'ACTIVE' OR h.expires_at > $3::timestamptz)`,
  to: 'CANCELLED',
  set: 'cancelled_at = $3::timestamptz, cancelled_by = $4',
});

/** $1 tenant, $2 override, $3 clock, $4 who rejects, $5 why. */
export const REJECT_OVERRIDE: Statement<ChangeColumns> = change('reject_override', {
  from: `h.status = 'PENDING'`,
  to: 'REJECTED',
  set: 'rejected_at = $3::timestamptz, rejected_by = $4, rejection_reason = $5',
});
