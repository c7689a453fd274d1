import type { MigrationInterface, QueryRunner } from 'typeorm';

/** `incidents`. */
export class SharedIncidents1700000000020 implements MigrationInterface {
  readonly name = 'SharedIncidents1700000000020';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE incidents (
        tenant_id text COLLATE "C" NOT NULL,
        id text COLLATE "C" NOT NULL,
        title text NOT NULL,
        severity text COLLATE "C" NOT NULL DEFAULT 'medium',
        status text COLLATE "C" NOT NULL DEFAULT 'open',
        description text,
        run_id text COLLATE "C",
        source text,
        details jsonb NOT NULL DEFAULT '{}',
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        resolved_at timestamptz,
        resolved_by text,
        CONSTRAINT pk_incidents PRIMARY KEY (tenant_id, id),
        CONSTRAINT fk_incidents_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE RESTRICT,
        CONSTRAINT ck_incidents_tenant_id CHECK (char_length(tenant_id) BETWEEN 1 AND 100),
        CONSTRAINT ck_incidents_id CHECK (char_length(id) BETWEEN 1 AND 100),
        CONSTRAINT ck_incidents_title CHECK (char_length(title) BETWEEN 1 AND 255),
        CONSTRAINT ck_incidents_severity CHECK (severity IN ('low', 'medium', 'high', 'critical')),
        CONSTRAINT ck_incidents_status CHECK (status IN ('open', 'acknowledged', 'resolved', 'closed')),
        CONSTRAINT ck_incidents_description CHECK (char_length(description) <= 4000),
        CONSTRAINT ck_incidents_run_id CHECK (char_length(run_id) BETWEEN 1 AND 100),
        CONSTRAINT ck_incidents_source CHECK (char_length(source) BETWEEN 1 AND 100),
        CONSTRAINT ck_incidents_details
          CHECK (jsonb_typeof(details) = 'object' AND octet_length(details::text) <= 65536),
        CONSTRAINT ck_incidents_resolved_at CHECK (resolved_at >= created_at),
        CONSTRAINT ck_incidents_resolved_by CHECK (char_length(resolved_by) <= 128)
      )`);
    await runner.query('CREATE INDEX ix_incidents_tenant_created ON incidents (tenant_id, created_at DESC, id DESC)');
    await runner.query('CREATE INDEX ix_incidents_created ON incidents (created_at DESC, id DESC, tenant_id DESC)');
    await runner.query(`COMMENT ON INDEX ix_incidents_created IS 'system-wide: getLastIncident of integrations'`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE incidents');
  }
}
