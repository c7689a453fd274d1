import { InvalidArgumentError, toDecimalString, validateOrThrow } from '@hoc/shared/kernel';
import { THRESHOLD_SIGNALS } from '@hoc/shared/schemas';
import {
  assertThresholdParams,
  DEFAULT_LLM_RUN_PARAMS,
  readThresholdParam,
  refuseDollarParams,
  THRESHOLD_BOUNDS,
  type ThresholdParams,
  ThresholdParamsUpdate,
  toStoredParams,
} from './threshold-params.schema';
import { THRESHOLD_SIGNAL_EVENTS } from './threshold.schema';

const update = (plain: unknown): ThresholdParamsUpdate => validateOrThrow(ThresholdParamsUpdate, plain);
/** What is refused, each field by its rule. */
const REFUSED: readonly (readonly [string, Readonly<Record<string, unknown>>])[] = [
  ['maxTokens', { maxTokens: 255 }],
  ['maxTokens', { maxTokens: 200_001 }],
  ['maxTokens', { maxTokens: '9000' }],
  ['maxTokens', { maxTokens: 256.5 }],
  ['maxTokens', { maxTokens: Number.NaN }],
  ['maxTokens', { maxTokens: null }],
  ['maxExecutionTimeMs', { maxExecutionTimeMs: 999 }],
  ['maxExecutionTimeMs', { maxExecutionTimeMs: 300_001 }],
  ['maxExecutionTimeMs', { maxExecutionTimeMs: Infinity }],
  ['maxCostCents', { maxCostCents: '0.99' }],
  ['maxCostCents', { maxCostCents: '0.999999' }],
  ['maxCostCents', { maxCostCents: '10000.000001' }],
  ['maxCostCents', { maxCostCents: 100 }],
  ['maxCostCents', { maxCostCents: null }],
  ...['1e3', '-1', '+1', ' 1', '1.', '.5', '0x1', 'NaN', '１', '1.0000001', '1'.repeat(15), '', '100\n'].map(
    (maxCostCents) => ['maxCostCents', { maxCostCents }] as const,
  ),
  ['failureSignal', { failureSignal: 1 }],
  ['failureSignal', { failureSignal: 'true' }],
  ['failureSignal', { failureSignal: null }],
];

describe('ThresholdParamsUpdate', () => {
  it.each(REFUSED)('G.4: %s of %j is refused', (field, plain) => {
    expect(() => update(plain)).toThrow(InvalidArgumentError);
    expect(() => update(plain)).toThrow(expect.objectContaining({ details: expect.objectContaining({ field }) }));
  });

  it.each([
    ['unknown', { maxTokns: 9000 }],
    ['max_tokens', { max_tokens: 9000 }],
    ['__proto__', JSON.parse('{"__proto__": {"maxTokens": 9000}}') as object],
  ])('G.4: an unknown key (%s) is refused', (_name, plain) => {
    expect(() => update(plain)).toThrow(InvalidArgumentError);
  });

  it.each([
    {},
    { maxTokens: 256 },
    { maxTokens: 200_000 },
    { maxExecutionTimeMs: 1000 },
    { maxExecutionTimeMs: 300_000 },
    { maxCostCents: '1' },
    { maxCostCents: '1.000000' },
    { maxCostCents: '10000.000000' },
    { failureSignal: false },
    { maxTokens: undefined },
  ])('%j lies within its bounds', (plain) => {
    const given = Object.entries(plain).filter(([, value]) => value !== undefined);
    expect(Object.entries(update(plain)).filter(([, value]) => value !== undefined)).toEqual(given);
  });

  it('agrees with the reader of stored values, on all that is refused and on all bounds', () => {
    for (const [field, plain] of REFUSED)
      expect([plain, readThresholdParam(field as keyof ThresholdParams, plain[field])]).toEqual([plain, undefined]);
    const { maxExecutionTimeMs: time, maxTokens: tokens, maxCostCents: cost } = THRESHOLD_BOUNDS;
    for (const end of ['min', 'max'] as const) {
      update({ maxExecutionTimeMs: time[end], maxTokens: tokens[end], maxCostCents: cost[end] });
      expect(readThresholdParam('maxExecutionTimeMs', time[end])).toBe(time[end]);
      expect(readThresholdParam('maxTokens', tokens[end])).toBe(tokens[end]);
      expect(readThresholdParam('maxCostCents', cost[end])).toBe(cost[end]);
    }
  });

  it.each(['max_cost_usd', 'maxCostUsd'])('dollars under %s are refused by name, in a request and before it', (key) => {
    expect(() => update({ [key]: 1 })).toThrow(InvalidArgumentError);
    expect(() => refuseDollarParams({ [key]: 1 })).toThrow(/use max_cost_cents/);
    expect(() => refuseDollarParams({ [key]: null })).toThrow(InvalidArgumentError);
  });
  it.each([undefined, null, 7, 'max_cost_usd', [], {}, { maxCostCents: '1' }])('%j has no dollars', (params) => {
    expect(refuseDollarParams(params)).toBeUndefined();
  });
});

