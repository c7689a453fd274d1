import { ControlsEvaluationEvidenceEntity, entities, migrations } from '@hoc/controls/models';
import {
  controlSetVersion,
  type EvaluationEvidencePort,
  type NewEvaluationEvidence,
  SIMULATION_DECISIONS,
} from '@hoc/controls/schemas';
import { InvalidArgumentError, NotFoundError, TenantScopeError } from '@hoc/shared/kernel';
import { entities as shared, migrations as sharedMigrations } from '@hoc/shared/models';
import { fixedClock, makeRun, makeTenant, sequentialIds } from '@hoc/shared/testing';
import { captureStatements, insertRows, useDatabase } from '@hoc/testkit';
import { getEvaluationEvidenceDriver, queryEvidence, recordEvidence } from './evaluation-evidence.driver';

const db = useDatabase({ entities: [...shared, ...entities], migrations: [...sharedMigrations, ...migrations] });
const NOW = new Date('2026-03-10T12:00:00.000Z');
const clock = fixedClock(NOW);
const bad = (value: unknown): never => value as never;
const SET = controlSetVersion([{ limitId: 'l1', version: 3, effectiveValue: '10.5' }]);
const OTHER = controlSetVersion([]);
let evidence: EvaluationEvidencePort;
let deps = { clock, ids: sequentialIds('e') };

beforeEach(async () => {
  clock.set(NOW);
  deps = { clock, ids: sequentialIds('e') };
  evidence = getEvaluationEvidenceDriver(db.manager(), deps);
  await insertRows(
    db.manager(),
    ...['t1', 't2'].flatMap((tenant) => [
      makeTenant({ id: tenant }),
      makeRun(tenant, { id: 'r1' }),
      makeRun(tenant, { id: 'r2' }),
    ]),
    makeRun('t2', { id: 'only-t2' }),
  );
});

const input = (given: Partial<NewEvaluationEvidence> = {}): NewEvaluationEvidence => ({
  runId: 'r1',
  controlSetVersion: SET,
  overrideIdsApplied: ['o2', 'o1'],
  resolverVersion: '2',
  decision: 'WARN',
  ...given,
});
const stored = (): Promise<Record<string, unknown>[]> =>
  db.manager().query('SELECT * FROM controls_evaluation_evidence ORDER BY tenant_id, id');
const listed = async (filter = {}, tenant = 't1'): Promise<string[]> =>
  (await evidence.queryEvidence(tenant, filter)).items.map(({ evidenceId }) => evidenceId);

