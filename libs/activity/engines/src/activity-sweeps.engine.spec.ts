import type { OrphanRecoveryResult, RecoverOptions } from '@hoc/activity/schemas';
import {
  InvalidArgumentError,
  type SweepProgress,
  type SystemScope,
  systemScope,
  TenantScopeError,
  UnavailableError,
} from '@hoc/shared/kernel';
import fc from 'fast-check';
import {
  type ActivitySweeps,
  createActivitySweeps,
  type OrphanSweepOptions,
  type SweepEngines,
} from './activity-sweeps.engine';

const scope = systemScope('test');
let made = 0;
const round = (recovered: number, hasMore: boolean): OrphanRecoveryResult => ({
  detected: recovered,
  recovered,
  failed: 0,
  runs: Array.from({ length: recovered }, () => ({
    runId: `r${(made += 1)}`,
    tenantId: 't',
    workerId: 'w',
    originalStatus: 'queued',
    markedCrashed: true,
  })),
  enabled: true,
  hasMore,
});

interface Fake {
  readonly sweeps: ActivitySweeps;
  readonly asked: readonly RecoverOptions[];
  readonly transactions: () => number;
}

/** Sweeps over rounds that are laid down; `before` runs inside each transaction. */
function sweepsOn(
  rounds: OrphanRecoveryResult[],
  marks: number[] = [],
  before: (nth: number) => Promise<void> | void = () => undefined,
): Fake {
  let transactions = 0;
  const asked: RecoverOptions[] = [];
  const engines: SweepEngines = {
    orphans: {
      recover: (_scope, options = {}) => {
        asked.push(options);
        return Promise.resolve(rounds.shift() ?? round(0, false));
      },
    },
    feedback: { expireSuppressions: () => Promise.resolve(marks.shift() ?? 0) },
  };
  const sweeps = createActivitySweeps(async (work) => {
    transactions += 1;
    await before(transactions);
    return work(engines);
  });
  return { sweeps, asked, transactions: () => transactions };
}

describe('recoverOrphans', () => {
  it('goes round by round, a transaction each, until one comes back short, and adds the results up', async () => {
    const rounds = [round(3, true), round(3, true), round(1, false)];
    const runs = rounds.flatMap((each) => each.runs);
    const { sweeps, asked, transactions } = sweepsOn([...rounds]);
    const result = await sweeps.recoverOrphans(scope, { limit: 3, thresholdMinutes: 5, reason: 'why' });
    expect(result).toEqual({ detected: 7, recovered: 7, failed: 0, runs, enabled: true, hasMore: false });
    expect([Object.isFrozen(result), Object.isFrozen(result.runs)]).toEqual([true, true]);
    expect(transactions()).toBe(3);
    expect(asked).toEqual(rounds.map(() => ({ limit: 3, thresholdMinutes: 5, reason: 'why' })));
  });
  it('tells each committed round', async () => {
    const rounds = [round(2, true), round(1, false)];
    const seen: SweepProgress[] = [];
    await sweepsOn([...rounds]).sweeps.recoverOrphans(scope, { onProgress: (progress) => seen.push(progress) });
    expect(seen).toEqual([
      { rounds: 1, done: 2, round: rounds[0] },
      { rounds: 2, done: 3, round: rounds[1] },
    ]);
  });
  it('collectRuns: false keeps no run, but counts them all', async () => {
    const { sweeps, asked } = sweepsOn([round(3, true), round(2, false)]);
    const result = await sweeps.recoverOrphans(scope, { collectRuns: false });
    expect([result.recovered, result.runs]).toEqual([5, []]);
    expect(asked[0]).toEqual({});
  });
  it('ends where a full round changed nothing, and says that there is more', async () => {
    const stuck = { ...round(0, true), detected: 1000, failed: 1000 };
    const { sweeps, transactions } = sweepsOn([stuck, stuck, stuck]);
    expect(await sweeps.recoverOrphans(scope)).toMatchObject({ detected: 1000, failed: 1000, hasMore: true });
    expect(transactions()).toBe(1);
  });
  it('a recovery that is switched off says so after one round', async () => {
    const { sweeps, transactions } = sweepsOn([{ ...round(0, false), enabled: false }]);
    expect(await sweeps.recoverOrphans(scope, { enabled: false })).toMatchObject({ enabled: false, recovered: 0 });
    expect(transactions()).toBe(1);
  });
  it('law: for any rounds, sums and runs are those of the rounds up to the first short one', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 6 }), async (sizes) => {
        const rounds = sizes.map((size) => round(size, size === 4));
        const short = sizes.findIndex((size) => size < 4);
        const counted = short === -1 ? rounds : rounds.slice(0, short + 1);
        const result = await sweepsOn([...rounds, round(0, false)]).sweeps.recoverOrphans(scope);
        expect(result.runs).toEqual(counted.flatMap(({ runs }) => runs));
        expect([result.detected, result.recovered, result.hasMore]).toEqual([
          result.runs.length,
          result.runs.length,
          false,
        ]);
      }),
      { numRuns: 200 },
    );
  });
});

