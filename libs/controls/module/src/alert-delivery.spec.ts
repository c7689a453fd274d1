import { getAlertQueue } from '@hoc/controls/drivers';
import { AlertDeliveryEngine, type AlertDeliveryEngines } from '@hoc/controls/engines';
import { catalogue, entities, migrations } from '@hoc/controls/models';
import type { AlertQueuePort, AlertTransport } from '@hoc/controls/schemas';
import { type JsonValue, systemScope, type UnitOfWorkRunner } from '@hoc/shared/kernel';
import { createHoc, type HocModule, type HocServices } from '@hoc/shared/spine';
import { fixedClock, memoryLogger } from '@hoc/shared/testing';
import { insertRows, useEmptyDatabase } from '@hoc/testkit';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

const NOW = '2026-03-10T12:00:00.000Z';
const REPETITIONS = 5;
const clock = fixedClock(NOW);
const scope = systemScope('controls: alert delivery');
const after = (ms: number): Date => new Date(Date.parse(NOW) + ms);
const db = useEmptyDatabase({ entities: [], migrations: [] });

/** The part of the package that delivery needs. */
const alertModule: HocModule<'alerts', AlertDeliveryEngines, HocServices> = {
  name: 'alerts',
  requires: [],
  entities,
  migrations,
  catalogue,
  compose: (manager, deps) => ({ alerts: getAlertQueue(manager, scope, deps) }),
  services: () => ({ close: () => Promise.resolve() }),
};
const connect = () =>
  createHoc({ connection: { url: db.url(), applicationName: 'alerts' }, modules: [alertModule], clock });
type Worker = ReturnType<typeof connect>;
const runnerOf =
  (hoc: Worker, lockTimeoutMs = 30_000): UnitOfWorkRunner<AlertDeliveryEngines> =>
  (work) =>
    hoc.transaction(({ alerts }) => work(alerts), { lockTimeoutMs });
let hoc: Worker;
const inQueue = <T>(work: (alerts: AlertQueuePort) => Promise<T>): Promise<T> =>
  hoc.transaction(({ alerts }) => work(alerts.alerts));

type Reply = (response: ServerResponse, request: IncomingMessage) => void;
const answer =
  (status: number): Reply =>
  (response) =>
    response.writeHead(status).end();
/** Never answers, and lets the time for the send run out as soon as the request is there. */
const hang: Reply = () => timeIsOver();
const drop: Reply = (response) => response.destroy();

/** A receiver on the loopback: what arrived, and how the next requests are answered; 200 where nothing is said. */
const receiver = {
  server: undefined as Server | undefined,
  arrived: [] as { readonly line: string; readonly type: string | undefined; readonly body: JsonValue }[],
  replies: [] as Reply[],
  aborted: 0,
  url: (): string => `http://127.0.0.1:${(receiver.server?.address() as AddressInfo).port}`,
  names: (): string[] => receiver.arrived.map(({ body }) => nameOf(body)).sort(),
};
const nameOf = (payload: unknown): string =>
  (payload as readonly [{ readonly labels: { readonly alertname: string } }])[0].labels.alertname;

function receive(request: IncomingMessage, response: ServerResponse): void {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    const body = JSON.parse(Buffer.concat(chunks).toString()) as JsonValue;
    receiver.arrived.push({
      line: `${request.method} ${request.url}`,
      type: request.headers['content-type'],
      body,
    });
    (receiver.replies.shift() ?? answer(200))(response, request);
  });
  response.on('close', () => (receiver.aborted += response.writableFinished ? 0 : 1));
}

const transport = (url = receiver.url()): AlertTransport => ({
  async send({ payload }, signal) {
    const response = await fetch(`${url}/api/v2/alerts`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(payload),
      signal,
    });
    await response.arrayBuffer();
    return { status: response.status };
  },
});
const engineOn = (worker: Worker, over: AlertTransport = transport(), logger = memoryLogger()): AlertDeliveryEngine =>
  new AlertDeliveryEngine(runnerOf(worker), over, { clock, logger });

