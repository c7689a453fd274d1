import type { SourceLine } from '@hoc/activity/schemas';
import { InvalidArgumentError } from '@hoc/shared/kernel';
import fc from 'fast-check';
import { splitLines } from './split-lines.engine';

async function* chunks(...parts: readonly (string | readonly number[])[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) yield await Promise.resolve(Buffer.from(part as string));
}

async function collect(source: AsyncIterable<Uint8Array>, maxLineBytes?: number): Promise<readonly SourceLine[]> {
  const lines: SourceLine[] = [];
  for await (const line of splitLines(source, maxLineBytes)) lines.push(line);
  return lines;
}

/** The bytes cut at the given places: empty chunks where two of them are equal. */
async function* cutAt(bytes: Uint8Array, places: readonly number[]): AsyncGenerator<Uint8Array> {
  let start = 0;
  for (const end of [...places.map((place) => place % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]) {
    yield await Promise.resolve(bytes.subarray(start, end));
    start = end;
  }
}

/** What the lines of a text are, said in another way. */
function linesOf(text: string, max: number): readonly SourceLine[] {
  const lines = text.replace(/^\ufeff/u, '').split('\n');
  if (lines.at(-1) === '') lines.pop();
  return lines
    .map((line) => line.replace(/\r$/, ''))
    .map((line) => (Buffer.byteLength(line) > max ? { error: 'LINE_TOO_LONG', raw: line.slice(0, 500) } : line));
}

const pieces = fc.constantFrom('\r\n', '\n', '\r', 'a', 'ü', '€', '\u{1f600}', '\ufeff', '', ' ', 'x'.repeat(9));
const text = fc.array(pieces, { maxLength: 30 }).map((parts) => parts.join(''));
const places = fc.array(fc.nat(), { maxLength: 12 });

describe('law 14: the same lines for any chunking of the bytes', () => {
  it('of any text, inside a character and between CR and LF too', async () => {
    await fc.assert(
      fc.asyncProperty(text, places, fc.integer({ min: 1, max: 24 }), async (content, cuts, max) => {
        expect(await collect(cutAt(Buffer.from(content), cuts), max)).toEqual(linesOf(content, max));
      }),
      { numRuns: 500 },
    );
  });

  it('of any bytes, UTF-8 or not', async () => {
    const byte = fc.constantFrom(0x0a, 0x0d, 0x41, 0xc3, 0xbc, 0xe2, 0x82, 0xac, 0xef, 0xbb, 0xbf, 0xf0, 0xff);
    await fc.assert(
      fc.asyncProperty(fc.array(byte, { maxLength: 40 }), places, async (bytes, cuts) => {
        const whole = await collect(chunks(bytes), 12);
        expect(await collect(cutAt(Buffer.from(bytes), cuts), 12)).toEqual(whole);
        expect(await collect(cutAt(Buffer.from(bytes), [...bytes.keys()]), 12)).toEqual(whole);
      }),
      { numRuns: 300 },
    );
  });
});

describe('line ends', () => {
  it.each([
    ['nothing', '', []],
    ['no end at the last line', 'a\r\nb', ['a', 'b']],
    ['an end at the last line', 'a\nb\n', ['a', 'b']],
    ['empty lines count', '\n\r\n\na', ['', '', '', 'a']],
    ['one CR of two', 'a\r\r\nb', ['a\r', 'b']],
    ['a CR inside a line is text', 'a\rb\n', ['a\rb']],
    ['a CR before the end of the file', 'a\r', ['a']],
  ])('%s', async (_, content, expected) => {
    expect(await collect(chunks(content))).toEqual(expected);
  });

  it.each([
    ['at the start is dropped', '\ufeffa\nb', ['a', 'b']],
    ['alone is an empty file', '\ufeff', []],
    ['before a line end leaves an empty line', '\ufeff\na', ['', 'a']],
    ['is dropped once', '\ufeff\ufeffa', ['\ufeffa']],
    ['later is text', 'a\n\ufeffb', ['a', '\ufeffb']],
  ])('a BOM %s', async (_, content, expected) => {
    expect(await collect(chunks(content))).toEqual(expected);
  });
});

describe('lines that are no text', () => {
  it.each([
    ['a lone continuation byte', [0x61, 0x80]],
    ['a cut character', [0xe2, 0x82]],
    ['an overlong slash', [0xc0, 0xaf]],
    ['a surrogate', [0xed, 0xa0, 0x80]],
    ['UTF-16', [0xff, 0xfe, 0x61, 0x00]],
  ])('MALFORMED: %s; the lines around it are read', async (_, bytes) => {
    const [before, bad, after] = await collect(chunks('ä\n', bytes, '\nö'));
    expect([before, after]).toEqual(['ä', 'ö']);
    expect(bad).toMatchObject({ error: 'MALFORMED' });
  });

  it('a NUL is a character like others: what may not be stored is for the fields to say', async () => {
    expect(await collect(chunks('a\0b\n'))).toEqual(['a\0b']);
  });
});

describe('LINE_TOO_LONG', () => {
  it.each(['', '\n', '\r\n'])('the limit counts bytes, neither BOM nor line end: %j', async (end) => {
    expect(await collect(chunks(`\ufeffäää${end}äää${end}`), 6)).toEqual(
      end === '' ? [long('ääääää')] : ['äää', 'äää'],
    );
    expect(await collect(chunks(`\ufeffäääx${end}`), 6)).toEqual([long('äääx')]);
  });

  it('1 MiB by default', async () => {
    const line = 'x'.repeat(1_048_576);
    expect(await collect(chunks(`\ufeff${line}\r\n${line}x\r\nnext`))).toEqual([line, long('x'.repeat(500)), 'next']);
  });

  it('the first 500 characters are kept, whatever a character takes', async () => {
    for (const character of ['x', 'ä', '€', '\u{1f600}'])
      expect(await collect(chunks(character.repeat(3000)), 10)).toEqual([long(character.repeat(3000).slice(0, 500))]);
  });

  it('is skipped without being held: a line of 256 MiB leaves no more behind than a short one', async () => {
    const chunk = Buffer.alloc(1_048_576, 'y');
    let held = 0;
    async function* endless(): AsyncGenerator<Uint8Array> {
      for (let n = 0; n < 256; n += 1) {
        held = Math.max(held, process.memoryUsage().arrayBuffers);
        yield await Promise.resolve(chunk);
      }
      yield Buffer.from('\nz');
    }
    const before = process.memoryUsage().arrayBuffers;
    expect(await collect(endless())).toEqual([long('y'.repeat(500)), 'z']);
    expect(held - before).toBeLessThan(32 * 1_048_576);
  });
});

it('a stream may use its chunk again: lines do not change behind the reader', async () => {
  async function* reused(): AsyncGenerator<Uint8Array> {
    const buffer = Buffer.from('ab');
    yield await Promise.resolve(buffer);
    buffer.write('cd');
    yield buffer;
  }
  expect(await collect(reused())).toEqual(['abcd']);
});

it('one who stops reading closes the source, and its error is the reader’s', async () => {
  let closed = false;
  async function* source(): AsyncGenerator<Uint8Array> {
    try {
      yield await Promise.resolve(Buffer.from('a\nb\n'));
      throw new Error('disk');
    } finally {
      closed = true;
    }
  }
  for await (const line of splitLines(source())) if (line === 'a') break;
  expect(closed).toBe(true);
  await expect(collect(source())).rejects.toThrow('disk');
});

it.each([0, -1, 1.5, Number.NaN, 2_000_000_000])('bad input: %p bytes a line', async (max) => {
  await expect(collect(chunks('a'), max)).rejects.toThrow(InvalidArgumentError);
});

const long = (raw: string): SourceLine => ({ error: 'LINE_TOO_LONG', raw });
