import { CircuitBreakerIncident, type CircuitBreakerOptions } from '@hoc/controls/schemas';
import { entities, migrations } from '@hoc/controls/models';
import { systemScope } from '@hoc/shared/kernel';
import { entities as shared, migrations as sharedMigrations } from '@hoc/shared/models';
import { fixedClock, memoryLogger, sequentialIds } from '@hoc/shared/testing';
import { captureStatements, useDatabase } from '@hoc/testkit';
import * as breakers from './circuit-breaker.driver';
import { CB_NAME, CircuitBreaker, createCircuitBreaker } from './circuit-breaker.driver';

const START = '2026-03-10T12:00:00.000Z';
const NEXT_DAY = new Date('2026-03-11T12:00:00.000Z');
const scope = systemScope('test');
const clock = fixedClock(START);
const logger = memoryLogger();
const db = useDatabase({ entities: [...shared, ...entities], migrations: [...sharedMigrations, ...migrations] });
let deps = { clock, ids: sequentialIds('x'), logger };
let breaker: CircuitBreaker;

beforeEach(() => {
  clock.set(START);
  deps = { clock, ids: sequentialIds('x'), logger };
  breaker = withOptions();
});

const withOptions = (options?: CircuitBreakerOptions): CircuitBreaker =>
  createCircuitBreaker(db.manager(), scope, deps, options);
const select = <Row extends object>(sql: string): Promise<Row[]> => db.manager().query<Row[]>(sql);
const states = () => select<Record<string, unknown>>('SELECT * FROM costsim_cb_state ORDER BY name');
const history = () =>
  select<Record<string, unknown>>(
    `SELECT entity_type, entity_id, old_status, new_status, actor_type, actor_id, reason, metadata, created_at
     FROM status_history ORDER BY id`,
  );
const alerts = () =>
  select<{ alert_type: string; incident_id: string | null; payload: [{ annotations: { description: string } }] }>(
    'SELECT * FROM costsim_alert_queue ORDER BY id',
  );
const sent = async (work: () => Promise<unknown>): Promise<number> =>
  (await captureStatements(db.manager(), work)).length;
const counts = async (): Promise<unknown> =>
  select(
    `SELECT (SELECT count(*) FROM costsim_cb_state) + (SELECT count(*) FROM costsim_cb_incidents)
       + (SELECT count(*) FROM costsim_alert_queue) + (SELECT count(*) FROM status_history) AS n`,
  );
/** F9: the third failure in a row opens the breaker. */
async function tripped(by: CircuitBreaker = breaker) {
  await by.reportDrift(0.3);
  await by.reportDrift(0.3);
  return by.reportDrift(0.25, 100, { model: 'v2' });
}

describe('a breaker that nobody has used', () => {
  it('F8: is closed, counts 0, and looking makes no row', async () => {
    expect(await breaker.isDisabled()).toBe(false);
    expect([await breaker.isOpen(), await breaker.isClosed()]).toEqual([false, true]);
    expect((await breaker.getState()).toDict()).toEqual({
      isOpen: false,
      openedAt: null,
      reason: null,
      incidentId: null,
      consecutiveFailures: 0,
      lastFailureAt: null,
      disabledUntil: null,
      disabledBy: null,
    });
    expect(await breaker.getIncidents()).toEqual({ items: [], nextCursor: null });
    expect(await states()).toEqual([]);
  });

  it('is neither enabled, reset nor recovered, and stays without a row', async () => {
    expect(await breaker.enableV2('ann')).toBe(false);
    expect(await breaker.reset()).toBe(false);
    expect(await breaker.autoRecover()).toBe(false);
    expect(await counts()).toEqual([{ n: '0' }]);
  });

  it('getOrCreateState makes it closed, once', async () => {
    const row = await breaker.getOrCreateState(false);
    expect(row).toMatchObject({ name: CB_NAME, disabled: false, consecutiveFailures: 0 });
    expect(await breaker.getOrCreateState(true)).toEqual(row);
    expect(await states()).toHaveLength(1);
  });
});

