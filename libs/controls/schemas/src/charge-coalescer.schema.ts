/** Bounds of a charge coalescer. @see spec controls H.2 */
export interface ChargeCoalescerOptions {
  /** Calls that wait or are in flight, at most: 1–1,000,000, default 10,000. */
  readonly maxQueue?: number;
  /** Charges of one statement, at most: 1–1,000, default 1,000. */
  readonly maxBatch?: number;
}

/** Batches of one coalescer that are in flight at once: each holds a connection. */
export const CHARGE_MAX_IN_FLIGHT = 4;
