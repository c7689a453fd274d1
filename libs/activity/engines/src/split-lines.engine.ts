import { LINE_MAX_BYTES, type SourceLine } from '@hoc/activity/schemas';
import { assertInt } from '@hoc/shared/kernel';

const LF = 0x0a;
const CR = 0x0d;
const BOM = [0xef, 0xbb, 0xbf] as const;
/** What of an over-long line is kept for the rejects file: 500 characters at four bytes. */
const RAW_BYTES = 2000;
const RAW_CHARACTERS = 500;

/**
 * Lines of UTF-8 text: LF or CRLF, a BOM at the start dropped, a last line without its end counts. The same lines for any
 * chunking of the bytes. A line over `maxLineBytes` (1 MiB) is skipped without being held in memory.
 */
export async function* splitLines(
  source: AsyncIterable<Uint8Array>,
  maxLineBytes: number = LINE_MAX_BYTES,
): AsyncGenerator<SourceLine> {
  assertInt(maxLineBytes, 'maxLineBytes', 1, 1_073_741_824);
  const line = new LineBuffer(maxLineBytes);
  for await (const chunk of source) {
    let start = 0;
    for (let end = chunk.indexOf(LF); end !== -1; end = chunk.indexOf(LF, start)) {
      line.append(chunk.subarray(start, end));
      yield line.take();
      start = end + 1;
    }
    line.append(chunk.subarray(start));
  }
  if (!line.isEmpty()) yield line.take();
}

/** The bytes of the line that is being read, as far as they may be held. */
class LineBuffer {
  private parts: Uint8Array[] = [];
  private length = 0;
  private first = true;

  constructor(private readonly max: number) {}

  append(bytes: Uint8Array): void {
    // Beyond the limit only enough for the rejects file is kept; a CR and a BOM may still fall away.
    const room = Math.max(this.max + BOM.length + 1, RAW_BYTES) - this.length;
    // A copy, which Buffer's own `slice` is not: a stream may use its chunk again.
    if (room > 0 && bytes.length > 0) this.parts.push(Buffer.from(bytes.subarray(0, room)));
    this.length += bytes.length;
  }

  /** Nothing since the last line end; a BOM is nothing. */
  isEmpty(): boolean {
    return this.length === (this.startsWithBom() ? BOM.length : 0);
  }

  take(): SourceLine {
    const held = Buffer.concat(this.parts);
    let bytes: Buffer = held;
    let { length } = this;
    if (this.startsWithBom()) {
      bytes = bytes.subarray(BOM.length);
      length -= BOM.length;
    }
    if (length === bytes.length && bytes.at(-1) === CR) {
      bytes = bytes.subarray(0, -1);
      length -= 1;
    }
    this.parts = [];
    this.length = 0;
    this.first = false;
    return length > this.max ? { error: 'LINE_TOO_LONG', raw: rawOf(bytes) } : decode(bytes);
  }

  private startsWithBom(): boolean {
    if (!this.first || this.length < BOM.length) return false;
    const start = Buffer.concat(this.parts, BOM.length);
    return BOM.every((byte, index) => start[index] === byte);
  }
}

function decode(bytes: Buffer): SourceLine {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return { error: 'MALFORMED', raw: rawOf(bytes) };
  }
}

const rawOf = (bytes: Buffer): string => bytes.subarray(0, RAW_BYTES).toString('utf8').slice(0, RAW_CHARACTERS);
