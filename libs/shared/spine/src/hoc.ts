import {
  type Clock,
  type DriverDeps,
  type IdGenerator,
  InvalidArgumentError,
  type Logger,
  noopLogger,
  systemClock,
  UnavailableError,
  type UnitOfWorkRunner,
  uuidV7Generator,
} from '@hoc/shared/kernel';
import { catalogue, entities, migrations } from '@hoc/shared/models';
import type { DataSource, EntityManager } from 'typeorm';
import { createHocDataSource, type HocConnectionOptions, refuseDoubles } from './data-source';
import { checkDrift, type DriftReport } from './drift';
import { checkHealth, type HealthReport } from './health';
import type { AnyHocModule, EnginesOf, HocServices, OwnDepsOf, ServicesOf } from './hoc-module';
import { type MigrationOptions, runMigrations } from './migrations';
import { ready } from './ready';
import { type TransactionOptions, unitOfWork, withTransaction } from './transaction';

/** Deps by module name; optional where a module has only optional ones. */
type DepsByName<Modules extends readonly AnyHocModule[]> = {
  readonly [M in Modules[number] as object extends OwnDepsOf<M> ? M['name'] : never]?: OwnDepsOf<M>;
} & {
  readonly [M in Modules[number] as object extends OwnDepsOf<M> ? never : M['name']]: OwnDepsOf<M>;
};

/** The engines of one transaction, by module name, with the manager and the number of the attempt. */
export type HocContext<Modules extends readonly AnyHocModule[]> = {
  readonly [M in Modules[number] as M['name']]: EnginesOf<M>;
} & { readonly manager: EntityManager; readonly attempt: number };

/** Which packages, on which database. */
export type HocOptions<Modules extends readonly AnyHocModule[]> = (
  { readonly dataSource: DataSource } | { readonly connection: HocConnectionOptions }
) & {
  readonly modules: Modules;
  readonly clock?: Clock;
  readonly ids?: IdGenerator;
  readonly logger?: Logger;
} & (object extends DepsByName<Modules>
    ? { readonly deps?: DepsByName<Modules> }
    : { readonly deps: DepsByName<Modules> });

/** The installed packages, ready to work. */
export interface Hoc<Modules extends readonly AnyHocModule[]> {
  readonly dataSource: DataSource;
  /** Services by module name. */
  readonly services: { readonly [M in Modules[number] as M['name']]: ServicesOf<M> };
  /**
   * One transaction with every module's engines on it; runs again on a concurrent change. The first one initialises a
   * DataSource that isn't.
   * @throws UnavailableError reason `closed` after {@link Hoc.close}; and as `withTransaction`
   */
  transaction<T>(work: (context: HocContext<Modules>) => Promise<T>, options?: TransactionOptions): Promise<T>;
  migrate(options?: MigrationOptions): Promise<{ readonly applied: readonly string[] }>;
  checkDrift(): Promise<DriftReport>;
  health(): Promise<HealthReport>;
  /** Closes the services, the last module first, then the connections that `createHoc` opened. A second call gives the same promise. */
  close(): Promise<void>;
}

/**
 * Binds packages to one database. Nothing needs it: a consumer may merge the descriptors' lists and call `compose` itself.
 * @throws InvalidArgumentError for a name, table or migration given twice, a missing `requires`, or a given DataSource
 * that doesn't hold the packages' entities and migrations
 */
