import { CUS_POLICY_RESULTS, type CusPolicyResult, type JsonObject } from '@hoc/shared/kernel';
import { Column, Entity, PrimaryColumn } from 'typeorm';
import {
  charLength,
  charLengthAtMost,
  declareTable,
  index,
  notNegative,
  notNegativeNumeric,
  oneOf,
  unique,
} from './catalogue';

/** One LLM call: an append-only fact. Reaches its tenant through the integration. */
@Entity('cus_llm_usage', { synchronize: false })
export class CusLlmUsageEntity {
  @PrimaryColumn({ name: 'tenant_id', type: 'text', primaryKeyConstraintName: 'pk_cus_llm_usage' })
  tenantId!: string;
  @PrimaryColumn({ name: 'id', type: 'text', primaryKeyConstraintName: 'pk_cus_llm_usage' })
  id!: string;
  @Column({ name: 'integration_id', type: 'text', nullable: false })
  integrationId!: string;
  @Column({ name: 'session_id', type: 'text', nullable: true })
  sessionId!: string | null;
  @Column({ name: 'agent_id', type: 'text', nullable: true })
  agentId!: string | null;
  /** The sender's key of idempotency. */
  @Column({ name: 'call_id', type: 'text', nullable: false })
  callId!: string;
  @Column({ name: 'provider', type: 'text', nullable: false })
  provider!: string;
  @Column({ name: 'model', type: 'text', nullable: false })
  model!: string;
  @Column({ name: 'tokens_in', type: 'bigint', nullable: false })
  tokensIn!: string;
  @Column({ name: 'tokens_out', type: 'bigint', nullable: false })
  tokensOut!: string;
  /** Cents. */
  @Column({ name: 'cost_cents', type: 'numeric', precision: 20, scale: 6, nullable: false })
  costCents!: string;
  @Column({ name: 'latency_ms', type: 'integer', nullable: true })
  latencyMs!: number | null;
  @Column({ name: 'policy_result', type: 'text', nullable: false, default: 'allowed' })
  policyResult!: CusPolicyResult;
  @Column({ name: 'error_code', type: 'text', nullable: true })
  errorCode!: string | null;
  @Column({ name: 'error_message', type: 'text', nullable: true })
  errorMessage!: string | null;
  @Column({ name: 'metadata', type: 'jsonb', nullable: false, default: {} })
  metadata!: JsonObject;
  /** Instant of the call: what the sender said, else the Clock. All ranges and days use it. */
  @Column({ name: 'created_at', type: 'timestamptz', nullable: false })
  createdAt!: Date;
  /** Clock at the time of the insert. */
  @Column({ name: 'recorded_at', type: 'timestamptz', nullable: false })
  recordedAt!: Date;
}

/** `cus_llm_usage` beyond its entity (spec activity B.7). */
export const cusLlmUsageCatalogue = declareTable({
  table: 'cus_llm_usage',
  bytewise: ['tenant_id', 'id', 'integration_id', 'session_id', 'agent_id', 'call_id'],
  checks: [
    charLength(1, 100, 'tenant_id', 'id', 'integration_id', 'session_id', 'agent_id', 'model'),
    charLength(1, 255, 'call_id'),
    charLength(1, 50, 'provider', 'error_code'),
    charLengthAtMost(8000, 'error_message'),
    notNegative('tokens_in', 'tokens_out', 'latency_ms'),
    notNegativeNumeric('cost_cents'),
    oneOf('policy_result', CUS_POLICY_RESULTS),
  ],
  foreignKeys: [
    {
      name: 'fk_cus_llm_usage_integration',
      definition:
        'FOREIGN KEY (tenant_id, integration_id) REFERENCES cus_integrations (tenant_id, id) ON DELETE RESTRICT',
    },
  ],
  indexes: [
    unique(
      'uq_cus_llm_usage_tenant_call',
      '(tenant_id, call_id)',
      'fetchByCallId, fetchCallIdsBatch, idempotency of ingestion',
    ),
    index(
      'ix_cus_llm_usage_tenant_created',
      '(tenant_id, created_at DESC, id DESC)',
      'history, summary, per integration, day aggregation',
    ),
    index(
      'ix_cus_llm_usage_tenant_integration_created',
      '(tenant_id, integration_id, created_at DESC, id DESC)',
      'the same of one integration; fk_cus_llm_usage_integration; fetchCurrentRpm',
    ),
    index(
      'ix_cus_llm_usage_tenant_agent_created',
      '(tenant_id, agent_id, created_at DESC, id DESC) WHERE agent_id IS NOT NULL',
      'analytics by agent',
    ),
  ],
});
