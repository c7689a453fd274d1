import { entities, migrations } from '@hoc/controls/models';
import {
  DEFAULT_LLM_RUN_PARAMS,
  EVALUATION_STATES,
  type RunRiskSink,
  THRESHOLD_SIGNAL_EVENTS,
  THRESHOLD_SIGNALS,
  type ThresholdSignalPort,
  type ThresholdSignalsInput,
  toStoredParams,
} from '@hoc/controls/schemas';
import { ConflictError, DataIntegrityError } from '@hoc/shared/kernel';
import { entities as shared, migrations as sharedMigrations } from '@hoc/shared/models';
import { fixedClock, makeLimit, makeRun, makeTenant, sequentialIds } from '@hoc/shared/testing';
import { insertRows, statementCounter, useDatabase } from '@hoc/testkit';
import {
  emitAndPersistThresholdSignal,
  emitThresholdSignal,
  emitThresholdSignalSync,
  getThresholdDriver,
  getThresholdSignals,
  sharedRunsRiskSink,
  ThresholdDriver,
  ThresholdDriverSync,
} from './threshold.driver';

const RUN = 'run ✓ 1';
const clock = fixedClock('2026-03-10T12:00:00.000Z');
const deps = { clock, ids: sequentialIds('e') };
const db = useDatabase({ entities: [...shared, ...entities], migrations: [...sharedMigrations, ...migrations] });
const driver = (): ThresholdDriver => getThresholdDriver(db.manager());
const signals = (sink?: RunRiskSink): ThresholdSignalPort => getThresholdSignals(db.manager(), deps, sink);
const persist = (given: Partial<ThresholdSignalsInput> = {}) =>
  signals().emitAndPersistThresholdSignal('t1', {
    runId: RUN,
    state: 'live',
    signals: ['TOKEN_LIMIT_EXCEEDED'],
    paramsUsed: DEFAULT_LLM_RUN_PARAMS,
    ...given,
  });
const events = (): Promise<Record<string, unknown>[]> =>
  db.manager().query('SELECT * FROM ops_events ORDER BY tenant_id, id');
const level = async (tenant = 't1', run = RUN): Promise<unknown> => {
  const sql = 'SELECT risk_level FROM runs WHERE tenant_id = $1 AND id = $2';
  const rows: { risk_level: string }[] = await db.manager().query(sql, [tenant, run]);
  return rows[0]?.risk_level;
};
const idsOf = (rows: readonly { readonly id: string }[]): string[] => rows.map(({ id }) => id);

beforeEach(async () => {
  await insertRows(
    db.manager(),
    makeTenant({ id: 't1' }),
    makeTenant({ id: 't2' }),
    makeRun('t1', { id: RUN }),
    makeRun('t2', { id: RUN }),
  );
});

