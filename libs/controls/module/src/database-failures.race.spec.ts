import { BudgetEnforcementDriver } from '@hoc/controls/drivers';
import { DEFAULT_LLM_RUN_PARAMS } from '@hoc/controls/schemas';
import { type DecimalString, HocError, systemScope } from '@hoc/shared/kernel';
import { createHoc } from '@hoc/shared/spine';
import { fixedClock, makeLimit, makeRun, makeTenant, sequentialIds } from '@hoc/shared/testing';
import { insertRows, killBackend, useEmptyDatabase, waitFor } from '@hoc/testkit';
import type { DataSource, EntityManager } from 'typeorm';
import { controlsModule } from './controls.module';

// Spec controls G.4, last row: each write, while another connection holds the row that it needs.
const db = useEmptyDatabase({ entities: [], migrations: [] });
const NOW = new Date('2026-03-10T12:00:00.000Z');
const cents = (text: string): DecimalString => text as DecimalString;
const deps = { clock: fixedClock(NOW), ids: sequentialIds('x') };
const on = (manager: EntityManager) => controlsModule.compose(manager, deps);
const ATTEMPT = { action: 'retry', incidentId: 'i' };
const DECISION = {
  tenantId: 't',
  runId: 'r',
  budgetLimitCents: cents('1'),
  budgetConsumedCents: cents('2'),
  stepCostCents: cents('0'),
  completedSteps: 1,
  totalSteps: 2,
};
const REQUEST = { limitId: 'a', overrideValue: '200', durationHours: 1, reason: 'a campaign of the day' };
const SIGNALS = {
  runId: 'r',
  state: 'live',
  signals: ['RUN_FAILED'],
  paramsUsed: DEFAULT_LLM_RUN_PARAMS,
} as const;
let scopeId = '';
let held = '';

type Work = (manager: EntityManager) => Promise<unknown>;
const charge: Work = (manager) =>
  on(manager).reservations.reserve('t', { limitIds: ['a'], amountCents: cents('1'), idempotencyKey: 'second' });
const decide: Work = (manager) =>
  new BudgetEnforcementDriver(manager, systemScope('test'), deps).insertBudgetDecisions([DECISION]);
const attempt: Work = (manager) => on(manager).scopes.consumeScope('t', { scopeId, ...ATTEMPT });
const raise: Work = (manager) => on(manager).overrides.requestOverride('t', REQUEST, 'ann');
const emit: Work = (manager) => on(manager).signals.emitAndPersistThresholdSignal('t', SIGNALS);
const rename: Work = (manager) => on(manager).policyLimits.update('t', 'a', { name: 'Renamed' });

/** A write, and what another connection does that it has to wait for. */
const WRITES: readonly (readonly [string, Work, Work])[] = [
  ['reserve', charge, charge],
  ['settle', (manager) => on(manager).reservations.settle('t', held, cents('1')), charge],
  ['insertBudgetDecisions', decide, decide],
  ['consumeScope', attempt, attempt],
  ['requestOverride', raise, raise],
  ['emitAndPersistThresholdSignal', emit, emit],
  ['updateLimit', rename, rename],
  [
    'disableV2',
    (manager) => on(manager).breakerControl.disableV2('work', 'ann'),
    (manager) => on(manager).breaker.observe({ driftScore: 0.9 }),
  ],
];

/** All rows of the tables that these calls write. */
const everything = (): Promise<unknown> =>
  db.dataSource().query(
    `SELECT (SELECT jsonb_agg(to_jsonb(t) ORDER BY id) FROM budget_reservations t) AS a, (SELECT jsonb_agg(to_jsonb(t)) FROM budget_windows t) AS b,
       (SELECT jsonb_agg(to_jsonb(t)) FROM decision_records t) AS c, (SELECT jsonb_agg(to_jsonb(t)) FROM execution_scopes t) AS d,
       (SELECT count(*) FROM execution_scope_attempts) AS e, (SELECT count(*) FROM limit_overrides) AS f, (SELECT count(*) FROM ops_events) AS g,
       (SELECT jsonb_agg(to_jsonb(t)) FROM runs t) AS h, (SELECT jsonb_agg(to_jsonb(t)) FROM limits t) AS i,
       (SELECT jsonb_agg(to_jsonb(t)) FROM costsim_cb_state t) AS j, (SELECT count(*) FROM costsim_alert_queue) AS k`,
  );

