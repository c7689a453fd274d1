import { BUDGET_HALT_MARKER } from '@hoc/controls/schemas';
import { type Statement, statement } from '@hoc/shared/drivers';
import type { JsonValue } from '@hoc/shared/kernel';

/** A halt without its decision. */
export interface PendingHaltColumns {
  readonly tenant_id: string;
  readonly id: string;
  readonly error_message: string;
  readonly plan_json: JsonValue;
  readonly tool_calls_json: JsonValue;
  readonly halted_at: Date;
}

/**
 * $1 tenant and $2 run after which the page goes on, $3 since, $4 limit. `status = 'halted'` is a literal, as in the partial
 * index whose order the list has; provenances are looked up for the rows of the page alone. Planned anew: a plan made for
 * a small table would read all runs.
 */
export const PENDING_HALTS: Statement<PendingHaltColumns> = statement(
  'pending_budget_halts',
  `SELECT h.tenant_id, h.id, h.error_message, h.halted_at, COALESCE(p.plan_json, h.plan_json) AS plan_json,
     COALESCE(p.tool_calls_json, h.tool_calls_json) AS tool_calls_json
   FROM (
     SELECT r.tenant_id, r.id, r.error_message, r.plan_json, r.tool_calls_json,
       COALESCE(r.completed_at, r.created_at) AS halted_at
     FROM runs r
     WHERE r.status = 'halted' AND r.error_message LIKE '%${BUDGET_HALT_MARKER}%'
       AND (r.tenant_id, r.id) > ($1, $2) AND COALESCE(r.completed_at, r.created_at) >= $3::timestamptz
       AND NOT EXISTS (
         SELECT 1 FROM decision_records d
         WHERE d.tenant_id = r.tenant_id AND d.run_id = r.id AND d.decision_type = 'budget_enforcement'
       )
     ORDER BY r.tenant_id, r.id
     LIMIT $4
   ) AS h
   LEFT JOIN LATERAL (
     SELECT plan_json, tool_calls_json FROM provenances
     WHERE tenant_id = h.tenant_id AND run_id = h.id
     ORDER BY created_at DESC, id DESC
     LIMIT 1
   ) AS p ON true
   ORDER BY h.tenant_id, h.id`,
  { replan: true },
);

/** A stored decision. */
export interface DecisionColumns {
  readonly tenant_id: string;
  readonly run_id: string;
  readonly id: string;
  readonly decision_inputs: Readonly<Record<string, JsonValue>>;
  readonly decision_reason: string | null;
  readonly details: Readonly<Record<string, JsonValue>>;
  readonly decided_at: Date;
}

const DECISION = `tenant_id, run_id, id, decision_inputs, decision_reason, details, decided_at`;

/**
 * $1 clock; from $2 on arrays: tenants, runs, ids, inputs, reasons, details. Sorted by the caller and here alike: two
 * sweeps that insert the same halts wait for each other in one order. Gives the ids of those that are new.
 */
export const INSERT_DECISIONS: Statement<{ readonly id: string }> = statement(
  'insert_budget_decisions',
  `INSERT INTO decision_records (tenant_id, run_id, id, decision_inputs, decision_reason, details, decision_type,
     decision_source, decision_trigger, decision_outcome, causal_role, decided_at)
   SELECT u.tenant_id, u.run_id, u.id, u.inputs, u.reason, u.details, 'budget_enforcement', 'system', 'reactive',
     'execution_halted', 'in_run', $1::timestamptz
   FROM unnest($2::text[], $3::text[], $4::text[], $5::jsonb[], $6::text[], $7::jsonb[])
     AS u(tenant_id, run_id, id, inputs, reason, details)
   ORDER BY u.tenant_id COLLATE "C", u.run_id COLLATE "C"
   ON CONFLICT (tenant_id, run_id) WHERE decision_type = 'budget_enforcement' DO NOTHING
   RETURNING id`,
);

/** $1 tenants, $2 runs: the decision of each pair that has one, by one index look-up. */
export const BUDGET_DECISIONS: Statement<DecisionColumns> = statement(
  'budget_decisions',
  `SELECT d.*
   FROM unnest($1::text[], $2::text[]) AS u(tenant_id, run_id)
   CROSS JOIN LATERAL (
     SELECT ${DECISION} FROM decision_records
     WHERE tenant_id = u.tenant_id AND run_id = u.run_id AND decision_type = 'budget_enforcement'
     LIMIT 1
   ) AS d`,
  { replan: true },
);
