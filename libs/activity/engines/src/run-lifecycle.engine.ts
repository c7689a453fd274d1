import type { RunLifecycleDriver } from '@hoc/activity/drivers';
import {
  type NewRun,
  type NewWorkerRun,
  type RecordOutcome,
  RUN_BATCH_MAX_ROWS,
  RunCreate,
  type RunFigures,
  RunFinish,
  RunRetry,
  TERMINATION_TO_STATUS,
  type TerminalRunStatus,
  type Transition,
  type TransitionResult,
  WorkerRunCreate,
  WorkerRunFinish,
  type WorkerRunLink,
} from '@hoc/activity/schemas';
import {
  assertList,
  ConflictError,
  type DriverDeps,
  HocError,
  invalid,
  InvalidArgumentError,
  NotFoundError,
  type RunStatus,
  type RunTerminationReason,
  validateOrThrow,
  type WorkerRunStatus,
} from '@hoc/shared/kernel';

/** What the engine needs of the driver. */
export type LifecycleDriver = Pick<
  RunLifecycleDriver,
  | 'createRuns'
  | 'startRun'
  | 'retryRun'
  | 'finishRun'
  | 'createWorkerRuns'
  | 'startWorkerRun'
  | 'touchWorkerRun'
  | 'finishWorkerRun'
  | 'fetchRetryChain'
  | 'createRetryOf'
>;

/** The engine on a driver of one unit of work. */
export function getRunLifecycleEngine(driver: LifecycleDriver, deps: DriverDeps): RunLifecycleEngine {
  return new RunLifecycleEngine(driver, deps);
}

/**
 * Records runs and worker runs and moves them along: what runners and workers call. A transition that the state machine
 * doesn't allow is a ConflictError that names the status which stands; a repetition of what was done is told, not refused.
 */
export class RunLifecycleEngine {
  constructor(
    private readonly driver: LifecycleDriver,
    _deps: DriverDeps,
  ) {}

  /**
   * Records up to 1,000 runs. Conflicts are outcomes, not errors.
   * @throws InvalidArgumentError with `details.index` for one bad request, NotFoundError for an unknown parent or tenant; nothing is written then
   */
  async createRuns(tenantId: string, runs: readonly RunCreate[]): Promise<readonly RecordOutcome[]> {
    return this.driver.createRuns(tenantId, checked(RunCreate, runs));
  }

  /** {@link createRuns} for worker runs. */
  async createWorkerRuns(tenantId: string, runs: readonly WorkerRunCreate[]): Promise<readonly RecordOutcome[]> {
    return this.driver.createWorkerRuns(tenantId, checked(WorkerRunCreate, runs));
  }

  /** @throws NotFoundError, ConflictError reason `already_started` or `terminal` */
  async startRun(tenantId: string, runId: string): Promise<TransitionResult<RunStatus>> {
    return settled(runId, await this.driver.startRun(tenantId, runId), refusalOfStart);
  }

  /** @throws NotFoundError, ConflictError reason `not_started` or `terminal` */
  async retryRun(tenantId: string, runId: string, input: RunRetry = {}): Promise<TransitionResult<RunStatus>> {
    const retry = withoutNull(validateOrThrow(RunRetry, input));
    return settled(runId, await this.driver.retryRun(tenantId, runId, retry), refusalOfRetry);
  }

  /**
   * Ends a run. The reason of its end must belong to the status; absent, it follows from it where it can.
   * @throws NotFoundError, ConflictError reason `not_started` (to succeed, a run must have started) or `terminal`
   */
  async finishRun(tenantId: string, runId: string, input: RunFinish): Promise<TransitionResult<RunStatus>> {
    const { status, figures } = withoutNull(validateOrThrow(RunFinish, input));
    const ended = await this.driver.finishRun(tenantId, runId, { status, figures: withReason(status, figures ?? {}) });
    return settled(runId, ended, refusalOfFinish);
  }

  /** @throws NotFoundError, ConflictError reason `already_started` or `terminal` */
  async startWorkerRun(tenantId: string, runId: string): Promise<TransitionResult<WorkerRunStatus>> {
    return settled(runId, await this.driver.startWorkerRun(tenantId, runId), refusalOfStart);
  }

  /** A sign of life; false for a run that has ended or doesn't exist: its worker shall stop. */
  async touchWorkerRun(tenantId: string, runId: string, at?: Date): Promise<boolean> {
    return this.driver.touchWorkerRun(tenantId, runId, at);
  }

