import { pgErrorToHocError } from '@hoc/shared/drivers';
import type { HocErrorCode } from '@hoc/shared/kernel';
import type { DataSource } from 'typeorm';
import { migrationNames, recordedMigrations } from './migrations';
import { ready } from './ready';

/** Whether the database answers and is migrated. */
export interface HealthReport {
  readonly ok: boolean;
  /** As the server says it, `15.18`; null where it didn't answer. */
  readonly serverVersion: string | null;
  /** Of one round trip. */
  readonly latencyMs: number | null;
  readonly pendingMigrations: readonly string[];
  readonly poolTotal: number;
  readonly poolIdle: number;
  readonly poolWaiting: number;
  readonly error: { readonly code: HocErrorCode } | null;
}

/** Asks the database how it is; never throws. `ok` needs an answer and no pending migration. */
export async function checkHealth(source: DataSource): Promise<HealthReport> {
  try {
    await ready(source);
    const answer = await ask(source);
    // After the connection went back: the pool as its users find it.
    return Object.freeze({ ok: answer.pendingMigrations.length === 0, ...answer, ...poolFigures(source), error: null });
  } catch (error) {
    const { code } = pgErrorToHocError(error);
    const silence = { serverVersion: null, latencyMs: null, pendingMigrations: [] };
    return Object.freeze({ ok: false, ...silence, ...poolFigures(source), error: Object.freeze({ code }) });
  }
}

async function ask(
  source: DataSource,
): Promise<Pick<HealthReport, 'serverVersion' | 'latencyMs' | 'pendingMigrations'>> {
  const runner = source.createQueryRunner();
  try {
    await runner.connect();
    const start = performance.now();
    const rows: { version: string }[] = await runner.query(`SELECT current_setting('server_version') AS version`);
    const latencyMs = performance.now() - start;
    const done = new Set(await recordedMigrations(runner, source));
    const pendingMigrations = migrationNames(source).filter((name) => !done.has(name));
    return { serverVersion: rows[0]?.version ?? null, latencyMs, pendingMigrations };
  } finally {
    await runner.release();
  }
}

/** TypeORM keeps pg's pool on its driver and types it nowhere. */
function poolFigures(source: DataSource): { poolTotal: number; poolIdle: number; poolWaiting: number } {
  const pool: unknown = Reflect.get(source.driver, 'master');
  const figure = (name: string): number => {
    const value: unknown = typeof pool === 'object' && pool !== null ? Reflect.get(pool, name) : 0;
    return typeof value === 'number' ? value : 0;
  };
  return { poolTotal: figure('totalCount'), poolIdle: figure('idleCount'), poolWaiting: figure('waitingCount') };
}
