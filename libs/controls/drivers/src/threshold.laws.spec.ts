import { entities, migrations } from '@hoc/controls/models';
import {
  DEFAULT_LLM_RUN_PARAMS,
  EVALUATION_STATES,
  LIMIT_SCOPES,
  THRESHOLD_SIGNALS,
  type LimitScope,
} from '@hoc/controls/schemas';
import { RISK_LEVELS, type RiskLevel } from '@hoc/shared/kernel';
import { entities as shared, migrations as sharedMigrations } from '@hoc/shared/models';
import { maxRiskLevel, maxRiskLevelForSignals } from '@hoc/shared/schemas';
import { fixedClock, makeLimit, makeRun, makeTenant, sequentialIds } from '@hoc/shared/testing';
import { insertRows, useDatabase } from '@hoc/testkit';
import fc from 'fast-check';
import { getThresholdDriver, getThresholdSignals } from './threshold.driver';

const TENANTS = ['t', 't1', 't-2'] as const;
const RUNS = ['r1', 'r2'] as const;
const clock = fixedClock('2026-03-10T12:00:00.000Z');
const db = useDatabase({ entities: [...shared, ...entities], migrations: [...sharedMigrations, ...migrations] });

const signal = fc.constantFrom(...THRESHOLD_SIGNALS);
const level = fc.constantFrom(...RISK_LEVELS);
const call = fc.record({
  runId: fc.constantFrom(...RUNS, 'nobody'),
  state: fc.constantFrom(...EVALUATION_STATES),
  signals: fc.array(signal, { maxLength: 5 }),
  paramsUsed: fc.constantFrom(DEFAULT_LLM_RUN_PARAMS, { ...DEFAULT_LLM_RUN_PARAMS, maxTokens: 300 }),
});
const threshold = fc.record({
  id: fc.constantFrom('l-a', 'l-b', 'l-c', 'l-d', 'l-e', 'l-f'),
  scope: fc.constantFrom(...LIMIT_SCOPES),
  scope_id: fc.constantFrom('s1', 's2', null),
  status: fc.constantFrom('ACTIVE', 'DISABLED'),
  created_at: fc.integer({ min: 0, max: 2 }).map((day) => new Date(Date.UTC(2026, 0, 1 + day))),
  params: fc.constantFrom({}, { max_tokens: 9000 }, { max_cost_usd: 1 }),
});
const thresholds = fc.uniqueArray(threshold, { selector: ({ id }) => id, maxLength: 6 });

beforeEach(() => insertRows(db.manager(), ...TENANTS.map((id) => makeTenant({ id }))));

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
const signals = () => getThresholdSignals(db.manager(), { clock, ids: sequentialIds('e') });
const start = (tenant: string, levels: readonly RiskLevel[]): Promise<void> =>
  insertRows(db.manager(), ...RUNS.map((id, n) => makeRun(tenant, { id, risk_level: levels[n] ?? 'NORMAL' })));
const rows = (tenant: string): Promise<unknown[]> =>
  db.manager().query(
    `SELECT r::text AS row FROM runs r WHERE tenant_id = $1 UNION ALL SELECT e::text FROM ops_events e WHERE tenant_id = $1
     UNION ALL SELECT l::text FROM limits l WHERE tenant_id = $1 ORDER BY 1`,
    [tenant],
  );

