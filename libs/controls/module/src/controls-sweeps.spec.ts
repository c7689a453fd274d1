import type { HaltSweepResult } from '@hoc/controls/schemas';
import { type DecimalString, HocError, systemScope } from '@hoc/shared/kernel';
import { createHoc } from '@hoc/shared/spine';
import { fixedClock, makeIncident, makeLimit, makeTenant } from '@hoc/shared/testing';
import { insertRows, useEmptyDatabase, waitFor } from '@hoc/testkit';
import { controlsModule } from './controls.module';

const NOW = new Date('2026-03-10T12:00:00.000Z');
/** Longer than any machine takes for what others have to wait for: an end of patience is a failure here. */
const PATIENCE_MS = 60_000;
const clock = fixedClock(NOW);
const scope = systemScope('the scheduler');
const db = useEmptyDatabase({ entities: [], migrations: [] });
const connect = () =>
  createHoc({
    connection: { url: db.url(), applicationName: 'sweeps', lockTimeoutMs: PATIENCE_MS },
    modules: [controlsModule],
    clock,
  });
let hoc: ReturnType<typeof connect>;
const sweeps = () => hoc.services.controls.sweeps;
const query = async <T>(sql: string, values: readonly unknown[] = []): Promise<T[]> =>
  db.dataSource().query(sql, [...values]);
const minutesLater = (minutes: number): Date => new Date(NOW.getTime() + minutes * 60_000);

const SAYS_BOTH = 'Hard budget limit reached: 1200c consumed >= 1000c limit';
/** Runs `<prefix>-001` and so on of both tenants, stopped for their budget; those of `silent` don't say the amounts. */
const halts = (prefix: string, n: number, { silent = 0, at = NOW } = {}): Promise<unknown> =>
  query(
    `INSERT INTO runs (tenant_id, id, agent_id, origin_system_id, goal, status, state, error_message, completed_at, created_at, updated_at)
     SELECT 't' || 1 + n % 2, $1 || '-' || to_char(n, 'FM0000'), 'ag', 'test', 'a goal', 'halted', 'COMPLETED',
       CASE WHEN n <= $3 THEN 'Hard budget limit' ELSE $4 END, $5::timestamptz, $5::timestamptz, $5::timestamptz
     FROM generate_series(1, $2::int) n`,
    [prefix, n, silent, SAYS_BOTH, at.toISOString()],
  );
const decisions = async (): Promise<readonly string[]> =>
  (await query<{ run_id: string }>('SELECT run_id FROM decision_records ORDER BY 1')).map(({ run_id }) => run_id);
const named = (prefix: string, from: number, to: number): readonly string[] =>
  Array.from({ length: to - from + 1 }, (_, n) => `${prefix}-${String(from + n).padStart(4, '0')}`);

/** Scopes of both tenants whose time is over at `minute`. */
const scopes = (prefix: string, n: number, minute: number): Promise<unknown> =>
  query(
    `INSERT INTO execution_scopes (tenant_id, id, incident_id, allowed_actions, max_cost_cents, max_attempts, expires_at, intent,
       target_agents, created_at, created_by, attempts_used, cost_used_cents, status)
     SELECT 't' || 1 + n % 2, $1 || n, 'i', '{retry}', 50, 1, $3::timestamptz, 'an intent', '{}', $4::timestamptz, 'system', 0, 0, 'active'
     FROM generate_series(1, $2::int) n`,
    [prefix, n, minutesLater(minute).toISOString(), NOW.toISOString()],
  );
const statuses = async (table: string): Promise<Record<string, number>> => {
  const rows = await query<{ status: string; n: number }>(
    `SELECT status, count(*)::int AS n FROM ${table} GROUP BY 1 ORDER BY 1`,
  );
  return Object.fromEntries(rows.map(({ status, n }) => [status, n]));
};

