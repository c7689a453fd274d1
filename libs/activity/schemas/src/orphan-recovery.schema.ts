/** Minutes without a sign of life after which an open worker run is an orphan. @see orphan_recovery.py, ORPHAN_THRESHOLD_MINUTES */
export const ORPHAN_THRESHOLD_MINUTES = 30;
/** Whether recovery marks at all, unless its caller decides. No environment is read. @see orphan_recovery.py, RECOVERY_ENABLED */
export const RECOVERY_ENABLED = true;
/** The longest threshold: 30 days. */
export const ORPHAN_THRESHOLD_MAX_MINUTES = 43_200;
/** Orphans of one call where the caller names no limit. */
export const ORPHAN_BATCH_LIMIT = 1000;
/** Orphans of one call, at most. */
export const ORPHAN_BATCH_MAX = 10_000;
/** Crashed runs of a summary where the caller names no limit. */
export const RECENT_CRASHES_LIMIT = 10;
/** Crashed runs of a summary, at most. */
export const RECENT_CRASHES_MAX = 100;
/** Characters of the reason that a crashed run is given. */
export const CRASH_REASON_MAX = 500;
/** What a crashed run says where its marker gives no reason. */
export const DEFAULT_CRASH_REASON = 'worker lost: the run was still open when the system restarted';
/** The name under which a consumer finds this domain's recovery in its log. @see orphan_recovery.py, logger */
export const ORPHAN_RECOVERY_LOGGER = 'hoc.activity.orphan_recovery';

/** An open worker run that nobody has touched since `cutoff`. */
export interface OrphanedRun {
  readonly runId: string;
  readonly tenantId: string;
  readonly workerId: string;
  readonly status: 'queued' | 'running';
  readonly createdAt: Date;
  readonly startedAt: Date | null;
  readonly lastSeenAt: Date | null;
  /** The latest sign of life: of createdAt, startedAt and lastSeenAt. */
  readonly idleSince: Date;
  /** Idle since before this instant: what the mark is guarded by. */
  readonly cutoff: Date;
}

/** A run that a recovery has marked. */
export interface RecoveredRun {
  readonly runId: string;
  readonly tenantId: string;
  readonly workerId: string;
  readonly originalStatus: 'queued' | 'running';
  readonly markedCrashed: boolean;
}

/** One round of recovery. @see orphan_recovery.py, the dict of recover_orphaned_runs */
export interface OrphanRecoveryResult {
  readonly detected: number;
  readonly recovered: number;
  readonly failed: number;
  readonly runs: readonly RecoveredRun[];
  readonly enabled: boolean;
  /** The limit was reached: ask again. */
  readonly hasMore: boolean;
}

/** A run that crashed. */
export interface CrashedRun {
  readonly runId: string;
  readonly workerId: string;
  readonly tenantId: string;
  readonly createdAt: Date;
  readonly crashedAt: Date | null;
  readonly error: string | null;
}

/** How many runs crashed, and the newest of them. @see orphan_recovery.py, the dict of get_crash_recovery_summary */
export interface CrashRecoverySummary {
  readonly totalCrashed: number;
  readonly recentCrashes: readonly CrashedRun[];
}

/** One round's bounds. */
export interface RecoverOptions {
  /** 1–43,200. */
  readonly thresholdMinutes?: number;
  /** False: nothing is looked at. */
  readonly enabled?: boolean;
  /** 1–10,000. */
  readonly limit?: number;
  /** 1–500 characters. */
  readonly reason?: string;
}
