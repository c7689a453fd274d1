import {
  assertAmount,
  type BoundScope,
  type ScopeLogEntry,
  type ScopeSnapshot,
  type ScopeStatus,
  type ScopeVerdict,
} from '@hoc/controls/schemas';
import {
  addDecimal,
  compareDecimal,
  type DecimalString,
  deepFreeze,
  type JsonObject,
  subtractDecimal,
  ZERO_DECIMAL,
} from '@hoc/shared/kernel';
import { canExecute, denialError, statusAt } from '../scoped-execution.rules';

/**
 * A scope as it was at one moment, immutable: what is asked of it needs no database, and what it answers is what the store
 * would decide on the same row. Every level is frozen; its `Date`s are the holder's own copies.
 *
 * @see scoped_execution.py, BoundExecutionScope
 */
export class BoundExecutionScope implements BoundScope {
  readonly scopeId: string;
  readonly tenantId: string;
  readonly incidentId: string;
  readonly allowedActions: readonly string[];
  readonly maxCostCents: DecimalString;
  readonly maxAttempts: number;
  /** Exclusive. */
  readonly expiresAt: Date;
  readonly intent: string;
  readonly targetAgents: readonly string[];
  readonly createdAt: Date;
  readonly createdBy: string;
  readonly attemptsUsed: number;
  readonly costUsedCents: DecimalString;
  /** As stored; {@link statusAt} says what holds at an instant. */
  readonly status: ScopeStatus;
  /** By attempt number. */
  readonly executionLog: readonly ScopeLogEntry[];

  constructor(from: ScopeSnapshot) {
    this.scopeId = from.scopeId;
    this.tenantId = from.tenantId;
    this.incidentId = from.incidentId;
    this.allowedActions = [...from.allowedActions];
    this.maxCostCents = from.maxCostCents;
    this.maxAttempts = from.maxAttempts;
    this.expiresAt = new Date(from.expiresAt);
    this.intent = from.intent;
    this.targetAgents = [...from.targetAgents];
    this.createdAt = new Date(from.createdAt);
    this.createdBy = from.createdBy;
    this.attemptsUsed = from.attemptsUsed;
    this.costUsedCents = from.costUsedCents;
    this.status = from.status;
    this.executionLog = from.executionLog.map((entry) => ({ ...entry, timestamp: new Date(entry.timestamp) }));
    deepFreeze(this);
  }

  /** `expired` from `expiresAt` on, and `exhausted` after the last attempt, where the stored status still says `active`. */
  statusAt(now: Date): ScopeStatus {
    return statusAt(this, now);
  }

  /** Whether anything may still be done under it. @see scoped_execution.py, BoundExecutionScope.is_valid */
  isValid(now: Date): boolean {
    return this.statusAt(now) === 'active';
  }

  /**
   * Whether it lets an attempt through at `now`; where not, why: revoked, expired, used up, another incident, another action
   * (letter by letter), more cost than is left, the first of these.
   *
   * @throws InvalidArgumentError for a cost below zero or that isn't one
   * @see scoped_execution.py, BoundExecutionScope.can_execute
   */
  canExecute(action: string, incidentId: string, now: Date, costCents: DecimalString = ZERO_DECIMAL): ScopeVerdict {
    return canExecute(this, { action, incidentId, costCents }, now);
  }

  /**
   * The snapshot after one attempt. Persists nothing: the store's `consumeScope` does.
   *
   * @throws the error of the denial: ScopedExecutionRequired, ScopeExpired, ScopeExhausted or ScopeActionMismatch
   * @see scoped_execution.py, BoundExecutionScope.consume
   */
  consume(action: string, costCents: DecimalString, at: Date): BoundExecutionScope {
    const cost = assertAmount(costCents, 'costCents');
    const verdict = this.canExecute(action, this.incidentId, at, cost);
    if (!verdict.allowed) throw denialError(this, action, verdict.error);
    const attemptNumber = this.attemptsUsed + 1;
    return scopeOf({
      ...this,
      attemptsUsed: attemptNumber,
      costUsedCents: addDecimal(this.costUsedCents, cost),
      status: attemptNumber >= this.maxAttempts ? 'exhausted' : 'active',
      executionLog: [...this.executionLog, { action, costCents: cost, timestamp: at, attemptNumber }],
    });
  }

  /**
   * JSON of all fields but the log, with `attemptsRemaining` and `costRemainingCents` (never below zero); instants as ISO
   * texts in UTC.
   *
   * @see scoped_execution.py, BoundExecutionScope.to_dict
   */
  toDict(): JsonObject {
    const { executionLog: _log, expiresAt, createdAt, ...fields }: ScopeSnapshot = this;
    return deepFreeze({
      ...fields,
      expiresAt: expiresAt.toISOString(),
      createdAt: createdAt.toISOString(),
      attemptsRemaining: attemptsRemaining(this),
      costRemainingCents: costRemaining(this),
    });
  }
}

/** Outside the class: the build would rename one that names itself. */
const scopeOf = (from: ScopeSnapshot): BoundExecutionScope => new BoundExecutionScope(from);

/** Attempts that are left, whatever the status. */
export const attemptsRemaining = ({ maxAttempts, attemptsUsed }: ScopeSnapshot): number =>
  Math.max(0, maxAttempts - attemptsUsed);

function costRemaining({ maxCostCents, costUsedCents }: ScopeSnapshot): DecimalString {
  const left = subtractDecimal(maxCostCents, costUsedCents);
  return compareDecimal(left, ZERO_DECIMAL) > 0 ? left : ZERO_DECIMAL;
}
