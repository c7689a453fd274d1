import { entities, migrations } from '@hoc/controls/models';
import {
  DEFAULT_LLM_RUN_PARAMS,
  THRESHOLD_SIGNALS,
  type ThresholdSignal,
  type ThresholdSignalPort,
} from '@hoc/controls/schemas';
import { ConflictError, uuidV7Generator } from '@hoc/shared/kernel';
import { entities as shared, migrations as sharedMigrations } from '@hoc/shared/models';
import { maxRiskLevelForSignals } from '@hoc/shared/schemas';
import { fixedClock, makeRun, makeTenant } from '@hoc/shared/testing';
import { insertRows, useFreshDatabase, waitFor } from '@hoc/testkit';
import type { DataSource, EntityManager } from 'typeorm';
import { getThresholdSignals, sharedRunsRiskSink } from './threshold.driver';

const REPETITIONS = 20;
const CONNECTIONS = 12;
const clock = fixedClock('2026-03-10T12:00:00.000Z');
const deps = { clock, ids: uuidV7Generator(clock) };
const db = useFreshDatabase({ entities: [...shared, ...entities], migrations: [...sharedMigrations, ...migrations] });
const on = (manager: EntityManager): ThresholdSignalPort => getThresholdSignals(manager, deps);
const insert = (...rows: Parameters<typeof insertRows>[1][]) => insertRows(db.dataSource().manager, ...rows);
const input = (runId: string) => ({ runId, state: 'live', paramsUsed: DEFAULT_LLM_RUN_PARAMS }) as const;
const rotated = (by: number): readonly ThresholdSignal[] =>
  THRESHOLD_SIGNALS.map((_, n) => THRESHOLD_SIGNALS[(n + by) % THRESHOLD_SIGNALS.length] as ThresholdSignal);
