import type { TenantId } from './brand';
import { TenantScopeError } from './errors';
import { assertTenantId } from './guards';
import { textFault } from './text';

const BRAND = Symbol.for('hoc.system-scope');

/** Leave to act across tenants, with the reason for it; made by {@link systemScope} alone. */
export interface SystemScope {
  readonly kind: 'system';
  readonly reason: string;
}

/** One tenant's scope, checked. */
export interface TenantScope {
  readonly kind: 'tenant';
  readonly tenantId: TenantId;
}

/**
 * Leave for a system-wide call (orphan detection, sweeps). The reason, 1–200 characters, goes to the log.
 * @throws TenantScopeError without a reason
 */
export function systemScope(reason: string): SystemScope {
  if (textFault(reason, 1, 200) !== null || reason.trim() === '')
    throw new TenantScopeError('a system scope needs a reason of 1 to 200 characters', {
      details: { field: 'reason', reason: 'system_scope' },
    });
  return Object.freeze(Object.defineProperty({ kind: 'system' as const, reason }, BRAND, { value: true }));
}

/** The value as the scope of system-wide calls. @throws TenantScopeError for anything that `systemScope` of some installed copy didn't make */
export function assertSystemScope(value: unknown): SystemScope {
  if (typeof value !== 'object' || value === null || Reflect.get(value, BRAND) !== true)
    throw new TenantScopeError('this call reaches all tenants: it needs a scope made by systemScope(reason)', {
      details: { field: 'scope', reason: 'system_scope' },
    });
  return value as SystemScope;
}

/** The scope of one tenant, frozen. @throws TenantScopeError as {@link assertTenantId} */
export function tenantScope(tenantId: string): TenantScope {
  return Object.freeze({ kind: 'tenant' as const, tenantId: assertTenantId(tenantId) });
}