it('over any sequence of emissions: an event a run, state and signal, and the highest level that was asked for', () =>
  law([fc.tuple(level, level), fc.array(call, { maxLength: 8 })], async (first, calls) => {
    await start('t', first);
    const levels = new Map<string, RiskLevel>(RUNS.map((id, n) => [id, first[n] as RiskLevel]));
    const written = new Set<string>();
    const port = signals();
    for (const asked of calls) {
      const distinct = [...new Set(asked.signals)];
      const keyOf = (name: string): string => [asked.runId, asked.state, name].join();
      const before = levels.get(asked.runId);
      const after = before && maxRiskLevel([before, maxRiskLevelForSignals(distinct)]);
      expect(await port.emitAndPersistThresholdSignal('t', asked)).toEqual({
        emitted: distinct.filter((name) => !written.has(keyOf(name))),
        duplicates: distinct.filter((name) => written.has(keyOf(name))),
        riskLevel: distinct.length === 0 ? null : (after ?? null),
      });
      for (const name of distinct) written.add(keyOf(name));
      if (after !== undefined) levels.set(asked.runId, after);
    }
    const stored: { key: string }[] = await db
      .manager()
      .query(
        `SELECT concat_ws(',', entity_id, metadata->>'state', metadata->>'signal') AS key FROM ops_events WHERE tenant_id = 't'`,
      );
    expect(stored.map(({ key }) => key).sort()).toEqual([...written].sort());
    const runs: { risk_level: string }[] = await db
      .manager()
      .query(`SELECT risk_level FROM runs WHERE tenant_id = 't' ORDER BY id`);
    expect(runs.map(({ risk_level: stands }) => stands)).toEqual([...levels.values()]);
  }));

it('the limit of a scope is the last of that scope among all active ones', () =>
  law([thresholds], async (limits) => {
    await insertRows(db.manager(), ...limits.map((given) => makeLimit('t', given)));
    const driver = getThresholdDriver(db.manager());
    const active = await driver.getActiveThresholdLimits('t');
    expect(active.map(({ id }) => id)).toEqual(
      limits
        .filter(({ status }) => status === 'ACTIVE')
        .sort((a, b) => a.created_at.getTime() - b.created_at.getTime() || (a.id < b.id ? -1 : 1))
        .map(({ id }) => id),
    );
    const asked: [LimitScope, string | null][] = LIMIT_SCOPES.flatMap((scope): [LimitScope, string | null][] =>
      scope === 'GLOBAL' || scope === 'TENANT'
        ? [[scope, null]]
        : [
            [scope, 's1'],
            [scope, 's2'],
          ],
    );
    for (const [scope, scopeId] of asked) {
      const last = active.filter((each) => each.scope === scope && each.scopeId === scopeId).at(-1);
      expect(await driver.getThresholdLimitByScope('t', scope, scopeId)).toEqual(last ?? null);
    }
  }));

it('law 12: what other tenants hold under the same ids changes no result, and stays what it is', () =>
  law(
    [fc.array(call, { maxLength: 4 }), fc.array(call, { maxLength: 4 }), thresholds],
    async (mine, theirs, limits) => {
      const work = async () => {
        const driver = getThresholdDriver(db.manager());
        const results: unknown[] = [];
        const port = signals();
        for (const asked of mine) results.push(await port.emitAndPersistThresholdSignal('t', asked));
        results.push(await driver.getActiveThresholdLimits('t'));
        results.push(await driver.getThresholdLimitByScope('t', 'TENANT'));
        results.push(await driver.getThresholdLimitByScope('t', 'AGENT', 's1'));
        return [results, await rows('t')];
      };
      await start('t', []);
      await insertRows(db.manager(), ...limits.slice(0, 2).map((given) => makeLimit('t', given)));
      await db.manager().query('SAVEPOINT alone');
      const alone = await work();
      await db.manager().query('ROLLBACK TO SAVEPOINT alone');
      for (const tenant of ['t1', 't-2']) {
        await start(tenant, ['AT_RISK', 'NEAR_THRESHOLD']);
        await insertRows(db.manager(), makeRun(tenant, { id: 'nobody' }));
        await insertRows(db.manager(), ...limits.map((given) => makeLimit(tenant, given)));
        const port = signals();
        for (const asked of theirs) await port.emitAndPersistThresholdSignal(tenant, asked);
      }
      const before = [await rows('t1'), await rows('t-2')];
      expect(await work()).toEqual(alone);
      expect([await rows('t1'), await rows('t-2')]).toEqual(before);
    },
  ));
