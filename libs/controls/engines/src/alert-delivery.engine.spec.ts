import {
  ALERT_SEND_CONCURRENCY,
  type AlertQueuePort,
  type AlertTransport,
  type ClaimAlertsOptions,
  type ClaimedAlert,
} from '@hoc/controls/schemas';
import type { UnitOfWorkRunner } from '@hoc/shared/kernel';
import { UnavailableError } from '@hoc/shared/kernel';
import { fixedClock, memoryLogger } from '@hoc/shared/testing';
import { type AlertDeliveryEngines, AlertDeliveryEngine } from './alert-delivery.engine';

const NOW = new Date('2026-03-10T12:00:00.000Z');
const clock = fixedClock(NOW);
const alert = (alertId: string, given: Partial<ClaimedAlert> = {}): ClaimedAlert => ({
  alertId,
  alertType: 'disable',
  circuitBreakerName: 'costsim_v2',
  incidentId: null,
  payload: [{ labels: { alertname: 'CostSimV2Disabled' } }],
  attempts: 0,
  maxAttempts: 10,
  createdAt: NOW,
  lockedUntil: new Date(NOW.getTime() + 60_000),
  ...given,
});
const alerts = (n: number): ClaimedAlert[] => Array.from({ length: n }, (_, k) => alert(`a-${k + 1}`));
const ok = { status: 200 };

/** A queue in memory that keeps what it was asked, and the engine on it. */
function delivery(claimed: readonly ClaimedAlert[], transport: AlertTransport | undefined, mark = () => true) {
  const asked: string[] = [];
  const claims: (ClaimAlertsOptions | undefined)[] = [];
  const logger = memoryLogger();
  let open = 0;
  const queue: AlertQueuePort = {
    claimDueAlerts: (options) => {
      claims.push(options);
      return Promise.resolve(claimed);
    },
    markAlertSent: async (id) => {
      asked.push(`sent ${id}`);
      return Promise.resolve(mark());
    },
    markAlertFailed: async (id, _lease, error) => {
      asked.push(`failed ${id}: ${error}`);
      return Promise.resolve(mark());
    },
    retryFailedAlerts: () => Promise.resolve(0),
    fetchAlertQueueStats: () => Promise.resolve({ pending: 0, sent: 0, failed: 0, oldestPendingAt: null }),
  };
  const run: UnitOfWorkRunner<AlertDeliveryEngines> = async (work) => {
    open += 1;
    try {
      return await work({ alerts: queue });
    } finally {
      open -= 1;
    }
  };
  const engine = new AlertDeliveryEngine(run, transport, { clock, logger });
  const events = (): string[] => logger.entries.map(({ level, event }) => `${level} ${event}`);
  return { engine, asked, claims, open: () => open, logger, events };
}

beforeEach(() => clock.set(NOW));

