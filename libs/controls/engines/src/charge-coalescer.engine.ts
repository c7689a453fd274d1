import {
  type BudgetReservationPort,
  CHARGE_MAX_IN_FLIGHT,
  type ChargeCoalescerOptions,
  type CheckedReserve,
  checkReserveInput,
  type Reservation,
  reservationOf,
  type ReserveInput,
  type ReserveItem,
  type ReserveOutcome,
} from '@hoc/controls/schemas';
import { assertInt, assertObject, copyOfError, UnavailableError, type UnitOfWorkRunner } from '@hoc/shared/kernel';

const QUEUE_DEFAULT = 10_000;
const QUEUE_MAX = 1_000_000;
const BATCH_MAX = 1_000;

/** The engines that a batch needs. */
export interface ChargeEngines {
  readonly reservations: Pick<BudgetReservationPort, 'reserveBatch'>;
}

/** A coalescer whose batches run as `run` does; made once per process. @throws InvalidArgumentError for a bound out of range */
export function createChargeCoalescer(
  run: UnitOfWorkRunner<ChargeEngines>,
  options: ChargeCoalescerOptions = {},
): ChargeCoalescer {
  return new ChargeCoalescer(run, options);
}

/** A charge that waits, and how its caller is answered. */
interface Waiting {
  /** Its place in the order of arrival, over all queues. */
  readonly place: number;
  readonly charge: CheckedReserve;
  readonly resolve: (reservation: Reservation) => void;
  readonly reject: (error: unknown) => void;
}

/** Charges against one set of limits, in order of arrival. */
interface Queue {
  readonly name: string;
  readonly waiting: Waiting[];
}

/** One charge of a batch: its caller first, then those who asked for the very same. */
type Charge = [Waiting, ...Waiting[]];

/**
 * Many callers' charges on few budgets at the rate of batches: what arrives while a batch is in flight goes into the next one,
 * so that the budget's lock and the commit are paid once a batch. No timer. Charges against one set of limits are decided in
 * order of arrival, each as `reserve` alone would have been: a refused one refuses none behind it. A caller is answered after
 * the commit that holds its charge. Per process; a charge is no part of a caller's own transaction (that is `reserve`).
 *
 * @see spec controls H.2
 */
export class ChargeCoalescer {
  private readonly maxQueue: number;
  private readonly maxBatch: number;
  private readonly queues = new Map<string, Queue>();
  /** The queues without a batch in flight, that of the charge which waits longest first: none starves. */
  private readonly ready: Queue[] = [];
  private arrived = 0;
  private unanswered = 0;
  private batches = 0;
  private scheduled = false;
  private closing: Promise<void> | undefined;
  private drained: (() => void) | undefined;

  constructor(
    private readonly run: UnitOfWorkRunner<ChargeEngines>,
    options: ChargeCoalescerOptions = {},
  ) {
    assertObject(options, 'options');
    this.maxQueue = assertInt(options.maxQueue ?? QUEUE_DEFAULT, 'maxQueue', 1, QUEUE_MAX);
    this.maxBatch = assertInt(options.maxBatch ?? BATCH_MAX, 'maxBatch', 1, BATCH_MAX);
  }

  /** Charges that are not answered yet: waiting and in flight. */
  get pending(): number {
    return this.unanswered;
  }

  /**
   * Takes one charge and answers after its commit. A repeated key gives the first reservation, `duplicate`.
   * @throws InvalidArgumentError at once for a bad charge; LimitExceededError with `details.limitId` and `remaining`;
   * ConflictError where the key has another content; LimitNotFoundError; UnavailableError reason `queue_full` (retryable) or
   * `closed`; with `details.outcome` `unknown` the charge may be stored: send it again under its key
   */
  async reserve(tenantId: string, input: ReserveInput): Promise<Reservation> {
    const charge = checkReserveInput(tenantId, input);
    if (this.closing !== undefined)
      throw new UnavailableError('closed: no charge is taken any more', { details: { reason: 'closed' } });
    if (this.unanswered >= this.maxQueue)
      throw new UnavailableError('too many charges wait: send this one again later', {
        retryable: true,
        details: { reason: 'queue_full', maxQueue: this.maxQueue },
      });
    return new Promise<Reservation>((resolve, reject) => {
      this.enqueue({ place: this.arrived++, charge, resolve, reject });
    });
  }

  /** Takes no further charge, decides what waits, and resolves when every caller is answered. */
  close(): Promise<void> {
    this.closing ??= this.unanswered === 0 ? Promise.resolve() : new Promise((resolve) => (this.drained = resolve));
    return this.closing;
  }

