import type { JsonObject } from '@hoc/shared/kernel';
import { type Statement, statement } from '@hoc/shared/drivers';

/** A limit of a list, with its breaches and its verification. */
export interface LimitColumns {
  readonly id: string;
  readonly name: string;
  readonly limit_category: string;
  readonly limit_type: string;
  readonly scope: string;
  readonly scope_id: string | null;
  readonly enforcement: string;
  readonly status: string;
  readonly max_value: string;
  readonly window_seconds: number | null;
  readonly reset_period: string | null;
  readonly created_at: Date;
  readonly integrity_status: string | null;
  readonly integrity_score: number | null;
  readonly breach_count: string;
  readonly last_breached_at: Date | null;
}

/** A limit and its place in the list. */
export interface PositionedLimitColumns extends LimitColumns {
  readonly last_breached_position: string | null;
  readonly created_position: string;
}

/** A limit in full. */
export interface LimitDetailColumns extends LimitColumns {
  readonly description: string | null;
  readonly consequence: string | null;
  readonly measurement_window_seconds: number | null;
  readonly params: JsonObject;
  readonly version: number;
  readonly updated_at: Date;
}

const COLUMNS = `l.id, l.name, l.limit_category, l.limit_type, l.scope, l.scope_id, l.enforcement, l.status, l.max_value,
  l.window_seconds, l.reset_period, l.created_at`;

