import type { LimitCheckRequest, LimitCheckResponse } from '@hoc/controls/schemas';
import { noopLogger, type ReadDeps, UnavailableError, type UnitOfWorkRunner } from '@hoc/shared/kernel';
import type { BreakerVerdict, BreakerWhenUnavailable, CircuitBreakerEngine } from './circuit-breaker.engine';
import { LIMIT_CHECK_UNAVAILABLE, type LimitCheckEngine } from './limit-check.engine';

/** The engines that guards ask. */
export interface ControlsGuardEngines {
  readonly breaker: Pick<CircuitBreakerEngine, 'shouldUseV2'>;
  readonly checks: Pick<LimitCheckEngine, 'check'>;
}

/**
 * The two questions that have an answer also while the database has none, each in a transaction of its own. The engines of
 * the same names answer like this only outside a transaction: inside one, what failed has ended the caller's transaction too.
 */
export interface ControlsGuards {
  /** `CircuitBreakerEngine.shouldUseV2`; a database that can't be asked counts as the deps' `onUnavailable` says. */
  shouldUseV2(): Promise<BreakerVerdict>;
  /** `LimitCheckEngine.check`; a database that can't be asked blocks, reason UNAVAILABLE. @throws as the engine */
  check(tenantId: string, request: LimitCheckRequest): Promise<LimitCheckResponse>;
}

/** The guards on a runner of units of work; made once per process. */
export function createControlsGuards(
  run: UnitOfWorkRunner<ControlsGuardEngines>,
  deps: ReadDeps,
  onUnavailable: BreakerWhenUnavailable = 'closed',
): ControlsGuards {
  const logger = deps.logger ?? noopLogger;
  const orWhenUnavailable = async <T>(asked: string, work: () => Promise<T>, instead: T): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      if (!UnavailableError.is(error)) throw error;
      logger.warn('controls_guard_unavailable', { asked, reason: error.details['reason'] ?? null });
      return instead;
    }
  };
  const verdict: BreakerVerdict = Object.freeze({ use: onUnavailable === 'closed', reason: 'UNAVAILABLE' });
  return Object.freeze({
    shouldUseV2: () => orWhenUnavailable('breaker', () => run(({ breaker }) => breaker.shouldUseV2()), verdict),
    check: (tenantId: string, request: LimitCheckRequest) =>
      orWhenUnavailable('limits', () => run(({ checks }) => checks.check(tenantId, request)), LIMIT_CHECK_UNAVAILABLE),
  });
}
