import { assertAmount, BUDGET_DECISIONS_MAX, type NewBudgetDecision } from '@hoc/controls/schemas';
import {
  assertId,
  assertInt,
  assertList,
  assertObject,
  assertTenantId,
  type IdGenerator,
  invalid,
  InvalidArgumentError,
} from '@hoc/shared/kernel';

/** A checked decision, the id that it gets if it is new, and its place in the caller's list. */
export interface DecisionRecord extends NewBudgetDecision {
  readonly index: number;
  readonly id: string;
}

/**
 * The caller's decisions, amounts in canonical form.
 * @throws TenantScopeError, or InvalidArgumentError naming the field with `details.index`, also for a run that is there twice
 */
export function toDecisionRecords(
  decisions: readonly NewBudgetDecision[],
  ids: IdGenerator,
): readonly DecisionRecord[] {
  const runs = new Set<string>();
  return assertList(decisions, 'decisions', BUDGET_DECISIONS_MAX).map((given, index) => {
    try {
      const record = { ...toDecision(given), index, id: ids.next() };
      const run = runKey(record);
      if (runs.has(run)) throw invalid('runId', 'duplicate', 'a run is halted once: it has one decision');
      runs.add(run);
      return record;
    } catch (error) {
      if (!InvalidArgumentError.is(error)) throw error;
      throw new InvalidArgumentError(error.message, { details: { ...error.details, index } });
    }
  });
}

/** Tells runs of all tenants apart: neither id may hold the character between them. */
export const runKey = ({ tenantId, runId }: Pick<NewBudgetDecision, 'tenantId' | 'runId'>): string =>
  `${tenantId}\n${runId}`;

function toDecision(given: unknown): NewBudgetDecision {
  const decision = assertObject(given, 'decision');
  const count = (field: 'completedSteps' | 'totalSteps'): number =>
    assertInt(decision[field], field, 0, Number.MAX_SAFE_INTEGER);
  return {
    tenantId: assertTenantId(decision['tenantId']),
    runId: assertId(decision['runId'], 'runId'),
    budgetLimitCents: assertAmount(decision['budgetLimitCents'], 'budgetLimitCents'),
    budgetConsumedCents: assertAmount(decision['budgetConsumedCents'], 'budgetConsumedCents'),
    stepCostCents: assertAmount(decision['stepCostCents'], 'stepCostCents'),
    completedSteps: count('completedSteps'),
    totalSteps: count('totalSteps'),
  };
}
