import { InvalidArgumentError, TenantScopeError } from '@hoc/shared/kernel';
import { entities, migrations } from '@hoc/shared/models';
import { fixedClock, makeRun, makeTenant } from '@hoc/shared/testing';
import { insertRows, statementCounter, useDatabase } from '@hoc/testkit';
import { getRunSignalDriver, type RunSignalDriver } from './run-signal.driver';

const clock = fixedClock('2026-03-10T12:00:00.000Z');

const db = useDatabase({ entities, migrations });
const driver = (): RunSignalDriver => getRunSignalDriver(db.manager(), { clock });
const updatedAt = async (id: string): Promise<Date | undefined> => {
  const rows: { updated_at: Date }[] = await db.manager().query('SELECT updated_at FROM runs WHERE id = $1', [id]);
  return rows[0]?.updated_at;
};

beforeEach(async () => {
  const created_at = new Date('2026-03-10T10:00:00Z');
  await insertRows(
    db.manager(),
    makeTenant({ id: 't-a' }),
    makeTenant({ id: 't-b' }),
    ...['r1', 'r2', 'r3'].map((id) => makeRun('t-a', { id, created_at, updated_at: created_at })),
    makeRun('t-b', { id: 'r9' }),
  );
});

it('F57, F58: rises, and never falls; what does not rise is not written', async () => {
  expect(await driver().updateRiskLevel('t-a', 'r1', ['TOKEN_LIMIT_EXCEEDED'])).toEqual({
    runId: 'r1',
    previous: 'NORMAL',
    current: 'AT_RISK',
    changed: true,
  });
  expect(await updatedAt('r1')).toEqual(clock.now());
  const failed = await driver().updateRiskLevel('t-a', 'r1', ['RUN_FAILED', 'COST_LIMIT_EXCEEDED']);
  expect(failed).toMatchObject({ previous: 'AT_RISK', current: 'VIOLATED', changed: true });
  await db.manager().query(`UPDATE runs SET updated_at = '2026-03-10T11:00:00Z' WHERE id = 'r1'`);
  const later = await driver().updateRiskLevel('t-a', 'r1', ['TOKEN_LIMIT_EXCEEDED']);
  expect(later).toEqual({ runId: 'r1', previous: 'VIOLATED', current: 'VIOLATED', changed: false });
  expect(await updatedAt('r1')).toEqual(new Date('2026-03-10T11:00:00Z'));
});
it('F59: an unknown signal is noticed, none changes nothing, a bad name is refused, a foreign run is none', async () => {
  expect(await driver().updateRiskLevel('t-a', 'r1', ['SOMETHING_NEW'])).toMatchObject({ current: 'NEAR_THRESHOLD' });
  expect(await driver().updateRiskLevel('t-a', 'r2', ['constructor'.toUpperCase()])).toMatchObject({
    current: 'NEAR_THRESHOLD',
  });
  expect(await driver().updateRiskLevel('t-a', 'r3', [])).toEqual({
    runId: 'r3',
    previous: 'NORMAL',
    current: 'NORMAL',
    changed: false,
  });
  await expect(driver().updateRiskLevel('t-a', 'r1', ['bad name'])).rejects.toThrow(InvalidArgumentError);
  expect(await driver().updateRiskLevel('t-a', 'r9', ['RUN_FAILED'])).toBeNull();
  expect(await driver().getRiskLevel('t-b', 'r9')).toBe('NORMAL');
});
it('the level of a missing run is not NORMAL', async () => {
  expect(await driver().getRiskLevel('t-a', 'r1')).toBe('NORMAL');
  expect(await driver().getRiskLevel('t-a', 'nobody')).toBeNull();
  expect(await driver().getRiskLevel('t-a', 'r9')).toBeNull();
});
it('a batch: one statement, in the order of the items, a foreign run left out, a run named twice once', async () => {
  const counter = statementCounter(db.dataSource());
  const changes = await driver().updateRiskLevels('t-a', [
    { runId: 'r3', signals: ['RUN_FAILED'] },
    { runId: 'r9', signals: ['RUN_FAILED'] },
    { runId: 'r1', signals: ['NEW_ONE'] },
    { runId: 'r1', signals: ['COST_LIMIT_EXCEEDED'] },
    { runId: 'r2', signals: [] },
  ]);
  expect(counter.count()).toBe(1);
  expect(changes.map(({ runId, current, changed }) => [runId, current, changed])).toEqual([
    ['r3', 'VIOLATED', true],
    ['r1', 'AT_RISK', true],
    ['r2', 'NORMAL', false],
  ]);
  expect(await driver().updateRiskLevels('t-a', [])).toEqual([]);
  expect(counter.count()).toBe(1);
});
it.each([
  [
    '101 signals',
    () =>
      driver().updateRiskLevel(
        't-a',
        'r1',
        Array.from({ length: 101 }, () => 'X'),
      ),
  ],
  ['empty signal', () => driver().updateRiskLevel('t-a', 'r1', [''])],
  ['65 characters', () => driver().updateRiskLevel('t-a', 'r1', ['X'.repeat(65)])],
  ['lower case', () => driver().updateRiskLevel('t-a', 'r1', ['run_failed'])],
  ['run id empty', () => driver().getRiskLevel('t-a', '')],
  ['run id of 101', () => driver().updateRiskLevel('t-a', 'r'.repeat(101), [])],
  ['signals are no list', () => driver().updateRiskLevel('t-a', 'r1', 'RUN_FAILED' as never)],
  [
    '1,001 items',
    () =>
      driver().updateRiskLevels(
        't-a',
        Array.from({ length: 1001 }, () => ({ runId: 'r', signals: [] })),
      ),
  ],
])('%s: INVALID_ARGUMENT before any statement', async (_name, ask) => {
  const counter = statementCounter(db.dataSource());
  await expect(ask()).rejects.toThrow(InvalidArgumentError);
  expect(counter.count()).toBe(0);
});
it('a bad item names its place, and nothing of the batch is written', async () => {
  const items = [
    { runId: 'r1', signals: ['RUN_FAILED'] },
    { runId: 'r2', signals: ['?'] },
  ];
  await expect(driver().updateRiskLevels('t-a', items)).rejects.toMatchObject({ details: { index: 1 } });
  expect(await driver().getRiskLevel('t-a', 'r1')).toBe('NORMAL');
});
it.each([undefined, null, '', ' ', 'x'.repeat(101), 7, 'a\0b', '\ud800'])('tenant %j: TENANT_SCOPE', async (given) => {
  const tenant = given as string;
  const counter = statementCounter(db.dataSource());
  for (const ask of [
    () => driver().getRiskLevel(tenant, 'r1'),
    () => driver().updateRiskLevel(tenant, 'r1', ['RUN_FAILED']),
    () => driver().updateRiskLevels(tenant, [{ runId: 'r1', signals: ['RUN_FAILED'] }]),
  ])
    await expect(ask()).rejects.toThrow(TenantScopeError);
  expect(counter.count()).toBe(0);
});
it('a run id is no SQL: none has it, and the table stands', async () => {
  const id = `"'; DROP TABLE runs; --"`;
  expect(await driver().getRiskLevel('t-a', id)).toBeNull();
  expect(await driver().updateRiskLevel('t-a', id, ['RUN_FAILED'])).toBeNull();
  expect(await driver().updateRiskLevels('t-a', [{ runId: id, signals: ['RUN_FAILED'] }])).toEqual([]);
  expect(await driver().getRiskLevel('t-a', 'r1')).toBe('NORMAL');
});
it('each call is one statement, its result is frozen, and a rollback undoes it', async () => {
  const counter = statementCounter(db.dataSource());
  await db.manager().query('SAVEPOINT undone');
  counter.reset();
  const change = await driver().updateRiskLevel('t-a', 'r1', ['RUN_FAILED']);
  expect(counter.count()).toBe(1);
  const changes = await driver().updateRiskLevels('t-a', [{ runId: 'r2', signals: ['RUN_FAILED'] }]);
  expect(counter.count()).toBe(2);
  expect([change, changes, changes[0]].map((value) => Object.isFrozen(value))).toEqual([true, true, true]);
  await db.manager().query('ROLLBACK TO SAVEPOINT undone');
  expect(await driver().getRiskLevel('t-a', 'r1')).toBe('NORMAL');
  expect(await driver().getRiskLevel('t-a', 'r2')).toBe('NORMAL');
});
