import type { Clock, DecimalString, IsoDate, UnitOfWorkRunner } from '@hoc/shared/kernel';
import type { BatchIngestResult, NewUsage } from './telemetry.schema';

/** What a model costs from a day on; `*` as model stands for all of the provider's others. */
export interface PriceEntry {
  readonly provider: string;
  readonly model: string;
  readonly effectiveFrom: IsoDate;
  readonly inputCentsPerMillion: DecimalString;
  readonly outputCentsPerMillion: DecimalString;
}

/** Prices by provider, model and day. */
export interface PriceTable {
  readonly entries: readonly PriceEntry[];
  /** The exact model before `*`; among those in force on the day the newest; null where none is. */
  find(provider: string, model: string, day: IsoDate): PriceEntry | null;
}

/** A line that became a call. */
export interface ImportedRecord {
  /** Physical, 1-based. */
  readonly line: number;
  readonly tenantId: string;
  readonly usage: NewUsage;
}

/** Why a line was not taken. */
export type RejectReason =
  | 'MALFORMED'
  | 'HEADER'
  | 'LINE_TOO_LONG'
  | 'TIMESTAMP'
  | 'TOKENS'
  | 'COST'
  | 'FIELD_MISSING'
  | 'FIELD_INVALID'
  | 'UNKNOWN_STATUS'
  | 'PRICE_NOT_FOUND'
  | 'TENANT_MISMATCH'
  | 'INTEGRATION_NOT_FOUND'
  | 'CONFLICT';

/** One line of a rejects file. */
export interface Reject {
  readonly line: number;
  readonly reason: RejectReason;
  readonly field: string | null;
  readonly message: string;
  /** The line's first 500 characters. */
  readonly raw: string;
}

/** What a parser says of a line that it refuses. */
export interface Refusal {
  readonly reject: RejectReason;
  readonly field: string | null;
  readonly message: string;
}

/** linesRead = blank + accepted + duplicates + rejected (the header is not counted); sums are of the accepted records. */
export interface ImportReport {
  readonly datasetId: string;
  readonly linesRead: number;
  readonly blank: number;
  readonly accepted: number;
  readonly duplicates: number;
  readonly rejected: number;
  /** Transactions. */
  readonly chunks: number;
  readonly tokensIn: number;
  readonly tokensOut: number;
  readonly costCents: DecimalString;
  /** First and last instant of the file's calls that are stored now: accepted ones and duplicates. */
  readonly firstAt: Date | null;
  readonly lastAt: Date | null;
  /** Tenants of those calls, in order of first appearance. */
  readonly tenants: readonly string[];
  /** UTC days that the accepted calls were added to, sorted by tenant and day. */
  readonly affectedDays: readonly { readonly tenantId: string; readonly day: IsoDate }[];
}

/** What the importer needs of the engines of one transaction. */
export interface ImportEngines {
  readonly telemetry: {
    ingestImported(tenantId: string, usages: readonly NewUsage[]): Promise<BatchIngestResult>;
  };
}

/** One call, one transaction. */
export type RunChunk = UnitOfWorkRunner<ImportEngines>;

/** A line of text, or what stands in its place. MALFORMED: not UTF-8. */
export type SourceLine = string | { readonly error: 'LINE_TOO_LONG' | 'MALFORMED'; readonly raw: string };

/** How a file is imported. */
export interface ImportOptions {
  /** 1–64 of `[A-Za-z0-9._-]`: part of the computed call ids, so the same name again is the same dataset. */
  readonly datasetId: string;
  /** Bounds occurred_at. */
  readonly clock: Clock;
  readonly prices?: PriceTable;
  /** Records of one transaction, 1–20,000; default 1000. */
  readonly chunkSize?: number;
  /** The one tenant of the file: a JSON line that names another is refused. */
  readonly tenantId?: string;
  /** The tenant of JSON lines that name none; refuses nobody. */
  readonly defaultTenantId?: string;
  readonly integrationId?: string;
  readonly provider?: string;
  readonly model?: string;
  /** Parses and prices only. */
  readonly dryRun?: boolean;
  readonly onReject: (reject: Reject) => void | Promise<void>;
  /** After each chunk. */
  readonly onProgress?: (report: ImportReport) => void;
  /** Stops between transactions. */
  readonly signal?: AbortSignal;
}

/** What a trace, which has none of it in its lines, must be told. */
export type AzureTraceOptions = ImportOptions &
  Required<Pick<ImportOptions, 'tenantId' | 'integrationId' | 'provider' | 'model' | 'prices'>>;

/** Bytes of a line. */
export const LINE_MAX_BYTES = 1_048_576;
/** Records of one transaction, at most. */
export const IMPORT_CHUNK_MAX = 20_000;
/** Records of one transaction, by default. */
export const IMPORT_CHUNK_DEFAULT = 1000;

/** Bounds of a coalescer. */
export interface UsageCoalescerOptions {
  /** Calls that may wait or be in flight, 1–1,000,000; default 10,000. */
  readonly maxQueue?: number;
  /** Calls of one transaction, 1–1,000; default 1,000. */
  readonly maxBatch?: number;
}
