/**
 * The second file of the original: the same bindings under its names. It had a blocking and an asynchronous twin that had
 * drifted apart; here is one implementation, and nothing in this file but its names.
 */
export {
  CB_NAME,
  CircuitBreaker as AsyncCircuitBreaker,
  CircuitBreakerState,
  disableV2,
  enableV2,
  FEATURE_INTENT,
  getAsyncCircuitBreaker,
  getIncidents,
  getState,
  Incident,
  isV2Disabled,
  reportDrift,
  reportSchemaError,
  RETRY_POLICY,
} from './circuit-breaker.driver';
