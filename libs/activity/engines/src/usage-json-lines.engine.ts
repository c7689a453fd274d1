import {
  LATENCY_MAX_MS,
  type NewUsage,
  type Refusal,
  type RejectReason,
  TOKENS_MAX,
  USAGE_TEXT_MAX,
} from '@hoc/activity/schemas';
import {
  assertJsonObject,
  CALL_ID_MAX,
  CUS_POLICY_RESULTS,
  type CusPolicyResult,
  type DecimalString,
  HocError,
  idFault,
  type JsonObject,
  textFault,
  toMoney,
} from '@hoc/shared/kernel';

/** What a line says; what it leaves to the options or the price table is absent. */
export interface JsonUsageLine {
  readonly tenantId: string;
  readonly callId: string | null;
  readonly costCents: DecimalString | null;
  readonly usage: Omit<NewUsage, 'callId' | 'costCents'>;
  /** The line as parsed. */
  readonly record: JsonObject;
}

/** What stands in for a line's absent keys. */
export interface JsonLineDefaults {
  readonly tenantId?: string;
  readonly defaultTenantId?: string;
  readonly integrationId?: string;
  readonly provider?: string;
  readonly model?: string;
}

const KNOWN = new Set([
  ...['tenant_id', 'integration_id', 'provider', 'model', 'call_id', 'tokens_in', 'tokens_out', 'cost_cents'],
  ...['latency_ms', 'status', 'policy_result', 'error_code', 'error_message', 'session_id', 'agent_id', 'metadata'],
  ...['occurred_at', 'timestamp', 'created_at'],
]);
const POLICY_OF_STATUS: Readonly<Record<string, CusPolicyResult>> = Object.freeze({
  ok: 'allowed',
  success: 'allowed',
  succeeded: 'allowed',
  warned: 'warned',
  blocked: 'blocked',
  error: 'allowed',
  failed: 'allowed',
  timeout: 'allowed',
});
const FAILED = new Set(['error', 'failed', 'timeout']);
const ISO = /^(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?)(Z|z|[+-]\d{2}:?\d{2})$/;

/** A JSON line as a call, or why it is none: the first rule that fails, in the order of the documented table. */
export function parseJsonUsageLine(line: string, defaults: JsonLineDefaults): JsonUsageLine | Refusal {
  try {
    return read(asRecord(line), defaults);
  } catch (error) {
    if (error instanceof Refused) return error.refusal;
    throw error;
  }
}

function read(record: JsonObject, defaults: JsonLineDefaults): JsonUsageLine {
  const tenantId = tenantOf(record, defaults);
  const required = {
    integrationId: named(record, 'integration_id', defaults.integrationId, USAGE_TEXT_MAX.id),
    provider: named(record, 'provider', defaults.provider, USAGE_TEXT_MAX.provider),
    model: named(record, 'model', defaults.model, USAGE_TEXT_MAX.model),
  };
  const callId = optionalId(record, 'call_id', CALL_ID_MAX);
  const tokens = { tokensIn: tokensOf(record, 'tokens_in'), tokensOut: tokensOf(record, 'tokens_out') };
  const costCents = costOf(record['cost_cents']);
  const latencyMs = latencyOf(record['latency_ms']);
  const { policyResult, errorCode } = outcomeOf(record);
  const errorMessage = optionalText(record, 'error_message', USAGE_TEXT_MAX.errorMessage);
  if (errorMessage !== null && errorCode === null) throw invalid('error_message', 'error_message needs an error_code');
  const given = {
    latencyMs,
    policyResult,
    errorCode,
    errorMessage,
    sessionId: optionalId(record, 'session_id', USAGE_TEXT_MAX.id),
    agentId: optionalId(record, 'agent_id', USAGE_TEXT_MAX.id),
    metadata: null as JsonObject | null,
    occurredAt: null as Date | null,
  };
  const metadata = givenMetadata(record['metadata']);
  given.occurredAt = instantOf(record);
  given.metadata = withExtra(metadata, record);
  return { tenantId, callId, costCents, record, usage: { ...required, ...tokens, ...present(given) } };
}

