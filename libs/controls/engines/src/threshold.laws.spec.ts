import {
  DEFAULT_LLM_RUN_PARAMS,
  LIMIT_SCOPES,
  LIMIT_STATUSES,
  type LimitSnapshot,
  STORED_PARAM_KEYS,
  THRESHOLD_PARAMS,
  type ThresholdContext,
  ThresholdParamsUpdate,
  toStoredParams,
} from '@hoc/controls/schemas';
import { HocError, type JsonObject, type JsonValue, toDecimalString, validateOrThrow } from '@hoc/shared/kernel';
import { fixedClock } from '@hoc/shared/testing';
import fc from 'fast-check';
import { LLMRunEvaluator, LLMRunThresholdResolver, readStoredParams, resolveParams } from './threshold.engine';

const RUNS = { numRuns: 400 };
const RANKS = ['GLOBAL', 'TENANT', 'PROJECT', 'AGENT'];
const clock = fixedClock('2026-03-10T12:00:00.000Z');

const millionths = (max: number) =>
  fc.integer({ min: 0, max: max * 1e6 }).map((n) => `${Math.floor(n / 1e6)}.${String(n % 1e6).padStart(6, '0')}`);
const odd: fc.Arbitrary<JsonValue> = fc.constantFrom<JsonValue[]>('9000', 1.5, -1, '0.99', '1e3', 'yes', [], {}, 1e21);
const oneOf = (...values: fc.Arbitrary<JsonValue>[]): fc.Arbitrary<JsonValue> =>
  fc.oneof({ weight: 8, arbitrary: fc.oneof(...values) }, { weight: 1, arbitrary: odd });
const stored: fc.Arbitrary<JsonObject> = fc.record(
  {
    max_execution_time_ms: oneOf(fc.integer({ min: 900, max: 300_100 }), fc.constant(null)),
    max_tokens: oneOf(fc.integer({ min: 250, max: 200_010 }), fc.constant(null)),
    max_cost_cents: oneOf(millionths(10_001), fc.constantFrom('1', '10000', '10000.000001'), fc.constant(null)),
    failure_signal: oneOf(fc.boolean(), fc.constant(null)),
    note: fc.constant('x'),
  },
  { requiredKeys: [] },
);
const snapshot: fc.Arbitrary<Omit<LimitSnapshot, 'id'>> = fc.record({
  tenantId: fc.constant('t1'),
  scope: fc.constantFrom(...LIMIT_SCOPES),
  scopeId: fc.constantFrom('x1', 'x2', null),
  params: stored,
  status: fc.constantFrom(...LIMIT_STATUSES, 'ACTIVE' as const),
  createdAt: fc.integer({ min: 0, max: 3 }).map((day) => new Date(Date.UTC(2026, 0, 1 + day))),
});
const limits = fc.array(snapshot, { maxLength: 12 }).map((list) => list.map((each, n) => ({ ...each, id: `l-${n}` })));
const context: fc.Arbitrary<ThresholdContext> = fc.record(
  { agentId: fc.constantFrom('x1', 'x2'), projectId: fc.constantFrom('x1', 'x2') },
  { requiredKeys: [] },
);
const rankOf = (list: readonly LimitSnapshot[], id: string | null): number =>
  RANKS.indexOf(list.find((each) => each.id === id)?.scope ?? '');

