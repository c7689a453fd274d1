import type {
  BatchIngestItem,
  CusLlmUsageIngest,
  IngestResult,
  NewUsage,
  UsageCoalescerOptions,
} from '@hoc/activity/schemas';
import {
  assertInt,
  assertJsonObject,
  assertObject,
  assertTenantId,
  ConflictError,
  copyOfError,
  type DriverDeps,
  InvalidArgumentError,
  NotFoundError,
  UnavailableError,
  type UnitOfWorkRunner,
} from '@hoc/shared/kernel';
import type { CusTelemetryEngine } from './cus-telemetry.engine';
import { toNewUsage } from './usage-request.engine';

const QUEUE_DEFAULT = 10_000;
const QUEUE_MAX = 1_000_000;
const BATCH_MAX = 1_000;

/** The engines that a batch needs. */
export interface CoalescerEngines {
  readonly telemetry: Pick<CusTelemetryEngine, 'ingestImported'>;
}

/** A coalescer whose batches run as `run` does; made once per process. @throws InvalidArgumentError for a bound out of range */
export function createUsageCoalescer(
  run: UnitOfWorkRunner<CoalescerEngines>,
  deps: DriverDeps,
  options: UsageCoalescerOptions = {},
): UsageCoalescer {
  return new UsageCoalescer(run, deps, options);
}

/** A call that waits, and how its caller is answered. */
interface Waiting {
  /** Its place in the order of arrival, over all tenants. */
  readonly place: number;
  readonly tenantId: string;
  readonly usage: NewUsage;
  readonly resolve: (result: IngestResult) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Single calls at the rate of batches: what arrives while a batch is in flight goes into the next one. No timer, one
 * transaction open at a time, one tenant in each. A caller is answered after the commit that holds its call, with what
 * `ingestUsage` would have said.
 */
export class UsageCoalescer {
  private readonly maxQueue: number;
  private readonly maxBatch: number;
  /** Waiting calls by tenant, in order of arrival. */
  private readonly waiting = new Map<string, Waiting[]>();
  private arrived = 0;
  private settling = 0;
  private sending = false;
  private closing: Promise<void> | undefined;
  private drained: (() => void) | undefined;

  constructor(
    private readonly run: UnitOfWorkRunner<CoalescerEngines>,
    private readonly deps: DriverDeps,
    options: UsageCoalescerOptions = {},
  ) {
    assertObject(options, 'options');
    this.maxQueue = assertInt(options.maxQueue ?? QUEUE_DEFAULT, 'maxQueue', 1, QUEUE_MAX);
    this.maxBatch = assertInt(options.maxBatch ?? BATCH_MAX, 'maxBatch', 1, BATCH_MAX);
  }

  /** Calls that are not settled yet: waiting and in flight. */
  get pending(): number {
    return this.settling;
  }

  /**
   * Takes one call and answers after its commit.
   * @throws InvalidArgumentError at once for a bad call, ConflictError where another content is stored under its call id,
   * NotFoundError for an unknown integration, UnavailableError reason `queue_full` (retryable) or `closed`; with
   * `details.outcome` `unknown` the call may be stored: send it again under its call id
   */
  async ingest(tenantId: string, integrationId: string | null, usage: CusLlmUsageIngest): Promise<IngestResult> {
    const tenant = assertTenantId(tenantId);
    const call = own(toNewUsage(usage, integrationId, this.deps.clock.now()));
    if (this.closing !== undefined)
      throw new UnavailableError('closed: no call is taken any more', { details: { reason: 'closed' } });
    if (this.settling >= this.maxQueue)
      throw new UnavailableError('too many calls wait: send this one again later', {
        retryable: true,
        details: { reason: 'queue_full', maxQueue: this.maxQueue },
      });
    return new Promise<IngestResult>((resolve, reject) => {
      this.enqueue({ place: this.arrived++, tenantId: tenant, usage: call, resolve, reject });
    });
  }

  /** Takes no further call, sends what waits, and resolves when every caller is answered. */
  close(): Promise<void> {
    this.closing ??= this.settling === 0 ? Promise.resolve() : new Promise((resolve) => (this.drained = resolve));
    return this.closing;
  }

  private enqueue(call: Waiting): void {
    const calls = this.waiting.get(call.tenantId);
    if (calls === undefined) this.waiting.set(call.tenantId, [call]);
    else calls.push(call);
    this.settling += 1;
    if (this.sending) return;
    this.sending = true;
    // A microtask later, so that calls of one tick go together and a lone call waits for nobody.
    queueMicrotask(() => void this.sendAll());
  }

  private async sendAll(): Promise<void> {
    for (let batch = this.takeBatch(); batch.length > 0; batch = this.takeBatch()) {
      await this.send(batch);
      this.settling -= batch.length;
      if (this.settling === 0) this.drained?.();
    }
    this.sending = false;
  }

  /** The oldest call of all chooses the tenant: none starves, however much another one sends. */
  private takeBatch(): readonly Waiting[] {
    let oldest: Waiting[] = [];
    for (const calls of this.waiting.values())
      if ((calls[0]?.place ?? Infinity) < (oldest[0]?.place ?? Infinity)) oldest = calls;
    const batch = oldest.splice(0, this.maxBatch);
    if (oldest.length === 0 && batch[0] !== undefined) this.waiting.delete(batch[0].tenantId);
    return batch;
  }

  private async send(batch: readonly Waiting[]): Promise<void> {
    const [first] = batch;
    if (first === undefined) return;
    const usages = batch.map((call) => call.usage);
    try {
      const { items } = await this.run(({ telemetry }) => telemetry.ingestImported(first.tenantId, usages));
      const answers = new Map(items.map((item) => [item.index, item]));
      batch.forEach((call, index) => answer(call, answers.get(index)));
    } catch (error) {
      const bad = InvalidArgumentError.is(error) ? batch[Number(error.details['index'] ?? -1)] : undefined;
      if (bad === undefined) return batch.forEach((call) => call.reject(copyOfError(error)));
      // It was right when it came, and isn't any more: its time, say, where the clock was set back.
      bad.reject(error);
      await this.send(batch.filter((call) => call !== bad));
    }
  }
}

/** Its sender may change what it gave us while the call waits. */
const own = (usage: NewUsage): NewUsage =>
  usage.metadata === undefined ? usage : { ...usage, metadata: assertJsonObject(usage.metadata, 'metadata') };

function answer(call: Waiting, item: BatchIngestItem | undefined): void {
  const { callId, integrationId } = call.usage;
  if (item?.status === 'accepted' || item?.status === 'duplicate') {
    if (item.id !== null) return call.resolve(Object.freeze({ status: item.status, id: item.id, callId }));
  }
  if (item?.status === 'conflict')
    return call.reject(
      new ConflictError('another content is stored under this call id: the first write stands', {
        details: { reason: 'content', callId },
      }),
    );
  if (item?.code === 'INTEGRATION_NOT_FOUND')
    return call.reject(
      new NotFoundError('the tenant has no such integration', { details: { field: 'integrationId', integrationId } }),
    );
  call.reject(new UnavailableError('the batch gave no answer for this call', { details: { reason: 'no_answer' } }));
}
