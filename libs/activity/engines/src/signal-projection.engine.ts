import {
  type AtRiskRunRow,
  severityFromRiskLevel,
  type SeverityLevel,
  type SignalProjection,
  type SignalType,
} from '@hoc/activity/schemas';
import type { RiskLevel } from '@hoc/shared/kernel';
import { computeSignalFingerprint } from './signal-identity.engine';

/** Risk levels under each label. */
export const RISK_LEVELS_OF_SEVERITY: Readonly<Record<SeverityLevel, readonly RiskLevel[]>> = Object.freeze({
  high: Object.freeze(['VIOLATED'] as const),
  medium: Object.freeze(['AT_RISK'] as const),
  low: Object.freeze(['NORMAL', 'NEAR_THRESHOLD'] as const),
});

/**
 * What the signal of a run at risk is about, the first that holds: the limit that it breaches or nears, a breach of
 * policy, missing evidence, its risk level, its incidents.
 */
export function signalTypeOf(row: AtRiskRunRow): SignalType {
  const { evaluationOutcome, riskType } = row.policyContext;
  if ((evaluationOutcome === 'BREACH' || evaluationOutcome === 'NEAR_THRESHOLD') && riskType !== null)
    return SIGNAL_OF_RISK[riskType];
  if (row.riskLevel === 'VIOLATED' || row.policyViolation) return 'policy_breach';
  if (row.evidenceHealth !== 'FLOWING') return 'evidence_degraded';
  if (row.riskLevel !== 'NORMAL') return 'threshold_proximity';
  return 'reliability';
}

const SIGNAL_OF_RISK = Object.freeze({
  COST: 'cost_risk',
  TIME: 'time_risk',
  TOKENS: 'token_risk',
  RATE: 'rate_risk',
  OTHER: 'threshold_proximity',
} as const);

/** A run at risk as a signal; nobody's feedback on it is known yet. */
export function toSignal(row: AtRiskRunRow): SignalProjection {
  const signalType = signalTypeOf(row);
  const signalFingerprint = computeSignalFingerprint({
    signalType,
    dimension: `run:${row.runId}`,
    source: row.source,
    tenantId: row.tenantId,
  });
  return {
    signalId: `sig-${signalFingerprint}`,
    signalFingerprint,
    runId: row.runId,
    signalType,
    severity: severityFromRiskLevel(row.riskLevel),
    summary: `run ${row.runId}: ${signalType} (${row.riskLevel})`,
    policyContext: row.policyContext,
    createdAt: row.startedAt ?? row.createdAt,
    feedback: null,
  };
}
