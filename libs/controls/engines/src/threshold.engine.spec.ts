import {
  type CompletedRunInput,
  DEFAULT_LLM_RUN_PARAMS,
  type LimitSnapshot,
  type LiveRunInput,
  type ThresholdParams,
} from '@hoc/controls/schemas';
import { InvalidArgumentError, type JsonObject, TenantScopeError, toDecimalString } from '@hoc/shared/kernel';
import { fixedClock } from '@hoc/shared/testing';
import {
  collectSignalsFromEvaluation,
  createThresholdSignalRecord,
  LLMRunEvaluator,
  LLMRunEvaluatorSync,
  LLMRunThresholdResolver,
  LLMRunThresholdResolverSync,
  readStoredParams,
  resolveParams,
  validateThresholdParams,
} from './threshold.engine';

const clock = fixedClock('2026-03-10T12:00:00.000Z');
const limit = (id: string, params: JsonObject, given: Partial<LimitSnapshot> = {}): LimitSnapshot => ({
  id,
  tenantId: 't1',
  scope: 'TENANT',
  scopeId: null,
  params,
  status: 'ACTIVE',
  createdAt: new Date('2026-01-01T00:00:00Z'),
  ...given,
});
const FEBRUARY = { createdAt: new Date('2026-02-01T00:00:00Z') };

/** A resolver over these limits, and whom it was asked for. */
function resolverOver(...limits: readonly LimitSnapshot[]): {
  readonly resolver: LLMRunThresholdResolver;
  readonly asked: string[];
} {
  const asked: string[] = [];
  const getActiveThresholdLimits = (tenantId: string): Promise<readonly LimitSnapshot[]> => {
    asked.push(tenantId);
    return Promise.resolve(limits);
  };
  return { resolver: new LLMRunThresholdResolver({ getActiveThresholdLimits }), asked };
}
const evaluator = (...limits: readonly LimitSnapshot[]): LLMRunEvaluator =>
  new LLMRunEvaluator(resolverOver(...limits).resolver, { clock });
const live = (given: Partial<LiveRunInput> = {}): LiveRunInput => ({
  runId: 'r1',
  tenantId: 't1',
  startedAt: new Date('2026-03-10T11:59:30.000Z'),
  tokensUsed: 0,
  ...given,
});
const completed = (given: Partial<CompletedRunInput> = {}): CompletedRunInput => ({
  runId: 'r1',
  tenantId: 't1',
  status: 'succeeded',
  executionTimeMs: 0,
  tokensUsed: 0,
  costCents: '0',
  ...given,
});

