import type { LimitOverrideService, LimitsReadDriver } from '@hoc/controls/drivers';
import {
  type ApplyingLimit,
  type ApplyingLimitsFilter,
  type LimitCheckRequest,
  type LimitCheckResponse,
  LIMITS_APPLYING_MAX,
  MESSAGE_CODES,
  OVERRIDE_LIMITS_MAX,
  type OverridesInEffectPort,
  SIMULATION_DECISIONS,
} from '@hoc/controls/schemas';
import {
  addDecimal,
  compareDecimal,
  DataIntegrityError,
  type DecimalString,
  InvalidArgumentError,
  TenantScopeError,
  toDecimalString,
  UnavailableError,
} from '@hoc/shared/kernel';
import { fixedClock, memoryLogger } from '@hoc/shared/testing';
import fc from 'fast-check';
import { LimitCheckEngine } from './limit-check.engine';

const RUNS = 300;
const clock = fixedClock('2026-03-10T12:00:00.000Z');
const d = (value: string | number): DecimalString => toDecimalString(value);
const bad = (value: unknown): never => value as never;

const budget = (limitId: string, maxValue: string, more: Partial<ApplyingLimit> = {}): ApplyingLimit => ({
  limitId,
  name: `Budget ${limitId}`,
  limitType: 'COST_CENTS',
  scope: 'TENANT',
  scopeId: null,
  maxValue: d(maxValue),
  resetPeriod: 'MONTHLY',
  enforcement: 'BLOCK',
  ...more,
});
const rate = (limitId: string, limitType: string, maxValue: string, more: Partial<ApplyingLimit> = {}): ApplyingLimit =>
  budget(limitId, maxValue, { limitType, resetPeriod: null, ...more });

type Overrides = Readonly<Record<string, string>>;
interface Asked {
  readonly filters: ApplyingLimitsFilter[];
  readonly overrides: (readonly string[])[];
}

/** The engine on limits in memory, all of which apply, and on overrides by limit id; what it asked is kept. */
function engineOn(
  limits: readonly ApplyingLimit[],
  overrides: Overrides = {},
): { engine: LimitCheckEngine; asked: Asked } {
  const asked: Asked = { filters: [], overrides: [] };
  const reader = {
    fetchApplyingLimits: (_tenant: string, filter: ApplyingLimitsFilter) => {
      asked.filters.push(filter);
      return Promise.resolve(limits.filter(({ limitType }) => limitType.startsWith(filter.typePrefix)));
    },
  };
  const port: OverridesInEffectPort = {
    fetchOverridesInEffect: (_tenant, limitIds) => {
      asked.overrides.push(limitIds);
      const found = limitIds.flatMap((id) => {
        const value = Object.hasOwn(overrides, id) ? overrides[id] : undefined;
        return value === undefined ? [] : [[id, { overrideId: `o-${id}`, overrideValue: d(value) }] as const];
      });
      return Promise.resolve(new Map(found));
    },
  };
  return { engine: new LimitCheckEngine(reader, port, { clock }), asked };
}
const check = (
  limits: readonly ApplyingLimit[],
  request: LimitCheckRequest,
  overrides: Overrides = {},
): Promise<LimitCheckResponse> => engineOn(limits, overrides).engine.check('t1', request);
const cost = (estimated: string, currentUsage: Readonly<Record<string, string>> = {}): LimitCheckRequest => ({
  kind: 'cost',
  estimated,
  currentUsage,
});

/** The limits of F38. */
const X = budget('X', '1000');
const Y = budget('Y', '500', { enforcement: 'WARN' });

it('takes the drivers as they are', () => {
  const taken: (limits: LimitsReadDriver, overrides: LimitOverrideService) => LimitCheckEngine = (limits, overrides) =>
    new LimitCheckEngine(limits, overrides, { clock });
  expect(taken).toBeInstanceOf(Function);
});

