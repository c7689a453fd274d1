import type { UsageFilter, UsageRange } from '@hoc/activity/schemas';
import { assertId, assertObject, assertRange } from '@hoc/shared/kernel';

const DAY_MS = 86_400_000;

/** @throws InvalidArgumentError for a bad integration id, an invalid Date, from after to */
export function checkFilter(filter: UsageFilter): UsageFilter {
  assertObject(filter, 'filter');
  if (filter.integrationId !== undefined) assertId(filter.integrationId, 'integrationId');
  assertRange(filter.from, filter.to, 'range', { allowEmpty: true });
  return filter;
}

/** `[from, to)` as PostgreSQL reads it; an absent end is infinite. */
export const bounds = ({ from, to }: UsageRange): readonly [string, string] => [
  from?.toISOString() ?? '-infinity',
  to?.toISOString() ?? 'infinity',
];

/** A range as whole UTC days `[a, b)` and two edges `[a, b) [c, d)`; no edges where both ends are midnights. */
export interface SplitRange {
  readonly days: readonly [string, string];
  readonly edges: readonly [string, string, string, string] | null;
}

/** Cuts a range at its UTC midnights. A range inside one day has no whole day and one edge. */
export function split({ from, to }: UsageRange): SplitRange {
  const first = from === undefined ? null : Math.ceil(from.getTime() / DAY_MS) * DAY_MS;
  const last = to === undefined ? null : Math.floor(to.getTime() / DAY_MS) * DAY_MS;
  if (first !== null && last !== null && first > last && from !== undefined && to !== undefined)
    return { days: NO_DAYS, edges: [from.toISOString(), to.toISOString(), ...NOTHING] };
  const days = [day(first) ?? '-infinity', day(last) ?? 'infinity'] as const;
  const head = from !== undefined && first !== from.getTime() ? ([from.toISOString(), iso(first)] as const) : null;
  const tail = to !== undefined && last !== to.getTime() ? ([iso(last), to.toISOString()] as const) : null;
  return { days, edges: head === null && tail === null ? null : [...(head ?? NOTHING), ...(tail ?? NOTHING)] };
}

const NO_DAYS = ['infinity', 'infinity'] as const;
const NOTHING = ['infinity', 'infinity'] as const;
const iso = (time: number | null): string => new Date(time ?? 0).toISOString();
const day = (time: number | null): string | null => (time === null ? null : iso(time).slice(0, 10));
