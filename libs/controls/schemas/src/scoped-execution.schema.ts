import 'reflect-metadata';
import {
  type DecimalString,
  IsIdText,
  IsJsonObject,
  IsMoneyText,
  IsPlainText,
  type JsonObject,
  type Page,
  type PageRequest,
  type SystemScope,
} from '@hoc/shared/kernel';
import {
  ARRAY_UNIQUE,
  ArrayMaxSize,
  ArrayMinSize,
  IsArray,
  IsInt,
  Matches,
  Max,
  Min,
  ValidateBy,
  ValidateIf,
} from 'class-validator';
import type { ExecutionScope, RiskClass, ScopeStatus } from './controls-enums.schema';

export {
  ScopeActionMismatch,
  ScopedExecutionRequired,
  ScopeExhausted,
  type ScopeExhaustion,
  ScopeExpired,
  ScopeIncidentMismatch,
  ScopeNotFound,
} from './scoped-execution-errors.schema';

/** Where a scope's cost ceiling stands when its request names none: half a dollar. */
export const SCOPE_COST_DEFAULT = '50';
/** Seconds that a scope lasts when its request names none. */
export const SCOPE_TTL_DEFAULT = 300;
/** Seconds that a scope lasts at most: a day. */
export const SCOPE_TTL_MAX = 86_400;
/** Attempts of one scope, at most. */
export const SCOPE_ATTEMPTS_MAX = 1000;
/** Actions that one scope allows, at most. */
export const SCOPE_ACTIONS_MAX = 20;
/** Agents that one scope, or one action, names at most. */
export const SCOPE_AGENTS_MAX = 100;
/** Scopes that one call of `cleanupExpired` marks when nobody says. */
export const SCOPE_EXPIRY_DEFAULT = 1000;
/** Scopes that one call of `cleanupExpired` marks at most. */
export const SCOPE_EXPIRY_MAX = 10_000;
/** Milliseconds that a recovery action may take when nobody says. */
export const RECOVERY_TIMEOUT_DEFAULT = 30_000;
/** Milliseconds that a recovery action may take at most. */
export const RECOVERY_TIMEOUT_MAX = 600_000;
/** The part of the world on which an action is tried when nobody says. */
export const SCOPE_FRACTION_DEFAULT = 0.1;

/** Something that would repair an incident. @see scoped_execution.py, RecoveryAction */
export interface RecoveryAction {
  readonly id: string;
  readonly name: string;
  readonly riskClass: RiskClass;
  /** `retry`, `fallback`, `circuit_break`, `scale`, or any other. Empty: a violation. */
  readonly actionType: string;
  readonly parameters: JsonObject;
  readonly targetAgents: readonly string[];
  /** 1–600,000. */
  readonly timeoutMs: number;
}

/** What a trial of an action would have done. @see scoped_execution.py, ScopedExecutionResult */
export interface ScopedExecutionResult {
  readonly success: boolean;
  readonly costDeltaCents: DecimalString;
  readonly failureCount: number;
  readonly policyViolations: readonly string[];
  /** 16 hex digits over what was tried: the same trial, the same hash. Empty where the trial itself failed. */
  readonly executionHash: string;
  readonly durationMs: number;
  /** 0–1. */
  readonly scopeCoverage: number;
  readonly samplesTested: number;
  readonly details: JsonObject;
}

/** A trial, asked for by the plain words of an API. */
export interface RecoveryScopeTestInput {
  readonly actionId: string;
  readonly actionName: string;
  readonly actionType: string;
  readonly riskClass: string;
  readonly parameters: JsonObject;
  /** Default none. */
  readonly targetAgents?: readonly string[];
  /** Default `dry_run`. */
  readonly scopeType?: string;
  /** Default 0.1; clamped to 0.01–1. */
  readonly scopeFraction?: number;
}

/** {@link ScopedExecutionResult} with what was tried. @see scoped_execution.py, test_recovery_scope */
export interface RecoveryScopeTest extends ScopedExecutionResult {
  readonly riskClass: RiskClass;
  readonly scopeType: ExecutionScope;
}

/** Checks what is given, null included: `@IsOptional` would let a null pass. */
const IfGiven = (): PropertyDecorator => ValidateIf((_, value) => value !== undefined);
/** In one pass: `@ArrayUnique` compares each item with each, also of a list that is far too long. */
const IsDistinctList = (): PropertyDecorator =>
  ValidateBy({
    name: ARRAY_UNIQUE,
    validator: {
      validate: (value: unknown) => Array.isArray(value) && new Set(value).size === value.length,
      defaultMessage: () => ARRAY_UNIQUE,
    },
  });
const ID = 100;
const ACTOR = 128;
const INTENT_MAX = 500;
const KEY_MAX = 200;
const UP_TO_A_MILLION = /^0*(?:\d{1,6}(?:\.\d+)?|1000000(?:\.0+)?)$/;

/** Leave to ask for. A request class: unknown keys are refused, nothing is converted. @see spec controls C.6 */
export class CreateScopeRequest {
  @IsIdText(ID) incidentId!: string;
  /** 1–20, distinct, compared letter by letter. */
  @IsArray()
  @ArrayMinSize(1)
  @ArrayMaxSize(SCOPE_ACTIONS_MAX)
  @IsDistinctList()
  @IsIdText(ID, { each: true })
  allowedActions!: readonly string[];
  /** 0–1,000,000 cents, default 50. */
  @IfGiven() @IsMoneyText() @Matches(UP_TO_A_MILLION) maxCostCents?: string;
  /** Default 1. */
  @IfGiven() @IsInt() @Min(1) @Max(SCOPE_ATTEMPTS_MAX) maxAttempts?: number;
  /** Default 300. */
  @IfGiven() @IsInt() @Min(1) @Max(SCOPE_TTL_MAX) ttlSeconds?: number;
  /** Default, and where it is empty: `Recovery action for incident <incidentId>`. */
  @IfGiven() @IsPlainText(0, INTENT_MAX) intent?: string;
  /** Default none. */
  @IfGiven() @IsArray() @ArrayMaxSize(SCOPE_AGENTS_MAX) @IsIdText(ID, { each: true }) targetAgents?: readonly string[];
  /** Default `system`. */
  @IfGiven() @IsIdText(ACTOR) createdBy?: string;
}

