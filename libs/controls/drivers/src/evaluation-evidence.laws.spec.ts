import { entities, migrations } from '@hoc/controls/models';
import type { EvaluationEvidence, EvaluationEvidencePort, EvidenceFilter } from '@hoc/controls/schemas';
import { compareBytes } from '@hoc/shared/drivers';
import { entities as shared, migrations as sharedMigrations } from '@hoc/shared/models';
import { fixedClock, makeRun, makeTenant, sequentialIds } from '@hoc/shared/testing';
import { insertRows, useDatabase } from '@hoc/testkit';
import fc from 'fast-check';
import { getEvaluationEvidenceDriver } from './evaluation-evidence.driver';

const RUNS = 60;
const db = useDatabase({ entities: [...shared, ...entities], migrations: [...sharedMigrations, ...migrations] });
const SETS = ['0', '1', '2'].map((digit) => digit.repeat(64));
const RUN_IDS = ['r', 'R', 'ä'];
let evidence: EvaluationEvidencePort;

beforeEach(async () => {
  for (const tenant of ['t', 't-b'])
    await insertRows(db.manager(), makeTenant({ id: tenant }), ...RUN_IDS.map((id) => makeRun(tenant, { id })));
});

/** A stored evaluation; its instant to the microsecond, which only the database knows, and with ties. */
const row = fc.record({
  tenant: fc.constantFrom('t', 't', 't-b'),
  id: fc.constantFrom('a', 'B', 'b', 'ä', '𝄞', '\uE000', 'z', '0'),
  runId: fc.constantFrom(...RUN_IDS),
  set: fc.constantFrom(...SETS),
  micros: fc.integer({ min: 0, max: 2 }),
});
type Row = typeof row extends fc.Arbitrary<infer T> ? T : never;
const rows = fc
  .uniqueArray(row, { selector: ({ tenant, id }) => `${tenant}/${id}`, maxLength: 14 })
  .map((all) => [...new Map(all.map((each) => [`${each.tenant}/${each.runId}/${each.set}`, each])).values()]);
const filter = fc.record(
  { runId: fc.constantFrom(...RUN_IDS), controlSetVersion: fc.constantFrom(...SETS) },
  { requiredKeys: [] },
);

const insert = (each: Row): Promise<void> =>
  insertRows(db.manager(), {
    table: 'controls_evaluation_evidence',
    row: {
      ...{ tenant_id: each.tenant, id: each.id, run_id: each.runId, control_set_version: each.set },
      ...{ resolver_version: '1', decision: 'ALLOW', evaluated_at: `2026-03-10T12:00:00.00000${each.micros}Z` },
    },
  });

it('G.2 7, 12: pages of any size are the tenant’s filtered list, newest first to the microsecond', () =>
  fc.assert(
    fc.asyncProperty(rows, filter, fc.integer({ min: 1, max: 4 }), async (all, wanted, limit) => {
      await db.manager().query('SAVEPOINT law');
      try {
        evidence = getEvaluationEvidenceDriver(db.manager(), { clock: fixedClock(new Date(0)), ids: sequentialIds() });
        for (const each of all) await insert(each);
        const expected = all
          .filter(({ tenant }) => tenant === 't')
          .filter(({ runId }) => wanted.runId === undefined || wanted.runId === runId)
          .filter(({ set }) => wanted.controlSetVersion === undefined || wanted.controlSetVersion === set)
          .sort((a, b) => b.micros - a.micros || compareBytes(b.id, a.id))
          .map(({ id }) => id);
        const seen = await pages(wanted, limit);
        expect(seen.map(({ evidenceId }) => evidenceId)).toEqual(expected);
        expect(await pages(wanted, 200)).toEqual(seen);
      } finally {
        await db.manager().query('ROLLBACK TO SAVEPOINT law');
      }
    }),
    { numRuns: RUNS },
  ));

async function pages(wanted: EvidenceFilter, limit: number): Promise<readonly EvaluationEvidence[]> {
  const seen: EvaluationEvidence[] = [];
  for (let cursor: string | null = null; ;) {
    const page = await evidence.queryEvidence('t', wanted, { limit, ...(cursor === null ? {} : { cursor }) });
    seen.push(...page.items);
    if (page.nextCursor === null) return seen;
    cursor = page.nextCursor;
  }
}
