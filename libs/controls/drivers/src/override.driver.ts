import {
  ACTOR_MAX,
  DUE_TENANTS_MAX,
  type LimitOverrideRequest,
  type LimitOverrideResponse,
  OVERRIDE_HOURS_MAX,
  OVERRIDE_LIMITS_MAX,
  OVERRIDE_SCHEDULE_DAYS_MAX,
  OVERRIDE_STATUSES,
  OVERRIDE_SYSTEM_ACTOR,
  type OverrideActivation,
  type OverrideAdjustment,
  type OverrideFault,
  type OverrideListFilter,
  OverrideNotFoundError,
  type OverridePort,
  OVERRIDES_ACTIVE_MAX,
  OverrideValidationError,
  StackingAbuseError,
} from '@hoc/controls/schemas';
import {
  assertId,
  assertInt,
  assertList,
  assertSystemScope,
  assertTenantId,
  type DriverDeps,
  filterFingerprint,
  fromPgNumeric,
  noopLogger,
  type Page,
  type PageRequest,
  type SystemScope,
  toSafeInteger,
} from '@hoc/shared/kernel';
import {
  assertInTransaction,
  type DriverManager,
  guarded,
  type KeysetList,
  keysetPage,
  keysetRequest,
  run,
  runOne,
  type Statement,
  storedValue,
} from '@hoc/shared/drivers';
import { grantFault, grantOf, requestFault, statusAt } from './override.rules';
import {
  APPROVE_OVERRIDE,
  CANCEL_OVERRIDE,
  type ChangeColumns,
  HOLD_OVERRIDE,
  REJECT_OVERRIDE,
} from './override/decide.query';
import { assertRejectionReason, checkedAdjustment, checkedRequest, listedBy } from './override/input.rules';
import { ACTIVATE_DUE, DUE_TENANTS, EXPIRE_OVERRIDES } from './override/lifecycle.query';
import { assertFreshReads, getLimitForOverride, planCapOf, toOverrideResponse } from './override/override.rows';
import { GET_OVERRIDE, OVERRIDE_LISTS, OVERRIDES_IN_EFFECT } from './override/read.query';
import { HOLD_TENANT, REQUEST_OVERRIDE } from './override/request.query';

export {
  LimitNotFoundError,
  LimitOverrideServiceError,
  OverrideNotFoundError,
  OverrideValidationError,
  StackingAbuseError,
} from '@hoc/controls/schemas';
export { getLimitForOverride, type LimitForOverride, toOverrideResponse } from './override/override.rows';

/** The service on the given manager. */
export function getLimitOverrideService(manager: DriverManager, deps: DriverDeps): LimitOverrideService {
  return new LimitOverrideService(manager, deps);
}

/**
 * Limits raised for a while: requested, approved, in effect, over. An override is in effect at t where it is ACTIVE and
 * `startsAt` ≤ t < `expiresAt`; one that is over counts nowhere, whether a job has marked it or not. A limit has at most
 * one live override, a tenant at most five active ones, however many ask at once: what depends on the five holds the
 * tenant's row until the transaction ends, and needs one of isolation level READ COMMITTED. Every change is written to the
 * row's `audit_trail` in its own statement. Results are frozen; instants are UTC.
 *
 * @see override_driver.py, LimitOverrideService
 */
export class LimitOverrideService implements OverridePort {
  /** Overrides of a tenant that may be active at once. */
  static readonly MAX_ACTIVE_PER_TENANT = OVERRIDES_ACTIVE_MAX;
  /** The longest override. */
  static readonly MAX_DURATION_HOURS = OVERRIDE_HOURS_MAX;
  /** How far ahead an override may be scheduled. */
  static readonly MAX_SCHEDULE_AHEAD_DAYS = OVERRIDE_SCHEDULE_DAYS_MAX;

  constructor(
    private readonly manager: DriverManager,
    private readonly deps: DriverDeps,
  ) {}

