import {
  EVALUATION_OUTCOMES,
  type EvaluationOutcome,
  type PolicyContext,
  riskTypeOfLimit,
  SYSTEM_DEFAULT_POLICY,
  thresholdUnitOfLimit,
} from '@hoc/activity/schemas';
import { DataIntegrityError, fromPgNumeric, LIMIT_SCOPES } from '@hoc/shared/kernel';
import { storedValue } from '@hoc/shared/drivers';
import type { PolicyColumns } from './policy-context.query';

export function toPolicyContext(row: PolicyColumns): PolicyContext {
  if (row.limit_id === null) return NO_LIMIT;
  const scope = storedValue(row.limit_scope ?? '', LIMIT_SCOPES, 'policyScope');
  const limitType = row.limit_type ?? '';
  return Object.freeze({
    policyId: row.limit_id,
    policyName: row.limit_name ?? '',
    policyScope: scope,
    limitType,
    thresholdValue: fromPgNumeric(row.max_value, 'thresholdValue'),
    thresholdUnit: thresholdUnitOfLimit(limitType),
    thresholdSource: scope === 'GLOBAL' ? 'SYSTEM_DEFAULT' : 'TENANT_OVERRIDE',
    evaluationOutcome: toOutcome(row.outcome),
    actualValue: fromPgNumeric(row.actual, 'actualValue'),
    riskType: riskTypeOfLimit(limitType),
    proximityPct: toProximity(row.proximity),
  });
}

/** A run that no limit holds for. */
const NO_LIMIT: PolicyContext = Object.freeze({
  ...SYSTEM_DEFAULT_POLICY,
  policyScope: 'GLOBAL',
  limitType: null,
  thresholdValue: null,
  thresholdUnit: null,
  thresholdSource: 'SYSTEM_DEFAULT',
  evaluationOutcome: 'ADVISORY',
  actualValue: null,
  riskType: null,
  proximityPct: null,
});

/** The statement ranks outcomes in the order of the list: the worst is 0. */
export function toOutcome(rank: number | null): EvaluationOutcome {
  const outcome = rank === null ? undefined : EVALUATION_OUTCOMES[rank];
  if (outcome === undefined)
    throw new DataIntegrityError('a limit was evaluated to no outcome', {
      details: { field: 'evaluationOutcome', reason: 'unknown_value' },
    });
  return outcome;
}

/** One decimal; a share of a tiny limit may be beyond what a float holds to the digit, and is then only a magnitude. */
export const toProximity = (text: string | null): number | null =>
  text === null ? null : Number(fromPgNumeric(text, 'proximityPct'));
