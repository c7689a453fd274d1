import { DEFAULT_RUN_SORT, type EvaluationRule } from '@hoc/activity/schemas';
import {
  compareDecimal,
  type DecimalString,
  divideDecimal,
  multiplyDecimal,
  toDecimalString,
} from '@hoc/shared/kernel';
import { entities, migrations } from '@hoc/shared/models';
import { makeLimit, makeLimitBreach, makeRun, makeTenant } from '@hoc/shared/testing';
import { insertRows, useDatabase } from '@hoc/testkit';
import fc from 'fast-check';
import { type ActivityReadDriver, getActivityReadDriver } from './activity-read.driver';

const db = useDatabase({ entities, migrations });
const driver = (): ActivityReadDriver => getActivityReadDriver(db.manager());

beforeEach(() => insertRows(db.manager(), makeTenant({ id: 't-a' })));

interface AnyRun {
  readonly agent_id: string;
  readonly provider_type: string;
  readonly project_id: string | null;
  readonly input_tokens: number | null;
  readonly output_tokens: number | null;
  readonly estimated_cost_cents: string | null;
  readonly duration_ms: number | null;
}
interface AnyLimit {
  readonly limit_type: string;
  readonly scope: string;
  readonly scope_id: string | null;
  readonly max_value: string;
  readonly status: string;
}

const known = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | null> => fc.option(value, { nil: null, freq: 4 });
const anyRun: fc.Arbitrary<AnyRun> = fc.record({
  agent_id: fc.constantFrom('a', 'b'),
  provider_type: fc.constantFrom('openai', 'anthropic'),
  project_id: fc.constantFrom('a', 'b', null),
  input_tokens: known(fc.integer({ min: 0, max: 12 })),
  output_tokens: known(fc.integer({ min: 0, max: 12 })),
  estimated_cost_cents: known(fc.constantFrom('0', '0.000001', '0.4', '1', '7.999999', '8', '9.5', '10', '12')),
  duration_ms: known(fc.integer({ min: 0, max: 12 })),
});
const anyLimit: fc.Arbitrary<AnyLimit> = fc.record({
  limit_type: fc.constantFrom(
    ...['COST_CENTS', 'TOKENS_INPUT', 'TOKENS_OUTPUT', 'TOKENS_TOTAL', 'TIME_MS', 'LATENCY_MS', 'REQUESTS_PM', 'OWN'],
  ),
  scope: fc.constantFrom('GLOBAL', 'TENANT', 'PROJECT', 'AGENT', 'PROVIDER'),
  scope_id: fc.constantFrom('a', 'a', 'b', 'openai', null),
  max_value: fc.constantFrom('0', '0.5', '3', '10', '10', '16'),
  status: fc.constantFrom('ACTIVE', 'ACTIVE', 'ACTIVE', 'DISABLED'),
});
const anyBreach = fc.record({
  run: fc.nat(3),
  limit: fc.nat(5),
  type: fc.constantFrom('BREACHED', 'EXHAUSTED', 'OVERRIDDEN', 'OVERRIDDEN'),
});
interface Situation {
  readonly runs: readonly AnyRun[];
  readonly limits: readonly AnyLimit[];
  readonly breaches: readonly { readonly run: number; readonly limit: number; readonly type: string }[];
  readonly ratio: string;
}

const situation: fc.Arbitrary<Situation> = fc.record({
  runs: fc.array(anyRun, { minLength: 1, maxLength: 4 }),
  limits: fc.array(anyLimit, { maxLength: 6 }),
  breaches: fc.array(anyBreach, { maxLength: 5 }),
  ratio: fc.constantFrom('0.000001', '0.5', '0.8', '1'),
});

const OUTCOMES = ['BREACH', 'OVERRIDDEN', 'NEAR_THRESHOLD', 'OK', 'ADVISORY'];
const SCOPES = ['AGENT', 'PROJECT', 'PROVIDER', 'TENANT', 'GLOBAL'];
const atLeast = (a: string, b: string): boolean => compareDecimal(toDecimalString(a), toDecimalString(b)) >= 0;

function actualOf(run: AnyRun, { limit_type: type }: AnyLimit): DecimalString | null {
  const { input_tokens: input, output_tokens: output } = run;
  const total = input === null && output === null ? null : (input ?? 0) + (output ?? 0);
  const figures: Record<string, number | string | null> = {
    COST_CENTS: run.estimated_cost_cents,
    TOKENS_INPUT: input,
    TOKENS_OUTPUT: output,
    TOKENS_TOTAL: total,
    TIME_MS: run.duration_ms,
    LATENCY_MS: run.duration_ms,
  };
  const figure = figures[type] ?? null;
  return figure === null ? null : toDecimalString(figure);
}

