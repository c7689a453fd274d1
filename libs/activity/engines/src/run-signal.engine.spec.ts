import type { RunFiguresForSignals, RunSignalLimits } from '@hoc/activity/schemas';
import { InvalidArgumentError, NotFoundError } from '@hoc/shared/kernel';
import { fixedClock } from '@hoc/shared/testing';
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
