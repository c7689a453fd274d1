import { Incident, type TripInput } from '@hoc/controls/schemas';
import {
  assertJsonObject,
  DataIntegrityError,
  invalid,
  JSON_MAX_BYTES,
  type JsonObject,
  textFault,
} from '@hoc/shared/kernel';
import { jsonbBytes } from '../stored-json.rules';

/** Who opened a breaker that nobody opened. */
export const BREAKER_ITSELF = 'circuit_breaker';
/** Characters of who did it. */
export const BREAKER_ACTOR_MAX = 128;
/** What an `integer` column holds. */
export const INTEGER_MAX = 2_147_483_647;
const REASON_MAX = 500;

/** Whoever closes a breaker, in the words of each record of it. */
export interface Closing {
  readonly resolvedBy: string;
  readonly notes: string;
  readonly actorType: 'system' | 'user';
  readonly actorId: string;
  readonly historyReason: string;
  /** For the alert; absent where nobody gave one. */
  readonly reason: string | undefined;
}

/** A closing because its time was over. */
export const RECOVERY: Closing = Object.freeze({
  resolvedBy: 'system-auto-recover',
  notes: 'Auto-recovered after TTL expired',
  actorType: 'system',
  actorId: 'auto-recover',
  historyReason: 'TTL expired, auto-recovery triggered',
  reason: 'TTL expired, auto-recovery triggered',
});

/** A closing by a person, or by nobody in particular; `notes` where no reason is given. */
export function manualClosing(person: string | undefined, reason: string | undefined, notes: string): Closing {
  const by = person ?? 'manual';
  const said = reason ?? notes;
  const actorType = person === undefined ? 'system' : 'user';
  return { resolvedBy: by, notes: said, actorType, actorId: by, historyReason: said, reason };
}

/** The incident that an opening at `now` is. */
export const newIncident = (id: string, now: Date, { reason, severity, driftScore, sampleCount, details }: TripInput) =>
  new Incident({
    id,
    timestamp: now,
    reason,
    severity,
    driftScore,
    sampleCount,
    details,
    resolved: false,
    resolvedAt: null,
    resolvedBy: null,
    resolutionNotes: null,
    alertSent: false,
    alertSentAt: null,
  });

/** 0–1, and never a negative zero. @throws InvalidArgumentError naming `driftScore` */
export function assertScore(value: unknown): number {
  if (typeof value !== 'number' || !(value >= 0 && value <= 1))
    throw invalid('driftScore', 'range', 'driftScore must be a number from 0 to 1');
  return value + 0;
}

/** 1–500 characters. @throws InvalidArgumentError naming `reason` */
export function assertReason(value: unknown): string {
  const fault = textFault(value, 1, REASON_MAX);
  if (fault !== null) throw invalid('reason', fault, `reason must be a text of 1 to ${REASON_MAX} characters`);
  return value as string;
}

/**
 * Details of a report: JSON of at most 64 KiB, as `jsonb` prints it too, which is what the column is bound by. Looked at in
 * every report: found out when the breaker has to open, it would not open.
 * @throws InvalidArgumentError naming `details`
 */
export function assertDetails(value: unknown): JsonObject {
  const details = assertJsonObject(value, 'details');
  if (jsonbBytes(details) > JSON_MAX_BYTES)
    throw invalid('details', 'size', `details must not exceed ${JSON_MAX_BYTES} bytes as they are stored`);
  return details;
}

/** The error where a row isn't there that this transaction made or holds. */
export const lost = (what: string): DataIntegrityError =>
  new DataIntegrityError(`${what} is not there`, { details: { reason: 'missing_row' } });
