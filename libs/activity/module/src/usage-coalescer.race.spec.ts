import type { CusLlmUsageIngest, IngestResult } from '@hoc/activity/schemas';
import { ConflictError, type HocError, systemClock, UnavailableError, uuidV7Generator } from '@hoc/shared/kernel';
import { createHoc, ensureImportTarget, withTransaction } from '@hoc/shared/spine';
import { statementCounter, tcpProxy, useEmptyDatabase } from '@hoc/testkit';
import { activityModule } from './activity.module';

const TENANTS = ['t-a', 't-b', 't-c'];
const deps = { clock: systemClock(), ids: uuidV7Generator(systemClock()) };
const db = useEmptyDatabase({ entities: [], migrations: [] });
const connect = (url: string) =>
  createHoc({ connection: { url, applicationName: 'coalescer' }, modules: [activityModule] });
let hoc: ReturnType<typeof connect>;

describe('the coalescer on a database', () => {
  beforeAll(async () => {
    hoc = connect(db.url());
    await hoc.migrate();
    await hoc.transaction(async ({ manager }) => {
      for (const tenantId of TENANTS)
        await ensureImportTarget(manager, { tenantId, integrationId: 'int-1', providerType: 'openai' }, deps);
    });
  });
  afterEach(() => db.dataSource().query('TRUNCATE cus_llm_usage, cus_usage_daily'));
  afterAll(() => hoc.close());

  const call = (callId: string, tokensIn = 5): CusLlmUsageIngest => ({
    callId,
    provider: 'openai',
    model: 'gpt-4o',
    tokensIn,
    tokensOut: 1,
    costCents: '0.1',
  });
  const rows = (): Promise<{ tenant_id: string; call_id: string; id: string }[]> =>
    db.dataSource().query('SELECT tenant_id, call_id, id FROM cus_llm_usage');
  const difference = async (): Promise<unknown> =>
    db
      .dataSource()
      .query(
        `SELECT (SELECT count(*)::int FROM cus_llm_usage) AS calls, (SELECT COALESCE(sum(total_calls), 0)::int FROM cus_usage_daily) AS daily`,
      );

  it('64 callers with 50 calls each, an eighth of them replays: each call once, every answer is the row', async () => {
    let open = 0;
    let most = 0;
    let transactions = 0;
    const { coalescer, close } = activityModule.services(async (work) => {
      transactions += 1;
      most = Math.max(most, (open += 1));
      try {
        return await withTransaction(db.dataSource(), work);
      } finally {
        open -= 1;
      }
    }, deps);
    const answers: { readonly tenant: string; readonly callId: string; readonly answer: IngestResult | HocError }[] =
      [];
    await Promise.all(
      Array.from({ length: 64 }, async (_, caller) => {
        for (let n = 0; n < 50; n += 1) {
          const tenant = TENANTS[(caller + n) % 3] as string;
          const callId = n % 8 === 7 ? `c-${caller}-${n - 3}` : `c-${caller}-${n}`;
          const answer = await coalescer.ingest(tenant, 'int-1', call(callId)).catch((error: HocError) => error);
          answers.push({ tenant, callId, answer });
        }
      }),
    );
    await close();
    const stored = new Map((await rows()).map((row) => [`${row.tenant_id} ${row.call_id}`, row.id]));
    expect(answers).toHaveLength(3200);
    for (const { tenant, callId, answer } of answers)
      expect((answer as IngestResult).id).toBe(stored.get(`${tenant} ${callId}`));
    const accepted = answers.filter(({ answer }) => (answer as IngestResult).status === 'accepted');
    expect(accepted).toHaveLength(stored.size);
    expect([most, open]).toEqual([1, 0]);
    expect(transactions).toBeLessThan(3200 / 4);
    expect(await difference()).toEqual([{ calls: stored.size, daily: stored.size }]);
  });

  it('many calls are few statements', async () => {
    const { coalescer, close } = activityModule.services((work) => withTransaction(db.dataSource(), work), deps);
    const counter = statementCounter(db.dataSource());
    await Promise.all(Array.from({ length: 500 }, (_, n) => coalescer.ingest('t-a', 'int-1', call(`s-${n}`))));
    expect(counter.count()).toBeLessThanOrEqual(8);
    await close();
  });

  it('close while a batch is in flight: all taken calls are stored, later ones closed, nothing is left', async () => {
    for (let repetition = 0; repetition < 20; repetition += 1) {
      const own = connect(db.url());
      const { coalescer } = own.services.activity;
      const taken = Array.from({ length: 64 }, (_, n) => coalescer.ingest('t-a', 'int-1', call(`r${repetition}-${n}`)));
      await new Promise((resolve) => setTimeout(resolve, repetition % 7));
      const closed = own.close();
      await expect(coalescer.ingest('t-a', 'int-1', call('late'))).rejects.toMatchObject({
        details: { reason: 'closed' },
      });
      await closed;
      expect((await Promise.all(taken)).every(({ status }) => status === 'accepted')).toBe(true);
      expect(coalescer.pending).toBe(0);
    }
    expect(await rows()).toHaveLength(1280);
  });

  it('F77: the connection is lost during COMMIT: its callers do not know, and learn it by sending again', async () => {
    const proxy = await tcpProxy(db.url());
    const own = connect(proxy.url);
    const { coalescer } = own.services.activity;
    try {
      await coalescer.ingest('t-a', 'int-1', call('warm-up'));
      proxy.onClientData((chunk) => {
        if (!chunk.includes('COMMIT')) return;
        proxy.freezeReplies();
        setTimeout(proxy.drop, 50);
        proxy.onClientData(null);
      });
      const send = () =>
        Array.from({ length: 64 }, (_, n) =>
          coalescer.ingest('t-a', 'int-1', call(`c-${n}`)).catch((error: unknown) => error),
        );
      for (const answer of await Promise.all(send()))
        expect(UnavailableError.is(answer) && [answer.retryable, answer.details['outcome']]).toEqual([
          false,
          'unknown',
        ]);
    } finally {
      await own.close();
      await proxy.close();
    }
    const again = await Promise.all(
      Array.from({ length: 64 }, (_, n) => hoc.services.activity.coalescer.ingest('t-a', 'int-1', call(`c-${n}`))),
    );
    const stored = new Map((await rows()).map((row) => [row.call_id, row.id]));
    expect(stored.size).toBe(65);
    again.forEach(({ id, status, callId }) => expect([status, id]).toEqual(['duplicate', stored.get(callId)]));
    expect(await difference()).toEqual([{ calls: 65, daily: 65 }]);
  });

  it('another content under a stored call id fails for its caller alone', async () => {
    const { coalescer } = hoc.services.activity;
    await coalescer.ingest('t-a', 'int-1', call('c'));
    const answers = await Promise.allSettled([
      coalescer.ingest('t-a', 'int-1', call('c', 6)),
      coalescer.ingest('t-a', 'int-1', call('d')),
      coalescer.ingest('t-b', 'int-1', call('c', 6)),
    ]);
    expect(answers.map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'fulfilled']);
    expect(answers[0]?.status === 'rejected' && ConflictError.is(answers[0].reason)).toBe(true);
  });
});
