import type { JsonObject } from './json-value';

/** Structured logging: an event's name and its fields. The consumer brings the implementation; fields never hold secrets. */
export interface Logger {
  debug(event: string, fields?: JsonObject): void;
  info(event: string, fields?: JsonObject): void;
  warn(event: string, fields?: JsonObject): void;
  error(event: string, fields?: JsonObject): void;
}

const nothing = (): void => undefined;

/** Says nothing; the default wherever a logger is optional. */
export const noopLogger: Logger = Object.freeze({ debug: nothing, info: nothing, warn: nothing, error: nothing });
