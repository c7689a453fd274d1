export type { ActivityDeps, ActivityEngines, ActivityRunner, ActivityServices } from './activity-engines.engine';
export { type AzureTraceLine, isAzureTraceHeader, parseAzureTraceLine } from './azure-trace.engine';
export { azureCallId, jsonLineCallId } from './call-id.engine';
export { CusTelemetryEngine, getCusTelemetryEngine, type TelemetryDriver } from './cus-telemetry.engine';
export { splitLines } from './split-lines.engine';
export { importAzureTrace, importUsageJsonLines } from './usage-import.engine';
export { createUsageImporter, type UsageImporter } from './usage-importer.engine';
export { type JsonLineDefaults, type JsonUsageLine, parseJsonUsageLine } from './usage-json-lines.engine';
export { costCents, parsePriceTable, priceTable } from './usage-pricing.engine';
