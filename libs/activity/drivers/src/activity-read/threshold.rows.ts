import type { ThresholdSignalRow } from '@hoc/activity/schemas';
import { DataIntegrityError, RUN_STATES } from '@hoc/shared/kernel';
import { storedValue } from '@hoc/shared/drivers';
import { toOutcome, toPolicyContext, toProximity } from './policy-context.rows';
import type { ThresholdColumns } from './threshold.query';

export function toThresholdSignal(row: ThresholdColumns): ThresholdSignalRow {
  const evaluationOutcome = toOutcome(row.outcome);
  if (row.limit_type === null || evaluationOutcome === 'ADVISORY')
    throw new DataIntegrityError('a threshold signal without a threshold', {
      details: { field: 'limitType', reason: 'unknown_value' },
    });
  return Object.freeze({
    runId: row.id,
    state: storedValue(row.state, RUN_STATES, 'state'),
    startedAt: row.started_at,
    limitType: row.limit_type,
    proximityPct: toProximity(row.proximity),
    evaluationOutcome,
    policyContext: toPolicyContext(row),
  });
}
