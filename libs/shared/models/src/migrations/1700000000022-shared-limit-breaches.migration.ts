import type { MigrationInterface, QueryRunner } from 'typeorm';

/** `limit_breaches`; needs `runs`, `incidents` and `limits`. */
export class SharedLimitBreaches1700000000022 implements MigrationInterface {
  readonly name = 'SharedLimitBreaches1700000000022';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(TABLE);
    await runner.query(INDEXES);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE limit_breaches');
  }
}

// SET NULL names its column: without the list it would null `tenant_id` as well.
const TABLE = `
  CREATE TABLE limit_breaches (
    tenant_id text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    limit_id text COLLATE "C" NOT NULL,
    run_id text COLLATE "C",
    incident_id text COLLATE "C",
    breach_type text COLLATE "C" NOT NULL,
    value_at_breach numeric(20,6),
    limit_value numeric(20,6) NOT NULL,
    details jsonb,
    breached_at timestamptz NOT NULL,
    recovered_at timestamptz,
    idempotency_key text COLLATE "C",
    CONSTRAINT pk_limit_breaches PRIMARY KEY (tenant_id, id),
    CONSTRAINT fk_limit_breaches_limit FOREIGN KEY (tenant_id, limit_id)
      REFERENCES limits (tenant_id, id) ON DELETE RESTRICT,
    CONSTRAINT fk_limit_breaches_run FOREIGN KEY (tenant_id, run_id)
      REFERENCES runs (tenant_id, id) ON DELETE SET NULL (run_id),
    CONSTRAINT fk_limit_breaches_incident FOREIGN KEY (tenant_id, incident_id)
      REFERENCES incidents (tenant_id, id) ON DELETE SET NULL (incident_id),
    CONSTRAINT ck_limit_breaches_tenant_id CHECK (char_length(tenant_id) BETWEEN 1 AND 100),
    CONSTRAINT ck_limit_breaches_id CHECK (char_length(id) BETWEEN 1 AND 100),
    CONSTRAINT ck_limit_breaches_limit_id CHECK (char_length(limit_id) BETWEEN 1 AND 100),
    CONSTRAINT ck_limit_breaches_run_id CHECK (char_length(run_id) BETWEEN 1 AND 100),
    CONSTRAINT ck_limit_breaches_incident_id CHECK (char_length(incident_id) BETWEEN 1 AND 100),
    CONSTRAINT ck_limit_breaches_breach_type
      CHECK (breach_type IN ('BREACHED', 'EXHAUSTED', 'THROTTLED', 'VIOLATED', 'OVERRIDDEN')),
    CONSTRAINT ck_limit_breaches_details CHECK (octet_length(details::text) <= 65536),
    CONSTRAINT ck_limit_breaches_recovered_at CHECK (recovered_at >= breached_at),
    CONSTRAINT ck_limit_breaches_idempotency_key CHECK (char_length(idempotency_key) BETWEEN 1 AND 200)
  )`;

const INDEXES = `
  CREATE UNIQUE INDEX uq_limit_breaches_idempotency ON limit_breaches (tenant_id, idempotency_key);
  CREATE INDEX ix_limit_breaches_limit ON limit_breaches (tenant_id, limit_id, breached_at DESC);
  CREATE INDEX ix_limit_breaches_run ON limit_breaches (tenant_id, run_id, limit_id, breached_at DESC, id DESC);
  CREATE INDEX ix_limit_breaches_incident ON limit_breaches (tenant_id, incident_id)`;
