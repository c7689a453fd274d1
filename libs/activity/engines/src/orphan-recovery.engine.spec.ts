import type { OrphanRecoveryDriver } from '@hoc/activity/drivers';
import type { CrashRecoverySummary, OrphanedRun, OrphanRecoveryResult } from '@hoc/activity/schemas';
import { InvalidArgumentError, systemScope, UnavailableError } from '@hoc/shared/kernel';
import { fixedClock } from '@hoc/shared/testing';
import {
  getOrphanRecoveryEngine,
  type OrphanRecoveryEngine,
  type OrphanRecoveryPolicy,
} from './orphan-recovery.engine';

const NOW = '2026-03-10T12:00:00.000Z';
const scope = systemScope('test');
const at = new Date(NOW);
const orphan: OrphanedRun = {
  runId: 'w',
  tenantId: 't-a',
  workerId: 'worker',
  status: 'running',
  createdAt: at,
  startedAt: null,
  lastSeenAt: null,
  idleSince: at,
  cutoff: at,
};
const round: OrphanRecoveryResult = { detected: 0, recovered: 0, failed: 0, runs: [], enabled: true, hasMore: false };
const summary: CrashRecoverySummary = { totalCrashed: 0, recentCrashes: [] };
let asked: unknown[][];
const driver: OrphanRecoveryDriver = {
  detect: (...args) => answer(['detect', ...args], [orphan]),
  markCrashed: (...args) => answer(['markCrashed', ...args], true),
  recover: (...args) => answer(['recover', ...args], round),
  summary: (...args) => answer(['summary', ...args], summary),
};
const engine = (policy?: OrphanRecoveryPolicy): OrphanRecoveryEngine =>
  getOrphanRecoveryEngine(driver, { clock: fixedClock(NOW) }, policy);

function answer<T>(call: unknown[], value: T): Promise<T> {
  asked.push(call);
  return Promise.resolve(value);
}

beforeEach(() => {
  asked = [];
});

it('without a policy: recovery is on, the threshold half an hour', async () => {
  expect(await engine().recover(scope)).toBe(round);
  expect(await engine().detect(scope)).toEqual([orphan]);
  expect(asked).toEqual([
    ['recover', scope, { enabled: true, thresholdMinutes: 30 }],
    ['detect', scope, 30, undefined],
  ]);
});

it('the policy of the process decides both; an option of a call wins over it', async () => {
  const off = engine({ enabled: false, thresholdMinutes: 5 });
  await off.recover(scope);
  await off.recover(scope, { enabled: true, thresholdMinutes: 7, limit: 3, reason: 'restart' });
  await off.recover(scope, { limit: 3 });
  await engine({ enabled: true }).recover(scope, { enabled: false });
  await off.detect(scope);
  await off.detect(scope, { thresholdMinutes: 7, limit: 3 });
  expect(asked).toEqual([
    ['recover', scope, { enabled: false, thresholdMinutes: 5 }],
    ['recover', scope, { enabled: true, thresholdMinutes: 7, limit: 3, reason: 'restart' }],
    ['recover', scope, { enabled: false, thresholdMinutes: 5, limit: 3 }],
    ['recover', scope, { enabled: false, thresholdMinutes: 30 }],
    ['detect', scope, 5, undefined],
    ['detect', scope, 7, 3],
  ]);
});

it('a threshold of 0 is no default: the driver is asked for it, and refuses it', async () => {
  await engine().recover(scope, { thresholdMinutes: 0 });
  await engine({ thresholdMinutes: 0 }).detect(scope);
  expect(asked).toEqual([
    ['recover', scope, { enabled: true, thresholdMinutes: 0 }],
    ['detect', scope, 0, undefined],
  ]);
});

it('marks one run, and sums up', async () => {
  expect(await engine().markCrashed(scope, orphan, 'gone')).toBe(true);
  expect(await engine().markCrashed(scope, orphan)).toBe(true);
  expect(await engine().summary(scope, { recentLimit: 3 })).toBe(summary);
  expect(await engine().summary(scope)).toBe(summary);
  expect(asked).toEqual([
    ['markCrashed', scope, orphan, 'gone'],
    ['markCrashed', scope, orphan, undefined],
    ['summary', scope, { recentLimit: 3 }],
    ['summary', scope, {}],
  ]);
});

it('options that are no object are refused, and nothing is asked', async () => {
  const bad = null as never;
  await expect(engine().recover(scope, bad)).rejects.toThrow(InvalidArgumentError);
  await expect(engine().detect(scope, bad)).rejects.toThrow(InvalidArgumentError);
  expect(asked).toEqual([]);
});

it('an error of the driver is the answer, not a round of zeros', async () => {
  const down = new UnavailableError('the connection to the database failed', { retryable: true });
  const failing = getOrphanRecoveryEngine(
    { ...driver, recover: () => Promise.reject(down) },
    { clock: fixedClock(NOW) },
  );
  await expect(failing.recover(scope)).rejects.toBe(down);
});
