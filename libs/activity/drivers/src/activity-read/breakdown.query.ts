import { RUN_DIMENSIONS, type RunDimension } from '@hoc/activity/schemas';
import { assertOneOf } from '@hoc/shared/kernel';
import type { Conditions } from './conditions.rules';

/** Looked up by own keys only, after the list of dimensions let it through. */
const COLUMN: Readonly<Record<RunDimension, string>> = Object.freeze({
  riskLevel: 'risk_level',
  latencyBucket: 'latency_bucket',
  evidenceHealth: 'evidence_health',
  integrityStatus: 'integrity_status',
  source: 'source',
  providerType: 'provider_type',
  status: 'status',
  state: 'state',
  agentId: 'agent_id',
});

/** @throws InvalidArgumentError naming `dimension` */
export const checkDimension = (dimension: RunDimension): RunDimension =>
  assertOneOf(dimension, RUN_DIMENSIONS, 'dimension');

/** A group, and how many runs all groups have, also those beyond the limit. */
export interface GroupColumns {
  readonly value: string;
  readonly n: string;
  readonly total: string;
}

/** Grouped by the value that is shown, so that NULL and a literal `unknown` are one group. */
export const breakdown = (conditions: Conditions, dimension: RunDimension, limit: number): string => `
  SELECT COALESCE(r.${COLUMN[dimension]}, 'unknown') COLLATE "C" AS value, count(*) AS n, sum(count(*)) OVER () AS total
  FROM runs r
  WHERE ${conditions.sql}
  GROUP BY 1
  ORDER BY n DESC, value
  LIMIT ${conditions.bind(limit)}`;
