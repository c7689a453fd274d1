import {
  EXECUTION_SCOPES,
  type ExecutionScope,
  RECOVERY_TIMEOUT_DEFAULT,
  RECOVERY_TIMEOUT_MAX,
  type RecoveryAction,
  type RecoveryScopeTest,
  type RecoveryScopeTestInput,
  RISK_CLASSES,
  type RiskClass,
  SCOPE_AGENTS_MAX,
  SCOPE_FRACTION_DEFAULT,
  ScopedExecutionRequired,
  type ScopedExecutionResult,
} from '@hoc/controls/schemas';
import {
  assertId,
  assertInt,
  assertJsonObject,
  assertList,
  assertObject,
  assertOneOf,
  deepFreeze,
  HocError,
  invalid,
  type ReadDeps,
  textFault,
} from '@hoc/shared/kernel';
import { clampFraction, elapsedMs, executeScoped, failedExecution, isAtLeastAsRisky } from '../scoped-execution.rules';

/**
 * One trial of a recovery action on a part of the world. Pure arithmetic on the action's description: nothing is performed,
 * and nothing is stored.
 *
 * @see scoped_execution.py, ScopedExecutionContext
 */
export class ScopedExecutionContext {
  /** Within 0.01–1. */
  readonly scopeFraction: number;
  readonly scope: ExecutionScope;
  readonly timeoutMs: number;

  /** @throws InvalidArgumentError for a scope that doesn't exist, a fraction that isn't finite, a timeout out of 1–600,000 ms */
  constructor(
    readonly action: RecoveryAction,
    private readonly deps: ReadDeps,
    scope: ExecutionScope = 'dry_run',
    scopeFraction: number = SCOPE_FRACTION_DEFAULT,
    timeoutMs: number = RECOVERY_TIMEOUT_DEFAULT,
  ) {
    assertObject(action, 'action');
    this.scope = assertOneOf(scope, EXECUTION_SCOPES, 'scope');
    this.scopeFraction = clampFraction(scopeFraction);
    this.timeoutMs = assertInt(timeoutMs, 'timeoutMs', 1, RECOVERY_TIMEOUT_MAX);
  }

  /** The outcome, frozen. Never rejects: what goes wrong inside is a failure with one violation, `Execution error: <code>`. */
  async execute(): Promise<ScopedExecutionResult> {
    const start = this.deps.clock.now();
    const elapsed = (): number => elapsedMs(start, null, this.deps.clock.now());
    try {
      const outcome = executeScoped(this.action, this.scope, this.scopeFraction);
      return deepFreeze({ ...outcome, durationMs: elapsed() });
    } catch (error) {
      return failedExecution(HocError.is(error) ? error.code : 'INTERNAL', elapsed());
    }
  }
}

/** Where a function under {@link requiresScopedExecution} is told to go without a scope. */
export interface ScopeOptions {
  readonly skipScope?: boolean;
}

/**
 * Wraps a function on a recovery action: asked to skip the scope, it refuses actions of the threshold's risk and above, and
 * the function isn't called. Otherwise it runs with its own arguments.
 *
 * @throws InvalidArgumentError at once for a risk class that doesn't exist
 * @see scoped_execution.py, requires_scoped_execution
 */
export function requiresScopedExecution(
  riskThreshold: RiskClass = 'medium',
): <A extends RecoveryAction, R extends unknown[], T>(
  fn: (action: A, ...rest: R) => Promise<T>,
) => (action: A, options: ScopeOptions, ...rest: R) => Promise<T> {
  assertOneOf(riskThreshold, RISK_CLASSES, 'riskThreshold');
  return (fn) =>
    async (action, options, ...rest) => {
      if (options.skipScope === true && isAtLeastAsRisky(action.riskClass, riskThreshold))
        throw new ScopedExecutionRequired(
          `the action ${action.name} of risk class ${action.riskClass} needs a scope: from ${riskThreshold} on none goes without`,
          { action: action.name, riskClass: action.riskClass, threshold: riskThreshold },
        );
      return fn(action, ...rest);
    };
}

/** Always rejects with ScopedExecutionRequired: for a path on which nothing goes without a scope. @see scoped_execution.py, validate_scope_required */
export async function validateScopeRequired(incidentId: string, action: string): Promise<never> {
  throw new ScopedExecutionRequired('this action needs a scope that is bound to the incident', { action, incidentId });
}

/**
 * Tries an action by the plain words of an API. Frozen.
 *
 * @throws InvalidArgumentError naming the field: an unknown risk class or scope, a fraction that isn't finite, parameters
 * that aren't JSON
 * @see scoped_execution.py, test_recovery_scope
 */
export async function testRecoveryScope(input: RecoveryScopeTestInput, deps: ReadDeps): Promise<RecoveryScopeTest> {
  assertObject(input, 'input');
  const riskClass = assertOneOf<RiskClass>(input.riskClass, RISK_CLASSES, 'riskClass');
  const scopeType = assertOneOf<ExecutionScope>(input.scopeType ?? 'dry_run', EXECUTION_SCOPES, 'scopeType');
  const agents = assertList(input.targetAgents ?? [], 'targetAgents', SCOPE_AGENTS_MAX);
  const action: RecoveryAction = deepFreeze({
    id: assertId(input.actionId, 'actionId'),
    name: assertId(input.actionName, 'actionName', NAME_MAX),
    riskClass,
    actionType: assertActionType(input.actionType),
    parameters: assertJsonObject(input.parameters, 'parameters'),
    targetAgents: agents.map((agent) => assertId(agent, 'targetAgents')),
    timeoutMs: RECOVERY_TIMEOUT_DEFAULT,
  });
  const result = await new ScopedExecutionContext(action, deps, scopeType, input.scopeFraction).execute();
  return deepFreeze({ ...result, riskClass, scopeType });
}

/** An empty one is a violation that the trial reports, and no bad argument. */
function assertActionType(value: unknown): string {
  if (textFault(value, 0, TYPE_MAX) !== null)
    throw invalid('actionType', 'text', `actionType must be a text of at most ${TYPE_MAX} characters`);
  return value as string;
}

const NAME_MAX = 200;
const TYPE_MAX = 100;
