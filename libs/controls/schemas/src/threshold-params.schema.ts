import 'reflect-metadata';
import {
  assertObject,
  compareDecimal,
  type DecimalString,
  deepFreeze,
  invalid,
  type JsonObject,
  type JsonValue,
  toDecimalString,
} from '@hoc/shared/kernel';
import { IsBoolean, IsInt, Max, Min, ValidateBy, ValidateIf } from 'class-validator';

/** What one LLM run may use before it is signalled. */
export interface ThresholdParams {
  /** Milliseconds. */
  readonly maxExecutionTimeMs: number;
  readonly maxTokens: number;
  readonly maxCostCents: DecimalString;
  /** Whether a failed run is signalled. */
  readonly failureSignal: boolean;
}

/** What holds where no limit says otherwise. @see spec controls C.3 */
export const DEFAULT_LLM_RUN_PARAMS: Readonly<ThresholdParams> = Object.freeze({
  maxExecutionTimeMs: 60_000,
  maxTokens: 8192,
  maxCostCents: toDecimalString('100'),
  failureSignal: true,
});

/** The least and the most of each parameter, both inclusive. */
export const THRESHOLD_BOUNDS = deepFreeze({
  maxExecutionTimeMs: { min: 1000, max: 300_000 },
  maxTokens: { min: 256, max: 200_000 },
  maxCostCents: { min: toDecimalString('1'), max: toDecimalString('10000') },
});

/** The parameters, in the order in which they are checked and stored. */
export const THRESHOLD_PARAMS = Object.freeze([
  'maxExecutionTimeMs',
  'maxTokens',
  'maxCostCents',
  'failureSignal',
] as const satisfies readonly (keyof ThresholdParams)[]);

/** The key of each parameter in `limits.params`, the amount there being a decimal text. */
export const STORED_PARAM_KEYS = Object.freeze({
  maxExecutionTimeMs: 'max_execution_time_ms',
  maxTokens: 'max_tokens',
  maxCostCents: 'max_cost_cents',
  failureSignal: 'failure_signal',
} as const satisfies Readonly<Record<keyof ThresholdParams, string>>);

/** The original's key, in dollars: neither read nor written. */
export const STORED_DOLLAR_KEY = 'max_cost_usd';

const { maxExecutionTimeMs: TIME, maxTokens: TOKENS, maxCostCents: COST } = THRESHOLD_BOUNDS;
const MONEY = /^\d{1,14}(?:\.\d{1,6})?$/;

/** Checks what is given, null included: `@IsOptional` would let a null pass. */
const IfGiven = (): PropertyDecorator => ValidateIf((_, value) => value !== undefined);
const IsCostCents = (): PropertyDecorator =>
  ValidateBy({
    name: 'isCostCents',
    validator: { validate: (value) => costCents(value) !== undefined, defaultMessage: () => 'isCostCents' },
  });

/**
 * Thresholds to set on a limit; what is absent stays as it is. A request class: unknown keys are refused, nothing is
 * converted. Give what a caller sends to {@link refuseDollarParams} first: it says better what is wrong with dollars.
 *
 * @see spec controls C.3
 */
export class ThresholdParamsUpdate {
  @IfGiven() @IsInt() @Min(TIME.min) @Max(TIME.max) maxExecutionTimeMs?: number;
  @IfGiven() @IsInt() @Min(TOKENS.min) @Max(TOKENS.max) maxTokens?: number;
  /** Decimal text, compared as a decimal: `'0.99'` is too little, `'10000.000001'` too much. */
  @IfGiven() @IsCostCents() maxCostCents?: string;
  @IfGiven() @IsBoolean() failureSignal?: boolean;
}

/**
 * Refuses thresholds in dollars by name; anything else, even what is no object, passes.
 *
 * @throws InvalidArgumentError reason `dollars`, whose message names max_cost_cents
 */
export function refuseDollarParams(params: unknown): void {
  if (typeof params !== 'object' || params === null) return;
  const key = [STORED_DOLLAR_KEY, 'maxCostUsd'].find((name) => Object.hasOwn(params, name));
  if (key !== undefined)
    throw invalid(key, 'dollars', `${key} is not supported: use max_cost_cents (maxCostCents in a request)`);
}

/**
 * The value as the parameter that it is meant for, the amount in canonical form; undefined where its type or its bounds,
 * those of {@link ThresholdParamsUpdate}, are others.
 */
export function readThresholdParam<K extends keyof ThresholdParams>(
  param: K,
  value: unknown,
): ThresholdParams[K] | undefined {
  return READERS[param](value);
}

/**
 * All four parameters, as a frozen copy with the amount in canonical form; other keys are left out.
 *
 * @throws InvalidArgumentError naming the first that is absent, of another type or out of bounds
 */
export function assertThresholdParams(value: unknown, field: string): ThresholdParams {
  const given = assertObject(value, field);
  const read = <K extends keyof ThresholdParams>(param: K): ThresholdParams[K] => {
    const known = readThresholdParam(param, given[param]);
    if (known === undefined)
      throw invalid(`${field}.${param}`, 'threshold', `${field}.${param} is not a threshold within its bounds`);
    return known;
  };
  return Object.freeze({
    maxExecutionTimeMs: read('maxExecutionTimeMs'),
    maxTokens: read('maxTokens'),
    maxCostCents: read('maxCostCents'),
    failureSignal: read('failureSignal'),
  });
}

/**
 * Checked parameters under the keys of `limits.params`; one that is absent has no key, so that a merge leaves the stored
 * one as it is. The amount in canonical form. Frozen.
 *
 * @throws InvalidArgumentError where the amount isn't decimal text
 */
export function toStoredParams(params: ThresholdParamsUpdate | Partial<ThresholdParams>): JsonObject {
  const stored: Record<string, JsonValue> = {};
  for (const param of THRESHOLD_PARAMS) {
    const value = params[param];
    if (value === undefined) continue;
    stored[STORED_PARAM_KEYS[param]] = typeof value === 'string' ? toDecimalString(value, param) : value;
  }
  return Object.freeze(stored);
}

const within =
  ({ min, max }: { readonly min: number; readonly max: number }) =>
  (value: unknown): number | undefined =>
    typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max ? value : undefined;

function costCents(value: unknown): DecimalString | undefined {
  if (typeof value !== 'string' || !MONEY.test(value)) return undefined;
  const amount = toDecimalString(value);
  return compareDecimal(amount, COST.min) >= 0 && compareDecimal(amount, COST.max) <= 0 ? amount : undefined;
}

const READERS: { readonly [K in keyof ThresholdParams]: (value: unknown) => ThresholdParams[K] | undefined } = {
  maxExecutionTimeMs: within(TIME),
  maxTokens: within(TOKENS),
  maxCostCents: costCents,
  failureSignal: (value) => (typeof value === 'boolean' ? value : undefined),
};
