import type { BreachInput, LimitBreachPort, RecordedBreach } from '@hoc/controls/schemas';
import { assertId, assertTenantId, DataIntegrityError, type DriverDeps, type ReadDeps } from '@hoc/shared/kernel';
import { assertInTransaction, type DriverManager, guarded, runOne } from '@hoc/shared/drivers';
import { toBreachRecord, toBreachRecords } from './limit-breach/breach-record.rules';
import { MARK_RECOVERED } from './limit-breach/breach.query';
import { guardedRecord, recordAll } from './limit-breach/record-breaches.driver';

/**
 * Puts one crossing of a limit on record, as of the clock, with the value that is in force at that instant: the higher of
 * the limit's own and that of the override in effect. A second recording of the key with the same content changes nothing
 * and gives the stored row. One statement when it is new, a second to compare when it isn't; needs no transaction.
 * @throws InvalidArgumentError naming the field; NotFoundError for a limit (LimitNotFoundError), run or incident that the
 * tenant doesn't have; ConflictError (`details.existingId`) for another content under the key
 * @see spec controls H.3
 */
export async function recordBreach(
  manager: DriverManager,
  tenantId: string,
  input: BreachInput,
  deps: DriverDeps,
): Promise<RecordedBreach> {
  const tenant = assertTenantId(tenantId);
  const records = [toBreachRecord(input, { index: 0, id: deps.ids.next() })];
  const context = { tenantId: tenant, now: deps.clock.now() };
  const [answer] = await guardedRecord(records, () => recordAll(manager, context, records));
  if (answer === undefined) throw new DataIntegrityError('the breach was not stored', { details: { reason: 'lost' } });
  return answer;
}

/**
 * {@link recordBreach} of up to 10,000 crossings of one tenant, set by set; answers in the order of the input. A key that is
 * there twice is recorded once. All or none: after an error the transaction has to be rolled back.
 * @throws TransactionRequiredError outside a transaction; as {@link recordBreach}, with `details.index` where one input is
 * to blame; NotFoundError with `details.field` for a limit, run or incident
 * @see spec controls H.3
 */
export async function recordBreaches(
  manager: DriverManager,
  tenantId: string,
  inputs: readonly BreachInput[],
  deps: DriverDeps,
): Promise<readonly RecordedBreach[]> {
  const tenant = assertTenantId(tenantId);
  assertInTransaction(manager);
  const records = toBreachRecords(inputs, deps.ids);
  return guardedRecord(records, () => recordAll(manager, { tenantId: tenant, now: deps.clock.now() }, records));
}

/**
 * Marks the end of a crossing, as of the clock: true for the one call that did it; false where it was marked before, or the
 * tenant has no such breach. Needs no transaction.
 * @see spec controls H.3
 */
export async function markBreachRecovered(
  manager: DriverManager,
  tenantId: string,
  breachId: string,
  deps: ReadDeps,
): Promise<boolean> {
  const values = [assertTenantId(tenantId), assertId(breachId, 'breachId'), deps.clock.now().toISOString()];
  return guarded(async () => (await runOne(manager, MARK_RECOVERED, values)) !== null);
}

/** The three functions on one manager. */
export function getLimitBreachDriver(manager: DriverManager, deps: DriverDeps): LimitBreachPort {
  return Object.freeze<LimitBreachPort>({
    recordBreach: (tenantId, input) => recordBreach(manager, tenantId, input, deps),
    recordBreaches: (tenantId, inputs) => recordBreaches(manager, tenantId, inputs, deps),
    markBreachRecovered: (tenantId, breachId) => markBreachRecovered(manager, tenantId, breachId, deps),
  });
}
