import { ensureImportTarget } from '@hoc/shared';
import { addDays, systemClock, UnavailableError, utcDayOf } from '@hoc/shared/kernel';
import type { App } from './app';
import type { Progress } from './progress';
import { type ControlsResult, runControls } from './run-controls';
import { type HistoryResult, runHistory } from './run-history';
import { readTenant, type TenantReport } from './report';
import { generateWorkload, type WorkloadPart } from './workload';

/** What the workload's calls came to, and what was read back. */
export interface WorkloadResult {
  readonly accepted: number;
  readonly duplicates: number;
  readonly runs: HistoryResult;
  readonly controls: ControlsResult;
  readonly tenants: readonly TenantReport[];
}

const SEED = 20251101;
const CHUNK = 1000;

/** Writes the generated workload through the packages' own engines, each call once. */
export async function runWorkload(app: App, progress: Progress, signal: AbortSignal): Promise<WorkloadResult> {
  const parts = generateWorkload(SEED);
  const totals = { accepted: 0, duplicates: 0 };
  progress.start(
    parts.reduce((sum, part) => sum + part.usages.length, 0),
    'generated workload',
  );
  try {
    for (const part of parts)
      await writePart(app, part, signal, ({ accepted, duplicates }) => {
        totals.accepted += accepted;
        totals.duplicates += duplicates;
        progress.update(totals.accepted + totals.duplicates, totals.accepted + totals.duplicates);
      });
  } finally {
    progress.stop();
  }
  const runs = await runHistory(app, SEED, signal);
  const controls = await runControls(app, SEED, signal);
  return { ...totals, runs, controls, tenants: await readBack(app, parts) };
}

async function writePart(
  app: App,
  { tenantId, integrationId, providerType, usages }: WorkloadPart,
  signal: AbortSignal,
  onChunk: (result: { readonly accepted: number; readonly duplicates: number }) => void,
): Promise<void> {
  const target = { tenantId, integrationId, providerType };
  const { coalescer } = app.services.activity;
  await app.transaction(({ manager }) => ensureImportTarget(manager, target, { clock: systemClock() }));
  for (let start = 0; start < usages.length; start += CHUNK) {
    const chunk = usages.slice(start, start + CHUNK);
    if (signal.aborted) throw new UnavailableError('aborted by the caller', { details: { reason: 'aborted' } });
    const answers = await Promise.all(chunk.map((usage) => coalescer.ingest(tenantId, integrationId, usage)));
    const accepted = answers.filter(({ status }) => status === 'accepted').length;
    onChunk({ accepted, duplicates: answers.length - accepted });
  }
}

async function readBack(app: App, parts: readonly WorkloadPart[]): Promise<readonly TenantReport[]> {
  const times = parts.flatMap((part) => part.usages.flatMap(({ occurredAt }) => occurredAt?.getTime() ?? []));
  const first = times.reduce((a, b) => Math.min(a, b), Number.MAX_SAFE_INTEGER);
  const last = times.reduce((a, b) => Math.max(a, b), 0);
  const reports: TenantReport[] = [];
  for (const tenantId of new Set(parts.map((part) => part.tenantId)))
    reports.push(await readTenant(app, tenantId, utcDayOf(new Date(first)), addDays(utcDayOf(new Date(last)), 1)));
  return reports;
}