describe('recordEvidence', () => {
  it('stores what was evaluated and gives it back, frozen, no entity', async () => {
    const { row, duplicate } = await recordEvidence(db.manager(), 't1', input(), deps);
    expect({ row, duplicate }).toEqual({
      row: {
        evidenceId: 'e-000001',
        runId: 'r1',
        controlSetVersion: SET,
        overrideIdsApplied: ['o1', 'o2'],
        resolverVersion: '2',
        decision: 'WARN',
        evaluatedAt: NOW,
      },
      duplicate: false,
    });
    expect([row, row.overrideIdsApplied].every(Object.isFrozen)).toBe(true);
    expect(row instanceof ControlsEvaluationEvidenceEntity).toBe(false);
    expect((await queryEvidence(db.manager(), 't1', { runId: 'r1' })).items).toEqual([row]);
  });

  it('the same evaluation again is a duplicate: overrides are a set', async () => {
    const { row } = await evidence.recordEvidence('t1', input());
    clock.advance(1000);
    for (const overrideIdsApplied of [
      ['o2', 'o1'],
      ['o1', 'o2', 'o1'],
    ])
      expect(await evidence.recordEvidence('t1', input({ overrideIdsApplied }))).toEqual({ row, duplicate: true });
    expect(await stored()).toHaveLength(1);
  });

  it.each<[string, Partial<NewEvaluationEvidence>]>([
    ['decision', { decision: 'BLOCK' }],
    ['resolver', { resolverVersion: '3' }],
    ['list of overrides', { overrideIdsApplied: ['o1'] }],
    ['list of overrides', { overrideIdsApplied: [] }],
  ])('H.4: another %s of the same run and set is a conflict, and the first stands', async (_name, other) => {
    const { row } = await evidence.recordEvidence('t1', input());
    const before = await stored();
    await expect(evidence.recordEvidence('t1', input(other))).rejects.toMatchObject({
      code: 'CONFLICT',
      details: { reason: 'content', existingId: row.evidenceId },
    });
    expect(await stored()).toEqual(before);
  });

  it('another set, another run and another tenant are evaluations of their own', async () => {
    for (const [tenant, given] of [
      ['t1', {}],
      ['t1', { controlSetVersion: OTHER, decision: 'BLOCK' }],
      ['t1', { runId: 'r2', decision: 'ALLOW' }],
      ['t2', { decision: 'BLOCK' }],
    ] as const)
      expect((await evidence.recordEvidence(tenant, input(given))).duplicate).toBe(false);
    expect(await stored()).toHaveLength(4);
  });

  it('takes the longest resolver, a hundred overrides of the longest ids, and every decision', async () => {
    const overrideIdsApplied = Array.from({ length: 100 }, (_, n) => `${'𝄞'.repeat(97)}${String(n).padStart(3, '0')}`);
    const { row } = await evidence.recordEvidence(
      't1',
      input({ overrideIdsApplied, resolverVersion: 'é'.repeat(32), controlSetVersion: 'f'.repeat(64) }),
    );
    expect(row.overrideIdsApplied).toEqual(overrideIdsApplied);
    for (const [n, decision] of SIMULATION_DECISIONS.entries())
      await evidence.recordEvidence('t1', input({ decision, controlSetVersion: String(n).repeat(64) }));
    expect(await stored()).toHaveLength(4);
  });

  it.each(['nobody', 'only-t2'])('run %s is not found, and nothing is written', async (runId) => {
    await db.manager().query('SAVEPOINT before');
    const call = evidence.recordEvidence('t1', input({ runId }));
    await expect(call).rejects.toThrow(NotFoundError);
    await expect(call).rejects.toMatchObject({ details: { field: 'runId' } });
    await db.manager().query('ROLLBACK TO SAVEPOINT before');
    expect(await stored()).toEqual([]);
  });

  it('one statement for a new one, two for one that is there; no transaction needed', async () => {
    const first = await captureStatements(db.manager(), () => evidence.recordEvidence('t1', input()));
    const second = await captureStatements(db.manager(), () => evidence.recordEvidence('t1', input()));
    expect([first.length, second.length]).toEqual([1, 2]);
    const free = getEvaluationEvidenceDriver(db.dataSource().manager, deps);
    await expect(free.recordEvidence('nobody', input())).rejects.toThrow(NotFoundError);
    expect(await free.queryEvidence('nobody', {})).toEqual({ items: [], nextCursor: null });
  });
});

