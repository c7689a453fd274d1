import type { AttentionItem, SignalProjection } from '@hoc/activity/schemas';
import { assertInt, assertObject, invalid, type RiskLevel } from '@hoc/shared/kernel';

/** How far back signals compete for attention. */
export const ATTENTION_WINDOW_HOURS = 168;
/** Signals that are ranked, at most: the newest. */
export const ATTENTION_CANDIDATES_MAX = 1000;
/** The severity of a risk level in a score. */
export const RISK_SEVERITY_SCORE: Readonly<Record<RiskLevel, number>> = Object.freeze({
  VIOLATED: 0.9,
  AT_RISK: 0.6,
  NEAR_THRESHOLD: 0.3,
  NORMAL: 0.1,
});

/** The occurrences from which a signal type counts as frequent. */
const FREQUENT = 10;
const HOUR_MS = 3_600_000;

/**
 * How much a signal needs somebody, from 0 to 1: `0.4·severity + 0.3·max(0, 1 − recencyHours/168) + 0.3·min(1,
 * patternFrequency/10)`. A negative recency (a clock ahead) counts as now.
 * @throws InvalidArgumentError for a severity outside 0–1, a frequency that is no whole number, or what isn't finite
 */
export function computeAttentionScore(input: {
  readonly severity: number;
  readonly recencyHours: number;
  readonly patternFrequency: number;
}): number {
  assertObject(input, 'input');
  const { severity, recencyHours, patternFrequency } = input;
  if (typeof severity !== 'number' || !(severity >= 0 && severity <= 1))
    throw invalid('severity', 'range', 'severity must be a number from 0 to 1');
  if (typeof recencyHours !== 'number' || !Number.isFinite(recencyHours))
    throw invalid('recencyHours', 'finite', 'recencyHours must be a finite number');
  assertInt(patternFrequency, 'patternFrequency', 0, Number.MAX_SAFE_INTEGER);
  const recency = Math.max(0, 1 - Math.max(0, recencyHours) / ATTENTION_WINDOW_HOURS);
  return Math.min(1, 0.4 * severity + 0.3 * recency + 0.3 * Math.min(1, patternFrequency / FREQUENT));
}

/** A signal and the risk level of its run. */
export interface AttentionCandidate {
  readonly signal: Omit<SignalProjection, 'feedback' | 'policyContext' | 'summary' | 'signalFingerprint'>;
  readonly riskLevel: RiskLevel;
}

/** Candidates by score, then by time, the newest first, then by run; those below `minScore` left out. */
export function rankByAttention(
  candidates: readonly AttentionCandidate[],
  { now, minScore, limit }: { readonly now: Date; readonly minScore: number; readonly limit: number },
): readonly AttentionItem[] {
  const frequency = new Map<string, number>();
  for (const { signal } of candidates) frequency.set(signal.signalType, (frequency.get(signal.signalType) ?? 0) + 1);
  const scored = candidates.map((candidate) => toItem(candidate, frequency.get(candidate.signal.signalType) ?? 0, now));
  return scored
    .filter((item) => item.attentionScore >= minScore)
    .sort(
      (a, b) =>
        b.attentionScore - a.attentionScore ||
        b.createdAt.getTime() - a.createdAt.getTime() ||
        (a.runId < b.runId ? -1 : 1),
    )
    .slice(0, limit);
}

function toItem({ signal, riskLevel }: AttentionCandidate, patternFrequency: number, now: Date): AttentionItem {
  const severity = RISK_SEVERITY_SCORE[riskLevel];
  const recencyHours = Math.max(0, (now.getTime() - signal.createdAt.getTime()) / HOUR_MS);
  return Object.freeze({
    signalId: signal.signalId,
    signalType: signal.signalType,
    runId: signal.runId,
    severity: signal.severity,
    attentionScore: computeAttentionScore({ severity, recencyHours, patternFrequency }),
    attentionReason: `severity=${severity} recencyHours=${recencyHours.toFixed(1)} frequency=${patternFrequency}`,
    createdAt: signal.createdAt,
  });
}
