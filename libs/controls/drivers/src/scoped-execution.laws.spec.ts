import { entities, migrations } from '@hoc/controls/models';
import type { BoundScope } from '@hoc/controls/schemas';
import { type DecimalString, HocError, type JsonObject, type JsonValue, systemScope } from '@hoc/shared/kernel';
import { entities as shared, migrations as sharedMigrations } from '@hoc/shared/models';
import { fixedClock, makeTenant, sequentialIds } from '@hoc/shared/testing';
import { insertRows, useDatabase } from '@hoc/testkit';
import fc from 'fast-check';
import { getScopeStore, type ScopeStore, settleScopeAttempt } from './scoped-execution.driver';
import { clampFraction, computeHash, denialError, executeScoped } from './scoped-execution.rules';

const RUNS = 60;
const PURE_RUNS = 300;
const START = new Date('2026-03-10T12:00:00.000Z').getTime();
const nightly = systemScope('test');
const clock = fixedClock(new Date(START));

describe('computeHash (law 11)', () => {
  const json = fc.dictionary(fc.string({ unit: 'grapheme' }), fc.jsonValue(), { minKeys: 1, maxKeys: 6 });
  const options = { numRuns: PURE_RUNS };
  /** JSON has one zero, and `__proto__` isn't among the keys that an object literal takes. */
  const plain = (value: object): JsonObject => JSON.parse(JSON.stringify(value)) as JsonObject;

  it('no order of keys changes it, at any depth', () => {
    fc.assert(
      fc.property(json, (value) => {
        expect(computeHash(reversed(plain(value)) as JsonObject)).toBe(computeHash(plain(value)));
      }),
      options,
    );
  });
  it('each value does', () => {
    fc.assert(
      fc.property(json, fc.nat(), fc.jsonValue(), (value, at, other) => {
        const before = plain(value);
        const keys = Object.keys(before);
        const key = keys[at % keys.length] ?? '';
        const after: JsonObject = { ...before, [key]: plain({ other })['other'] ?? null };
        const same = JSON.stringify(reversed(reversed(before))) === JSON.stringify(reversed(reversed(after)));
        expect(computeHash(after) === computeHash(before)).toBe(same);
        expect(computeHash(after)).toMatch(/^[0-9a-f]{16}$/);
      }),
      options,
    );
  });
});

/** Keys in falling order, at every level: twice the same order whatever it was. */
function reversed(value: JsonValue): JsonValue {
  if (Array.isArray(value)) return (value as readonly JsonValue[]).map(reversed);
  if (typeof value !== 'object' || value === null) return value;
  const sorted = Object.entries(value as JsonObject).sort(([a], [b]) => (a < b ? 1 : -1));
  return Object.fromEntries(sorted.map(([key, member]) => [key, reversed(member)]));
}

it('samples are the floor of a hundred times the fraction, as it is written', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 15_000 }), (n) => {
      const fraction = clampFraction(n / 10_000);
      const action = {
        id: 'a',
        name: 'n',
        riskClass: 'low' as const,
        actionType: 'retry',
        parameters: {},
        targetAgents: [],
        timeoutMs: 1,
      };
      const { samplesTested, scopeCoverage } = executeScoped(action, 'request_sample', fraction);
      expect(samplesTested).toBe(Math.floor(Math.min(Math.max(n, 100), 10_000) / 100));
      expect(scopeCoverage).toBe(fraction);
    }),
    { numRuns: PURE_RUNS },
  );
});

