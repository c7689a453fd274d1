import { makeIntegration, makeLimit, makeLimitBreach, makeRun, makeTenant, makeTrace } from '@hoc/shared/testing';
import { makeIncident, makeTraceStep, makeUsage, makeUsageDaily, makeWorkerRun } from '@hoc/shared/testing';
import { insertRows, useDatabase } from '@hoc/testkit';
import { CusIntegrationEntity, CusUsageDailyEntity, entities, migrations } from './index';

const db = useDatabase({ entities, migrations });
const refusal = (constraint: string) => ({ driverError: { code: '23001', constraint } });

beforeEach(() => insertRows(db.manager(), makeTenant({ id: 't' })));

describe('a worker run', () => {
  const guard = 'worker_runs_immutable_guard';
  const update = (set: string) =>
    db.manager().query(`UPDATE worker_runs SET ${set} WHERE tenant_id = 't' AND id = 'w'`);
  const given = (status: string, more: object = {}) =>
    insertRows(
      db.manager(),
      makeWorkerRun('t', { id: 'parent' }),
      makeWorkerRun('t', { id: 'w', status, total_tokens: 1, output_json: { a: 1 }, ...more }),
    );

  const frozen = [
    ["status = 'failed'", 'completed'],
    ["status = 'running'", 'crashed'],
    ["status = 'completed'", 'failed'],
    ['success = true', 'completed'],
    ["error = 'late'", 'completed'],
    [`output_json = '{"a":2}'`, 'completed'],
    ['output_json = NULL', 'completed'],
    ['total_tokens = 2', 'failed'],
    ['total_tokens = NULL', 'failed'],
    ['cost_cents = 0.000001', 'crashed'],
    ["started_at = '2026-03-10T00:00Z'", 'crashed'],
    ["completed_at = '2026-03-10T00:00Z'", 'completed'],
  ];
  it.each(frozen)('refuses %s once it is %s', async (set, status) => {
    await given(status);
    await expect(update(set)).rejects.toMatchObject(refusal(guard));
  });

  it.each([
    ['a missing parent', "parent_run_id = 'parent'"],
    ['what is not its outcome', 'recoveries = 3, total_latency_ms = 5'],
    ['nothing', "status = 'completed', total_tokens = 1"],
  ])('lets %s be written after its end', async (_, set) => {
    await given('completed');
    await expect(update(set)).resolves.toEqual([[], 1]);
  });

  it.each(['queued', 'running'])('lets everything change while it is %s', async (status) => {
    await given(status);
    const set = `status = 'completed', success = true, error = 'e', output_json = '{}', total_tokens = 9, cost_cents = 1`;
    await expect(update(`${set}, completed_at = '2026-03-10T00:00Z'`)).resolves.toEqual([[], 1]);
  });

  it('loses a deleted parent, and keeps its tenant', async () => {
    await given('completed', { parent_run_id: 'parent' });
    await db.manager().query(`DELETE FROM worker_runs WHERE tenant_id = 't' AND id = 'parent'`);
    expect(await db.manager().query(`SELECT tenant_id, id, parent_run_id FROM worker_runs`)).toEqual([
      { tenant_id: 't', id: 'w', parent_run_id: null },
    ]);
  });
});

