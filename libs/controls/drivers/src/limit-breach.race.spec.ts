import { entities, migrations } from '@hoc/controls/models';
import type { BreachInput, LimitBreachPort } from '@hoc/controls/schemas';
import { ConflictError } from '@hoc/shared/kernel';
import { entities as shared, migrations as sharedMigrations } from '@hoc/shared/models';
import { fixedClock, makeLimit, makeTenant, sequentialIds } from '@hoc/shared/testing';
import { insertRows, useFreshDatabase, waitFor } from '@hoc/testkit';
import type { DataSource, QueryRunner } from 'typeorm';
import { getLimitBreachDriver } from './limit-breach.driver';

const REPETITIONS = 20;
const NOW = new Date('2026-03-10T12:00:00.000Z');
const db = useFreshDatabase({ entities: [...shared, ...entities], migrations: [...sharedMigrations, ...migrations] });
const on = ({ manager }: Pick<DataSource, 'manager'>, ids = 'b'): LimitBreachPort =>
  getLimitBreachDriver(manager, { clock: fixedClock(NOW), ids: sequentialIds(ids) });
const input = (n: number, given: Partial<BreachInput> = {}): BreachInput => ({
  limitId: `L-${n % 5}`,
  breachType: 'BREACHED',
  valueAtBreach: String(n),
  idempotencyKey: `k-${n}`,
  ...given,
});
const count = async (): Promise<number> => {
  const [row]: { n: number }[] = await db.dataSource().query('SELECT count(*)::int AS n FROM limit_breaches');
  return row?.n ?? -1;
};
async function open(source: DataSource): Promise<QueryRunner> {
  const runner = source.createQueryRunner();
  await runner.startTransaction();
  return runner;
}
async function end(runner: QueryRunner, how: 'commitTransaction' | 'rollbackTransaction'): Promise<void> {
  await runner[how]();
  await runner.release();
}
const somebodyWaits = async (): Promise<boolean> => {
  const rows: { n: number }[] = await db
    .dataSource()
    .query(
      `SELECT count(*)::int AS n FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
    );
  return (rows[0]?.n ?? 0) > 0;
};

beforeEach(() =>
  insertRows(
    db.dataSource().manager,
    makeTenant({ id: 't' }),
    ...[0, 1, 2, 3, 4].map((n) => makeLimit('t', { id: `L-${n}` })),
  ),
);

it('8 connections record overlapping breaches, each in another order: each is new for one of them', async () => {
  const sources = await db.connections(8, { max: 1 });
  for (let n = 0; n < REPETITIONS; n += 1) {
    await db.dataSource().query('DELETE FROM limit_breaches');
    const answers = await Promise.all(
      sources.map((source, k) => {
        const mine = Array.from({ length: 60 }, (_, m) => input((m * 7 + k * 10) % 130));
        if (k % 2) mine.reverse();
        return source.transaction((manager) => on({ manager }, `b-${n}-${k}`).recordBreaches('t', mine));
      }),
    );
    const recorded = answers.flat().filter(({ duplicate }) => !duplicate);
    expect(new Set(recorded.map(({ row }) => row.idempotencyKey)).size).toBe(recorded.length);
    expect(await count()).toBe(recorded.length);
    const byKey = new Map(recorded.map(({ row }) => [row.idempotencyKey, row]));
    for (const { row } of answers.flat()) expect(row).toEqual(byKey.get(row.idempotencyKey));
  }
});

it('12 connections record one breach, without a transaction: one is told that it is new, all get its row', async () => {
  const sources = await db.connections(12, { max: 1 });
  for (let n = 0; n < REPETITIONS; n += 1) {
    const answers = await Promise.all(
      sources.map((source, k) => on(source, `b-${n}-${k}`).recordBreach('t', input(n))),
    );
    expect(answers.filter(({ duplicate }) => !duplicate)).toHaveLength(1);
    expect(new Set(answers.map(({ row }) => row.breachId)).size).toBe(1);
    expect(await count()).toBe(n + 1);
  }
});

it('8 connections mark the end of one breach: one of them did it', async () => {
  const sources = await db.connections(8, { max: 1 });
  for (let n = 0; n < REPETITIONS; n += 1) {
    const { row } = await on(db.dataSource(), `b-${n}`).recordBreach('t', input(n));
    const ended = await Promise.all(sources.map((source) => on(source).markBreachRecovered('t', row.breachId)));
    expect(ended.filter(Boolean)).toHaveLength(1);
  }
});

it('a breach that another unit of work has in hand is waited for: it stands, or this one is recorded', async () => {
  const [holder, other] = (await db.connections(2, { max: 1 })) as [DataSource, DataSource];
  for (const how of ['commitTransaction', 'rollbackTransaction'] as const) {
    for (const value of ['1', '2']) {
      await db.dataSource().query('DELETE FROM limit_breaches');
      const runner = await open(holder);
      const first = await on(runner, 'first').recordBreach('t', input(1, { valueAtBreach: '1' }));
      const second = on(other, 'second')
        .recordBreach('t', input(1, { valueAtBreach: value }))
        .catch((error: unknown) => error);
      await waitFor(somebodyWaits, 'the second writer to wait for the first');
      await end(runner, how);
      const answer = await second;
      if (how === 'rollbackTransaction')
        expect(answer).toMatchObject({ duplicate: false, row: { valueAtBreach: value } });
      else if (value === '1') expect(answer).toEqual({ row: first.row, duplicate: true });
      else expect(ConflictError.is(answer)).toBe(true);
      expect(await count()).toBe(1);
    }
  }
});
