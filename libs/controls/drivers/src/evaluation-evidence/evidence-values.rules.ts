import {
  CONTROL_SET_VERSION,
  EVIDENCE_OVERRIDES_MAX,
  type EvidenceFilter,
  type NewEvaluationEvidence,
  RESOLVER_VERSION_MAX,
  SIMULATION_DECISIONS,
} from '@hoc/controls/schemas';
import { assertId, assertList, assertObject, assertOneOf, invalid, textFault } from '@hoc/shared/kernel';

/** What of an evaluation is bound: its key, and what is compared with a stored one. */
export interface EvidenceValues {
  readonly runId: string;
  readonly controlSetVersion: string;
  /** JSON text of the ids, in one order and each once. */
  readonly overrideIds: string;
  readonly resolverVersion: string;
  readonly decision: string;
}

/** @throws InvalidArgumentError naming the field */
export function evidenceValues(given: NewEvaluationEvidence): EvidenceValues {
  assertObject(given, 'evidence');
  const fault = textFault(given.resolverVersion, 1, RESOLVER_VERSION_MAX);
  if (fault !== null)
    throw invalid(
      'resolverVersion',
      fault,
      `resolverVersion must be a text of 1 to ${RESOLVER_VERSION_MAX} characters`,
    );
  const overrideIds = assertList(given.overrideIdsApplied, 'overrideIdsApplied', EVIDENCE_OVERRIDES_MAX).map((id) =>
    assertId(id, 'overrideIdsApplied'),
  );
  return {
    runId: assertId(given.runId, 'runId'),
    controlSetVersion: assertControlSetVersion(given.controlSetVersion),
    overrideIds: JSON.stringify([...new Set(overrideIds)].sort()),
    resolverVersion: given.resolverVersion,
    decision: assertOneOf(given.decision, SIMULATION_DECISIONS, 'decision'),
  };
}

/** The filter, checked; absent is null. @throws InvalidArgumentError naming the field */
export function evidenceFilter(filter: EvidenceFilter): {
  readonly runId: string | null;
  readonly controlSetVersion: string | null;
} {
  const { runId, controlSetVersion } = assertObject(filter, 'filter');
  return {
    runId: runId === undefined ? null : assertId(runId, 'runId'),
    controlSetVersion: controlSetVersion === undefined ? null : assertControlSetVersion(controlSetVersion),
  };
}

function assertControlSetVersion(value: unknown): string {
  if (typeof value !== 'string' || !CONTROL_SET_VERSION.test(value))
    throw invalid('controlSetVersion', 'control_set_version', 'controlSetVersion must be 64 hex digits, lower case');
  return value;
}
