import type { BudgetEnforcementDriver } from '@hoc/controls/drivers';
import {
  DEFAULT_HALT_SWEEP_PAGES,
  DEFAULT_PENDING_HALT_LIMIT,
  HALT_SWEEP_PAGES_MAX,
  type HaltedRunRef,
  type HaltSweepOptions,
  type HaltSweepResult,
  type NewBudgetDecision,
  type PendingBudgetHalt,
} from '@hoc/controls/schemas';
import {
  assertInt,
  assertObject,
  ConflictError,
  type DecimalString,
  deepFreeze,
  type JsonObject,
  type JsonValue,
  PAGE_LIMIT_MAX,
  toDecimalString,
  ZERO_DECIMAL,
} from '@hoc/shared/kernel';

/** What the engine needs of the driver. */
export type BudgetHaltPort = Pick<BudgetEnforcementDriver, 'fetchPendingBudgetHalts' | 'insertBudgetDecisions'>;

/**
 * Decisions for runs that were stopped for their budget: written by the executor when it stops one, and by a sweep where it
 * died before. System-wide, in the driver's transaction.
 *
 * @see budget_enforcement_engine.py, BudgetEnforcementEngine
 */
export class BudgetEnforcementEngine {
  constructor(private readonly driver: BudgetHaltPort) {}

  /**
   * Puts one decision on record: true when this call wrote it, false when an equal one was there.
   * @throws ConflictError (`details.decisionId`) where the run has a decision with other amounts; what the driver throws
   */
  async emitDecisionForHalt(decision: NewBudgetDecision): Promise<boolean> {
    const { inserted, conflicts } = await this.driver.insertBudgetDecisions([decision]);
    const [stored] = conflicts;
    if (stored !== undefined)
      throw new ConflictError('the run has a budget decision with other amounts: the first one stands', {
        details: { reason: 'content', tenantId: stored.tenantId, runId: stored.runId, decisionId: stored.decisionId },
      });
    return inserted.length > 0;
  }

  /**
   * Finds pending halts page by page and puts a decision on record for each whose message says both amounts; the others are
   * listed, and stop nothing. Done when `nextCursor` is null, else after `maxPages`: the next sweep goes on from there. A
   * second sweep writes nothing.
   * @throws InvalidArgumentError for options out of range; errors of the driver propagate, and what was written until then
   * is the transaction's
   */
  async processPendingHalts(options: HaltSweepOptions = {}): Promise<HaltSweepResult> {
    assertObject(options, 'options');
    const limit = assertInt(options.pageSize ?? DEFAULT_PENDING_HALT_LIMIT, 'pageSize', 1, PAGE_LIMIT_MAX);
    const maxPages = assertInt(options.maxPages ?? DEFAULT_HALT_SWEEP_PAGES, 'maxPages', 1, HALT_SWEEP_PAGES_MAX);
    const since = options.since === undefined ? {} : { since: options.since };
    const sum = { scanned: 0, emitted: 0, duplicates: 0 };
    const conflicts: HaltedRunRef[] = [];
    const unparsable: HaltedRunRef[] = [];
    let cursor: string | null = options.cursor ?? null;
    for (let page = 0; page < maxPages; page += 1) {
      const from = cursor === null ? {} : { cursor };
      const { items, nextCursor } = await this.driver.fetchPendingBudgetHalts({ limit, ...since, ...from });
      const decisions = items.map((halt) => ({ halt, decision: decisionOf(halt) }));
      const parsed = decisions.flatMap(({ decision }) => decision ?? []);
      unparsable.push(...decisions.flatMap(({ halt, decision }) => (decision === null ? refOf(halt) : [])));
      sum.scanned += items.length;
      if (parsed.length > 0) {
        const outcome = await this.driver.insertBudgetDecisions(parsed);
        sum.emitted += outcome.inserted.length;
        sum.duplicates += outcome.duplicates.length;
        conflicts.push(...outcome.conflicts.map(refOf));
      }
      cursor = nextCursor;
      if (cursor === null) break;
    }
    return deepFreeze({ ...sum, conflicts, unparsable, nextCursor: cursor });
  }
}

/** {@link BudgetEnforcementEngine.emitDecisionForHalt} of the engine. @see budget_enforcement_engine.py, emit_budget_halt_decision */
export const emitBudgetHaltDecision = (
  engine: Pick<BudgetEnforcementEngine, 'emitDecisionForHalt'>,
  decision: NewBudgetDecision,
): Promise<boolean> => engine.emitDecisionForHalt(decision);

/** {@link BudgetEnforcementEngine.processPendingHalts} of the engine. @see budget_enforcement_engine.py, process_pending_budget_decisions */
export const processPendingBudgetDecisions = (
  engine: Pick<BudgetEnforcementEngine, 'processPendingHalts'>,
  options?: HaltSweepOptions,
): Promise<HaltSweepResult> => engine.processPendingHalts(options);

/**
 * The amounts, in cents and exact, of the first `<consumed>c consumed >= <limit>c limit` in a text; null where there is
 * none. Any text is read in linear time. Nothing says that the first amount is the larger one: they are taken as said.
 */
export function parseBudgetFromError(
  message: string,
): { readonly consumedCents: DecimalString; readonly limitCents: DecimalString } | null {
  const [, consumed, limit] = AMOUNTS.exec(message) ?? [];
  if (consumed === undefined || limit === undefined) return null;
  return Object.freeze({ consumedCents: toDecimalString(consumed), limitCents: toDecimalString(limit) });
}

/** The look-behind: the tail of a number that is too long, or has separators or an exponent, is no amount. */
const AMOUNTS = /(?<![\d.,]|[\d.][eE][+-]?)(\d{1,14}(?:\.\d{1,6})?)c consumed >= (\d{1,14}(?:\.\d{1,6})?)c limit(?!\w)/;

/** Steps that a plan has (`plan.steps`), and tool calls that were made; 0 for what is no list. */
export function countSteps(
  planJson: JsonObject | null,
  toolCallsJson: readonly JsonValue[] | null,
): { readonly totalSteps: number; readonly completedSteps: number } {
  const steps = planJson?.['steps'];
  return Object.freeze({
    totalSteps: Array.isArray(steps) ? steps.length : 0,
    completedSteps: Array.isArray(toolCallsJson) ? toolCallsJson.length : 0,
  });
}

/** The decision that a halt's message speaks of; what the last step cost, nobody knows any more. */
function decisionOf(halt: PendingBudgetHalt): NewBudgetDecision | null {
  const amounts = parseBudgetFromError(halt.errorMessage);
  if (amounts === null) return null;
  return {
    ...refOf(halt),
    budgetLimitCents: amounts.limitCents,
    budgetConsumedCents: amounts.consumedCents,
    stepCostCents: ZERO_DECIMAL,
    ...countSteps(halt.planJson, halt.toolCallsJson),
  };
}

const refOf = ({ tenantId, runId }: HaltedRunRef): HaltedRunRef => ({ tenantId, runId });
