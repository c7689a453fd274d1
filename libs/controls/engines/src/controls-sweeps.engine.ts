import type { BudgetReservationPort, HaltedRunRef, HaltSweepResult, ScopePort } from '@hoc/controls/schemas';
import {
  assertSystemScope,
  checkSweepOptions,
  Sweeper,
  type SweepOptions,
  type SystemScope,
  type UnitOfWorkRunner,
} from '@hoc/shared/kernel';
import type { BudgetEnforcementEngine } from './budget-enforcement.engine';

/** Rows of one page of a sweep. */
const SWEEP_ROWS = 1000;

/** The engines that sweeps call. */
export interface ControlsSweepEngines {
  readonly budgets: Pick<BudgetEnforcementEngine, 'processPendingHalts'>;
  readonly reservations: Pick<BudgetReservationPort, 'expireReservations'>;
  readonly scopes: Pick<ScopePort, 'cleanupExpired'>;
}

/** The same for halts, of which one may ask for those from an instant on. */
export interface HaltDecisionsOptions extends SweepOptions {
  readonly since?: Date;
}

/**
 * Sweeps of the whole database, called by the consumer's scheduler; none starts by itself. Each page is a transaction of its
 * own: what it committed stays, and any number of sweepers at once share the work.
 */
export interface ControlsSweeps {
  /**
   * Puts a decision on record for each run that was stopped for its budget and has none; the pages' results added up.
   * Progress counts the decisions that were written.
   * @throws TenantScopeError without a scope, InvalidArgumentError, UnavailableError reason `aborted` or `closed`
   */
  haltDecisions(scope: SystemScope, options?: HaltDecisionsOptions): Promise<HaltSweepResult>;
  /** Gives back what reservations hold that nobody settled in their time; how many. @throws as {@link ControlsSweeps.haltDecisions} */
  expireReservations(scope: SystemScope, options?: SweepOptions): Promise<number>;
  /** Marks scopes whose time is over; how many. @throws as {@link ControlsSweeps.haltDecisions} */
  expireScopes(scope: SystemScope, options?: SweepOptions): Promise<number>;
  /** Takes no further sweep, lets those that run end their page, and waits for them. A second call gives the same promise. */
  close(): Promise<void>;
}

/** The sweeps on a runner of units of work; made once per process, closed at its end. */
export function createControlsSweeps(run: UnitOfWorkRunner<ControlsSweepEngines>): ControlsSweeps {
  const sweeper = new Sweeper();
  return Object.freeze({
    haltDecisions: async (scope: SystemScope, options: HaltDecisionsOptions = {}) => {
      assertSystemScope(scope);
      const { onProgress, signal, since } = checkSweepOptions(options);
      const sum = new HaltSum();
      await sweeper.count({ ...(onProgress && { onProgress }), ...(signal && { signal }) }, async () => {
        const from = sum.nextCursor === null ? {} : { cursor: sum.nextCursor };
        const page = await run(({ budgets }) =>
          budgets.processPendingHalts({ maxPages: 1, ...from, ...(since && { since }) }),
        );
        sum.add(page);
        return { done: page.emitted, more: page.nextCursor !== null };
      });
      return sum.result();
    },
    expireReservations: async (scope: SystemScope, options: SweepOptions = {}) => {
      assertSystemScope(scope);
      return sweeper.count(checkSweepOptions(options), async () => {
        const done = await run(({ reservations }) => reservations.expireReservations(scope, SWEEP_ROWS));
        return { done, more: done >= SWEEP_ROWS };
      });
    },
    expireScopes: async (scope: SystemScope, options: SweepOptions = {}) => {
      assertSystemScope(scope);
      return sweeper.count(checkSweepOptions(options), async () => {
        const done = await run(({ scopes }) => scopes.cleanupExpired(scope, SWEEP_ROWS));
        return { done, more: done >= SWEEP_ROWS };
      });
    },
    close: () => sweeper.close(),
  });
}

/** Results of pages added up. */
class HaltSum {
  nextCursor: string | null = null;
  private readonly sums = { scanned: 0, emitted: 0, duplicates: 0 };
  private readonly conflicts: HaltedRunRef[] = [];
  private readonly unparsable: HaltedRunRef[] = [];

  add(page: HaltSweepResult): void {
    this.sums.scanned += page.scanned;
    this.sums.emitted += page.emitted;
    this.sums.duplicates += page.duplicates;
    this.conflicts.push(...page.conflicts);
    this.unparsable.push(...page.unparsable);
    this.nextCursor = page.nextCursor;
  }

  result(): HaltSweepResult {
    const [conflicts, unparsable] = [Object.freeze(this.conflicts), Object.freeze(this.unparsable)];
    return Object.freeze({ ...this.sums, conflicts, unparsable, nextCursor: null });
  }
}
