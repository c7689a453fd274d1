import type { SignalFeedbackDriver } from '@hoc/activity/drivers';
import type {
  SignalFeedbackRow,
  SignalFeedbackStatus,
  SuppressionsQuery,
  SuppressRequest,
} from '@hoc/activity/schemas';
import { assertObject, type DriverDeps, type Page, type SystemScope } from '@hoc/shared/kernel';

/** What the engine needs of the driver. */
export type FeedbackDriver = Pick<
  SignalFeedbackDriver,
  'insertFeedback' | 'getSignalFeedback' | 'fetchActiveSuppressions' | 'markExpiredAsEvaluated'
>;

/** The engine on a driver of one unit of work. */
export function getSignalFeedbackEngine(driver: FeedbackDriver, deps: DriverDeps): SignalFeedbackEngine {
  return new SignalFeedbackEngine(driver, deps);
}

/** What people say of signals: seen, not now, look again. The newest answer of a signal counts, from now on. */
export class SignalFeedbackEngine {
  constructor(
    private readonly driver: FeedbackDriver,
    private readonly deps: DriverDeps,
  ) {}

  /** Somebody has seen the signal. @throws InvalidArgumentError for a bad fingerprint or actor */
  async acknowledge(
    tenantId: string,
    signalFingerprint: string,
    { actorId }: { readonly actorId: string },
  ): Promise<SignalFeedbackRow> {
    return this.driver.insertFeedback(tenantId, { signalFingerprint, feedbackState: 'ACKNOWLEDGED', actorId });
  }

  /** Somebody doesn't want to see the signal for `ttlSeconds` (1–31,536,000). */
  async suppress(tenantId: string, signalFingerprint: string, request: SuppressRequest): Promise<SignalFeedbackRow> {
    assertObject(request, 'request');
    const { actorId, ttlSeconds } = request;
    return this.driver.insertFeedback(tenantId, {
      signalFingerprint,
      feedbackState: 'SUPPRESSED',
      actorId,
      ttlSeconds,
    });
  }

  /** Takes back what was said before. */
  async reopen(
    tenantId: string,
    signalFingerprint: string,
    { actorId }: { readonly actorId: string },
  ): Promise<SignalFeedbackRow> {
    return this.driver.insertFeedback(tenantId, { signalFingerprint, feedbackState: 'REOPENED', actorId });
  }

  /** How at most 200 signals stand now; one that nobody answered isn't in the map. */
  async getFeedback(
    tenantId: string,
    fingerprints: readonly string[],
  ): Promise<ReadonlyMap<string, SignalFeedbackStatus>> {
    return this.driver.getSignalFeedback(tenantId, fingerprints);
  }

  /** Suppressions that hold, the soonest to end first. A later page needs the first one's `asOf`. */
  async getActiveSuppressions(tenantId: string, query: SuppressionsQuery = {}): Promise<Page<SignalFeedbackRow>> {
    assertObject(query, 'query');
    const { asOf, limit, cursor } = query;
    return this.driver.fetchActiveSuppressions(tenantId, asOf ?? this.deps.clock.now(), {
      ...(limit === undefined ? {} : { limit }),
      ...(cursor === undefined ? {} : { cursor }),
    });
  }

  /** Marks a round of suppressions that have ended as evaluated; how many. 0: nothing is left. */
  async expireSuppressions(scope: SystemScope): Promise<number> {
    return this.driver.markExpiredAsEvaluated(scope, this.deps.clock.now());
  }
}
