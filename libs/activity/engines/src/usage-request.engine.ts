import {
  CusLlmUsageIngest,
  type IngestErrorCode,
  MAX_CLOCK_SKEW_MINUTES,
  type NewUsage,
  OCCURRED_AT_MIN,
} from '@hoc/activity/schemas';
import {
  assertCallId,
  assertId,
  assertObject,
  invalid,
  InvalidArgumentError,
  jsonObjectText,
  toMoney,
  validateOrThrow,
} from '@hoc/shared/kernel';

const EARLIEST = Date.parse(OCCURRED_AT_MIN);

/**
 * A sender's payload as a call to store, on the integration that the argument or the payload names.
 * @throws InvalidArgumentError, also where the two name different integrations, or neither names one
 */
export function toNewUsage(payload: CusLlmUsageIngest, integrationId: string | null, now: Date): NewUsage {
  const call = withoutNull(validateOrThrow(CusLlmUsageIngest, flat(payload)));
  if (call.errorMessage !== undefined && call.errorCode === undefined)
    throw invalid('errorMessage', 'without_code', 'errorMessage needs an errorCode');
  assertOccurredAt(call.occurredAt, now);
  // Not a literal with spreads: V8 takes ten times as long for it, and this is done for each call.
  return Object.assign({}, call, metadataOf(payload), {
    costCents: toMoney(call.costCents, 'costCents'),
    integrationId: resolveIntegration(call.integrationId, integrationId),
  });
}

/**
 * Without what stands in objects: class-transformer copies those, loses keys such as `constructor` without a word, and
 * throws a TypeError for others. No field but the metadata may be one, so what fails here fails by the field's own rule.
 */
function flat(payload: unknown): unknown {
  if (typeof payload !== 'object' || payload === null || Array.isArray(payload) || payload instanceof Date)
    return payload;
  if (Object.hasOwn(payload, 'constructor'))
    throw invalid('constructor', 'whitelistValidation', 'invalid request: constructor');
  const entries = Object.entries(payload).map(([key, value]: [string, unknown]) => {
    if (typeof value !== 'object' || value === null || value instanceof Date) return [key, value];
    return [key, key === 'metadata' && isJsonObject(value) ? {} : REFUSED];
  });
  return Object.fromEntries(entries);
}

/** No field of a call takes a boolean. */
const REFUSED = false;

function isJsonObject(value: object): boolean {
  try {
    jsonObjectText(value, 'metadata');
    return true;
  } catch (error) {
    if (isBadRequest(error)) return false;
    throw error;
  }
}

/** As the sender wrote it. */
const metadataOf = ({ metadata }: CusLlmUsageIngest): Pick<NewUsage, 'metadata'> =>
  metadata === undefined ? {} : { metadata };

/** class-validator's optional lets null through; a column that may be null is left out instead. */
function withoutNull(ingest: CusLlmUsageIngest): CusLlmUsageIngest {
  const field = Object.entries(ingest).find(([, value]) => value === null)?.[0];
  if (field !== undefined) throw invalid(field, 'null', `${field} must not be null: leave it out`);
  return ingest;
}

/** Calls made by an importer or the coalescer, with the keys that look-ups need. @throws InvalidArgumentError with `details.index` */
export function assertImported(usages: readonly NewUsage[]): void {
  let index = 0;
  try {
    for (const usage of usages) {
      assertObject(usage, 'usage');
      assertId(usage.integrationId, 'integrationId');
      assertCallId(usage.callId);
      index += 1;
    }
  } catch (error) {
    if (!isBadRequest(error)) throw error;
    throw new InvalidArgumentError(error.message, { details: { ...error.details, index } });
  }
}

/** The argument wins where the payload names none or the same. */
export function resolveIntegration(own: string | undefined, argument: string | null): string {
  if (argument !== null) assertId(argument, 'integrationId');
  if (own !== undefined && argument !== null && own !== argument)
    throw invalid('integrationId', 'mismatch', 'the payload names another integration than the call');
  const integrationId = argument ?? own;
  if (integrationId === undefined) throw invalid('integrationId', MISSING, 'an integration is required');
  return integrationId;
}

const MISSING = 'integration_missing';

/** The code that a batch gives an invalid record. */
export const errorCodeOf = (error: InvalidArgumentError): IngestErrorCode =>
  error.details['reason'] === MISSING ? 'INTEGRATION_MISSING' : 'FIELD_INVALID';

/** Whether the record is at fault, and not the system. */
export const isBadRequest = (error: unknown): error is InvalidArgumentError => InvalidArgumentError.is(error);

function assertOccurredAt(at: Date | undefined, now: Date): void {
  if (at === undefined) return;
  if (at.getTime() < EARLIEST || at.getTime() > now.getTime() + MAX_CLOCK_SKEW_MINUTES * 60_000)
    throw invalid('occurredAt', 'range', `occurredAt must lie between ${OCCURRED_AT_MIN} and now`);
}
