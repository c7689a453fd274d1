import type { ActivityMetricsRow } from '@hoc/activity/schemas';
import { toSafeInteger } from '@hoc/shared/kernel';
import { policyContext, RISK_TYPE } from './policy-context.query';
import type { Conditions } from './conditions.rules';

/** What each count counts. A risk type counts only where its limit is breached or near (ranks 0 and 2). */
const COUNTS: Readonly<Record<keyof ActivityMetricsRow, string>> = {
  atRiskCount: `r.risk_level = 'AT_RISK'`,
  violatedCount: `r.risk_level = 'VIOLATED'`,
  nearThresholdCount: `r.risk_level = 'NEAR_THRESHOLD'`,
  totalAtRisk: `r.risk_level <> 'NORMAL'`,
  liveCount: `r.state = 'LIVE'`,
  completedCount: `r.state = 'COMPLETED'`,
  evidenceFlowingCount: `r.evidence_health = 'FLOWING'`,
  evidenceDegradedCount: `r.evidence_health = 'DEGRADED'`,
  evidenceMissingCount: `r.evidence_health = 'MISSING'`,
  costRiskCount: ofType('COST'),
  timeRiskCount: ofType('TIME'),
  tokenRiskCount: ofType('TOKENS'),
  rateRiskCount: ofType('RATE'),
};

function ofType(type: string): string {
  return `pc.outcome IN (0, 2) AND ${RISK_TYPE} = '${type}'`;
}

/** One row: each count under its name. */
export type MetricsColumns = Readonly<Record<keyof ActivityMetricsRow, string>>;

/** 13 counts over the runs of the conditions. `ratio` is bound already. */
export const metrics = (conditions: Conditions, ratio: string): string => `
  SELECT ${Object.entries(COUNTS)
    .map(([name, condition]) => `count(*) FILTER (WHERE ${condition}) AS "${name}"`)
    .join(', ')}
  FROM runs r LEFT JOIN LATERAL ${policyContext(ratio)} ON true
  WHERE ${conditions.sql}`;

/** An aggregate always has a row. */
export function toMetrics([row]: readonly MetricsColumns[]): ActivityMetricsRow {
  const read = (name: keyof ActivityMetricsRow): number => toSafeInteger(row?.[name], name);
  return Object.freeze({
    atRiskCount: read('atRiskCount'),
    violatedCount: read('violatedCount'),
    nearThresholdCount: read('nearThresholdCount'),
    totalAtRisk: read('totalAtRisk'),
    liveCount: read('liveCount'),
    completedCount: read('completedCount'),
    evidenceFlowingCount: read('evidenceFlowingCount'),
    evidenceDegradedCount: read('evidenceDegradedCount'),
    evidenceMissingCount: read('evidenceMissingCount'),
    costRiskCount: read('costRiskCount'),
    timeRiskCount: read('timeRiskCount'),
    tokenRiskCount: read('tokenRiskCount'),
    rateRiskCount: read('rateRiskCount'),
  });
}
