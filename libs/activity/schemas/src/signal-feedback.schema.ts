/** What somebody, or an expiry, said of a signal. */
export const FEEDBACK_STATES = Object.freeze(['ACKNOWLEDGED', 'SUPPRESSED', 'REOPENED', 'EVALUATED'] as const);
/** One of {@link FEEDBACK_STATES}. */
export type FeedbackState = (typeof FEEDBACK_STATES)[number];

/** Fingerprints of one look-up. */
export const FINGERPRINTS_MAX = 200;
/** The longest suppression: a year, in seconds. */
export const SUPPRESSION_TTL_MAX = 31_536_000;
/** Characters of an actor's id. */
export const ACTOR_ID_MAX = 200;
/** Expired suppressions that one call marks. */
export const EXPIRY_BATCH_LIMIT = 1000;

/** A feedback to store. */
export interface NewSignalFeedback {
  /** 32 hex digits. */
  readonly signalFingerprint: string;
  readonly feedbackState: Exclude<FeedbackState, 'EVALUATED'>;
  /** Who says so, 1–200 characters. */
  readonly actorId: string;
  /** Exactly with SUPPRESSED: 1–31,536,000. */
  readonly ttlSeconds?: number;
  /** Of one action on many signals: its id, a hash of the set that was meant, and its size. */
  readonly bulkActionId?: string;
  readonly targetSetHash?: string;
  readonly targetCount?: number;
}

/** A stored feedback. */
export interface SignalFeedbackRow {
  readonly id: string;
  readonly signalFingerprint: string;
  readonly feedbackState: FeedbackState;
  readonly actorId: string;
  /** It holds from this instant on. */
  readonly asOf: Date;
  readonly ttlSeconds: number | null;
  /** Exclusive; null where it doesn't end. */
  readonly expiresAt: Date | null;
  readonly bulkActionId: string | null;
  readonly targetSetHash: string | null;
  readonly targetCount: number | null;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** Who suppresses a signal, and for how long. */
export interface SuppressRequest {
  readonly actorId: string;
  /** 1–31,536,000. */
  readonly ttlSeconds: number;
}

/** A page of suppressions. */
export interface SuppressionsQuery {
  /** Default: the clock. */
  readonly asOf?: Date;
  /** 1–200, default 50. */
  readonly limit?: number;
  readonly cursor?: string;
}