const levelOf = async (id: string): Promise<unknown> => {
  const rows: { risk_level: string }[] = await db.dataSource().query('SELECT risk_level FROM runs WHERE id = $1', [id]);
  return rows[0]?.risk_level;
};
const eventsOf = async (id: string): Promise<number> => {
  const sql = 'SELECT count(*)::int AS n FROM ops_events WHERE entity_id = $1';
  const rows: { n: number }[] = await db.dataSource().query(sql, [id]);
  return rows[0]?.n ?? -1;
};
const isBlocked = async (): Promise<boolean> => {
  const rows: { n: number }[] = await db
    .dataSource()
    .query(
      `SELECT count(*)::int AS n FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
    );
  return (rows[0]?.n ?? 0) > 0;
};

/** All at once: each is given a barrier, behind which nobody goes before everybody has come. */
function together<T>(
  sources: readonly DataSource[],
  work: (manager: EntityManager, n: number, barrier: () => Promise<void>) => Promise<T>,
): Promise<T[]> {
  let arrived = 0;
  let open: () => void = () => undefined;
  const all = new Promise<void>((resolve) => (open = resolve));
  const barrier = (): Promise<void> => {
    if ((arrived += 1) === sources.length) open();
    return all;
  };
  return Promise.all(sources.map((source, n) => source.transaction((manager) => work(manager, n, barrier))));
}

beforeEach(() => insert(makeTenant({ id: 't' })));

it('G.1: 12 connections with one run: one event a signal, and the level is the maximum', async () => {
  const sources = await db.connections(CONNECTIONS, { max: 1 });
  for (let n = 0; n < REPETITIONS; n += 1) {
    const id = `r${n}`;
    await insert(makeRun('t', { id }));
    const given = sources.map((_, k) => rotated(k).slice(0, 1 + ((k + n) % 4)));
    const results = await together(sources, async (manager, k, barrier) => {
      await barrier();
      return on(manager).emitAndPersistThresholdSignal('t', { ...input(id), signals: given[k] ?? [] });
    });
    const distinct = new Set(given.flat());
    expect(results.flatMap(({ emitted }) => emitted).sort()).toEqual([...distinct].sort());
    for (const [k, { emitted, duplicates }] of results.entries())
      expect([...emitted, ...duplicates].sort()).toEqual([...(given[k] ?? [])].sort());
    expect(await eventsOf(id)).toBe(distinct.size);
    expect(await levelOf(id)).toBe(maxRiskLevelForSignals([...distinct]));
  }
});

it('12 single emissions without a transaction: one event, 11 duplicates, no level', async () => {
  const sources = await db.connections(CONNECTIONS, { max: 1 });
  for (let n = 0; n < REPETITIONS; n += 1) {
    const id = `s${n}`;
    await insert(makeRun('t', { id }));
    const results = await Promise.all(
      sources.map(({ manager }) => on(manager).emitThresholdSignal('t', { ...input(id), signal: 'RUN_FAILED' })),
    );
    expect(results.flatMap(({ emitted }) => emitted)).toEqual(['RUN_FAILED']);
    expect(results.flatMap(({ duplicates }) => duplicates)).toHaveLength(CONNECTIONS - 1);
    expect([await eventsOf(id), await levelOf(id)]).toEqual([1, 'NORMAL']);
  }
});

it('who ends a run and then emits its signals does not deadlock with another evaluation of it', async () => {
  const [a, b] = (await db.connections(2, { max: 1 })) as [DataSource, DataSource];
  await insert(makeRun('t', { id: 'r' }));
  const runner = a.createQueryRunner();
  await runner.startTransaction();
  await runner.query(`UPDATE runs SET goal = 'ended' WHERE tenant_id = 't' AND id = 'r'`);
  const signals = ['RUN_FAILED', 'COST_LIMIT_EXCEEDED'] as const;
  const other = b.transaction((manager) => on(manager).emitAndPersistThresholdSignal('t', { ...input('r'), signals }));
  await waitFor(isBlocked, 'the second evaluation waits for the run');
  const mine = await on(runner.manager).emitAndPersistThresholdSignal('t', { ...input('r'), signals });
  await runner.commitTransaction();
  await runner.release();
  expect(mine).toEqual({ emitted: signals, duplicates: [], riskLevel: 'VIOLATED' });
  expect(await other).toEqual({ emitted: [], duplicates: signals, riskLevel: 'VIOLATED' });
});

it('two units of work that record a child and then emit for their common parent do not deadlock', async () => {
  const sources = await db.connections(2, { max: 1 });
  for (let n = 0; n < REPETITIONS; n += 1) {
    const parent = `p${n}`;
    await insert(makeRun('t', { id: parent }));
    const results = await together(sources, async (manager, k, barrier) => {
      await insertRows(manager, makeRun('t', { id: `${parent}-${k}`, parent_run_id: parent }));
      await barrier();
      return on(manager).emitAndPersistThresholdSignal('t', { ...input(parent), signals: THRESHOLD_SIGNALS });
    });
    expect(results.map(({ riskLevel }) => riskLevel)).toEqual(['VIOLATED', 'VIOLATED']);
    expect(await eventsOf(parent)).toBe(4);
  }
});

it('another emission is waited for: committed it is a duplicate, rolled back it never was', async () => {
  const [a, b] = (await db.connections(2, { max: 1 })) as [DataSource, DataSource];
  for (const end of ['commitTransaction', 'rollbackTransaction'] as const) {
    await insert(makeRun('t', { id: end }));
    const runner = a.createQueryRunner();
    await runner.startTransaction();
    const first = { ...input(end), signals: ['RUN_FAILED'] as const };
    await on(runner.manager).emitAndPersistThresholdSignal('t', first);
    const signals = ['RUN_FAILED', 'TOKEN_LIMIT_EXCEEDED'] as const;
    const second = b.transaction((manager) =>
      on(manager).emitAndPersistThresholdSignal('t', { ...input(end), signals }),
    );
    await waitFor(isBlocked, 'the second emission waits for the first');
    await runner[end]();
    await runner.release();
    expect(await second).toEqual(
      end === 'commitTransaction'
        ? { emitted: ['TOKEN_LIMIT_EXCEEDED'], duplicates: ['RUN_FAILED'], riskLevel: 'VIOLATED' }
        : { emitted: signals, duplicates: [], riskLevel: 'VIOLATED' },
    );
    expect(await eventsOf(end)).toBe(2);
  }
});

it('the sink alone: a raise waits for an open one, starts from what it committed, and never lowers', async () => {
  const [a, b] = (await db.connections(2, { max: 1 })) as [DataSource, DataSource];
  for (const end of ['commitTransaction', 'rollbackTransaction'] as const) {
    await insert(makeRun('t', { id: end }));
    const runner = a.createQueryRunner();
    await runner.startTransaction();
    expect(await sharedRunsRiskSink(runner.manager, deps).raise('t', end, ['RUN_FAILED'])).toBe('VIOLATED');
    const second = sharedRunsRiskSink(b.manager, deps).raise('t', end, ['COST_LIMIT_EXCEEDED']);
    await waitFor(isBlocked, 'the second raise waits for the first');
    await runner[end]();
    await runner.release();
    const level = end === 'commitTransaction' ? 'VIOLATED' : 'AT_RISK';
    expect([await second, await levelOf(end)]).toEqual([level, level]);
  }
});

it('another event that takes the key meanwhile is a conflict all the same', async () => {
  const [a, b] = (await db.connections(2, { max: 1 })) as [DataSource, DataSource];
  const runner = a.createQueryRunner();
  await runner.startTransaction();
  await runner.query(
    `INSERT INTO ops_events (tenant_id, id, occurred_at, event_type, idempotency_key)
     VALUES ('t', 'foreign', '2026-03-10T12:00:00Z', 'API_CALL_RECEIVED', 'threshold:r:live:RUN_FAILED')`,
  );
  const asked = on(b.manager).emitThresholdSignal('t', { ...input('r'), signal: 'RUN_FAILED' });
  const outcome = asked.then(
    () => 'emitted',
    (error: unknown) => ConflictError.is(error),
  );
  await waitFor(isBlocked, 'the emission waits for the key');
  await runner.commitTransaction();
  await runner.release();
  expect(await outcome).toBe(true);
  expect(await db.dataSource().query('SELECT id FROM ops_events')).toEqual([{ id: 'foreign' }]);
});