describe('deliverDue', () => {
  it('claims, sends outside any transaction, and marks each alert by itself', async () => {
    const seen: [string, number, boolean][] = [];
    const made = delivery(alerts(3), {
      send: ({ alertId }, signal) => {
        seen.push([alertId, made.open(), signal.aborted]);
        return Promise.resolve(ok);
      },
    });
    expect(await made.engine.deliverDue({ limit: 3, leaseSeconds: 30 })).toEqual({ claimed: 3, sent: 3, failed: 0 });
    expect(made.claims).toEqual([{ limit: 3, leaseSeconds: 30 }]);
    expect(seen).toEqual(['a-1', 'a-2', 'a-3'].map((id) => [id, 0, false]));
    expect(made.asked.sort()).toEqual(['sent a-1', 'sent a-2', 'sent a-3']);
    expect(made.events()).toEqual([]);
  });

  it('asks for ten and a minute unless told otherwise; with nothing due it sends nothing', async () => {
    const send = jest.fn();
    const made = delivery([], { send });
    expect(await made.engine.deliverDue()).toEqual({ claimed: 0, sent: 0, failed: 0 });
    expect([made.claims, send.mock.calls]).toEqual([[{ limit: 10, leaseSeconds: 60 }], []]);
  });

  it.each([199, 300, 404, 500, 200.5, NaN, '200', undefined, null])(
    'status %p is a failed delivery',
    async (status) => {
      const made = delivery([alert('a')], { send: () => Promise.resolve({ status: status as number }) });
      expect(await made.engine.deliverDue()).toEqual({ claimed: 1, sent: 0, failed: 1 });
      const integer = Number.isInteger(status);
      expect(made.asked).toEqual([
        `failed a: ${integer ? `the receiver answered ${status}` : 'the transport gave no HTTP status'}`,
      ]);
      expect(made.events()).toEqual(['warn alert_delivery_failed']);
    },
  );

  it.each([200, 202, 299])('status %p is accepted', async (status) => {
    const made = delivery([alert('a')], { send: () => Promise.resolve({ status }) });
    expect(await made.engine.deliverDue()).toEqual({ claimed: 1, sent: 1, failed: 0 });
  });

  it('no answer at all is a failed delivery', async () => {
    const made = delivery([alert('a')], { send: () => Promise.resolve(undefined as never) });
    expect(await made.engine.deliverDue()).toMatchObject({ failed: 1 });
    expect(made.asked).toEqual(['failed a: the transport gave no HTTP status']);
  });

  it('a throw, also one before the first await, is a failed delivery without its secrets', async () => {
    const made = delivery(alerts(2), {
      send: ({ alertId, payload }) => {
        const error = new Error(`POST https://u:pw@am/x?k=v: ${JSON.stringify(payload)}`);
        if (alertId === 'a-1') throw error;
        return Promise.reject(error);
      },
    });
    expect(await made.engine.deliverDue()).toEqual({ claimed: 2, sent: 0, failed: 2 });
    expect(made.asked).toEqual([1, 2].map((n) => `failed a-${n}: Error: POST https://am/… …`));
  });

  it('the last attempt is told louder', async () => {
    const made = delivery([alert('a', { attempts: 9 })], { send: () => Promise.resolve({ status: 503 }) });
    await made.engine.deliverDue();
    expect(made.logger.entries).toEqual([
      {
        level: 'error',
        event: 'alert_given_up',
        fields: {
          alertId: 'a',
          alertType: 'disable',
          circuitBreaker: 'costsim_v2',
          attempt: 10,
          error: 'the receiver answered 503',
        },
      },
    ]);
  });

  it('sends four at a time, and the next as soon as one is done', async () => {
    const waiting: (() => void)[] = [];
    const started: string[] = [];
    const made = delivery(alerts(6), {
      send: ({ alertId }) => {
        started.push(alertId);
        return new Promise((resolve) => waiting.push(() => resolve(ok)));
      },
    });
    const done = made.engine.deliverDue();
    const settle = (): Promise<unknown> => new Promise((resolve) => setImmediate(resolve));
    await settle();
    expect(started).toHaveLength(ALERT_SEND_CONCURRENCY);
    waiting[2]?.();
    await settle();
    expect(started).toEqual(['a-1', 'a-2', 'a-3', 'a-4', 'a-5']);
    waiting[4]?.();
    await settle();
    for (const end of waiting) end();
    expect(await done).toEqual({ claimed: 6, sent: 6, failed: 0 });
  });

  it.each([
    ['an alert of which another worker has the lease', () => false, 'warn alert_lease_lost'],
    [
      'a mark that fails',
      () => {
        throw new UnavailableError('gone', { retryable: true });
      },
      'error alert_mark_failed',
    ],
  ])('%s is neither sent nor failed, and stops no other', async (_name, nth, event) => {
    let marks = 0;
    const made = delivery(alerts(3), { send: () => Promise.resolve(ok) }, () => ((marks += 1) === 2 ? nth() : true));
    expect(await made.engine.deliverDue()).toEqual({ claimed: 3, sent: 2, failed: 0 });
    expect(made.asked).toHaveLength(3);
    expect(made.events()).toEqual([event]);
  });

  it('an alert whose lease leaves no time for a send is not sent', async () => {
    const send = jest.fn(() => Promise.resolve(ok));
    const made = delivery([alert('late', { lockedUntil: new Date(NOW.getTime() + 9_999) }), alert('a')], { send });
    expect(await made.engine.deliverDue()).toEqual({ claimed: 2, sent: 1, failed: 0 });
    expect([send.mock.calls.length, made.asked, made.events()]).toEqual([
      1,
      ['sent a'],
      ['warn alert_lease_too_short'],
    ]);
  });

  it('a claim that fails is the caller’s to see', async () => {
    const run = (): Promise<never> => Promise.reject(new UnavailableError('gone', { retryable: true }));
    const engine = new AlertDeliveryEngine(run, { send: () => Promise.resolve(ok) }, { clock });
    await expect(engine.deliverDue()).rejects.toMatchObject({ code: 'UNAVAILABLE', retryable: true });
  });
});

