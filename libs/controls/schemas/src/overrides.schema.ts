import 'reflect-metadata';
import {
  type DecimalString,
  ID_MAX,
  IsIdText,
  IsPlainText,
  IsPositiveMoneyText,
  type OverrideStatus,
  type Page,
  type PageRequest,
  type SystemScope,
} from '@hoc/shared/kernel';
import { IsBoolean, IsDate, IsInt, Max, Min, ValidateBy, ValidateIf } from 'class-validator';

/** Overrides of a tenant that may be active at once. */
export const OVERRIDES_ACTIVE_MAX = 5;
/** Seven days: the longest override. */
export const OVERRIDE_HOURS_MAX = 168;
/** How far ahead an override may be scheduled. */
export const OVERRIDE_SCHEDULE_DAYS_MAX = 30;
/** Characters of a request's reason, at least. */
export const OVERRIDE_REASON_MIN = 10;
/** Characters of a reason, at most: of a request, or of a rejection. */
export const OVERRIDE_REASON_MAX = 500;
/** Limits that one look-up of overrides in effect takes. */
export const OVERRIDE_LIMITS_MAX = 1000;
/** Tenants that one look-up of due overrides gives, at most. */
export const DUE_TENANTS_MAX = 1000;
/** Who is named in `audit_trail` where no person acted: the end or the start of an override was due. */
export const OVERRIDE_SYSTEM_ACTOR = 'system';

/** Checks what is given, null included: `@IsOptional` would let a null pass. */
const IfGiven = (): PropertyDecorator => ValidateIf((_, value) => value !== undefined);

/** As {@link IfGiven}, and checks an absent one too where the request demands it. */
const IfGivenOr = <T extends object>(demands: (request: T) => boolean): PropertyDecorator =>
  ValidateIf((request: T, value) => value !== undefined || demands(request));

/** Refuses the field where the rest of the request has no use for it. */
const OnlyWhere = <T extends object>(name: string, allows: (request: T) => boolean): PropertyDecorator =>
  ValidateBy({ name, validator: { validate: (_, args) => args !== undefined && allows(args.object as T) } });

const scheduled = (request: LimitOverrideRequest): boolean => request.startImmediately === false;
const approves = (request: OverrideApprovalRequest): boolean => request.approved;
const rejects = (request: OverrideApprovalRequest): boolean => !request.approved;

/**
 * A limit to raise for a while. A request class: unknown keys are refused, nothing is converted.
 *
 * @see override_driver.py, LimitOverrideService.request_override
 */
export class LimitOverrideRequest {
  @IsIdText(ID_MAX) limitId!: string;
  /** The limit's new value, in its unit: above the stored one, and at most what the tenant's plan grants. */
  @IsPositiveMoneyText() overrideValue!: string;
  @IsInt() @Min(1) @Max(OVERRIDE_HOURS_MAX) durationHours!: number;
  /** Trimmed by the driver: 10–500 characters then. */
  @IsPlainText(OVERRIDE_REASON_MIN, OVERRIDE_REASON_MAX) reason!: string;
  /** Default true: in effect at once, without an approval. */
  @IfGiven() @IsBoolean() startImmediately?: boolean;
  /** Exactly with `startImmediately: false`: later than now, within 30 days. */
  @IfGivenOr(scheduled) @IsDate() @OnlyWhere('immediate', scheduled) scheduledStart?: Date;
}

/** What somebody decided of a pending override. A request class. @see spec controls C.2 */
export class OverrideApprovalRequest {
  @IsBoolean() approved!: boolean;
  /** With an approval: instead of the requested value. */
  @IfGiven() @IsPositiveMoneyText() @OnlyWhere('rejected', approves) adjustedValue?: string;
  /** With an approval: instead of the requested duration. */
  @IfGiven() @IsInt() @Min(1) @Max(OVERRIDE_HOURS_MAX) @OnlyWhere('rejected', approves) adjustedDurationHours?: number;
  /** Exactly with a rejection. */
  @IfGivenOr(rejects) @IsPlainText(1, OVERRIDE_REASON_MAX) @OnlyWhere('approved', rejects) rejectionReason?: string;
}

