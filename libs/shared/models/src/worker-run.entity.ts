import { type JsonObject, type JsonValue, WORKER_RUN_STATUSES, type WorkerRunStatus } from '@hoc/shared/kernel';
import { Column, Entity, PrimaryColumn } from 'typeorm';
import {
  charLength,
  charLengthAtMost,
  declareTable,
  index,
  notNegative,
  notNegativeNumeric,
  oneOf,
  rule,
  systemWide,
  unique,
  updateGuard,
} from './catalogue';
import { WORKER_RUNS_GUARD_SOURCE } from './migrations/1700000000003-shared-worker-runs.migration';

/**
 * One run of a worker: queued → running → completed | failed; queued | running → crashed. The last three are terminal
 * and guarded by a trigger: a retry is a new row with `parent_run_id` and the next `attempt`.
 */
@Entity('worker_runs', { synchronize: false })
export class WorkerRunEntity {
  @PrimaryColumn({ name: 'tenant_id', type: 'text', primaryKeyConstraintName: 'pk_worker_runs' })
  tenantId!: string;
  @PrimaryColumn({ name: 'id', type: 'text', primaryKeyConstraintName: 'pk_worker_runs' })
  id!: string;
  /** No foreign key: the registry of workers is a table of another domain. */
  @Column({ name: 'worker_id', type: 'text', nullable: false })
  workerId!: string;
  @Column({ name: 'api_key_id', type: 'text', nullable: true })
  apiKeyId!: string | null;
  @Column({ name: 'user_id', type: 'text', nullable: true })
  userId!: string | null;
  @Column({ name: 'task', type: 'text', nullable: false })
  task!: string;
  @Column({ name: 'input_json', type: 'jsonb', nullable: true })
  inputJson!: JsonObject | null;
  @Column({ name: 'output_json', type: 'jsonb', nullable: true })
  outputJson!: JsonValue | null;
  @Column({ name: 'replay_token_json', type: 'jsonb', nullable: true })
  replayTokenJson!: JsonValue | null;
  @Column({ name: 'status', type: 'text', nullable: false, default: 'queued' })
  status!: WorkerRunStatus;
  /** Null for crashed: nobody knows. */
  @Column({ name: 'success', type: 'boolean', nullable: true })
  success!: boolean | null;
  @Column({ name: 'error', type: 'text', nullable: true })
  error!: string | null;
  @Column({ name: 'total_tokens', type: 'bigint', nullable: true })
  totalTokens!: string | null;
  @Column({ name: 'total_latency_ms', type: 'bigint', nullable: true })
  totalLatencyMs!: string | null;
  @Column({ name: 'stages_completed', type: 'integer', nullable: true })
  stagesCompleted!: number | null;
  @Column({ name: 'recoveries', type: 'integer', nullable: false, default: 0 })
  recoveries!: number;
  @Column({ name: 'policy_violations', type: 'integer', nullable: false, default: 0 })
  policyViolations!: number;
  /** Cents. */
  @Column({ name: 'cost_cents', type: 'numeric', precision: 20, scale: 6, nullable: true })
  costCents!: string | null;
  @Column({ name: 'parent_run_id', type: 'text', nullable: true })
  parentRunId!: string | null;
  @Column({ name: 'attempt', type: 'integer', nullable: false, default: 1 })
  attempt!: number;
  /** True exactly for an attempt above 1. */
  @Column({ name: 'is_retry', type: 'boolean', nullable: false, default: false })
  isRetry!: boolean;
  @Column({ name: 'is_synthetic', type: 'boolean', nullable: false, default: false })
  isSynthetic!: boolean;
  @Column({ name: 'synthetic_scenario_id', type: 'text', nullable: true })
  syntheticScenarioId!: string | null;
  @Column({ name: 'created_at', type: 'timestamptz', nullable: false })
  createdAt!: Date;
  @Column({ name: 'started_at', type: 'timestamptz', nullable: true })
  startedAt!: Date | null;
  @Column({ name: 'completed_at', type: 'timestamptz', nullable: true })
  completedAt!: Date | null;
  /** Heartbeat of the worker; null where workers send none. */
  @Column({ name: 'last_seen_at', type: 'timestamptz', nullable: true })
  lastSeenAt!: Date | null;
}

const OPEN = `status IN ('queued', 'running')`;

/** `worker_runs` beyond its entity (spec activity B.3). */
export const workerRunsCatalogue = declareTable({
  table: 'worker_runs',
  bytewise: ['tenant_id', 'id', 'worker_id', 'api_key_id', 'user_id', 'parent_run_id', 'synthetic_scenario_id'],
  checks: [
    charLength(1, 100, 'tenant_id', 'id', 'worker_id', 'parent_run_id'),
    charLengthAtMost(100, 'api_key_id', 'user_id', 'synthetic_scenario_id'),
    oneOf('status', WORKER_RUN_STATUSES),
    notNegative('total_tokens', 'total_latency_ms', 'stages_completed', 'recoveries', 'policy_violations'),
    notNegativeNumeric('cost_cents'),
    rule('attempt', 'attempt >= 1'),
    rule('retry', 'is_retry = (attempt > 1)'),
  ],
  foreignKeys: [
    { name: 'fk_worker_runs_tenant', definition: 'FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE RESTRICT' },
    {
      name: 'fk_worker_runs_parent',
      definition:
        'FOREIGN KEY (tenant_id, parent_run_id) REFERENCES worker_runs (tenant_id, id) ON DELETE SET NULL (parent_run_id)',
    },
  ],
  indexes: [
    systemWide(
      'ix_worker_runs_open',
      `((GREATEST(created_at, started_at, last_seen_at)), tenant_id, id) WHERE ${OPEN}`,
      'detectOrphanedRuns, recoverOrphanedRuns',
    ),
    systemWide(
      'ix_worker_runs_crashed',
      `(completed_at DESC NULLS LAST, tenant_id, id) WHERE status = 'crashed'`,
      'getCrashRecoverySummary',
    ),
    index('ix_worker_runs_tenant_created', '(tenant_id, created_at DESC, id DESC)', 'reads of analytics'),
    index(
      'ix_worker_runs_tenant_status_created',
      '(tenant_id, status, created_at DESC, id DESC)',
      'reads of analytics: failed and completed',
    ),
    index('ix_worker_runs_tenant_worker', '(tenant_id, worker_id, created_at DESC, id DESC)', 'reads of one worker'),
    index(
      'ix_worker_runs_parent',
      '(tenant_id, parent_run_id) WHERE parent_run_id IS NOT NULL',
      'fk_worker_runs_parent',
    ),
    unique(
      'uq_worker_runs_open_retry',
      `(tenant_id, parent_run_id) WHERE ${OPEN} AND is_retry`,
      'one open retry a parent',
    ),
  ],
  triggers: [updateGuard('worker_runs_immutable_guard', 'hoc_worker_runs_guard')],
  functions: [{ name: 'hoc_worker_runs_guard', source: WORKER_RUNS_GUARD_SOURCE }],
});
