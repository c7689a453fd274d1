export { type FixedClock, fixedClock, type LogEntry, type MemoryLogger, memoryLogger, sequentialIds } from './fakes';
export {
  type BuiltRow,
  type Columns,
  makeIncident,
  makeIntegration,
  makeLimit,
  makeLimitBreach,
  makeLimitOverride,
  makeRun,
  makeTenant,
  makeTrace,
  makeTraceStep,
  makeUsage,
  makeUsageDaily,
  makeWorkerRun,
} from './fixtures';
