import {
  budgetWindow,
  type CheckedReserveItem,
  checkReserveItem,
  type ReservationStatus,
  RESERVE_BATCH_MAX,
  type ReserveItem,
} from '@hoc/controls/schemas';
import { assertList, type DecimalString, invalid } from '@hoc/shared/kernel';

/** The items of a batch, checked, in their order. @throws InvalidArgumentError naming `items[n]` and its field; none, too many, a repeated key */
export function checkReserveItems(items: readonly ReserveItem[]): readonly CheckedReserveItem[] {
  const list = assertList(items, 'items', RESERVE_BATCH_MAX);
  if (list.length === 0) throw invalid('items', 'empty', 'items must hold at least one item');
  const checked = items.map((item, at) => checkReserveItem(item, `items[${at}]`));
  const keys = new Set<string>();
  checked.forEach(({ idempotencyKey }, at) => {
    const field = `items[${at}].idempotencyKey`;
    if (keys.has(idempotencyKey)) throw invalid(field, 'repeated', `${field} must not repeat another item's`);
    keys.add(idempotencyKey);
  });
  return checked;
}

/** Starts of the day, the week and the month that hold `at`, as ISO texts. */
export function periodStarts(at: Date): readonly [string, string, string] {
  const start = (period: 'DAILY' | 'WEEKLY' | 'MONTHLY'): string => (budgetWindow(period, at).from ?? at).toISOString();
  return [start('DAILY'), start('WEEKLY'), start('MONTHLY')];
}

/** What a stored reservation is compared by: its limits, amount and run; the ttl is no content. */
export interface ReserveContent {
  readonly limitIds: readonly string[];
  readonly amountCents: DecimalString;
  readonly runId: string | null;
}

/** Whether a replay of the key asks for what is stored: limits in byte order, amounts canonical on both sides. */
export function isSameReserve(stored: ReserveContent, asked: ReserveContent): boolean {
  return (
    stored.amountCents === asked.amountCents &&
    stored.runId === asked.runId &&
    stored.limitIds.length === asked.limitIds.length &&
    stored.limitIds.every((limitId, at) => limitId === asked.limitIds[at])
  );
}

/** What became of one item in the statement. */
export type Decision<T> =
  | { readonly kind: 'stored'; readonly answer: T }
  | { readonly kind: 'refused'; readonly answer: T }
  /** Granted, but its key was taken by another connection after the statement began. */
  | { readonly kind: 'raced' };

/**
 * Which items, by their place, must be decided again: one whose key was taken meanwhile, and every refused one behind it,
 * because its amount was counted against them. What was granted stands: it fitted into less than was really left.
 */
export function undecided<T>(decisions: readonly Decision<T>[]): ReadonlySet<number> {
  const again = new Set<number>();
  decisions.forEach(({ kind }, at) => {
    if (kind === 'raced' || (kind === 'refused' && again.size > 0)) again.add(at);
  });
  return again;
}

/** What `settle` finds: the state that it leaves behind, or why it can't. */
export function settleVerdict(
  found: { readonly status: ReservationStatus; readonly settledCents: DecimalString | null },
  actual: DecimalString,
): 'settled' | 'duplicate' | 'conflict' {
  if (found.status === 'RESERVED' || found.status === 'EXPIRED') return 'settled';
  return found.status === 'SETTLED' && found.settledCents === actual ? 'duplicate' : 'conflict';
}
