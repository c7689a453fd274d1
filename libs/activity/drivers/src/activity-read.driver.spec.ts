import { inspect } from 'node:util';
import { type EvaluationRule, type RunFilter, type RunSort, RUN_DIMENSIONS } from '@hoc/activity/schemas';
import {
  type DecimalString,
  filterFingerprint,
  HocError,
  InvalidArgumentError,
  RUN_STATUSES,
  TenantScopeError,
} from '@hoc/shared/kernel';
import { entities, migrations, RunEntity } from '@hoc/shared/models';
import { makeRun, makeTenant } from '@hoc/shared/testing';
import { captureStatements, insertRows, statementCounter, useDatabase } from '@hoc/testkit';
import { type ActivityReadDriver, getActivityReadDriver } from './activity-read.driver';

const db = useDatabase({ entities, migrations });
const driver = (): ActivityReadDriver => getActivityReadDriver(db.manager());
const RULE: EvaluationRule = { nearThresholdRatio: '0.8' as DecimalString };
const NEWEST: RunSort = { field: 'startedAt', direction: 'desc' };
const at = (text: string): Date => new Date(`2026-${text}Z`);

/** Fixture R of the specification. */
const fixture = () => [
  makeTenant({ id: 't-a' }),
  makeTenant({ id: 't-b' }),
  run('r1', {
    status: 'succeeded',
    started_at: at('03-10T09:00:00'),
    completed_at: at('03-10T09:01:00'),
    duration_ms: 60_000,
    input_tokens: 100,
    output_tokens: 50,
    estimated_cost_cents: '150',
  }),
  run('r2', {
    status: 'failed',
    started_at: at('03-10T10:00:00'),
    completed_at: at('03-10T10:00:00'),
    duration_ms: 0,
    risk_level: 'VIOLATED',
    policy_violation: true,
    input_tokens: 900,
    output_tokens: 100,
    estimated_cost_cents: '2000',
  }),
  run('r3', {
    status: 'running',
    started_at: at('03-10T10:00:00'),
    risk_level: 'AT_RISK',
    project_id: 'p1',
    input_tokens: 700,
    output_tokens: 150,
    estimated_cost_cents: '1700',
  }),
  run('r4', { status: 'queued', created_at: at('03-10T08:00:00') }),
  run('r5', {
    status: 'succeeded',
    started_at: at('03-09T23:59:59.999'),
    completed_at: at('03-10T00:00:01'),
    duration_ms: 1001,
    incident_count: 1,
    evidence_health: 'MISSING',
    input_tokens: 10,
    output_tokens: 10,
    estimated_cost_cents: '0',
  }),
  makeRun('t-b', { id: 'r1', status: 'failed', agent_id: 'ag', started_at: at('03-10T09:00:00') }),
];
const BARE = {
  agent_id: 'ag',
  source: 'agent',
  provider_type: 'openai',
  started_at: null,
  last_seen_at: null,
  completed_at: null,
  duration_ms: null,
  input_tokens: null,
  output_tokens: null,
  estimated_cost_cents: null,
};
const run = (id: string, columns: Record<string, unknown>) => makeRun('t-a', { ...BARE, id, ...columns });
const insert = (...rows: Parameters<typeof insertRows>[1][]) => insertRows(db.manager(), ...rows);
const idsOf = (rows: readonly { readonly runId: string }[]): string[] => rows.map((row) => row.runId);

beforeEach(() => insert(...fixture()));

async function pages(filter: RunFilter, sort: RunSort, limit: number): Promise<string[][]> {
  const found: string[][] = [];
  let cursor: string | undefined;
  do {
    const page = await driver().fetchRuns('t-a', filter, sort, { limit, ...(cursor === undefined ? {} : { cursor }) });
    found.push(idsOf(page.items));
    cursor = page.nextCursor ?? undefined;
  } while (cursor !== undefined);
  return found;
}

