import { LimitNotFoundError, type RecordedBreach } from '@hoc/controls/schemas';
import { ConflictError, NotFoundError, UnavailableError } from '@hoc/shared/kernel';
import { chunksOf, compareBytes, type DriverManager, guarded, run } from '@hoc/shared/drivers';
import type { BreachRecord } from './breach-record.rules';
import {
  type BreachColumns,
  breachParameters,
  COMPARE_BREACHES,
  comparedParameters,
  INSERT_BREACHES,
  toLimitBreach,
} from './breach.query';

/** Breaches of one statement. */
const CHUNK_ROWS = 1000;
/** A row that the insert met may be rolled back by its writer before we read it: then we insert again. */
const ROUNDS = 3;

/** Where the records go, and when. */
interface RecordContext {
  readonly tenantId: string;
  readonly now: Date;
}

/**
 * Inserts what is new and compares the rest with what is stored: the first write of a key stands. The first record of a key
 * leads; later ones are compared with what is stored in the end. Answers in the order of the records.
 */
export async function recordAll(
  manager: DriverManager,
  context: RecordContext,
  records: readonly BreachRecord[],
): Promise<readonly RecordedBreach[]> {
  const answers: (RecordedBreach | undefined)[] = records.map(() => undefined);
  const isOpen = ({ index }: BreachRecord): boolean => answers[index] === undefined;
  for (let round = 0; round < ROUNDS && records.some(isOpen); round += 1) {
    const leaders = leadersOf(records.filter(isOpen));
    for (const chunk of chunksOf(leaders, CHUNK_ROWS)) await insertChunk(manager, context, chunk, answers);
    for (const chunk of chunksOf(records.filter(isOpen), CHUNK_ROWS))
      await compareChunk(manager, context, chunk, answers);
  }
  if (records.some(isOpen)) throw contention();
  return Object.freeze(answers.filter((answer) => answer !== undefined));
}

/** In key order: the first record of each key. */
function leadersOf(records: readonly BreachRecord[]): readonly BreachRecord[] {
  const byKey = new Map<string, BreachRecord>();
  for (const record of records) if (!byKey.has(record.key)) byKey.set(record.key, record);
  return [...byKey.values()].sort((a, b) => compareBytes(a.key, b.key));
}

async function insertChunk(
  manager: DriverManager,
  { tenantId, now }: RecordContext,
  records: readonly BreachRecord[],
  answers: (RecordedBreach | undefined)[],
): Promise<void> {
  const rows = await run(manager, INSERT_BREACHES, breachParameters(tenantId, now, records));
  const byId = new Map(records.map(({ id, index }) => [id, index]));
  for (const row of rows) settle(answers, byId.get(row.id), row, false);
}

async function compareChunk(
  manager: DriverManager,
  { tenantId, now }: RecordContext,
  records: readonly BreachRecord[],
  answers: (RecordedBreach | undefined)[],
): Promise<void> {
  for (const row of await run(manager, COMPARE_BREACHES, comparedParameters(tenantId, now, records))) {
    if (!row.same) throw otherContent(row);
    settle(answers, row.index, row, true);
  }
}

function settle(
  answers: (RecordedBreach | undefined)[],
  index: number | undefined,
  row: BreachColumns,
  duplicate: boolean,
): void {
  if (index !== undefined) answers[index] = Object.freeze({ row: toLimitBreach(row), duplicate });
}

const otherContent = ({ index, id }: { readonly index: number; readonly id: string }): ConflictError =>
  new ConflictError('another breach is stored under this idempotency key: the first one stands', {
    details: { reason: 'content', index, existingId: id },
  });

/** {@link guarded}, where a missing limit, run or incident is told as not found, with its field. */
export async function guardedRecord<T>(records: readonly BreachRecord[], work: () => Promise<T>): Promise<T> {
  try {
    return await guarded(work);
  } catch (error) {
    if (!ConflictError.is(error) || error.details['reason'] !== 'foreign_key') throw error;
    const what = /_(run|incident)$/.exec(String(error.details['constraint']))?.[1] ?? 'limit';
    const [only, ...more] = records;
    // The database doesn't say which of many it was.
    if (what === 'limit' && only !== undefined && more.length === 0)
      throw new LimitNotFoundError(only.limitId, { cause: error });
    throw new NotFoundError(`the tenant has no such ${what}`, {
      details: { field: `${what}Id`, reason: 'foreign_key' },
      cause: error,
    });
  }
}

/** Somebody writes and rolls back these breaches faster than we can look. */
const contention = (): UnavailableError =>
  new UnavailableError('the breaches vanish while they are compared: send them again', {
    retryable: true,
    details: { reason: 'contention' },
  });
