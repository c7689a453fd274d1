import {
  assertAmount,
  type BudgetReservationPort,
  type BudgetWindowState,
  checkLimitIds,
  checkReserveInput,
  type Reservation,
  RESERVATION_EXPIRY_DEFAULT,
  RESERVATION_EXPIRY_MAX,
  reservationOf,
  type ReserveInput,
  type ReserveItem,
  type ReserveOutcome,
} from '@hoc/controls/schemas';
import {
  assertDate,
  assertId,
  assertInt,
  assertSystemScope,
  assertTenantId,
  ConflictError,
  DataIntegrityError,
  type DecimalString,
  type DriverDeps,
  fromPgNumeric,
  invalid,
  noopLogger,
  NotFoundError,
  subtractDecimal,
  type SystemScope,
  toSafeInteger,
  ZERO_DECIMAL,
} from '@hoc/shared/kernel';
import { type DriverManager, guarded, runOne } from '@hoc/shared/drivers';
import { EXPIRE, FETCH_RESERVATION, RELEASE, SETTLE } from './budget-reservation/close.query';
import { reserveItems } from './budget-reservation/reserve-items.driver';
import { toReservation } from './budget-reservation/reservation.rows';
import { FETCH_WINDOW } from './budget-reservation/window.query';
import { checkReserveItems, periodStarts, settleVerdict } from './budget-reservation.rules';

/** The driver on the given manager. */
export function getBudgetReservationDriver(manager: DriverManager, deps: DriverDeps): BudgetReservationDriver {
  return new BudgetReservationDriver(manager, deps);
}

/**
 * Budgets that parallel runs can't overspend: an amount is held back before the spend and settled after it. Without a
 * settle above its reserve, `spent + reserved ≤ cap` of every limit at every commit; the counters of a window are the sums
 * over its reservations; each reservation leaves RESERVED once.
 *
 * No method needs a transaction. Inside one, make it the last statement before COMMIT, and one of them: windows stay locked
 * until then, everybody else on them waits, and two transactions that each make several calls can wait for each other
 * (`UnavailableError`, retryable). In REPEATABLE READ and above, a reserve that met another fails the same way.
 * Results are frozen.
 *
 * @see spec controls H.2
 */
export class BudgetReservationDriver implements BudgetReservationPort {
  constructor(
    private readonly manager: DriverManager,
    private readonly deps: DriverDeps,
  ) {}

  /**
   * Holds `amountCents` back against 1–4 limits at once: all of them grant it, or none does. One round trip, two where
   * it isn't granted, three the first time in a limit's period. A replay (same key, limits, amount and run; the ttl isn't
   * compared) is the first reservation as it now stands, `duplicate: true`, whatever became of it or of its limits.
   * @throws LimitExceededError `details.limitId`, the limit with the least left (ties: the smaller id), and `remaining`, what
   * that is; nothing is written then
   * @throws ConflictError reason `content`: the key is another reservation's, `details.reservationId`
   * @throws LimitNotFoundError; InvalidArgumentError for a limit that isn't ACTIVE, BUDGET and of a `COST_` type, `details.limitId`
   */
  async reserve(tenantId: string, input: ReserveInput): Promise<Reservation> {
    const { tenantId: tenant, limitIds, ...item } = checkReserveInput(tenantId, input);
    const [outcome] = await guarded(() => reserveItems(this.manager, this.deps, { tenant, limitIds, items: [item] }));
    if (outcome === undefined) throw new DataIntegrityError('a reserve without an answer');
    return reservationOf(outcome);
  }

  /**
   * 1–1,000 reserves against the same limits, decided in one statement, each in its turn: what is refused doesn't refuse a
   * later, smaller one. The answers, in the order of the items, are those of the same calls made one after the other.
   *
   * One exception: where another connection takes one of the keys while the statement runs, what was granted behind it
   * stands, and what was refused behind it is decided again, as if it had come last. Nobody is refused because of an amount
   * that wasn't granted in the end. That takes further statements: outside a transaction a failure between them leaves
   * granted items stored, and the same call again answers `duplicate` for them.
   *
   * A limit that can't be reserved against fails the whole call, unless every key is stored already.
   * @throws as {@link reserve}, except that a refusal or a conflict is an outcome; InvalidArgumentError for two equal keys
   */
  async reserveBatch(
    tenantId: string,
    limitIds: readonly string[],
    items: readonly ReserveItem[],
  ): Promise<readonly ReserveOutcome[]> {
    const tenant = assertTenantId(tenantId);
    const batch = { tenant, limitIds: checkLimitIds(limitIds), items: checkReserveItems(items) };
    return guarded(() => reserveItems(this.manager, this.deps, batch));
  }

