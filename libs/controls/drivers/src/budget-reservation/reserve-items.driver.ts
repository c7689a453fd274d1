import {
  type CheckedReserveItem,
  LimitNotFoundError,
  type Reservation,
  type ReserveOutcome,
} from '@hoc/controls/schemas';
import {
  DataIntegrityError,
  type DecimalString,
  type DriverDeps,
  fromPgNumeric,
  InvalidArgumentError,
  type TenantId,
  UnavailableError,
  ZERO_DECIMAL,
} from '@hoc/shared/kernel';
import { type DriverManager, instantText, run, toColumns } from '@hoc/shared/drivers';
import { type Decision, isSameReserve, periodStarts, undecided } from '../budget-reservation.rules';
import { type ReservationColumns, toReservation, toWindows } from './reservation.rows';
import { OPEN_WINDOWS, RESERVE, type ReserveColumns, STORED_KEYS } from './reserve.query';

/** Items against the same limits, all of it checked. */
export interface ReserveBatch {
  readonly tenant: TenantId;
  /** In byte order. */
  readonly limitIds: readonly string[];
  /** Of distinct keys. */
  readonly items: readonly CheckedReserveItem[];
}

/** Decides all items, in as many statements as it takes: one, unless a window is missing or another connection takes a key. */
export async function reserveItems(
  manager: DriverManager,
  deps: DriverDeps,
  { tenant, limitIds, items }: ReserveBatch,
): Promise<readonly ReserveOutcome[]> {
  const now = deps.clock.now();
  const call = [tenant, limitIds, now.toISOString(), ...periodStarts(now)];
  const outcomes: ReserveOutcome[] = [];
  let waiting = items.map((item, place) => newItem(item, { place, id: deps.ids.next(), now }));
  for (let round = 0; round < ROUNDS_MAX; round += 1) {
    const rows = inOrder(await run(manager, RESERVE, [...call, ...toColumns(waiting, COLUMNS)]));
    const whole = readWhole(limitIds, rows, waiting.length);
    if (whole.missingWindows) {
      await run(manager, OPEN_WINDOWS, [tenant, limitIds, whole.starts, now.toISOString()]);
      continue;
    }
    const decisions = waiting.map((item, at) => decisionOf({ tenant, limitIds, now }, item, rows[at], whole));
    const again = undecided(decisions);
    const refused = waiting.filter((_, at) => decisions[at]?.kind === 'refused' && !again.has(at));
    const known = whole.changed && refused.length > 0 ? await storedKeys(manager, tenant, refused) : NONE;
    decisions.forEach((decision, at) => {
      const item = waiting[at];
      if (item === undefined || decision.kind === 'raced' || again.has(at)) return;
      const row = known.get(item.idempotencyKey);
      outcomes[item.place] = row === undefined ? decision.answer : replayed({ tenant, limitIds, now }, item, row);
    });
    if (again.size === 0) return Object.freeze(outcomes);
    waiting = waiting.filter((_, at) => again.has(at));
  }
  throw new UnavailableError('the keys of the call were taken by others again and again', {
    retryable: true,
    details: { reason: 'contention' },
  });
}

const NONE: ReadonlyMap<string, ReservationColumns> = new Map();

/** What the keys belong to by now: another connection may have stored the very reserve that this one was refused. */
async function storedKeys(
  manager: DriverManager,
  tenant: TenantId,
  items: readonly NewItem[],
): Promise<ReadonlyMap<string, ReservationColumns>> {
  const rows = await run(manager, STORED_KEYS, [tenant, items.map(({ idempotencyKey }) => idempotencyKey)]);
  return new Map(rows.map((row) => [row.idempotency_key, row]));
}

/** A window that is missing takes two rounds, a key that is taken one more; the rest is for keys that are taken one by one. */
const ROUNDS_MAX = 20;

const inOrder = (rows: readonly ReserveColumns[]): readonly ReserveColumns[] => [...rows].sort((a, b) => a.n - b.n);

interface NewItem extends Omit<CheckedReserveItem, 'ttlSeconds'> {
  /** In the caller's list. */
  readonly place: number;
  readonly id: string;
  readonly expiresAt: Date;
}

