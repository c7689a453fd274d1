import {
  type AtRiskFilter,
  type EvaluationRule,
  lifecycleStateOf,
  RUN_DIMENSIONS,
  RUN_SORT_FIELDS,
  type RunFilter,
  type RunSort,
} from '@hoc/activity/schemas';
import {
  type DecimalString,
  EVIDENCE_HEALTH,
  HocError,
  INTEGRITY_STATUSES,
  InvalidArgumentError,
  LATENCY_BUCKETS,
  type Page,
  type PageRequest,
  RISK_LEVELS,
  RUN_PROVIDER_TYPES,
  RUN_SOURCES,
  RUN_STATUSES,
} from '@hoc/shared/kernel';
import { entities, migrations } from '@hoc/shared/models';
import { makeLimit, makeLimitBreach, makeRun, makeTenant } from '@hoc/shared/testing';
import { insertRows, useDatabase } from '@hoc/testkit';
import fc from 'fast-check';
import { type ActivityReadDriver, getActivityReadDriver } from './activity-read.driver';

const db = useDatabase({ entities, migrations });
const driver = (): ActivityReadDriver => getActivityReadDriver(db.manager());
const RULE: EvaluationRule = { nearThresholdRatio: '0.8' as DecimalString };
const NEWEST: RunSort = { field: 'startedAt', direction: 'desc' };

beforeEach(() => insertRows(db.manager(), makeTenant({ id: 't-a' }), makeTenant({ id: 't-b' })));

const law = <T>(arbitrary: fc.Arbitrary<T>, holds: (value: T) => Promise<void>, numRuns = 60): Promise<void> =>
  fc.assert(
    fc.asyncProperty(arbitrary, async (value) => {
      await db.manager().query('SAVEPOINT law');
      try {
        await holds(value);
      } finally {
        await db.manager().query('ROLLBACK TO SAVEPOINT law');
      }
    }),
    { numRuns },
  );

const START = Date.parse('2026-03-01T00:00:00.000Z');
/** Few instants, so that many are equal. */
const instant = fc.integer({ min: 0, max: 5 }).map((n) => new Date(START + n * 1000));
const nullable = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | null> => fc.option(value, { nil: null });
const some = <T>(list: readonly T[]): fc.Arbitrary<T[]> => fc.subarray([...list], { minLength: 1 });
const columns = fc.record({
  started_at: nullable(instant),
  completed_at: nullable(instant),
  duration_ms: nullable(fc.integer({ min: 0, max: 4 })),
  estimated_cost_cents: nullable(fc.constantFrom('0', '7', '9.5', '10')),
  risk_level: fc.constantFrom(...RISK_LEVELS),
  evidence_health: fc.constantFrom(...EVIDENCE_HEALTH),
  latency_bucket: fc.constantFrom(...LATENCY_BUCKETS),
  integrity_status: fc.constantFrom(...INTEGRITY_STATUSES),
  source: fc.constantFrom(...RUN_SOURCES),
  provider_type: fc.constantFrom(...RUN_PROVIDER_TYPES),
  status: fc.constantFrom(...RUN_STATUSES),
  agent_id: fc.constantFrom('a', 'b', 'unknown'),
  project_id: fc.constantFrom('p', 'q', null),
  is_synthetic: fc.boolean(),
  incident_count: fc.constantFrom(0, 0, 1),
  policy_violation: fc.constantFrom(false, false, true),
});
type AnyColumns = typeof columns extends fc.Arbitrary<infer T> ? T : never;
type AnyRun = readonly [id: string, columns: AnyColumns];
/** Ids whose byte order is not the order of UTF-16, nor that of any locale. */
const id = fc.constantFrom('a', 'B', 'b', 'ä', 'z', 'Z', '1', '10', '2', 'ｅ', '🦉', 'aa', 'a-', '_');
const rows: fc.Arbitrary<AnyRun[]> = fc.uniqueArray(fc.tuple(id, columns), { selector: ([key]) => key, maxLength: 12 });
/** At most three conditions at once, or nothing would be left to sort. */
const filter: fc.Arbitrary<RunFilter> = fc.record(
  {
    state: fc.constantFrom('LIVE' as const, 'COMPLETED' as const),
    atRiskOnly: fc.boolean(),
    riskLevels: some(RISK_LEVELS),
    statuses: some(RUN_STATUSES),
    evidenceHealth: some(EVIDENCE_HEALTH),
    latencyBuckets: some(LATENCY_BUCKETS),
    integrityStatuses: some(INTEGRITY_STATUSES),
    sources: some(RUN_SOURCES),
    providerTypes: some(RUN_PROVIDER_TYPES),
    agentId: fc.constantFrom('a', 'b'),
    projectId: fc.constantFrom('p', 'q'),
    isSynthetic: fc.boolean(),
    startedFrom: instant.map((at) => new Date(at.getTime() - 2000)),
    startedTo: instant.map((at) => new Date(at.getTime() + 4000)),
    completedFrom: instant.map((at) => new Date(at.getTime() - 2000)),
    completedTo: instant.map((at) => new Date(at.getTime() + 4000)),
  },
  { requiredKeys: [] },
);
const fewConditions = fc
  .tuple(filter, fc.array(fc.nat(15), { maxLength: 3 }))
  .map(([given, kept]) => Object.fromEntries(Object.entries(given).filter((_, n) => kept.includes(n))) as RunFilter);
