import type { BudgetDecision, BudgetDecisionOutcome } from '@hoc/controls/schemas';
import { ConflictError, NotFoundError, UnavailableError } from '@hoc/shared/kernel';
import { chunksOf, compareBytes, type DriverManager, guarded, run, toColumns } from '@hoc/shared/drivers';
import { budgetHaltDetails, budgetHaltInputs, budgetHaltReason, isSameBudgetDecision } from '../budget-halt.rules';
import { BUDGET_DECISIONS, INSERT_DECISIONS } from './budget-halt.query';
import { toBudgetDecision, toNewBudgetDecision } from './budget-halt.rows';
import { type DecisionRecord, runKey } from './new-decision.rules';

/** Decisions of one statement. */
const CHUNK_ROWS = 1000;
/** A row that the insert met may be rolled back by its writer before we read it: then we insert again. */
const ROUNDS = 3;

/** Inserts what is new and compares the rest with what is stored: the first write of a run stands. */
export async function insertDecisions(
  manager: DriverManager,
  records: readonly DecisionRecord[],
  decidedAt: Date,
): Promise<BudgetDecisionOutcome> {
  const inserted = new Set<string>();
  const stored = new Map<string, BudgetDecision>();
  let open = [...records].sort((a, b) => compareBytes(a.tenantId, b.tenantId) || compareBytes(a.runId, b.runId));
  for (let round = 0; round < ROUNDS && open.length > 0; round += 1) {
    // All chunks before the first look at what was there: the locks are taken in the one order that all writers keep.
    for (const chunk of chunksOf(open, CHUNK_ROWS))
      for (const id of await insertChunk(manager, chunk, decidedAt)) inserted.add(id);
    open = open.filter(({ id }) => !inserted.has(id));
    for (const chunk of chunksOf(open, CHUNK_ROWS))
      for (const decision of await fetchDecisions(manager, chunk)) stored.set(runKey(decision), decision);
    open = open.filter((record) => !stored.has(runKey(record)));
  }
  if (open.length > 0) throw contention();
  return outcomeOf(records, stored, decidedAt);
}

/** The stored decisions of the runs that have one. */
export async function fetchDecisions(
  manager: DriverManager,
  runs: readonly Pick<DecisionRecord, 'tenantId' | 'runId'>[],
): Promise<readonly BudgetDecision[]> {
  if (runs.length === 0) return [];
  const columns = toColumns(runs, [({ tenantId }) => tenantId, ({ runId }) => runId]);
  return (await run(manager, BUDGET_DECISIONS, columns)).map(toBudgetDecision);
}

async function insertChunk(
  manager: DriverManager,
  records: readonly DecisionRecord[],
  decidedAt: Date,
): Promise<readonly string[]> {
  const columns = toColumns(records, [
    ({ tenantId }) => tenantId,
    ({ runId }) => runId,
    ({ id }) => id,
    (record) => JSON.stringify(budgetHaltInputs(record)),
    budgetHaltReason,
    (record) => JSON.stringify(budgetHaltDetails(record)),
  ]);
  const rows = await run(manager, INSERT_DECISIONS, [decidedAt.toISOString(), ...columns]);
  return rows.map(({ id }) => id);
}

function outcomeOf(
  records: readonly DecisionRecord[],
  stored: ReadonlyMap<string, BudgetDecision>,
  decidedAt: Date,
): BudgetDecisionOutcome {
  const inserted: BudgetDecision[] = [];
  const duplicates: BudgetDecision[] = [];
  const conflicts: BudgetDecision[] = [];
  for (const record of records) {
    const found = stored.get(runKey(record));
    if (found === undefined) inserted.push(toNewBudgetDecision(record, decidedAt));
    else (isSameBudgetDecision(found, record) ? duplicates : conflicts).push(found);
  }
  return Object.freeze({
    inserted: Object.freeze(inserted),
    duplicates: Object.freeze(duplicates),
    conflicts: Object.freeze(conflicts),
  });
}

/** {@link guarded}, where a missing run or tenant is told as not found. */
export async function guardedInsert<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await guarded(work);
  } catch (error) {
    if (!ConflictError.is(error) || error.details['reason'] !== 'foreign_key') throw error;
    throw new NotFoundError('a decision names a run that its tenant does not have', {
      details: { field: 'runId', reason: 'foreign_key' },
      cause: error,
    });
  }
}

/** Somebody writes and rolls back these decisions faster than we can look. */
const contention = (): UnavailableError =>
  new UnavailableError('the decisions vanish while they are compared: send them again', {
    retryable: true,
    details: { reason: 'contention' },
  });
