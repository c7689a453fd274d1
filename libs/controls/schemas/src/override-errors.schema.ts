import {
  HocError,
  hasBrand,
  type HocErrorOptions,
  InvalidArgumentError,
  LimitExceededError,
  NotFoundError,
} from '@hoc/shared/kernel';

/**
 * The seed's base class, never thrown itself: `LimitOverrideServiceError.is(error)` is true of the four below.
 *
 * @see override_driver.py, LimitOverrideServiceError
 */
export class LimitOverrideServiceError extends HocError {
  constructor(message: string, options?: HocErrorOptions) {
    super('INTERNAL', message, options);
  }
  static override is(value: unknown): value is HocError {
    return hasBrand(value, 'LimitOverrideServiceError');
  }
}

/**
 * The tenant has no such limit: one of another tenant's is the same. `details.limitId`. Of both families:
 * `LimitOverrideServiceError.is` and `PolicyLimitsServiceError.is` are true of it.
 *
 * @see override_driver.py, LimitNotFoundError
 */
export class LimitNotFoundError extends NotFoundError {
  static override readonly alsoKnownAs = ['LimitOverrideServiceError', 'PolicyLimitsServiceError'];

  constructor(limitId: string, options?: Omit<HocErrorOptions, 'details'>) {
    super('the tenant has no such limit', { ...options, details: { limitId } });
  }
  static override is(value: unknown): value is LimitNotFoundError {
    return hasBrand(value, 'LimitNotFoundError');
  }
}

/** The tenant has no such override. `details.overrideId`. @see override_driver.py, OverrideNotFoundError */
export class OverrideNotFoundError extends NotFoundError {
  static override readonly alsoKnownAs = ['LimitOverrideServiceError'];

  constructor(overrideId: string, options?: Omit<HocErrorOptions, 'details'>) {
    super('the tenant has no such override', { ...options, details: { overrideId } });
  }
  static override is(value: unknown): value is OverrideNotFoundError {
    return hasBrand(value, 'OverrideNotFoundError');
  }
}

/** Why an override is refused, or can't change. */
export type OverrideFault =
  | 'ALREADY_EXISTS'
  | 'NOT_AN_INCREASE'
  | 'ABOVE_PLAN_CAP'
  | 'DURATION'
  | 'START'
  | 'LIMIT_DISABLED'
  | 'LIMIT_OF_ZERO'
  | 'NOT_CANCELLABLE'
  | 'NOT_PENDING'
  | 'WINDOW_PASSED';

/** What an {@link OverrideValidationError} says besides its reason. */
export interface OverrideFaultDetails {
  readonly limitId?: string;
  readonly overrideId?: string;
  /** The status that stands. */
  readonly status?: string;
}

/**
 * The request, or the state of the override, is against it. `details`: `reason`, `limitId` or `overrideId`, and `status`
 * where the state decided.
 *
 * @see override_driver.py, OverrideValidationError
 */
export class OverrideValidationError extends InvalidArgumentError {
  static override readonly alsoKnownAs = ['LimitOverrideServiceError'];

  constructor(reason: OverrideFault, details: OverrideFaultDetails) {
    super(`the override is refused: ${SAYS[reason]}`, { details: { ...details, reason } });
  }
  static override is(value: unknown): value is OverrideValidationError {
    return hasBrand(value, 'OverrideValidationError');
  }
}

/** As many overrides of the tenant are active as may be. `details`: `active`, `max`. @see override_driver.py, StackingAbuseError */
export class StackingAbuseError extends LimitExceededError {
  static override readonly alsoKnownAs = ['LimitOverrideServiceError'];

  constructor(active: number, max: number) {
    super(`the tenant has ${active} active overrides, and ${max} are allowed`, { details: { active, max } });
  }
  static override is(value: unknown): value is StackingAbuseError {
    return hasBrand(value, 'StackingAbuseError');
  }
}

const SAYS: Readonly<Record<OverrideFault, string>> = Object.freeze({
  ALREADY_EXISTS: 'the limit has a live one',
  NOT_AN_INCREASE: 'its value is not above the limit',
  ABOVE_PLAN_CAP: 'its value is above the quota of the plan',
  DURATION: 'it lasts too long',
  START: 'it starts in the past, or too far ahead',
  LIMIT_DISABLED: 'the limit is disabled',
  LIMIT_OF_ZERO: 'a limit of zero forbids, and is lifted by changing it',
  NOT_CANCELLABLE: 'it is over',
  NOT_PENDING: 'it is not pending',
  WINDOW_PASSED: 'its time is over',
});