const newItem = (
  { amountCents, idempotencyKey, runId, ttlSeconds }: CheckedReserveItem,
  { place, id, now }: { readonly place: number; readonly id: string; readonly now: Date },
): NewItem => ({
  place,
  id,
  amountCents,
  idempotencyKey,
  runId,
  expiresAt: new Date(now.getTime() + ttlSeconds * 1000),
});

const COLUMNS: readonly ((item: NewItem) => string | null)[] = [
  (item) => item.idempotencyKey,
  (item) => item.id,
  (item) => item.amountCents,
  (item) => item.runId,
  (item) => instantText(item.expiresAt),
];

/** What a statement says of the call. */
interface Whole {
  readonly missingWindows: boolean;
  readonly starts: readonly string[];
  readonly stored: ReadonlySet<string>;
  readonly changed: boolean;
}

/** @throws LimitNotFoundError, InvalidArgumentError where a limit can't be reserved against and an item isn't a replay */
function readWhole(limitIds: readonly string[], rows: readonly ReserveColumns[], expected: number): Whole {
  const [first] = rows;
  if (first === undefined || rows.length !== expected)
    throw new DataIntegrityError('a reserve without an answer for each item');
  const starts = first.starts ?? [];
  const stored = new Set(first.stored ?? []);
  if (rows.every(({ prior }) => prior !== null)) return { missingWindows: false, starts, stored, changed: false };
  const [missing] = first.missing ?? [];
  if (missing !== undefined) throw new LimitNotFoundError(missing);
  const [unusable] = first.unusable ?? [];
  if (unusable !== undefined)
    throw new InvalidArgumentError('a reservation counts against active budgets in cents only', {
      details: { field: 'limitIds', reason: 'not_a_budget', limitId: unusable },
    });
  return { missingWindows: first.seen !== true, starts, stored, changed: first.changed === true };
}

interface Call {
  readonly tenant: TenantId;
  readonly limitIds: readonly string[];
  readonly now: Date;
}

function decisionOf(
  call: Call,
  item: NewItem,
  row: ReserveColumns | undefined,
  whole: Whole,
): Decision<ReserveOutcome> {
  if (row === undefined) throw new DataIntegrityError('a reserve without an answer for each item');
  if (row.prior !== null) return { kind: 'stored', answer: replayed(call, item, row.prior) };
  if (row.granted === true) {
    if (!whole.stored.has(item.id)) return { kind: 'raced' };
    return {
      kind: 'stored',
      answer: Object.freeze({ kind: 'granted' as const, reservation: granted(call, item, whole.starts) }),
    };
  }
  if (row.granted === null || row.refused_by === null) throw new DataIntegrityError('a reserve that was not decided');
  const remaining = leftOver(row.room);
  return {
    kind: 'refused',
    answer: Object.freeze({ kind: 'refused' as const, limitId: row.refused_by, remaining }),
  };
}

function replayed(call: Call, item: NewItem, row: ReservationColumns): ReserveOutcome {
  const reservation = toReservation(call.tenant, row, true);
  const same = isSameReserve({ ...reservation, limitIds: row.limit_ids }, { ...item, limitIds: call.limitIds });
  return Object.freeze(
    same ? { kind: 'duplicate' as const, reservation } : { kind: 'conflict' as const, reservationId: row.id },
  );
}

/** What was stored, without reading it back. */
const granted = ({ tenant, limitIds, now }: Call, item: NewItem, starts: readonly string[]): Reservation =>
  Object.freeze({
    reservationId: item.id,
    tenantId: tenant,
    limits: toWindows(limitIds, starts),
    runId: item.runId,
    amountCents: item.amountCents,
    settledCents: null,
    status: 'RESERVED' as const,
    idempotencyKey: item.idempotencyKey,
    createdAt: new Date(now.getTime()),
    expiresAt: item.expiresAt,
    duplicate: false,
  });

function leftOver(room: string | null): DecimalString {
  const left = fromPgNumeric(room, 'room') ?? ZERO_DECIMAL;
  return left.startsWith('-') ? ZERO_DECIMAL : left;
}