describe('reportDrift', () => {
  it('F9: opens at the third failure in a row; equal to the threshold is none', async () => {
    expect(await breaker.reportDrift(0.2)).toBeNull();
    expect(await breaker.reportDrift(0.2000001)).toBeNull();
    clock.advance(1000);
    expect(await breaker.reportDrift(0.3)).toBeNull();
    clock.set(START);
    const incident = await breaker.reportDrift(0.25, 100, { model: 'v2' });
    expect(incident?.toDict()).toEqual({
      id: 'x-000001',
      timestamp: START,
      reason: 'Drift exceeded threshold: 0.2500 > 0.2',
      severity: 'P1',
      driftScore: 0.25,
      sampleCount: 100,
      details: { model: 'v2' },
      resolved: false,
      resolvedAt: null,
      resolvedBy: null,
      resolutionNotes: null,
      alertSent: false,
      alertSentAt: null,
    });
    expect((await breaker.getIncidents()).items).toEqual([incident]);
    expect((await breaker.getState()).toDict()).toEqual({
      isOpen: true,
      openedAt: START,
      reason: 'Drift exceeded threshold: 0.2500 > 0.2',
      incidentId: 'x-000001',
      consecutiveFailures: 3,
      lastFailureAt: START,
      disabledUntil: NEXT_DAY.toISOString(),
      disabledBy: 'circuit_breaker',
    });
    expect(await history()).toEqual([
      {
        entity_type: 'circuit_breaker',
        entity_id: 'costsim_v2',
        old_status: 'enabled',
        new_status: 'disabled',
        actor_type: 'circuit_breaker',
        actor_id: 'circuit_breaker',
        reason: 'Drift exceeded threshold: 0.2500 > 0.2',
        metadata: {
          incident_id: 'x-000001',
          severity: 'P1',
          drift_score: 0.25,
          disabled_until: NEXT_DAY.toISOString(),
        },
        created_at: new Date(START),
      },
    ]);
    expect(await alerts()).toEqual([
      expect.objectContaining({
        alert_type: 'disable',
        incident_id: 'x-000001',
        circuit_breaker_name: 'costsim_v2',
        status: 'pending',
        attempts: 0,
        max_attempts: 10,
        next_attempt_at: new Date(START),
        created_at: new Date(START),
        payload: [
          expect.objectContaining({
            labels: expect.objectContaining({ alertname: 'CostSimV2Disabled', incident_id: 'x-000001' }),
          }),
        ],
      }),
    ]);
    expect(logger.entries.at(-1)).toMatchObject({ event: 'circuit_breaker_opened', fields: { breaker: CB_NAME } });
  });

  it('F10: open, it only counts: no second incident, no closing', async () => {
    await tripped();
    clock.advance(1000);
    expect(await breaker.reportDrift(0.9)).toBeNull();
    expect(await breaker.getState()).toMatchObject({
      consecutiveFailures: 4,
      lastFailureAt: clock.now(),
      openedAt: new Date(START),
    });
    expect((await breaker.getIncidents({ includeResolved: true })).items).toHaveLength(1);
    expect(await breaker.reportDrift(0.1)).toBeNull();
    expect((await breaker.getState()).consecutiveFailures).toBe(0);
    expect(await breaker.isDisabled()).toBe(true);
    expect(await alerts()).toHaveLength(1);
  });

  it('an observation within the threshold ends the row of failures and keeps the last one’s instant', async () => {
    await breaker.reportDrift(0.9);
    clock.advance(1000);
    await breaker.reportDrift(0.1);
    expect(await breaker.getState()).toMatchObject({ consecutiveFailures: 0, lastFailureAt: new Date(START) });
    await breaker.reportDrift(0.9);
    await breaker.reportDrift(0.9);
    expect(await breaker.isDisabled()).toBe(false);
  });

  it('within the threshold it locks a known closed breaker and writes nothing', async () => {
    await breaker.reportDrift(0.1);
    const before = await states();
    clock.advance(1000);
    expect(await sent(() => breaker.reportDrift(0.1))).toBe(1);
    expect(await states()).toEqual(before);
  });

  it('a failure is two statements, and so is the one that opens the breaker', async () => {
    await breaker.reportDrift(0.1);
    expect(await sent(() => breaker.reportDrift(0.9))).toBe(2);
    await breaker.reportDrift(0.9);
    expect(await sent(() => breaker.reportDrift(0.9))).toBe(2);
    expect(await breaker.isDisabled()).toBe(true);
  });

  it('with autoDisableEnabled false failures are counted and nothing opens', async () => {
    const counting = withOptions({ config: { autoDisableEnabled: false } });
    for (let n = 0; n < 5; n += 1) expect(await counting.reportDrift(1)).toBeNull();
    expect(await counting.getState()).toMatchObject({ isOpen: false, consecutiveFailures: 5 });
    // Not a dead end: whoever trips sees the counter as it stands.
    expect(await breaker.reportDrift(1)).not.toBeNull();
  });

  it('after its time it recovers first, and counts from one', async () => {
    await tripped();
    clock.set(NEXT_DAY);
    expect(await breaker.reportDrift(0.9)).toBeNull();
    expect(await breaker.getState()).toMatchObject({ isOpen: false, consecutiveFailures: 1 });
    expect((await history()).map((row) => [row['old_status'], row['new_status'], row['actor_id']])).toEqual([
      ['enabled', 'disabled', 'circuit_breaker'],
      ['disabled', 'enabled', 'auto-recover'],
    ]);
  });

  it('a TTL of 0 hours is until a person closes it', async () => {
    const forever = withOptions({ failureThreshold: 1, config: { defaultDisableTtlHours: 0 } });
    expect(await forever.reportDrift(1)).not.toBeNull();
    clock.set('2036-03-10T12:00:00.000Z');
    expect(await forever.isDisabled()).toBe(true);
    expect((await forever.getState()).disabledUntil).toBeNull();
    expect((await alerts())[0]?.payload[0].annotations.description).toContain('Disabled until: manual reset required');
  });

  it('what the caller changes later changes no result', async () => {
    const details = { list: [1] };
    const incident = await withOptions({ failureThreshold: 1 }).reportDrift(1, 1, details);
    details.list.push(2);
    expect(incident?.details).toEqual({ list: [1] });
    expect(Object.isFrozen(incident?.details['list'])).toBe(true);
  });
});

