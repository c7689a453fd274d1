import type { CircuitBreakerConfig, Incident } from '@hoc/controls/schemas';
import { assertDate, invalid, type JsonObject, type JsonValue } from '@hoc/shared/kernel';

/** What is stored of a breaker; what belongs to an opening is null while it isn't disabled. */
export interface BreakerRow {
  readonly name: string;
  readonly disabled: boolean;
  readonly disabledBy: string | null;
  readonly disabledReason: string | null;
  readonly disabledUntil: Date | null;
  readonly openedAt: Date | null;
  readonly incidentId: string | null;
  readonly consecutiveFailures: number;
  readonly lastFailureAt: Date | null;
}

/** What says until when a row is disabled. */
export type BreakerClosing = Pick<BreakerRow, 'disabled' | 'disabledUntil'>;

/** What an observed drift does to the counter and the breaker. */
export interface DriftDecision {
  /** Failures in a row, this one included. */
  readonly counter: number;
  readonly failed: boolean;
  readonly trip: boolean;
}

/** Disabled, and its time is over: it counts as closed, whether somebody has written that or not. */
export function isExpired(
  { disabled, disabledUntil }: BreakerClosing,
  now: Date,
  { autoRecoverEnabled }: Pick<CircuitBreakerConfig, 'autoRecoverEnabled'>,
): boolean {
  return autoRecoverEnabled && disabled && disabledUntil !== null && disabledUntil <= now;
}

/** Whether the breaker stops its callers at `now`. */
export function effectiveOpen(
  row: BreakerClosing,
  now: Date,
  config: Pick<CircuitBreakerConfig, 'autoRecoverEnabled'>,
): boolean {
  return row.disabled && !isExpired(row, now, config);
}

/** The row as a recovery leaves it. */
export function closedRow(row: BreakerRow): BreakerRow {
  return {
    ...row,
    disabled: false,
    disabledBy: null,
    disabledReason: null,
    disabledUntil: null,
    openedAt: null,
    incidentId: null,
    consecutiveFailures: 0,
  };
}

/**
 * What a drift of 0–1 does to a row that isn't expired. Exactly the threshold is no failure; an open breaker goes on
 * counting and doesn't open again.
 *
 * @see circuit_breaker.py, CircuitBreaker.report_drift
 */
export function decideDrift(
  row: Pick<BreakerRow, 'disabled' | 'consecutiveFailures'>,
  driftScore: number,
  config: Pick<CircuitBreakerConfig, 'driftThreshold' | 'failureThreshold' | 'autoDisableEnabled'>,
): DriftDecision {
  const failed = driftScore > config.driftThreshold;
  const counter = failed ? Math.min(row.consecutiveFailures + 1, COUNTER_MAX) : 0;
  return {
    counter,
    failed,
    trip: failed && !row.disabled && config.autoDisableEnabled && counter >= config.failureThreshold,
  };
}

/** The column is an `integer`: a breaker that fails for years stays at its end. */
const COUNTER_MAX = 2_147_483_647;

/**
 * Until when a breaker that opens at `now` stays open: what is asked for, the default where nothing is, null until a
 * person closes it.
 * @throws InvalidArgumentError for what isn't a Date after `now` and before the year 10000
 */
export function resolveDisabledUntil(
  requested: Date | null | undefined,
  now: Date,
  { defaultDisableTtlHours }: Pick<CircuitBreakerConfig, 'defaultDisableTtlHours'>,
): Date | null {
  if (requested === null) return null;
  if (requested === undefined)
    return defaultDisableTtlHours === 0 ? null : new Date(now.getTime() + defaultDisableTtlHours * HOUR_MS);
  const until = assertDate(requested, 'disabledUntil');
  if (until <= now) throw invalid('disabledUntil', 'past', 'disabledUntil must lie in the future');
  if (until.getTime() >= YEAR_10000) throw invalid('disabledUntil', 'range', 'disabledUntil must lie before 10000');
  return until;
}

const HOUR_MS = 3_600_000;
const YEAR_10000 = Date.UTC(10_000, 0, 1);

/** How the breaker that an alert is about presents itself. */
export type AlertingConfig = Pick<CircuitBreakerConfig, 'instanceId' | 'runbookUrl'>;

/**
 * The alert of an opening, as Alertmanager takes it: a list of one.
 *
 * @see circuit_breaker.py, CircuitBreaker._send_alert_disable
 */
export function buildDisableAlertPayload(
  { id, reason, severity, driftScore, sampleCount }: Incident,
  disabledUntil: Date | null,
  config: AlertingConfig,
  name: string,
  now: Date,
): JsonValue {
  const runbook: JsonObject = config.runbookUrl === null ? {} : { runbook_url: config.runbookUrl };
  return [
    {
      labels: {
        ...labelsOf('CostSimV2Disabled', severity.toLowerCase(), config, name),
        incident_id: id,
      },
      annotations: {
        summary: `CostSim V2 circuit breaker tripped (${severity})`,
        description: [
          `Reason: ${reason}`,
          `Drift score: ${driftScore.toFixed(4)}`,
          `Sample count: ${sampleCount}`,
          `Disabled until: ${disabledUntil?.toISOString() ?? 'manual reset required'}`,
        ].join('\n'),
        ...runbook,
      },
      startsAt: now.toISOString(),
    },
  ];
}

/**
 * The alert of a closing, as Alertmanager takes it: a list of one that ends as it starts.
 *
 * @see circuit_breaker.py, CircuitBreaker._send_alert_enable
 */
export function buildEnableAlertPayload(
  enabledBy: string,
  reason: string | undefined,
  config: AlertingConfig,
  name: string,
  now: Date,
): JsonValue {
  return [
    {
      labels: labelsOf('CostSimV2Reenabled', 'info', config, name),
      annotations: {
        summary: 'CostSim V2 circuit breaker re-enabled',
        description: `Re-enabled by: ${enabledBy}\nReason: ${reason ?? 'Not specified'}`,
      },
      startsAt: now.toISOString(),
      endsAt: now.toISOString(),
    },
  ];
}

function labelsOf(alertname: string, severity: string, { instanceId }: AlertingConfig, name: string): JsonObject {
  return { alertname, severity, component: 'costsim', circuit_breaker: name, instance: instanceId };
}
