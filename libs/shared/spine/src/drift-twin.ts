import type { CatalogueDeclaration } from '@hoc/shared/models';
import type { EntityMetadata } from 'typeorm';

/** Statements that make an empty table in `pg_temp` from an entity and its declaration. */
export interface Twin {
  readonly table: string;
  readonly foreignKeys: readonly string[];
}

type Column = EntityMetadata['columns'][number];

/** The table as declared; gone with the transaction. */
export function createTwin(declaration: CatalogueDeclaration, entity: EntityMetadata): Twin {
  const { table, checks, indexes, foreignKeys } = declaration;
  const keys = entity.primaryColumns.map((column) => quote(column.databaseName)).join(', ');
  const keyName = entity.primaryColumns[0]?.primaryKeyConstraintName ?? `pk_${table}`;
  const members = [
    ...entity.columns.map((column) => columnSql(column, declaration)),
    `CONSTRAINT ${quote(keyName)} PRIMARY KEY (${keys})`,
    ...checks.map(({ name, expression }) => `CONSTRAINT ${quote(name)} CHECK (${expression})`),
  ];
  const made = indexes.map(
    ({ name, unique, definition }) =>
      `CREATE ${unique ? 'UNIQUE ' : ''}INDEX ${quote(name)} ON pg_temp.${quote(table)} ${definition}`,
  );
  return {
    table: [`CREATE TEMPORARY TABLE ${quote(table)} (${members.join(', ')}) ON COMMIT DROP`, ...made].join(';\n'),
    foreignKeys: foreignKeys.map(
      ({ name, definition }) => `ALTER TABLE pg_temp.${quote(table)} ADD CONSTRAINT ${quote(name)} ${definition}`,
    ),
  };
}

function columnSql(column: Column, { bytewise, generated }: CatalogueDeclaration): string {
  const name = column.databaseName;
  const expression = generated.find((entry) => entry.column === name)?.expression;
  return [
    quote(name),
    typeSql(column),
    bytewise.includes(name) ? 'COLLATE "C"' : '',
    column.isNullable ? '' : 'NOT NULL',
    expression === undefined ? defaultSql(column.default) : `GENERATED ALWAYS AS (${expression}) STORED`,
  ]
    .filter((part) => part !== '')
    .join(' ');
}

function typeSql({ type, precision, scale, isArray }: Column): string {
  const name = String(type);
  const size = name === 'numeric' && precision != null ? `(${precision},${scale ?? 0})` : '';
  return `${name}${size}${isArray ? '[]' : ''}`;
}

/** An entity says a number, a boolean, a text or JSON; TypeORM's own rendering quotes numbers, and the live ones are bare. */
function defaultSql(value: unknown): string {
  if (value === undefined || value === null) return '';
  const literal =
    typeof value === 'number' || typeof value === 'boolean'
      ? String(value)
      : `'${asText(value).replaceAll("'", "''")}'`;
  return `DEFAULT ${literal}`;
}

const asText = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value));

const quote = (name: string): string => `"${name.replaceAll('"', '""')}"`;
