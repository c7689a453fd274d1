import {
  assertAmount,
  CreateScopeRequest,
  type ExecuteWithScopeRequest,
  type RecoveryScopeRequest,
  SCOPE_ATTEMPTS_MAX,
  SCOPE_COST_DEFAULT,
  SCOPE_EXPIRY_DEFAULT,
  SCOPE_EXPIRY_MAX,
  SCOPE_TTL_DEFAULT,
  type ScopeConsumption,
  type ScopeExecution,
  type ScopePort,
  type ScopeSettlement,
} from '@hoc/controls/schemas';
import {
  assertId,
  assertInt,
  assertObject,
  assertSystemScope,
  assertTenantId,
  DataIntegrityError,
  type DecimalString,
  type DriverDeps,
  filterFingerprint,
  fromPgNumeric,
  type JsonObject,
  noopLogger,
  type Page,
  type PageRequest,
  type ReadDeps,
  type SystemScope,
  toSafeInteger,
  validateOrThrow,
} from '@hoc/shared/kernel';
import {
  assertInTransaction,
  type DriverManager,
  guarded,
  type KeysetList,
  keysetPage,
  keysetRequest,
  run,
  runOne,
} from '@hoc/shared/drivers';
import { attemptsRemaining, type BoundExecutionScope } from './scoped-execution/bound-scope.rules';
import { lockScope, reserveAttempt } from './scoped-execution/consume.driver';
import {
  EXPIRE_SCOPES,
  FETCH_SCOPE,
  INSERT_SCOPE,
  REVOKE_SCOPE,
  SCOPES_OF_INCIDENT,
  SETTLE_ATTEMPT,
} from './scoped-execution/scope.query';
import { toScope } from './scoped-execution/scope.rows';

export { computeHash, dryRunValidate, elapsedMs, estimateCost, executeScoped } from './scoped-execution.rules';
export { BoundExecutionScope } from './scoped-execution/bound-scope.rules';
export {
  requiresScopedExecution,
  ScopedExecutionContext,
  type ScopeOptions,
  testRecoveryScope,
  validateScopeRequired,
} from './scoped-execution/context.rules';

/** The store on the given manager: a fresh one each time, no singleton. @see scoped_execution.py, get_scope_store */
export function getScopeStore(manager: DriverManager, deps: DriverDeps): ScopeStore {
  return new ScopeStore(manager, deps);
}

/**
 * Scopes and their attempts. All replicas see the same ones, none is lost with a process, and the row's lock and CHECKs
 * hold the ceilings. Only `consumeScope` needs a transaction: each other method is one statement. Results are frozen.
 *
 * @see scoped_execution.py, ScopeStore
 */
export class ScopeStore {
  constructor(
    private readonly manager: DriverManager,
    private readonly deps: DriverDeps,
  ) {}

  /**
   * A new scope, `ttlSeconds` long from the clock on, its log empty.
   * @throws InvalidArgumentError naming the field; ConflictError reason `foreign_key` for a tenant that doesn't exist
   * @see scoped_execution.py, ScopeStore.create_scope
   */
  async createScope(tenantId: string, input: CreateScopeRequest): Promise<BoundExecutionScope> {
    const tenant = assertTenantId(tenantId);
    const asked = validateOrThrow(CreateScopeRequest, input);
    const now = this.deps.clock.now();
    const values = [
      `scope_${this.deps.ids.next()}`,
      asked.incidentId,
      [...asked.allowedActions],
      [...(asked.targetAgents ?? [])],
      assertAmount(asked.maxCostCents ?? SCOPE_COST_DEFAULT, 'maxCostCents'),
      asked.maxAttempts ?? 1,
      asked.intent || `Recovery action for incident ${asked.incidentId}`,
      asked.createdBy ?? SYSTEM,
      now.toISOString(),
      new Date(now.getTime() + (asked.ttlSeconds ?? SCOPE_TTL_DEFAULT) * 1000).toISOString(),
    ];
    return guarded(async () => {
      const row = await runOne(this.manager, INSERT_SCOPE, [tenant, ...values]);
      if (row === null) throw new DataIntegrityError('the scope was not stored', { details: { reason: 'trigger' } });
      return toScope(row);
    });
  }

