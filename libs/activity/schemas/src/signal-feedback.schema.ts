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

/** Who answers a signal, and of which action on many signals the answer is a part. */
export interface FeedbackRequest {
  /** Who says so, 1–200 characters. */
  readonly actorId: string;
  /** The action's id, 1–100 characters. */
  readonly bulkActionId?: string;
  /** A hash of the set of signals that the action meant, 1–100 characters. */
  readonly targetSetHash?: string;
  /** The size of that set, 0 or more. */
  readonly targetCount?: number;
}

/** Who suppresses a signal, and for how long. */
export interface SuppressRequest extends FeedbackRequest {
  /** 1–31,536,000. */
  readonly ttlSeconds: number;
}

/** A feedback to store. */
export interface NewSignalFeedback extends FeedbackRequest {
  /** 32 hex digits. */
  readonly signalFingerprint: string;
  /** EVALUATED is what an ended suppression becomes: nobody says it. */
  readonly feedbackState: Exclude<FeedbackState, 'EVALUATED'>;
  /** Exactly with SUPPRESSED: 1–31,536,000. */
  readonly ttlSeconds?: number;
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

/** A page of suppressions. */
export interface SuppressionsQuery {
  /** The instant at which they hold. Default: the clock, and with a cursor the instant of the first page. */
  readonly asOf?: Date;
  /** 1–200, default 50. */
  readonly limit?: number;
  /** The `nextCursor` of the page before. */
  readonly cursor?: string;
}
