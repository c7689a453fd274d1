import type { JsonObject, Page } from '@hoc/shared/kernel';
import type { BreakerDisableOutcome, BreakerIncidentsRequest } from './circuit-breaker-requests.schema';
import type { CircuitBreakerState, Incident } from './circuit-breaker.schema';

/** What people and monitors do with a breaker; the driver says what each call needs and guarantees. @see spec controls D.2 */
export interface BreakerControlPort {
  isDisabled(): Promise<boolean>;
  getState(): Promise<CircuitBreakerState>;
  reportSchemaError(errorCount?: number, details?: JsonObject): Promise<Incident | null>;
  disableV2(reason: string, disabledBy: string, disabledUntil?: Date | null): Promise<BreakerDisableOutcome>;
  enableV2(enabledBy: string, reason?: string): Promise<boolean>;
  reset(reason?: string, resetBy?: string): Promise<boolean>;
  getIncidents(request?: BreakerIncidentsRequest): Promise<Page<Incident>>;
  autoRecover(): Promise<boolean>;
}
