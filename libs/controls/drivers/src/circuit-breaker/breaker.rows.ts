import { BREAKER_SEVERITIES, type CircuitBreakerConfig, CircuitBreakerState, Incident } from '@hoc/controls/schemas';
import { storedValue } from '@hoc/shared/drivers';
import { deepFreeze } from '@hoc/shared/kernel';
import { type BreakerRow, effectiveOpen } from '../circuit-breaker.rules';
import type { IncidentColumns } from './incident.query';
import type { StateColumns } from './state.query';

/** A stored breaker as the rules read it. */
export const toBreakerRow = (row: StateColumns): BreakerRow =>
  Object.freeze({
    name: row.name,
    disabled: row.disabled,
    disabledBy: row.disabled_by,
    disabledReason: row.disabled_reason,
    disabledUntil: row.disabled_until,
    openedAt: row.opened_at,
    incidentId: row.incident_id,
    consecutiveFailures: row.consecutive_failures,
    lastFailureAt: row.last_failure_at,
  });

/** What a caller is told of a breaker; null is one that nobody has used yet. */
export function toState(row: BreakerRow | null, now: Date, config: CircuitBreakerConfig): CircuitBreakerState {
  const open = row !== null && effectiveOpen(row, now, config) ? row : null;
  return new CircuitBreakerState({
    isOpen: open !== null,
    openedAt: open?.openedAt ?? null,
    reason: open?.disabledReason ?? null,
    incidentId: open?.incidentId ?? null,
    consecutiveFailures: row?.consecutiveFailures ?? 0,
    lastFailureAt: row?.lastFailureAt ?? null,
    disabledUntil: open?.disabledUntil ?? null,
    disabledBy: open?.disabledBy ?? null,
  });
}

/** A stored incident. */
export const toIncident = (row: IncidentColumns): Incident =>
  new Incident({
    id: row.id,
    timestamp: row.timestamp,
    reason: row.reason,
    severity: storedValue(row.severity, BREAKER_SEVERITIES, 'severity'),
    driftScore: row.drift_score ?? 0,
    sampleCount: row.sample_count ?? 0,
    details: deepFreeze(row.details),
    resolved: row.resolved,
    resolvedAt: row.resolved_at,
    resolvedBy: row.resolved_by,
    resolutionNotes: row.resolution_notes,
    alertSent: row.alert_sent,
    alertSentAt: row.alert_sent_at,
  });
