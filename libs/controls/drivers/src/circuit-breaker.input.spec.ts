import type { CircuitBreakerOptions } from '@hoc/controls/schemas';
import { entities, migrations } from '@hoc/controls/models';
import { HocError, type JsonObject, systemScope } from '@hoc/shared/kernel';
import { entities as shared, migrations as sharedMigrations } from '@hoc/shared/models';
import { fixedClock, sequentialIds } from '@hoc/shared/testing';
import { captureStatements, useDatabase } from '@hoc/testkit';
import * as breakers from './circuit-breaker.driver';
import { type CircuitBreaker, createCircuitBreaker } from './circuit-breaker.driver';

const START = '2026-03-10T12:00:00.000Z';
const scope = systemScope('test');
const deps = { clock: fixedClock(START), ids: sequentialIds('x') };
const db = useDatabase({ entities: [...shared, ...entities], migrations: [...sharedMigrations, ...migrations] });
let breaker: CircuitBreaker;

beforeEach(() => {
  breaker = withOptions();
});

const withOptions = (options?: CircuitBreakerOptions): CircuitBreaker =>
  createCircuitBreaker(db.manager(), scope, deps, options);
const counts = (): Promise<unknown> =>
  db.manager().query(
    `SELECT (SELECT count(*) FROM costsim_cb_state) + (SELECT count(*) FROM costsim_cb_incidents)
       + (SELECT count(*) FROM costsim_alert_queue) + (SELECT count(*) FROM status_history) AS n`,
  );

