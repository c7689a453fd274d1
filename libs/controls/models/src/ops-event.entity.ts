import type { JsonObject } from '@hoc/shared/kernel';
import {
  charLength,
  charLengthAtMost,
  declareTable,
  index,
  notNegative,
  notNegativeNumeric,
  oneOf,
  rule,
  unique,
} from '@hoc/shared/models';
import { Column, Entity, PrimaryColumn } from 'typeorm';

const EVENT_TYPES = Object.freeze([
  'API_CALL_RECEIVED',
  'INCIDENT_CREATED',
  'POLICY_EVALUATED',
  'POLICY_BLOCKED',
  'LLM_CALL_MADE',
  'LLM_CALL_FAILED',
  'INFRA_LIMIT_HIT',
  'FREEZE_ACTIVATED',
] as const);
const ENTITY_TYPES = Object.freeze(['incident', 'policy', 'llm_call', 'api_key', 'tenant', 'user'] as const);

/**
 * What the operators' console shows: one row an event, written once and never changed. Its ids are opaque and have no
 * parent, so that what happened is on record whoever it happened to.
 */
@Entity('ops_events', { synchronize: false })
export class OpsEventEntity {
  @PrimaryColumn({ name: 'tenant_id', type: 'text', primaryKeyConstraintName: 'pk_ops_events' })
  tenantId!: string;
  @PrimaryColumn({ name: 'id', type: 'text', primaryKeyConstraintName: 'pk_ops_events' })
  id!: string;
  @Column({ name: 'occurred_at', type: 'timestamptz', nullable: false })
  occurredAt!: Date;
  @Column({ name: 'event_type', type: 'text', nullable: false })
  eventType!: (typeof EVENT_TYPES)[number];
  /** What `entity_id` is the id of. */
  @Column({ name: 'entity_type', type: 'text', nullable: true })
  entityType!: (typeof ENTITY_TYPES)[number] | null;
  @Column({ name: 'entity_id', type: 'text', nullable: true })
  entityId!: string | null;
  /** 1–5, the worst last. */
  @Column({ name: 'severity', type: 'smallint', nullable: true })
  severity!: number | null;
  @Column({ name: 'latency_ms', type: 'integer', nullable: true })
  latencyMs!: number | null;
  @Column({ name: 'cost_cents', type: 'numeric', precision: 20, scale: 6, nullable: true })
  costCents!: string | null;
  @Column({ name: 'metadata', type: 'jsonb', nullable: false, default: {} })
  metadata!: JsonObject;
  /** A second event under the same key is a replay. */
  @Column({ name: 'idempotency_key', type: 'text', nullable: false })
  idempotencyKey!: string;
}

/** `ops_events` beyond its entity (spec controls B.2). */
export const opsEventCatalogue = declareTable({
  table: 'ops_events',
  bytewise: ['tenant_id', 'id', 'entity_id', 'idempotency_key'],
  checks: [
    charLength(1, 100, 'tenant_id', 'id'),
    oneOf('event_type', EVENT_TYPES),
    oneOf('entity_type', ENTITY_TYPES),
    charLengthAtMost(100, 'entity_id'),
    rule('severity', 'severity BETWEEN 1 AND 5'),
    notNegative('latency_ms'),
    notNegativeNumeric('cost_cents'),
    rule('metadata', `jsonb_typeof(metadata) = 'object' AND octet_length(metadata::text) <= 65536`),
    charLength(1, 300, 'idempotency_key'),
  ],
  indexes: [
    unique('uq_ops_events_idempotency', '(tenant_id, idempotency_key)', 'replays of an event'),
    index('ix_ops_events_time', '(tenant_id, occurred_at DESC, id DESC)', `the operators' console: newest events`),
    index(
      'ix_ops_events_type',
      '(tenant_id, event_type, occurred_at DESC, id DESC)',
      `the operators' console: newest events of a type`,
    ),
    index('ix_ops_events_entity', '(tenant_id, entity_type, entity_id)', `the operators' console: events of an entity`),
  ],
});