function holdsFor(run: AnyRun, { scope, scope_id: id, status }: AnyLimit): boolean {
  if (status !== 'ACTIVE') return false;
  if (scope === 'GLOBAL' || scope === 'TENANT') return true;
  const own = { PROJECT: run.project_id, AGENT: run.agent_id, PROVIDER: run.provider_type }[scope];
  return id !== null && id === own;
}

/** The rule of D.3.5, read off the specification. */
function evaluate(run: AnyRun, limit: AnyLimit, breaches: readonly string[], ratio: string) {
  const actual = actualOf(run, limit);
  const near = multiplyDecimal(toDecimalString(limit.max_value), toDecimalString(ratio));
  const outcome = breaches.some((type) => type !== 'OVERRIDDEN')
    ? 'BREACH'
    : breaches.length > 0
      ? 'OVERRIDDEN'
      : actual === null
        ? 'ADVISORY'
        : actual !== '0' && atLeast(actual, limit.max_value)
          ? 'BREACH'
          : limit.max_value !== '0' && compareDecimal(actual, near) >= 0
            ? 'NEAR_THRESHOLD'
            : 'OK';
  const hundredfold = actual === null ? null : multiplyDecimal(actual, toDecimalString(100));
  const proximity =
    hundredfold === null || limit.max_value === '0'
      ? null
      : Number(divideDecimal(hundredfold, toDecimalString(limit.max_value), 1));
  return { outcome, actual, proximity };
}

function expected(given: Situation, n: number) {
  const run = given.runs[n];
  if (run === undefined) throw new Error('no such run');
  const found = given.limits
    .map((limit, l) => ({
      id: `l${l}`,
      scope: SCOPES.indexOf(limit.scope),
      holds: holdsFor(run, limit),
      ...evaluate(
        run,
        limit,
        given.breaches.filter((row) => row.run === n && row.limit === l).map((row) => row.type),
        given.ratio,
      ),
    }))
    .filter(({ holds }) => holds)
    .sort(
      (a, b) =>
        OUTCOMES.indexOf(a.outcome) - OUTCOMES.indexOf(b.outcome) ||
        (b.proximity ?? -1) - (a.proximity ?? -1) ||
        a.scope - b.scope ||
        (a.id < b.id ? -1 : 1),
    );
  return found[0] ?? { id: 'SYSTEM_DEFAULT', outcome: 'ADVISORY', actual: null, proximity: null };
}

describe('law', () => {
  it('the limit of every run, the threshold signals and the risk counts are those of the rule', () =>
    fc.assert(
      fc.asyncProperty(situation, async (given) => {
        await db.manager().query('SAVEPOINT law');
        try {
          await insertRows(
            db.manager(),
            ...given.runs.map((columns, n) => makeRun('t-a', { id: `r${n}`, ...columns })),
            ...given.limits.map((columns, n) => makeLimit('t-a', { id: `l${n}`, ...columns })),
            ...given.breaches
              .filter((row) => row.run < given.runs.length && row.limit < given.limits.length)
              .map((row) => makeLimitBreach('t-a', `l${row.limit}`, { run_id: `r${row.run}`, breach_type: row.type })),
          );
          const rule: EvaluationRule = { nearThresholdRatio: given.ratio as DecimalString };
          const wanted = given.runs.map((_, n) => expected(given, n));
          const page = await driver().fetchRunsWithPolicyContext('t-a', {}, DEFAULT_RUN_SORT, {}, rule);
          const of = new Map(page.items.map((row) => [row.runId, row.policyContext]));
          const got = given.runs.map((_, n) => of.get(`r${n}`));
          expect(got.map((c) => [c?.policyId, c?.evaluationOutcome, c?.actualValue, c?.proximityPct])).toEqual(
            wanted.map((w) => [w.id, w.outcome, w.actual, w.proximity]),
          );
          const near = wanted
            .map((w, n) => ({ ...w, run: `r${n}` }))
            .filter((w) => w.outcome !== 'ADVISORY')
            .sort((a, b) => (b.proximity ?? -1) - (a.proximity ?? -1) || (a.run < b.run ? 1 : -1));
          const { items } = await driver().fetchThresholdSignals('t-a', {}, {}, rule);
          expect(items.map((row) => [row.runId, row.proximityPct])).toEqual(near.map((w) => [w.run, w.proximity]));
          expect(await driver().countThresholdSignals('t-a', {}, rule)).toBe(near.length);
          const risky = got.filter(
            (c) => c?.evaluationOutcome === 'BREACH' || c?.evaluationOutcome === 'NEAR_THRESHOLD',
          );
          const count = (type: string): number => risky.filter((c) => c?.riskType === type).length;
          expect(await driver().fetchMetrics('t-a', {}, rule)).toMatchObject({
            costRiskCount: count('COST'),
            timeRiskCount: count('TIME'),
            tokenRiskCount: count('TOKENS'),
            rateRiskCount: count('RATE'),
          });
        } finally {
          await db.manager().query('ROLLBACK TO SAVEPOINT law');
        }
      }),
      { numRuns: 150 },
    ));
});
