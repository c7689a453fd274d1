import type { CatalogueDeclaration } from '@hoc/shared/models';
import type { MigrationInterface } from 'typeorm';

type Class<T = object> = new () => T;

/** Entities that this package brings along; the tables that it reads and writes are shared ones. */
export const entities: readonly Class[] = Object.freeze([]);
/** Migrations of {@link entities}, in the order of their numbers. */
export const migrations: readonly Class<MigrationInterface>[] = Object.freeze([]);
/** What {@link entities} can't say of their tables. */
export const catalogue: readonly CatalogueDeclaration[] = Object.freeze([]);