  /** The scope with its log; null where the tenant has none. @see scoped_execution.py, ScopeStore.get_scope */
  async getScope(tenantId: string, scopeId: string): Promise<BoundExecutionScope | null> {
    const tenant = assertTenantId(tenantId);
    const values = [tenant, assertId(scopeId, 'scopeId')];
    return guarded(async () => {
      const row = await runOne(this.manager, FETCH_SCOPE, values);
      return row === null ? null : toScope(row, row.log);
    });
  }

  /**
   * The incident's scopes with their logs, whatever has become of them, the newest first.
   * @throws InvalidArgumentError for a limit out of 1–200, or another list's cursor
   * @see scoped_execution.py, ScopeStore.get_scopes_for_incident
   */
  async getScopesForIncident(
    tenantId: string,
    incidentId: string,
    page: PageRequest = {},
  ): Promise<Page<BoundExecutionScope>> {
    const tenant = assertTenantId(tenantId);
    const incident = assertId(incidentId, 'incidentId');
    const list: KeysetList = {
      kind: 'scopes',
      fingerprint: filterFingerprint('getScopesForIncident', tenant, { incidentId: incident }),
      positions: ['instant', 'text'],
    };
    const request = keysetRequest(list, page);
    const [before = null, id = ''] = request.after ?? [];
    const values = [tenant, incident, before ?? 'infinity', id, request.limit + 1];
    return guarded(async () => {
      const rows = await run(this.manager, SCOPES_OF_INCIDENT, values);
      return keysetPage(list, request, rows, {
        item: (row) => toScope(row, row.log),
        position: (row) => [row.position, row.id],
      });
    });
  }

  /**
   * Reserves one attempt: counts it and its cost, writes it down, and gives its number. The caller then performs the action.
   * However many ask at once, no attempt and no cent above the ceilings is given. Under an idempotency key that has an
   * attempt, the same content gets the first outcome and consumes nothing, even where the scope is over since.
   *
   * @throws TransactionRequiredError; ScopeNotFound; ConflictError for another content under the key; else the denial of
   * {@link BoundExecutionScope.canExecute}: ScopedExecutionRequired (revoked), ScopeExpired, ScopeExhausted,
   * ScopeIncidentMismatch, ScopeActionMismatch. Nothing is consumed then
   */
  async consumeScope(tenantId: string, input: ExecuteWithScopeRequest): Promise<ScopeConsumption<BoundExecutionScope>> {
    const reservation = { manager: this.manager, deps: this.deps, withLog: true };
    const { now: _, ...consumption } = await reserveAttempt(reservation, tenantId, input);
    return Object.freeze(consumption);
  }

  /**
   * Takes an active scope back; false where it is missing or ended already. It waits for an attempt that holds the scope,
   * and none begins after it. `revoked_at` is the instant of the call: of an attempt for which it waited, the instant may be
   * later.
   *
   * @see scoped_execution.py, ScopeStore.revoke_scope
   */
  async revokeScope(tenantId: string, scopeId: string, revokedBy: string = SYSTEM): Promise<boolean> {
    const tenant = assertTenantId(tenantId);
    const values = [assertId(scopeId, 'scopeId'), this.deps.clock.now().toISOString()];
    const by = assertId(revokedBy, 'revokedBy', ACTOR_MAX);
    const row = await guarded(() => runOne(this.manager, REVOKE_SCOPE, [tenant, ...values, by]));
    return row !== null;
  }

  /**
   * System-wide: marks at most `limit` (1–10,000, default 1,000) active scopes of all tenants whose time is over as expired,
   * the longest over first; how many, 0 when nothing is left. Rows stay. Several jobs share the work, and each scope is
   * marked once; one that an attempt holds waits for the next call. No decision waits for this: the clock ends a scope.
   *
   * @throws TenantScopeError without a scope
   * @see scoped_execution.py, ScopeStore.cleanup_expired
   */
  async cleanupExpired(scope: SystemScope, limit: number = SCOPE_EXPIRY_DEFAULT): Promise<number> {
    const { reason } = assertSystemScope(scope);
    const most = assertInt(limit, 'limit', 1, SCOPE_EXPIRY_MAX);
    const values = [this.deps.clock.now().toISOString(), most];
    const row = await guarded(() => runOne(this.manager, EXPIRE_SCOPES, values));
    const expired = toSafeInteger(row?.expired, 'expired');
    (this.deps.logger ?? noopLogger).info('execution_scopes_expired', { reason, expired });
    return expired;
  }
}

