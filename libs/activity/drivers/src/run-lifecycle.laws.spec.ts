import {
  type NewRun,
  type NewWorkerRun,
  type RecordOutcome,
  type RunFigures,
  TERMINAL_RUN_STATUSES,
  type TerminalRunStatus,
} from '@hoc/activity/schemas';
import { ConflictError, systemScope } from '@hoc/shared/kernel';
import { entities, migrations } from '@hoc/shared/models';
import { fixedClock, makeTenant, sequentialIds } from '@hoc/shared/testing';
import { insertRows, useDatabase } from '@hoc/testkit';
import fc from 'fast-check';
import { recoverOrphanedRuns } from './orphan-recovery.driver';
import { getRunLifecycleDriver, type RunLifecycleDriver } from './run-lifecycle.driver';

const db = useDatabase({ entities, migrations });
const clock = fixedClock('2026-03-10T12:00:00.000Z');
let ids = sequentialIds('made');
const driver = (): RunLifecycleDriver => getRunLifecycleDriver(db.manager(), { clock, ids });
const stored = (table: string, columns: string, tenant = 't-a'): Promise<Record<string, unknown>[]> =>
  db.manager().query(`SELECT ${columns} FROM ${table} WHERE tenant_id = $1 ORDER BY id`, [tenant]);

/** The law on no rows, at noon, in a zone of the session. */
const law = <T extends [unknown, ...unknown[]]>(
  inputs: { [K in keyof T]: fc.Arbitrary<T[K]> },
  holds: (...values: T) => Promise<void>,
): Promise<void> =>
  fc.assert(
    fc.asyncProperty(
      fc.constantFrom('UTC', 'Pacific/Apia', 'America/St_Johns'),
      fc.tuple(...inputs),
      async (zone, values) => {
        clock.set('2026-03-10T12:00:00.000Z');
        ids = sequentialIds('made');
        await db.manager().query('SAVEPOINT law');
        try {
          await db.manager().query(`SET LOCAL TIME ZONE '${zone}'`);
          await holds(...(values as T));
        } finally {
          await db.manager().query('ROLLBACK TO SAVEPOINT law');
        }
      },
    ),
    { numRuns: 60 },
  );

beforeEach(() => insertRows(db.manager(), makeTenant({ id: 't-a' }), makeTenant({ id: 't-b' })));