describe('check', () => {
  it('F38: one near its limit, one over it that only warns', async () => {
    const answer = await check([X, Y], cost('100', { X: '850', Y: '490' }));
    expect(answer).toEqual({
      decision: 'WARN',
      blockingLimitId: null,
      blockingLimitType: null,
      blockingMessageCode: null,
      warnings: [
        { limitId: 'X', limitType: 'COST_CENTS', messageCode: 'LIMIT_APPROACHING', currentPercent: 95 },
        { limitId: 'Y', limitType: 'COST_CENTS', messageCode: 'MONTHLY_COST_BUDGET_EXCEEDED', currentPercent: 118 },
      ],
      headroom: '10',
      checks: [
        {
          limitId: 'X',
          limitType: 'COST_CENTS',
          limitName: 'Budget X',
          currentValue: '850',
          limitValue: '1000',
          projectedValue: '950',
          enforcement: 'BLOCK',
          decision: 'WARN',
          messageCode: 'LIMIT_APPROACHING',
          overrideId: null,
        },
        expect.objectContaining({ limitId: 'Y', projectedValue: '590', decision: 'WARN' }),
      ],
      overridesApplied: [],
      reason: 'EVALUATED',
    });
    expect([answer, answer.checks, answer.checks[0], answer.warnings[0]].every((each) => Object.isFrozen(each))).toBe(
      true,
    );
  });
  it('F39: an override in effect raises its limit', async () => {
    const answer = await check([X, Y], cost('100', { X: '901', Y: '490' }), { X: '2000' });
    expect(answer).toMatchObject({ decision: 'WARN', overridesApplied: ['o-X'], headroom: '10' });
    expect(answer.checks.map(({ decision, limitValue, overrideId }) => [decision, limitValue, overrideId])).toEqual([
      ['ALLOW', '2000', 'o-X'],
      ['WARN', '500', null],
    ]);
  });
  it('F40: no limits allow anything', async () => {
    expect(await check([], cost('99999999999999'))).toMatchObject({
      decision: 'ALLOW',
      reason: 'NO_LIMITS',
      headroom: null,
      checks: [],
    });
  });
  it('F41: at the limit it warns, a millionth above it blocks', async () => {
    const limit = budget('m', '1250');
    expect(await check([limit], cost('0', { m: '1250' }))).toMatchObject({ decision: 'WARN', headroom: '0' });
    const over = await check([limit], cost('0.000001', { m: '1250' }));
    expect(over).toMatchObject({
      decision: 'BLOCK',
      blockingLimitId: 'm',
      blockingLimitType: 'COST_CENTS',
      blockingMessageCode: 'MONTHLY_COST_BUDGET_EXCEEDED',
      warnings: [],
    });
    expect(over.checks[0]).toMatchObject({ limitValue: '1250', projectedValue: '1250.000001' });
  });
  it('four fifths of a limit allow; the least bit more warns; nobody has less than no room', async () => {
    expect(await check([X], cost('800'))).toMatchObject({ decision: 'ALLOW', headroom: '1000' });
    expect((await check([X], cost('800'))).checks[0]?.messageCode).toBeNull();
    expect(await check([X], cost('0', { X: '1500' }))).toMatchObject({ decision: 'BLOCK', headroom: '0' });
    expect(await check([X], cost('800.000001'))).toMatchObject({ decision: 'WARN' });
  });
  it('a warning before a block does not hide it: the worst counts', async () => {
    const answer = await check([Y, X], cost('100', { X: '901', Y: '490' }));
    expect(answer).toMatchObject({ decision: 'BLOCK', blockingLimitId: 'X', headroom: '10' });
    expect(answer.warnings.map(({ limitId }) => limitId)).toEqual(['Y']);
  });
  it.each([
    ['BLOCK', 'BLOCK'],
    ['REJECT', 'BLOCK'],
    ['QUEUE', 'BLOCK'],
    ['DEGRADE', 'BLOCK'],
    ['WARN', 'WARN'],
    ['ALERT', 'WARN'],
  ] as const)('over a limit that is enforced by %s: %s', async (enforcement, decision) => {
    expect(await check([budget('x', '10', { enforcement })], cost('11'))).toMatchObject({ decision });
  });
  it.each([
    ['DAILY', 'DAILY_COST_BUDGET_EXCEEDED'],
    ['MONTHLY', 'MONTHLY_COST_BUDGET_EXCEEDED'],
    ['WEEKLY', 'POLICY_LIMIT_BREACHED'],
    ['NONE', 'POLICY_LIMIT_BREACHED'],
  ] as const)('over a %s budget: %s', async (resetPeriod, code) => {
    expect(await check([budget('x', '10', { resetPeriod })], cost('11'))).toMatchObject({ blockingMessageCode: code });
    expect(MESSAGE_CODES).toContain(code);
  });
  it.each([
    ['tokens', 'TOKENS_PER_MINUTE', 'tok'],
    ['requests', 'REQUESTS_PER_MINUTE', 'req'],
  ] as const)('%s are checked against rates of their own type', async (kind, limitType, id) => {
    const limits = [rate('tok', 'TOKENS_PER_MINUTE', '60'), rate('req', 'REQUESTS_PER_MINUTE', '60'), X];
    const answer = await check(limits, { kind, estimated: '61' });
    expect(answer.checks.map((each) => [each.limitId, each.limitType])).toEqual([[id, limitType]]);
    expect(answer).toMatchObject({ decision: 'BLOCK', blockingMessageCode: 'RATE_LIMIT_EXCEEDED', headroom: '60' });
  });
  it.each([
    ['cost', 'BUDGET', 'COST_'],
    ['tokens', 'RATE', 'TOKENS_'],
    ['requests', 'RATE', 'REQUESTS_'],
  ] as const)(
    'asks once for the limits that apply to %s, and once for their overrides',
    async (kind, category, typePrefix) => {
      const limits = ['a', 'b', 'c'].map((id) => rate(id, `${typePrefix}X`, '10'));
      const { engine, asked } = engineOn(limits, { c: '11' });
      const context = { projectId: 'p', agentId: 'a', providerId: 'v' };
      const answer = await engine.check('t1', { kind, estimated: '1', context });
      expect(answer.checks.map(({ limitId }) => limitId)).toEqual(['a', 'b', 'c']);
      expect(answer.overridesApplied).toEqual(['o-c']);
      expect(asked).toEqual({ filters: [{ category, typePrefix, context }], overrides: [['a', 'b', 'c']] });
    },
  );
  it('names nobody that the request does not name', async () => {
    const { engine, asked } = engineOn([]);
    await engine.check('t1', cost('1'));
    await engine.check('t1', { ...cost('1'), context: { agentId: 'a' } });
    expect(asked.filters.map(({ context }) => context)).toEqual([{}, { agentId: 'a' }]);
  });
  it('one question for overrides takes as many limits as can apply; of none, none is asked', async () => {
    expect(LIMITS_APPLYING_MAX).toBeLessThanOrEqual(OVERRIDE_LIMITS_MAX);
    const many = Array.from({ length: LIMITS_APPLYING_MAX }, (_, n) => budget(`l-${n}`, '10'));
    const { engine, asked } = engineOn(many, { 'l-999': '11' });
    expect((await engine.check('t1', cost('1'))).overridesApplied).toEqual(['o-l-999']);
    expect(asked.overrides.map(({ length }) => length)).toEqual([LIMITS_APPLYING_MAX]);
    const none = engineOn([]);
    await none.engine.check('t1', cost('1'));
    expect([none.asked.filters.length, none.asked.overrides]).toEqual([1, []]);
  });
  it('the limit that blocks is the one with the least room, of equals the one with the smaller id in byte order', async () => {
    const blocking = async (...limits: readonly ApplyingLimit[]) => (await check(limits, cost('100'))).blockingLimitId;
    expect(await blocking(budget('a', '50'), budget('b', '40'), budget('c', '60'))).toBe('b');
    expect(await blocking(budget('b', '50'), budget('B', '50'), budget('a', '50'))).toBe('B');
    expect(await blocking(budget('😀', '50'), budget('\uE000', '50'))).toBe('\uE000');
  });
  it('a limit of 0 allows nothing, and has no per cent', async () => {
    const none = budget('z', '0', { enforcement: 'WARN' });
    expect(await check([none], cost('0'))).toMatchObject({ decision: 'ALLOW', headroom: '0' });
    expect((await check([none], cost('1'))).warnings).toEqual([
      expect.objectContaining({ limitId: 'z', currentPercent: null }),
    ]);
  });
  it('the per cent is rounded half up to two decimals', async () => {
    const percent = async (used: string) =>
      (await check([budget('x', '3', { enforcement: 'WARN' })], cost(used))).warnings[0]?.currentPercent;
    expect([await percent('3.1'), await percent('3.20015'), await percent('3.000149')]).toEqual([103.33, 106.67, 100]);
  });
  it('an override that the limit was raised above since changes nothing', async () => {
    const answer = await check([X], cost('1', { X: '950' }), { X: '900' });
    expect(answer).toMatchObject({ decision: 'WARN', overridesApplied: [] });
    expect(answer.checks[0]).toMatchObject({ limitValue: '1000', overrideId: null });
  });
  it('a use is one’s own: a limit named as a member of every object has none', async () => {
    const answer = await check([budget('constructor', '10'), budget('__proto__', '10')], cost('1'));
    expect(answer.checks.map(({ currentValue }) => currentValue)).toEqual(['0', '0']);
  });
});

