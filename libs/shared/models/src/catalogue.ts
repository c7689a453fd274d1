import { deepFreeze } from '@hoc/shared/kernel';

// What entity metadata can't say about a table, as data. Migrations are history and stay hand-written; this says what
// they must have led to. The drift check of the spine executes these texts on an empty twin and compares the deparsed forms.

/** A CHECK: `ADD CONSTRAINT <name> CHECK (<expression>)`. */
export interface CheckDeclaration {
  readonly name: string;
  readonly expression: string;
  /** Only for a value list: the column, and the values that it admits. */
  readonly oneOf?: { readonly column: string; readonly values: readonly string[] };
}

/** An index that isn't the primary key's: `CREATE [UNIQUE] INDEX <name> ON <table> <definition>`. */
export interface IndexDeclaration {
  readonly name: string;
  readonly unique: boolean;
  /** What follows the table's name: columns, and a WHERE where the index is partial. */
  readonly definition: string;
  /** The call, the key or the foreign key that the index is there for. */
  readonly serves: string;
  /**
   * True where a tenant-owned table has an index that doesn't lead with `tenant_id`, for a call that spans tenants.
   * Such an index carries the comment `system-wide: <serves>` in the database.
   */
  readonly systemWide: boolean;
}

/** A foreign key: `ADD CONSTRAINT <name> <definition>`; the definition begins with `FOREIGN KEY`. */
export interface ForeignKeyDeclaration {
  readonly name: string;
  readonly definition: string;
}

/** A stored generated column: `<column> <type> GENERATED ALWAYS AS (<expression>) STORED`. */
export interface GeneratedDeclaration {
  readonly column: string;
  readonly expression: string;
}

/** A trigger: `CREATE TRIGGER <name> <timing> <events> ON <table> FOR EACH <level> EXECUTE FUNCTION <function>()`. */
export interface TriggerDeclaration {
  readonly name: string;
  readonly timing: 'BEFORE' | 'AFTER';
  readonly events: readonly ('INSERT' | 'UPDATE' | 'DELETE' | 'TRUNCATE')[];
  readonly level: 'ROW' | 'STATEMENT';
  readonly function: string;
}

/** A PL/pgSQL trigger function without arguments; `source` is its body as `pg_proc.prosrc` holds it. */
export interface FunctionDeclaration {
  readonly name: string;
  readonly source: string;
}

/**
 * One table beyond its entity. The entity says columns, types, nullability, defaults and the primary key (with its
 * name); foreign keys stand here, because in a composite one `tenant_id` is a key column and a join column at once.
 * Entities are `synchronize: false`: TypeORM's schema builder knows too little of these tables to touch them.
 *
 * @see spec activity B.10, D.2.4
 */
export interface CatalogueDeclaration {
  readonly table: string;
  /**
   * The text columns collated `"C"`: identifiers, keys, value lists, and whatever an index holds. Their order then
   * depends on no locale, and no upgrade of the C library or ICU breaks an index. All others have the default.
   */
  readonly bytewise: readonly string[];
  readonly checks: readonly CheckDeclaration[];
  readonly foreignKeys: readonly ForeignKeyDeclaration[];
  readonly indexes: readonly IndexDeclaration[];
  readonly generated: readonly GeneratedDeclaration[];
  readonly triggers: readonly TriggerDeclaration[];
  readonly functions: readonly FunctionDeclaration[];
  /** Storage parameter of the table; null where it is PostgreSQL's 100. */
  readonly fillfactor: number | null;
}

/** A CHECK before it has its table's name. */
export interface CheckDraft extends Omit<CheckDeclaration, 'name'> {
  readonly suffix: string;
}

/** What `declareTable` is given: lists of drafts, and only the parts that the table has. */
export interface TableDraft extends Partial<Omit<CatalogueDeclaration, 'table' | 'checks' | 'indexes'>> {
  readonly table: string;
  readonly checks: readonly (readonly CheckDraft[])[];
  readonly indexes: readonly IndexDeclaration[];
}