const payloadOf = (name: string): JsonValue => [
  {
    labels: { alertname: name, severity: 'p1', component: 'costsim', circuit_breaker: 'costsim_v2' },
    annotations: {
      summary: 'CostSim V2 circuit breaker tripped (P1)',
      description: 'Reason: é "drift"\nSample count: 1',
    },
    startsAt: NOW,
  },
];
const queued = (name: string, given: Readonly<Record<string, unknown>> = {}): Promise<void> =>
  insertRows(hoc.dataSource.manager, {
    table: 'costsim_alert_queue',
    row: {
      id: name,
      payload: JSON.stringify(payloadOf(name)),
      alert_type: 'disable',
      circuit_breaker_name: 'costsim_v2',
      next_attempt_at: after(0),
      created_at: after(0),
      ...given,
    },
  });
const stored = async (): Promise<Record<string, unknown>[]> =>
  hoc.dataSource.query('SELECT * FROM costsim_alert_queue ORDER BY id');
const turn = (): Promise<unknown> => new Promise((resolve) => setTimeout(resolve, 5));

/** What a send has of a lease of one second. */
const SHORT_LEASE_SEND_MS = 500;
let timeIsOver = (): void => undefined;
/** Puts the engine's timer of that length into the receiver's hand: how long a request takes to arrive is the machine's affair. */
function holdTimers(): void {
  const start = globalThis.setTimeout;
  const held = <A extends unknown[]>(work: (...args: A) => void, ms?: number, ...args: A): NodeJS.Timeout => {
    if (ms !== SHORT_LEASE_SEND_MS) return start(work, ms, ...args);
    timeIsOver = () => work(...args);
    return start(() => undefined);
  };
  jest.spyOn(globalThis, 'setTimeout').mockImplementation(held as typeof setTimeout);
}