  /**
   * Raises a limit at once (ACTIVE), or asks for it to be raised later (PENDING, until somebody approves it). Overrides of
   * the tenant that are over are marked on the way. Two statements, in the caller's transaction.
   * @throws in this order: TransactionRequiredError, InvalidArgumentError for the request itself, LimitNotFoundError,
   * OverrideValidationError LIMIT_DISABLED, StackingAbuseError (for a scheduled one too), OverrideValidationError
   * ALREADY_EXISTS, DURATION, LIMIT_OF_ZERO, NOT_AN_INCREASE, ABOVE_PLAN_CAP, START
   * @see override_driver.py, LimitOverrideService.request_override
   */
  async requestOverride(
    tenantId: string,
    request: LimitOverrideRequest,
    requestedBy: string,
  ): Promise<LimitOverrideResponse> {
    const tenant = this.writing(tenantId);
    const asked = checkedRequest(request);
    const actor = assertId(requestedBy, 'requestedBy', ACTOR_MAX);
    const { limitId } = asked;
    const limit = await getLimitForOverride(this.manager, tenant, limitId);
    if (limit.status === 'DISABLED') throw new OverrideValidationError('LIMIT_DISABLED', { limitId });

    // Behind the lock: a clock that was read before it would be as old as the wait.
    const now = this.deps.clock.now();
    const status = asked.scheduledStart === null ? 'ACTIVE' : 'PENDING';
    const fault = requestFault(asked, { above: limit.maxValue, cap: limit.planCap }, now);
    const start = fault === null ? (asked.scheduledStart ?? now).toISOString() : null;
    const trail = JSON.stringify([{ at: now.toISOString(), actor, from: null, to: status }]);
    const terms = [limit.maxValue, asked.value, status, asked.durationHours, start, actor, asked.reason, trail];
    return guarded(async () => {
      const row = await runOne(this.manager, REQUEST_OVERRIDE, [
        ...[tenant, now.toISOString(), OVERRIDE_SYSTEM_ACTOR, limitId, OVERRIDES_ACTIVE_MAX, fault === null],
        ...[this.deps.ids.next(), ...terms],
      ]);
      if (row !== null && row.id !== null) return toOverrideResponse(tenant, row, now);
      assertRoom(row?.active);
      throw new OverrideValidationError(row?.live === true ? 'ALREADY_EXISTS' : (fault ?? 'ALREADY_EXISTS'), {
        limitId,
      });
    });
  }

  /**
   * The override as it stands at the clock.
   * @throws OverrideNotFoundError
   * @see override_driver.py, LimitOverrideService.get_override
   */
  async getOverride(tenantId: string, overrideId: string): Promise<LimitOverrideResponse> {
    const [tenant, id] = [assertTenantId(tenantId), assertId(overrideId, 'overrideId')];
    const row = await guarded(() => runOne(this.manager, GET_OVERRIDE, [tenant, id]));
    if (row === null) throw new OverrideNotFoundError(id);
    return toOverrideResponse(tenant, row, this.deps.clock.now());
  }

  /**
   * The tenant's overrides, the newest request first.
   * @throws InvalidArgumentError for another status, a limit out of 1–200, or another list's cursor
   * @see override_driver.py, LimitOverrideService.list_overrides
   */
  async listOverrides(
    tenantId: string,
    filter: OverrideListFilter = {},
    page: PageRequest = {},
  ): Promise<Page<LimitOverrideResponse>> {
    const tenant = assertTenantId(tenantId);
    const { by, values, fingerprint } = listedBy(filter);
    const list: KeysetList = {
      kind: 'overrides',
      fingerprint: filterFingerprint('overrides', tenant, fingerprint),
      positions: ['instant', 'text'],
    };
    const request = keysetRequest(list, page);
    const [after = null, id = ''] = request.after ?? [];
    const bound = [tenant, ...values, after ?? 'infinity', id, request.limit + 1];
    const now = this.deps.clock.now();
    return guarded(async () => {
      const rows = await run(this.manager, OVERRIDE_LISTS[by].page, bound);
      return keysetPage(list, request, rows, {
        item: (row) => toOverrideResponse(tenant, row, now),
        position: (row) => [row.position, row.id],
      });
    });
  }

  /** How many overrides {@link listOverrides} would list. */
  async countOverrides(tenantId: string, filter: OverrideListFilter = {}): Promise<number> {
    const tenant = assertTenantId(tenantId);
    const { by, values } = listedBy(filter);
    const row = await guarded(() => runOne(this.manager, OVERRIDE_LISTS[by].count, [tenant, ...values]));
    return toSafeInteger(row?.n, 'overrides');
  }

