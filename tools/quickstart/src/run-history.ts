import { activityModule, evaluateRunSignals } from '@hoc/activity';
import { createHoc } from '@hoc/shared';
import { systemScope } from '@hoc/shared/kernel';
import type { App } from './app';
import { type SettableClock, settableClock } from './settable-clock';
import {
  generateHistory,
  HISTORY_END,
  type PlannedHistory,
  type PlannedRun,
  type PlannedWorkerRun,
} from './workload-runs';

/** What the generated runs came to. */
export interface HistoryResult {
  readonly created: number;
  readonly duplicates: number;
  /** Worker runs whose worker had died, marked crashed now. */
  readonly recovered: number;
  /** Runs whose risk level rose. */
  readonly raised: number;
}

/** Made-up limits of a run; what exceeds one raises the run's risk. */
const LIMITS = { maxExecutionTimeMs: 600_000, maxTokens: 40_000, maxCostCents: '15' };
const CHUNK = 20;

/**
 * Writes the generated runs through the packages' own engines, on a clock that shows the time at which each thing
 * happened. A run and its end are one transaction: an interrupted quickstart leaves none half-told, and a second one
 * finds every run there.
 */
export async function runHistory(app: App, seed: number, signal: AbortSignal): Promise<HistoryResult> {
  const clock = settableClock(HISTORY_END);
  const hoc = createHoc({ dataSource: app.dataSource, modules: [activityModule], clock });
  const sums = { created: 0, duplicates: 0, recovered: 0, raised: 0 };
  for (const part of generateHistory(seed)) {
    for (let at = 0; at < part.runs.length; at += CHUNK)
      add(sums, await hoc.transaction(({ activity }) => writeRuns(activity, clock, part, at), { signal }));
    for (let at = 0; at < part.workerRuns.length; at += CHUNK)
      add(sums, await hoc.transaction(({ activity }) => writeWorkerRuns(activity, clock, part, at), { signal }));
    clock.set(HISTORY_END);
    add(sums, { recovered: await hoc.transaction(({ activity }) => recover(activity, part), { signal }) });
  }
  await hoc.close();
  return sums;
}

type Engines = Parameters<Parameters<App['transaction']>[0]>[0]['activity'];
type Sums = { -readonly [K in keyof HistoryResult]: number };

async function writeRuns(
  { lifecycle, signals }: Engines,
  clock: SettableClock,
  { tenantId, runs }: PlannedHistory,
  from: number,
): Promise<Partial<HistoryResult>> {
  const chunk = runs.slice(from, from + CHUNK);
  clock.set(latest(chunk));
  const fresh = created(
    chunk,
    await lifecycle.createRuns(
      tenantId,
      chunk.map(({ run }) => run),
    ),
  );
  const risks: { runId: string; signals: readonly string[] }[] = [];
  for (const { run, startedAt, ended } of fresh) {
    if (startedAt === null) continue;
    clock.set(startedAt);
    await lifecycle.startRun(tenantId, run.id);
    if (ended === null) continue;
    clock.set(ended.at);
    await lifecycle.finishRun(tenantId, run.id, ended.finish);
    const { inputTokens = null, outputTokens = null, estimatedCostCents = null } = ended.finish.figures ?? {};
    const durationMs = ended.at.getTime() - startedAt.getTime();
    const figures = { status: ended.finish.status, durationMs, inputTokens, outputTokens, estimatedCostCents };
    risks.push({ runId: run.id, signals: evaluateRunSignals(figures, LIMITS) });
  }
  const changes = await signals.applySignalsBatch(tenantId, risks);
  const raised = changes.filter(({ changed }) => changed).length;
  return { created: fresh.length, duplicates: chunk.length - fresh.length, raised };
}

async function writeWorkerRuns(
  { lifecycle }: Engines,
  clock: SettableClock,
  { tenantId, workerRuns }: PlannedHistory,
  from: number,
): Promise<Partial<HistoryResult>> {
  const chunk = workerRuns.slice(from, from + CHUNK);
  clock.set(latest(chunk));
  const fresh = created(
    chunk,
    await lifecycle.createWorkerRuns(
      tenantId,
      chunk.map(({ run }) => run),
    ),
  );
  for (const { run, startedAt, ended } of fresh) {
    if (startedAt === null) continue;
    clock.set(startedAt);
    await lifecycle.startWorkerRun(tenantId, run.id);
    if (ended === null) continue;
    clock.set(ended.at);
    await lifecycle.finishWorkerRun(tenantId, run.id, ended.finish);
  }
  return { created: fresh.length, duplicates: chunk.length - fresh.length };
}

/**
 * Marks the workload's own dead worker runs. Not `recover`: that reaches all tenants, and a database given with `--url`
 * may hold somebody's real workers, to whom this clock means nothing.
 */
async function recover({ orphans }: Engines, { tenantId, workerRuns }: PlannedHistory): Promise<number> {
  const scope = systemScope('the generated workload of the quickstart');
  const ours = new Set(workerRuns.map(({ run }) => run.id));
  let marked = 0;
  for (const orphan of await orphans.detect(scope, { limit: 10_000 }))
    if (orphan.tenantId === tenantId && ours.has(orphan.runId) && (await orphans.markCrashed(scope, orphan)))
      marked += 1;
  return marked;
}

const created = <Planned extends PlannedRun | PlannedWorkerRun>(
  planned: readonly Planned[],
  outcomes: readonly { readonly index: number; readonly status: string }[],
): readonly Planned[] => planned.filter((_, index) => outcomes[index]?.status === 'created');

const latest = (planned: readonly { readonly createdAt: Date }[]): Date =>
  new Date(Math.max(...planned.map(({ createdAt }) => createdAt.getTime())));

function add(sums: Sums, more: Partial<HistoryResult>): void {
  for (const [key, value] of Object.entries(more)) sums[key as keyof Sums] += value;
}