describe('limits', () => {
  const at = (created_at: string) => ({ created_at: new Date(created_at) });

  it('getActiveThresholdLimits: active, of the category, of the tenant, the oldest first', async () => {
    await insertRows(
      db.manager(),
      makeLimit('t1', { id: 'l-new', params: { max_tokens: 9000 }, ...at('2026-02-01T00:00:00Z') }),
      makeLimit('t1', { id: 'l-b', scope: 'AGENT', scope_id: 'a7', ...at('2026-01-01T00:00:00Z') }),
      makeLimit('t1', { id: 'l-a', scope: 'GLOBAL', ...at('2026-01-01T00:00:00Z') }),
      makeLimit('t1', { id: 'l-off', status: 'DISABLED' }),
      makeLimit('t1', { id: 'l-rate', limit_category: 'RATE', window_seconds: 60 }),
      makeLimit('t1', { id: 'l-budget', limit_category: 'BUDGET', reset_period: 'DAILY' }),
      makeLimit('t2', { id: 'l-theirs' }),
    );
    const counter = statementCounter(db.dataSource());
    const found = await driver().getActiveThresholdLimits('t1');
    expect(counter.count()).toBe(1);
    expect(idsOf(found)).toEqual(['l-a', 'l-b', 'l-new']);
    expect(found[1]).toEqual({
      id: 'l-b',
      tenantId: 't1',
      scope: 'AGENT',
      scopeId: 'a7',
      params: {},
      status: 'ACTIVE',
      createdAt: new Date('2026-01-01T00:00:00Z'),
    });
    expect([found, found[2], found[2]?.params].map((value) => Object.isFrozen(value))).toEqual([true, true, true]);
    expect(await driver().getActiveThresholdLimits('nobody')).toEqual([]);
  });

  it('getActiveThresholdLimits: 1,000 are read, one more is a broken tenant', async () => {
    const fill = (from: number, to: number) =>
      db.manager().query(
        `INSERT INTO limits (tenant_id, id, name, limit_category, limit_type, max_value, created_at, updated_at)
         SELECT 't1', 'l-' || n, 'x', 'THRESHOLD', 'RUNS_PER_DAY', 1, now(), now() FROM generate_series($1::int, $2::int) n`,
        [from, to],
      );
    await fill(1, 1000);
    expect(await driver().getActiveThresholdLimits('t1')).toHaveLength(1000);
    await fill(1001, 1001);
    await expect(driver().getActiveThresholdLimits('t1')).rejects.toThrow(DataIntegrityError);
  });

  it('F23: the newest of a scope, of two of one instant the larger id; a foreign one is none', async () => {
    const p1 = { scope: 'PROJECT', scope_id: 'p1' };
    await insertRows(
      db.manager(),
      makeLimit('t1', { id: 'l-b', ...p1 }),
      makeLimit('t1', { id: 'l-a', ...p1 }),
      makeLimit('t1', { id: 'l-z', ...p1, ...at('2026-03-10T11:59:59Z') }),
      makeLimit('t1', { id: 'l-y', ...p1, status: 'DISABLED', ...at('2027-01-01T00:00:00Z') }),
      makeLimit('t1', { id: 'l-p', scope: 'PROVIDER', scope_id: 'p1', ...at('2027-01-01T00:00:00Z') }),
      makeLimit('t1', { id: 'l-none', scope: 'PROJECT', ...at('2027-01-01T00:00:00Z') }),
      makeLimit('t2', { id: 'l-theirs', ...p1, ...at('2027-01-01T00:00:00Z') }),
    );
    const found = await driver().getThresholdLimitByScope('t1', 'PROJECT', 'p1');
    expect([found?.id, found?.scopeId, Object.isFrozen(found)]).toEqual(['l-b', 'p1', true]);
    expect(await driver().getThresholdLimitByScope('t1', 'PROJECT', 'P1')).toBeNull();
    expect(await driver().getThresholdLimitByScope('t1', 'AGENT', 'p1')).toBeNull();
  });

  it('getThresholdLimitByScope: GLOBAL and TENANT limits are those without an id', async () => {
    await insertRows(
      db.manager(),
      makeLimit('t1', { id: 'l-t1', ...at('2026-01-01T00:00:00Z') }),
      makeLimit('t1', { id: 'l-t2', ...at('2026-02-01T00:00:00Z') }),
      makeLimit('t1', { id: 'l-odd', scope_id: 'x', ...at('2026-03-01T00:00:00Z') }),
      makeLimit('t1', { id: 'l-g', scope: 'GLOBAL', ...at('2026-03-01T00:00:00Z') }),
    );
    expect((await driver().getThresholdLimitByScope('t1', 'TENANT'))?.id).toBe('l-t2');
    expect((await driver().getThresholdLimitByScope('t1', 'GLOBAL', null))?.id).toBe('l-g');
    expect(await driver().getThresholdLimitByScope('t2', 'TENANT')).toBeNull();
  });
});

