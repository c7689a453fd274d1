import type { RunCreate, RunFinish, TerminalRunStatus, WorkerRunCreate, WorkerRunFinish } from '@hoc/activity/schemas';
import { FIRST_DAY, mulberry32, WORKLOAD_DAYS } from './workload';

/** A run as it shall have been: when it was created, started and ended; null where it never was. */
export interface PlannedRun {
  readonly run: RunCreate & { readonly id: string };
  readonly createdAt: Date;
  readonly startedAt: Date | null;
  readonly ended: { readonly at: Date; readonly finish: RunFinish } | null;
}

/** A worker run as it shall have been; one that started and never ended is what recovery finds. */
export interface PlannedWorkerRun {
  readonly run: WorkerRunCreate & { readonly id: string };
  readonly createdAt: Date;
  readonly startedAt: Date | null;
  readonly ended: { readonly at: Date; readonly finish: WorkerRunFinish } | null;
}

/** A tenant's part of the generated history. */
export interface PlannedHistory {
  readonly tenantId: string;
  readonly runs: readonly PlannedRun[];
  readonly workerRuns: readonly PlannedWorkerRun[];
}

const TENANTS = ['acme', 'globex', 'initech'];
const RUNS = 60;
const WORKER_RUNS = 40;
const DAY_MS = 86_400_000;
const END = FIRST_DAY + WORKLOAD_DAYS * DAY_MS;
const PROJECTS = ['checkout', 'search', 'backoffice'];

/** The instant at which the history ends: what is open then still runs, or has died. */
export const HISTORY_END = new Date(END);

/** About 180 runs and 120 worker runs of three tenants over two weeks: a pure function of the seed. */
export function generateHistory(seed: number): readonly PlannedHistory[] {
  const random = mulberry32(seed + 1);
  return TENANTS.map((tenantId) => ({
    tenantId,
    runs: Array.from({ length: RUNS }, (_, n) => runOf(`workload-${seed}-run-${n}`, n, random)),
    workerRuns: Array.from({ length: WORKER_RUNS }, (_, n) => workerRunOf(`workload-${seed}-job-${n}`, n, random)),
  }));
}

function runOf(id: string, n: number, random: () => number): PlannedRun {
  const createdAt = new Date(FIRST_DAY + Math.floor(((n + random()) / RUNS) * (END - FIRST_DAY - 3_600_000)));
  const startedAt = new Date(createdAt.getTime() + 500 + Math.floor(random() * 4000));
  const run = {
    id,
    agentId: `agent-${n % 4}`,
    originSystemId: 'quickstart',
    goal: 'a generated run',
    projectId: PROJECTS[n % PROJECTS.length] ?? 'checkout',
    createdAt,
    isSynthetic: true,
  };
  if (n >= RUNS - 3) return { run, createdAt, startedAt: n === RUNS - 1 ? null : startedAt, ended: null };
  const status = statusOf(random());
  const durationMs = 2000 + Math.floor(900_000 * random() ** 3);
  const [inputTokens, outputTokens] = [500 + Math.floor(60_000 * random() ** 3), 50 + Math.floor(9000 * random() ** 3)];
  const estimatedCostCents = (inputTokens * 0.000_25 + outputTokens * 0.001).toFixed(6);
  const errorMessage = status === 'failed' ? { errorMessage: 'the provider answered too late' } : {};
  return {
    run,
    createdAt,
    startedAt,
    ended: {
      at: new Date(startedAt.getTime() + durationMs),
      finish: { status, figures: { inputTokens, outputTokens, estimatedCostCents, ...errorMessage } },
    },
  };
}

function statusOf(chance: number): TerminalRunStatus {
  if (chance < 0.84) return 'succeeded';
  if (chance < 0.92) return 'failed';
  return chance < 0.96 ? 'failed_policy' : 'cancelled';
}

function workerRunOf(id: string, n: number, random: () => number): PlannedWorkerRun {
  const createdAt = new Date(FIRST_DAY + Math.floor(((n + random()) / WORKER_RUNS) * (END - FIRST_DAY - 7_200_000)));
  const startedAt = new Date(createdAt.getTime() + 1000);
  const run = { id, workerId: `worker-${n % 3}`, task: 'a generated job', createdAt, isSynthetic: true };
  const died = n % 17 === 11;
  if (died) return { run, createdAt, startedAt, ended: null };
  const totalLatencyMs = 1000 + Math.floor(random() * 60_000);
  const status = random() < 0.05 ? 'failed' : 'completed';
  const figures = { totalLatencyMs, totalTokens: Math.floor(random() * 5000), costCents: (random() * 5).toFixed(6) };
  return {
    run,
    createdAt,
    startedAt,
    ended: { at: new Date(startedAt.getTime() + totalLatencyMs), finish: { status, figures } },
  };
}