describe('a trace', () => {
  const update = (set: string) =>
    db.manager().query(`UPDATE aos_traces SET ${set} WHERE tenant_id = 't' AND trace_id = 'x'`);
  const given = (more: object = {}) => insertRows(db.manager(), makeTrace('t', { trace_id: 'x', ...more }));
  const mutable: Readonly<Record<string, string>> = {
    status: "'aborted'",
    completed_at: "'2026-03-10T13:00Z'",
    metadata: `'{"a":1}'`,
    incident_id: "'inc'",
    violation_step_index: '3',
    violation_timestamp: "'2026-03-10T13:00Z'",
    violation_policy_id: "'p'",
    violation_reason: "'r'",
    replay_mode: "'FULL'",
    replay_attempt_id: "'a'",
    replay_artifact_version: "'1'",
    trace_completeness_status: "'complete'",
  };

  it.each(
    Object.entries(mutable).flatMap(([column, value]) => [null, 'ag'].map((agent) => [column, agent, value] as const)),
  )('lets %s change (agent: %s)', async (column, agent, value) => {
    await given({ agent_id: agent });
    await expect(update(`${column} = ${value}`)).resolves.toEqual([[], 1]);
    await expect(update(`${column} = ${value}`)).resolves.toEqual([[], 1]);
  });

  it('refuses a change of any other column, together with an allowed one too', async () => {
    const columns: { name: string; type: string }[] = await db.manager().query(
      `SELECT attname AS name, format_type(atttypid, atttypmod) AS type FROM pg_attribute
       WHERE attrelid = 'aos_traces'::regclass AND attnum > 0 AND NOT attisdropped`,
    );
    const other: Readonly<Record<string, string>> = {
      text: "'changed'",
      bigint: '7',
      jsonb: `'{"changed":1}'`,
      boolean: 'true',
      'timestamp with time zone': "'2001-01-01T00:00Z'",
    };
    await insertRows(db.manager(), makeTenant({ id: 'changed' }));
    await given({ agent_id: 'ag' });
    const immutable = columns.filter(({ name }) => !(name in mutable));
    expect(immutable.length).toBe(19);
    for (const { name, type } of immutable)
      for (const set of [`${name} = ${other[type]}`, `status = 'failed', ${name} = ${other[type]}`]) {
        await db.manager().query('SAVEPOINT s');
        await expect(update(set)).rejects.toMatchObject(refusal('aos_traces_immutable_guard'));
        await db.manager().query('ROLLBACK TO SAVEPOINT s');
      }
  });

  it('lets an unknown agent be filled in once, and neither changed nor forgotten', async () => {
    await given();
    await update(`agent_id = 'ag'`);
    await db.manager().query('SAVEPOINT s');
    await expect(update(`agent_id = 'other'`)).rejects.toMatchObject(refusal('aos_traces_immutable_guard'));
    await db.manager().query('ROLLBACK TO SAVEPOINT s');
    await expect(update('agent_id = NULL')).rejects.toMatchObject(refusal('aos_traces_immutable_guard'));
  });
});

describe('a trace step', () => {
  it.each(["level = 'INFO'", 'cost_cents = 1', 'step_index = 5'])('refuses every UPDATE: %s', async (set) => {
    await insertRows(db.manager(), makeTrace('t', { trace_id: 'x' }), makeTraceStep('t', 'x'));
    await expect(db.manager().query(`UPDATE aos_trace_steps SET ${set}`)).rejects.toMatchObject(
      refusal('aos_trace_steps_immutable_guard'),
    );
  });

  it('goes before its trace: the trace is kept while a step is left', async () => {
    await insertRows(db.manager(), makeTrace('t', { trace_id: 'x' }), makeTraceStep('t', 'x'));
    await db.manager().query('SAVEPOINT s');
    await expect(db.manager().query('DELETE FROM aos_traces')).rejects.toMatchObject({
      driverError: { constraint: 'fk_aos_trace_steps_trace' },
    });
    await db.manager().query('ROLLBACK TO SAVEPOINT s');
    await db.manager().query('DELETE FROM aos_trace_steps; DELETE FROM aos_traces');
  });
});