describe('reportSchemaError', () => {
  it('F13: below the threshold no SQL; at it P3 with the errors as samples', async () => {
    expect(await sent(async () => expect(await breaker.reportSchemaError(4)).toBeNull())).toBe(0);
    const incident = await breaker.reportSchemaError(5, { field: 'cost' });
    expect(incident).toMatchObject({
      severity: 'P3',
      driftScore: 1,
      sampleCount: 5,
      reason: 'Schema error threshold exceeded: 5 >= 5',
      details: { field: 'cost' },
    });
    expect(await breaker.getState()).toMatchObject({ isOpen: true, consecutiveFailures: 0, lastFailureAt: null });
  });

  it('open: nothing is written', async () => {
    await breaker.reportSchemaError(5);
    const before = await states();
    clock.advance(1);
    expect(await breaker.reportSchemaError(50)).toBeNull();
    expect(await states()).toEqual(before);
  });

  it('does not touch the counter, and opens again after the time is over', async () => {
    await breaker.reportDrift(0.9);
    await breaker.reportSchemaError(5);
    expect((await breaker.getState()).consecutiveFailures).toBe(1);
    clock.set(NEXT_DAY);
    expect(await breaker.reportSchemaError(5)).not.toBeNull();
    expect((await breaker.getIncidents({ includeResolved: true })).items.map(({ resolvedBy }) => resolvedBy)).toEqual([
      null,
      'system-auto-recover',
    ]);
  });

  it('with autoDisableEnabled false nothing opens', async () => {
    expect(await withOptions({ config: { autoDisableEnabled: false } }).reportSchemaError(1000)).toBeNull();
    expect(await breaker.isDisabled()).toBe(false);
  });
});