describe('stored parameters', () => {
  it('have the defaults of C.3, frozen', () => {
    expect(DEFAULT_LLM_RUN_PARAMS).toEqual({
      maxExecutionTimeMs: 60_000,
      maxTokens: 8192,
      maxCostCents: '100',
      failureSignal: true,
    });
    expect(Object.isFrozen(DEFAULT_LLM_RUN_PARAMS)).toBe(true);
    expect(assertThresholdParams(DEFAULT_LLM_RUN_PARAMS, 'x')).toEqual(DEFAULT_LLM_RUN_PARAMS);
  });

  it('stand under their snake_case keys, the amount canonical, and what is absent has no key', () => {
    expect(toStoredParams(DEFAULT_LLM_RUN_PARAMS)).toEqual({
      max_execution_time_ms: 60_000,
      max_tokens: 8192,
      max_cost_cents: '100',
      failure_signal: true,
    });
    expect(toStoredParams(update({ maxCostCents: '029.100', failureSignal: false }))).toEqual({
      max_cost_cents: '29.1',
      failure_signal: false,
    });
    expect(Object.keys(toStoredParams({}))).toEqual([]);
    expect(Object.isFrozen(toStoredParams({}))).toBe(true);
  });

  it('are whole where they are used: one that is absent or out of bounds is named', () => {
    const { maxTokens: _, ...rest } = DEFAULT_LLM_RUN_PARAMS;
    const faulty = [rest, { ...rest, maxTokens: 255 }, { ...rest, maxTokens: '9000' }];
    for (const params of faulty)
      expect(() => assertThresholdParams(params, 'used')).toThrow(
        expect.objectContaining({ details: { field: 'used.maxTokens', reason: 'threshold' } }),
      );
    for (const none of [null, undefined, 'x', []])
      expect(() => assertThresholdParams(none, 'used')).toThrow(InvalidArgumentError);
    const checked = assertThresholdParams({ ...rest, maxTokens: 300, maxCostCents: '5.50', more: 1 }, 'used');
    expect(checked).toEqual({ ...rest, maxTokens: 300, maxCostCents: toDecimalString('5.5') });
  });
});

it('every signal has its event: a failure is a failed call, anything else a limit that was hit', () => {
  expect(Object.keys(THRESHOLD_SIGNAL_EVENTS).sort()).toEqual([...THRESHOLD_SIGNALS].sort());
  for (const signal of THRESHOLD_SIGNALS)
    expect(THRESHOLD_SIGNAL_EVENTS[signal]).toEqual(
      signal === 'RUN_FAILED'
        ? { eventType: 'LLM_CALL_FAILED', severity: 3 }
        : { eventType: 'INFRA_LIMIT_HIT', severity: 2 },
    );
});
