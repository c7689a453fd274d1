import { entities, migrations } from '@hoc/controls/models';
import type { BreachInput, LimitBreach, LimitBreachPort } from '@hoc/controls/schemas';
import { compareDecimal, ConflictError } from '@hoc/shared/kernel';
import { entities as shared, migrations as sharedMigrations } from '@hoc/shared/models';
import { fixedClock, makeLimit, makeLimitOverride, makeRun, makeTenant, sequentialIds } from '@hoc/shared/testing';
import { insertRows, useDatabase } from '@hoc/testkit';
import fc from 'fast-check';
import { getLimitBreachDriver } from './limit-breach.driver';

const RUNS = 60;
const START = new Date('2026-03-10T12:00:00.000Z');
const clock = fixedClock(START);
const db = useDatabase({ entities: [...shared, ...entities], migrations: [...sharedMigrations, ...migrations] });
let breaches: LimitBreachPort;

beforeEach(() =>
  insertRows(
    db.manager(),
    ...['t', 't-b'].flatMap((tenant) => [
      makeTenant({ id: tenant }),
      makeRun(tenant, { id: 'r' }),
      makeLimit(tenant, { id: 'L', max_value: '100' }),
      makeLimit(tenant, { id: 'M', max_value: '7' }),
    ]),
    makeLimitOverride('t', 'L', {
      ...{ original_value: '100', override_value: '200', status: 'ACTIVE', approved_at: START },
      ...{ starts_at: new Date(START.getTime() + 10), expires_at: new Date(START.getTime() + 20) },
    }),
  ),
);

/** The law on fresh rows each time. */
const law = <T extends [unknown, ...unknown[]]>(
  inputs: { [K in keyof T]: fc.Arbitrary<T[K]> },
  holds: (...values: T) => Promise<void>,
): Promise<void> =>
  fc.assert(
    fc.asyncProperty(...inputs, async (...values) => {
      await db.manager().query('SAVEPOINT law');
      clock.set(START);
      breaches = getLimitBreachDriver(db.manager(), { clock, ids: sequentialIds('b') });
      try {
        await holds(...values);
      } finally {
        await db.manager().query('ROLLBACK TO SAVEPOINT law');
      }
    }),
    { numRuns: RUNS },
  );

const content = fc.record({
  limitId: fc.constantFrom('L', 'M'),
  breachType: fc.constantFrom('BREACHED' as const, 'OVERRIDDEN' as const),
  valueAtBreach: fc.constantFrom('1', '1.0', '99999999999999.999999', null),
  details: fc.constantFrom({}, { a: 1, b: 2 }, { b: 2, a: 1 }, undefined),
  runId: fc.constantFrom('r', undefined),
});
type Content = typeof content extends fc.Arbitrary<infer T> ? T : never;
const toInput = (idempotencyKey: string, { details, runId, ...rest }: Content): BreachInput => ({
  ...rest,
  idempotencyKey,
  ...(details === undefined ? {} : { details }),
  ...(runId === undefined ? {} : { runId }),
});
/** What a breach says, whatever its spelling. */
const meaning = ({ limitId, breachType, valueAtBreach, details, runId }: Content): string =>
  JSON.stringify([
    limitId,
    breachType,
    valueAtBreach === null ? null : Number(valueAtBreach).toFixed(6),
    details === undefined ? null : Object.entries(details).sort(),
    runId ?? null,
  ]);
const key = fc.constantFrom('a', 'B', 'ä', '𝄞');

it('over any recordings, the first content of a key stands, with what was in force at its instant', () =>
  law([fc.array(fc.tuple(key, content, fc.integer({ min: 0, max: 12 })), { maxLength: 10 })], async (steps) => {
    const first = new Map<string, { readonly said: string; readonly row: LimitBreach }>();
    for (const [idempotencyKey, said, wait] of steps) {
      clock.advance(wait);
      const passed = clock.now().getTime() - START.getTime();
      const known = first.get(idempotencyKey);
      const call = breaches.recordBreach('t', toInput(idempotencyKey, said));
      if (known !== undefined && known.said !== meaning(said)) {
        await expect(call).rejects.toThrow(ConflictError);
        continue;
      }
      const { row, duplicate } = await call;
      expect(duplicate).toBe(known !== undefined);
      if (known !== undefined) expect(row).toEqual(known.row);
      else {
        const inForce = said.limitId === 'M' ? '7' : passed >= 10 && passed < 20 ? '200' : '100';
        expect([row.limitValue, row.breachedAt]).toEqual([inForce, clock.now()]);
        if (said.valueAtBreach !== null) expect(compareDecimal(row.valueAtBreach ?? '-1', said.valueAtBreach)).toBe(0);
        first.set(idempotencyKey, { said: meaning(said), row });
      }
    }
  }));

it('many at once are the same as one after the other', () =>
  law([fc.array(fc.tuple(key, content), { minLength: 1, maxLength: 8 })], async (given) => {
    const [, said] = given[0] ?? [];
    // One content a key: what a conflict undoes is another test's.
    const inputs = given.map(([each]) => toInput(each, said as Content));
    const one: unknown[] = [];
    await db.manager().query('SAVEPOINT one');
    for (const input of inputs) one.push(shape(await breaches.recordBreach('t', input)));
    await db.manager().query('ROLLBACK TO SAVEPOINT one');
    expect((await breaches.recordBreaches('t', inputs)).map(shape)).toEqual(one);
  }));

/** Without the identifier, which counts what was made. */
const shape = ({ row, duplicate }: { readonly row: LimitBreach; readonly duplicate: boolean }): object => ({
  row: { ...row, breachId: row.idempotencyKey },
  duplicate,
});

it('G.2 12: what another tenant recorded under the same keys changes no answer', () =>
  law([fc.array(fc.tuple(key, content), { maxLength: 6 }), key, content], async (others, mine, said) => {
    await db.manager().query('SAVEPOINT alone');
    const alone = shape(await breaches.recordBreach('t', toInput(mine, said)));
    await db.manager().query('ROLLBACK TO SAVEPOINT alone');
    const seen = new Set<string>();
    for (const [each, theirs] of others) {
      if (!seen.has(each)) await breaches.recordBreach('t-b', toInput(each, theirs));
      seen.add(each);
    }
    expect(shape(await breaches.recordBreach('t', toInput(mine, said)))).toEqual(alone);
  }));