describe('emission', () => {
  it('F22: an event a run, state and signal; the level only rises', async () => {
    const three = ['TOKEN_LIMIT_EXCEEDED', 'TOKEN_LIMIT_EXCEEDED', 'EXECUTION_TIME_EXCEEDED'] as const;
    const both = ['TOKEN_LIMIT_EXCEEDED', 'EXECUTION_TIME_EXCEEDED'];
    expect(await persist({ signals: three })).toEqual({ emitted: both, duplicates: [], riskLevel: 'AT_RISK' });
    expect(await events()).toHaveLength(2);
    expect(await persist({ signals: three })).toEqual({ emitted: [], duplicates: both, riskLevel: 'AT_RISK' });
    expect(await events()).toHaveLength(2);
    expect(await persist({ state: 'completed', signals: ['RUN_FAILED'] })).toEqual({
      emitted: ['RUN_FAILED'],
      duplicates: [],
      riskLevel: 'VIOLATED',
    });
    expect(await persist({ state: 'completed', signals: ['COST_LIMIT_EXCEEDED'] })).toEqual({
      emitted: ['COST_LIMIT_EXCEEDED'],
      duplicates: [],
      riskLevel: 'VIOLATED',
    });
    expect([(await events()).length, await level(), await level('t2')]).toEqual([4, 'VIOLATED', 'NORMAL']);
  });

  it('each event is what C.3 says, with the thresholds under their stored keys', async () => {
    for (const state of EVALUATION_STATES) await persist({ state, signals: THRESHOLD_SIGNALS });
    const stored = await events();
    expect(stored).toHaveLength(8);
    for (const state of EVALUATION_STATES)
      for (const signal of THRESHOLD_SIGNALS)
        expect(stored.find(({ idempotency_key: key }) => key === `threshold:${RUN}:${state}:${signal}`)).toEqual({
          tenant_id: 't1',
          id: expect.stringMatching(/^e-\d{6}$/),
          occurred_at: clock.now(),
          event_type: THRESHOLD_SIGNAL_EVENTS[signal].eventType,
          severity: THRESHOLD_SIGNAL_EVENTS[signal].severity,
          entity_type: 'llm_call',
          entity_id: RUN,
          latency_ms: null,
          cost_cents: null,
          metadata: { signal, state, params_used: toStoredParams(DEFAULT_LLM_RUN_PARAMS), domain: 'llm_runs' },
          idempotency_key: `threshold:${RUN}:${state}:${signal}`,
        });
  });

  it('a replay under other thresholds is a duplicate, and the first event stands', async () => {
    await persist();
    const before = await events();
    clock.advance(1000);
    const paramsUsed = { ...DEFAULT_LLM_RUN_PARAMS, maxTokens: 300 };
    expect(await persist({ paramsUsed })).toMatchObject({ emitted: [], duplicates: ['TOKEN_LIMIT_EXCEEDED'] });
    expect(await events()).toEqual(before);
  });

  it('some new and some not: each told in the order of the input', async () => {
    await persist({ signals: ['COST_LIMIT_EXCEEDED', 'RUN_FAILED'] });
    const all = ['TOKEN_LIMIT_EXCEEDED', 'RUN_FAILED', 'EXECUTION_TIME_EXCEEDED', 'COST_LIMIT_EXCEEDED'] as const;
    const emission = await persist({ signals: all });
    expect(emission).toEqual({
      emitted: ['TOKEN_LIMIT_EXCEEDED', 'EXECUTION_TIME_EXCEEDED'],
      duplicates: ['RUN_FAILED', 'COST_LIMIT_EXCEEDED'],
      riskLevel: 'VIOLATED',
    });
    expect([emission, emission.emitted, emission.duplicates].every((part) => Object.isFrozen(part))).toBe(true);
  });

  it('two statements for any number of signals; none for no signal', async () => {
    const counter = statementCounter(db.dataSource());
    await persist({ signals: THRESHOLD_SIGNALS });
    expect(counter.count()).toBe(2);
    counter.reset();
    expect(await persist({ signals: [] })).toEqual({ emitted: [], duplicates: [], riskLevel: null });
    expect(counter.count()).toBe(0);
  });

  it('a run that does not exist has its events, and no level', async () => {
    expect(await persist({ runId: 'nobody' })).toMatchObject({ emitted: ['TOKEN_LIMIT_EXCEEDED'], riskLevel: null });
    expect(await events()).toHaveLength(1);
  });

  it('another event under the key is a conflict: nothing is overwritten, and no level rises', async () => {
    await persist();
    const changes = [`severity = 5`, `entity_id = 'other'`, `entity_type = 'policy'`, `event_type = 'LLM_CALL_MADE'`];
    for (const change of changes) {
      await db.manager().query('SAVEPOINT clean');
      await db.manager().query(`UPDATE ops_events SET ${change}`);
      await db.manager().query(`UPDATE runs SET risk_level = 'NORMAL'`);
      const before = await events();
      await expect(persist()).rejects.toThrow(ConflictError);
      await expect(persist()).rejects.toMatchObject({
        details: { reason: 'content', runId: RUN, signal: 'TOKEN_LIMIT_EXCEEDED' },
      });
      expect([await events(), await level()]).toEqual([before, 'NORMAL']);
      await db.manager().query('ROLLBACK TO SAVEPOINT clean');
    }
  });

  it('another tenant may hold anything under the same key', async () => {
    const theirs = (tenant_id: string) =>
      insertRows(db.manager(), {
        table: 'ops_events',
        row: {
          tenant_id,
          id: 'theirs',
          occurred_at: clock.now(),
          event_type: 'API_CALL_RECEIVED',
          idempotency_key: `threshold:${RUN}:live:TOKEN_LIMIT_EXCEEDED`,
        },
      });
    await theirs('t2');
    expect(await persist()).toMatchObject({ emitted: ['TOKEN_LIMIT_EXCEEDED'], duplicates: [] });
    await theirs('t0');
    expect(await persist()).toMatchObject({ emitted: [], duplicates: ['TOKEN_LIMIT_EXCEEDED'] });
  });

  it('ids that look like parts of a key stay apart', async () => {
    const tricky = ['r', 'r:live', 'r:live:RUN_FAILED', `"'; DROP TABLE ops_events; --{}\\`];
    for (const runId of tricky) {
      const both = ['RUN_FAILED', 'TOKEN_LIMIT_EXCEEDED'] as const;
      expect(await persist({ runId, signals: both })).toMatchObject({ emitted: both, duplicates: [] });
    }
    expect(new Set((await events()).map(({ entity_id: id }) => id))).toEqual(new Set(tricky));
  });

  it('the risk goes to the sink that is given, once, with the signals; what it throws reaches the caller', async () => {
    const asked: unknown[] = [];
    const sink: RunRiskSink = {
      raise: (...given) => {
        asked.push(given);
        return Promise.resolve('NEAR_THRESHOLD');
      },
    };
    const input = {
      runId: RUN,
      state: 'live',
      signals: ['RUN_FAILED', 'RUN_FAILED', 'COST_LIMIT_EXCEEDED'],
      paramsUsed: DEFAULT_LLM_RUN_PARAMS,
    } as const;
    const emission = await signals(sink).emitAndPersistThresholdSignal('t1', input);
    expect(emission.riskLevel).toBe('NEAR_THRESHOLD');
    expect(asked).toEqual([['t1', RUN, ['RUN_FAILED', 'COST_LIMIT_EXCEEDED']]]);
    expect(await level()).toBe('NORMAL');
    const broken = new Error('the console is away');
    const failing: RunRiskSink = { raise: () => Promise.reject(broken) };
    await expect(emitAndPersistThresholdSignal(db.manager(), 't1', input, deps, failing)).rejects.toBe(broken);
  });

  it('emitThresholdSignal: one event in one statement, the run untouched; again a duplicate', async () => {
    const input = { runId: RUN, state: 'completed', signal: 'RUN_FAILED', paramsUsed: DEFAULT_LLM_RUN_PARAMS } as const;
    const counter = statementCounter(db.dataSource());
    expect(await emitThresholdSignal(db.manager(), 't1', input, deps)).toEqual({
      emitted: ['RUN_FAILED'],
      duplicates: [],
    });
    expect(counter.count()).toBe(1);
    expect(await signals().emitThresholdSignal('t1', input)).toEqual({ emitted: [], duplicates: ['RUN_FAILED'] });
    expect([(await events()).length, await level()]).toEqual([1, 'NORMAL']);
    expect(await persist({ state: 'completed', signals: ['RUN_FAILED'] })).toEqual({
      emitted: [],
      duplicates: ['RUN_FAILED'],
      riskLevel: 'VIOLATED',
    });
  });
});

