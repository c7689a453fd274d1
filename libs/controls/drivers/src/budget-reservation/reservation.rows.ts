import { RESERVATION_STATUSES, type Reservation, type ReservedWindow } from '@hoc/controls/schemas';
import { DataIntegrityError, fromPgNumeric, type TenantId } from '@hoc/shared/kernel';
import { readInstant, storedValue } from '@hoc/shared/drivers';

/** A stored reservation; instants as PostgreSQL prints them, so that a row reads the same on its own and inside JSON. */
export interface ReservationColumns {
  readonly id: string;
  readonly limit_ids: readonly string[];
  readonly window_starts: readonly string[];
  readonly run_id: string | null;
  readonly amount: string;
  readonly settled_amount: string | null;
  readonly status: string;
  readonly idempotency_key: string;
  readonly created_at: string;
  readonly expires_at: string;
}

/** What a {@link ReservationColumns} is selected as. */
export const RESERVATION_COLUMNS = `id, limit_ids, window_starts::text[] AS window_starts, run_id, amount::text AS amount,
  settled_amount::text AS settled_amount, status, idempotency_key, created_at::text AS created_at, expires_at::text AS expires_at`;

/** The stored row, frozen. @throws DataIntegrityError for a row that breaks its contract */
export function toReservation(tenantId: TenantId, row: ReservationColumns, duplicate: boolean): Reservation {
  return Object.freeze({
    reservationId: row.id,
    tenantId,
    limits: toWindows(row.limit_ids, row.window_starts),
    runId: row.run_id,
    amountCents: fromPgNumeric(row.amount, 'amount'),
    settledCents: fromPgNumeric(row.settled_amount, 'settled_amount'),
    status: storedValue(row.status, RESERVATION_STATUSES, 'status'),
    idempotencyKey: row.idempotency_key,
    createdAt: readInstant(row.created_at),
    expiresAt: readInstant(row.expires_at),
    duplicate,
  });
}

/** The windows of the limits, in their order; `starts` as PostgreSQL prints instants. */
export function toWindows(limitIds: readonly string[], starts: readonly string[]): readonly ReservedWindow[] {
  return Object.freeze(
    limitIds.map((limitId, at) => {
      const start = starts[at];
      if (start === undefined)
        throw new DataIntegrityError('a reservation without a window of each limit', { details: { limitId } });
      return Object.freeze({ limitId, windowStart: readInstant(start) });
    }),
  );
}