beforeAll(async () => {
  const hoc = createHoc({ connection: { url: db.url(), applicationName: 'migrate' }, modules: [controlsModule] });
  await hoc.migrate();
  await hoc.close();
});
afterEach(() => db.dataSource().query('TRUNCATE tenants, runs, limits, costsim_cb_incidents CASCADE'));
beforeEach(async () => {
  const { manager } = db.dataSource();
  await insertRows(
    manager,
    makeTenant({ id: 't' }),
    makeRun('t', { id: 'r', status: 'halted' }),
    makeLimit('t', { id: 'a', limit_category: 'BUDGET', reset_period: 'MONTHLY', max_value: '100' }),
  );
  ({ scopeId } = await on(manager).scopes.createScope('t', {
    incidentId: 'i',
    allowedActions: ['retry'],
    maxAttempts: 9,
  }));
  const first = { limitIds: ['a'], amountCents: cents('1'), idempotencyKey: 'first' };
  ({ reservationId: held } = await on(manager).reservations.reserve('t', first));
  // The breaker's row is there.
  await db.dataSource().transaction((m) => on(m).breaker.observe({ driftScore: 0 }));
});

/** What became of the write, in a transaction of its own, while another one that has to end first is open. */
async function refusedWhileHeld(
  blocked: DataSource,
  hold: Work,
  work: Work,
  during: () => Promise<unknown> = async () => undefined,
) {
  const holder = db.dataSource().createQueryRunner();
  await holder.startTransaction();
  try {
    await hold(holder.manager);
    const outcome = blocked.transaction(work).then(
      () => 'passed',
      (error: unknown) =>
        HocError.is(error) ? { code: error.code, retryable: error.retryable, details: error.details } : error,
    );
    await during();
    return await outcome;
  } finally {
    await holder.rollbackTransaction();
    await holder.release();
  }
}

/** The one session that waits for a lock. */
const waitingSession = (): Promise<number> =>
  waitFor(async () => {
    const rows: { pid: number }[] = await db
      .dataSource()
      .query(`SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`);
    return rows[0]?.pid ?? 0;
  }, 'a session waits for a lock');

describe.each(WRITES)('%s', (_name, work, hold) => {
  it.each(['lock_timeout', 'statement_timeout'])('%s: may be tried again, and nothing was written', async (setting) => {
    const [blocked] = await db.connections(1, { max: 1 });
    const before = await everything();
    const impatient: Work = async (manager) => {
      await manager.query(`SET LOCAL ${setting} = 30`);
      return work(manager);
    };
    expect(await refusedWhileHeld(blocked as DataSource, hold, impatient)).toMatchObject({
      code: 'UNAVAILABLE',
      retryable: true,
      details: { reason: setting },
    });
    expect(await everything()).toEqual(before);
  });

  it('a connection cut in the middle: may be tried again, and nothing was written', async () => {
    const [blocked] = await db.connections(1, { max: 1 });
    const before = await everything();
    const outcome = await refusedWhileHeld(blocked as DataSource, hold, work, async () =>
      killBackend(await waitingSession()),
    );
    expect(outcome).toMatchObject({ code: 'UNAVAILABLE', retryable: true });
    expect(await everything()).toEqual(before);
  });

  it('a client that is killed between its last statement and the commit: nothing was written', async () => {
    const [killed] = await db.connections(1, { max: 1 });
    const before = await everything();
    const outcome = (killed as DataSource).transaction(async (manager) => {
      await work(manager);
      const [session]: { pid: number }[] = await manager.query('SELECT pg_backend_pid() AS pid');
      await killBackend(session?.pid ?? 0);
    });
    await expect(outcome).rejects.toThrow();
    expect(await everything()).toEqual(before);
  });
});