describe('fetchRuns', () => {
  it('F11: newest first in pages of two: a tie by id, NULL last, then no cursor', async () => {
    expect(await pages({}, NEWEST, 2)).toEqual([['r3', 'r2'], ['r1', 'r5'], ['r4']]);
  });
  it('F12: the same ascending', async () => {
    expect(await pages({}, { field: 'startedAt', direction: 'asc' }, 50)).toEqual([['r4', 'r5', 'r1', 'r2', 'r3']]);
  });
  it('F13: risk by severity, not by the alphabet', async () => {
    expect(await pages({}, { field: 'riskLevel', direction: 'desc' }, 2)).toEqual([['r2', 'r3'], ['r5', 'r4'], ['r1']]);
  });
  it('F14: duration ascending: the NULLs first, and 0 is 0', async () => {
    expect((await pages({}, { field: 'durationMs', direction: 'asc' }, 2)).flat()).toEqual([
      'r3',
      'r4',
      'r2',
      'r5',
      'r1',
    ]);
    const page = await driver().fetchRuns('t-a', { statuses: ['failed'] });
    expect(page.items[0]).toMatchObject({ runId: 'r2', durationMs: 0, estimatedCostCents: '2000', inputTokens: 900 });
  });
  it('completed: NULL smallest in both directions', async () => {
    expect((await pages({}, { field: 'completedAt', direction: 'desc' }, 2)).flat()).toEqual([
      'r2',
      'r1',
      'r5',
      'r4',
      'r3',
    ]);
  });
  it('a row has the 22 fields, frozen, and is no entity', async () => {
    const { items } = await driver().fetchRuns('t-a', { state: 'LIVE', projectId: 'p1' });
    expect(items).toHaveLength(1);
    const [row] = items;
    expect(Object.keys(row ?? {})).toHaveLength(22);
    expect(row).toMatchObject({ runId: 'r3', tenantId: 't-a', projectId: 'p1', state: 'LIVE', completedAt: null });
    expect(row).not.toBeInstanceOf(RunEntity);
    expect(Object.isFrozen(row)).toBe(true);
    expect(Object.isFrozen(items)).toBe(true);
  });
  it('F18: a cursor of another tenant, another sort or another filter, or a cut one, is refused', async () => {
    const { nextCursor } = await driver().fetchRuns('t-a', {}, NEWEST, { limit: 2 });
    const cursor = nextCursor ?? '';
    const refused = { details: { field: 'cursor', reason: 'cursor' } };
    const asked = [
      () => driver().fetchRuns('t-b', {}, NEWEST, { limit: 2, cursor }),
      () => driver().fetchRuns('t-a', {}, { field: 'startedAt', direction: 'asc' }, { limit: 2, cursor }),
      () => driver().fetchRuns('t-a', { state: 'LIVE' }, NEWEST, { limit: 2, cursor }),
      () => driver().fetchRuns('t-a', {}, NEWEST, { limit: 2, cursor: cursor.slice(0, -1) }),
      () => driver().fetchRunsWithPolicyContext('t-a', {}, NEWEST, { limit: 2, cursor }, RULE),
      ...['', 'abc', 'x'.repeat(5000)].map((text) => () => driver().fetchRuns('t-a', {}, NEWEST, { cursor: text })),
    ];
    for (const ask of asked) await expect(ask()).rejects.toMatchObject(refused);
  });
  it.each([
    [{ atRiskOnly: true }, ['r3', 'r2', 'r5']],
    [{ atRiskOnly: false }, ['r3', 'r2', 'r1', 'r5', 'r4']],
    [{ riskLevels: ['VIOLATED', 'AT_RISK'] }, ['r3', 'r2']],
    [{ statuses: ['queued', 'running'] }, ['r3', 'r4']],
    [{ evidenceHealth: ['MISSING'] }, ['r5']],
    [{ latencyBuckets: ['SLOW'] }, []],
    [{ integrityStatuses: ['UNKNOWN'], state: 'COMPLETED' }, ['r2', 'r1', 'r5']],
    [{ sources: ['agent'], providerTypes: ['openai'], agentId: 'ag', isSynthetic: false, projectId: 'p1' }, ['r3']],
    [{ isSynthetic: true }, []],
    [{ completedFrom: at('03-10T00:00:01'), completedTo: at('03-10T09:01:00') }, ['r5']],
    [{ startedFrom: at('03-10T09:00:00'), startedTo: at('03-10T09:00:00') }, []],
  ] as [RunFilter, string[]][])('filter %j', async (filter, ids) => {
    expect((await pages(filter, NEWEST, 2)).flat()).toEqual(ids);
    expect(await driver().countRuns('t-a', filter)).toBe(ids.length);
  });
});

