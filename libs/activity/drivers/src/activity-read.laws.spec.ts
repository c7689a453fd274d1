import { RUN_SORT_FIELDS, type RunFilter, type RunSort, type RunSummaryRow } from '@hoc/activity/schemas';
import { EVIDENCE_HEALTH, HocError, InvalidArgumentError, RISK_LEVELS, RUN_STATUSES } from '@hoc/shared/kernel';
import { entities, migrations } from '@hoc/shared/models';
import { makeRun, makeTenant } from '@hoc/shared/testing';
import { insertRows, useDatabase } from '@hoc/testkit';
import fc from 'fast-check';
import { type ActivityReadDriver, getActivityReadDriver } from './activity-read.driver';

const db = useDatabase({ entities, migrations });
const driver = (): ActivityReadDriver => getActivityReadDriver(db.manager());

beforeEach(() => insertRows(db.manager(), makeTenant({ id: 't-a' }), makeTenant({ id: 't-b' })));

const law = <T>(arbitrary: fc.Arbitrary<T>, holds: (value: T) => Promise<void>): Promise<void> =>
  fc.assert(
    fc.asyncProperty(arbitrary, async (value) => {
      await db.manager().query('SAVEPOINT law');
      try {
        await holds(value);
      } finally {
        await db.manager().query('ROLLBACK TO SAVEPOINT law');
      }
    }),
    { numRuns: 50 },
  );

const START = Date.parse('2026-03-01T00:00:00.000Z');
/** Few instants, so that many are equal. */
const instant = fc.integer({ min: 0, max: 5 }).map((n) => new Date(START + n * 1000));
const nullable = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | null> => fc.option(value, { nil: null });
const columns = fc.record({
  started_at: nullable(instant),
  completed_at: nullable(instant),
  duration_ms: nullable(fc.integer({ min: 0, max: 4 })),
  risk_level: fc.constantFrom(...RISK_LEVELS),
  evidence_health: fc.constantFrom(...EVIDENCE_HEALTH),
  status: fc.constantFrom(...RUN_STATUSES),
  agent_id: fc.constantFrom('a', 'b', 'unknown'),
  incident_count: fc.constantFrom(0, 0, 1),
  policy_violation: fc.constantFrom(false, false, true),
});
/** Ids whose byte order is not the order of UTF-16, nor that of any locale. */
const id = fc.constantFrom('a', 'B', 'b', 'ä', 'z', 'Z', '1', '10', '2', 'ｅ', '🦉', 'aa', 'a-', '_');
const rows = fc.uniqueArray(fc.tuple(id, columns), { selector: ([key]) => key, maxLength: 12 });
const filter: fc.Arbitrary<RunFilter> = fc.record(
  {
    state: fc.constantFrom('LIVE', 'COMPLETED'),
    atRiskOnly: fc.boolean(),
    riskLevels: fc.subarray([...RISK_LEVELS], { minLength: 1 }),
    statuses: fc.subarray([...RUN_STATUSES], { minLength: 3 }),
    agentId: fc.constantFrom('a', 'b'),
    startedFrom: instant,
    completedTo: instant,
  },
  { requiredKeys: [] },
);
const sort: fc.Arbitrary<RunSort> = fc.record({
  field: fc.constantFrom(...RUN_SORT_FIELDS),
  direction: fc.constantFrom('asc', 'desc'),
});

const insert = (tenant: string, made: readonly (readonly [string, Record<string, unknown>])[]) =>
  insertRows(db.manager(), ...made.map(([key, given]) => makeRun(tenant, { id: key, ...given })));

async function sequence(given: RunFilter, order: RunSort, limits: readonly number[]): Promise<RunSummaryRow[]> {
  const found: RunSummaryRow[] = [];
  let cursor: string | undefined;
  for (let n = 0; ; n += 1) {
    const limit = limits[n % limits.length] ?? 1;
    const page = await driver().fetchRuns('t-a', given, order, { limit, ...(cursor === undefined ? {} : { cursor }) });
    found.push(...page.items);
    if (page.nextCursor === null) return found;
    expect(page.items).toHaveLength(limit);
    cursor = page.nextCursor;
  }
}

const RISK = new Map(RISK_LEVELS.map((level, rank) => [level, rank]));
const keyOf = (row: RunSummaryRow, { field }: RunSort): number =>
  field === 'riskLevel'
    ? (RISK.get(row.riskLevel) ?? -1)
    : field === 'durationMs'
      ? (row.durationMs ?? -Infinity)
      : (row[field]?.getTime() ?? -Infinity);

