import { InvalidArgumentError } from './errors';

/** What a driver file does to the world; each seed file states one. */
export const FeatureIntent = Object.freeze({
  PURE_QUERY: 'pure_query',
  STATE_MUTATION: 'state_mutation',
  EXTERNAL_SIDE_EFFECT: 'external_side_effect',
  RECOVERABLE_OPERATION: 'recoverable_operation',
} as const);
export type FeatureIntent = (typeof FeatureIntent)[keyof typeof FeatureIntent];

/** Whether a caller may repeat a call whose outcome it doesn't know. */
export const RetryPolicy = Object.freeze({ NEVER: 'never', SAFE: 'safe', DANGEROUS: 'dangerous' } as const);
export type RetryPolicy = (typeof RetryPolicy)[keyof typeof RetryPolicy];

/**
 * The original's matrix: an external side effect is never repeated, a recoverable operation always may be.
 * @throws InvalidArgumentError where the two contradict each other
 */
export function assertIntentConsistency(intent: FeatureIntent, policy: RetryPolicy): void {
  const wanted =
    intent === FeatureIntent.EXTERNAL_SIDE_EFFECT
      ? RetryPolicy.NEVER
      : intent === FeatureIntent.RECOVERABLE_OPERATION
        ? RetryPolicy.SAFE
        : policy;
  if (policy !== wanted)
    throw new InvalidArgumentError(`the intent ${intent} needs the retry policy ${wanted}`, {
      details: { field: 'retryPolicy', reason: 'inconsistent', intent, policy },
    });
}
