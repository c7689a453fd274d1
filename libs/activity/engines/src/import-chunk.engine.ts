import type {
  BatchIngestItem,
  ImportedRecord,
  ImportOptions,
  ImportReport,
  Refusal,
  Reject,
  RunChunk,
} from '@hoc/activity/schemas';
import {
  addDecimal,
  type DecimalString,
  HocError,
  type IsoDate,
  UnavailableError,
  utcDayOf,
  ZERO_DECIMAL,
} from '@hoc/shared/kernel';

interface Waiting {
  readonly record: ImportedRecord;
  readonly raw: string;
}

/** Collects records, writes them chunk by chunk, one transaction per tenant, and keeps the report. */
export class ChunkWriter {
  private chunk: Waiting[] = [];
  private readonly days = new Map<string, { readonly tenantId: string; readonly day: IsoDate }>();
  private readonly tenants = new Set<string>();
  private readonly figures = {
    linesRead: 0,
    blank: 0,
    accepted: 0,
    duplicates: 0,
    rejected: 0,
    chunks: 0,
    tokensIn: 0,
    tokensOut: 0,
    costCents: ZERO_DECIMAL as DecimalString,
    firstAt: null as Date | null,
    lastAt: null as Date | null,
  };

  constructor(
    private readonly options: ImportOptions,
    private readonly run: RunChunk,
  ) {}

  /** Records that wait for their chunk to fill. */
  get waiting(): number {
    return this.chunk.length;
  }

  blank(): void {
    this.figures.linesRead += 1;
    this.figures.blank += 1;
  }

  async reject(line: number, { reject, field, message }: Refusal, raw: string): Promise<void> {
    this.figures.linesRead += 1;
    await this.refuse({ line, reason: reject, field, message, raw: raw.slice(0, 500) });
  }

  take(record: ImportedRecord, raw: string): void {
    this.figures.linesRead += 1;
    this.chunk.push({ record, raw: raw.slice(0, 500) });
  }

  /** Writes what waits. Rejects of the chunk come when it has ended, in line order, also where a transaction failed. */
  async flush(): Promise<void> {
    const chunk = this.chunk;
    this.chunk = [];
    if (chunk.length === 0) return;
    const rejects: Reject[] = [];
    try {
      for (const group of byTenant(chunk)) await this.write(group, rejects);
    } finally {
      for (const reject of rejects.sort((a, b) => a.line - b.line)) await this.refuse(reject);
    }
    this.options.onProgress?.(this.report());
  }

  report(): ImportReport {
    const days = [...this.days.values()].sort((a, b) => (dayKey(a) < dayKey(b) ? -1 : 1));
    return Object.freeze({
      datasetId: this.options.datasetId,
      ...this.figures,
      tenants: Object.freeze([...this.tenants]),
      affectedDays: Object.freeze(days),
    });
  }

  private async write(group: readonly Waiting[], rejects: Reject[]): Promise<void> {
    const [first, last] = [group[0], group.at(-1)];
    if (first === undefined || last === undefined) return;
    const lines = { firstLine: first.record.line, lastLine: last.record.line };
    if (this.options.signal?.aborted === true)
      throw new UnavailableError('the import was stopped: run it again to complete it', {
        details: { reason: 'aborted', ...lines },
      });
    if (this.options.dryRun === true) {
      for (const { record } of group) this.accept(record);
      return;
    }
    const { tenantId } = first.record;
    const usages = group.map(({ record }) => record.usage);
    const { items } = await withLines(lines, () =>
      this.run(({ telemetry }) => telemetry.ingestImported(tenantId, usages)),
    );
    this.figures.chunks += 1;
    for (const item of items) {
      const waiting = group[item.index];
      if (waiting !== undefined) this.settle(waiting, item, rejects);
    }
  }

  private settle({ record, raw }: Waiting, { status }: BatchIngestItem, rejects: Reject[]): void {
    if (status === 'accepted') this.accept(record);
    else if (status === 'duplicate') {
      this.figures.duplicates += 1;
      this.stored(record);
    } else if (status === 'conflict')
      rejects.push({
        line: record.line,
        reason: 'CONFLICT',
        field: 'call_id',
        message: 'another content is stored under this call id: the first write stands',
        raw,
      });
    else
      rejects.push({
        line: record.line,
        reason: 'INTEGRATION_NOT_FOUND',
        field: 'integration_id',
        message: 'the tenant has no such integration',
        raw,
      });
  }

  private accept({ tenantId, usage }: ImportedRecord): void {
    const { figures } = this;
    const day = { tenantId, day: utcDayOf(this.stored({ tenantId, usage })) };
    figures.accepted += 1;
    figures.tokensIn += usage.tokensIn;
    figures.tokensOut += usage.tokensOut;
    figures.costCents = addDecimal(figures.costCents, usage.costCents);
    this.days.set(dayKey(day), day);
  }

  /** Of every call of the file that is in the database, by this run or an earlier one; its instant. */
  private stored({ tenantId, usage }: Pick<ImportedRecord, 'tenantId' | 'usage'>): Date {
    const { figures } = this;
    const at = usage.occurredAt ?? this.options.clock.now();
    if (figures.firstAt === null || at < figures.firstAt) figures.firstAt = at;
    if (figures.lastAt === null || at > figures.lastAt) figures.lastAt = at;
    this.tenants.add(tenantId);
    return at;
  }

  private async refuse(reject: Reject): Promise<void> {
    this.figures.rejected += 1;
    await this.options.onReject(Object.freeze(reject));
  }
}

/** Tenants in order of first appearance: no transaction spans two, and the roll-up stays its last statement. */
function byTenant(chunk: readonly Waiting[]): readonly (readonly Waiting[])[] {
  const groups = new Map<string, Waiting[]>();
  for (const waiting of chunk) {
    const group = groups.get(waiting.record.tenantId);
    if (group === undefined) groups.set(waiting.record.tenantId, [waiting]);
    else group.push(waiting);
  }
  return [...groups.values()];
}

/** Says which lines a failed transaction held; the error stays what it is otherwise. */
async function withLines<T>(
  lines: { readonly firstLine: number; readonly lastLine: number },
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!HocError.is(error)) throw error;
    const Same = error.constructor as new (message: string, options: object) => HocError;
    const options = { details: { ...error.details, ...lines }, retryable: error.retryable, cause: error };
    throw Object.getPrototypeOf(error) === HocError.prototype
      ? new HocError(error.code, error.message, options)
      : new Same(error.message, options);
  }
}

const dayKey = ({ tenantId, day }: { readonly tenantId: string; readonly day: IsoDate }): string =>
  `${tenantId}\0${day}`;