  /**
   * Ends an override that isn't over yet.
   * @throws TransactionRequiredError, InvalidArgumentError, OverrideNotFoundError; OverrideValidationError NOT_CANCELLABLE
   * with the status that stands: EXPIRED for an active one that is over
   * @see override_driver.py, LimitOverrideService.cancel_override
   */
  async cancelOverride(tenantId: string, overrideId: string, cancelledBy: string): Promise<LimitOverrideResponse> {
    const tenant = this.writing(tenantId);
    const id = assertId(overrideId, 'overrideId');
    const actor = assertId(cancelledBy, 'cancelledBy', ACTOR_MAX);
    return this.change(CANCEL_OVERRIDE, [tenant, id], [actor], 'NOT_CANCELLABLE');
  }

  /**
   * Grants a pending override, as it is or adjusted (the trail keeps what was asked for then): ACTIVE where its start has
   * come, else APPROVED.
   * @throws in this order: TransactionRequiredError, InvalidArgumentError for the adjustment, OverrideNotFoundError,
   * OverrideValidationError NOT_PENDING, NOT_AN_INCREASE, ABOVE_PLAN_CAP, WINDOW_PASSED, then StackingAbuseError
   */
  async approveOverride(
    tenantId: string,
    overrideId: string,
    approvedBy: string,
    adjust: OverrideAdjustment = {},
  ): Promise<LimitOverrideResponse> {
    const tenant = this.writing(tenantId);
    const id = assertId(overrideId, 'overrideId');
    const actor = assertId(approvedBy, 'approvedBy', ACTOR_MAX);
    const changes = checkedAdjustment(adjust);
    return guarded(async () => {
      const held = await runOne(this.manager, HOLD_OVERRIDE, [tenant, id]);
      if (held === null) throw new OverrideNotFoundError(id);
      const status = storedValue(held.status, OVERRIDE_STATUSES, 'status');
      if (status !== 'PENDING') throw new OverrideValidationError('NOT_PENDING', { overrideId: id, status });
      const cap = planCapOf(held.limit_type, held);

      const now = this.deps.clock.now();
      const [above, value] = [fromPgNumeric(held.original_value), fromPgNumeric(held.override_value)];
      const granted = grantOf({ value, durationHours: held.duration_hours, startsAt: held.starts_at }, changes, now);
      const fault = grantFault(granted, { above, cap }, now);
      if (fault !== null) throw new OverrideValidationError(fault, { overrideId: id });
      const adjusted = granted.value !== value || granted.durationHours !== held.duration_hours;
      const note = adjusted ? `requested: ${value} for ${held.duration_hours} h` : null;

      const row = await runOne(this.manager, APPROVE_OVERRIDE, [
        ...[tenant, now.toISOString(), id, OVERRIDES_ACTIVE_MAX, granted.status, granted.value],
        ...[granted.durationHours, granted.startsAt.toISOString(), actor, note],
      ]);
      if (row !== null && row.id !== null) return toOverrideResponse(tenant, row, now);
      throw new StackingAbuseError(row?.active ?? OVERRIDES_ACTIVE_MAX, OVERRIDES_ACTIVE_MAX);
    });
  }

  /**
   * Refuses a pending override for good.
   * @throws TransactionRequiredError, InvalidArgumentError, OverrideNotFoundError, OverrideValidationError NOT_PENDING
   */
  async rejectOverride(
    tenantId: string,
    overrideId: string,
    rejectedBy: string,
    rejectionReason: string,
  ): Promise<LimitOverrideResponse> {
    const tenant = this.writing(tenantId);
    const id = assertId(overrideId, 'overrideId');
    const actor = assertId(rejectedBy, 'rejectedBy', ACTOR_MAX);
    const reason = assertRejectionReason(rejectionReason);
    return this.change(REJECT_OVERRIDE, [tenant, id], [actor, reason], 'NOT_PENDING');
  }

  /**
   * System-wide: marks every override that is over, of all tenants, EXPIRED; how many. What another transaction holds is
   * left to it, so any number of jobs share the work and each row is counted once. One statement, needs no transaction. On a
   * distributed database {@link activateDueOverrides} does the same tenant by tenant.
   * @throws TenantScopeError without a scope
   */
  async expireOverrides(scope: SystemScope): Promise<number> {
    const { reason } = assertSystemScope(scope);
    const values = [this.deps.clock.now().toISOString(), OVERRIDE_SYSTEM_ACTOR];
    const row = await guarded(() => runOne(this.manager, EXPIRE_OVERRIDES, values));
    const expired = toSafeInteger(row?.expired, 'expired');
    (this.deps.logger ?? noopLogger).info('overrides_expired', { reason, expired });
    return expired;
  }

