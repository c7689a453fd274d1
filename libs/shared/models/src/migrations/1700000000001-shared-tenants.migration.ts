import type { MigrationInterface, QueryRunner } from 'typeorm';

/** `tenants`. */
export class SharedTenants1700000000001 implements MigrationInterface {
  readonly name = 'SharedTenants1700000000001';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE tenants (
        id text COLLATE "C" NOT NULL,
        name text NOT NULL,
        slug text COLLATE "C" NOT NULL,
        clerk_org_id text COLLATE "C",
        plan text NOT NULL DEFAULT 'free',
        billing_email text,
        stripe_customer_id text COLLATE "C",
        max_workers integer NOT NULL DEFAULT 3,
        max_runs_per_day integer NOT NULL DEFAULT 100,
        max_concurrent_runs integer NOT NULL DEFAULT 5,
        max_tokens_per_month bigint NOT NULL DEFAULT 1000000,
        max_api_keys integer NOT NULL DEFAULT 5,
        runs_today integer NOT NULL DEFAULT 0,
        runs_this_month integer NOT NULL DEFAULT 0,
        tokens_this_month bigint NOT NULL DEFAULT 0,
        last_run_reset_at timestamptz,
        status text COLLATE "C" NOT NULL DEFAULT 'active',
        suspended_reason text,
        frozen_at timestamptz,
        freeze_reason text,
        onboarding_state smallint NOT NULL DEFAULT 0,
        is_synthetic boolean NOT NULL DEFAULT false,
        synthetic_scenario_id text COLLATE "C",
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        CONSTRAINT pk_tenants PRIMARY KEY (id),
        CONSTRAINT ck_tenants_id CHECK (char_length(id) BETWEEN 1 AND 100),
        CONSTRAINT ck_tenants_name CHECK (char_length(name) BETWEEN 1 AND 255),
        CONSTRAINT ck_tenants_slug CHECK (char_length(slug) BETWEEN 1 AND 100),
        CONSTRAINT ck_tenants_clerk_org_id CHECK (char_length(clerk_org_id) BETWEEN 1 AND 100),
        CONSTRAINT ck_tenants_plan CHECK (char_length(plan) BETWEEN 1 AND 50),
        CONSTRAINT ck_tenants_billing_email CHECK (char_length(billing_email) <= 255),
        CONSTRAINT ck_tenants_stripe_customer_id CHECK (char_length(stripe_customer_id) <= 100),
        CONSTRAINT ck_tenants_max_workers CHECK (max_workers >= 0),
        CONSTRAINT ck_tenants_max_runs_per_day CHECK (max_runs_per_day >= 0),
        CONSTRAINT ck_tenants_max_concurrent_runs CHECK (max_concurrent_runs >= 0),
        CONSTRAINT ck_tenants_max_tokens_per_month CHECK (max_tokens_per_month >= 0),
        CONSTRAINT ck_tenants_max_api_keys CHECK (max_api_keys >= 0),
        CONSTRAINT ck_tenants_runs_today CHECK (runs_today >= 0),
        CONSTRAINT ck_tenants_runs_this_month CHECK (runs_this_month >= 0),
        CONSTRAINT ck_tenants_tokens_this_month CHECK (tokens_this_month >= 0),
        CONSTRAINT ck_tenants_status CHECK (status IN ('active', 'suspended', 'churned')),
        CONSTRAINT ck_tenants_onboarding_state CHECK (onboarding_state BETWEEN 0 AND 4),
        CONSTRAINT ck_tenants_synthetic_scenario_id CHECK (char_length(synthetic_scenario_id) <= 100)
      )`);
    await runner.query('CREATE UNIQUE INDEX uq_tenants_slug ON tenants (slug)');
    await runner.query('CREATE UNIQUE INDEX uq_tenants_clerk_org_id ON tenants (clerk_org_id)');
    await runner.query('CREATE INDEX ix_tenants_synthetic ON tenants (synthetic_scenario_id) WHERE is_synthetic');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE tenants');
  }
}
