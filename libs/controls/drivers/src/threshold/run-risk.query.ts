import { type Statement, statement } from '@hoc/shared/drivers';

/** The order of levels, as the index `ix_runs_tenant_risk_rank` has it. */
const rank = (level: string): string =>
  `CASE ${level} WHEN 'VIOLATED' THEN 3 WHEN 'AT_RISK' THEN 2 WHEN 'NEAR_THRESHOLD' THEN 1 ELSE 0 END`;

/**
 * $1 tenant, $2 run, $3 level, $4 clock: the run's level afterwards. The row is read when it is locked, so that concurrent
 * calls end at the highest level of all; a level that isn't higher writes nothing. FOR NO KEY UPDATE: whoever records a
 * child of the run doesn't wait.
 */
export const RAISE_RISK: Statement<{ readonly risk_level: string }> = statement(
  'raise_threshold_risk',
  `WITH held AS MATERIALIZED (
     SELECT risk_level FROM runs WHERE tenant_id = $1 AND id = $2 FOR NO KEY UPDATE
   ), raised AS (
     UPDATE runs r SET risk_level = $3::text, updated_at = $4::timestamptz
     FROM held h
     WHERE r.tenant_id = $1 AND r.id = $2 AND ${rank('$3::text')} > ${rank('h.risk_level')}
     RETURNING r.risk_level
   )
   SELECT COALESCE(x.risk_level, h.risk_level) AS risk_level FROM held h LEFT JOIN raised x ON true`,
  { replan: true },
);
