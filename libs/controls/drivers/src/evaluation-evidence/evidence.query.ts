import { type EvaluationEvidence, SIMULATION_DECISIONS } from '@hoc/controls/schemas';
import { type Statement, statement, storedValue } from '@hoc/shared/drivers';
import { deepFreeze } from '@hoc/shared/kernel';

/** A stored evaluation. */
export interface EvidenceColumns {
  readonly id: string;
  readonly run_id: string;
  readonly control_set_version: string;
  readonly override_ids_applied: readonly string[];
  readonly resolver_version: string;
  readonly decision: string;
  readonly evaluated_at: Date;
}

const COLUMNS = `id, run_id, control_set_version, override_ids_applied, resolver_version, decision, evaluated_at`;

/** $1 tenant, $2 id, $3 run, $4 set, $5 override ids, $6 resolver, $7 decision, $8 clock. */
export const INSERT_EVIDENCE: Statement<EvidenceColumns> = statement(
  'insert_evidence',
  `INSERT INTO controls_evaluation_evidence (tenant_id, ${COLUMNS})
   VALUES ($1, $2, $3, $4, $5::jsonb, $6, $7, $8::timestamptz)
   ON CONFLICT (tenant_id, run_id, control_set_version) DO NOTHING
   RETURNING ${COLUMNS}`,
);

/** An evaluation, and whether it has the content that was asked about. */
export interface ComparedEvidence extends EvidenceColumns {
  readonly same: boolean;
}

/** $1 tenant, $2 run, $3 set, $4 override ids, $5 resolver, $6 decision. */
export const COMPARE_EVIDENCE: Statement<ComparedEvidence> = statement(
  'compare_evidence',
  `SELECT ${COLUMNS}, (override_ids_applied, resolver_version, decision) = ($4::jsonb, $5, $6) AS same
   FROM controls_evaluation_evidence
   WHERE tenant_id = $1 AND run_id = $2 AND control_set_version = $3`,
  { replan: true },
);

/** An evaluation and its place in the list. */
export interface EvidenceListColumns extends EvidenceColumns {
  readonly position: string;
}

/** $1 tenant, $2 and $3 where the page goes on, $4 limit, then the filter's values. The newest first. */
const evidenceList = (filter: string): Statement<EvidenceListColumns> =>
  statement(
    'query_evidence',
    `SELECT ${COLUMNS}, to_char(evaluated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS position
     FROM controls_evaluation_evidence
     WHERE tenant_id = $1 ${filter} AND (evaluated_at, id) < ($2::timestamptz, $3)
     ORDER BY evaluated_at DESC, id DESC
     LIMIT $4`,
    { replan: true },
  );

/** By what is asked for: with both, $5 is the run and $6 the set. */
export const EVIDENCE_LIST = Object.freeze({
  all: evidenceList(''),
  ofRun: evidenceList('AND run_id = $5'),
  ofSet: evidenceList('AND control_set_version = $5'),
  ofBoth: evidenceList('AND run_id = $5 AND control_set_version = $6'),
});

/** The evaluation as the package gives it out, frozen. @throws DataIntegrityError for a decision that this version doesn't know */
export const toEvidence = (row: EvidenceColumns): EvaluationEvidence =>
  deepFreeze({
    evidenceId: row.id,
    runId: row.run_id,
    controlSetVersion: row.control_set_version,
    overrideIdsApplied: row.override_ids_applied,
    resolverVersion: row.resolver_version,
    decision: storedValue(row.decision, SIMULATION_DECISIONS, 'decision'),
    evaluatedAt: row.evaluated_at,
  });
