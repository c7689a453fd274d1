import type {
  LimitOverrideResponse,
  OverrideActivation,
  OverrideAdjustment,
  OverridePort,
} from '@hoc/controls/schemas';
import {
  HocError,
  InvalidArgumentError,
  NotFoundError,
  systemScope,
  TenantScopeError,
  UnavailableError,
} from '@hoc/shared/kernel';
import { OverrideLifecycleEngine } from './override-lifecycle.engine';

const scope = systemScope('test');
const bad = (value: unknown): never => value as never;
const DONE = { overrideId: 'o' } as LimitOverrideResponse;
const unused = (): never => {
  throw new HocError('INTERNAL', 'nobody asks for this');
};

interface Fake {
  readonly engine: OverrideLifecycleEngine;
  /** Calls of the port, each with the number of its transaction. */
  readonly calls: (readonly unknown[])[];
}

/** An engine over tenants that are due, a page each of two; `activate` says what comes of a tenant. */
function engineOn(
  due: readonly string[] = [],
  activate: (tenant: string) => Promise<OverrideActivation> | OverrideActivation = () => ({
    activated: [],
    blockedByCap: [],
  }),
  expire: () => Promise<number> = () => Promise.resolve(0),
): Fake {
  const calls: (readonly unknown[])[] = [];
  let transactions = 0;
  const portOf = (transaction: number): OverridePort => {
    const note = (...call: unknown[]): void => void calls.push([transaction, ...call]);
    return {
      requestOverride: unused,
      getOverride: unused,
      listOverrides: unused,
      countOverrides: unused,
      cancelOverride: unused,
      fetchOverridesInEffect: unused,
      approveOverride: (tenant, id, by, adjust?: OverrideAdjustment) => {
        note('approve', tenant, id, by, adjust);
        return Promise.resolve(DONE);
      },
      rejectOverride: (tenant, id, by, reason) => {
        note('reject', tenant, id, by, reason);
        return Promise.resolve(DONE);
      },
      expireOverrides: (given) => {
        note('expire', given === scope);
        return expire();
      },
      detectTenantsWithDueOverrides: (given, limit, after = '') => {
        note('detect', given === scope, limit, after);
        return Promise.resolve(due.filter((tenant) => tenant > after).slice(0, 2));
      },
      activateDueOverrides: async (tenant) => {
        note('activate', tenant);
        return activate(tenant);
      },
    };
  };
  const engine = new OverrideLifecycleEngine((work) => work({ overrides: portOf((transactions += 1)) }));
  return { engine, calls };
}

describe('decide', () => {
  it('approves, as it was asked for or adjusted, in one transaction', async () => {
    const { engine, calls } = engineOn();
    expect(await engine.decide('t', 'o', { approved: true }, 'bob')).toBe(DONE);
    await engine.decide('t', 'o', { approved: true, adjustedValue: '7.50', adjustedDurationHours: 3 }, 'bob');
    await engine.decide('t', 'o', { approved: true, adjustedDurationHours: 3 }, 'bob');
    expect(calls).toEqual([
      [1, 'approve', 't', 'o', 'bob', {}],
      [2, 'approve', 't', 'o', 'bob', { value: '7.5', durationHours: 3 }],
      [3, 'approve', 't', 'o', 'bob', { durationHours: 3 }],
    ]);
  });
  it('rejects, and says why', async () => {
    const { engine, calls } = engineOn();
    expect(await engine.decide('t', 'o', { approved: false, rejectionReason: 'no' }, 'bob')).toBe(DONE);
    expect(calls).toEqual([[1, 'reject', 't', 'o', 'bob', 'no']]);
  });
  const rejected = { approved: false, rejectionReason: 'no' };
  it.each<readonly [name: string, decision: unknown, field: string]>([
    ['nothing', null, ''],
    ['no decision', {}, 'approved'],
    ['a decision as text', { approved: 'true' }, 'approved'],
    ['a rejection without a reason', { approved: false }, 'rejectionReason'],
    ['a rejection with an empty one', { approved: false, rejectionReason: '' }, 'rejectionReason'],
    ['a rejection with one of 501', { approved: false, rejectionReason: 'x'.repeat(501) }, 'rejectionReason'],
    ['an approval with a reason', { approved: true, rejectionReason: 'no' }, 'rejectionReason'],
    ['a rejection with a value', { ...rejected, adjustedValue: '1' }, 'adjustedValue'],
    ['a rejection with hours', { ...rejected, adjustedDurationHours: 1 }, 'adjustedDurationHours'],
    ...['0', '0.000000', '-1', '1e3', '1.0000001', 3, null].map(
      (adjustedValue) => [`a value of ${adjustedValue}`, { approved: true, adjustedValue }, 'adjustedValue'] as const,
    ),
    ...[0, 169, 1.5, '2', null].map(
      (hours) => [`${hours} hours`, { approved: true, adjustedDurationHours: hours }, 'adjustedDurationHours'] as const,
    ),
    ['an unknown property', { approved: true, by: 'me' }, 'by'],
  ])('refuses %s before any transaction', async (_name, decision, field) => {
    const { engine, calls } = engineOn();
    const error: unknown = await engine.decide('t', 'o', bad(decision), 'bob').catch((thrown: unknown) => thrown);
    expect(InvalidArgumentError.is(error)).toBe(true);
    expect(error).toMatchObject({ details: { field } });
    expect(calls).toEqual([]);
  });
});

