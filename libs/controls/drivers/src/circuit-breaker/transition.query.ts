import { type Statement, statement } from '@hoc/shared/drivers';
import { INCIDENT_COLUMNS, type IncidentColumns } from './incident.query';

const HISTORY = `status_history (id, entity_type, entity_id, old_status, new_status, actor_type, actor_id, reason, metadata, created_at)`;
const ALERT = `costsim_alert_queue (id, circuit_breaker_name, alert_type, payload, incident_id, next_attempt_at, created_at)`;

/**
 * $1 breaker, $2 clock, $3 the new incident, $4 reason, $5 severity, $6 drift, $7 samples, $8 details, $9 by whom,
 * $10 until when, $11 counter or null, $12 the incident that this one supersedes or null, $13 id, $14 actor type and
 * $15 metadata of the history, $16 id and $17 payload of the alert. Opens the breaker; without a row of it nothing happens.
 * The old incident is counted before the new one is written: two open ones would break `uq_cb_incident_open`.
 */
export const TRIP: Statement<{ readonly name: string }> = statement(
  'breaker_trip',
  `WITH opened AS (
     UPDATE costsim_cb_state SET disabled = true, disabled_by = $9, disabled_reason = $4, disabled_until = $10::timestamptz,
       opened_at = $2::timestamptz, incident_id = $3, updated_at = $2::timestamptz,
       consecutive_failures = coalesce($11::integer, consecutive_failures),
       last_failure_at = CASE WHEN $11::integer IS NULL THEN last_failure_at ELSE $2::timestamptz END
     WHERE name = $1
     RETURNING name
   ), superseded AS (
     UPDATE costsim_cb_incidents SET resolved = true, resolved_at = $2::timestamptz, resolved_by = $9,
       resolution_notes = 'Superseded by ' || $3
     WHERE circuit_breaker_name = $1 AND id = $12 AND NOT resolved
     RETURNING id
   ), incident AS (
     INSERT INTO costsim_cb_incidents (id, circuit_breaker_name, timestamp, reason, severity, drift_score, sample_count, details)
     SELECT $3, o.name, $2::timestamptz, $4, $5, $6::float8, $7::integer, $8::jsonb
     FROM opened o CROSS JOIN (SELECT count(*) FROM superseded) AS counted
   ), history AS (
     INSERT INTO ${HISTORY}
     SELECT $13, 'circuit_breaker', name, CASE WHEN $12 IS NULL THEN 'enabled' ELSE 'disabled' END, 'disabled', $14, $9, $4,
       $15::jsonb, $2::timestamptz
     FROM opened
   ), alert AS (
     INSERT INTO ${ALERT}
     SELECT $16, name, 'disable', $17::jsonb, $3, $2::timestamptz, $2::timestamptz FROM opened
   )
   SELECT name FROM opened`,
);

/**
 * $1 breaker, $2 clock, $3 close only what has expired, $4 by whom, $5 notes, $6 id, $7 actor type, $8 actor and $9 reason
 * of the history, $10 id and $11 payload of the alert. Closes the breaker and resolves its incident; the counter starts
 * anew. No row: nothing was open, or somebody else has the row in hand. Milliseconds, as the rules see the end.
 *
 * Whoever has the row in hand moves it himself, and a check must not wait for his transaction: SKIP LOCKED. A row that
 * moved on between the snapshot and the lock is looked at again, with the incident of the snapshot: were it opened anew
 * meanwhile, its new incident couldn't be seen, and so couldn't be resolved, by this statement. Hence the join.
 */
export const CLOSE: Statement<{ readonly incident_id: string }> = statement(
  'breaker_close',
  `WITH open AS MATERIALIZED (
     SELECT s.name, s.incident_id, s.disabled_reason
     FROM costsim_cb_state s JOIN costsim_cb_incidents i ON i.id = s.incident_id
     WHERE s.name = $1 AND s.disabled AND (NOT $3::boolean OR date_trunc('milliseconds', s.disabled_until) <= $2::timestamptz)
     FOR NO KEY UPDATE OF s SKIP LOCKED
   ), closed AS (
     UPDATE costsim_cb_state s SET disabled = false, disabled_by = NULL, disabled_reason = NULL, disabled_until = NULL,
       opened_at = NULL, incident_id = NULL, consecutive_failures = 0, updated_at = $2::timestamptz
     FROM open o WHERE s.name = o.name
   ), resolved AS (
     UPDATE costsim_cb_incidents i SET resolved = true, resolved_at = $2::timestamptz, resolved_by = $4, resolution_notes = $5
     FROM open o WHERE i.id = o.incident_id AND NOT i.resolved
   ), history AS (
     INSERT INTO ${HISTORY}
     SELECT $6, 'circuit_breaker', name, 'disabled', 'enabled', $7, $8, $9,
       jsonb_build_object('old_incident_id', incident_id, 'old_reason', disabled_reason), $2::timestamptz
     FROM open
   ), alert AS (
     INSERT INTO ${ALERT}
     SELECT $10, name, 'enable', $11::jsonb, NULL, $2::timestamptz, $2::timestamptz FROM open
   )
   SELECT incident_id FROM open`,
);

/**
 * $1 breaker, $2 clock, $3 until when, $4 by whom, $5 id and $6 metadata of the history: another end of the opening that
 * stands, and its incident. The caller holds the row.
 */
export const EXTEND: Statement<IncidentColumns> = statement(
  'breaker_extend',
  `WITH extended AS (
     UPDATE costsim_cb_state SET disabled_until = $3::timestamptz, disabled_by = $4, updated_at = $2::timestamptz
     WHERE name = $1 AND disabled
     RETURNING name, incident_id, disabled_reason
   ), history AS (
     INSERT INTO ${HISTORY}
     SELECT $5, 'circuit_breaker', name, 'disabled', 'disabled', 'user', $4, disabled_reason, $6::jsonb, $2::timestamptz
     FROM extended
   )
   SELECT ${INCIDENT_COLUMNS} FROM extended e JOIN costsim_cb_incidents i ON i.id = e.incident_id`,
);
