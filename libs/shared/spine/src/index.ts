export {
  createHocDataSource,
  HOC_MIGRATIONS_TABLE,
  type HocConnectionOptions,
  type HocDataSourceOptions,
} from './data-source';
export { checkDrift, type DriftItem, type DriftKind, type DriftReport } from './drift';
export { checkHealth, type HealthReport } from './health';
export { createHoc, type Hoc, type HocContext, type HocOptions } from './hoc';
export type { AnyHocModule, EnginesOf, HocModule, HocServices, OwnDepsOf, ServicesOf } from './hoc-module';
export { ensureImportTarget, type ImportTarget, type ImportTargetResult } from './import-target';
export { type MigrationOptions, type MigrationProgress, runMigrations } from './migrations';
export {
  type IsolationLevel,
  type TransactionOptions,
  unitOfWork,
  withSavepoint,
  withTransaction,
} from './transaction';
