import {
  OVERRIDE_HOURS_MAX,
  OVERRIDE_SCHEDULE_DAYS_MAX,
  type OverrideAdjustment,
  type OverrideFault,
  type OverrideStatus,
} from '@hoc/controls/schemas';
import { compareDecimal, type DecimalString, ZERO_DECIMAL } from '@hoc/shared/kernel';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** What a tenant's plan grants. */
export interface PlanQuotas {
  readonly maxTokensPerMonth: DecimalString;
  readonly maxRunsPerDay: DecimalString;
  readonly maxConcurrentRuns: DecimalString;
}

/** What no override of a limit of this type may exceed; null where the plan says nothing of it. */
export function planCapFor(limitType: string, quotas: PlanQuotas): DecimalString | null {
  if (limitType.startsWith('TOKENS_')) return quotas.maxTokensPerMonth;
  if (limitType.startsWith('RUNS_')) return quotas.maxRunsPerDay;
  return limitType.startsWith('CONCURRENT_') ? quotas.maxConcurrentRuns : null;
}

/** State and window of an override. */
export interface OverrideWindow {
  readonly status: OverrideStatus;
  /** Inclusive. */
  readonly startsAt: Date | null;
  /** Exclusive. */
  readonly expiresAt: Date | null;
}

/** Whether the override counts at `at`, marked by a job or not. */
export const isInEffect = ({ status, startsAt, expiresAt }: OverrideWindow, at: Date): boolean =>
  status === 'ACTIVE' && startsAt !== null && expiresAt !== null && startsAt <= at && at < expiresAt;

/** The status as one sees it at `at`: an active one that is over has expired, though nobody has marked it. */
export const statusAt = (status: OverrideStatus, expiresAt: Date | null, at: Date): OverrideStatus =>
  status === 'ACTIVE' && expiresAt !== null && expiresAt <= at ? 'EXPIRED' : status;

/** The end of an override: hours are of 3,600 seconds, whatever a calendar does meanwhile. */
export const endOf = (startsAt: Date, durationHours: number): Date =>
  new Date(startsAt.getTime() + durationHours * HOUR_MS);

/** What a value must exceed, and may reach. */
export interface ValueBounds {
  readonly above: DecimalString;
  /** Null: whatever it is. */
  readonly cap: DecimalString | null;
}

/** A new override, as far as it can be judged without others. */
export interface AskedOverride {
  readonly value: DecimalString;
  readonly durationHours: number;
  /** Null: at once. */
  readonly scheduledStart: Date | null;
}

/** Why an override isn't made at `now`: its duration, then its value, then its start; null where nothing speaks against it. */
export function requestFault(asked: AskedOverride, bounds: ValueBounds, now: Date): OverrideFault | null {
  if (asked.durationHours > OVERRIDE_HOURS_MAX) return 'DURATION';
  return valueFault(asked.value, bounds) ?? startFault(asked.scheduledStart, now);
}

/** A pending override. */
export interface PendingOverride {
  readonly value: DecimalString;
  readonly durationHours: number;
  /** Null, which no request of ours writes: it starts when it is approved. */
  readonly startsAt: Date | null;
}

/** A pending override as it is granted. */
export interface GrantedOverride {
  readonly value: DecimalString;
  readonly durationHours: number;
  readonly startsAt: Date;
  readonly status: 'ACTIVE' | 'APPROVED';
}

/** The pending override with the approver's changes. */
export function grantOf(pending: PendingOverride, adjust: OverrideAdjustment, now: Date): GrantedOverride {
  const startsAt = pending.startsAt ?? now;
  return {
    value: adjust.value ?? pending.value,
    durationHours: adjust.durationHours ?? pending.durationHours,
    startsAt,
    status: startsAt <= now ? 'ACTIVE' : 'APPROVED',
  };
}

/** Why the override isn't granted at `now`: its value, then its end; null where nothing speaks against it. */
export function grantFault(granted: GrantedOverride, bounds: ValueBounds, now: Date): OverrideFault | null {
  const over = endOf(granted.startsAt, granted.durationHours) <= now;
  return valueFault(granted.value, bounds) ?? (over ? 'WINDOW_PASSED' : null);
}

function valueFault(value: DecimalString, { above, cap }: ValueBounds): OverrideFault | null {
  if (compareDecimal(above, ZERO_DECIMAL) === 0) return 'LIMIT_OF_ZERO';
  if (compareDecimal(value, above) <= 0) return 'NOT_AN_INCREASE';
  return cap !== null && compareDecimal(value, cap) > 0 ? 'ABOVE_PLAN_CAP' : null;
}

function startFault(start: Date | null, now: Date): OverrideFault | null {
  if (start === null) return null;
  const ahead = start.getTime() - now.getTime();
  return ahead <= 0 || ahead > OVERRIDE_SCHEDULE_DAYS_MAX * DAY_MS ? 'START' : null;
}