describe('resolveParams', () => {
  it('F19: an agent limit stands above a newer one of the tenant, and applies to its agent alone', async () => {
    const { resolver, asked } = resolverOver(
      limit('l-agent', { max_tokens: 60_000 }, { scope: 'AGENT', scopeId: 'a7' }),
      limit('l-tenant', { max_tokens: 20_000 }, FEBRUARY),
    );
    const ofAgent = await resolver.resolve('t1', { agentId: 'a7' });
    expect([ofAgent.params.maxTokens, ofAgent.sources.maxTokens]).toEqual([60_000, 'l-agent']);
    for (const context of [{}, undefined, { agentId: 'a8' }, { projectId: 'a7' }]) {
      const other = await resolver.resolve('t1', context);
      expect([other.params.maxTokens, other.sources.maxTokens]).toEqual([20_000, 'l-tenant']);
    }
    expect(new Set(asked)).toEqual(new Set(['t1']));
  });

  it('F20: a limit with one bad value, or with dollars, is rejected whole; the others apply', async () => {
    const { resolver } = resolverOver(
      limit('l-global', { max_tokens: 100, max_execution_time_ms: 5000 }, { scope: 'GLOBAL' }),
      limit('l-tenant', { max_cost_cents: '29', foo: 1, failure_signal: null }),
      limit('l-dollars', { max_cost_usd: 0.29, max_tokens: 9000 }, FEBRUARY),
    );
    expect(await resolver.resolve('t1')).toEqual({
      params: { maxExecutionTimeMs: 60_000, maxTokens: 8192, maxCostCents: '29', failureSignal: true },
      sources: { maxExecutionTimeMs: null, maxTokens: null, maxCostCents: 'l-tenant', failureSignal: null },
      rejectedLimitIds: ['l-global', 'l-dollars'],
    });
  });

  it('goes from GLOBAL over TENANT and PROJECT to AGENT, whatever their age', () => {
    const ranks = [
      limit(
        'g',
        { max_tokens: 1001, max_execution_time_ms: 1001, max_cost_cents: '1', failure_signal: false },
        { scope: 'GLOBAL', createdAt: new Date('2026-03-09T00:00:00Z') },
      ),
      limit('t', { max_tokens: 1002, max_execution_time_ms: 1002, max_cost_cents: '2' }, FEBRUARY),
      limit('p', { max_tokens: 1003, max_execution_time_ms: 1003 }, { scope: 'PROJECT', scopeId: 'p1' }),
      limit('a', { max_tokens: 1004 }, { scope: 'AGENT', scopeId: 'a1', createdAt: new Date('2025-01-01T00:00:00Z') }),
      limit('v', { max_tokens: 1005 }, { scope: 'PROVIDER', scopeId: 'a1' }),
    ];
    const { params, sources } = resolveParams(ranks, { agentId: 'a1', projectId: 'p1' });
    expect(params).toEqual({ maxTokens: 1004, maxExecutionTimeMs: 1003, maxCostCents: '2', failureSignal: false });
    expect(sources).toEqual({ maxTokens: 'a', maxExecutionTimeMs: 'p', maxCostCents: 't', failureSignal: 'g' });
  });

  it('in one rank the newer wins, and of two of one instant the one with the larger id, byte by byte', () => {
    const tie = [limit('\u{1F600}', { max_tokens: 1001 }), limit('\uFF5E', { max_tokens: 1002 })];
    expect(resolveParams(tie, {}).sources.maxTokens).toBe('\u{1F600}');
    const ages = [limit('a', { max_tokens: 1001 }, FEBRUARY), limit('b', { max_tokens: 1002 })];
    expect(resolveParams(ages, {}).sources.maxTokens).toBe('a');
  });

  it('what has no id where its scope needs one, one where none belongs, or is disabled, applies to nobody', () => {
    const none = [
      limit('a', { max_tokens: 1001 }, { scope: 'AGENT' }),
      limit('p', { max_tokens: 1002 }, { scope: 'PROJECT' }),
      limit('t', { max_tokens: 1003 }, { scopeId: 'p1' }),
      limit('d', { max_tokens: 1004 }, { status: 'DISABLED' }),
      limit('bad', { max_tokens: 1 }, { scope: 'AGENT', scopeId: 'a2' }),
    ];
    for (const context of [{}, { agentId: 'a1', projectId: 'p1' }])
      expect(resolveParams(none, context)).toEqual({
        params: DEFAULT_LLM_RUN_PARAMS,
        sources: { maxExecutionTimeMs: null, maxTokens: null, maxCostCents: null, failureSignal: null },
        rejectedLimitIds: [],
      });
  });

  it('leaves its input as it was, and answers with frozen values', () => {
    const limits = Object.freeze([limit('b', { max_tokens: 1001 }), limit('a', { max_tokens: 1 })]);
    const resolved = resolveParams(limits, {});
    for (const part of [resolved, resolved.params, resolved.sources, resolved.rejectedLimitIds])
      expect(Object.isFrozen(part)).toBe(true);
    expect(limits.map(({ id }) => id)).toEqual(['b', 'a']);
  });

  it.each([{ agentId: '' }, { agentId: 'x'.repeat(101) }, { projectId: 7 as never }, null as never])(
    'a context of %j is refused before a limit is read',
    async (context) => {
      const { resolver, asked } = resolverOver();
      await expect(resolver.resolve('t1', context)).rejects.toThrow(InvalidArgumentError);
      expect(asked).toEqual([]);
    },
  );
});

