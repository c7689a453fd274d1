import { type Statement, statement } from '@hoc/shared/drivers';

/** What a transition met, and what it wrote. */
export interface TransitionColumns {
  /** The status that stood when the row was locked. */
  readonly before: string;
  /** Null where nothing was written. */
  readonly after: string | null;
  /** Whether the row has the status and every figure that were asked for. */
  readonly same: boolean;
}

type Transition = Statement<TransitionColumns>;

const OF_THE_RUN = 'tenant_id = $1 AND id = $2';

/**
 * One statement: the lock reads the newest version of the row, so what is reported stood when it was decided. No status
 * but one of `from` is ever left; a run that has ended stays as it is.
 */
const transition = (
  label: string,
  table: string,
  rule: { readonly from: string; readonly set: string; readonly same?: string },
): Transition =>
  statement(
    label,
    `WITH held AS MATERIALIZED (
       SELECT id, status, COALESCE(${rule.same ?? 'false'}, false) AS same FROM ${table} WHERE ${OF_THE_RUN} FOR NO KEY UPDATE
     ), written AS (
       UPDATE ${table} r SET ${rule.set}
       FROM held h
       WHERE r.tenant_id = $1 AND r.id = h.id AND h.status ${rule.from}
       RETURNING r.status
     )
     SELECT h.status AS before, h.same, (SELECT status FROM written) AS after FROM held h`,
  );

/** $1 tenant, $2 run, $3 clock. */
export const START_RUN: Transition = transition('start_run', 'runs', {
  from: `IN ('queued', 'retry')`,
  set: `status = 'running', started_at = COALESCE(r.started_at, $3::timestamptz), last_seen_at = $3::timestamptz,
        attempts = r.attempts + 1, updated_at = $3::timestamptz`,
});

/** $1 tenant, $2 run, $3 clock, $4 next attempt, $5 error message. */
export const RETRY_RUN: Transition = transition('retry_run', 'runs', {
  from: `= 'running'`,
  set: `status = 'retry', next_attempt_at = $4::timestamptz, error_message = COALESCE($5, r.error_message),
        updated_at = $3::timestamptz`,
});

/** $1 tenant, $2 worker run, $3 clock. */
export const START_WORKER_RUN: Transition = transition('start_worker_run', 'worker_runs', {
  from: `= 'queued'`,
  set: `status = 'running', started_at = COALESCE(r.started_at, $3::timestamptz), last_seen_at = $3::timestamptz`,
});

/** Figures of a finish by column, from $5 on, in the order of their rules. An absent one is null and changes nothing. */
const RUN_FIGURES = [
  ['error_message', 'text'],
  ['input_tokens', 'bigint'],
  ['output_tokens', 'bigint'],
  ['estimated_cost_cents', 'numeric'],
  ['duration_ms', 'bigint'],
  ['termination_reason', 'text'],
  ['stopped_at_step', 'integer'],
  ['violation_policy_id', 'text'],
  ['policy_violation', 'boolean'],
  ['tool_calls_json', 'jsonb'],
  ['completed_at', 'timestamptz'],
] as const;

const WORKER_RUN_FIGURES = [
  ['success', 'boolean'],
  ['error', 'text'],
  ['output_json', 'jsonb'],
  ['total_tokens', 'bigint'],
  ['total_latency_ms', 'bigint'],
  ['stages_completed', 'integer'],
  ['recoveries', 'integer'],
  ['policy_violations', 'integer'],
  ['cost_cents', 'numeric'],
  ['replay_token_json', 'jsonb'],
  ['completed_at', 'timestamptz'],
] as const;

/** $3 clock, $4 status, then the figures. What the row says anyway where a figure is absent is computed in `otherwise`. */
function finish(
  label: string,
  table: string,
  figures: readonly (readonly [string, string])[],
  rule: { readonly from: string; readonly set: string; readonly otherwise: Readonly<Record<string, string>> },
): Transition {
  const places = figures.map(([name, type], n) => [name, `$${n + 5}::${type}`] as const);
  const set = places.map(([name, place]) => `${name} = COALESCE(${place}, ${rule.otherwise[name] ?? `r.${name}`})`);
  const same = places.map(([name, place]) => `(${place} IS NULL OR ${name} IS NOT DISTINCT FROM ${place})`);
  return transition(label, table, {
    from: rule.from,
    set: [`status = $4`, ...set, rule.set].filter((part) => part !== '').join(', '),
    same: [`status = $4`, ...same].join(' AND '),
  });
}