describe('alerts from the queue to a receiver', () => {
  beforeAll(async () => {
    hoc = connect();
    await hoc.migrate();
    const server = createServer(receive);
    // A connection that nobody used for five seconds would be closed, perhaps under the next request.
    server.keepAliveTimeout = 0;
    receiver.server = server;
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  });
  beforeEach(() => {
    clock.set(NOW);
    Object.assign(receiver, { arrived: [], replies: [], aborted: 0 });
  });
  afterEach(() => {
    jest.restoreAllMocks();
    return hoc.dataSource.query('TRUNCATE costsim_alert_queue, costsim_cb_incidents, costsim_cb_state');
  });
  afterAll(async () => {
    receiver.server?.closeAllConnections();
    await new Promise((resolve) => receiver.server?.close(resolve));
    await hoc.close();
  });

  it('posts the alert’s array as it is stored, and says of its incident that it was told', async () => {
    await insertRows(hoc.dataSource.manager, {
      table: 'costsim_cb_incidents',
      row: { id: 'i-1', circuit_breaker_name: 'costsim_v2', timestamp: after(0), reason: 'drift', severity: 'P1' },
    });
    await queued('tripped', { incident_id: 'i-1' });
    expect(await engineOn(hoc).deliverDue()).toEqual({ claimed: 1, sent: 1, failed: 0 });
    expect(receiver.arrived).toEqual([
      { line: 'POST /api/v2/alerts', type: 'application/json', body: payloadOf('tripped') },
    ]);
    expect(await stored()).toMatchObject([{ status: 'sent', sent_at: after(0), attempts: 0, locked_until: null }]);
    expect(await hoc.dataSource.query('SELECT alert_sent, alert_sent_at FROM costsim_cb_incidents')).toEqual([
      { alert_sent: true, alert_sent_at: after(0) },
    ]);
    expect(await engineOn(hoc).deliverDue()).toEqual({ claimed: 0, sent: 0, failed: 0 });
  });

  it.each<readonly [string, Reply, RegExp]>([
    ['fails with 500', answer(500), /^the receiver answered 500$/],
    ['answers with a redirect', answer(304), /^the receiver answered 304$/],
    ['hangs', hang, new RegExp(`^no answer within ${SHORT_LEASE_SEND_MS} ms$`)],
    ['closes the socket', drop, /^TypeError: fetch failed \([A-Z_]+\)$/],
  ])('a receiver that %s: due again after its pause, and delivered then', async (_name, reply, error) => {
    await queued('a');
    receiver.replies.push(reply);
    holdTimers();
    const engine = engineOn(hoc);
    expect(await engine.deliverDue({ leaseSeconds: 1 })).toEqual({ claimed: 1, sent: 0, failed: 1 });
    expect(await stored()).toMatchObject([
      {
        status: 'pending',
        attempts: 1,
        locked_until: null,
        last_attempt_at: after(0),
        next_attempt_at: after(2000),
        last_error: expect.stringMatching(error) as string,
      },
    ]);
    clock.advance(1999);
    expect(await engine.deliverDue()).toEqual({ claimed: 0, sent: 0, failed: 0 });
    clock.advance(1);
    expect(await engine.deliverDue()).toEqual({ claimed: 1, sent: 1, failed: 0 });
    expect(receiver.names()).toEqual(['a', 'a']);
  });

  it('a send whose time is over is ended at the receiver too', async () => {
    await queued('a');
    receiver.replies.push(hang);
    holdTimers();
    await engineOn(hoc).deliverDue({ leaseSeconds: 1 });
    while (receiver.aborted === 0) await turn();
    expect(receiver.aborted).toBe(1);
  });

  it('a receiver that nobody reaches, or whose URL holds a password: why, and nothing more', async () => {
    await queued('a');
    const logger = memoryLogger();
    // A port that no server is given by chance, and that fetch does not refuse.
    await engineOn(hoc, transport('http://127.0.0.1:2'), logger).deliverDue();
    expect((await stored())[0]?.['last_error']).toBe('TypeError: fetch failed (ECONNREFUSED)');
    clock.advance(2000);
    // fetch refuses such a URL, and names it in full.
    await engineOn(hoc, transport('http://hoc:pa55word@am.example'), logger).deliverDue();
    expect((await stored())[0]?.['last_error']).toMatch(/includes credentials: …$/);
    expect(JSON.stringify([logger.entries, await stored()])).not.toContain('pa55word');
  });

  it.each([
    ['sends', 200, 'sent'],
    ['fails to send', 500, 'pending'],
  ])('a transport that %s, and changes what it was given, changes no lease', async (_name, status, becomes) => {
    await queued('a');
    const meddling: AlertTransport = {
      send: async (alert) => {
        alert.lockedUntil.setTime(0);
        expect(() => Object.assign(alert, { alertId: 'b' })).toThrow(TypeError);
        expect(() => Object.assign(alert.payload[0] as object, { labels: {} })).toThrow(TypeError);
        return Promise.resolve({ status });
      },
    };
    const { sent, failed } = await engineOn(hoc, meddling).deliverDue();
    expect(sent + failed).toBe(1);
    expect(await stored()).toMatchObject([{ status: becomes, locked_until: null }]);
  });

  it('stands in no transaction while it sends', async () => {
    await queued('a');
    await queued('b');
    const waiting: ServerResponse[] = [];
    receiver.replies.push(...[0, 1].map((): Reply => (response) => void waiting.push(response)));
    const done = engineOn(hoc).deliverDue();
    while (waiting.length < 2) await turn();
    expect(
      await db.dataSource().query(
        `SELECT pid FROM pg_stat_activity
         WHERE datname = current_database() AND application_name LIKE '%alerts%' AND xact_start IS NOT NULL`,
      ),
    ).toEqual([]);
    for (const response of waiting) answer(200)(response, response.req);
    expect(await done).toEqual({ claimed: 2, sent: 2, failed: 0 });
  });

  it.each([
    ['that another worker has sent meanwhile', true, { claimed: 1, sent: 0, failed: 0 }, 2],
    ['that nobody took since', false, { claimed: 1, sent: 1, failed: 0 }, 1],
  ])('an answer after the lease, of an alert %s', async (_name, taken, result, times) => {
    await queued('a');
    let late: ServerResponse | undefined;
    receiver.replies.push((response) => (late = response));
    const first = engineOn(hoc).deliverDue();
    while (late === undefined) await turn();
    expect(await engineOn(hoc).deliverDue()).toEqual({ claimed: 0, sent: 0, failed: 0 });
    clock.advance(60_000);
    if (taken) expect(await engineOn(hoc).deliverDue()).toEqual({ claimed: 1, sent: 1, failed: 0 });
    answer(200)(late, late.req);
    expect(await first).toEqual(result);
    expect(receiver.arrived).toHaveLength(times);
    expect(await stored()).toMatchObject([{ status: 'sent', attempts: 0, sent_at: after(60_000) }]);
  });

  it('a late failure doesn’t undo what another worker has sent', async () => {
    await queued('a');
    let late: ServerResponse | undefined;
    receiver.replies.push((response) => (late = response));
    const first = engineOn(hoc).deliverDue();
    while (late === undefined) await turn();
    clock.advance(60_000);
    await engineOn(hoc).deliverDue();
    answer(500)(late, late.req);
    expect(await first).toEqual({ claimed: 1, sent: 0, failed: 0 });
    expect(await stored()).toMatchObject([{ status: 'sent', attempts: 0, last_error: null }]);
  });

  it('an alert that can’t be marked stops no other, and is due again when its lease ends', async () => {
    for (const name of ['a', 'b', 'c']) await queued(name);
    const holder = db.dataSource().createQueryRunner();
    await holder.startTransaction();
    const http = transport();
    const logger = memoryLogger();
    const holding: AlertTransport = {
      send: async (alert, signal) => {
        if (alert.alertId === 'b') await holder.query(`SELECT FROM costsim_alert_queue WHERE id = 'b' FOR UPDATE`);
        return http.send(alert, signal);
      },
    };
    const engine = new AlertDeliveryEngine(runnerOf(hoc, 200), holding, { clock, logger });
    expect(await engine.deliverDue()).toEqual({ claimed: 3, sent: 2, failed: 0 });
    await holder.rollbackTransaction();
    await holder.release();
    expect(logger.entries.map(({ event, fields }) => [event, fields['alertId'], fields['code']])).toEqual([
      ['alert_mark_failed', 'b', 'UNAVAILABLE'],
    ]);
    expect((await stored()).map(({ status }) => status)).toEqual(['sent', 'pending', 'sent']);
    clock.advance(60_000);
    expect(await engineOn(hoc).deliverDue()).toEqual({ claimed: 1, sent: 1, failed: 0 });
    expect(receiver.names()).toEqual(['a', 'b', 'b', 'c']);
  });

  it('min(2^attempts, 300) seconds apart, then given up; taken up again by retryFailedAlerts', async () => {
    await queued('a');
    const logger = memoryLogger();
    const engine = engineOn(hoc, transport(), logger);
    receiver.replies.push(...Array.from({ length: 10 }, () => answer(503)));
    const pauses: number[] = [];
    for (let n = 1; n <= 10; n += 1) {
      expect(await engine.deliverDue()).toEqual({ claimed: 1, sent: 0, failed: 1 });
      const next = (await stored())[0]?.['next_attempt_at'] as Date;
      pauses.push((next.getTime() - clock.now().getTime()) / 1000);
      clock.set(next);
    }
    expect(pauses).toEqual([2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    expect(logger.entries.at(-1)).toMatchObject({ level: 'error', event: 'alert_given_up' });
    expect(await engine.deliverDue()).toEqual({ claimed: 0, sent: 0, failed: 0 });
    expect(await inQueue((alerts) => alerts.fetchAlertQueueStats())).toMatchObject({ pending: 0, failed: 1 });
    expect(await inQueue((alerts) => alerts.retryFailedAlerts())).toBe(1);
    expect(await engine.deliverDue()).toEqual({ claimed: 1, sent: 1, failed: 0 });
    expect(await inQueue((alerts) => alerts.fetchAlertQueueStats())).toEqual({
      pending: 0,
      sent: 1,
      failed: 0,
      oldestPendingAt: null,
    });
  });

  it('G.1: two workers, one of them killed between claim and mark: each alert arrives, none by two with one live lease, none is lost', async () => {
    for (let n = 0; n < REPETITIONS; n += 1) {
      await hoc.dataSource.query('TRUNCATE costsim_alert_queue');
      Object.assign(receiver, { arrived: [] });
      const names = Array.from({ length: 24 }, (_, k) => `a-${String(k).padStart(2, '0')}`);
      for (const name of names) await queued(name);
      const leases: { readonly alertId: string; readonly from: number; readonly until: number }[] = [];
      let claimedOnce: () => void = () => undefined;
      const underWay = new Promise<void>((resolve) => (claimedOnce = resolve));
      const noting =
        (run: UnitOfWorkRunner<AlertDeliveryEngines>): UnitOfWorkRunner<AlertDeliveryEngines> =>
        (work) =>
          run(({ alerts }) => {
            const claimDueAlerts: AlertQueuePort['claimDueAlerts'] = async (options) => {
              const from = clock.now().getTime();
              const claimed = await alerts.claimDueAlerts(options);
              for (const { alertId, lockedUntil } of claimed)
                leases.push({ alertId, from, until: lockedUntil.getTime() });
              claimedOnce();
              return claimed;
            };
            return work({ alerts: { ...alerts, claimDueAlerts } });
          });
      const victim = connect();
      const http = transport();
      let sends = 0;
      // Its process ends while it sends: three of its alerts arrive, and none is marked any more.
      const dying: AlertTransport = {
        send: async (alert, signal) => {
          sends += 1;
          const result = sends <= 3 ? await http.send(alert, signal) : { status: 200 };
          await victim.close();
          return result;
        },
      };
      const survivor = new AlertDeliveryEngine(noting(runnerOf(hoc)), http, { clock });
      const doomed = new AlertDeliveryEngine(noting(runnerOf(victim)), dying, { clock });
      const drain = async (): Promise<number> => {
        let sent = 0;
        for (let claimed = 1; claimed > 0;) {
          const round = await survivor.deliverDue({ limit: 5 });
          expect(round).toEqual({ claimed: round.claimed, sent: round.claimed, failed: 0 });
          sent += round.sent;
          claimed = round.claimed;
        }
        return sent;
      };
      const dead = doomed.deliverDue({ limit: 10 });
      await underWay;
      const [lost, first] = await Promise.all([dead, drain()]);
      expect([lost, first]).toEqual([{ claimed: 10, sent: 0, failed: 0 }, 14]);
      expect(await survivor.deliverDue()).toEqual({ claimed: 0, sent: 0, failed: 0 });
      clock.advance(60_000);
      expect(await drain()).toBe(10);
      expect(receiver.arrived).toHaveLength(names.length + 3);
      expect([...new Set(receiver.names())]).toEqual(names);
      expect((await stored()).map(({ id, status }) => [id, status])).toEqual(names.map((id) => [id, 'sent']));
      for (const a of leases)
        for (const b of leases)
          if (a !== b && a.alertId === b.alertId) expect(a.until <= b.from || b.until <= a.from).toBe(true);
    }
  });

  it('close waits for what is on its way and for its mark', async () => {
    await queued('a');
    let held: ServerResponse | undefined;
    receiver.replies.push((response) => (held = response));
    const engine = engineOn(hoc);
    const done = engine.deliverDue();
    while (held === undefined) await turn();
    const closed = engine.close();
    expect(engine.close()).toBe(closed);
    await expect(engine.deliverDue()).rejects.toMatchObject({ details: { reason: 'closed' }, retryable: false });
    answer(200)(held, held.req);
    await closed;
    expect(await stored()).toMatchObject([{ status: 'sent' }]);
    expect(await done).toEqual({ claimed: 1, sent: 1, failed: 0 });
  });
});
