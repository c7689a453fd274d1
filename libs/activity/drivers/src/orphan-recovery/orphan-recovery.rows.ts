import type { CrashRecoverySummary, OrphanedRun, RecoveredRun } from '@hoc/activity/schemas';
import { DataIntegrityError, deepFreeze, toSafeInteger } from '@hoc/shared/kernel';
import type { CrashColumns, OpenRunColumns, RecoveredColumns } from './orphan-recovery.query';

/** The cutoff is the result's own copy: a caller who changes it changes no other run's guard. */
export const toOrphanedRun = (row: OpenRunColumns, cutoff: Date): OrphanedRun =>
  Object.freeze({
    runId: row.id,
    tenantId: row.tenant_id,
    workerId: row.worker_id,
    status: openStatus(row.status),
    createdAt: row.created_at,
    startedAt: row.started_at,
    lastSeenAt: row.last_seen_at,
    idleSince: row.idle_since,
    cutoff: new Date(cutoff.getTime()),
  });

export const toRecoveredRun = (row: RecoveredColumns): RecoveredRun =>
  Object.freeze({
    runId: row.id,
    tenantId: row.tenant_id,
    workerId: row.worker_id,
    originalStatus: openStatus(row.status),
    markedCrashed: row.marked,
  });

export function toCrashSummary(rows: readonly CrashColumns[]): CrashRecoverySummary {
  return deepFreeze({
    totalCrashed: toSafeInteger(rows[0]?.total ?? 0, 'totalCrashed'),
    recentCrashes: rows.flatMap((row) => {
      if (row.tenant_id === null || row.id === null || row.worker_id === null || row.created_at === null) return [];
      const { tenant_id: tenantId, id: runId, worker_id: workerId, created_at: createdAt } = row;
      return [{ runId, workerId, tenantId, createdAt, crashedAt: row.completed_at, error: row.error }];
    }),
  });
}

function openStatus(status: string): 'queued' | 'running' {
  if (status === 'queued' || status === 'running') return status;
  throw new DataIntegrityError('an orphan has a status that is not open', {
    details: { field: 'status', reason: 'one_of' },
  });
}
