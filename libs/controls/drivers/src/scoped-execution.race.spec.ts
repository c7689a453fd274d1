import { entities, migrations } from '@hoc/controls/models';
import type { CreateScopeRequest, ExecuteWithScopeRequest } from '@hoc/controls/schemas';
import { type DecimalString, HocError, systemScope } from '@hoc/shared/kernel';
import { entities as shared, migrations as sharedMigrations } from '@hoc/shared/models';
import { fixedClock, makeTenant } from '@hoc/shared/testing';
import { insertRows, useFreshDatabase, waitFor } from '@hoc/testkit';
import type { DataSource, EntityManager } from 'typeorm';
import { executeWithScope, getScopeStore, type ScopeStore, settleScopeAttempt } from './scoped-execution.driver';

const ROUNDS = 10;
/** Of races that take a second each. */
const LONG_ROUNDS = 4;
const NOW = new Date('2026-03-10T12:00:00.000Z');
const later = (ms: number): Date => new Date(NOW.getTime() + ms);
const nightly = systemScope('test');
const clock = fixedClock(NOW);
const db = useFreshDatabase({ entities: [...shared, ...entities], migrations: [...sharedMigrations, ...migrations] });
let made = 0;
/** Ids of one sequence for all: those of two connections never meet. */
const ids = { next: () => `x-${String((made += 1)).padStart(6, '0')}` };
const deps = { clock, ids };
const on = (manager: EntityManager): ScopeStore => getScopeStore(manager, deps);

beforeEach(async () => {
  clock.set(NOW);
  await insertRows(db.dataSource().manager, makeTenant({ id: 't-a' }));
});

const open = async (more: Partial<CreateScopeRequest>): Promise<string> =>
  (await on(db.dataSource().manager).createScope('t-a', { incidentId: 'inc', allowedActions: ['retry'], ...more }))
    .scopeId;
const consume = (source: DataSource, scopeId: string, more: Partial<ExecuteWithScopeRequest> = {}) =>
  source.transaction((manager) =>
    on(manager).consumeScope('t-a', { scopeId, action: 'retry', incidentId: 'inc', ...more }),
  );
const stored = async (scopeId: string) => {
  const scope = await on(db.dataSource().manager).getScope('t-a', scopeId);
  if (scope === null) throw new Error('no scope');
  return scope;
};
const outcome = <T>(asked: Promise<T>): Promise<T | string> =>
  asked.catch((error: unknown) =>
    HocError.is(error) ? `${error.name} ${String(error.details['reason'])}` : 'foreign',
  );
/** So many connections, in one pool. */
const pool = async (n: number): Promise<DataSource> => {
  const [source] = await db.connections(1, { max: n });
  return source as DataSource;
};
/** `work` by `n` callers at once, each on a connection of its own. */
const race = <T>(n: number, work: (caller: number) => Promise<T>): Promise<T[]> =>
  Promise.all(numbers(n).map((caller) => work(caller)));
const numbers = (n: number): readonly number[] => Array.from({ length: n }, (_, i) => i + 1);
const count = (all: readonly unknown[], what: unknown): number => all.filter((each) => each === what).length;

