import 'reflect-metadata';
import {
  ACTOR_TYPES,
  type ActorType,
  IsIdText,
  IsJsonObject,
  IsMoneyText,
  IsPlainText,
  type JsonObject,
  RUN_PROVIDER_TYPES,
  RUN_SOURCES,
  RUN_STATUSES,
  RUN_TERMINATION_REASONS,
  type RunProviderType,
  type RunSource,
  type RunStatus,
  type RunTerminationReason,
  type WorkerRunStatus,
} from '@hoc/shared/kernel';
import { Type } from 'class-transformer';
import { IsBoolean, IsDate, IsIn, IsInt, IsOptional, Max, Min, NotEquals, ValidateNested } from 'class-validator';

/** Runs, or worker runs, of one call that creates them. */
export const RUN_BATCH_MAX_ROWS = 1000;
/** Runs of one retry chain, at most. */
export const RETRY_CHAIN_MAX = 100;
/** Characters of an idempotency key. */
export const IDEMPOTENCY_KEY_MAX = 255;
/** Characters of a goal, a task and an error message. */
export const RUN_TEXT_MAX = 8000;
const ID = 100;
const INTEGER_MAX = 2_147_483_647;
const SAFE = Number.MAX_SAFE_INTEGER;

/** Statuses that a run ends in; such a run never changes. */
export const TERMINAL_RUN_STATUSES = Object.freeze(
  RUN_STATUSES.filter((status): status is TerminalRunStatus => !['queued', 'running', 'retry'].includes(status)),
);
/** One of {@link TERMINAL_RUN_STATUSES}. */
export type TerminalRunStatus = Exclude<RunStatus, 'queued' | 'running' | 'retry'>;

/** Statuses that its own worker ends a worker run in; `crashed` is what others find. */
export const FINISHED_WORKER_RUN_STATUSES = Object.freeze(['completed', 'failed'] as const);
/** One of {@link FINISHED_WORKER_RUN_STATUSES}. */
export type FinishedWorkerRunStatus = (typeof FINISHED_WORKER_RUN_STATUSES)[number];

/** A run to record. A request class: unknown keys are refused, nothing is converted. */
export class RunCreate {
  /** Absent: made by the IdGenerator. */
  @IsOptional() @IsIdText(ID) id?: string;
  @IsIdText(ID) @NotEquals('legacy-unknown') agentId!: string;
  @IsIdText(ID) @NotEquals('legacy-migration') originSystemId!: string;
  @IsPlainText(1, RUN_TEXT_MAX) goal!: string;
  /** Default SYSTEM. */
  @IsOptional() @IsIn([...ACTOR_TYPES]) actorType?: ActorType;
  /** Exactly with HUMAN. */
  @IsOptional() @IsIdText(ID) actorId?: string;
  @IsOptional() @IsIdText(ID) projectId?: string;
  /** Default agent. */
  @IsOptional() @IsIn([...RUN_SOURCES]) source?: RunSource;
  /** Default anthropic. */
  @IsOptional() @IsIn([...RUN_PROVIDER_TYPES]) providerType?: RunProviderType;
  @IsOptional() @IsIdText(ID) parentRunId?: string;
  /** Default 0. */
  @IsOptional() @IsInt() @Min(-INTEGER_MAX) @Max(INTEGER_MAX) priority?: number;
  /** Default 3. */
  @IsOptional() @IsInt() @Min(1) @Max(INTEGER_MAX) maxAttempts?: number;
  /** A replay under a stored key is that run, whatever id it brings. */
  @IsOptional() @IsIdText(IDEMPOTENCY_KEY_MAX) idempotencyKey?: string;
  @IsOptional() @IsInt() @Min(0) @Max(SAFE) expectedLatencyMs?: number;
  @IsOptional() @IsJsonObject() plan?: JsonObject;
  @IsOptional() @IsBoolean() isSynthetic?: boolean;
  @IsOptional() @IsIdText(ID) syntheticScenarioId?: string;
  /** Absent: the clock. From 2000 on, at most five minutes ahead. */
  @IsOptional() @IsDate() createdAt?: Date;
}

/** A worker run to record. */
export class WorkerRunCreate {
  /** Absent: made by the IdGenerator. */
  @IsOptional() @IsIdText(ID) id?: string;
  @IsIdText(ID) workerId!: string;
  @IsPlainText(1, RUN_TEXT_MAX) task!: string;
  @IsOptional() @IsIdText(ID) apiKeyId?: string;
  @IsOptional() @IsIdText(ID) userId?: string;
  @IsOptional() @IsJsonObject() input?: JsonObject;
  @IsOptional() @IsIdText(ID) parentRunId?: string;
  /** Default 1; above 1 it needs parentRunId. */
  @IsOptional() @IsInt() @Min(1) @Max(INTEGER_MAX) attempt?: number;
  @IsOptional() @IsBoolean() isSynthetic?: boolean;
  @IsOptional() @IsIdText(ID) syntheticScenarioId?: string;
  /** Absent: the clock. From 2000 on, at most five minutes ahead. */
  @IsOptional() @IsDate() createdAt?: Date;
}

