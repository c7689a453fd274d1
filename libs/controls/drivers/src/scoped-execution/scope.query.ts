import { type Statement, statement } from '@hoc/shared/drivers';

// Every look-up is planned anew: a plan that was kept from when the tables were small would scan them ever after, and a
// scope is asked a few times in its life.

/** A stored scope. */
export interface ScopeColumns {
  readonly tenant_id: string;
  readonly id: string;
  readonly incident_id: string;
  readonly allowed_actions: readonly string[];
  readonly target_agents: readonly string[];
  readonly max_cost_cents: string;
  readonly max_attempts: number;
  readonly cost_used_cents: string;
  readonly attempts_used: number;
  readonly intent: string;
  readonly status: string;
  readonly created_by: string;
  readonly created_at: Date;
  readonly expires_at: Date;
}

/** `[number, action, cents as text, instant as ISO text]`: an object would name its keys a thousand times. */
export type LogColumns = readonly [number, string, string, string];

/** A stored scope with its attempts; null for none. */
export interface LoggedScopeColumns extends ScopeColumns {
  readonly log: readonly LogColumns[] | null;
}

const NAMES = `tenant_id, id, incident_id, allowed_actions, target_agents, max_cost_cents, max_attempts, cost_used_cents,
  attempts_used, intent, status, created_by, created_at, expires_at`;
const COLUMNS = NAMES.replace(/\w+/g, 's.$&');
const MILLIS = 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"';
const MICROS = 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"';
const utc = (instant: string, format: string): string => `to_char(${instant} AT TIME ZONE 'UTC', '${format}')`;

/** The attempts of the scope that `tenant` and `scope` name, in their order. */
const logOf = (tenant: string, scope: string): string => `(
     SELECT json_agg(json_build_array(a.attempt_number, a.action, a.cost_cents::text, ${utc('a.executed_at', MILLIS)})
              ORDER BY a.attempt_number)
     FROM execution_scope_attempts a WHERE a.tenant_id = ${tenant} AND a.scope_id = ${scope}
   )`;

/** $1 tenant, $2 id, $3 incident, $4 actions, $5 agents, $6 cents, $7 attempts, $8 intent, $9 who, $10 clock, $11 end. */
export const INSERT_SCOPE: Statement<ScopeColumns> = statement(
  'insert_scope',
  `INSERT INTO execution_scopes AS s (tenant_id, id, incident_id, allowed_actions, target_agents, max_cost_cents,
     max_attempts, intent, created_by, created_at, expires_at)
   VALUES ($1, $2, $3, $4::text[], $5::text[], $6::numeric, $7::integer, $8, $9, $10::timestamptz, $11::timestamptz)
   RETURNING ${COLUMNS}`,
);

/** $1 tenant, $2 scope. */
export const FETCH_SCOPE: Statement<LoggedScopeColumns> = statement(
  'fetch_scope',
  `SELECT ${COLUMNS}, ${logOf('s.tenant_id', 's.id')} AS log FROM execution_scopes s WHERE s.tenant_id = $1 AND s.id = $2`,
  { replan: true },
);

/** A scope and its place in the list. */
export interface ListedScopeColumns extends LoggedScopeColumns {
  readonly position: string;
}

/** $1 tenant, $2 incident, $3 and $4 where the page goes on, $5 limit. The newest first; logs of the page's scopes alone. */
export const SCOPES_OF_INCIDENT: Statement<ListedScopeColumns> = statement(
  'scopes_of_incident',
  `SELECT s.*, ${logOf('$1', 's.id')} AS log
   FROM (
     SELECT ${NAMES}, ${utc('created_at', MICROS)} AS position FROM execution_scopes
     WHERE tenant_id = $1 AND incident_id = $2
       AND (created_at, id) < (COALESCE($3::timestamptz, 'infinity'::timestamptz), $4)
     ORDER BY created_at DESC, id DESC
     LIMIT $5
   ) AS s
   ORDER BY s.created_at DESC, s.id DESC`,
  { replan: true },
);

/** $1 tenant, $2 scope. Held to the end of the transaction; foreign keys of attempts pass it. */
export const LOCK_SCOPE: Statement<ScopeColumns> = statement(
  'lock_scope',
  `SELECT ${COLUMNS} FROM execution_scopes s WHERE s.tenant_id = $1 AND s.id = $2 FOR NO KEY UPDATE`,
  { replan: true },
);

/** What became of an attempt: `attempt_number` is null where it was refused before; `same` is null for a new one. */
export interface AttemptColumns extends LoggedScopeColumns {
  readonly attempt_number: number | null;
  readonly executed_at: Date | null;
  readonly same: boolean | null;
}

/**
 * $1 tenant, $2 scope, which the transaction holds, $3 idempotency key or null, $4 action, $5 cents, $6 parameters, $7 id,
 * $8 clock, $9 whether the scope lets it through, $10 whether the log is asked for.
 * A statement of its own behind the lock: it sees every attempt that was committed before the lock was given, which the
 * snapshot of the locking one does not. An attempt under the key is answered as it is, and nothing is consumed.
 */
