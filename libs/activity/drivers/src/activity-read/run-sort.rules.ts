import { RUN_SORT_FIELDS, type RunSort, type RunSortField, SORT_DIRECTIONS } from '@hoc/activity/schemas';
import { assertObject, assertOneOf } from '@hoc/shared/kernel';
import type { PositionType } from '@hoc/shared/drivers';

/** A sort key: NULL counts as smaller than every value. */
export interface RunKey {
  /** The expression that its index is made of, on the alias `r`. */
  readonly key: string;
  /** The key as a cursor's position holds it. */
  readonly text: string;
  /** The position as the key's value again; `n` is its placeholder. */
  readonly value: (n: string) => string;
  readonly position: PositionType;
}

const instantKey = (column: string): RunKey => ({
  key: `COALESCE(r.${column}, '-infinity'::timestamptz)`,
  text: `to_char(r.${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`,
  value: (n) => `COALESCE(${n}::timestamptz, '-infinity'::timestamptz)`,
  position: 'instant',
});

/** The sort keys, spelled as the indexes of `runs` are: another spelling would sort all runs of the tenant. */
export const RUN_KEYS: Readonly<Record<RunSortField, RunKey>> = Object.freeze({
  startedAt: instantKey('started_at'),
  completedAt: instantKey('completed_at'),
  durationMs: {
    key: 'COALESCE(r.duration_ms, -1)',
    text: 'r.duration_ms::text',
    value: (n) => `COALESCE(${n}::bigint, -1)`,
    position: 'integer',
  },
  riskLevel: {
    key: `CASE r.risk_level WHEN 'VIOLATED' THEN 3 WHEN 'AT_RISK' THEN 2 WHEN 'NEAR_THRESHOLD' THEN 1 ELSE 0 END`,
    text: `(CASE r.risk_level WHEN 'VIOLATED' THEN 3 WHEN 'AT_RISK' THEN 2 WHEN 'NEAR_THRESHOLD' THEN 1 ELSE 0 END)::text`,
    value: (n) => `${n}::bigint`,
    position: 'integer',
  },
});

/** @throws InvalidArgumentError naming `sort.field` or `sort.direction` */
export function checkRunSort(sort: RunSort): RunSort {
  assertObject(sort, 'sort');
  return {
    field: assertOneOf(sort.field, RUN_SORT_FIELDS, 'sort.field'),
    direction: assertOneOf(sort.direction, SORT_DIRECTIONS, 'sort.direction'),
  };
}