const COMPLETED_AT = `COALESCE($15::timestamptz, $3::timestamptz)`;

/** A run that never started can't have succeeded; whoever gives it up may do so at any time. */
export const FINISH_RUN: Transition = finish('finish_run', 'runs', RUN_FIGURES, {
  from: `IN ('running', CASE WHEN $4 <> 'succeeded' THEN 'queued' END, CASE WHEN $4 <> 'succeeded' THEN 'retry' END)`,
  set: `state = 'COMPLETED', updated_at = $3::timestamptz`,
  otherwise: {
    completed_at: '$3::timestamptz',
    duration_ms: `GREATEST(0, floor(extract(epoch FROM ${COMPLETED_AT} - r.started_at) * 1000))::bigint
      * CASE WHEN r.started_at IS NOT NULL THEN 1 END`,
  },
});

/** Only a worker run that was started has been worked on. */
export const FINISH_WORKER_RUN: Transition = finish('finish_worker_run', 'worker_runs', WORKER_RUN_FIGURES, {
  from: `= 'running'`,
  set: '',
  otherwise: { completed_at: '$3::timestamptz', success: `$4 = 'completed'` },
});

/** $1 tenant, $2 worker run, $3 instant of the sign of life: it never moves back. */
export const TOUCH_WORKER_RUN: Statement<{ readonly id: string }> = statement(
  'touch_worker_run',
  `UPDATE worker_runs SET last_seen_at = GREATEST(last_seen_at, $3::timestamptz)
   WHERE ${OF_THE_RUN} AND status IN ('queued', 'running')
   RETURNING id`,
);

/** One run of a chain. */
export interface LinkColumns {
  readonly id: string;
  readonly parent_run_id: string | null;
  readonly attempt: number;
  readonly status: string;
  readonly created_at: Date;
}

/** $1 tenant, $2 worker run, $3 the longest chain. From the run upwards; a run that was met already ends the walk. */
export const RETRY_CHAIN: Statement<LinkColumns> = statement(
  'retry_chain',
  `WITH RECURSIVE chain AS (
     SELECT id, parent_run_id, attempt, status, created_at, 1 AS depth, ARRAY[id] AS met
     FROM worker_runs WHERE ${OF_THE_RUN}
     UNION ALL
     SELECT w.id, w.parent_run_id, w.attempt, w.status, w.created_at, c.depth + 1, c.met || w.id
     FROM chain c JOIN worker_runs w ON w.tenant_id = $1 AND w.id = c.parent_run_id
     WHERE c.depth < $3 AND NOT w.id = ANY(c.met)
   )
   SELECT id, parent_run_id, attempt, status, created_at FROM chain ORDER BY depth DESC`,
);

/** The parent's status, and the retry; null where the parent isn't one that is retried, or a retry of it is open. */
export interface RetryColumns {
  readonly parent_status: string;
  readonly id: string | null;
  readonly attempt: number | null;
  readonly created_at: Date | null;
}

/**
 * $1 tenant, $2 parent, $3 clock, $4 id of the retry. The parent is held, so that its status can't change meanwhile. An open
 * retry refuses another one without an error of the database, which would end the caller's transaction.
 */
export const CREATE_RETRY: Statement<RetryColumns> = statement(
  'create_retry',
  `WITH parent AS MATERIALIZED (
     SELECT * FROM worker_runs WHERE ${OF_THE_RUN} FOR NO KEY UPDATE
   ), retry AS (
     INSERT INTO worker_runs (tenant_id, id, worker_id, api_key_id, user_id, task, input_json, status, parent_run_id, attempt,
       is_retry, is_synthetic, synthetic_scenario_id, created_at)
     SELECT $1, $4, worker_id, api_key_id, user_id, task, input_json, 'queued', id, attempt + 1,
       true, is_synthetic, synthetic_scenario_id, $3::timestamptz
     FROM parent WHERE status IN ('crashed', 'failed')
     ON CONFLICT (tenant_id, parent_run_id) WHERE status IN ('queued', 'running') AND is_retry DO NOTHING
     RETURNING id, attempt, created_at
   )
   SELECT p.status AS parent_status, r.id, r.attempt, r.created_at FROM parent p LEFT JOIN retry r ON true`,
);
