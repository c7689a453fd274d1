import {
  type CatalogueDeclaration,
  entities as sharedEntities,
  HOC_MIGRATION_RANGES,
  migrationNumber,
  migrations as sharedMigrations,
} from '@hoc/shared/models';
import { useDatabase, useEmptyDatabase } from '@hoc/testkit';
import type { EntityManager } from 'typeorm';
import { catalogue, entities, migrations, SYSTEM_WIDE_INDEXES } from './index';

const content = {
  entities: [...sharedEntities, ...entities],
  migrations: [...sharedMigrations, ...migrations],
};
const tables = catalogue.map(({ table }) => table);
/** Reference tables on Citus: the breaker is one for all tenants (spec controls B.3). */
const WITHOUT_TENANT = ['costsim_cb_incidents', 'costsim_cb_state', 'costsim_alert_queue', 'status_history'];
const declarationOf = (table: string): CatalogueDeclaration => {
  const found = catalogue.find((declaration) => declaration.table === table);
  if (!found) throw new Error(`no declaration of ${table}`);
  return found;
};

describe('migrations', () => {
  const db = useEmptyDatabase(content);

  it('go up after the shared ones, and down to exactly what each had found', async () => {
    const source = db.dataSource();
    await source.runMigrations();
    const whole = await objects(source.manager);
    let above = whole;
    for (const { name } of [...migrations].reverse()) {
      expect(await source.query('SELECT name FROM hoc_migrations ORDER BY id DESC LIMIT 1')).toEqual([{ name }]);
      await source.undoLastMigration();
      const below = await objects(source.manager);
      // A `down` takes what its `up` made, and nothing of the stage below.
      expect([name, below.filter((object) => !above.includes(object))]).toEqual([name, []]);
      expect([name, above.length > below.length]).toEqual([name, true]);
      above = below;
    }
    expect(whole.filter((object) => !above.includes(object))).toEqual(
      whole.filter((object) => tables.some((table) => object.startsWith(`${table} `))),
    );
    await source.runMigrations();
    expect(await objects(source.manager)).toEqual(whole);
  });

  it('are named as their file and number, in number order, in the range of the package', () => {
    const names = migrations.map((migration) => migration.name);
    expect(migrations.map((Migration) => Reflect.get(new Migration(), 'name'))).toEqual(names);
    const [range] = HOC_MIGRATION_RANGES.filter((each) => each.package === '@hoc/controls');
    expect(names.map(migrationNumber)).toEqual(names.map((_name, n) => (range?.from ?? 0) + n));
    for (const name of names) expect(name).toMatch(/^Controls[A-Z][A-Za-z]+\d{13}$/);
  });
});

