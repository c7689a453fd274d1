import {
  type AzureTraceOptions,
  type ImportedRecord,
  IMPORT_CHUNK_DEFAULT,
  IMPORT_CHUNK_MAX,
  type ImportOptions,
  type ImportReport,
  MAX_CLOCK_SKEW_MINUTES,
  OCCURRED_AT_MIN,
  type Refusal,
  type RunChunk,
  type SourceLine,
} from '@hoc/activity/schemas';
import { assertId, assertInt, assertObject, canonicalJson, HocError, invalid, utcDayOf } from '@hoc/shared/kernel';
import { isAzureTraceHeader, parseAzureTraceLine } from './azure-trace.engine';
import { azureCallId, EqualLines, jsonLineCallId } from './call-id.engine';
import { ChunkWriter } from './import-chunk.engine';
import { parseJsonUsageLine } from './usage-json-lines.engine';
import { costCents } from './usage-pricing.engine';

type Parse = (line: string, number: number) => ImportedRecord | Refusal;

const DATASET = /^[A-Za-z0-9._-]{1,64}$/;
const EARLIEST = Date.parse(OCCURRED_AT_MIN);
const SKEW_MS = MAX_CLOCK_SKEW_MINUTES * 60_000;

/**
 * Imports an Azure LLM inference trace, each line once, however often the file is imported or interrupted: a call id is
 * computed from the line and its ordinal among equal ones. One transaction per chunk.
 * @throws InvalidArgumentError reason `header`, before any write; whatever a transaction throws, with
 * `details.firstLine` and `lastLine`: what was committed stays, and running the file again completes it
 */
export async function importAzureTrace(
  lines: AsyncIterable<SourceLine>,
  options: AzureTraceOptions,
  runChunk: RunChunk,
): Promise<ImportReport> {
  checkOptions(options);
  for (const field of ['tenantId', 'integrationId', 'provider', 'model', 'prices'] as const)
    if (options[field] === undefined) throw invalid(field, 'required', `${field} is required for a trace`);
  const equal = new EqualLines();
  const parse: Parse = (line, number) => traceRecord(line, number, options, equal);
  return importLines(lines, { parse, header: true }, options, runChunk);
}

/**
 * Imports JSON lines, grouped by tenant inside a chunk, one transaction per tenant and chunk; otherwise as
 * {@link importAzureTrace}.
 */
export async function importUsageJsonLines(
  lines: AsyncIterable<SourceLine>,
  options: ImportOptions,
  runChunk: RunChunk,
): Promise<ImportReport> {
  checkOptions(options);
  const equal = new EqualLines();
  const parse: Parse = (line, number) => jsonRecord(line, number, options, equal);
  return importLines(lines, { parse, header: false }, options, runChunk);
}

async function importLines(
  lines: AsyncIterable<SourceLine>,
  { parse, header }: { readonly parse: Parse; readonly header: boolean },
  options: ImportOptions,
  runChunk: RunChunk,
): Promise<ImportReport> {
  const writer = new ChunkWriter(options, runChunk);
  const size = options.chunkSize ?? IMPORT_CHUNK_DEFAULT;
  let number = 0;
  for await (const line of lines) {
    number += 1;
    if (header && number === 1) {
      requireHeader(line);
      continue;
    }
    await takeLine(line, number, parse, writer);
    if (writer.waiting >= size) await writer.flush();
  }
  if (header && number === 0) requireHeader('');
  await writer.flush();
  return writer.report();
}

async function takeLine(line: SourceLine, number: number, parse: Parse, writer: ChunkWriter): Promise<void> {
  if (typeof line !== 'string') {
    const message = line.error === 'LINE_TOO_LONG' ? 'the line is too long' : 'the line is not UTF-8';
    return writer.reject(number, { reject: line.error, field: null, message }, line.raw);
  }
  if (line.trim() === '') return writer.blank();
  const parsed = parse(line, number);
  if ('reject' in parsed) return writer.reject(number, parsed, line);
  return writer.take(parsed, line);
}

