import { entities as sharedEntities, migrations as sharedMigrations } from '@hoc/shared/models';
import { makeLimit, makeRun, makeTenant } from '@hoc/shared/testing';
import { type BuiltRow, insertRows, useDatabase } from '@hoc/testkit';
import { QueryFailedError } from 'typeorm';
import { catalogue, entities, migrations } from './index';

type Columns = Readonly<Record<string, unknown>>;
/** Values, or whole sets of columns, that one CHECK refuses and that it lets pass. */
interface Case {
  readonly refused: readonly unknown[];
  readonly passed: readonly unknown[];
  /** CHECKs that would refuse the same rows first. */
  readonly without?: readonly string[];
}

const AT = new Date('2026-03-10T12:00:00.000Z');
const AFTER = new Date('2026-03-10T12:00:00.001Z');
const x = (length: number): string => 'x'.repeat(length);
const text = (min: number, max: number): Case => ({
  refused: min > 0 ? [x(min - 1), x(max + 1)] : [x(max + 1)],
  passed: [x(min), x(max), 'é'.repeat(max)],
});
const upTo = (max: number): Case => text(0, max);
const between = (min: number, max: number): Case => ({ refused: [min - 1, max + 1], passed: [min, max] });
const atLeast = (min: number): Case => ({ refused: [min - 1], passed: [min, 2_000_000_000] });
const money: Case = { refused: ['-0.000001', 'NaN'], passed: ['0', '0.000001', '99999999999999.999999'] };
const list = (...values: readonly string[]): Case => ({ refused: ['no such value', ''], passed: values });
const json = (...values: readonly unknown[]): string[] => values.map((value) => JSON.stringify(value));
const object: Case = {
  refused: json([1], 'text', null, { a: x(65_536) }),
  passed: json({}, { a: x(65_000) }),
};
const array: Case = { refused: json({}, 'text', null, [x(65_536)]), passed: json([], [x(65_000)]) };
/** As PostgreSQL writes an array. */
const arrayOf = (...items: readonly unknown[]): string =>
  `{${items.map((item) => (item === null ? 'NULL' : Array.isArray(item) ? arrayOf(...(item as unknown[])) : JSON.stringify(item))).join(',')}}`;
const score: Case = {
  refused: ['-0.0001', '1.0001', 'NaN', 'Infinity', '-Infinity'],
  passed: ['0', '0.5', '1'],
};
const id = text(1, 100);
const numbered = (n: number): string[] => Array.from({ length: n }, (_, k) => `a${k}`);
const texts = (max: number, min = 0): Case => ({
  refused: [numbered(max + 1), [''], ['a', x(101)], ['a', null], ...(min > 0 ? [[]] : [])].map((each) =>
    arrayOf(...each),
  ),
  passed: [['a'], numbered(max), ['é'.repeat(100)], ...(min > 0 ? [] : [[]])].map((each) => arrayOf(...each)),
});
const settled = { status: 'SETTLED', settled_amount: '1', closed_at: AFTER };
const resolved = { resolved: true, resolved_at: AFTER };
const told = { alert_sent: true, alert_sent_at: AFTER };
/** The lengths of a text that only stands in rows of a certain kind. */
const within = (kind: Columns, column: string, min: number, max: number): Case => {
  const { refused, passed } = text(min, max);
  const all = (values: readonly unknown[]): Columns[] => values.map((value) => ({ ...kind, [column]: value }));
  return { refused: all(refused), passed: all(passed) };
};
const open = { disabled: true, incident_id: 'i', opened_at: AT };

