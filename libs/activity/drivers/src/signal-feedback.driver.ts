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
 * `asOf ≤ t < expiresAt`. No method needs a transaction: each is one statement.
 */
export class SignalFeedbackDriver implements SignalFeedbackPort {
  constructor(
    private readonly manager: DriverManager,
    private readonly deps: DriverDeps,
  ) {}

  /** Stores one answer, as of the clock. @throws InvalidArgumentError naming the field */
  async insertFeedback(tenantId: string, input: NewSignalFeedback): Promise<SignalFeedbackRow> {
    const values = [assertTenantId(tenantId), this.deps.ids.next(), ...this.feedbackValues(input)];
    return guarded(async () => {
      const row = await runOne(this.manager, INSERT_FEEDBACK, values);
      if (row === null) throw new DataIntegrityError('the feedback was not stored', { details: { reason: 'trigger' } });
      return toFeedback(row);
    });
  }

  /** The newest answer of each of at most 200 fingerprints; one without an answer isn't in the map. */
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

  /** {@link fetchLatestFeedback} as it stands at the clock. */
  async getSignalFeedback(
    tenantId: string,
    fingerprints: readonly string[],
  ): Promise<ReadonlyMap<string, SignalFeedbackStatus>> {
    const rows = await this.fetchLatestFeedback(tenantId, fingerprints);
    const now = this.deps.clock.now();
    return new Map([...rows].map(([fingerprint, row]) => [fingerprint, toStatus(row, now)]));
  }

  /** Suppressions that hold at `asOf`, the soonest to end first. */
  async fetchActiveSuppressions(tenantId: string, asOf: Date, page: PageRequest): Promise<Page<SignalFeedbackRow>> {
    const tenant = assertTenantId(tenantId);
    const at = assertDate(asOf, 'asOf').toISOString();
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
   * Marks at most 1,000 suppressions of all tenants that had ended by `asOf`; how many. Two jobs at once mark each once.
   * @throws TenantScopeError without a scope
   */
  async markExpiredAsEvaluated(scope: SystemScope, asOf: Date, limit: number = EXPIRY_BATCH_LIMIT): Promise<number> {
    assertSystemScope(scope);
    const values = [assertDate(asOf, 'asOf').toISOString(), assertInt(limit, 'limit', 1, EXPIRY_BATCH_LIMIT)];
    return guarded(async () =>
      toSafeInteger((await runOne(this.manager, MARK_EXPIRED, values))?.marked ?? 0, 'marked'),
    );
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
