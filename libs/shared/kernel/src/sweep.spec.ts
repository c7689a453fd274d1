import fc from 'fast-check';
import { InvalidArgumentError, UnavailableError } from './errors';
import { checkSweepOptions, Sweeper, type SweepProgress } from './sweep';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
/** Rounds that are laid down; the last one says that no more is left. */
function laid(...sizes: readonly number[]) {
  let asked = 0;
  return {
    asked: () => asked,
    round: () => {
      asked += 1;
      return Promise.resolve({ done: sizes[asked - 1] ?? 0, more: asked < sizes.length });
    },
  };
}
/** A round that stands open until the test ends it; one after it is the last. */
function held() {
  let asked = 0;
  let begun: () => void = () => undefined;
  let end: (result: { more: boolean }) => void = () => undefined;
  let fail: (error: unknown) => void = () => undefined;
  const open = new Promise<void>((resolve) => (begun = resolve));
  const work = new Promise<{ more: boolean }>((resolve, reject) => ([end, fail] = [resolve, reject]));
  return {
    open,
    end: (more: boolean) => end({ more }),
    fail: (error: unknown) => fail(error),
    round: () => {
      begun();
      asked += 1;
      return asked === 1 ? work : Promise.resolve({ more: false });
    },
  };
}
const reasonOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => 'done',
    (error: unknown) => (UnavailableError.is(error) ? [error.details['reason'], error.retryable] : error),
  );

describe('repeat', () => {
  it('goes on until a round says that no more is left', async () => {
    const { round, asked } = laid(5, 5, 1);
    await expect(new Sweeper().repeat(undefined, round)).resolves.toBeUndefined();
    expect(asked()).toBe(3);
  });

  it('one round at a time', async () => {
    let open = 0;
    const most: number[] = [];
    const { round } = laid(1, 1, 1, 1);
    await new Sweeper().repeat(undefined, async () => {
      most.push((open += 1));
      await turn();
      open -= 1;
      return round();
    });
    expect(most).toEqual([1, 1, 1, 1]);
  });

  it('an abort between two rounds ends it; what was committed stays, and nothing more is asked', async () => {
    const { round, asked } = laid(1, 1, 1);
    const abort = new AbortController();
    const work = new Sweeper().repeat(abort.signal, async () => {
      const result = await round();
      if (asked() === 2) abort.abort();
      return result;
    });
    expect(await reasonOf(work)).toEqual(['aborted', false]);
    expect(asked()).toBe(2);
  });

  it('an abort after the last round ends nothing', async () => {
    const { round } = laid(1);
    const abort = new AbortController();
    await new Sweeper().repeat(abort.signal, () => {
      abort.abort();
      return round();
    });
  });

  it('a signal that is aborted already: no round', async () => {
    const { round, asked } = laid(1);
    expect(await reasonOf(new Sweeper().repeat(AbortSignal.abort(), round))).toEqual(['aborted', false]);
    expect(asked()).toBe(0);
  });

  it('an error of a round is the sweep’s, and the sweeper goes on with others', async () => {
    const sweeper = new Sweeper();
    const failure = new UnavailableError('lost', { retryable: true });
    const failing = sweeper.repeat(undefined, () => Promise.reject(failure));
    await expect(failing).rejects.toBe(failure);
    const { round, asked } = laid(1);
    await sweeper.repeat(undefined, round);
    expect(asked()).toBe(1);
    await sweeper.close();
  });

  it('a round that throws before it gives a promise fails the same way', async () => {
    const failure = new UnavailableError('lost');
    const failing = new Sweeper().repeat(undefined, () => {
      throw failure;
    });
    await expect(failing).rejects.toBe(failure);
  });
});