/** By table, then by what follows `ck_<table>_`. Spelled out: the lists and bounds are those of the specification. */
const CASES: Readonly<Record<string, Readonly<Record<string, Case>>>> = {
  limit_integrity: {
    tenant_id: id,
    id,
    limit_id: id,
    integrity_status: list('VERIFIED', 'DEGRADED', 'FAILED'),
    integrity_score: score,
  },
  decision_records: {
    tenant_id: id,
    id,
    run_id: id,
    decision_type: list('budget_enforcement', 'budget', 'policy', 'recovery', 'routing', 'memory'),
    decision_source: list('human', 'system', 'hybrid'),
    decision_trigger: list('explicit', 'autonomous', 'reactive'),
    decision_inputs: object,
    decision_outcome: list('selected', 'rejected', 'skipped', 'blocked', 'none', 'execution_halted'),
    decision_reason: upTo(1000),
    workflow_id: upTo(100),
    causal_role: list('pre_run', 'in_run', 'post_run'),
    details: object,
  },
  provenances: {
    tenant_id: id,
    id,
    run_id: id,
    agent_id: id,
    status: list('pending', 'running', 'completed', 'failed', 'partial', 'halted'),
    plan_json: object,
    tool_calls_json: array,
    attempts: atLeast(0),
    duration_ms: { refused: ['-1', 'NaN', 'Infinity'], passed: ['0', '1.5'] },
  },
  ops_events: {
    tenant_id: id,
    id,
    event_type: list(
      ...['API_CALL_RECEIVED', 'INCIDENT_CREATED', 'POLICY_EVALUATED', 'POLICY_BLOCKED'],
      ...['LLM_CALL_MADE', 'LLM_CALL_FAILED', 'INFRA_LIMIT_HIT', 'FREEZE_ACTIVATED'],
    ),
    entity_type: list('incident', 'policy', 'llm_call', 'api_key', 'tenant', 'user'),
    entity_id: upTo(100),
    severity: between(1, 5),
    latency_ms: atLeast(0),
    cost_cents: money,
    metadata: object,
    idempotency_key: text(1, 300),
  },
  costsim_cb_incidents: {
    id,
    circuit_breaker_name: id,
    reason: text(1, 500),
    severity: list('P1', 'P2', 'P3'),
    drift_score: score,
    sample_count: atLeast(0),
    details: object,
    resolution: {
      refused: [
        { resolved: true },
        { resolved_at: AFTER },
        { resolved_by: 'jo' },
        { resolution_notes: 'repaired' },
        { resolved: true, resolved_by: 'jo', resolution_notes: 'repaired' },
      ],
      passed: [{}, resolved, { ...resolved, resolved_by: 'jo', resolution_notes: 'repaired' }],
    },
    resolved_by: within(resolved, 'resolved_by', 0, 128),
    resolution_notes: within(resolved, 'resolution_notes', 0, 1000),
    alert_sent: {
      refused: [{ alert_sent: true }, { alert_sent_at: AFTER }, { alert_response: 'ok' }],
      passed: [{}, told, { ...told, alert_response: '' }],
    },
    alert_response: within(told, 'alert_response', 0, 500),
  },
  costsim_cb_state: {
    name: id,
    incident_id: within(open, 'incident_id', 1, 100),
    disabled_by: within(open, 'disabled_by', 1, 128),
    disabled_reason: within(open, 'disabled_reason', 1, 500),
    consecutive_failures: atLeast(0),
    open: {
      refused: [
        { disabled: true },
        { disabled: true, incident_id: 'i' },
        { disabled: true, opened_at: AT },
        { incident_id: 'i', opened_at: AT },
        { incident_id: 'i' },
        { opened_at: AT },
        { disabled_by: 'jo' },
        { disabled_reason: 'drift' },
        { disabled_until: AFTER },
      ],
      passed: [{}, open, { ...open, disabled_by: 'jo', disabled_reason: 'drift', disabled_until: AFTER }],
    },
  },
  costsim_alert_queue: {
    id,
    circuit_breaker_name: id,
    incident_id: id,
    payload: array,
    alert_type: list('disable', 'enable', 'canary_fail'),
    attempts: atLeast(0),
    max_attempts: atLeast(1),
    lease: {
      refused: [
        { locked_until: AFTER, status: 'failed' },
        { locked_until: AFTER, status: 'sent', sent_at: AT },
      ],
      passed: [{ locked_until: AFTER }, { status: 'failed' }],
    },
    last_error: upTo(500),
    status: {
      refused: ['', 'no such value'],
      passed: [{ status: 'pending' }, { status: 'failed' }, { status: 'sent', sent_at: AT }],
    },
    sent_at: { refused: [{ status: 'sent' }, { sent_at: AT }], passed: [{ status: 'sent', sent_at: AT }, {}] },
  },
  status_history: {
    id,
    entity_id: id,
    entity_type: list('circuit_breaker'),
    old_status: text(1, 50),
    new_status: text(1, 50),
    actor_type: list('system', 'user', 'circuit_breaker'),
    actor_id: text(1, 128),
    reason: upTo(1000),
    metadata: object,
  },
  execution_scopes: {
    tenant_id: id,
    id,
    incident_id: id,
    allowed_actions: texts(20, 1),
    target_agents: texts(100),
    max_cost_cents: { ...money, without: ['ck_execution_scopes_cost'] },
    max_attempts: between(1, 1000),
    cost: {
      refused: ['-0.000001', '50.000001', 'NaN'].map((cost_used_cents) => ({ cost_used_cents })),
      passed: ['0', '50'].map((cost_used_cents) => ({ cost_used_cents })),
    },
    attempts: {
      refused: [{ attempts_used: -1 }, { attempts_used: 2 }, { attempts_used: 3, max_attempts: 2 }],
      passed: [{ attempts_used: 1 }, { attempts_used: 1000, max_attempts: 1000 }],
    },
    intent: text(1, 500),
    status: list('active', 'exhausted', 'expired', 'revoked'),
    created_by: text(1, 128),
    revoked_by: text(1, 128),
    expires_at: { refused: [AT], passed: [AFTER] },
  },
  execution_scope_attempts: {
    tenant_id: id,
    id,
    scope_id: id,
    action: id,
    attempt_number: atLeast(1),
    cost_cents: money,
    parameters: { refused: json({ a: x(65_536) }), passed: json({}, { a: x(65_000) }) },
    idempotency_key: text(1, 200),
    actual_cost_cents: {
      refused: money.refused.map((actual_cost_cents) => ({ actual_cost_cents, settled_at: AT })),
      passed: money.passed.map((actual_cost_cents) => ({ actual_cost_cents, settled_at: AT })),
    },
    settlement: {
      refused: [{ actual_cost_cents: '1' }, { settled_at: AT }],
      passed: [{}, { actual_cost_cents: '1', settled_at: AT }],
    },
  },
  budget_windows: { tenant_id: id, limit_id: id, reserved: money, spent: money },
  budget_reservations: {
    tenant_id: id,
    id,
    run_id: id,
    limit_ids: {
      refused: [
        { limit_ids: arrayOf(), window_starts: arrayOf() },
        { limit_ids: arrayOf(...numbered(5)), window_starts: arrayOf(AT, AT, AT, AT, AT) },
        { limit_ids: arrayOf(['a'], ['b']), window_starts: arrayOf(AT, AT) },
      ],
      passed: [{ limit_ids: arrayOf(...numbered(4)), window_starts: arrayOf(AT, AT, AT, AT) }],
    },
    limit_ids_members: { refused: [arrayOf(null)].map((limit_ids) => ({ limit_ids })), passed: [{}] },
    window_starts: { refused: [arrayOf(), arrayOf(AT, AT), arrayOf([AT])], passed: [arrayOf(AT)] },
    window_starts_members: { refused: [arrayOf(null)].map((window_starts) => ({ window_starts })), passed: [{}] },
    amount: money,
    settled_amount: {
      refused: money.refused.map((settled_amount) => ({ ...settled, settled_amount })),
      passed: money.passed.map((settled_amount) => ({ ...settled, settled_amount })),
    },
    status: {
      refused: [{ status: 'OPEN', closed_at: AFTER }],
      passed: [
        { status: 'RESERVED' },
        settled,
        { status: 'RELEASED', closed_at: AFTER },
        { status: 'EXPIRED', closed_at: AFTER },
      ],
    },
    settled: {
      refused: [
        { ...settled, settled_amount: null },
        { ...settled, status: 'RELEASED' },
      ],
      passed: [settled],
    },
    closed: {
      refused: [{ closed_at: AFTER }, { ...settled, closed_at: null }, { status: 'EXPIRED' }],
      passed: [settled, { status: 'RELEASED', closed_at: AFTER }],
    },
    idempotency_key: text(1, 200),
  },
  controls_evaluation_evidence: {
    tenant_id: id,
    id,
    run_id: id,
    control_set_version: {
      refused: ['', 'a'.repeat(63), 'a'.repeat(65), 'A'.repeat(64), `${'a'.repeat(64)}\n`],
      passed: ['0123456789abcdef'.repeat(4)],
    },
    override_ids_applied: array,
    resolver_version: text(1, 32),
    decision: list('ALLOW', 'WARN', 'BLOCK'),
  },
};

