import {
  type RunFigures,
  TERMINAL_RUN_STATUSES,
  TERMINATION_TO_STATUS,
  type TerminalRunStatus,
  type Transition,
} from '@hoc/activity/schemas';
import {
  ConflictError,
  InvalidArgumentError,
  NotFoundError,
  RUN_TERMINATION_REASONS,
  type RunStatus,
} from '@hoc/shared/kernel';
import { fixedClock, sequentialIds } from '@hoc/shared/testing';
import { getRunLifecycleEngine, type LifecycleDriver, type RunLifecycleEngine } from './run-lifecycle.engine';

const deps = { clock: fixedClock('2026-03-10T12:00:00.000Z'), ids: sequentialIds() };
const answer = (outcome: 'changed' | 'duplicate' | 'refused' | 'missing', status: string | null) =>
  Promise.resolve({ outcome, status } as Transition<never>);

/** A driver that answers each transition alike, and remembers the figures of an end. */
function engineOn(outcome: 'changed' | 'duplicate' | 'refused' | 'missing', status: string | null) {
  const ends: (RunFigures | undefined)[] = [];
  const driver: LifecycleDriver = {
    createRuns: (_tenant, runs) => Promise.resolve(runs.map((_, index) => ({ index, id: 'x', status: 'created' }))),
    createWorkerRuns: () => Promise.resolve([]),
    startRun: () => answer(outcome, status),
    retryRun: () => answer(outcome, status),
    finishRun: (_tenant, _run, { figures }) => {
      ends.push(figures);
      return answer(outcome, status);
    },
    startWorkerRun: () => answer(outcome, status),
    touchWorkerRun: () => Promise.resolve(true),
    finishWorkerRun: () => answer(outcome, status),
    fetchRetryChain: () => Promise.resolve([]),
    createRetryOf: () => Promise.resolve(null),
  };
  return { engine: getRunLifecycleEngine(driver, deps), ends };
}

describe('what a transition did', () => {
  it('changed and duplicate are results, missing and refused are errors that say what stands', async () => {
    expect(await engineOn('changed', 'running').engine.startRun('t', 'r')).toEqual({
      runId: 'r',
      status: 'running',
      changed: true,
    });
    expect(await engineOn('duplicate', 'failed').engine.finishRun('t', 'r', { status: 'failed' })).toMatchObject({
      changed: false,
    });
    await expect(engineOn('missing', null).engine.startRun('t', 'r')).rejects.toThrow(NotFoundError);
    const late = engineOn('refused', 'crashed').engine.finishWorkerRun('t', 'r', { status: 'completed' });
    await expect(late).rejects.toThrow('run is crashed: its result came too late');
  });
  type Ask = (engine: RunLifecycleEngine) => Promise<unknown>;
  const start: Ask = (e) => e.startRun('t', 'r');
  const startWork: Ask = (e) => e.startWorkerRun('t', 'r');
  const retry: Ask = (e) => e.retryRun('t', 'r');
  const finish: Ask = (e) => e.finishRun('t', 'r', { status: 'succeeded' });
  const finishWork: Ask = (e) => e.finishWorkerRun('t', 'r', { status: 'failed' });
  const [unstarted, taken, ended, late] = [
    'it has not been started',
    'another worker has it',
    'it has ended',
    'its result came too late',
  ];
  const refusals: [string, string, string, Ask][] = [
    ['queued', 'not_started', unstarted, finish],
    ['retry', 'not_started', unstarted, finish],
    ['queued', 'not_started', unstarted, finishWork],
    ['queued', 'not_started', unstarted, retry],
    ['retry', 'not_started', unstarted, retry],
    ['running', 'already_started', taken, start],
    ['running', 'already_started', taken, startWork],
    ['succeeded', 'terminal', ended, start],
    ['crashed', 'terminal', ended, startWork],
    ['halted', 'terminal', ended, retry],
    ['cancelled', 'terminal', late, finish],
    ['crashed', 'terminal', late, finishWork],
  ];
  it.each(refusals)('refused at %s: %s, %s', async (status, reason, says, ask) => {
    await expect(ask(engineOn('refused', status).engine)).rejects.toMatchObject({
      code: 'CONFLICT',
      message: `run is ${status}: ${says}`,
      details: { runId: 'r', status, reason },
    });
    await expect(ask(engineOn('refused', status).engine)).rejects.toThrow(ConflictError);
  });
});

