import {
  ACTOR_ID_MAX,
  EXPIRY_BATCH_LIMIT,
  FEEDBACK_STATES,
  FINGERPRINTS_MAX,
  type NewSignalFeedback,
  type SignalFeedbackPort,
  type SignalFeedbackRow,
  type SignalFeedbackStatus,
  SUPPRESSION_TTL_MAX,
} from '@hoc/activity/schemas';
import {
  assertDate,
  assertId,
  assertInt,
  assertList,
  assertObject,
  assertOneOf,
  assertSystemScope,
  assertTenantId,
  DataIntegrityError,
  type DriverDeps,
  filterFingerprint,
  invalid,
  noopLogger,
  type Page,
  type PageRequest,
  type SystemScope,
  toSafeInteger,
} from '@hoc/shared/kernel';
import {
  type DriverManager,
  guarded,
  type KeysetList,
  keysetPage,
  keysetRequest,
  run,
  runOne,
  storedValue,
} from '@hoc/shared/drivers';
import {
  ACTIVE_SUPPRESSIONS,
  type FeedbackColumns,
  INSERT_FEEDBACK,
  LATEST_FEEDBACK,
  MARK_EXPIRED,
} from './signal-feedback/feedback.query';

/** The driver on the given manager. */
export function getSignalFeedbackDriver(manager: DriverManager, deps: DriverDeps): SignalFeedbackDriver {
  return new SignalFeedbackDriver(manager, deps);
}

/**
 * What people said of signals: every answer is a row, and the newest of a fingerprint counts. A suppression counts while
 * `asOf ≤ t < expiresAt`, whether a job has marked its end or not. No method needs a transaction: each is one statement.
 * Results are frozen.
 */
export class SignalFeedbackDriver implements SignalFeedbackPort {
  constructor(
    private readonly manager: DriverManager,
    private readonly deps: DriverDeps,
  ) {}

  /**
   * Stores one answer, as of the clock.
   * @throws InvalidArgumentError naming the field; ConflictError reason `foreign_key` for a tenant that doesn't exist
   */
  async insertFeedback(tenantId: string, input: NewSignalFeedback): Promise<SignalFeedbackRow> {
    const tenant = assertTenantId(tenantId);
    const values = this.feedbackValues(input);
    return guarded(async () => {
      const row = await runOne(this.manager, INSERT_FEEDBACK, [tenant, this.deps.ids.next(), ...values]);
      if (row === null) throw new DataIntegrityError('the feedback was not stored', { details: { reason: 'trigger' } });
      return toFeedback(row);
    });
  }

  /**
   * The newest answer of each of at most 200 fingerprints; one without an answer isn't in the map. None asked for: no
   * statement.
   * @throws InvalidArgumentError for more, or for one that isn't 32 hex digits
   */
  async fetchLatestFeedback(
    tenantId: string,
    fingerprints: readonly string[],
  ): Promise<ReadonlyMap<string, SignalFeedbackRow>> {
    const tenant = assertTenantId(tenantId);
    const wanted = new Set(assertList(fingerprints, 'fingerprints', FINGERPRINTS_MAX).map(assertFingerprint));
    if (wanted.size === 0) return new Map();
    return guarded(async () => {
      const rows = await run(this.manager, LATEST_FEEDBACK, [tenant, [...wanted]]);
      return new Map(rows.map((row) => [row.signal_fingerprint, toFeedback(row)]));
    });
  }

  /** {@link fetchLatestFeedback} as it stands at the clock: what a {@link SignalFeedbackPort} is asked. */
  async getSignalFeedback(
    tenantId: string,
    fingerprints: readonly string[],
  ): Promise<ReadonlyMap<string, SignalFeedbackStatus>> {
    const rows = await this.fetchLatestFeedback(tenantId, fingerprints);
    const now = this.deps.clock.now();
    return new Map([...rows].map(([fingerprint, row]) => [fingerprint, toStatus(row, now)]));
  }

  /**
   * Suppressions that hold at `asOf`, the soonest to end first. It is no history: one that was answered since, or marked as
   * ended, isn't there, whatever `asOf`. Each page must name the same `asOf`.
   * @throws InvalidArgumentError for an invalid Date, a limit out of 1–200, or another list's cursor
   */
  async fetchActiveSuppressions(tenantId: string, asOf: Date, page: PageRequest): Promise<Page<SignalFeedbackRow>> {
    const tenant = assertTenantId(tenantId);
    const at = assertInstant(asOf);
    const list: KeysetList = {
      kind: 'suppressions',
      fingerprint: filterFingerprint('suppressions', tenant, { asOf: at }),
      positions: ['instant', 'text'],
    };
    const request = keysetRequest(list, page);
    const [after = null, id = ''] = request.after ?? [];
    const values = [tenant, at, after ?? '-infinity', id, request.limit + 1];
    return guarded(async () => {
      const rows = await run(this.manager, ACTIVE_SUPPRESSIONS, values);
      return keysetPage(list, request, rows, { item: toFeedback, position: (row) => [row.position, row.id] });
    });
  }

