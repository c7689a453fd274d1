export { readInstant } from './column-types';
export type { DriverManager } from './driver-manager';
export { frozenWith } from './frozen-with';
export { guarded } from './guarded';
export { type KeysetList, keysetPage, type KeysetRequest, keysetRequest, type PositionType } from './keyset';
export { pgErrorToHocError } from './pg-error';
export {
  type PgClient,
  type PgQuery,
  PREPARED_STATEMENTS_OPTION,
  run,
  runOne,
  type Statement,
  statement,
  withClient,
} from './statement';
export { storedValue } from './stored-value';
export { assertInTransaction, isInTransaction } from './transaction';
export { type ArrayValue, chunksOf, compareBytes, instantText, toColumns } from './unnest';
