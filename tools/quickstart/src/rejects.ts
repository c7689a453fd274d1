import { createWriteStream, type WriteStream } from 'node:fs';
import { once } from 'node:events';
import type { Reject } from '@hoc/activity/schemas';

/** Where refused lines go. */
export interface RejectsSink {
  readonly count: () => number;
  readonly take: (reject: Reject) => Promise<void>;
  readonly close: () => Promise<void>;
}

const SHOWN = 20;

/** One JSON object with the documented keys in the documented order. */
export const rejectLine = ({ line, reason, field, message, raw }: Reject): string =>
  `${JSON.stringify({ line, reason, field, message, raw })}\n`;

/** Writes each reject as it occurs: to the file, or the first 20 to `stderr` and of the rest the number. */
export function openRejects(path: string | null, stderr: (text: string) => void): RejectsSink {
  return path === null ? toStderr(stderr) : toFile(createWriteStream(path));
}

function toStderr(stderr: (text: string) => void): RejectsSink {
  let count = 0;
  return {
    count: () => count,
    take: async (reject) => {
      count += 1;
      if (count <= SHOWN) stderr(`rejected ${rejectLine(reject)}`);
    },
    close: async () => {
      if (count > SHOWN) stderr(`and ${count - SHOWN} more rejected lines: --rejects FILE keeps them all\n`);
    },
  };
}

function toFile(stream: WriteStream): RejectsSink {
  let count = 0;
  let failure: Error | null = null;
  stream.on('error', (error) => {
    failure = error;
  });
  const check = (): void => {
    if (failure !== null) throw new RejectsError(`the rejects file can't be written: ${failure.message}`);
  };
  return {
    count: () => count,
    take: async (reject) => {
      count += 1;
      check();
      if (!stream.write(rejectLine(reject))) await Promise.race([once(stream, 'drain'), once(stream, 'close')]);
      check();
    },
    close: async () => {
      check();
      stream.end();
      if (!stream.closed) await once(stream, 'close').catch(() => undefined);
      check();
    },
  };
}

/** The disk is full, or the file may not be written: the import stops, because nothing else would know the lines. */
export class RejectsError extends Error {}