describe('the end of its time', () => {
  it('F11: open until the last millisecond; then closed, resolved, recorded and alerted by the first look', async () => {
    const incident = await tripped();
    clock.set('2026-03-11T11:59:59.999Z');
    expect(await breaker.isDisabled()).toBe(true);
    clock.set(NEXT_DAY);
    expect(await breaker.isDisabled()).toBe(false);
    expect((await breaker.getIncidents({ includeResolved: true })).items).toEqual([
      expect.objectContaining({
        id: incident?.id,
        resolved: true,
        resolvedAt: NEXT_DAY,
        resolvedBy: 'system-auto-recover',
        resolutionNotes: 'Auto-recovered after TTL expired',
      }),
    ]);
    expect(await states()).toEqual([
      expect.objectContaining({
        disabled: false,
        disabled_by: null,
        disabled_reason: null,
        disabled_until: null,
        opened_at: null,
        incident_id: null,
        consecutive_failures: 0,
        last_failure_at: new Date(START),
        updated_at: NEXT_DAY,
      }),
    ]);
    expect((await history())[1]).toEqual({
      entity_type: 'circuit_breaker',
      entity_id: 'costsim_v2',
      old_status: 'disabled',
      new_status: 'enabled',
      actor_type: 'system',
      actor_id: 'auto-recover',
      reason: 'TTL expired, auto-recovery triggered',
      metadata: { old_incident_id: incident?.id, old_reason: incident?.reason },
      created_at: NEXT_DAY,
    });
    expect((await alerts())[1]).toMatchObject({ alert_type: 'enable', incident_id: null });
  });

  it('a check of a closed or open breaker is one statement; the one that recovers is two', async () => {
    expect(await sent(() => breaker.isDisabled())).toBe(1);
    await tripped();
    expect(await sent(() => breaker.isDisabled())).toBe(1);
    clock.set(NEXT_DAY);
    expect(await sent(() => breaker.isDisabled())).toBe(2);
    expect(await sent(() => breaker.isDisabled())).toBe(1);
  });

  it('getState says closed and writes nothing', async () => {
    await tripped();
    const before = await states();
    clock.set(NEXT_DAY);
    expect((await breaker.getState()).toDict()).toEqual({
      isOpen: false,
      openedAt: null,
      reason: null,
      incidentId: null,
      consecutiveFailures: 3,
      lastFailureAt: START,
      disabledUntil: null,
      disabledBy: null,
    });
    expect(await states()).toEqual(before);
  });

  it('autoRecover is one statement, says whether it closed, and does it once', async () => {
    await tripped();
    expect(await breaker.autoRecover()).toBe(false);
    clock.set(NEXT_DAY);
    expect(await sent(async () => expect(await breaker.autoRecover()).toBe(true))).toBe(1);
    expect(await breaker.autoRecover()).toBe(false);
    expect(await alerts()).toHaveLength(2);
  });

  it('with autoRecoverEnabled false it stays open, and autoRecover asks nothing', async () => {
    await tripped();
    clock.set(NEXT_DAY);
    const manual = withOptions({ config: { autoRecoverEnabled: false } });
    expect(await manual.isDisabled()).toBe(true);
    expect((await manual.getState()).isOpen).toBe(true);
    expect(await sent(async () => expect(await manual.autoRecover()).toBe(false))).toBe(0);
    expect(await manual.enableV2('ann')).toBe(true);
  });

  it('in a read-only transaction it answers false and writes nothing', async () => {
    await tripped();
    clock.set(NEXT_DAY);
    await db.manager().query('SAVEPOINT reading');
    await db.manager().query('SET TRANSACTION READ ONLY');
    expect(await breaker.isDisabled()).toBe(false);
    await db.manager().query('ROLLBACK TO SAVEPOINT reading');
    expect((await breaker.getIncidents()).items).toHaveLength(1);
  });
});

