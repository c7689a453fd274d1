import {
  type RecoveryAction,
  RISK_CLASSES,
  ScopedExecutionRequired,
  type ScopeDenial,
  type ScopeSnapshot,
} from '@hoc/controls/schemas';
import { type Clock, type DecimalString, InvalidArgumentError } from '@hoc/shared/kernel';
import { fixedClock } from '@hoc/shared/testing';
import {
  BoundExecutionScope,
  requiresScopedExecution,
  ScopedExecutionContext,
  testRecoveryScope,
  validateScopeRequired,
} from './scoped-execution.driver';
import {
  computeHash,
  denialError,
  dryRunValidate,
  elapsedMs,
  estimateCost,
  executeScoped,
} from './scoped-execution.rules';

const NOW = new Date('2026-03-10T12:00:00.000Z');
const later = (ms: number): Date => new Date(NOW.getTime() + ms);
const dec = (text: string): DecimalString => text as DecimalString;
const bad = (value: unknown): never => value as never;
const clock = fixedClock(NOW);
const deps = { clock };
const action = (more: Partial<RecoveryAction> = {}): RecoveryAction => ({
  id: 'act-1',
  name: 'restart',
  riskClass: 'low',
  actionType: 'retry',
  parameters: {},
  targetAgents: [],
  timeoutMs: 30_000,
  ...more,
});
const snapshot = (more: Partial<ScopeSnapshot> = {}): ScopeSnapshot => ({
  scopeId: 'scope_1',
  tenantId: 't-a',
  incidentId: 'inc',
  allowedActions: ['retry'],
  maxCostCents: dec('50'),
  maxAttempts: 2,
  expiresAt: later(300_000),
  intent: 'repair',
  targetAgents: ['ag'],
  createdAt: NOW,
  createdBy: 'jo',
  attemptsUsed: 0,
  costUsedCents: dec('0'),
  status: 'active',
  executionLog: [],
  ...more,
});
const scope = (more: Partial<ScopeSnapshot> = {}): BoundExecutionScope => new BoundExecutionScope(snapshot(more));

describe('computeHash', () => {
  it('F34: 16 hex digits over the canonical form, in UTF-8', () => {
    expect(computeHash({ scope: 'dry_run', action: 'act-1', dry_run: true })).toBe('09778fffbef7f0e6');
    expect(computeHash({ scope: 'dry_run', action: 'act-é', dry_run: true })).toBe('34dc8bec31a07582');
  });
  it('refuses what JSON can’t say', () => {
    expect(() => computeHash({ a: Number.NaN })).toThrow(InvalidArgumentError);
    expect(() => computeHash(bad({ a: undefined }))).toThrow(InvalidArgumentError);
  });
});

describe('estimateCost', () => {
  it.each([
    ['retry', '10'],
    ['fallback', '5'],
    ['circuit_break', '0'],
    ['scale', '100'],
    ['Retry', '20'],
    ['', '20'],
    ['constructor', '20'],
  ])('%s: %s cents', (type, cents) => expect(estimateCost(type)).toBe(cents));
});

describe('elapsedMs', () => {
  it.each<[string, Date | null, Date | null, number]>([
    ['not started', null, null, 0],
    ['not started, yet ended', null, later(5), 0],
    ['running', NOW, null, 7],
    ['ended', NOW, later(5), 5],
    ['a clock that was set back', later(5), NOW, 0],
  ])('%s', (_name, start, end, ms) => expect(elapsedMs(start, end, later(7))).toBe(ms));
});

describe('dryRunValidate', () => {
  const NO_TYPE = 'Missing action_type';
  const NO_AGENTS = 'HIGH/CRITICAL risk actions require explicit target_agents';
  it.each<[string, Partial<RecoveryAction>, readonly string[]]>([
    ['a sound one', {}, []],
    ['no type', { actionType: '' }, [NO_TYPE]],
    ['medium without agents', { riskClass: 'medium' }, []],
    ['high without agents', { riskClass: 'high' }, [NO_AGENTS]],
    ['critical without agents', { riskClass: 'critical' }, [NO_AGENTS]],
    ['critical with an agent', { riskClass: 'critical', targetAgents: ['ag'] }, []],
    ['both', { riskClass: 'high', actionType: '' }, [NO_TYPE, NO_AGENTS]],
  ])('%s', (_name, more, violations) => expect(dryRunValidate(action(more))).toEqual(violations));
});

