import {
  type ApplyingLimit,
  type BudgetLimit,
  LIMIT_BREACH_TYPES,
  LIMIT_CATEGORIES,
  LIMIT_CONSEQUENCES,
  LIMIT_ENFORCEMENTS,
  LIMIT_INTEGRITY_STATUSES,
  LIMIT_SCOPES,
  LIMIT_STATUSES,
  type LimitBreachForRun,
  type LimitDetail,
  type LimitSummary,
  RESET_PERIODS,
} from '@hoc/controls/schemas';
import { deepFreeze, fromPgNumeric, toSafeInteger } from '@hoc/shared/kernel';
import { frozenWith, storedValue } from '@hoc/shared/drivers';
import type {
  ApplyingLimitColumns,
  BudgetColumns,
  LimitColumns,
  LimitDetailColumns,
  RunBreachColumns,
} from './limits.query';

/** @throws DataIntegrityError for a value that this version doesn't know */
export const toLimitSummary = (row: LimitColumns): LimitSummary => Object.freeze(summaryOf(row));

/** @throws DataIntegrityError for a value that this version doesn't know */
export const toLimitDetail = (row: LimitDetailColumns): LimitDetail =>
  frozenWith(summaryOf(row), {
    description: row.description,
    consequence: optional(row.consequence, LIMIT_CONSEQUENCES, 'consequence'),
    measurementWindowSeconds: row.measurement_window_seconds,
    params: deepFreeze(row.params),
    version: row.version,
    updatedAt: row.updated_at,
  });

/** @throws DataIntegrityError for a value that this version doesn't know */
export const toApplyingLimit = (row: ApplyingLimitColumns): ApplyingLimit =>
  Object.freeze({
    limitId: row.id,
    name: row.name,
    limitType: row.limit_type,
    scope: storedValue(row.scope, LIMIT_SCOPES, 'scope'),
    scopeId: row.scope_id,
    maxValue: fromPgNumeric(row.max_value, 'maxValue'),
    resetPeriod: optional(row.reset_period, RESET_PERIODS, 'resetPeriod'),
    enforcement: storedValue(row.enforcement, LIMIT_ENFORCEMENTS, 'enforcement'),
  });

/** @throws DataIntegrityError for a value that this version doesn't know */
export const toBudgetLimit = (row: BudgetColumns): BudgetLimit =>
  Object.freeze({
    id: row.id,
    name: row.name,
    scope: storedValue(row.scope, LIMIT_SCOPES, 'scope'),
    scopeId: row.scope_id,
    maxValue: fromPgNumeric(row.max_value, 'maxValue'),
    resetPeriod: optional(row.reset_period, RESET_PERIODS, 'resetPeriod'),
    enforcement: storedValue(row.enforcement, LIMIT_ENFORCEMENTS, 'enforcement'),
    status: storedValue(row.status, LIMIT_STATUSES, 'status'),
    createdAt: row.created_at,
  });

/** @throws DataIntegrityError for a value that this version doesn't know */
export const toRunBreach = (row: RunBreachColumns): LimitBreachForRun =>
  Object.freeze({
    breachId: row.id,
    limitId: row.limit_id,
    limitName: row.limit_name,
    limitType: row.limit_type,
    valueAtBreach: fromPgNumeric(row.value_at_breach, 'valueAtBreach'),
    limitValue: fromPgNumeric(row.limit_value, 'limitValue'),
    thresholdValue: fromPgNumeric(row.max_value, 'thresholdValue'),
    breachType: storedValue(row.breach_type, LIMIT_BREACH_TYPES, 'breachType'),
    breachedAt: row.breached_at,
  });

const summaryOf = (row: LimitColumns): LimitSummary => ({
  limitId: row.id,
  name: row.name,
  limitCategory: storedValue(row.limit_category, LIMIT_CATEGORIES, 'limitCategory'),
  limitType: row.limit_type,
  scope: storedValue(row.scope, LIMIT_SCOPES, 'scope'),
  scopeId: row.scope_id,
  enforcement: storedValue(row.enforcement, LIMIT_ENFORCEMENTS, 'enforcement'),
  status: storedValue(row.status, LIMIT_STATUSES, 'status'),
  maxValue: fromPgNumeric(row.max_value, 'maxValue'),
  windowSeconds: row.window_seconds,
  resetPeriod: optional(row.reset_period, RESET_PERIODS, 'resetPeriod'),
  integrityStatus: optional(row.integrity_status, LIMIT_INTEGRITY_STATUSES, 'integrityStatus'),
  integrityScore: row.integrity_score,
  breachCount30d: toSafeInteger(row.breach_count, 'breachCount30d'),
  lastBreachedAt: row.last_breached_at,
  createdAt: row.created_at,
});

const optional = <T extends string>(value: string | null, list: readonly T[], field: string): T | null =>
  value === null ? null : storedValue(value, list, field);