/** What a run used and how it ended; what is absent stays as it is. */
export class RunFigures {
  @IsOptional() @IsPlainText(1, RUN_TEXT_MAX) errorMessage?: string;
  @IsOptional() @IsInt() @Min(0) @Max(SAFE) inputTokens?: number;
  @IsOptional() @IsInt() @Min(0) @Max(SAFE) outputTokens?: number;
  /** Cents, decimal text. */
  @IsOptional() @IsMoneyText() estimatedCostCents?: string;
  /** Absent: from its start to its end; null in the row where it never started. */
  @IsOptional() @IsInt() @Min(0) @Max(SAFE) durationMs?: number;
  /** Must belong to the status. */
  @IsOptional() @IsIn([...RUN_TERMINATION_REASONS]) terminationReason?: RunTerminationReason;
  @IsOptional() @IsInt() @Min(0) @Max(INTEGER_MAX) stoppedAtStep?: number;
  @IsOptional() @IsIdText(ID) violationPolicyId?: string;
  @IsOptional() @IsBoolean() policyViolation?: boolean;
  @IsOptional() @IsJsonObject() toolCalls?: JsonObject;
  /** Absent: the clock. */
  @IsOptional() @IsDate() completedAt?: Date;
}

/** What a worker run used and produced; what is absent stays as it is. */
export class WorkerRunFigures {
  /** Absent: whether it completed. */
  @IsOptional() @IsBoolean() success?: boolean;
  @IsOptional() @IsPlainText(1, RUN_TEXT_MAX) error?: string;
  @IsOptional() @IsJsonObject() output?: JsonObject;
  @IsOptional() @IsInt() @Min(0) @Max(SAFE) totalTokens?: number;
  @IsOptional() @IsInt() @Min(0) @Max(SAFE) totalLatencyMs?: number;
  @IsOptional() @IsInt() @Min(0) @Max(INTEGER_MAX) stagesCompleted?: number;
  @IsOptional() @IsInt() @Min(0) @Max(INTEGER_MAX) recoveries?: number;
  @IsOptional() @IsInt() @Min(0) @Max(INTEGER_MAX) policyViolations?: number;
  /** Cents, decimal text. */
  @IsOptional() @IsMoneyText() costCents?: string;
  @IsOptional() @IsJsonObject() replayToken?: JsonObject;
  /** Absent: the clock. */
  @IsOptional() @IsDate() completedAt?: Date;
}

/** The end of a run. */
export class RunFinish {
  @IsIn([...TERMINAL_RUN_STATUSES]) status!: TerminalRunStatus;
  @IsOptional() @ValidateNested() @Type(() => RunFigures) figures?: RunFigures;
}

/** The end of a worker run, as its worker tells it. */
export class WorkerRunFinish {
  @IsIn([...FINISHED_WORKER_RUN_STATUSES]) status!: FinishedWorkerRunStatus;
  @IsOptional() @ValidateNested() @Type(() => WorkerRunFigures) figures?: WorkerRunFigures;
}

/** That a run shall be tried again later. */
export class RunRetry {
  @IsOptional() @IsDate() nextAttemptAt?: Date;
  @IsOptional() @IsPlainText(1, RUN_TEXT_MAX) errorMessage?: string;
}

/** A run to record, as a plain object. */
export type NewRun = Readonly<RunCreate>;
/** A worker run to record, as a plain object. */
export type NewWorkerRun = Readonly<WorkerRunCreate>;

/** What became of one row of a batch, in input order. A conflict has the id that was asked for, or null when none was. */
export interface RecordOutcome {
  readonly index: number;
  readonly id: string | null;
  readonly status: 'created' | 'duplicate' | 'conflict';
}

/** What a transition did; `status` is what is stored after it, null where there is no such run. */
export interface Transition<S extends RunStatus | WorkerRunStatus> {
  readonly outcome: 'changed' | 'duplicate' | 'refused' | 'missing';
  readonly status: S | null;
}

/** What a transition did, as an engine tells it: refused and missing are errors there. */
export interface TransitionResult<S extends RunStatus | WorkerRunStatus> {
  readonly runId: string;
  readonly status: S;
  /** False for a repetition of what had been done already. */
  readonly changed: boolean;
}

/** One worker run of a chain of retries. */
export interface WorkerRunLink {
  readonly runId: string;
  readonly parentRunId: string | null;
  readonly attempt: number;
  readonly status: WorkerRunStatus;
  readonly createdAt: Date;
}
