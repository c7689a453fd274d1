import type { RiskLevel } from '@hoc/shared/kernel';

/** Signals of one call. */
export const RUN_SIGNALS_MAX = 100;
/** Runs of one batch of signals. */
export const RUN_SIGNAL_BATCH_MAX = 1000;

/** What signals did to a run's risk level, which only rises. */
export interface RiskLevelChange {
  readonly runId: string;
  readonly previous: RiskLevel;
  readonly current: RiskLevel;
  readonly changed: boolean;
}

/** The signals of one run in a batch. */
export interface RunSignals {
  readonly runId: string;
  /** At most 100 names of `[A-Z0-9_]`, 1–64 characters each. */
  readonly signals: readonly string[];
}

/** The figures of a completed run that its limits are compared with; null where nobody measured. */
export interface RunFiguresForSignals {
  readonly status: string;
  readonly durationMs: number | null;
  readonly inputTokens: number | null;
  readonly outputTokens: number | null;
  /** Cents, decimal text. */
  readonly estimatedCostCents: string | null;
}

/** Limits that the caller has resolved for one run; an absent one bounds nothing. */
export interface RunSignalLimits {
  readonly maxExecutionTimeMs?: number;
  readonly maxTokens?: number;
  /** Cents, decimal text. */
  readonly maxCostCents?: string;
}
