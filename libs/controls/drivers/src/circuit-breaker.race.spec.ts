import { entities, migrations } from '@hoc/controls/models';
import { HocError, systemScope } from '@hoc/shared/kernel';
import { entities as shared, migrations as sharedMigrations } from '@hoc/shared/models';
import { fixedClock, sequentialIds } from '@hoc/shared/testing';
import { useFreshDatabase, waitFor } from '@hoc/testkit';
import type { DataSource, EntityManager } from 'typeorm';
import { type CircuitBreaker, createCircuitBreaker } from './circuit-breaker.driver';

const REPETITIONS = 3;
const NOW = new Date('2026-03-10T12:00:00.000Z');
const NEXT_DAY = new Date('2026-03-11T12:00:00.000Z');
const scope = systemScope('test');
const db = useFreshDatabase({ entities: [...shared, ...entities], migrations: [...sharedMigrations, ...migrations] });
let made = 0;

/** Each caller is a replica of its own: other ids, the same clock. */
const on = (manager: EntityManager, at: Date = NOW): CircuitBreaker =>
  createCircuitBreaker(manager, scope, { clock: fixedClock(at), ids: sequentialIds(`c${(made += 1)}`) });
const opened = (n: number): Promise<readonly DataSource[]> => db.connections(n, { max: 1 });
/** All at once, each in a transaction of its own that is open before anybody works. */
async function atOnce<T>(
  sources: readonly DataSource[],
  work: (breaker: CircuitBreaker, n: number) => Promise<T>,
  { at = NOW, readOnly = () => false }: { readonly at?: Date; readonly readOnly?: (n: number) => boolean } = {},
): Promise<readonly T[]> {
  let ready = 0;
  let start = (): void => undefined;
  const started = new Promise<void>((resolve) => {
    start = resolve;
  });
  return Promise.all(
    sources.map((source, n) =>
      source.transaction(async (manager) => {
        await manager.query(readOnly(n) ? 'SET TRANSACTION READ ONLY' : 'SELECT 1');
        ready += 1;
        if (ready === sources.length) start();
        await started;
        return work(on(manager, at), n);
      }),
    ),
  );
}

interface Counted {
  readonly states: number;
  readonly disabled: number;
  readonly counter: number;
  readonly incidents: number;
  readonly unresolved: number;
  readonly history: number;
  readonly alerts: readonly string[];
}
async function counted(): Promise<Counted | undefined> {
  const rows: Counted[] = await db.dataSource().query(
    `SELECT (SELECT count(*)::int FROM costsim_cb_state) AS states,
       (SELECT count(*)::int FROM costsim_cb_state WHERE disabled) AS disabled,
       (SELECT sum(consecutive_failures)::int FROM costsim_cb_state) AS counter,
       (SELECT count(*)::int FROM costsim_cb_incidents) AS incidents,
       (SELECT count(*)::int FROM costsim_cb_incidents WHERE NOT resolved) AS unresolved,
       (SELECT count(*)::int FROM status_history) AS history,
       (SELECT coalesce(json_agg(alert_type ORDER BY alert_type, id), '[]') FROM costsim_alert_queue) AS alerts`,
  );
  return rows[0];
}
const empty = (): Promise<unknown> =>
  db.dataSource().query('TRUNCATE costsim_cb_state, costsim_cb_incidents, costsim_alert_queue, status_history');
/** The breaker as the first person leaves it: open until {@link NEXT_DAY}. */
const openBreaker = (): Promise<unknown> =>
  db.dataSource().transaction((manager) => on(manager).disableV2('maintenance', 'ann'));
