import type { RunFigures, WorkerRunFigures } from '@hoc/activity/schemas';
import {
  assertDate,
  assertId,
  assertInt,
  assertObject,
  assertOneOf,
  invalid,
  jsonObjectText,
  RUN_TERMINATION_REASONS,
  toMoney,
} from '@hoc/shared/kernel';
import { assertFlag, assertText, INTEGER_MAX, optional } from './values.rules';

/** A value of a figure's column; null where the caller gave none. */
export type FigureValue = string | number | boolean | null;

/** The figures of a run in the order of `RUN_FIGURES`. @throws InvalidArgumentError naming the field */
export function runFigures(figures: RunFigures): readonly FigureValue[] {
  assertKnown(figures, RUN_KEYS);
  return [
    optional(figures.errorMessage, (value) => assertText(value, 'errorMessage')),
    optional(figures.inputTokens, (value) => whole(value, 'inputTokens')),
    optional(figures.outputTokens, (value) => whole(value, 'outputTokens')),
    optional(figures.estimatedCostCents, (value) => money(value, 'estimatedCostCents')),
    optional(figures.durationMs, (value) => whole(value, 'durationMs')),
    optional(figures.terminationReason, (value) => assertOneOf(value, RUN_TERMINATION_REASONS, 'terminationReason')),
    optional(figures.stoppedAtStep, (value) => whole(value, 'stoppedAtStep', INTEGER_MAX)),
    optional(figures.violationPolicyId, (value) => assertId(value, 'violationPolicyId')),
    optional(figures.policyViolation, (value) => assertFlag(value, 'policyViolation')),
    optional(figures.toolCalls, (value) => jsonObjectText(value, 'toolCalls')),
    optional(figures.completedAt, (value) => assertDate(value, 'completedAt').toISOString()),
  ];
}

/** The figures of a worker run in the order of `WORKER_RUN_FIGURES`. @throws InvalidArgumentError naming the field */
export function workerRunFigures(figures: WorkerRunFigures): readonly FigureValue[] {
  assertKnown(figures, WORKER_KEYS);
  return [
    optional(figures.success, (value) => assertFlag(value, 'success')),
    optional(figures.error, (value) => assertText(value, 'error')),
    optional(figures.output, (value) => jsonObjectText(value, 'output')),
    optional(figures.totalTokens, (value) => whole(value, 'totalTokens')),
    optional(figures.totalLatencyMs, (value) => whole(value, 'totalLatencyMs')),
    optional(figures.stagesCompleted, (value) => whole(value, 'stagesCompleted', INTEGER_MAX)),
    optional(figures.recoveries, (value) => whole(value, 'recoveries', INTEGER_MAX)),
    optional(figures.policyViolations, (value) => whole(value, 'policyViolations', INTEGER_MAX)),
    optional(figures.costCents, (value) => money(value, 'costCents')),
    optional(figures.replayToken, (value) => jsonObjectText(value, 'replayToken')),
    optional(figures.completedAt, (value) => assertDate(value, 'completedAt').toISOString()),
  ];
}

const RUN_KEYS: ReadonlySet<string> = new Set<keyof RunFigures>([
  'errorMessage',
  'inputTokens',
  'outputTokens',
  'estimatedCostCents',
  'durationMs',
  'terminationReason',
  'stoppedAtStep',
  'violationPolicyId',
  'policyViolation',
  'toolCalls',
  'completedAt',
]);
const WORKER_KEYS: ReadonlySet<string> = new Set<keyof WorkerRunFigures>([
  'success',
  'error',
  'output',
  'totalTokens',
  'totalLatencyMs',
  'stagesCompleted',
  'recoveries',
  'policyViolations',
  'costCents',
  'replayToken',
  'completedAt',
]);

/** A figure that isn't known would be lost without a word. */
function assertKnown(figures: object, known: ReadonlySet<string>): void {
  const unknown = Object.keys(assertObject(figures, 'figures')).find((key) => !known.has(key));
  if (unknown !== undefined) throw invalid('figures', 'unknown_key', 'the figures have an unknown key');
}

function money(value: unknown, field: string): string {
  if (typeof value !== 'string') throw invalid(field, 'decimal', `${field} must be a decimal text`);
  return toMoney(value, field);
}

const whole = (value: unknown, field: string, max: number = Number.MAX_SAFE_INTEGER): number =>
  assertInt(value, field, 0, max);
