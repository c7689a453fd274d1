import type { CreateUsageOutcome, NewUsage } from '@hoc/activity/schemas';
import { ConflictError, type DriverDeps, UnavailableError } from '@hoc/shared/kernel';
import type { DriverManager } from '@hoc/shared/drivers';
import { toUsageRecord, type UsageRecord } from './usage-record.rules';
import { compareUsage, insertWithDaily, type WriteContext } from './usage-write.query';

/** A row seen by the insert may be rolled back by its writer before we read it: then we insert again. */
export const WRITE_ROUNDS = 3;

/** One call: one statement when it is new, a second one to compare when it isn't. */
export async function createUsage(
  manager: DriverManager,
  deps: DriverDeps,
  tenantId: string,
  usage: NewUsage,
): Promise<CreateUsageOutcome> {
  const now = deps.clock.now();
  const record: UsageRecord = toUsageRecord(usage, { index: 0, id: deps.ids.next(), now });
  const context: WriteContext = { tenantId, recordedAt: now.toISOString() };
  const { callId } = record;
  for (let round = 0; round < WRITE_ROUNDS; round += 1) {
    const { callIds } = await insertWithDaily(manager, context, [record]);
    if (callIds === null) return Object.freeze({ status: 'created', id: record.id, callId });
    const [stored] = await compareUsage(manager, context, [record]);
    if (stored?.same === true) return Object.freeze({ status: 'duplicate', id: stored.id, callId });
    if (stored !== undefined) throw otherContent(callId, stored.id);
  }
  throw contention();
}

const otherContent = (callId: string, existingId: string): ConflictError =>
  new ConflictError('another content is stored under this call id: the first write stands', {
    details: { reason: 'content', callId, existingId },
  });

/** Somebody writes and rolls back these calls faster than we can look. */
export const contention = (): UnavailableError =>
  new UnavailableError('the calls vanish while they are compared: send them again', {
    retryable: true,
    details: { reason: 'contention' },
  });