describe('the live catalogue of the package', () => {
  const db = useDatabase(content);
  const rows = async <T>(sql: string): Promise<T[]> => db.manager().query(sql, [tables]);
  const liveColumns = () =>
    rows<{ table: string; name: string; type: string; collation: string | null; indexed: boolean; initial: string }>(
      `SELECT c.relname AS table, a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type, l.collname AS collation,
         pg_get_expr(d.adbin, d.adrelid) AS initial,
         EXISTS (SELECT FROM pg_index x WHERE x.indrelid = c.oid AND a.attnum = ANY (x.indkey::int2[])) AS indexed
       FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
       LEFT JOIN pg_collation l ON l.oid = a.attcollation LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
       WHERE c.relname = ANY ($1) AND c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace`,
    );
  const foreignKeys = () =>
    rows<{ name: string; table: string; target: string; columns: string[]; targetColumns: string[]; onDelete: string }>(
      `SELECT k.conname AS name, k.conrelid::regclass::text AS table, k.confrelid::regclass::text AS target, k.confdeltype AS "onDelete",
         ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY n(n, o)
               JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = n.n ORDER BY o) AS columns,
         ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY n(n, o)
               JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = n.n ORDER BY o) AS "targetColumns"
       FROM pg_constraint k WHERE k.contype = 'f' AND k.conrelid::regclass::text = ANY ($1)`,
    );
  const indexes = () =>
    rows<{ table: string; index: string; columns: string[]; unique: boolean; partial: string | null; says: string }>(
      `SELECT t.relname AS table, i.relname AS index, x.indisunique AS unique, pg_get_expr(x.indpred, x.indrelid) AS partial,
         obj_description(i.oid, 'pg_class') AS says,
         ARRAY(SELECT coalesce(a.attname::text, '') FROM unnest(x.indkey::int2[]) WITH ORDINALITY k(n, o)
               LEFT JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.n ORDER BY o) AS columns
       FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid
       WHERE t.relname = ANY ($1) AND t.relnamespace = 'public'::regnamespace`,
    );

  it('has one table per entity, each declared once, a parent before its children', () => {
    const named = db
      .dataSource()
      .entityMetadatas.filter(({ target }) => entities.some((entity) => entity === target))
      .map(({ tableName }) => tableName);
    expect(named).toEqual(tables);
    expect(new Set(tables).size).toBe(13);
    for (const [n, { table, foreignKeys: keys }] of catalogue.entries()) {
      for (const { definition } of keys) {
        const target = /REFERENCES (\w+)/.exec(definition)?.[1] ?? '';
        expect([table, target, tables.indexOf(target) < n]).toEqual([table, target, true]);
      }
      const metadata = db.dataSource().getMetadata(table);
      expect([metadata.synchronize, metadata.relations]).toEqual([false, []]);
      for (const column of metadata.columns) {
        expect(typeof column.type).toBe('string');
        expect(column.givenDatabaseName).toBe(column.databaseName);
      }
    }
  });

  it('leads with tenant_id in every key and index of a tenant-owned table, system-wide calls apart, which say so', async () => {
    const columns = await liveColumns();
    const owned = tables.filter((table) => columns.some((each) => each.table === table && each.name === 'tenant_id'));
    expect(tables.filter((table) => !owned.includes(table))).toEqual(WITHOUT_TENANT);
    const apart = (await indexes()).filter(
      ({ table, columns: [first] }) => owned.includes(table) && first !== 'tenant_id',
    );
    const byIndex = (a: { index: string }, b: { index: string }): number => (a.index < b.index ? -1 : 1);
    expect(apart.map(({ table, index, says }) => ({ table, index, says })).sort(byIndex)).toEqual(
      SYSTEM_WIDE_INDEXES.map(({ table, index, call }) => ({ table, index, says: `system-wide: ${call}` })).sort(
        byIndex,
      ),
    );
    expect(apart.filter(({ unique }) => unique)).toEqual([]);
    expect(SYSTEM_WIDE_INDEXES).toEqual([
      { table: 'execution_scopes', index: 'ix_execution_scopes_expiry', call: 'cleanupExpired' },
      { table: 'budget_reservations', index: 'ix_budget_reservations_expiry', call: 'expireReservations' },
    ]);
  });

  it('keys a tenant-owned table by tenant and id, and one without a tenant by its own id', () => {
    for (const table of tables) {
      const key = db.dataSource().getMetadata(table).primaryColumns;
      const names = key.map(({ databaseName }) => databaseName);
      const single = table === 'costsim_cb_state' ? ['name'] : ['id'];
      const owned = table === 'budget_windows' ? ['tenant_id', 'limit_id', 'window_start'] : ['tenant_id', 'id'];
      expect([table, names]).toEqual([table, WITHOUT_TENANT.includes(table) ? single : owned]);
      expect(key.map(({ primaryKeyConstraintName }) => primaryKeyConstraintName)).toEqual(
        names.map(() => `pk_${table}`),
      );
    }
  });

  it('carries tenant_id on both sides of a foreign key between tenant-owned tables, and never cascades', async () => {
    const keys = await foreignKeys();
    expect(keys.map(({ name }) => name).sort()).toEqual(
      catalogue.flatMap(({ foreignKeys: declared }) => declared.map(({ name }) => name)).sort(),
    );
    for (const { name, table, target, columns, targetColumns, onDelete } of keys) {
      const shared = WITHOUT_TENANT.includes(table);
      expect([name, WITHOUT_TENANT.includes(target)]).toEqual([name, shared]);
      expect([name, columns[0], targetColumns[0]]).toEqual(
        shared ? [name, 'incident_id', 'id'] : [name, 'tenant_id', target === 'tenants' ? 'id' : 'tenant_id'],
      );
      // r = RESTRICT, n = SET NULL: only an alert outlives its incident.
      expect([name, onDelete]).toEqual([name, table === 'costsim_alert_queue' ? 'n' : 'r']);
    }
    // The others reach the tenant through a parent that carries it, or take ids without a parent.
    const direct = keys.filter(({ target }) => target === 'tenants').map(({ table }) => table);
    expect(tables.filter((table) => !WITHOUT_TENANT.includes(table) && !direct.includes(table))).toEqual([
      'provenances',
      'ops_events',
      'execution_scope_attempts',
      'budget_windows',
    ]);
  });

  it('has an index behind every foreign key', async () => {
    const all = await indexes();
    for (const { name, table, columns } of await foreignKeys()) {
      const last = columns.at(-1);
      const behind = all.filter(
        (index) =>
          index.table === table &&
          columns.every((column, position) => index.columns[position] === column) &&
          (index.partial === null || index.partial === `(${last} IS NOT NULL)`),
      );
      expect([name, behind.length > 0]).toEqual([name, true]);
    }
  });

  it('holds exactly the value list of each enum in its CHECK', async () => {
    const found = await rows<{ name: string; definition: string }>(
      `SELECT conname AS name, pg_get_constraintdef(oid) AS definition FROM pg_constraint
       WHERE contype = 'c' AND conrelid::regclass::text = ANY ($1)`,
    );
    const lists = catalogue.flatMap(({ checks }) => checks.filter(({ oneOf }) => oneOf !== undefined));
    expect(lists.length).toBeGreaterThanOrEqual(17);
    for (const { name, oneOf } of lists) {
      const definition = found.find((each) => each.name === name)?.definition ?? '';
      const admitted = [...definition.matchAll(/'([^']+)'::text/g)].map((match) => match[1]);
      expect({ name, admitted }).toEqual({ name, admitted: [...(oneOf?.values ?? [])] });
    }
  });

  it('holds money as numeric(20,6), and a floating point only where a score or a duration is', async () => {
    const columns = await liveColumns();
    const floats = columns.filter(({ type }) => /double|real/.test(type)).map(({ table, name }) => `${table}.${name}`);
    expect(floats.sort()).toEqual([
      'costsim_cb_incidents.drift_score',
      'limit_integrity.integrity_score',
      'provenances.duration_ms',
    ]);
    const money = columns.filter(({ name }) => /_cents$|cost|amount|^reserved$|^spent$/.test(name));
    expect(money.map(({ table, name, type }) => [`${table}.${name}`, type]).sort()).toEqual(
      [
        'budget_reservations.amount',
        'budget_reservations.settled_amount',
        'budget_windows.reserved',
        'budget_windows.spent',
        'execution_scope_attempts.actual_cost_cents',
        'execution_scope_attempts.cost_cents',
        'execution_scopes.cost_used_cents',
        'execution_scopes.max_cost_cents',
        'ops_events.cost_cents',
      ].map((name) => [name, 'numeric(20,6)']),
    );
  });

  it('collates identifiers, keys, value lists and indexed texts "C", and no other text; their length has a bound', async () => {
    for (const { table, name, type, collation, indexed } of await liveColumns()) {
      if (type !== 'text') continue;
      const { checks } = declarationOf(table);
      const listed = checks.some(({ oneOf }) => oneOf?.column === name);
      const identifier = /^id$|_id$|_key$/.test(name);
      expect([table, name, collation]).toEqual([table, name, identifier || indexed || listed ? 'C' : 'default']);
      if (identifier)
        expect([table, name, checks.find((check) => check.name === `ck_${table}_${name}`)?.expression]).toEqual([
          table,
          name,
          expect.stringContaining(`char_length(${name})`),
        ]);
    }
  });

  it('has no default on an instant, no instant without its zone, and no trigger', async () => {
    const columns = await liveColumns();
    const instants = columns.filter(({ type }) => type.startsWith('timestamp with time zone'));
    expect(instants.length).toBeGreaterThan(25);
    expect(instants.filter(({ initial }) => initial !== null)).toEqual([]);
    expect(columns.filter(({ type }) => /without time zone/.test(type))).toEqual([]);
    expect(
      await rows('SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgrelid::regclass::text = ANY ($1)'),
    ).toEqual([]);
  });

  it('bounds every jsonb, and leaves room on the pages whose rows change most', async () => {
    for (const { table, name, type } of await liveColumns())
      if (type === 'jsonb')
        expect([table, name, declarationOf(table).checks.find((each) => each.name === `ck_${table}_${name}`)]).toEqual([
          table,
          name,
          expect.objectContaining({
            expression: expect.stringContaining(`octet_length(${name}::text) <= 65536`) as string,
          }),
        ]);
    expect(
      await rows(
        `SELECT relname AS table, reloptions AS storage FROM pg_class WHERE relname = ANY ($1) AND reloptions IS NOT NULL`,
      ),
    ).toEqual([{ table: 'budget_windows', storage: ['fillfactor=50'] }]);
    expect(catalogue.filter(({ fillfactor }) => fillfactor !== null).map(({ table }) => table)).toEqual([
      'budget_windows',
    ]);
  });

  it('names every object after its table, or as the specification does, and is frozen as a declaration', () => {
    const given = /^(uq_decision_budget_run|(ix|uq)_cb_(incidents?|state)_[a-z]+|ix_alert_queue_[a-z]+)$/;
    for (const { table, checks, foreignKeys: keys, indexes: declared } of catalogue) {
      for (const { name } of checks) expect(name).toMatch(new RegExp(`^ck_${table}_[a-z_]+$`));
      for (const { name } of keys) expect(name).toMatch(new RegExp(`^fk_${table}_[a-z_]+$`));
      for (const { name, unique } of declared)
        if (!given.test(name)) expect(name).toMatch(new RegExp(`^${unique ? 'uq' : 'ix'}_${table}_[a-z_]+$`));
      const names = [...checks, ...keys, ...declared].map(({ name }) => name);
      expect(new Set(names).size).toBe(names.length);
      for (const name of names) expect(name.length).toBeLessThanOrEqual(63);
    }
    expect(Object.isFrozen(catalogue) && catalogue.every((entry) => Object.isFrozen(entry.checks[0]))).toBe(true);
  });
});