describe('what does not answer', () => {
  const down = new UnavailableError('gone', { retryable: true });
  const fails = (error: unknown) => ({ fetchApplyingLimits: () => Promise.reject(error as Error) });
  const overrides: OverridesInEffectPort = { fetchOverridesInEffect: () => Promise.reject(down) };

  it('blocks, by either driver, and is logged', async () => {
    const logger = memoryLogger();
    for (const limits of [fails(down), { fetchApplyingLimits: () => Promise.resolve([X]) }]) {
      const answer = await new LimitCheckEngine(limits, overrides, { clock, logger }).check('t1', cost('1'));
      expect(answer).toEqual({
        decision: 'BLOCK',
        blockingLimitId: null,
        blockingLimitType: null,
        blockingMessageCode: null,
        warnings: [],
        headroom: null,
        checks: [],
        overridesApplied: [],
        reason: 'UNAVAILABLE',
      });
      expect([Object.isFrozen(answer), Object.isFrozen(answer.checks)]).toEqual([true, true]);
    }
    const line = { level: 'warn', event: 'limit_check_unavailable', fields: { kind: 'cost' } };
    expect(logger.entries).toEqual([line, line]);
  });
  it('any other failure is the caller’s to see, that of too many limits to decide by among them', async () => {
    const many = new DataIntegrityError('many', { details: { field: 'limits', reason: 'too_many' } });
    for (const error of [many, new TypeError('a bug')])
      await expect(new LimitCheckEngine(fails(error), overrides, { clock }).check('t1', cost('1'))).rejects.toBe(error);
  });
});

