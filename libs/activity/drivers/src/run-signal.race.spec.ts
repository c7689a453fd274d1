import { RISK_LEVELS, type RiskLevel } from '@hoc/shared/kernel';
import { entities, migrations } from '@hoc/shared/models';
import { fixedClock, makeRun, makeTenant } from '@hoc/shared/testing';
import { insertRows, useFreshDatabase, waitFor } from '@hoc/testkit';
import type { DataSource } from 'typeorm';
import { getRunSignalDriver, type RunSignalDriver } from './run-signal.driver';

const REPETITIONS = 20;
const clock = fixedClock('2026-03-10T12:00:00.000Z');
const db = useFreshDatabase({ entities, migrations });
const on = ({ manager }: Pick<DataSource, 'manager'>): RunSignalDriver => getRunSignalDriver(manager, { clock });
const insert = (...rows: Parameters<typeof insertRows>[1][]) => insertRows(db.dataSource().manager, ...rows);
const rank = (level: RiskLevel): number => RISK_LEVELS.indexOf(level);
const shuffled = <T>(items: readonly T[]): T[] =>
  items
    .map((item) => [Math.random(), item] as const)
    .sort(([a], [b]) => a - b)
    .map(([, item]) => item);
const isBlocked = async (): Promise<boolean> => {
  const rows: { n: number }[] = await db
    .dataSource()
    .query(
      `SELECT count(*)::int AS n FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
    );
  return (rows[0]?.n ?? 0) > 0;
};

beforeEach(() => insert(makeTenant({ id: 't-a' })));

it('F60: 20 connections at once end at the highest level, their results one chain without a drop', async () => {
  const sources = await db.connections(20, { max: 1 });
  for (let n = 0; n < REPETITIONS; n += 1) {
    const id = `r${n}`;
    await insert(makeRun('t-a', { id }));
    const loud = Math.floor(Math.random() * sources.length);
    const results = await Promise.all(
      sources.map((source, k) =>
        on(source).updateRiskLevel('t-a', id, [k === loud ? 'RUN_FAILED' : k % 2 ? 'NEW_ONE' : 'TOKEN_LIMIT_EXCEEDED']),
      ),
    );
    const rises = results
      .flatMap((result) => (result?.changed ? [result] : []))
      .sort((a, b) => rank(a.previous) - rank(b.previous));
    const reached = rises.reduce<RiskLevel>((level, { previous, current }) => {
      expect(previous).toBe(level);
      expect(rank(current)).toBeGreaterThan(rank(previous));
      return current;
    }, 'NORMAL');
    expect(reached).toBe('VIOLATED');
    expect(await on(db.dataSource()).getRiskLevel('t-a', id)).toBe('VIOLATED');
  }
});

it('8 batches of the same 100 runs, each in an order of its own: no deadlock, each run at its highest', async () => {
  const sources = await db.connections(8, { max: 1 });
  const ids = Array.from({ length: 100 }, (_, n) => `r-${n}`);
  await insert(...ids.map((id) => makeRun('t-a', { id })));
  for (let n = 0; n < REPETITIONS; n += 1) {
    await db.dataSource().query(`UPDATE runs SET risk_level = 'NORMAL'`);
    const results = await Promise.all(
      sources.map((source, k) => {
        const signals = k === n % sources.length ? ['RUN_FAILED'] : ['COST_LIMIT_EXCEEDED'];
        const items = shuffled(ids).map((runId) => ({ runId, signals }));
        return source.transaction((manager) => on({ manager }).updateRiskLevels('t-a', items));
      }),
    );
    expect(results.map((changes) => changes.length)).toEqual(sources.map(() => ids.length));
    const levels: unknown = await db.dataSource().query('SELECT DISTINCT risk_level FROM runs');
    expect(levels).toEqual([{ risk_level: 'VIOLATED' }]);
  }
});

it('two units of work that record a child and then raise their common parent do not deadlock', async () => {
  const sources = await db.connections(2, { max: 1 });
  for (let n = 0; n < REPETITIONS; n += 1) {
    const parent = `p${n}`;
    await insert(makeRun('t-a', { id: parent }));
    let recorded = 0;
    let release: () => void = () => undefined;
    const both = new Promise<void>((resolve) => (release = resolve));
    const changes = await Promise.all(
      sources.map((source, k) =>
        source.transaction(async (manager) => {
          await insertRows(manager, makeRun('t-a', { id: `${parent}-${k}`, parent_run_id: parent }));
          if ((recorded += 1) === sources.length) release();
          await both;
          return on({ manager }).updateRiskLevel('t-a', parent, ['RUN_FAILED']);
        }),
      ),
    );
    expect(changes.filter((change) => change?.changed)).toHaveLength(1);
  }
});

it('a raise waits for an open one, and starts from what it committed', async () => {
  const [a, b] = (await db.connections(2, { max: 1 })) as [DataSource, DataSource];
  for (const end of ['commitTransaction', 'rollbackTransaction'] as const) {
    await insert(makeRun('t-a', { id: end }));
    const runner = a.createQueryRunner();
    await runner.startTransaction();
    await on(runner).updateRiskLevel('t-a', end, ['RUN_FAILED']);
    const second = on(b).updateRiskLevel('t-a', end, ['COST_LIMIT_EXCEEDED']);
    await waitFor(isBlocked, 'the second raise waits for the first');
    await runner[end]();
    await runner.release();
    const committed = end === 'commitTransaction';
    expect(await second).toEqual({
      runId: end,
      previous: committed ? 'VIOLATED' : 'NORMAL',
      current: committed ? 'VIOLATED' : 'AT_RISK',
      changed: !committed,
    });
  }
});
