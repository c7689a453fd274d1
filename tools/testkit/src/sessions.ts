import type { DataSource, EntityManager } from 'typeorm';
import { asAdmin } from './admin';

/** Runs `work` in a transaction of its own and rolls it back, whatever it gives. */
export async function withRollback<T>(source: DataSource, work: (manager: EntityManager) => Promise<T>): Promise<T> {
  const runner = source.createQueryRunner();
  try {
    await runner.startTransaction();
    return await work(runner.manager);
  } finally {
    if (runner.isTransactionActive) await runner.rollbackTransaction();
    await runner.release();
  }
}

/** Ends a session as an operator would; true when it was there. `SELECT pg_backend_pid()` on the session gives `pid`. */
export async function killBackend(pid: number): Promise<boolean> {
  return asAdmin(async (client) => {
    const { rows } = await client.query<{ ended: boolean }>('SELECT pg_terminate_backend($1, 60000) AS ended', [pid]);
    return rows[0]?.ended ?? false;
  });
}
