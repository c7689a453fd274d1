import { type Statement, statement } from '@hoc/shared/drivers';
import type { JsonObject } from '@hoc/shared/kernel';

/** A stored incident and its place in the list. */
export interface IncidentColumns {
  readonly id: string;
  readonly timestamp: Date;
  readonly reason: string;
  readonly severity: string;
  readonly drift_score: number | null;
  readonly sample_count: number | null;
  readonly details: JsonObject;
  readonly resolved: boolean;
  readonly resolved_at: Date | null;
  readonly resolved_by: string | null;
  readonly resolution_notes: string | null;
  readonly alert_sent: boolean;
  readonly alert_sent_at: Date | null;
  readonly position: string;
}

/** What {@link IncidentColumns} reads, of a table called `i`. */
export const INCIDENT_COLUMNS = `i.id, i.timestamp, i.reason, i.severity, i.drift_score, i.sample_count, i.details, i.resolved, i.resolved_at,
  i.resolved_by, i.resolution_notes, i.alert_sent, i.alert_sent_at,
  to_char(i.timestamp AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS position`;

const list = (label: string, condition: string): Statement<IncidentColumns> =>
  statement(
    label,
    `SELECT ${INCIDENT_COLUMNS} FROM costsim_cb_incidents i
     WHERE i.circuit_breaker_name = $1 AND (i.timestamp, i.id) < ($2::timestamptz, $3)${condition}
     ORDER BY i.timestamp DESC, i.id DESC
     LIMIT $4`,
    { replan: true },
  );

/** $1 breaker, $2 and $3 where the page goes on, $4 limit. */
export const INCIDENTS: Statement<IncidentColumns> = list('breaker_incidents', '');
/** The same of what isn't resolved, by an index that holds nothing else. */
export const OPEN_INCIDENTS: Statement<IncidentColumns> = list('breaker_open_incidents', ' AND NOT i.resolved');

/** $1 breaker, $2 incident, $3 by whom, $4 notes, $5 clock. */
export const RESOLVE_INCIDENT: Statement<{ readonly id: string }> = statement(
  'breaker_resolve_incident',
  `UPDATE costsim_cb_incidents
   SET resolved = true, resolved_at = $5::timestamptz, resolved_by = $3, resolution_notes = $4
   WHERE circuit_breaker_name = $1 AND id = $2 AND NOT resolved
   RETURNING id`,
);

/** $1 id, $2 breaker, $3 type, $4 payload, $5 incident, $6 clock. */
export const ENQUEUE_ALERT: Statement<object> = statement(
  'breaker_enqueue_alert',
  `INSERT INTO costsim_alert_queue (id, circuit_breaker_name, alert_type, payload, incident_id, next_attempt_at, created_at)
   VALUES ($1, $2, $3, $4::jsonb, $5, $6::timestamptz, $6::timestamptz)`,
);
