import type { DecimalString, JsonObject, JsonValue, RunId, TenantId } from '@hoc/shared/kernel';

/**
 * What the error message of a run says that was stopped for its budget, in this spelling.
 *
 * @see budget_enforcement_driver.py
 */
export const BUDGET_HALT_MARKER = 'Hard budget limit';
/** Halts of a page where the caller names no limit. @see budget_enforcement_driver.py, fetch_pending_budget_halts */
export const DEFAULT_PENDING_HALT_LIMIT = 100;
/** Decisions of one call, at most. */
export const BUDGET_DECISIONS_MAX = 10_000;
/** Pages of one sweep where the caller names no number. */
export const DEFAULT_HALT_SWEEP_PAGES = 100;
/** Pages of one sweep, at most. */
export const HALT_SWEEP_PAGES_MAX = 10_000;

/** A run that was stopped for its budget, and whose decision isn't on record. */
export interface PendingBudgetHalt {
  readonly runId: RunId;
  readonly tenantId: TenantId;
  readonly errorMessage: string;
  /** Of the run's newest provenance, else of the run itself; null where neither has it. */
  readonly planJson: JsonObject | null;
  /** As `planJson`. */
  readonly toolCallsJson: readonly JsonValue[] | null;
  /** When it ended; when it was made, where nobody wrote its end. */
  readonly haltedAt: Date;
}

/** Which halts, and which part of their list. */
export interface PendingBudgetHaltRequest {
  /** 1–200, default {@link DEFAULT_PENDING_HALT_LIMIT}. */
  readonly limit?: number;
  /** The `nextCursor` of the page before, of the same `since`. */
  readonly cursor?: string;
  /** Only halts from this instant on. */
  readonly since?: Date;
}

/** What is decided by stopping a run. Amounts are cents, 0 or more. */
export interface NewBudgetDecision {
  readonly tenantId: TenantId;
  readonly runId: RunId;
  readonly budgetLimitCents: DecimalString;
  readonly budgetConsumedCents: DecimalString;
  /** Of the step that went over; `'0'` where nobody knows it. */
  readonly stepCostCents: DecimalString;
  readonly completedSteps: number;
  readonly totalSteps: number;
}

/** A decision on record. */
export interface BudgetDecision extends NewBudgetDecision {
  readonly decisionId: string;
  readonly reason: string;
  readonly decidedAt: Date;
  readonly details: JsonObject;
}

/** What became of each decision of a call; every list is in the order of the input. */
export interface BudgetDecisionOutcome {
  readonly inserted: readonly BudgetDecision[];
  /** The stored ones: their limit and consumed amounts are those that were given. */
  readonly duplicates: readonly BudgetDecision[];
  /** The stored ones, which stand: other amounts were given for their runs. */
  readonly conflicts: readonly BudgetDecision[];
}

/** Which run. */
export interface HaltedRunRef {
  readonly tenantId: TenantId;
  readonly runId: RunId;
}

/** How far a sweep goes. */
export interface HaltSweepOptions {
  /** Halts of a page: 1–200, default {@link DEFAULT_PENDING_HALT_LIMIT}. */
  readonly pageSize?: number;
  /** 1–{@link HALT_SWEEP_PAGES_MAX}, default {@link DEFAULT_HALT_SWEEP_PAGES}. */
  readonly maxPages?: number;
  /** Only halts from this instant on. */
  readonly since?: Date;
  /** Where another sweep of the same `since` ended: its `nextCursor`. */
  readonly cursor?: string;
}

/** What a sweep did. @see budget_enforcement_engine.py, process_pending_budget_decisions */
export interface HaltSweepResult {
  /** Halts that were looked at. */
  readonly scanned: number;
  /** Decisions that were written. */
  readonly emitted: number;
  /** Decisions that somebody else wrote meanwhile, with the same amounts. */
  readonly duplicates: number;
  /** Decisions that somebody else wrote meanwhile with other amounts: these stand. */
  readonly conflicts: readonly HaltedRunRef[];
  /** Halts whose message doesn't say both amounts: they stay pending, and hide no other one. */
  readonly unparsable: readonly HaltedRunRef[];
  /** Null where the end was reached; else where the next sweep goes on. */
  readonly nextCursor: string | null;
}
