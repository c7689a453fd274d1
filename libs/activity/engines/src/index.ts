export {
  type ActivityDeps,
  type ActivityEngines,
  type ActivityRunner,
  type ActivityServices,
} from './activity-engines.engine';
export {
  ActivityFacade,
  type AttentionQuery,
  type CompletedRunsQuery,
  type FacadeDeps,
  getActivityFacade,
  type LiveRunsQuery,
  NEAR_THRESHOLD_RATIO,
  type ReadDriver,
  type RunsQuery,
  type SignalsQuery,
} from './activity-facade.engine';
export {
  type ActivitySweeps,
  createActivitySweeps,
  type OrphanSweepOptions,
  type SweepEngines,
} from './activity-sweeps.engine';
export { attentionQueue } from './attention-queue.engine';
export {
  ATTENTION_CANDIDATES_MAX,
  ATTENTION_WINDOW_HOURS,
  type AttentionCandidate,
  computeAttentionScore,
  rankByAttention,
  RISK_SEVERITY_SCORE,
} from './attention-ranking.engine';
export { type AzureTraceLine, isAzureTraceHeader, parseAzureTraceLine } from './azure-trace.engine';
export { azureCallId, jsonLineCallId } from './call-id.engine';
export { CusTelemetryEngine, getCusTelemetryEngine, type TelemetryDriver } from './cus-telemetry.engine';
export { getOrphanRecoveryEngine, OrphanRecoveryEngine, type OrphanRecoveryPolicy } from './orphan-recovery.engine';
export { getRunLifecycleEngine, type LifecycleDriver, RunLifecycleEngine } from './run-lifecycle.engine';
export { evaluateRunSignals, getRunSignalEngine, RunSignalEngine, type SignalDriver } from './run-signal.engine';
export { type FeedbackDriver, getSignalFeedbackEngine, SignalFeedbackEngine } from './signal-feedback.engine';
export {
  computeSignalFingerprint,
  computeSignalFingerprintFromRow,
  type SignalIdentity,
} from './signal-identity.engine';
export { SIGNAL_SCAN_MAX_CALLS, signalPage } from './signal-page.engine';
export { RISK_LEVELS_OF_SEVERITY, signalTypeOf, toSignal } from './signal-projection.engine';
export { splitLines } from './split-lines.engine';
export { type CoalescerEngines, createUsageCoalescer, UsageCoalescer } from './usage-coalescer.engine';
export { importAzureTrace, importUsageJsonLines } from './usage-import.engine';
export { createUsageImporter, type UsageImporter } from './usage-importer.engine';
export { type JsonLineDefaults, type JsonUsageLine, parseJsonUsageLine } from './usage-json-lines.engine';
export { costCents, parsePriceTable, priceTable } from './usage-pricing.engine';