describe('disableV2 and enableV2', () => {
  it('F12: same reason, other end, other reason, and closed once', async () => {
    const first = await breaker.disableV2('maintenance', 'ann');
    expect(first).toMatchObject({
      changed: true,
      incident: { severity: 'P2', driftScore: 0, sampleCount: 0, details: { manual_disable: true } },
    });
    expect(await breaker.disableV2('maintenance', 'ann')).toEqual({ changed: false, incident: null });

    clock.advance(1000);
    const until = new Date('2026-03-12T00:00:00.000Z');
    const extended = await breaker.disableV2('maintenance', 'bob', until);
    expect(extended).toEqual({ changed: true, incident: first.incident });
    expect(await breaker.getState()).toMatchObject({
      disabledUntil: until,
      disabledBy: 'bob',
      openedAt: new Date(START),
      incidentId: first.incident?.id,
    });
    expect(await alerts()).toHaveLength(1);
    expect((await history())[1]).toMatchObject({ old_status: 'disabled', new_status: 'disabled', actor_id: 'bob' });

    const second = await breaker.disableV2('rollback', 'bob', null);
    expect(second.changed).toBe(true);
    expect(second.incident?.id).not.toBe(first.incident?.id);
    const { items } = await breaker.getIncidents({ includeResolved: true });
    expect(items).toEqual([
      second.incident,
      expect.objectContaining({
        id: first.incident?.id,
        resolved: true,
        resolvedAt: clock.now(),
        resolvedBy: 'bob',
        resolutionNotes: `Superseded by ${second.incident?.id}`,
      }),
    ]);
    expect((await breaker.getState()).disabledUntil).toBeNull();
    expect((await history())[2]).toMatchObject({
      old_status: 'disabled',
      new_status: 'disabled',
      actor_type: 'user',
      metadata: { incident_id: second.incident?.id, disabled_until: null },
    });
    expect((await alerts()).map(({ alert_type, incident_id }) => [alert_type, incident_id])).toEqual([
      ['disable', first.incident?.id],
      ['disable', second.incident?.id],
    ]);

    expect(await breaker.enableV2('ann')).toBe(true);
    expect(await breaker.enableV2('ann')).toBe(false);
    expect(await breaker.isDisabled()).toBe(false);
    expect((await breaker.getIncidents()).items).toEqual([]);
    expect((await history())[3]).toMatchObject({
      old_status: 'disabled',
      new_status: 'enabled',
      actor_type: 'user',
      actor_id: 'ann',
      reason: 'Manual enable',
      metadata: { old_incident_id: second.incident?.id, old_reason: 'rollback' },
    });
    expect((await alerts())[2]).toMatchObject({
      alert_type: 'enable',
      payload: [{ annotations: { description: 'Re-enabled by: ann\nReason: Not specified' } }],
    });
  });

  it('naming the stored end again changes nothing; null is an end like others', async () => {
    const until = new Date('2026-03-12T00:00:00.000Z');
    await breaker.disableV2('maintenance', 'ann', until);
    expect(await breaker.disableV2('maintenance', 'bob', until)).toEqual({ changed: false, incident: null });
    expect((await breaker.disableV2('maintenance', 'bob', null)).changed).toBe(true);
    expect(await breaker.disableV2('maintenance', 'bob', null)).toEqual({ changed: false, incident: null });
    expect((await history()).length).toBe(2);
  });

  it('changing nothing is one statement, opening and extending two, also from the wrong side', async () => {
    await breaker.getOrCreateState(true);
    expect(await sent(() => breaker.disableV2('a', 'ann'))).toBe(2);
    expect(await sent(() => breaker.disableV2('a', 'ann'))).toBe(1);
    expect(await sent(() => breaker.disableV2('a', 'ann', null))).toBe(2);
    expect(await sent(() => breaker.disableV2('b', 'ann'))).toBe(2);
    expect(await sent(() => breaker.enableV2('ann'))).toBe(2);
    expect(await sent(() => breaker.enableV2('ann'))).toBe(1);
  });

  it('after its time the same reason is a new opening', async () => {
    const first = await breaker.disableV2('maintenance', 'ann');
    clock.set(NEXT_DAY);
    const second = await breaker.disableV2('maintenance', 'ann');
    expect(second).toMatchObject({ changed: true });
    expect(second.incident?.id).not.toBe(first.incident?.id);
    expect((await breaker.getIncidents({ includeResolved: true })).items[1]).toMatchObject({
      id: first.incident?.id,
      resolvedBy: 'system-auto-recover',
    });
  });

  it('an expired breaker is still closed by whoever asks first', async () => {
    await tripped();
    clock.set(NEXT_DAY);
    expect(await breaker.enableV2('ann', 'all good')).toBe(true);
    expect((await breaker.getIncidents({ includeResolved: true })).items[0]).toMatchObject({
      resolvedBy: 'ann',
      resolutionNotes: 'all good',
    });
    expect((await alerts())[1]?.payload[0].annotations.description).toBe('Re-enabled by: ann\nReason: all good');
  });

  it.each([
    { reason: undefined, by: undefined, who: 'manual', type: 'system', notes: 'Manual reset' },
    { reason: 'done', by: 'bob', who: 'bob', type: 'user', notes: 'done' },
  ])('reset and resetV2: $who', async ({ reason, by, who, type, notes }) => {
    for (const reset of [breaker.reset.bind(breaker), breaker.resetV2.bind(breaker)]) {
      await breaker.disableV2('maintenance', 'ann');
      clock.advance(1000);
      expect(await reset(reason, by)).toBe(true);
      expect(await reset(reason, by)).toBe(false);
      expect((await breaker.getIncidents({ includeResolved: true })).items[0]).toMatchObject({
        resolvedBy: who,
        resolutionNotes: notes,
      });
      expect((await history()).at(-1)).toMatchObject({ actor_type: type, actor_id: who, reason: notes });
    }
  });

  it('keeps the counter when a person opens it, starts anew when it closes', async () => {
    await breaker.reportDrift(0.9);
    await breaker.disableV2('maintenance', 'ann');
    expect((await breaker.getState()).consecutiveFailures).toBe(1);
    await breaker.enableV2('ann');
    expect((await breaker.getState()).consecutiveFailures).toBe(0);
  });
});

