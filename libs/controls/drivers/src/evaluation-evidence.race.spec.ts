import { entities, migrations } from '@hoc/controls/models';
import { controlSetVersion, type EvaluationEvidencePort, type NewEvaluationEvidence } from '@hoc/controls/schemas';
import { ConflictError } from '@hoc/shared/kernel';
import { entities as shared, migrations as sharedMigrations } from '@hoc/shared/models';
import { fixedClock, makeRun, makeTenant, sequentialIds } from '@hoc/shared/testing';
import { insertRows, useFreshDatabase } from '@hoc/testkit';
import type { DataSource } from 'typeorm';
import { getEvaluationEvidenceDriver } from './evaluation-evidence.driver';

const REPETITIONS = 20;
const NOW = new Date('2026-03-10T12:00:00.000Z');
const db = useFreshDatabase({ entities: [...shared, ...entities], migrations: [...sharedMigrations, ...migrations] });
const on = ({ manager }: Pick<DataSource, 'manager'>, ids: string): EvaluationEvidencePort =>
  getEvaluationEvidenceDriver(manager, { clock: fixedClock(NOW), ids: sequentialIds(ids) });
const input = (n: number, given: Partial<NewEvaluationEvidence> = {}): NewEvaluationEvidence => ({
  runId: 'r',
  controlSetVersion: controlSetVersion([{ limitId: 'l', version: n + 1, effectiveValue: '1' }]),
  overrideIdsApplied: [],
  resolverVersion: '1',
  decision: 'ALLOW',
  ...given,
});

beforeEach(() => insertRows(db.dataSource().manager, makeTenant({ id: 't' }), makeRun('t', { id: 'r' })));

it('12 connections record one evaluation: one is told that it is new, all get its row', async () => {
  const sources = await db.connections(12, { max: 1 });
  for (let n = 0; n < REPETITIONS; n += 1) {
    const answers = await Promise.all(
      sources.map((source, k) => on(source, `e-${n}-${k}`).recordEvidence('t', input(n))),
    );
    expect(answers.filter(({ duplicate }) => !duplicate)).toHaveLength(1);
    expect(new Set(answers.map(({ row }) => row.evidenceId)).size).toBe(1);
  }
  const { items } = await on(db.dataSource(), 'read').queryEvidence('t', { runId: 'r' });
  expect(items).toHaveLength(REPETITIONS);
});

it('two decisions on one run and set: the first to be written stands, and the other is told so', async () => {
  const sources = await db.connections(6, { max: 1 });
  for (let n = 0; n < REPETITIONS; n += 1) {
    const asked = sources.map((_, k) => (k % 2 ? ('BLOCK' as const) : ('ALLOW' as const)));
    const answers = await Promise.all(
      sources.map((source, k) =>
        on(source, `e-${n}-${k}`)
          .recordEvidence('t', input(n, { decision: asked[k] ?? 'ALLOW' }))
          .catch((error: unknown) => error),
      ),
    );
    const { items } = await on(db.dataSource(), 'read').queryEvidence('t', {
      controlSetVersion: input(n).controlSetVersion,
    });
    expect(items).toHaveLength(1);
    answers.forEach((answer, k) => {
      if (asked[k] === items[0]?.decision) expect(answer).toMatchObject({ row: items[0] });
      else expect(ConflictError.is(answer)).toBe(true);
    });
  }
});
