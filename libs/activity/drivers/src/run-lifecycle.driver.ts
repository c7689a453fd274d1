import {
  FINISHED_WORKER_RUN_STATUSES,
  type FinishedWorkerRunStatus,
  type NewRun,
  type NewWorkerRun,
  type RecordOutcome,
  RETRY_CHAIN_MAX,
  type RunFigures,
  TERMINAL_RUN_STATUSES,
  type TerminalRunStatus,
  type Transition,
  type WorkerRunFigures,
  type WorkerRunLink,
} from '@hoc/activity/schemas';
import {
  assertDate,
  assertId,
  assertObject,
  assertOneOf,
  assertTenantId,
  ConflictError,
  type DriverDeps,
  RUN_STATUSES,
  type RunStatus,
  WORKER_RUN_STATUSES,
  type WorkerRunStatus,
} from '@hoc/shared/kernel';
import { type DriverManager, guarded, run, runOne, type Statement, storedValue } from '@hoc/shared/drivers';
import { CREATE_RUNS, CREATE_WORKER_RUNS } from './run-lifecycle/create.query';
import { createRecords, guardedCreate } from './run-lifecycle/create-runs.driver';
import { runFigures, workerRunFigures } from './run-lifecycle/figures.rules';
import { toRunRecords, toWorkerRunRecords } from './run-lifecycle/new-run.rules';
import {
  CREATE_RETRY,
  FINISH_RUN,
  FINISH_WORKER_RUN,
  type LinkColumns,
  RETRY_CHAIN,
  RETRY_RUN,
  type RetryColumns,
  START_RUN,
  START_WORKER_RUN,
  TOUCH_WORKER_RUN,
  type TransitionColumns,
} from './run-lifecycle/transition.query';
import { assertText, optional } from './run-lifecycle/values.rules';

export { RUN_BATCH_MAX_ROWS } from '@hoc/activity/schemas';

/** The driver on the given manager. */
export function getRunLifecycleDriver(manager: DriverManager, deps: DriverDeps): RunLifecycleDriver {
  return new RunLifecycleDriver(manager, deps);
}

/**
 * Runs and worker runs, recorded once and moved along their state machines. Each transition is one statement that locks the
 * row, writes only where the machine allows it, and says what happened; a run that has ended never changes. No method needs
 * a transaction. Instants are UTC, money is cents.
 */
export class RunLifecycleDriver {
  constructor(
    private readonly manager: DriverManager,
    private readonly deps: DriverDeps,
  ) {}

  /**
   * Records up to 1,000 runs, queued. Idempotent by id and by idempotency key: the same content is a duplicate, another one
   * a conflict, and the first write stands. Parents may stand in the same call.
   * @throws InvalidArgumentError with `details.index`, NotFoundError with `details.field` for an unknown parent or tenant; nothing is written then
   */
  async createRuns(tenantId: string, runs: readonly NewRun[]): Promise<readonly RecordOutcome[]> {
    const context = { tenantId: assertTenantId(tenantId), now: this.deps.clock.now().toISOString() };
    const records = toRunRecords(runs, this.deps);
    return guardedCreate(() => createRecords(this.manager, CREATE_RUNS, context, records));
  }

  /** {@link createRuns} for worker runs. A second open retry of one parent is a conflict. */
  async createWorkerRuns(tenantId: string, runs: readonly NewWorkerRun[]): Promise<readonly RecordOutcome[]> {
    const context = { tenantId: assertTenantId(tenantId), now: this.deps.clock.now().toISOString() };
    const records = toWorkerRunRecords(runs, this.deps);
    return guardedCreate(() => createRecords(this.manager, CREATE_WORKER_RUNS, context, records));
  }

  /** queued or retry → running; counts the attempt. Of two callers one changes it, the other is refused. */
  async startRun(tenantId: string, runId: string): Promise<Transition<RunStatus>> {
    return this.move(START_RUN, tenantId, runId, [], RUN_STATUSES);
  }

  /** running → retry, with the instant before which nobody shall try again. */
  async retryRun(
    tenantId: string,
    runId: string,
    input: { readonly nextAttemptAt?: Date; readonly errorMessage?: string } = {},
  ): Promise<Transition<RunStatus>> {
    assertObject(input, 'input');
    const next = optional(input.nextAttemptAt, (value) => assertDate(value, 'nextAttemptAt').toISOString());
    const message = optional(input.errorMessage, (value) => assertText(value, 'errorMessage'));
    return this.move(RETRY_RUN, tenantId, runId, [next, message], RUN_STATUSES);
  }

  /**
   * running → a terminal status; queued and retry → any but succeeded. State, figures and end are written together; an
   * absent duration is from start to end. `duplicate`: it had ended so, with every figure that is given.
   * @throws InvalidArgumentError for a status that isn't terminal, or a bad figure
   */
  async finishRun(
    tenantId: string,
    runId: string,
    input: { readonly status: TerminalRunStatus; readonly figures?: RunFigures },
  ): Promise<Transition<RunStatus>> {
    assertObject(input, 'input');
    const status = assertOneOf(input.status, TERMINAL_RUN_STATUSES, 'status');
    return this.move(FINISH_RUN, tenantId, runId, [status, ...runFigures(input.figures ?? {})], RUN_STATUSES);
  }

