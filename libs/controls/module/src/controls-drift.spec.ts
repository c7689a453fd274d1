import { catalogue, entities, migrations } from '@hoc/controls/models';
import { createHoc, type HocModule, type HocServices } from '@hoc/shared/spine';
import { useEmptyDatabase } from '@hoc/testkit';

const db = useEmptyDatabase({ entities: [], migrations: [] });
/** The tables of the package alone. */
const tablesModule: HocModule<'controls', object, HocServices> = {
  name: 'controls',
  requires: [],
  entities,
  migrations,
  catalogue,
  compose: () => ({}),
  services: () => ({ close: () => Promise.resolve() }),
};
const connect = () => createHoc({ connection: { url: db.url(), applicationName: 'drift' }, modules: [tablesModule] });
let hoc: ReturnType<typeof connect>;
const names = migrations.map(({ name }) => name);
const found = async (): Promise<string[]> =>
  (await hoc.checkDrift()).items.map(({ kind, table, object }) => [kind, table, object].join(' '));
const tables = async (): Promise<string[]> => {
  const rows: { name: string }[] = await db
    .dataSource()
    .query(`SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public' ORDER BY 1`);
  return rows.map(({ name }) => name);
};

/** What, how, and what the check says of it. */
const CHANGES: readonly (readonly [string, string, ...string[]])[] = [
  ['a missing index', 'DROP INDEX ix_alert_queue_ready', 'missing_index costsim_alert_queue ix_alert_queue_ready'],
  [
    'a partial predicate',
    `DROP INDEX uq_cb_incident_open;
       CREATE UNIQUE INDEX uq_cb_incident_open ON costsim_cb_incidents (circuit_breaker_name) WHERE resolved`,
    'index_definition costsim_cb_incidents uq_cb_incident_open',
  ],
  [
    'a unique index that is none any more',
    `DROP INDEX uq_decision_budget_run;
       CREATE INDEX uq_decision_budget_run ON decision_records (tenant_id, run_id) WHERE decision_type = 'budget_enforcement'`,
    'index_definition decision_records uq_decision_budget_run',
  ],
  [
    'a CHECK',
    'ALTER TABLE costsim_cb_state DROP CONSTRAINT ck_costsim_cb_state_open',
    'missing_check costsim_cb_state ck_costsim_cb_state_open',
  ],
  [
    'a value list',
    `ALTER TABLE execution_scopes DROP CONSTRAINT ck_execution_scopes_status,
       ADD CONSTRAINT ck_execution_scopes_status CHECK (status IN ('active', 'exhausted', 'expired', 'revoked', 'lost'))`,
    'check_definition execution_scopes ck_execution_scopes_status',
  ],
  [
    'a foreign key',
    `ALTER TABLE costsim_alert_queue DROP CONSTRAINT fk_costsim_alert_queue_incident,
       ADD CONSTRAINT fk_costsim_alert_queue_incident FOREIGN KEY (incident_id) REFERENCES costsim_cb_incidents (id) ON DELETE CASCADE`,
    'foreign_key_definition costsim_alert_queue fk_costsim_alert_queue_incident',
  ],
  ['a type', 'ALTER TABLE budget_windows ALTER spent TYPE numeric', 'type budget_windows spent'],
  [
    'a type of an array',
    'ALTER TABLE budget_reservations ALTER window_starts TYPE timestamp[]',
    'type budget_reservations window_starts',
    'check_definition budget_reservations ck_budget_reservations_window_starts_members',
  ],
  [
    'a default',
    'ALTER TABLE execution_scopes ALTER max_cost_cents SET DEFAULT 51',
    'default execution_scopes max_cost_cents',
  ],
  [
    'nullability',
    'ALTER TABLE ops_events ALTER idempotency_key DROP NOT NULL',
    'nullability ops_events idempotency_key',
  ],
  [
    'a collation',
    'ALTER TABLE limit_integrity ALTER limit_id TYPE text COLLATE "default"',
    'collation limit_integrity limit_id',
  ],
  ['a column', 'ALTER TABLE status_history ADD COLUMN note text', 'extra_column status_history note'],
  [
    'a column of a later migration',
    'ALTER TABLE execution_scope_attempts DROP COLUMN settled_at',
    'missing_column execution_scope_attempts settled_at',
    'missing_check execution_scope_attempts ck_execution_scope_attempts_settlement',
  ],
];

// A describe of its own: its hooks end before the database looks for connections that were left open.
describe('the tables of the package', () => {
  beforeAll(async () => {
    hoc = connect();
    const before = await found();
    for (const name of names) expect(before).toContain(`pending_migration  ${name}`);
    for (const { table } of catalogue) expect(before).toContain(`missing_table ${table} ${table}`);
    await hoc.migrate();
  });
  afterAll(() => hoc.close());

  it('after the migrations, the tables of the package are what its entities and its catalogue say', async () => {
    expect(await hoc.checkDrift()).toEqual({ ok: true, items: [] });
    expect(await tables()).toEqual(expect.arrayContaining(catalogue.map(({ table }) => table)));
  });

  it('what was changed by hand is named, all of it and nothing else', async () => {
    for (const [, change] of CHANGES) await db.dataSource().query(change);
    try {
      expect((await found()).sort()).toEqual(CHANGES.flatMap(([, , ...expected]) => expected).sort());
    } finally {
      await db.dataSource().query('DROP SCHEMA public CASCADE; CREATE SCHEMA public');
      await hoc.migrate();
    }
    expect(await found()).toEqual([]);
  });

  it('its migrations go down to the shared tables alone, one by one, and up to the same catalogue again', async () => {
    const all = await tables();
    for (const name of [...names].reverse())
      expect(await hoc.migrate({ direction: 'down' })).toEqual({ applied: [name] });
    const own = new Set(catalogue.map(({ table }) => table));
    expect(await tables()).toEqual(all.filter((table) => !own.has(table)));
    expect(await hoc.migrate()).toEqual({ applied: names });
    expect(await tables()).toEqual(all);
    expect(await found()).toEqual([]);
  });
});