function reference(all: readonly RunSummaryRow[], order: RunSort): string[] {
  const sign = order.direction === 'asc' ? 1 : -1;
  const byKey = (a: RunSummaryRow, b: RunSummaryRow): number => {
    const [x, y] = [keyOf(a, order), keyOf(b, order)];
    return x === y ? Buffer.compare(Buffer.from(a.runId), Buffer.from(b.runId)) : x < y ? -1 : 1;
  };
  return [...all].sort((a, b) => sign * byKey(a, b)).map((row) => row.runId);
}

function matches(row: RunSummaryRow, agentId: string, f: RunFilter): boolean {
  const risky = row.riskLevel !== 'NORMAL' || row.incidentCount > 0 || row.policyViolation;
  return (
    (f.state === undefined || row.state === f.state) &&
    (f.atRiskOnly !== true || risky) &&
    (f.riskLevels?.includes(row.riskLevel) ?? true) &&
    (f.statuses?.includes(row.status) ?? true) &&
    (f.agentId === undefined || f.agentId === agentId) &&
    (f.startedFrom === undefined || (row.startedAt !== null && row.startedAt >= f.startedFrom)) &&
    (f.completedTo === undefined || (row.completedAt !== null && row.completedAt < f.completedTo))
  );
}

describe('laws', () => {
  it('1, 2: pages of any limits are the sorted sequence; counts agree with it', () =>
    law(
      fc.tuple(rows, filter, sort, fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 3 })),
      async ([made, f, s, limits]) => {
        await insert('t-a', made);
        const agents = new Map<string, string>(made.map(([key, given]) => [key, given.agent_id]));
        const all = (await driver().fetchRuns('t-a', {}, s, { limit: 200 })).items;
        const wanted = reference(
          all.filter((row) => matches(row, agents.get(row.runId) ?? '', f)),
          s,
        );
        expect((await sequence(f, s, limits)).map((row) => row.runId)).toEqual(wanted);
        expect(await driver().countRuns('t-a', f)).toBe(wanted.length);
        const statuses = await driver().fetchStatusSummary('t-a', f);
        expect(statuses.reduce((sum, { count }) => sum + count, 0)).toBe(wanted.length);
        const { totalRuns, groups } = await driver().fetchDimensionBreakdown('t-a', 'agentId', f, 100);
        expect([totalRuns, groups.reduce((sum, { count }) => sum + count, 0)]).toEqual([wanted.length, wanted.length]);
      },
    ));

  it('9: runs of other tenants change no result', () =>
    law(fc.tuple(rows, rows, filter, sort), async ([made, others, f, s]) => {
      await insert('t-a', made);
      const rule = { nearThresholdRatio: '0.8' } as never;
      const look = async () => [
        await driver().countRuns('t-a', f),
        await driver().fetchRuns('t-a', f, s, { limit: 5 }),
        await driver().fetchRunDetail('t-a', 'a'),
        await driver().fetchStatusSummary('t-a', f),
        await driver().fetchRunsWithPolicyContext('t-a', f, s, {}, rule),
        await driver().fetchAtRiskRuns('t-a', {}, {}, rule),
        await driver().fetchMetrics('t-a', {}, rule),
        await driver().fetchThresholdSignals('t-a', {}, {}, rule),
        await driver().countThresholdSignals('t-a', {}, rule),
        await driver().fetchDimensionBreakdown('t-a', 'riskLevel', f),
      ];
      const before = await look();
      await insert('t-b', others);
      expect(await look()).toEqual(before);
    }));

  it('10: a cursor with one character changed is refused, or is a position of the same list', async () => {
    await insert(
      't-a',
      [
        ['a', {}],
        ['b', {}],
        ['c', {}],
      ].map(([key]) => [key as string, {}] as const),
    );
    const { nextCursor } = await driver().fetchRuns('t-a', {}, undefined, { limit: 1 });
    const cursor = nextCursor ?? '';
    await fc.assert(
      fc.asyncProperty(fc.nat(cursor.length - 1), fc.constantFrom(...'AQgwxyz019-_=. '), async (at, char) => {
        const changed = cursor.slice(0, at) + char + cursor.slice(at + 1);
        await db.manager().query('SAVEPOINT cursor');
        try {
          const page = await driver().fetchRuns('t-a', {}, undefined, { limit: 5, cursor: changed });
          expect(page.items.length).toBeLessThanOrEqual(3);
        } catch (error) {
          expect(HocError.is(error) && InvalidArgumentError.is(error)).toBe(true);
        }
        await db.manager().query('ROLLBACK TO SAVEPOINT cursor');
      }),
      { numRuns: 200 },
    );
  });
});
