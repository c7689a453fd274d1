import type { OrphanRecoveryResult, RecoverOptions } from '@hoc/activity/schemas';
import { type SystemScope, systemScope, TenantScopeError, UnavailableError } from '@hoc/shared/kernel';
import { fixedClock } from '@hoc/shared/testing';
import { createActivitySweeps, type SweepEngines, type SweepProgress } from './activity-sweeps.engine';
import { getOrphanRecoveryEngine } from './orphan-recovery.engine';

const scope = systemScope('test');
const round = (recovered: number, hasMore: boolean): OrphanRecoveryResult => ({
  detected: recovered,
  recovered,
  failed: 0,
  runs: Array.from({ length: recovered }, (_, n) => ({
    runId: `r${n}`,
    tenantId: 't',
    workerId: 'w',
    originalStatus: 'queued',
    markedCrashed: true,
  })),
  enabled: true,
  hasMore,
});

function sweepsOn(rounds: OrphanRecoveryResult[], marks: number[]) {
  let transactions = 0;
  const asked: RecoverOptions[] = [];
  const engines: SweepEngines = {
    orphans: {
      recover: (_scope, options = {}) => (asked.push(options), Promise.resolve(rounds.shift() ?? round(0, false))),
    },
    feedback: { expireSuppressions: () => Promise.resolve(marks.shift() ?? 0) },
  };
  const sweeps = createActivitySweeps((work) => ((transactions += 1), work(engines)));
  return { sweeps, asked, transactions: () => transactions };
}

it('recovers round by round, a transaction each, and adds the results up', async () => {
  const { sweeps, asked, transactions } = sweepsOn([round(3, true), round(3, true), round(1, false)], []);
  const seen: SweepProgress[] = [];
  const result = await sweeps.recoverOrphans(scope, { limit: 3, onProgress: (progress) => seen.push(progress) });
  expect(result).toMatchObject({ detected: 7, recovered: 7, failed: 0, enabled: true, hasMore: false });
  expect(result.runs).toHaveLength(7);
  expect(seen).toEqual([
    { rounds: 1, done: 3 },
    { rounds: 2, done: 6 },
    { rounds: 3, done: 7 },
  ]);
  expect([transactions(), asked[0]]).toEqual([3, { limit: 3 }]);
});

it('marks suppressions until a round finds none', async () => {
  const { sweeps, transactions } = sweepsOn([], [1000, 4]);
  expect(await sweeps.expireSuppressions(scope)).toBe(1004);
  expect(transactions()).toBe(3);
});

it('an abort ends it between two rounds; what is committed stays', async () => {
  const { sweeps, transactions } = sweepsOn([round(1, true), round(1, true)], []);
  const abort = new AbortController();
  await expect(sweeps.recoverOrphans(scope, { signal: abort.signal, onProgress: () => abort.abort() })).rejects.toThrow(
    UnavailableError,
  );
  expect(transactions()).toBe(1);
});

it('a scope is required before any transaction', async () => {
  const { sweeps, transactions } = sweepsOn([], []);
  await expect(sweeps.recoverOrphans({} as SystemScope)).rejects.toThrow(TenantScopeError);
  await expect(sweeps.expireSuppressions({} as SystemScope)).rejects.toThrow(TenantScopeError);
  expect(transactions()).toBe(0);
});

it('the engine of recovery: its policy holds unless a call says otherwise', async () => {
  const asked: unknown[] = [];
  const engine = getOrphanRecoveryEngine(
    {
      detect: (_scope, minutes, limit) => (asked.push([minutes, limit]), Promise.resolve([])),
      markCrashed: () => Promise.resolve(true),
      recover: (_scope, options) => (asked.push(options), Promise.resolve(round(0, false))),
      summary: () => Promise.resolve({ totalCrashed: 0, recentCrashes: [] }),
    },
    { clock: fixedClock('2026-03-10T12:00:00.000Z') },
    { enabled: false, thresholdMinutes: 5 },
  );
  await engine.detect(scope, { limit: 7 });
  await engine.recover(scope);
  await engine.recover(scope, { enabled: true, thresholdMinutes: 9, reason: 'r' });
  expect(asked).toEqual([
    [5, 7],
    { enabled: false, thresholdMinutes: 5 },
    { enabled: true, thresholdMinutes: 9, reason: 'r' },
  ]);
});
