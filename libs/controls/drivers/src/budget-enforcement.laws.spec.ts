import { entities, migrations } from '@hoc/controls/models';
import type { NewBudgetDecision } from '@hoc/controls/schemas';
import { compareDecimal, systemScope } from '@hoc/shared/kernel';
import { compareBytes } from '@hoc/shared/drivers';
import { entities as shared, migrations as sharedMigrations } from '@hoc/shared/models';
import { fixedClock, makeRun, makeTenant, sequentialIds } from '@hoc/shared/testing';
import { insertRows, useDatabase } from '@hoc/testkit';
import fc from 'fast-check';
import { type BudgetEnforcementDriver, getBudgetEnforcementDriver } from './budget-enforcement.driver';

const RUNS = 60;
const NOW = new Date('2026-03-10T12:00:00.000Z');
const scope = systemScope('test');
const db = useDatabase({ entities: [...shared, ...entities], migrations: [...sharedMigrations, ...migrations] });
/** Names that no locale, and no comparison of UTF-16, sorts as bytes do. */
const NAMES = ['a', 'B', 'Z-1', 'ä', 'z', '\uE000', '𝄞', 'a b', '_'];
const TENANTS = ['t', 'T', 't-ä', 't.'];
let driver: BudgetEnforcementDriver;

beforeEach(() => insertRows(db.manager(), ...TENANTS.map((id, n) => makeTenant({ id, slug: `slug-${n}` }))));

/** The law on fresh rows each time. */
const law = <T extends [unknown, ...unknown[]]>(
  inputs: { [K in keyof T]: fc.Arbitrary<T[K]> },
  holds: (...values: T) => Promise<void>,
): Promise<void> =>
  fc.assert(
    fc.asyncProperty(...inputs, async (...values) => {
      await db.manager().query('SAVEPOINT law');
      driver = getBudgetEnforcementDriver(db.manager(), scope, { clock: fixedClock(NOW), ids: sequentialIds('d') });
      try {
        await holds(...values);
      } finally {
        await db.manager().query('ROLLBACK TO SAVEPOINT law');
      }
    }),
    { numRuns: RUNS },
  );

const place = fc.record({ tenantId: fc.constantFrom(...TENANTS), runId: fc.constantFrom(...NAMES) });
const placeKey = ({ tenantId, runId }: { tenantId: string; runId: string }): string => `${tenantId}/${runId}`;
const places = fc.uniqueArray(place, { selector: placeKey, maxLength: 12 });
const decisionOf = (where: { tenantId: string; runId: string }, consumed = '1200'): NewBudgetDecision => ({
  ...where,
  budgetLimitCents: '1000',
  budgetConsumedCents: consumed,
  stepCostCents: '0',
  completedSteps: 0,
  totalSteps: 0,
});
const halt = ({ tenantId, runId }: { tenantId: string; runId: string }, n: number): Promise<void> =>
  insertRows(
    db.manager(),
    makeRun(tenantId, {
      id: runId,
      status: 'halted',
      error_message: 'Hard budget limit',
      completed_at: n % 2 ? NOW : null,
    }),
  );

it('G.2 7: pages of any size are the list of all halts without a decision, in byte order, each once', () =>
  law([places, fc.func(fc.boolean()), fc.integer({ min: 1, max: 5 })], async (all, isDecided, limit) => {
    for (const [n, each] of all.entries()) await halt(each, n);
    const decided = all.filter((each) => isDecided(placeKey(each)));
    await driver.insertBudgetDecisions(decided.map((each) => decisionOf(each)));
    const expected = all
      .filter((each) => !decided.includes(each))
      .sort((a, b) => compareBytes(a.tenantId, b.tenantId) || compareBytes(a.runId, b.runId));
    const seen: object[] = [];
    for (let cursor: string | null = null; ;) {
      const page = await driver.fetchPendingBudgetHalts({ limit, ...(cursor === null ? {} : { cursor }) });
      seen.push(...page.items.map(({ tenantId, runId }) => ({ tenantId, runId })));
      expect(page.items.length).toBeLessThanOrEqual(limit);
      if (page.nextCursor === null) break;
      expect(page.items).toHaveLength(limit);
      cursor = page.nextCursor;
    }
    expect(seen).toEqual(expected);
  }));

const amount = fc.constantFrom('0', '1', '1.0', '1.000001', '01', '99999999999999.999999');

it('over any calls, the first decision of a run stands, and each answer says what a list in memory would', () => {
  const call = fc.uniqueArray(fc.tuple(place, amount), { selector: ([each]) => placeKey(each), maxLength: 6 });
  return law([fc.array(call, { minLength: 1, maxLength: 4 })], async (calls) => {
    for (const tenantId of TENANTS) for (const [n, runId] of NAMES.entries()) await halt({ tenantId, runId }, n);
    const first = new Map<string, string>();
    for (const given of calls) {
      const outcome = await driver.insertBudgetDecisions(given.map(([each, consumed]) => decisionOf(each, consumed)));
      const expected = { inserted: [] as string[], duplicates: [] as string[], conflicts: [] as string[] };
      for (const [each, consumed] of given) {
        const known = first.get(placeKey(each));
        if (known === undefined) first.set(placeKey(each), consumed);
        const list =
          known === undefined ? 'inserted' : compareDecimal(known, consumed) === 0 ? 'duplicates' : 'conflicts';
        expected[list].push(placeKey(each));
      }
      for (const list of ['inserted', 'duplicates', 'conflicts'] as const)
        expect(outcome[list].map(placeKey)).toEqual(expected[list]);
    }
    for (const [key, consumed] of first) {
      const [tenantId = '', runId = ''] = key.split('/');
      const stored = await driver.fetchBudgetDecision(tenantId, runId);
      expect(compareDecimal(stored?.budgetConsumedCents ?? '-1', consumed)).toBe(0);
    }
  });
});

it('G.2 12: what one tenant holds changes nothing of another’s halts and decisions', () =>
  law([places, fc.func(fc.boolean())], async (others, isDecided) => {
    const mine = NAMES.map((runId) => ({ tenantId: 't', runId }));
    for (const [n, each] of mine.entries()) await halt(each, n);
    await driver.insertBudgetDecisions(mine.slice(0, 4).map((each) => decisionOf(each)));
    const mineOf = async (): Promise<unknown> => {
      const { items } = await driver.fetchPendingBudgetHalts({ limit: 200 });
      const decisions: unknown[] = [];
      for (const { runId } of mine) decisions.push(await driver.fetchBudgetDecision('t', runId));
      return [items.filter(({ tenantId }) => tenantId === 't'), decisions];
    };
    const alone = await mineOf();
    const foreign = others.filter(({ tenantId }) => tenantId !== 't');
    for (const [n, each] of foreign.entries()) await halt(each, n);
    await driver.insertBudgetDecisions(
      foreign.filter((each) => isDecided(placeKey(each))).map((each) => decisionOf(each)),
    );
    expect(await mineOf()).toEqual(alone);
  }));