  /** queued → running. Of two callers one changes it, the other is refused. */
  async startWorkerRun(tenantId: string, runId: string): Promise<Transition<WorkerRunStatus>> {
    return this.move(START_WORKER_RUN, tenantId, runId, [], WORKER_RUN_STATUSES);
  }

  /** A sign of life, by default of now; false for a run that has ended or doesn't exist. Never moves back. */
  async touchWorkerRun(tenantId: string, runId: string, at?: Date): Promise<boolean> {
    const values = [
      assertTenantId(tenantId),
      assertId(runId, 'runId'),
      assertDate(at ?? this.deps.clock.now(), 'at').toISOString(),
    ];
    return guarded(async () => (await runOne(this.manager, TOUCH_WORKER_RUN, values)) !== null);
  }

  /**
   * running → completed or failed. Guarded by the status that recovery marks as crashed, so that exactly one of the two
   * wins: a finish after the crash is refused, and its output isn't stored.
   * @throws InvalidArgumentError for another status, or a bad figure
   */
  async finishWorkerRun(
    tenantId: string,
    runId: string,
    input: { readonly status: FinishedWorkerRunStatus; readonly figures?: WorkerRunFigures },
  ): Promise<Transition<WorkerRunStatus>> {
    assertObject(input, 'input');
    const status = assertOneOf(input.status, FINISHED_WORKER_RUN_STATUSES, 'status');
    const values = [status, ...workerRunFigures(input.figures ?? {})];
    return this.move(FINISH_WORKER_RUN, tenantId, runId, values, WORKER_RUN_STATUSES);
  }

  /** The run and those that it repeats, the first attempt first, at most 100; empty for a run that the tenant doesn't have. */
  async fetchRetryChain(tenantId: string, runId: string): Promise<readonly WorkerRunLink[]> {
    const values = [assertTenantId(tenantId), assertId(runId, 'runId'), RETRY_CHAIN_MAX];
    return guarded(async () => Object.freeze((await run(this.manager, RETRY_CHAIN, values)).map(toLink)));
  }

  /**
   * A new queued run that repeats a crashed or failed one; null for a run that the tenant doesn't have.
   * @throws ConflictError reason `not_retryable` for a run in another status, reason `unique` while a retry of it is open
   */
  async createRetryOf(tenantId: string, runId: string): Promise<WorkerRunLink | null> {
    const parentRunId = assertId(runId, 'runId');
    const now = this.deps.clock.now().toISOString();
    const values = [assertTenantId(tenantId), parentRunId, now, this.deps.ids.next()];
    return guarded(async () => {
      const row = await runOne(this.manager, CREATE_RETRY, values);
      if (row === null) return null;
      if (row.id === null || row.attempt === null || row.created_at === null) throw notRetried(parentRunId, row);
      const { id, attempt, created_at: createdAt } = row;
      return toLink({ id, parent_run_id: parentRunId, attempt, status: 'queued', created_at: createdAt });
    });
  }

  private async move<S extends RunStatus | WorkerRunStatus>(
    sql: Statement<TransitionColumns>,
    tenantId: string,
    runId: string,
    values: readonly unknown[],
    statuses: readonly S[],
  ): Promise<Transition<S>> {
    const bound = [assertTenantId(tenantId), assertId(runId, 'runId'), this.deps.clock.now().toISOString(), ...values];
    return guarded(async () => toTransition(await runOne(this.manager, sql, bound), statuses));
  }
}

function notRetried(runId: string, { parent_status: status }: RetryColumns): ConflictError {
  const over = status === 'crashed' || status === 'failed';
  return new ConflictError(over ? 'a retry of the run is open already' : 'only a crashed or failed run is retried', {
    details: { runId, status, reason: over ? 'unique' : 'not_retryable' },
  });
}

function toTransition<S extends string>(
  row: TransitionColumns | null,
  statuses: readonly S[],
): { readonly outcome: 'changed' | 'duplicate' | 'refused' | 'missing'; readonly status: S | null } {
  if (row === null) return Object.freeze({ outcome: 'missing', status: null });
  const outcome = row.after !== null ? 'changed' : row.same ? 'duplicate' : 'refused';
  return Object.freeze({ outcome, status: storedValue(row.after ?? row.before, statuses, 'status') });
}

const toLink = (row: LinkColumns): WorkerRunLink =>
  Object.freeze({
    runId: row.id,
    parentRunId: row.parent_run_id,
    attempt: row.attempt,
    status: storedValue(row.status, WORKER_RUN_STATUSES, 'status'),
    createdAt: row.created_at,
  });
