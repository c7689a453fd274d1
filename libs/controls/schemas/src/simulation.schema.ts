import 'reflect-metadata';
import {
  type DecimalString,
  HocError,
  idFault,
  IsIdText,
  IsMoneyText,
  type LimitEnforcement,
  toMoney,
} from '@hoc/shared/kernel';
import { Type } from 'class-transformer';
import { IsIn, IsInstance, ValidateBy, ValidateIf, ValidateNested } from 'class-validator';
import type { SimulationDecision } from './controls-enums.schema';

/** What a check before execution is about: money against budgets, tokens or requests against rates. */
export const LIMIT_CHECK_KINDS = Object.freeze(['cost', 'tokens', 'requests'] as const);
/** One of {@link LIMIT_CHECK_KINDS}. */
export type LimitCheckKind = (typeof LIMIT_CHECK_KINDS)[number];

/** Why a check says what it says; an open set for a caller to translate. @see spec controls C.4 */
export const MESSAGE_CODES = Object.freeze([
  'DAILY_RUN_LIMIT_EXCEEDED',
  'MONTHLY_TOKEN_LIMIT_EXCEEDED',
  'CONCURRENT_RUN_LIMIT_EXCEEDED',
  'DAILY_COST_BUDGET_EXCEEDED',
  'MONTHLY_COST_BUDGET_EXCEEDED',
  'FEATURE_COST_BUDGET_EXCEEDED',
  'USER_COST_BUDGET_EXCEEDED',
  'POLICY_LIMIT_BREACHED',
  'RATE_LIMIT_EXCEEDED',
  'THRESHOLD_LIMIT_EXCEEDED',
  'WORKER_DAILY_LIMIT_EXCEEDED',
  'WORKER_TOKEN_LIMIT_EXCEEDED',
  'OVERRIDE_APPLIED',
  'OVERRIDE_EXPIRED',
  'LIMIT_APPROACHING',
] as const);
/** One of {@link MESSAGE_CODES}. */
export type MessageCode = (typeof MESSAGE_CODES)[number];

/** How a check came to its decision. UNAVAILABLE: the database didn't answer, so it blocks. */
export const LIMIT_CHECK_REASONS = Object.freeze(['EVALUATED', 'NO_LIMITS', 'UNAVAILABLE'] as const);
/** One of {@link LIMIT_CHECK_REASONS}. */
export type LimitCheckReason = (typeof LIMIT_CHECK_REASONS)[number];

/** Checks what is given, null included: `@IsOptional` would let a null pass. */
const IfGiven = (): PropertyDecorator => ValidateIf((_, value) => value !== undefined);

/** A map from limit ids to amounts; of any size, as a tenant may have any number of limits. */
const IsUsageByLimit = (): PropertyDecorator =>
  ValidateBy({
    name: 'isUsageByLimit',
    validator: { validate: isUsageByLimit, defaultMessage: () => 'isUsageByLimit' },
  });

/** For whom the run would be: which limits of a PROJECT, an AGENT or a PROVIDER apply. */
export class LimitCheckContext {
  @IfGiven() @IsIdText(100) projectId?: string;
  @IfGiven() @IsIdText(100) agentId?: string;
  @IfGiven() @IsIdText(100) providerId?: string;
}

/** What is about to happen. A request class: unknown keys are refused, nothing is converted. @see spec controls C.4 */
export class LimitCheckRequest {
  @IsIn([...LIMIT_CHECK_KINDS]) kind!: LimitCheckKind;
  /** Cents, tokens or requests, by the kind; 0 or more. */
  @IsMoneyText() estimated!: string;
  /** What is used already, by limit id, in the same unit; a limit that isn't named counts as unused. */
  @IfGiven() @IsUsageByLimit() currentUsage?: Readonly<Record<string, string>>;
  @IfGiven()
  @IsInstance(LimitCheckContext)
  @ValidateNested()
  @Type(() => LimitCheckContext)
  context?: LimitCheckContext;
}

/** What one limit says. Amounts are in the unit of its type. */
export interface LimitCheckResult {
  readonly limitId: string;
  readonly limitType: string;
  readonly limitName: string;
  readonly currentValue: DecimalString;
  /** The higher of the limit's own value and that of the override in effect. */
  readonly limitValue: DecimalString;
  /** `currentValue` and the estimate. */
  readonly projectedValue: DecimalString;
  readonly enforcement: LimitEnforcement;
  readonly decision: SimulationDecision;
  /** Null where it allows. */
  readonly messageCode: MessageCode | null;
  /** The override that raises the limit; null for none. */
  readonly overrideId: string | null;
}

/** A limit that warns. */
export interface LimitCheckWarning {
  readonly limitId: string;
  readonly limitType: string;
  readonly messageCode: MessageCode;
  /** The projected value in per cent of the limit, half up to 2 decimals; null for a limit of 0. */
  readonly currentPercent: number | null;
}

/** What all limits together say: the worst of them. */
export interface LimitCheckResponse {
  readonly decision: SimulationDecision;
  /** The limit that blocks by most, then by the smaller id; null, as the two below, where none blocks. */
  readonly blockingLimitId: string | null;
  readonly blockingLimitType: string | null;
  readonly blockingMessageCode: MessageCode | null;
  readonly warnings: readonly LimitCheckWarning[];
  /** What may still be used before the first limit is reached, never below 0; null without a limit. */
  readonly headroom: DecimalString | null;
  readonly checks: readonly LimitCheckResult[];
  /** Ids of the overrides that raise one of the limits. */
  readonly overridesApplied: readonly string[];
  readonly reason: LimitCheckReason;
}

/** What a check needs of the overrides: their driver is one. */
export interface OverridesInEffectPort {
  /** The override in effect of each of at most 1,000 limits; a limit without one isn't in the map. */
  fetchOverridesInEffect(
    tenantId: string,
    limitIds: readonly string[],
  ): Promise<ReadonlyMap<string, { readonly overrideId: string; readonly overrideValue: DecimalString }>>;
}

/** A plain object alone: a `Map` of usage has no entries of its own, and would pass for no usage at all. */
function isUsageByLimit(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== null && Object.getPrototypeOf(prototype) !== null) return false;
  return Object.entries(value).every(([id, amount]) => idFault(id, 100) === null && isMoneyText(amount));
}

function isMoneyText(value: unknown): boolean {
  if (typeof value !== 'string') return false;
  try {
    toMoney(value);
    return true;
  } catch (error) {
    if (HocError.is(error)) return false;
    throw error;
  }
}
