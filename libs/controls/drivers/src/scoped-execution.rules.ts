import {
  assertAmount,
  type ExecutionScope,
  RISK_CLASSES,
  type RecoveryAction,
  type RiskClass,
  type ScopeDenial,
  ScopeActionMismatch,
  ScopedExecutionRequired,
  type ScopedExecutionResult,
  ScopeExhausted,
  ScopeExpired,
  ScopeIncidentMismatch,
  type ScopeSnapshot,
  type ScopeStatus,
  type ScopeVerdict,
} from '@hoc/controls/schemas';
import {
  addDecimal,
  assertDate,
  assertOneOf,
  canonicalJson,
  compareDecimal,
  type DecimalString,
  deepFreeze,
  type HocError,
  invalid,
  type JsonObject,
  multiplyDecimal,
  sha256Hex,
  ZERO_DECIMAL,
} from '@hoc/shared/kernel';

/** Whether the first class is at least as risky as the second. @throws InvalidArgumentError for a class that doesn't exist */
export function isAtLeastAsRisky(riskClass: RiskClass, threshold: RiskClass): boolean {
  return rank(riskClass, 'riskClass') >= rank(threshold, 'riskThreshold');
}

/** What speaks against the action, before anything is tried; none for a sound one. @see scoped_execution.py, _dry_run_validate */
export function dryRunValidate(action: RecoveryAction): readonly string[] {
  const violations: string[] = [];
  if (action.actionType === '') violations.push('Missing action_type');
  if (isAtLeastAsRisky(action.riskClass, 'high') && action.targetAgents.length === 0)
    violations.push('HIGH/CRITICAL risk actions require explicit target_agents');
  return Object.freeze(violations);
}

/** What an action of this type is expected to cost, in cents. @see scoped_execution.py, _estimate_cost */
export function estimateCost(actionType: string): DecimalString {
  return ESTIMATES.get(actionType) ?? ESTIMATE_OTHERWISE;
}

/**
 * The outcome of trying the action on a part of the world, `fraction` (0.01–1) of it, or of validating it alone
 * (`dry_run`). Nothing is performed. Frozen.
 *
 * @throws InvalidArgumentError for an action whose id can't be hashed, or a risk class that doesn't exist
 * @see scoped_execution.py, _execute_scoped
 */
export function executeScoped(
  action: RecoveryAction,
  scope: ExecutionScope,
  fraction: number,
  durationMs = 0,
): ScopedExecutionResult {
  const outcome = scope === 'dry_run' ? validated(action) : sampled(action, scope, fraction);
  return deepFreeze({ ...outcome, durationMs });
}

/** The outcome of a trial that failed itself. */
export function failedExecution(code: string, durationMs: number): ScopedExecutionResult {
  return deepFreeze({
    success: false,
    costDeltaCents: ZERO_DECIMAL,
    failureCount: 1,
    policyViolations: [`Execution error: ${code}`],
    executionHash: '',
    durationMs,
    scopeCoverage: 0,
    samplesTested: 0,
    details: {},
  });
}

/** First 16 hex digits of SHA-256 over the canonical JSON: no order of keys changes it. @see scoped_execution.py, _compute_hash */
export function computeHash(data: JsonObject): string {
  return sha256Hex(canonicalJson(data)).slice(0, HASH_DIGITS);
}

/** Milliseconds from start to end, to `now` where it hasn't ended; 0 where it hasn't started, and never below. @see scoped_execution.py, _elapsed_ms */
export function elapsedMs(start: Date | null, end: Date | null, now: Date): number {
  return start === null ? 0 : Math.max(0, (end ?? now).getTime() - start.getTime());
}

/** The fraction within 0.01–1. @throws InvalidArgumentError naming `scopeFraction` for what isn't a finite number */
export function clampFraction(fraction: number): number {
  if (!Number.isFinite(fraction)) throw invalid('scopeFraction', 'finite', 'scopeFraction must be a finite number');
  return Math.min(Math.max(fraction, FRACTION_MIN), 1);
}

/** What holds at `now`: an end that is stored, else the end of its time (at `expiresAt` it is over), else of its attempts. */
export function statusAt(scope: Ceilings, now: Date): ScopeStatus {
  if (scope.status !== 'active') return scope.status;
  if (scope.expiresAt.getTime() <= assertDate(now, 'now').getTime()) return 'expired';
  return scope.attemptsUsed >= scope.maxAttempts ? 'exhausted' : 'active';
}

/** One attempt, as it is judged. */
export interface Attempt {
  readonly action: string;
  readonly incidentId: string;
  readonly costCents: DecimalString;
}

