import { entities, migrations } from '@hoc/controls/models';
import { type BreachInput, LIMIT_BREACH_TYPES, type LimitBreachPort, LimitNotFoundError } from '@hoc/controls/schemas';
import {
  ConflictError,
  InvalidArgumentError,
  NotFoundError,
  TenantScopeError,
  TransactionRequiredError,
} from '@hoc/shared/kernel';
import { entities as shared, LimitBreachEntity, migrations as sharedMigrations } from '@hoc/shared/models';
import {
  fixedClock,
  makeIncident,
  makeLimit,
  makeLimitOverride,
  makeRun,
  makeTenant,
  sequentialIds,
} from '@hoc/shared/testing';
import { captureStatements, insertRows, useDatabase } from '@hoc/testkit';
import { getLimitBreachDriver, markBreachRecovered, recordBreach, recordBreaches } from './limit-breach.driver';

const db = useDatabase({ entities: [...shared, ...entities], migrations: [...sharedMigrations, ...migrations] });
const NOW = new Date('2026-03-10T12:00:00.000Z');
const at = (ms: number): Date => new Date(NOW.getTime() + ms);
const clock = fixedClock(NOW);
const bad = (value: unknown): never => value as never;
let breaches: LimitBreachPort;
let deps = { clock, ids: sequentialIds('b') };

beforeEach(async () => {
  clock.set(NOW);
  deps = { clock, ids: sequentialIds('b') };
  breaches = getLimitBreachDriver(db.manager(), deps);
  await insertRows(
    db.manager(),
    ...['t1', 't2'].flatMap((tenant) => [
      makeTenant({ id: tenant }),
      makeLimit(tenant, { id: 'L', max_value: tenant === 't1' ? '100' : '9' }),
      makeRun(tenant, { id: 'r1' }),
      makeIncident(tenant, { id: 'i1' }),
    ]),
    makeLimit('t1', { id: 'M', max_value: '0.5' }),
    makeLimit('t2', { id: 'only-t2' }),
    makeRun('t2', { id: 'only-t2' }),
    makeIncident('t2', { id: 'only-t2' }),
  );
});

const override = (given: object = {}): Promise<void> =>
  insertRows(
    db.manager(),
    makeLimitOverride('t1', 'L', {
      ...{ original_value: '100', override_value: '200', status: 'ACTIVE', approved_at: NOW, approved_by: 'ann' },
      ...{ starts_at: at(-1000), expires_at: at(1000), ...given },
    }),
  );
const input = (given: Partial<BreachInput> = {}): BreachInput => ({
  limitId: 'L',
  breachType: 'BREACHED',
  valueAtBreach: '210',
  idempotencyKey: 'k',
  ...given,
});
const stored = (): Promise<Record<string, unknown>[]> =>
  db.manager().query('SELECT * FROM limit_breaches ORDER BY idempotency_key');

/** What a statement refuses takes the transaction with it: here, back to before. */
async function refused(work: () => Promise<unknown>): Promise<unknown> {
  await db.manager().query('SAVEPOINT before');
  const error = await work().then(
    () => undefined,
    (reason: unknown) => reason,
  );
  await db.manager().query('ROLLBACK TO SAVEPOINT before');
  return error;
}

