import { SharedTenants1700000000001 } from './1700000000001-shared-tenants.migration';
import { SharedRuns1700000000002 } from './1700000000002-shared-runs.migration';
import { SharedWorkerRuns1700000000003 } from './1700000000003-shared-worker-runs.migration';
import { SharedAosTraces1700000000004 } from './1700000000004-shared-aos-traces.migration';
import { SharedCusIntegrations1700000000005 } from './1700000000005-shared-cus-integrations.migration';
import { SharedCusLlmUsage1700000000006 } from './1700000000006-shared-cus-llm-usage.migration';
import { SharedCusUsageDaily1700000000007 } from './1700000000007-shared-cus-usage-daily.migration';
import { SharedIncidents1700000000020 } from './1700000000020-shared-incidents.migration';
import { SharedLimits1700000000021 } from './1700000000021-shared-limits.migration';
import { SharedLimitBreaches1700000000022 } from './1700000000022-shared-limit-breaches.migration';
import { SharedLimitOverrides1700000000023 } from './1700000000023-shared-limit-overrides.migration';

/** The migrations of `@hoc/shared` in number order; spread them into a DataSource's `migrations`. */
export const migrations = Object.freeze([
  SharedTenants1700000000001,
  SharedRuns1700000000002,
  SharedWorkerRuns1700000000003,
  SharedAosTraces1700000000004,
  SharedCusIntegrations1700000000005,
  SharedCusLlmUsage1700000000006,
  SharedCusUsageDaily1700000000007,
  SharedIncidents1700000000020,
  SharedLimits1700000000021,
  SharedLimitBreaches1700000000022,
  SharedLimitOverrides1700000000023,
]);

export {
  SharedTenants1700000000001,
  SharedRuns1700000000002,
  SharedWorkerRuns1700000000003,
  SharedAosTraces1700000000004,
  SharedCusIntegrations1700000000005,
  SharedCusLlmUsage1700000000006,
  SharedCusUsageDaily1700000000007,
  SharedIncidents1700000000020,
  SharedLimits1700000000021,
  SharedLimitBreaches1700000000022,
  SharedLimitOverrides1700000000023,
};
