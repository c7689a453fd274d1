import { InvalidArgumentError } from '@hoc/shared/kernel';
import fc from 'fast-check';
import { type AttentionCandidate, computeAttentionScore, rankByAttention } from './attention-ranking.engine';

it('F30: the formula', () => {
  expect(computeAttentionScore({ severity: 0.9, recencyHours: 24, patternFrequency: 5 })).toBeCloseTo(
    0.7671428571428571,
    12,
  );
  expect(computeAttentionScore({ severity: 1, recencyHours: 200, patternFrequency: 20 })).toBeCloseTo(0.7, 12);
  expect(computeAttentionScore({ severity: 0, recencyHours: -5, patternFrequency: 0 })).toBeCloseTo(0.3, 12);
});

it('law: from 0 to 1; never lower for what is worse, newer or more frequent', () => {
  const severity = fc.double({ min: 0, max: 1, noNaN: true });
  const recencyHours = fc.double({ min: -1000, max: 1000, noNaN: true });
  const patternFrequency = fc.nat(50);
  const input = fc.record({ severity, recencyHours, patternFrequency });
  fc.assert(
    fc.property(input, input, (a, b) => {
      const worst = {
        severity: Math.max(a.severity, b.severity),
        recencyHours: Math.min(a.recencyHours, b.recencyHours),
        patternFrequency: Math.max(a.patternFrequency, b.patternFrequency),
      };
      const [one, top] = [computeAttentionScore(a), computeAttentionScore(worst)];
      expect(one).toBeGreaterThanOrEqual(0);
      expect(top).toBeLessThanOrEqual(1);
      expect(top).toBeGreaterThanOrEqual(one);
    }),
    { numRuns: 500 },
  );
});

it.each([
  { severity: 1.1, recencyHours: 0, patternFrequency: 0 },
  { severity: Number.NaN, recencyHours: 0, patternFrequency: 0 },
  { severity: 0, recencyHours: Number.POSITIVE_INFINITY, patternFrequency: 0 },
  { severity: 0, recencyHours: 0, patternFrequency: 1.5 },
  { severity: 0, recencyHours: 0, patternFrequency: -1 },
])('refuses %j', (input) => {
  expect(() => computeAttentionScore(input)).toThrow(InvalidArgumentError);
});

describe('the order', () => {
  const now = new Date('2026-03-10T12:00:00Z');
  const candidate = (
    runId: string,
    riskLevel: AttentionCandidate['riskLevel'],
    hours: number,
    signalType = 'cost_risk',
  ): AttentionCandidate => ({
    riskLevel,
    signal: {
      signalId: `sig-${runId}`,
      runId,
      signalType: signalType as 'cost_risk',
      severity: 'low',
      createdAt: new Date(now.getTime() - hours * 3_600_000),
    },
  });
  const rank = (candidates: readonly AttentionCandidate[], minScore = 0, limit = 100) =>
    rankByAttention(candidates, { now, minScore, limit }).map(({ runId }) => runId);

  it('by score, then the newest, then by run', () => {
    const all = [
      candidate('b', 'AT_RISK', 1),
      candidate('a', 'AT_RISK', 1),
      candidate('c', 'VIOLATED', 100),
      candidate('d', 'AT_RISK', 0),
    ];
    expect(rank(all)).toEqual(['d', 'a', 'b', 'c']);
    expect(rank(all, 0, 2)).toEqual(['d', 'a']);
  });
  it('a frequent type rises', () => {
    const frequent = Array.from({ length: 10 }, (_, n) => candidate(`f${n}`, 'NORMAL', 1));
    expect(rank([candidate('rare', 'AT_RISK', 1, 'time_risk'), ...frequent], 0, 1)).toEqual(['f0']);
  });
  it('the least score is inclusive', () => {
    const [one] = rankByAttention([candidate('a', 'NORMAL', 0)], { now, minScore: 0, limit: 1 });
    expect(rank([candidate('a', 'NORMAL', 0)], one?.attentionScore)).toEqual(['a']);
    expect(rank([candidate('a', 'NORMAL', 0)], (one?.attentionScore ?? 0) + 1e-9)).toEqual([]);
  });
});