function asRecord(line: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw new Refused('MALFORMED', null, 'the line is not JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Refused('MALFORMED', null, 'the line is not a JSON object');
  return value as JsonObject;
}

function tenantOf(record: JsonObject, { tenantId: option, defaultTenantId }: JsonLineDefaults): string {
  const own = record['tenant_id'];
  if (own === undefined) {
    const absent = option ?? defaultTenantId;
    if (absent === undefined) throw new Refused('FIELD_MISSING', 'tenant_id', 'a tenant is required');
    return absent;
  }
  if (idFault(own, USAGE_TEXT_MAX.id) !== null) throw invalid('tenant_id', 'tenant_id must have 1 to 100 characters');
  if (option !== undefined && own !== option)
    throw new Refused('TENANT_MISMATCH', 'tenant_id', 'the line names another tenant than the import');
  return own as string;
}

function named(record: JsonObject, field: string, option: string | undefined, max: number): string {
  const own = record[field];
  if (own === undefined) {
    if (option === undefined) throw new Refused('FIELD_MISSING', field, `${field} is required`);
    return option;
  }
  const fault = field === 'integration_id' ? idFault(own, max) : textFault(own, 1, max);
  if (fault !== null) throw invalid(field, `${field} must have 1 to ${max} characters`);
  return own as string;
}

/** null says the same as an absent key: exports write it so. */
function optionalId(record: JsonObject, field: string, max: number): string | null {
  const own = record[field] ?? null;
  if (own === null) return null;
  if (idFault(own, max) !== null) throw invalid(field, `${field} must have 1 to ${max} characters`);
  return own as string;
}

function optionalText(record: JsonObject, field: string, max: number): string | null {
  const own = record[field] ?? null;
  if (own === null) return null;
  if (textFault(own, 1, max) !== null) throw invalid(field, `${field} must have 1 to ${max} characters`);
  return own as string;
}

function tokensOf(record: JsonObject, field: string): number {
  const tokens = record[field];
  if (typeof tokens !== 'number' || !Number.isInteger(tokens) || tokens < 0 || tokens > TOKENS_MAX)
    throw new Refused('TOKENS', field, `${field} must be a whole number from 0 to ${TOKENS_MAX}`);
  // JSON can say -0.
  return tokens + 0;
}

/** A number is taken where its shortest text is exact: no exponent, at most 6 fraction and 15 significant digits. */
function costOf(value: unknown): DecimalString | null {
  if (value === undefined) return null;
  const text =
    typeof value === 'number' && String(value).replace(/^0\.0*|[.-]/g, '').length <= 15 ? String(value) : value;
  try {
    if (typeof text !== 'string') throw new Refused('COST', 'cost_cents', COST_RULE);
    return toMoney(text, 'cost_cents');
  } catch (error) {
    if (HocError.is(error)) throw new Refused('COST', 'cost_cents', COST_RULE);
    throw error;
  }
}

const COST_RULE = 'cost_cents must be an exact decimal, not negative, with at most 6 fraction digits';

function latencyOf(value: unknown): number | null {
  if (value === undefined || value === null) return null;
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > LATENCY_MAX_MS)
    throw invalid('latency_ms', `latency_ms must be a whole number from 0 to ${LATENCY_MAX_MS}`);
  return value + 0;
}

function outcomeOf(record: JsonObject): { policyResult: CusPolicyResult; errorCode: string | null } {
  const status = record['status'];
  if (status !== undefined && (typeof status !== 'string' || !Object.hasOwn(POLICY_OF_STATUS, status)))
    throw new Refused('UNKNOWN_STATUS', 'status', `status must be one of ${Object.keys(POLICY_OF_STATUS).join(', ')}`);
  const policy = record['policy_result'];
  const named = CUS_POLICY_RESULTS.find((result) => result === policy);
  if (policy !== undefined && named === undefined)
    throw invalid('policy_result', `policy_result must be one of ${CUS_POLICY_RESULTS.join(', ')}`);
  const code = optionalText(record, 'error_code', USAGE_TEXT_MAX.errorCode);
  const implied = status !== undefined && FAILED.has(status) ? status : null;
  return { policyResult: named ?? POLICY_OF_STATUS[status ?? 'ok'] ?? 'allowed', errorCode: code ?? implied };
}

function givenMetadata(value: unknown): JsonObject | null {
  if (value === undefined || value === null) return null;
  return checkedJson(value);
}

function withExtra(metadata: JsonObject | null, record: JsonObject): JsonObject | null {
  const extra = Object.entries(record).filter(([key]) => !KNOWN.has(key));
  if (extra.length === 0) return metadata;
  if (metadata !== null && Object.hasOwn(metadata, 'extra'))
    throw invalid('metadata', 'metadata.extra and further keys are both given');
  return checkedJson({ ...metadata, extra: Object.fromEntries(extra) });
}

function checkedJson(value: unknown): JsonObject {
  try {
    return assertJsonObject(value, 'metadata');
  } catch (error) {
    if (HocError.is(error)) throw invalid('metadata', error.message);
    throw error;
  }
}

function instantOf(record: JsonObject): Date | null {
  const field = ['occurred_at', 'timestamp', 'created_at'].find((name) => record[name] !== undefined);
  if (field === undefined) return null;
  const at = parseInstant(record[field]);
  if (at === null)
    throw new Refused('TIMESTAMP', field, `${field} must be ISO 8601 with an offset, or whole milliseconds since 1970`);
  return at;
}

function parseInstant(value: unknown): Date | null {
  if (typeof value === 'number') return Number.isSafeInteger(value) ? validDate(new Date(value)) : null;
  const match = typeof value === 'string' ? ISO.exec(value) : null;
  if (match === null) return null;
  const [, day = '', time = '', offset = ''] = match;
  const [clock = '', fraction = ''] = time.split('.');
  const wall = `${day}T${clock.length === 5 ? `${clock}:00` : clock}.${fraction.padEnd(3, '0').slice(0, 3)}Z`;
  const local = validDate(new Date(wall));
  // A Date rolls 30 February over; the calendar doesn't.
  if (local === null || local.toISOString() !== wall) return null;
  return shifted(local, offset);
}

function shifted(local: Date, offset: string): Date | null {
  if (offset.toUpperCase() === 'Z') return local;
  const [hours, minutes] = [Number(offset.slice(1, 3)), Number(offset.slice(-2))];
  if (hours > 23 || minutes > 59) return null;
  const shift = (hours * 60 + minutes) * 60_000;
  return validDate(new Date(local.getTime() + (offset.startsWith('-') ? shift : -shift)));
}

const validDate = (at: Date): Date | null => (Number.isNaN(at.getTime()) ? null : at);

const invalid = (field: string, message: string): Refused => new Refused('FIELD_INVALID', field, message);

/** Leaves {@link read} early; never leaves this file. */
class Refused extends HocError {
  readonly refusal: Refusal;
  constructor(reject: RejectReason, field: string | null, message: string) {
    super('INVALID_ARGUMENT', message);
    this.refusal = { reject, field, message };
  }
}

type Present<T> = { [K in keyof T]?: Exclude<T[K], null> };

function present<T extends object>(members: T): Present<T> {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== null)) as Present<T>;
}
