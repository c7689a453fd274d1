import {
  type BudgetDecision,
  type BudgetDecisionOutcome,
  DEFAULT_PENDING_HALT_LIMIT,
  type NewBudgetDecision,
  type PendingBudgetHalt,
  type PendingBudgetHaltRequest,
} from '@hoc/controls/schemas';
import {
  assertDate,
  assertId,
  assertObject,
  assertSystemScope,
  assertTenantId,
  type DriverDeps,
  filterFingerprint,
  invalid,
  noopLogger,
  type Page,
  type SystemScope,
} from '@hoc/shared/kernel';
import {
  assertInTransaction,
  type DriverManager,
  guarded,
  type KeysetList,
  keysetPage,
  keysetRequest,
  run,
} from '@hoc/shared/drivers';
import { PENDING_HALTS } from './budget-enforcement/budget-halt.query';
import { toPendingHalt } from './budget-enforcement/budget-halt.rows';
import { fetchDecisions, guardedInsert, insertDecisions } from './budget-enforcement/insert-decisions.driver';
import { toDecisionRecords } from './budget-enforcement/new-decision.rules';

export { BUDGET_DECISIONS_MAX, BUDGET_HALT_MARKER, DEFAULT_PENDING_HALT_LIMIT } from '@hoc/controls/schemas';

/** The driver on the given manager. @see budget_enforcement_driver.py, get_budget_enforcement_driver */
export function getBudgetEnforcementDriver(
  manager: DriverManager,
  scope: SystemScope,
  deps: DriverDeps,
): BudgetEnforcementDriver {
  return new BudgetEnforcementDriver(manager, scope, deps);
}

/**
 * Runs that were stopped for their budget, and the decisions on record for them: one a run, whoever writes it. It finds and
 * writes for all tenants, by the scope that it is made with; amounts are cents. Results are frozen.
 *
 * @see budget_enforcement_driver.py, BudgetEnforcementDriver
 */
export class BudgetEnforcementDriver {
  private readonly reason: string;
  private current: DriverManager | null;

  /** @throws TenantScopeError without a scope */
  constructor(
    manager: DriverManager,
    scope: SystemScope,
    private readonly deps: DriverDeps,
  ) {
    this.reason = assertSystemScope(scope).reason;
    this.current = manager;
  }

  /**
   * System-wide: halted runs whose message holds the marker and that have no decision yet, by tenant and run in byte order.
   * Each comes once, with the plan and tool calls of its newest provenance. One statement; needs no transaction.
   * @throws InvalidArgumentError for a limit out of 1–200, an invalid `since`, or a cursor of another list or `since`
   * @see budget_enforcement_driver.py, fetch_pending_budget_halts
   */
  async fetchPendingBudgetHalts(request: PendingBudgetHaltRequest = {}): Promise<Page<PendingBudgetHalt>> {
    const manager = this.manager();
    assertObject(request, 'request');
    const since = request.since === undefined ? null : assertInstant(request.since);
    const list = haltList(since);
    const page = keysetRequest(list, request);
    const [tenant = '', runId = ''] = page.after ?? [];
    const values = [tenant, runId, since ?? '-infinity', page.limit + 1];
    return guarded(async () => {
      const rows = await run(manager, PENDING_HALTS, values);
      return keysetPage(list, page, rows, { item: toPendingHalt, position: (row) => [row.tenant_id, row.id] });
    });
  }

  /**
   * Puts up to 10,000 decisions on record, as of the clock. A stored one with the same limit and consumed amounts is a
   * duplicate, one with others a conflict: it stands, and undoes nothing. Two sweeps that insert the same halts share them.
   * @throws TransactionRequiredError outside a transaction; InvalidArgumentError with `details.index` for a bad decision, or
   * a run that is there twice; NotFoundError for a run that its tenant doesn't have: then roll back, nothing is written
   */
  async insertBudgetDecisions(decisions: readonly NewBudgetDecision[]): Promise<BudgetDecisionOutcome> {
    const manager = this.manager();
    assertInTransaction(manager);
    const records = toDecisionRecords(decisions, this.deps.ids);
    const outcome = await guardedInsert(() => insertDecisions(manager, records, this.deps.clock.now()));
    this.tell(outcome);
    return outcome;
  }

  /** The decision on record for the tenant's run; null where there is none. Needs no transaction. */
  async fetchBudgetDecision(tenantId: string, runId: string): Promise<BudgetDecision | null> {
    const manager = this.manager();
    const wanted = { tenantId: assertTenantId(tenantId), runId: assertId(runId, 'runId') };
    return guarded(async () => (await fetchDecisions(manager, [wanted]))[0] ?? null);
  }

  /** Lets go of the manager; a second time does nothing. Every other call is an InvalidArgumentError from then on. @see dispose */
  dispose(): void {
    this.current = null;
  }

  private manager(): DriverManager {
    if (this.current === null) throw invalid('driver', 'disposed', 'this driver was disposed of: make another one');
    return this.current;
  }

  private tell({ inserted, duplicates, conflicts }: BudgetDecisionOutcome): void {
    const logger = this.deps.logger ?? noopLogger;
    for (const { tenantId, runId, decisionId } of conflicts)
      logger.warn('budget_decision_conflict', { tenantId, runId, decisionId });
    logger.info('budget_decisions', {
      reason: this.reason,
      inserted: inserted.length,
      duplicates: duplicates.length,
      conflicts: conflicts.length,
    });
  }
}

const haltList = (since: string | null): KeysetList => ({
  kind: 'fetchPendingBudgetHalts',
  fingerprint: filterFingerprint('fetchPendingBudgetHalts', '', { since }),
  positions: ['text', 'text'],
  defaultLimit: DEFAULT_PENDING_HALT_LIMIT,
});

/** ISO text. PostgreSQL reads the sign of a year that isn't one of 0–9999 as a time zone. */
function assertInstant(since: unknown): string {
  const text = assertDate(since, 'since').toISOString();
  if (text.length !== ISO_LENGTH) throw invalid('since', 'range', 'since must lie in the years 0001 to 9999');
  return text;
}

const ISO_LENGTH = '2026-03-10T12:00:00.000Z'.length;
