import { generateWorkload } from './workload';
import { generateHistory, HISTORY_END } from './workload-runs';

describe('generateWorkload', () => {
  const parts = generateWorkload(20251101);
  const usages = parts.flatMap((part) => part.usages);

  it('is a pure function of its seed', () => {
    expect(JSON.stringify(generateWorkload(20251101))).toBe(JSON.stringify(parts));
    expect(JSON.stringify(generateWorkload(2))).not.toBe(JSON.stringify(parts));
  });

  it('has about 20,000 calls, each of its own id, and something in every part of the report', () => {
    expect(usages.length).toBeGreaterThan(18_000);
    expect(usages.length).toBeLessThan(22_000);
    expect(new Set(usages.map(({ callId }) => callId)).size).toBe(usages.length);
    expect(new Set(parts.map(({ tenantId }) => tenantId)).size).toBe(3);
    expect(new Set(usages.map(({ provider, model }) => `${provider} ${model}`)).size).toBeGreaterThanOrEqual(5);
    expect(new Set(usages.map(({ occurredAt }) => occurredAt?.toISOString().slice(0, 10))).size).toBe(14);
    expect(usages.some(({ errorCode }) => errorCode !== undefined)).toBe(true);
    expect(usages.some(({ policyResult }) => policyResult === 'blocked')).toBe(true);
  });
});

describe('generateHistory', () => {
  const parts = generateHistory(20251101);
  const runs = parts.flatMap((part) => part.runs);
  const workerRuns = parts.flatMap((part) => part.workerRuns);

  it('is a pure function of its seed', () => {
    expect(JSON.stringify(generateHistory(20251101))).toBe(JSON.stringify(parts));
    expect(JSON.stringify(generateHistory(2))).not.toBe(JSON.stringify(parts));
  });

  it('has runs that ended each way, runs that go on, and workers that died', () => {
    const ends = new Set(runs.map(({ ended }) => ended?.finish.status ?? 'open'));
    expect([...ends].sort()).toEqual(['cancelled', 'failed', 'failed_policy', 'open', 'succeeded']);
    expect(runs.some(({ startedAt }) => startedAt === null)).toBe(true);
    const died = workerRuns.filter(({ ended }) => ended === null);
    expect(died.length).toBe(6);
    for (const { startedAt } of died)
      expect(HISTORY_END.getTime() - (startedAt?.getTime() ?? 0)).toBeGreaterThan(1_800_000);
  });
});
