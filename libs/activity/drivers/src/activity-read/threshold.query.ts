import type { EvaluationOutcome, RiskType, ThresholdSignalFilter } from '@hoc/activity/schemas';
import { EVALUATION_OUTCOMES, RISK_TYPES } from '@hoc/activity/schemas';
import { assertObject, assertOneOf, invalid } from '@hoc/shared/kernel';
import type { KeysetRequest } from '@hoc/shared/drivers';
import type { Conditions } from './conditions.rules';
import { POLICY_COLUMNS, policyContext, type PolicyColumns, RISK_TYPE } from './policy-context.query';
import { addRunFilter, checkRunFilter } from './run-filter.rules';

/** A run that a threshold was evaluated for. */
export interface ThresholdColumns extends PolicyColumns {
  readonly id: string;
  readonly state: string;
  readonly started_at: Date | null;
}

const ADVISORY = EVALUATION_OUTCOMES.indexOf('ADVISORY');
const SHOWN = EVALUATION_OUTCOMES.filter((outcome) => outcome !== 'ADVISORY');

/** @throws InvalidArgumentError naming the field */
export function checkThresholdFilter(filter: ThresholdSignalFilter): ThresholdSignalFilter {
  assertObject(filter, 'filter');
  const { riskType, evaluationOutcome, ...ofRuns } = filter;
  checkRunFilter(ofRuns);
  for (const key of Object.keys(ofRuns))
    if (!OF_RUNS.has(key)) throw invalid('filter', 'unknown_key', 'the filter has an unknown key');
  if (riskType !== undefined) assertOneOf<RiskType>(riskType, RISK_TYPES, 'riskType');
  if (evaluationOutcome !== undefined) assertOneOf<EvaluationOutcome>(evaluationOutcome, SHOWN, 'evaluationOutcome');
  return filter;
}

const OF_RUNS: ReadonlySet<string> = new Set(['projectId', 'state', 'startedFrom', 'startedTo']);

/** Runs under the filter with their limit, evaluated; those that no figure is known for are not among them. */
function evaluated(conditions: Conditions, filter: ThresholdSignalFilter, ratio: string): string {
  const { riskType, evaluationOutcome, ...ofRuns } = filter;
  addRunFilter(conditions, ofRuns);
  const source = `FROM runs r CROSS JOIN LATERAL ${policyContext(conditions.bind(ratio))}`;
  conditions.addFixed(`pc.outcome <> ${ADVISORY}`);
  if (riskType !== undefined) conditions.add(riskType, (n) => `${RISK_TYPE} = ${n}`);
  if (evaluationOutcome !== undefined)
    conditions.add(EVALUATION_OUTCOMES.indexOf(evaluationOutcome), (n) => `pc.outcome = ${n}::integer`);
  return source;
}

/** No proximity (a zero threshold with a breach) is last: no proximity is below 0. */
const KEY = 'COALESCE(pc.proximity, -1)';

/** A page, the nearest to its limit first. */
export function pageOfThresholds(
  conditions: Conditions,
  filter: ThresholdSignalFilter,
  ratio: string,
  request: KeysetRequest,
): string {
  const source = evaluated(conditions, filter, ratio);
  if (request.after !== null) {
    const [proximity = null, id = ''] = request.after;
    const [at, last] = [conditions.bind(proximity), conditions.bind(id)];
    conditions.addPosition(`(${KEY}, r.id) < (COALESCE(${at}::numeric, -1), ${last})`);
  }
  return `SELECT r.id, r.state, r.started_at, ${POLICY_COLUMNS}
    ${source}
    WHERE ${conditions.sql}
    ORDER BY ${KEY} DESC, r.id DESC
    LIMIT ${conditions.bind(request.limit + 1)}`;
}

/** How many there are. */
export function countOfThresholds(conditions: Conditions, filter: ThresholdSignalFilter, ratio: string): string {
  const source = evaluated(conditions, filter, ratio);
  return `SELECT count(*) AS n ${source} WHERE ${conditions.sql}`;
}
