// Row 14: mark 10,000 orphans in chunks of 1,000.
import 'reflect-metadata';
import { WorkerRunEntity } from '@hoc/shared/models';
import { systemScope } from '@hoc/shared/kernel';
import { connect, openHoc, prepare } from '../lib/database.mjs';
import { cell, job } from '../lib/run.mjs';

const COUNT = 10_000;
const CRASH = `SET status = 'crashed', error = 'lost', completed_at = now()`;

await job('orphans', async (url) => {
  const hoc = await prepare(url);
  const admin = await connect(url);
  const scope = systemScope('bench');
  const reset = async () => {
    await admin.query('TRUNCATE worker_runs CASCADE');
    await admin.query(
      `INSERT INTO worker_runs (tenant_id, id, worker_id, task, status, created_at, started_at)
       SELECT 't', 'w-' || n, 'w', 'task', 'running', now() - interval '2 hours', now() - interval '2 hours' FROM generate_series(1, $1::int) n`,
      [COUNT],
    );
    await admin.query('VACUUM ANALYZE worker_runs');
  };
  const crashed = async () => {
    const { rows } = await admin.query(`SELECT count(*)::int AS n FROM worker_runs WHERE status = 'crashed'`);
    if (rows[0].n !== COUNT) throw new Error(`${rows[0].n} of ${COUNT}`);
  };
  const timed =
    (work, marks = COUNT) =>
    async () => {
      const start = performance.now();
      await work();
      const rate = (marks * 1000) / (performance.now() - start);
      if (marks === COUNT) await crashed();
      return rate;
    };
  const some = async (count) =>
    (await admin.query(`SELECT id FROM worker_runs ORDER BY id LIMIT ${count}`)).rows.map((row) => row.id);
  const sweep = (from) => from.services.activity.sweeps.recoverOrphans(scope);
  const others = [openHoc(url, 2), openHoc(url, 2), openHoc(url, 2), openHoc(url, 2)];
  const result = await cell('mark 10,000', {
    base: 'pg one statement',
    reset,
    variants: {
      'pg one statement': timed(() => admin.query(`UPDATE worker_runs ${CRASH} WHERE status IN ('queued', 'running')`)),
      'hoc recoverOrphans': timed(async () => {
        const { recovered } = await sweep(hoc);
        if (recovered !== COUNT) throw new Error(`${recovered}`);
      }),
      'hoc, 4 sweepers': timed(async () => {
        const results = await Promise.all(others.map(sweep));
        const ids = new Set(results.flatMap(({ runs }) => runs.map(({ runId }) => runId)));
        const sum = results.reduce((total, { recovered }) => total + recovered, 0);
        if (ids.size !== COUNT || sum !== COUNT) throw new Error(`${ids.size} ${sum}`);
      }),
      'pg prepared loop': timed(async () => {
        for (const id of await some(1000)) {
          await admin.query({
            name: 'mark',
            text: `UPDATE worker_runs ${CRASH} WHERE tenant_id = 't' AND id = $1 AND status IN ('queued', 'running')`,
            values: [id],
          });
        }
      }, 1000),
      'typeorm update()': timed(async () => {
        const repository = hoc.dataSource.getRepository(WorkerRunEntity);
        for (const id of await some(500))
          await repository.update({ tenantId: 't', id }, { status: 'crashed', error: 'lost', completedAt: new Date() });
      }, 500),
    },
  });
  await Promise.all(others.map((each) => each.close()));
  await admin.end();
  await hoc.close();
  return [result];
});
