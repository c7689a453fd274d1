import {
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

describe('migrations', () => {
  const db = useEmptyDatabase(content);

  it('go up after the shared ones, and down to exactly what the shared ones had made', async () => {
    const { manager } = db.dataSource();
    await db.dataSource().runMigrations();
    const whole = await objects(manager);
    for (const { name } of [...migrations].reverse()) {
      expect(await manager.query('SELECT name FROM hoc_migrations ORDER BY id DESC LIMIT 1')).toEqual([{ name }]);
      await db.dataSource().undoLastMigration();
    }
    const shared = await objects(manager);
    expect(whole.filter((object) => !shared.includes(object))).toEqual(
      whole.filter((object) => tables.some((table) => object.startsWith(`${table} `))),
    );
    expect(shared.filter((object) => !whole.includes(object))).toEqual([]);
    await db.dataSource().runMigrations();
    expect(await objects(manager)).toEqual(whole);
  });

  it('are named as their file and number, in number order, in the range of the package', () => {
    const names = migrations.map((migration) => migration.name);
    expect(migrations.map((Migration) => Reflect.get(new Migration(), 'name'))).toEqual(names);
    expect([...names].sort((a, b) => a.slice(-13).localeCompare(b.slice(-13)))).toEqual(names);
    const [range] = HOC_MIGRATION_RANGES.filter((each) => each.package === '@hoc/activity');
    for (const name of names) {
      expect(name).toMatch(/^Activity[A-Z][A-Za-z]+\d{13}$/);
      expect(migrationNumber(name)).toBeGreaterThanOrEqual(range?.from ?? Infinity);
      expect(migrationNumber(name)).toBeLessThanOrEqual(range?.to ?? 0);
    }
  });
});

describe('the live catalogue of the package', () => {
  const db = useDatabase(content);
  const rows = async <T>(sql: string): Promise<T[]> => db.manager().query(sql, [tables]);

  it('has one table per entity, each declared once', () => {
    const named = db
      .dataSource()
      .entityMetadatas.filter(({ target }) => entities.some((entity) => entity === target))
      .map(({ tableName }) => tableName);
    expect(named).toEqual(tables);
    for (const table of tables) {
      const metadata = db.dataSource().getMetadata(table);
      expect([metadata.synchronize, metadata.relations]).toEqual([false, []]);
      for (const column of metadata.columns) {
        expect(typeof column.type).toBe('string');
        expect(column.givenDatabaseName).toBe(column.databaseName);
      }
    }
  });

  it('leads with tenant_id in every key and index, system-wide calls apart, which say so', async () => {
    const indexes = await rows<{ table: string; index: string; leads: boolean; unique: boolean; says: string | null }>(
      `SELECT t.relname AS table, i.relname AS index, x.indisunique AS unique, obj_description(i.oid, 'pg_class') AS says,
         x.indkey[0] = (SELECT attnum FROM pg_attribute WHERE attrelid = t.oid AND attname = 'tenant_id') AS leads
       FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid
       WHERE t.relname = ANY ($1) AND t.relnamespace = 'public'::regnamespace`,
    );
    expect(indexes).toHaveLength(4);
    const apart = indexes.filter(({ leads }) => !leads);
    expect(apart.map(({ table, index, says }) => ({ table, index, says }))).toEqual(
      SYSTEM_WIDE_INDEXES.map(({ table, index, call }) => ({ table, index, says: `system-wide: ${call}` })),
    );
    expect(apart.filter(({ unique }) => unique)).toEqual([]);
    expect(SYSTEM_WIDE_INDEXES).toEqual([
      { table: 'signal_feedback', index: 'ix_signal_feedback_expiry', call: 'markExpiredAsEvaluated' },
    ]);
  });

  it('reaches its tenant by a foreign key that refuses: no cascade', async () => {
    const keys = await rows<{ name: string; definition: string }>(
      `SELECT conname AS name, pg_get_constraintdef(oid) AS definition FROM pg_constraint
       WHERE contype = 'f' AND conrelid::regclass::text = ANY ($1)`,
    );
    expect(keys).toEqual([
      {
        name: 'fk_signal_feedback_tenant',
        definition: 'FOREIGN KEY (tenant_id) REFERENCES tenants(id) ON DELETE RESTRICT',
      },
    ]);
  });

  it('collates identifiers, value lists and indexed texts "C", and no other text; no instant has a default', async () => {
    const columns = await rows<{ name: string; type: string; collation: string; indexed: boolean; initial: boolean }>(
      `SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type, l.collname AS collation, a.atthasdef AS initial,
         EXISTS (SELECT FROM pg_index x WHERE x.indrelid = a.attrelid AND a.attnum = ANY (x.indkey::int2[])) AS indexed
       FROM pg_attribute a LEFT JOIN pg_collation l ON l.oid = a.attcollation
       WHERE a.attrelid::regclass::text = ANY ($1) AND a.attnum > 0 AND NOT a.attisdropped
         AND (SELECT relkind = 'r' FROM pg_class WHERE oid = a.attrelid)`,
    );
    expect(columns).toHaveLength(13);
    const lists = catalogue.flatMap(({ checks }) => checks.flatMap(({ oneOf }) => oneOf?.column ?? []));
    for (const { name, type, collation, indexed } of columns)
      if (type === 'text') {
        const identifier = /^id$|_id$|_key$/.test(name) || indexed || lists.includes(name);
        expect([name, collation]).toEqual([name, identifier ? 'C' : 'default']);
      }
    expect(columns.filter(({ initial }) => initial)).toEqual([]);
    expect(columns.filter(({ type }) => /without time zone|double|real/.test(type))).toEqual([]);
  });

  it('names every object after its table, and is frozen as a declaration', () => {
    for (const { table, checks, foreignKeys, indexes } of catalogue) {
      for (const { name } of checks) expect(name).toMatch(new RegExp(`^ck_${table}_[a-z_]+$`));
      for (const { name } of foreignKeys) expect(name).toMatch(new RegExp(`^fk_${table}_[a-z_]+$`));
      for (const { name } of indexes) expect(name).toMatch(new RegExp(`^ix_${table}_[a-z_]+$`));
      const names = [...checks, ...foreignKeys, ...indexes].map(({ name }) => name);
      expect(new Set(names).size).toBe(names.length);
      expect(Math.max(...names.map(({ length }) => length))).toBeLessThanOrEqual(63);
    }
    expect(Object.isFrozen(catalogue) && catalogue.every((entry) => Object.isFrozen(entry.checks[0]))).toBe(true);
  });
});

/** Tables, columns, constraints and indexes of the schema, each under its table's name. */
async function objects(manager: EntityManager): Promise<string[]> {
  const found: { line: string }[] = await manager.query(
    `WITH tables AS (SELECT oid, relname FROM pg_class
                     WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname <> 'hoc_migrations')
     SELECT concat_ws(' ', relname, attname, format_type(atttypid, atttypmod), attnotnull) AS line
     FROM tables t JOIN pg_attribute ON attrelid = t.oid AND attnum > 0 AND NOT attisdropped
     UNION ALL
     SELECT concat_ws(' ', relname, conname, pg_get_constraintdef(k.oid)) FROM tables t JOIN pg_constraint k ON conrelid = t.oid
     UNION ALL
     SELECT concat_ws(' ', relname, pg_get_indexdef(indexrelid)) FROM tables t JOIN pg_index ON indrelid = t.oid
     UNION ALL
     SELECT concat_ws(' ', 'function', proname) FROM pg_proc WHERE pronamespace = 'public'::regnamespace`,
  );
  return found.map(({ line }) => line).sort();
}
