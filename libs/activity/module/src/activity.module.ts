import {
  getActivityReadDriver,
  getCusTelemetryDriver,
  getOrphanRecoveryDriver,
  getRunLifecycleDriver,
  getRunSignalDriver,
  getSignalFeedbackDriver,
} from '@hoc/activity/drivers';
import {
  type ActivityDeps,
  type ActivityEngines,
  type ActivityRunner,
  type ActivityServices,
  createActivitySweeps,
  createUsageCoalescer,
  createUsageImporter,
  getActivityFacade,
  getCusTelemetryEngine,
  getOrphanRecoveryEngine,
  getRunLifecycleEngine,
  getRunSignalEngine,
  getSignalFeedbackEngine,
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
  const feedback = getSignalFeedbackDriver(manager, deps);
  return Object.freeze({
    activity: getActivityFacade(getActivityReadDriver(manager), { feedback, ...deps }),
    telemetry: getCusTelemetryEngine(getCusTelemetryDriver(manager, deps), deps),
    orphans: getOrphanRecoveryEngine(getOrphanRecoveryDriver(manager, deps), deps),
    signals: getRunSignalEngine(getRunSignalDriver(manager, deps), deps),
    lifecycle: getRunLifecycleEngine(getRunLifecycleDriver(manager, deps), deps),
    feedback: getSignalFeedbackEngine(feedback, deps),
  });
}

function services(run: UnitOfWorkRunner<EntityManager>, deps: ActivityDeps): ActivityServices {
  const inTransaction: ActivityRunner = (work) => run((manager) => work(compose(manager, deps)));
  const coalescer = createUsageCoalescer(inTransaction, deps);
  const importer = createUsageImporter(inTransaction, deps.clock);
  const sweeps = createActivitySweeps(inTransaction);
  let closing: Promise<void> | undefined;
  return Object.freeze({
    coalescer,
    importer,
    sweeps,
    close: () => (closing ??= Promise.all([coalescer.close(), importer.close(), sweeps.close()]).then(() => undefined)),
  });
}
