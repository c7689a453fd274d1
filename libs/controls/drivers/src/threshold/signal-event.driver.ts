import {
  assertThresholdParams,
  EVALUATION_STATES,
  type EvaluationState,
  type SignalEmission,
  THRESHOLD_SIGNAL_EVENTS,
  type ThresholdParams,
  toStoredParams,
} from '@hoc/controls/schemas';
import { compareBytes, type DriverManager, guarded, run, toColumns } from '@hoc/shared/drivers';
import { assertId, assertOneOf, ConflictError, deepFreeze, type DriverDeps } from '@hoc/shared/kernel';
import type { ThresholdSignal } from '@hoc/shared/schemas';
import { EMIT_EVENTS, EMIT_EVENTS_OF_HELD_RUN, STORED_EVENTS, type StoredEventColumns } from './signal-event.query';

/** The run of an emission, checked. */
export interface EvaluatedRun {
  readonly runId: string;
  readonly state: EvaluationState;
  readonly paramsUsed: ThresholdParams;
}

/** What {@link emitEvents} writes. */
export interface SignalEvents {
  readonly run: EvaluatedRun;
  /** Checked, each once, at least one. */
  readonly signals: readonly ThresholdSignal[];
  /** Whether the run's own row is locked first, as it is raised next. */
  readonly holdRun: boolean;
}

/** The run that a caller names. @throws InvalidArgumentError naming the field */
export const evaluatedRun = (input: { readonly [K in keyof EvaluatedRun]: unknown }): EvaluatedRun => ({
  runId: assertId(input.runId, 'runId'),
  state: assertOneOf(input.state, EVALUATION_STATES, 'state'),
  paramsUsed: assertThresholdParams(input.paramsUsed, 'paramsUsed'),
});

/** Writes an event a signal, in one statement; one that is stored already is a duplicate. @throws ConflictError for another's event */
export async function emitEvents(
  manager: DriverManager,
  tenant: string,
  { run: evaluated, signals, holdRun }: SignalEvents,
  deps: DriverDeps,
): Promise<SignalEmission> {
  const events = signals
    .map((signal) => ({ signal, id: deps.ids.next(), key: keyOf(evaluated, signal) }))
    .sort((a, b) => compareBytes(a.key, b.key));
  const columns = toColumns(events, [
    ({ id }) => id,
    ({ key }) => key,
    ({ signal }) => THRESHOLD_SIGNAL_EVENTS[signal].eventType,
    ({ signal }) => THRESHOLD_SIGNAL_EVENTS[signal].severity,
    ({ signal }) => metadataOf(evaluated, signal),
  ]);
  const values = [tenant, evaluated.runId, deps.clock.now().toISOString(), ...columns];
  return guarded(async () => {
    const rows = await run(manager, holdRun ? EMIT_EVENTS_OF_HELD_RUN : EMIT_EVENTS, values);
    const added = new Set(rows.flatMap((row) => (row.added ? [row.key] : [])));
    const before = rows.filter((row) => !row.added);
    // Committed by another connection since the statement began: only a later statement sees it.
    const unseen = before.flatMap((row) => (row.event_type === null ? [row.key] : []));
    const seen = unseen.length === 0 ? [] : await run(manager, STORED_EVENTS, [tenant, unseen]);
    const stored = new Map<string, StoredEventColumns>([...before, ...seen].map((row) => [row.key, row]));
    for (const { signal, key } of events) assertSame(stored.get(key), evaluated, signal);
    const isNew = (signal: ThresholdSignal): boolean => added.has(keyOf(evaluated, signal));
    return deepFreeze({
      emitted: signals.filter(isNew),
      duplicates: signals.filter((signal) => !isNew(signal)),
    });
  });
}

/** Distinct for distinct runs, whatever their ids hold: state and signal are the last two parts. */
const keyOf = ({ runId, state }: EvaluatedRun, signal: ThresholdSignal): string =>
  `threshold:${runId}:${state}:${signal}`;

const metadataOf = ({ state, paramsUsed }: EvaluatedRun, signal: ThresholdSignal): string =>
  JSON.stringify({ signal, state, params_used: toStoredParams(paramsUsed), domain: 'llm_runs' });

/** The thresholds of a replay aren't compared: a limit may be edited between two evaluations. */
function assertSame(stored: StoredEventColumns | undefined, { runId }: EvaluatedRun, signal: ThresholdSignal): void {
  if (stored === undefined) return;
  const { eventType, severity } = THRESHOLD_SIGNAL_EVENTS[signal];
  const same =
    stored.event_type === eventType &&
    stored.severity === severity &&
    stored.entity_type === 'llm_call' &&
    stored.entity_id === runId;
  if (!same)
    throw new ConflictError('another event is stored under the key of this signal: the first write stands', {
      details: { reason: 'content', runId, signal },
    });
}
