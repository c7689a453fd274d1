import { systemScope } from '@hoc/shared/kernel';
import { entities, migrations } from '@hoc/shared/models';
import { fixedClock, makeTenant, makeWorkerRun } from '@hoc/shared/testing';
import { captureStatements, explain, insertRows, useEmptyDatabase, useFreshDatabase } from '@hoc/testkit';
import { detectOrphanedRuns, getCrashRecoverySummary, recoverOrphanedRuns } from './orphan-recovery.driver';

const deps = { clock: fixedClock('2026-03-10T12:00:00.000Z') };
const scope = systemScope('test');
const CREATED = new Date('2026-03-10T10:00:00Z');

describe('many recoveries at once', () => {
  const db = useFreshDatabase({ entities, migrations });
  it('F53: every orphan is in exactly one result', async () => {
    await insertRows(db.dataSource().manager, makeTenant({ id: 't-a' }));
    const sources = await db.connections(6, { max: 1 });
    for (let repetition = 0; repetition < 5; repetition += 1) {
      await insertRows(
        db.dataSource().manager,
        ...Array.from({ length: 1000 }, (_, n) =>
          makeWorkerRun('t-a', {
            id: `r${repetition}-${n}`,
            status: n % 2 ? 'queued' : 'running',
            created_at: CREATED,
            started_at: null,
            last_seen_at: null,
          }),
        ),
      );
      const sweep = async (source: (typeof sources)[number]): Promise<string[]> => {
        const found: string[] = [];
        for (;;) {
          const { runs, hasMore, recovered, failed } = await source.transaction((m) =>
            recoverOrphanedRuns(m, scope, deps, { limit: 200 }),
          );
          expect([recovered, failed]).toEqual([runs.length, 0]);
          found.push(...runs.map((run) => run.runId));
          if (!hasMore) return found;
        }
      };
      const found = (await Promise.all(sources.map(sweep))).flat();
      // A sweeper that found the rest held by others has ended before it: what they held is in their results.
      expect(new Set(found).size).toBe(found.length);
      expect(found).toHaveLength(1000);
      expect(await detectOrphanedRuns(db.dataSource().manager, scope, deps)).toEqual([]);
    }
  });
});

describe('plans among 300,000 runs that have ended', () => {
  const db = useEmptyDatabase({ entities, migrations });
  beforeAll(async () => {
    await db.dataSource().runMigrations();
    await insertRows(db.dataSource().manager, makeTenant({ id: 't-a' }));
    await db.dataSource().query(
      `INSERT INTO worker_runs (tenant_id, id, worker_id, task, status, created_at, started_at, completed_at)
       SELECT 't-a', 'w' || n, 'worker', 'task', CASE WHEN n % 3000 = 0 THEN 'running' WHEN n % 50 = 0 THEN 'crashed' ELSE 'completed' END,
         at, at, CASE WHEN n % 3000 <> 0 THEN at END
       FROM (SELECT n, timestamptz '2026-03-10T10:00:00Z' - n * interval '1 second' AS at FROM generate_series(1, 300000) n) AS s`,
    );
    await db.dataSource().query('VACUUM ANALYZE worker_runs');
  });
  const planOf = async (work: (m: ReturnType<typeof db.dataSource>['manager']) => Promise<unknown>) => {
    const runner = db.dataSource().createQueryRunner();
    await runner.startTransaction();
    const [sent] = await captureStatements(runner.manager, () => work(runner.manager));
    await runner.rollbackTransaction();
    await runner.startTransaction();
    const plan = await explain(runner.manager, sent?.text ?? '', sent?.values ?? [], { analyze: true });
    await runner.rollbackTransaction();
    await runner.release();
    expect(plan.seqScans).toEqual([]);
    return plan;
  };
  it('detection reads the open runs alone', async () => {
    const plan = await planOf((m) => detectOrphanedRuns(m, scope, deps, 30, 20));
    expect([plan.indexes, plan.hasSort]).toEqual([['ix_worker_runs_open'], false]);
    expect(plan.buffers).toBeLessThan(60);
  });
  it('recovery reads and marks the open runs alone', async () => {
    const plan = await planOf((m) => recoverOrphanedRuns(m, scope, deps, { limit: 20 }));
    expect(plan.indexes).toContain('ix_worker_runs_open');
    const read = plan.nodes
      .filter((node) => node['Index Name'] === 'ix_worker_runs_open')
      .map((node) => node['Actual Rows']);
    expect(Math.max(...read.map((rows) => rows ?? 0))).toBeLessThanOrEqual(21);
  });
  it('the newest crashes come from their index', async () => {
    const plan = await planOf((m) => getCrashRecoverySummary(m, scope));
    expect(new Set(plan.indexes)).toEqual(new Set(['ix_worker_runs_crashed']));
  });
});
