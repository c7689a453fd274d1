import { hasBrand, HocError, type HocErrorOptions, InvalidArgumentError } from '@hoc/shared/kernel';

/**
 * The seed's base class, never thrown itself: `PolicyLimitsServiceError.is(error)` is true of `LimitNotFoundError` and of
 * the two below.
 *
 * @see policy_limits_driver.py
 */
export class PolicyLimitsServiceError extends HocError {
  constructor(message: string, options?: HocErrorOptions) {
    super('INTERNAL', message, options);
  }
  static override is(value: unknown): value is HocError {
    return hasBrand(value, 'PolicyLimitsServiceError');
  }
}

/** Fields of a limit that don't go together. `details`: `field`, `reason`. */
export class LimitValidationError extends InvalidArgumentError {
  static override readonly alsoKnownAs: readonly string[] = ['PolicyLimitsServiceError'];

  constructor(field: string, reason: 'required' | 'forbidden', message: string) {
    super(message, { details: { field, reason } });
  }
  static override is(value: unknown): value is LimitValidationError {
    return hasBrand(value, 'LimitValidationError');
  }
}

/** A field of a limit that never changes once the limit exists. `details.field`. */
export class ImmutableFieldError extends InvalidArgumentError {
  static override readonly alsoKnownAs: readonly string[] = ['PolicyLimitsServiceError'];

  constructor(field: string) {
    super(`${field} of a limit never changes: make another limit`, { details: { field, reason: 'immutable' } });
  }
  static override is(value: unknown): value is ImmutableFieldError {
    return hasBrand(value, 'ImmutableFieldError');
  }
}
