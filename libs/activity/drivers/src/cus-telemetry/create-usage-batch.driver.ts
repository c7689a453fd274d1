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
const INSERT_FIRST_ROWS = 128;
/** Calls that a look-up asks for: a batch is most often all new or all known, and a few of its calls tell which. */
const PROBES = 32;

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

/**
 * Look-up of a few calls; where one of them is known, comparison before the insert; insert of what has no stored call;
 * comparison of what wasn't inserted; again for what vanished meanwhile.
 */
async function writeChunk(
  manager: DriverManager,
  context: WriteContext,
  ledger: BatchLedger,
  { chunk, single }: { readonly chunk: readonly UsageRecord[]; readonly single: boolean },
): Promise<readonly DaySumJson[]> {
  const sums: DaySumJson[] = [];
  const compare = async (): Promise<void> => {
    const unsettled = ledger.unsettledOf(chunk);
    if (unsettled.length > 0) ledger.compared(await compareUsage(manager, context, unsettled));
  };
  let known = await look(manager, context, chunk, ledger.hasFollowers ? chunk.length : PROBES);
  // Later records of a call id can only be compared after the insert: then it is the one comparison, of all.
  if (known.size > 0 && !ledger.hasFollowers) await compare();
  for (let round = 0; round < WRITE_ROUNDS; round += 1) {
    const unknown = ledger.unsettledOf(chunk).filter((record) => ledger.leads(record) && !known.has(record.callId));
    if (unknown.length > 0) {
      const inserted = await (single ? insertWithDaily : insertWithSums)(manager, context, unknown);
      ledger.created(unknown, inserted.callIds);
      sums.push(...inserted.sums);
    }
    await compare();
    if (ledger.unsettledOf(chunk).length === 0) return sums;
    known = NOTHING_KNOWN;
  }
  throw contention();
}

const NOTHING_KNOWN: ReadonlySet<string> = new Set();

/** Which of `count` calls, taken from all over the chunk, are stored. */
function look(
  manager: DriverManager,
  { tenantId }: WriteContext,
  chunk: readonly UsageRecord[],
  count: number,
): Promise<ReadonlySet<string>> {
  if (chunk.length <= INSERT_FIRST_ROWS) return Promise.resolve(NOTHING_KNOWN);
  const step = chunk.length / count;
  const asked = Array.from({ length: count }, (_, n) => chunk[Math.floor(n * step)]?.callId ?? '');
  return storedCallIds(manager, tenantId, asked);
}