describe('queryEvidence', () => {
  beforeEach(async () => {
    const made: readonly [string, string, string][] = [
      ['t1', 'r1', SET],
      ['t1', 'r2', SET],
      ['t1', 'r1', OTHER],
      ['t2', 'r1', SET],
    ];
    for (const [tenant, runId, set] of made) {
      await evidence.recordEvidence(tenant, input({ runId, controlSetVersion: set }));
      clock.advance(runId === 'r2' ? 0 : 1);
    }
  });

  it.each<[string, object, readonly string[]]>([
    ['all', {}, ['e-000003', 'e-000002', 'e-000001']],
    ['of a run', { runId: 'r1' }, ['e-000003', 'e-000001']],
    ['of a set', { controlSetVersion: SET }, ['e-000002', 'e-000001']],
    ['of both', { runId: 'r1', controlSetVersion: OTHER }, ['e-000003']],
    ['of a run that has none', { runId: 'r3' }, []],
  ])('%s: the newest first, of one instant the later id', async (_name, filter, expected) => {
    expect(await listed(filter)).toEqual(expected);
  });

  it('another tenant’s are not there', async () => {
    expect(await listed({}, 't2')).toEqual(['e-000004']);
    expect(await listed({ runId: 'r2' }, 't2')).toEqual([]);
  });

  it('goes on where a page ended, and says when nothing follows', async () => {
    const first = await evidence.queryEvidence('t1', {}, { limit: 2 });
    expect(first.items.map(({ evidenceId }) => evidenceId)).toEqual(['e-000003', 'e-000002']);
    const next = await evidence.queryEvidence('t1', {}, { limit: 2, cursor: first.nextCursor ?? '' });
    expect([next.items.map(({ evidenceId }) => evidenceId), next.nextCursor]).toEqual([['e-000001'], null]);
    expect([first, first.items, first.items[0], first.items[0]?.overrideIdsApplied].every(Object.isFrozen)).toBe(true);
  });

  it('G.4: a cursor of another tenant or filter, or cut off, is refused', async () => {
    const { nextCursor } = await evidence.queryEvidence('t1', {}, { limit: 1 });
    const cursor = nextCursor ?? '';
    for (const [tenant, filter, page] of [
      ['t2', {}, { cursor }],
      ['t1', { runId: 'r1' }, { cursor }],
      ['t1', { controlSetVersion: SET }, { cursor }],
      ['t1', {}, { cursor: cursor.slice(0, -2) }],
      ['t1', {}, { cursor: 'x' }],
    ] as const)
      await expect(evidence.queryEvidence(tenant, filter, page)).rejects.toThrow(InvalidArgumentError);
  });

  it.each([0, 201, 1.5, Number.NaN])('G.4: a limit of %p is refused', async (limit) => {
    await expect(evidence.queryEvidence('t1', {}, { limit })).rejects.toMatchObject({ details: { field: 'limit' } });
  });
});

describe('G.4: bad input', () => {
  const cases: [string, unknown][] = [
    ...['', 'x'.repeat(101), 'a\n', undefined].map((value): [string, unknown] => ['runId', value]),
    ...['', SET.slice(1), SET.toUpperCase(), `${SET}\n`, 'g'.repeat(64), undefined].map((value): [string, unknown] => [
      'controlSetVersion',
      value,
    ]),
    ...[undefined, 'o1', [''], [7], Array.from({ length: 101 }, (_, n) => `o-${n}`)].map((value): [string, unknown] => [
      'overrideIdsApplied',
      value,
    ]),
    ...['', 'x'.repeat(33), 'a\u0000', 2, undefined].map((value): [string, unknown] => ['resolverVersion', value]),
    ...['allow', '', undefined].map((value): [string, unknown] => ['decision', value]),
  ];

  it.each(cases)('%s (case %#) is refused by name, and nothing is sent', async (field, value) => {
    const sent = await captureStatements(db.manager(), async () => {
      const call = evidence.recordEvidence('t1', bad({ ...input(), [field]: value }));
      await expect(call).rejects.toMatchObject({ code: 'INVALID_ARGUMENT', details: { field } });
    });
    expect(sent).toEqual([]);
  });

  it('a filter is checked as what it filters by', async () => {
    for (const filter of [null, [], { runId: '' }, { runId: null }, { controlSetVersion: 'x' }])
      await expect(evidence.queryEvidence('t1', bad(filter))).rejects.toThrow(InvalidArgumentError);
    await expect(evidence.recordEvidence('t1', bad(null))).rejects.toThrow(InvalidArgumentError);
  });

  it.each(['', 'x'.repeat(101), undefined])('tenant %p is refused by each call', async (tenant) => {
    await expect(evidence.recordEvidence(bad(tenant), bad(null))).rejects.toThrow(TenantScopeError);
    await expect(evidence.queryEvidence(bad(tenant), bad(null))).rejects.toThrow(TenantScopeError);
  });
});

it('the decisions are those that the column takes', async () => {
  const [check]: { definition: string }[] = await db
    .manager()
    .query(
      `SELECT pg_get_constraintdef(oid) AS definition FROM pg_constraint WHERE conname = 'ck_controls_evaluation_evidence_decision'`,
    );
  const values = [...(check?.definition ?? '').matchAll(/'([^']+)'::text/g)].map(([, value]) => value);
  expect(values).toEqual([...SIMULATION_DECISIONS]);
});