  /**
   * Starts the tenant's approved overrides whose time has come, the earliest first, while fewer than five are active; marks
   * those that are over on the way. None for a tenant that doesn't exist.
   * @throws TransactionRequiredError
   */
  async activateDueOverrides(tenantId: string): Promise<OverrideActivation> {
    const tenant = this.writing(tenantId);
    return guarded(async () => {
      const held = await runOne(this.manager, HOLD_TENANT, [tenant]);
      if (held !== null) assertFreshReads(held);
      const now = this.deps.clock.now().toISOString();
      const values = [tenant, now, OVERRIDE_SYSTEM_ACTOR, OVERRIDES_ACTIVE_MAX];
      const due = held === null ? [] : await run(this.manager, ACTIVATE_DUE, values);
      const idsOf = (activated: boolean): readonly string[] =>
        Object.freeze(due.filter((row) => row.activated === activated).map(({ id }) => id));
      return Object.freeze({ activated: idsOf(true), blockedByCap: idsOf(false) });
    });
  }

  /**
   * System-wide: tenants that {@link activateDueOverrides} would change something of, or tell of its cap; by tenant id, at
   * most `limit` (1–1,000), from behind `after` on. One statement.
   * @throws TenantScopeError without a scope, InvalidArgumentError
   */
  async detectTenantsWithDueOverrides(scope: SystemScope, limit = 100, after?: string): Promise<readonly string[]> {
    assertSystemScope(scope);
    const most = assertInt(limit, 'limit', 1, DUE_TENANTS_MAX);
    const behind = after === undefined ? '' : assertId(after, 'after');
    const values = [this.deps.clock.now().toISOString(), most, behind];
    const rows = await guarded(() => run(this.manager, DUE_TENANTS, values));
    return Object.freeze(rows.map(({ tenant_id: tenant }) => tenant));
  }

  /**
   * The override in effect of each of at most 1,000 limits, by limit id; a limit without one isn't in the map. It says
   * nothing of the limit itself: a disabled one's override has no effect. None asked for: no statement.
   * @throws InvalidArgumentError
   */
  async fetchOverridesInEffect(
    tenantId: string,
    limitIds: readonly string[],
  ): Promise<ReadonlyMap<string, LimitOverrideResponse>> {
    const tenant = assertTenantId(tenantId);
    const ids = assertList(limitIds, 'limitIds', OVERRIDE_LIMITS_MAX).map((id) => assertId(id, 'limitIds'));
    if (ids.length === 0) return new Map();
    const now = this.deps.clock.now();
    return guarded(async () => {
      const rows = await run(this.manager, OVERRIDES_IN_EFFECT, [tenant, [...new Set(ids)], now.toISOString()]);
      return new Map(rows.map((row) => [row.limit_id, toOverrideResponse(tenant, row, now)]));
    });
  }

  /** The tenant of a call that needs a transaction. */
  private writing(tenantId: string): string {
    const tenant = assertTenantId(tenantId);
    assertInTransaction(this.manager);
    return tenant;
  }

  private async change(
    sql: Statement<ChangeColumns>,
    [tenant, id]: readonly [tenant: string, id: string],
    values: readonly string[],
    refusal: OverrideFault,
  ): Promise<LimitOverrideResponse> {
    const now = this.deps.clock.now();
    return guarded(async () => {
      const row = await runOne(this.manager, sql, [tenant, id, now.toISOString(), ...values]);
      if (row === null) throw new OverrideNotFoundError(id);
      if (row.id !== null) return toOverrideResponse(tenant, row, now);
      const before = storedValue(row.before, OVERRIDE_STATUSES, 'status');
      const status = refusal === 'NOT_CANCELLABLE' ? statusAt(before, row.before_expires_at, now) : before;
      throw new OverrideValidationError(refusal, { overrideId: id, status });
    });
  }
}

/** @throws StackingAbuseError where no further override may be active */
function assertRoom(active = 0): void {
  if (active >= OVERRIDES_ACTIVE_MAX) throw new StackingAbuseError(active, OVERRIDES_ACTIVE_MAX);
}
