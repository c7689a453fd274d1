import { useDatabase, useEmptyDatabase } from '@hoc/testkit';
import type { EntityManager, EntityMetadata } from 'typeorm';
import { type CatalogueDeclaration, catalogue, entities, migrations, SYSTEM_WIDE_INDEXES } from './index';

const content = { entities, migrations };
const of = (table: string): CatalogueDeclaration => {
  const found = catalogue.find((declaration) => declaration.table === table);
  if (!found) throw new Error(`no declaration of ${table}`);
  return found;
};

describe('migrations', () => {
  const db = useEmptyDatabase(content);

  it('go up on an empty database, down to an empty catalogue one by one, and up to the same catalogue', async () => {
    const { manager } = db.dataSource();
    const steps: string[][] = [];
    await db.dataSource().runMigrations();
    const whole = await manifest(manager, 'public');
    for (const name of migrations.map((migration) => migration.name).reverse()) {
      steps.push(await manifest(manager, 'public'));
      expect(await manager.query('SELECT name FROM hoc_migrations ORDER BY id DESC LIMIT 1')).toEqual([{ name }]);
      await db.dataSource().undoLastMigration();
    }
    expect(await manifest(manager, 'public')).toEqual([]);
    // A `down` takes only what its `up` made: each stage is contained in the one above it.
    for (const [stage, below] of steps.slice(1).entries()) expect(steps[stage]).toEqual(expect.arrayContaining(below));
    await db.dataSource().runMigrations();
    expect(await manifest(manager, 'public')).toEqual(whole);
  });

  it('are named as their file and number, in number order', () => {
    const names = migrations.map((migration) => migration.name);
    expect(migrations.map((Migration) => new Migration().name)).toEqual(names);
    expect([...names].sort((a, b) => a.slice(-13).localeCompare(b.slice(-13)))).toEqual(names);
    for (const name of names) expect(name).toMatch(/^Shared[A-Z][A-Za-z]+17000000000\d\d$/);
  });
});

