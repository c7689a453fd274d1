import {
  assertId,
  assertInt,
  assertObject,
  type InvalidArgumentError,
  invalid,
  type JsonObject,
  type JsonValue,
} from '@hoc/shared/kernel';
import type { BreakerSeverity } from './controls-enums.schema';

/** How a breaker decides. @see circuit_breaker.py, the settings it read from the environment; nothing does here */
export interface CircuitBreakerConfig {
  /** A drift above it is a failure; 0–1. */
  readonly driftThreshold: number;
  /** A drift above it, up to the threshold, is a warning; 0–`driftThreshold`. */
  readonly driftWarningThreshold: number;
  /** Schema errors of one report that open the breaker; 1–1,000,000. */
  readonly schemaErrorThreshold: number;
  /** Failures in a row that open the breaker; 1–1,000. */
  readonly failureThreshold: number;
  /** Off: failures are counted, and only a person opens the breaker. */
  readonly autoDisableEnabled: boolean;
  /** Off: an open breaker stays so beyond its time, until a person closes it. */
  readonly autoRecoverEnabled: boolean;
  /** How long it stays open where nobody says; 0–8,760, and 0 is until a person closes it. */
  readonly defaultDisableTtlHours: number;
  /** Names the deployment in alerts; 1–100 characters. */
  readonly instanceId: string;
  /** An http(s) URL of at most 2,048 characters that goes along with a disable alert. */
  readonly runbookUrl: string | null;
}

/** What counts where nothing else is said. */
export const DEFAULT_CIRCUIT_BREAKER_CONFIG: Readonly<CircuitBreakerConfig> = Object.freeze({
  driftThreshold: 0.2,
  driftWarningThreshold: 0.15,
  schemaErrorThreshold: 5,
  failureThreshold: 3,
  autoDisableEnabled: true,
  autoRecoverEnabled: true,
  defaultDisableTtlHours: 24,
  instanceId: 'hoc',
  runbookUrl: null,
});

/**
 * The defaults with these changes, checked and frozen; an absent member keeps its default. Where only a drift threshold
 * below the default warning is given, the warning comes down to it.
 * @throws InvalidArgumentError naming the member, an unknown one included
 */
export function circuitBreakerConfig(changes: Partial<CircuitBreakerConfig> = {}): Readonly<CircuitBreakerConfig> {
  const given = Object.entries(assertObject(changes, 'config')).filter(([, value]) => value !== undefined);
  // Made for every unit of work, mostly as it is.
  if (given.length === 0) return DEFAULT_CIRCUIT_BREAKER_CONFIG;
  const unknown = given.find(([key]) => !Object.hasOwn(DEFAULT_CIRCUIT_BREAKER_CONFIG, key));
  if (unknown !== undefined) throw invalid('config', 'unknown_key', 'config holds a member that no breaker has');
  const merged: CircuitBreakerConfig = { ...DEFAULT_CIRCUIT_BREAKER_CONFIG, ...Object.fromEntries(given) };
  const driftThreshold = assertFraction(merged.driftThreshold, 'driftThreshold', 1);
  const warning =
    changes.driftWarningThreshold === undefined
      ? Math.min(merged.driftWarningThreshold, driftThreshold)
      : changes.driftWarningThreshold;
  return Object.freeze({
    driftThreshold,
    driftWarningThreshold: assertFraction(warning, 'driftWarningThreshold', driftThreshold),
    schemaErrorThreshold: assertInt(merged.schemaErrorThreshold, 'schemaErrorThreshold', 1, 1_000_000),
    failureThreshold: assertInt(merged.failureThreshold, 'failureThreshold', 1, 1000),
    autoDisableEnabled: assertFlag(merged.autoDisableEnabled, 'autoDisableEnabled'),
    autoRecoverEnabled: assertFlag(merged.autoRecoverEnabled, 'autoRecoverEnabled'),
    defaultDisableTtlHours: assertInt(merged.defaultDisableTtlHours, 'defaultDisableTtlHours', 0, 8760),
    instanceId: assertId(merged.instanceId, 'instanceId'),
    runbookUrl: merged.runbookUrl === null ? null : assertHttpUrl(merged.runbookUrl, 'runbookUrl'),
  });
}

/** What a {@link CircuitBreakerState} is made of. */
export interface CircuitBreakerStateFields {
  readonly isOpen: boolean;
  readonly openedAt: Date | null;
  readonly reason: string | null;
  readonly incidentId: string | null;
  readonly consecutiveFailures: number;
  readonly lastFailureAt: Date | null;
  readonly disabledUntil: Date | null;
  readonly disabledBy: string | null;
}

/**
 * A breaker as it stands at one instant; immutable. What belongs to an opening (`openedAt`, `reason`, `incidentId`,
 * `disabledUntil`, `disabledBy`) is null while it is closed. Instants are UTC.
 *
 * @see circuit_breaker.py, CircuitBreakerState
 */
