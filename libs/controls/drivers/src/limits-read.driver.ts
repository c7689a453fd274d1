import {
  type ApplyingLimit,
  type ApplyingLimitsFilter,
  type BudgetLimit,
  type BudgetLimitsFilter,
  type LimitBreachForRun,
  type LimitDetail,
  LIMITS_APPLYING_MAX,
  type LimitsFilter,
  type LimitSummary,
} from '@hoc/controls/schemas';
import {
  assertId,
  assertTenantId,
  DataIntegrityError,
  filterFingerprint,
  type JsonObject,
  type Page,
  type PageRequest,
  type ReadDeps,
  refusedCursor,
  toSafeInteger,
} from '@hoc/shared/kernel';
import {
  type DriverManager,
  guarded,
  type KeysetList,
  keysetPage,
  keysetRequest,
  type PositionType,
  run,
  runOne,
} from '@hoc/shared/drivers';
import {
  APPLYING_LIMITS,
  COUNT_LIMITS,
  LIMIT_BY_ID,
  LIST_BUDGETS,
  LIST_LIMITS,
  LIST_RUN_BREACHES,
} from './limits-read/limits.query';
import { toApplyingLimit, toBudgetLimit, toLimitDetail, toLimitSummary, toRunBreach } from './limits-read/limits.rows';
import {
  breachWindowAt,
  breachWindowOf,
  checkBudgetFilter,
  checkLimitsFilter,
  filterAsJson,
  valuesOf,
  valuesOfApplying,
} from './limits-read/limits-filter.rules';

/** The driver on the given manager. @see limits_read_driver.py, get_limits_read_driver */
export function getLimitsReadDriver(manager: DriverManager, deps: ReadDeps): LimitsReadDriver {
  return new LimitsReadDriver(manager, deps);
}

/**
 * A tenant's limits as an operator sees them: filtered pages, how many there are, one in full, those that apply to a call,
 * and what a run crossed. Each method is one statement: what it returns is of one snapshot, nothing is locked, no transaction is needed. Instants are
 * UTC, ranges half-open, amounts in the unit of the limit's type (money is cents). Results are frozen.
 * @see limits_read_driver.py, LimitsReadDriver
 */
export class LimitsReadDriver {
  constructor(
    private readonly manager: DriverManager,
    private readonly deps: ReadDeps,
  ) {}

  /**
   * A page of limits, the last breached first, then the newest; one that wasn't breached in 30 days stands behind all that
   * were. The 30 days end at the clock of the first page: every later page counts the same ones, so that what is breached
   * while somebody pages moves no limit.
   * @throws InvalidArgumentError for a bad filter or limit, or a cursor of another list
   * @see fetch_limits
   */
  async fetchLimits(tenantId: string, filter: LimitsFilter = {}, page: PageRequest = {}): Promise<Page<LimitSummary>> {
    const tenant = assertTenantId(tenantId);
    const applied = checkLimitsFilter(filter);
    const list = listOf('limits', tenant, filterAsJson(applied), ['instant', 'instant', 'instant', 'text']);
    const request = keysetRequest(list, page);
    const [asOf, breached = 'infinity', created = 'infinity', id = ''] = request.after ?? [];
    const window = request.after === null ? breachWindowAt(this.deps.clock.now()) : breachWindowOf(asOf);
    const after = [breached ?? '-infinity', present(created), id];
    const values = [tenant, ...valuesOf(applied), window.from, window.to, ...after, request.limit + 1];
    return guarded(async () =>
      keysetPage(list, request, await run(this.manager, LIST_LIMITS, values), {
        item: toLimitSummary,
        position: (row) => [window.asOf, row.last_breached_position, row.created_position, row.id],
      }),
    );
  }

  /**
   * How many limits the pages of {@link fetchLimits} have together; 0 for an unknown tenant.
   * @throws InvalidArgumentError for a bad filter
   * @see fetch_limits, its total
   */
  async countLimits(tenantId: string, filter: LimitsFilter = {}): Promise<number> {
    const values = [assertTenantId(tenantId), ...valuesOf(checkLimitsFilter(filter))];
    return guarded(async () => toSafeInteger((await runOne(this.manager, COUNT_LIMITS, values))?.n ?? 0, 'count'));
  }