describe('readStoredParams', () => {
  it.each([
    [{ max_tokens: '9000' }, 'max_tokens'],
    [{ max_tokens: 9000.5 }, 'max_tokens'],
    [{ max_tokens: 200_001, max_cost_cents: '0' }, 'max_tokens'],
    [{ max_execution_time_ms: 999 }, 'max_execution_time_ms'],
    [{ max_cost_cents: 100 }, 'max_cost_cents'],
    [{ max_cost_cents: '0.99' }, 'max_cost_cents'],
    [{ failure_signal: 1 }, 'failure_signal'],
    [{ max_cost_usd: 1, max_tokens: 9000 }, 'max_cost_usd'],
    [{ max_cost_usd: null }, 'max_cost_usd'],
  ])('%j is all invalid', (params, invalid) => expect(readStoredParams(params)).toEqual({ invalid }));

  it('reads what it knows, amounts canonical; nulls, other keys and inherited ones set nothing', () => {
    expect(readStoredParams({ max_cost_cents: '0029.50', max_tokens: null, maxTokens: 1, foo: [] })).toEqual({
      maxCostCents: '29.5',
    });
    expect(readStoredParams({})).toEqual({});
    expect(readStoredParams(Object.create({ max_tokens: 9000 }) as JsonObject)).toEqual({});
  });
});

describe('validateThresholdParams', () => {
  it('completes with the defaults', () => {
    expect(validateThresholdParams({})).toEqual(DEFAULT_LLM_RUN_PARAMS);
    expect(validateThresholdParams({ maxTokens: 9000, maxCostCents: '5.50' })).toEqual({
      ...DEFAULT_LLM_RUN_PARAMS,
      maxTokens: 9000,
      maxCostCents: '5.5',
    });
  });
  it.each([null, undefined, 7, 'x', [], { maxTokens: 255 }, { max_tokens: 9000 }, { maxCostCents: '0.99' }])(
    '%j is refused with its fields',
    (raw) => {
      const refused = expect.objectContaining({ details: expect.objectContaining({ fields: expect.any(Array) }) });
      expect(() => validateThresholdParams(raw)).toThrow(InvalidArgumentError);
      expect(() => validateThresholdParams(raw)).toThrow(refused);
    },
  );
  it.each(['max_cost_usd', 'maxCostUsd'])('%s is refused, and the message names max_cost_cents', (key) =>
    expect(() => validateThresholdParams({ [key]: 1 })).toThrow(/max_cost_cents/),
  );
});