describe('on a database', () => {
  const db = useDatabase({ entities: [...shared, ...entities], migrations: [...sharedMigrations, ...migrations] });
  let store: ScopeStore;
  let deps = { clock, ids: sequentialIds('x') };

  beforeEach(() =>
    insertRows(db.manager(), makeTenant({ id: 't-a' }), makeTenant({ id: 't' }), makeTenant({ id: 't-a2' })),
  );

  const begin = (): void => {
    clock.set(new Date(START));
    deps = { clock, ids: sequentialIds('x') };
    store = getScopeStore(db.manager(), deps);
  };
  /** The law on fresh rows, at the same instant, with the same ids, each time. */
  const law = <T extends [unknown, ...unknown[]]>(
    inputs: { [K in keyof T]: fc.Arbitrary<T[K]> },
    holds: (...values: T) => Promise<void>,
  ): Promise<void> =>
    fc.assert(
      fc.asyncProperty(...inputs, async (...values) => {
        await db.manager().query('SAVEPOINT law');
        begin();
        try {
          await holds(...values);
        } finally {
          await db.manager().query('ROLLBACK TO SAVEPOINT law');
        }
      }),
      { numRuns: RUNS },
    );

  type Step =
    | {
        readonly kind: 'consume';
        readonly action: string;
        readonly incident: string;
        readonly cost: string;
        readonly key: string | null;
      }
    | { readonly kind: 'wait'; readonly ms: number }
    | { readonly kind: 'revoke' }
    | { readonly kind: 'expire' }
    | { readonly kind: 'settle'; readonly attempt: number; readonly cost: string };
  const cost = fc.constantFrom('0', '0.000001', '7', '12.5', '20', '49.999999');
  const step: fc.Arbitrary<Step> = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        kind: fc.constant('consume' as const),
        action: fc.constantFrom('retry', 'retry', 'retry', 'Retry', 'scale'),
        incident: fc.constantFrom('inc', 'inc', 'inc', 'other'),
        cost,
        key: fc.constantFrom(null, null, 'k1', 'k2'),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.constantFrom(1, 999, 1000, 2000) }),
    },
    { weight: 1, arbitrary: fc.constantFrom({ kind: 'revoke' as const }, { kind: 'expire' as const }) },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constant('settle' as const), attempt: fc.integer({ min: 1, max: 3 }), cost }),
    },
  );
  const steps = fc.array(step, { minLength: 1, maxLength: 10 });
  const terms = fc.record({
    maxAttempts: fc.integer({ min: 1, max: 4 }),
    maxCostCents: fc.constantFrom('0', '20', '50', '1000'),
    ttlSeconds: fc.integer({ min: 1, max: 4 }),
  });
  const open = (tenant: string, more: object, by: ScopeStore = store) =>
    by.createScope(tenant, { incidentId: 'inc', allowedActions: ['retry', 'scale'], ...more });
  const read = async (tenant: string, scopeId: string): Promise<BoundScope> => {
    const scope = await store.getScope(tenant, scopeId);
    if (scope === null) throw new Error('no scope');
    return scope;
  };
  /** What a step of the caller's gives: an attempt's number, or the name and reason of its error. */
  async function take(tenant: string, scopeId: string, each: Step): Promise<unknown> {
    if (each.kind === 'wait') return clock.advance(each.ms);
    if (each.kind === 'revoke') return store.revokeScope(tenant, scopeId);
    if (each.kind === 'expire') return store.cleanupExpired(nightly);
    if (each.kind === 'settle') {
      const cents = each.cost as DecimalString;
      const settled = await settleScopeAttempt(db.manager(), tenant, scopeId, each.attempt, cents, deps);
      return settled?.overrunCents ?? null;
    }
    const { action, incident: incidentId, cost: costCents, key } = each;
    const asked = { scopeId, action, incidentId, costCents, ...(key === null ? {} : { idempotencyKey: key }) };
    return store.consumeScope(tenant, asked).then(
      ({ attemptNumber, duplicate, scope }) => ({ attemptNumber, duplicate, scope }),
      (error: unknown) => (HocError.is(error) ? { error: error.name, details: error.details } : { error: 'foreign' }),
    );
  }

  it('law 6: canExecute of the snapshot says what consumeScope does, and consume gives its row', () =>
    law([terms, steps], async (given, taken) => {
      const { scopeId } = await open('t-a', given);
      for (const each of taken) {
        const before = await read('t-a', scopeId);
        const keyed = each.kind === 'consume' && each.key !== null;
        const outcome = await take('t-a', scopeId, each);
        if (each.kind !== 'consume' || keyed) continue;
        const verdict = before.canExecute(each.action, each.incident, clock.now(), each.cost as DecimalString);
        if (verdict.allowed) {
          const after = before.consume(each.action, each.cost as DecimalString, clock.now());
          expect(outcome).toEqual({ attemptNumber: after.attemptsUsed, duplicate: false, scope: after });
          expect(await read('t-a', scopeId)).toEqual(after);
        } else {
          const { name, details } = denialError(before, each.action, verdict.error);
          expect(outcome).toEqual({ error: name, details });
          expect(await read('t-a', scopeId)).toEqual(before);
        }
      }
    }));

  it('law 6: attemptsUsed is the number of attempts, and their cost what is used, within the ceilings', () =>
    law([terms, steps], async (given, taken) => {
      const { scopeId } = await open('t-a', given);
      const last = new Map<string, string>();
      for (const each of taken) {
        await take('t-a', scopeId, each);
        const scope = await read('t-a', scopeId);
        const [row]: { n: number; exact: boolean; within: boolean }[] = await db.manager().query(
          `SELECT count(a.*)::int AS n, s.cost_used_cents = LEAST(s.max_cost_cents, COALESCE(sum(COALESCE(a.actual_cost_cents, a.cost_cents)), 0)) AS exact,
             s.cost_used_cents <= s.max_cost_cents AND s.attempts_used <= s.max_attempts AS within
           FROM execution_scopes s LEFT JOIN execution_scope_attempts a ON a.tenant_id = s.tenant_id AND a.scope_id = s.id
           WHERE s.id = $1 GROUP BY s.tenant_id, s.id`,
          [scopeId],
        );
        expect(row).toEqual({ n: scope.attemptsUsed, exact: true, within: true });
        expect(scope.executionLog.map(({ attemptNumber }) => attemptNumber)).toEqual(
          Array.from({ length: scope.attemptsUsed }, (_, n) => n + 1),
        );
        // What has ended stays ended.
        if (last.get(scopeId) !== undefined && last.get(scopeId) !== 'active')
          expect(scope.status).toBe(last.get(scopeId));
        last.set(scopeId, scope.status);
      }
    }));

  it('a replay changes nothing and says so', () =>
    law([terms, steps, cost], async (given, taken, costCents) => {
      const { scopeId } = await open('t-a', { ...given, maxCostCents: '1000' });
      const asked = { scopeId, action: 'retry', incidentId: 'inc', costCents, idempotencyKey: 'mine' };
      const first = await store.consumeScope('t-a', asked);
      for (const each of taken) await take('t-a', scopeId, each);
      const before = await read('t-a', scopeId);
      const again = await store.consumeScope('t-a', asked);
      expect(again).toEqual({ ...first, scope: before, duplicate: true });
      expect(await read('t-a', scopeId)).toEqual(before);
    }));

  it('law 7: pages of any size are the sorted list, with ties and microseconds', () =>
    law(
      [
        fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 1, maxLength: 12 }),
        fc.integer({ min: 1, max: 5 }),
        fc.constantFrom('UTC', 'Asia/Kolkata', 'America/St_Johns'),
      ],
      async (offsets, limit, zone) => {
        for (const [n, micros] of offsets.entries())
          await db.manager().query(
            `INSERT INTO execution_scopes (tenant_id, id, incident_id, allowed_actions, intent, created_at, expires_at)
             VALUES ('t-a', $1, 'inc', '{retry}', 'i', $2::timestamptz + $3::integer * interval '1 microsecond', '2027-01-01Z')`,
            [`s-${String((n * 7) % 12)}`, new Date(START).toISOString(), micros],
          );
        await db.manager().query(`SET LOCAL TIME ZONE '${zone}'`);
        const sorted = offsets
          .map((micros, n) => ({ micros, id: `s-${String((n * 7) % 12)}` }))
          .sort((a, b) => b.micros - a.micros || (a.id < b.id ? 1 : -1));
        const paged: string[] = [];
        for (let cursor: string | undefined; ;) {
          const page = await store.getScopesForIncident('t-a', 'inc', {
            limit,
            ...(cursor === undefined ? {} : { cursor }),
          });
          paged.push(...page.items.map(({ scopeId }) => scopeId));
          if (page.nextCursor === null) break;
          cursor = page.nextCursor;
        }
        await db.manager().query("SET LOCAL TIME ZONE 'UTC'");
        expect(paged).toEqual(sorted.map(({ id }) => id));
      },
    ));

  it('law 12: what other tenants do under the same ids changes nothing that a tenant is told', () =>
    law([terms, steps, steps], async (given, mine, theirs) => {
      const told = async (disturbed: boolean): Promise<unknown> => {
        begin();
        const { scopeId } = await open('t-a', given);
        for (const tenant of disturbed ? ['t', 't-a2'] : [])
          await open(tenant, given, getScopeStore(db.manager(), { clock, ids: sequentialIds('x') }));
        const answers: unknown[] = [];
        for (const [n, each] of mine.entries()) {
          const other = theirs[n];
          // Time and sweeps are one for all.
          if (disturbed && other && other.kind !== 'wait' && other.kind !== 'expire')
            for (const tenant of ['t', 't-a2']) await take(tenant, scopeId, other);
          if (each.kind === 'expire') await take('t-a', scopeId, each);
          else answers.push(await take('t-a', scopeId, each));
        }
        answers.push(await read('t-a', scopeId), await store.getScopesForIncident('t-a', 'inc'));
        return answers;
      };
      await db.manager().query('SAVEPOINT alone');
      const alone = await told(false);
      await db.manager().query('ROLLBACK TO SAVEPOINT alone');
      expect(await told(true)).toEqual(alone);
    }));
});
