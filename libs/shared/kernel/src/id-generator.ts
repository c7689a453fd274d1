import { randomBytes as nodeRandomBytes } from 'node:crypto';
import type { Clock } from './clock';

/** The one source of identifiers; injected, so that a test can foresee them. */
export interface IdGenerator {
  /** A new identifier, unique and, where the generator says so, greater than all before it. */
  next(): string;
}

const TAIL_BYTES = 8;
const POOLED_IDS = 128;
const COUNTER_LIMIT = 0x1000;
const TIMESTAMP_LIMIT = 2 ** 48;

/**
 * UUID v7 in lower-case hex: 48 bits of milliseconds, a 12-bit counter inside one millisecond, 62 random bits. The ids of
 * one generator are strictly increasing as strings: a counter that runs over takes the timestamp 1 ms ahead, and a clock
 * that steps back keeps the last timestamp.
 * @param randomBytes the random tail; `node:crypto` by default
 */
export function uuidV7Generator(clock: Clock, randomBytes: (n: number) => Uint8Array = nodeRandomBytes): IdGenerator {
  let timestamp = -1;
  let time = '';
  let counter = 0;
  let pool: Uint8Array = new Uint8Array(0);
  let used = 0;
  /** Random bytes are fetched for many ids at once: a call of the system's generator each took a tenth of an ingest. */
  const tail = (): string => {
    if (used + TAIL_BYTES > pool.length) {
      pool = randomBytes(TAIL_BYTES * POOLED_IDS);
      used = 0;
    }
    let text = HEX[((pool[used] ?? 0) & 0x3f) | 0x80] ?? '';
    for (let index = 1; index < TAIL_BYTES; index += 1)
      text += (index === 2 ? '-' : '') + (HEX[pool[used + index] ?? 0] ?? '');
    used += TAIL_BYTES;
    return text;
  };
  /** Most ids of a batch share their millisecond: it is printed once. */
  const at = (millisecond: number): void => {
    timestamp = millisecond;
    counter = 0;
    const hex = millisecond.toString(16).padStart(12, '0');
    time = `${hex.slice(0, 8)}-${hex.slice(8)}-7`;
  };
  return {
    next(): string {
      const now = Math.min(Math.max(clock.now().getTime(), 0), TIMESTAMP_LIMIT - 1);
      if (now > timestamp) at(now);
      else if (++counter === COUNTER_LIMIT) at(timestamp + 1);
      return `${time}${HEX[counter >> 8]?.slice(1) ?? ''}${HEX[counter & 0xff] ?? ''}-${tail()}`;
    },
  };
}

const HEX: readonly string[] = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));
