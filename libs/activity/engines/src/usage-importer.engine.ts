import type { AzureTraceOptions, ImportOptions, ImportReport, RunChunk, SourceLine } from '@hoc/activity/schemas';
import { type Clock, UnavailableError } from '@hoc/shared/kernel';
import { importAzureTrace, importUsageJsonLines } from './usage-import.engine';

/** The two imports with runner and clock bound. */
export interface UsageImporter {
  /** @see importAzureTrace */
  importAzureTrace(lines: AsyncIterable<SourceLine>, options: Omit<AzureTraceOptions, 'clock'>): Promise<ImportReport>;
  /** @see importUsageJsonLines */
  importUsageJsonLines(lines: AsyncIterable<SourceLine>, options: Omit<ImportOptions, 'clock'>): Promise<ImportReport>;
  /** Takes no further import and waits for those that run. */
  close(): Promise<void>;
}

/** An importer whose chunks run as `runChunk` does; made once per process. */
export function createUsageImporter(runChunk: RunChunk, clock: Clock): UsageImporter {
  const running = new Set<Promise<unknown>>();
  let closing: Promise<void> | undefined;
  const track = async (start: () => Promise<ImportReport>): Promise<ImportReport> => {
    if (closing !== undefined)
      throw new UnavailableError('closed: no import begins any more', { details: { reason: 'closed' } });
    const work = start();
    running.add(work);
    try {
      return await work;
    } finally {
      running.delete(work);
    }
  };
  return Object.freeze({
    importAzureTrace: (lines: AsyncIterable<SourceLine>, options: Omit<AzureTraceOptions, 'clock'>) =>
      track(() => importAzureTrace(lines, { ...options, clock } as AzureTraceOptions, runChunk)),
    importUsageJsonLines: (lines: AsyncIterable<SourceLine>, options: Omit<ImportOptions, 'clock'>) =>
      track(() => importUsageJsonLines(lines, { ...options, clock }, runChunk)),
    close: () => (closing ??= Promise.allSettled([...running]).then(() => undefined)),
  });
}