/** An override as it stands at the clock. Values are in the limit's unit, instants UTC. @see override_driver.py, _to_response */
export interface LimitOverrideResponse {
  readonly overrideId: string;
  readonly limitId: string;
  readonly limitName: string;
  readonly tenantId: string;
  /** The limit's value when the override was requested. */
  readonly originalValue: DecimalString;
  readonly overrideValue: DecimalString;
  /**
   * `overrideValue` while in effect, else `originalValue`. What is checked, reserved and recorded by is never below the limit
   * itself: one that was raised above its override since counts as it stands.
   */
  readonly effectiveValue: DecimalString;
  /** ACTIVE, and `startsAt` ≤ now < `expiresAt`. */
  readonly inEffect: boolean;
  /** As stored: an override that is over stays ACTIVE until a job, or the tenant's next request, marks it. */
  readonly status: OverrideStatus;
  readonly requestedAt: Date;
  readonly approvedAt: Date | null;
  /** Inclusive. */
  readonly startsAt: Date | null;
  /** Exclusive. */
  readonly expiresAt: Date | null;
  readonly cancelledAt: Date | null;
  readonly requestedBy: string;
  readonly approvedBy: string | null;
  readonly cancelledBy: string | null;
  readonly rejectedBy: string | null;
  readonly reason: string;
  readonly rejectionReason: string | null;
}

/** Which overrides of a tenant are listed; all where nothing is given. */
export interface OverrideListFilter {
  /** The stored one. */
  readonly status?: OverrideStatus;
  readonly limitId?: string;
}

/** What an approver grants instead of what was asked for. */
export interface OverrideAdjustment {
  readonly value?: DecimalString;
  /** 1–168. */
  readonly durationHours?: number;
}

/** What the activation of a tenant's due overrides did: ids, by their start. */
export interface OverrideActivation {
  readonly activated: readonly string[];
  /** Due, and left as they are: as many as may be are active. */
  readonly blockedByCap: readonly string[];
}

/** What a sweep over all tenants did. */
export interface OverrideSweepResult {
  readonly expired: number;
  readonly activated: number;
  readonly blockedByCap: number;
  /** Tenants whose activation failed, by id: the next sweep tries them again. */
  readonly failedTenants: readonly string[];
}

/** Overrides of limits, bound to one unit of work: the public methods of the driver, which says what each throws. */
export interface OverridePort {
  requestOverride(tenantId: string, request: LimitOverrideRequest, requestedBy: string): Promise<LimitOverrideResponse>;
  getOverride(tenantId: string, overrideId: string): Promise<LimitOverrideResponse>;
  listOverrides(
    tenantId: string,
    filter?: OverrideListFilter,
    page?: PageRequest,
  ): Promise<Page<LimitOverrideResponse>>;
  countOverrides(tenantId: string, filter?: OverrideListFilter): Promise<number>;
  cancelOverride(tenantId: string, overrideId: string, cancelledBy: string): Promise<LimitOverrideResponse>;
  approveOverride(
    tenantId: string,
    overrideId: string,
    approvedBy: string,
    adjust?: OverrideAdjustment,
  ): Promise<LimitOverrideResponse>;
  rejectOverride(
    tenantId: string,
    overrideId: string,
    rejectedBy: string,
    rejectionReason: string,
  ): Promise<LimitOverrideResponse>;
  expireOverrides(scope: SystemScope): Promise<number>;
  activateDueOverrides(tenantId: string): Promise<OverrideActivation>;
  detectTenantsWithDueOverrides(scope: SystemScope, limit?: number, after?: string): Promise<readonly string[]>;
  fetchOverridesInEffect(
    tenantId: string,
    limitIds: readonly string[],
  ): Promise<ReadonlyMap<string, LimitOverrideResponse>>;
}
