import type { OrphanRecoveryResult, RecoverOptions, RecoveredRun } from '@hoc/activity/schemas';
import { assertSystemScope, type SystemScope, UnavailableError, type UnitOfWorkRunner } from '@hoc/shared/kernel';
import type { OrphanRecoveryEngine } from './orphan-recovery.engine';
import type { SignalFeedbackEngine } from './signal-feedback.engine';

/** The engines that sweeps call. */
export interface SweepEngines {
  readonly orphans: Pick<OrphanRecoveryEngine, 'recover'>;
  readonly feedback: Pick<SignalFeedbackEngine, 'expireSuppressions'>;
}

/** How far a sweep has come. */
export interface SweepProgress {
  readonly rounds: number;
  readonly done: number;
}

/** How a sweep is watched and ended before its time. */
export interface SweepOptions {
  /** After each round, which is committed by then. */
  readonly onProgress?: (progress: SweepProgress) => void;
  /** Looked at between two rounds; what is committed stays. */
  readonly signal?: AbortSignal;
}

/** Sweeps of the whole database, called by the consumer's scheduler; none starts by itself. */
export interface ActivitySweeps {
  /**
   * Recovers orphans, one transaction a round, until no full round is left; the rounds' results added up. Any number of
   * sweepers at once share the work.
   */
  recoverOrphans(scope: SystemScope, options?: RecoverOptions & SweepOptions): Promise<OrphanRecoveryResult>;
  /** Marks suppressions that have ended, one transaction a round, until none is left; how many. */
  expireSuppressions(scope: SystemScope, options?: SweepOptions): Promise<number>;
}

/** The sweeps on a runner of units of work; made once per process. */
export function createActivitySweeps(run: UnitOfWorkRunner<SweepEngines>): ActivitySweeps {
  return Object.freeze({
    recoverOrphans: async (scope: SystemScope, options: RecoverOptions & SweepOptions = {}) => {
      assertSystemScope(scope);
      const { onProgress, signal, ...recovery } = options;
      const runs: RecoveredRun[] = [];
      const sums = { detected: 0, recovered: 0, failed: 0 };
      for (let rounds = 1; ; rounds += 1) {
        refuseAborted(signal);
        const result = await run(({ orphans }) => orphans.recover(scope, recovery));
        for (const each of result.runs) runs.push(each);
        sums.detected += result.detected;
        sums.recovered += result.recovered;
        sums.failed += result.failed;
        onProgress?.({ rounds, done: sums.recovered });
        if (!result.hasMore)
          return Object.freeze({ ...sums, runs: Object.freeze(runs), enabled: result.enabled, hasMore: false });
      }
    },
    expireSuppressions: async (scope: SystemScope, { onProgress, signal }: SweepOptions = {}) => {
      assertSystemScope(scope);
      let done = 0;
      for (let rounds = 1; ; rounds += 1) {
        refuseAborted(signal);
        const marked = await run(({ feedback }) => feedback.expireSuppressions(scope));
        done += marked;
        onProgress?.({ rounds, done });
        if (marked === 0) return done;
      }
    },
  });
}

function refuseAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true)
    throw new UnavailableError('the sweep was aborted: what it committed stays', { details: { reason: 'aborted' } });
}