/**
 * Whether the scope lets the attempt through at `now`. The first that stands against it counts: revoked, expired, used up,
 * another incident, another action, more than is left. A cost that reaches the ceiling exactly passes.
 *
 * @throws InvalidArgumentError for a cost below zero or that isn't one
 */
export function canExecute(scope: Ceilings, attempt: Attempt, now: Date): ScopeVerdict {
  const cost = assertAmount(attempt.costCents, 'costCents');
  const status = statusAt(scope, now);
  if (status !== 'active') return DENIED[status];
  if (scope.incidentId !== attempt.incidentId) return DENIED.incident;
  if (!scope.allowedActions.includes(attempt.action)) return DENIED.action;
  const after = addDecimal(scope.costUsedCents, cost);
  return compareDecimal(after, scope.maxCostCents) > 0 ? DENIED.cost : ALLOWED;
}

/** The exception that says a denial: chosen by its kind, whatever words an action is named with. */
export function denialError(scope: Ceilings, action: string, { kind, message }: ScopeDenial): HocError {
  switch (kind) {
    case 'revoked':
      return new ScopedExecutionRequired(message, { action, incidentId: scope.incidentId, status: 'revoked' });
    case 'expired':
      return new ScopeExpired(scope.scopeId, scope.expiresAt);
    case 'exhausted':
      return new ScopeExhausted(scope.scopeId, 'ATTEMPTS');
    case 'incident':
      return new ScopeIncidentMismatch(scope.scopeId);
    case 'action':
      return new ScopeActionMismatch(scope.scopeId, scope.allowedActions);
    case 'cost':
      return new ScopeExhausted(scope.scopeId, 'COST_CEILING');
  }
}

/** What a decision reads of a scope. */
export type Ceilings = Omit<ScopeSnapshot, 'executionLog'>;

const ALLOWED: ScopeVerdict = Object.freeze({ allowed: true });
const denied = (kind: ScopeDenial['kind'], message: string): ScopeVerdict & { readonly allowed: false } =>
  deepFreeze({ allowed: false, error: { kind, message } });
const DENIED = Object.freeze({
  revoked: denied('revoked', 'the scope was revoked: the action needs another one'),
  expired: denied('expired', 'the scope has expired'),
  exhausted: denied('exhausted', 'the scope is used up'),
  incident: denied('incident', 'the scope is bound to another incident'),
  action: denied('action', 'the scope does not allow this action'),
  cost: denied('cost', 'the action would cost more than is left of the scope'),
});

const HASH_DIGITS = 16;
const FRACTION_MIN = 0.01;
/** Cents. A map: a type named `constructor` is one of the others. */
const ESTIMATES: ReadonlyMap<string, DecimalString> = new Map(
  Object.entries({ retry: '10', fallback: '5', circuit_break: '0', scale: '100' } as Record<string, DecimalString>),
);
const ESTIMATE_OTHERWISE = '20' as DecimalString;
const HUNDRED = '100' as DecimalString;

const rank = (riskClass: RiskClass, field: string): number =>
  RISK_CLASSES.indexOf(assertOneOf(riskClass, RISK_CLASSES, field));

type Outcome = Omit<ScopedExecutionResult, 'durationMs'>;

function validated(action: RecoveryAction): Outcome {
  const policyViolations = dryRunValidate(action);
  const costDeltaCents = estimateCost(action.actionType);
  return {
    success: policyViolations.length === 0,
    costDeltaCents,
    failureCount: policyViolations.length,
    policyViolations,
    executionHash: computeHash({ action: action.id, scope: 'dry_run', dry_run: true }),
    scopeCoverage: 0,
    samplesTested: 0,
    details: { mode: 'dry_run', estimated_cost_cents: costDeltaCents, risk_class: action.riskClass },
  };
}

function sampled(action: RecoveryAction, scope: ExecutionScope, fraction: number): Outcome {
  const samplesTested = samplesOf(fraction);
  return {
    success: true,
    costDeltaCents: ZERO_DECIMAL,
    failureCount: 0,
    policyViolations: [],
    executionHash: computeHash({ action: action.id, scope, fraction }),
    scopeCoverage: fraction,
    samplesTested,
    details: { mode: 'scoped', scope_type: scope, samples_tested: samplesTested },
  };
}

/** Of a hundred, rounded down. In decimals: the float 100 × 0.29 is below 29. Within 0.01–1 a number prints without an exponent. */
function samplesOf(fraction: number): number {
  const exact = multiplyDecimal(String(clampFraction(fraction)) as DecimalString, HUNDRED);
  return Math.floor(Number(exact));
}