describe('ScopedExecutionContext', () => {
  it('tries nothing by default: a dry run of a tenth', async () => {
    const context = new ScopedExecutionContext(action(), deps);
    expect([context.scope, context.scopeFraction, context.timeoutMs]).toEqual(['dry_run', 0.1, 30_000]);
    const result = await context.execute();
    expect(result).toEqual({
      success: true,
      costDeltaCents: '10',
      failureCount: 0,
      policyViolations: [],
      executionHash: '09778fffbef7f0e6',
      durationMs: 0,
      scopeCoverage: 0,
      samplesTested: 0,
      details: { mode: 'dry_run', estimated_cost_cents: '10', risk_class: 'low' },
    });
    expect([result, result.details, result.policyViolations].every(Object.isFrozen)).toBe(true);
  });
  it('F35: a fraction is clamped, and its samples are counted in decimals', async () => {
    const tried = async (fraction: number) => {
      const context = new ScopedExecutionContext(action({ id: 'act-9' }), deps, 'agent_subset', fraction);
      return { fraction: context.scopeFraction, ...(await context.execute()) };
    };
    expect(await tried(0.29)).toEqual({
      fraction: 0.29,
      success: true,
      costDeltaCents: '0',
      failureCount: 0,
      policyViolations: [],
      executionHash: '4dba566233edd92c',
      durationMs: 0,
      scopeCoverage: 0.29,
      samplesTested: 29,
      details: { mode: 'scoped', scope_type: 'agent_subset', samples_tested: 29 },
    });
    expect(await tried(7)).toMatchObject({ fraction: 1, samplesTested: 100, scopeCoverage: 1 });
    expect(await tried(0)).toMatchObject({ fraction: 0.01, samplesTested: 1 });
    expect(await tried(-3)).toMatchObject({ fraction: 0.01, samplesTested: 1 });
    expect(await tried(0.123456789)).toMatchObject({ fraction: 0.123456789, samplesTested: 12 });
  });
  it('says how long it took by the clock', async () => {
    const ticking: Clock = {
      now: (
        (n: number) => () =>
          later((n += 5))
      )(0),
    };
    expect((await new ScopedExecutionContext(action(), { clock: ticking }).execute()).durationMs).toBe(5);
  });
  it.each<[string, Partial<RecoveryAction>]>([
    ['an id that has no canonical form', { id: '\ud800' }],
    ['a risk class that doesn’t exist', { riskClass: bad('huge') }],
  ])('what goes wrong inside is a failure: %s', async (_name, more) => {
    expect(await new ScopedExecutionContext(action(more), deps).execute()).toEqual({
      success: false,
      costDeltaCents: '0',
      failureCount: 1,
      policyViolations: ['Execution error: INVALID_ARGUMENT'],
      executionHash: '',
      durationMs: 0,
      scopeCoverage: 0,
      samplesTested: 0,
      details: {},
    });
  });
  it('a foreign error inside is INTERNAL, and says nothing of itself', async () => {
    const broken = action({ targetAgents: bad(null), riskClass: 'high' });
    expect((await new ScopedExecutionContext(broken, deps).execute()).policyViolations).toEqual([
      'Execution error: INTERNAL',
    ]);
  });
  it.each<[string, () => unknown]>([
    ['no action', () => new ScopedExecutionContext(bad(null), deps)],
    ['an unknown scope', () => new ScopedExecutionContext(action(), deps, bad('all'))],
    ['a fraction NaN', () => new ScopedExecutionContext(action(), deps, 'dry_run', Number.NaN)],
    ['a fraction Infinity', () => new ScopedExecutionContext(action(), deps, 'dry_run', Infinity)],
    ['a fraction -Infinity', () => new ScopedExecutionContext(action(), deps, 'dry_run', -Infinity)],
    ['no time', () => new ScopedExecutionContext(action(), deps, 'dry_run', 0.1, 0)],
    ['too much time', () => new ScopedExecutionContext(action(), deps, 'dry_run', 0.1, 600_001)],
  ])('refuses %s', (_name, make) => expect(make).toThrow(InvalidArgumentError));
  it('executeScoped is the same without a clock', () => {
    expect(executeScoped(action(), 'dry_run', 1, 3)).toMatchObject({
      executionHash: '09778fffbef7f0e6',
      durationMs: 3,
    });
  });
});

