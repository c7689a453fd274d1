import type { RecordOutcome } from '@hoc/activity/schemas';
import { ConflictError, NotFoundError, UnavailableError } from '@hoc/shared/kernel';
import { type DriverManager, guarded } from '@hoc/shared/drivers';
import { compareRuns, type CreateContext, type Creation, insertRuns } from './create.query';
import type { NewRecord } from './new-run.rules';

/** A row that the insert met may be rolled back by its writer before we read it: then we insert again. */
const ROUNDS = 3;

/**
 * Inserts what is new and compares the rest with what is stored: the first write stands. The first record of an id, or of a
 * key, leads; later ones of it are compared with what is stored in the end.
 */
export async function createRecords(
  manager: DriverManager,
  creation: Creation,
  context: CreateContext,
  records: readonly NewRecord[],
): Promise<readonly RecordOutcome[]> {
  const outcomes: (RecordOutcome | undefined)[] = records.map(() => undefined);
  const isOpen = (record: NewRecord): boolean => outcomes[record.index] === undefined;
  for (let round = 0; round < ROUNDS && records.some(isOpen); round += 1) {
    const leaders = leadersOf(records.filter(isOpen));
    const inserted = await insertRuns(manager, creation, context, leaders);
    for (const leader of leaders.filter(({ id }) => inserted.has(id))) settle(outcomes, leader, leader.id, 'created');
    const rest = records.filter(isOpen);
    if (rest.length === 0) break;
    for (const { index, id, same, refused } of await compareRuns(manager, creation, context, rest)) {
      const record = records[index];
      if (record === undefined || (id === null && !refused)) continue;
      if (id !== null && same === true) settle(outcomes, record, id, 'duplicate');
      else settle(outcomes, record, record.namesId ? record.id : null, 'conflict');
    }
  }
  if (records.some(isOpen)) throw contention();
  return Object.freeze(outcomes.filter((outcome) => outcome !== undefined));
}

/** In input order: each record whose id and key no earlier leader has. The others are what a second write would be. */
function leadersOf(records: readonly NewRecord[]): readonly NewRecord[] {
  const ids = new Set<string>();
  const keys = new Set<string>();
  return records.filter(({ id, key }) => {
    if (ids.has(id) || (key !== null && keys.has(key))) return false;
    ids.add(id);
    if (key !== null) keys.add(key);
    return true;
  });
}

function settle(
  outcomes: (RecordOutcome | undefined)[],
  { index }: NewRecord,
  id: string | null,
  status: RecordOutcome['status'],
): void {
  outcomes[index] = Object.freeze({ index, id, status });
}

/** {@link guarded}, where a missing tenant or parent is told as not found, with its field. */
export async function guardedCreate<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await guarded(work);
  } catch (error) {
    if (!ConflictError.is(error) || error.details['reason'] !== 'foreign_key') throw error;
    const field = String(error.details['constraint']).endsWith('_parent') ? 'parentRunId' : 'tenantId';
    throw new NotFoundError(field === 'parentRunId' ? 'the tenant has no such parent run' : 'there is no such tenant', {
      details: { field, reason: 'foreign_key' },
      cause: error,
    });
  }
}

/** Somebody writes and rolls back these rows faster than we can look. */
const contention = (): UnavailableError =>
  new UnavailableError('the runs vanish while they are compared: send them again', {
    retryable: true,
    details: { reason: 'contention' },
  });