export function createHoc<const Modules extends readonly AnyHocModule[]>(options: HocOptions<Modules>): Hoc<Modules> {
  const { modules } = options;
  const all = merge(modules);
  const made = 'connection' in options;
  const source = made ? createHocDataSource({ ...options.connection, ...all }) : holding(options.dataSource, all);
  const clock = options.clock ?? systemClock();
  const base = { clock, ids: options.ids ?? uuidV7Generator(clock), logger: options.logger ?? noopLogger };
  const depsOf = (module: AnyHocModule): never => {
    const own: unknown = Reflect.get(options.deps ?? {}, module.name);
    // The type of `options` demands what the module needs; here the modules are a list, and one's deps fit only itself.
    return { ...(own as object | undefined), ...base } satisfies DriverDeps as never;
  };
  // Not `open`: what services drain while they close still has to be written.
  const run: UnitOfWorkRunner<EntityManager> = async (work) =>
    unitOfWork(await ready(source), { logger: base.logger })(work);
  const services = modules.map((module) => module.services(run, depsOf(module)));
  let closing: Promise<void> | undefined;
  const open = async (): Promise<DataSource> => {
    if (closing !== undefined) throw closed();
    return ready(source);
  };
  return Object.freeze({
    dataSource: source,
    services: byName(modules, services) as Hoc<Modules>['services'],
    transaction: async <T>(work: (context: HocContext<Modules>) => Promise<T>, how?: TransactionOptions): Promise<T> =>
      withTransaction(
        await open(),
        (manager, attempt) => {
          const engines = modules.map((module) => module.compose(manager, depsOf(module)));
          return work({ ...byName(modules, engines), manager, attempt } as HocContext<Modules>);
        },
        { logger: base.logger, ...how },
      ),
    migrate: async (how?: MigrationOptions) => runMigrations(await open(), how),
    checkDrift: async () => checkDrift(await open(), all.catalogue),
    health: () => checkHealth(source),
    close: () => (closing ??= closeAll(services, made ? source : null)),
  });
}

interface Merged {
  readonly entities: readonly Function[];
  readonly migrations: readonly Function[];
  readonly catalogue: typeof catalogue;
}

function merge(modules: readonly AnyHocModule[]): Merged {
  const names = modules.map(({ name }) => name);
  const double = names.find((name, index) => names.indexOf(name) !== index || name === 'manager' || name === 'attempt');
  if (double !== undefined) throw refused('double', `the module ${double} is given twice`, [double]);
  const absent = modules.flatMap(({ requires }) => requires).filter((name) => !names.includes(name));
  if (absent.length > 0) throw refused('requires', `a module needs ${absent.join(', ')}, which is not given`, absent);
  const merged = {
    entities: [...entities, ...modules.flatMap((module) => module.entities)],
    migrations: [...migrations, ...modules.flatMap((module) => module.migrations)],
    catalogue: [...catalogue, ...modules.flatMap((module) => module.catalogue ?? [])],
  };
  refuseDoubles(merged.entities, merged.migrations);
  return merged;
}

/** A consumer's DataSource must know the packages' tables before it is initialised: they can't be added afterwards. */
function holding(source: DataSource, { entities: wanted, migrations: ours }: Merged): DataSource {
  const held = [source.options.entities, source.options.migrations].map(
    (list) => new Set<unknown>(Array.isArray(list) ? list : Object.values(list ?? {})),
  );
  const absent = [...wanted.filter((item) => !held[0]?.has(item)), ...ours.filter((item) => !held[1]?.has(item))];
  if (absent.length > 0) {
    const names = absent.map(({ name }) => name);
    throw refused('data_source', `the DataSource does not hold ${names.join(', ')}`, names);
  }
  return source;
}

async function closeAll(services: readonly HocServices[], source: DataSource | null): Promise<void> {
  for (const service of [...services].reverse()) await service.close();
  if (source?.isInitialized === true) await source.destroy();
}

function byName<T>(modules: readonly AnyHocModule[], values: readonly T[]): Readonly<Record<string, T>> {
  return Object.freeze(
    Object.fromEntries(
      modules.flatMap(({ name }, index) => values.slice(index, index + 1).map((value) => [name, value])),
    ),
  );
}

const closed = (): UnavailableError =>
  new UnavailableError('closed: no transaction begins any more', { details: { reason: 'closed' } });

const refused = (reason: string, message: string, names: readonly string[]): InvalidArgumentError =>
  new InvalidArgumentError(message, { details: { field: 'modules', reason, names: [...names] } });
