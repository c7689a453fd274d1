import { entities, migrations } from '@hoc/controls/models';
import type { LimitPatch, NewLimit } from '@hoc/controls/schemas';
import { type DecimalString, HocError } from '@hoc/shared/kernel';
import { entities as shared, migrations as sharedMigrations } from '@hoc/shared/models';
import { fixedClock, makeTenant, sequentialIds } from '@hoc/shared/testing';
import { insertRows, useDatabase } from '@hoc/testkit';
import fc from 'fast-check';
import { getBudgetReservationDriver } from './budget-reservation.driver';
import { getPolicyLimitsDriver } from './policy-limits.driver';

const db = useDatabase({ entities: [...shared, ...entities], migrations: [...sharedMigrations, ...migrations] });
const NOW = new Date('2026-03-10T12:00:00.000Z');
const TENANTS = ['t', 't-2', 't1'] as const;
const cents = (value: number): DecimalString => String(value) as DecimalString;
const BUDGET = (id: string, max: number): NewLimit => ({
  id,
  name: 'Budget',
  description: null,
  limitCategory: 'BUDGET',
  limitType: 'COST_CENTS',
  scope: 'TENANT',
  scopeId: null,
  maxValue: cents(max),
  resetPeriod: 'MONTHLY',
  windowSeconds: null,
  measurementWindowSeconds: null,
  params: {},
  enforcement: 'BLOCK',
  consequence: null,
  createdBy: null,
});

const id = fc.constantFrom('a', 'b', 'c');
const small = fc.integer({ min: 1, max: 9 });
const op = fc.oneof(
  fc.record({ kind: fc.constant('create' as const), id, max: small }),
  fc.record({ kind: fc.constant('update' as const), id, max: small, expected: fc.option(small, { nil: undefined }) }),
  fc.record({ kind: fc.constant('params' as const), id, value: small }),
  fc.record({ kind: fc.constant('disable' as const), id }),
  fc.record({ kind: fc.constant('verify' as const), id, score: fc.double({ min: 0, max: 1, noNaN: true }) }),
  fc.record({ kind: fc.constant('reserve' as const), id, key: fc.constantFrom('k1', 'k2', 'k3'), amount: small }),
  fc.record({ kind: fc.constant('settle' as const), n: small, amount: small }),
  fc.record({ kind: fc.constant('release' as const), n: small }),
);
type Op = typeof op extends fc.Arbitrary<infer T> ? T : never;

/** One tenant's life: the same ids as every other's, made by a generator of its own. */
function lifeOf(tenant: string) {
  const deps = { clock: fixedClock(NOW), ids: sequentialIds('x') };
  const policy = getPolicyLimitsDriver(db.manager(), deps);
  const budgets = getBudgetReservationDriver(db.manager(), deps);
  const patched = (limitId: string, patch: LimitPatch, expected?: number) =>
    policy.updateLimit(tenant, limitId, patch, expected);
  const held: string[] = [];
  const nth = (n: number): string => held[n % Math.max(held.length, 1)] ?? 'none';
  const work = async (step: Op): Promise<unknown> => {
    switch (step.kind) {
      case 'create':
        return policy.createLimit(tenant, BUDGET(step.id, step.max));
      case 'update':
        return patched(step.id, { maxValue: cents(step.max) }, step.expected);
      case 'params':
        return patched(step.id, { params: { [`key-${step.value}`]: step.value } });
      case 'disable':
        return policy.markLimitDisabled(tenant, step.id, 'ann');
      case 'verify':
        return policy.addIntegrity(tenant, {
          limitId: step.id,
          integrityStatus: 'DEGRADED',
          integrityScore: step.score,
        });
      case 'reserve': {
        const asked = { limitIds: [step.id], amountCents: cents(step.amount), idempotencyKey: step.key };
        const made = await budgets.reserve(tenant, asked);
        held.push(made.reservationId);
        return made;
      }
      case 'settle':
        return budgets.settle(tenant, nth(step.n), cents(step.amount));
      case 'release':
        return budgets.release(tenant, nth(step.n));
    }
  };
  return async (step: Op): Promise<unknown> => {
    await db.manager().query('SAVEPOINT step');
    try {
      return await work(step);
    } catch (error) {
      await db.manager().query('ROLLBACK TO SAVEPOINT step');
      if (!HocError.is(error)) throw error;
      return [error.name, error.code, error.details['reason'], error.details['remaining'] ?? null];
    }
  };
}

/** A result without the tenant's name. */
const anonymous = (value: unknown): string => JSON.stringify(value).replace(/"tenantId":"[^"]*"/g, '');

it('law 12: limits, verifications and reservations of a tenant are the same whatever others hold under the same ids', () =>
  fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(op, fc.nat({ max: 2 })), { minLength: 5, maxLength: 30 }), async (steps) => {
      await db.manager().query('SAVEPOINT before');
      await insertRows(db.manager(), ...TENANTS.map((tenant) => makeTenant({ id: tenant })));
      await db.manager().query('SAVEPOINT empty');
      const alone: string[][] = [];
      for (const [who, tenant] of TENANTS.entries()) {
        const live = lifeOf(tenant);
        const told: string[] = [];
        for (const [step, whose] of steps) if (whose === who) told.push(anonymous(await live(step)));
        alone.push(told);
        await db.manager().query('ROLLBACK TO SAVEPOINT empty');
      }
      const lives = TENANTS.map(lifeOf);
      const together: string[][] = TENANTS.map(() => []);
      for (const [step, whose] of steps) together[whose]?.push(anonymous(await lives[whose]?.(step)));
      await db.manager().query('ROLLBACK TO SAVEPOINT before');
      expect(together).toEqual(alone);
    }),
    { numRuns: 50 },
  ));
