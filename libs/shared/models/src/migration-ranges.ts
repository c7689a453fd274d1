/** A block of migration numbers that belongs to one package; both ends included. */
export interface MigrationRange {
  readonly package: string;
  readonly from: number;
  readonly to: number;
}

/**
 * Who owns which migration numbers. A number outside these ranges belongs to the consumer: the runner, the drift check
 * and the health check leave such a migration alone.
 *
 * @see spec activity B.10, D.2.3
 */
export const HOC_MIGRATION_RANGES: readonly MigrationRange[] = Object.freeze([
  range('@hoc/shared', 1_700_000_000_001, 1_700_000_000_022),
  range('@hoc/shared', 1_700_000_000_023, 1_700_000_000_029),
  range('@hoc/shared', 1_700_000_000_030, 1_700_000_000_039),
  range('@hoc/activity', 1_700_000_001_001, 1_700_000_001_099),
  range('@hoc/analytics', 1_700_000_002_001, 1_700_000_002_099),
  range('@hoc/controls', 1_700_000_003_001, 1_700_000_003_099),
  range('@hoc/integrations', 1_700_000_004_001, 1_700_000_004_099),
]);

/** A migration's number: the last 13 digits of its name, as TypeORM reads them; null where the name has none. */
export function migrationNumber(name: string): number | null {
  const digits = /\d{13}$/.exec(name)?.[0];
  return digits === undefined ? null : Number(digits);
}

/** Whether the number at the end of a migration's name lies in a range of HOC. */
export function isHocMigration(name: string): boolean {
  const number = migrationNumber(name);
  return number !== null && HOC_MIGRATION_RANGES.some(({ from, to }) => from <= number && number <= to);
}

function range(owner: string, from: number, to: number): MigrationRange {
  return Object.freeze({ package: owner, from, to });
}
