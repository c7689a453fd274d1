import {
  DEFAULT_LLM_RUN_PARAMS,
  type LimitScope,
  type LimitSnapshot,
  readThresholdParam,
  refuseDollarParams,
  type ResolvedThresholds,
  STORED_DOLLAR_KEY,
  STORED_PARAM_KEYS,
  THRESHOLD_PARAMS,
  type ThresholdContext,
  type ThresholdParams,
  ThresholdParamsUpdate,
} from '@hoc/controls/schemas';
import { assertId, deepFreeze, type JsonObject, toDecimalString, validateOrThrow } from '@hoc/shared/kernel';

/**
 * Parameters as a caller sends them (the keys of {@link ThresholdParamsUpdate}), whole: what is absent has its default.
 * The amount in canonical form. Frozen.
 *
 * @throws InvalidArgumentError with `details.fields`; for dollars, with a message that names max_cost_cents
 * @see spec controls E.3
 */
export function validateThresholdParams(raw: unknown): ThresholdParams {
  refuseDollarParams(raw);
  const { maxCostCents, ...given } = validateOrThrow(ThresholdParamsUpdate, raw);
  const cost = maxCostCents === undefined ? {} : { maxCostCents: toDecimalString(maxCostCents) };
  return Object.freeze({ ...DEFAULT_LLM_RUN_PARAMS, ...given, ...cost });
}

/**
 * What a stored limit sets, all of it or nothing: `invalid` is the stored key of the first value that is of another type
 * or out of bounds, or `max_cost_usd`, which may not be ignored: a limit on cost would be lifted in silence. Unknown keys
 * and nulls set nothing. Frozen.
 */
export function readStoredParams(params: JsonObject): Partial<ThresholdParams> | { readonly invalid: string } {
  if (Object.hasOwn(params, STORED_DOLLAR_KEY)) return Object.freeze({ invalid: STORED_DOLLAR_KEY });
  const read: [keyof ThresholdParams, unknown][] = [];
  for (const param of THRESHOLD_PARAMS) {
    const key = STORED_PARAM_KEYS[param];
    const stored = Object.hasOwn(params, key) ? (params[key] ?? null) : null;
    if (stored === null) continue;
    const value = readThresholdParam(param, stored);
    if (value === undefined) return Object.freeze({ invalid: key });
    read.push([param, value]);
  }
  return Object.freeze(Object.fromEntries(read) as Partial<ThresholdParams>);
}

/**
 * The thresholds that hold for a run: GLOBAL, then TENANT, PROJECT and AGENT limits, in each rank the older first (ties:
 * the smaller id), each value overwriting the one before. Limits of another project or agent, of a provider, or without
 * the id that their scope needs don't apply. The order of `limits` doesn't matter. Pure; deeply frozen.
 *
 * @throws InvalidArgumentError where an id of the context is none
 */
export function resolveParams(limits: readonly LimitSnapshot[], context: ThresholdContext): ResolvedThresholds {
  const ids: ScopeIds = {
    GLOBAL: null,
    TENANT: null,
    PROJECT: idOf(context.projectId, 'projectId'),
    AGENT: idOf(context.agentId, 'agentId'),
  };
  let params: ThresholdParams = DEFAULT_LLM_RUN_PARAMS;
  const sources: Record<keyof ThresholdParams, string | null> = {
    maxExecutionTimeMs: null,
    maxTokens: null,
    maxCostCents: null,
    failureSignal: null,
  };
  const rejectedLimitIds: string[] = [];
  for (const limit of limits.filter((each) => applies(each, ids)).sort(byPrecedence)) {
    const read = readStoredParams(limit.params);
    if ('invalid' in read) rejectedLimitIds.push(limit.id);
    else {
      params = { ...params, ...read };
      for (const param of THRESHOLD_PARAMS) if (read[param] !== undefined) sources[param] = limit.id;
    }
  }
  return deepFreeze({ params: { ...params }, sources, rejectedLimitIds });
}

type RankedScope = Exclude<LimitScope, 'PROVIDER'>;
/** The id that a limit of the scope must have to apply; undefined: none does. */
type ScopeIds = Readonly<Record<RankedScope, string | null | undefined>>;

/** From the weakest. PROVIDER has no rank: which provider a run uses isn't known before its calls. */
const RANKS: readonly LimitScope[] = ['GLOBAL', 'TENANT', 'PROJECT', 'AGENT'] satisfies readonly RankedScope[];

const idOf = (value: string | undefined, field: string): string | undefined =>
  value === undefined ? undefined : assertId(value, field);

const applies = ({ scope, scopeId, status }: LimitSnapshot, ids: ScopeIds): boolean =>
  status === 'ACTIVE' && scope !== 'PROVIDER' && scopeId === ids[scope];

/** Ids byte by byte, as the driver's newest limit of a scope is found. */
const byPrecedence = (a: LimitSnapshot, b: LimitSnapshot): number =>
  RANKS.indexOf(a.scope) - RANKS.indexOf(b.scope) ||
  a.createdAt.getTime() - b.createdAt.getTime() ||
  Buffer.compare(Buffer.from(a.id), Buffer.from(b.id));