describe('time', () => {
  beforeEach(() => jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick', 'queueMicrotask'] }));
  afterEach(() => jest.useRealTimers());

  it.each([
    { n: 1, leaseSeconds: 60, ms: 10_000 },
    { n: 1, leaseSeconds: 1, ms: 500 },
    { n: 5, leaseSeconds: 3, ms: 1_000 },
    { n: 200, leaseSeconds: 1, ms: 19 },
  ])('$n alerts on a lease of $leaseSeconds s: each send has $ms ms', async ({ n, leaseSeconds, ms }) => {
    const signals: AbortSignal[] = [];
    const lockedUntil = new Date(NOW.getTime() + leaseSeconds * 1000);
    const made = delivery(
      alerts(n).map((each) => ({ ...each, lockedUntil })),
      // It doesn't heed its signal.
      { send: (_alert, signal) => (signals.push(signal), new Promise(() => undefined)) },
    );
    const done = made.engine.deliverDue({ limit: n, leaseSeconds });
    await jest.advanceTimersByTimeAsync(ms - 1);
    expect(signals.map(({ aborted }) => aborted)).toEqual(Array.from({ length: Math.min(n, 4) }, () => false));
    await jest.advanceTimersByTimeAsync(1);
    expect(signals[0]?.aborted).toBe(true);
    expect(made.asked[0]).toBe(`failed a-1: no answer within ${ms} ms`);
    // All of them, one after the other and with none of them answering, within the lease.
    await jest.advanceTimersByTimeAsync(leaseSeconds * 1000 - ms - 1);
    expect(await done).toEqual({ claimed: n, sent: 0, failed: n });
    expect(signals.every(({ aborted }) => aborted)).toBe(true);
    expect(jest.getTimerCount()).toBe(0);
  });

  it('what a transport does after its time changes nothing', async () => {
    let end: (how: 'answer' | 'throw') => void = () => undefined;
    const made = delivery([alert('a')], {
      send: () =>
        new Promise((resolve, reject) => {
          end = (how) => (how === 'answer' ? resolve(ok) : reject(new Error('late')));
        }),
    });
    for (const how of ['answer', 'throw'] as const) {
      const done = made.engine.deliverDue();
      await jest.advanceTimersByTimeAsync(10_000);
      end(how);
      expect(await done).toEqual({ claimed: 1, sent: 0, failed: 1 });
    }
    expect(made.asked).toHaveLength(2);
  });

  it('an answer leaves no timer behind', async () => {
    const made = delivery(alerts(3), { send: () => Promise.resolve(ok) });
    await made.engine.deliverDue();
    expect(jest.getTimerCount()).toBe(0);
  });
});

describe('refusals and the end', () => {
  it.each([{ limit: 0 }, { limit: 201 }, { limit: 1.5 }, { leaseSeconds: 0 }, { leaseSeconds: 3601 }, [], null])(
    'deliverDue(%j) → INVALID_ARGUMENT, and nothing is claimed',
    async (options) => {
      const made = delivery(alerts(1), { send: () => Promise.resolve(ok) });
      await expect(made.engine.deliverDue(options as never)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
      expect(made.claims).toEqual([]);
    },
  );

  it('without a transport nothing is claimed', async () => {
    const made = delivery(alerts(1), undefined);
    await expect(made.engine.deliverDue()).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      retryable: false,
      details: { reason: 'transport_missing' },
    });
    expect(made.claims).toEqual([]);
    await made.engine.close();
  });

  it('close waits for the marks of what is on its way, aborts nothing, and is one promise', async () => {
    const waiting: (() => void)[] = [];
    const signals: AbortSignal[] = [];
    const made = delivery(alerts(6), {
      send: (_alert, signal) => (signals.push(signal), new Promise((resolve) => waiting.push(() => resolve(ok)))),
    });
    const done = made.engine.deliverDue();
    const closed = made.engine.close();
    expect(made.engine.close()).toBe(closed);
    await expect(made.engine.deliverDue()).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      retryable: false,
      details: { reason: 'closed' },
    });
    let over = false;
    void closed.then(() => (over = true));
    for (let n = 0; n < 6; n += 1) {
      await new Promise((resolve) => setImmediate(resolve));
      expect(over).toBe(false);
      waiting[n]?.();
    }
    await closed;
    expect(await done).toEqual({ claimed: 6, sent: 6, failed: 0 });
    expect([made.asked.length, signals.some(({ aborted }) => aborted), made.claims.length]).toEqual([6, false, 1]);
  });

  it('close without a delivery resolves, also where the last one failed', async () => {
    const run = (): Promise<never> => Promise.reject(new UnavailableError('gone'));
    const engine = new AlertDeliveryEngine(run, { send: () => Promise.resolve(ok) }, { clock });
    const failed = expect(engine.deliverDue()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await engine.close();
    await failed;
  });
});