  /**
   * Replaces what is held back by what was spent, 0 or more; it may exceed the reserve, because the money is gone. An
   * EXPIRED reservation is settled too: the run was slow, not dead. The same actual again: `duplicate: true`.
   * @throws NotFoundError; ConflictError `details.status` where it is RELEASED, or settled with another amount
   */
  async settle(tenantId: string, reservationId: string, actualCents: DecimalString): Promise<Reservation> {
    const tenant = assertTenantId(tenantId);
    const id = assertId(reservationId, 'reservationId');
    const actual = assertAmount(actualCents, 'actualCents');
    const row = await guarded(() => runOne(this.manager, SETTLE, [tenant, id, actual, this.now()]));
    if (row === null) throw new NotFoundError('the tenant has no such reservation', { details: { reservationId: id } });
    const found = toReservation(tenant, row, true);
    const verdict = settleVerdict(found, actual);
    if (verdict === 'settled')
      return Object.freeze({ ...found, settledCents: actual, status: 'SETTLED' as const, duplicate: false });
    if (verdict === 'duplicate') return found;
    throw new ConflictError('the reservation is closed already, and otherwise', {
      details: { reservationId: id, status: found.status, reason: 'status' },
    });
  }

  /** Gives back what is held and not yet settled, released or expired; true once. */
  async release(tenantId: string, reservationId: string): Promise<boolean> {
    const tenant = assertTenantId(tenantId);
    const id = assertId(reservationId, 'reservationId');
    const row = await guarded(() => runOne(this.manager, RELEASE, [tenant, id, this.now()]));
    return row?.status === 'RESERVED';
  }

  /**
   * System-wide: ends at most `limit` (1–10,000) reservations of all tenants whose time is over, the longest over first, and
   * gives their amounts back; how many, fewer than `limit` when nothing is left. Several jobs at once share the work.
   * @throws TenantScopeError without a scope, InvalidArgumentError for a limit out of its bounds
   */
  async expireReservations(scope: SystemScope, limit: number = RESERVATION_EXPIRY_DEFAULT): Promise<number> {
    const { reason } = assertSystemScope(scope);
    const values = [this.now(), assertInt(limit, 'limit', 1, RESERVATION_EXPIRY_MAX)];
    const row = await guarded(() => runOne(this.manager, EXPIRE, values));
    const expired = toSafeInteger(row?.expired, 'expired');
    (this.deps.logger ?? noopLogger).info('budget_reservations_expired', { reason, expired });
    return expired;
  }

  /** The reservation as it stands, `duplicate: false`; null for one that the tenant doesn't have. */
  async fetchReservation(tenantId: string, reservationId: string): Promise<Reservation | null> {
    const tenant = assertTenantId(tenantId);
    const id = assertId(reservationId, 'reservationId');
    const row = await guarded(() => runOne(this.manager, FETCH_RESERVATION, [tenant, id]));
    return row === null ? null : toReservation(tenant, row, false);
  }

  /**
   * The limit's window that holds `at` (the clock), with the cap in effect then by the limit and the override as they are
   * stored now. Zeros where nothing was reserved in it. Null for a limit that the tenant doesn't have, or that is no BUDGET
   * of a `COST_` type; a DISABLED one is shown.
   */
  async fetchWindow(tenantId: string, limitId: string, at?: Date): Promise<BudgetWindowState | null> {
    const tenant = assertTenantId(tenantId);
    const id = assertId(limitId, 'limitId');
    const instant = at === undefined ? this.deps.clock.now() : assertYears(at);
    const values = [tenant, id, instant.toISOString(), ...periodStarts(instant)];
    const row = await guarded(() => runOne(this.manager, FETCH_WINDOW, values));
    if (row === null) return null;
    const [capCents, reservedCents, spentCents] = [
      fromPgNumeric(row.cap, 'cap'),
      fromPgNumeric(row.reserved, 'reserved'),
      fromPgNumeric(row.spent, 'spent'),
    ];
    const left = subtractDecimal(subtractDecimal(capCents, reservedCents), spentCents);
    const remainingCents = left.startsWith('-') ? ZERO_DECIMAL : left;
    return Object.freeze({ windowStart: row.window_start, capCents, reservedCents, spentCents, remainingCents });
  }

  private now(): string {
    return this.deps.clock.now().toISOString();
  }
}

/** PostgreSQL reads the sign of a year that isn't one of 0–9999 as a time zone, and a window begins before its instant. */
function assertYears(at: Date): Date {
  const instant = assertDate(at, 'at');
  const year = instant.getUTCFullYear();
  if (year < 2 || year > 9999) throw invalid('at', 'range', 'at must lie in the years 0002 to 9999');
  return instant;
}
