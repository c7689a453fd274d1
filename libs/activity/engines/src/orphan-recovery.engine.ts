import type { OrphanRecoveryDriver } from '@hoc/activity/drivers';
import {
  type CrashRecoverySummary,
  ORPHAN_THRESHOLD_MINUTES,
  type OrphanedRun,
  type OrphanRecoveryResult,
  RECOVERY_ENABLED,
  type RecoverOptions,
} from '@hoc/activity/schemas';
import { assertObject, type ReadDeps, type SystemScope } from '@hoc/shared/kernel';

/** What a process decides once: whether it recovers, and after which time without a sign of life. */
export interface OrphanRecoveryPolicy {
  /** Default true. */
  readonly enabled?: boolean;
  /** 1–43,200, default 30. */
  readonly thresholdMinutes?: number;
}

/** The engine on a driver of one unit of work. */
export function getOrphanRecoveryEngine(
  driver: OrphanRecoveryDriver,
  deps: ReadDeps,
  policy: OrphanRecoveryPolicy = {},
): OrphanRecoveryEngine {
  return new OrphanRecoveryEngine(driver, deps, policy);
}

/**
 * Worker runs whose process died: found, marked crashed once and only once, summed up. Decides whether and after which
 * time; the driver only executes. System-wide: each call takes a `SystemScope`.
 * @see orphan_recovery.py
 */
export class OrphanRecoveryEngine {
  private readonly policy: Required<OrphanRecoveryPolicy>;

  constructor(
    private readonly driver: OrphanRecoveryDriver,
    _deps: ReadDeps,
    policy: OrphanRecoveryPolicy = {},
  ) {
    this.policy = {
      enabled: policy.enabled ?? RECOVERY_ENABLED,
      thresholdMinutes: policy.thresholdMinutes ?? ORPHAN_THRESHOLD_MINUTES,
    };
  }

  /** Open worker runs without a sign of life, the longest idle first; changes nothing. @throws TenantScopeError, InvalidArgumentError */
  async detect(
    scope: SystemScope,
    options: { readonly thresholdMinutes?: number; readonly limit?: number } = {},
  ): Promise<readonly OrphanedRun[]> {
    assertObject(options, 'options');
    return this.driver.detect(scope, options.thresholdMinutes ?? this.policy.thresholdMinutes, options.limit);
  }

  /** Marks a round of orphans crashed; `hasMore` says that another round is due. An option wins over the policy. */
  async recover(scope: SystemScope, options: RecoverOptions = {}): Promise<OrphanRecoveryResult> {
    assertObject(options, 'options');
    return this.driver.recover(scope, {
      ...options,
      enabled: options.enabled ?? this.policy.enabled,
      thresholdMinutes: options.thresholdMinutes ?? this.policy.thresholdMinutes,
    });
  }

  /** Marks one detected run; false where it finished or showed life meanwhile. */
  async markCrashed(
    scope: SystemScope,
    run: Pick<OrphanedRun, 'tenantId' | 'runId' | 'cutoff'>,
    reason?: string,
  ): Promise<boolean> {
    return this.driver.markCrashed(scope, run, reason);
  }

  /** How many runs crashed, and the newest of them. */
  async summary(scope: SystemScope, options: { readonly recentLimit?: number } = {}): Promise<CrashRecoverySummary> {
    return this.driver.summary(scope, options);
  }
}