describe('keys', () => {
  const violates = (constraint: string) => ({ driverError: { constraint } });

  it('let two tenants use the same ids, and refuse a reference into another tenant', async () => {
    const manager = db.manager();
    await insertRows(manager, makeTenant({ id: 'u' }));
    for (const tenant of ['t', 'u'])
      await insertRows(
        manager,
        makeIntegration(tenant, { id: 'int', name: 'Main' }),
        makeUsage(tenant, 'int', { id: 'same', call_id: 'same' }),
        makeRun(tenant, { id: `run-of-${tenant}`, idempotency_key: 'k' }),
      );
    await manager.query('SAVEPOINT s');
    await expect(insertRows(manager, makeRun('t', { parent_run_id: 'run-of-u' }))).rejects.toMatchObject(
      violates('fk_runs_parent'),
    );
    await manager.query('ROLLBACK TO SAVEPOINT s');
    await insertRows(manager, makeIntegration('u', { id: 'only-u' }));
    await expect(insertRows(manager, makeUsage('t', 'only-u'))).rejects.toMatchObject(
      violates('fk_cus_llm_usage_integration'),
    );
  });

  it.each([
    ['uq_cus_llm_usage_tenant_call', () => [0, 1].map(() => makeUsage('t', 'int', { call_id: 'c' }))],
    ['uq_runs_tenant_idempotency', () => [0, 1].map(() => makeRun('t', { idempotency_key: 'k' }))],
    ['uq_cus_integrations_tenant_name', () => [0, 1].map(() => makeIntegration('t', { name: 'Main' }))],
    ['uq_limit_breaches_idempotency', () => [0, 1].map(() => makeLimitBreach('t', 'limit', { idempotency_key: 'k' }))],
    [
      'uq_worker_runs_open_retry',
      () => [0, 1].map(() => makeWorkerRun('t', { parent_run_id: 'w', attempt: 2, is_retry: true })),
    ],
    ['uq_tenants_slug', () => [0, 1].map(() => makeTenant({ slug: 's' }))],
    ['uq_tenants_clerk_org_id', () => [0, 1].map(() => makeTenant({ clerk_org_id: 'org' }))],
  ])('%s refuses a second one', async (name, rows) => {
    await parents();
    await expect(insertRows(db.manager(), ...rows())).rejects.toMatchObject(violates(name));
  });

  it('let go of what is over: a deleted name, a finished retry, a key that was not given', async () => {
    await parents();
    const gone = { deleted_at: new Date('2026-03-11T00:00:00Z'), status: 'disabled' };
    await insertRows(
      db.manager(),
      makeIntegration('t', { name: 'Main', ...gone }),
      makeIntegration('t', { name: 'Main', ...gone }),
      makeIntegration('t', { name: 'Main' }),
      makeWorkerRun('t', { parent_run_id: 'w', attempt: 2, is_retry: true, status: 'failed' }),
      makeWorkerRun('t', { parent_run_id: 'w', attempt: 3, is_retry: true }),
      makeLimitBreach('t', 'limit'),
      makeLimitBreach('t', 'limit'),
    );
  });

  it('keep a breach when its run and its incident go, with its tenant', async () => {
    await parents();
    const manager = db.manager();
    await insertRows(manager, makeRun('t', { id: 'r' }), makeIncident('t', { id: 'i' }));
    await insertRows(manager, makeLimitBreach('t', 'limit', { id: 'b', run_id: 'r', incident_id: 'i' }));
    await manager.query('DELETE FROM runs; DELETE FROM incidents');
    expect(await manager.query('SELECT tenant_id, limit_id, run_id, incident_id FROM limit_breaches')).toEqual([
      { tenant_id: 't', limit_id: 'limit', run_id: null, incident_id: null },
    ]);
    await manager.query('SAVEPOINT s');
    await expect(manager.query('DELETE FROM limits')).rejects.toMatchObject(violates('fk_limit_breaches_limit'));
    await manager.query('ROLLBACK TO SAVEPOINT s');
    await expect(manager.query('DELETE FROM tenants')).rejects.toMatchObject({
      driverError: { constraint: expect.stringMatching(/^fk_.*_tenant$/) },
    });
  });

  const parents = () =>
    insertRows(
      db.manager(),
      makeIntegration('t', { id: 'int' }),
      makeLimit('t', { id: 'limit' }),
      makeWorkerRun('t', { id: 'w', status: 'failed' }),
    );
});

describe('an entity', () => {
  it('reads rows as it is typed: bigint and numeric as text, days as text, instants as Date', async () => {
    await insertRows(
      db.manager(),
      makeIntegration('t', { id: 'int' }),
      makeUsageDaily('t', 'int', { total_calls: 3, total_cost_cents: '12.5', latency_total_ms: 5, latency_count: 2 }),
    );
    const row = await db.manager().findOneByOrFail(CusUsageDailyEntity, { tenantId: 't' });
    expect(row).toMatchObject({ date: '2026-03-10', totalCalls: '3', totalCostCents: '12.500000', avgLatencyMs: 3 });
    expect(row.updatedAt).toEqual(new Date('2026-03-10T12:00:00Z'));
  });

  it('reads avg_latency_ms as null where no call had a latency', async () => {
    await insertRows(db.manager(), makeIntegration('t', { id: 'int' }), makeUsageDaily('t', 'int', { total_calls: 1 }));
    expect((await db.manager().findOneByOrFail(CusUsageDailyEntity, { tenantId: 't' })).avgLatencyMs).toBeNull();
  });

  it('never reads credential_ref unasked', async () => {
    await insertRows(db.manager(), makeIntegration('t', { id: 'int' }));
    const row = await db.manager().findOneByOrFail(CusIntegrationEntity, { tenantId: 't' });
    expect(Object.keys(row)).not.toContain('credentialRef');
  });
});
