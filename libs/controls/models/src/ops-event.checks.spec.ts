import { entities as sharedEntities, migrations as sharedMigrations } from '@hoc/shared/models';
import { type BuiltRow, insertRows, useDatabase } from '@hoc/testkit';
import { QueryFailedError } from 'typeorm';
import { entities, migrations, opsEventCatalogue } from './index';

type Columns = Readonly<Record<string, unknown>>;
/** What one CHECK refuses, and what on its bounds passes. */
interface Case {
  readonly refused: readonly Columns[];
  readonly passed: readonly Columns[];
}

const x = (length: number): string => 'x'.repeat(length);
const text = (column: string, max: number): Case => ({
  refused: [{ [column]: '' }, { [column]: x(max + 1) }],
  passed: [{ [column]: 'x' }, { [column]: 'é'.repeat(max) }],
});
const each = (column: string, refused: readonly unknown[], passed: readonly unknown[]): Case => ({
  refused: refused.map((value) => ({ [column]: value })),
  passed: passed.map((value) => ({ [column]: value })),
});

/** By what follows `ck_ops_events_`. Spelled out: the lists and bounds are those of the specification. */
const CASES: Readonly<Record<string, Case>> = {
  tenant_id: text('tenant_id', 100),
  id: text('id', 100),
  idempotency_key: text('idempotency_key', 300),
  entity_id: each('entity_id', [x(101)], [null, '', 'é'.repeat(100)]),
  event_type: each(
    'event_type',
    ['', 'infra_limit_hit', 'OTHER'],
    [
      'API_CALL_RECEIVED',
      'INCIDENT_CREATED',
      'POLICY_EVALUATED',
      'POLICY_BLOCKED',
      'LLM_CALL_MADE',
      'LLM_CALL_FAILED',
      'INFRA_LIMIT_HIT',
      'FREEZE_ACTIVATED',
    ],
  ),
  entity_type: each(
    'entity_type',
    ['', 'LLM_CALL', 'run'],
    [null, 'incident', 'policy', 'llm_call', 'api_key', 'tenant', 'user'],
  ),
  severity: each('severity', [0, 6, -1], [null, 1, 5]),
  latency_ms: each('latency_ms', [-1], [null, 0, 2_147_483_647]),
  cost_cents: each('cost_cents', ['-0.000001', 'NaN'], [null, '0', '99999999999999.999999']),
  metadata: each('metadata', ['[]', '"x"', 'null', `{"a":"${x(65_528)}"}`], ['{}', `{"a":"${x(65_527)}"}`]),
};

const row = (given: Columns): BuiltRow => ({
  table: 'ops_events',
  row: {
    tenant_id: 't',
    id: 'e',
    occurred_at: new Date('2026-03-10T12:00:00.000Z'),
    event_type: 'LLM_CALL_MADE',
    idempotency_key: 'k',
    ...given,
  },
});

describe('ops_events', () => {
  const db = useDatabase({
    entities: [...sharedEntities, ...entities],
    migrations: [...sharedMigrations, ...migrations],
  });
  const names = opsEventCatalogue.checks.map(({ name }) => name);

  it('every CHECK has a case, and no case is without its CHECK', () => {
    const cases = Object.keys(CASES).map((suffix) => `ck_ops_events_${suffix}`);
    expect(cases.sort()).toEqual([...names].sort());
  });

  it.each(names)('%s refuses what lies outside and passes what lies on the bound', async (name) => {
    const { refused, passed } = CASES[name.slice('ck_ops_events_'.length)] ?? { refused: [], passed: [] };
    expect(refused.length).toBeGreaterThan(0);
    for (const given of refused) expect([given, await insert(given)]).toEqual([given, `23514 ${name}`]);
    for (const given of passed) expect([given, await insert(given)]).toEqual([given, 'passed']);
  });

  it('a tenant has one event a key, another tenant its own; nobody needs a parent', async () => {
    await insertRows(db.manager(), row({}), row({ tenant_id: 't2' }), row({ id: 'e2', idempotency_key: 'K' }));
    expect(await insert({ id: 'e3' })).toBe('23505 uq_ops_events_idempotency');
    expect(await insert({ idempotency_key: 'k2' })).toBe('23505 pk_ops_events');
    expect(await db.manager().query('SELECT DISTINCT metadata FROM ops_events')).toEqual([{ metadata: {} }]);
  });

  /** What refused the row. */
  async function insert(given: Columns): Promise<string> {
    await db.manager().query('SAVEPOINT before_row');
    try {
      await insertRows(db.manager(), row(given));
      return 'passed';
    } catch (error) {
      if (!(error instanceof QueryFailedError)) throw error;
      const { code, constraint }: { code?: string; constraint?: string } = error.driverError;
      return `${code} ${constraint}`;
    } finally {
      await db.manager().query('ROLLBACK TO SAVEPOINT before_row');
    }
  }
});
