import { UnavailableError } from './errors';
import { assertObject, invalid } from './guards';

/** How far a sweep has come. */
export interface SweepProgress {
  /** Transactions. */
  readonly rounds: number;
  /** Rows that they changed. */
  readonly done: number;
}

/** How a sweep is watched and ended before its time. */
export interface SweepOptions {
  /** After each round, which is committed by then; an error of it ends the sweep. */
  readonly onProgress?: (progress: SweepProgress) => void;
  /** Looked at before each round; what is committed stays. */
  readonly signal?: AbortSignal;
}

/** Runs sweeps round by round, and ends them all together. */
export class Sweeper {
  private readonly running = new Set<Promise<unknown>>();
  private closing: Promise<void> | undefined;

  /**
   * Rounds until one says that no more is left.
   * @throws UnavailableError reason `aborted` or `closed`; what the rounds committed stays
   */
  async repeat(signal: AbortSignal | undefined, round: () => Promise<{ readonly more: boolean }>): Promise<void> {
    for (let more = true; more;) {
      if (this.closing !== undefined) throw ended('closed');
      if (signal?.aborted === true) throw ended('aborted');
      const work = round();
      this.running.add(work);
      try {
        more = (await work).more;
      } finally {
        this.running.delete(work);
      }
    }
  }

  /** {@link Sweeper.repeat} for rounds that say how many rows they changed; the rows of all rounds. */
  async count(
    { onProgress, signal }: SweepOptions,
    round: () => Promise<{ readonly done: number; readonly more: boolean }>,
  ): Promise<number> {
    let rounds = 0;
    let done = 0;
    await this.repeat(signal, async () => {
      const result = await round();
      rounds += 1;
      done += result.done;
      onProgress?.({ rounds, done });
      return result;
    });
    return done;
  }

  /** Takes no further sweep, lets those that run end their round, and waits for them. A second call gives the same promise. */
  close(): Promise<void> {
    return (this.closing ??= Promise.allSettled([...this.running]).then(() => undefined));
  }
}

/**
 * The options, before the first round: a refusal in the middle of a sweep would look as if the sweep had failed.
 * @throws InvalidArgumentError naming `onProgress` or `signal`
 */
export function checkSweepOptions<T extends object>(options: T): T {
  const { onProgress, signal } = assertObject(options, 'options');
  if (onProgress !== undefined && typeof onProgress !== 'function')
    throw invalid('onProgress', 'function', 'onProgress must be a function');
  if (signal !== undefined && typeof assertObject(signal, 'signal')['aborted'] !== 'boolean')
    throw invalid('signal', 'abort_signal', 'signal must be an AbortSignal');
  return options;
}

const ended = (reason: 'aborted' | 'closed'): UnavailableError =>
  new UnavailableError(`${reason}: the sweep ended before all was done; what it committed stays`, {
    details: { reason },
  });
