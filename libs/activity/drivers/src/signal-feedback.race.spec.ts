import { entities, migrations } from '@hoc/activity/models';
import { systemScope } from '@hoc/shared/kernel';
import { entities as shared, migrations as sharedMigrations } from '@hoc/shared/models';
import { fixedClock, makeTenant, sequentialIds } from '@hoc/shared/testing';
import { insertRows, useFreshDatabase } from '@hoc/testkit';
import type { DataSource, QueryRunner } from 'typeorm';
import { getSignalFeedbackDriver, type SignalFeedbackDriver } from './signal-feedback.driver';

const REPETITIONS = 20;
const NOW = new Date('2026-03-10T12:00:00.000Z');
const scope = systemScope('test');
const db = useFreshDatabase({ entities: [...shared, ...entities], migrations: [...sharedMigrations, ...migrations] });
const on = ({ manager }: Pick<DataSource, 'manager'>, at: Date = NOW, ids = 'f'): SignalFeedbackDriver =>
  getSignalFeedbackDriver(manager, { clock: fixedClock(at), ids: sequentialIds(ids) });
const fingerprint = (n: number): string => n.toString(16).padStart(32, '0');

/** `n` suppressions that have ended. */
const ended = (n: number): Promise<unknown> =>
  db.dataSource().query(
    `INSERT INTO signal_feedback (tenant_id, id, signal_fingerprint, feedback_state, actor_id, as_of, ttl_seconds, expires_at, created_at, updated_at)
     SELECT 't-' || n % 3, 'x-' || n, lpad(to_hex(n), 32, '0'), 'SUPPRESSED', 'jo', at, 60, at + interval '1 minute', at, at
     FROM (SELECT n, timestamptz '2026-03-10T10:00:00Z' + n % 7 * interval '1 second' AS at FROM generate_series(1, $1::int) n) AS s`,
    [n],
  );
const states = (): Promise<unknown> =>
  db
    .dataSource()
    .query('SELECT feedback_state AS state, count(*)::int AS n FROM signal_feedback GROUP BY 1 ORDER BY 1');
/** A unit of work that stays open while another one works. */
async function open(source: DataSource): Promise<QueryRunner> {
  const runner = source.createQueryRunner();
  await runner.startTransaction();
  return runner;
}
async function end(runner: QueryRunner, how: 'commitTransaction' | 'rollbackTransaction'): Promise<void> {
  await runner[how]();
  await runner.release();
}
/** Two connections; the second gives up a wait after a second: what works while the first is open doesn't wait for it. */
async function pair(): Promise<readonly [DataSource, DataSource]> {
  const [holder] = await db.connections(1, { max: 1 });
  const [other] = await db.connections(1, { max: 1, options: '-c lock_timeout=1000' });
  return [holder as DataSource, other as DataSource];
}

beforeEach(() => insertRows(db.dataSource().manager, ...[0, 1, 2].map((n) => makeTenant({ id: `t-${n}` }))));

it.each([2, 4])('%i expiry jobs at once, round by round: each row is marked once', async (jobs) => {
  const sources = await db.connections(jobs, { max: 1 });
  const job = async (source: DataSource): Promise<number> => {
    for (let sum = 0; ;) {
      const marked = await source.transaction((manager) => on({ manager }).markExpiredAsEvaluated(scope, NOW, 40));
      if (marked === 0) return sum;
      sum += marked;
    }
  };
  for (let repetition = 0; repetition < REPETITIONS; repetition += 1) {
    await db.dataSource().query('DELETE FROM signal_feedback');
    await ended(300);
    const sums = await Promise.all(sources.map(job));
    expect(sums.reduce((a, b) => a + b, 0)).toBe(300);
    expect(await states()).toEqual([{ state: 'EVALUATED', n: 300 }]);
  }
});