describe('law 3: resolveParams', () => {
  it('is independent of the order of its input', () =>
    fc.assert(
      fc.property(
        limits.chain((list) => fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length }))),
        context,
        ([list, shuffled], given) => {
          expect(resolveParams(shuffled, given)).toEqual(resolveParams(list, given));
        },
      ),
      RUNS,
    ));

  it('a limit of lower rank never changes a key that a higher rank sets', () =>
    fc.assert(
      fc.property(limits, snapshot, context, (list, more, given) => {
        const before = resolveParams(list, given);
        const added = { ...more, id: 'l-more', scope: more.scope };
        const after = resolveParams([...list, added], given);
        for (const param of THRESHOLD_PARAMS)
          if (rankOf(list, before.sources[param]) > RANKS.indexOf(added.scope))
            expect([after.params[param], after.sources[param]]).toEqual([before.params[param], before.sources[param]]);
      }),
      RUNS,
    ));

  it('the result always lies within the bounds, and resolves to itself', () =>
    fc.assert(
      fc.property(limits, context, (list, given) => {
        const { params } = resolveParams(list, given);
        validateOrThrow(ThresholdParamsUpdate, { ...params });
        const one = { ...list[0], id: 'l', tenantId: 't1', scope: 'TENANT', scopeId: null, status: 'ACTIVE' } as const;
        const again = resolveParams([{ ...one, params: toStoredParams(params), createdAt: clock.now() }], given);
        expect([again.params, again.rejectedLimitIds]).toEqual([params, []]);
        expect(resolveParams([...list, ...list], given).params).toEqual(params);
      }),
      RUNS,
    ));

  it('every value is the default or is read from its source, and what is rejected is no source', () =>
    fc.assert(
      fc.property(limits, context, (list, given) => {
        const { params, sources, rejectedLimitIds } = resolveParams(list, given);
        for (const param of THRESHOLD_PARAMS) {
          const source = list.find(({ id }) => id === sources[param]);
          const read = source === undefined ? DEFAULT_LLM_RUN_PARAMS : readStoredParams(source.params);
          expect('invalid' in read ? undefined : read[param]).toBe(params[param]);
        }
        for (const id of rejectedLimitIds) {
          expect(Object.values(sources)).not.toContain(id);
          expect(readStoredParams(list.find((each) => each.id === id)?.params ?? {})).toHaveProperty('invalid');
        }
      }),
      RUNS,
    ));
});

it('what is stored is read exactly where a request with the same values passes', () =>
  fc.assert(
    fc.property(stored, (params) => {
      const request = Object.fromEntries(
        THRESHOLD_PARAMS.flatMap((param) => {
          const value = params[STORED_PARAM_KEYS[param]] ?? null;
          return value === null ? [] : [[param, value]];
        }),
      );
      expect('invalid' in readStoredParams(params)).toBe(!passes(request));
    }),
    RUNS,
  ));

describe('law 4: signals are monotone', () => {
  const evaluator = (list: readonly LimitSnapshot[]): LLMRunEvaluator =>
    new LLMRunEvaluator(new LLMRunThresholdResolver({ getActiveThresholdLimits: () => Promise.resolve(list) }), {
      clock,
    });
  const metric = fc.integer({ min: 0, max: 400_000 });
  const rise = fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 5 }), metric);

  it('raising any metric of a completed run never removes a signal', () =>
    fc.assert(
      fc.asyncProperty(
        limits,
        context,
        fc.constantFrom('failed', 'succeeded'),
        fc.tuple(metric, metric, fc.integer({ min: 0, max: 20_000 })),
        fc.tuple(rise, rise, rise),
        async (list, given, status, [time, tokens, cost], [moreTime, moreTokens, moreCost]) => {
          const at = (executionTimeMs: number, tokensUsed: number, cents: number) =>
            evaluator(list).evaluateCompletedRun({
              ...given,
              runId: 'r1',
              tenantId: 't1',
              status,
              executionTimeMs,
              tokensUsed,
              costCents: toDecimalString(cents),
            });
          const { signals } = await at(time, tokens, cost);
          const raised = await at(time + moreTime, tokens + moreTokens, cost + moreCost);
          expect(raised.signals).toEqual(expect.arrayContaining([...signals]));
        },
      ),
      RUNS,
    ));

  it('nor does a live run lose one that goes on', () =>
    fc.assert(
      fc.asyncProperty(limits, context, metric, metric, rise, rise, async (list, given, time, tokens, later, more) => {
        const at = (ms: number, tokensUsed: number) =>
          evaluator(list).evaluateLiveRun({
            ...given,
            runId: 'r1',
            tenantId: 't1',
            startedAt: new Date(clock.now().getTime() - ms),
            tokensUsed,
          });
        const { signals } = await at(time, tokens);
        const raised = await at(time + later, tokens + more);
        expect(raised.signals).toEqual(expect.arrayContaining([...signals]));
      }),
      RUNS,
    ));
});

function passes(request: object): boolean {
  try {
    validateOrThrow(ThresholdParamsUpdate, request);
    return true;
  } catch (error) {
    if (HocError.is(error)) return false;
    throw error;
  }
}
