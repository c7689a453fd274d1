import { addDecimal, fromPgNumeric } from '@hoc/shared/kernel';
import { compareBytes, type DriverManager, run, statement, toColumns } from '@hoc/shared/drivers';
import { ADD_TO_DAILY, type DaySumJson, type WriteContext } from './usage-write.query';

/** Adds the sums of all chunks to their days: the transaction's last statement, so that no day is held while a chunk waits. */
export async function addToDaily(
  manager: DriverManager,
  context: WriteContext,
  sums: readonly DaySumJson[],
): Promise<void> {
  if (sums.length === 0) return;
  const columns = toColumns(addUp(sums), READERS);
  await run(manager, ADD, [context.tenantId, context.recordedAt, ...columns]);
}

/** One entry per integration and day. Whole numbers stay far below 2⁵³: a batch has at most 20,000 bounded records. */
export function addUp(sums: readonly DaySumJson[]): readonly DaySumJson[] {
  const byKey = new Map<string, DaySumJson>();
  for (const sum of sums) {
    const key = `${sum.date} ${sum.integration_id}`;
    const before = byKey.get(key);
    byKey.set(key, before === undefined ? sum : plus(before, sum));
  }
  return [...byKey.values()].sort(
    (a, b) => compareBytes(a.integration_id, b.integration_id) || compareBytes(a.date, b.date),
  );
}

function plus(a: DaySumJson, b: DaySumJson): DaySumJson {
  const whole = (x: string, y: string): string => String(BigInt(x) + BigInt(y));
  return {
    integration_id: a.integration_id,
    date: a.date,
    calls: whole(a.calls, b.calls),
    tokens_in: whole(a.tokens_in, b.tokens_in),
    tokens_out: whole(a.tokens_out, b.tokens_out),
    cost: addDecimal(fromPgNumeric(a.cost), fromPgNumeric(b.cost)),
    latency_total: whole(a.latency_total, b.latency_total),
    latency_count: whole(a.latency_count, b.latency_count),
    errors: whole(a.errors, b.errors),
    blocked: whole(a.blocked, b.blocked),
  };
}

const READERS = [
  (sum: DaySumJson) => sum.integration_id,
  (sum: DaySumJson) => sum.date,
  (sum: DaySumJson) => sum.calls,
  (sum: DaySumJson) => sum.tokens_in,
  (sum: DaySumJson) => sum.tokens_out,
  (sum: DaySumJson) => sum.cost,
  (sum: DaySumJson) => sum.latency_total,
  (sum: DaySumJson) => sum.latency_count,
  (sum: DaySumJson) => sum.errors,
  (sum: DaySumJson) => sum.blocked,
];

const ADD = statement<Record<string, never>>(
  'add_to_daily',
  `WITH sums AS (
     SELECT * FROM unnest($3::text[], $4::date[], $5::bigint[], $6::bigint[], $7::bigint[], $8::numeric[], $9::bigint[],
       $10::bigint[], $11::bigint[], $12::bigint[])
       AS u(integration_id, date, calls, tokens_in, tokens_out, cost, latency_total, latency_count, errors, blocked)
   ) ${ADD_TO_DAILY}`,
);