/** Resolves once a session of this database waits for a lock. */
const someoneWaits = (): Promise<unknown> =>
  waitFor(async () => {
    const rows: { n: number }[] = await db
      .dataSource()
      .query(
        `SELECT count(*)::int AS n FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
      );
    return rows[0]?.n;
  }, 'a session waits for a lock');

it('16 first users report a failure: one row, counter 16, one incident, one alert', async () => {
  const sources = await opened(16);
  for (let repetition = 0; repetition < REPETITIONS; repetition += 1) {
    const incidents = await atOnce(sources, (breaker) => breaker.reportDrift(0.9));
    expect(incidents.filter((incident) => incident !== null)).toHaveLength(1);
    expect(await counted()).toEqual({
      states: 1,
      disabled: 1,
      counter: 16,
      incidents: 1,
      unresolved: 1,
      history: 1,
      alerts: ['disable'],
    });
    await empty();
  }
});

it('30 failing reports: one incident, counter 30', async () => {
  const sources = await opened(30);
  for (let repetition = 0; repetition < REPETITIONS; repetition += 1) {
    await db.dataSource().transaction((manager) => on(manager).reportDrift(0));
    const incidents = await atOnce(sources, (breaker) => breaker.reportDrift(0.9));
    expect(incidents.filter((incident) => incident !== null)).toHaveLength(1);
    expect(await counted()).toMatchObject({ counter: 30, incidents: 1, alerts: ['disable'] });
    await empty();
  }
});

it('32 checks at the instant of expiry, half of them read-only: all answer false, one recovers', async () => {
  const sources = await opened(32);
  for (let repetition = 0; repetition < REPETITIONS; repetition += 1) {
    await openBreaker();
    const options = { at: NEXT_DAY, readOnly: (n: number) => n % 2 === 0 };
    const answers = await atOnce(sources, (breaker) => breaker.isDisabled(), options);
    expect(answers).toEqual(sources.map(() => false));
    expect(await counted()).toMatchObject({
      disabled: 0,
      incidents: 1,
      unresolved: 0,
      history: 2,
      alerts: ['disable', 'enable'],
    });
    await empty();
  }
});

it('16 checks at the instant of expiry without a transaction: all answer false, one recovers', async () => {
  const sources = await opened(16);
  await openBreaker();
  const answers = await Promise.all(sources.map(({ manager }) => on(manager, NEXT_DAY).isDisabled()));
  expect(answers).toEqual(sources.map(() => false));
  expect(await counted()).toMatchObject({ disabled: 0, unresolved: 0, history: 2, alerts: ['disable', 'enable'] });
});

it('16 autoRecover: one did it', async () => {
  const sources = await opened(16);
  for (let repetition = 0; repetition < REPETITIONS; repetition += 1) {
    await openBreaker();
    const did = await atOnce(sources, (breaker) => breaker.autoRecover(), { at: NEXT_DAY });
    expect(did.filter(Boolean)).toHaveLength(1);
    expect(await counted()).toMatchObject({ history: 2, unresolved: 0, alerts: ['disable', 'enable'] });
    await empty();
  }
});

it('16 people disable it for the same reason: one changed it', async () => {
  const sources = await opened(16);
  for (let repetition = 0; repetition < REPETITIONS; repetition += 1) {
    const outcomes = await atOnce(sources, (breaker, n) => breaker.disableV2('maintenance', `p-${n}`));
    expect(outcomes.filter(({ changed }) => changed)).toHaveLength(1);
    expect(await counted()).toMatchObject({ incidents: 1, unresolved: 1, history: 1, alerts: ['disable'] });
    await empty();
  }
});

it('16 people disable it for reasons of their own: each takes the place of the one before, one incident is open', async () => {
  const sources = await opened(16);
  const outcomes = await atOnce(sources, (breaker, n) => breaker.disableV2(`reason ${n}`, `p-${n}`));
  expect(outcomes.every(({ changed }) => changed)).toBe(true);
  expect(await counted()).toMatchObject({ incidents: 16, unresolved: 1, history: 16 });
});

it('disable against enable, 50 rounds: the state is always whole, and the history has as many rows as there were changes', async () => {
  const [first, second] = (await opened(2)) as [DataSource, DataSource];
  let changes = 0;
  const round = (n: number): Promise<readonly boolean[]> =>
    Promise.all([
      first.transaction(async (manager) => (await on(manager).disableV2(`r${n % 3}`, 'ann')).changed),
      second.transaction((manager) => on(manager).enableV2('bob')),
    ]);
  for (let n = 0; n < 50; n += 1) {
    changes += (await round(n)).filter(Boolean).length;
    const now = await counted();
    expect(now?.history).toBe(changes);
    expect(now?.unresolved).toBe(now?.disabled);
  }
  expect(changes).toBeGreaterThanOrEqual(50);
});

it('everybody at once, at and after the expiry: one open incident at most, and no error but a refusal', async () => {
  const sources = await opened(12);
  for (let repetition = 0; repetition < REPETITIONS; repetition += 1) {
    await openBreaker();
    const answers = await atOnce(
      sources,
      async (breaker, n) => {
        if (n % 4 === 0) return breaker.isDisabled();
        if (n % 4 === 1) return (await breaker.reportDrift(0.9)) !== null;
        if (n % 4 === 2) return (await breaker.disableV2(`r${n}`, 'ann')).changed;
        return breaker.enableV2('bob');
      },
      { at: NEXT_DAY },
    );
    expect(answers).toHaveLength(12);
    const now = await counted();
    expect(now?.unresolved).toBe(now?.disabled);
    await empty();
  }
});

describe('while somebody holds the row', () => {
  /** The other one gives up a wait after a second: what works doesn't wait. */
  async function pair(): Promise<readonly [DataSource, DataSource]> {
    const [holder] = await db.connections(1, { max: 1 });
    const [other] = await db.connections(1, { max: 1, options: '-c lock_timeout=1000' });
    return [holder as DataSource, other as DataSource];
  }

  it.each([
    { at: NOW, disabled: true },
    { at: NEXT_DAY, disabled: false },
  ])('a check doesn’t wait, and answers $disabled at $at', async ({ at, disabled }) => {
    const [holder, other] = await pair();
    await openBreaker();
    await holder.transaction(async (manager) => {
      await on(manager).getOrCreateState(true);
      expect(await on(other.manager, at).isDisabled()).toBe(disabled);
      expect((await on(other.manager, at).getState()).isOpen).toBe(disabled);
      expect(await on(other.manager, at).autoRecover()).toBe(false);
      expect((await on(other.manager, at).getIncidents()).items).toHaveLength(1);
    });
    expect(await counted()).toMatchObject({ history: 1 });
    expect(await on(other.manager, at).isDisabled()).toBe(disabled);
    expect(await counted()).toMatchObject({ history: disabled ? 1 : 2 });
  });

  it('a report waits, fails with a retryable error where it may not, and changes nothing then', async () => {
    const [holder, other] = await pair();
    await openBreaker();
    await holder.transaction(async (manager) => {
      await on(manager).getOrCreateState(true);
      const error: unknown = await other
        .transaction((waiting) => on(waiting).reportDrift(0.9))
        .catch((thrown: unknown) => thrown);
      expect(HocError.is(error) && [error.code, error.retryable]).toEqual(['UNAVAILABLE', true]);
    });
    expect(await counted()).toMatchObject({ counter: 0 });
  });

  it('a person who waited closes what is open then: the incident that took the place of the one before', async () => {
    const [holder, other] = (await opened(2)) as [DataSource, DataSource];
    await openBreaker();
    let enabling: Promise<boolean> = Promise.resolve(false);
    await holder.transaction(async (manager) => {
      await on(manager).disableV2('another', 'bob');
      enabling = other.transaction((waiting) => on(waiting).enableV2('ann'));
      await someoneWaits();
    });
    expect(await enabling).toBe(true);
    expect(await counted()).toMatchObject({ disabled: 0, incidents: 2, unresolved: 0, history: 3 });
  });

  it('a person who waited finds it closed: nothing is written', async () => {
    const [holder, other] = (await opened(2)) as [DataSource, DataSource];
    await openBreaker();
    let enabling: Promise<boolean> = Promise.resolve(true);
    await holder.transaction(async (manager) => {
      await on(manager).enableV2('bob');
      enabling = other.transaction((waiting) => on(waiting).enableV2('ann'));
      await someoneWaits();
    });
    expect(await enabling).toBe(false);
    expect(await counted()).toMatchObject({ history: 2, alerts: ['disable', 'enable'] });
  });
});

describe('a check whose snapshot is older than the row', () => {
  /**
   * The row moves between the snapshot of the recovering statement and its look at the row. Seen from outside only by
   * holding the statement there: an advisory lock in the way of its scan, by a view over the table of incidents.
   */
  it('recovers nothing that was opened anew meanwhile, by whatever clock', async () => {
    const [holder, other] = (await opened(2)) as [DataSource, DataSource];
    await openBreaker();
    await holder.query('SELECT pg_advisory_lock(7)');
    await other.query(`CREATE TEMPORARY VIEW costsim_cb_incidents AS
      SELECT * FROM public.costsim_cb_incidents WHERE pg_advisory_lock(7) IS NOT NULL`);
    await other.query(`SET search_path = pg_temp, public`);
    const much = new Date('2027-01-01T00:00:00.000Z');
    const recovering = on(other.manager, much).autoRecover();
    await someoneWaits();
    await holder.transaction((manager) => on(manager).disableV2('another', 'bob'));
    await holder.query('SELECT pg_advisory_unlock(7)');
    expect(await recovering).toBe(false);
    const now = await counted();
    expect(now).toMatchObject({ disabled: 1, incidents: 2, unresolved: 1 });
  });
});