describe('expireSuppressions', () => {
  it('marks until a round finds none', async () => {
    const { sweeps, transactions } = sweepsOn([], [1000, 4]);
    expect(await sweeps.expireSuppressions(scope)).toBe(1004);
    expect(transactions()).toBe(3);
  });
  it('tells each committed round', async () => {
    const seen: SweepProgress[] = [];
    await sweepsOn([], [2]).sweeps.expireSuppressions(scope, { onProgress: (progress) => seen.push(progress) });
    expect(seen).toEqual([
      { rounds: 1, done: 2 },
      { rounds: 2, done: 2 },
    ]);
  });
});

const BOTH: [string, (sweeps: ActivitySweeps, options?: OrphanSweepOptions) => Promise<unknown>][] = [
  ['recoverOrphans', (sweeps, options) => sweeps.recoverOrphans(scope, options)],
  // What it is told of a round is a part of what recovery tells.
  ['expireSuppressions', (sweeps, options = {}) => sweeps.expireSuppressions(scope, options as never)],
];
const endless = (): Fake =>
  sweepsOn(
    Array.from({ length: 50 }, () => round(1, true)),
    Array.from({ length: 50 }, () => 1),
  );

describe.each(BOTH)('%s ends before its time', (_name, sweep) => {
  it('by an abort between two rounds', async () => {
    const { sweeps, transactions } = endless();
    const abort = new AbortController();
    const work = sweep(sweeps, {
      signal: abort.signal,
      onProgress: ({ rounds }) => {
        if (rounds === 2) abort.abort();
      },
    });
    await expect(work).rejects.toMatchObject({ code: 'UNAVAILABLE', details: { reason: 'aborted' } });
    expect(transactions()).toBe(2);
  });
  it('before the first round, where it was aborted already', async () => {
    const { sweeps, transactions } = endless();
    await expect(sweep(sweeps, { signal: AbortSignal.abort() })).rejects.toThrow(UnavailableError);
    expect(transactions()).toBe(0);
  });
  it('by an error of a round, which propagates', async () => {
    const failure = new UnavailableError('the connection to the database failed', { retryable: true });
    const { sweeps, transactions } = sweepsOn([round(1, true)], [1], (nth) => {
      if (nth === 2) throw failure;
    });
    await expect(sweep(sweeps)).rejects.toBe(failure);
    expect(transactions()).toBe(2);
  });
  it('by close: the open round ends, no further one begins, and close waits for it', async () => {
    const events: string[] = [];
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    let begun: () => void = () => undefined;
    const open = new Promise<void>((resolve) => (begun = resolve));
    const rounds = Array.from({ length: 9 }, () => round(1, true));
    const { sweeps, transactions } = sweepsOn(rounds, [1, 1, 1], async () => {
      begun();
      await held;
      events.push('round');
    });
    const work = sweep(sweeps).catch((error: unknown) => error);
    await open;
    const closing = sweeps.close().then(() => events.push('closed'));
    // All that close does without the round is done by the next turn of the event loop.
    await new Promise((resolve) => setImmediate(resolve));
    expect(events).toEqual([]);
    release();
    expect(await work).toMatchObject({ code: 'UNAVAILABLE', details: { reason: 'closed' } });
    await closing;
    expect([events, transactions()]).toEqual([['round', 'closed'], 1]);
    expect(sweeps.close()).toBe(sweeps.close());
    await expect(sweep(sweeps)).rejects.toMatchObject({ details: { reason: 'closed' } });
    expect(transactions()).toBe(1);
  });
  it.each([
    ['options null', null],
    ['options a list', []],
    ['onProgress', { onProgress: 'no' }],
    ['signal', { signal: {} }],
    ['signal null', { signal: null }],
  ])('by %s: INVALID_ARGUMENT before any transaction', async (_what, options) => {
    const { sweeps, transactions } = endless();
    await expect(sweep(sweeps, options as never)).rejects.toThrow(InvalidArgumentError);
    expect(transactions()).toBe(0);
  });
});

it.each([undefined, {}, { kind: 'system', reason: 'by hand' }])(
  'the scope %j is refused before any transaction',
  async (given) => {
    const { sweeps, transactions } = endless();
    await expect(sweeps.recoverOrphans(given as SystemScope)).rejects.toThrow(TenantScopeError);
    await expect(sweeps.expireSuppressions(given as SystemScope)).rejects.toThrow(TenantScopeError);
    expect(transactions()).toBe(0);
  },
);

it('close without a sweep is done at once', async () => {
  await expect(sweepsOn([]).sweeps.close()).resolves.toBeUndefined();
});
