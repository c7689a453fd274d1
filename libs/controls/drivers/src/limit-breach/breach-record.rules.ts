import {
  assertAmount,
  BREACH_BATCH_MAX,
  BREACH_KEY_MAX,
  type BreachInput,
  LIMIT_BREACH_TYPES,
} from '@hoc/controls/schemas';
import {
  assertId,
  assertList,
  assertObject,
  assertOneOf,
  type DecimalString,
  type IdGenerator,
  InvalidArgumentError,
  type LimitBreachType,
} from '@hoc/shared/kernel';
import { storedJsonText } from '../stored-json.rules';

/** A crossing as its columns will hold it: absent is null. */
export interface BreachRecord {
  /** Place in the caller's list. */
  readonly index: number;
  /** The id that it gets if it is new. */
  readonly id: string;
  readonly limitId: string;
  readonly runId: string | null;
  readonly incidentId: string | null;
  readonly breachType: LimitBreachType;
  readonly valueAtBreach: DecimalString | null;
  /** JSON text. */
  readonly details: string | null;
  readonly key: string;
}

/** @throws InvalidArgumentError naming the field, with `details.index` */
export function toBreachRecords(inputs: readonly BreachInput[], ids: IdGenerator): readonly BreachRecord[] {
  return assertList(inputs, 'inputs', BREACH_BATCH_MAX).map((input, index) => {
    try {
      return toBreachRecord(input, { index, id: ids.next() });
    } catch (error) {
      if (!InvalidArgumentError.is(error)) throw error;
      throw new InvalidArgumentError(error.message, { details: { ...error.details, index } });
    }
  });
}

/** @throws InvalidArgumentError naming the field */
export function toBreachRecord(given: unknown, place: { readonly index: number; readonly id: string }): BreachRecord {
  const input = assertObject(given, 'input');
  const { limitId, runId, incidentId, breachType, valueAtBreach, idempotencyKey, details } = input;
  return {
    ...place,
    limitId: assertId(limitId, 'limitId'),
    runId: runId === undefined ? null : assertId(runId, 'runId'),
    incidentId: incidentId === undefined ? null : assertId(incidentId, 'incidentId'),
    breachType: assertOneOf(breachType, LIMIT_BREACH_TYPES, 'breachType'),
    valueAtBreach: valueAtBreach === null ? null : assertAmount(valueAtBreach, 'valueAtBreach'),
    details: details === undefined ? null : storedJsonText(details, 'details'),
    key: assertId(idempotencyKey, 'idempotencyKey', BREACH_KEY_MAX),
  };
}
