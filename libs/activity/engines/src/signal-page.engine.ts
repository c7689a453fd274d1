import {
  type EvaluationRule,
  SEVERITY_LEVELS,
  SIGNAL_TYPES,
  type SignalFeedbackStatus,
  type SignalProjection,
  type SignalsResult,
} from '@hoc/activity/schemas';
import {
  assertId,
  assertOneOf,
  decodeCursor,
  deepFreeze,
  encodeCursor,
  filterFingerprint,
  noopLogger,
  pageLimit,
  refusedCursor,
  UnavailableError,
} from '@hoc/shared/kernel';
import type { FacadeDeps, ReadDriver } from './activity-facade.engine';
import { only, type SignalsQuery } from './facade-query.engine';
import { RISK_LEVELS_OF_SEVERITY, toSignal } from './signal-projection.engine';

/** Pages of the driver that one page of signals looks through, at most. */
export const SIGNAL_SCAN_MAX_CALLS = 20;
const KIND = 'signals';

/** A page of signals: the driver's rows, filtered by what a row is only known to be once it was read. */
export async function signalPage(
  driver: Pick<ReadDriver, 'fetchAtRiskRuns'>,
  deps: FacadeDeps,
  tenantId: string,
  query: SignalsQuery,
  rule: EvaluationRule,
): Promise<SignalsResult> {
  const { projectId, signalType, severity } = checked(query);
  const limit = pageLimit(query.limit === undefined ? {} : { limit: query.limit });
  const fingerprint = filterFingerprint(KIND, tenantId, {
    projectId: projectId ?? null,
    signalType: signalType ?? null,
    severity: severity ?? null,
  });
  const filter = {
    ...(projectId === undefined ? {} : { projectId }),
    ...(severity === undefined ? {} : { riskLevels: RISK_LEVELS_OF_SEVERITY[severity] }),
  };
  const found: SignalProjection[] = [];
  let cursor = query.cursor === undefined ? null : unwrap(query.cursor, fingerprint);
  let scanned = 0;
  for (let calls = 0; calls < SIGNAL_SCAN_MAX_CALLS && found.length < limit; calls += 1) {
    const request = { limit: limit - found.length, ...(cursor === null ? {} : { cursor }) };
    const page = await driver.fetchAtRiskRuns(tenantId, filter, request, rule);
    scanned += page.items.length;
    found.push(...page.items.map(toSignal).filter((signal) => [undefined, signal.signalType].includes(signalType)));
    cursor = page.nextCursor;
    if (cursor === null) break;
  }
  return deepFreeze({
    signals: await withFeedback(deps, tenantId, found),
    nextCursor: cursor === null ? null : encodeCursor(KIND, fingerprint, [cursor]),
    scanned,
    generatedAt: deps.clock.now(),
  });
}

function checked(query: SignalsQuery): SignalsQuery {
  const { projectId, signalType, severity } = only(query, KEYS);
  if (projectId !== undefined) assertId(projectId, 'projectId');
  if (signalType !== undefined) assertOneOf(signalType, SIGNAL_TYPES, 'signalType');
  if (severity !== undefined) assertOneOf(severity, SEVERITY_LEVELS, 'severity');
  return query;
}

const KEYS = ['projectId', 'signalType', 'severity', 'limit', 'cursor'];

/** The driver's own cursor inside; it knows its tenant and filter as well. */
function unwrap(cursor: string, fingerprint: string): string {
  const [inner] = decodeCursor(cursor, KIND, fingerprint, 1);
  if (inner === null || inner === undefined) throw refusedCursor();
  return inner;
}

/** One question for the whole page. Feedback is an extra: while its source is away, signals are shown without it. */
async function withFeedback(
  { feedback, logger = noopLogger }: FacadeDeps,
  tenantId: string,
  signals: readonly SignalProjection[],
): Promise<readonly SignalProjection[]> {
  if (feedback === undefined || signals.length === 0) return signals;
  let known: ReadonlyMap<string, SignalFeedbackStatus>;
  try {
    known = await feedback.getSignalFeedback(
      tenantId,
      signals.map((signal) => signal.signalFingerprint),
    );
  } catch (error) {
    if (!UnavailableError.is(error)) throw error;
    logger.warn('signal_feedback_unavailable', { tenantId, reason: String(error.details['reason'] ?? '') });
    return signals;
  }
  return signals.map((signal) => ({ ...signal, feedback: known.get(signal.signalFingerprint) ?? null }));
}