describe('testRecoveryScope', () => {
  const input = { actionId: 'act-1', actionName: 'restart', actionType: 'scale', riskClass: 'high', parameters: {} };
  it('F36: a risky action without agents', async () => {
    const result = await testRecoveryScope(input, deps);
    expect(result).toMatchObject({
      success: false,
      failureCount: 1,
      policyViolations: ['HIGH/CRITICAL risk actions require explicit target_agents'],
      costDeltaCents: '100',
      scopeCoverage: 0,
      samplesTested: 0,
      riskClass: 'high',
      scopeType: 'dry_run',
    });
    expect(Object.isFrozen(result)).toBe(true);
  });
  it('on a part of the world', async () => {
    const asked = { ...input, targetAgents: ['ag'], scopeType: 'request_sample', scopeFraction: 0.5 };
    expect(await testRecoveryScope(asked, deps)).toMatchObject({
      success: true,
      samplesTested: 50,
      scopeCoverage: 0.5,
      scopeType: 'request_sample',
    });
  });
  it('an empty type is a violation', async () => {
    expect((await testRecoveryScope({ ...input, actionType: '', riskClass: 'low' }, deps)).policyViolations).toEqual([
      'Missing action_type',
    ]);
  });
  it.each<[string, object]>([
    ['an unknown risk class', { riskClass: 'HIGH' }],
    ['an unknown scope', { scopeType: 'everything' }],
    ['a fraction that isn’t finite', { scopeFraction: Number.NaN }],
    ['no id', { actionId: '' }],
    ['no name', { actionName: '' }],
    ['no type at all', { actionType: undefined }],
    ['parameters that aren’t JSON', { parameters: { n: 1n } }],
    ['parameters with U+0000', { parameters: { n: '\0' } }],
    ['parameters beyond 64 KiB', { parameters: { n: 'x'.repeat(65_536) } }],
    ['101 agents', { targetAgents: Array.from({ length: 101 }, (_, n) => `a${n}`) }],
    ['an empty agent', { targetAgents: [''] }],
  ])('refuses %s', async (_name, more) => {
    await expect(testRecoveryScope({ ...input, ...more }, deps)).rejects.toBeInstanceOf(InvalidArgumentError);
  });
});

describe('requiresScopedExecution', () => {
  const performed: unknown[] = [];
  const perform = async (on: RecoveryAction, ...rest: unknown[]): Promise<string> => {
    performed.push([on.id, ...rest]);
    return 'done';
  };
  beforeEach(() => performed.splice(0));

  it.each(RISK_CLASSES.flatMap((threshold) => RISK_CLASSES.map((riskClass) => [threshold, riskClass] as const)))(
    'from %s on, none of class %s goes without a scope',
    async (threshold, riskClass) => {
      const guardedPerform = requiresScopedExecution(threshold)(perform);
      const refused = RISK_CLASSES.indexOf(riskClass) >= RISK_CLASSES.indexOf(threshold);
      const asked = guardedPerform(action({ riskClass }), { skipScope: true }, 1, 'two');
      if (refused)
        await expect(asked).rejects.toMatchObject({
          name: 'ScopedExecutionRequired',
          code: 'CONFLICT',
          message: expect.stringMatching(`restart.*${riskClass}.*${threshold}`) as unknown,
          details: { action: 'restart', riskClass, threshold },
        });
      else await expect(asked).resolves.toBe('done');
      expect(performed).toEqual(refused ? [] : [['act-1', 1, 'two']]);
    },
  );
  it('within a scope anything runs, with its own arguments; medium is the default', async () => {
    const guardedPerform = requiresScopedExecution()(perform);
    for (const options of [{}, { skipScope: false }])
      expect(await guardedPerform(action({ riskClass: 'critical' }), options, 7)).toBe('done');
    await expect(guardedPerform(action({ riskClass: 'medium' }), { skipScope: true })).rejects.toThrow();
    expect(performed).toEqual([
      ['act-1', 7],
      ['act-1', 7],
    ]);
  });
  it('refuses a threshold that doesn’t exist at once', () => {
    expect(() => requiresScopedExecution(bad('none'))).toThrow(InvalidArgumentError);
  });
});

