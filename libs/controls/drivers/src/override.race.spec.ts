import type { LimitOverrideResponse } from '@hoc/controls/schemas';
import { HocError, systemScope } from '@hoc/shared/kernel';
import { entities, migrations } from '@hoc/shared/models';
import { type Columns, fixedClock, makeLimit, makeLimitOverride, makeTenant, sequentialIds } from '@hoc/shared/testing';
import { asAdmin, insertRows, useFreshDatabase, waitFor } from '@hoc/testkit';
import type { DataSource, EntityManager, QueryRunner } from 'typeorm';
import {
  getLimitOverrideService,
  type LimitOverrideService,
  OverrideValidationError,
  StackingAbuseError,
} from './override.driver';

const REPETITIONS = 5;
const NOW = new Date('2026-03-10T12:00:00.000Z');
const HOUR = 3_600_000;
const later = (ms: number): Date => new Date(NOW.getTime() + ms);
const scope = systemScope('test');
const db = useFreshDatabase({ entities, migrations });
const on = (manager: EntityManager, at: Date = NOW, ids = 'o'): LimitOverrideService =>
  getLimitOverrideService(manager, { clock: fixedClock(at), ids: sequentialIds(ids) });
const fixture = (...rows: Parameters<typeof insertRows> extends [unknown, ...infer R] ? R : never): Promise<void> =>
  insertRows(db.dataSource().manager, ...rows);
const active = (over: Columns = {}): Columns => ({
  ...{ status: 'ACTIVE', approved_at: NOW, starts_at: later(-HOUR), expires_at: later(HOUR), ...over },
});

/** One transaction on each connection, begun before the first of them asks. */
async function together<T>(
  sources: readonly DataSource[],
  work: (service: LimitOverrideService, n: number) => Promise<T>,
): Promise<readonly PromiseSettledResult<T>[]> {
  const runners = sources.map((source) => source.createQueryRunner());
  await Promise.all(runners.map((runner) => runner.startTransaction()));
  return Promise.allSettled(
    runners.map(async (runner, n) => {
      try {
        const result = await work(on(runner.manager, NOW, `o${n}`), n);
        await runner.commitTransaction();
        return result;
      } catch (error) {
        await runner.rollbackTransaction();
        throw error;
      } finally {
        await runner.release();
      }
    }),
  );
}
const succeeded = <T>(results: readonly PromiseSettledResult<T>[]): readonly T[] =>
  results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
const errors = (results: readonly PromiseSettledResult<unknown>[]): readonly unknown[] =>
  results.flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : []));
const ask = (service: LimitOverrideService, tenant: string, limitId: string): Promise<LimitOverrideResponse> =>
  service.requestOverride(
    tenant,
    { limitId, overrideValue: '3000', durationHours: 2, reason: 'a campaign of the day' },
    'ann',
  );
