import type { RunEvidencePort, RunProofPort, SignalFeedbackPort } from '@hoc/activity/schemas';
import type { DriverDeps, UnitOfWorkRunner } from '@hoc/shared/kernel';
import type { ActivityFacade } from './activity-facade.engine';
import type { ActivitySweeps } from './activity-sweeps.engine';
import type { CusTelemetryEngine } from './cus-telemetry.engine';
import type { OrphanRecoveryEngine } from './orphan-recovery.engine';
import type { RunLifecycleEngine } from './run-lifecycle.engine';
import type { RunSignalEngine } from './run-signal.engine';
import type { SignalFeedbackEngine } from './signal-feedback.engine';
import type { UsageCoalescer } from './usage-coalescer.engine';
import type { UsageImporter } from './usage-importer.engine';

/** What the engines of this package need from the consumer; the ports are optional, and filled by other domains' engines. */
export interface ActivityDeps extends DriverDeps {
  readonly evidence?: RunEvidencePort;
  readonly proof?: RunProofPort;
  /** Absent: this package's own signal feedback. */
  readonly feedback?: SignalFeedbackPort;
}

/** The engines of one transaction. */
export interface ActivityEngines {
  /** Runs as an operator's console shows them. */
  readonly activity: ActivityFacade;
  /** Usage of LLM calls. */
  readonly telemetry: CusTelemetryEngine;
  /** Worker runs whose process died. */
  readonly orphans: OrphanRecoveryEngine;
  /** Risk levels of runs. */
  readonly signals: RunSignalEngine;
  /** Recording of runs. */
  readonly lifecycle: RunLifecycleEngine;
  /** What people say of signals. */
  readonly feedback: SignalFeedbackEngine;
}

/** What spans transactions; made once per process. */
export interface ActivityServices {
  /** Single calls at the rate of batches. */
  readonly coalescer: UsageCoalescer;
  readonly importer: UsageImporter;
  /** What a scheduler calls. */
  readonly sweeps: ActivitySweeps;
  /** Waits for what runs and for what waits; a second call gives the same promise. */
  close(): Promise<void>;
}

/** One call, one transaction, with the engines on it. */
export type ActivityRunner = UnitOfWorkRunner<ActivityEngines>;
