import { guarded } from '@hoc/shared/drivers';
import { type CatalogueDeclaration, catalogue as sharedCatalogue } from '@hoc/shared/models';
import type { DataSource, EntityMetadata, QueryRunner } from 'typeorm';
import { type CatalogueObject, readTables, readTriggers, type TriggerObject } from './drift-catalogue';
import { createTwin } from './drift-twin';
import { migrationNames, recordedMigrations, unknownMigrations } from './migrations';
import { ready } from './ready';

/** In what a database differs from what the packages declare. */
export type DriftKind =
  | 'pending_migration'
  | 'unknown_migration'
  | 'missing_table'
  | 'missing_column'
  | 'extra_column'
  | 'type'
  | 'nullability'
  | 'default'
  | 'generated'
  | 'collation'
  | 'missing_index'
  | 'extra_index'
  | 'index_definition'
  | 'missing_check'
  | 'extra_check'
  | 'check_definition'
  | 'missing_foreign_key'
  | 'extra_foreign_key'
  | 'foreign_key_definition'
  | 'missing_trigger'
  | 'missing_function';

/** One difference. `object` names the column, index, constraint, trigger, function or migration. */
export interface DriftItem {
  readonly kind: DriftKind;
  readonly table: string;
  readonly object: string;
  readonly expected: string | null;
  readonly actual: string | null;
}

/** `ok` where nothing differs; items by table, kind and object. */
export interface DriftReport {
  readonly ok: boolean;
  readonly items: readonly DriftItem[];
}

/**
 * Compares entities and catalogue declarations with the live catalogue of the `search_path`'s schema. Changes nothing: the
 * expected tables are made as empty twins in `pg_temp`, so that PostgreSQL itself puts both sides into one form, in a
 * transaction that is always rolled back. Tables that no declaration names are ignored.
 * @param declarations of the installed packages; shared's alone by default
 */
export async function checkDrift(
  source: DataSource,
  declarations: readonly CatalogueDeclaration[] = sharedCatalogue,
): Promise<DriftReport> {
  return guarded(async () => {
    await ready(source);
    const runner = source.createQueryRunner();
    try {
      const migrations = await migrationDrift(runner, source);
      await runner.startTransaction();
      const tables = await tableDrift(runner, source, declarations);
      const items = [...migrations, ...tables].sort(inOrder);
      return Object.freeze({ ok: items.length === 0, items: Object.freeze(items.map((item) => Object.freeze(item))) });
    } finally {
      if (runner.isTransactionActive) await runner.rollbackTransaction();
      await runner.release();
    }
  });
}

async function migrationDrift(runner: QueryRunner, source: DataSource): Promise<readonly DriftItem[]> {
  const recorded = await recordedMigrations(runner, source);
  const done = new Set(recorded);
  const pending = migrationNames(source).filter((name) => !done.has(name));
  return [
    ...pending.map((name) => item('pending_migration', '', name, name, null)),
    ...unknownMigrations(recorded, source).map((name) => item('unknown_migration', '', name, null, name)),
  ];
}

async function tableDrift(
  runner: QueryRunner,
  source: DataSource,
  declarations: readonly CatalogueDeclaration[],
): Promise<readonly DriftItem[]> {
  const declared = declarations.flatMap((declaration) => {
    const entity = source.entityMetadatas.find(({ tableName }) => tableName === declaration.table);
    return entity === undefined ? [] : [{ declaration, entity }];
  });
  // The live side first: the twins hide it, because pg_temp is the first schema that is searched.
  const names = declared.map(({ declaration }) => declaration.table);
  const live = await readTables(runner, 'live', names);
  const triggers = await readTriggers(runner, names);
  await makeTwins(runner, declared);
  const expected = await readTables(runner, 'twin', names);
  return declared.flatMap(({ declaration }) => {
    const actual = live.get(declaration.table);
    if (actual === undefined)
      return [item('missing_table', declaration.table, declaration.table, declaration.table, null)];
    return [
      ...objectDrift(declaration.table, expected.get(declaration.table) ?? [], actual),
      ...triggerDrift(declaration, triggers),
    ];
  });
}

async function makeTwins(
  runner: QueryRunner,
  declared: readonly { readonly declaration: CatalogueDeclaration; readonly entity: EntityMetadata }[],
): Promise<void> {
  const twins = declared.map(({ declaration, entity }) => createTwin(declaration, entity));
  for (const { table } of twins) await runner.query(table);
  // Foreign keys last: they may point either way.
  for (const { foreignKeys } of twins) for (const statement of foreignKeys) await runner.query(statement);
}

const MISSING: Readonly<Record<CatalogueObject['family'], DriftKind>> = {
  column: 'missing_column',
  index: 'missing_index',
  check: 'missing_check',
  foreign_key: 'missing_foreign_key',
};
const EXTRA: Readonly<Record<CatalogueObject['family'], DriftKind>> = {
  column: 'extra_column',
  index: 'extra_index',
  check: 'extra_check',
  foreign_key: 'extra_foreign_key',
};

function objectDrift(
  table: string,
  expected: readonly CatalogueObject[],
  actual: readonly CatalogueObject[],
): readonly DriftItem[] {
  const key = ({ family, name }: CatalogueObject): string => `${family} ${name}`;
  const [wanted, found] = [new Map(expected.map((o) => [key(o), o])), new Map(actual.map((o) => [key(o), o]))];
  const missing = expected.filter((object) => !found.has(key(object)));
  const extra = actual.filter((object) => !wanted.has(key(object)));
  return [
    ...missing.map((o) => item(MISSING[o.family], table, o.name, describe(o), null)),
    ...extra.map((o) => item(EXTRA[o.family], table, o.name, null, describe(o))),
    ...expected.flatMap((object) => {
      const other = found.get(key(object));
      return other === undefined ? [] : traitDrift(table, object, other);
    }),
  ];
}

function traitDrift(table: string, expected: CatalogueObject, actual: CatalogueObject): readonly DriftItem[] {
  return expected.traits.flatMap(([kind, value], index) => {
    const other = actual.traits[index]?.[1] ?? null;
    return value === other ? [] : [item(kind, table, expected.name, value, other)];
  });
}

function triggerDrift(
  { table, triggers, functions }: CatalogueDeclaration,
  live: readonly TriggerObject[],
): readonly DriftItem[] {
  return triggers.flatMap((trigger): readonly DriftItem[] => {
    const wanted = `${trigger.timing} ${trigger.events.join(' OR ')} ${trigger.level} ${trigger.function}`;
    const found = live.find((other) => other.table === table && other.name === trigger.name);
    if (found?.definition !== wanted)
      return [item('missing_trigger', table, trigger.name, wanted, found?.definition ?? null)];
    const source = functions.find(({ name }) => name === trigger.function)?.source ?? null;
    if (source === null || source === found.source) return [];
    return [item('missing_function', table, trigger.function, source, found.source)];
  });
}

const describe = ({ traits }: CatalogueObject): string =>
  traits
    .map(([, value]) => value)
    .filter((value) => value !== null)
    .join(' ');

function item(
  kind: DriftKind,
  table: string,
  object: string,
  expected: string | null,
  actual: string | null,
): DriftItem {
  return { kind, table, object, expected, actual };
}

function inOrder(a: DriftItem, b: DriftItem): number {
  const [x, y] = [a, b].map(({ table, kind, object }) => `${table}\0${kind}\0${object}`);
  return x === y ? 0 : (x ?? '') < (y ?? '') ? -1 : 1;
}
