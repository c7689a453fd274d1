import { RISK_LEVELS, type RiskLevel } from '@hoc/shared/kernel';
import { entities, migrations } from '@hoc/shared/models';
import { maxRiskLevel, riskLevelForSignal } from '@hoc/shared/schemas';
import { fixedClock, makeRun, makeTenant } from '@hoc/shared/testing';
import { insertRows, useDatabase } from '@hoc/testkit';
import fc from 'fast-check';
import { getRunSignalDriver, type RunSignalDriver } from './run-signal.driver';

const RUNS = ['r1', 'r2', 'r3'];
const db = useDatabase({ entities, migrations });
const clock = fixedClock('2026-03-10T12:00:00.000Z');
let driver: RunSignalDriver;

const level = fc.constantFrom(...RISK_LEVELS);
const signals = fc.array(
  fc.constantFrom('RUN_FAILED', 'TOKEN_LIMIT_EXCEEDED', 'NEW_ONE', 'EXECUTION_TIME_EXCEEDED', '__PROTO__'),
  { maxLength: 3 },
);
const batch = fc.array(fc.record({ runId: fc.constantFrom(...RUNS, 'nobody'), signals }), { maxLength: 6 });

beforeEach(async () => {
  await insertRows(db.manager(), makeTenant({ id: 't-a' }), makeTenant({ id: 't' }), makeTenant({ id: 't-a2' }));
  driver = getRunSignalDriver(db.manager(), { clock });
});

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
    { numRuns: 50 },
  );
const BEFORE = new Date('2026-03-10T10:00:00Z');
const start = (tenant: string, levels: readonly RiskLevel[]): Promise<void> =>
  insertRows(
    db.manager(),
    ...RUNS.map((id, n) => makeRun(tenant, { id, risk_level: levels[n] ?? 'NORMAL', updated_at: BEFORE })),
  );
const levelsOf = async (...ids: string[]): Promise<(RiskLevel | null)[]> => {
  const levels: (RiskLevel | null)[] = [];
  for (const id of ids) levels.push(await driver.getRiskLevel('t-a', id));
  return levels;
};
const facts = (tenant: string): Promise<unknown> =>
  db.manager().query('SELECT r::text FROM runs r WHERE tenant_id = $1 ORDER BY id', [tenant]);

it('law 7: over any sequence of calls, the level is the highest of all and of the start', () =>
  law([level, fc.array(signals, { maxLength: 5 })], async (first, steps) => {
    await start('t-a', [first]);
    let reached = first;
    for (const asked of steps) {
      const next = maxRiskLevel([reached, ...asked.map(riskLevelForSignal)]);
      expect(await driver.updateRiskLevel('t-a', 'r1', asked)).toEqual({
        runId: 'r1',
        previous: reached,
        current: next,
        changed: next !== reached,
      });
      reached = next;
    }
    expect(await driver.getRiskLevel('t-a', 'r1')).toBe(reached);
  }));

it('law 7: over any sequence of batches, each run is where its own signals one by one had brought it', () =>
  law([fc.tuple(level, level, level), fc.array(batch, { maxLength: 3 })], async (first, batches) => {
    await start('t-a', first);
    const reached = new Map(RUNS.map((id, n) => [id, first[n] as RiskLevel]));
    for (const items of batches) {
      const named = [...new Set(items.map(({ runId }) => runId))].filter((id) => reached.has(id));
      const expected = named.map((runId) => {
        const previous = reached.get(runId) as RiskLevel;
        const asked = items.filter((item) => item.runId === runId).flatMap((item) => item.signals);
        const current = maxRiskLevel([previous, ...asked.map(riskLevelForSignal)]);
        reached.set(runId, current);
        return { runId, previous, current, changed: current !== previous };
      });
      expect(await driver.updateRiskLevels('t-a', items)).toEqual(expected);
    }
    expect(await levelsOf(...RUNS)).toEqual([...reached.values()]);
  }));

it('law 9: runs of other tenants, under the same ids, change no result and stay what they are', () =>
  law([fc.tuple(level, level, level), fc.tuple(level, level, level), batch], async (mine, theirs, items) => {
    const work = async () => ({
      batch: await driver.updateRiskLevels('t-a', items),
      single: await driver.updateRiskLevel('t-a', 'r1', ['NEW_ONE']),
      levels: await levelsOf(...RUNS, 'nobody'),
    });
    await start('t-a', mine);
    await db.manager().query('SAVEPOINT alone');
    const alone = await work();
    await db.manager().query('ROLLBACK TO SAVEPOINT alone');
    await start('t', theirs);
    await start('t-a2', theirs);
    await insertRows(db.manager(), makeRun('t', { id: 'nobody' }));
    const before = [await facts('t'), await facts('t-a2')];
    expect(await work()).toEqual(alone);
    expect([await facts('t'), await facts('t-a2')]).toEqual(before);
  }));

it('law 12: the zone of the session changes no result and no instant', () =>
  law([fc.constantFrom('Pacific/Apia', 'Asia/Kolkata', 'America/St_Johns'), batch], async (zone, items) => {
    await start('t-a', []);
    await db.manager().query(`SET LOCAL TIME ZONE '${zone}'`);
    const changes = await driver.updateRiskLevels('t-a', items);
    await db.manager().query("SET LOCAL TIME ZONE 'UTC'");
    const written: { id: string }[] = await db
      .manager()
      .query(`SELECT id FROM runs WHERE updated_at = $1::timestamptz ORDER BY id`, [clock.now().toISOString()]);
    expect(written.map(({ id }) => id)).toEqual(
      changes.flatMap(({ runId, changed }) => (changed ? [runId] : [])).sort(),
    );
  }));