/** An index of a tenant-owned table whose call spans tenants, with that call. */
export interface SystemWideIndex {
  readonly table: string;
  readonly index: string;
  readonly call: string;
}

/** Completes a draft: CHECKs get their names `ck_<table>_<suffix>`, value lists join `bytewise`, absent parts are empty; frozen. */
export function declareTable(draft: TableDraft): CatalogueDeclaration {
  const checks = draft.checks
    .flat()
    .map(({ suffix, ...check }): CheckDeclaration => ({ name: `ck_${draft.table}_${suffix}`, ...check }));
  const valueLists = checks.flatMap(({ oneOf: list }) => (list ? [list.column] : []));
  return deepFreeze({
    foreignKeys: [],
    generated: [],
    triggers: [],
    functions: [],
    fillfactor: null,
    ...draft,
    bytewise: [...(draft.bytewise ?? []), ...valueLists],
    checks,
  });
}

/** Text columns of `min` to `max` characters. */
export function charLength(min: number, max: number, ...columns: readonly string[]): readonly CheckDraft[] {
  return columns.map((column) => rule(column, `char_length(${column}) BETWEEN ${min} AND ${max}`)).flat();
}

/** Text columns of at most `max` characters; the empty text passes. */
export function charLengthAtMost(max: number, ...columns: readonly string[]): readonly CheckDraft[] {
  return columns.map((column) => rule(column, `char_length(${column}) <= ${max}`)).flat();
}

/** Integer columns that count or measure something: 0 or more. */
export function notNegative(...columns: readonly string[]): readonly CheckDraft[] {
  return columns.map((column) => rule(column, `${column} >= 0`)).flat();
}

/** `numeric` columns of 0 or more. PostgreSQL sorts NaN above every number: a plain `>= 0` would let it in, and one NaN spoils every sum. */
export function notNegativeNumeric(...columns: readonly string[]): readonly CheckDraft[] {
  return columns.map((column) => rule(column, `${column} >= 0 AND ${column} < 'NaN'`)).flat();
}

/** An enum column: the kernel's list is the CHECK. The suffix differs from the column only where a specification named the CHECK so. */
export function oneOf(column: string, values: readonly string[], suffix = column): readonly CheckDraft[] {
  const list = values.map((value) => `'${value}'`).join(', ');
  return [{ suffix, expression: `${column} IN (${list})`, oneOf: { column, values } }];
}

/** Any other CHECK. */
export function rule(suffix: string, expression: string): readonly CheckDraft[] {
  return [{ suffix, expression }];
}

/** A plain index. */
export function index(name: string, definition: string, serves: string): IndexDeclaration {
  return { name, unique: false, definition, serves, systemWide: false };
}

/** A unique index. Always an index, never a constraint: both raise 23505 with their name, and only an index can be partial. */
export function unique(name: string, definition: string, serves: string): IndexDeclaration {
  return { name, unique: true, definition, serves, systemWide: false };
}

/** An index of a call that spans tenants: it leads with what that call filters or sorts by. */
export function systemWide(name: string, definition: string, call: string): IndexDeclaration {
  return { name, unique: false, definition, serves: call, systemWide: true };
}

/** The `BEFORE UPDATE … FOR EACH ROW` trigger that guards immutable rows; its function raises 23001. */
export function updateGuard(name: string, guard: string): TriggerDeclaration {
  return { name, timing: 'BEFORE', events: ['UPDATE'], level: 'ROW', function: guard };
}

/** The exceptions to the rule that an index leads with `tenant_id`, each with its call (conventions §11). */
export function systemWideIndexes(declarations: readonly CatalogueDeclaration[]): readonly SystemWideIndex[] {
  return declarations.flatMap(({ table, indexes }) =>
    indexes.filter((entry) => entry.systemWide).map(({ name, serves }) => ({ table, index: name, call: serves })),
  );
}
