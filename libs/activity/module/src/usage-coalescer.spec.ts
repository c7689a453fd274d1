import type { CusLlmUsageIngest, IngestResult } from '@hoc/activity/schemas';
import { HocError, uuidV7Generator } from '@hoc/shared/kernel';
import { createHoc, ensureImportTarget, withTransaction } from '@hoc/shared/spine';
import { fixedClock } from '@hoc/shared/testing';
import { statementCounter, tcpProxy, useEmptyDatabase } from '@hoc/testkit';
import fc from 'fast-check';
import type { EntityManager } from 'typeorm';
import { activityModule, createUsageCoalescer, UsageCoalescer } from './index';

const TENANTS = ['t-a', 't-b', 't-c'];
const NOW = '2026-03-10T12:00:00.000Z';
const clock = fixedClock(NOW);
const deps = { clock, ids: uuidV7Generator(clock) };
const db = useEmptyDatabase({ entities: [], migrations: [] });
const connect = (url: string) =>
  createHoc({ connection: { url, applicationName: 'coalescer' }, modules: [activityModule], clock });
let hoc: ReturnType<typeof connect>;

const U: CusLlmUsageIngest = {
  callId: 'c-1',
  provider: 'azure_openai',
  model: 'gpt-4',
  tokensIn: 374,
  tokensOut: 44,
  costCents: '1.386',
};
const call = (callId: string, more: Partial<CusLlmUsageIngest> = {}): CusLlmUsageIngest => ({ ...U, callId, ...more });

type Answer = IngestResult | HocError;
const settled = (work: Promise<IngestResult>): Promise<Answer> =>
  work.catch((error: unknown) => {
    if (HocError.is(error)) return error;
    throw error;
  });
/** What a caller is told, without the id. */
const told = (answer: Answer): readonly unknown[] =>
  HocError.is(answer) ? [answer.code, answer.message, answer.details] : [answer.status, answer.callId];

const raise = (manager: EntityManager, sqlstate: string): Promise<unknown> =>
  manager.query(`DO $$ BEGIN RAISE EXCEPTION 'forced' USING ERRCODE = '${sqlstate}'; END $$`);

/** The module's services on transactions of the given database, each of which fails at its end where `sqlstates` says so. */
function services(sqlstates: (string | null)[] = [], before: () => Promise<void> = () => Promise.resolve()) {
  let begun = 0;
  const made = activityModule.services(async (work) => {
    await before();
    return withTransaction(
      db.dataSource(),
      async (manager) => {
        begun += 1;
        const done = await work(manager);
        const sqlstate = sqlstates.shift() ?? null;
        if (sqlstate !== null) await raise(manager, sqlstate);
        return done;
      },
      { sleep: () => Promise.resolve() },
    );
  }, deps);
  return { ...made, transactions: () => begun };
}

const rows = (): Promise<{ tenant_id: string; call_id: string; id: string; created_at: Date }[]> =>
  db.dataSource().query('SELECT tenant_id, call_id, id, created_at FROM cus_llm_usage ORDER BY 1, 2');
const clear = (): Promise<unknown> => db.dataSource().query('TRUNCATE cus_llm_usage, cus_usage_daily');