describe('counts', () => {
  it('F15: half-open on both ends, and NULL is in no range', async () => {
    const range = { startedFrom: at('03-10T00:00:00'), startedTo: at('03-10T10:00:00') };
    expect(await driver().countRuns('t-a', range)).toBe(1);
    expect(await driver().countRuns('t-a', { startedFrom: new Date('0001-01-01T00:00:00Z') })).toBe(4);
  });
  it('F16: at risk only; an empty list is refused', async () => {
    expect(await driver().countRuns('t-a', { atRiskOnly: true })).toBe(3);
    await expect(driver().countRuns('t-a', { statuses: [] })).rejects.toThrow(InvalidArgumentError);
    expect(await driver().countRuns('nobody')).toBe(0);
  });
  it('F17: one run in full, of its own tenant alone', async () => {
    expect(await driver().fetchRunDetail('t-b', 'r2')).toBeNull();
    expect(await driver().fetchRunDetail('t-b', 'r1')).toMatchObject({
      runId: 'r1',
      tenantId: 't-b',
      status: 'failed',
    });
    const detail = await driver().fetchRunDetail('t-a', 'r2');
    expect(detail).toMatchObject({ agentId: 'ag', attempts: 0, maxAttempts: 3, parentRunId: null });
    expect(detail?.goal.length).toBeGreaterThan(0);
    expect(await driver().fetchRunDetail('t-a', `"'; DROP TABLE runs; --"`)).toBeNull();
    expect(await driver().countRuns('t-a')).toBe(5);
  });
  it('F19: statuses, the most frequent first, ties in byte order', async () => {
    expect(await driver().fetchStatusSummary('t-a')).toEqual([
      { status: 'succeeded', count: 2 },
      { status: 'failed', count: 1 },
      { status: 'queued', count: 1 },
      { status: 'running', count: 1 },
    ]);
    expect(await driver().fetchStatusSummary('t-a', { state: 'LIVE' })).toHaveLength(2);
    expect(await driver().fetchStatusSummary('nobody')).toEqual([]);
  });
  it('F20: groups cut off by the limit stay in the total', async () => {
    expect(await driver().fetchDimensionBreakdown('t-a', 'status', {}, 1)).toEqual({
      dimension: 'status',
      totalRuns: 5,
      groups: [{ value: 'succeeded', count: 2 }],
    });
    expect(await driver().fetchDimensionBreakdown('nobody', 'status')).toEqual({
      dimension: 'status',
      totalRuns: 0,
      groups: [],
    });
  });
  it('F21: an unknown dimension is refused before any statement', async () => {
    const counter = statementCounter(db.dataSource());
    for (const dimension of ['goal', 'constructor', '__proto__'])
      await expect(driver().fetchDimensionBreakdown('t-a', dimension as 'status')).rejects.toThrow(
        InvalidArgumentError,
      );
    expect(counter.count()).toBe(0);
    for (const dimension of RUN_DIMENSIONS)
      expect((await driver().fetchDimensionBreakdown('t-a', dimension)).totalRuns).toBe(5);
  });
});

