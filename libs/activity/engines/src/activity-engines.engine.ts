import type { DriverDeps, UnitOfWorkRunner } from '@hoc/shared/kernel';
import type { CusTelemetryEngine } from './cus-telemetry.engine';
import type { UsageImporter } from './usage-importer.engine';

/** What the engines of this package need from the consumer. */
export type ActivityDeps = DriverDeps;

/** The engines of one transaction. */
export interface ActivityEngines {
  readonly telemetry: CusTelemetryEngine;
}

/** What spans transactions; made once per process. */
export interface ActivityServices {
  readonly importer: UsageImporter;
  /** Waits for what runs; a second call gives the same promise. */
  close(): Promise<void>;
}

/** One call, one transaction, with the engines on it. */
export type ActivityRunner = UnitOfWorkRunner<ActivityEngines>;
