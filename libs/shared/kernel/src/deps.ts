import type { Clock } from './clock';
import type { IdGenerator } from './id-generator';
import type { Logger } from './logger';

/** What a driver or engine needs that makes no new identifiers. */
export interface ReadDeps {
  readonly clock: Clock;
  readonly logger?: Logger;
}

/** What a writing driver or engine needs. Cross-domain ports are a domain's own deps and never added here. */
export interface DriverDeps extends ReadDeps {
  readonly ids: IdGenerator;
}