/**
 * A scope for one action, as JSON (`toDict`). One statement.
 * @throws InvalidArgumentError naming the field
 * @see scoped_execution.py, create_recovery_scope
 */
export async function createRecoveryScope(
  manager: DriverManager,
  tenantId: string,
  input: RecoveryScopeRequest,
  deps: DriverDeps,
): Promise<JsonObject> {
  const tenant = assertTenantId(tenantId);
  assertObject(input, 'input');
  const { action, ...terms } = input;
  assertId(action, 'action');
  const scope = await getScopeStore(manager, deps).createScope(tenant, { ...terms, allowedActions: [action] });
  return scope.toDict();
}

/**
 * {@link ScopeStore.consumeScope} in plain fields, without reading the scope's log. It reserves and records; the caller
 * performs the action.
 *
 * @throws as {@link ScopeStore.consumeScope}
 * @see scoped_execution.py, execute_with_scope
 */
export async function executeWithScope(
  manager: DriverManager,
  tenantId: string,
  input: ExecuteWithScopeRequest,
  deps: DriverDeps,
): Promise<ScopeExecution> {
  const reserved = await reserveAttempt({ manager, deps, withLog: false }, tenantId, input);
  const { scope, attemptNumber, duplicate, executedAt, now } = reserved;
  return Object.freeze({
    success: true,
    scopeId: scope.scopeId,
    action: input.action,
    incidentId: scope.incidentId,
    attemptNumber,
    scopeStatus: scope.statusAt(now),
    attemptsRemaining: attemptsRemaining(scope),
    costUsedCents: scope.costUsedCents,
    duplicate,
    executedAt,
  });
}

/**
 * Replaces the reserved cost of an attempt by the actual one, once; null where the attempt is missing or settled. All
 * attempts together never count for more than the ceiling: what is above it is returned, and an active scope is exhausted
 * then. Less than was reserved gives the rest back; a scope that has ended stays ended. Two statements.
 *
 * @throws TransactionRequiredError; InvalidArgumentError naming the field
 * @see spec controls H.5
 */
export async function settleScopeAttempt(
  manager: DriverManager,
  tenantId: string,
  scopeId: string,
  attemptNumber: number,
  actualCostCents: DecimalString,
  deps: ReadDeps,
): Promise<ScopeSettlement<BoundExecutionScope> | null> {
  const tenant = assertTenantId(tenantId);
  assertInTransaction(manager);
  const scope = assertId(scopeId, 'scopeId');
  const attempt = assertInt(attemptNumber, 'attemptNumber', 1, SCOPE_ATTEMPTS_MAX);
  const cents = assertAmount(actualCostCents, 'actualCostCents');
  return guarded(async () => {
    if ((await lockScope(manager, tenant, scope)) === null) return null;
    const values = [tenant, scope, attempt, cents, deps.clock.now().toISOString()];
    const row = await runOne(manager, SETTLE_ATTEMPT, values);
    if (row === null) return null;
    return Object.freeze({
      scope: toScope(row, row.log),
      overrunCents: fromPgNumeric(row.overrun_cents, 'overrunCents'),
    });
  });
}

/** Scoped execution on the given manager, as a consumer's engines are given it. */
export function getScopes(manager: DriverManager, deps: DriverDeps): ScopePort {
  const store = getScopeStore(manager, deps);
  return Object.freeze<ScopePort>({
    createScope: (tenantId, input) => store.createScope(tenantId, input),
    getScope: (tenantId, scopeId) => store.getScope(tenantId, scopeId),
    getScopesForIncident: (tenantId, incidentId, page) => store.getScopesForIncident(tenantId, incidentId, page),
    consumeScope: (tenantId, input) => store.consumeScope(tenantId, input),
    revokeScope: (tenantId, scopeId, revokedBy) => store.revokeScope(tenantId, scopeId, revokedBy),
    cleanupExpired: (scope, limit) => store.cleanupExpired(scope, limit),
    createRecoveryScope: (tenantId, input) => createRecoveryScope(manager, tenantId, input, deps),
    executeWithScope: (tenantId, input) => executeWithScope(manager, tenantId, input, deps),
    settleScopeAttempt: (tenantId, scopeId, attemptNumber, actualCostCents) =>
      settleScopeAttempt(manager, tenantId, scopeId, attemptNumber, actualCostCents, deps),
  });
}

const SYSTEM = 'system';
const ACTOR_MAX = 128;
