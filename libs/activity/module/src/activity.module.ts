import { getCusTelemetryDriver } from '@hoc/activity/drivers';
import {
  type ActivityDeps,
  type ActivityEngines,
  type ActivityServices,
  createUsageImporter,
  getCusTelemetryEngine,
} from '@hoc/activity/engines';
import { catalogue, entities, migrations } from '@hoc/activity/models';
import type { UnitOfWorkRunner } from '@hoc/shared/kernel';
import type { HocModule } from '@hoc/shared/spine';
import type { EntityManager } from 'typeorm';

/** What `@hoc/activity` brings to a DataSource, and how its engines and services are made. */
export const activityModule: HocModule<'activity', ActivityEngines, ActivityServices, ActivityDeps> = Object.freeze({
  name: 'activity' as const,
  requires: Object.freeze([]),
  entities,
  migrations,
  catalogue,
  compose,
  services,
});

function compose(manager: EntityManager, deps: ActivityDeps): ActivityEngines {
  return Object.freeze({ telemetry: getCusTelemetryEngine(getCusTelemetryDriver(manager, deps), deps) });
}

function services(run: UnitOfWorkRunner<EntityManager>, deps: ActivityDeps): ActivityServices {
  const importer = createUsageImporter((work) => run((manager) => work(compose(manager, deps))), deps.clock);
  return Object.freeze({ importer, close: () => importer.close() });
}
