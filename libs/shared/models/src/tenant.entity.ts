import { TENANT_STATUSES, type TenantStatus } from '@hoc/shared/kernel';
import { Column, Entity, PrimaryColumn } from 'typeorm';
import { charLength, charLengthAtMost, declareTable, index, notNegative, oneOf, rule, unique } from './catalogue';

/** A customer, its plan and its counters. Every tenant-owned row of HOC leads back here. */
@Entity('tenants', { synchronize: false })
export class TenantEntity {
  /** Opaque, 1–100 characters. */
  @PrimaryColumn({ name: 'id', type: 'text', primaryKeyConstraintName: 'pk_tenants' })
  id!: string;
  @Column({ name: 'name', type: 'text', nullable: false })
  name!: string;
  @Column({ name: 'slug', type: 'text', nullable: false })
  slug!: string;
  @Column({ name: 'clerk_org_id', type: 'text', nullable: true })
  clerkOrgId!: string | null;
  /** An open list: free, pro, enterprise, observe, react, prevent, assist, govern are known. */
  @Column({ name: 'plan', type: 'text', nullable: false, default: 'free' })
  plan!: string;
  @Column({ name: 'billing_email', type: 'text', nullable: true })
  billingEmail!: string | null;
  @Column({ name: 'stripe_customer_id', type: 'text', nullable: true })
  stripeCustomerId!: string | null;
  @Column({ name: 'max_workers', type: 'integer', nullable: false, default: 3 })
  maxWorkers!: number;
  @Column({ name: 'max_runs_per_day', type: 'integer', nullable: false, default: 100 })
  maxRunsPerDay!: number;
  @Column({ name: 'max_concurrent_runs', type: 'integer', nullable: false, default: 5 })
  maxConcurrentRuns!: number;
  @Column({ name: 'max_tokens_per_month', type: 'bigint', nullable: false, default: 1_000_000 })
  maxTokensPerMonth!: string;
  @Column({ name: 'max_api_keys', type: 'integer', nullable: false, default: 5 })
  maxApiKeys!: number;
  @Column({ name: 'runs_today', type: 'integer', nullable: false, default: 0 })
  runsToday!: number;
  @Column({ name: 'runs_this_month', type: 'integer', nullable: false, default: 0 })
  runsThisMonth!: number;
  @Column({ name: 'tokens_this_month', type: 'bigint', nullable: false, default: 0 })
  tokensThisMonth!: string;
  @Column({ name: 'last_run_reset_at', type: 'timestamptz', nullable: true })
  lastRunResetAt!: Date | null;
  @Column({ name: 'status', type: 'text', nullable: false, default: 'active' })
  status!: TenantStatus;
  @Column({ name: 'suspended_reason', type: 'text', nullable: true })
  suspendedReason!: string | null;
  /** Set by the kill switch of integrations. */
  @Column({ name: 'frozen_at', type: 'timestamptz', nullable: true })
  frozenAt!: Date | null;
  @Column({ name: 'freeze_reason', type: 'text', nullable: true })
  freezeReason!: string | null;
  /** 0 created, 1 identity verified, 2 API key created, 3 SDK connected, 4 complete; only grows. */
  @Column({ name: 'onboarding_state', type: 'smallint', nullable: false, default: 0 })
  onboardingState!: number;
  @Column({ name: 'is_synthetic', type: 'boolean', nullable: false, default: false })
  isSynthetic!: boolean;
  @Column({ name: 'synthetic_scenario_id', type: 'text', nullable: true })
  syntheticScenarioId!: string | null;
  @Column({ name: 'created_at', type: 'timestamptz', nullable: false })
  createdAt!: Date;
  @Column({ name: 'updated_at', type: 'timestamptz', nullable: false })
  updatedAt!: Date;
}

/** `tenants` beyond its entity (spec activity B.1). */
export const tenantsCatalogue = declareTable({
  table: 'tenants',
  bytewise: ['id', 'slug', 'clerk_org_id', 'stripe_customer_id', 'synthetic_scenario_id'],
  checks: [
    charLength(1, 100, 'id', 'slug', 'clerk_org_id'),
    charLength(1, 255, 'name'),
    charLength(1, 50, 'plan'),
    charLengthAtMost(255, 'billing_email'),
    charLengthAtMost(100, 'stripe_customer_id', 'synthetic_scenario_id'),
    notNegative('max_workers', 'max_runs_per_day', 'max_concurrent_runs', 'max_tokens_per_month', 'max_api_keys'),
    notNegative('runs_today', 'runs_this_month', 'tokens_this_month'),
    oneOf('status', TENANT_STATUSES),
    rule('onboarding_state', 'onboarding_state BETWEEN 0 AND 4'),
  ],
  indexes: [
    unique('uq_tenants_slug', '(slug)', 'one tenant a slug'),
    unique('uq_tenants_clerk_org_id', '(clerk_org_id)', 'one tenant an organisation'),
    index('ix_tenants_synthetic', '(synthetic_scenario_id) WHERE is_synthetic', 'cleanup of test scenarios'),
  ],
});
