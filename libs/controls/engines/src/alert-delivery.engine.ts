import {
  ALERT_CLAIM_LIMIT,
  ALERT_CLAIM_MAX,
  ALERT_LEASE_MAX_SECONDS,
  ALERT_LEASE_SECONDS,
  ALERT_SEND_CONCURRENCY,
  ALERT_SEND_TIMEOUT_MS,
  type AlertDeliveryResult,
  type AlertQueuePort,
  type AlertTransport,
  type ClaimedAlert,
  type DeliverAlertsOptions,
} from '@hoc/controls/schemas';
import {
  assertInt,
  assertObject,
  HocError,
  type Logger,
  noopLogger,
  type ReadDeps,
  UnavailableError,
  type UnitOfWorkRunner,
} from '@hoc/shared/kernel';
import { alertFailureText } from './alert-failure.engine';

/** What a transaction of the delivery needs. */
export interface AlertDeliveryEngines {
  readonly alerts: AlertQueuePort;
}

/** What became of one claimed alert; `neither`: it is due again when its lease ends, or another worker has it. */
type Outcome = 'sent' | 'failed' | 'neither';

/**
 * Brings queued alerts to their receiver: claims them in one transaction, sends them **outside** any, and marks each in a
 * transaction of its own. At least once: a worker that dies, or a mark that fails, leaves an alert that is due again when
 * its lease ends; two workers never have the same live lease. Starts no timer by itself: the consumer's scheduler calls.
 * @see circuit_breaker.py, _post_alertmanager, which posted inside the transaction that held the breaker's lock
 */
export class AlertDeliveryEngine {
  private readonly running = new Set<Promise<unknown>>();
  private readonly logger: Logger;
  private closing: Promise<void> | undefined;

  /** @param transport the consumer's; without one `deliverDue` refuses */
  constructor(
    private readonly run: UnitOfWorkRunner<AlertDeliveryEngines>,
    private readonly transport: AlertTransport | undefined,
    private readonly deps: ReadDeps,
  ) {
    this.logger = deps.logger ?? noopLogger;
  }

  /**
   * Delivers up to `limit` due alerts, four at a time. No send outlives its lease: each has its share of it, ten seconds at
   * most, after which its signal aborts and the delivery has failed. What goes wrong with one alert stops no other.
   * @returns an alert whose lease ended meanwhile, or whose mark failed, is in `claimed` alone
   * @throws InvalidArgumentError for a limit out of 1–200 or a lease out of 1–3,600 s; UnavailableError with
   * `details.reason` `transport_missing` or `closed`, neither retryable; whatever the claim throws
   * @see circuit_breaker.py, _post_alertmanager
   */
  async deliverDue(options: DeliverAlertsOptions = {}): Promise<AlertDeliveryResult> {
    assertObject(options, 'options');
    const limit = assertInt(options.limit ?? ALERT_CLAIM_LIMIT, 'limit', 1, ALERT_CLAIM_MAX);
    const leaseSeconds = assertInt(
      options.leaseSeconds ?? ALERT_LEASE_SECONDS,
      'leaseSeconds',
      1,
      ALERT_LEASE_MAX_SECONDS,
    );
    if (this.closing !== undefined) throw refusal('closed', 'closed: no alert is delivered any more');
    if (this.transport === undefined)
      throw refusal('transport_missing', 'alerts can not be delivered: no transport was given');
    const work = this.deliver(this.transport, limit, leaseSeconds);
    this.running.add(work);
    try {
      return await work;
    } finally {
      this.running.delete(work);
    }
  }

  /** Takes no further delivery, and resolves when those that run have sent and marked what they claimed. */
  close(): Promise<void> {
    return (this.closing ??= Promise.allSettled([...this.running]).then(() => undefined));
  }

  private async deliver(transport: AlertTransport, limit: number, leaseSeconds: number): Promise<AlertDeliveryResult> {
    const claimed = await this.run(({ alerts }) => alerts.claimDueAlerts({ limit, leaseSeconds }));
    const timeoutMs = shareOf(leaseSeconds * 1000, claimed.length);
    const count = { sent: 0, failed: 0, neither: 0 };
    const waiting = claimed.values();
    const lane = async (): Promise<void> => {
      for (const alert of waiting) count[await this.deliverOne(transport, alert, timeoutMs)] += 1;
    };
    await Promise.all(Array.from({ length: ALERT_SEND_CONCURRENCY }, lane));
    const { sent, failed } = count;
    return Object.freeze({ claimed: claimed.length, sent, failed });
  }

  private async deliverOne(transport: AlertTransport, alert: ClaimedAlert, timeoutMs: number): Promise<Outcome> {
    const named = { alertId: alert.alertId, alertType: alert.alertType, circuitBreaker: alert.circuitBreakerName };
    // Nobody freezes a Date: what a transport does to its own changes no lease.
    const lockedUntil = new Date(alert.lockedUntil.getTime());
    if (this.deps.clock.now().getTime() + timeoutMs > lockedUntil.getTime()) {
      this.logger.warn('alert_lease_too_short', named);
      return 'neither';
    }
    const failure = await send(transport, alert, timeoutMs);
    try {
      const marked = await this.run(({ alerts }) =>
        failure === null
          ? alerts.markAlertSent(alert.alertId, lockedUntil)
          : alerts.markAlertFailed(alert.alertId, lockedUntil, failure),
      );
      if (!marked) {
        this.logger.warn('alert_lease_lost', named);
        return 'neither';
      }
    } catch (error) {
      this.logger.error('alert_mark_failed', { ...named, code: HocError.is(error) ? error.code : 'INTERNAL' });
      return 'neither';
    }
    if (failure === null) return 'sent';
    const attempt = alert.attempts + 1;
    const givenUp = attempt >= alert.maxAttempts;
    this.logger[givenUp ? 'error' : 'warn'](givenUp ? 'alert_given_up' : 'alert_delivery_failed', {
      ...named,
      attempt,
      error: failure,
    });
    return 'failed';
  }
}

/** Why the alert did not arrive; null where it did. Never rejects. */
async function send(transport: AlertTransport, alert: ClaimedAlert, timeoutMs: number): Promise<string | null> {
  const aborter = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  // Decided here and not by the transport: one that doesn't heed its signal would hold the lane for ever.
  const over = new Promise<'over'>((resolve) => {
    timer = setTimeout(() => {
      resolve('over');
      aborter.abort(refusal('timeout', 'the time for this alert is over'));
    }, timeoutMs);
  });
  try {
    const answer = await Promise.race([sending(transport, alert, aborter.signal), over]);
    if (answer === 'over') return `no answer within ${timeoutMs} ms`;
    const status: unknown = Reflect.get(answer, 'status');
    if (typeof status !== 'number' || !Number.isInteger(status)) return 'the transport gave no HTTP status';
    return status >= 200 && status <= 299 ? null : `the receiver answered ${status}`;
  } catch (error) {
    return alertFailureText(error, alert);
  } finally {
    clearTimeout(timer);
  }
}

/** A throw before the first await is a failed send too. */
const sending = async (transport: AlertTransport, alert: ClaimedAlert, signal: AbortSignal) =>
  Object(await transport.send(alert, signal)) as object;

/** One share of the lease for each round of sends, and one for the marks. */
function shareOf(leaseMs: number, alerts: number): number {
  const rounds = Math.ceil(alerts / ALERT_SEND_CONCURRENCY);
  return Math.min(ALERT_SEND_TIMEOUT_MS, Math.floor(leaseMs / (rounds + 1)));
}

const refusal = (reason: string, message: string): UnavailableError =>
  new UnavailableError(message, { details: { reason } });
