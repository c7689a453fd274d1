import type { JsonObject } from '@hoc/shared/kernel';
import { charLength, charLengthAtMost, declareTable, index, oneOf, rule } from '@hoc/shared/models';
import { Column, Entity, PrimaryColumn } from 'typeorm';

const ENTITY_TYPES = Object.freeze(['circuit_breaker'] as const);
const ACTOR_TYPES = Object.freeze(['system', 'user', 'circuit_breaker'] as const);

/** Who changed the status of what, and why. Append-only: nothing updates or deletes a row. */
@Entity('status_history', { synchronize: false })
export class StatusHistoryEntity {
  @PrimaryColumn({ name: 'id', type: 'text', primaryKeyConstraintName: 'pk_status_history' })
  id!: string;
  @Column({ name: 'entity_type', type: 'text', nullable: false })
  entityType!: (typeof ENTITY_TYPES)[number];
  /** Of a circuit breaker: its name. */
  @Column({ name: 'entity_id', type: 'text', nullable: false })
  entityId!: string;
  @Column({ name: 'old_status', type: 'text', nullable: true })
  oldStatus!: string | null;
  @Column({ name: 'new_status', type: 'text', nullable: false })
  newStatus!: string;
  @Column({ name: 'actor_type', type: 'text', nullable: false })
  actorType!: (typeof ACTOR_TYPES)[number];
  @Column({ name: 'actor_id', type: 'text', nullable: true })
  actorId!: string | null;
  @Column({ name: 'reason', type: 'text', nullable: true })
  reason!: string | null;
  @Column({ name: 'metadata', type: 'jsonb', nullable: false, default: {} })
  metadata!: JsonObject;
  @Column({ name: 'created_at', type: 'timestamptz', nullable: false })
  createdAt!: Date;
}

/** `status_history` beyond its entity (spec controls B.3): no tenant, a reference table on Citus. */
export const statusHistoryCatalogue = declareTable({
  table: 'status_history',
  bytewise: ['id', 'entity_id', 'actor_id'],
  checks: [
    charLength(1, 100, 'id', 'entity_id'),
    oneOf('entity_type', ENTITY_TYPES),
    charLength(1, 50, 'old_status', 'new_status'),
    oneOf('actor_type', ACTOR_TYPES),
    charLength(1, 128, 'actor_id'),
    charLengthAtMost(1000, 'reason'),
    rule('metadata', `jsonb_typeof(metadata) = 'object' AND octet_length(metadata::text) <= 65536`),
  ],
  indexes: [
    index(
      'ix_status_history_entity',
      '(entity_type, entity_id, created_at DESC, id DESC)',
      'the history of one breaker',
    ),
  ],
});
