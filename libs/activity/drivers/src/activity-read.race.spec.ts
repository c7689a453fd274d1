import { RUN_SORT_FIELDS, type RunSort, SORT_DIRECTIONS } from '@hoc/activity/schemas';
import { RISK_LEVELS } from '@hoc/shared/kernel';
import { entities, migrations } from '@hoc/shared/models';
import { makeRun, makeTenant } from '@hoc/shared/testing';
import { insertRows, useFreshDatabase } from '@hoc/testkit';
import type { DataSource } from 'typeorm';
import { getActivityReadDriver } from './activity-read.driver';

const SORTS: readonly RunSort[] = RUN_SORT_FIELDS.flatMap((field) =>
  SORT_DIRECTIONS.map((direction) => ({ field, direction })),
);
const REPETITIONS = 24;
const OLD_RUNS = 40;
/** A writer's rows have an end, so that a slow reader isn't chased for ever. */
const ROWS_PER_WRITER = 40;

const db = useFreshDatabase({ entities, migrations });

/** Few keys, so that many runs tie; a third of them unknown. */
const keys = (n: number) => {
  const at = n % 3 === 0 ? null : new Date(Date.parse('2026-03-10T00:00:00Z') + (n % 5) * 1000);
  return {
    started_at: at,
    completed_at: at,
    duration_ms: at === null ? null : n % 5,
    risk_level: RISK_LEVELS[n % RISK_LEVELS.length],
  };
};

/** Inserts until it is told to stop, and touches old runs, which changes no key. */
async function write(source: DataSource, prefix: string, told: { stop: boolean; written: () => void }): Promise<void> {
  for (let n = 0; n < ROWS_PER_WRITER && !told.stop; n += 1) {
    await insertRows(source.manager, makeRun('t-a', { id: `${prefix}-${n}`, ...keys(n * 7 + prefix.length) }));
    await source.query('UPDATE runs SET last_seen_at = updated_at WHERE tenant_id = $1 AND id = $2', ['t-a', `m-${n}`]);
    told.written();
  }
}

it('fetchRuns among writers: no run twice, and every run that was there before the first page', async () => {
  const sources = await db.connections(3, { max: 1 });
  const driver = getActivityReadDriver(db.dataSource().manager);
  await insertRows(db.dataSource().manager, makeTenant({ id: 't-a' }));
  for (let repetition = 0; repetition < REPETITIONS; repetition += 1) {
    const sort = SORTS[repetition % SORTS.length];
    const limit = 3 + (repetition % 7);
    const before = Array.from({ length: OLD_RUNS }, (_, n) => `m-${n}`);
    await insertRows(db.dataSource().manager, ...before.map((id, n) => makeRun('t-a', { id, ...keys(n) })));
    const told = { stop: false, written: () => undefined as void };
    const ids = ['a', 'm-0-b', 'z']; // in front of, among and behind the old ones
    const writers = Promise.all(sources.map((source, w) => write(source, ids[w] ?? 'x', told)));
    const seen: string[] = [];
    try {
      let cursor: string | undefined;
      do {
        const page = await driver.fetchRuns('t-a', {}, sort, { limit, ...(cursor === undefined ? {} : { cursor }) });
        seen.push(...page.items.map((row) => row.runId));
        cursor = page.nextCursor ?? undefined;
        const another = new Promise<void>((resolve) => (told.written = resolve));
        if (cursor !== undefined) await Promise.race([another, writers]);
      } while (cursor !== undefined);
    } finally {
      told.stop = true;
      await writers;
    }
    expect(new Set(seen).size).toBe(seen.length);
    expect(before.filter((id) => !seen.includes(id))).toEqual([]);
    await db.dataSource().query('DELETE FROM runs');
  }
});