const position = (column: string): string => `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;

/**
 * $1 tenant, $2 category, $3 status, $4 scope, $5 enforcement, $6 type, $7 what the type begins with, $8 and $9 the range of
 * creation; null for what isn't asked. The list and its count are of this one predicate.
 */
const LIMITS_MATCH = `l.tenant_id = $1 AND l.limit_category = $2 AND l.status = $3
  AND ($4::text IS NULL OR l.scope = $4) AND ($5::text IS NULL OR l.enforcement = $5)
  AND ($6::text IS NULL OR l.limit_type = $6) AND ($7::text IS NULL OR starts_with(l.limit_type, $7))
  AND l.created_at >= $8::timestamptz AND l.created_at < $9::timestamptz`;

/** Breaches of one limit within a window: one range of `ix_limit_breaches_limit`, and nothing but the index. */
const breachesOf = (limit: string, from: string, to: string): string => `limit_breaches b
  WHERE b.tenant_id = $1 AND b.limit_id = ${limit} AND b.breached_at >= ${from}::timestamptz AND b.breached_at < ${to}::timestamptz`;

/**
 * $1–$9 as {@link LIMITS_MATCH}, $10 and $11 the window of breaches, $12–$14 where the page goes on, $15 limit.
 *
 * The order is by the last breach, so each of the tenant's limits is looked up in the index of breaches: once, for the
 * newest entry only. Breaches are counted, and verifications looked up, for the limits of the page alone. Planned anew: kept
 * from when the tables were small, a plan would go through all breaches for each limit.
 */
export const LIST_LIMITS: Statement<PositionedLimitColumns> = statement(
  'list_limits',
  `SELECT ${COLUMNS}, i.integrity_status, i.integrity_score, l.last_breached_at,
     CASE WHEN l.last_breached_at IS NULL THEN 0 ELSE (SELECT count(*) FROM ${breachesOf('l.id', '$10', '$11')}) END AS breach_count,
     ${position('l.last_breached_at')} AS last_breached_position, ${position('l.created_at')} AS created_position
   FROM (
     SELECT ${COLUMNS}, n.last_breached_at
     FROM limits l
     LEFT JOIN LATERAL (
       SELECT b.breached_at AS last_breached_at FROM ${breachesOf('l.id', '$10', '$11')}
       ORDER BY b.breached_at DESC
       LIMIT 1
     ) AS n ON true
     WHERE ${LIMITS_MATCH}
       AND (COALESCE(n.last_breached_at, '-infinity'), l.created_at, l.id) < ($12::timestamptz, $13::timestamptz, $14)
     ORDER BY COALESCE(n.last_breached_at, '-infinity') DESC, l.created_at DESC, l.id DESC
     LIMIT $15
   ) AS l
   LEFT JOIN LATERAL (
     SELECT integrity_status, integrity_score FROM limit_integrity WHERE tenant_id = $1 AND limit_id = l.id LIMIT 1
   ) AS i ON true
   ORDER BY COALESCE(l.last_breached_at, '-infinity') DESC, l.created_at DESC, l.id DESC`,
  { replan: true },
);

/** $1–$9 as {@link LIMITS_MATCH}. */
export const COUNT_LIMITS: Statement<{ readonly n: string }> = statement(
  'count_limits',
  `SELECT count(*) AS n FROM limits l WHERE ${LIMITS_MATCH}`,
  { replan: true },
);

/** $1 tenant, $2 limit, $3 and $4 the window of breaches. */
export const LIMIT_BY_ID: Statement<LimitDetailColumns> = statement(
  'limit_by_id',
  `SELECT ${COLUMNS}, i.integrity_status, i.integrity_score, n.last_breached_at, n.breach_count, l.description,
     l.consequence, l.measurement_window_seconds, l.params, l.version, l.updated_at
   FROM limits l
   LEFT JOIN limit_integrity i ON i.tenant_id = $1 AND i.limit_id = l.id
   CROSS JOIN LATERAL (
     SELECT count(*) AS breach_count, max(b.breached_at) AS last_breached_at FROM ${breachesOf('l.id', '$3', '$4')}
   ) AS n
   WHERE l.tenant_id = $1 AND l.id = $2`,
  { replan: true },
);

/** A limit that applies. */
export interface ApplyingLimitColumns {
  readonly id: string;
  readonly name: string;
  readonly limit_type: string;
  readonly scope: string;
  readonly scope_id: string | null;
  readonly max_value: string;
  readonly reset_period: string | null;
  readonly enforcement: string;
}

/**
 * One range of `ix_limits_scope_active`, the literal status being what its predicate asks for. In the order of that index,
 * which nobody sees: a limit without an order would let a plan look for so many rows in the limits of all tenants.
 */
const activeOf = (scope: string): string =>
  `(SELECT l.id, l.name, l.limit_type, l.scope, l.scope_id, l.max_value, l.reset_period, l.enforcement
    FROM limits l
    WHERE l.tenant_id = $1 AND l.limit_category = $2 AND l.status = 'ACTIVE' AND starts_with(l.limit_type, $3) AND ${scope}
    ORDER BY l.scope_id, l.created_at DESC, l.id DESC
    LIMIT $7)`;

/**
 * $1 tenant, $2 category, $3 what the type begins with, $4 project, $5 agent, $6 provider, null for one that isn't named,
 * $7 limit. A branch for each scope: as one condition with OR, it would be a filter on all limits of the category. The limit
 * stands before the order by id, so that it ends the reading: whoever gets as many rows as it refuses them, whichever they
 * are. Planned anew: a scope that isn't named is then no part of the plan.
 */
export const APPLYING_LIMITS: Statement<ApplyingLimitColumns> = statement(
  'applying_limits',
  `SELECT * FROM (
     ${activeOf(`l.scope = 'GLOBAL'`)}
     UNION ALL
     ${activeOf(`l.scope = 'TENANT'`)}
     UNION ALL
     ${activeOf(`l.scope = 'PROJECT' AND l.scope_id = $4::text`)}
     UNION ALL
     ${activeOf(`l.scope = 'AGENT' AND l.scope_id = $5::text`)}
     UNION ALL
     ${activeOf(`l.scope = 'PROVIDER' AND l.scope_id = $6::text`)}
     LIMIT $7
   ) AS l
   ORDER BY l.id`,
  { replan: true },
);

/** A budget and its place in the list. */
export interface BudgetColumns {
  readonly id: string;
  readonly name: string;
  readonly scope: string;
  readonly scope_id: string | null;
  readonly max_value: string;
  readonly reset_period: string | null;
  readonly enforcement: string;
  readonly status: string;
  readonly created_at: Date;
  readonly position: string;
}

/** $1 tenant, $2 status, $3 scope or null, $4 and $5 where the page goes on, $6 limit. In the order of the index. */
export const LIST_BUDGETS: Statement<BudgetColumns> = statement(
  'list_budgets',
  `SELECT l.id, l.name, l.scope, l.scope_id, l.max_value, l.reset_period, l.enforcement, l.status, l.created_at,
     ${position('l.created_at')} AS position
   FROM limits l
   WHERE l.tenant_id = $1 AND l.status = $2 AND l.limit_category = 'BUDGET' AND ($3::text IS NULL OR l.scope = $3)
     AND (l.created_at, l.id) < ($4::timestamptz, $5)
   ORDER BY l.created_at DESC, l.id DESC
   LIMIT $6`,
  { replan: true },
);

/** A breach of a run and its place in the list. */
export interface RunBreachColumns {
  readonly id: string;
  readonly limit_id: string;
  readonly limit_name: string;
  readonly limit_type: string;
  readonly value_at_breach: string | null;
  readonly limit_value: string;
  readonly max_value: string;
  readonly breach_type: string;
  readonly breached_at: Date;
  readonly position: string;
}

/**
 * $1 tenant, $2 run, $3 and $4 where the page goes on, $5 limit. The page first, its limits after: a breach has one, by its
 * foreign key.
 */
export const LIST_RUN_BREACHES: Statement<RunBreachColumns> = statement(
  'list_run_breaches',
  `SELECT b.id, b.limit_id, l.name AS limit_name, l.limit_type, b.value_at_breach, b.limit_value, l.max_value,
     b.breach_type, b.breached_at, ${position('b.breached_at')} AS position
   FROM (
     SELECT id, limit_id, value_at_breach, limit_value, breach_type, breached_at
     FROM limit_breaches
     WHERE tenant_id = $1 AND run_id = $2 AND (breached_at, id) < ($3::timestamptz, $4)
     ORDER BY breached_at DESC, id DESC
     LIMIT $5
   ) AS b
   JOIN limits l ON l.tenant_id = $1 AND l.id = b.limit_id
   ORDER BY b.breached_at DESC, b.id DESC`,
  { replan: true },
);