  /**
   * One limit in full, of any category and status; null where it is missing, or another tenant's.
   * @throws InvalidArgumentError for what isn't an id
   * @see fetch_limit_by_id
   */
  async fetchLimitById(tenantId: string, limitId: string): Promise<LimitDetail | null> {
    const tenant = assertTenantId(tenantId);
    const id = assertId(limitId, 'limitId');
    const { from, to } = breachWindowAt(this.deps.clock.now());
    return guarded(async () => {
      const row = await runOne(this.manager, LIMIT_BY_ID, [tenant, id, from, to]);
      return row === null ? null : toLimitDetail(row);
    });
  }

  /**
   * The active limits that apply to what is about to happen, by id in byte order: those of GLOBAL and TENANT, and those of
   * the project, the agent and the provider that `context` names. They aren't paged: what decides by them needs them all.
   * @throws InvalidArgumentError for a bad filter
   * @throws DataIntegrityError reason `too_many` for more than 1,000: a part of them would give another decision
   */
  async fetchApplyingLimits(tenantId: string, filter: ApplyingLimitsFilter): Promise<readonly ApplyingLimit[]> {
    const values = [assertTenantId(tenantId), ...valuesOfApplying(filter), LIMITS_APPLYING_MAX + 1];
    return guarded(async () => {
      const rows = await run(this.manager, APPLYING_LIMITS, values);
      if (rows.length > LIMITS_APPLYING_MAX)
        throw new DataIntegrityError(`more than ${LIMITS_APPLYING_MAX} active limits apply`, {
          details: { field: 'limits', reason: 'too_many' },
        });
      return Object.freeze(rows.map(toApplyingLimit));
    });
  }

  /**
   * A page of budgets, the newest first.
   * @throws InvalidArgumentError for a bad filter or limit, or a cursor of another list
   * @see fetch_budget_limits
   */
  async fetchBudgetLimits(
    tenantId: string,
    filter: BudgetLimitsFilter = {},
    page: PageRequest = {},
  ): Promise<Page<BudgetLimit>> {
    const tenant = assertTenantId(tenantId);
    const applied = checkBudgetFilter(filter);
    const list = listOf('budgets', tenant, filterAsJson(applied), ['instant', 'text']);
    const request = keysetRequest(list, page);
    const values = [tenant, applied.status, applied.scope ?? null, ...newestAfter(request.after), request.limit + 1];
    return guarded(async () =>
      keysetPage(list, request, await run(this.manager, LIST_BUDGETS, values), {
        item: toBudgetLimit,
        position: (row) => [row.position, row.id],
      }),
    );
  }

  /**
   * What a run crossed, the last crossing first, each with the limit as it was then and as it is today.
   * @throws InvalidArgumentError for a bad run id or limit, or a cursor of another list
   */
  async fetchLimitBreachesForRun(
    tenantId: string,
    runId: string,
    page: PageRequest = {},
  ): Promise<Page<LimitBreachForRun>> {
    const tenant = assertTenantId(tenantId);
    const id = assertId(runId, 'runId');
    const list = listOf('run_breaches', tenant, { runId: id }, ['instant', 'text']);
    const request = keysetRequest(list, page);
    const values = [tenant, id, ...newestAfter(request.after), request.limit + 1];
    return guarded(async () =>
      keysetPage(list, request, await run(this.manager, LIST_RUN_BREACHES, values), {
        item: toRunBreach,
        position: (row) => [row.position, row.id],
      }),
    );
  }
}

const listOf = (
  kind: string,
  tenantId: string,
  filter: JsonObject,
  positions: readonly PositionType[],
): KeysetList => ({ kind, fingerprint: filterFingerprint(kind, tenantId, filter), positions });

/** Where a list goes on that has the newest first: at its head for the first page. */
function newestAfter(after: readonly (string | null)[] | null): readonly string[] {
  const [at = 'infinity', id = ''] = after ?? [];
  return [present(at), present(id)];
}

/** A position that is never null; in a cursor of ours, none is. */
function present(position: string | null): string {
  if (position === null) throw refusedCursor();
  return position;
}