  private enqueue(call: Waiting): void {
    const name = JSON.stringify([call.charge.tenantId, ...call.charge.limitIds]);
    const queue = this.queues.get(name) ?? this.open(name);
    queue.waiting.push(call);
    this.unanswered += 1;
    if (this.scheduled) return;
    this.scheduled = true;
    // A microtask later, so that charges of one tick go together and a lone charge waits for nobody.
    queueMicrotask(() => {
      this.scheduled = false;
      this.dispatch();
    });
  }

  private open(name: string): Queue {
    const queue: Queue = { name, waiting: [] };
    this.queues.set(name, queue);
    this.ready.push(queue);
    return queue;
  }

  private dispatch(): void {
    while (this.batches < CHARGE_MAX_IN_FLIGHT) {
      const queue = this.ready.shift();
      if (queue === undefined) return;
      this.batches += 1;
      void this.work(queue);
    }
  }

  private async work(queue: Queue): Promise<void> {
    const batch = this.takeBatch(queue);
    await this.send(batch);
    this.unanswered -= batch.reduce((sum, charge) => sum + charge.length, 0);
    this.batches -= 1;
    this.putBack(queue);
    this.dispatch();
    if (this.unanswered === 0) this.drained?.();
  }

  /** What came meanwhile has a place among the others; a queue that nothing came for is gone. */
  private putBack(queue: Queue): void {
    const [head] = queue.waiting;
    if (head === undefined) {
      this.queues.delete(queue.name);
      return;
    }
    const behind = this.ready.findIndex(({ waiting: [other] }) => other !== undefined && other.place > head.place);
    this.ready.splice(behind === -1 ? this.ready.length : behind, 0, queue);
  }

  /** The queue's head. A key of other content than one of the batch ends it: the next statement finds the first one stored. */
  private takeBatch({ waiting }: Queue): readonly Charge[] {
    const byKey = new Map<string, Charge>();
    let taken = 0;
    for (const call of waiting) {
      const same = byKey.get(call.charge.idempotencyKey);
      if (same === undefined ? byKey.size === this.maxBatch : !isSame(same[0].charge, call.charge)) break;
      if (same === undefined) byKey.set(call.charge.idempotencyKey, [call]);
      else same.push(call);
      taken += 1;
    }
    waiting.splice(0, taken);
    return [...byKey.values()];
  }

  private async send(batch: readonly Charge[]): Promise<void> {
    const [first] = batch;
    if (first === undefined) return;
    const { tenantId, limitIds } = first[0].charge;
    const items = batch.map(([call]) => toItem(call.charge));
    try {
      const outcomes = await this.run(({ reservations }) => reservations.reserveBatch(tenantId, limitIds, items));
      batch.forEach((charge, index) => answer(charge, outcomes[index]));
    } catch (error) {
      for (const call of batch.flat()) call.reject(copyOfError(error));
    }
  }
}

/** The limits are those of the queue; a time to live is no part of the content. */
const isSame = (a: CheckedReserve, b: CheckedReserve): boolean =>
  a.amountCents === b.amountCents && a.runId === b.runId;

const toItem = ({ amountCents, idempotencyKey, runId, ttlSeconds }: CheckedReserve): ReserveItem => ({
  amountCents,
  idempotencyKey,
  ttlSeconds,
  ...(runId === null ? {} : { runId }),
});

/** The first caller's answer is also that of those who asked for the very same; each gets an own error. */
function answer([first, ...others]: Charge, outcome: ReserveOutcome | undefined): void {
  settle(first, outcome);
  for (const call of others)
    settle(
      call,
      outcome?.kind === 'granted' || outcome?.kind === 'duplicate'
        ? { kind: 'duplicate', reservation: duplicateOf(outcome.reservation) }
        : outcome,
    );
}

/** With instants of its own: a Date can't be frozen, and is its holder's to change. */
const duplicateOf = (reservation: Reservation): Reservation =>
  Object.freeze({
    ...reservation,
    limits: Object.freeze(
      reservation.limits.map((each) => Object.freeze({ ...each, windowStart: new Date(each.windowStart) })),
    ),
    createdAt: new Date(reservation.createdAt),
    expiresAt: new Date(reservation.expiresAt),
    duplicate: true,
  });

function settle(call: Waiting, outcome: ReserveOutcome | undefined): void {
  try {
    if (outcome === undefined)
      throw new UnavailableError('the batch gave no answer for this charge', { details: { reason: 'no_answer' } });
    call.resolve(reservationOf(outcome));
  } catch (error) {
    call.reject(error);
  }
}
