import type { JsonValue } from '@hoc/shared/kernel';
import type { AlertType } from './controls-enums.schema';

/** Alerts of one claim where the caller names no limit. */
export const ALERT_CLAIM_LIMIT = 10;
/** Alerts of one claim, at most. */
export const ALERT_CLAIM_MAX = 200;
/** Seconds that a worker has a claimed alert for itself where the caller names none. */
export const ALERT_LEASE_SECONDS = 60;
/** The longest lease: an hour. */
export const ALERT_LEASE_MAX_SECONDS = 3_600;
/** Given-up alerts that one retry takes up again where the caller names no limit. */
export const ALERT_RETRY_LIMIT = 100;
/** Given-up alerts of one retry, at most. */
export const ALERT_RETRY_MAX = 1_000;
/** The longest pause between two deliveries of one alert, in seconds. */
export const ALERT_BACKOFF_MAX_SECONDS = 300;
/** Characters of the text that tells why a delivery failed. */
export const ALERT_ERROR_MAX = 500;
/** Alerts of one delivery that are on their way at the same time. */
export const ALERT_SEND_CONCURRENCY = 4;
/** The longest that one send may take, in milliseconds; a short lease makes it shorter. */
export const ALERT_SEND_TIMEOUT_MS = 10_000;

/** An alert that a worker has for itself until `lockedUntil`. Frozen at every level. */
export interface ClaimedAlert {
  readonly alertId: string;
  readonly alertType: AlertType;
  readonly circuitBreakerName: string;
  readonly incidentId: string | null;
  /** What the receiver is sent: the array of an Alertmanager's `POST /api/v2/alerts`. */
  readonly payload: readonly JsonValue[];
  /** Deliveries that failed so far. */
  readonly attempts: number;
  /** At so many failed deliveries the alert is given up. */
  readonly maxAttempts: number;
  readonly createdAt: Date;
  /** Exclusive; also the lease's name: the alert is marked under it. */
  readonly lockedUntil: Date;
}

/** What a claim takes. */
export interface ClaimAlertsOptions {
  /** 1–{@link ALERT_CLAIM_MAX}, default {@link ALERT_CLAIM_LIMIT}. */
  readonly limit?: number;
  /** 1–{@link ALERT_LEASE_MAX_SECONDS}, default {@link ALERT_LEASE_SECONDS}. */
  readonly leaseSeconds?: number;
}

/** What a delivery takes: the options of its claim. */
export type DeliverAlertsOptions = ClaimAlertsOptions;

/** What a retry takes. */
export interface RetryAlertsOptions {
  /** 1–{@link ALERT_RETRY_MAX}, default {@link ALERT_RETRY_LIMIT}. */
  readonly limit?: number;
}

/** What one delivery did. */
export interface AlertDeliveryResult {
  /** Alerts that it took. As many as its limit: more may be due, deliver again. */
  readonly claimed: number;
  /** Accepted by the receiver, and marked so. */
  readonly sent: number;
  /** Not accepted: each is due again after its pause, or given up at its last attempt. */
  readonly failed: number;
}

/** The queue in numbers. */
export interface AlertQueueStats {
  readonly pending: number;
  readonly sent: number;
  /** Given up: they wait for `retryFailedAlerts`. */
  readonly failed: number;
  /** When the oldest pending alert was queued; null where none is pending. */
  readonly oldestPendingAt: Date | null;
}

/** Sends an alert to its receiver: the consumer's own code. */
export interface AlertTransport {
  /**
   * Sends one alert and answers with the receiver's HTTP status; 200–299 is accepted, anything else and every throw is a
   * failed delivery. `signal` aborts when the time for the send is over: what happens after that is ignored.
   */
  send(alert: ClaimedAlert, signal: AbortSignal): Promise<{ readonly status: number }>;
}

/** The alert queue on one manager: what the driver of alerts offers, its functions bound. */
export interface AlertQueuePort {
  /** Takes due alerts for this worker until the lease ends, the longest due first. */
  claimDueAlerts(options?: ClaimAlertsOptions): Promise<readonly ClaimedAlert[]>;
  /** Marks an alert delivered; false where the lease is no longer this worker's. */
  markAlertSent(alertId: string, lockedUntil: Date): Promise<boolean>;
  /** Counts a failed delivery; false where the lease is no longer this worker's. */
  markAlertFailed(alertId: string, lockedUntil: Date, error: string): Promise<boolean>;
  /** Takes up given-up alerts again; how many. */
  retryFailedAlerts(options?: RetryAlertsOptions): Promise<number>;
  /** The queue in numbers. */
  fetchAlertQueueStats(): Promise<AlertQueueStats>;
}
