import type { RiskLevelChange, RunFiguresForSignals, RunSignalLimits } from '@hoc/activity/schemas';
import { InvalidArgumentError, NotFoundError } from '@hoc/shared/kernel';
import { fixedClock } from '@hoc/shared/testing';
import fc from 'fast-check';
import { evaluateRunSignals, getRunSignalEngine } from './run-signal.engine';

const run: RunFiguresForSignals = {
  status: 'succeeded',
  durationMs: 1000,
  inputTokens: 70,
  outputTokens: 30,
  estimatedCostCents: '1.5',
};
const limits: RunSignalLimits = { maxExecutionTimeMs: 1000, maxTokens: 100, maxCostCents: '1.50' };

describe('evaluateRunSignals', () => {
  it('a figure at its limit does not exceed it', () => {
    expect(evaluateRunSignals(run, limits)).toEqual([]);
  });
  it('strictly above, in fixed order', () => {
    const over = {
      status: 'failed',
      durationMs: 1001,
      inputTokens: 71,
      outputTokens: 30,
      estimatedCostCents: '1.500001',
    };
    expect(evaluateRunSignals(over, limits)).toEqual([
      'RUN_FAILED',
      'EXECUTION_TIME_EXCEEDED',
      'TOKEN_LIMIT_EXCEEDED',
      'COST_LIMIT_EXCEEDED',
    ]);
    expect(evaluateRunSignals(over, {})).toEqual(['RUN_FAILED']);
  });
  it('a policy stop or a budget halt is no failure', () => {
    for (const status of ['failed_policy', 'halted', 'cancelled', 'succeeded'])
      expect(evaluateRunSignals({ ...run, status }, {})).toEqual([]);
  });
  it('what nobody measured exceeds nothing; one side of the tokens counts alone', () => {
    const unknown = {
      status: 'succeeded',
      durationMs: null,
      inputTokens: null,
      outputTokens: null,
      estimatedCostCents: null,
    };
    expect(evaluateRunSignals(unknown, { maxExecutionTimeMs: 0, maxTokens: 0, maxCostCents: '0' })).toEqual([]);
    expect(evaluateRunSignals({ ...unknown, outputTokens: 1 }, { maxTokens: 0 })).toEqual(['TOKEN_LIMIT_EXCEEDED']);
  });
  it.each([{ maxTokens: 1.5 }, { maxExecutionTimeMs: -1 }, { maxCostCents: '1e3' }])(
    'refuses the limit %j',
    (limit) => {
      expect(() => evaluateRunSignals(run, limit)).toThrow(InvalidArgumentError);
    },
  );
  it.each([
    [{ durationMs: -1 }, 'durationMs'],
    [{ inputTokens: 0.5 }, 'inputTokens'],
    [{ outputTokens: Number.NaN }, 'outputTokens'],
    [{ estimatedCostCents: '-1' }, 'estimatedCostCents'],
  ])('refuses the figure %j, whatever the limits', (figure, field) => {
    for (const bounds of [{}, limits])
      expect(() => evaluateRunSignals({ ...run, ...figure }, bounds)).toThrow(
        expect.objectContaining({ code: 'INVALID_ARGUMENT', details: expect.objectContaining({ field }) as unknown }),
      );
  });
  it('law: each signal depends on its own figure and limit; a figure that grows loses none', () => {
    const count = fc.option(fc.nat({ max: 20 }), { nil: null });
    const bound = fc.option(fc.nat({ max: 20 }), { nil: undefined });
    const cents = (n: number): string => `${n}.000001`;
    fc.assert(
      fc.property(
        fc.record({
          status: fc.constantFrom('failed', 'succeeded', 'halted'),
          time: count,
          tin: count,
          out: count,
          cost: count,
        }),
        fc.record({ time: bound, tokens: bound, cost: bound }),
        ({ status, time, tin, out, cost }, most) => {
          const figures = (more: number): RunFiguresForSignals => ({
            status,
            durationMs: time === null ? null : time + more,
            inputTokens: tin === null ? null : tin + more,
            outputTokens: out,
            estimatedCostCents: cost === null ? null : cents(cost + more),
          });
          const bounds: RunSignalLimits = {
            ...(most.time === undefined ? {} : { maxExecutionTimeMs: most.time }),
            ...(most.tokens === undefined ? {} : { maxTokens: most.tokens }),
            ...(most.cost === undefined ? {} : { maxCostCents: cents(most.cost) }),
          };
          const above = (figure: number | null, limit: number | undefined): boolean =>
            figure !== null && limit !== undefined && figure > limit;
          const tokens = tin === null && out === null ? null : (tin ?? 0) + (out ?? 0);
          const signals = evaluateRunSignals(figures(0), bounds);
          expect(signals).toEqual([
            ...(status === 'failed' ? ['RUN_FAILED'] : []),
            ...(above(time, most.time) ? ['EXECUTION_TIME_EXCEEDED'] : []),
            ...(above(tokens, most.tokens) ? ['TOKEN_LIMIT_EXCEEDED'] : []),
            ...(above(cost, most.cost) ? ['COST_LIMIT_EXCEEDED'] : []),
          ]);
          expect(evaluateRunSignals(figures(1), bounds)).toEqual(expect.arrayContaining([...signals]));
        },
      ),
      { numRuns: 300 },
    );
  });
});

it('a missing run is not found', async () => {
  const driver = {
    updateRiskLevel: () => Promise.resolve(null),
    updateRiskLevels: () => Promise.resolve([]),
    getRiskLevel: () => Promise.resolve(null),
  };
  const engine = getRunSignalEngine(driver, { clock: fixedClock('2026-03-10T12:00:00.000Z') });
  await expect(engine.applySignals('t-a', 'r', ['RUN_FAILED'])).rejects.toThrow(NotFoundError);
  await expect(engine.getRiskLevel('t-a', 'r')).rejects.toThrow(NotFoundError);
  expect(await engine.applySignalsBatch('t-a', [{ runId: 'r', signals: [] }])).toEqual([]);
});

it('what the driver changed is the answer; the level is asked as it is', async () => {
  const change: RiskLevelChange = { runId: 'r', previous: 'NORMAL', current: 'AT_RISK', changed: true };
  const asked: unknown[][] = [];
  const engine = getRunSignalEngine(
    {
      updateRiskLevel: (...args) => (asked.push(args), Promise.resolve(change)),
      updateRiskLevels: (...args) => (asked.push(args), Promise.resolve([change])),
      getRiskLevel: (...args) => (asked.push(args), Promise.resolve('AT_RISK' as const)),
    },
    { clock: fixedClock('2026-03-10T12:00:00.000Z') },
  );
  const items = [{ runId: 'r', signals: ['NEW_ONE'] }];
  expect(await engine.applySignals('t-a', 'r', ['TOKEN_LIMIT_EXCEEDED'])).toBe(change);
  expect(await engine.applySignalsBatch('t-a', items)).toEqual([change]);
  expect(await engine.getRiskLevel('t-a', 'r')).toBe('AT_RISK');
  expect(asked).toEqual([
    ['t-a', 'r', ['TOKEN_LIMIT_EXCEEDED']],
    ['t-a', items],
    ['t-a', 'r'],
  ]);
});
