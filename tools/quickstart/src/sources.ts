import { createReadStream } from 'node:fs';
import { basename } from 'node:path';
import type { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import type { SourceLine } from '@hoc/activity/schemas';
import { splitLines } from '@hoc/activity';

/** A file that was opened and whose format was told by its first line. */
export interface Source {
  readonly name: string;
  readonly datasetId: string;
  readonly format: 'azure-trace' | 'json-lines';
  readonly lines: AsyncIterable<SourceLine>;
}

const GZIP = [0x1f, 0x8b] as const;
const TRACE_HEADER = /^"?TIMESTAMP"?,/;

/** Opens a path, or standard input for `-`; gzip is told by its first bytes. Counts what it reads into `onBytes`. */
export async function openSource(path: string, onBytes: (bytes: number) => void): Promise<Source> {
  const raw: Readable = path === '-' ? process.stdin : createReadStream(path);
  const bytes = unzipped(counted(raw, onBytes));
  const { first, lines } = await peeked(splitLines(bytes));
  const format = formatOf(first);
  if (format === null)
    throw new SourceError(
      `${nameOf(path)} is neither an Azure LLM inference trace (a header TIMESTAMP,ContextTokens,GeneratedTokens) nor JSON lines`,
    );
  return { name: nameOf(path), datasetId: datasetOf(path), format, lines };
}

/** What is wrong with a file, in words for its owner. */
export class SourceError extends Error {}

/** Base name without the last extension, other characters as dashes, at most 64: the same name again is the same dataset. */
export function datasetOf(path: string): string {
  if (path === '-') return 'stdin';
  const plain = basename(path).replace(/\.gz$/i, '');
  const stem = plain.replace(/(?<=.)\.[^.]*$/, '');
  return stem.replace(/[^A-Za-z0-9._-]/g, '-').slice(0, 64);
}

/** By the first line: the trace's header, or the brace of a JSON object. */
export function formatOf(first: SourceLine | null): Source['format'] | null {
  if (typeof first !== 'string') return null;
  if (TRACE_HEADER.test(first)) return 'azure-trace';
  return first.startsWith('{') ? 'json-lines' : null;
}

const nameOf = (path: string): string => (path === '-' ? 'standard input' : basename(path));

async function* counted(source: Readable, onBytes: (bytes: number) => void): AsyncGenerator<Buffer> {
  for await (const chunk of source as AsyncIterable<Buffer>) {
    onBytes(chunk.length);
    yield chunk;
  }
}

async function* unzipped(source: AsyncGenerator<Buffer>): AsyncGenerator<Uint8Array> {
  const { first, items } = await firstBytes(source);
  if (!GZIP.every((byte, index) => first[index] === byte)) return yield* items;
  const gunzip = createGunzip();
  const feeding = feed(items, gunzip);
  yield* gunzip as AsyncIterable<Buffer>;
  await feeding;
}

/** Two bytes tell gzip; a pipe may hand them over one by one. */
async function firstBytes(source: AsyncGenerator<Buffer>): Promise<{ first: Buffer; items: AsyncGenerator<Buffer> }> {
  let first = Buffer.alloc(0);
  while (first.length < GZIP.length) {
    const next = await source.next();
    if (next.done) break;
    first = Buffer.concat([first, next.value]);
  }
  return { first, items: chained(first, source) };
}

async function* chained(first: Buffer, rest: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  yield first;
  yield* rest;
}

async function feed(
  items: AsyncIterable<Buffer>,
  sink: NodeJS.WritableStream & { destroy(error?: Error): unknown },
): Promise<void> {
  try {
    for await (const item of items) if (!sink.write(item)) await new Promise((resolve) => sink.once('drain', resolve));
    sink.end();
  } catch (error) {
    sink.destroy(error instanceof Error ? error : new Error(String(error)));
  }
}

async function peeked(
  lines: AsyncIterable<SourceLine>,
): Promise<{ first: SourceLine | null; lines: AsyncIterable<SourceLine> }> {
  const iterator = lines[Symbol.asyncIterator]();
  const next = await iterator.next();
  const all = async function* (): AsyncGenerator<SourceLine> {
    if (next.done) return;
    yield next.value;
    for (let item = await iterator.next(); !item.done; item = await iterator.next()) yield item.value;
  };
  return { first: next.done ? null : next.value, lines: all() };
}
