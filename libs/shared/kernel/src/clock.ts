/** The one source of time; injected, so that a test can stop it. */
export interface Clock {
  /** The present instant, to the millisecond, as a fresh `Date`. */
  now(): Date;
}

/** The machine's clock. */
export function systemClock(): Clock {
  return { now: () => new Date() };
}
