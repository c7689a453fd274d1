import { createHoc, ensureImportTarget } from '@hoc/shared/spine';
import { systemScope } from '@hoc/shared/kernel';
import { fixedClock, makeWorkerRun, memoryLogger } from '@hoc/shared/testing';
import { insertRows, useEmptyDatabase } from '@hoc/testkit';
import { activityModule } from './activity.module';

const NOW = new Date('2026-03-10T12:00:00.000Z');
const clock = fixedClock(NOW);
const logger = memoryLogger();
const scope = systemScope('the scheduler');
const db = useEmptyDatabase({ entities: [], migrations: [] });
let hoc: ReturnType<typeof connect>;
const connect = () =>
  createHoc({
    connection: { url: db.url(), applicationName: 'sweeps' },
    modules: [activityModule],
    clock,
    logger,
  });
const query = async <T>(sql: string, values: unknown[] = []): Promise<T[]> => db.dataSource().query(sql, values);
const sweeps = () => hoc.services.activity.sweeps;

// A describe of its own: its hooks end before the database looks for connections that were left open.
describe('sweeps on a database', () => {
  beforeAll(async () => {
    hoc = connect();
    await hoc.migrate();
    for (const tenantId of ['t-a', 't-b'])
      await hoc.transaction(({ manager }) =>
        ensureImportTarget(manager, { tenantId, integrationId: 'i', providerType: 'openai' }, { clock }),
      );
  });
  beforeEach(() => clock.set(NOW));
  afterAll(() => hoc.close());

  const orphans = (prefix: string, n: number): Promise<void> =>
    insertRows(
      db.dataSource().manager,
      ...Array.from({ length: n }, (_, k) =>
        makeWorkerRun(k % 2 ? 't-a' : 't-b', {
          id: `${prefix}-${k}`,
          status: 'running',
          created_at: new Date(NOW.getTime() - 3_600_000),
          started_at: null,
          last_seen_at: null,
          completed_at: null,
        }),
      ),
    );

  it('recoverOrphans marks every orphan of every tenant, round by round, once', async () => {
    await orphans('one', 25);
    const rounds: number[] = [];
    const result = await sweeps().recoverOrphans(scope, {
      limit: 10,
      reason: 'restart',
      onProgress: ({ round }) => rounds.push(round.recovered),
    });
    expect(rounds).toEqual([10, 10, 5]);
    expect(result).toMatchObject({ detected: 25, recovered: 25, failed: 0, enabled: true, hasMore: false });
    const crashed = await query<{ id: string }>(
      `SELECT id FROM worker_runs WHERE status = 'crashed' AND error = 'restart'`,
    );
    expect(result.runs.map(({ runId }) => runId).sort()).toEqual(crashed.map(({ id }) => id).sort());
    expect(await sweeps().recoverOrphans(scope)).toMatchObject({ recovered: 0, runs: [] });
  });

  it('two sweeps at once share the orphans', async () => {
    await orphans('two', 60);
    const results = await Promise.all([1, 2].map(() => sweeps().recoverOrphans(scope, { limit: 7 })));
    const runs = results.flatMap((result) => result.runs.map(({ runId }) => runId));
    expect([runs.length, new Set(runs).size]).toEqual([60, 60]);
  });

  it('expireSuppressions marks all that has ended, over several rounds, and what has not ended still counts', async () => {
    const fingerprint = 'f'.repeat(32);
    await hoc.transaction(({ activity }) =>
      activity.feedback.suppress('t-a', fingerprint, { actorId: 'jo', ttlSeconds: 600 }),
    );
    await query(
      `INSERT INTO signal_feedback (tenant_id, id, signal_fingerprint, feedback_state, actor_id, as_of, ttl_seconds, expires_at, created_at, updated_at)
     SELECT CASE n % 2 WHEN 0 THEN 't-a' ELSE 't-b' END, 'x-' || n, md5(n::text), 'SUPPRESSED', 'jo', at, 60, at + interval '1 minute', at, at
     FROM (SELECT n, timestamptz '2026-03-10T10:00:00Z' AS at FROM generate_series(1, 2100) n) AS s`,
    );
    const rounds: number[] = [];
    expect(await sweeps().expireSuppressions(scope, { onProgress: ({ done }) => rounds.push(done) })).toBe(2100);
    expect(rounds).toEqual([1000, 2000, 2100, 2100]);
    const page = await hoc.transaction(({ activity }) => activity.feedback.getActiveSuppressions('t-a'));
    expect(page.items.map(({ signalFingerprint }) => signalFingerprint)).toEqual([fingerprint]);
    expect(
      logger.entries.filter(({ event }) => event === 'signal_suppressions_expired').map(({ fields }) => fields),
    ).toEqual([1000, 1000, 100, 0].map((marked) => ({ reason: 'the scheduler', marked })));
  });

  it('pages of suppressions go on at the first one’s instant while time goes by', async () => {
    for (const digit of ['a', 'b', 'c'])
      await hoc.transaction(({ activity }) =>
        activity.feedback.suppress('t-b', digit.repeat(32), { actorId: 'jo', ttlSeconds: 30 }),
      );
    const seen: string[] = [];
    for (let cursor: string | undefined; ;) {
      const asked = cursor;
      const page = await hoc.transaction(({ activity }) =>
        activity.feedback.getActiveSuppressions('t-b', { limit: 1, ...(asked === undefined ? {} : { cursor: asked }) }),
      );
      seen.push(...page.items.map(({ signalFingerprint }) => signalFingerprint[0] ?? ''));
      clock.advance(5000);
      if (page.nextCursor === null) break;
      cursor = page.nextCursor;
    }
    expect(seen).toEqual(['a', 'b', 'c']);
  });
});
