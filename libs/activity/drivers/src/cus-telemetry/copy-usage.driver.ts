import { Readable, type Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type ArrayValue, type DriverManager, run, runOne, statement, withClient } from '@hoc/shared/drivers';
import { addToDaily } from './add-to-daily.query';
import type { BatchLedger } from './batch-ledger.rules';
import { contention, WRITE_ROUNDS } from './create-usage.driver';
import {
  type ComparedRow,
  createdOf,
  type DaySumJson,
  insertFrom,
  type InsertedRow,
  RECORD_READERS,
  SAME_CONTENT,
  SUMS,
  USAGE_COPY_COLUMNS,
  type WriteContext,
} from './usage-write.query';
import type { UsageRecord } from './usage-record.rules';

/** `from` of `pg-copy-streams`: a COPY FROM STDIN that a client runs and a stream fills. */
export type CopyFrom = (text: string) => Writable & { submit: (...args: never[]) => void };

/** The optional peer, loaded on first use; null where it isn't installed, and then the chunks go on. */
export async function loadCopy(): Promise<CopyFrom | null> {
  try {
    const { from } = await import('pg-copy-streams');
    return from;
  } catch {
    return null;
  }
}

/**
 * The whole batch by COPY into a temporary table and one merge, in place of look-ups and chunks: table, COPY, merge,
 * comparison, roll-up, drop. Needs the caller's transaction.
 */
export async function copyUsage(
  manager: DriverManager,
  context: WriteContext,
  ledger: BatchLedger,
  copy: CopyFrom,
): Promise<void> {
  await run(manager, CREATE_TABLE, []);
  await fill(manager, ledger, copy);
  const sums: DaySumJson[] = [];
  for (let round = 0; ; round += 1) {
    if (round === WRITE_ROUNDS) throw contention();
    const inserted = await runOne(manager, MERGE, [context.tenantId, context.recordedAt, ledger.leaders.length]);
    ledger.created(ledger.leaders, inserted?.call_ids ?? null);
    sums.push(...(inserted?.sums ?? []));
    if (ledger.unsettledOf(ledger.leaders).length > 0) ledger.compared(await run(manager, COMPARE, [context.tenantId]));
    if (ledger.unsettledOf(ledger.leaders).length === 0) break;
  }
  // A second batch of this transaction makes the table again. Dropped before the roll-up, which stays the last to lock.
  await run(manager, DROP_TABLE, []);
  await addToDaily(manager, context, sums);
}

async function fill(manager: DriverManager, ledger: BatchLedger, copy: CopyFrom): Promise<void> {
  await withClient(manager, async (client) => {
    await pipeline(Readable.from(copyBlocks(ledger)), client.query(copy('COPY hoc_usage_copy FROM STDIN')));
  });
}

/** Lines in pieces of some size: a stream takes longer over a piece than we over a line. */
export function* copyBlocks(ledger: BatchLedger): Generator<string> {
  let block = '';
  for (const record of ledger.records) {
    block += copyLine(record, ledger.leads(record));
    if (block.length < BLOCK_CHARS) continue;
    yield block;
    block = '';
  }
  if (block !== '') yield block;
}

const BLOCK_CHARS = 65_536;

/** One line of COPY's text format. */
export function copyLine(record: UsageRecord, leads: boolean): string {
  let line = '';
  for (const read of RECORD_READERS) line += `${copyText(read(record))}\t`;
  return `${line}${record.index}\t${leads}\n`;
}

function copyText(value: ArrayValue): string {
  if (value === null) return '\\N';
  if (typeof value !== 'string') return String(value);
  return ESCAPED.test(value) ? value.replace(ESCAPED_ALL, (char) => ESCAPES[char] ?? char) : value;
}

const ESCAPED = /[\\\t\n\r]/;
const ESCAPED_ALL = /[\\\t\n\r]/g;

const ESCAPES: Readonly<Record<string, string>> = Object.freeze({
  '\\': '\\\\',
  '\t': '\\t',
  '\n': '\\n',
  '\r': '\\r',
});

const CREATE_TABLE = statement<never>(
  'usage_copy_table',
  `CREATE TEMPORARY TABLE hoc_usage_copy (${USAGE_COPY_COLUMNS}, index integer, leads boolean) ON COMMIT DROP`,
);

const MERGE = statement<InsertedRow>(
  'usage_copy_merge',
  `WITH ${insertFrom('(SELECT * FROM hoc_usage_copy WHERE leads) AS u')}
   SELECT ${createdOf('$3::integer')}, ${SUMS} FROM inserted`,
);

/**
 * A row that this call inserted has the record's own id: all others met somebody else's, or are later ones of it. LIMIT 1
 * keeps it to a look-up per record: a plain join reads all calls of the tenant where a plan for any tenant is used.
 */
const COMPARE = statement<ComparedRow>(
  'usage_copy_compare',
  `SELECT u.index, s.id, ${SAME_CONTENT} AS same
   FROM hoc_usage_copy u
   CROSS JOIN LATERAL (SELECT * FROM cus_llm_usage WHERE tenant_id = $1 AND call_id = u.call_id LIMIT 1) AS s
   WHERE s.id <> u.id`,
);

const DROP_TABLE = statement<never>('usage_copy_drop', 'DROP TABLE pg_temp.hoc_usage_copy');
