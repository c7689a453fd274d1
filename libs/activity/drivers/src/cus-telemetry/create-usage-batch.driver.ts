import type { NewUsage, UsageBatchOutcome } from '@hoc/activity/schemas';
import { assertList, type DriverDeps } from '@hoc/shared/kernel';
import { assertInTransaction, chunksOf, compareBytes, type DriverManager } from '@hoc/shared/drivers';
import { addToDaily } from './add-to-daily.query';
import { type BatchLedger, openLedger } from './batch-ledger.rules';
import { copyUsage, loadCopy } from './copy-usage.driver';
import { contention, WRITE_ROUNDS } from './create-usage.driver';
import { toUsageRecords, type UsageRecord } from './usage-record.rules';
import {
  compareUsage,
  type DaySumJson,
  insertWithDaily,
  insertWithSums,
  storedCallIds,
  type WriteContext,
} from './usage-write.query';

/** Calls of one batch. */
export const USAGE_BATCH_MAX_ROWS = 20_000;
/** Calls of one statement: beyond it arrays gain nothing, while latency, memory and lock time grow (performance.md §1.1). */
export const USAGE_CHUNK_ROWS = 1000;
/** From here on COPY and one merge beat chunks of arrays, where `pg-copy-streams` is installed. */
export const USAGE_COPY_MIN_ROWS = 10_000;

/** Up to here a round trip costs more than an insert that finds its calls there: no look-up goes before it. */
const INSERT_FIRST_ROWS = 32;
const NOTHING_KNOWN: ReadonlySet<string> = new Set();

/**
 * Up to 20,000 calls of one tenant, outcomes in input order. The first record of a call id leads; later ones are compared
 * with what is stored in the end. All leaders are sorted by call id before they are cut into chunks, and the daily rows
 * come last: so every batch locks in one order.
 */
export async function createUsageBatch(
  manager: DriverManager,
  deps: DriverDeps,
  tenantId: string,
  usages: readonly NewUsage[],
): Promise<readonly UsageBatchOutcome[]> {
  assertList(usages, 'usages', USAGE_BATCH_MAX_ROWS);
  if (usages.length === 0) return Object.freeze([]);
  if (usages.length > USAGE_CHUNK_ROWS) assertInTransaction(manager);
  const now = deps.clock.now();
  const records = toUsageRecords(usages, deps.ids, now);
  const ledger = openLedger(records, compareBytes);
  const context: WriteContext = { tenantId, recordedAt: now.toISOString() };
  const copy = ledger.leaders.length >= USAGE_COPY_MIN_ROWS ? await loadCopy() : null;
  if (copy !== null) await copyUsage(manager, context, ledger, copy);
  else await inChunks(manager, context, ledger);
  return ledger.outcomes();
}

async function inChunks(manager: DriverManager, context: WriteContext, ledger: BatchLedger): Promise<void> {
  const chunks = chunksOf(ledger.leaders, USAGE_CHUNK_ROWS);
  const single = chunks.length === 1;
  const sums: DaySumJson[] = [];
  for (const chunk of chunks) sums.push(...(await writeChunk(manager, context, ledger, { chunk, single })));
  await addToDaily(manager, context, sums);
}

/** Look-up, insert of the unknown, comparison of what wasn't inserted; again for what vanished meanwhile. */
async function writeChunk(
  manager: DriverManager,
  context: WriteContext,
  ledger: BatchLedger,
  { chunk, single }: { readonly chunk: readonly UsageRecord[]; readonly single: boolean },
): Promise<readonly DaySumJson[]> {
  const sums: DaySumJson[] = [];
  let open = chunk;
  for (let round = 0; round < WRITE_ROUNDS; round += 1) {
    const known =
      open.length <= INSERT_FIRST_ROWS
        ? NOTHING_KNOWN
        : await storedCallIds(
            manager,
            context.tenantId,
            open.map((record) => record.callId),
          );
    const unknown = open.filter((record) => !known.has(record.callId));
    if (unknown.length > 0) {
      const inserted = await (single ? insertWithDaily : insertWithSums)(manager, context, unknown);
      ledger.created(inserted.callIds);
      sums.push(...inserted.sums);
    }
    const unsettled = ledger.unsettledOf(chunk);
    if (unsettled.length > 0) ledger.compared(await compareUsage(manager, context, unsettled));
    open = ledger.unsettledOf(chunk).filter((record) => ledger.leads(record));
    if (open.length === 0) return sums;
  }
  throw contention();
}
