import { DataIntegrityError, InvalidArgumentError, TenantScopeError } from './errors';
import {
  assertCallId,
  assertId,
  assertInt,
  assertList,
  assertOneOf,
  assertRange,
  assertTenantId,
  deepFreeze,
  toSafeInteger,
} from './guards';
import { assertIntentConsistency, FeatureIntent, RetryPolicy } from './intent';
import { assertSystemScope, systemScope, tenantScope } from './scope';
import { isRunStatus, PLAN_QUOTAS } from './values';

describe('identifiers', () => {
  it.each(['', '   ', undefined, null, 'a'.repeat(101), 'a\u0000', 'a\n', '\ud800', 7, {}, ['a']])(
    'F7: tenant %p is refused',
    (value) => {
      expect(() => assertTenantId(value)).toThrow(TenantScopeError);
    },
  );
  it('F7: 100 characters pass, counted as code points, and nothing is changed', () => {
    expect(assertTenantId('a'.repeat(100))).toHaveLength(100);
    expect(assertTenantId('🦉'.repeat(100))).toBe('🦉'.repeat(100));
    expect(assertTenantId(' a ')).toBe(' a ');
    expect(() => assertTenantId('🦉'.repeat(101))).toThrow(TenantScopeError);
  });
  it('ids and call ids have their own bounds', () => {
    expect(assertCallId('c'.repeat(255))).toHaveLength(255);
    expect(() => assertCallId('c'.repeat(256))).toThrow(InvalidArgumentError);
    expect(() => assertId('', 'runId')).toThrow(
      expect.objectContaining({ details: { field: 'runId', reason: 'length' } }),
    );
    expect(assertId(`"'; DROP TABLE runs; --"`, 'runId')).toContain('DROP');
  });
});

describe('scopes', () => {
  it('a system scope is made, not typed', () => {
    expect(assertSystemScope(systemScope('nightly sweep')).reason).toBe('nightly sweep');
    for (const value of [undefined, {}, { kind: 'system', reason: 'x' }, JSON.parse(JSON.stringify(systemScope('x')))])
      expect(() => assertSystemScope(value)).toThrow(TenantScopeError);
    for (const reason of ['', ' ', 'r'.repeat(201)]) expect(() => systemScope(reason)).toThrow(TenantScopeError);
    expect(tenantScope('t-a')).toEqual({ kind: 'tenant', tenantId: 't-a' });
  });
});

describe('checks', () => {
  it('a list has an item at each of its places: `map` would step over a hole, and nobody would check it', () => {
    expect(assertList(['a', undefined], 'ids', 2)).toEqual(['a', undefined]);
    const refused = (reason: string) => expect.objectContaining({ details: { field: 'ids', reason } }) as Error;
    const [gap, none] = [['a', 'b', 'c'], new Array<string>(3)];
    delete gap[1];
    for (const holed of [gap, none]) expect(() => assertList(holed, 'ids', 3)).toThrow(refused('hole'));
    expect(() => assertList(new Array(4), 'ids', 3)).toThrow(refused('too_many'));
    expect(() => assertList({ length: 0 }, 'ids', 3)).toThrow(refused('list'));
  });
  const [early, late] = [new Date(0), new Date(1)];
  it('ranges are half-open and begin before they end', () => {
    expect(() => assertRange(early, late, 'range')).not.toThrow();
    expect(() => assertRange(undefined, undefined, 'range')).not.toThrow();
    expect(() => assertRange(early, early, 'range', { allowEmpty: true })).not.toThrow();
    for (const [from, to] of [
      [late, early],
      [early, early],
      [new Date(NaN), late],
    ] as const)
      expect(() => assertRange(from, to, 'range')).toThrow(InvalidArgumentError);
    expect(() => assertRange('2026' as never, late, 'range')).toThrow(InvalidArgumentError);
  });
  it('integers and members', () => {
    expect(assertInt(3, 'n', 1, 3)).toBe(3);
    for (const value of [0, 4, 1.5, NaN, '2', null])
      expect(() => assertInt(value, 'n', 1, 3)).toThrow(InvalidArgumentError);
    expect(assertOneOf('a', ['a', 'b'] as const, 'x')).toBe('a');
    expect(() => assertOneOf('constructor', ['a'], 'x')).toThrow(InvalidArgumentError);
    expect([isRunStatus('halted'), isRunStatus('toString'), isRunStatus(null)]).toEqual([true, false, false]);
  });
  it('F46: an integer beyond 2^53-1 is never rounded', () => {
    expect(toSafeInteger('9007199254740991', 'n')).toBe(9007199254740991);
    for (const value of ['9007199254740993', '1.5', '', null, 'x', 1.5])
      expect(() => toSafeInteger(value, 'totalTokensIn')).toThrow(DataIntegrityError);
    expect(Object.is(toSafeInteger('-0', 'n'), 0)).toBe(true);
  });
  it('deepFreeze freezes every level but a Date', () => {
    const value = deepFreeze({ a: [{ b: 1 }], at: new Date(0) });
    expect(() => Object.assign(value.a[0]!, { b: 2 })).toThrow(TypeError);
    expect(value.at).toBeInstanceOf(Date);
  });
  it('intent and retry policy agree', () => {
    expect(() => assertIntentConsistency(FeatureIntent.STATE_MUTATION, RetryPolicy.SAFE)).not.toThrow();
    expect(() => assertIntentConsistency(FeatureIntent.EXTERNAL_SIDE_EFFECT, RetryPolicy.SAFE)).toThrow(
      InvalidArgumentError,
    );
    expect(() => assertIntentConsistency(FeatureIntent.RECOVERABLE_OPERATION, RetryPolicy.DANGEROUS)).toThrow(
      InvalidArgumentError,
    );
  });
  it('plan quotas are the known three', () => {
    expect(PLAN_QUOTAS.pro).toEqual({
      maxWorkers: 10,
      maxRunsPerDay: 1000,
      maxConcurrentRuns: 20,
      maxTokensPerMonth: 10_000_000,
      maxApiKeys: 20,
    });
    expect(Object.isFrozen(PLAN_QUOTAS.free)).toBe(true);
  });
});
