import {
  assertId,
  assertInt,
  assertList,
  assertObject,
  assertTenantId,
  compareBytes,
  ConflictError,
  type DecimalString,
  invalid,
  LimitExceededError,
  type SystemScope,
  type TenantId,
} from '@hoc/shared/kernel';
import { assertAmount } from './amount.schema';
import type { ReservationStatus } from './controls-enums.schema';

/** Limits that one reservation counts against, at most. */
export const RESERVATION_LIMITS_MAX = 4;
/** Items of one `reserveBatch`, at most. */
export const RESERVE_BATCH_MAX = 1000;
/** Characters of an idempotency key. */
export const RESERVATION_KEY_MAX = 200;
/** Seconds until a reservation that nobody settles gives its amount back, unless the caller says otherwise. */
export const RESERVATION_TTL_DEFAULT_SECONDS = 900;
/** A day: the longest a reservation lives. */
export const RESERVATION_TTL_MAX_SECONDS = 86_400;
/** Reservations that one `expireReservations` ends, unless the caller says otherwise. */
export const RESERVATION_EXPIRY_DEFAULT = 1000;
/** Reservations that one `expireReservations` ends, at most. */
export const RESERVATION_EXPIRY_MAX = 10_000;

/** What to reserve, against which limits, apart from them. @see spec controls H.2 */
export interface ReserveItem {
  /** Cents, 0 or more, at most six decimals. */
  readonly amountCents: DecimalString;
  /** 1–200 characters, unique in the tenant: the same key with the same content is the same reservation. */
  readonly idempotencyKey: string;
  /** 1–100 characters; the run's row need not exist yet. */
  readonly runId?: string;
  /** 1–86,400; {@link RESERVATION_TTL_DEFAULT_SECONDS} where absent. Not part of the content. */
  readonly ttlSeconds?: number;
}

/** An amount to hold back against 1–4 limits of the tenant: all of them grant it, or none does. @see spec controls H.2 */
export interface ReserveInput extends ReserveItem {
  /** Distinct, in any order, of any scopes and reset periods. Each must be ACTIVE, BUDGET, of a `COST_` type. */
  readonly limitIds: readonly string[];
}

/** A {@link ReserveItem} that passed its checks. */
export interface CheckedReserveItem {
  /** Canonical. */
  readonly amountCents: DecimalString;
  readonly idempotencyKey: string;
  readonly runId: string | null;
  readonly ttlSeconds: number;
}

/** A {@link ReserveInput} that passed its checks. */
export interface CheckedReserve extends CheckedReserveItem {
  readonly tenantId: TenantId;
  /** In byte order: two calls against the same limits have equal lists. */
  readonly limitIds: readonly string[];
}

/** One window that a reservation counts in. */
export interface ReservedWindow {
  readonly limitId: string;
  /** UTC; 1970-01-01 for a limit that never resets. */
  readonly windowStart: Date;
}

/** A reservation as it stands. Frozen. @see spec controls H.2 */
export interface Reservation {
  readonly reservationId: string;
  readonly tenantId: TenantId;
  /** By limit id. */
  readonly limits: readonly ReservedWindow[];
  readonly runId: string | null;
  /** What was held back, in cents. */
  readonly amountCents: DecimalString;
  /** What was spent in the end, in cents; null until it is settled. May exceed the amount. */
  readonly settledCents: DecimalString | null;
  readonly status: ReservationStatus;
  readonly idempotencyKey: string;
  readonly createdAt: Date;
  /** From then on `expireReservations` may end it. */
  readonly expiresAt: Date;
  /** Whether an earlier call had done it already. */
  readonly duplicate: boolean;
}

/** The answer to one item of a batch; `remaining` is what the limit had left at the item's turn, never below 0. */
export type ReserveOutcome =
  | { readonly kind: 'granted' | 'duplicate'; readonly reservation: Reservation }
  | { readonly kind: 'refused'; readonly limitId: string; readonly remaining: DecimalString }
  | { readonly kind: 'conflict'; readonly reservationId: string };

