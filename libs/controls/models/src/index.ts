import { type CatalogueDeclaration, type SystemWideIndex, systemWideIndexes } from '@hoc/shared/models';
import type { MigrationInterface } from 'typeorm';

type Class<T = object> = new () => T;

/** Entities that this package brings along; every other table that it reads and writes is a shared one. */
export const entities: readonly Class[] = Object.freeze([]);
/** Migrations of {@link entities}, in the order of their numbers. */
export const migrations: readonly Class<MigrationInterface>[] = Object.freeze([]);
/** What {@link entities} can't say of their tables; a table stands behind those that it references. */
export const catalogue: readonly CatalogueDeclaration[] = Object.freeze([]);
/** The indexes of {@link entities} that don't lead with `tenant_id`, each with the system-wide call that it serves. */
export const SYSTEM_WIDE_INDEXES: readonly SystemWideIndex[] = Object.freeze(systemWideIndexes(catalogue));
