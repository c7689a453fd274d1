import type { WorkerRunLink } from '@hoc/activity/schemas';
import { ConflictError, type RunStatus, systemScope, type WorkerRunStatus } from '@hoc/shared/kernel';
import { entities, migrations } from '@hoc/shared/models';
import { fixedClock, makeTenant } from '@hoc/shared/testing';
import { insertRows, useFreshDatabase } from '@hoc/testkit';
import fc from 'fast-check';
import type { DataSource } from 'typeorm';
import { detectOrphanedRuns, markRunAsCrashed, recoverOrphanedRuns } from './orphan-recovery.driver';
import { getRunLifecycleDriver, type RunLifecycleDriver } from './run-lifecycle.driver';

const db = useFreshDatabase({ entities, migrations });
const scope = systemScope('test');
/** Workers live at ten, the sweeper at noon: whatever is open and hasn't been touched at noon is an orphan. */
const TEN = fixedClock('2026-03-10T10:00:00.000Z');
const NOON = fixedClock('2026-03-10T12:00:00.000Z');
let made = 0;
const ids = { next: () => `retry-${String((made += 1)).padStart(6, '0')}` };
const on = ({ manager }: DataSource): RunLifecycleDriver => getRunLifecycleDriver(manager, { clock: TEN, ids });

/** What B.2 and B.3 allow. */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  runs: [
    ...['queued running', 'retry running', 'running retry', 'running succeeded'],
    ...['queued', 'running', 'retry'].flatMap((was) =>
      ['failed', 'failed_policy', 'cancelled', 'halted'].map((became) => `${was} ${became}`),
    ),
  ],
  worker_runs: ['queued running', 'running completed', 'running failed', 'queued crashed', 'running crashed'],
};

/** The database itself writes down each status that a row passes, whoever changed it. */
beforeAll(async () => {
  await db.dataSource().query(`
    CREATE TABLE passed (kind text, id text, was text, became text);
    CREATE FUNCTION note_passed() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN INSERT INTO passed VALUES (TG_TABLE_NAME, NEW.id, OLD.status, NEW.status); RETURN NEW; END $$;
    CREATE TRIGGER note_passed AFTER UPDATE ON runs FOR EACH ROW WHEN (OLD.status <> NEW.status) EXECUTE FUNCTION note_passed();
    CREATE TRIGGER note_passed AFTER UPDATE ON worker_runs FOR EACH ROW WHEN (OLD.status <> NEW.status) EXECUTE FUNCTION note_passed();
  `);
});
beforeEach(() => insertRows(db.dataSource().manager, makeTenant({ id: 't-a' })));

const passedOf = (kind: string, id: string): Promise<{ readonly was: string; readonly became: string }[]> =>
  db.dataSource().query('SELECT was, became FROM passed WHERE kind = $1 AND id = $2', [kind, id]);
const rowOf = async (kind: string, id: string): Promise<Record<string, unknown> | undefined> => {
  const rows: Record<string, unknown>[] = await db.dataSource().query(`SELECT * FROM ${kind} WHERE id = $1`, [id]);
  return rows[0];
};

/** Something that a call did: by whom it was made, and the status it left. */
interface Event {
  readonly did: 'create' | 'start' | 'retry' | 'end' | 'crash' | 'repeat';
  readonly status: string | null;
  readonly who: number;
}
type Play<Step> = (source: DataSource, step: Step, who: number) => Promise<readonly Event[]>;

/** Four connections, each playing its own script; all that was done. */
async function together<Step>(
  sources: readonly DataSource[],
  scripts: readonly (readonly Step[])[],
  play: Play<Step>,
): Promise<readonly Event[]> {
  const lines = scripts.map(async (script, who) => {
    const source = sources[who];
    if (source === undefined) throw new Error('a script without a connection');
    const events: Event[] = [];
    for (const step of script) events.push(...(await play(source, step, who)));
    return events;
  });
  return (await Promise.all(lines)).flat();
}

/** Four scripts; each begins with the creation of the row, so that whoever comes first makes it. */
const scriptsOf = <Step>(create: Step, step: fc.Arbitrary<Step>): fc.Arbitrary<Step[][]> =>
  fc.array(
    fc.array(step, { maxLength: 5 }).map((steps) => [create, ...steps]),
    { minLength: 4, maxLength: 4 },
  );
const of = (events: readonly Event[], did: Event['did']): readonly Event[] =>
  events.filter((event) => event.did === did);

/** One row, each change of it told by exactly one call, and no change but those that are allowed. */
async function expectAllowed(kind: 'runs' | 'worker_runs', id: string, events: readonly Event[]): Promise<void> {
  const passed = await passedOf(kind, id);
  expect(ALLOWED[kind]).toEqual(expect.arrayContaining(passed.map(({ was, became }) => `${was} ${became}`)));
  const told = ['start', 'retry', 'end', 'crash'].flatMap((did) => of(events, did as Event['did']));
  expect(passed.map(({ became }) => became).sort()).toEqual(told.map(({ status }) => status).sort());
  expect(of(events, 'create').length).toBe((await rowOf(kind, id)) === undefined ? 0 : 1);
}

const RUN_STEPS = ['create', 'start', 'start', 'retry', 'succeeded', 'failed', 'halted'] as const;
type RunStep = (typeof RUN_STEPS)[number];
const WORKER_STEPS = ['create', 'start', 'start', 'touch', 'completed', 'failed', 'mark', 'recover', 'repeat'] as const;
type WorkerStep = (typeof WORKER_STEPS)[number];

