import { statSync } from 'node:fs';
import type { ImportReport, PriceTable } from '@hoc/activity/schemas';
import { addDays, systemClock, utcDayOf } from '@hoc/shared/kernel';
import { ensureImportTarget } from '@hoc/shared';
import type { App } from './app';
import type { Arguments } from './arguments';
import type { Progress } from './progress';
import type { RejectsSink } from './rejects';
import { readTenant, type TenantReport } from './report';
import type { Source } from './sources';

/** What an import gave, and what was read back afterwards. */
export interface FileResult {
  readonly file: string;
  readonly report: ImportReport;
  readonly tenants: readonly TenantReport[];
}

/** A source with a count of the bytes that were read of it. */
export interface OpenedSource extends Source {
  readonly path: string;
  readonly bytesRead: () => number;
}

export interface ImportContext {
  readonly app: App;
  readonly args: Arguments;
  readonly prices: PriceTable;
  readonly rejects: RejectsSink;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/** Imports one file, each call once, and reads its tenants back. */
export async function importFile(source: OpenedSource, context: ImportContext): Promise<FileResult> {
  const { app, args, prices, rejects, progress, signal } = context;
  const { tenant: tenantId, integration: integrationId, model } = args;
  const clock = systemClock();
  await app.transaction(({ manager }) => ensureImportTarget(manager, { tenantId, integrationId }, { clock }));
  progress.start(sizeOf(source.path), `importing ${source.name}`);
  const options = {
    datasetId: source.datasetId,
    prices,
    model,
    chunkSize: args.chunkSize,
    signal,
    onReject: rejects.take,
    onProgress: (report: ImportReport) => progress.update(source.bytesRead(), report.linesRead),
  };
  const { importer } = app.services.activity;
  const report = await (
    source.format === 'azure-trace'
      ? importer.importAzureTrace(source.lines, { ...options, tenantId, integrationId, provider: 'azure_openai' })
      : importer.importUsageJsonLines(source.lines, { ...options, ...jsonDefaults(args) })
  ).finally(() => progress.stop());
  return { file: source.name, report, tenants: await readBack(app, report) };
}

/** With --tenant a line of another tenant is refused; without it the default stands in for lines that name none. */
function jsonDefaults({ tenant, tenantGiven, integration }: Arguments): {
  readonly tenantId?: string;
  readonly defaultTenantId?: string;
  readonly integrationId: string;
} {
  return { ...(tenantGiven ? { tenantId: tenant } : { defaultTenantId: tenant }), integrationId: integration };
}

async function readBack(app: App, { tenants, firstAt, lastAt }: ImportReport): Promise<readonly TenantReport[]> {
  if (firstAt === null || lastAt === null) return [];
  const [from, to] = [utcDayOf(firstAt), addDays(utcDayOf(lastAt), 1)];
  const reports: TenantReport[] = [];
  for (const tenant of tenants) reports.push(await readTenant(app, tenant, from, to));
  return reports;
}

/** Of a pipe nobody knows the size. */
const sizeOf = (path: string): number => (path === '-' ? 0 : statSync(path).size);
