import type {
  EvaluationEvidence,
  EvaluationEvidencePort,
  EvidenceFilter,
  NewEvaluationEvidence,
  RecordedEvidence,
} from '@hoc/controls/schemas';
import {
  assertTenantId,
  ConflictError,
  type DriverDeps,
  filterFingerprint,
  NotFoundError,
  type Page,
  type PageRequest,
  UnavailableError,
} from '@hoc/shared/kernel';
import {
  type DriverManager,
  guarded,
  type KeysetList,
  keysetPage,
  keysetRequest,
  run,
  runOne,
} from '@hoc/shared/drivers';
import { evidenceFilter, evidenceValues } from './evaluation-evidence/evidence-values.rules';
import {
  COMPARE_EVIDENCE,
  EVIDENCE_LIST,
  type EvidenceListColumns,
  INSERT_EVIDENCE,
  toEvidence,
} from './evaluation-evidence/evidence.query';

/** A row that the insert met may be rolled back by its writer before we read it: then we insert again. */
const ROUNDS = 3;

/**
 * Puts on record which set of limits a run was checked against, and what came of it, as of the clock: one row a run and set.
 * The same evaluation again changes nothing and gives the stored row. Needs no transaction.
 * @throws InvalidArgumentError naming the field; NotFoundError for a run that the tenant doesn't have; ConflictError
 * (`details.existingId`) where the same run and set have another decision, other overrides or another resolver
 * @see spec controls H.4
 */
export async function recordEvidence(
  manager: DriverManager,
  tenantId: string,
  input: NewEvaluationEvidence,
  deps: DriverDeps,
): Promise<RecordedEvidence> {
  const tenant = assertTenantId(tenantId);
  const { runId, controlSetVersion, overrideIds, resolverVersion, decision } = evidenceValues(input);
  const key = [runId, controlSetVersion];
  const content = [overrideIds, resolverVersion, decision];
  const row = [tenant, deps.ids.next(), ...key, ...content, deps.clock.now().toISOString()];
  return guardedRun(async () => {
    for (let round = 0; round < ROUNDS; round += 1) {
      const inserted = await runOne(manager, INSERT_EVIDENCE, row);
      if (inserted !== null) return Object.freeze({ row: toEvidence(inserted), duplicate: false });
      const stored = await runOne(manager, COMPARE_EVIDENCE, [tenant, ...key, ...content]);
      if (stored?.same === true) return Object.freeze({ row: toEvidence(stored), duplicate: true });
      if (stored !== null) throw otherContent(stored.id);
    }
    throw contention();
  });
}

/**
 * Evaluations of a run, of a set of limits, of both, or all of the tenant, the newest first. Needs no transaction.
 * @throws InvalidArgumentError for a limit out of 1–200, or the cursor of another tenant or filter
 * @see spec controls H.4
 */
export async function queryEvidence(
  manager: DriverManager,
  tenantId: string,
  filter: EvidenceFilter,
  page: PageRequest = {},
): Promise<Page<EvaluationEvidence>> {
  const tenant = assertTenantId(tenantId);
  const wanted = evidenceFilter(filter);
  const list: KeysetList = {
    kind: 'queryEvidence',
    fingerprint: filterFingerprint('queryEvidence', tenant, wanted),
    positions: ['instant', 'text'],
  };
  const request = keysetRequest(list, page);
  const [at = null, id = ''] = request.after ?? [];
  const values = [tenant, at ?? 'infinity', id, request.limit + 1];
  return guarded(async () => {
    const rows = await fetchRows(manager, values, wanted);
    return keysetPage(list, request, rows, { item: toEvidence, position: (row) => [row.position, row.id] });
  });
}

/** The two functions on one manager. */
export function getEvaluationEvidenceDriver(manager: DriverManager, deps: DriverDeps): EvaluationEvidencePort {
  return Object.freeze<EvaluationEvidencePort>({
    recordEvidence: (tenantId, input) => recordEvidence(manager, tenantId, input, deps),
    queryEvidence: (tenantId, filter, page) => queryEvidence(manager, tenantId, filter, page),
  });
}

function fetchRows(
  manager: DriverManager,
  values: readonly unknown[],
  { runId, controlSetVersion }: ReturnType<typeof evidenceFilter>,
): Promise<readonly EvidenceListColumns[]> {
  if (runId !== null && controlSetVersion !== null)
    return run(manager, EVIDENCE_LIST.ofBoth, [...values, runId, controlSetVersion]);
  if (runId !== null) return run(manager, EVIDENCE_LIST.ofRun, [...values, runId]);
  if (controlSetVersion !== null) return run(manager, EVIDENCE_LIST.ofSet, [...values, controlSetVersion]);
  return run(manager, EVIDENCE_LIST.all, values);
}

/** {@link guarded}, where a missing run or tenant is told as not found. */
async function guardedRun<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await guarded(work);
  } catch (error) {
    if (!ConflictError.is(error) || error.details['reason'] !== 'foreign_key') throw error;
    throw new NotFoundError('the tenant has no such run', {
      details: { field: 'runId', reason: 'foreign_key' },
      cause: error,
    });
  }
}

const otherContent = (existingId: string): ConflictError =>
  new ConflictError('this run and set of limits have another evaluation on record: the first one stands', {
    details: { reason: 'content', existingId },
  });

/** Somebody writes and rolls back this evaluation faster than we can look. */
const contention = (): UnavailableError =>
  new UnavailableError('the evaluation vanishes while it is compared: send it again', {
    retryable: true,
    details: { reason: 'contention' },
  });
