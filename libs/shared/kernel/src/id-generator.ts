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
  let counter = 0;
  let pool: Uint8Array = new Uint8Array(0);
  let used = 0;
  /** Random bytes are fetched for many ids at once: a call of the system's generator each took a tenth of an ingest. */
  const random = (): Uint8Array => {
    if (used + TAIL_BYTES > pool.length) {
      pool = randomBytes(TAIL_BYTES * POOLED_IDS);
      used = 0;
    }
    used += TAIL_BYTES;
    return pool.subarray(used - TAIL_BYTES, used);
  };
  return {
    next(): string {
      const now = Math.min(Math.max(clock.now().getTime(), 0), TIMESTAMP_LIMIT - 1);
      if (now > timestamp) {
        timestamp = now;
        counter = 0;
      } else if (++counter === COUNTER_LIMIT) {
        timestamp += 1;
        counter = 0;
      }
      return format(timestamp, counter, random());
    },
  };
}

function format(timestamp: number, counter: number, random: Uint8Array): string {
  const time = timestamp.toString(16).padStart(12, '0');
  let tail = '';
  random.forEach((byte, index) => {
    if (index === 2) tail += '-';
    tail += HEX[index === 0 ? (byte & 0x3f) | 0x80 : byte] ?? '';
  });
  return `${time.slice(0, 8)}-${time.slice(8)}-7${counter.toString(16).padStart(3, '0')}-${tail}`;
}

const HEX: readonly string[] = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));