export class CircuitBreakerState implements CircuitBreakerStateFields {
  readonly isOpen: boolean;
  readonly openedAt: Date | null;
  readonly reason: string | null;
  readonly incidentId: string | null;
  /** Failures in a row, also while it is open. */
  readonly consecutiveFailures: number;
  readonly lastFailureAt: Date | null;
  /** Null while open: until a person closes it. */
  readonly disabledUntil: Date | null;
  readonly disabledBy: string | null;

  constructor(fields: CircuitBreakerStateFields) {
    this.isOpen = fields.isOpen;
    this.openedAt = fields.openedAt;
    this.reason = fields.reason;
    this.incidentId = fields.incidentId;
    this.consecutiveFailures = fields.consecutiveFailures;
    this.lastFailureAt = fields.lastFailureAt;
    this.disabledUntil = fields.disabledUntil;
    this.disabledBy = fields.disabledBy;
    Object.freeze(this);
  }

  /** As JSON: the same names, instants as ISO texts, what is absent as null. @see circuit_breaker.py, CircuitBreakerState.to_dict */
  toDict(): JsonObject {
    return dictOf(this);
  }
}

/** What an {@link Incident} is made of. */
export interface IncidentFields {
  readonly id: string;
  readonly timestamp: Date;
  readonly reason: string;
  readonly severity: BreakerSeverity;
  readonly driftScore: number;
  readonly sampleCount: number;
  readonly details: JsonObject;
  readonly resolved: boolean;
  readonly resolvedAt: Date | null;
  readonly resolvedBy: string | null;
  readonly resolutionNotes: string | null;
  readonly alertSent: boolean;
  readonly alertSentAt: Date | null;
}

/**
 * One opening of a breaker, from the instant it opened; immutable. At most one of a breaker is unresolved. Instants are UTC.
 *
 * @see circuit_breaker.py, Incident
 */
export class Incident implements IncidentFields {
  readonly id: string;
  readonly timestamp: Date;
  readonly reason: string;
  readonly severity: BreakerSeverity;
  /** 0–1; 0 where a person opened the breaker, 1 for schema errors. */
  readonly driftScore: number;
  readonly sampleCount: number;
  readonly details: JsonObject;
  readonly resolved: boolean;
  readonly resolvedAt: Date | null;
  readonly resolvedBy: string | null;
  readonly resolutionNotes: string | null;
  readonly alertSent: boolean;
  readonly alertSentAt: Date | null;

  constructor(fields: IncidentFields) {
    this.id = fields.id;
    this.timestamp = fields.timestamp;
    this.reason = fields.reason;
    this.severity = fields.severity;
    this.driftScore = fields.driftScore;
    this.sampleCount = fields.sampleCount;
    this.details = fields.details;
    this.resolved = fields.resolved;
    this.resolvedAt = fields.resolvedAt;
    this.resolvedBy = fields.resolvedBy;
    this.resolutionNotes = fields.resolutionNotes;
    this.alertSent = fields.alertSent;
    this.alertSentAt = fields.alertSentAt;
    Object.freeze(this);
  }

  /** As JSON: the same names, instants as ISO texts, what is absent as null. @see circuit_breaker.py, Incident.to_dict */
  toDict(): JsonObject {
    return dictOf(this);
  }
}

/** {@link Incident} under a name that is clear beside the shared incidents. */
export const CircuitBreakerIncident = Incident;
/** {@link Incident} under a name that is clear beside the shared incidents. */
export type CircuitBreakerIncident = Incident;

const RUNBOOK_URL_MAX = 2048;

function assertFraction(value: unknown, field: string, max: number): number {
  if (typeof value !== 'number' || !(value >= 0 && value <= max))
    throw invalid(field, 'range', `${field} must be a number from 0 to ${max}`);
  return value;
}

function assertFlag(value: unknown, field: string): boolean {
  if (typeof value !== 'boolean') throw invalid(field, 'boolean', `${field} must be true or false`);
  return value;
}

function assertHttpUrl(value: unknown, field: string): string {
  const refused: InvalidArgumentError = invalid(field, 'url', `${field} must be an http or https URL, or null`);
  if (typeof value !== 'string' || value.length > RUNBOOK_URL_MAX || !/^https?:\/\//i.test(value)) throw refused;
  if (!URL.canParse(value)) throw refused;
  return value;
}

function dictOf(fields: CircuitBreakerStateFields | IncidentFields): JsonObject {
  const entries = Object.entries(fields) as [string, JsonValue | Date][];
  return Object.freeze(
    Object.fromEntries(entries.map(([key, value]) => [key, value instanceof Date ? value.toISOString() : value])),
  );
}