/** A limit's present window. All amounts in cents. @see spec controls H.2 */
export interface BudgetWindowState {
  /** UTC; 1970-01-01 for a limit that never resets. */
  readonly windowStart: Date;
  /** The higher of the limit's own value and that of the override in effect. */
  readonly capCents: DecimalString;
  readonly reservedCents: DecimalString;
  readonly spentCents: DecimalString;
  /** Never below 0. */
  readonly remainingCents: DecimalString;
}

/** What engines and services ask of the reservations; the driver says what each call guarantees. @see spec controls H.2 */
export interface BudgetReservationPort {
  reserve(tenantId: string, input: ReserveInput): Promise<Reservation>;
  reserveBatch(
    tenantId: string,
    limitIds: readonly string[],
    items: readonly ReserveItem[],
  ): Promise<readonly ReserveOutcome[]>;
  settle(tenantId: string, reservationId: string, actualCents: DecimalString): Promise<Reservation>;
  release(tenantId: string, reservationId: string): Promise<boolean>;
  expireReservations(scope: SystemScope, limit?: number): Promise<number>;
  fetchReservation(tenantId: string, reservationId: string): Promise<Reservation | null>;
  fetchWindow(tenantId: string, limitId: string, at?: Date): Promise<BudgetWindowState | null>;
}

/**
 * The arguments of `reserve`, checked, with the defaults filled in. Whether the limits exist is the statement's to say.
 * @throws TenantScopeError, InvalidArgumentError naming the field
 */
export function checkReserveInput(tenantId: unknown, input: ReserveInput): CheckedReserve {
  const tenant = assertTenantId(tenantId);
  assertObject(input, 'input');
  return Object.freeze({ tenantId: tenant, limitIds: checkLimitIds(input.limitIds), ...checkReserveItem(input) });
}

/** 1–4 distinct identifiers, in byte order. @throws InvalidArgumentError naming `limitIds` */
export function checkLimitIds(limitIds: readonly string[]): readonly string[] {
  const ids = assertList(limitIds, 'limitIds', RESERVATION_LIMITS_MAX).map((id) => assertId(id, 'limitIds'));
  if (ids.length === 0) throw invalid('limitIds', 'empty', 'limitIds must name at least one limit');
  if (new Set(ids).size < ids.length) throw invalid('limitIds', 'repeated', 'limitIds must be distinct');
  return Object.freeze(ids.sort(compareBytes));
}

/** One item, checked. @throws InvalidArgumentError naming the field, `prefix` before its name */
export function checkReserveItem(item: ReserveItem, prefix = ''): CheckedReserveItem {
  const { amountCents, idempotencyKey, runId, ttlSeconds } = assertObject(item, prefix === '' ? 'input' : prefix);
  const field = (name: string): string => (prefix === '' ? name : `${prefix}.${name}`);
  return Object.freeze({
    amountCents: assertAmount(amountCents, field('amountCents')),
    idempotencyKey: assertId(idempotencyKey, field('idempotencyKey'), RESERVATION_KEY_MAX),
    runId: runId === undefined ? null : assertId(runId, field('runId')),
    ttlSeconds:
      ttlSeconds === undefined
        ? RESERVATION_TTL_DEFAULT_SECONDS
        : assertInt(ttlSeconds, field('ttlSeconds'), 1, RESERVATION_TTL_MAX_SECONDS),
  });
}

/**
 * The reservation that an outcome brings, for callers of a single charge.
 * @throws LimitExceededError `details` `limitId`, `remaining`; ConflictError `details` `reservationId`, reason `content`
 */
export function reservationOf(outcome: ReserveOutcome): Reservation {
  if (outcome.kind === 'refused')
    throw new LimitExceededError('the budget has not enough left', {
      details: { limitId: outcome.limitId, remaining: outcome.remaining },
    });
  if (outcome.kind === 'conflict')
    throw new ConflictError('the idempotency key belongs to a reservation of other content', {
      details: { reservationId: outcome.reservationId, reason: 'content' },
    });
  return outcome.reservation;
}