describe('bad input', () => {
  const refused = async (work: () => Promise<unknown>, code: string, field?: string): Promise<void> => {
    const before = await counts();
    const statements = await captureStatements(db.manager(), async () => {
      const error: unknown = await work().catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({ code, ...(field === undefined ? {} : { details: { field } }) });
      expect(HocError.is(error) && `${error.message}${JSON.stringify(error.details)}`).not.toMatch(/costsim_cb|SELECT/);
    });
    expect(statements).toEqual([]);
    expect(await counts()).toEqual(before);
  };

  it.each([Number.NaN, -0.1, 1.1, Infinity, '0.5', null])('reportDrift(%p)', (score) =>
    refused(() => breaker.reportDrift(score as number), 'INVALID_ARGUMENT', 'driftScore'),
  );
  it.each([0, 1.5, -1, '1', 2_147_483_648])('reportDrift with %p samples', (samples) =>
    refused(() => breaker.reportDrift(0.5, samples as number), 'INVALID_ARGUMENT', 'sampleCount'),
  );
  it.each([-1, 1.5, '5', 2_147_483_648])('reportSchemaError(%p)', (errors) =>
    refused(() => breaker.reportSchemaError(errors as number), 'INVALID_ARGUMENT', 'errorCount'),
  );
  it.each([
    ['more than 64 KiB', { text: 'x'.repeat(65_536) }],
    ['more than 64 KiB as it is stored', { list: Array.from({ length: 30_000 }, () => 1) }],
    ['a BigInt', { n: 1n }],
    ['a NUL', { text: 'a\0b' }],
    ['no object', [1]],
    ['a Date', { at: new Date() }],
  ])('details with %s', async (_, details) => {
    await refused(() => breaker.reportDrift(0.5, 1, details as JsonObject), 'INVALID_ARGUMENT', 'details');
    await refused(() => breaker.reportSchemaError(1, details as JsonObject), 'INVALID_ARGUMENT', 'details');
  });
  it.each([
    ['reason', '', 'ann', undefined],
    ['reason', 'x'.repeat(501), 'ann', undefined],
    ['reason', 'a\0', 'ann', undefined],
    ['disabledBy', 'r', '', undefined],
    ['disabledBy', 'r', 'x'.repeat(129), undefined],
    ['disabledUntil', 'r', 'ann', new Date(START)],
    ['disabledUntil', 'r', 'ann', new Date(Number.NaN)],
    ['disabledUntil', 'r', 'ann', '2030-01-01'],
  ])('disableV2: %s', (field, reason, by, until) =>
    refused(() => breaker.disableV2(reason, by, until as Date), 'INVALID_ARGUMENT', field),
  );
  it('details of 64 KiB as they are stored open the breaker', async () => {
    const details = { list: Array.from({ length: 21_841 }, () => 1) };
    const opening = withOptions({ failureThreshold: 1 });
    expect((await opening.reportDrift(1, 1, details))?.details).toEqual(details);
    expect((await opening.getIncidents()).items[0]?.details).toEqual(details);
  });
  it('reasons and names of full length are stored, whatever characters', async () => {
    const reason = '🛑'.repeat(500);
    expect((await breaker.disableV2(reason, '🙂'.repeat(128))).incident?.reason).toBe(reason);
    expect(await breaker.enableV2('é'.repeat(128), `'; DROP TABLE x; --${'"'.repeat(480)}`)).toBe(true);
  });
  it('enableV2, reset', async () => {
    await breaker.disableV2('r', 'ann');
    await refused(() => breaker.enableV2(''), 'INVALID_ARGUMENT', 'enabledBy');
    await refused(() => breaker.enableV2('ann', ''), 'INVALID_ARGUMENT', 'reason');
    await refused(() => breaker.reset('x'.repeat(501)), 'INVALID_ARGUMENT', 'reason');
    await refused(() => breaker.resetV2('r', 'x'.repeat(129)), 'INVALID_ARGUMENT', 'resetBy');
    await refused(() => breaker.enableV2(undefined as never), 'INVALID_ARGUMENT', 'enabledBy');
  });
  it.each([
    { failureThreshold: 0 },
    { driftThreshold: 2 },
    { name: '' },
    { name: 'x'.repeat(101) },
    { config: { defaultDisableTtlHours: -1 } },
    { config: { driftWarningThreshold: 0.3 } },
    { config: { nonsense: 1 } },
    { config: null },
  ] as CircuitBreakerOptions[])('options %j', (options) => {
    expect(() => withOptions(options)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
  });
  it.each([0, 201, 1.5, Number.NaN])('getIncidents of %p', (limit) =>
    refused(() => breaker.getIncidents({ limit }), 'INVALID_ARGUMENT', 'limit'),
  );
  it('getIncidents of what isn’t a request', async () => {
    await refused(() => breaker.getIncidents(null as never), 'INVALID_ARGUMENT', 'request');
    await refused(
      () => breaker.getIncidents({ includeResolved: 'yes' as never }),
      'INVALID_ARGUMENT',
      'includeResolved',
    );
  });
  it('enqueueAlert of no type', () =>
    refused(() => breaker.enqueueAlert('nonsense' as never, [], null), 'INVALID_ARGUMENT', 'type'));
  it('an input that is none', async () => {
    const manager = db.manager();
    const none = null as never;
    await refused(() => breakers.reportDrift(manager, scope, deps, none), 'INVALID_ARGUMENT', 'input');
    await refused(() => breakers.reportSchemaError(manager, scope, deps, none), 'INVALID_ARGUMENT', 'input');
    await refused(() => breakers.disableV2(manager, scope, deps, none), 'INVALID_ARGUMENT', 'input');
    await refused(() => breakers.enableV2(manager, scope, deps, none), 'INVALID_ARGUMENT', 'input');
  });
  it('without a scope made for it', async () => {
    const forged = { kind: 'system', reason: 'forged' } as const;
    expect(() => createCircuitBreaker(db.manager(), forged, deps)).toThrow(
      expect.objectContaining({ code: 'TENANT_SCOPE' }),
    );
    await refused(() => breakers.isV2Disabled(db.manager(), forged, deps), 'TENANT_SCOPE');
  });
  it('without a transaction, before anything else is looked at', async () => {
    const outside = createCircuitBreaker(db.dataSource().manager, scope, deps);
    const nonsense = undefined as never;
    for (const call of [
      () => outside.reportDrift(nonsense),
      () => outside.reportSchemaError(4),
      () => outside.disableV2(nonsense, nonsense),
      () => outside.enableV2(nonsense),
      () => outside.reset(),
      () => outside.resetV2(),
      () => outside.getOrCreateState(true),
      () => outside.trip(nonsense),
      () => breakers.reportDrift(db.dataSource().manager, scope, deps, nonsense),
      () => breakers.disableV2(db.dataSource().manager, scope, deps, nonsense),
    ])
      await expect(call()).rejects.toMatchObject({ code: 'TRANSACTION_REQUIRED' });
  });
  it('checks need no transaction', async () => {
    const outside = createCircuitBreaker(db.dataSource().manager, scope, deps);
    expect(await outside.isDisabled()).toBe(false);
    expect(await outside.autoRecover()).toBe(false);
    expect((await outside.getState()).isOpen).toBe(false);
    expect((await outside.getIncidents()).items).toEqual([]);
  });
});
