import { generateWorkload } from './workload';

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
