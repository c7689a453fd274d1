import type {
  DecimalString,
  JsonObject,
  LimitBreachType,
  LimitCategory,
  LimitConsequence,
  LimitEnforcement,
  LimitScope,
  LimitStatus,
  Page,
  ResetPeriod,
} from '@hoc/shared/kernel';
import type { LimitIntegrityStatus } from './controls-enums.schema';

/** Which limits of a tenant; what is absent isn't asked, except `category` and `status`, which have a default. */
export interface LimitsFilter {
  /** Default BUDGET. */
  readonly category?: LimitCategory;
  /** Default ACTIVE. */
  readonly status?: LimitStatus;
  readonly scope?: LimitScope;
  readonly enforcement?: LimitEnforcement;
  /** One type, or what it begins with and one `*`: `TOKENS_*`. No other character is a wildcard; `*` alone matches all. */
  readonly limitType?: string;
  /** Inclusive. */
  readonly createdAfter?: Date;
  /** Exclusive. */
  readonly createdBefore?: Date;
}

/** Which budgets of a tenant. */
export interface BudgetLimitsFilter {
  readonly scope?: LimitScope;
  /** Default ACTIVE. */
  readonly status?: LimitStatus;
}

/** A limit in a list, with the breaches of the 30 days up to the instant at which the list was first asked for. */
export interface LimitSummary {
  readonly limitId: string;
  readonly name: string;
  readonly limitCategory: LimitCategory;
  readonly limitType: string;
  readonly scope: LimitScope;
  readonly scopeId: string | null;
  readonly enforcement: LimitEnforcement;
  readonly status: LimitStatus;
  /** In the unit of `limitType`: see `limitUnit`. */
  readonly maxValue: DecimalString;
  readonly windowSeconds: number | null;
  readonly resetPeriod: ResetPeriod | null;
  /** Null where the limit was never verified. */
  readonly integrityStatus: LimitIntegrityStatus | null;
  /** 0–1. */
  readonly integrityScore: number | null;
  readonly breachCount30d: number;
  /** Within the same 30 days: null for none, however many lie before. */
  readonly lastBreachedAt: Date | null;
  readonly createdAt: Date;
}

/** One limit in full. */
export interface LimitDetail extends LimitSummary {
  readonly description: string | null;
  readonly consequence: LimitConsequence | null;
  readonly measurementWindowSeconds: number | null;
  /** As stored; only THRESHOLD limits use it. */
  readonly params: JsonObject;
  readonly version: number;
  readonly updatedAt: Date;
}

/** A budget in a list. */
export interface BudgetLimit {
  readonly id: string;
  readonly name: string;
  readonly scope: LimitScope;
  readonly scopeId: string | null;
  /** In the unit of the limit's type. */
  readonly maxValue: DecimalString;
  readonly resetPeriod: ResetPeriod | null;
  readonly enforcement: LimitEnforcement;
  readonly status: LimitStatus;
  readonly createdAt: Date;
}

/** One crossing of a limit by a run. */
export interface LimitBreachForRun {
  readonly breachId: string;
  readonly limitId: string;
  readonly limitName: string;
  readonly limitType: string;
  readonly valueAtBreach: DecimalString | null;
  /** What the limit was at that moment, an override included. */
  readonly limitValue: DecimalString;
  /** What the limit is today, without an override. */
  readonly thresholdValue: DecimalString;
  readonly breachType: LimitBreachType;
  readonly breachedAt: Date;
}

/** How many limits may apply to one question: more are refused, since a part of them would give another decision. */
export const LIMITS_APPLYING_MAX = 1000;

/** Which limits apply to what is about to happen. */
export interface ApplyingLimitsFilter {
  readonly category: LimitCategory;
  /** What the type begins with, as it stands: `COST_`. No character is a wildcard. */
  readonly typePrefix: string;
  /** For whom it happens: a limit of a project, an agent or a provider applies to the one that is named here alone. */
  readonly context?: {
    readonly projectId?: string;
    readonly agentId?: string;
    readonly providerId?: string;
  };
}

/** An active limit as a decision needs it: without its breaches and its verification. */
export interface ApplyingLimit {
  readonly limitId: string;
  readonly name: string;
  readonly limitType: string;
  readonly scope: LimitScope;
  readonly scopeId: string | null;
  /** In the unit of `limitType`: see `limitUnit`. */
  readonly maxValue: DecimalString;
  readonly resetPeriod: ResetPeriod | null;
  readonly enforcement: LimitEnforcement;
}

/** The filter of a list with its defaults filled in, and nothing that wasn't asked. */
export type AppliedLimitsFilter = LimitsFilter & Required<Pick<LimitsFilter, 'category' | 'status'>>;

/** The filter of a list of budgets with its default filled in. */
export type AppliedBudgetLimitsFilter = BudgetLimitsFilter & Required<Pick<BudgetLimitsFilter, 'status'>>;

/** A page, and how long the whole list is. */
export interface LimitList<Item, Filter> extends Page<Item> {
  /** Of all pages; counted by a statement of its own, after the page. */
  readonly total: number;
  /** Whether `nextCursor` is given. */
  readonly hasMore: boolean;
  readonly filtersApplied: Filter;
}

/** How much of a limit is used, as far as the caller knows: in the limit's unit. */
export interface LimitUsage {
  readonly currentValue: DecimalString;
}

/** A limit in full, beside its use. */
export interface LimitDetailWithUsage extends LimitDetail {
  /** Null where the caller gave none. */
  readonly currentValue: DecimalString | null;
  /** Per cent of `maxValue`, half up to 2 decimals; null without a use, and for a limit of 0. */
  readonly utilizationPercent: number | null;
}