const cents = (amount: string): DecimalString => amount as DecimalString;
/** Reservations of 1 cent of both tenants, over after a minute. */
async function reserve(prefix: string, n: number): Promise<void> {
  for (const tenant of ['t1', 't2'])
    await hoc.transaction(({ controls }) =>
      controls.reservations.reserveBatch(
        tenant,
        ['budget'],
        Array.from({ length: n / 2 }, (_, at) => ({
          ...{ amountCents: cents('1'), idempotencyKey: `${prefix}-${at}`, ttlSeconds: 60 },
        })),
      ),
    );
}
const reserved = async (): Promise<readonly string[]> =>
  (
    await query<{ reserved: string }>(
      'SELECT trim_scale(reserved)::text AS reserved FROM budget_windows ORDER BY tenant_id',
    )
  ).map((row) => row.reserved);

/** `n` sessions of this database wait for a lock. */
const waiting = (n: number): Promise<boolean> =>
  waitFor(
    async () => {
      const [row] = await query<{ n: number }>(
        `SELECT count(DISTINCT pid)::int AS n FROM pg_locks
         WHERE NOT granted AND pid IN (SELECT pid FROM pg_stat_activity WHERE datname = current_database())`,
      );
      return row !== undefined && row.n >= n;
    },
    `${n} sessions wait`,
    PATIENCE_MS,
  );

