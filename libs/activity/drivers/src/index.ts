export type { DriverManager } from '@hoc/shared/drivers';
export type { UsageFilter } from '@hoc/activity/schemas';
export {
  CALL_IDS_MAX,
  CusTelemetryDriver,
  DAILY_RANGE_MAX_DAYS,
  getCusTelemetryDriver,
  INTEGRATIONS_MAX,
  USAGE_BATCH_MAX_ROWS,
  USAGE_CHUNK_ROWS,
  USAGE_COPY_MIN_ROWS,
  utcNow,
} from './cus-telemetry.driver';
