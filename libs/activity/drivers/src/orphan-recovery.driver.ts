import {
  CRASH_REASON_MAX,
  type CrashRecoverySummary,
  DEFAULT_CRASH_REASON,
  ORPHAN_BATCH_LIMIT,
  ORPHAN_BATCH_MAX,
  ORPHAN_RECOVERY_LOGGER,
  ORPHAN_THRESHOLD_MAX_MINUTES,
  ORPHAN_THRESHOLD_MINUTES,
  type OrphanedRun,
  type OrphanRecoveryResult,
  RECENT_CRASHES_LIMIT,
  RECENT_CRASHES_MAX,
  RECOVERY_ENABLED,
  type RecoverOptions,
} from '@hoc/activity/schemas';
import {
  assertDate,
  assertId,
  assertInt,
  assertObject,
  assertSystemScope,
  assertTenantId,
  FeatureIntent,
  invalid,
  type Logger,
  noopLogger,
  type ReadDeps,
  RetryPolicy,
  type SystemScope,
  textFault,
} from '@hoc/shared/kernel';
import { type DriverManager, guarded, run, runOne } from '@hoc/shared/drivers';
import { CRASH_SUMMARY, DETECT, MARK, RECOVER } from './orphan-recovery/orphan-recovery.query';
import { toCrashSummary, toOrphanedRun, toRecoveredRun } from './orphan-recovery/orphan-recovery.rows';

export {
  DEFAULT_CRASH_REASON,
  ORPHAN_BATCH_LIMIT,
  ORPHAN_RECOVERY_LOGGER,
  ORPHAN_THRESHOLD_MINUTES,
  RECENT_CRASHES_LIMIT,
  RECOVERY_ENABLED,
} from '@hoc/activity/schemas';

/** It changes rows. @see orphan_recovery_driver.py, FEATURE_INTENT */
export const FEATURE_INTENT = FeatureIntent.STATE_MUTATION;
/** Guarded by the state it changes, so a repetition does nothing. @see orphan_recovery_driver.py, RETRY_POLICY */
export const RETRY_POLICY = RetryPolicy.SAFE;

/**
 * Open worker runs of all tenants without a sign of life since `clock − thresholdMinutes`, the longest idle first. Reads
 * only; needs no transaction.
 * @throws TenantScopeError without a scope, InvalidArgumentError for a threshold out of 1–43,200 or a limit out of 1–10,000
 * @see orphan_recovery.py, detect_orphaned_runs
 */
export async function detectOrphanedRuns(
  manager: DriverManager,
  scope: SystemScope,
  deps: ReadDeps,
  thresholdMinutes: number = ORPHAN_THRESHOLD_MINUTES,
  limit: number = ORPHAN_BATCH_LIMIT,
): Promise<readonly OrphanedRun[]> {
  assertSystemScope(scope);
  const cutoff = cutoffOf(deps, thresholdMinutes);
  const values = [cutoff.toISOString(), assertInt(limit, 'limit', 1, ORPHAN_BATCH_MAX)];
  return guarded(async () => {
    const rows = await run(manager, DETECT, values);
    return Object.freeze(rows.map((row) => toOrphanedRun(row, cutoff)));
  });
}

/**
 * Marks one run crashed, unless it has finished, shown life or been marked since `run.cutoff`: then false, and it stays
 * untouched. `success` stays null: nobody knows. Needs no transaction.
 * @throws InvalidArgumentError for a reason that isn't 1–500 characters
 * @see orphan_recovery.py, mark_run_as_crashed
 */
export async function markRunAsCrashed(
  manager: DriverManager,
  scope: SystemScope,
  deps: ReadDeps,
  run: Pick<OrphanedRun, 'tenantId' | 'runId' | 'cutoff'>,
  reason: string = DEFAULT_CRASH_REASON,
): Promise<boolean> {
  assertSystemScope(scope);
  assertObject(run, 'run');
  const values = [
    assertDate(run.cutoff, 'cutoff').toISOString(),
    assertReason(reason),
    deps.clock.now().toISOString(),
    assertTenantId(run.tenantId),
    assertId(run.runId, 'runId'),
  ];
  return guarded(async () => (await runOne(manager, MARK, values)) !== null);
}

/**
 * Marks up to `limit` orphans crashed, the longest idle first, in one statement. Two callers at once share them: each run
 * is in exactly one result. With `enabled: false` nothing is looked at. Works with autocommit; `hasMore` says to go on.
 * @throws InvalidArgumentError as {@link detectOrphanedRuns} and {@link markRunAsCrashed}; errors of the database propagate
 * @see orphan_recovery.py, recover_orphaned_runs
 */