const owned = { tenant_id: 't', id: 'new' };
/** A row of each table that every CHECK lets pass. */
const VALID: Readonly<Record<string, Columns>> = {
  limit_integrity: { ...owned, limit_id: 'l', integrity_status: 'VERIFIED', integrity_score: 1, computed_at: AT },
  decision_records: {
    ...owned,
    decision_type: 'policy',
    decision_source: 'system',
    decision_trigger: 'autonomous',
    decision_outcome: 'none',
    run_id: 'r',
    decided_at: AT,
  },
  provenances: { ...owned, run_id: 'r', created_at: AT },
  ops_events: { ...owned, occurred_at: AT, event_type: 'LLM_CALL_MADE', idempotency_key: 'k' },
  costsim_cb_incidents: { id: 'new', circuit_breaker_name: 'b', timestamp: AT, reason: 'drift', severity: 'P1' },
  costsim_cb_state: { name: 'b', updated_at: AT, created_at: AT },
  costsim_alert_queue: {
    id: 'new',
    payload: '[]',
    alert_type: 'enable',
    circuit_breaker_name: 'b',
    next_attempt_at: AT,
    created_at: AT,
  },
  status_history: {
    id: 'new',
    entity_type: 'circuit_breaker',
    entity_id: 'b',
    new_status: 'disabled',
    actor_type: 'system',
    created_at: AT,
  },
  execution_scopes: {
    ...owned,
    incident_id: 'i',
    allowed_actions: arrayOf('restart'),
    intent: 'repair',
    created_at: AT,
    expires_at: AFTER,
  },
  execution_scope_attempts: {
    ...owned,
    scope_id: 's',
    attempt_number: 1,
    action: 'restart',
    cost_cents: '1',
    executed_at: AT,
  },
  budget_windows: { tenant_id: 't', limit_id: 'l', window_start: AT, reserved: '0', spent: '0', updated_at: AT },
  budget_reservations: {
    ...owned,
    limit_ids: arrayOf('l'),
    window_starts: arrayOf(AT),
    amount: '1',
    status: 'RESERVED',
    idempotency_key: 'k',
    created_at: AT,
    expires_at: AFTER,
  },
  controls_evaluation_evidence: {
    ...owned,
    run_id: 'r',
    control_set_version: 'a'.repeat(64),
    resolver_version: '1',
    decision: 'ALLOW',
    evaluated_at: AT,
  },
};