describe('sweep', () => {
  it('ends first, then page by page each tenant in a transaction of its own; the sums of them', async () => {
    const { engine, calls } = engineOn(
      ['ta', 'tb', 'tc'],
      (tenant) => ({ activated: tenant === 'tb' ? [] : ['x', 'y'], blockedByCap: [`${tenant}-1`] }),
      () => Promise.resolve(7),
    );
    const result = await engine.sweep(scope);
    expect(result).toEqual({ expired: 7, activated: 4, blockedByCap: 3, failedTenants: [] });
    expect([Object.isFrozen(result), Object.isFrozen(result.failedTenants)]).toEqual([true, true]);
    expect(calls).toEqual([
      [1, 'expire', true],
      [2, 'detect', true, 1000, ''],
      [3, 'activate', 'ta'],
      [4, 'activate', 'tb'],
      [5, 'detect', true, 1000, 'tb'],
      [6, 'activate', 'tc'],
      [7, 'detect', true, 1000, 'tc'],
    ]);
  });
  it('nothing is due', async () => {
    expect(await engineOn().engine.sweep(scope)).toEqual({
      ...{ expired: 0, activated: 0, blockedByCap: 0, failedTenants: [] },
    });
  });
  it('a tenant that fails is listed and does not stop the rest', async () => {
    const { engine } = engineOn(['ta', 'tb', 'tc', 'td', 'te'], (tenant) => {
      if (tenant === 'tb' || tenant === 'te') throw new UnavailableError('not now');
      return { activated: [tenant], blockedByCap: [] };
    });
    expect(await engine.sweep(scope)).toEqual({
      ...{ expired: 0, activated: 3, blockedByCap: 0, failedTenants: ['tb', 'te'] },
    });
  });
  it('what fails before any tenant’s turn is the caller’s', async () => {
    const { engine } = engineOn(['ta'], undefined, () => Promise.reject(new NotFoundError('gone')));
    await expect(engine.sweep(scope)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });
  it('needs a scope', async () => {
    const { engine, calls } = engineOn(['ta']);
    const error: unknown = await engine.sweep(bad({ kind: 'system', reason: 'x' })).catch((thrown: unknown) => thrown);
    expect([TenantScopeError.is(error), calls]).toEqual([true, []]);
  });
});

describe('close', () => {
  it('waits for the transaction that runs, and the sweep takes no further one', async () => {
    let finish: () => void = () => undefined;
    const { engine, calls } = engineOn(
      ['ta', 'tb'],
      () =>
        new Promise((resolve) => {
          finish = () => resolve({ activated: ['x'], blockedByCap: [] });
        }),
    );
    const sweep = engine.sweep(scope).catch((error: unknown) => error);
    while (calls.at(-1)?.[1] !== 'activate') await Promise.resolve();
    let closed = false;
    const closing = engine.close().then(() => (closed = true));
    for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
    expect(closed).toBe(false);
    finish();
    await closing;
    const error = await sweep;
    expect([UnavailableError.is(error), calls.filter(([, name]) => name === 'activate')]).toEqual([
      true,
      [[3, 'activate', 'ta']],
    ]);
    expect(error).toMatchObject({ details: { reason: 'closed' } });
  });
  it('is the same promise the second time, and everything after it is refused', async () => {
    const { engine, calls } = engineOn(['ta']);
    expect(engine.close()).toBe(engine.close());
    await engine.close();
    for (const work of [
      () => engine.sweep(scope),
      () => engine.decide('t', 'o', { approved: true }, 'bob'),
      () => engine.decide('t', 'o', { approved: false, rejectionReason: 'no' }, 'bob'),
    ])
      await expect(work()).rejects.toMatchObject({ code: 'UNAVAILABLE', details: { reason: 'closed' } });
    expect(calls).toEqual([]);
  });
  it('a transaction that fails does not fail it', async () => {
    const { engine } = engineOn([], undefined, () => Promise.reject(new NotFoundError('gone')));
    const sweep = engine.sweep(scope).catch(() => 'failed');
    await engine.close();
    expect(await sweep).toBe('failed');
  });
});