describe('defects of the original', () => {
  const ids = async (filter: RunFilter, sort = NEWEST): Promise<string[]> => (await pages(filter, sort, 50)).flat();

  it('text that a caller gives is a value, never SQL: nothing of another tenant is shown, nothing is broken', async () => {
    const hostile = ["' OR '1'='1", "x'; DELETE FROM runs; --", '$1', '%', "t-a' OR tenant_id <> '"];
    for (const text of hostile) {
      expect(await ids({ projectId: text })).toEqual([]);
      expect(await driver().countRuns('t-a', { agentId: text })).toBe(0);
      expect(await driver().countRuns(text)).toBe(0);
      expect(await driver().fetchRunDetail('t-a', text)).toBeNull();
    }
    const [sent] = await captureStatements(db.manager(), () => driver().countRuns('t-a', { projectId: 'p-secret' }));
    expect(sent?.text).not.toContain('p-secret');
    expect(sent?.values.slice(0, 2)).toEqual(['t-a', 'p-secret']);
    expect(await driver().countRuns('t-a')).toBe(5);
  });
  it('every statement asks for the tenant first', async () => {
    for (const ask of everyRead('t-a')) {
      const [sent] = await captureStatements(db.manager(), ask);
      expect(sent?.text).toContain('r.tenant_id = $1');
      if (sent?.text.includes('FROM limits')) expect(sent.text).toContain('l.tenant_id = $1');
      expect(sent?.values[0]).toBe('t-a');
    }
  });
  it('runs that start in one millisecond, and in one microsecond, are each shown once', async () => {
    await insert(
      ...['000001', '000002', '000002', '000999'].map((micros, n) =>
        run(`m${n}`, { status: 'running', project_id: 'micro', started_at: `2026-03-10T11:00:00.${micros}Z` }),
      ),
    );
    expect(await pages({ projectId: 'micro' }, NEWEST, 1)).toEqual([['m3'], ['m2'], ['m1'], ['m0']]);
    const oldest: RunSort = { field: 'startedAt', direction: 'asc' };
    expect(await pages({ projectId: 'micro' }, oldest, 1)).toEqual([['m0'], ['m1'], ['m2'], ['m3']]);
  });
  it('a duration of 0 and a cost of 0 are 0, in lists and in detail', async () => {
    const { items } = await driver().fetchRuns('t-a', { evidenceHealth: ['MISSING'] });
    expect(items[0]).toMatchObject({ runId: 'r5', estimatedCostCents: '0' });
    expect(await driver().fetchRunDetail('t-a', 'r2')).toMatchObject({ durationMs: 0 });
    expect(await driver().fetchRunDetail('t-a', 'r4')).toMatchObject({ durationMs: null, estimatedCostCents: null });
  });
  it('cost is decimal cents, exact', async () => {
    await insert(run('big', { status: 'running', estimated_cost_cents: '99999999999999.999999' }));
    expect(await driver().fetchRunDetail('t-a', 'big')).toMatchObject({ estimatedCostCents: '99999999999999.999999' });
  });
  it('ranges are half-open: an end is not in its own range', async () => {
    expect(await ids({ completedFrom: at('03-10T09:01:00'), completedTo: at('03-10T10:00:00') })).toEqual(['r1']);
    expect(await ids({ completedFrom: at('03-10T10:00:00') })).toEqual(['r2']);
    expect(await ids({ completedTo: at('03-10T00:00:01') })).toEqual([]);
  });
  it('NULL and the literal `unknown` are one group', async () => {
    await insert(run('u', { status: 'running', agent_id: 'unknown' }));
    await db.manager().query('ALTER TABLE runs ALTER COLUMN agent_id DROP NOT NULL');
    await db.manager().query("UPDATE runs SET agent_id = NULL WHERE tenant_id = 't-a' AND id = 'r1'");
    expect((await driver().fetchDimensionBreakdown('t-a', 'agentId')).groups).toEqual([
      { value: 'ag', count: 4 },
      { value: 'unknown', count: 2 },
    ]);
  });
  it('groups of one size come in byte order, and no more than asked', async () => {
    await insert(...['b', 'B', 'ä'].map((agent_id) => run(`run-${agent_id}`, { status: 'running', agent_id })));
    const { groups, totalRuns } = await driver().fetchDimensionBreakdown('t-a', 'agentId', {}, 3);
    expect(groups.map(({ value }) => value)).toEqual(['ag', 'B', 'b']);
    expect(totalRuns).toBe(8);
  });
  it('a detail has its goal, its error and 41 fields', async () => {
    await insert(run('d', { status: 'failed', goal: 'sort the mail', error_message: 'no mail' }));
    const detail = await driver().fetchRunDetail('t-a', 'd');
    expect(detail).toMatchObject({ goal: 'sort the mail', errorMessage: 'no mail' });
    expect(Object.keys(detail ?? {})).toHaveLength(41);
  });
  it('a value that this version does not know is said, not shown', async () => {
    await db.manager().query('ALTER TABLE runs DROP CONSTRAINT ck_runs_risk_level');
    await insert(run('odd', { status: 'running', risk_level: 'GREEN' }));
    await expect(driver().fetchRunDetail('t-a', 'odd')).rejects.toMatchObject({
      code: 'DATA_INTEGRITY',
      details: { field: 'riskLevel', reason: 'unknown_value' },
    });
  });
});

