import { assertAmount, ExecuteWithScopeRequest, ScopeNotFound } from '@hoc/controls/schemas';
import {
  assertTenantId,
  ConflictError,
  DataIntegrityError,
  type DriverDeps,
  type TenantId,
  validateOrThrow,
} from '@hoc/shared/kernel';
import { assertInTransaction, type DriverManager, guarded, runOne } from '@hoc/shared/drivers';
import { canExecute, denialError } from '../scoped-execution.rules';
import { storedJsonText } from '../stored-json.rules';
import type { BoundExecutionScope } from './bound-scope.rules';
import { type AttemptColumns, LOCK_SCOPE, type LogColumns, TAKE_ATTEMPT } from './scope.query';
import { toScope } from './scope.rows';

/** One attempt under a scope: the manager's, a tenant's, and whether the answer shall hold the scope's log. */
export interface Reservation {
  readonly manager: DriverManager;
  readonly deps: DriverDeps;
  readonly withLog: boolean;
}

/** What came of it. `scope` has its log only where it was asked for. */
export interface Reserved {
  readonly scope: BoundExecutionScope;
  readonly attemptNumber: number;
  readonly duplicate: boolean;
  readonly executedAt: Date;
  /** The instant of the call: of its judgement, behind the lock. */
  readonly now: Date;
}

/**
 * Reserves one attempt in two statements: the lock, and everything else behind it. The scope is judged at an instant after
 * the lock was given: whoever waited past its end is too late.
 */
export async function reserveAttempt(
  { manager, deps, withLog }: Reservation,
  tenantId: string,
  input: ExecuteWithScopeRequest,
): Promise<Reserved> {
  const tenant = assertTenantId(tenantId);
  assertInTransaction(manager);
  const asked = validateOrThrow(ExecuteWithScopeRequest, input);
  const { scopeId, action, incidentId, idempotencyKey = null } = asked;
  const costCents = assertAmount(asked.costCents ?? '0', 'costCents');
  const parameters = storedJsonText(asked.parameters ?? {}, 'parameters');
  return guarded(async () => {
    const before = await lockScope(manager, tenant, scopeId);
    if (before === null) throw new ScopeNotFound(scopeId);
    const now = deps.clock.now();
    const verdict = canExecute(before, { action, incidentId, costCents }, now);
    const refused = verdict.allowed ? null : denialError(before, action, verdict.error);
    if (refused !== null && idempotencyKey === null) throw refused;
    const values = [idempotencyKey, action, costCents, parameters, deps.ids.next(), now.toISOString()];
    const row = await runOne(manager, TAKE_ATTEMPT, [tenant, scopeId, ...values, verdict.allowed, withLog]);
    const duplicate = row !== null && row.same !== null;
    if (duplicate && !(row.same && incidentId === before.incidentId)) throw otherContent(scopeId);
    if (refused !== null && !duplicate) throw refused;
    const taken = attemptOf(row);
    const entry: LogColumns = [taken.attemptNumber, action, costCents, taken.executedAt.toISOString()];
    const log = withLog ? [...(taken.row.log ?? []), ...(duplicate ? [] : [entry])] : null;
    const { attemptNumber, executedAt } = taken;
    return Object.freeze({ scope: toScope(taken.row, log), attemptNumber, duplicate, executedAt, now });
  });
}

/** The scope as it stands once the transaction holds it; null where the tenant has none. */
export async function lockScope(
  manager: DriverManager,
  tenant: TenantId,
  scopeId: string,
): Promise<BoundExecutionScope | null> {
  const row = await runOne(manager, LOCK_SCOPE, [tenant, scopeId]);
  return row === null ? null : toScope(row);
}

const otherContent = (scopeId: string): ConflictError =>
  new ConflictError('another content is stored under this idempotency key: the first attempt stands', {
    details: { scopeId, reason: 'content' },
  });

/** The lock holds the scope, so that its attempt can't be missing. */
function attemptOf(row: AttemptColumns | null): {
  readonly row: AttemptColumns;
  readonly attemptNumber: number;
  readonly executedAt: Date;
} {
  if (row === null || row.attempt_number === null || row.executed_at === null)
    throw new DataIntegrityError('the attempt was not stored', { details: { reason: 'trigger' } });
  return { row, attemptNumber: row.attempt_number, executedAt: row.executed_at };
}
