import type { OrphanedRun } from '@hoc/activity/schemas';
import { systemScope, WORKER_RUN_STATUSES } from '@hoc/shared/kernel';
import { entities, migrations } from '@hoc/shared/models';
import { fixedClock, makeTenant, makeWorkerRun } from '@hoc/shared/testing';
import { insertRows, useDatabase } from '@hoc/testkit';
import fc from 'fast-check';
import { getOrphanRecoveryDriver, type OrphanRecoveryDriver } from './orphan-recovery.driver';

const TENANTS = ['t', 't-a', 't-b'];
const db = useDatabase({ entities, migrations });
const deps = { clock: fixedClock('2026-03-10T12:00:00.000Z') };
const scope = systemScope('test');
let driver: OrphanRecoveryDriver;

/** A run of any state; its signs of life in minutes before the clock. */
interface Drawn {
  readonly tenant: string;
  readonly n: number;
  readonly status: string;
  readonly created: number;
  readonly started: number | null;
  readonly seen: number | null;
}
const minutes = fc.integer({ min: 0, max: 60 });
const maybe = fc.option(minutes, { nil: null });
const drawn: fc.Arbitrary<Drawn[]> = fc.uniqueArray(
  fc.record({
    tenant: fc.constantFrom(...TENANTS),
    n: fc.nat({ max: 7 }),
    status: fc.constantFrom(...WORKER_RUN_STATUSES, 'queued' as const, 'running' as const),
    created: minutes,
    started: maybe,
    seen: maybe,
  }),
  { maxLength: 14, selector: ({ tenant, n }) => `${tenant}/${n}` },
);

const ago = (n: number): Date => new Date(deps.clock.now().getTime() - n * 60_000);
const isOpen = ({ status }: Drawn): boolean => status === 'queued' || status === 'running';
const idle = ({ created, started, seen }: Drawn): number => Math.min(created, started ?? created, seen ?? created);
const nameOf = ({ tenant, n }: Drawn): string => `${tenant}/w${n}`;
const named = ({ tenantId, runId }: Pick<OrphanedRun, 'tenantId' | 'runId'>): string => `${tenantId}/${runId}`;
/** The reference: the longest idle first, then in the byte order of tenant and id. */
const orphansOf = (rows: readonly Drawn[], threshold: number): readonly Drawn[] =>
  rows
    .filter((row) => isOpen(row) && idle(row) > threshold)
    .sort((a, b) => idle(b) - idle(a) || TENANTS.indexOf(a.tenant) - TENANTS.indexOf(b.tenant) || a.n - b.n);

const store = (rows: readonly Drawn[]): Promise<void> =>
  insertRows(
    db.manager(),
    ...rows.map(({ tenant, n, status, created, started, seen }) =>
      makeWorkerRun(tenant, {
        id: `w${n}`,
        status,
        created_at: ago(created),
        started_at: started === null ? null : ago(started),
        last_seen_at: seen === null ? null : ago(seen),
      }),
    ),
  );
const facts = async (): Promise<ReadonlyMap<string, string>> => {
  const rows: { name: string; fact: string }[] = await db
    .manager()
    .query(`SELECT tenant_id || '/' || id AS name, w::text AS fact FROM worker_runs w`);
  return new Map(rows.map(({ name, fact }) => [name, fact]));
};

/** The law on fresh rows each time. */
const law = <T extends [unknown, ...unknown[]]>(
  inputs: { [K in keyof T]: fc.Arbitrary<T[K]> },
  holds: (...values: T) => Promise<void>,
): Promise<void> =>
  fc.assert(
    fc.asyncProperty(...inputs, async (...values) => {
      await db.manager().query('SAVEPOINT law');
      try {
        await holds(...values);
      } finally {
        await db.manager().query('ROLLBACK TO SAVEPOINT law');
      }
    }),
    { numRuns: 60 },
  );

beforeEach(async () => {
  await insertRows(db.manager(), ...TENANTS.map((id) => makeTenant({ id })));
  driver = getOrphanRecoveryDriver(db.manager(), deps);
});

const thresholds = fc.integer({ min: 1, max: 60 });
const limits = fc.integer({ min: 1, max: 16 });

it('detection is the reference list, cut at the limit; a recovery marks just that list, in that order', () =>
  law([drawn, thresholds, limits], async (rows, threshold, limit) => {
    await store(rows);
    const expected = orphansOf(rows, threshold).slice(0, limit);
    const detected = await driver.detect(scope, threshold, limit);
    expect(detected.map(named)).toEqual(expected.map(nameOf));
    expect(detected.map(({ idleSince }) => idleSince)).toEqual(expected.map((row) => ago(idle(row))));
    const round = await driver.recover(scope, { thresholdMinutes: threshold, limit });
    expect(round.runs.map((run) => [named(run), run.originalStatus])).toEqual(
      expected.map((row) => [nameOf(row), row.status]),
    );
    expect([round.detected, round.recovered, round.failed]).toEqual([expected.length, expected.length, 0]);
    expect(round.hasMore).toBe(expected.length === limit);
  }));

it('law 8: afterwards nothing is detected, and whatever was no orphan is byte for byte what it was', () =>
  law([drawn, thresholds], async (rows, threshold) => {
    await store(rows);
    const before = await facts();
    const { runs } = await driver.recover(scope, { thresholdMinutes: threshold });
    expect(await driver.detect(scope, threshold)).toEqual([]);
    const marked = new Set(runs.map(named));
    const after = await facts();
    expect(after.size).toBe(before.size);
    for (const [name, fact] of after) expect(fact === before.get(name)).toBe(!marked.has(name));
    const again = await driver.recover(scope, { thresholdMinutes: threshold });
    expect([again.detected, again.runs]).toEqual([0, []]);
    const crashed = rows.filter(({ status }) => status === 'crashed').length;
    expect((await driver.summary(scope)).totalCrashed).toBe(crashed + marked.size);
  }));

it("law 9: a mark is of one tenant's run; runs of other tenants under the same id are what they were", () =>
  law([drawn, fc.constantFrom(...TENANTS), fc.nat({ max: 7 })], async (rows, tenant, n) => {
    await store(rows);
    const before = await facts();
    const target = `${tenant}/w${n}`;
    const isOrphan = orphansOf(rows, 30).map(nameOf).includes(target);
    expect(await driver.markCrashed(scope, { tenantId: tenant, runId: `w${n}`, cutoff: ago(30) })).toBe(isOrphan);
    const changed = [...(await facts())].filter(([name, fact]) => before.get(name) !== fact).map(([name]) => name);
    expect(changed).toEqual(isOrphan ? [target] : []);
  }));

it('law 12: the zone of the session changes no result and no instant', () =>
  law([drawn, fc.constantFrom('Pacific/Apia', 'Asia/Kolkata', 'America/St_Johns')], async (rows, zone) => {
    const inZone = async (name: string): Promise<unknown> => {
      await db.manager().query(`SET LOCAL TIME ZONE '${name}'`);
      await db.manager().query('SAVEPOINT zone');
      const results = [await driver.detect(scope), await driver.recover(scope), await driver.summary(scope)];
      await db.manager().query("SET LOCAL TIME ZONE 'UTC'");
      const written = [...(await facts())].sort();
      await db.manager().query('ROLLBACK TO SAVEPOINT zone');
      return [results, written];
    };
    await store(rows);
    expect(await inZone(zone)).toEqual(await inZone('UTC'));
  }));
