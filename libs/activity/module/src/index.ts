export { activityModule } from './activity.module';
export {
  type ActivityDeps,
  type ActivityEngines,
  type ActivityRunner,
  type ActivityServices,
  azureCallId,
  costCents,
  createUsageImporter,
  type CusTelemetryEngine,
  importAzureTrace,
  importUsageJsonLines,
  jsonLineCallId,
  parsePriceTable,
  priceTable,
  splitLines,
  type UsageImporter,
} from '@hoc/activity/engines';
