import { InvalidArgumentError, RISK_LEVELS, type RiskLevel, TenantScopeError } from '@hoc/shared/kernel';
import { entities, migrations } from '@hoc/shared/models';
import { maxRiskLevel, riskLevelForSignal } from '@hoc/shared/schemas';
import { fixedClock, makeRun, makeTenant } from '@hoc/shared/testing';
import { insertRows, statementCounter, useDatabase, useFreshDatabase } from '@hoc/testkit';
import fc from 'fast-check';
import { getRunSignalDriver, type RunSignalDriver } from './run-signal.driver';

const clock = fixedClock('2026-03-10T12:00:00.000Z');

describe('one connection', () => {
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
  it('law 7: over any sequence, the level is the highest of all and of the start', async () => {
    const signal = fc.constantFrom('RUN_FAILED', 'TOKEN_LIMIT_EXCEEDED', 'NEW_ONE', 'EXECUTION_TIME_EXCEEDED');
    const step = fc.array(signal, { maxLength: 3 });
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...RISK_LEVELS), fc.array(step, { maxLength: 5 }), async (start, steps) => {
        await db.manager().query('SAVEPOINT law');
        await db.manager().query(`UPDATE runs SET risk_level = $1 WHERE id = 'r1'`, [start]);
        let level: RiskLevel = start;
        for (const signals of steps) {
          const next: RiskLevel = maxRiskLevel([level, ...signals.map(riskLevelForSignal)]);
          expect(await driver().updateRiskLevel('t-a', 'r1', signals)).toEqual({
            runId: 'r1',
            previous: level,
            current: next,
            changed: next !== level,
          });
          level = next;
        }
        expect(await driver().getRiskLevel('t-a', 'r1')).toBe(level);
        await db.manager().query('ROLLBACK TO SAVEPOINT law');
      }),
      { numRuns: 50 },
    );
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
    ['run id', () => driver().getRiskLevel('t-a', '')],
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
  it('a tenant is required', async () => {
    for (const tenant of ['', 'x'.repeat(101), undefined as never])
      await expect(driver().getRiskLevel(tenant, 'r1')).rejects.toThrow(TenantScopeError);
  });
});

describe('F60: 20 connections at once', () => {
  const db = useFreshDatabase({ entities, migrations });
  it('end at the highest level, and their results are one chain without a drop', async () => {
    const sources = await db.connections(20, { max: 1 });
    await insertRows(db.dataSource().manager, makeTenant({ id: 't-a' }));
    for (let repetition = 0; repetition < 20; repetition += 1) {
      const id = `r${repetition}`;
      await insertRows(db.dataSource().manager, makeRun('t-a', { id }));
      const loud = Math.floor(Math.random() * sources.length);
      const changes = await Promise.all(
        sources.map((source, n) =>
          getRunSignalDriver(source.manager, { clock }).updateRiskLevel('t-a', id, [
            n === loud ? 'RUN_FAILED' : n % 2 === 0 ? 'TOKEN_LIMIT_EXCEEDED' : 'NEW_ONE',
          ]),
        ),
      );
      const rises = changes.filter((change) => change?.changed === true);
      rises.sort((a, b) => RISK_LEVELS.indexOf(a?.previous ?? 'NORMAL') - RISK_LEVELS.indexOf(b?.previous ?? 'NORMAL'));
      let level: RiskLevel = 'NORMAL';
      for (const rise of rises) {
        expect(rise?.previous).toBe(level);
        level = rise?.current ?? level;
      }
      expect(level).toBe('VIOLATED');
      expect(await getRunSignalDriver(db.dataSource().manager, { clock }).getRiskLevel('t-a', id)).toBe('VIOLATED');
    }
  });
});