const sort: fc.Arbitrary<RunSort> = fc.record({
  field: fc.constantFrom(...RUN_SORT_FIELDS),
  direction: fc.constantFrom('asc', 'desc'),
});
const limits = fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 3 });

const insert = (tenant: string, made: readonly AnyRun[]) =>
  insertRows(db.manager(), ...made.map(([key, given]) => makeRun(tenant, { id: key, ...given })));

/** All pages of a list, each as long as it was asked for but the last. */
async function sequence(
  fetch: (page: PageRequest) => Promise<Page<{ readonly runId: string }>>,
  asked: readonly number[],
): Promise<string[]> {
  const found: string[] = [];
  let cursor: string | undefined;
  for (let n = 0; ; n += 1) {
    const limit = asked[n % asked.length] ?? 1;
    const page = await fetch({ limit, ...(cursor === undefined ? {} : { cursor }) });
    found.push(...page.items.map((row) => row.runId));
    if (page.nextCursor === null) return found;
    expect(page.items).toHaveLength(limit);
    cursor = page.nextCursor;
  }
}

const keyOf = (run: AnyColumns, { field }: RunSort): number => {
  if (field === 'riskLevel') return ['NORMAL', 'NEAR_THRESHOLD', 'AT_RISK', 'VIOLATED'].indexOf(run.risk_level);
  if (field === 'durationMs') return run.duration_ms ?? -Infinity;
  return (field === 'startedAt' ? run.started_at : run.completed_at)?.getTime() ?? -Infinity;
};
const bytes = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));

/** The order of the specification in memory: null smallest, ties by id in byte order. */
function reference(all: readonly AnyRun[], order: RunSort): string[] {
  const sign = order.direction === 'asc' ? 1 : -1;
  const compare = ([a, run]: AnyRun, [b, other]: AnyRun): number => {
    const [x, y] = [keyOf(run, order), keyOf(other, order)];
    return x === y ? bytes(a, b) : x < y ? -1 : 1;
  };
  return [...all].sort((a, b) => sign * compare(a, b)).map(([key]) => key);
}

const isAtRisk = (run: AnyColumns): boolean =>
  run.risk_level !== 'NORMAL' || run.incident_count > 0 || run.policy_violation;
const inside = (at: Date | null, from: Date | undefined, to: Date | undefined): boolean =>
  (from === undefined && to === undefined) ||
  (at !== null && (from === undefined || at >= from) && (to === undefined || at < to));

