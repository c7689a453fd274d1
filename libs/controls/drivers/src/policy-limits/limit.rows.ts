import {
  LIMIT_CATEGORIES,
  LIMIT_CONSEQUENCES,
  LIMIT_ENFORCEMENTS,
  LIMIT_INTEGRITY_STATUSES,
  LIMIT_SCOPES,
  LIMIT_STATUSES,
  type LimitIntegrityRecord,
  type LimitRecord,
  RESET_PERIODS,
} from '@hoc/controls/schemas';
import { deepFreeze, fromPgNumeric, type JsonObject } from '@hoc/shared/kernel';
import { storedValue } from '@hoc/shared/drivers';

/** A stored limit. */
export interface LimitColumns {
  readonly tenant_id: string;
  readonly id: string;
  readonly name: string;
  readonly description: string | null;
  readonly limit_category: string;
  readonly limit_type: string;
  readonly scope: string;
  readonly scope_id: string | null;
  readonly max_value: string;
  readonly reset_period: string | null;
  readonly next_reset_at: Date | null;
  readonly window_seconds: number | null;
  readonly measurement_window_seconds: number | null;
  readonly params: JsonObject;
  readonly enforcement: string;
  readonly consequence: string | null;
  readonly status: string;
  readonly version: number;
  readonly created_by: string | null;
  readonly updated_by: string | null;
  readonly created_at: Date;
  readonly updated_at: Date;
}

/** A stored verification. */
export interface IntegrityColumns {
  readonly tenant_id: string;
  readonly id: string;
  readonly limit_id: string;
  readonly integrity_status: string;
  readonly integrity_score: number;
  readonly computed_at: Date;
}

/** The limit as the package gives it out. @throws DataIntegrityError for a value outside its list */
export function toLimitRecord(row: LimitColumns): LimitRecord {
  return deepFreeze({
    limitId: row.id,
    tenantId: row.tenant_id,
    name: row.name,
    description: row.description,
    limitCategory: storedValue(row.limit_category, LIMIT_CATEGORIES, 'limitCategory'),
    limitType: row.limit_type,
    scope: storedValue(row.scope, LIMIT_SCOPES, 'scope'),
    scopeId: row.scope_id,
    maxValue: fromPgNumeric(row.max_value, 'maxValue'),
    resetPeriod: row.reset_period === null ? null : storedValue(row.reset_period, RESET_PERIODS, 'resetPeriod'),
    nextResetAt: row.next_reset_at,
    windowSeconds: row.window_seconds,
    measurementWindowSeconds: row.measurement_window_seconds,
    params: row.params,
    enforcement: storedValue(row.enforcement, LIMIT_ENFORCEMENTS, 'enforcement'),
    consequence: row.consequence === null ? null : storedValue(row.consequence, LIMIT_CONSEQUENCES, 'consequence'),
    status: storedValue(row.status, LIMIT_STATUSES, 'status'),
    version: row.version,
    createdBy: row.created_by,
    updatedBy: row.updated_by,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  });
}

/** The verification as the package gives it out. */
export function toIntegrityRecord(row: IntegrityColumns): LimitIntegrityRecord {
  return Object.freeze({
    integrityId: row.id,
    tenantId: row.tenant_id,
    limitId: row.limit_id,
    integrityStatus: storedValue(row.integrity_status, LIMIT_INTEGRITY_STATUSES, 'integrityStatus'),
    integrityScore: row.integrity_score,
    computedAt: row.computed_at,
  });
}
