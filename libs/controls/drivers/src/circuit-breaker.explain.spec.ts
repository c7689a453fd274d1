import { entities, migrations } from '@hoc/controls/models';
import { systemScope } from '@hoc/shared/kernel';
import { entities as shared, migrations as sharedMigrations } from '@hoc/shared/models';
import { fixedClock, sequentialIds } from '@hoc/shared/testing';
import { captureStatements, explain, type Plan, useEmptyDatabase } from '@hoc/testkit';
import type { EntityManager, QueryRunner } from 'typeorm';
import { type CircuitBreaker, createCircuitBreaker } from './circuit-breaker.driver';

/** 2,000 breakers, half of them open, and 50,000 incidents, of which 20,000 are one breaker's. */
const NAME = 'b-0007';
const NOW = new Date('2026-03-10T12:00:00.000Z');
const db = useEmptyDatabase({ entities: [...shared, ...entities], migrations: [...sharedMigrations, ...migrations] });
let runner: QueryRunner;
let manager: EntityManager;
let breaker: CircuitBreaker;

beforeAll(async () => {
  await db.dataSource().runMigrations();
  await db.dataSource().query(
    `WITH incidents AS (
       INSERT INTO costsim_cb_incidents (id, circuit_breaker_name, timestamp, reason, severity, resolved, resolved_at)
       SELECT 'i-' || to_char(n, 'FM00000'), 'b-' || to_char(CASE WHEN n < 30000 THEN n % 2000 ELSE 7 END, 'FM0000'),
         timestamptz '2026-01-01T00:00:00Z' + n * interval '1 minute', 'r', 'P1', NOT open, CASE WHEN NOT open THEN now() END
       FROM (SELECT n, n < 2000 AND n % 2 = 1 AS open FROM generate_series(0, 49999) n) AS s
     )
     INSERT INTO costsim_cb_state (name, disabled, disabled_by, disabled_reason, disabled_until, opened_at, incident_id, updated_at, created_at)
     SELECT 'b-' || to_char(n, 'FM0000'), open, CASE WHEN open THEN 'ann' END, CASE WHEN open THEN 'r' END,
       CASE WHEN open THEN timestamptz '2026-03-10T00:00:00Z' END, CASE WHEN open THEN now() END,
       CASE WHEN open THEN 'i-' || to_char(n, 'FM00000') END, now(), now()
     FROM (SELECT n, n % 2 = 1 AS open FROM generate_series(0, 1999) n) AS s`,
  );
  await db.dataSource().query('VACUUM ANALYZE costsim_cb_state, costsim_cb_incidents');
});

beforeEach(async () => {
  runner = db.dataSource().createQueryRunner();
  await runner.startTransaction();
  manager = runner.manager;
  const deps = { clock: fixedClock(NOW), ids: sequentialIds('new') };
  breaker = createCircuitBreaker(manager, systemScope('test'), deps, { name: NAME });
});

afterEach(async () => {
  await runner.rollbackTransaction();
  await runner.release();
});

/** The plan of the last statement that a call sends, run on the rows as they were before it. */
async function planOf(work: () => Promise<unknown>): Promise<Plan> {
  await manager.query('SAVEPOINT asked');
  const sent = (await captureStatements(manager, work)).filter(({ text }) => !/SAVEPOINT/.test(text));
  await manager.query('ROLLBACK TO SAVEPOINT asked');
  const last = sent.at(-1);
  const plan = await explain(manager, last?.text ?? '', last?.values ?? [], { analyze: true });
  expect(plan.seqScans).toEqual([]);
  return plan;
}

it('getIncidents of all: the page is read in the order of the index, from the cursor on', async () => {
  const first = await breaker.getIncidents({ includeResolved: true, limit: 20 });
  const cursor = first.nextCursor ?? '';
  for (const request of [{ includeResolved: true }, { includeResolved: true, limit: 200, cursor }]) {
    const plan = await planOf(() => breaker.getIncidents(request));
    expect([plan.indexes, plan.hasSort]).toEqual([['ix_cb_incidents_list'], false]);
    expect(plan.indexConditions.join()).toMatch(/circuit_breaker_name.*ROW\("?timestamp"?, id\) </);
    expect(plan.buffers).toBeLessThan(40);
  }
});

it('getIncidents of open ones: no resolved one is read', async () => {
  const plan = await planOf(() => breaker.getIncidents());
  expect(plan.indexes).toHaveLength(1);
  expect(plan.indexes[0]).toMatch(/^(ix_cb_incidents_open|uq_cb_incident_open)$/);
  expect(plan.buffers).toBeLessThan(10);
});

it('a check reads one row by the key', async () => {
  const plan = await planOf(async () => {
    expect(await breaker.isClosed()).toBe(true);
  });
  expect(plan.indexes.at(0)).toBe('pk_costsim_cb_state');
  expect(plan.buffers).toBeLessThan(10);
});

it('a recovery reads its breaker and its incident by their keys', async () => {
  const plan = await planOf(async () => {
    expect(await breaker.autoRecover()).toBe(true);
  });
  expect(new Set(plan.indexes)).toEqual(new Set(['pk_costsim_cb_state', 'pk_costsim_cb_incidents']));
});