describe('the live catalogue', () => {
  const db = useDatabase(content);

  it('is what entity metadata and the declarations describe, and nothing else', async () => {
    const live = await manifest(db.manager(), 'public');
    await buildTwin(db.manager());
    const twin = await manifest(db.manager(), 'twin');
    expect(twin.length).toBeGreaterThan(400);
    expect(live).toEqual(twin);
  });

  it.each([
    ['a column', 'ALTER TABLE runs ADD COLUMN stray text'],
    ['a default', 'ALTER TABLE runs ALTER COLUMN created_at SET DEFAULT now()'],
    ['a type', 'ALTER TABLE limit_breaches ALTER COLUMN value_at_breach TYPE double precision'],
    ['a collation', 'ALTER TABLE tenants ALTER COLUMN slug TYPE text COLLATE "default"'],
    ['a CHECK', 'ALTER TABLE tenants DROP CONSTRAINT ck_tenants_plan'],
    ['an index', 'DROP INDEX ix_runs_tenant_risk_rank'],
    ['a foreign key', 'ALTER TABLE limit_breaches DROP CONSTRAINT fk_limit_breaches_run'],
    ['a trigger', 'DROP TRIGGER worker_runs_immutable_guard ON worker_runs'],
    [
      'a function',
      `CREATE OR REPLACE FUNCTION hoc_worker_runs_guard() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'`,
    ],
    ['a storage parameter', 'ALTER TABLE cus_usage_daily RESET (fillfactor)'],
  ])('differs from the description when %s is changed by hand', async (_, sql) => {
    await db.manager().query(sql);
    const live = await manifest(db.manager(), 'public');
    await buildTwin(db.manager());
    expect(live).not.toEqual(await manifest(db.manager(), 'twin'));
  });

  it('holds exactly the value list of each enum in its CHECK', async () => {
    for (const { table, checks } of catalogue)
      for (const { name, oneOf } of checks) {
        if (!oneOf) continue;
        const [row] = await rows<{ definition: string }>(
          'SELECT pg_get_constraintdef(oid) AS definition FROM pg_constraint WHERE conname = $1 AND conrelid = $2::regclass',
          [name, table],
        );
        const admitted = [...(row?.definition ?? '').matchAll(/'([^']+)'::text/g)].map((match) => match[1]);
        expect({ name, admitted }).toEqual({ name, admitted: [...oneOf.values] });
      }
  });

  it('leads with tenant_id in every key and index of a tenant-owned table, system-wide calls apart', async () => {
    const listed = new Set(SYSTEM_WIDE_INDEXES.map((entry) => entry.index));
    const offenders = await rows<{ name: string; unique: boolean }>(
      `SELECT i.relname AS name, x.indisunique AS unique FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
       JOIN pg_attribute t ON t.attrelid = x.indrelid AND t.attname = 'tenant_id'
       WHERE i.relnamespace = 'public'::regnamespace AND x.indkey[0] <> t.attnum`,
    );
    expect(offenders.map(({ name }) => name).sort()).toEqual([...listed].sort());
    expect(offenders.filter(({ unique }) => unique)).toEqual([]);
  });

  it('lists the system-wide indexes, each with its call', () => {
    expect(SYSTEM_WIDE_INDEXES).toEqual([
      { table: 'worker_runs', index: 'ix_worker_runs_open', call: 'detectOrphanedRuns, recoverOrphanedRuns' },
      { table: 'worker_runs', index: 'ix_worker_runs_crashed', call: 'getCrashRecoverySummary' },
      { table: 'incidents', index: 'ix_incidents_created', call: 'getLastIncident of integrations' },
      { table: 'limit_overrides', index: 'ix_limit_overrides_due_all', call: 'detectTenantsWithDueOverrides' },
      {
        table: 'limit_overrides',
        index: 'ix_limit_overrides_expiry_all',
        call: 'expireOverrides, detectTenantsWithDueOverrides',
      },
    ]);
  });

  it('carries tenant_id on both sides of a foreign key between tenant-owned tables, and never cascades', async () => {
    const keys = await foreignKeys();
    expect(keys.length).toBe(catalogue.flatMap((declaration) => declaration.foreignKeys).length);
    for (const { name, target, columns, targetColumns, onDelete } of keys) {
      expect([name, columns[0]]).toEqual([name, 'tenant_id']);
      expect([name, targetColumns[0]]).toEqual([name, target === 'tenants' ? 'id' : 'tenant_id']);
      // r = RESTRICT, n = SET NULL (of the one column that isn't tenant_id)
      expect([name, onDelete]).toEqual([name, target === 'tenants' ? 'r' : expect.stringMatching(/^[rn]$/)]);
    }
  });

  it('has an index behind every foreign key', async () => {
    const indexes = await rows<{ table: string; columns: string[]; predicate: string | null }>(
      `SELECT x.indrelid::regclass::text AS table, pg_get_expr(x.indpred, x.indrelid) AS predicate,
         ARRAY(SELECT coalesce(a.attname::text, '') FROM unnest(x.indkey::int2[]) WITH ORDINALITY k(n, o)
               LEFT JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = k.n ORDER BY o) AS columns
       FROM pg_index x JOIN pg_class c ON c.oid = x.indrelid WHERE c.relnamespace = 'public'::regnamespace`,
    );
    for (const { name, table, columns } of await foreignKeys()) {
      const last = columns.at(-1);
      const behind = indexes.filter(
        (index) =>
          index.table === table &&
          columns.every((column, position) => index.columns[position] === column) &&
          (index.predicate === null || index.predicate === `(${last} IS NOT NULL)`),
      );
      expect([name, behind.length > 0]).toEqual([name, true]);
    }
  });

  it('holds money as numeric(20,6), and no floating point at all', async () => {
    const columns = await liveColumns();
    expect(columns.filter(({ type }) => /double|real/.test(type))).toEqual([]);
    const money = columns.filter(({ name }) => /_cents$|cost/.test(name) || /_value$|^value_/.test(name));
    expect(money.length).toBeGreaterThanOrEqual(9);
    for (const { table, name, type } of money) expect([table, name, type]).toEqual([table, name, 'numeric(20,6)']);
  });

  it('collates identifiers, keys, value lists and indexed texts "C", and no other text', async () => {
    const indexed = new Set(
      (
        await rows<{ key: string }>(
          `SELECT DISTINCT a.attrelid::regclass || '.' || a.attname AS key FROM pg_index x
           JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = ANY (x.indkey::int2[])
           JOIN pg_class c ON c.oid = x.indrelid WHERE c.relnamespace = 'public'::regnamespace`,
        )
      ).map(({ key }) => key),
    );
    for (const { table, name, type, collation } of await liveColumns()) {
      if (type !== 'text') continue;
      const listed = of(table).checks.some((check) => check.oneOf?.column === name);
      const identifier = /^id$|_id$|_key$/.test(name) || listed || indexed.has(`${table}.${name}`);
      expect([table, name, collation]).toEqual([table, name, identifier ? 'C' : 'default']);
    }
  });

  it('bounds the length of every identifier and key', async () => {
    for (const { table, name, type } of await liveColumns())
      if (type === 'text' && /^id$|_id$|_key$/.test(name))
        expect([
          table,
          name,
          of(table).checks.find((check) => check.name === `ck_${table}_${name}`)?.expression,
        ]).toEqual([table, name, expect.stringContaining(`char_length(${name})`)]);
  });

  it('has no default on an instant, and no trigger that writes', async () => {
    const columns = await liveColumns();
    const instants = columns.filter(({ type }) => type === 'timestamp with time zone');
    expect(instants.length).toBeGreaterThan(30);
    expect(instants.filter((column) => column.hasDefault)).toEqual([]);
    expect(columns.filter(({ type }) => type === 'timestamp without time zone')).toEqual([]);
    const triggers = await rows<{ name: string }>(`SELECT tgname AS name FROM pg_trigger WHERE NOT tgisinternal`);
    expect(triggers.map(({ name }) => name).sort()).toEqual([
      'aos_trace_steps_immutable_guard',
      'aos_traces_immutable_guard',
      'worker_runs_immutable_guard',
    ]);
  });

  it('names every object after its table', () => {
    for (const { table, checks, foreignKeys: keys, indexes } of catalogue) {
      for (const { name } of checks) expect(name).toMatch(new RegExp(`^ck_${table}_[a-z_]+$`));
      for (const { name } of keys) expect(name).toMatch(new RegExp(`^fk_${table}_[a-z_]+$`));
      for (const { name, unique } of indexes)
        expect(name).toMatch(new RegExp(`^${unique ? 'uq' : 'ix'}_${table}_[a-z_]+$`));
      const names = [...checks, ...keys, ...indexes].map(({ name }) => name);
      expect(new Set(names).size).toBe(names.length);
      for (const name of names) expect(name.length).toBeLessThanOrEqual(63);
    }
  });

  it('says of every column name, type and nullability in the entity', () => {
    expect(
      db
        .dataSource()
        .entityMetadatas.map(({ tableName }) => tableName)
        .sort(),
    ).toEqual(catalogue.map(({ table }) => table).sort());
    for (const metadata of db.dataSource().entityMetadatas) {
      expect([metadata.tableName, metadata.relations]).toEqual([metadata.tableName, []]);
      for (const column of metadata.columns) {
        expect(typeof column.type).toBe('string');
        expect(column.givenDatabaseName).toBe(column.databaseName);
      }
    }
    const credential = metadataOf('cus_integrations').findColumnWithDatabaseName('credential_ref');
    expect(credential?.isSelect).toBe(false);
    const average = metadataOf('cus_usage_daily').findColumnWithDatabaseName('avg_latency_ms');
    expect([average?.isInsert, average?.isUpdate]).toEqual([false, false]);
  });

  it('is frozen as a declaration', () => {
    expect(Object.isFrozen(catalogue) && catalogue.every((entry) => Object.isFrozen(entry.checks[0]))).toBe(true);
  });

  const rows = async <T>(sql: string, parameters: unknown[] = []): Promise<T[]> => db.manager().query(sql, parameters);
  const metadataOf = (table: string): EntityMetadata => db.dataSource().getMetadata(table);
  const liveColumns = () =>
    rows<{ table: string; name: string; type: string; collation: string | null; hasDefault: boolean }>(
      `SELECT c.relname AS table, a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type, l.collname AS collation,
         a.atthasdef AS "hasDefault"
       FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid AND c.relkind = 'r' LEFT JOIN pg_collation l ON l.oid = a.attcollation
       WHERE c.relnamespace = 'public'::regnamespace AND c.relname <> 'hoc_migrations' AND a.attnum > 0 AND NOT a.attisdropped`,
    );
  const foreignKeys = () =>
    rows<{ name: string; table: string; target: string; columns: string[]; targetColumns: string[]; onDelete: string }>(
      `SELECT k.conname AS name, k.conrelid::regclass::text AS table, k.confrelid::regclass::text AS target, k.confdeltype AS "onDelete",
         ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY n(n, o)
               JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = n.n ORDER BY o) AS columns,
         ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY n(n, o)
               JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = n.n ORDER BY o) AS "targetColumns"
       FROM pg_constraint k WHERE k.contype = 'f' AND k.connamespace = 'public'::regnamespace`,
    );

  /** The tables as the entities and the declarations say, in a schema of its own. */
  async function buildTwin(manager: EntityManager): Promise<void> {
    await manager.query('CREATE SCHEMA twin; SET LOCAL search_path TO twin');
    for (const declaration of catalogue) {
      await manager.query(twinTable(metadataOf(declaration.table), declaration));
      for (const text of twinParts(declaration)) await manager.query(text);
    }
  }

  function twinTable(metadata: EntityMetadata, declaration: CatalogueDeclaration): string {
    const { driver } = db.dataSource();
    const columns = metadata.columns.map((column) => {
      const name = column.databaseName;
      const precision = column.scale === undefined ? '' : `(${column.precision},${column.scale})`;
      // TypeORM would quote a number: '0' is stored otherwise than 0 where the column isn't an integer.
      const initial = typeof column.default === 'number' ? column.default : driver.normalizeDefault(column);
      const generated = declaration.generated.find((entry) => entry.column === name);
      return [
        `"${name}" ${driver.normalizeType(column)}${precision}`,
        declaration.bytewise.includes(name) ? 'COLLATE "C"' : '',
        column.isNullable ? '' : 'NOT NULL',
        initial === undefined ? '' : `DEFAULT ${initial}`,
        generated ? `GENERATED ALWAYS AS (${generated.expression}) STORED` : '',
      ].join(' ');
    });
    const key = metadata.primaryColumns;
    const parts = [
      ...columns,
      `CONSTRAINT ${key[0]?.primaryKeyConstraintName} PRIMARY KEY (${key.map((column) => column.databaseName).join(', ')})`,
      ...declaration.checks.map(({ name, expression }) => `CONSTRAINT ${name} CHECK (${expression})`),
      ...declaration.foreignKeys.map(({ name, definition }) => `CONSTRAINT ${name} ${definition}`),
    ];
    const storage = declaration.fillfactor === null ? '' : ` WITH (fillfactor = ${declaration.fillfactor})`;
    return `CREATE TABLE ${metadata.tableName} (${parts.join(', ')})${storage}`;
  }
});