describe('the coalescer on a database', () => {
  beforeAll(async () => {
    hoc = connect(db.url());
    await hoc.migrate();
    for (const tenantId of TENANTS)
      await hoc.transaction(({ manager }) =>
        ensureImportTarget(manager, { tenantId, integrationId: 'int-1', providerType: 'openai' }, { clock }),
      );
  });
  beforeEach(() => {
    clock.set(NOW);
  });
  afterEach(clear);
  afterAll(() => hoc.close());

  it('A.2: is one of the services, and closes with them', async () => {
    const own = connect(db.url());
    const { coalescer } = own.services.activity;
    expect(coalescer).toBeInstanceOf(UsageCoalescer);
    const taken = coalescer.ingest('t-a', 'int-1', call('c-1'));
    await own.close();
    expect(await taken).toMatchObject({ status: 'accepted', callId: 'c-1' });
    expect(told(await settled(coalescer.ingest('t-a', 'int-1', U)))[2]).toEqual({ reason: 'closed' });
    expect((await rows()).map(({ id }) => id)).toEqual([(await taken).id]);
  });

  it('A.2: an app makes one of its own from any runner', async () => {
    const own = createUsageCoalescer(
      (work) => withTransaction(db.dataSource(), (manager) => work(activityModule.compose(manager, deps))),
      deps,
      { maxBatch: 10 },
    );
    expect(await own.ingest('t-a', null, { ...U, integrationId: 'int-1' })).toMatchObject({ status: 'accepted' });
    await own.close();
  });

  it('F71: 64 calls of one tick are one transaction, each stored under the id that its caller is told', async () => {
    const { coalescer, transactions, close } = services();
    const results = await Promise.all(
      Array.from({ length: 64 }, (_, n) => coalescer.ingest('t-a', 'int-1', call(`c-${n}`))),
    );
    await close();
    expect(transactions()).toBe(1);
    const ids = new Map((await rows()).map((row) => [row.call_id, row.id]));
    expect(ids.size).toBe(64);
    for (const { callId, id, status } of results) expect([status, id]).toEqual(['accepted', ids.get(callId)]);
  });

  it('F75: each call of a tick has the answer that ingestUsage would have given', async () => {
    const { coalescer, close } = services();
    const calls: readonly (readonly [CusLlmUsageIngest, string])[] = [
      [U, 'int-1'],
      [U, 'int-1'],
      [{ ...U, tokensOut: 45 }, 'int-1'],
      [{ ...U, tokensIn: -1 }, 'int-1'],
      [call('c-9'), 'nope'],
      [call('c-10'), 'int-1'],
    ];
    const answers = calls.map(([usage, integration]) => settled(coalescer.ingest('t-a', integration, usage)));
    expect(coalescer.pending).toBe(5);
    const [one, two, ...rest] = await Promise.all(answers);
    expect([told(one as Answer)[0], told(two as Answer)[0], (two as IngestResult).id]).toEqual([
      ...['accepted', 'duplicate', (one as IngestResult).id],
    ]);
    expect(rest.map((answer) => told(answer)[0])).toEqual(['CONFLICT', 'INVALID_ARGUMENT', 'NOT_FOUND', 'accepted']);
    expect((rest[0] as HocError).details['callId']).toBe('c-1');
    expect((await rows()).map((row) => row.call_id)).toEqual(['c-1', 'c-10']);
    await close();
  });

  it('F76: a deadlock is retried unseen; a batch whose every attempt fails tells its callers, and the next one is stored', async () => {
    const { coalescer, close, transactions } = services(['40P01', null, '40P01', '40001', '40P01', '40P01']);
    const pair = (from: number): Promise<readonly Answer[]> =>
      Promise.all([from, from + 1].map((n) => settled(coalescer.ingest('t-a', 'int-1', call(`c-${n}`)))));
    expect((await pair(1)).map((answer) => told(answer)[0])).toEqual(['accepted', 'accepted']);
    expect(transactions()).toBe(2);
    const lost = pair(3);
    await Promise.resolve();
    const next = settled(coalescer.ingest('t-b', 'int-1', call('c-5')));
    for (const answer of await lost)
      expect(answer).toMatchObject({ code: 'UNAVAILABLE', retryable: true, details: { attempts: 4 } });
    expect(told(await next)[0]).toBe('accepted');
    expect((await rows()).map((row) => row.call_id)).toEqual(['c-1', 'c-2', 'c-5']);
    await close();
  });

  it('F77: lost during COMMIT, the callers of that batch alone do not know; those of the next are stored', async () => {
    const proxy = await tcpProxy(db.url());
    const own = connect(proxy.url);
    const { coalescer } = own.services.activity;
    let next: Promise<readonly Answer[]> | undefined;
    try {
      await coalescer.ingest('t-c', 'int-1', call('warm-up'));
      proxy.onClientData((chunk) => {
        if (!chunk.includes('COMMIT')) return;
        proxy.onClientData(null);
        proxy.freezeReplies();
        next = Promise.all([1, 2].map((n) => settled(coalescer.ingest('t-b', 'int-1', call(`n-${n}`)))));
        setTimeout(proxy.drop, 50);
      });
      const lost = await Promise.all([1, 2].map((n) => settled(coalescer.ingest('t-a', 'int-1', call(`c-${n}`)))));
      for (const answer of lost)
        expect(answer).toMatchObject({ code: 'UNAVAILABLE', retryable: false, details: { outcome: 'unknown' } });
      expect((await next)?.map((answer) => told(answer)[0])).toEqual(['accepted', 'accepted']);
    } finally {
      await own.close();
      await proxy.close();
    }
    const again = await Promise.all(
      [1, 2].map((n) => hoc.services.activity.coalescer.ingest('t-a', 'int-1', call(`c-${n}`))),
    );
    const ids = new Map((await rows()).map((row) => [row.call_id, row.id]));
    for (const { status, id, callId } of again) expect([status, id]).toEqual(['duplicate', ids.get(callId)]);
    expect([...ids.keys()]).toEqual(['c-1', 'c-2', 'n-1', 'n-2', 'warm-up']);
  });

  it('F78: close, while one is in flight and two wait: all three are stored, a later call is not taken', async () => {
    let release: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => (release = resolve));
    const { coalescer, close } = services([], () => gate);
    const taken = [coalescer.ingest('t-a', 'int-1', call('c-1'))];
    await Promise.resolve();
    taken.push(coalescer.ingest('t-a', 'int-1', call('c-2')), coalescer.ingest('t-b', 'int-1', call('c-3')));
    const closed = close();
    expect(close()).toBe(closed);
    expect(told(await settled(coalescer.ingest('t-a', 'int-1', call('c-4'))))[2]).toEqual({ reason: 'closed' });
    expect(await rows()).toEqual([]);
    release();
    await closed;
    expect((await Promise.all(taken)).map(({ status }) => status)).toEqual(['accepted', 'accepted', 'accepted']);
    expect((await rows()).map((row) => row.call_id)).toEqual(['c-1', 'c-2', 'c-3']);
  });

  it('a call that says nothing of its time happened when it was written; one that does, then', async () => {
    let release: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => (release = resolve));
    const { coalescer, close } = services([], () => gate);
    const taken = [
      coalescer.ingest('t-a', 'int-1', call('c-1')),
      coalescer.ingest('t-a', 'int-1', call('c-2', { occurredAt: new Date('2026-03-09T23:59:59.999Z') })),
    ];
    clock.advance(60_000);
    release();
    await Promise.all(taken);
    expect((await rows()).map((row) => row.created_at.toISOString())).toEqual([
      '2026-03-10T12:01:00.000Z',
      '2026-03-09T23:59:59.999Z',
    ]);
    await close();
  });

  it('a since-deleted integration takes no new call, and still knows its old ones', async () => {
    const { coalescer, close } = services();
    await hoc.transaction(({ manager }) =>
      ensureImportTarget(manager, { tenantId: 't-a', integrationId: 'gone', providerType: 'openai' }, { clock }),
    );
    const { id } = await coalescer.ingest('t-a', 'gone', call('c-1'));
    await db
      .dataSource()
      .query(`UPDATE cus_integrations SET deleted_at = now(), status = 'disabled' WHERE id = 'gone'`);
    const answers = ['c-1', 'c-2'].map((callId) => settled(coalescer.ingest('t-a', 'gone', call(callId))));
    const [known, fresh] = await Promise.all(answers);
    expect([(known as IngestResult).status, (known as IngestResult).id]).toEqual(['duplicate', id]);
    expect((fresh as HocError).code).toBe('NOT_FOUND');
    await close();
  });

  it('G.5: as many statements for 1,000 waiting calls as for one batch: what ingestImported sends', async () => {
    const { coalescer, close } = services();
    const counter = statementCounter(db.dataSource());
    const sent = async (ids: readonly string[], integration = 'int-1'): Promise<number> => {
      counter.reset();
      await Promise.all(ids.map((id) => settled(coalescer.ingest('t-a', integration, call(id)))));
      return counter.count();
    };
    const ids = (count: number): readonly string[] => Array.from({ length: count }, (_, n) => `s-${count}-${n}`);
    // A connection's first transaction asks for its defaults.
    await sent(['warm-up']);
    const counts: number[] = [];
    // 200: beyond what is inserted without a look-up.
    for (const count of [1, 2, 200, 1000]) counts.push(await sent(ids(count)));
    expect(Math.max(...counts)).toBeLessThanOrEqual(3);
    expect(counts[3]).toBe(counts[2]);
    expect(await sent(ids(1000))).toBeLessThanOrEqual(4);
    expect(await sent(['x-1', 'x-2'], 'nope')).toBeLessThanOrEqual(5);
    expect(await sent(Array.from({ length: 1001 }, (_, n) => `y-${n}`))).toBeLessThanOrEqual(8);
    await close();
  });

  it('G.4: a bad call costs no statement, is answered at once and changes nothing', async () => {
    const { coalescer, close, transactions } = services();
    const counter = statementCounter(db.dataSource());
    const tenants: readonly unknown[] = [undefined, null, '', ' ', 'x'.repeat(101), 7, 'a\0', '\ud83d'];
    for (const tenant of tenants)
      expect(told(await settled(coalescer.ingest(tenant as string, 'int-1', U)))[0]).toBe('TENANT_SCOPE');
    const bad: readonly (readonly [unknown, unknown])[] = [
      [null, U],
      ['', U],
      ['x'.repeat(101), U],
      ['int-2', { ...U, integrationId: 'int-1' }],
      ['int-1', undefined],
      ['int-1', { ...U, callId: '' }],
      ['int-1', { ...U, callId: 'x'.repeat(256) }],
      ['int-1', { ...U, costCents: 1.5 }],
      ['int-1', { ...U, costCents: '-1' }],
      ['int-1', { ...U, tokensIn: 1_000_000_001 }],
      ['int-1', { ...U, errorMessage: 'm' }],
      ['int-1', { ...U, other: 1 }],
      ['int-1', { ...U, occurredAt: new Date('2026-03-10T12:05:00.001Z') }],
    ];
    for (const [integration, usage] of bad) {
      const answer = settled(coalescer.ingest('t-a', integration as string, usage as CusLlmUsageIngest));
      expect([coalescer.pending, told(await answer)[0]]).toEqual([0, 'INVALID_ARGUMENT']);
    }
    expect([counter.count(), transactions(), await rows()]).toEqual([0, 0, []]);
    await close();
  });

  it('law 18: rows and answers are those of ingestUsage, called one after another in the order of the answers', async () => {
    const one = fc.record({
      tenant: fc.constantFrom(...TENANTS),
      usage: fc.record({
        callId: fc.constantFrom('c-1', 'c-2', 'c-3', 'c-4'),
        tokensOut: fc.constantFrom(1, 1, 1, 2, -1),
      }),
      integration: fc.constantFrom('int-1', 'int-1', 'int-1', 'nope'),
      pause: fc.boolean(),
    });
    const failing = fc.array(fc.constantFrom(null, null, '40P01', '57014'), { maxLength: 5 });
    await fc.assert(
      fc.asyncProperty(fc.array(one, { maxLength: 20 }), failing, async (calls, sqlstates) => {
        await clear();
        const { coalescer, close } = services([...sqlstates]);
        const order: { readonly n: number; readonly answer: Answer }[] = [];
        const all = calls.map(async ({ tenant, usage, integration }, n) => {
          for (const { pause } of calls.slice(0, n)) if (pause) await new Promise((resolve) => setImmediate(resolve));
          order.push({ n, answer: await settled(coalescer.ingest(tenant, integration, { ...U, ...usage })) });
        });
        await Promise.all(all);
        await close();
        const left = await rows();
        for (const { n, answer } of order) {
          const stored = left.find(
            (row) => row.tenant_id === calls[n]?.tenant && row.call_id === calls[n]?.usage.callId,
          );
          if (!HocError.is(answer)) expect(answer.id).toBe(stored?.id);
        }
        await clear();
        for (const { n, answer } of order) {
          if (HocError.is(answer) && answer.code === 'UNAVAILABLE') continue;
          const { tenant, usage, integration } = calls[n] ?? { tenant: '', usage: {}, integration: '' };
          const alone = await settled(
            hoc.transaction(({ activity }) => activity.telemetry.ingestUsage(tenant, integration, { ...U, ...usage })),
          );
          expect([n, told(answer)[0]]).toEqual([n, told(alone)[0]]);
        }
        const keys = (list: Awaited<ReturnType<typeof rows>>) => list.map((row) => `${row.tenant_id} ${row.call_id}`);
        expect(keys(await rows())).toEqual(keys(left));
      }),
      { numRuns: 50 },
    );
  });
});