describe('consumeScope', () => {
  it('40 callers, 7 attempts: exactly 7 succeed, numbered 1 to 7', async () => {
    const source = await pool(40);
    for (let round = 0; round < LONG_ROUNDS; round += 1) {
      const scopeId = await open({ maxAttempts: 7 });
      const all = await race(40, () => outcome(consume(source, scopeId)));
      const given = all.flatMap((each) => (typeof each === 'string' ? [] : [each.attemptNumber]));
      expect(given.sort((a, b) => a - b)).toEqual(numbers(7));
      expect(count(all, 'ScopeExhausted ATTEMPTS')).toBe(33);
      const scope = await stored(scopeId);
      expect([scope.attemptsUsed, scope.status]).toEqual([7, 'exhausted']);
      expect(scope.executionLog.map(({ attemptNumber }) => attemptNumber)).toEqual(numbers(7));
    }
  });

  it('50 callers of cost 3 each, ceiling 100: 33 succeed, 99 cents', async () => {
    const source = await pool(50);
    for (let round = 0; round < LONG_ROUNDS; round += 1) {
      const scopeId = await open({ maxAttempts: 1000, maxCostCents: '100' });
      const all = await race(50, () => outcome(consume(source, scopeId, { costCents: '3' })));
      expect(count(all, 'ScopeExhausted COST_CEILING')).toBe(17);
      const scope = await stored(scopeId);
      expect([scope.attemptsUsed, scope.costUsedCents, scope.executionLog.length]).toEqual([33, '99', 33]);
    }
  });

  it('12 callers with one idempotency key: one attempt, 11 duplicates of it', async () => {
    const source = await pool(12);
    for (let round = 0; round < ROUNDS; round += 1) {
      const scopeId = await open({ maxAttempts: 5 });
      const all = await race(12, () => consume(source, scopeId, { idempotencyKey: 'k', costCents: '2' }));
      expect(all.map(({ attemptNumber }) => attemptNumber)).toEqual(all.map(() => 1));
      expect(all.filter(({ duplicate }) => duplicate)).toHaveLength(11);
      expect(await stored(scopeId)).toMatchObject({ attemptsUsed: 1, costUsedCents: '2' });
    }
  });

  it('12 callers of one key and another cost each: one stands, 11 conflict', async () => {
    const source = await pool(12);
    for (let round = 0; round < ROUNDS; round += 1) {
      const scopeId = await open({ maxAttempts: 12 });
      const all = await race(12, (n) => outcome(consume(source, scopeId, { idempotencyKey: 'k', costCents: `${n}` })));
      expect(count(all, 'ConflictError content')).toBe(11);
      expect(await stored(scopeId)).toMatchObject({ attemptsUsed: 1 });
    }
  });

  it('executeWithScope keeps the same ceilings', async () => {
    const source = await pool(20);
    const scopeId = await open({ maxAttempts: 3 });
    const asked = { scopeId, action: 'retry', incidentId: 'inc' };
    const all = await race(20, () => outcome(source.transaction((m) => executeWithScope(m, 't-a', asked, deps))));
    expect(count(all, 'ScopeExhausted ATTEMPTS')).toBe(17);
    expect((await stored(scopeId)).attemptsUsed).toBe(3);
  });

  it('scopes of one tenant don’t wait for each other, nor do readers for an attempt', async () => {
    const [holder, other] = await db.connections(2, { max: 1, options: '-c lock_timeout=1000' });
    const [a, b] = [await open({}), await open({})];
    await holder?.transaction(async (manager) => {
      await on(manager).consumeScope('t-a', { scopeId: a, action: 'retry', incidentId: 'inc' });
      expect(await consume(other as DataSource, b)).toMatchObject({ attemptNumber: 1 });
      expect(await on((other as DataSource).manager).getScope('t-a', a)).toMatchObject({ attemptsUsed: 0 });
    });
  });

  it('a caller whose patience ends gets UnavailableError, and nothing is written', async () => {
    const holder = await pool(1);
    const [other] = await db.connections(1, { max: 1, options: '-c lock_timeout=100' });
    const scopeId = await open({ maxAttempts: 2 });
    await holder.transaction(async (manager) => {
      await on(manager).consumeScope('t-a', { scopeId, action: 'retry', incidentId: 'inc' });
      await expect(consume(other as DataSource, scopeId)).rejects.toMatchObject({
        code: 'UNAVAILABLE',
        retryable: true,
      });
    });
    expect((await stored(scopeId)).attemptsUsed).toBe(1);
  });

  it('a caller that waited past the end of the scope is too late', async () => {
    const [holder, waiter] = (await db.connections(2, { max: 1 })) as [DataSource, DataSource];
    const scopeId = await open({ maxAttempts: 2, ttlSeconds: 60 });
    let waiting: Promise<unknown> = Promise.resolve();
    await holder.transaction(async (manager) => {
      await on(manager).consumeScope('t-a', { scopeId, action: 'retry', incidentId: 'inc' });
      waiting = outcome(consume(waiter, scopeId));
      await waitsForLock();
      clock.set(later(60_000));
    });
    expect(await waiting).toBe('ScopeExpired undefined');
    expect((await stored(scopeId)).attemptsUsed).toBe(1);
  });
});

