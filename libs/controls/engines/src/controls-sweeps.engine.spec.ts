import type { HaltSweepOptions, HaltSweepResult } from '@hoc/controls/schemas';
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
  type ControlsSweepEngines,
  type ControlsSweeps,
  createControlsSweeps,
  type HaltDecisionsOptions,
} from './controls-sweeps.engine';

const scope = systemScope('test');
const FULL = 1000;
const page = (emitted: number, nextCursor: string | null, more: Partial<HaltSweepResult> = {}): HaltSweepResult => ({
  ...{ scanned: emitted, emitted, duplicates: 0, conflicts: [], unparsable: [], nextCursor },
  ...more,
});
const runOf = (runId: string) => ({ tenantId: 't', runId });

interface Fake {
  readonly sweeps: ControlsSweeps;
  /** What the pages of halts were asked with. */
  readonly asked: readonly (HaltSweepOptions | undefined)[];
  /** Scope and limit of each page of the other two. */
  readonly counted: readonly (readonly [string, SystemScope, number | undefined])[];
  readonly transactions: () => number;
}

/** Sweeps over pages that are laid down; `before` runs inside each transaction. */
function sweepsOn(
  pages: HaltSweepResult[],
  counts: number[] = [],
  before: (nth: number) => Promise<void> | void = () => undefined,
): Fake {
  let transactions = 0;
  const asked: (HaltSweepOptions | undefined)[] = [];
  const counted: [string, SystemScope, number | undefined][] = [];
  const take = (name: string, given: SystemScope, limit?: number): Promise<number> => {
    counted.push([name, given, limit]);
    return Promise.resolve(counts.shift() ?? 0);
  };
  const engines: ControlsSweepEngines = {
    budgets: {
      processPendingHalts: (options) => {
        asked.push(options);
        return Promise.resolve(pages.shift() ?? page(0, null));
      },
    },
    reservations: { expireReservations: (given, limit) => take('reservations', given, limit) },
    scopes: { cleanupExpired: (given, limit) => take('scopes', given, limit) },
  };
  const sweeps = createControlsSweeps(async (work) => {
    transactions += 1;
    await before(transactions);
    return work(engines);
  });
  return { sweeps, asked, counted, transactions: () => transactions };
}

describe('haltDecisions', () => {
  it('goes page by page, a transaction each, from the cursor of the page before, and adds the results up', async () => {
    const { sweeps, asked, transactions } = sweepsOn([
      page(100, 'c1', { scanned: 101, unparsable: [runOf('a')] }),
      page(97, 'c2', { scanned: 100, duplicates: 2, conflicts: [runOf('b')] }),
      page(1, null, { scanned: 3, unparsable: [runOf('c'), runOf('d')] }),
    ]);
    const since = new Date('2026-03-10T00:00:00Z');
    const result = await sweeps.haltDecisions(scope, { since });
    expect(result).toEqual({
      scanned: 204,
      emitted: 198,
      duplicates: 2,
      conflicts: [runOf('b')],
      unparsable: ['a', 'c', 'd'].map(runOf),
      nextCursor: null,
    });
    expect([result, result.conflicts, result.unparsable].map((each) => Object.isFrozen(each))).toEqual([
      true,
      true,
      true,
    ]);
    expect(transactions()).toBe(3);
    expect(asked).toEqual([
      { maxPages: 1, since },
      { maxPages: 1, since, cursor: 'c1' },
      { maxPages: 1, since, cursor: 'c2' },
    ]);
  });

  it('a page that wrote nothing is not the last one: its cursor says so', async () => {
    const { sweeps, transactions } = sweepsOn([page(0, 'c1'), page(0, 'c2'), page(2, null)]);
    expect(await sweeps.haltDecisions(scope)).toMatchObject({ emitted: 2 });
    expect(transactions()).toBe(3);
  });

  it('tells after each page how many decisions are written', async () => {
    const seen: SweepProgress[] = [];
    await sweepsOn([page(3, 'c1'), page(2, null)]).sweeps.haltDecisions(scope, {
      onProgress: (progress) => seen.push(progress),
    });
    expect(seen).toEqual([
      { rounds: 1, done: 3 },
      { rounds: 2, done: 5 },
    ]);
  });

  it('law: for any pages, the sums are those of all of them and each is asked once', async () => {
    const one = fc.record({ emitted: fc.nat(100), duplicates: fc.nat(5), conflicts: fc.nat(2), unparsable: fc.nat(3) });
    let made = 0;
    const refs = (n: number) => Array.from({ length: n }, () => runOf(`r${(made += 1)}`));
    await fc.assert(
      fc.asyncProperty(fc.array(one, { minLength: 1, maxLength: 8 }), async (given) => {
        const pages = given.map(({ emitted, duplicates, conflicts, unparsable }, n) =>
          page(emitted, n + 1 < given.length ? `c${n}` : null, {
            scanned: emitted + duplicates + conflicts + unparsable,
            duplicates,
            conflicts: refs(conflicts),
            unparsable: refs(unparsable),
          }),
        );
        const { sweeps, transactions } = sweepsOn([...pages]);
        const { scanned, emitted, duplicates, conflicts, unparsable } = await sweeps.haltDecisions(scope);
        expect(scanned).toBe(emitted + duplicates + conflicts.length + unparsable.length);
        expect(emitted).toBe(pages.reduce((sum, each) => sum + each.emitted, 0));
        expect(conflicts).toEqual(pages.flatMap((each) => each.conflicts));
        expect(unparsable).toEqual(pages.flatMap((each) => each.unparsable));
        expect(transactions()).toBe(pages.length);
      }),
      { numRuns: 200 },
    );
  });
});

