import { entities, migrations } from '@hoc/controls/models';
import type { EvaluationEvidencePort, EvidenceFilter } from '@hoc/controls/schemas';
import { entities as shared, migrations as sharedMigrations } from '@hoc/shared/models';
import { fixedClock, makeTenant, sequentialIds } from '@hoc/shared/testing';
import { captureStatements, explain, insertRows, type Plan, useEmptyDatabase } from '@hoc/testkit';
import type { EntityManager, QueryRunner } from 'typeorm';
import { getEvaluationEvidenceDriver } from './evaluation-evidence.driver';

/** 100,000 evaluations of 50 tenants, each of 100 runs against 20 sets of limits. */
const ROWS = 100_000;
const NOW = new Date('2026-03-10T12:00:00.000Z');
const SET = '7'.padStart(64, '0');
const NAME = 'controls_evaluation_evidence';
const db = useEmptyDatabase({ entities: [...shared, ...entities], migrations: [...sharedMigrations, ...migrations] });
let runner: QueryRunner;
let manager: EntityManager;
let evidence: EvaluationEvidencePort;

beforeAll(async () => {
  await db.dataSource().runMigrations();
  await db.dataSource().transaction(async (m) => {
    for (let t = 0; t < 50; t += 1) await insertRows(m, makeTenant({ id: `t-${String(t).padStart(2, '0')}` }));
    await m.query(
      `INSERT INTO runs (tenant_id, id, agent_id, origin_system_id, goal, created_at, updated_at)
       SELECT 't-' || to_char(n % 50, 'FM00'), 'r-' || n / 50, 'ag', 'test', 'a goal', $1::timestamptz, $1::timestamptz
       FROM generate_series(0, 4999) n`,
      [NOW.toISOString()],
    );
    await m.query(
      `INSERT INTO controls_evaluation_evidence (tenant_id, id, run_id, control_set_version, resolver_version, decision, evaluated_at)
       SELECT 't-' || to_char(n % 50, 'FM00'), 'e-' || n, 'r-' || n / 50 % 100, lpad((n / 5000)::text, 64, '0'), '1', 'ALLOW',
         $2::timestamptz - n * interval '1 second'
       FROM generate_series(0, $1::int - 1) n`,
      [ROWS, NOW.toISOString()],
    );
  });
  await db.dataSource().query('VACUUM ANALYZE controls_evaluation_evidence');
});

beforeEach(async () => {
  runner = db.dataSource().createQueryRunner();
  await runner.startTransaction();
  manager = runner.manager;
  evidence = getEvaluationEvidenceDriver(manager, { clock: fixedClock(NOW), ids: sequentialIds('new') });
});

afterEach(async () => {
  await runner.rollbackTransaction();
  await runner.release();
});

/** The plan of the last statement that a call sends. */
async function planOf(work: () => Promise<unknown>): Promise<Plan> {
  const sent = await captureStatements(manager, work);
  const last = sent.at(-1);
  const plan = await explain(manager, last?.text ?? '', last?.values ?? [], { analyze: true });
  expect(plan.seqScans).toEqual([]);
  return plan;
}

it.each<[string, EvidenceFilter, string]>([
  ['all', {}, `ix_${NAME}_list`],
  ['of a run', { runId: 'r-3' }, `ix_${NAME}_run`],
  ['of a set', { controlSetVersion: SET }, `ix_${NAME}_version`],
])('queryEvidence, %s: in the order of its index, a later page from its cursor on', async (_name, filter, index) => {
  const first = await planOf(() => evidence.queryEvidence('t-07', filter, { limit: 5 }));
  const { nextCursor } = await evidence.queryEvidence('t-07', filter, { limit: 5 });
  const next = await planOf(() => evidence.queryEvidence('t-07', filter, { limit: 5, cursor: nextCursor ?? '' }));
  for (const plan of [first, next]) {
    expect([plan.indexes, plan.hasSort]).toEqual([[index], false]);
    expect(plan.indexConditions.join()).toMatch(/ROW\(.*evaluated_at, .*id\) < ROW\(/);
    expect(plan.buffers).toBeLessThan(20);
  }
});

it('queryEvidence of a run and a set, and the look at what an insert met: a handful of pages', async () => {
  const wanted = { runId: 'r-3', controlSetVersion: SET };
  expect((await evidence.queryEvidence('t-07', wanted)).items).toHaveLength(1);
  const both = await planOf(() => evidence.queryEvidence('t-07', wanted));
  const content = { overrideIdsApplied: [], resolverVersion: '1', decision: 'ALLOW' as const };
  const met = await planOf(() => evidence.recordEvidence('t-07', { ...wanted, ...content }));
  expect(met.indexes).toEqual([`uq_${NAME}_set`]);
  for (const plan of [both, met]) expect(plan.buffers).toBeLessThan(10);
});
