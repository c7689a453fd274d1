import { type Statement, statement } from '@hoc/shared/drivers';

/** A run's risk level. */
export const RISK_LEVEL: Statement<{ readonly risk_level: string }> = statement(
  'risk_level',
  'SELECT risk_level FROM runs WHERE tenant_id = $1 AND id = $2',
);

/** A run's risk level before and after. */
export interface RiskColumns {
  readonly id: string;
  readonly previous: string;
  readonly current: string;
}

/** The order of levels, as the index `ix_runs_tenant_risk_rank` has it. */
const rank = (level: string): string =>
  `CASE ${level} WHEN 'VIOLATED' THEN 3 WHEN 'AT_RISK' THEN 2 WHEN 'NEAR_THRESHOLD' THEN 1 ELSE 0 END`;

/**
 * $1 tenant, $2 run ids, $3 the level that each run's signals ask for, $4 clock. Rows are locked in id order and read
 * when locked, so that concurrent calls end at the highest level of all; a level that isn't higher writes nothing.
 * The lock is the one that an UPDATE takes: FOR UPDATE would also exclude whoever records a child of the run, and two
 * units of work that each record a child and then raise the parent would deadlock.
 */
export const RAISE: Statement<RiskColumns> = statement(
  'raise_risk_levels',
  `WITH held AS MATERIALIZED (
     SELECT r.id, r.risk_level AS previous, u.level
     FROM unnest($2::text[], $3::text[]) AS u(id, level)
     JOIN runs r ON r.tenant_id = $1 AND r.id = u.id
     ORDER BY r.id
     FOR NO KEY UPDATE OF r
   ), raised AS (
     UPDATE runs r SET risk_level = h.level, updated_at = $4::timestamptz
     FROM held h
     WHERE r.tenant_id = $1 AND r.id = h.id AND ${rank('h.level')} > ${rank('h.previous')}
     RETURNING r.id, r.risk_level
   )
   SELECT h.id, h.previous, COALESCE(x.risk_level, h.previous) AS current
   FROM held h LEFT JOIN raised x ON x.id = h.id`,
  { replan: true },
);
