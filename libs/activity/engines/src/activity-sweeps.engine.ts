import type { OrphanRecoveryResult, RecoverOptions, RecoveredRun } from '@hoc/activity/schemas';
import {
  assertSystemScope,
  checkSweepOptions,
  Sweeper,
  type SweepOptions,
  type SweepProgress,
  type SystemScope,
  type UnitOfWorkRunner,
} from '@hoc/shared/kernel';
import type { OrphanRecoveryEngine } from './orphan-recovery.engine';
import type { SignalFeedbackEngine } from './signal-feedback.engine';

/** The engines that sweeps call. */
export interface SweepEngines {
  readonly orphans: Pick<OrphanRecoveryEngine, 'recover'>;
  readonly feedback: Pick<SignalFeedbackEngine, 'expireSuppressions'>;
}

/** The same for recovery, whose answer grows with what it finds. */
export interface OrphanSweepOptions extends RecoverOptions, Omit<SweepOptions, 'onProgress'> {
  /** {@link SweepOptions}; `round` is the round's own result. */
  readonly onProgress?: (progress: SweepProgress & { readonly round: OrphanRecoveryResult }) => void;
  /**
   * Default true: the answer lists every recovered run, some hundred bytes each. False: its `runs` are empty, and no more
   * than one round is in memory, however many orphans there are.
   */
  readonly collectRuns?: boolean;
}

/** Sweeps of the whole database, called by the consumer's scheduler; none starts by itself. */
export interface ActivitySweeps {
  /**
   * Recovers orphans, one transaction a round (`limit`, default 1,000), until a round comes back short; the rounds' results
   * added up. Any number of sweepers at once share the work. `hasMore` is true only where a full round changed nothing.
   * @throws TenantScopeError without a scope, InvalidArgumentError as `recover`, UnavailableError reason `aborted` or
   * `closed`; what a round committed stays, and the next sweep goes on
   */
  recoverOrphans(scope: SystemScope, options?: OrphanSweepOptions): Promise<OrphanRecoveryResult>;
  /**
   * Marks suppressions that have ended, one transaction a round, until none is left; how many.
   * @throws as {@link ActivitySweeps.recoverOrphans}
   */
  expireSuppressions(scope: SystemScope, options?: SweepOptions): Promise<number>;
  /** Takes no further sweep, lets those that run end their round, and waits for them. A second call gives the same promise. */
  close(): Promise<void>;
}

/** The sweeps on a runner of units of work; made once per process, closed at its end. */
export function createActivitySweeps(run: UnitOfWorkRunner<SweepEngines>): ActivitySweeps {
  const sweeper = new Sweeper();
  return Object.freeze({
    recoverOrphans: async (scope: SystemScope, options: OrphanSweepOptions = {}) => {
      assertSystemScope(scope);
      const { onProgress, signal, collectRuns = true, ...recovery } = checkSweepOptions(options);
      const sum = new RecoverySum(collectRuns);
      await sweeper.repeat(signal, async () => {
        const round = await run(({ orphans }) => orphans.recover(scope, recovery));
        const progress = sum.add(round);
        onProgress?.({ ...progress, round });
        return { more: round.hasMore && round.recovered > 0 };
      });
      return sum.result();
    },
    expireSuppressions: async (scope: SystemScope, options: SweepOptions = {}) => {
      assertSystemScope(scope);
      return sweeper.count(checkSweepOptions(options), async () => {
        const done = await run(({ feedback }) => feedback.expireSuppressions(scope));
        return { done, more: done > 0 };
      });
    },
    close: () => sweeper.close(),
  });
}

/** Results of rounds added up. */
class RecoverySum {
  private readonly runs: RecoveredRun[] = [];
  private rounds = 0;
  private readonly sums = { detected: 0, recovered: 0, failed: 0 };
  private last = { enabled: true, hasMore: false };

  constructor(private readonly collectRuns: boolean) {}

  add({ detected, recovered, failed, runs, enabled, hasMore }: OrphanRecoveryResult): SweepProgress {
    // One by one: a round of 10,000 would be as many arguments of one call.
    if (this.collectRuns) for (const each of runs) this.runs.push(each);
    this.sums.detected += detected;
    this.sums.recovered += recovered;
    this.sums.failed += failed;
    this.last = { enabled, hasMore };
    return { rounds: (this.rounds += 1), done: this.sums.recovered };
  }

  result(): OrphanRecoveryResult {
    return Object.freeze({ ...this.sums, runs: Object.freeze(this.runs), ...this.last });
  }
}
