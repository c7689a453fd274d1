import type { JsonObject } from '@hoc/shared/kernel';
import type { CircuitBreakerConfig, Incident } from './circuit-breaker.schema';
import type { BreakerSeverity } from './controls-enums.schema';

/** Which breaker, and how it decides. */
export interface CircuitBreakerOptions {
  /** 1–100 characters; `CB_NAME` by default. */
  readonly name?: string;
  /** Wins over the one in `config`. */
  readonly failureThreshold?: number;
  /** Wins over the one in `config`. */
  readonly driftThreshold?: number;
  readonly config?: Partial<CircuitBreakerConfig>;
}

/** What opens a breaker. */
export interface TripInput {
  readonly reason: string;
  readonly severity: BreakerSeverity;
  /** 0–1. */
  readonly driftScore: number;
  readonly sampleCount: number;
  readonly details: JsonObject;
  readonly disabledBy: string;
  /** Null: until a person closes it. */
  readonly disabledUntil: Date | null;
  /** The counter to store, and with it the instant as that of the last failure; absent, both stay. */
  readonly failures?: number;
  /** The open incident that the new one takes the place of. */
  readonly supersedes?: string | null;
}

/** A drift that somebody measured. */
export interface DriftReport {
  /** 0–1. */
  readonly driftScore: number;
  /** At least 1, the default. */
  readonly sampleCount?: number;
  /** At most 64 KiB, kept with the incident. */
  readonly details?: JsonObject;
}

/** Schema errors that somebody counted. */
export interface SchemaErrorReport {
  /** From 0; default 1. */
  readonly errorCount?: number;
  /** At most 64 KiB, kept with the incident. */
  readonly details?: JsonObject;
}

/** A person's wish to open a breaker. */
export interface BreakerDisableRequest {
  /** 1–500 characters. */
  readonly reason: string;
  /** 1–128 characters. */
  readonly disabledBy: string;
  /** Absent: the default time; null: until a person closes it; else after now. */
  readonly disabledUntil?: Date | null;
}

/** Whether anything changed, and the incident that is open then; null where nothing did. */
export interface BreakerDisableOutcome {
  readonly changed: boolean;
  readonly incident: Incident | null;
}

/** A person's wish to close a breaker. */
export interface BreakerEnableRequest {
  /** 1–128 characters. */
  readonly enabledBy: string;
  /** 1–500 characters. */
  readonly reason?: string;
}

/** Which incidents, and which page of them. */
export interface BreakerIncidentsRequest {
  /** Default false. */
  readonly includeResolved?: boolean;
  /** 1–200, default 10. */
  readonly limit?: number;
  /** The `nextCursor` of the page before; absent for the first one. */
  readonly cursor?: string;
}