describe('LLMRunEvaluator', () => {
  it('F21: what is equal is within; a failure, one token and a millionth of a cent are over', async () => {
    const evaluation = await evaluator().evaluateCompletedRun(
      completed({ status: 'failed', executionTimeMs: 60_000, tokensUsed: 8193, costCents: '100.000001' }),
    );
    expect(evaluation).toEqual({
      runId: 'r1',
      signals: ['RUN_FAILED', 'TOKEN_LIMIT_EXCEEDED', 'COST_LIMIT_EXCEEDED'],
      paramsUsed: DEFAULT_LLM_RUN_PARAMS,
      sources: { maxExecutionTimeMs: null, maxTokens: null, maxCostCents: null, failureSignal: null },
      rejectedLimitIds: [],
      evaluatedAt: clock.now(),
    });
    expect(Object.isFrozen(evaluation) && Object.isFrozen(evaluation.signals)).toBe(true);
  });

  it('all four in their order, and none of them on its threshold', async () => {
    const all = completed({ status: 'failed', executionTimeMs: 60_001, tokensUsed: 8193, costCents: '100.1' });
    const on = completed({ executionTimeMs: 60_000, tokensUsed: 8192, costCents: '100.000000' });
    expect((await evaluator().evaluateCompletedRun(all)).signals).toEqual([
      'RUN_FAILED',
      'EXECUTION_TIME_EXCEEDED',
      'TOKEN_LIMIT_EXCEEDED',
      'COST_LIMIT_EXCEEDED',
    ]);
    expect((await evaluator().evaluateCompletedRun(on)).signals).toEqual([]);
  });

  it.each([
    ['FAILED', true, []],
    ['failed ', true, []],
    ['failed-policy', true, []],
    ['failed', true, ['RUN_FAILED']],
    ['failed', false, []],
  ])('status %p with failureSignal %p signals %j', async (status, failure_signal, signals) => {
    const evaluation = await evaluator(limit('l', { failure_signal })).evaluateCompletedRun(completed({ status }));
    expect(evaluation.signals).toEqual(signals);
  });

  it('the cost is compared as a decimal, not as a float or a text', async () => {
    const within = evaluator(limit('l', { max_cost_cents: '9999.999999' }));
    expect((await within.evaluateCompletedRun(completed({ costCents: '9999.999999' }))).signals).toEqual([]);
    expect((await within.evaluateCompletedRun(completed({ costCents: '10000' }))).signals).toHaveLength(1);
    expect((await evaluator().evaluateCompletedRun(completed({ costCents: '99.5' }))).signals).toEqual([]);
  });

  it('a live run: its time by the clock, its tokens; a start in the future is now', async () => {
    const at = (startedAt: string, tokensUsed = 0) =>
      evaluator().evaluateLiveRun(live({ startedAt: new Date(startedAt), tokensUsed }));
    expect((await at('2026-03-10T11:59:00.000Z')).signals).toEqual([]);
    expect((await at('2026-03-10T11:58:59.999Z')).signals).toEqual(['EXECUTION_TIME_EXCEEDED']);
    expect((await at('2027-01-01T00:00:00.000Z')).signals).toEqual([]);
    expect((await at('2026-03-10T11:00:00.000Z', 8193)).signals).toEqual([
      'EXECUTION_TIME_EXCEEDED',
      'TOKEN_LIMIT_EXCEEDED',
    ]);
    expect((await at('2026-03-10T12:00:00.000Z')).evaluatedAt).toEqual(clock.now());
  });

  it('the limits of the agent and the project of the run count', async () => {
    const limits = [
      limit('a', { max_tokens: 300 }, { scope: 'AGENT', scopeId: 'a1' }),
      limit('p', { max_execution_time_ms: 2000 }, { scope: 'PROJECT', scopeId: 'p1' }),
      limit('bad', { failure_signal: 'no' }),
    ];
    const run = { tokensUsed: 301, agentId: 'a1', projectId: 'p1' };
    const evaluated = await evaluator(...limits).evaluateLiveRun(live(run));
    expect(evaluated).toMatchObject({
      signals: ['EXECUTION_TIME_EXCEEDED', 'TOKEN_LIMIT_EXCEEDED'],
      sources: { maxTokens: 'a', maxExecutionTimeMs: 'p' },
      rejectedLimitIds: ['bad'],
    });
    const ended = completed({ executionTimeMs: 2001, ...run });
    expect((await evaluator(...limits).evaluateCompletedRun(ended)).signals).toEqual(evaluated.signals);
  });

  it.each<[string, Partial<LiveRunInput & CompletedRunInput>]>([
    ['negative tokens', { tokensUsed: -1 }],
    ['NaN tokens', { tokensUsed: Number.NaN }],
    ['unsafe tokens', { tokensUsed: 2 ** 53 }],
    ['infinite tokens', { tokensUsed: Infinity }],
    ['tokens as text', { tokensUsed: '7' as never }],
    ['no run', { runId: '' }],
    ['no agent', { agentId: '' }],
    ['a long project', { projectId: 'x'.repeat(101) }],
  ])('%s: refused, live and completed', async (_name, given) => {
    await expect(evaluator().evaluateLiveRun(live(given))).rejects.toThrow(InvalidArgumentError);
    await expect(evaluator().evaluateCompletedRun(completed(given))).rejects.toThrow(InvalidArgumentError);
  });
  it.each<Partial<CompletedRunInput>>([
    { executionTimeMs: -1 },
    { executionTimeMs: 2 ** 53 },
    { status: 7 as never },
    ...['1e3', '-1', '-0', '+1', ' 1', '1.', '.5', '0x1', 'NaN', '１', '1.0000001', '1'.repeat(15)].map(
      (costCents) => ({
        costCents,
      }),
    ),
    { costCents: 5 as never },
  ])('a completed run with %j is refused', async (given) => {
    await expect(evaluator().evaluateCompletedRun(completed(given))).rejects.toThrow(InvalidArgumentError);
  });
  it.each([new Date(Number.NaN), '2026-03-10T12:00:00Z', undefined])('a live run started %p is refused', async (at) => {
    const given = live({ startedAt: at as never });
    await expect(evaluator().evaluateLiveRun(given)).rejects.toThrow(InvalidArgumentError);
  });
  it.each(['', 'x'.repeat(101), undefined])('tenant %j: TENANT_SCOPE', async (given) => {
    const tenantId = given as string;
    const { resolver, asked } = resolverOver();
    const evaluates = new LLMRunEvaluator(resolver, { clock });
    for (const ask of [
      () => resolver.resolve(tenantId),
      () => evaluates.evaluateLiveRun(live({ tenantId })),
      () => evaluates.evaluateCompletedRun(completed({ tenantId })),
    ])
      await expect(ask()).rejects.toThrow(TenantScopeError);
    expect(asked).toEqual([]);
  });
});

