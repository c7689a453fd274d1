import 'reflect-metadata';
import {
  type DecimalString,
  IsIdText,
  IsPlainText,
  IsPositiveMoneyText,
  type JsonObject,
  LIMIT_CATEGORIES,
  LIMIT_CONSEQUENCES,
  LIMIT_ENFORCEMENTS,
  LIMIT_SCOPES,
  LIMIT_STATUSES,
  type LimitCategory,
  type LimitConsequence,
  type LimitEnforcement,
  type LimitScope,
  type LimitStatus,
  RESET_PERIODS,
  type ResetPeriod,
} from '@hoc/shared/kernel';
import { Type } from 'class-transformer';
import {
  IsIn,
  IsInstance,
  IsInt,
  IsOptional,
  Matches,
  Max,
  Min,
  NotEquals,
  ValidateIf,
  ValidateNested,
} from 'class-validator';
import type { LimitIntegrityStatus } from './controls-enums.schema';
import { LIMIT_TYPE, type LimitUnit, REFUSED_LIMIT_TYPE } from './limit-terms.schema';
import { ThresholdParamsUpdate } from './threshold.schema';

export { type BudgetWindow, budgetWindow } from './limit-terms.schema';

/** Characters of a limit's name. */
export const LIMIT_NAME_MAX = 256;
/** Characters of a limit's description. */
export const LIMIT_DESCRIPTION_MAX = 1024;
/** 31 days: the longest window of a rate. */
export const LIMIT_WINDOW_MAX_SECONDS = 2_678_400;
/** Characters of who did it. */
export const ACTOR_MAX = 128;
const ID = 100;

/** Checks what is given, null included: `@IsOptional` would let a null pass. */
const IfGiven = (): PropertyDecorator => ValidateIf((_, value) => value !== undefined);

/**
 * A limit to make. A request class: unknown keys are refused, nothing is converted. What the category and the scope demand
 * or forbid is checked by the engine.
 *
 * @see spec controls C.1
 */
export class CreatePolicyLimitRequest {
  /** Trimmed by the engine: 1–256 characters then. */
  @IsPlainText(1, LIMIT_NAME_MAX) name!: string;
  @IsOptional() @IsPlainText(0, LIMIT_DESCRIPTION_MAX) description?: string | null;
  @IsIn([...LIMIT_CATEGORIES]) limitCategory!: LimitCategory;
  /** Its prefix says the unit: COST cents, TOKENS_ tokens, anything else a count. */
  @Matches(LIMIT_TYPE) @NotEquals(REFUSED_LIMIT_TYPE) limitType!: string;
  /** Default TENANT. */
  @IfGiven() @IsIn([...LIMIT_SCOPES]) scope?: LimitScope;
  /** Exactly with PROJECT, AGENT and PROVIDER. */
  @IfGiven() @IsIdText(ID) scopeId?: string;
  @IsPositiveMoneyText() maxValue!: string;
  /** Default BLOCK. */
  @IfGiven() @IsIn([...LIMIT_ENFORCEMENTS]) enforcement?: LimitEnforcement;
  /** THRESHOLD only. */
  @IfGiven() @IsIn([...LIMIT_CONSEQUENCES]) consequence?: LimitConsequence;
  /** Exactly with BUDGET. */
  @IfGiven() @IsIn([...RESET_PERIODS]) resetPeriod?: ResetPeriod;
  /** Exactly with RATE. */
  @IfGiven() @IsInt() @Min(1) @Max(LIMIT_WINDOW_MAX_SECONDS) windowSeconds?: number;
  /** THRESHOLD only. */
  @IfGiven() @IsInt() @Min(1) @Max(LIMIT_WINDOW_MAX_SECONDS) measurementWindowSeconds?: number;
  /** THRESHOLD only. */
  @IfGiven()
  @IsInstance(ThresholdParamsUpdate)
  @ValidateNested()
  @Type(() => ThresholdParamsUpdate)
  params?: ThresholdParamsUpdate;
}

/** What shall change of a limit; a field that is absent stays as it is. @see spec controls C.1 */
export class UpdatePolicyLimitRequest {
  @IfGiven() @IsPlainText(1, LIMIT_NAME_MAX) name?: string;
  /** Null clears. */
  @IsOptional() @IsPlainText(0, LIMIT_DESCRIPTION_MAX) description?: string | null;
  @IfGiven() @IsPositiveMoneyText() maxValue?: string;
  @IfGiven() @IsIn([...LIMIT_ENFORCEMENTS]) enforcement?: LimitEnforcement;
  @IfGiven() @IsIn([...RESET_PERIODS]) resetPeriod?: ResetPeriod;
  @IfGiven() @IsInt() @Min(1) @Max(LIMIT_WINDOW_MAX_SECONDS) windowSeconds?: number;
  @IfGiven()
  @IsInstance(ThresholdParamsUpdate)
  @ValidateNested()
  @Type(() => ThresholdParamsUpdate)
  params?: ThresholdParamsUpdate;
  @IfGiven() @IsIn([...LIMIT_STATUSES]) status?: LimitStatus;
  /** Refuses the change where the stored version is another one. */
  @IfGiven() @IsInt() @Min(1) expectedVersion?: number;
}