// A describe of its own: its hooks end before the database looks for connections that were left open.
describe('sweeps on a database', () => {
  beforeAll(async () => {
    hoc = connect();
    await hoc.migrate();
    for (const id of ['t1', 't2'])
      await insertRows(
        db.dataSource().manager,
        makeTenant({ id }),
        makeIncident(id, { id: 'i' }),
        makeLimit(id, { id: 'budget', limit_category: 'BUDGET', reset_period: 'MONTHLY', max_value: '100000' }),
      );
  });
  beforeEach(() => clock.set(NOW));
  afterEach(() => query('TRUNCATE runs, execution_scopes, budget_reservations, budget_windows CASCADE'));
  afterAll(() => hoc.close());

  it('haltDecisions writes the decision of every halt of every tenant, page by page, once; halts without amounts hide no other', async () => {
    await halts('h', 250, { silent: 110 });
    const pages: number[] = [];
    const result = await sweeps().haltDecisions(scope, { onProgress: ({ done }) => pages.push(done) });
    expect(result).toMatchObject({ scanned: 250, emitted: 140, duplicates: 0, conflicts: [], nextCursor: null });
    expect(result.unparsable.map(({ runId }) => runId).sort()).toEqual(named('h', 1, 110));
    expect([pages.length > 2, pages.at(-1)]).toEqual([true, 140]);
    expect(await decisions()).toEqual(named('h', 111, 250));
    expect(await sweeps().haltDecisions(scope)).toMatchObject({ scanned: 110, emitted: 0 });
  });

  it('since: older halts stay pending', async () => {
    await halts('old', 3, { at: minutesLater(-60) });
    await halts('new', 2);
    expect(await sweeps().haltDecisions(scope, { since: NOW })).toMatchObject({ scanned: 2, emitted: 2 });
    expect(await decisions()).toEqual(named('new', 1, 2));
  });

  it('two sweeps at once write each decision once, and count only their own', async () => {
    for (let repetition = 0; repetition < 3; repetition += 1) {
      await halts('h', 250);
      const both: readonly HaltSweepResult[] = await Promise.all([1, 2].map(() => sweeps().haltDecisions(scope)));
      expect(both.map(({ conflicts, unparsable }) => [conflicts, unparsable])).toEqual([
        [[], []],
        [[], []],
      ]);
      expect(both.reduce((sum, { emitted }) => sum + emitted, 0)).toBe(250);
      for (const { scanned, emitted, duplicates } of both) expect(emitted + duplicates).toBe(scanned);
      expect(await decisions()).toEqual(named('h', 1, 250));
      await query('TRUNCATE runs CASCADE');
    }
  });

  it('an abort keeps the pages that are committed; the next sweep does the rest', async () => {
    await halts('h', 250);
    const abort = new AbortController();
    const work = sweeps().haltDecisions(scope, { signal: abort.signal, onProgress: () => abort.abort() });
    await expect(work).rejects.toMatchObject({ code: 'UNAVAILABLE', details: { reason: 'aborted' } });
    const kept = (await decisions()).length;
    expect([kept > 0, kept < 250]).toEqual([true, true]);
    expect(await sweeps().haltDecisions(scope)).toMatchObject({ emitted: 250 - kept });
  });

  it('expireReservations gives all back whose time is over, over several pages, and nothing else', async () => {
    await reserve('first', 2000);
    await reserve('second', 200);
    clock.set(minutesLater(1));
    await reserve('later', 20);
    const pages: number[] = [];
    expect(await sweeps().expireReservations(scope, { onProgress: ({ done }) => pages.push(done) })).toBe(2200);
    expect(pages).toEqual([1000, 2000, 2200]);
    expect([await statuses('budget_reservations'), await reserved()]).toEqual([
      { EXPIRED: 2200, RESERVED: 20 },
      ['10', '10'],
    ]);
    expect(await sweeps().expireReservations(scope)).toBe(0);
  });

  it('two sweeps at once share the reservations: each goes back once', async () => {
    for (let repetition = 0; repetition < 3; repetition += 1) {
      await reserve('both', 1600);
      clock.set(minutesLater(1));
      const counts = await Promise.all([1, 2].map(() => sweeps().expireReservations(scope)));
      expect(counts.reduce((sum, n) => sum + n, 0)).toBe(1600);
      expect([await statuses('budget_reservations'), await reserved()]).toEqual([{ EXPIRED: 1600 }, ['0', '0']]);
      await query('TRUNCATE budget_reservations, budget_windows');
      clock.set(NOW);
    }
  });

  it('expireScopes marks every scope of every tenant whose time is over, over several pages', async () => {
    await scopes('over', 2050, 5);
    await scopes('still', 3, 6);
    clock.set(minutesLater(5));
    const pages: number[] = [];
    expect(await sweeps().expireScopes(scope, { onProgress: ({ done }) => pages.push(done) })).toBe(2050);
    expect(pages).toEqual([1000, 2000, 2050]);
    expect(await statuses('execution_scopes')).toEqual({ active: 3, expired: 2050 });
  });

  it('two sweeps at once share the scopes', async () => {
    await scopes('over', 1500, 5);
    clock.set(minutesLater(5));
    const counts = await Promise.all([1, 2].map(() => sweeps().expireScopes(scope)));
    expect([counts.reduce((sum, n) => sum + n, 0), await statuses('execution_scopes')]).toEqual([
      1500,
      { expired: 1500 },
    ]);
  });

  it('close waits for the open page, which is committed, begins no other, and takes no further sweep', async () => {
    await scopes('over', 1, 5);
    await halts('h', 150);
    clock.set(minutesLater(5));
    const own = connect();
    const holder = db.dataSource().createQueryRunner();
    await holder.startTransaction();
    await holder.query('LOCK TABLE decision_records IN SHARE MODE');
    const open = own.services.controls.sweeps.haltDecisions(scope).catch((error: unknown) => error);
    await waiting(1);
    const closed = own.close();
    const late = await own.services.controls.sweeps.expireScopes(scope).catch((error: unknown) => error);
    expect(HocError.is(late) && late.details['reason']).toBe('closed');
    expect(await decisions()).toEqual([]);
    await holder.rollbackTransaction();
    await holder.release();
    await closed;
    expect(await open).toMatchObject({ code: 'UNAVAILABLE', details: { reason: 'closed' } });
    expect((await decisions()).length).toBeGreaterThan(0);
    expect((await decisions()).length).toBeLessThan(150);
    expect(await statuses('execution_scopes')).toEqual({ active: 1 });
  });
});