describe('records', () => {
  it('one a signal, in the order of the evaluation, as of the clock', async () => {
    const evaluation = await evaluator().evaluateCompletedRun(completed({ status: 'failed', tokensUsed: 9000 }));
    const records = collectSignalsFromEvaluation(evaluation, 't1', 'completed', { clock });
    expect(records).toEqual(
      (['RUN_FAILED', 'TOKEN_LIMIT_EXCEEDED'] as const).map((signal) => ({
        tenantId: 't1',
        runId: 'r1',
        state: 'completed',
        signal,
        paramsUsed: DEFAULT_LLM_RUN_PARAMS,
        emittedAt: clock.now(),
      })),
    );
    expect(records.every((record) => Object.isFrozen(record) && Object.isFrozen(record.paramsUsed))).toBe(true);
    const none = await evaluator().evaluateLiveRun(live());
    expect(collectSignalsFromEvaluation(none, 't1', 'live', { clock })).toEqual([]);
    expect(() => collectSignalsFromEvaluation(none, '', 'live', { clock })).toThrow(TenantScopeError);
  });

  it('are copies: neither the thresholds nor the instant of the caller', () => {
    const paramsUsed: ThresholdParams = { ...DEFAULT_LLM_RUN_PARAMS, maxCostCents: toDecimalString('7') };
    const emittedAt = new Date('2026-03-10T12:00:00Z');
    const input = { tenantId: 't1', runId: 'r1', state: 'live', signal: 'RUN_FAILED', paramsUsed, emittedAt } as const;
    const record = createThresholdSignalRecord(input);
    emittedAt.setFullYear(1999);
    Object.assign(paramsUsed, { maxTokens: 1 });
    expect([record.emittedAt.getUTCFullYear(), record.paramsUsed.maxTokens]).toEqual([2026, 8192]);
    for (const bad of [{ state: 'LIVE' }, { signal: 'NEW' }, { runId: '' }, { paramsUsed: {} }, { emittedAt: 'now' }])
      expect(() => createThresholdSignalRecord({ ...input, ...(bad as object) })).toThrow(InvalidArgumentError);
  });
});

it('the seed’s second names are the first ones', () => {
  expect(LLMRunEvaluatorSync).toBe(LLMRunEvaluator);
  expect(LLMRunThresholdResolverSync).toBe(LLMRunThresholdResolver);
});
