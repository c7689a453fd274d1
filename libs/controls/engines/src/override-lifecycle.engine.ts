import {
  DUE_TENANTS_MAX,
  type LimitOverrideResponse,
  OverrideApprovalRequest,
  type OverridePort,
  type OverrideSweepResult,
} from '@hoc/controls/schemas';
import {
  assertSystemScope,
  type SystemScope,
  toDecimalString,
  UnavailableError,
  type UnitOfWorkRunner,
  validateOrThrow,
} from '@hoc/shared/kernel';

/** What the lifecycle of overrides calls, in one unit of work. */
export interface OverrideLifecycleEngines {
  readonly overrides: OverridePort;
}

/**
 * Decisions on overrides, and the job that starts and ends them, each in transactions of its own. Made once per process,
 * closed at its end; it starts no timer: the consumer's scheduler calls {@link sweep}. Any number of processes may sweep at
 * once.
 */
export class OverrideLifecycleEngine {
  private readonly running = new Set<Promise<unknown>>();
  private closing: Promise<void> | undefined;

  constructor(private readonly run: UnitOfWorkRunner<OverrideLifecycleEngines>) {}

  /**
   * Approves or rejects a pending override, in one transaction; the override as it stands then.
   * @throws InvalidArgumentError for the decision, and what `approveOverride` or `rejectOverride` of the driver throws;
   * UnavailableError reason `closed`
   */
  async decide(
    tenantId: string,
    overrideId: string,
    decision: OverrideApprovalRequest,
    by: string,
  ): Promise<LimitOverrideResponse> {
    const { adjustedValue, adjustedDurationHours, rejectionReason } = validateOrThrow(
      OverrideApprovalRequest,
      decision,
    );
    // Demanded exactly with a rejection, so it tells the two apart.
    if (rejectionReason !== undefined)
      return this.unit(({ overrides }) => overrides.rejectOverride(tenantId, overrideId, by, rejectionReason));
    const adjust = {
      ...(adjustedValue === undefined ? {} : { value: toDecimalString(adjustedValue, 'adjustedValue') }),
      ...(adjustedDurationHours === undefined ? {} : { durationHours: adjustedDurationHours }),
    };
    return this.unit(({ overrides }) => overrides.approveOverride(tenantId, overrideId, by, adjust));
  }

  /**
   * Ends what is over and starts what is due, of all tenants: one transaction for the ends, then one for each tenant. A
   * tenant that fails is listed, and the rest go on; ends that came due meanwhile are marked with their tenant and not
   * counted.
   * @throws TenantScopeError without a scope; what fails before any tenant's turn; UnavailableError reason `closed` between
   * two transactions. What was committed stays, and the next sweep goes on
   */
  async sweep(scope: SystemScope): Promise<OverrideSweepResult> {
    assertSystemScope(scope);
    const expired = await this.unit(({ overrides }) => overrides.expireOverrides(scope));
    const failedTenants: string[] = [];
    const sums = { activated: 0, blockedByCap: 0 };
    for (let page = await this.dueTenants(scope); page.length > 0; page = await this.dueTenants(scope, page.at(-1)))
      for (const tenantId of page) {
        this.assertOpen();
        try {
          const { activated, blockedByCap } = await this.unit(({ overrides }) =>
            overrides.activateDueOverrides(tenantId),
          );
          sums.activated += activated.length;
          sums.blockedByCap += blockedByCap.length;
        } catch {
          failedTenants.push(tenantId);
        }
      }
    return Object.freeze({ expired, ...sums, failedTenants: Object.freeze(failedTenants) });
  }

  /** Takes nothing further, lets what runs end its transaction, and waits for it. A second call gives the same promise. */
  close(): Promise<void> {
    return (this.closing ??= Promise.allSettled([...this.running]).then(() => undefined));
  }

  /** From behind the last tenant on: those that the cap blocks stay due, and would hide everyone behind them. */
  private dueTenants(scope: SystemScope, after?: string): Promise<readonly string[]> {
    return this.unit(({ overrides }) => overrides.detectTenantsWithDueOverrides(scope, DUE_TENANTS_MAX, after));
  }

  private async unit<T>(work: (engines: OverrideLifecycleEngines) => Promise<T>): Promise<T> {
    this.assertOpen();
    const unit = this.run(work);
    this.running.add(unit);
    try {
      return await unit;
    } finally {
      this.running.delete(unit);
    }
  }

  private assertOpen(): void {
    if (this.closing !== undefined)
      throw new UnavailableError('closed: no further work on overrides; what was committed stays', {
        details: { reason: 'closed' },
      });
  }
}