describe('a batch is what its requests are, one after another', () => {
  const few = <T>(...values: T[]): fc.Arbitrary<T> => fc.constantFrom(...values);
  const text = few('one', 'two', 'one');
  /** An id comes always under the same key, or parent; two ids share theirs. */
  const KEYS: Readonly<Record<string, string>> = { a: 'k', b: 'k', c: 'l' };
  const PARENTS: Readonly<Record<string, string>> = { a: 'p', b: 'p', c: 'q' };
  const runs = fc.array(
    fc.record({ id: few('a', 'b', 'c', 'd'), goal: text }).map((run) => ({ ...run, idempotencyKey: KEYS[run.id] })),
    { maxLength: 10 },
  );
  const mixed = fc.array(
    fc.record({ id: few('a', 'b', 'c', 'd'), goal: text, idempotencyKey: few('k', 'l', 'm', undefined) }),
    { maxLength: 10 },
  );
  const works = fc.array(
    fc.record({ id: few('a', 'b', 'c', 'd'), task: text }).map((work) => ({ ...work, retryOf: PARENTS[work.id] })),
    { maxLength: 10 },
  );
  const cuts = fc.array(fc.nat({ max: 9 }), { maxLength: 3 });

  /** The requests in pieces, cut at the given places. */
  const pieces = <T>(items: readonly T[], at: readonly number[]): T[][] => {
    const places = [0, ...[...at].sort((a, b) => a - b), items.length];
    return places.slice(1).map((end, n) => items.slice(places[n], end));
  };
  const toRun = ({
    id,
    goal,
    idempotencyKey,
  }: {
    id: string;
    goal: string;
    idempotencyKey: string | undefined;
  }): NewRun => ({
    ...{ id, goal, agentId: 'ag', originSystemId: 'console' },
    ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
  });
  const toWork = ({ id, task, retryOf }: { id: string; task: string; retryOf: string | undefined }): NewWorkerRun => ({
    ...{ id, task, workerId: 'w' },
    ...(retryOf === undefined ? {} : { parentRunId: retryOf, attempt: 2 }),
  });
  const told = (outcomes: readonly RecordOutcome[]): unknown[] => outcomes.map(({ id, status }) => [id, status]);

  it('runs: a stored key decides, then the id; the first write stands', () =>
    law([runs, cuts], async (requests, at) => {
      const table = new Map<string, (typeof requests)[number]>();
      const expected = requests.map((request) => {
        const { id, goal, idempotencyKey: key } = request;
        const byKey = key === undefined ? undefined : [...table.values()].find((row) => row.idempotencyKey === key);
        const found = byKey ?? table.get(id);
        if (found === undefined) {
          table.set(id, request);
          return [id, 'created'];
        }
        return found.goal === goal && found.idempotencyKey === key ? [found.id, 'duplicate'] : [id, 'conflict'];
      });
      const outcomes: RecordOutcome[] = [];
      for (const piece of pieces(requests, at)) outcomes.push(...(await driver().createRuns('t-a', piece.map(toRun))));
      expect(told(outcomes)).toEqual(expected);
      expect(await stored('runs', 'id, goal, idempotency_key')).toEqual(
        [...table.values()]
          .sort((a, b) => (a.id < b.id ? -1 : 1))
          .map(({ id, goal, idempotencyKey }) => ({ id, goal, idempotency_key: idempotencyKey ?? null })),
      );
    }));

  it('runs, ids and keys in any mix: what is told as created or duplicate is what is stored', () =>
    law([mixed, cuts], async (requests, at) => {
      const outcomes: RecordOutcome[] = [];
      for (const piece of pieces(requests, at)) outcomes.push(...(await driver().createRuns('t-a', piece.map(toRun))));
      const rows = new Map((await stored('runs', 'id, goal, idempotency_key')).map((row) => [row['id'], row]));
      const created = outcomes.filter(({ status }) => status === 'created').map(({ id }) => id);
      expect(created.sort()).toEqual([...rows.keys()]);
      outcomes.forEach(({ id, status }, n) => {
        const { goal, idempotencyKey } = requests[n] ?? {};
        const content = { goal, idempotency_key: idempotencyKey ?? null };
        if (status !== 'conflict') expect(rows.get(id)).toMatchObject(content);
      });
    }));

  it('worker runs: by id, and one open retry of a parent', () =>
    law([works, cuts], async (requests, at) => {
      await driver().createWorkerRuns(
        't-a',
        ['p', 'q'].map((id) => ({ id, workerId: 'w', task: 'first' })),
      );
      const table = new Map<string, (typeof requests)[number]>();
      const expected = requests.map((request) => {
        const { id, task, retryOf } = request;
        const found = table.get(id);
        const taken = retryOf !== undefined && [...table.values()].some((row) => row.retryOf === retryOf);
        if (found !== undefined)
          return [id, found.task === task && found.retryOf === retryOf ? 'duplicate' : 'conflict'];
        if (taken) return [id, 'conflict'];
        table.set(id, request);
        return [id, 'created'];
      });
      const outcomes: RecordOutcome[] = [];
      for (const piece of pieces(requests, at))
        outcomes.push(...(await driver().createWorkerRuns('t-a', piece.map(toWork))));
      expect(told(outcomes)).toEqual(expected);
      expect((await stored('worker_runs', 'id')).map(({ id }) => id)).toEqual([...table.keys(), 'p', 'q'].sort());
    }));
});

/** A run as the state machine of B.2 says it is. */
interface Model {
  status: string;
  attempts: number;
  started: number | null;
  seen: number | null;
  completed: number | null;
  duration: number | null;
  next: number | null;
  error: string | null;
  input: number | null;
  cost: number | null;
}
type Step =
  | { readonly does: 'wait'; readonly ms: number }
  | { readonly does: 'start' }
  | { readonly does: 'retry'; readonly in: number | undefined; readonly why: string | undefined }
  | { readonly does: 'finish'; readonly status: TerminalRunStatus; readonly figures: RunFigures };

