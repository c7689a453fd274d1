import { canonicalJson, type JsonObject, sha256Hex } from '@hoc/shared/kernel';

const VERSION = 'hoc-import/v1';

/** The id of a trace's line: the same in every import of the same line of the same dataset. Numbers in plain decimal. */
export function azureCallId(
  datasetId: string,
  timestampText: string,
  contextTokens: number,
  generatedTokens: number,
  ordinal: number,
): string {
  return callId('aztr', [datasetId, timestampText, String(contextTokens), String(generatedTokens), String(ordinal)]);
}

/** The id of a JSON line without a call_id: the same whatever the order of its keys. */
export function jsonLineCallId(datasetId: string, record: JsonObject, ordinal: number): string {
  return callId('jsnl', [datasetId, canonicalJson(record), String(ordinal)]);
}

function callId(prefix: string, parts: readonly string[]): string {
  return `${prefix}-${sha256Hex([VERSION, ...parts].join('\n')).slice(0, 40)}`;
}

/**
 * Counts equal lines: the n-th equal one has ordinal n−1, wherever it stands. Holds a 20-byte digest per distinct line,
 * never the line.
 */
export class EqualLines {
  private readonly seen = new Map<string, number>();

  /** How many equal ones came before. */
  ordinalOf(text: string): number {
    const key = Buffer.from(sha256Hex(text).slice(0, 40), 'hex').toString('latin1');
    const before = this.seen.get(key) ?? 0;
    this.seen.set(key, before + 1);
    return before;
  }
}
