import {
  assertId,
  assertInt,
  assertList,
  assertObject,
  canonicalJson,
  type DecimalString,
  invalid,
  type Page,
  type PageRequest,
  type RunId,
  sha256Hex,
} from '@hoc/shared/kernel';
import { assertAmount } from './amount.schema';
import type { SimulationDecision } from './controls-enums.schema';

/** Limits of one set, at most. */
export const CONTROL_SET_MAX = 10_000;
/** Overrides that one evaluation can name. */
export const EVIDENCE_OVERRIDES_MAX = 100;
/** Characters of the resolver's version. */
export const RESOLVER_VERSION_MAX = 32;
/** A {@link controlSetVersion}: 64 hex digits, lower case. */
export const CONTROL_SET_VERSION = /^[0-9a-f]{64}$/;
const VERSION_MAX = 2_147_483_647;

/** One limit as it was in force. */
export interface ControlSetMember {
  readonly limitId: string;
  /** The limit's version: raised by every update. */
  readonly version: number;
  /** The higher of the limit's own value and that of the override in effect. */
  readonly effectiveValue: DecimalString;
}

/**
 * The name of a set of limits in force: SHA-256 (64 hex digits) of the canonical JSON of `[limitId, version,
 * effectiveValue]`, sorted by limit id. The same limits, versions and values give the same name, in whatever order and with
 * whatever trailing zeros; any other value gives another one. An empty set has a name too.
 * @throws InvalidArgumentError naming the field, and for a limit that is there twice
 * @see spec controls H.4
 */
export function controlSetVersion(limits: readonly ControlSetMember[]): string {
  const members = assertList(limits, 'limits', CONTROL_SET_MAX).map(toMember);
  members.sort(([a], [b]) => (a < b ? -1 : 1));
  members.forEach(([limitId], index) => {
    if (members[index - 1]?.[0] === limitId)
      throw invalid('limits', 'duplicate', 'a limit stands in its set once: it has one version and one value in force');
  });
  return sha256Hex(canonicalJson(members));
}

function toMember(given: unknown): [string, number, string] {
  const { limitId, version, effectiveValue } = assertObject(given, 'limit');
  return [
    assertId(limitId, 'limitId'),
    assertInt(version, 'version', 1, VERSION_MAX),
    assertAmount(effectiveValue, 'effectiveValue'),
  ];
}

/** An evaluation to put on record. */
export interface NewEvaluationEvidence {
  readonly runId: RunId;
  /** Made by {@link controlSetVersion}. */
  readonly controlSetVersion: string;
  /** A set: order and repetitions say nothing. At most 100. */
  readonly overrideIdsApplied: readonly string[];
  /** 1–32 characters: which code decided. */
  readonly resolverVersion: string;
  readonly decision: SimulationDecision;
}

/** An evaluation on record: one a run and set of limits. */
export interface EvaluationEvidence {
  readonly evidenceId: string;
  readonly runId: string;
  readonly controlSetVersion: string;
  /** Sorted, each once. */
  readonly overrideIdsApplied: readonly string[];
  readonly resolverVersion: string;
  readonly decision: SimulationDecision;
  readonly evaluatedAt: Date;
}

/** The row on record, and whether it was there before. */
export interface RecordedEvidence {
  readonly row: EvaluationEvidence;
  readonly duplicate: boolean;
}

/** Which evaluations: of a run, of a set of limits, of both, or all. */
export interface EvidenceFilter {
  readonly runId?: RunId;
  readonly controlSetVersion?: string;
}

/** Evaluation evidence on one unit of work: what an engine is given. */
export interface EvaluationEvidencePort {
  /** Puts one evaluation on record, once. */
  recordEvidence(tenantId: string, input: NewEvaluationEvidence): Promise<RecordedEvidence>;
  /** Evaluations, the newest first. */
  queryEvidence(tenantId: string, filter: EvidenceFilter, page?: PageRequest): Promise<Page<EvaluationEvidence>>;
}
