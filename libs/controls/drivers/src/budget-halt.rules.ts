import type { NewBudgetDecision } from '@hoc/controls/schemas';
import { compareDecimal, type JsonObject } from '@hoc/shared/kernel';

type Amounts = Pick<NewBudgetDecision, 'budgetLimitCents' | 'budgetConsumedCents'>;

/** What the record of a halt says in words: the sentence that the executor leaves in the run, amounts in canonical form. */
export const budgetHaltReason = ({ budgetLimitCents, budgetConsumedCents }: Amounts): string =>
  `Hard budget limit reached: ${budgetConsumedCents}c consumed >= ${budgetLimitCents}c limit`;

/** What it was decided on; amounts as text, because a JSON number doesn't hold every one of them. */
export const budgetHaltInputs = (decision: NewBudgetDecision): JsonObject => ({
  budget_limit_cents: decision.budgetLimitCents,
  budget_consumed_cents: decision.budgetConsumedCents,
  step_cost_cents: decision.stepCostCents,
  completed_steps: decision.completedSteps,
  total_steps: decision.totalSteps,
});

/** Where the run stopped, and how much of its plan is left; a run may do more than it planned. */
export const budgetHaltDetails = ({
  completedSteps,
  totalSteps,
}: Pick<NewBudgetDecision, 'completedSteps' | 'totalSteps'>): JsonObject => ({
  enforcement_mode: 'hard',
  halt_point: `after_step_${completedSteps}`,
  remaining_steps: Math.max(0, totalSteps - completedSteps),
});

/**
 * Whether two decisions on one run are the same. Only the two amounts are its content: a sweep, which reads them in the
 * run's message, doesn't know what the last step cost.
 */
export const isSameBudgetDecision = (a: Amounts, b: Amounts): boolean =>
  compareDecimal(a.budgetLimitCents, b.budgetLimitCents) === 0 &&
  compareDecimal(a.budgetConsumedCents, b.budgetConsumedCents) === 0;