describe('count', () => {
  it('adds the rows of all rounds up, and tells how far it has come after each', async () => {
    const seen: SweepProgress[] = [];
    const { round } = laid(1000, 1000, 4);
    expect(await new Sweeper().count({ onProgress: (progress) => seen.push(progress) }, round)).toBe(2004);
    expect(seen).toEqual([
      { rounds: 1, done: 1000 },
      { rounds: 2, done: 2000 },
      { rounds: 3, done: 2004 },
    ]);
  });

  it('an error of onProgress ends the sweep after the round that it was told of', async () => {
    const failure = new UnavailableError('told enough');
    const { round, asked } = laid(1, 1, 1);
    const onProgress = ({ rounds }: SweepProgress): void => {
      if (rounds === 2) throw failure;
    };
    await expect(new Sweeper().count({ onProgress }, round)).rejects.toBe(failure);
    expect(asked()).toBe(2);
  });

  it('looks at the signal before each round', async () => {
    const { round, asked } = laid(1, 1, 1);
    const abort = new AbortController();
    const work = new Sweeper().count({ signal: abort.signal, onProgress: () => abort.abort() }, round);
    expect(await reasonOf(work)).toEqual(['aborted', false]);
    expect(asked()).toBe(1);
  });

  it('law: the sum is that of the rounds up to the first that is the last one', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ done: fc.nat(2000), more: fc.boolean() }), { maxLength: 12 }),
        async (rounds) => {
          const ending = [...rounds, { done: 7, more: false }];
          const counted = ending.slice(0, ending.findIndex(({ more }) => !more) + 1);
          const left = [...ending];
          const seen: SweepProgress[] = [];
          const done = await new Sweeper().count({ onProgress: (progress) => seen.push(progress) }, () =>
            Promise.resolve(left.shift() ?? { done: 0, more: false }),
          );
          expect(done).toBe(counted.reduce((sum, each) => sum + each.done, 0));
          expect(seen.map(({ rounds: n }) => n)).toEqual(counted.map((_each, n) => n + 1));
          expect(seen.at(-1)?.done).toBe(done);
          expect(left).toHaveLength(ending.length - counted.length);
        },
      ),
      { numRuns: 200 },
    );
  });
});

describe('close', () => {
  it('waits for the open rounds of all sweeps, lets none begin another, and takes no further sweep', async () => {
    const sweeper = new Sweeper();
    const [a, b] = [held(), held()];
    const sweeps = [a, b].map(({ round }) => reasonOf(sweeper.repeat(undefined, round)));
    await Promise.all([a.open, b.open]);
    const events: string[] = [];
    const closing = sweeper.close().then(() => events.push('closed'));
    a.end(true);
    await turn();
    expect(events).toEqual([]);
    events.push('last round ends');
    b.end(false);
    await closing;
    expect(events).toEqual(['last round ends', 'closed']);
    // The one that had ended its last round is done; the other would have gone on.
    expect(await Promise.all(sweeps)).toEqual([['closed', false], 'done']);
    const { round, asked } = laid(1);
    expect(await reasonOf(sweeper.repeat(undefined, round))).toEqual(['closed', false]);
    expect(await reasonOf(sweeper.count({}, round))).toEqual(['closed', false]);
    expect(asked()).toBe(0);
  });

  it('resolves where the open round fails: its caller is told', async () => {
    const sweeper = new Sweeper();
    const open = held();
    const sweep = reasonOf(sweeper.repeat(undefined, open.round));
    await open.open;
    const closing = sweeper.close();
    const failure = new UnavailableError('lost');
    open.fail(failure);
    await expect(closing).resolves.toBeUndefined();
    expect(await sweep).toEqual([undefined, false]);
  });

  it('is done at once without a sweep, and gives the same promise each time', async () => {
    const sweeper = new Sweeper();
    const closing = sweeper.close();
    expect(sweeper.close()).toBe(closing);
    await expect(closing).resolves.toBeUndefined();
  });
});

describe('checkSweepOptions', () => {
  it('gives back the very options, those of a sweep of its own included', () => {
    const options = { onProgress: () => undefined, signal: new AbortController().signal, limit: 3 };
    expect(checkSweepOptions(options)).toBe(options);
    expect(checkSweepOptions({})).toEqual({});
  });

  it.each<[string, unknown]>([
    ['options', null],
    ['options', undefined],
    ['options', []],
    ['options', 'all'],
    ['onProgress', { onProgress: 'no' }],
    ['onProgress', { onProgress: null }],
    ['signal', { signal: {} }],
    ['signal', { signal: null }],
    ['signal', { signal: { aborted: 'no' } }],
    ['signal', { signal: true }],
  ])('refuses %s of %j', (field, options) => {
    let error: unknown;
    try {
      checkSweepOptions(options as object);
    } catch (thrown) {
      error = thrown;
    }
    expect(InvalidArgumentError.is(error) && error.details['field']).toBe(field);
  });
});