function twinParts({ table, indexes, functions, triggers }: CatalogueDeclaration): string[] {
  return [
    ...indexes.map(
      (entry) => `CREATE ${entry.unique ? 'UNIQUE ' : ''}INDEX ${entry.name} ON ${table} ${entry.definition}`,
    ),
    ...indexes
      .filter((entry) => entry.systemWide)
      .map((entry) => `COMMENT ON INDEX ${entry.name} IS 'system-wide: ${entry.serves}'`),
    ...functions.map(
      (entry) => `CREATE FUNCTION ${entry.name}() RETURNS trigger LANGUAGE plpgsql AS $g$${entry.source}$g$`,
    ),
    ...triggers.map(
      (entry) =>
        `CREATE TRIGGER ${entry.name} ${entry.timing} ${entry.events.join(' OR ')} ON ${table}
         FOR EACH ${entry.level} EXECUTE FUNCTION ${entry.function}()`,
    ),
  ];
}

/** A schema as sorted lines: tables with storage, columns in order, constraints, indexes, triggers, functions. */
async function manifest(manager: EntityManager, schema: string): Promise<string[]> {
  await manager.query(`SELECT set_config('search_path', $1, false)`, [schema]);
  const found: { line: string }[] = await manager.query(
    `WITH tables AS (SELECT oid, relname, reloptions FROM pg_class
                     WHERE relnamespace = $1::regnamespace AND relkind = 'r' AND relname <> 'hoc_migrations')
     SELECT concat_ws(' ', 'table', relname, reloptions::text) AS line FROM tables
     UNION ALL
     SELECT concat_ws(' ', 'column', relname, attnum, attname, format_type(atttypid, atttypmod), collname,
              CASE WHEN attnotnull THEN 'NOT NULL' END, attgenerated, pg_get_expr(adbin, adrelid))
     FROM tables t JOIN pg_attribute a ON attrelid = t.oid AND attnum > 0 AND NOT attisdropped
     LEFT JOIN pg_attrdef ON adrelid = t.oid AND adnum = attnum LEFT JOIN pg_collation l ON l.oid = attcollation
     UNION ALL
     SELECT concat_ws(' ', 'constraint', relname, conname, pg_get_constraintdef(k.oid))
     FROM tables t JOIN pg_constraint k ON conrelid = t.oid
     UNION ALL
     SELECT concat_ws(' ', 'index', replace(pg_get_indexdef(indexrelid), $1 || '.', ''), obj_description(indexrelid, 'pg_class'))
     FROM tables t JOIN pg_index ON indrelid = t.oid
     UNION ALL
     SELECT concat_ws(' ', 'trigger', relname, replace(pg_get_triggerdef(g.oid), $1 || '.', ''))
     FROM tables t JOIN pg_trigger g ON tgrelid = t.oid AND NOT tgisinternal
     UNION ALL
     SELECT concat_ws(' ', 'function', replace(pg_get_functiondef(oid), $1 || '.', ''))
     FROM pg_proc WHERE pronamespace = $1::regnamespace`,
    [schema],
  );
  return found.map(({ line }) => line).sort();
}
