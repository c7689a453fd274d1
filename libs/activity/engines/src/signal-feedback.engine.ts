import type { SignalFeedbackDriver } from '@hoc/activity/drivers';
import type {
  FeedbackRequest,
  SignalFeedbackRow,
  SignalFeedbackStatus,
  SuppressionsQuery,
  SuppressRequest,
} from '@hoc/activity/schemas';
import {
  assertDate,
  assertObject,
  assertTenantId,
  decodeCursor,
  type DriverDeps,
  encodeCursor,
  filterFingerprint,
  invalid,
  type Page,
  refusedCursor,
  type SystemScope,
} from '@hoc/shared/kernel';

/** What the engine needs of the driver. */
export type FeedbackDriver = Pick<
  SignalFeedbackDriver,
  'insertFeedback' | 'getSignalFeedback' | 'fetchActiveSuppressions' | 'markExpiredAsEvaluated'
>;

/** The engine on a driver of one unit of work. */
export function getSignalFeedbackEngine(driver: FeedbackDriver, deps: DriverDeps): SignalFeedbackEngine {
  return new SignalFeedbackEngine(driver, deps);
}

/**
 * What people say of signals: seen, not now, look again. The newest answer of a signal counts, from now on; a signal is
 * known by its fingerprint, as `computeSignalFingerprint` makes it. No method needs a transaction: each is one statement.
 */
export class SignalFeedbackEngine {
  constructor(
    private readonly driver: FeedbackDriver,
    private readonly deps: DriverDeps,
  ) {}

  /** Somebody has seen the signal. @throws InvalidArgumentError for a bad fingerprint, actor or bulk action, or an unknown key */
  async acknowledge(tenantId: string, signalFingerprint: string, request: FeedbackRequest): Promise<SignalFeedbackRow> {
    const tenant = assertTenantId(tenantId);
    const answer = known(request, 'request', ANSWER_KEYS);
    return this.driver.insertFeedback(tenant, { ...answer, signalFingerprint, feedbackState: 'ACKNOWLEDGED' });
  }

  /** Somebody doesn't want to see the signal for `ttlSeconds` (1–31,536,000) from now. @throws as {@link acknowledge} */
  async suppress(tenantId: string, signalFingerprint: string, request: SuppressRequest): Promise<SignalFeedbackRow> {
    const tenant = assertTenantId(tenantId);
    const answer = known(request, 'request', SUPPRESS_KEYS);
    return this.driver.insertFeedback(tenant, { ...answer, signalFingerprint, feedbackState: 'SUPPRESSED' });
  }

  /** Takes back what was said before: neither seen nor suppressed. @throws as {@link acknowledge} */
  async reopen(tenantId: string, signalFingerprint: string, request: FeedbackRequest): Promise<SignalFeedbackRow> {
    const tenant = assertTenantId(tenantId);
    const answer = known(request, 'request', ANSWER_KEYS);
    return this.driver.insertFeedback(tenant, { ...answer, signalFingerprint, feedbackState: 'REOPENED' });
  }

  /** How at most 200 signals stand now; one that nobody answered isn't in the map. @throws InvalidArgumentError for a bad fingerprint or more of them */
  async getFeedback(
    tenantId: string,
    fingerprints: readonly string[],
  ): Promise<ReadonlyMap<string, SignalFeedbackStatus>> {
    return this.driver.getSignalFeedback(tenantId, fingerprints);
  }

  /**
   * Suppressions that hold, the soonest to end first. All pages are of the first one's instant: its cursor carries it. One
   * that is answered or marked as ended between two pages is in none that follows.
   * @throws InvalidArgumentError for a bad instant or limit, an unknown key, or a cursor of another tenant or instant
   */
  async getActiveSuppressions(tenantId: string, query: SuppressionsQuery = {}): Promise<Page<SignalFeedbackRow>> {
    const tenant = assertTenantId(tenantId);
    const { asOf, limit, cursor } = known(query, 'query', QUERY_KEYS);
    const fingerprint = filterFingerprint(KIND, tenant, {});
    const asked = asOf === undefined ? null : assertDate(asOf, 'asOf');
    const follow = cursor === undefined ? null : placeOf(cursor, fingerprint);
    if (asked !== null && follow !== null && asked.getTime() !== follow.at.getTime()) throw refusedCursor();
    const at = follow?.at ?? asked ?? this.deps.clock.now();
    const page = await this.driver.fetchActiveSuppressions(tenant, at, {
      ...(limit === undefined ? {} : { limit }),
      ...(follow === null ? {} : { cursor: follow.inner }),
    });
    return Object.freeze({
      items: page.items,
      nextCursor:
        page.nextCursor === null ? null : encodeCursor(KIND, fingerprint, [at.toISOString(), page.nextCursor]),
    });
  }

  /**
   * System-wide: marks a round, at most 1,000, of suppressions that have ended as evaluated; how many, 0 when nothing is
   * left. It changes no answer that counts; `ActivitySweeps.expireSuppressions` repeats it.
   * @throws TenantScopeError without a scope
   */
  async expireSuppressions(scope: SystemScope): Promise<number> {
    return this.driver.markExpiredAsEvaluated(scope, this.deps.clock.now());
  }
}

const KIND = 'active_suppressions';
const ANSWER_KEYS: readonly string[] = ['actorId', 'bulkActionId', 'targetSetHash', 'targetCount'];
const SUPPRESS_KEYS: readonly string[] = [...ANSWER_KEYS, 'ttlSeconds'];
const QUERY_KEYS: readonly string[] = ['asOf', 'limit', 'cursor'];

/** A misspelt key would be an answer that nobody gave. */
function known<T extends object>(value: T, field: string, keys: readonly string[]): T {
  assertObject(value, field);
  if (Object.keys(value).some((key) => !keys.includes(key)))
    throw invalid(field, 'unknown_key', `the ${field} has an unknown key`);
  return value;
}

/** The list's instant, and the driver's own cursor, which knows tenant and instant as well. */
function placeOf(cursor: string, fingerprint: string): { readonly at: Date; readonly inner: string } {
  const [instant, inner] = decodeCursor(cursor, KIND, fingerprint, 2);
  const at = new Date(instant ?? Number.NaN);
  if (Number.isNaN(at.getTime()) || at.toISOString() !== instant) throw refusedCursor();
  if (inner === null || inner === undefined) throw refusedCursor();
  return { at, inner };
}
