import type { MigrationInterface, QueryRunner } from 'typeorm';

/** `budget_windows` and `budget_reservations`. */
export class ControlsBudgetReservations1700000003006 implements MigrationInterface {
  readonly name = 'ControlsBudgetReservations1700000003006';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(WINDOWS);
    await runner.query(RESERVATIONS);
    await runner.query(INDEXES);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE budget_reservations');
    await runner.query('DROP TABLE budget_windows');
  }
}

const WINDOWS = `
  CREATE TABLE budget_windows (
    tenant_id text COLLATE "C" NOT NULL,
    limit_id text COLLATE "C" NOT NULL,
    window_start timestamptz NOT NULL,
    reserved numeric(20,6) NOT NULL,
    spent numeric(20,6) NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT pk_budget_windows PRIMARY KEY (tenant_id, limit_id, window_start),
    CONSTRAINT fk_budget_windows_limit FOREIGN KEY (tenant_id, limit_id)
      REFERENCES limits (tenant_id, id) ON DELETE RESTRICT,
    CONSTRAINT ck_budget_windows_tenant_id CHECK (char_length(tenant_id) BETWEEN 1 AND 100),
    CONSTRAINT ck_budget_windows_limit_id CHECK (char_length(limit_id) BETWEEN 1 AND 100),
    CONSTRAINT ck_budget_windows_reserved CHECK (reserved >= 0 AND reserved < 'NaN'),
    CONSTRAINT ck_budget_windows_spent CHECK (spent >= 0 AND spent < 'NaN')
  ) WITH (fillfactor = 50)`;

const RESERVATIONS = `
  CREATE TABLE budget_reservations (
    tenant_id text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    limit_ids text[] COLLATE "C" NOT NULL,
    window_starts timestamptz[] NOT NULL,
    run_id text COLLATE "C",
    amount numeric(20,6) NOT NULL,
    settled_amount numeric(20,6),
    status text COLLATE "C" NOT NULL,
    idempotency_key text COLLATE "C" NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    closed_at timestamptz,
    CONSTRAINT pk_budget_reservations PRIMARY KEY (tenant_id, id),
    CONSTRAINT fk_budget_reservations_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE RESTRICT,
    CONSTRAINT ck_budget_reservations_tenant_id CHECK (char_length(tenant_id) BETWEEN 1 AND 100),
    CONSTRAINT ck_budget_reservations_id CHECK (char_length(id) BETWEEN 1 AND 100),
    CONSTRAINT ck_budget_reservations_run_id CHECK (char_length(run_id) BETWEEN 1 AND 100),
    CONSTRAINT ck_budget_reservations_limit_ids
      CHECK (array_ndims(limit_ids) = 1 AND cardinality(limit_ids) BETWEEN 1 AND 4),
    CONSTRAINT ck_budget_reservations_limit_ids_members CHECK (array_position(limit_ids, NULL) IS NULL),
    CONSTRAINT ck_budget_reservations_window_starts
      CHECK (array_ndims(window_starts) = 1 AND cardinality(window_starts) = cardinality(limit_ids)),
    CONSTRAINT ck_budget_reservations_window_starts_members CHECK (array_position(window_starts, NULL) IS NULL),
    CONSTRAINT ck_budget_reservations_amount CHECK (amount >= 0 AND amount < 'NaN'),
    CONSTRAINT ck_budget_reservations_settled_amount CHECK (settled_amount >= 0 AND settled_amount < 'NaN'),
    CONSTRAINT ck_budget_reservations_status CHECK (status IN ('RESERVED', 'SETTLED', 'RELEASED', 'EXPIRED')),
    CONSTRAINT ck_budget_reservations_settled CHECK ((status = 'SETTLED') = (settled_amount IS NOT NULL)),
    CONSTRAINT ck_budget_reservations_closed CHECK ((status = 'RESERVED') = (closed_at IS NULL)),
    CONSTRAINT ck_budget_reservations_idempotency_key CHECK (char_length(idempotency_key) BETWEEN 1 AND 200)
  )`;

const INDEXES = `
  CREATE UNIQUE INDEX uq_budget_reservations_key ON budget_reservations (tenant_id, idempotency_key);
  CREATE INDEX ix_budget_reservations_expiry ON budget_reservations (expires_at, tenant_id, id)
    WHERE status = 'RESERVED';
  COMMENT ON INDEX ix_budget_reservations_expiry IS 'system-wide: expireReservations'`;