export async function recoverOrphanedRuns(
  manager: DriverManager,
  scope: SystemScope,
  deps: ReadDeps,
  options: RecoverOptions = {},
): Promise<OrphanRecoveryResult> {
  const { reason: cause } = assertSystemScope(scope);
  const { thresholdMinutes, enabled, limit, reason } = checkOptions(options);
  const cutoff = cutoffOf(deps, thresholdMinutes);
  if (!enabled)
    return Object.freeze({
      detected: 0,
      recovered: 0,
      failed: 0,
      runs: Object.freeze([]),
      enabled: false,
      hasMore: false,
    });
  const values = [cutoff.toISOString(), reason, deps.clock.now().toISOString(), limit];
  const runs = await guarded(async () => (await run(manager, RECOVER, values)).map(toRecoveredRun));
  const recovered = runs.filter((each) => each.markedCrashed).length;
  const result = Object.freeze({
    detected: runs.length,
    recovered,
    failed: runs.length - recovered,
    runs: Object.freeze(runs),
    enabled: true,
    hasMore: runs.length === limit,
  });
  tell(deps.logger ?? noopLogger, result, cause);
  return result;
}

/**
 * How many worker runs of all tenants crashed, and the newest `recentLimit` (1–100, default 10) of them. Reads only.
 * @see orphan_recovery.py, get_crash_recovery_summary
 */
export async function getCrashRecoverySummary(
  manager: DriverManager,
  scope: SystemScope,
  options: { readonly recentLimit?: number } = {},
): Promise<CrashRecoverySummary> {
  assertSystemScope(scope);
  assertObject(options, 'options');
  const limit = assertInt(options.recentLimit ?? RECENT_CRASHES_LIMIT, 'recentLimit', 1, RECENT_CRASHES_MAX);
  return guarded(async () => toCrashSummary(await run(manager, CRASH_SUMMARY, [limit])));
}

/** The four functions on one manager: what the engine is constructed with. */
export interface OrphanRecoveryDriver {
  /** {@link detectOrphanedRuns} */
  detect(scope: SystemScope, thresholdMinutes?: number, limit?: number): Promise<readonly OrphanedRun[]>;
  /** {@link markRunAsCrashed} */
  markCrashed(
    scope: SystemScope,
    run: Pick<OrphanedRun, 'tenantId' | 'runId' | 'cutoff'>,
    reason?: string,
  ): Promise<boolean>;
  /** {@link recoverOrphanedRuns} */
  recover(scope: SystemScope, options?: RecoverOptions): Promise<OrphanRecoveryResult>;
  /** {@link getCrashRecoverySummary} */
  summary(scope: SystemScope, options?: { readonly recentLimit?: number }): Promise<CrashRecoverySummary>;
}

/** The driver on the given manager. */
export function getOrphanRecoveryDriver(manager: DriverManager, deps: ReadDeps): OrphanRecoveryDriver {
  return Object.freeze<OrphanRecoveryDriver>({
    detect: (scope, thresholdMinutes, limit) => detectOrphanedRuns(manager, scope, deps, thresholdMinutes, limit),
    markCrashed: (scope, orphan, reason) => markRunAsCrashed(manager, scope, deps, orphan, reason),
    recover: (scope, options) => recoverOrphanedRuns(manager, scope, deps, options),
    summary: (scope, options) => getCrashRecoverySummary(manager, scope, options),
  });
}

function checkOptions(options: RecoverOptions): Required<RecoverOptions> {
  assertObject(options, 'options');
  const { thresholdMinutes = ORPHAN_THRESHOLD_MINUTES, enabled = RECOVERY_ENABLED } = options;
  if (typeof enabled !== 'boolean') throw invalid('enabled', 'boolean', 'enabled must be true or false');
  return {
    thresholdMinutes,
    enabled,
    limit: assertInt(options.limit ?? ORPHAN_BATCH_LIMIT, 'limit', 1, ORPHAN_BATCH_MAX),
    reason: assertReason(options.reason ?? DEFAULT_CRASH_REASON),
  };
}

function cutoffOf(deps: ReadDeps, thresholdMinutes: number): Date {
  const minutes = assertInt(thresholdMinutes, 'thresholdMinutes', 1, ORPHAN_THRESHOLD_MAX_MINUTES);
  return new Date(deps.clock.now().getTime() - minutes * 60_000);
}

function assertReason(reason: unknown): string {
  const fault = textFault(reason, 1, CRASH_REASON_MAX);
  if (fault !== null) throw invalid('reason', fault, `reason must be a text of 1 to ${CRASH_REASON_MAX} characters`);
  return reason as string;
}

function tell(logger: Logger, { runs, detected, recovered, hasMore }: OrphanRecoveryResult, cause: string): void {
  for (const { tenantId, runId, workerId, originalStatus } of runs)
    logger.warn('orphan_run_marked_crashed', { ...NAMED, tenantId, runId, workerId, originalStatus });
  logger.info('orphan_recovery', { ...NAMED, reason: cause, detected, recovered, hasMore });
}

const NAMED = { logger: ORPHAN_RECOVERY_LOGGER };