describe('bad input', () => {
  const bad = (value: unknown): never => value as never;
  const by = (field: unknown, direction: unknown = 'asc'): RunSort => ({
    field: bad(field),
    direction: bad(direction),
  });
  const cursorOf = (content: object): string => Buffer.from(JSON.stringify(content), 'utf8').toString('base64url');
  const mine = (position: readonly (string | null)[], sort = NEWEST, version = 1): string => {
    const order = { field: sort.field, direction: sort.direction };
    return cursorOf({ f: filterFingerprint('runs', 't-a', {}, order), k: 'runs', p: position, v: version });
  };
  const runs = (filter: unknown) => () => driver().countRuns('t-a', bad(filter));
  const sorted = (sort: unknown) => () => driver().fetchRuns('t-a', {}, bad(sort));
  const page = (asked: unknown) => () => driver().fetchRuns('t-a', {}, NEWEST, bad(asked));
  const from =
    (cursor: string, sort = NEWEST) =>
    () =>
      driver().fetchRuns('t-a', {}, sort, { cursor });
  const rule = (ratio: unknown) => () => driver().fetchMetrics('t-a', {}, bad({ nearThresholdRatio: ratio }));
  const later = { startedFrom: at('03-11T00:00:00'), startedTo: at('03-10T00:00:00') };
  const NEXT = ['2026-03-10T10:00:00.000000Z', 'r2'];

  it.each<[string, string, () => Promise<unknown>]>([
    ['sort field of SQL', 'sort.field', sorted(by('id; select'))],
    ['sort field of the prototype', 'sort.field', sorted(by('__proto__'))],
    ['direction in capitals', 'sort.direction', sorted(by('startedAt', 'DESC'))],
    ['sort null', 'sort', sorted(null)],
    ...[0, 201, 1.5, Number.NaN, '50', null].map((limit): [string, string, () => Promise<unknown>] => [
      `limit ${String(limit)}`,
      'limit',
      page({ limit }),
    ]),
    ['page null', 'page', page(null)],
    ['empty list', 'riskLevels', runs({ riskLevels: [] })],
    ['list of 51', 'sources', runs({ sources: Array.from({ length: 51 }, () => 'agent') })],
    ['list that is a text', 'statuses', runs({ statuses: 'failed' })],
    ['unknown status', 'statuses', runs({ statuses: ['failed', 'done'] })],
    ['unknown state', 'state', runs({ state: 'live' })],
    ['unknown key', 'filter', runs({ tenant: 't-b' })],
    ['filter that is a text', 'filter', runs("tenant_id = 't-b'")],
    ['flag that is a text', 'atRiskOnly', runs({ atRiskOnly: 'yes' })],
    ['empty project', 'projectId', runs({ projectId: '' })],
    ['agent of 101 characters', 'agentId', runs({ agentId: 'x'.repeat(101) })],
    ['invalid Date', 'startedTo', runs({ startedTo: new Date(Number.NaN) })],
    ['date that is a text', 'completedFrom', runs({ completedFrom: '2026-03-10' })],
    ['year 10000', 'completedTo', runs({ completedTo: new Date('+010000-01-01T00:00:00.000Z') })],
    ['year 0', 'startedFrom', runs({ startedFrom: new Date('0000-12-31T00:00:00.000Z') })],
    ['from after to', 'startedFrom', runs(later)],
    ['from after to, in metrics', 'startedFrom', () => driver().fetchMetrics('t-a', later, RULE)],
    ['empty run id', 'runId', () => driver().fetchRunDetail('t-a', '')],
    ['run id of 101 characters', 'runId', () => driver().fetchRunDetail('t-a', 'x'.repeat(101))],
    ['breakdown limit 0', 'limit', () => driver().fetchDimensionBreakdown('t-a', 'status', {}, 0)],
    ['breakdown limit 101', 'limit', () => driver().fetchDimensionBreakdown('t-a', 'status', {}, 101)],
    ...['0', '1.1', 'x', '-0.5', '', 0.8, null].map((ratio): [string, string, () => Promise<unknown>] => [
      `ratio ${String(ratio)}`,
      'nearThresholdRatio',
      rule(ratio),
    ]),
    ['no rule', 'rule', () => driver().fetchMetrics('t-a', {}, bad(undefined))],
    [
      'outcome ADVISORY',
      'evaluationOutcome',
      () => driver().fetchThresholdSignals('t-a', { evaluationOutcome: bad('ADVISORY') }, {}, RULE),
    ],
    ['risk type', 'riskType', () => driver().countThresholdSignals('t-a', { riskType: bad('cost') }, RULE)],
    ['key of another filter', 'filter', () => driver().countThresholdSignals('t-a', bad({ agentId: 'x' }), RULE)],
    ['key of runs', 'filter', () => driver().fetchAtRiskRuns('t-a', bad({ statuses: ['failed'] }), {}, RULE)],
    ['key of runs, in metrics', 'filter', () => driver().fetchMetrics('t-a', bad({ state: 'LIVE' }), RULE)],
    ['empty cursor', 'cursor', from('')],
    ['cursor abc', 'cursor', from('abc')],
    ['cursor of 5,000 characters', 'cursor', from('x'.repeat(5000))],
    ['cursor of version 2', 'cursor', from(mine(NEXT, NEWEST, 2))],
    ['cursor with one position', 'cursor', from(mine(NEXT.slice(1)))],
    ['cursor with three positions', 'cursor', from(mine([...NEXT, 'x']))],
    ['cursor without an id', 'cursor', from(mine([NEXT[0] ?? '', null]))],
    ['cursor at no instant', 'cursor', from(mine(['yesterday', 'r2']))],
    ['cursor at 30 February', 'cursor', from(mine(['2026-02-30T10:00:00.000000Z', 'r2']))],
    ['cursor in the year 0', 'cursor', from(mine(['0000-01-01T10:00:00.000000Z', 'r2']))],
    ['cursor at a duration of x', 'cursor', from(mine(['x', 'r2'], by('durationMs')), by('durationMs'))],
  ])('%s: INVALID_ARGUMENT before any statement', async (_name, field, ask) => {
    const counter = statementCounter(db.dataSource());
    await expect(ask()).rejects.toMatchObject({ code: 'INVALID_ARGUMENT', details: { field } });
    await expect(ask()).rejects.toThrow(InvalidArgumentError);
    expect(counter.count()).toBe(0);
  });
  it('the cursors above are refused for what is wrong with them, and for nothing else', async () => {
    expect((await from(mine(NEXT))()).items.map((row) => row.runId)).toEqual(['r1', 'r5', 'r4']);
    expect((await from(mine([null, 'r5']))()).items.map((row) => row.runId)).toEqual(['r4']);
    const highest = mine(['9'.repeat(18), 'r2'], by('riskLevel', 'desc'));
    expect((await from(highest, by('riskLevel', 'desc'))()).items).toHaveLength(5);
  });
  it.each([undefined, null, '', ' ', 'x'.repeat(101), 7, {}, 'a\0', '\ud800'])(
    'tenant %p: TENANT_SCOPE before any statement',
    async (tenant) => {
      const counter = statementCounter(db.dataSource());
      for (const ask of everyRead(tenant as string)) await expect(ask()).rejects.toThrow(TenantScopeError);
      expect(counter.count()).toBe(0);
    },
  );
  it('the tenant is checked before everything else', async () => {
    await expect(driver().countRuns('', { statuses: [] })).rejects.toThrow(TenantScopeError);
  });
});

