import type { CircuitBreakerConfig, Incident, TripInput } from '@hoc/controls/schemas';
import { type DriverManager, instantText, runOne } from '@hoc/shared/drivers';
import { type DriverDeps, type JsonObject, noopLogger } from '@hoc/shared/kernel';
import { type BreakerRow, buildDisableAlertPayload, buildEnableAlertPayload } from '../circuit-breaker.rules';
import { toIncident } from './breaker.rows';
import { BREAKER_ITSELF, type Closing, lost, newIncident } from './records.rules';
import { CLOSE, EXTEND, TRIP } from './transition.query';

/** One breaker in one unit of work. */
export interface BreakerContext {
  readonly manager: DriverManager;
  readonly deps: DriverDeps;
  readonly name: string;
  readonly config: Readonly<CircuitBreakerConfig>;
  /** Why the caller reaches across tenants: for the log. */
  readonly reason: string;
}

/** Opens the breaker, whose row the caller holds: incident, state, history and alert. One statement. */
export async function openBreaker(breaker: BreakerContext, input: TripInput): Promise<Incident> {
  const { manager, deps, name, config } = breaker;
  const { severity, driftScore, sampleCount, disabledBy, disabledUntil } = input;
  const now = deps.clock.now();
  const incident = newIncident(deps.ids.next(), now, input);
  const metadata: JsonObject = {
    incident_id: incident.id,
    severity,
    drift_score: driftScore,
    disabled_until: instantText(disabledUntil),
  };
  const opened = await runOne(manager, TRIP, [
    name,
    now.toISOString(),
    incident.id,
    incident.reason,
    severity,
    driftScore,
    sampleCount,
    JSON.stringify(incident.details),
    disabledBy,
    instantText(disabledUntil),
    input.failures ?? null,
    input.supersedes ?? null,
    deps.ids.next(),
    disabledBy === BREAKER_ITSELF ? BREAKER_ITSELF : 'user',
    JSON.stringify(metadata),
    deps.ids.next(),
    JSON.stringify(buildDisableAlertPayload(incident, disabledUntil, config, name, now)),
  ]);
  if (opened === null) throw lost('the state of the breaker');
  log(breaker, 'circuit_breaker_opened', { incident: incident.id, severity });
  return incident;
}

/**
 * Closes the breaker if it is open, with `expiredOnly` if its time is over by `now`: state, incident, history and alert.
 * Whether this call did. One statement; a row that somebody else holds stays as it is.
 */
export async function closeBreaker(
  breaker: BreakerContext,
  closing: Closing,
  now: Date,
  { expiredOnly }: { readonly expiredOnly: boolean },
): Promise<boolean> {
  const { manager, deps, name, config } = breaker;
  const closed = await runOne(manager, CLOSE, [
    name,
    now.toISOString(),
    expiredOnly,
    closing.resolvedBy,
    closing.notes,
    deps.ids.next(),
    closing.actorType,
    closing.actorId,
    closing.historyReason,
    deps.ids.next(),
    JSON.stringify(buildEnableAlertPayload(closing.resolvedBy, closing.reason, config, name, now)),
  ]);
  if (closed === null) return false;
  log(breaker, 'circuit_breaker_closed', { incident: closed.incident_id, by: closing.actorType });
  return true;
}

/** Gives the opening, whose row the caller holds, another end; its incident. One statement. */
export async function extendOpening(
  { manager, deps, name }: BreakerContext,
  row: BreakerRow,
  disabledUntil: Date | null,
  disabledBy: string,
): Promise<Incident> {
  const until = instantText(disabledUntil);
  const incident = await runOne(manager, EXTEND, [
    name,
    deps.clock.now().toISOString(),
    until,
    disabledBy,
    deps.ids.next(),
    JSON.stringify({ incident_id: row.incidentId, disabled_until: until }),
  ]);
  if (incident === null) throw lost('the open incident of the breaker');
  return toIncident(incident);
}

function log({ deps, name, reason }: BreakerContext, event: string, fields: JsonObject): void {
  (deps.logger ?? noopLogger).info(event, { breaker: name, reason, ...fields });
}
