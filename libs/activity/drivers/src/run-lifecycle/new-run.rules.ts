import {
  IDEMPOTENCY_KEY_MAX,
  MAX_CLOCK_SKEW_MINUTES,
  type NewRun,
  type NewWorkerRun,
  OCCURRED_AT_MIN,
  RUN_BATCH_MAX_ROWS,
} from '@hoc/activity/schemas';
import {
  ACTOR_TYPES,
  assertDate,
  assertId,
  assertInt,
  assertList,
  assertObject,
  assertOneOf,
  type DriverDeps,
  HocError,
  invalid,
  InvalidArgumentError,
  jsonObjectText,
  RUN_PROVIDER_TYPES,
  RUN_SOURCES,
} from '@hoc/shared/kernel';
import type { ArrayValue } from '@hoc/shared/drivers';
import { assertFlag, assertText, INTEGER_MAX, optional } from './values.rules';

/** A row to create: its columns by name, and what the outcome needs to know. */
export interface NewRecord {
  readonly index: number;
  readonly id: string;
  /** False where the generator made the id. */
  readonly namesId: boolean;
  /** What else at most one row may have: the idempotency key of a run, the parent of an open retry; null where it has none. */
  readonly key: string | null;
  readonly columns: Readonly<Record<string, ArrayValue>>;
}

/** @throws InvalidArgumentError naming the field, with `details.index` */
export const toRunRecords = (runs: readonly NewRun[], deps: DriverDeps): readonly NewRecord[] =>
  toRecords(runs, deps, runColumns, (run) => run.idempotencyKey);

/** @throws InvalidArgumentError naming the field, with `details.index` */
export const toWorkerRunRecords = (runs: readonly NewWorkerRun[], deps: DriverDeps): readonly NewRecord[] =>
  toRecords(runs, deps, workerRunColumns, (run) => ((run.attempt ?? 1) > 1 ? run.parentRunId : undefined));

function toRecords<Request extends { readonly id?: string }>(
  requests: readonly Request[],
  deps: DriverDeps,
  columnsOf: (request: Request, now: Date) => Readonly<Record<string, ArrayValue>>,
  keyOf: (request: Request) => string | undefined,
): readonly NewRecord[] {
  assertList(requests, 'runs', RUN_BATCH_MAX_ROWS);
  const now = deps.clock.now();
  return requests.map((request, index) => {
    try {
      assertObject(request, 'run');
      const id = request.id === undefined ? deps.ids.next() : assertId(request.id, 'id');
      const columns = columnsOf(request, now);
      return { index, id, namesId: request.id !== undefined, key: keyOf(request) ?? null, columns };
    } catch (error) {
      if (!HocError.is(error)) throw error;
      throw new InvalidArgumentError(error.message, { details: { ...error.details, index } });
    }
  });
}

function runColumns(run: NewRun, now: Date): Readonly<Record<string, ArrayValue>> {
  const actorType = assertOneOf(run.actorType ?? 'SYSTEM', ACTOR_TYPES, 'actorType');
  if ((actorType === 'HUMAN') !== (run.actorId !== undefined))
    throw invalid('actorId', 'actor', 'actorId must be given exactly with the actor type HUMAN');
  return {
    agent_id: notLegacy(assertId(run.agentId, 'agentId'), 'legacy-unknown', 'agentId'),
    origin_system_id: notLegacy(assertId(run.originSystemId, 'originSystemId'), 'legacy-migration', 'originSystemId'),
    goal: assertText(run.goal, 'goal'),
    actor_type: actorType,
    actor_id: optional(run.actorId, (value) => assertId(value, 'actorId')),
    project_id: optional(run.projectId, (value) => assertId(value, 'projectId')),
    source: assertOneOf(run.source ?? 'agent', RUN_SOURCES, 'source'),
    provider_type: assertOneOf(run.providerType ?? 'anthropic', RUN_PROVIDER_TYPES, 'providerType'),
    parent_run_id: optional(run.parentRunId, (value) => assertId(value, 'parentRunId')),
    priority: assertInt(run.priority ?? 0, 'priority', -INTEGER_MAX, INTEGER_MAX),
    max_attempts: assertInt(run.maxAttempts ?? 3, 'maxAttempts', 1, INTEGER_MAX),
    idempotency_key: optional(run.idempotencyKey, (value) => assertId(value, 'idempotencyKey', IDEMPOTENCY_KEY_MAX)),
    expected_latency_ms: optional(run.expectedLatencyMs, (value) =>
      assertInt(value, 'expectedLatencyMs', 0, Number.MAX_SAFE_INTEGER),
    ),
    plan_json: optional(run.plan, (value) => jsonObjectText(value, 'plan')),
    ...commonColumns(run, now),
  };
}

function workerRunColumns(run: NewWorkerRun, now: Date): Readonly<Record<string, ArrayValue>> {
  const attempt = assertInt(run.attempt ?? 1, 'attempt', 1, INTEGER_MAX);
  if (attempt > 1 && run.parentRunId === undefined)
    throw invalid('attempt', 'without_parent', 'an attempt above 1 needs the parentRunId of the run that it repeats');
  return {
    worker_id: assertId(run.workerId, 'workerId'),
    task: assertText(run.task, 'task'),
    api_key_id: optional(run.apiKeyId, (value) => assertId(value, 'apiKeyId')),
    user_id: optional(run.userId, (value) => assertId(value, 'userId')),
    input_json: optional(run.input, (value) => jsonObjectText(value, 'input')),
    parent_run_id: optional(run.parentRunId, (value) => assertId(value, 'parentRunId')),
    attempt,
    ...commonColumns(run, now),
  };
}

const commonColumns = (run: NewRun | NewWorkerRun, now: Date): Readonly<Record<string, ArrayValue>> => ({
  is_synthetic: assertFlag(run.isSynthetic ?? false, 'isSynthetic'),
  synthetic_scenario_id: optional(run.syntheticScenarioId, (value) => assertId(value, 'syntheticScenarioId')),
  created_at: optional(run.createdAt, (value) => assertCreatedAt(value, now)),
});

const EARLIEST = Date.parse(OCCURRED_AT_MIN);

function assertCreatedAt(value: unknown, now: Date): string {
  const at = assertDate(value, 'createdAt');
  if (at.getTime() < EARLIEST || at.getTime() > now.getTime() + MAX_CLOCK_SKEW_MINUTES * 60_000)
    throw invalid('createdAt', 'range', `createdAt must lie between ${OCCURRED_AT_MIN} and now`);
  return at.toISOString();
}

/** Names of the original system's rows of nobody: a new run has an owner. */
function notLegacy(id: string, legacy: string, field: string): string {
  if (id === legacy) throw invalid(field, 'legacy', `${field} must name who runs it`);
  return id;
}
