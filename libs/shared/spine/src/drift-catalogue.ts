import type { QueryRunner } from 'typeorm';
import type { DriftKind } from './drift';

/** A column, index, CHECK or foreign key, with the traits that the drift check compares, in a fixed order. */
export interface CatalogueObject {
  readonly family: 'column' | 'index' | 'check' | 'foreign_key';
  readonly name: string;
  readonly traits: readonly (readonly [DriftKind, string | null])[];
}

/** A trigger as `BEFORE UPDATE ROW function`, with its function's source. */
export interface TriggerObject {
  readonly table: string;
  readonly name: string;
  readonly definition: string;
  readonly source: string;
}

/** What the tables are made of: the live ones of the current schema, or their twins in `pg_temp`. */
export async function readTables(
  runner: QueryRunner,
  side: 'live' | 'twin',
  tables: readonly string[],
): Promise<ReadonlyMap<string, readonly CatalogueObject[]>> {
  const found = new Map<string, CatalogueObject[]>();
  const namespace = side === 'live' ? 'current_schema()::regnamespace' : 'pg_my_temp_schema()';
  const read = async <Row extends { table: string }>(
    sql: string,
    make: (row: Row) => CatalogueObject,
  ): Promise<void> => {
    const rows: Row[] = await runner.query(sql.replaceAll('$namespace', namespace), [tables]);
    for (const row of rows) {
      const objects = found.get(row.table);
      if (objects === undefined) found.set(row.table, [make(row)]);
      else objects.push(make(row));
    }
  };
  await read(COLUMNS, toColumn);
  await read(INDEXES, toIndex);
  await read(CONSTRAINTS, toConstraint);
  return found;
}

/** Triggers that were declared by somebody, of the live tables. */
export async function readTriggers(runner: QueryRunner, tables: readonly string[]): Promise<readonly TriggerObject[]> {
  return runner.query(TRIGGERS, [tables]);
}

interface ColumnRow {
  readonly table: string;
  readonly name: string;
  readonly type: string;
  readonly not_null: boolean;
  readonly default: string | null;
  readonly generated: string | null;
  readonly collation: string | null;
}

const toColumn = (row: ColumnRow): CatalogueObject => ({
  family: 'column',
  name: row.name,
  traits: [
    ['type', row.type],
    ['nullability', row.not_null ? 'NOT NULL' : 'NULL'],
    ['default', row.default],
    ['generated', row.generated],
    ['collation', row.collation],
  ],
});

interface DefinitionRow {
  readonly table: string;
  readonly name: string;
  readonly definition: string;
}

const toIndex = (row: DefinitionRow): CatalogueObject => ({
  family: 'index',
  name: row.name,
  // `CREATE INDEX name ON schema.table USING …`: the schemas differ, what follows must not.
  traits: [['index_definition', row.definition.replace(/ ON \S+ USING /, ' USING ')]],
});

const toConstraint = (row: DefinitionRow & { readonly type: string }): CatalogueObject =>
  row.type === 'f'
    ? { family: 'foreign_key', name: row.name, traits: [['foreign_key_definition', row.definition]] }
    : { family: 'check', name: row.name, traits: [['check_definition', row.definition]] };

const TABLES = `FROM pg_class t WHERE t.relnamespace = $namespace AND t.relkind IN ('r', 'p') AND t.relname = ANY($1::text[])`;

const COLUMNS = `
  SELECT t.relname AS table, a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS not_null,
         CASE WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, d.adrelid) END AS default,
         CASE WHEN a.attgenerated <> '' THEN pg_get_expr(d.adbin, d.adrelid) END AS generated,
         NULLIF(c.collname, 'default') AS collation
  FROM (SELECT t.oid, t.relname ${TABLES}) AS t
  JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
  LEFT JOIN pg_collation c ON c.oid = a.attcollation
  ORDER BY t.relname, a.attnum`;

/** Keys are indexes too: so one comparison covers primary and unique keys, whichever way they were made. */
const INDEXES = `
  SELECT t.relname AS table, i.relname AS name, pg_get_indexdef(i.oid) AS definition
  FROM (SELECT t.oid, t.relname ${TABLES}) AS t
  JOIN pg_index x ON x.indrelid = t.oid
  JOIN pg_class i ON i.oid = x.indexrelid
  ORDER BY t.relname, i.relname`;

const CONSTRAINTS = `
  SELECT t.relname AS table, c.conname AS name, c.contype::text AS type, pg_get_constraintdef(c.oid) AS definition
  FROM (SELECT t.oid, t.relname ${TABLES}) AS t
  JOIN pg_constraint c ON c.conrelid = t.oid AND c.contype IN ('c', 'f')
  ORDER BY t.relname, c.conname`;

/** Bits of `tgtype`: 1 row, 2 before, 4 insert, 8 delete, 16 update, 32 truncate. */
const TRIGGERS = `
  SELECT t.relname AS table, g.tgname AS name, f.prosrc AS source,
         CASE WHEN g.tgtype & 2 <> 0 THEN 'BEFORE' ELSE 'AFTER' END || ' ' ||
         array_to_string(array_remove(ARRAY[
           CASE WHEN g.tgtype & 4 <> 0 THEN 'INSERT' END, CASE WHEN g.tgtype & 16 <> 0 THEN 'UPDATE' END,
           CASE WHEN g.tgtype & 8 <> 0 THEN 'DELETE' END, CASE WHEN g.tgtype & 32 <> 0 THEN 'TRUNCATE' END], NULL), ' OR ') || ' ' ||
         CASE WHEN g.tgtype & 1 <> 0 THEN 'ROW' ELSE 'STATEMENT' END || ' ' || f.proname AS definition
  FROM pg_class t
  JOIN pg_trigger g ON g.tgrelid = t.oid AND NOT g.tgisinternal AND g.tgenabled <> 'D'
  JOIN pg_proc f ON f.oid = g.tgfoid
  WHERE t.relnamespace = current_schema()::regnamespace AND t.relname = ANY($1::text[])
  ORDER BY t.relname, g.tgname`;
