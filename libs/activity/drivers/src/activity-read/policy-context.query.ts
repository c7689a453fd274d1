/** The limit that bounds a run most; all null where none holds for it. */
export interface PolicyColumns {
  readonly limit_id: string | null;
  readonly limit_name: string | null;
  readonly limit_scope: string | null;
  readonly limit_type: string | null;
  readonly max_value: string | null;
  readonly actual: string | null;
  /** 0–4, the worst first: see {@link OUTCOMES_BY_RANK}. */
  readonly outcome: number | null;
  readonly proximity: string | null;
}

/** {@link PolicyColumns} of the alias `pc`. */
export const POLICY_COLUMNS =
  'pc.limit_id, pc.limit_name, pc.limit_scope, pc.limit_type, pc.max_value, pc.actual, pc.outcome, pc.proximity';

/** A limit of each type is compared with its own figure; one that no figure belongs to is advisory. */
const ACTUAL = `CASE
    WHEN l.limit_type LIKE 'COST%' THEN r.estimated_cost_cents
    WHEN l.limit_type = 'TOKENS_INPUT' THEN r.input_tokens::numeric
    WHEN l.limit_type = 'TOKENS_OUTPUT' THEN r.output_tokens::numeric
    WHEN l.limit_type LIKE 'TOKEN%' AND (r.input_tokens IS NOT NULL OR r.output_tokens IS NOT NULL)
      THEN COALESCE(r.input_tokens, 0)::numeric + COALESCE(r.output_tokens, 0)::numeric
    WHEN l.limit_type LIKE 'TIME%' OR l.limit_type LIKE 'LATENCY%' THEN r.duration_ms::numeric
  END`;

/** In the order of the rule: the first that holds. `ratio` is the placeholder of the near-threshold ratio. */
const outcome = (ratio: string): string => `CASE
    WHEN b.any_hard THEN 0
    WHEN NOT b.any_hard THEN 1
    WHEN a.actual IS NULL THEN 4
    WHEN a.actual > 0 AND a.actual >= l.max_value THEN 0
    WHEN l.max_value > 0 AND a.actual >= l.max_value * ${ratio}::numeric THEN 2
    ELSE 3
  END`;

/**
 * The one limit to show for the run `r`: the worst outcome, then the nearest, then the narrowest scope, then the id. All
 * breaches of a (run, limit) are one fact here, so that a run comes once however often it breached.
 */
export const policyContext = (ratio: string): string => `(
  SELECT l.id AS limit_id, l.name AS limit_name, l.scope AS limit_scope, l.limit_type, l.max_value, a.actual,
         ${outcome(ratio)} AS outcome,
         CASE WHEN l.max_value > 0 THEN round(a.actual / l.max_value * 100, 1) END AS proximity
  FROM limits l
  CROSS JOIN LATERAL (SELECT ${ACTUAL} AS actual) AS a
  CROSS JOIN LATERAL (
    SELECT bool_or(breach_type <> 'OVERRIDDEN') AS any_hard
    FROM limit_breaches
    WHERE tenant_id = r.tenant_id AND run_id = r.id AND limit_id = l.id
  ) AS b
  WHERE l.tenant_id = $1 AND l.status = 'ACTIVE' AND l.limit_category = 'THRESHOLD'
    AND (l.scope IN ('GLOBAL', 'TENANT')
      OR l.scope_id = CASE l.scope WHEN 'PROJECT' THEN r.project_id WHEN 'AGENT' THEN r.agent_id WHEN 'PROVIDER' THEN r.provider_type END)
  ORDER BY outcome, proximity DESC NULLS LAST,
    CASE l.scope WHEN 'AGENT' THEN 0 WHEN 'PROJECT' THEN 1 WHEN 'PROVIDER' THEN 2 WHEN 'TENANT' THEN 3 ELSE 4 END, l.id
  LIMIT 1
) AS pc`;

/** The risk type of a limit, as `riskTypeOfLimit` says it. */
export const RISK_TYPE = `CASE
    WHEN pc.limit_type LIKE 'COST%' THEN 'COST'
    WHEN pc.limit_type LIKE 'TOKEN%' THEN 'TOKENS'
    WHEN pc.limit_type LIKE 'TIME%' OR pc.limit_type LIKE 'LATENCY%' THEN 'TIME'
    WHEN pc.limit_type LIKE 'REQUEST%' THEN 'RATE'
    ELSE 'OTHER'
  END`;