const matches = (run: AnyColumns, f: RunFilter): boolean =>
  (f.state === undefined || lifecycleStateOf(run.status) === f.state) &&
  (f.atRiskOnly !== true || isAtRisk(run)) &&
  (f.riskLevels?.includes(run.risk_level) ?? true) &&
  (f.statuses?.includes(run.status) ?? true) &&
  (f.evidenceHealth?.includes(run.evidence_health) ?? true) &&
  (f.latencyBuckets?.includes(run.latency_bucket) ?? true) &&
  (f.integrityStatuses?.includes(run.integrity_status) ?? true) &&
  (f.sources?.includes(run.source) ?? true) &&
  (f.providerTypes?.includes(run.provider_type) ?? true) &&
  (f.agentId === undefined || f.agentId === run.agent_id) &&
  (f.projectId === undefined || f.projectId === run.project_id) &&
  (f.isSynthetic === undefined || f.isSynthetic === run.is_synthetic) &&
  inside(run.started_at, f.startedFrom, f.startedTo) &&
  inside(run.completed_at, f.completedFrom, f.completedTo);

const sum = (groups: readonly { readonly count: number }[]): number =>
  groups.reduce((total, { count }) => total + count, 0);
const costLimit = (tenant: string) => makeLimit(tenant, { id: 'L', limit_type: 'COST_CENTS', max_value: '10' });

