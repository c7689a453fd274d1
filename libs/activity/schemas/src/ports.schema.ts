import type { JsonObject } from '@hoc/shared/kernel';

/** What one run caused elsewhere: the answer of a {@link RunEvidencePort}. */
export interface RunEvidenceResult {
  readonly runId: string;
  readonly incidentsCaused: readonly JsonObject[];
  readonly policiesTriggered: readonly JsonObject[];
  readonly decisionsMade: readonly JsonObject[];
  readonly limitsHit: readonly JsonObject[];
}

/** That a run's record is whole: the answer of a {@link RunProofPort}. */
export interface RunProofResult {
  readonly runId: string;
  readonly integrity: {
    /** Name of the method, for example `hash_chain`. */
    readonly model: string;
    readonly rootHash: string | null;
    readonly verificationStatus: string;
    readonly chainLength: number;
    readonly failureReason: string | null;
  };
  readonly traces: readonly JsonObject[];
  readonly steps: readonly JsonObject[];
  /** Null unless payloads were asked for. */
  readonly rawLogs: readonly JsonObject[] | null;
}

/** What somebody said of a signal, as it stands at one instant. */
export interface SignalFeedbackStatus {
  readonly acknowledged: boolean;
  readonly acknowledgedBy: string | null;
  readonly acknowledgedAt: Date | null;
  readonly suppressed: boolean;
  /** Exclusive. */
  readonly suppressedUntil: Date | null;
}

/** Evidence of a run, from the domains that hold it; the consumer binds one through the deps of `compose`. */
export interface RunEvidencePort {
  getRunEvidence(tenantId: string, runId: string): Promise<RunEvidenceResult>;
}

/** Proof of a run's record, from whoever keeps it; the consumer binds one through the deps of `compose`. */
export interface RunProofPort {
  getRunProof(tenantId: string, runId: string, options: { readonly includePayloads: boolean }): Promise<RunProofResult>;
}

/**
 * Feedback on many signals at once: the original asked once per signal. Filled by this package's `SignalFeedbackDriver`
 * unless the deps of `compose` name another one. A fingerprint without feedback isn't in the map.
 */
export interface SignalFeedbackPort {
  getSignalFeedback(
    tenantId: string,
    fingerprints: readonly string[],
  ): Promise<ReadonlyMap<string, SignalFeedbackStatus>>;
}