export const TAKE_ATTEMPT: Statement<AttemptColumns> = statement(
  'take_attempt',
  `WITH earlier AS MATERIALIZED (
     SELECT attempt_number, executed_at,
       action = $4 AND cost_cents = $5::numeric AND parameters = $6::jsonb AS same
     FROM execution_scope_attempts WHERE tenant_id = $1 AND scope_id = $2 AND idempotency_key = $3
   ), consumed AS (
     UPDATE execution_scopes s SET attempts_used = s.attempts_used + 1, cost_used_cents = s.cost_used_cents + $5::numeric,
       status = CASE WHEN s.attempts_used + 1 >= s.max_attempts THEN 'exhausted' ELSE s.status END
     WHERE s.tenant_id = $1 AND s.id = $2 AND $9::boolean AND NOT EXISTS (SELECT FROM earlier)
     RETURNING ${COLUMNS}
   ), attempt AS (
     INSERT INTO execution_scope_attempts
       (tenant_id, id, scope_id, attempt_number, action, cost_cents, parameters, idempotency_key, executed_at)
     SELECT $1, $7, $2, attempts_used, $4, $5::numeric, $6::jsonb, $3, $8::timestamptz FROM consumed
     RETURNING attempt_number, executed_at
   )
   SELECT ${COLUMNS}, COALESCE(e.attempt_number, a.attempt_number) AS attempt_number,
     COALESCE(e.executed_at, a.executed_at) AS executed_at, e.same,
     CASE WHEN $10::boolean THEN ${logOf('$1', '$2')} END AS log
   FROM (
     SELECT ${NAMES} FROM consumed
     UNION ALL
     SELECT ${NAMES} FROM execution_scopes WHERE tenant_id = $1 AND id = $2 AND NOT EXISTS (SELECT FROM consumed)
   ) AS s
   LEFT JOIN earlier e ON true
   LEFT JOIN attempt a ON true`,
  { replan: true },
);

/** $1 tenant, $2 scope, $3 clock, $4 who. */
export const REVOKE_SCOPE: Statement<{ readonly id: string }> = statement(
  'revoke_scope',
  `UPDATE execution_scopes SET status = 'revoked', revoked_at = $3::timestamptz, revoked_by = $4
   WHERE tenant_id = $1 AND id = $2 AND status = 'active'
   RETURNING id`,
  { replan: true },
);

/**
 * $1 clock, $2 limit. What somebody holds is skipped: each scope is marked once, and nobody waits. Through arrays, whose
 * length the planner takes for small: each is found by its key, where it would rather scan the table for a thousand.
 */
export const EXPIRE_SCOPES: Statement<{ readonly expired: string }> = statement(
  'expire_scopes',
  `WITH due AS MATERIALIZED (
     SELECT tenant_id, id FROM execution_scopes
     WHERE status = 'active' AND expires_at <= $1::timestamptz
     ORDER BY expires_at, tenant_id, id
     LIMIT $2
     FOR NO KEY UPDATE SKIP LOCKED
   ), keys AS MATERIALIZED (
     SELECT array_agg(tenant_id) AS tenants, array_agg(id) AS ids FROM due
   ), expired AS (
     UPDATE execution_scopes s SET status = 'expired'
     FROM keys k CROSS JOIN LATERAL unnest(k.tenants, k.ids) AS d(tenant_id, id)
     WHERE s.tenant_id = d.tenant_id AND s.id = d.id
     RETURNING 1
   )
   SELECT count(*) AS expired FROM expired`,
  { replan: true },
);

/** The scope after a settlement. */
export interface SettledColumns extends LoggedScopeColumns {
  readonly overrun_cents: string;
}

/**
 * $1 tenant, $2 scope, which the transaction holds, $3 attempt, $4 cents, $5 clock. No row where the attempt is missing or
 * settled. The sum is taken anew from all attempts: an overrun that the ceiling once cut off stays spent.
 */
export const SETTLE_ATTEMPT: Statement<SettledColumns> = statement(
  'settle_attempt',
  `WITH settled AS (
     UPDATE execution_scope_attempts SET actual_cost_cents = $4::numeric, settled_at = $5::timestamptz
     WHERE tenant_id = $1 AND scope_id = $2 AND attempt_number = $3::integer AND settled_at IS NULL
     RETURNING actual_cost_cents
   ), total AS MATERIALIZED (
     SELECT t.actual_cost_cents + COALESCE((
       SELECT sum(COALESCE(a.actual_cost_cents, a.cost_cents)) FROM execution_scope_attempts a
       WHERE a.tenant_id = $1 AND a.scope_id = $2 AND a.attempt_number <> $3::integer
     ), 0) AS cents
     FROM settled t
   )
   UPDATE execution_scopes s SET cost_used_cents = LEAST(s.max_cost_cents, t.cents),
     status = CASE WHEN s.status = 'active' AND t.cents > s.max_cost_cents THEN 'exhausted' ELSE s.status END
   FROM total t
   WHERE s.tenant_id = $1 AND s.id = $2
   RETURNING ${COLUMNS}, GREATEST(0, t.cents - s.max_cost_cents) AS overrun_cents, ${logOf('$1', '$2')} AS log`,
  { replan: true },
);