describe('the parts', () => {
  it('resolveIncident resolves once, and only this breaker’s', async () => {
    const incident = await tripped();
    const id = incident?.id ?? '';
    expect(await withOptions({ name: 'other' }).resolveIncident(id, 'ann', 'notes')).toBe(false);
    expect(await breaker.resolveIncident(id, 'ann', 'notes')).toBe(true);
    expect(await breaker.resolveIncident(id, 'bob', 'more')).toBe(false);
    expect((await breaker.getIncidents({ includeResolved: true })).items[0]).toMatchObject({ resolvedBy: 'ann' });
  });

  it('trip refuses a second open incident, and a breaker without a row', async () => {
    const input = {
      reason: 'r',
      severity: 'P1',
      driftScore: 1,
      sampleCount: 1,
      details: {},
      disabledBy: 'circuit_breaker',
      disabledUntil: null,
    } as const;
    await expect(breaker.trip(input)).rejects.toMatchObject({ code: 'DATA_INTEGRITY' });
    expect(await counts()).toEqual([{ n: '0' }]);
    await breaker.getOrCreateState(true);
    await breaker.trip(input);
    await db.manager().query('SAVEPOINT second');
    await expect(breaker.trip(input)).rejects.toMatchObject({ code: 'CONFLICT' });
    await db.manager().query('ROLLBACK TO SAVEPOINT second');
  });

  it('enqueueAlert puts a due alert into the outbox', async () => {
    const incident = await tripped();
    const id = await breaker.enqueueAlert('canary_fail', [{ labels: {} }], incident?.id ?? null);
    expect((await alerts()).find((alert) => alert.alert_type === 'canary_fail')).toMatchObject({
      id,
      payload: [{ labels: {} }],
      incident_id: incident?.id,
      circuit_breaker_name: CB_NAME,
      status: 'pending',
      next_attempt_at: clock.now(),
    });
  });
});

describe('several breakers', () => {
  it('of different names don’t meet', async () => {
    const other = withOptions({ name: 'other' });
    const incident = await tripped(other);
    expect([await breaker.isDisabled(), await other.isDisabled()]).toEqual([false, true]);
    expect((await breaker.getIncidents()).items).toEqual([]);
    expect((await other.getIncidents()).items).toEqual([incident]);
    expect(await breaker.enableV2('ann')).toBe(false);
    clock.set(NEXT_DAY);
    expect(await breaker.autoRecover()).toBe(false);
    expect(await other.autoRecover()).toBe(true);
  });

  it('options win over the config', () => {
    const { config, name } = withOptions({
      name: 'n',
      failureThreshold: 7,
      driftThreshold: 0.5,
      config: { failureThreshold: 2, driftThreshold: 0.9, schemaErrorThreshold: 9 },
    });
    expect({ ...config, name }).toMatchObject({
      name: 'n',
      failureThreshold: 7,
      driftThreshold: 0.5,
      schemaErrorThreshold: 9,
    });
    expect(breaker.name).toBe('costsim_v2');
  });
});