describe('laws', () => {
  it('1, 2: pages of any limits are the sorted runs of the filter; every count agrees with them', () =>
    law(
      fc.tuple(rows, fewConditions, sort, limits),
      async ([made, f, s, asked]) => {
        await insert('t-a', made);
        const wanted = reference(
          made.filter(([, run]) => matches(run, f)),
          s,
        );
        expect(await sequence((page) => driver().fetchRuns('t-a', f, s, page), asked)).toEqual(wanted);
        expect(await driver().countRuns('t-a', f)).toBe(wanted.length);
        expect(sum(await driver().fetchStatusSummary('t-a', f))).toBe(wanted.length);
        for (const dimension of RUN_DIMENSIONS) {
          const { totalRuns, groups } = await driver().fetchDimensionBreakdown('t-a', dimension, f, 100);
          expect([totalRuns, sum(groups)]).toEqual([wanted.length, wanted.length]);
          const first = await driver().fetchDimensionBreakdown('t-a', dimension, f, 1);
          expect(first).toEqual({ dimension, totalRuns, groups: groups.slice(0, 1) });
        }
      },
      150,
    ));

  it('1: the lists with limits page as the plain one does', () =>
    law(fc.tuple(rows, fewConditions, sort, limits), async ([made, f, s, asked]) => {
      await insert('t-a', made);
      await insertRows(db.manager(), costLimit('t-a'));
      const runs = reference(
        made.filter(([, run]) => matches(run, f)),
        s,
      );
      expect(await sequence((page) => driver().fetchRunsWithPolicyContext('t-a', f, s, page, RULE), asked)).toEqual(
        runs,
      );
      const { projectId, riskLevels, startedFrom, startedTo } = f;
      const g = Object.fromEntries(
        Object.entries({ projectId, riskLevels, startedFrom, startedTo }).filter(([, value]) => value !== undefined),
      ) as AtRiskFilter;
      const risky = made.filter(([, run]) => isAtRisk(run) && matches(run, g));
      expect(await sequence((page) => driver().fetchAtRiskRuns('t-a', g, page, RULE), asked)).toEqual(
        reference(risky, NEWEST),
      );
      const near = made
        .filter(([, run]) => run.estimated_cost_cents !== null)
        .sort(([a, x], [b, y]) => Number(y.estimated_cost_cents) - Number(x.estimated_cost_cents) || bytes(b, a));
      expect(await sequence((page) => driver().fetchThresholdSignals('t-a', {}, page, RULE), asked)).toEqual(
        near.map(([key]) => key),
      );
      expect(await driver().countThresholdSignals('t-a', {}, RULE)).toBe(near.length);
    }));

  it('9: runs, limits and breaches of other tenants change no result', () =>
    law(fc.tuple(rows, rows, fewConditions, sort), async ([made, others, f, s]) => {
      await insert('t-a', made);
      await insertRows(db.manager(), costLimit('t-a'));
      const look = async () => [
        await driver().countRuns('t-a', f),
        await driver().fetchRuns('t-a', f, s, { limit: 5 }),
        await driver().fetchRunDetail('t-a', 'a'),
        await driver().fetchStatusSummary('t-a', f),
        await driver().fetchRunsWithPolicyContext('t-a', f, s, {}, RULE),
        await driver().fetchAtRiskRuns('t-a', {}, {}, RULE),
        await driver().fetchMetrics('t-a', {}, RULE),
        await driver().fetchThresholdSignals('t-a', {}, {}, RULE),
        await driver().countThresholdSignals('t-a', {}, RULE),
        await driver().fetchDimensionBreakdown('t-a', 'riskLevel', f),
      ];
      const before = await look();
      await insert('t-b', others);
      const low = { limit_type: 'COST_CENTS', max_value: '0.000001', scope: 'GLOBAL' };
      await insertRows(db.manager(), costLimit('t-b'), makeLimit('t-b', { id: 'A', ...low }));
      await insertRows(
        db.manager(),
        ...others.map(([run_id], n) => makeLimitBreach('t-b', 'L', { id: `${n}`, run_id })),
      );
      expect(await look()).toEqual(before);
    }));

  it('10: a cursor with one character changed is refused, or is a position of the same list', async () => {
    const day = (n: number): Date => new Date(START + n * 86_400_000);
    const made = Array.from({ length: 6 }, (_, n) =>
      makeRun('t-a', {
        id: `r${n}`,
        started_at: day(n),
        duration_ms: n,
        estimated_cost_cents: `${n}.5`,
        ...(n > 2 && { risk_level: 'AT_RISK' }),
      }),
    );
    await insertRows(db.manager(), ...made, costLimit('t-a'));
    const lists: ((page: PageRequest) => Promise<Page<{ readonly runId: string }>>)[] = [
      ...RUN_SORT_FIELDS.map(
        (field) => (page: PageRequest) => driver().fetchRuns('t-a', {}, { field, direction: 'desc' }, page),
      ),
      (page) => driver().fetchRunsWithPolicyContext('t-a', {}, NEWEST, page, RULE),
      (page) => driver().fetchAtRiskRuns('t-a', {}, page, RULE),
      (page) => driver().fetchThresholdSignals('t-a', {}, page, RULE),
    ];
    const cursors: string[] = [];
    for (const fetch of lists) {
      const { nextCursor } = await fetch({ limit: 1 });
      cursors.push(nextCursor ?? '');
      expect((await fetch({ limit: 200, cursor: nextCursor ?? '' })).items.length).toBeGreaterThan(0);
    }
    await law(
      fc.tuple(fc.nat(lists.length - 1), fc.nat(), fc.constantFrom(...'ADEIMQTUYcgjkmnoswxyz0123456789-_=. ')),
      async ([list, where, char]) => {
        const cursor = cursors[list] ?? '';
        const at = where % cursor.length;
        const changed = cursor.slice(0, at) + char + cursor.slice(at + 1);
        const refused = async (error: unknown): Promise<null> => {
          expect(InvalidArgumentError.is(error) && HocError.is(error) && error.details['reason']).toBe('cursor');
          expect(await driver().countRuns('t-a')).toBe(6); // the transaction still stands
          return null;
        };
        const page = await (lists[list]?.({ limit: 5, cursor: changed }) ?? Promise.reject(new Error())).catch(refused);
        if (page === null) return;
        expect(page.items.length).toBeLessThanOrEqual(5);
        expect(new Set(page.items.map((row) => row.runId)).size).toBe(page.items.length);
      },
      400,
    );
  });
});
