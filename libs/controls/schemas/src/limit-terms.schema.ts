import { assertDate, invalid, type ResetPeriod } from '@hoc/shared/kernel';

/** What a limit's value counts. Money is always cents. */
export type LimitUnit = 'cents' | 'tokens' | 'count';

/** Upper case, 1–32 characters; an open list. */
export const LIMIT_TYPE = /^[A-Z][A-Z0-9_]{0,31}$/;
/** Dollars: refused everywhere. */
export const REFUSED_LIMIT_TYPE = 'COST_USD';

/** The text itself. @throws InvalidArgumentError naming `limitType`; for COST_USD its message names COST_CENTS */
export function assertLimitType(value: unknown): string {
  if (value === REFUSED_LIMIT_TYPE) throw invalid('limitType', 'dollars', 'COST_USD is not supported: use COST_CENTS');
  if (typeof value !== 'string' || !LIMIT_TYPE.test(value))
    throw invalid(
      'limitType',
      'limit_type',
      'limitType must be upper case, of 1 to 32 letters, digits and underscores',
    );
  return value;
}

/** The unit of `max_value` and of what is compared with it, by the type's prefix. @throws InvalidArgumentError as {@link assertLimitType} */
export function limitUnit(limitType: string): LimitUnit {
  assertLimitType(limitType);
  if (limitType.startsWith('COST')) return 'cents';
  return limitType.startsWith('TOKENS_') ? 'tokens' : 'count';
}

/** One period of a budget, half-open, UTC; nulls where it never resets. */
export interface BudgetWindow {
  readonly from: Date | null;
  readonly to: Date | null;
}

const DAY_MS = 86_400_000;
/** 1970-01-01 was a Thursday: three days after its week's Monday. */
const MONDAY_SHIFT_DAYS = 3;

/**
 * The period that holds `at`: DAILY the UTC day, WEEKLY Monday to Monday, MONTHLY the calendar month; NONE has no ends.
 *
 * @see spec controls E.4
 */
export function budgetWindow(resetPeriod: ResetPeriod, at: Date): BudgetWindow {
  const instant = assertDate(at, 'at').getTime();
  if (resetPeriod === 'NONE') return Object.freeze({ from: null, to: null });
  if (resetPeriod === 'MONTHLY') {
    return window(monthStart(instant, 0), monthStart(instant, 1));
  }
  const day = Math.floor(instant / DAY_MS);
  const first = resetPeriod === 'DAILY' ? day : day - modulo(day + MONDAY_SHIFT_DAYS, 7);
  return window(first * DAY_MS, (first + (resetPeriod === 'DAILY' ? 1 : 7)) * DAY_MS);
}

/** Set on a Date: `Date.UTC` takes the years 0–99 for 1900–1999. */
function monthStart(instant: number, later: number): number {
  const month = new Date(instant - modulo(instant, DAY_MS));
  return month.setUTCMonth(month.getUTCMonth() + later, 1);
}

const window = (from: number, to: number): BudgetWindow => Object.freeze({ from: new Date(from), to: new Date(to) });
const modulo = (value: number, by: number): number => ((value % by) + by) % by;