it('a job takes what an open one does not hold, without a wait; what that one gives back is the next one’s', async () => {
  const [holder, other] = await pair();
  await ended(10);
  const runner = await open(holder);
  expect(await on(runner).markExpiredAsEvaluated(scope, NOW, 4)).toBe(4);
  expect(await on(other).markExpiredAsEvaluated(scope, NOW)).toBe(6);
  expect(await on(other).markExpiredAsEvaluated(scope, NOW)).toBe(0);
  await end(runner, 'rollbackTransaction');
  expect(await on(other).markExpiredAsEvaluated(scope, NOW)).toBe(4);
});

it('while a job is open, people answer the same signals and read them, without a wait', async () => {
  const [holder, other] = await pair();
  await ended(3);
  const runner = await open(holder);
  expect(await on(runner).markExpiredAsEvaluated(scope, NOW)).toBe(3);
  const answer = {
    signalFingerprint: fingerprint(1),
    feedbackState: 'SUPPRESSED',
    actorId: 'al',
    ttlSeconds: 5,
  } as const;
  await on(other).insertFeedback('t-1', answer);
  expect((await on(other).getSignalFeedback('t-1', [fingerprint(1)])).get(fingerprint(1))?.suppressed).toBe(true);
  await end(runner, 'commitTransaction');
  expect((await on(other).getSignalFeedback('t-1', [fingerprint(1)])).get(fingerprint(1))?.suppressed).toBe(true);
});

it('16 people answer one signal at once: all are stored, and everyone reads the same newest one', async () => {
  const sources = await db.connections(16, { max: 1 });
  for (let repetition = 0; repetition < REPETITIONS; repetition += 1) {
    const signal = fingerprint(repetition);
    const rows = await Promise.all(
      sources.map((source, n) =>
        on(source, new Date(NOW.getTime() + (n % 4)), `r${repetition}-${n}`).insertFeedback('t-0', {
          signalFingerprint: signal,
          feedbackState: n % 2 ? 'ACKNOWLEDGED' : 'REOPENED',
          actorId: `actor-${n}`,
        }),
      ),
    );
    const newest = [...rows].sort((a, b) => Number(b.createdAt) - Number(a.createdAt) || (a.id < b.id ? 1 : -1))[0];
    const read = await Promise.all(sources.map((source) => on(source).fetchLatestFeedback('t-0', [signal])));
    expect(read.map((map) => map.get(signal))).toEqual(sources.map(() => newest));
  }
  expect(await states()).toMatchObject([{ n: 8 * REPETITIONS }, { n: 8 * REPETITIONS }]);
});

it('paging while others suppress: no row twice, and all that stood before page 1 are seen', async () => {
  const [reader, ...writers] = (await db.connections(4, { max: 1 })) as [DataSource, ...DataSource[]];
  for (let n = 0; n < 30; n += 1)
    await on(reader, NOW, `before-${n}`).insertFeedback('t-0', {
      signalFingerprint: fingerprint(n),
      feedbackState: 'SUPPRESSED',
      actorId: 'jo',
      ttlSeconds: 100 + n * 10,
    });
  let reading = true;
  const writing = Promise.all(
    writers.map(async (source, k) => {
      for (let n = 0; reading; n += 1)
        await on(source, NOW, `w${k}-${n}`).insertFeedback('t-0', {
          signalFingerprint: fingerprint(1000 + k * 1_000_000 + n),
          feedbackState: 'SUPPRESSED',
          actorId: 'al',
          ttlSeconds: 50 + ((n * 37) % 500),
        });
    }),
  );
  const seen: string[] = [];
  for (let cursor: string | null = '', first = true; cursor !== null; first = false) {
    const page = await on(reader).fetchActiveSuppressions('t-0', NOW, { limit: 7, ...(first ? {} : { cursor }) });
    seen.push(...page.items.map(({ id }) => id));
    cursor = page.nextCursor;
    // They stop some day, or the list would never end.
    if (seen.length > 300) reading = false;
  }
  reading = false;
  await writing;
  expect(new Set(seen).size).toBe(seen.length);
  expect(seen.filter((id) => id.startsWith('before-'))).toHaveLength(30);
});
