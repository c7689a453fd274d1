export type { DriverManager } from '@hoc/shared/drivers';
export type { UsageFilter } from '@hoc/activity/schemas';
export { ActivityReadDriver, getActivityReadDriver } from './activity-read.driver';
export {
  CALL_IDS_MAX,
  CusTelemetryDriver,
  DAILY_RANGE_MAX_DAYS,
  getCusTelemetryDriver,
  INTEGRATIONS_MAX,
  USAGE_BATCH_MAX_ROWS,
  USAGE_CHUNK_ROWS,
  USAGE_COPY_MIN_ROWS,
  utcNow,
} from './cus-telemetry.driver';
export {
  DEFAULT_CRASH_REASON,
  detectOrphanedRuns,
  FEATURE_INTENT,
  getCrashRecoverySummary,
  getOrphanRecoveryDriver,
  markRunAsCrashed,
  ORPHAN_BATCH_LIMIT,
  ORPHAN_RECOVERY_LOGGER,
  ORPHAN_THRESHOLD_MINUTES,
  type OrphanRecoveryDriver,
  RECENT_CRASHES_LIMIT,
  recoverOrphanedRuns,
  RECOVERY_ENABLED,
  RETRY_POLICY,
} from './orphan-recovery.driver';
export { getRunLifecycleDriver, RUN_BATCH_MAX_ROWS, RunLifecycleDriver } from './run-lifecycle.driver';
export {
  DEFAULT_RISK_LEVEL,
  getRunSignalDriver,
  maxRiskLevel,
  maxRiskLevelForSignals,
  RISK_LEVEL_PRIORITY,
  riskLevelForSignal,
  RunSignalDriver,
  SIGNAL_TO_RISK_LEVEL,
  UNKNOWN_SIGNAL_RISK_LEVEL,
} from './run-signal.driver';
export { getSignalFeedbackDriver, SignalFeedbackDriver } from './signal-feedback.driver';