describe('getIncidents', () => {
  const seed = async (n: number): Promise<void> => {
    await db.manager().query(
      `INSERT INTO costsim_cb_incidents (id, circuit_breaker_name, timestamp, reason, severity, details, resolved, resolved_at)
       SELECT 'i-' || to_char(n, 'FM000'), 'costsim_v2', timestamptz '2026-03-10T00:00:00.000001Z' + n / 3 * interval '1 microsecond',
         'r', 'P1', '{}', n < $1::int - 1, CASE WHEN n < $1::int - 1 THEN now() END
       FROM generate_series(0, $1::int - 1) n`,
      [n],
    );
  };

  it('newest first, ties by id, pages that join without a gap, ten by default', async () => {
    await seed(25);
    const first = await breaker.getIncidents({ includeResolved: true });
    expect(first.items).toHaveLength(10);
    const whole = await breaker.getIncidents({ includeResolved: true, limit: 200 });
    const ids = whole.items.map(({ id }) => id);
    expect(ids).toEqual(Array.from({ length: 25 }, (_, n) => `i-${String(24 - n).padStart(3, '0')}`));
    for (const limit of [1, 2, 7]) {
      const seen: string[] = [];
      for (let cursor: string | null | undefined; cursor !== null;) {
        const page = await breaker.getIncidents({
          includeResolved: true,
          limit,
          ...(cursor === undefined ? {} : { cursor }),
        });
        seen.push(...page.items.map(({ id }) => id));
        cursor = page.nextCursor;
      }
      expect(seen).toEqual(ids);
    }
  });

  it('only open ones unless asked; an absent score is 0', async () => {
    await seed(3);
    const { items } = await breaker.getIncidents();
    expect(items.map(({ id, driftScore, sampleCount }) => [id, driftScore, sampleCount])).toEqual([['i-002', 0, 0]]);
    expect(items[0]).toBeInstanceOf(CircuitBreakerIncident);
    expect(Object.isFrozen(items)).toBe(true);
  });

  it('a cursor of another breaker or filter is refused', async () => {
    await seed(3);
    const { nextCursor } = await breaker.getIncidents({ includeResolved: true, limit: 1 });
    const cursor = nextCursor ?? '';
    for (const refused of [
      breaker.getIncidents({ limit: 1, cursor }),
      withOptions({ name: 'other' }).getIncidents({ includeResolved: true, limit: 1, cursor }),
      breaker.getIncidents({ includeResolved: true, cursor: 'x' }),
      breaker.getIncidents({ includeResolved: true, cursor: cursor.slice(0, -2) }),
    ])
      await expect(refused).rejects.toMatchObject({ code: 'INVALID_ARGUMENT', details: { field: 'cursor' } });
  });
});

describe('the functions', () => {
  it('do what the methods do, on the named breaker', async () => {
    const manager = db.manager();
    const options = { name: 'b', failureThreshold: 1 };
    expect(await breakers.reportDrift(manager, scope, deps, { driftScore: 0.1 }, options)).toBeNull();
    expect(await breakers.reportDrift(manager, scope, deps, { driftScore: 1, sampleCount: 4 }, options)).toMatchObject({
      sampleCount: 4,
    });
    expect(await breakers.isV2Disabled(manager, scope, deps, options)).toBe(true);
    expect(await breakers.isV2Disabled(manager, scope, deps)).toBe(false);
    expect(await breakers.getState(manager, scope, deps, options)).toMatchObject({ isOpen: true });
    expect(await breakers.enableV2(manager, scope, deps, { enabledBy: 'ann' }, options)).toBe(true);
    const input = { reason: 'r', disabledBy: 'ann', disabledUntil: null };
    expect(await breakers.disableV2(manager, scope, deps, input, options)).toMatchObject({ changed: true });
    expect((await breakers.getIncidents(manager, scope, deps, { includeResolved: true }, options)).items).toHaveLength(
      2,
    );
    expect(await breakers.reportSchemaError(manager, scope, deps, { errorCount: 5 }, { name: 'c' })).toMatchObject({
      severity: 'P3',
    });
    expect([breakers.FEATURE_INTENT, breakers.RETRY_POLICY, CB_NAME]).toEqual(['state_mutation', 'safe', 'costsim_v2']);
  });

  it('a factory gives a new one each time', () => {
    const made = [breakers.createCircuitBreaker, breakers.getAsyncCircuitBreaker].flatMap((make) => [
      make(db.manager(), scope, deps),
      make(db.manager(), scope, deps),
    ]);
    expect(new Set(made).size).toBe(4);
    for (const each of made) expect(each).toBeInstanceOf(CircuitBreaker);
  });
});
