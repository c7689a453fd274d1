import {
  ALERT_BACKOFF_MAX_SECONDS,
  ALERT_CLAIM_LIMIT,
  ALERT_CLAIM_MAX,
  ALERT_ERROR_MAX,
  ALERT_LEASE_MAX_SECONDS,
  ALERT_LEASE_SECONDS,
  ALERT_RETRY_LIMIT,
  ALERT_RETRY_MAX,
  ALERT_TYPES,
  type AlertQueuePort,
  type AlertQueueStats,
  type ClaimAlertsOptions,
  type ClaimedAlert,
  type RetryAlertsOptions,
} from '@hoc/controls/schemas';
import { type DriverManager, guarded, run, runOne, storedValue } from '@hoc/shared/drivers';
import {
  assertDate,
  assertId,
  assertInt,
  assertObject,
  assertSystemScope,
  deepFreeze,
  invalid,
  type ReadDeps,
  type SystemScope,
  textFault,
  toSafeInteger,
} from '@hoc/shared/kernel';
import { CLAIM, type ClaimedColumns, MARK_FAILED, MARK_SENT, RETRY, STATS } from './alert-queue/alert-queue.query';

/**
 * Takes up to `limit` alerts that are due and that nobody has, the longest due first, for this worker until clock +
 * `leaseSeconds`. One that isn't marked by then is due again: an alert of a worker that died is lost to nobody. One
 * statement: needs no transaction, and must be committed before the alerts are sent.
 * @throws TenantScopeError without a scope, InvalidArgumentError for a limit out of 1–200 or a lease out of 1–3,600 s
 * @see circuit_breaker_async.py, _enqueue_alert: here is the other end of its queue
 */
export async function claimDueAlerts(
  manager: DriverManager,
  scope: SystemScope,
  deps: ReadDeps,
  options: ClaimAlertsOptions = {},
): Promise<readonly ClaimedAlert[]> {
  assertSystemScope(scope);
  assertObject(options, 'options');
  const limit = assertInt(options.limit ?? ALERT_CLAIM_LIMIT, 'limit', 1, ALERT_CLAIM_MAX);
  const lease = assertInt(options.leaseSeconds ?? ALERT_LEASE_SECONDS, 'leaseSeconds', 1, ALERT_LEASE_MAX_SECONDS);
  const now = deps.clock.now();
  const until = new Date(now.getTime() + lease * 1000);
  return guarded(async () => {
    const rows = await run(manager, CLAIM, [now.toISOString(), until.toISOString(), limit]);
    return Object.freeze(rows.map(toClaimedAlert));
  });
}

/**
 * Marks an alert delivered, and says so of its incident. False where it isn't pending any more or its lease is no longer
 * the one named: then another worker has it, and nothing changes. A lease that has ended but that nobody took since still
 * counts: the receiver has the alert. One statement; needs no transaction.
 * @param lockedUntil the lease, as the claim gave it
 * @throws InvalidArgumentError for a malformed id or lease
 */
export async function markAlertSent(
  manager: DriverManager,
  scope: SystemScope,
  deps: ReadDeps,
  alertId: string,
  lockedUntil: Date,
): Promise<boolean> {
  assertSystemScope(scope);
  const values = [...leaseOf(alertId, lockedUntil), deps.clock.now().toISOString()];
  return guarded(async () => (await runOne(manager, MARK_SENT, values)) !== null);
}

/**
 * Counts a failed delivery: the alert is due again min(2^attempts, 300) seconds from now, and at its last attempt it is
 * given up (`failed`). False where the lease is no longer the one named, as {@link markAlertSent}. One statement.
 * @param error why it failed, at most 500 characters; stored as it is, so without secrets
 * @throws InvalidArgumentError for a malformed id, lease or text
 */
export async function markAlertFailed(
  manager: DriverManager,
  scope: SystemScope,
  deps: ReadDeps,
  alertId: string,
  lockedUntil: Date,
  error: string,
): Promise<boolean> {
  assertSystemScope(scope);
  const values = [
    ...leaseOf(alertId, lockedUntil),
    deps.clock.now().toISOString(),
    assertError(error),
    ALERT_BACKOFF_MAX_SECONDS,
  ];
  return guarded(async () => (await runOne(manager, MARK_FAILED, values)) !== null);
}

/**
 * Takes up to `limit` given-up alerts up again, the oldest first: pending, due now, with all their attempts before them.
 * Their last error stays. Two callers at once share them. One statement; answers how many.
 * @throws InvalidArgumentError for a limit out of 1–1,000
 */
export async function retryFailedAlerts(
  manager: DriverManager,
  scope: SystemScope,
  deps: ReadDeps,
  options: RetryAlertsOptions = {},
): Promise<number> {
  assertSystemScope(scope);
  assertObject(options, 'options');
  const limit = assertInt(options.limit ?? ALERT_RETRY_LIMIT, 'limit', 1, ALERT_RETRY_MAX);
  const values = [deps.clock.now().toISOString(), limit];
  return guarded(async () => toSafeInteger((await runOne(manager, RETRY, values))?.count ?? 0, 'count'));
}

/** How many alerts are pending, sent and given up, and since when the oldest pending one waits. Reads only. */
export async function fetchAlertQueueStats(manager: DriverManager, scope: SystemScope): Promise<AlertQueueStats> {
  assertSystemScope(scope);
  return guarded(async () => {
    const row = await runOne(manager, STATS, []);
    return Object.freeze({
      pending: toSafeInteger(row?.pending ?? 0, 'pending'),
      sent: toSafeInteger(row?.sent ?? 0, 'sent'),
      failed: toSafeInteger(row?.failed ?? 0, 'failed'),
      oldestPendingAt: row?.oldest_pending_at ?? null,
    });
  });
}

/** The functions of the queue on one manager: what the delivery of alerts is given for each transaction. */
export function getAlertQueue(manager: DriverManager, scope: SystemScope, deps: ReadDeps): AlertQueuePort {
  assertSystemScope(scope);
  return Object.freeze<AlertQueuePort>({
    claimDueAlerts: (options) => claimDueAlerts(manager, scope, deps, options),
    markAlertSent: (alertId, lockedUntil) => markAlertSent(manager, scope, deps, alertId, lockedUntil),
    markAlertFailed: (alertId, lockedUntil, error) =>
      markAlertFailed(manager, scope, deps, alertId, lockedUntil, error),
    retryFailedAlerts: (options) => retryFailedAlerts(manager, scope, deps, options),
    fetchAlertQueueStats: () => fetchAlertQueueStats(manager, scope),
  });
}

const toClaimedAlert = (row: ClaimedColumns): ClaimedAlert =>
  deepFreeze({
    alertId: row.id,
    alertType: storedValue(row.alert_type, ALERT_TYPES, 'alertType'),
    circuitBreakerName: row.circuit_breaker_name,
    incidentId: row.incident_id,
    payload: row.payload,
    attempts: row.attempts,
    maxAttempts: row.max_attempts,
    createdAt: row.created_at,
    lockedUntil: row.locked_until,
  });

const leaseOf = (alertId: string, lockedUntil: Date): readonly string[] => [
  assertId(alertId, 'alertId'),
  assertDate(lockedUntil, 'lockedUntil').toISOString(),
];

function assertError(error: unknown): string {
  const fault = textFault(error, 0, ALERT_ERROR_MAX);
  if (fault !== null) throw invalid('error', fault, `error must be a text of at most ${ALERT_ERROR_MAX} characters`);
  return error as string;
}
