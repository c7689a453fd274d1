import { charLength, declareTable, index, notNegative, rule } from '@hoc/shared/models';
import { Column, Entity, PrimaryColumn } from 'typeorm';

/** A circuit breaker, by its name: open (`disabled`) with its incident, or closed. A breaker without a row is closed. */
@Entity('costsim_cb_state', { synchronize: false })
export class CostSimCBStateEntity {
  @PrimaryColumn({ name: 'name', type: 'text', primaryKeyConstraintName: 'pk_costsim_cb_state' })
  name!: string;
  @Column({ name: 'disabled', type: 'boolean', nullable: false, default: false })
  disabled!: boolean;
  @Column({ name: 'disabled_by', type: 'text', nullable: true })
  disabledBy!: string | null;
  @Column({ name: 'disabled_reason', type: 'text', nullable: true })
  disabledReason!: string | null;
  /** Exclusive; null while open: until somebody closes it. */
  @Column({ name: 'disabled_until', type: 'timestamptz', nullable: true })
  disabledUntil!: Date | null;
  /** When it tripped; a change of the counter doesn't move it. */
  @Column({ name: 'opened_at', type: 'timestamptz', nullable: true })
  openedAt!: Date | null;
  /** The open incident: set exactly while the breaker is open. */
  @Column({ name: 'incident_id', type: 'text', nullable: true })
  incidentId!: string | null;
  @Column({ name: 'consecutive_failures', type: 'integer', nullable: false, default: 0 })
  consecutiveFailures!: number;
  @Column({ name: 'last_failure_at', type: 'timestamptz', nullable: true })
  lastFailureAt!: Date | null;
  @Column({ name: 'updated_at', type: 'timestamptz', nullable: false })
  updatedAt!: Date;
  @Column({ name: 'created_at', type: 'timestamptz', nullable: false })
  createdAt!: Date;
}

/** `costsim_cb_state` beyond its entity (spec controls B.3): no tenant, a reference table on Citus. */
export const costSimCBStateCatalogue = declareTable({
  table: 'costsim_cb_state',
  bytewise: ['name', 'incident_id'],
  checks: [
    charLength(1, 100, 'name', 'incident_id'),
    charLength(1, 128, 'disabled_by'),
    charLength(1, 500, 'disabled_reason'),
    notNegative('consecutive_failures'),
    rule(
      'open',
      `disabled = (incident_id IS NOT NULL) AND disabled = (opened_at IS NOT NULL)
         AND (disabled OR (disabled_by IS NULL AND disabled_reason IS NULL AND disabled_until IS NULL))`,
    ),
  ],
  foreignKeys: [
    {
      name: 'fk_costsim_cb_state_incident',
      definition: 'FOREIGN KEY (incident_id) REFERENCES costsim_cb_incidents (id) ON DELETE RESTRICT',
    },
  ],
  indexes: [index('ix_cb_state_incident', '(incident_id)', 'fk_costsim_cb_state_incident')],
});