describe('sharedRunsRiskSink', () => {
  it('raises one run and says its level; what does not rise is not written', async () => {
    const sink = sharedRunsRiskSink(db.manager(), { clock });
    const before = await db.manager().query(`SELECT updated_at FROM runs WHERE tenant_id = 't1'`);
    expect(await sink.raise('t1', RUN, [])).toBeNull();
    expect(await sink.raise('t1', 'nobody', ['RUN_FAILED'])).toBeNull();
    clock.advance(1000);
    expect(await sink.raise('t1', RUN, ['COST_LIMIT_EXCEEDED', 'RUN_FAILED'])).toBe('VIOLATED');
    const raised: { updated_at: Date }[] = await db
      .manager()
      .query(`SELECT updated_at FROM runs WHERE tenant_id = 't1'`);
    expect(raised).toEqual([{ updated_at: clock.now() }]);
    expect(raised).not.toEqual(before);
    clock.advance(1000);
    expect(await sink.raise('t1', RUN, ['TOKEN_LIMIT_EXCEEDED'])).toBe('VIOLATED');
    expect(await sink.raise('t1', RUN, ['RUN_FAILED'])).toBe('VIOLATED');
    expect(await db.manager().query(`SELECT updated_at FROM runs WHERE tenant_id = 't1'`)).toEqual(raised);
    expect(await level('t2')).toBe('NORMAL');
  });
});

it('the seed’s second names are the first ones', () => {
  expect(ThresholdDriverSync).toBe(ThresholdDriver);
  expect(emitThresholdSignalSync).toBe(emitThresholdSignal);
});
