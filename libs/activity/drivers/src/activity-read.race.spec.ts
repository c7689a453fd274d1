import { entities, migrations } from '@hoc/shared/models';
import { makeRun, makeTenant } from '@hoc/shared/testing';
import { insertRows, useFreshDatabase } from '@hoc/testkit';
import { getActivityReadDriver } from './activity-read.driver';

const REPETITIONS = 20;
const db = useFreshDatabase({ entities, migrations });

describe('fetchRuns among writers', () => {
  it('pages show no run twice, and every run that was there before the first page', async () => {
    const sources = await db.connections(3, { max: 1 });
    await insertRows(db.dataSource().manager, makeTenant({ id: 't-a' }));
    for (let repetition = 0; repetition < REPETITIONS; repetition += 1) {
      const at = (n: number): Date => new Date(Date.parse('2026-03-10T00:00:00Z') + (n % 7) * 1000);
      const before = Array.from({ length: 40 }, (_, n) => `r${repetition}-old-${n}`);
      await insertRows(db.dataSource().manager, ...before.map((id, n) => makeRun('t-a', { id, started_at: at(n) })));
      let done = false;
      const writers = sources.map(async (source, writer) => {
        for (let n = 0; !done; n += 1)
          await insertRows(
            source.manager,
            makeRun('t-a', { id: `r${repetition}-new-${writer}-${n}`, started_at: at(n) }),
          );
      });
      const seen: string[] = [];
      let cursor: string | undefined;
      do {
        const page = await getActivityReadDriver(db.dataSource().manager).fetchRuns('t-a', {}, undefined, {
          limit: 7,
          ...(cursor === undefined ? {} : { cursor }),
        });
        seen.push(...page.items.map((row) => row.runId));
        cursor = page.nextCursor ?? undefined;
      } while (cursor !== undefined && seen.length < 2000);
      done = true;
      await Promise.all(writers);
      expect(new Set(seen).size).toBe(seen.length);
      expect(before.filter((id) => !seen.includes(id))).toEqual([]);
      await db.dataSource().query('DELETE FROM runs');
    }
  });
});