/** Until one session of the database waits for a lock. */
const waitsForLock = (): Promise<unknown> =>
  waitFor(async () => {
    const [row]: { n: number }[] = await db
      .dataSource()
      .query(
        `SELECT count(*)::int AS n FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
      );
    return row?.n === 1;
  }, 'a session waits for a lock');

describe('revokeScope against consumeScope', () => {
  it('the attempt precedes the revocation, or it is refused', async () => {
    const source = await pool(2);
    for (let round = 0; round < ROUNDS; round += 1) {
      const scopeId = await open({ maxAttempts: 2 });
      const [attempt, revoked] = await Promise.all([
        outcome(consume(source, scopeId)),
        source.transaction((manager) => on(manager).revokeScope('t-a', scopeId)),
      ]);
      const { status, attemptsUsed, executionLog } = await stored(scopeId);
      expect([revoked, status]).toEqual([true, 'revoked']);
      if (typeof attempt === 'string')
        expect([attempt, attemptsUsed]).toEqual(['ScopedExecutionRequired undefined', 0]);
      else expect(executionLog.map(({ attemptNumber }) => attemptNumber)).toEqual([1]);
    }
  });

  it('an attempt that waits for a revocation is refused once it is committed', async () => {
    const [a, b] = (await db.connections(2, { max: 1 })) as [DataSource, DataSource];
    const scopeId = await open({});
    let waiting: Promise<unknown> = Promise.resolve();
    await a.transaction(async (manager) => {
      expect(await on(manager).revokeScope('t-a', scopeId)).toBe(true);
      waiting = outcome(consume(b, scopeId));
      await waitsForLock();
    });
    expect(await waiting).toBe('ScopedExecutionRequired undefined');
    expect((await stored(scopeId)).executionLog).toEqual([]);
  });

  it('a revocation waits for an attempt, and finds a scope that it used up ended', async () => {
    const [a, b] = (await db.connections(2, { max: 1 })) as [DataSource, DataSource];
    const scopeId = await open({ maxAttempts: 1 });
    let waiting: Promise<unknown> = Promise.resolve();
    await a.transaction(async (manager) => {
      await on(manager).consumeScope('t-a', { scopeId, action: 'retry', incidentId: 'inc' });
      waiting = b.transaction((other) => on(other).revokeScope('t-a', scopeId));
      await waitsForLock();
    });
    expect(await waiting).toBe(false);
    expect(await stored(scopeId)).toMatchObject({ status: 'exhausted', attemptsUsed: 1 });
  });
});

describe('cleanupExpired', () => {
  it('four at once, page by page: each scope is marked once', async () => {
    const source = await pool(4);
    const job = async (): Promise<number> => {
      for (let sum = 0; ;) {
        const marked = await source.transaction((manager) => on(manager).cleanupExpired(nightly, 40));
        if (marked === 0) return sum;
        sum += marked;
      }
    };
    for (let round = 0; round < ROUNDS; round += 1) {
      await db.dataSource().query('DELETE FROM execution_scopes');
      await db.dataSource().query(
        `INSERT INTO execution_scopes (tenant_id, id, incident_id, allowed_actions, intent, created_at, expires_at)
         SELECT 't-a', 's-' || n, 'inc', '{retry}', 'i', at, at + n % 7 * interval '1 second' + interval '1 second'
         FROM generate_series(1, 300) n, (SELECT timestamptz '2026-03-10T11:00:00Z' AS at) AS t`,
      );
      // A page that another job holds is skipped: what is left of it is the next call's.
      const sums = [...(await race(4, job)), await job()];
      expect(sums.reduce((a, b) => a + b, 0)).toBe(300);
      expect(await db.dataSource().query('SELECT status, count(*)::int AS n FROM execution_scopes GROUP BY 1')).toEqual(
        [{ status: 'expired', n: 300 }],
      );
    }
  });

  it('skips what an attempt holds, without a wait', async () => {
    const [a, b] = (await db.connections(2, { max: 1, options: '-c lock_timeout=1000' })) as [DataSource, DataSource];
    const [held] = [await open({ maxAttempts: 2 }), await open({})];
    await a.transaction(async (manager) => {
      await on(manager).consumeScope('t-a', { scopeId: held, action: 'retry', incidentId: 'inc' });
      clock.set(later(300_000));
      expect(await on(b.manager).cleanupExpired(nightly)).toBe(1);
    });
    expect(await on(b.manager).cleanupExpired(nightly)).toBe(1);
    expect(await stored(held)).toMatchObject({ status: 'expired', attemptsUsed: 1 });
  });
});

describe('settleScopeAttempt', () => {
  const settle = (source: DataSource, scopeId: string, attempt: number, cents: string) =>
    source.transaction((manager) => settleScopeAttempt(manager, 't-a', scopeId, attempt, cents as DecimalString, deps));
  it('12 settle one attempt: one does', async () => {
    const source = await pool(12);
    for (let round = 0; round < ROUNDS; round += 1) {
      const scopeId = await open({ maxAttempts: 2 });
      await consume(source, scopeId, { costCents: '20' });
      const all = await race(12, (n) => settle(source, scopeId, 1, String(n)));
      const [won, ...more] = all.flatMap((each) => (each === null ? [] : [each.scope.costUsedCents]));
      expect([more, (await stored(scopeId)).costUsedCents]).toEqual([[], won]);
    }
  });

  it('settlements among attempts: what is used is the sum, within the ceiling', async () => {
    const source = await pool(16);
    for (let round = 0; round < LONG_ROUNDS; round += 1) {
      const scopeId = await open({ maxAttempts: 1000, maxCostCents: '100' });
      for (let n = 0; n < 8; n += 1) await consume(source, scopeId, { costCents: '10' });
      await race<unknown>(16, (n) =>
        n > 8 ? settle(source, scopeId, n - 8, '4') : outcome(consume(source, scopeId, { costCents: '7' })),
      );
      const [row]: { sum: string; n: number }[] = await db.dataSource().query(
        `SELECT sum(coalesce(actual_cost_cents, cost_cents)) AS sum, count(*)::int AS n FROM execution_scope_attempts
         WHERE scope_id = $1`,
        [scopeId],
      );
      const scope = await stored(scopeId);
      expect([Number(scope.costUsedCents), scope.attemptsUsed]).toEqual([Number(row?.sum), row?.n]);
      expect(Number(row?.sum)).toBeLessThanOrEqual(100);
    }
  });
});