/** Tables, columns, constraints and indexes of the schema, each under its table's name. */
async function objects(manager: EntityManager): Promise<string[]> {
  const found: { line: string }[] = await manager.query(
    `WITH tables AS (SELECT oid, relname, reloptions FROM pg_class
                     WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname <> 'hoc_migrations')
     SELECT concat_ws(' ', relname, reloptions::text) AS line FROM tables
     UNION ALL
     SELECT concat_ws(' ', relname, attname, format_type(atttypid, atttypmod), attnotnull, pg_get_expr(adbin, adrelid))
     FROM tables t JOIN pg_attribute ON attrelid = t.oid AND attnum > 0 AND NOT attisdropped
     LEFT JOIN pg_attrdef ON adrelid = t.oid AND adnum = attnum
     UNION ALL
     SELECT concat_ws(' ', relname, conname, pg_get_constraintdef(k.oid)) FROM tables t JOIN pg_constraint k ON conrelid = t.oid
     UNION ALL
     SELECT concat_ws(' ', relname, pg_get_indexdef(indexrelid), obj_description(indexrelid, 'pg_class'))
     FROM tables t JOIN pg_index ON indrelid = t.oid
     UNION ALL
     SELECT concat_ws(' ', 'function', proname) FROM pg_proc WHERE pronamespace = 'public'::regnamespace`,
  );
  return found.map(({ line }) => (line.includes(' ') ? line : `${line} `)).sort();
}
