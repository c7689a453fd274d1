import { type Refusal, TOKENS_MAX } from '@hoc/activity/schemas';

/** One line of the trace. The instant is UTC, cut to the millisecond. */
export interface AzureTraceLine {
  readonly timestampText: string;
  readonly at: Date;
  readonly contextTokens: number;
  readonly generatedTokens: number;
}

const HEADER = ['TIMESTAMP', 'ContextTokens', 'GeneratedTokens'] as const;
const TIMESTAMP = /^(\d{4}-\d{2}-\d{2})[ T](\d{2}:\d{2}:[0-5]\d)(?:\.(\d{1,9}))?(?:Z|\+00:00)?$/;
const TOKENS = /^\d{1,10}$/;
/** RFC 4180: a field is bare, or quoted with `""` for a quote. Three of these are too little for a CSV library. */
const FIELD = /(?:"((?:[^"]|"")*)"|([^",]*))(,|$)/gy;

/** Whether the line is the trace's header, quoted or not; case matters. */
export function isAzureTraceHeader(line: string): boolean {
  const fields = splitFields(line);
  return fields !== null && fields.length === HEADER.length && fields.every((field, index) => field === HEADER[index]);
}

/** A line of the trace, or why it is none: the first rule that fails, in the order of the columns. */
export function parseAzureTraceLine(line: string): AzureTraceLine | Refusal {
  const fields = splitFields(line);
  if (fields === null || fields.length !== 3)
    return { reject: 'MALFORMED', field: null, message: 'a line has three fields' };
  const [timestampText = '', context = '', generated = ''] = fields;
  const at = instantOf(timestampText);
  if (at === null)
    return { reject: 'TIMESTAMP', field: 'TIMESTAMP', message: 'the timestamp is no UTC instant of the calendar' };
  const contextTokens = tokensOf(context);
  if (contextTokens === null) return badTokens('ContextTokens');
  const generatedTokens = tokensOf(generated);
  if (generatedTokens === null) return badTokens('GeneratedTokens');
  return { timestampText, at, contextTokens, generatedTokens };
}

function splitFields(line: string): readonly string[] | null {
  const fields: string[] = [];
  FIELD.lastIndex = 0;
  for (let match = FIELD.exec(line); match !== null; match = FIELD.exec(line)) {
    fields.push(match[1]?.replaceAll('""', '"') ?? match[2] ?? '');
    if (match[3] === '') return fields;
  }
  return null;
}

/** Cut, not rounded: a call of the last half millisecond stays in its day. */
function instantOf(text: string): Date | null {
  const match = TIMESTAMP.exec(text);
  if (match === null) return null;
  const [, day = '', time = '', fraction = ''] = match;
  const iso = `${day}T${time}.${fraction.padEnd(3, '0').slice(0, 3)}Z`;
  const at = new Date(iso);
  return Number.isNaN(at.getTime()) || at.toISOString() !== iso ? null : at;
}

function tokensOf(text: string): number | null {
  const tokens = TOKENS.test(text) ? Number(text) : Number.NaN;
  return tokens <= TOKENS_MAX ? tokens : null;
}

const badTokens = (field: string): Refusal => ({
  reject: 'TOKENS',
  field,
  message: `tokens are a whole number from 0 to ${TOKENS_MAX}`,
});