  /** @throws NotFoundError, ConflictError reason `not_started` or `terminal`: its result came too late */
  async finishWorkerRun(
    tenantId: string,
    runId: string,
    input: WorkerRunFinish,
  ): Promise<TransitionResult<WorkerRunStatus>> {
    const { status, figures } = withoutNull(validateOrThrow(WorkerRunFinish, input));
    const ended = await this.driver.finishWorkerRun(tenantId, runId, {
      status,
      ...(figures === undefined ? {} : { figures: withoutNull(figures) }),
    });
    return settled(runId, ended, refusalOfFinish);
  }

  /** A crashed or failed worker run once more, queued. @throws NotFoundError, ConflictError reason `not_retryable` or `unique` */
  async retryWorkerRun(tenantId: string, runId: string): Promise<WorkerRunLink> {
    const link = await this.driver.createRetryOf(tenantId, runId);
    if (link === null) throw missing(runId);
    return link;
  }

  /** The worker run and those that it repeats, the first attempt first. @throws NotFoundError */
  async getRetryChain(tenantId: string, runId: string): Promise<readonly WorkerRunLink[]> {
    const chain = await this.driver.fetchRetryChain(tenantId, runId);
    if (chain.length === 0) throw missing(runId);
    return chain;
  }
}

function checked<T extends NewRun | NewWorkerRun>(type: new () => T, requests: readonly T[]): readonly T[] {
  assertList(requests, 'runs', RUN_BATCH_MAX_ROWS);
  return requests.map((request, index) => {
    try {
      return withoutNull(validateOrThrow(type, request));
    } catch (error) {
      if (!HocError.is(error)) throw error;
      throw new InvalidArgumentError(error.message, { details: { ...error.details, index } });
    }
  });
}

/** class-validator's optional lets null through; what isn't known is left out instead. */
function withoutNull<T extends object>(request: T): T {
  const field = Object.entries(request).find(([, value]) => value === null)?.[0];
  if (field !== undefined) throw invalid(field, 'null', `${field} must not be null: leave it out`);
  return request;
}

const IMPLIED: Readonly<Partial<Record<TerminalRunStatus, RunTerminationReason>>> = Object.freeze({
  succeeded: 'completed',
  failed_policy: 'policy_block',
  cancelled: 'user_abort',
});

/** The figures with the reason of the end. @throws InvalidArgumentError for a reason of another status */
function withReason(status: TerminalRunStatus, given: RunFigures): RunFigures {
  const figures = withoutNull(given);
  const reason = figures.terminationReason ?? IMPLIED[status];
  if (reason === undefined) return figures;
  const halted = status === 'halted' && reason === 'budget_exceeded';
  if (TERMINATION_TO_STATUS[reason] !== status && !halted)
    throw invalid('figures.terminationReason', 'status', `${reason} is no reason for the status ${status}`);
  return { ...figures, terminationReason: reason };
}

/** Why the status that stands refuses a transition. */
interface Refusal {
  readonly reason: 'terminal' | 'not_started' | 'already_started';
  readonly says: string;
}

const NOT_STARTED: Refusal = Object.freeze({ reason: 'not_started', says: 'it has not been started' });
const ENDED: Refusal = Object.freeze({ reason: 'terminal', says: 'it has ended' });
const TAKEN: Refusal = Object.freeze({ reason: 'already_started', says: 'another worker has it' });
const TOO_LATE: Refusal = Object.freeze({ reason: 'terminal', says: 'its result came too late' });
const WAITING: ReadonlySet<string> = new Set(['queued', 'retry']);

const refusalOfStart = (status: string): Refusal => (status === 'running' ? TAKEN : ENDED);
const refusalOfRetry = (status: string): Refusal => (WAITING.has(status) ? NOT_STARTED : ENDED);
const refusalOfFinish = (status: string): Refusal => (WAITING.has(status) ? NOT_STARTED : TOO_LATE);

function settled<S extends RunStatus | WorkerRunStatus>(
  runId: string,
  { outcome, status }: Transition<S>,
  refusalOf: (status: S) => Refusal,
): TransitionResult<S> {
  if (status === null) throw missing(runId);
  if (outcome === 'refused') {
    const { reason, says } = refusalOf(status);
    throw new ConflictError(`run is ${status}: ${says}`, { details: { runId, status, reason } });
  }
  return Object.freeze({ runId, status, changed: outcome === 'changed' });
}

const missing = (runId: string): NotFoundError =>
  new NotFoundError('the tenant has no such run', { details: { field: 'runId', runId } });