/** Fields that a limit keeps for good: another one is another limit. */
export const IMMUTABLE_LIMIT_FIELDS = Object.freeze(['limitCategory', 'limitType', 'scope', 'scopeId'] as const);

/** A limit as it is stored. */
export interface LimitRecord {
  readonly limitId: string;
  readonly tenantId: string;
  readonly name: string;
  readonly description: string | null;
  readonly limitCategory: LimitCategory;
  readonly limitType: string;
  readonly scope: LimitScope;
  readonly scopeId: string | null;
  /** In the unit of `limitType`. */
  readonly maxValue: DecimalString;
  readonly resetPeriod: ResetPeriod | null;
  readonly nextResetAt: Date | null;
  readonly windowSeconds: number | null;
  readonly measurementWindowSeconds: number | null;
  readonly params: JsonObject;
  readonly enforcement: LimitEnforcement;
  readonly consequence: LimitConsequence | null;
  readonly status: LimitStatus;
  /** One more with every change. */
  readonly version: number;
  readonly createdBy: string | null;
  readonly updatedBy: string | null;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** A limit to store. */
export interface NewLimit {
  /** Absent: made by the IdGenerator. */
  readonly id?: string;
  readonly name: string;
  readonly description: string | null;
  readonly limitCategory: LimitCategory;
  readonly limitType: string;
  readonly scope: LimitScope;
  readonly scopeId: string | null;
  readonly maxValue: DecimalString;
  readonly resetPeriod: ResetPeriod | null;
  readonly windowSeconds: number | null;
  readonly measurementWindowSeconds: number | null;
  readonly params: JsonObject;
  readonly enforcement: LimitEnforcement;
  readonly consequence: LimitConsequence | null;
  /** Default ACTIVE. */
  readonly status?: LimitStatus;
  readonly createdBy: string | null;
}

/** What shall change of a stored limit; at least one field besides `updatedBy`. */
export interface LimitPatch {
  readonly name?: string;
  /** Null clears. */
  readonly description?: string | null;
  readonly maxValue?: DecimalString;
  readonly enforcement?: LimitEnforcement;
  readonly resetPeriod?: ResetPeriod;
  readonly windowSeconds?: number;
  /** Merged key by key. */
  readonly params?: JsonObject;
  readonly status?: LimitStatus;
  readonly updatedBy?: string | null;
}

/** A limit before and after a change, both from the changing statement itself. */
export interface LimitChange {
  readonly before: LimitRecord;
  readonly after: LimitRecord;
}

/** What a verification of a limit found. */
export interface NewLimitIntegrity {
  readonly limitId: string;
  readonly integrityStatus: LimitIntegrityStatus;
  /** 0–1. */
  readonly integrityScore: number;
}

/** The latest state of a limit's verification. */
export interface LimitIntegrityRecord extends NewLimitIntegrity {
  readonly integrityId: string;
  readonly tenantId: string;
  readonly computedAt: Date;
}

/** A limit as an API shows it. */
export interface PolicyLimitResponse extends Omit<LimitRecord, 'nextResetAt' | 'updatedBy'> {
  readonly unit: LimitUnit;
}

/** What an audit keeps of a limit. */
export type LimitAuditState = Pick<
  LimitRecord,
  'name' | 'maxValue' | 'enforcement' | 'status' | 'resetPeriod' | 'windowSeconds'
>;

/** One change of a limit, for an audit. */
export interface LimitAuditEntry {
  readonly tenantId: string;
  readonly limitId: string;
  readonly actorId: string | null;
  readonly actorType: 'HUMAN' | 'SYSTEM';
  readonly reason: string;
  readonly before?: LimitAuditState;
  readonly after?: LimitAuditState;
}

/** Where changes of limits are written down, in the transaction of the change: an error of it fails the change. */
export interface LimitAuditSink {
  limitCreated(entry: LimitAuditEntry): Promise<void>;
  limitUpdated(entry: LimitAuditEntry): Promise<void>;
  limitDisabled(entry: LimitAuditEntry): Promise<void>;
}
