import { type Brand } from './brand';
import type { Clock } from './clock';
import { assertDate, assertInt, invalid } from './guards';

/** A UTC day, `YYYY-MM-DD`, years 0001–9999. */
export type IsoDate = Brand<string, 'IsoDate'>;

const DAY_MS = 86_400_000;
const PATTERN = /^\d{4}-\d{2}-\d{2}$/;

/** The text as a UTC day. @throws InvalidArgumentError unless `value` is a day of the calendar */
export function toIsoDate(value: string, field = 'date'): IsoDate {
  if (typeof value !== 'string' || !PATTERN.test(value) || value < '0001-01-01' || !isCalendarDay(value))
    throw invalid(field, 'date', `${field} must be a day of the calendar, YYYY-MM-DD`);
  return value as IsoDate;
}

/** The UTC day that holds the instant. @throws InvalidArgumentError outside the years 1–9999 */
export function utcDayOf(at: Date): IsoDate {
  return dayOf(assertDate(at, 'instant').getTime());
}

/** The clock's UTC day. */
export const utcToday = (clock: Clock): IsoDate => utcDayOf(clock.now());

/** `[00:00Z, next 00:00Z)`. */
export function utcDayRange(day: IsoDate): { from: Date; to: Date } {
  const from = midnight(toIsoDate(day));
  return { from: new Date(from), to: new Date(from + DAY_MS) };
}

/** `n` days later, or earlier where negative. @throws InvalidArgumentError outside the years 1–9999 */
export function addDays(day: IsoDate, n: number): IsoDate {
  assertInt(n, 'days', -4_000_000, 4_000_000);
  return dayOf(midnight(toIsoDate(day)) + n * DAY_MS);
}

/** How many days `b` is after `a`; negative where it is before. */
export function daysBetween(a: IsoDate, b: IsoDate): number {
  return Math.round((midnight(toIsoDate(b)) - midnight(toIsoDate(a))) / DAY_MS);
}

const midnight = (day: string): number => Date.parse(`${day}T00:00:00.000Z`);

function dayOf(time: number): IsoDate {
  const text = Number.isNaN(new Date(time).getTime()) ? '' : new Date(time).toISOString();
  if (text.length !== 24 || text < '0001-01-01')
    throw invalid('date', 'date', 'the day lies outside the years 1 to 9999');
  return text.slice(0, 10) as IsoDate;
}

/** `Date` rolls 30 February over; the calendar doesn't. */
function isCalendarDay(value: string): boolean {
  const time = midnight(value);
  return !Number.isNaN(time) && new Date(time).toISOString().startsWith(value);
}