const counts = async (): Promise<unknown> => {
  const rows: { status: string; n: number }[] = await db
    .dataSource()
    .query('SELECT status, count(*)::int AS n FROM limit_overrides GROUP BY 1');
  return Object.fromEntries(rows.map(({ status, n }) => [status, n]));
};
const row = async (id: string): Promise<{ status: string; audit_trail: readonly { to: string }[] }> => {
  const [found] = await db.dataSource().query('SELECT status, audit_trail FROM limit_overrides WHERE id = $1', [id]);
  return found as { status: string; audit_trail: readonly { to: string }[] };
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
const TURNS = ['together', 'one first', 'other first'] as const;
/** Both results, whoever comes first. */
async function inTurn<A, B>(
  one: () => Promise<A>,
  other: () => Promise<B>,
  turn: (typeof TURNS)[number],
): Promise<readonly [A, B]> {
  if (turn === 'together') return Promise.all([one(), other()]);
  if (turn === 'one first') return [await one(), await other()];
  const second = await other();
  return [await one(), second];
}
/**
 * Connections whose statements fail where they wait for a lock: what holds it stays open until they are done. For so long
 * they may wait for one another, as for a new page of the table.
 */
const impatient = (n: number, lockTimeoutMs = 20_000): Promise<readonly DataSource[]> =>
  db.connections(n, { max: 1, options: `-c lock_timeout=${lockTimeoutMs}` });
/** Until some session waits for a lock in this database. */
const somebodyWaits = (): Promise<unknown> =>
  waitFor(
    () =>
      asAdmin(async (client) => {
        const { rows } = await client.query(
          `SELECT 1 FROM pg_stat_activity WHERE datname = $1 AND wait_event_type = 'Lock'`,
          [db.name()],
        );
        return rows.length > 0;
      }),
    'a session that waits for a lock',
  );

it('G.1: 20 requests for 20 limits of one tenant: 5 succeed, 15 are one too many', async () => {
  const sources = await db.connections(20, { max: 1 });
  await fixture(makeTenant({ id: 't' }), ...sources.map((_, n) => makeLimit('t', { id: `l${n}` })));
  for (let repetition = 0; repetition < REPETITIONS; repetition += 1) {
    await db.dataSource().query('DELETE FROM limit_overrides');
    const results = await together(sources, (service, n) => ask(service, 't', `l${n}`));
    expect([succeeded(results).length, errors(results).filter(StackingAbuseError.is).length]).toEqual([5, 15]);
    expect(await counts()).toEqual({ ACTIVE: 5 });
  }
});

it('G.1: 10 requests for one limit: 1 succeeds, 9 find it taken', async () => {
  const sources = await db.connections(10, { max: 1 });
  await fixture(makeTenant({ id: 't' }), makeLimit('t', { id: 'l' }));
  for (let repetition = 0; repetition < REPETITIONS; repetition += 1) {
    await db.dataSource().query('DELETE FROM limit_overrides');
    const results = await together(sources, (service) => ask(service, 't', 'l'));
    expect(succeeded(results)).toHaveLength(1);
    expect(errors(results).map((error) => OverrideValidationError.is(error) && error.details['reason'])).toEqual(
      Array.from({ length: 9 }, () => 'ALREADY_EXISTS'),
    );
    expect(await counts()).toEqual({ ACTIVE: 1 });
  }
});

it('G.1: requests of 20 tenants: all succeed, and none waits for one whose transaction stays open', async () => {
  const tenants = Array.from({ length: 20 }, (_, n) => `t${n}`);
  await fixture(...tenants.flatMap((id) => [makeTenant({ id }), makeLimit(id, { id: 'l' })]));
  const [holder] = (await db.connections(1, { max: 1 })) as [DataSource];
  const held = await open(holder);
  await ask(on(held.manager), 't0', 'l');
  const results = await together(await impatient(19), (service, n) => ask(service, `t${n + 1}`, 'l'));
  expect(errors(results)).toEqual([]);
  // The same tenant's would have waited: the probe sees locks.
  const [probe] = (await impatient(1, 200)) as [DataSource];
  const blocked: unknown = await probe
    .transaction((manager) => ask(on(manager), 't0', 'l'))
    .catch((error: unknown) => error);
  expect(HocError.is(blocked) && blocked.details['reason']).toBe('lock_timeout');
  await end(held, 'commitTransaction');
  expect(await counts()).toEqual({ ACTIVE: 20 });
});

it('who writes rows of the tenant does not wait for an open request', async () => {
  await fixture(makeTenant({ id: 't' }), makeLimit('t', { id: 'l' }));
  const [holder] = (await db.connections(1, { max: 1 })) as [DataSource];
  const [other] = (await impatient(1)) as [DataSource];
  const held = await open(holder);
  await ask(on(held.manager), 't', 'l');
  await insertRows(other.manager, makeLimit('t', { id: 'new' }), makeLimitOverride('t', 'new'));
  await end(held, 'commitTransaction');
  expect(await counts()).toEqual({ ACTIVE: 1, PENDING: 1 });
});

it('G.1: cancel against expire of one override: one winner, one entry more in its trail', async () => {
  const [first, second] = (await db.connections(2, { max: 1 })) as [DataSource, DataSource];
  await fixture(makeTenant({ id: 't' }), makeLimit('t', { id: 'l' }));
  for (let repetition = 0; repetition < 21; repetition += 1) {
    await db.dataSource().query('DELETE FROM limit_overrides');
    await fixture(makeLimitOverride('t', 'l', { id: 'o', ...active() }));
    const cancel = (): Promise<unknown> =>
      first
        .transaction((manager) => on(manager).cancelOverride('t', 'o', 'ann'))
        .catch((error: unknown) => (OverrideValidationError.is(error) ? error.details['status'] : error));
    const expire = (): Promise<number> =>
      second.transaction((manager) => on(manager, later(HOUR)).expireOverrides(scope));
    const [expired, cancelled] = await inTurn(expire, cancel, TURNS[repetition % TURNS.length] ?? 'together');
    const { status, audit_trail: trail } = await row('o');
    expect(trail.map(({ to }) => to)).toEqual([status]);
    if (TURNS[repetition % TURNS.length] === 'one first') expect(status).toBe('EXPIRED');
    if (TURNS[repetition % TURNS.length] === 'other first') expect(status).toBe('CANCELLED');
    if (status === 'CANCELLED') expect([cancelled, expired]).toEqual([expect.objectContaining({ status }), 0]);
    else expect([status, cancelled, expired]).toEqual(['EXPIRED', 'EXPIRED', 1]);
  }
});

it('a sweep does not wait for an open cancellation, and takes the row when that is given up', async () => {
  await fixture(
    makeTenant({ id: 't' }),
    makeLimit('t', { id: 'l' }),
    makeLimitOverride('t', 'l', { id: 'o', ...active() }),
  );
  const [holder] = (await db.connections(1, { max: 1 })) as [DataSource];
  const [sweeper] = (await impatient(1)) as [DataSource];
  const held = await open(holder);
  await on(held.manager).cancelOverride('t', 'o', 'ann');
  expect(await on(sweeper.manager, later(HOUR)).expireOverrides(scope)).toBe(0);
  await end(held, 'rollbackTransaction');
  expect(await on(sweeper.manager, later(HOUR)).expireOverrides(scope)).toBe(1);
});

it('G.1: six activations of eight that are due: 5 become active, 3 stay approved', async () => {
  const sources = await db.connections(6, { max: 1 });
  await fixture(makeTenant({ id: 't' }), ...Array.from({ length: 8 }, (_, n) => makeLimit('t', { id: `l${n}` })));
  for (let repetition = 0; repetition < REPETITIONS; repetition += 1) {
    await db.dataSource().query('DELETE FROM limit_overrides');
    await fixture(
      ...Array.from({ length: 8 }, (_, n) =>
        makeLimitOverride('t', `l${n}`, { id: `d${n}`, ...active({ status: 'APPROVED' }) }),
      ),
    );
    const results = succeeded(await together(sources, (service) => service.activateDueOverrides('t')));
    expect(results.flatMap(({ activated }) => activated).sort()).toEqual(['d0', 'd1', 'd2', 'd3', 'd4']);
    expect(results.map(({ blockedByCap }) => blockedByCap)).toEqual(sources.map(() => ['d5', 'd6', 'd7']));
    expect(await counts()).toEqual({ ACTIVE: 5, APPROVED: 3 });
  }
});

it('requests, approvals and activations of one tenant at once: never more than five are active', async () => {
  const sources = await db.connections(12, { max: 1 });
  await fixture(makeTenant({ id: 't' }), ...sources.map((_, n) => makeLimit('t', { id: `l${n}` })));
  const pending = { starts_at: later(-HOUR), expires_at: later(HOUR) };
  for (let repetition = 0; repetition < REPETITIONS; repetition += 1) {
    await db.dataSource().query('DELETE FROM limit_overrides');
    await fixture(
      ...[0, 1, 2, 3].map((n) => makeLimitOverride('t', `l${n}`, { id: `p${n}`, ...pending })),
      ...[4, 5, 6, 7].map((n) => makeLimitOverride('t', `l${n}`, { id: `d${n}`, ...active({ status: 'APPROVED' }) })),
    );
    const results = await together(sources, async (service, n) => {
      if (n < 4) return service.approveOverride('t', `p${n}`, 'bob');
      return n < 8 ? service.activateDueOverrides('t') : ask(service, 't', `l${n}`);
    });
    expect(errors(results).every(StackingAbuseError.is)).toBe(true);
    expect(await counts()).toMatchObject({ ACTIVE: 5 });
  }
});

it('four sweeps and requests of the same tenants at once: no deadlock, each end marked once', async () => {
  const sources = await db.connections(10, { max: 1 });
  const tenants = ['ta', 'tb', 'tc'];
  await fixture(
    ...tenants.flatMap((id) => [
      makeTenant({ id }),
      ...Array.from({ length: 40 }, (_, n) => makeLimit(id, { id: `l${n}` })),
    ]),
  );
  for (let repetition = 0; repetition < REPETITIONS; repetition += 1) {
    await db.dataSource().query('DELETE FROM limit_overrides');
    // Ids against the order of ends, so that plans that take another order would meet.
    await db.dataSource().query(
      `INSERT INTO limit_overrides (tenant_id, id, limit_id, original_value, override_value, status, duration_hours, requested_at,
         approved_at, starts_at, expires_at, requested_by, reason, audit_trail)
       SELECT t, 'x' || lpad((99 - n)::text, 2, '0'), 'l' || n, 1, 2, 'ACTIVE', 1, $2, $2, $2::timestamptz - interval '2 hours',
         $2::timestamptz - n * interval '1 minute', 'ann', 'a campaign of the day', '[]'
       FROM unnest($1::text[]) t, generate_series(0, 39) n`,
      [tenants, NOW.toISOString()],
    );
    const results = await together(sources, async (service, n) =>
      n < 4 ? service.expireOverrides(scope) : (await ask(service, tenants[n % 3] ?? '', `l${n}`)).status,
    );
    expect(errors(results)).toEqual([]);
    expect(await counts()).toEqual({ ACTIVE: 6, EXPIRED: 120 });
    const [trails]: { ok: boolean }[] = await db
      .dataSource()
      .query(`SELECT bool_and(jsonb_array_length(audit_trail) = 1) AS ok FROM limit_overrides`);
    expect(trails?.ok).toBe(true);
  }
});

it.each(['commitTransaction', 'rollbackTransaction'] as const)(
  'a request for a limit whose old override a sweep is marking waits for it, and succeeds (%s)',
  async (how) => {
    await fixture(
      ...[makeTenant({ id: 't' }), makeLimit('t', { id: 'l' })],
      makeLimitOverride('t', 'l', { id: 'old', ...active({ expires_at: NOW }) }),
    );
    const [sweeper, asker] = (await db.connections(2, { max: 1 })) as [DataSource, DataSource];
    const sweep = await open(sweeper);
    expect(await on(sweep.manager).expireOverrides(scope)).toBe(1);
    const asking = asker.transaction((manager) => ask(on(manager), 't', 'l'));
    await somebodyWaits();
    await end(sweep, how);
    expect(await asking).toMatchObject({ status: 'ACTIVE' });
    expect((await row('old')).audit_trail.map(({ to }) => to)).toEqual(['EXPIRED']);
    expect(await counts()).toEqual({ ACTIVE: 1, EXPIRED: 1 });
  },
);

it('a request that waited for its tenant counts what the other one committed, and reads the clock afterwards', async () => {
  const clock = fixedClock(NOW);
  await fixture(
    makeTenant({ id: 't' }),
    ...Array.from({ length: 6 }, (_, n) => makeLimit('t', { id: `l${n}` })),
    ...[0, 1, 2, 3].map((n) => makeLimitOverride('t', `l${n}`, { id: `a${n}`, ...active() })),
  );
  const [holder, waiter] = (await db.connections(2, { max: 1 })) as [DataSource, DataSource];
  for (const [at, outcome] of [
    [later(HOUR - 1), 'refused'],
    [later(HOUR), 'made'],
  ] as const) {
    await db.dataSource().query(`DELETE FROM limit_overrides WHERE limit_id IN ('l4', 'l5')`);
    clock.set(NOW);
    const held = await open(holder);
    await ask(on(held.manager, NOW, 'h'), 't', 'l4');
    const waiting = waiter
      .transaction((manager) => ask(getLimitOverrideService(manager, { clock, ids: sequentialIds('w') }), 't', 'l5'))
      .then(
        ({ requestedAt }) => ['made', requestedAt],
        (error: unknown) => ['refused', StackingAbuseError.is(error)],
      );
    await somebodyWaits();
    clock.set(at);
    await end(held, 'commitTransaction');
    expect(await waiting).toEqual([outcome, outcome === 'made' ? at : true]);
  }
});

it('a limit that is lowered, or disabled, while a request waits for it is read as it is then', async () => {
  await fixture(makeTenant({ id: 't' }), makeLimit('t', { id: 'l' }), makeLimit('t', { id: 'd' }));
  const [holder, waiter] = (await db.connections(2, { max: 1 })) as [DataSource, DataSource];
  const held = await open(holder);
  await held.query(`UPDATE limits SET max_value = 2500 WHERE id = 'l'`);
  const asking = waiter.transaction((manager) => ask(on(manager), 't', 'l'));
  await somebodyWaits();
  await end(held, 'commitTransaction');
  expect(await asking).toMatchObject({ originalValue: '2500' });
  const disabling = await open(holder);
  await disabling.query(`UPDATE limits SET status = 'DISABLED' WHERE id = 'd'`);
  const refused = waiter.transaction((manager) => ask(on(manager), 't', 'd')).catch((error: unknown) => error);
  await somebodyWaits();
  await end(disabling, 'commitTransaction');
  expect(await refused).toMatchObject({ details: { reason: 'LIMIT_DISABLED' } });
});