  /**
   * System-wide: marks at most `limit` (1–1,000) suppressions of all tenants that have ended by `asOf`, the longest ended
   * first; how many, 0 when nothing is left. Two jobs at once share the work, and each row is marked once. The answer that
   * counts stays the same: only an `asOf` later than the clock ends a suppression before its time.
   * @throws TenantScopeError without a scope, InvalidArgumentError for an invalid Date or limit
   */
  async markExpiredAsEvaluated(scope: SystemScope, asOf: Date, limit: number = EXPIRY_BATCH_LIMIT): Promise<number> {
    const { reason } = assertSystemScope(scope);
    const values = [
      assertInstant(asOf),
      assertInt(limit, 'limit', 1, EXPIRY_BATCH_LIMIT),
      this.deps.clock.now().toISOString(),
    ];
    const row = await guarded(() => runOne(this.manager, MARK_EXPIRED, values));
    const marked = toSafeInteger(row?.marked, 'marked');
    (this.deps.logger ?? noopLogger).info('signal_suppressions_expired', { reason, marked });
    return marked;
  }

  private feedbackValues(input: NewSignalFeedback): readonly unknown[] {
    assertObject(input, 'feedback');
    const state = assertOneOf(input.feedbackState, ANSWERS, 'feedbackState');
    if ((state === 'SUPPRESSED') !== (input.ttlSeconds !== undefined))
      throw invalid('ttlSeconds', 'suppression', 'ttlSeconds must be given exactly with SUPPRESSED');
    const optional = <T>(value: T | undefined, check: (given: T) => T): T | null =>
      value === undefined ? null : check(value);
    return [
      assertFingerprint(input.signalFingerprint),
      state,
      assertId(input.actorId, 'actorId', ACTOR_ID_MAX),
      this.deps.clock.now().toISOString(),
      optional(input.ttlSeconds, (value) => assertInt(value, 'ttlSeconds', 1, SUPPRESSION_TTL_MAX)),
      optional(input.bulkActionId, (value) => assertId(value, 'bulkActionId')),
      optional(input.targetSetHash, (value) => assertId(value, 'targetSetHash')),
      optional(input.targetCount, (value) => assertInt(value, 'targetCount', 0, 2_147_483_647)),
    ];
  }
}

const ANSWERS = FEEDBACK_STATES.filter((state) => state !== 'EVALUATED');
const FINGERPRINT = /^[0-9a-f]{32}$/;

function assertFingerprint(value: unknown): string {
  if (typeof value !== 'string' || !FINGERPRINT.test(value))
    throw invalid('signalFingerprint', 'fingerprint', 'a signal fingerprint is 32 hex digits');
  return value;
}

/** ISO text. PostgreSQL reads the sign of a year that isn't one of 0–9999 as a time zone, and says something else is wrong. */
function assertInstant(asOf: unknown): string {
  const text = assertDate(asOf, 'asOf').toISOString();
  if (text.length !== ISO_LENGTH) throw invalid('asOf', 'range', 'asOf must lie in the years 0001 to 9999');
  return text;
}

const ISO_LENGTH = '2026-03-10T12:00:00.000Z'.length;

const toFeedback = (row: FeedbackColumns): SignalFeedbackRow =>
  Object.freeze({
    id: row.id,
    signalFingerprint: row.signal_fingerprint,
    feedbackState: storedValue(row.feedback_state, FEEDBACK_STATES, 'feedbackState'),
    actorId: row.actor_id,
    asOf: row.as_of,
    ttlSeconds: row.ttl_seconds,
    expiresAt: row.expires_at,
    bulkActionId: row.bulk_action_id,
    targetSetHash: row.target_set_hash,
    targetCount: row.target_count,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  });

function toStatus({ feedbackState, actorId, asOf, expiresAt }: SignalFeedbackRow, now: Date): SignalFeedbackStatus {
  const acknowledged = feedbackState === 'ACKNOWLEDGED';
  const suppressed = feedbackState === 'SUPPRESSED' && expiresAt !== null && asOf <= now && now < expiresAt;
  return Object.freeze({
    acknowledged,
    acknowledgedBy: acknowledged ? actorId : null,
    acknowledgedAt: acknowledged ? asOf : null,
    suppressed,
    suppressedUntil: suppressed ? expiresAt : null,
  });
}
