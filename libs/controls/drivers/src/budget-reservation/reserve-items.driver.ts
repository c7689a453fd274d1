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
  type HocError,
  InvalidArgumentError,
  type TenantId,
  UnavailableError,
  ZERO_DECIMAL,
} from '@hoc/shared/kernel';
import { type DriverManager, instantText, run, runOne, toColumns } from '@hoc/shared/drivers';
import { type Decision, isSameReserve, periodStarts, undecided } from '../budget-reservation.rules';
import { type ReservationColumns, toReservation, toWindows } from './reservation.rows';
import { OPEN_WINDOWS, RESERVE, RESERVE_ONE, type ReserveColumns, STORED_KEYS } from './reserve.query';

/** Items against the same limits, all of it checked. */
export interface ReserveBatch {
  readonly tenant: TenantId;
  /** In byte order. */
  readonly limitIds: readonly string[];
  /** Of distinct keys. */
  readonly items: readonly CheckedReserveItem[];
}

/**
 * Decides all items. A single one is a statement, and where it isn't granted a look-up of its key: most are new and fit.
 * Of several the keys are looked up before, so that the amount of a replay is counted against nobody. More rounds are for a
 * window that is missing, and for keys that another connection takes in between.
 */
export async function reserveItems(
  manager: DriverManager,
  deps: DriverDeps,
  { tenant, limitIds, items }: ReserveBatch,
): Promise<readonly ReserveOutcome[]> {
  const now = deps.clock.now();
  const starts = periodStarts(now);
  const outcomes: ReserveOutcome[] = [];
  /** Answers those whose key is stored; gives the others. */
  const answerKnown = async (asked: readonly NewItem[]): Promise<readonly NewItem[]> => {
    const known = asked.length === 0 ? NONE : await storedKeys(manager, tenant, asked);
    return asked.filter((item) => {
      const row = known.get(item.idempotencyKey);
      if (row !== undefined) outcomes[item.place] = replayed({ tenant, limitIds, now }, item, row);
      return row === undefined;
    });
  };
  let waiting: readonly NewItem[] = items.map((item, place) => newItem(item, { place, id: deps.ids.next(), now }));
  if (waiting.length > 1) waiting = await answerKnown(waiting);
  for (let round = 0; round < ROUNDS_MAX && waiting.length > 0; round += 1) {
    const rows = await decide(manager, { tenant, limitIds, now, starts }, waiting);
    const whole = readWhole(rows, waiting.length);
    if (whole.refusal !== null) {
      if ((await answerKnown(waiting)).length > 0) throw whole.refusal();
      break;
    }
    if (whole.missingWindows) {
      await run(manager, OPEN_WINDOWS, [tenant, limitIds, whole.starts, now.toISOString()]);
      continue;
    }
    const decisions = waiting.map((item, at) => decisionOf({ tenant, limitIds, now }, item, rows[at], whole));
    const again = undecided(decisions);
    decisions.forEach((decision, at) => {
      const item = waiting[at];
      if (item !== undefined && decision.kind !== 'raced' && !again.has(at)) outcomes[item.place] = decision.answer;
    });
    // A refused item may be the replay of one that is stored; and of those to decide again, one was raced for its key.
    await answerKnown(waiting.filter((_, at) => decisions[at]?.kind === 'refused' && !again.has(at)));
    waiting = await answerKnown(waiting.filter((_, at) => again.has(at)));
  }
  if (waiting.every(({ place }) => outcomes[place] !== undefined)) return Object.freeze(outcomes);
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

/** One statement: the items' decisions, in their order. */
async function decide(
  manager: DriverManager,
  { tenant, limitIds, now, starts }: Call & { readonly starts: readonly string[] },
  items: readonly NewItem[],
): Promise<readonly ReserveColumns[]> {
  const [limitId, otherLimit] = limitIds;
  const [item, otherItem] = items;
  if (limitId === undefined || item === undefined || otherLimit !== undefined || otherItem !== undefined) {
    const call = [tenant, limitIds, now.toISOString(), ...starts];
    const rows = await run(manager, RESERVE, [...call, ...toColumns(items, COLUMNS)]);
    return [...rows].sort((a, b) => a.n - b.n);
  }
  const call = [tenant, limitId, now.toISOString(), ...starts];
  const row = await runOne(manager, RESERVE_ONE, [...call, ...COLUMNS.map((column) => column(item))]);
  return [
    {
      n: 1,
      granted: row?.room == null ? null : row.stored !== null,
      room: row?.room ?? null,
      refused_by: limitId,
      missing: row === null ? [limitId] : null,
      unusable: row?.start === null ? [limitId] : null,
      seen: row?.room != null,
      starts: row?.start == null ? null : [row.start],
      stored: row?.stored === true ? [item.id] : null,
    },
  ];
}

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
  /** Why nothing can be reserved against these limits; null where it can. */
  readonly refusal: (() => HocError) | null;
  readonly missingWindows: boolean;
  readonly starts: readonly string[];
  readonly stored: ReadonlySet<string>;
}

function readWhole(rows: readonly ReserveColumns[], expected: number): Whole {
  const [first] = rows;
  if (first === undefined || rows.length !== expected)
    throw new DataIntegrityError('a reserve without an answer for each item');
  return {
    refusal: refusalOf(first),
    missingWindows: first.seen !== true,
    starts: first.starts ?? [],
    stored: new Set(first.stored ?? []),
  };
}

function refusalOf({ missing, unusable }: ReserveColumns): (() => HocError) | null {
  const [absent] = missing ?? [];
  if (absent !== undefined) return () => new LimitNotFoundError(absent);
  const [limitId] = unusable ?? [];
  if (limitId === undefined) return null;
  return () =>
    new InvalidArgumentError('a reservation counts against active budgets in cents only', {
      details: { field: 'limitIds', reason: 'not_a_budget', limitId },
    });
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
