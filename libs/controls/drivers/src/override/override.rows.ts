import {
  LimitNotFoundError,
  type LimitOverrideResponse,
  LIMIT_STATUSES,
  type LimitStatus,
} from '@hoc/controls/schemas';
import {
  assertId,
  assertTenantId,
  type DecimalString,
  fromPgNumeric,
  OVERRIDE_STATUSES,
  TransactionRequiredError,
} from '@hoc/shared/kernel';
import { assertInTransaction, type DriverManager, guarded, runOne, storedValue } from '@hoc/shared/drivers';
import { isInEffect, planCapFor } from '../override.rules';
import type { OverrideColumns } from './columns.query';
import { HOLD_LIMIT, type TenantColumns } from './request.query';

/** What a request needs to know of its limit. */
export interface LimitForOverride {
  readonly limitId: string;
  readonly status: LimitStatus;
  readonly maxValue: DecimalString;
  /** What the tenant's plan grants of the limit's type; null for a type that it says nothing of. */
  readonly planCap: DecimalString | null;
}

/**
 * Holds the tenant (NO KEY UPDATE) and its limit (SHARE) until the end of the transaction, in this order, and reads what an
 * override of the limit depends on.
 *
 * @throws LimitNotFoundError for a limit, or a tenant, that isn't there
 * @see override_driver.py, _get_limit
 */
export async function getLimitForOverride(
  manager: DriverManager,
  tenantId: string,
  limitId: string,
): Promise<LimitForOverride> {
  const tenant = assertTenantId(tenantId);
  assertInTransaction(manager);
  const limit = assertId(limitId, 'limitId');
  const row = await guarded(() => runOne(manager, HOLD_LIMIT, [tenant, limit]));
  if (row === null) throw new LimitNotFoundError(limit);
  return Object.freeze({
    limitId: row.id,
    status: storedValue(row.status, LIMIT_STATUSES, 'status'),
    maxValue: fromPgNumeric(row.max_value),
    planCap: planCapOf(row.limit_type, row),
  });
}

/**
 * The cap of a tenant that a statement holds.
 * @throws TransactionRequiredError reason `isolation` above READ COMMITTED: its snapshot is older than the lock, so what is
 * counted behind the lock would be of before it, and a sixth override could pass
 */
export function planCapOf(limitType: string, tenant: TenantColumns): DecimalString | null {
  assertFreshReads(tenant);
  return planCapFor(limitType, {
    maxTokensPerMonth: fromPgNumeric(tenant.max_tokens_per_month),
    maxRunsPerDay: fromPgNumeric(tenant.max_runs_per_day),
    maxConcurrentRuns: fromPgNumeric(tenant.max_concurrent_runs),
  });
}

/** @throws TransactionRequiredError as {@link planCapOf} */
export function assertFreshReads({ isolation }: Pick<TenantColumns, 'isolation'>): void {
  if (!isolation.startsWith('read '))
    throw new TransactionRequiredError('this call needs a transaction of isolation level READ COMMITTED', {
      details: { reason: 'isolation' },
    });
}

/** A stored override as it stands at `now`, frozen. @see override_driver.py, _to_response */
export function toOverrideResponse(tenantId: string, row: OverrideColumns, now: Date): LimitOverrideResponse {
  const status = storedValue(row.status, OVERRIDE_STATUSES, 'status');
  const [originalValue, overrideValue] = [fromPgNumeric(row.original_value), fromPgNumeric(row.override_value)];
  const inEffect = isInEffect({ status, startsAt: row.starts_at, expiresAt: row.expires_at }, now);
  return Object.freeze({
    overrideId: row.id,
    limitId: row.limit_id,
    limitName: row.limit_name,
    tenantId,
    originalValue,
    overrideValue,
    effectiveValue: inEffect ? overrideValue : originalValue,
    inEffect,
    status,
    requestedAt: row.requested_at,
    approvedAt: row.approved_at,
    startsAt: row.starts_at,
    expiresAt: row.expires_at,
    cancelledAt: row.cancelled_at,
    requestedBy: row.requested_by,
    approvedBy: row.approved_by,
    cancelledBy: row.cancelled_by,
    rejectedBy: row.rejected_by,
    reason: row.reason,
    rejectionReason: row.rejection_reason,
  });
}