describe('recordBreach', () => {
  it('H.3: the override in effect is what was in force; a replay is a duplicate, another value a conflict', async () => {
    await override();
    const first = await recordBreach(db.manager(), 't1', input(), deps);
    expect(first).toMatchObject({ duplicate: false, row: { limitValue: '200', valueAtBreach: '210' } });
    clock.advance(5000);
    expect(await recordBreach(db.manager(), 't1', input({ valueAtBreach: '210.0' }), deps)).toEqual({
      row: first.row,
      duplicate: true,
    });
    await expect(recordBreach(db.manager(), 't1', input({ valueAtBreach: '211' }), deps)).rejects.toMatchObject({
      code: 'CONFLICT',
      details: { reason: 'content', existingId: first.row.breachId },
    });
    expect(await stored()).toHaveLength(1);
    expect(await breaches.markBreachRecovered('t1', first.row.breachId)).toBe(true);
    expect(await breaches.markBreachRecovered('t1', first.row.breachId)).toBe(false);
  });

  it('stores and gives back all that was said, frozen, no entity', async () => {
    const given = input({
      runId: 'r1',
      incidentId: 'i1',
      breachType: 'OVERRIDDEN',
      valueAtBreach: '0100.500000',
      idempotencyKey: 'é'.repeat(200),
      details: { at: { step: 3 } },
    });
    const { row, duplicate } = await breaches.recordBreach('t1', given);
    expect({ row, duplicate }).toEqual({
      row: {
        breachId: 'b-000001',
        limitId: 'L',
        runId: 'r1',
        incidentId: 'i1',
        breachType: 'OVERRIDDEN',
        valueAtBreach: '100.5',
        limitValue: '100',
        details: { at: { step: 3 } },
        breachedAt: NOW,
        recoveredAt: null,
        idempotencyKey: 'é'.repeat(200),
      },
      duplicate: false,
    });
    expect([row, row.details, row.details?.['at']].every(Object.isFrozen)).toBe(true);
    expect(row instanceof LimitBreachEntity).toBe(false);
    expect(await breaches.recordBreach('t1', given)).toEqual({ row, duplicate: true });
  });

  it('what nobody measured, and what belongs to no run, is null', async () => {
    const { row } = await breaches.recordBreach('t1', input({ valueAtBreach: null }));
    expect(row).toMatchObject({ valueAtBreach: null, runId: null, incidentId: null, details: null });
    expect((await breaches.recordBreach('t1', input({ valueAtBreach: null }))).duplicate).toBe(true);
  });

  it.each<[string, object, string]>([
    ['its first instant', { starts_at: NOW }, '200'],
    ['its last instant', { expires_at: at(1) }, '200'],
    ['its end', { expires_at: NOW, starts_at: at(-1) }, '100'],
    ['before it starts', { starts_at: at(1) }, '100'],
    ['approved, and not activated', { status: 'APPROVED' }, '100'],
    ['cancelled', { status: 'CANCELLED' }, '100'],
    ['of another limit', { limit_id: 'M' }, '100'],
  ])('an override at %s', async (_name, given, limitValue) => {
    await override(given);
    expect((await breaches.recordBreach('t1', input())).row.limitValue).toBe(limitValue);
  });

  it('law 10: a limit that was raised above its override is in force as it stands', async () => {
    await override();
    await db.manager().query(`UPDATE limits SET max_value = 200.000001 WHERE tenant_id = 't1' AND id = 'L'`);
    expect((await breaches.recordBreach('t1', input())).row.limitValue).toBe('200.000001');
  });

  it('a value in force is the one of the instant: a later change of the limit is none of the breach’s', async () => {
    const { row } = await breaches.recordBreach('t1', input());
    await db.manager().query(`UPDATE limits SET max_value = 300 WHERE id = 'L'`);
    expect(await breaches.recordBreach('t1', input())).toEqual({ row, duplicate: true });
    expect((await breaches.recordBreach('t1', input({ idempotencyKey: 'k2' }))).row.limitValue).toBe('300');
  });

  it.each<[string, Partial<BreachInput>]>([
    ['limit', { limitId: 'M' }],
    ['run', { runId: 'r1' }],
    ['incident', { incidentId: 'i1' }],
    ['type', { breachType: 'EXHAUSTED' }],
    ['value', { valueAtBreach: '210.000001' }],
    ['absent value', { valueAtBreach: null }],
    ['details', { details: {} }],
  ])('another %s under the key is a conflict, and the first stands', async (_name, other) => {
    await breaches.recordBreach('t1', input());
    const before = await stored();
    await expect(breaches.recordBreach('t1', input(other))).rejects.toThrow(ConflictError);
    expect(await stored()).toEqual(before);
  });

  it('a key is a tenant’s own, and so are limits: t2 records the same, and against its own limit', async () => {
    const mine = await breaches.recordBreach('t1', input());
    const theirs = await breaches.recordBreach('t2', input());
    expect([mine.duplicate, theirs.duplicate]).toEqual([false, false]);
    expect([mine.row.limitValue, theirs.row.limitValue]).toEqual(['100', '9']);
    expect(await breaches.markBreachRecovered('t2', mine.row.breachId)).toBe(false);
  });

  it.each<[string, Partial<BreachInput>]>([
    ['runId', { runId: 'nobody' }],
    ['runId', { runId: 'only-t2' }],
    ['incidentId', { incidentId: 'nobody' }],
    ['incidentId', { incidentId: 'only-t2' }],
  ])('a missing or foreign %s is not found, and nothing is written', async (field, given) => {
    const error = await refused(() => breaches.recordBreach('t1', input(given)));
    expect(NotFoundError.is(error)).toBe(true);
    expect(error).toMatchObject({ details: { field } });
    expect(await stored()).toEqual([]);
  });

  it.each(['nobody', 'only-t2'])('limit %s is not found, by its own error', async (limitId) => {
    const error = await refused(() => breaches.recordBreach('t1', input({ limitId })));
    expect([LimitNotFoundError.is(error), NotFoundError.is(error)]).toEqual([true, true]);
    expect(error).toMatchObject({ details: { limitId } });
    expect(await stored()).toEqual([]);
  });

  it('one statement for a new breach, two for one that is there; no transaction needed', async () => {
    const [first, second] = [
      await captureStatements(db.manager(), () => breaches.recordBreach('t1', input())),
      await captureStatements(db.manager(), () => breaches.recordBreach('t1', input())),
    ];
    expect([first.length, second.length]).toEqual([1, 2]);
    const free = getLimitBreachDriver(db.dataSource().manager, deps);
    expect(await free.markBreachRecovered('t1', 'nobody')).toBe(false);
    await expect(free.recordBreach('nobody', input())).rejects.toThrow(NotFoundError);
  });
});