it('validateScopeRequired always rejects, naming the action and the incident', async () => {
  const asked = validateScopeRequired('inc', 'retry');
  await expect(asked).rejects.toBeInstanceOf(ScopedExecutionRequired);
  await expect(asked).rejects.toMatchObject({ details: { action: 'retry', incidentId: 'inc' } });
});

describe('BoundExecutionScope', () => {
  it('is frozen at every level, and keeps nothing of what it was made from', () => {
    const from = snapshot({
      executionLog: [{ action: 'retry', costCents: dec('1'), timestamp: NOW, attemptNumber: 1 }],
    });
    const made = new BoundExecutionScope(from);
    expect(
      [made, made.allowedActions, made.targetAgents, made.executionLog, made.executionLog[0]].every(Object.isFrozen),
    ).toBe(true);
    expect({ ...made }).toEqual(from);
    from.expiresAt.setTime(0);
    expect(made.isValid(NOW)).toBe(true);
  });
  it.each<[string, Partial<ScopeSnapshot>, number, string]>([
    ['fresh', {}, 0, 'active'],
    ['a millisecond before its end', {}, 299_999, 'active'],
    ['at its end', {}, 300_000, 'expired'],
    ['after its last attempt', { attemptsUsed: 2 }, 0, 'exhausted'],
    ['after both', { attemptsUsed: 2 }, 300_000, 'expired'],
    ['stored as exhausted, after its end', { status: 'exhausted' }, 300_000, 'exhausted'],
    ['stored as revoked', { status: 'revoked' }, 300_000, 'revoked'],
    ['stored as expired', { status: 'expired' }, 0, 'expired'],
  ])('%s', (_name, more, ms, status) => {
    expect([scope(more).statusAt(later(ms)), scope(more).isValid(later(ms))]).toEqual([status, status === 'active']);
  });
  it.each<[string, Partial<ScopeSnapshot>, string, string, string, number, ScopeDenial['kind'] | null]>([
    ['all is well', {}, 'retry', 'inc', '50', 0, null],
    ['more than the ceiling', {}, 'retry', 'inc', '50.000001', 0, 'cost'],
    ['more than is left', { costUsedCents: dec('49.5') }, 'retry', 'inc', '0.500001', 0, 'cost'],
    ['exactly what is left', { costUsedCents: dec('49.5') }, 'retry', 'inc', '0.5', 0, null],
    ['another action', {}, 'scale', 'inc', '51', 0, 'action'],
    ['another case of it', {}, 'Retry', 'inc', '0', 0, 'action'],
    ['another incident and action', {}, 'scale', 'other', '51', 0, 'incident'],
    ['used up, of another incident', { attemptsUsed: 2 }, 'retry', 'other', '0', 0, 'exhausted'],
    ['over and used up', { attemptsUsed: 2 }, 'retry', 'inc', '0', 300_000, 'expired'],
    ['revoked and over', { status: 'revoked' }, 'retry', 'inc', '0', 300_000, 'revoked'],
  ])('canExecute where %s', (_name, more, what, incident, cost, ms, kind) => {
    const verdict = scope(more).canExecute(what, incident, later(ms), dec(cost));
    expect(verdict).toEqual(
      kind === null ? { allowed: true } : { allowed: false, error: { kind, message: expect.any(String) as unknown } },
    );
    expect(Object.isFrozen(verdict)).toBe(true);
  });
  it('the exception is chosen by the kind, not by words', () => {
    const named = scope({ allowedActions: ['expired-exhausted', 'revoked cost ceiling'] });
    const raised = (kind: ScopeDenial['kind']) =>
      denialError(named, 'expired-exhausted', { kind, message: 'exhausted expired revoked incident action' });
    expect(raised('revoked')).toMatchObject({ name: 'ScopedExecutionRequired', details: { status: 'revoked' } });
    expect(raised('expired')).toMatchObject({
      name: 'ScopeExpired',
      details: { scopeId: 'scope_1', expiresAt: '2026-03-10T12:05:00.000Z' },
    });
    expect(raised('exhausted')).toMatchObject({ name: 'ScopeExhausted', details: { reason: 'ATTEMPTS' } });
    expect(raised('cost')).toMatchObject({ name: 'ScopeExhausted', details: { reason: 'COST_CEILING' } });
    expect(raised('incident')).toMatchObject({ name: 'ScopeIncidentMismatch', details: { scopeId: 'scope_1' } });
    expect(raised('action')).toMatchObject({
      name: 'ScopeActionMismatch',
      details: { allowedActions: ['expired-exhausted', 'revoked cost ceiling'] },
    });
  });
  it('consume gives the next snapshot and leaves this one', () => {
    const first = scope();
    const second = first.consume('retry', dec('20'), later(1));
    expect(second).toMatchObject({ attemptsUsed: 1, costUsedCents: '20', status: 'active' });
    const last = second.consume('retry', dec('30.0'), later(2));
    expect(last).toMatchObject({ attemptsUsed: 2, costUsedCents: '50', status: 'exhausted' });
    expect(last.executionLog).toEqual([
      { action: 'retry', costCents: '20', timestamp: later(1), attemptNumber: 1 },
      { action: 'retry', costCents: '30', timestamp: later(2), attemptNumber: 2 },
    ]);
    expect([first.attemptsUsed, first.executionLog]).toEqual([0, []]);
    expect(() => last.consume('retry', dec('0'), later(3))).toThrow(
      expect.objectContaining({ name: 'ScopeExhausted' }),
    );
  });
  it.each<[string, Partial<ScopeSnapshot>, string, string, number, string]>([
    ['over the ceiling', {}, 'retry', '50.000001', 0, 'ScopeExhausted'],
    ['at its end', {}, 'retry', '0', 300_000, 'ScopeExpired'],
    ['revoked', { status: 'revoked' }, 'retry', '0', 0, 'ScopedExecutionRequired'],
    ['another action', {}, 'scale', '0', 0, 'ScopeActionMismatch'],
  ])('consume refuses %s', (_name, more, what, cost, ms, name) => {
    expect(() => scope(more).consume(what, dec(cost), later(ms))).toThrow(expect.objectContaining({ name }));
  });
  it.each(['-1', '1e3', 'NaN', ' 1', '1.0000001'])('refuses the cost %p', (cost) => {
    expect(() => scope().canExecute('retry', 'inc', NOW, bad(cost))).toThrow(InvalidArgumentError);
    expect(() => scope().consume('retry', bad(cost), NOW)).toThrow(InvalidArgumentError);
  });
  it('toDict is plain JSON: all fields but the log, and what is left', () => {
    const dict = scope({ costUsedCents: dec('12.5'), attemptsUsed: 1 }).toDict();
    expect(dict).toEqual({
      scopeId: 'scope_1',
      tenantId: 't-a',
      incidentId: 'inc',
      allowedActions: ['retry'],
      maxCostCents: '50',
      maxAttempts: 2,
      expiresAt: '2026-03-10T12:05:00.000Z',
      intent: 'repair',
      targetAgents: ['ag'],
      createdAt: '2026-03-10T12:00:00.000Z',
      createdBy: 'jo',
      attemptsUsed: 1,
      costUsedCents: '12.5',
      status: 'active',
      attemptsRemaining: 1,
      costRemainingCents: '37.5',
    });
    expect(JSON.parse(JSON.stringify(dict))).toEqual(dict);
    expect(Object.isFrozen(dict)).toBe(true);
    expect(scope({ attemptsUsed: 9, costUsedCents: dec('51') }).toDict()).toMatchObject({
      attemptsRemaining: 0,
      costRemainingCents: '0',
    });
  });
});