describe('bad input', () => {
  const refused = async (request: unknown): Promise<unknown> => {
    const { engine, asked } = engineOn([X]);
    const error: unknown = await engine.check('t1', bad(request)).catch((thrown: unknown) => thrown);
    expect(asked.filters).toEqual([]);
    return InvalidArgumentError.is(error) ? error.details['field'] : error;
  };
  it.each([
    '1e3',
    '-1',
    '+1',
    ' 1',
    '1.',
    '.5',
    '0x1',
    'NaN',
    '１',
    '1.0000001',
    '123456789012345',
    5,
    null,
    undefined,
  ])('G.4: an estimate, and a use, of %p', async (amount) => {
    expect(await refused({ kind: 'cost', estimated: amount })).toBe('estimated');
    expect(await refused({ kind: 'cost', estimated: '1', currentUsage: { X: amount } })).toBe('currentUsage');
  });
  it.each([
    ['kind', { kind: 'money', estimated: '1' }],
    ['kind', { estimated: '1' }],
    ['currentUsage', { kind: 'cost', estimated: '1', currentUsage: null }],
    ['currentUsage', { kind: 'cost', estimated: '1', currentUsage: ['1'] }],
    ['currentUsage', { kind: 'cost', estimated: '1', currentUsage: new Map([['X', '999']]) }],
    ['currentUsage', { kind: 'cost', estimated: '1', currentUsage: Object.create({ X: '999' }) as object }],
    ['currentUsage', { kind: 'cost', estimated: '1', currentUsage: { '': '1' } }],
    ['currentUsage', { kind: 'cost', estimated: '1', currentUsage: { ['x'.repeat(101)]: '1' } }],
    ['context', { kind: 'cost', estimated: '1', context: null }],
    ['context', { kind: 'cost', estimated: '1', context: [{ agentId: 'a' }] }],
    ['context', { kind: 'cost', estimated: '1', context: 'a7' }],
    ['context.agentId', { kind: 'cost', estimated: '1', context: { agentId: '' } }],
    ['context.projectId', { kind: 'cost', estimated: '1', context: { projectId: 'x'.repeat(101) } }],
    ['context.userId', { kind: 'cost', estimated: '1', context: { userId: 'u' } }],
    ['agentId', { kind: 'cost', estimated: '1', agentId: 'a' }],
  ])('names %s', async (field, request) => {
    expect(await refused(request)).toBe(field);
  });
  it.each(['', 'x'.repeat(101), undefined])('G.4: a tenant id of %p, before the request', async (tenant) => {
    const { engine, asked } = engineOn([X]);
    await expect(engine.check(bad(tenant), bad(null))).rejects.toThrow(TenantScopeError);
    expect(asked.filters).toEqual([]);
  });
});

