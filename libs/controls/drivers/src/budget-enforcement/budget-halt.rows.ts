import { assertAmount, type BudgetDecision, type PendingBudgetHalt } from '@hoc/controls/schemas';
import {
  DataIntegrityError,
  type DecimalString,
  deepFreeze,
  HocError,
  type JsonObject,
  type JsonValue,
  toSafeInteger,
} from '@hoc/shared/kernel';
import { budgetHaltDetails, budgetHaltReason } from '../budget-halt.rules';
import type { DecisionColumns, PendingHaltColumns } from './budget-halt.query';
import type { DecisionRecord } from './new-decision.rules';

/** The JSON columns of a run have no shape of their own: what is no plan, or no list of calls, is none. */
export const toPendingHalt = (row: PendingHaltColumns): PendingBudgetHalt =>
  deepFreeze({
    runId: row.id,
    tenantId: row.tenant_id,
    errorMessage: row.error_message,
    planJson: isObject(row.plan_json) ? row.plan_json : null,
    toolCallsJson: Array.isArray(row.tool_calls_json) ? row.tool_calls_json : null,
    haltedAt: row.halted_at,
  });

/** @throws DataIntegrityError for a row of another writer that doesn't say its amounts and counts */
export function toBudgetDecision(row: DecisionColumns): BudgetDecision {
  const inputs = row.decision_inputs;
  const amounts = {
    budgetLimitCents: storedAmount(inputs, 'budget_limit_cents'),
    budgetConsumedCents: storedAmount(inputs, 'budget_consumed_cents'),
  };
  return deepFreeze({
    tenantId: row.tenant_id,
    runId: row.run_id,
    ...amounts,
    stepCostCents: storedAmount(inputs, 'step_cost_cents'),
    completedSteps: toSafeInteger(inputs['completed_steps'], 'completed_steps'),
    totalSteps: toSafeInteger(inputs['total_steps'], 'total_steps'),
    decisionId: row.id,
    reason: row.decision_reason ?? budgetHaltReason(amounts),
    decidedAt: row.decided_at,
    details: row.details,
  });
}

/** A record that has just been inserted, as it would be read. */
export function toNewBudgetDecision(
  { index: _index, id, ...decision }: DecisionRecord,
  decidedAt: Date,
): BudgetDecision {
  return deepFreeze({
    ...decision,
    decisionId: id,
    reason: budgetHaltReason(decision),
    decidedAt: new Date(decidedAt.getTime()),
    details: budgetHaltDetails(decision),
  });
}

function storedAmount(inputs: JsonObject, field: string): DecimalString {
  try {
    return assertAmount(inputs[field], field);
  } catch (error) {
    if (!HocError.is(error)) throw error;
    throw new DataIntegrityError(`a stored decision has no ${field}`, { details: { field, reason: 'decimal' } });
  }
}

const isObject = (value: JsonValue): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
