import type { Clock } from '@hoc/shared/kernel';

/** A clock that shows what it was set to: generated things happen at their own time. */
export type SettableClock = Clock & { set(at: Date): void };

export function settableClock(at: Date): SettableClock {
  let now = at;
  return { now: () => new Date(now.getTime()), set: (to) => (now = to) };
}
