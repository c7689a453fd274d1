import type { Clock, IdGenerator, JsonObject, Logger } from '@hoc/shared/kernel';

/** A clock that stands until it is moved. */
export interface FixedClock extends Clock {
  set(at: Date | string): void;
  advance(ms: number): void;
}

/** A clock that shows `at` until `set` or `advance`. */
export function fixedClock(at: Date | string): FixedClock {
  let now = new Date(at).getTime();
  return {
    now: () => new Date(now),
    set: (next) => {
      now = new Date(next).getTime();
    },
    advance: (ms) => {
      now += ms;
    },
  };
}

/** `p-000001`, `p-000002`, …: foreseeable, and sorted as they are made. */
export function sequentialIds(prefix = 'p'): IdGenerator {
  let last = 0;
  return { next: () => `${prefix}-${String((last += 1)).padStart(6, '0')}` };
}

/** One line of a {@link memoryLogger}. */
export interface LogEntry {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly event: string;
  readonly fields: JsonObject;
}

/** A logger that keeps what it was told, in order. */
export interface MemoryLogger extends Logger {
  readonly entries: readonly LogEntry[];
}

/** A logger that keeps its entries, in order, for a spec to read. */
export function memoryLogger(): MemoryLogger {
  const entries: LogEntry[] = [];
  const at =
    (level: LogEntry['level']) =>
    (event: string, fields: JsonObject = {}): void => {
      entries.push({ level, event, fields });
    };
  return { entries, debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}
