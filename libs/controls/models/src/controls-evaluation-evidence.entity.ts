import { charLength, declareTable, index, oneOf, rule, unique } from '@hoc/shared/models';
import { Column, Entity, PrimaryColumn } from 'typeorm';

/** The values of the schemas' `SimulationDecision`, which models may not import. */
const DECISIONS = Object.freeze(['ALLOW', 'WARN', 'BLOCK'] as const);

/** Which limits a run was checked against, and what came of it: one row a run and set of limits, never changed. */
@Entity('controls_evaluation_evidence', { synchronize: false })
export class ControlsEvaluationEvidenceEntity {
  @PrimaryColumn({ name: 'tenant_id', type: 'text', primaryKeyConstraintName: 'pk_controls_evaluation_evidence' })
  tenantId!: string;
  @PrimaryColumn({ name: 'id', type: 'text', primaryKeyConstraintName: 'pk_controls_evaluation_evidence' })
  id!: string;
  @Column({ name: 'run_id', type: 'text', nullable: false })
  runId!: string;
  /** SHA-256 over the sorted list of limits, their versions and values in effect. */
  @Column({ name: 'control_set_version', type: 'text', nullable: false })
  controlSetVersion!: string;
  /** Sorted, each once. */
  @Column({ name: 'override_ids_applied', type: 'jsonb', nullable: false, default: [] })
  overrideIdsApplied!: readonly string[];
  @Column({ name: 'resolver_version', type: 'text', nullable: false })
  resolverVersion!: string;
  @Column({ name: 'decision', type: 'text', nullable: false })
  decision!: (typeof DECISIONS)[number];
  @Column({ name: 'evaluated_at', type: 'timestamptz', nullable: false })
  evaluatedAt!: Date;
}

/** `controls_evaluation_evidence` beyond its entity (spec controls H.4). */
export const controlsEvaluationEvidenceCatalogue = declareTable({
  table: 'controls_evaluation_evidence',
  bytewise: ['tenant_id', 'id', 'run_id', 'control_set_version'],
  checks: [
    charLength(1, 100, 'tenant_id', 'id', 'run_id'),
    rule('control_set_version', `control_set_version ~ '^[0-9a-f]{64}$'`),
    rule(
      'override_ids_applied',
      `jsonb_typeof(override_ids_applied) = 'array' AND octet_length(override_ids_applied::text) <= 65536`,
    ),
    charLength(1, 32, 'resolver_version'),
    oneOf('decision', DECISIONS),
  ],
  foreignKeys: [
    {
      name: 'fk_controls_evaluation_evidence_tenant',
      definition: 'FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE RESTRICT',
    },
    {
      name: 'fk_controls_evaluation_evidence_run',
      definition: 'FOREIGN KEY (tenant_id, run_id) REFERENCES runs (tenant_id, id) ON DELETE RESTRICT',
    },
  ],
  indexes: [
    unique(
      'uq_controls_evaluation_evidence_set',
      '(tenant_id, run_id, control_set_version)',
      'replays of an evaluation',
    ),
    index(
      'ix_controls_evaluation_evidence_run',
      '(tenant_id, run_id, evaluated_at DESC, id DESC)',
      'queryEvidence of one run; fk_controls_evaluation_evidence_run',
    ),
    index(
      'ix_controls_evaluation_evidence_version',
      '(tenant_id, control_set_version, evaluated_at DESC, id DESC)',
      'queryEvidence of one set of limits',
    ),
    index(
      'ix_controls_evaluation_evidence_list',
      '(tenant_id, evaluated_at DESC, id DESC)',
      'queryEvidence without a filter',
    ),
  ],
});