describe('recordBreaches', () => {
  it('answers in the order of the input; a key that is there twice is recorded once, its first content', async () => {
    const before = await breaches.recordBreach('t1', input({ idempotencyKey: 'm' }));
    const answers = await recordBreaches(
      db.manager(),
      't1',
      [
        input({ idempotencyKey: 'z', valueAtBreach: '1' }),
        input({ idempotencyKey: 'm' }),
        input({ idempotencyKey: 'a', limitId: 'M', valueAtBreach: null }),
        input({ idempotencyKey: 'z', valueAtBreach: '1.0' }),
      ],
      deps,
    );
    expect(answers.map(({ row, duplicate }) => [row.idempotencyKey, duplicate, row.limitValue])).toEqual([
      ['z', false, '100'],
      ['m', true, '100'],
      ['a', false, '0.5'],
      ['z', true, '100'],
    ]);
    expect([answers[1]?.row, answers[3]?.row]).toEqual([before.row, answers[0]?.row]);
    expect(answers.every(Object.isFrozen) && Object.isFrozen(answers)).toBe(true);
    expect((await stored()).map(({ idempotency_key: key }) => key)).toEqual(['a', 'm', 'z']);
  });

  it('another content says which input is to blame, also within the call', async () => {
    for (const inputs of [
      [input({ idempotencyKey: 'a' }), input(), input({ valueAtBreach: '1' })],
      [input({ idempotencyKey: 'b' }), input({ idempotencyKey: 'c' }), input({ valueAtBreach: '1' })],
    ]) {
      await db.manager().query('DELETE FROM limit_breaches');
      if (inputs[1]?.idempotencyKey === 'c') await breaches.recordBreach('t1', input());
      expect(await refused(() => breaches.recordBreaches('t1', inputs))).toMatchObject({
        code: 'CONFLICT',
        details: { reason: 'content', index: 2 },
      });
    }
  });

  it.each<[string, Partial<BreachInput>]>([
    ['limitId', { limitId: 'nobody' }],
    ['runId', { runId: 'only-t2' }],
    ['incidentId', { incidentId: 'nobody' }],
  ])('a missing %s is not found, and none is written', async (field, given) => {
    const error = await refused(() =>
      breaches.recordBreaches('t1', [input(), input({ idempotencyKey: 'k2', ...given })]),
    );
    expect(NotFoundError.is(error)).toBe(true);
    expect(error).toMatchObject({ details: { field, reason: 'foreign_key' } });
    expect(await stored()).toEqual([]);
  });

  it('2,001 go in by three statements, sorted by key over all of them; a replay changes nothing', async () => {
    const inputs = Array.from({ length: 2001 }, (_, n) => input({ idempotencyKey: `k-${(n * 769) % 2001}` }));
    const sent = await captureStatements(db.manager(), async () => {
      const answers = await breaches.recordBreaches('t1', inputs);
      expect(answers.map(({ row }) => row.idempotencyKey)).toEqual(inputs.map(({ idempotencyKey }) => idempotencyKey));
    });
    const keys = sent.map(({ values }) => JSON.parse(`[${String(values.at(-1)).slice(1, -1)}]`) as string[]);
    expect(keys.map(({ length }) => length)).toEqual([1000, 1000, 1]);
    expect(keys.flat()).toEqual(inputs.map(({ idempotencyKey }) => idempotencyKey).sort());
    expect((await breaches.recordBreaches('t1', inputs)).every(({ duplicate }) => duplicate)).toBe(true);
    expect(await db.manager().query('SELECT count(*)::int AS n FROM limit_breaches')).toEqual([{ n: 2001 }]);
  });

  it('an empty list is no statement; outside a transaction none is taken, before the arguments are looked at', async () => {
    const sent = await captureStatements(db.manager(), async () => {
      expect(await breaches.recordBreaches('t1', [])).toEqual([]);
    });
    expect(sent).toEqual([]);
    const free = getLimitBreachDriver(db.dataSource().manager, deps);
    await expect(free.recordBreaches('t1', bad(null))).rejects.toThrow(TransactionRequiredError);
  });
});

