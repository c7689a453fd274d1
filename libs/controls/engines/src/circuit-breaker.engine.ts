import type { CircuitBreaker } from '@hoc/controls/drivers';
import type { DriftReport, Incident } from '@hoc/controls/schemas';
import { assertObject, assertOneOf, UnavailableError } from '@hoc/shared/kernel';

/** What the engine needs of the driver. */
export type BreakerDriver = Pick<CircuitBreaker, 'isDisabled' | 'reportDrift' | 'config'>;

/** How a breaker counts that can't be asked. */
export const BREAKER_WHEN_UNAVAILABLE = Object.freeze(['closed', 'open'] as const);
/** One of {@link BREAKER_WHEN_UNAVAILABLE}. */
export type BreakerWhenUnavailable = (typeof BREAKER_WHEN_UNAVAILABLE)[number];

/** What happens where the database can't be asked. */
export interface CircuitBreakerEngineOptions {
  /** Default `closed`: the simulator goes on. */
  readonly onUnavailable?: BreakerWhenUnavailable;
}

/** Whether to use what the breaker guards, and why. */
export interface BreakerVerdict {
  readonly use: boolean;
  readonly reason: 'CLOSED' | 'OPEN' | 'UNAVAILABLE';
}

/** What an observation meant, and the incident if it opened the breaker. */
export interface DriftObservation {
  readonly incident: Incident | null;
  /** WARNING above the warning threshold, FAILURE above the threshold. */
  readonly level: 'OK' | 'WARNING' | 'FAILURE';
}

/** The engine on a breaker of one unit of work. */
export function getCircuitBreakerEngine(
  breaker: BreakerDriver,
  options?: CircuitBreakerEngineOptions,
): CircuitBreakerEngine {
  return new CircuitBreakerEngine(breaker, options);
}

/**
 * The simulator's view of its breaker: may the second model be used, and what did it drift? There is no timer: a check lasts
 * at most as long as the statement time-out of the connection, whose query could not be abandoned anyway.
 *
 * @see circuit_breaker.py, the blocking wrapper of the checks
 */
export class CircuitBreakerEngine {
  private readonly onUnavailable: BreakerWhenUnavailable;

  /** @throws InvalidArgumentError for an `onUnavailable` that is neither */
  constructor(
    private readonly breaker: BreakerDriver,
    options: CircuitBreakerEngineOptions = {},
  ) {
    const { onUnavailable = 'closed' } = assertObject(options, 'options');
    this.onUnavailable = assertOneOf(onUnavailable, BREAKER_WHEN_UNAVAILABLE, 'onUnavailable');
  }

  /**
   * Whether the second model may be used now. A database that can't be asked counts as `onUnavailable` says. Inside a
   * transaction the failure has ended that one as well, and its commit says so: `ControlsGuards` is for this.
   * @throws HocError any but `UnavailableError`: a fault is no answer
   */
  async shouldUseV2(): Promise<BreakerVerdict> {
    try {
      return (await this.breaker.isDisabled()) ? OPEN : CLOSED;
    } catch (error) {
      if (!UnavailableError.is(error)) throw error;
      return Object.freeze({ use: this.onUnavailable === 'closed', reason: 'UNAVAILABLE' });
    }
  }

  /**
   * Reports a measured drift, and says how bad it was. Needs a transaction, and fails where the report does: a failure that
   * isn't counted would be none.
   * @throws InvalidArgumentError, TransactionRequiredError as `CircuitBreaker.reportDrift`
   */
  async observe(observation: DriftReport): Promise<DriftObservation> {
    assertObject(observation, 'observation');
    const { driftScore, sampleCount, details } = observation;
    const incident = await this.breaker.reportDrift(driftScore, sampleCount, details);
    return Object.freeze({ incident, level: this.levelOf(driftScore) });
  }

  private levelOf(driftScore: number): DriftObservation['level'] {
    const { driftThreshold, driftWarningThreshold } = this.breaker.config;
    if (driftScore > driftThreshold) return 'FAILURE';
    return driftScore > driftWarningThreshold ? 'WARNING' : 'OK';
  }
}

const CLOSED: BreakerVerdict = Object.freeze({ use: true, reason: 'CLOSED' });
const OPEN: BreakerVerdict = Object.freeze({ use: false, reason: 'OPEN' });