const row = (table: string, given: Columns = {}): BuiltRow => {
  const valid = VALID[table];
  if (valid === undefined) throw new Error(`no row of ${table}`);
  return { table, row: { ...valid, ...given } };
};
const isColumns = (value: unknown): value is Columns =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date);

const db = useDatabase({
  entities: [...sharedEntities, ...entities],
  migrations: [...sharedMigrations, ...migrations],
});

/** The constraint that refused the row. */
async function refusal(built: BuiltRow): Promise<string> {
  await db.manager().query('SAVEPOINT before_row');
  try {
    await insertRows(db.manager(), built);
    return 'passed';
  } catch (error) {
    if (!(error instanceof QueryFailedError)) throw error;
    const { code, constraint }: { code?: string; constraint?: string } = error.driverError;
    return `${code} ${constraint}`;
  } finally {
    await db.manager().query('ROLLBACK TO SAVEPOINT before_row');
  }
}

describe('CHECK', () => {
  const names = catalogue.flatMap(({ table, checks }) => checks.map(({ name }) => ({ table, name })));

  it('has a case for each one, and no case is without its CHECK', () => {
    const cases = Object.entries(CASES).flatMap(([table, byName]) =>
      Object.keys(byName).map((suffix) => `ck_${table}_${suffix}`),
    );
    expect(cases.sort()).toEqual(names.map(({ name }) => name).sort());
  });

  it.each(names)('$name refuses what lies outside and passes what lies on the bound', async ({ table, name }) => {
    const suffix = name.slice(`ck_${table}_`.length);
    const { refused, passed, without = [] } = CASES[table]?.[suffix] ?? { refused: [], passed: [] };
    for (const other of without) await db.manager().query(`ALTER TABLE ${table} DROP CONSTRAINT ${other}`);
    const built = (value: unknown): BuiltRow => row(table, isColumns(value) ? value : { [suffix]: value });
    expect([refused.length > 0, passed.length > 0]).toEqual([true, true]);
    for (const value of refused) expect([value, await refusal(built(value))]).toEqual([value, `23514 ${name}`]);
    for (const value of passed) {
      const outcome = await refusal(built(value));
      // A missing parent is none of a CHECK's business.
      expect([value, outcome.startsWith('23503') ? 'passed' : outcome]).toEqual([value, 'passed']);
    }
  });
});