const COUNTS = [
  ['expireReservations', 'reservations'],
  ['expireScopes', 'scopes'],
] as const;

describe.each(COUNTS)('%s', (name, engine) => {
  it('ends rows until a page comes back short, each page a transaction, and says how many in all', async () => {
    const { sweeps, counted, transactions } = sweepsOn([], [FULL, FULL, 4]);
    expect(await sweeps[name](scope)).toBe(2004);
    expect(transactions()).toBe(3);
    expect(counted).toEqual(Array.from({ length: 3 }, () => [engine, scope, FULL]));
  });

  it('nothing to do is one transaction', async () => {
    const { sweeps, transactions } = sweepsOn([]);
    expect([await sweeps[name](scope), transactions()]).toEqual([0, 1]);
  });

  it('a last page that is full is followed by one that finds nothing', async () => {
    const seen: SweepProgress[] = [];
    const { sweeps } = sweepsOn([], [FULL]);
    expect(await sweeps[name](scope, { onProgress: (progress) => seen.push(progress) })).toBe(FULL);
    expect(seen).toEqual([
      { rounds: 1, done: FULL },
      { rounds: 2, done: FULL },
    ]);
  });
});

const ALL = ['haltDecisions', 'expireReservations', 'expireScopes'] as const;
const endless = (): Fake =>
  sweepsOn(
    Array.from({ length: 50 }, (_, n) => page(1, `c${n}`)),
    Array.from({ length: 50 }, () => FULL),
  );
const sweep = (sweeps: ControlsSweeps, name: (typeof ALL)[number], options?: HaltDecisionsOptions): Promise<unknown> =>
  sweeps[name](scope, options);

describe.each(ALL)('%s ends before its time', (name) => {
  it('by an abort between two pages', async () => {
    const { sweeps, transactions } = endless();
    const abort = new AbortController();
    const work = sweep(sweeps, name, {
      signal: abort.signal,
      onProgress: ({ rounds }) => {
        if (rounds === 2) abort.abort();
      },
    });
    await expect(work).rejects.toMatchObject({ code: 'UNAVAILABLE', details: { reason: 'aborted' } });
    expect(transactions()).toBe(2);
  });

  it('by an error of a page, which propagates', async () => {
    const failure = new UnavailableError('the connection to the database failed', { retryable: true });
    const { sweeps, transactions } = sweepsOn([page(1, 'c')], [FULL], (nth) => {
      if (nth === 2) throw failure;
    });
    await expect(sweep(sweeps, name)).rejects.toBe(failure);
    expect(transactions()).toBe(2);
  });

  it('by close: the open page ends, no further one begins, and close waits for it', async () => {
    const events: string[] = [];
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    let begun: () => void = () => undefined;
    const open = new Promise<void>((resolve) => (begun = resolve));
    const { sweeps, transactions } = sweepsOn([page(1, 'c'), page(1, 'd')], [FULL, FULL], async () => {
      begun();
      await held;
      events.push('page');
    });
    const work = sweep(sweeps, name).catch((error: unknown) => error);
    await open;
    const closing = sweeps.close().then(() => events.push('closed'));
    // All that close does without the page is done by the next turn of the event loop.
    await new Promise((resolve) => setImmediate(resolve));
    expect(events).toEqual([]);
    release();
    expect(await work).toMatchObject({ code: 'UNAVAILABLE', details: { reason: 'closed' } });
    await closing;
    expect([events, transactions()]).toEqual([['page', 'closed'], 1]);
    expect(sweeps.close()).toBe(sweeps.close());
    await expect(sweep(sweeps, name)).rejects.toMatchObject({ details: { reason: 'closed' } });
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
    await expect(sweep(sweeps, name, options as never)).rejects.toThrow(InvalidArgumentError);
    expect(transactions()).toBe(0);
  });

  it.each([undefined, null, {}, { kind: 'system', reason: 'by hand' }])(
    'by the scope %j, before any transaction',
    async (given) => {
      const { sweeps, transactions } = endless();
      await expect(sweeps[name](given as SystemScope)).rejects.toThrow(TenantScopeError);
      expect(transactions()).toBe(0);
    },
  );
});
