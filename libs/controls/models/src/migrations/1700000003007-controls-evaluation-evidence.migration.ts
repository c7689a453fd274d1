import type { MigrationInterface, QueryRunner } from 'typeorm';

/** `controls_evaluation_evidence`; needs `runs`. */
export class ControlsEvaluationEvidence1700000003007 implements MigrationInterface {
  readonly name = 'ControlsEvaluationEvidence1700000003007';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(TABLE);
    await runner.query(INDEXES);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE controls_evaluation_evidence');
  }
}

const TABLE = `
  CREATE TABLE controls_evaluation_evidence (
    tenant_id text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    run_id text COLLATE "C" NOT NULL,
    control_set_version text COLLATE "C" NOT NULL,
    override_ids_applied jsonb NOT NULL DEFAULT '[]',
    resolver_version text NOT NULL,
    decision text COLLATE "C" NOT NULL,
    evaluated_at timestamptz NOT NULL,
    CONSTRAINT pk_controls_evaluation_evidence PRIMARY KEY (tenant_id, id),
    CONSTRAINT fk_controls_evaluation_evidence_tenant FOREIGN KEY (tenant_id)
      REFERENCES tenants (id) ON DELETE RESTRICT,
    CONSTRAINT fk_controls_evaluation_evidence_run FOREIGN KEY (tenant_id, run_id)
      REFERENCES runs (tenant_id, id) ON DELETE RESTRICT,
    CONSTRAINT ck_controls_evaluation_evidence_tenant_id CHECK (char_length(tenant_id) BETWEEN 1 AND 100),
    CONSTRAINT ck_controls_evaluation_evidence_id CHECK (char_length(id) BETWEEN 1 AND 100),
    CONSTRAINT ck_controls_evaluation_evidence_run_id CHECK (char_length(run_id) BETWEEN 1 AND 100),
    CONSTRAINT ck_controls_evaluation_evidence_control_set_version CHECK (control_set_version ~ '^[0-9a-f]{64}$'),
    CONSTRAINT ck_controls_evaluation_evidence_override_ids_applied
      CHECK (jsonb_typeof(override_ids_applied) = 'array' AND octet_length(override_ids_applied::text) <= 65536),
    CONSTRAINT ck_controls_evaluation_evidence_resolver_version CHECK (char_length(resolver_version) BETWEEN 1 AND 32),
    CONSTRAINT ck_controls_evaluation_evidence_decision CHECK (decision IN ('ALLOW', 'WARN', 'BLOCK'))
  )`;

const INDEXES = `
  CREATE UNIQUE INDEX uq_controls_evaluation_evidence_set ON controls_evaluation_evidence
    (tenant_id, run_id, control_set_version);
  CREATE INDEX ix_controls_evaluation_evidence_run ON controls_evaluation_evidence
    (tenant_id, run_id, evaluated_at DESC, id DESC);
  CREATE INDEX ix_controls_evaluation_evidence_version ON controls_evaluation_evidence
    (tenant_id, control_set_version, evaluated_at DESC, id DESC);
  CREATE INDEX ix_controls_evaluation_evidence_list ON controls_evaluation_evidence
    (tenant_id, evaluated_at DESC, id DESC)`;