describe('every read', () => {
  it('is one statement', async () => {
    const counter = statementCounter(db.dataSource());
    for (const ask of everyRead('t-a')) {
      counter.reset();
      await ask();
      expect(counter.count()).toBe(1);
    }
  });
  it('needs no transaction', async () => {
    const own = getActivityReadDriver(db.dataSource().manager);
    expect(await own.countRuns('t-a')).toBe(0);
    expect((await own.fetchRunsWithPolicyContext('t-a', {}, NEWEST, {}, RULE)).items).toEqual([]);
  });
  it('gives the same in a session of any time zone', async () => {
    const look = async (): Promise<unknown[]> => {
      const found: unknown[] = [await pages({ startedFrom: at('03-10T00:00:00') }, NEWEST, 1)];
      for (const ask of everyRead('t-a')) found.push(await ask());
      return found;
    };
    const before = await look();
    for (const zone of ['Asia/Kolkata', 'Pacific/Apia', 'America/St_Johns']) {
      await db.manager().query(`SET LOCAL TIME ZONE '${zone}'`);
      expect(await look()).toEqual(before);
    }
  });
  it('keeps few statements on a connection, whatever the filters are', async () => {
    const sent = await captureStatements(db.manager(), async () => {
      for (const status of RUN_STATUSES) await driver().countRuns('t-a', { statuses: [status] });
      for (let n = 0; n < 20; n += 1) await driver().fetchRuns('t-a', { projectId: `p${n}` }, NEWEST, { limit: n + 1 });
      for (let n = 0; n < 20; n += 1) await driver().fetchRuns('t-a', {}, NEWEST, { limit: n + 1 });
    });
    expect(new Set(sent.map(({ name }) => name).filter((name) => name !== undefined)).size).toBe(1);
    expect(new Set(sent.map(({ text }) => text)).size).toBe(3);
  });
  it('a failure of the database says nothing of the statement', async () => {
    await db.manager().query('ALTER TABLE runs RENAME TO runs_gone');
    const error: unknown = await driver()
      .countRuns('t-a', { projectId: 'p-secret' })
      .catch((caught: unknown) => caught);
    expect(HocError.is(error) && error.code).toBe('DATA_INTEGRITY');
    expect(`${inspect(error)} ${JSON.stringify(error)}`).not.toMatch(/SELECT|p-secret/);
  });
});

const everyRead = (tenant: string): (() => Promise<unknown>)[] => [
  () => driver().countRuns(tenant),
  () => driver().fetchRuns(tenant),
  () => driver().fetchRunDetail(tenant, 'r1'),
  () => driver().fetchStatusSummary(tenant),
  () => driver().fetchRunsWithPolicyContext(tenant, {}, NEWEST, {}, RULE),
  () => driver().fetchAtRiskRuns(tenant, {}, {}, RULE),
  () => driver().fetchMetrics(tenant, {}, RULE),
  () => driver().fetchThresholdSignals(tenant, {}, {}, RULE),
  () => driver().countThresholdSignals(tenant, {}, RULE),
  () => driver().fetchDimensionBreakdown(tenant, 'status'),
];