function traceRecord(
  line: string,
  number: number,
  options: AzureTraceOptions,
  equal: EqualLines,
): ImportedRecord | Refusal {
  if (isAzureTraceHeader(line)) return { reject: 'HEADER', field: null, message: 'a second header' };
  const parsed = parseAzureTraceLine(line);
  if ('reject' in parsed) return parsed;
  const { datasetId, tenantId, integrationId, provider, model, prices } = options;
  const { timestampText, at, contextTokens: tokensIn, generatedTokens: tokensOut } = parsed;
  const ordinal = equal.ordinalOf(`${timestampText}\n${tokensIn}\n${tokensOut}`);
  const late = outOfRange(at, options, 'TIMESTAMP');
  if (late !== null) return late;
  const price = prices.find(provider, model, utcDayOf(at));
  if (price === null) return noPrice;
  const callId = azureCallId(datasetId, timestampText, tokensIn, tokensOut, ordinal);
  const metadata = { dataset: datasetId, source_timestamp: timestampText };
  const figures = { tokensIn, tokensOut, costCents: costCents(price, tokensIn, tokensOut) };
  const usage = { integrationId, callId, provider, model, ...figures, metadata, occurredAt: at };
  return { line: number, tenantId, usage };
}

function jsonRecord(line: string, number: number, options: ImportOptions, equal: EqualLines): ImportedRecord | Refusal {
  const parsed = parseJsonUsageLine(line, options);
  if ('reject' in parsed) return parsed;
  const { tenantId, usage, record } = parsed;
  const callId = parsed.callId ?? computedCallId(record, options.datasetId, equal);
  if (callId === null) return { reject: 'MALFORMED', field: null, message: 'the line holds what JSON can not say' };
  const at = usage.occurredAt ?? options.clock.now();
  const late = usage.occurredAt === undefined ? null : outOfRange(at, options, 'occurred_at');
  if (late !== null) return late;
  const price = parsed.costCents === null ? options.prices?.find(usage.provider, usage.model, utcDayOf(at)) : null;
  if (parsed.costCents === null && (price === undefined || price === null)) return noPrice;
  const cost = parsed.costCents ?? (price ? costCents(price, usage.tokensIn, usage.tokensOut) : null);
  return cost === null ? noPrice : { line: number, tenantId, usage: { ...usage, callId, costCents: cost } };
}

/** Null for a line with half a character in it: such a text has no canonical form. */
function computedCallId(
  record: Parameters<typeof jsonLineCallId>[1],
  datasetId: string,
  equal: EqualLines,
): string | null {
  try {
    return jsonLineCallId(datasetId, record, equal.ordinalOf(canonicalJson(record)));
  } catch (error) {
    if (HocError.is(error)) return null;
    throw error;
  }
}

const noPrice: Refusal = Object.freeze({
  reject: 'PRICE_NOT_FOUND',
  field: null,
  message: 'the price table has no price of this model on that day',
});

function outOfRange(at: Date, { clock }: ImportOptions, field: string): Refusal | null {
  const time = at.getTime();
  if (time >= EARLIEST && time <= clock.now().getTime() + SKEW_MS) return null;
  return { reject: 'TIMESTAMP', field, message: 'the instant lies before 2000 or in the future' };
}

function requireHeader(line: SourceLine): void {
  if (typeof line !== 'string' || !isAzureTraceHeader(line))
    throw invalid('header', 'header', 'the first line must be TIMESTAMP,ContextTokens,GeneratedTokens');
}

function checkOptions(options: ImportOptions): void {
  assertObject(options, 'options');
  if (typeof options.datasetId !== 'string' || !DATASET.test(options.datasetId))
    throw invalid(
      'datasetId',
      'dataset',
      'datasetId must be 1 to 64 characters of A-Z, a-z, 0-9, dot, dash, underscore',
    );
  if (options.chunkSize !== undefined) assertInt(options.chunkSize, 'chunkSize', 1, IMPORT_CHUNK_MAX);
  if (typeof options.onReject !== 'function') throw invalid('onReject', 'required', 'onReject is required');
  for (const field of ['tenantId', 'defaultTenantId', 'integrationId', 'provider', 'model'] as const) {
    const value = options[field];
    if (value !== undefined) assertId(value, field, field === 'provider' ? 50 : 100);
  }
}