const figures = fc.record(
  {
    inputTokens: fc.nat({ max: 1 }),
    estimatedCostCents: fc.constantFrom('1', '1.0', '0.000001'),
    errorMessage: fc.constantFrom('no', 'yes'),
    durationMs: fc.constantFrom(0, 7),
    completedAt: fc.constantFrom(new Date('2026-03-10T11:00:00.123Z'), new Date('2026-03-10T13:00:00.000Z')),
  },
  { requiredKeys: [] },
);
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ does: fc.constant('wait' as const), ms: fc.nat({ max: 100_000 }) }),
  fc.constant({ does: 'start' as const }),
  fc.record({
    does: fc.constant('retry' as const),
    in: fc.option(fc.nat({ max: 1000 }), { nil: undefined }),
    why: fc.constantFrom('busy', undefined),
  }),
  fc.record({ does: fc.constant('finish' as const), status: fc.constantFrom(...TERMINAL_RUN_STATUSES), figures }),
);

/** What the call shall answer; the model is changed accordingly. */
function play(run: Model, each: Exclude<Step, { does: 'wait' }>, now: number): string {
  const isTerminal = (TERMINAL_RUN_STATUSES as readonly string[]).includes(run.status);
  if (each.does === 'start') {
    if (run.status !== 'queued' && run.status !== 'retry') return 'refused';
    Object.assign(run, { status: 'running', attempts: run.attempts + 1, started: run.started ?? now, seen: now });
    return 'changed';
  }
  if (each.does === 'retry') {
    if (run.status !== 'running') return 'refused';
    Object.assign(run, {
      status: 'retry',
      next: each.in === undefined ? null : now + each.in,
      error: each.why ?? run.error,
    });
    return 'changed';
  }
  const { inputTokens, estimatedCostCents, errorMessage, durationMs, completedAt } = each.figures;
  const cost = estimatedCostCents === undefined ? undefined : Number(estimatedCostCents);
  const given = {
    input: inputTokens,
    cost,
    error: errorMessage,
    duration: durationMs,
    completed: completedAt?.getTime(),
  };
  if (isTerminal) {
    const same = Object.entries(given).every(
      ([name, value]) => value === undefined || run[name as keyof Model] === value,
    );
    return same && run.status === each.status ? 'duplicate' : 'refused';
  }
  if (each.status === 'succeeded' && run.status !== 'running') return 'refused';
  const completed = given.completed ?? now;
  const lasted = run.started === null ? null : Math.max(0, completed - run.started);
  Object.assign(run, {
    status: each.status,
    completed,
    duration: durationMs ?? lasted,
    error: errorMessage ?? run.error,
    input: inputTokens ?? run.input,
    cost: cost ?? run.cost,
  });
  return 'changed';
}

const ask = (
  each: Exclude<Step, { does: 'wait' }>,
): Promise<{ readonly outcome: string; readonly status: string | null }> => {
  if (each.does === 'start') return driver().startRun('t-a', 'q');
  if (each.does === 'finish') return driver().finishRun('t-a', 'q', { status: each.status, figures: each.figures });
  return driver().retryRun('t-a', 'q', {
    ...(each.in === undefined ? {} : { nextAttemptAt: new Date(clock.now().getTime() + each.in) }),
    ...(each.why === undefined ? {} : { errorMessage: each.why }),
  });
};

