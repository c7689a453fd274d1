import { entities, migrations } from '@hoc/controls/models';
import type { BudgetDecisionOutcome, NewBudgetDecision } from '@hoc/controls/schemas';
import { systemScope } from '@hoc/shared/kernel';
import { entities as shared, migrations as sharedMigrations } from '@hoc/shared/models';
import { fixedClock, makeTenant, sequentialIds } from '@hoc/shared/testing';
import { insertRows, useFreshDatabase, waitFor } from '@hoc/testkit';
import type { DataSource, QueryRunner } from 'typeorm';
import { type BudgetEnforcementDriver, getBudgetEnforcementDriver } from './budget-enforcement.driver';

const REPETITIONS = 20;
const HALTS = 200;
const NOW = new Date('2026-03-10T12:00:00.000Z');
const scope = systemScope('test');
const db = useFreshDatabase({ entities: [...shared, ...entities], migrations: [...sharedMigrations, ...migrations] });
const on = ({ manager }: Pick<DataSource, 'manager'>, ids = 'd'): BudgetEnforcementDriver =>
  getBudgetEnforcementDriver(manager, scope, { clock: fixedClock(NOW), ids: sequentialIds(ids) });
const run = (n: number): string => `r-${String(n).padStart(3, '0')}`;
const decision = (n: number, given: Partial<NewBudgetDecision> = {}): NewBudgetDecision => ({
  tenantId: `t-${n % 3}`,
  runId: run(n),
  budgetLimitCents: '1000',
  budgetConsumedCents: '1200',
  stepCostCents: '0',
  completedSteps: 0,
  totalSteps: 0,
  ...given,
});
const stored = async (): Promise<{ n: number; runs: number }[]> =>
  db
    .dataSource()
    .query('SELECT count(*)::int AS n, count(DISTINCT (tenant_id, run_id))::int AS runs FROM decision_records');
/** The same list as another writer has it: turned, and each second one backwards. */
const turned = <T>(items: readonly T[], by: number): readonly T[] => {
  const moved = [...items.slice(by), ...items.slice(0, by)];
  return by % 2 ? moved.reverse() : moved;
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

beforeEach(async () => {
  await insertRows(db.dataSource().manager, ...[0, 1, 2].map((n) => makeTenant({ id: `t-${n}` })));
  await db.dataSource().query(
    `INSERT INTO runs (tenant_id, id, agent_id, origin_system_id, goal, status, state, error_message, created_at, updated_at)
     SELECT 't-' || n % 3, 'r-' || to_char(n, 'FM000'), 'ag', 'test', 'a goal', 'halted', 'COMPLETED',
       'Hard budget limit reached: 1200c consumed >= 1000c limit', $2::timestamptz, $2::timestamptz
     FROM generate_series(0, $1::int - 1) n`,
    [HALTS, NOW.toISOString()],
  );
});

it('G.1: 8 connections insert the same 200 halts, each in another order: 200 rows, each new for one of them', async () => {
  const sources = await db.connections(8, { max: 1 });
  const halts = Array.from({ length: HALTS }, (_, n) => decision(n));
  for (let n = 0; n < REPETITIONS; n += 1) {
    await db.dataSource().query('DELETE FROM decision_records');
    const outcomes: readonly BudgetDecisionOutcome[] = await Promise.all(
      sources.map((source, k) =>
        source.transaction((manager) => on({ manager }, `d-${n}-${k}`).insertBudgetDecisions(turned(halts, k * 17))),
      ),
    );
    const inserted = outcomes.flatMap((outcome) => outcome.inserted.map(({ runId }) => runId));
    expect([...inserted].sort()).toEqual(halts.map(({ runId }) => runId).sort());
    for (const outcome of outcomes) {
      expect(outcome.inserted.length + outcome.duplicates.length).toBe(HALTS);
      expect(outcome.conflicts).toEqual([]);
    }
    expect(await stored()).toEqual([{ n: HALTS, runs: HALTS }]);
  }
});

it('writers whose halts overlap in part: every run has one decision', async () => {
  const sources = await db.connections(4, { max: 1 });
  for (let n = 0; n < 5; n += 1) {
    await db.dataSource().query('DELETE FROM decision_records');
    const outcomes = await Promise.all(
      sources.map((source, k) => {
        const mine = Array.from({ length: 100 }, (_, m) => decision((k * 34 + m) % HALTS));
        return source.transaction((manager) => on({ manager }, `d-${n}-${k}`).insertBudgetDecisions(turned(mine, k)));
      }),
    );
    const inserted = outcomes.reduce((sum, outcome) => sum + outcome.inserted.length, 0);
    expect(await stored()).toEqual([{ n: inserted, runs: inserted }]);
    expect(inserted).toBe(HALTS);
  }
});

it.each(['commitTransaction', 'rollbackTransaction'] as const)(
  'a decision that another unit of work has in hand is waited for (%s): it stands, or this one is written',
  async (how) => {
    const [holder, other] = (await db.connections(2, { max: 1 })) as [DataSource, DataSource];
    for (const [consumed, then] of [
      ['1200', 'duplicates'],
      ['1300', 'conflicts'],
    ] as const) {
      await db.dataSource().query('DELETE FROM decision_records');
      const runner = await open(holder);
      const [first] = (await on(runner, 'first').insertBudgetDecisions([decision(0)])).inserted;
      const second = other.transaction((manager) =>
        on({ manager }, 'second').insertBudgetDecisions([
          decision(0, { budgetConsumedCents: consumed }),
          decision(3, { budgetConsumedCents: consumed }),
        ]),
      );
      await waitFor(somebodyWaits, 'the second writer to wait for the first');
      await end(runner, how);
      const outcome = await second;
      if (how === 'commitTransaction') {
        expect(outcome[then]).toEqual([first]);
        expect(outcome.inserted.map(({ runId }) => runId)).toEqual([run(3)]);
      } else expect(outcome.inserted.map(({ decisionId }) => decisionId)).toEqual(['second-000001', 'second-000002']);
      expect(await stored()).toEqual([{ n: 2, runs: 2 }]);
    }
  },
);

it('a halt whose decision is in hand is still pending; once it is committed it is not', async () => {
  const [holder, other] = (await db.connections(2, { max: 1 })) as [DataSource, DataSource];
  const first = async (): Promise<string | undefined> =>
    (await on(other).fetchPendingBudgetHalts({ limit: 1 })).items[0]?.runId;
  const runner = await open(holder);
  await on(runner).insertBudgetDecisions([decision(0)]);
  expect(await first()).toBe(run(0));
  await end(runner, 'commitTransaction');
  expect(await first()).toBe(run(3));
});

it('while decisions are in hand, their runs are read and changed without a wait', async () => {
  const [holder] = await db.connections(1, { max: 1 });
  const [other] = await db.connections(1, { max: 1, options: '-c lock_timeout=2000' });
  const runner = await open(holder as DataSource);
  await on(runner).insertBudgetDecisions([decision(0)]);
  await (other as DataSource).query(`UPDATE runs SET risk_level = 'VIOLATED' WHERE id = $1`, [run(0)]);
  await end(runner, 'commitTransaction');
});
