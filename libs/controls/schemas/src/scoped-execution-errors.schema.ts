import { ConflictError, hasBrand, type JsonObject, LimitExceededError, NotFoundError } from '@hoc/shared/kernel';

/**
 * The action needs a valid scope. `details`: `action`, `incidentId` where one is known, and `status: 'revoked'` where
 * there was a scope that somebody took back.
 *
 * @see scoped_execution.py, ScopedExecutionRequired
 */
export class ScopedExecutionRequired extends ConflictError {
  constructor(message: string, details: { readonly action: string } & JsonObject) {
    super(message, { details });
  }
  static override is(value: unknown): value is ScopedExecutionRequired {
    return hasBrand(value, 'ScopedExecutionRequired');
  }
}

/** The tenant has no such scope: one of another tenant's is the same. `details.scopeId`. @see scoped_execution.py, ScopeNotFound */
export class ScopeNotFound extends NotFoundError {
  constructor(scopeId: string) {
    super('the tenant has no such scope', { details: { scopeId } });
  }
  static override is(value: unknown): value is ScopeNotFound {
    return hasBrand(value, 'ScopeNotFound');
  }
}

/** What of a scope is used up. */
export type ScopeExhaustion = 'ATTEMPTS' | 'COST_CEILING';

/** `details`: `scopeId`, `reason`. Nothing was consumed. @see scoped_execution.py, ScopeExhausted */
export class ScopeExhausted extends LimitExceededError {
  constructor(scopeId: string, reason: ScopeExhaustion) {
    const message =
      reason === 'ATTEMPTS' ? 'the scope is used up' : 'the action would cost more than is left of the scope';
    super(message, { details: { scopeId, reason } });
  }
  static override is(value: unknown): value is ScopeExhausted {
    return hasBrand(value, 'ScopeExhausted');
  }
}

/** `details`: `scopeId`, `expiresAt`. @see scoped_execution.py, ScopeExpired */
export class ScopeExpired extends ConflictError {
  constructor(scopeId: string, expiresAt: Date) {
    super('the scope has expired', { details: { scopeId, expiresAt: expiresAt.toISOString() } });
  }
  static override is(value: unknown): value is ScopeExpired {
    return hasBrand(value, 'ScopeExpired');
  }
}

/** `details`: `scopeId`, `allowedActions`. @see scoped_execution.py, ScopeActionMismatch */
export class ScopeActionMismatch extends ConflictError {
  constructor(scopeId: string, allowedActions: readonly string[]) {
    super('the scope does not allow this action', { details: { scopeId, allowedActions: [...allowedActions] } });
  }
  static override is(value: unknown): value is ScopeActionMismatch {
    return hasBrand(value, 'ScopeActionMismatch');
  }
}

/** `details.scopeId`. @see scoped_execution.py, ScopeIncidentMismatch */
export class ScopeIncidentMismatch extends ConflictError {
  constructor(scopeId: string) {
    super('the scope is bound to another incident', { details: { scopeId } });
  }
  static override is(value: unknown): value is ScopeIncidentMismatch {
    return hasBrand(value, 'ScopeIncidentMismatch');
  }
}
