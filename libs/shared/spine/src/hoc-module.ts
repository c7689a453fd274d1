import type { DriverDeps, UnitOfWorkRunner } from '@hoc/shared/kernel';
import type { CatalogueDeclaration } from '@hoc/shared/models';
import type { EntityManager } from 'typeorm';

/** What a package's services have in common. */
export interface HocServices {
  /** Takes nothing more, waits for what runs, and is idempotent. */
  close(): Promise<void>;
}

/** One package's descriptor: what it brings to a `DataSource`, and how its engines and services are made. */
export interface HocModule<
  Name extends string,
  Engines,
  Services extends HocServices,
  Deps extends DriverDeps = DriverDeps,
> {
  readonly name: Name;
  /** Names of modules that must be installed as well. */
  readonly requires: readonly string[];
  readonly entities: readonly Function[];
  readonly migrations: readonly Function[];
  /** What the entities can't say; the drift check needs it. */
  readonly catalogue?: readonly CatalogueDeclaration[];
  /** The engines of one transaction: called for each. */
  compose(manager: EntityManager, deps: Deps): Engines;
  /** What outlives or spans transactions: called once per process. */
  services(run: UnitOfWorkRunner<EntityManager>, deps: Deps): Services;
}

/** Any descriptor, whatever its engines, services and deps. */
export interface AnyHocModule {
  readonly name: string;
  readonly requires: readonly string[];
  readonly entities: readonly Function[];
  readonly migrations: readonly Function[];
  readonly catalogue?: readonly CatalogueDeclaration[];
  compose(manager: EntityManager, deps: never): unknown;
  services(run: UnitOfWorkRunner<EntityManager>, deps: never): HocServices;
}

/** The engines that a module composes. */
export type EnginesOf<M extends AnyHocModule> = ReturnType<M['compose']>;
/** The services that a module makes. */
export type ServicesOf<M extends AnyHocModule> = ReturnType<M['services']>;
/** What the consumer gives a module beyond clock, ids and logger. */
export type OwnDepsOf<M extends AnyHocModule> = Omit<Parameters<M['compose']>[1], keyof DriverDeps>;