it('a run is, after any calls, what the state machine says, and each call answers so', () =>
  law([fc.array(step, { maxLength: 12 })], async (steps) => {
    await driver().createRuns('t-a', [{ id: 'q', agentId: 'ag', originSystemId: 'o', goal: 'g' }]);
    const none = {
      started: null,
      seen: null,
      completed: null,
      duration: null,
      next: null,
      error: null,
      input: null,
      cost: null,
    };
    const model: Model = { ...none, status: 'queued', attempts: 0 };
    let updated = clock.now().getTime();
    for (const each of steps) {
      if (each.does === 'wait') {
        clock.advance(each.ms);
        continue;
      }
      const now = clock.now().getTime();
      const outcome = play(model, each, now);
      if (outcome === 'changed') updated = now;
      expect(await ask(each)).toEqual({ outcome, status: model.status });
      const [row] = await stored('runs', '*');
      const millis = (name: string): number | null => (row?.[name] as Date | null)?.getTime() ?? null;
      const number = (name: string): number | null => (row?.[name] === null ? null : Number(row?.[name]));
      expect({
        status: row?.['status'],
        attempts: row?.['attempts'],
        started: millis('started_at'),
        seen: millis('last_seen_at'),
        completed: millis('completed_at'),
        duration: number('duration_ms'),
        next: millis('next_attempt_at'),
        error: row?.['error_message'],
        input: number('input_tokens'),
        cost: number('estimated_cost_cents'),
      }).toEqual(model);
      expect(millis('updated_at')).toBe(updated);
    }
  }));

/** The answer, or the details of a conflict. */
const refusalOf = (asked: Promise<unknown>): Promise<unknown> =>
  asked.catch((error: unknown) => (ConflictError.is(error) ? error.details : Promise.reject(error as Error)));

describe('tenants', () => {
  const call = fc.constantFrom<(() => Promise<unknown>)[]>(
    () => driver().createWorkerRuns('t-a', [{ id: 'w', workerId: 'x', task: 't' }]),
    () => driver().createRuns('t-a', [{ id: 'w', agentId: 'x', originSystemId: 'o', goal: 'g', idempotencyKey: 'k' }]),
    () => driver().startRun('t-a', 'w'),
    () => driver().retryRun('t-a', 'w'),
    () => driver().finishRun('t-a', 'w', { status: 'failed' }),
    () => driver().startWorkerRun('t-a', 'w'),
    () => driver().touchWorkerRun('t-a', 'w'),
    () => driver().finishWorkerRun('t-a', 'w', { status: 'failed' }),
    () => driver().fetchRetryChain('t-a', 'w'),
    () => refusalOf(driver().createRetryOf('t-a', 'w')),
  );

  it('law 9: rows of another tenant under the same ids and keys change no answer, and are not changed', () =>
    law([fc.array(call, { maxLength: 14 }), fc.nat({ max: 3 })], async (calls, age) => {
      const alone = async (): Promise<unknown> => {
        ids = sequentialIds('made');
        await db.manager().query('SAVEPOINT alone');
        const answers: unknown[] = [];
        for (const each of calls) answers.push(await each());
        const rows = [await stored('runs', '*'), await stored('worker_runs', '*')];
        const foreign = [await stored('runs', '*', 't-b'), await stored('worker_runs', '*', 't-b')];
        await db.manager().query('ROLLBACK TO SAVEPOINT alone');
        return { answers, rows, foreign };
      };
      const { foreign: none, ...without } = (await alone()) as { foreign: unknown };
      expect(none).toEqual([[], []]);
      await driver().createRuns('t-b', [
        { id: 'w', agentId: 'y', originSystemId: 'o', goal: 'h', idempotencyKey: 'k' },
      ]);
      await driver().createWorkerRuns('t-b', [
        { id: 'w', workerId: 'y', task: 'u' },
        { id: 'made-000001', workerId: 'y', task: 'u', parentRunId: 'w', attempt: 2 },
      ]);
      if (age > 0) await driver().startRun('t-b', 'w');
      if (age > 0) await driver().startWorkerRun('t-b', 'w');
      if (age > 1) await driver().finishRun('t-b', 'w', { status: 'succeeded' });
      if (age > 2) {
        clock.advance(3_600_000);
        await recoverOrphanedRuns(db.manager(), systemScope('test'), { clock });
        clock.advance(-3_600_000);
      }
      const before = [await stored('runs', '*', 't-b'), await stored('worker_runs', '*', 't-b')];
      expect(await alone()).toEqual({ ...without, foreign: before });
    }));
});