describe('the reason of an end', () => {
  it.each([
    ['succeeded', 'completed'],
    ['failed_policy', 'policy_block'],
    ['cancelled', 'user_abort'],
    ['failed', undefined],
    ['halted', undefined],
  ] as [TerminalRunStatus & RunStatus, string | undefined][])('%s: absent, it is %s', async (status, reason) => {
    const { engine, ends } = engineOn('changed', status);
    await engine.finishRun('t', 'r', { status });
    expect(ends[0]?.terminationReason).toBe(reason);
  });
  it('every reason goes with its own status, and with no other but a halt for the budget', async () => {
    for (const status of TERMINAL_RUN_STATUSES)
      for (const reason of RUN_TERMINATION_REASONS) {
        const { engine, ends } = engineOn('changed', status);
        const told = await engine.finishRun('t', 'r', { status, figures: { terminationReason: reason } }).then(
          () => ends[0]?.terminationReason,
          (error: unknown) => InvalidArgumentError.is(error),
        );
        const belongs =
          TERMINATION_TO_STATUS[reason] === status || (status === 'halted' && reason === 'budget_exceeded');
        expect([status, reason, told]).toEqual([status, reason, belongs ? reason : true]);
      }
  });
  it('F90: it must belong to the status; a halt may be for the budget', async () => {
    const { engine } = engineOn('changed', 'halted');
    await expect(
      engine.finishRun('t', 'r', { status: 'succeeded', figures: { terminationReason: 'timeout' } }),
    ).rejects.toThrow(InvalidArgumentError);
    expect(
      await engine.finishRun('t', 'r', { status: 'halted', figures: { terminationReason: 'budget_exceeded' } }),
    ).toMatchObject({ changed: true });
    await expect(
      engine.createRuns(
        't',
        Array.from({ length: 1001 }, () => ({ agentId: 'a', originSystemId: 'o', goal: 'g' })),
      ),
    ).rejects.toThrow(InvalidArgumentError);
  });
});

describe('requests', () => {
  const { engine } = engineOn('changed', 'running');
  const bad = (value: unknown): never => value as never;
  it.each([
    [
      'unknown key',
      () => engine.createRuns('t', [{ agentId: 'a', originSystemId: 'o', goal: 'g', tenant: 'x' } as never]),
      0,
    ],
    [
      'the second',
      () =>
        engine.createRuns('t', [
          { agentId: 'a', originSystemId: 'o', goal: 'g' },
          { agentId: '', originSystemId: 'o', goal: 'g' },
        ]),
      1,
    ],
    ['null', () => engine.createRuns('t', [{ agentId: 'a', originSystemId: 'o', goal: 'g', projectId: bad(null) }]), 0],
    ['legacy', () => engine.createRuns('t', [{ agentId: 'legacy-unknown', originSystemId: 'o', goal: 'g' }]), 0],
    ['worker', () => engine.createWorkerRuns('t', [{ workerId: 'w', task: '' }]), 0],
  ])('%s: INVALID_ARGUMENT with its place', async (_name, ask, index) => {
    await expect(ask()).rejects.toMatchObject({ code: 'INVALID_ARGUMENT', details: { index } });
  });
  it.each([
    ['status', () => engine.finishRun('t', 'r', { status: bad('retry') })],
    ['nested figure', () => engine.finishRun('t', 'r', { status: 'failed', figures: { durationMs: -1 } })],
    ['unknown figure', () => engine.finishWorkerRun('t', 'r', { status: 'failed', figures: bad({ cost: 1 }) })],
    ['null figure', () => engine.finishWorkerRun('t', 'r', { status: 'failed', figures: { costCents: bad(null) } })],
    ['retry', () => engine.retryRun('t', 'r', { nextAttemptAt: bad('soon') })],
  ])('%s: INVALID_ARGUMENT', async (_name, ask) => {
    await expect(ask()).rejects.toThrow(InvalidArgumentError);
  });
  it('a chain or a retry of a missing run is not found', async () => {
    await expect(engine.getRetryChain('t', 'r')).rejects.toThrow(NotFoundError);
    await expect(engine.retryWorkerRun('t', 'r')).rejects.toThrow(NotFoundError);
  });
});
