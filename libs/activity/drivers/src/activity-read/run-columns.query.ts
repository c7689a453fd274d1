import type { RunSort } from '@hoc/activity/schemas';
import { PAGE_LIMIT_MAX } from '@hoc/shared/kernel';
import type { KeysetRequest } from '@hoc/shared/drivers';
import type { Conditions } from './conditions.rules';
import { RUN_KEYS } from './run-sort.rules';

/** The columns of a run in a list. */
export interface RunSummaryColumns {
  readonly id: string;
  readonly tenant_id: string;
  readonly project_id: string | null;
  readonly is_synthetic: boolean;
  readonly source: string;
  readonly provider_type: string;
  readonly state: string;
  readonly status: string;
  readonly started_at: Date | null;
  readonly last_seen_at: Date | null;
  readonly completed_at: Date | null;
  readonly duration_ms: string | null;
  readonly risk_level: string;
  readonly latency_bucket: string;
  readonly evidence_health: string;
  readonly integrity_status: string;
  readonly incident_count: number;
  readonly policy_draft_count: number;
  readonly policy_violation: boolean;
  readonly input_tokens: string | null;
  readonly output_tokens: string | null;
  readonly estimated_cost_cents: string | null;
}

/** A row of a page: its sort key as the cursor holds it. */
export interface Positioned {
  readonly id: string;
  readonly position: string | null;
}

/** A run in full. */
export interface RunDetailColumns extends RunSummaryColumns {
  readonly agent_id: string;
  readonly actor_type: string;
  readonly actor_id: string | null;
  readonly origin_system_id: string;
  readonly goal: string;
  readonly error_message: string | null;
  readonly attempts: number;
  readonly max_attempts: number;
  readonly parent_run_id: string | null;
  readonly priority: number;
  readonly expected_latency_ms: string | null;
  readonly termination_reason: string | null;
  readonly stopped_at_step: number | null;
  readonly violation_policy_id: string | null;
  readonly policy_snapshot_id: string | null;
  readonly observability_status: string;
  readonly synthetic_scenario_id: string | null;
  readonly created_at: Date;
  readonly updated_at: Date;
}

/** {@link RunSummaryColumns} on the alias `r`. */
export const SUMMARY_COLUMNS = columns(
  'id tenant_id project_id is_synthetic source provider_type state status started_at last_seen_at completed_at duration_ms',
  'risk_level latency_bucket evidence_health integrity_status incident_count policy_draft_count policy_violation',
  'input_tokens output_tokens estimated_cost_cents',
);

/** {@link RunDetailColumns} on the alias `r`. */
export const DETAIL_COLUMNS = `${SUMMARY_COLUMNS}, ${columns(
  'agent_id actor_type actor_id origin_system_id goal error_message attempts max_attempts parent_run_id priority',
  'expected_latency_ms termination_reason stopped_at_step violation_policy_id policy_snapshot_id observability_status',
  'synthetic_scenario_id created_at updated_at',
)}`;

/**
 * A page of runs in an index's order: one row more than the page tells whether another one follows.
 *
 * The longest page stands in the text, the asked one is bound. Of a bound limit the planner takes it that a tenth of all is
 * asked for: of all the tenant's runs it finds the plan for any values so dear that it plans every page anew (seen: 0.1 ms
 * of 0.5), of the longest page it keeps it, from some 25 rows on.
 */
export function pageOfRuns(conditions: Conditions, sort: RunSort, request: KeysetRequest, selected: string): string {
  const { key, text, value } = RUN_KEYS[sort.field];
  const direction = sort.direction === 'asc' ? 'ASC' : 'DESC';
  if (request.after !== null) {
    const [position = null, id = ''] = request.after;
    const [at, last] = [conditions.bind(position), conditions.bind(id)];
    conditions.addPosition(`(${key}, r.id) ${direction === 'ASC' ? '>' : '<'} (${value(at)}, ${last})`);
  }
  const limit = conditions.bind(request.limit + 1);
  return `SELECT ${selected}, ${text} AS position
    FROM (
      SELECT r.*, ${key} AS sort_key
      FROM runs r
      WHERE ${conditions.sql}
      ORDER BY ${key} ${direction}, r.id ${direction}
      LIMIT ${PAGE_LIMIT_MAX + 1}
    ) AS r
    ORDER BY r.sort_key ${direction}, r.id ${direction}
    LIMIT ${limit}`;
}

function columns(...names: readonly string[]): string {
  return names
    .flatMap((line) => line.split(' '))
    .map((name) => `r.${name}`)
    .join(', ');
}