describe('law 10', () => {
  const amount = fc.integer({ min: 0, max: 1500 }).map(String);
  const limits = fc.uniqueArray(
    fc.record({
      id: fc.constantFrom('a', 'b', 'c', 'd', 'e'),
      max: amount,
      enforcement: fc.constantFrom('BLOCK' as const, 'WARN' as const, 'QUEUE' as const, 'ALERT' as const),
    }),
    { maxLength: 5, selector: ({ id }) => id },
  );
  const uses = fc.dictionary(fc.constantFrom('a', 'b', 'c', 'd', 'e'), amount, { noNullPrototype: true });
  const rank = ({ decision }: { readonly decision: LimitCheckResponse['decision'] }): number =>
    SIMULATION_DECISIONS.indexOf(decision);
  const built = (made: readonly { id: string; max: string; enforcement: ApplyingLimit['enforcement'] }[]) =>
    made.map(({ id, max, enforcement }) => budget(id, max, { enforcement }));
  const holds = (
    run: (
      made: readonly ApplyingLimit[],
      used: Readonly<Record<string, string>>,
      n: DecimalString,
      raises: Overrides,
    ) => Promise<void>,
  ) =>
    fc.assert(
      fc.asyncProperty(limits, uses, amount, uses, (made, used, n, raises) => run(built(made), used, d(n), raises)),
      { numRuns: RUNS },
    );

  it('the decision is the worst of all checks, and says so in its parts', () =>
    holds(async (made, used, estimated, raises) => {
      const answer = await check(made, cost(estimated, used), raises);
      expect(rank(answer)).toBe(Math.max(0, ...answer.checks.map(rank)));
      expect(answer.checks).toHaveLength(made.length);
      expect(answer.blockingLimitId !== null).toBe(answer.decision === 'BLOCK');
      expect(answer.warnings).toHaveLength(answer.checks.filter(({ decision }) => decision === 'WARN').length);
    }));
  it('a larger estimate is never decided better', () =>
    holds(async (made, used, estimated, raises) => {
      const answer = await check(made, cost(estimated, used), raises);
      for (const more of ['0.000001', '1', '700']) {
        const larger = await check(made, cost(addDecimal(estimated, d(more)), used), raises);
        expect(rank(larger)).toBeGreaterThanOrEqual(rank(answer));
      }
    }));
  it('an override never makes it worse, whatever its value', () =>
    holds(async (made, used, estimated, raises) => {
      const without = await check(made, cost(estimated, used));
      const raised = await check(made, cost(estimated, used), raises);
      expect(rank(raised)).toBeLessThanOrEqual(rank(without));
      if (without.headroom !== null && raised.headroom !== null)
        expect(compareDecimal(raised.headroom, without.headroom)).toBeGreaterThanOrEqual(0);
    }));
  it('what fits the headroom of hard limits is not blocked, and a millionth more is', () =>
    holds(async (made, used) => {
      const hard = made.map((limit) => ({ ...limit, enforcement: 'BLOCK' as const }));
      const { headroom, decision } = await check(hard, cost('0', used));
      if (headroom === null || decision === 'BLOCK') return;
      expect((await check(hard, cost(headroom, used))).decision).not.toBe('BLOCK');
      expect((await check(hard, cost(addDecimal(headroom, d('0.000001')), used))).decision).toBe('BLOCK');
    }));
});
