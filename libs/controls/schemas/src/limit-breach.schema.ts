import type { DecimalString, JsonObject, LimitBreachType, RunId } from '@hoc/shared/kernel';

/** Breaches of one call, at most. */
export const BREACH_BATCH_MAX = 10_000;
/** Characters of a breach's idempotency key. */
export const BREACH_KEY_MAX = 200;

/** A crossing of a limit to put on record. */
export interface BreachInput {
  readonly limitId: string;
  readonly runId?: RunId;
  readonly incidentId?: string;
  /** OVERRIDDEN: crossed while an override covered it. */
  readonly breachType: LimitBreachType;
  /** In the limit's unit, 0 or more; null where nobody measured it. */
  readonly valueAtBreach: DecimalString | null;
  /** 1–200 characters. A second recording under it with the same content is the first one; with another it is a conflict. */
  readonly idempotencyKey: string;
  readonly details?: JsonObject;
}

/** A crossing of a limit on record. */
export interface LimitBreach {
  readonly breachId: string;
  readonly limitId: string;
  readonly runId: string | null;
  readonly incidentId: string | null;
  readonly breachType: LimitBreachType;
  readonly valueAtBreach: DecimalString | null;
  /** What was in force when it was recorded: the higher of the limit's own value and that of the override in effect. */
  readonly limitValue: DecimalString;
  readonly details: JsonObject | null;
  readonly breachedAt: Date;
  /** Null while it lasts. */
  readonly recoveredAt: Date | null;
  /** Null for rows of other writers. */
  readonly idempotencyKey: string | null;
}

/** The row on record, and whether it was there before. */
export interface RecordedBreach {
  readonly row: LimitBreach;
  readonly duplicate: boolean;
}

/** The breach recorder on one unit of work: what an engine is given. */
export interface LimitBreachPort {
  /** Puts one crossing on record, once. */
  recordBreach(tenantId: string, input: BreachInput): Promise<RecordedBreach>;
  /** Up to 10,000 at once, in a transaction; answers in the order of the input. */
  recordBreaches(tenantId: string, inputs: readonly BreachInput[]): Promise<readonly RecordedBreach[]>;
  /** Marks the end of a crossing, once: true for the call that did it. */
  markBreachRecovered(tenantId: string, breachId: string): Promise<boolean>;
}