/** One attempt under a scope, to reserve before the action is performed. @see spec controls C.6 */
export class ExecuteWithScopeRequest {
  @IsIdText(ID) scopeId!: string;
  @IsIdText(ID) action!: string;
  @IsIdText(ID) incidentId!: string;
  /** Default none. */
  @IfGiven() @IsJsonObject() parameters?: JsonObject;
  /** Default 0. */
  @IfGiven() @IsMoneyText() costCents?: string;
  /** A second call under it is the first one's replay. */
  @IfGiven() @IsIdText(KEY_MAX) idempotencyKey?: string;
}

/** {@link CreateScopeRequest} for one action. */
export interface RecoveryScopeRequest extends Omit<CreateScopeRequest, 'allowedActions'> {
  readonly action: string;
}

/** One attempt in a scope's log. */
export interface ScopeLogEntry {
  readonly action: string;
  /** As reserved: a settlement doesn't change it. */
  readonly costCents: DecimalString;
  readonly timestamp: Date;
  /** From 1, without a gap. */
  readonly attemptNumber: number;
}

/** What a scope is at one moment. */
export interface ScopeSnapshot {
  readonly scopeId: string;
  readonly tenantId: string;
  readonly incidentId: string;
  readonly allowedActions: readonly string[];
  readonly maxCostCents: DecimalString;
  readonly maxAttempts: number;
  /** Exclusive. */
  readonly expiresAt: Date;
  readonly intent: string;
  readonly targetAgents: readonly string[];
  readonly createdAt: Date;
  readonly createdBy: string;
  readonly attemptsUsed: number;
  readonly costUsedCents: DecimalString;
  /** As stored: `active` until somebody marks its end. What holds at an instant, `statusAt` says. */
  readonly status: ScopeStatus;
  /** By attempt number. */
  readonly executionLog: readonly ScopeLogEntry[];
}

/** Why a scope does not let an action through; the exception is chosen by `kind`, never by the words. */
export interface ScopeDenial {
  readonly kind: 'revoked' | 'expired' | 'exhausted' | 'incident' | 'action' | 'cost';
  readonly message: string;
}

/** Whether a scope lets an action through. */
export type ScopeVerdict = { readonly allowed: true } | { readonly allowed: false; readonly error: ScopeDenial };

/** A snapshot with the questions that it answers without a database. */
export interface BoundScope extends ScopeSnapshot {
  statusAt(now: Date): ScopeStatus;
  isValid(now: Date): boolean;
  canExecute(action: string, incidentId: string, now: Date, costCents?: DecimalString): ScopeVerdict;
  consume(action: string, costCents: DecimalString, at: Date): BoundScope;
  toDict(): JsonObject;
}

/** A reserved attempt. */
export interface ScopeConsumption<Scope extends BoundScope = BoundScope> {
  /** As it stands after the call, its log included. */
  readonly scope: Scope;
  readonly attemptNumber: number;
  /** True for a replay: nothing was consumed, and number and instant are the first call's. */
  readonly duplicate: boolean;
  readonly executedAt: Date;
}

/** {@link ScopeConsumption} in plain fields. @see scoped_execution.py, execute_with_scope */
export interface ScopeExecution {
  readonly success: true;
  readonly scopeId: string;
  readonly action: string;
  readonly incidentId: string;
  readonly attemptNumber: number;
  /** At the instant of the call. */
  readonly scopeStatus: ScopeStatus;
  readonly attemptsRemaining: number;
  readonly costUsedCents: DecimalString;
  readonly duplicate: boolean;
  readonly executedAt: Date;
}

/** An attempt whose actual cost is known. */
export interface ScopeSettlement<Scope extends BoundScope = BoundScope> {
  readonly scope: Scope;
  /** How far all attempts together are above the ceiling, `'0'` where they are not: spent, and not in `costUsedCents`. */
  readonly overrunCents: DecimalString;
}

/** Scoped execution on one manager: the store, and the functions beside it. What a consumer's engines are given. */
export interface ScopePort {
  createScope(tenantId: string, input: CreateScopeRequest): Promise<BoundScope>;
  getScope(tenantId: string, scopeId: string): Promise<BoundScope | null>;
  getScopesForIncident(tenantId: string, incidentId: string, page?: PageRequest): Promise<Page<BoundScope>>;
  consumeScope(tenantId: string, input: ExecuteWithScopeRequest): Promise<ScopeConsumption>;
  revokeScope(tenantId: string, scopeId: string, revokedBy?: string): Promise<boolean>;
  cleanupExpired(scope: SystemScope, limit?: number): Promise<number>;
  createRecoveryScope(tenantId: string, input: RecoveryScopeRequest): Promise<JsonObject>;
  executeWithScope(tenantId: string, input: ExecuteWithScopeRequest): Promise<ScopeExecution>;
  settleScopeAttempt(
    tenantId: string,
    scopeId: string,
    attemptNumber: number,
    actualCostCents: DecimalString,
  ): Promise<ScopeSettlement | null>;
}