it('law 17, runs: any interleaving of create, start, retry and finish', async () => {
  const sources = await db.connections(4, { max: 1 });
  let n = 0;
  await fc.assert(
    fc.asyncProperty(scriptsOf<RunStep>('create', fc.constantFrom(...RUN_STEPS)), async (scripts) => {
      const id = `q-${(n += 1)}`;
      const told = (
        did: Event['did'],
        who: number,
        { outcome, status }: { readonly outcome: string; readonly status: RunStatus | null },
      ): readonly Event[] => {
        if (outcome === 'duplicate') return [{ did: 'repeat', status, who }];
        return outcome === 'changed' ? [{ did, status, who }] : [];
      };
      const events = await together(sources, scripts, async (source, step, who) => {
        if (step === 'start') return told('start', who, await on(source).startRun('t-a', id));
        if (step === 'retry') return told('retry', who, await on(source).retryRun('t-a', id));
        if (step === 'create') {
          const request = { id, agentId: 'a', originSystemId: 'o', goal: 'g' };
          const [outcome] = await on(source).createRuns('t-a', [request]);
          return outcome?.status === 'created' ? [{ did: 'create', status: 'queued', who }] : [];
        }
        const figures = { inputTokens: who, errorMessage: `by ${who}` };
        return told('end', who, await on(source).finishRun('t-a', id, { status: step, figures }));
      });
      await expectAllowed('runs', id, events);
      const [end, ...more] = of(events, 'end');
      expect(more).toEqual([]);
      const starts = of(events, 'start').length;
      expect(starts).toBeLessThanOrEqual(of(events, 'retry').length + 1);
      const row = await rowOf('runs', id);
      expect(row).toMatchObject({ attempts: starts, state: end === undefined ? 'LIVE' : 'COMPLETED' });
      if (end === undefined) expect(row).toMatchObject({ completed_at: null, input_tokens: null });
      else
        expect(row).toMatchObject({
          status: end.status,
          input_tokens: String(end.who),
          error_message: `by ${end.who}`,
          completed_at: TEN.now(),
        });
      // A repetition is told only to who gave the figures that stand.
      for (const again of of(events, 'repeat')) expect(again).toMatchObject({ status: end?.status, who: end?.who });
    }),
    { numRuns: 60 },
  );
});

it('law 17, worker runs: any interleaving of create, start, touch, finish, mark, recover and retry', async () => {
  const sources = await db.connections(4, { max: 1 });
  let n = 0;
  await fc.assert(
    fc.asyncProperty(scriptsOf<WorkerStep>('create', fc.constantFrom(...WORKER_STEPS)), async (scripts) => {
      const id = `w-${(n += 1)}`;
      const told = (
        did: Event['did'],
        who: number,
        { outcome, status }: { readonly outcome: string; readonly status: WorkerRunStatus | null },
      ): readonly Event[] => (outcome === 'changed' ? [{ did, status, who }] : []);
      const crashed = (who: number, did: boolean): readonly Event[] =>
        did ? [{ did: 'crash', status: 'crashed', who }] : [];
      const retried = (who: number, asked: Promise<WorkerRunLink | null>): Promise<readonly Event[]> =>
        asked.then(
          (link) => (link === null ? [] : [{ did: 'repeat', status: link.status, who }]),
          (error: unknown) => (ConflictError.is(error) ? [] : Promise.reject(error as Error)),
        );
      const events = await together(sources, scripts, async (source, step, who) => {
        switch (step) {
          case 'create': {
            const [outcome] = await on(source).createWorkerRuns('t-a', [{ id, workerId: 'w', task: 't' }]);
            return outcome?.status === 'created' ? [{ did: 'create', status: 'queued', who }] : [];
          }
          case 'start':
            return told('start', who, await on(source).startWorkerRun('t-a', id));
          case 'touch':
            await on(source).touchWorkerRun('t-a', id, who === 1 ? NOON.now() : TEN.now());
            return [];
          case 'mark': {
            const orphans = await detectOrphanedRuns(source.manager, scope, { clock: NOON });
            const orphan = orphans.find(({ runId }) => runId === id);
            return crashed(
              who,
              orphan !== undefined && (await markRunAsCrashed(source.manager, scope, { clock: NOON }, orphan)),
            );
          }
          case 'recover': {
            const { runs } = await recoverOrphanedRuns(source.manager, scope, { clock: NOON });
            return crashed(
              who,
              runs.some(({ runId }) => runId === id),
            );
          }
          case 'repeat':
            return retried(who, on(source).createRetryOf('t-a', id));
          case 'completed':
          case 'failed': {
            const figures = { totalTokens: who, output: { who } };
            return told('end', who, await on(source).finishWorkerRun('t-a', id, { status: step, figures }));
          }
        }
      });
      await expectAllowed('worker_runs', id, events);
      expect(of(events, 'start').length).toBeLessThanOrEqual(1);
      const [end, ...more] = [...of(events, 'end'), ...of(events, 'crash')];
      expect(more).toEqual([]);
      const status = end?.status ?? (of(events, 'start').length === 1 ? 'running' : 'queued');
      const figures =
        end?.did === 'end'
          ? { success: status === 'completed', total_tokens: String(end.who), output_json: { who: end.who } }
          : { success: null, total_tokens: null, output_json: null };
      expect(await rowOf('worker_runs', id)).toMatchObject({ status, ...figures });
      if (of(events, 'repeat').length > 0) expect(['crashed', 'failed']).toContain(status);
      // Whatever this case left open would be an orphan of the next one.
      await db.dataSource().query('DELETE FROM worker_runs');
    }),
    { numRuns: 60 },
  );
});
