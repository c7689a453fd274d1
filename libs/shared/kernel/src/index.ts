export type { Brand, CallId, IntegrationId, RunId, TenantId } from './brand';
export { type Clock, systemClock } from './clock';
export {
  addDecimal,
  compareDecimal,
  type DecimalString,
  divideDecimal,
  fromPgNumeric,
  MONEY_INTEGER_DIGITS,
  MONEY_SCALE,
  multiplyDecimal,
  roundDecimal,
  subtractDecimal,
  sumDecimal,
  toDecimalString,
  toMoney,
  ZERO_DECIMAL,
} from './decimal';
export type { DriverDeps, ReadDeps } from './deps';
export {
  ConflictError,
  copyOfError,
  DataIntegrityError,
  hasBrand,
  HocError,
  type HocErrorCode,
  type HocErrorOptions,
  InvalidArgumentError,
  LimitExceededError,
  NotFoundError,
  TenantScopeError,
  TransactionRequiredError,
  UnavailableError,
} from './errors';
export {
  assertCallId,
  assertDate,
  assertId,
  assertInt,
  assertList,
  assertObject,
  assertOneOf,
  assertRange,
  assertTenantId,
  CALL_ID_MAX,
  deepFreeze,
  ID_MAX,
  invalid,
  TENANT_ID_MAX,
  toSafeInteger,
} from './guards';
export { type IdGenerator, uuidV7Generator } from './id-generator';
export { assertIntentConsistency, FeatureIntent, RetryPolicy } from './intent';
export { addDays, daysBetween, type IsoDate, toIsoDate, utcDayOf, utcDayRange, utcToday } from './iso-date';
export {
  assertJsonObject,
  canonicalJson,
  JSON_MAX_BYTES,
  JSON_MAX_DEPTH,
  type JsonObject,
  jsonObjectText,
  type JsonValue,
  sha256Hex,
} from './json';
export { type Logger, noopLogger } from './logger';
export {
  decodeCursor,
  encodeCursor,
  filterFingerprint,
  type Page,
  PAGE_LIMIT_DEFAULT,
  PAGE_LIMIT_MAX,
  pageLimit,
  type PageRequest,
  refusedCursor,
} from './page';
export { assertSystemScope, type SystemScope, systemScope, type TenantScope, tenantScope } from './scope';
export { checkSweepOptions, Sweeper, type SweepOptions, type SweepProgress } from './sweep';
export { compareBytes, idFault, textFault, type TextFault } from './text';
export type { UnitOfWorkRunner } from './unit-of-work';
export {
  type FieldFault,
  IsIdText,
  IsJsonObject,
  IsMoneyText,
  IsPlainText,
  IsPositiveMoneyText,
  validateOrThrow,
} from './validate';
export * from './values';