describe('keys', () => {
  beforeEach(async () => {
    await insertRows(db.manager(), makeTenant({ id: 't' }));
    await insertRows(
      db.manager(),
      makeLimit('t', { id: 'l' }),
      makeLimit('t', { id: 'l-2' }),
      makeRun('t', { id: 'r' }),
    );
    await insertRows(
      db.manager(),
      row('execution_scopes', { id: 's' }),
      row('costsim_cb_incidents', { id: 'i', circuit_breaker_name: 'other' }),
    );
  });

  const budget = { decision_type: 'budget_enforcement' };
  it.each<readonly [string, string, Columns, Columns]>([
    ['uq_limit_integrity_limit', 'limit_integrity', {}, { limit_id: 'l-2' }],
    ['uq_decision_budget_run', 'decision_records', budget, { decision_type: 'budget' }],
    ['uq_ops_events_idempotency', 'ops_events', {}, { tenant_id: 'u' }],
    ['uq_cb_incident_open', 'costsim_cb_incidents', {}, { resolved: true, resolved_at: AFTER }],
    ['uq_execution_scope_attempts_number', 'execution_scope_attempts', {}, { attempt_number: 2 }],
    ['uq_budget_reservations_key', 'budget_reservations', {}, { idempotency_key: 'l' }],
    [
      'uq_controls_evaluation_evidence_set',
      'controls_evaluation_evidence',
      {},
      { control_set_version: 'b'.repeat(64) },
    ],
  ])('%s refuses a second row, and only such a one', async (name, table, given, other) => {
    await insertRows(db.manager(), row(table, { ...given, id: 'first' }));
    expect(await refusal(row(table, { ...given, id: 'second' }))).toBe(`23505 ${name}`);
    expect(await refusal(row(table, { ...given, ...other, id: 'second' }))).toBe('passed');
  });

  it('uq_execution_scope_attempts_key refuses a second attempt under a key, and none without one', async () => {
    const attempt = (attempt_number: number, idempotency_key: string | null): BuiltRow =>
      row('execution_scope_attempts', { id: `a-${attempt_number}`, attempt_number, idempotency_key });
    await insertRows(db.manager(), attempt(1, 'k'), attempt(2, null));
    expect(await refusal(attempt(3, 'k'))).toBe('23505 uq_execution_scope_attempts_key');
    expect(await refusal(attempt(3, null))).toBe('passed');
  });

  it('names the row that a foreign key misses, and keeps a parent that has children', async () => {
    const children: readonly (readonly [string, string, Columns])[] = [
      ['limit_integrity', 'fk_limit_integrity_limit', { limit_id: 'none' }],
      ['decision_records', 'fk_decision_records_run', { run_id: 'none' }],
      ['provenances', 'fk_provenances_run', { run_id: 'none' }],
      ['costsim_cb_state', 'fk_costsim_cb_state_incident', { ...open, incident_id: 'none' }],
      ['costsim_alert_queue', 'fk_costsim_alert_queue_incident', { incident_id: 'none' }],
      ['execution_scopes', 'fk_execution_scopes_tenant', { tenant_id: 'none' }],
      ['execution_scope_attempts', 'fk_execution_scope_attempts_scope', { scope_id: 'none' }],
      ['budget_windows', 'fk_budget_windows_limit', { limit_id: 'none' }],
      ['budget_reservations', 'fk_budget_reservations_tenant', { tenant_id: 'none' }],
      ['controls_evaluation_evidence', 'fk_controls_evaluation_evidence_run', { run_id: 'none' }],
    ];
    for (const [table, name, given] of children)
      expect([name, await refusal(row(table, given))]).toEqual([name, `23503 ${name}`]);
    // No tenant and no parent: what happened is on record whoever it happened to.
    expect(await refusal(row('ops_events', { tenant_id: 'none' }))).toBe('passed');
  });

  it.each<readonly [string, string, Columns, string, string]>([
    ['limit_integrity', 'fk_limit_integrity_limit', {}, 'limits', 'l'],
    ['decision_records', 'fk_decision_records_run', {}, 'runs', 'r'],
    ['provenances', 'fk_provenances_run', {}, 'runs', 'r'],
    ['costsim_cb_state', 'fk_costsim_cb_state_incident', open, 'costsim_cb_incidents', 'i'],
    ['execution_scope_attempts', 'fk_execution_scope_attempts_scope', {}, 'execution_scopes', 's'],
    ['budget_windows', 'fk_budget_windows_limit', {}, 'limits', 'l'],
    ['controls_evaluation_evidence', 'fk_controls_evaluation_evidence_run', {}, 'runs', 'r'],
  ])('%s keeps its parent: %s', async (table, name, given, parent, parentId) => {
    await insertRows(db.manager(), row(table, given));
    await expect(db.manager().query(`DELETE FROM ${parent} WHERE id = $1`, [parentId])).rejects.toMatchObject({
      driverError: { code: '23503', constraint: name },
    });
  });

  it('an alert outlives its incident', async () => {
    await insertRows(db.manager(), row('costsim_alert_queue', { incident_id: 'i' }));
    await db.manager().query(`DELETE FROM costsim_cb_incidents WHERE id = 'i'`);
    expect(await db.manager().query('SELECT id, incident_id FROM costsim_alert_queue')).toEqual([
      { id: 'new', incident_id: null },
    ]);
  });
});