describe('markBreachRecovered', () => {
  it('true once, as of the clock; it is the stored row’s end, and no part of its content', async () => {
    const { row } = await breaches.recordBreach('t1', input());
    clock.advance(1000);
    expect(await markBreachRecovered(db.manager(), 't1', row.breachId, deps)).toBe(true);
    clock.advance(1000);
    expect(await markBreachRecovered(db.manager(), 't1', row.breachId, deps)).toBe(false);
    expect(await breaches.recordBreach('t1', input())).toEqual({
      row: { ...row, recoveredAt: at(1000) },
      duplicate: true,
    });
  });
  it('a clock behind the one that recorded it ends it at its beginning', async () => {
    const { row } = await breaches.recordBreach('t1', input());
    clock.set(at(-5));
    expect(await breaches.markBreachRecovered('t1', row.breachId)).toBe(true);
    expect((await stored())[0]).toMatchObject({ recovered_at: NOW });
  });
  it.each(['', 'x'.repeat(101), undefined])('breach %p is refused', async (breachId) => {
    await expect(breaches.markBreachRecovered('t1', bad(breachId))).rejects.toThrow(InvalidArgumentError);
  });
});

describe('G.4: bad input', () => {
  const cases: [string, unknown][] = [
    ...['', 'x'.repeat(101), undefined, 7].map((value): [string, unknown] => ['limitId', value]),
    ...['', 'a\n', null].map((value): [string, unknown] => ['runId', value]),
    ...['', null].map((value): [string, unknown] => ['incidentId', value]),
    ...['breached', '', undefined].map((value): [string, unknown] => ['breachType', value]),
    ...['1e3', '-1', '-0', '+1', ' 1', '1.', '.5', '0x1', 'NaN', '１', '1.0000001', '1'.repeat(15), 210, undefined].map(
      (value): [string, unknown] => ['valueAtBreach', value],
    ),
    ...['', 'x'.repeat(201), undefined].map((value): [string, unknown] => ['idempotencyKey', value]),
    ...[
      { big: 'x'.repeat(65_536) },
      { many: new Array(30_000).fill(1) },
      { n: 1n },
      { nul: 'a\u0000' },
      [],
      null,
      'x',
    ].map((value): [string, unknown] => ['details', value]),
  ];

  it.each(cases)('%s (case %#) is refused by name and place, and nothing is sent', async (field, value) => {
    const wrong = bad({ ...input(), [field]: value });
    const sent = await captureStatements(db.manager(), async () => {
      const one = breaches.recordBreach('t1', wrong);
      await expect(one).rejects.toMatchObject({ code: 'INVALID_ARGUMENT', details: { field } });
      const many = breaches.recordBreaches('t1', [input(), wrong]);
      await expect(many).rejects.toMatchObject({ code: 'INVALID_ARGUMENT', details: { field, index: 1 } });
    });
    expect(sent).toEqual([]);
  });

  it.each(['', 'x'.repeat(101), undefined])('tenant %p is refused by each call', async (tenant) => {
    for (const call of [
      breaches.recordBreach(bad(tenant), bad(null)),
      breaches.recordBreaches(bad(tenant), bad(null)),
      breaches.markBreachRecovered(bad(tenant), bad(null)),
    ])
      await expect(call).rejects.toThrow(TenantScopeError);
  });

  it('no input, no list, too many', async () => {
    await expect(breaches.recordBreach('t1', bad(null))).rejects.toThrow(InvalidArgumentError);
    for (const inputs of [null, {}, [null]])
      await expect(breaches.recordBreaches('t1', bad(inputs))).rejects.toThrow(InvalidArgumentError);
    const many = Array.from({ length: 10_001 }, (_, n) => input({ idempotencyKey: `k-${n}` }));
    await expect(breaches.recordBreaches('t1', many)).rejects.toMatchObject({ details: { reason: 'too_many' } });
  });
});

it('the types of a breach are those that the column takes', async () => {
  const [check]: { definition: string }[] = await db
    .manager()
    .query(
      `SELECT pg_get_constraintdef(oid) AS definition FROM pg_constraint WHERE conname = 'ck_limit_breaches_breach_type'`,
    );
  const values = [...(check?.definition ?? '').matchAll(/'([^']+)'::text/g)].map(([, value]) => value);
  expect(values).toEqual([...LIMIT_BREACH_TYPES]);
});
