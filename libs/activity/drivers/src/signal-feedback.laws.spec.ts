import { entities, migrations } from '@hoc/activity/models';
import type { SignalFeedbackRow } from '@hoc/activity/schemas';
import { type IdGenerator, systemScope } from '@hoc/shared/kernel';
import { entities as shared, migrations as sharedMigrations } from '@hoc/shared/models';
import { fixedClock, makeTenant, sequentialIds } from '@hoc/shared/testing';
import { insertRows, useDatabase } from '@hoc/testkit';
import fc from 'fast-check';
import { getSignalFeedbackDriver, type SignalFeedbackDriver } from './signal-feedback.driver';

const RUNS = 60;
const START = new Date('2026-03-10T12:00:00.000Z').getTime();
const SIGNALS = ['a', 'b', 'c'].map((digit) => digit.repeat(32));
const scope = systemScope('test');
const clock = fixedClock(new Date(START));
const db = useDatabase({ entities: [...shared, ...entities], migrations: [...sharedMigrations, ...migrations] });
let driver: SignalFeedbackDriver;

beforeEach(async () => {
  await insertRows(db.manager(), makeTenant({ id: 't-a' }), makeTenant({ id: 't' }), makeTenant({ id: 't-a2' }));
});

/** The law on fresh rows, at the same instant, with the same ids, each time. */
const law = <T extends [unknown, ...unknown[]]>(
  inputs: { [K in keyof T]: fc.Arbitrary<T[K]> },
  holds: (...values: T) => Promise<void>,
): Promise<void> =>
  fc.assert(
    fc.asyncProperty(...inputs, async (...values) => {
      await db.manager().query('SAVEPOINT law');
      clock.set(new Date(START));
      driver = on(sequentialIds('f'));
      try {
        await holds(...values);
      } finally {
        await db.manager().query('ROLLBACK TO SAVEPOINT law');
      }
    }),
    { numRuns: RUNS },
  );
const on = (ids: IdGenerator): SignalFeedbackDriver => getSignalFeedbackDriver(db.manager(), { clock, ids });

type Step =
  | { readonly kind: 'ACKNOWLEDGED' | 'REOPENED'; readonly signal: string }
  | { readonly kind: 'SUPPRESSED'; readonly signal: string; readonly ttlSeconds: number }
  | { readonly kind: 'wait'; readonly ms: number }
  | { readonly kind: 'expire'; readonly limit: number };
const signal = fc.constantFrom(...SIGNALS);
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constantFrom('ACKNOWLEDGED' as const, 'REOPENED' as const), signal }),
  fc.record({ kind: fc.constant('SUPPRESSED' as const), signal, ttlSeconds: fc.integer({ min: 1, max: 3 }) }),
  fc.record({ kind: fc.constant('wait' as const), ms: fc.constantFrom(1, 500, 999, 1000, 1001, 3000) }),
  fc.record({ kind: fc.constant('expire' as const), limit: fc.integer({ min: 1, max: 3 }) }),
);
const steps = fc.array(step, { minLength: 1, maxLength: 8 });

async function take(tenant: string, each: Step, by: SignalFeedbackDriver = driver): Promise<void> {
  if (each.kind === 'wait') clock.advance(each.ms);
  else if (each.kind === 'expire') await by.markExpiredAsEvaluated(scope, clock.now(), each.limit);
  else {
    const ttl = each.kind === 'SUPPRESSED' ? { ttlSeconds: each.ttlSeconds } : {};
    await by.insertFeedback(tenant, {
      signalFingerprint: each.signal,
      feedbackState: each.kind,
      actorId: 'jo',
      ...ttl,
    });
  }
}

/** All that a tenant can read of its feedback now. */
async function readable(tenant: string): Promise<object> {
  const suppressions: SignalFeedbackRow[] = [];
  for (let cursor: string | undefined; ;) {
    const page = await driver.fetchActiveSuppressions(tenant, clock.now(), {
      limit: 1,
      ...(cursor === undefined ? {} : { cursor }),
    });
    suppressions.push(...page.items);
    if (page.nextCursor === null) break;
    cursor = page.nextCursor;
  }
  return {
    latest: await driver.fetchLatestFeedback(tenant, SIGNALS),
    status: await driver.getSignalFeedback(tenant, SIGNALS),
    suppressions,
  };
}

it('over any answers, waits and expiries, a signal stands as its newest answer says, and its end changes it at its end', () =>
  law([steps], async (taken) => {
    const newest = new Map<string, { readonly at: number; readonly each: Step }>();
    for (const each of taken) {
      await take('t-a', each);
      if ('signal' in each) newest.set(each.signal, { at: clock.now().getTime(), each });
      const now = clock.now().getTime();
      const expected = [...newest].map(([fingerprint, { at, each: answer }]) => {
        const end = answer.kind === 'SUPPRESSED' ? at + answer.ttlSeconds * 1000 : null;
        const suppressed = end !== null && at <= now && now < end;
        const acknowledged = answer.kind === 'ACKNOWLEDGED';
        return {
          fingerprint,
          acknowledged,
          acknowledgedBy: acknowledged ? 'jo' : null,
          acknowledgedAt: acknowledged ? new Date(at) : null,
          suppressed,
          suppressedUntil: suppressed ? new Date(end) : null,
        };
      });
      const status = await driver.getSignalFeedback('t-a', SIGNALS);
      const bySignal = (a: { fingerprint: string }, b: { fingerprint: string }) =>
        a.fingerprint < b.fingerprint ? -1 : 1;
      expect([...status].map(([fingerprint, said]) => ({ fingerprint, ...said })).sort(bySignal)).toEqual(
        expected.sort(bySignal),
      );
      const { items } = await driver.fetchActiveSuppressions('t-a', clock.now(), {});
      expect(items.map(({ signalFingerprint }) => signalFingerprint).sort()).toEqual(
        expected.flatMap(({ fingerprint, suppressed }) => (suppressed ? [fingerprint] : [])).sort(),
      );
    }
  }));

it('the suppression window: it counts at t exactly where asOf ≤ t < expiresAt', () =>
  law(
    [fc.integer({ min: 1, max: 5 }), fc.integer({ min: -1, max: 6 }), fc.integer({ min: -1, max: 1 })],
    (ttl, s, ms) =>
      take('t-a', { kind: 'SUPPRESSED', signal: SIGNALS[0] as string, ttlSeconds: ttl }).then(async () => {
        const offset = s * 1000 + ms;
        clock.set(new Date(START + offset));
        const counts = offset >= 0 && offset < ttl * 1000;
        const status = (await driver.getSignalFeedback('t-a', SIGNALS)).get(SIGNALS[0] as string);
        expect([status?.suppressed, status?.suppressedUntil !== null]).toEqual([counts, counts]);
        expect((await driver.fetchActiveSuppressions('t-a', clock.now(), {})).items).toHaveLength(counts ? 1 : 0);
      }),
  ));

it('expiry changes no answer that counts, marks exactly what had ended, and finds nothing the second time', () =>
  law([steps], async (taken) => {
    for (const each of taken) if (each.kind !== 'expire') await take('t-a', each);
    const [{ n }]: [{ n: number }] = await db
      .manager()
      .query(
        `SELECT count(*)::int AS n FROM signal_feedback WHERE feedback_state = 'SUPPRESSED' AND expires_at <= $1`,
        [clock.now().toISOString()],
      );
    const before = await driver.getSignalFeedback('t-a', SIGNALS);
    expect(await driver.markExpiredAsEvaluated(scope, clock.now())).toBe(n);
    expect(await driver.markExpiredAsEvaluated(scope, clock.now())).toBe(0);
    expect(await driver.getSignalFeedback('t-a', SIGNALS)).toEqual(before);
  }));

it('law 1: pages of any size are the sorted list, without a repetition', () =>
  law(
    [
      fc.uniqueArray(fc.integer({ min: 0, max: 99 }), { minLength: 1, maxLength: 12 }),
      fc.infiniteStream(fc.integer({ min: 1, max: 4 })),
      fc.integer({ min: 1, max: 5 }),
    ],
    async (numbers, ttls, limit) => {
      const rows: SignalFeedbackRow[] = [];
      for (const n of numbers)
        rows.push(
          await driver.insertFeedback('t-a', {
            signalFingerprint: n.toString(16).padStart(32, '0'),
            feedbackState: 'SUPPRESSED',
            actorId: 'jo',
            ttlSeconds: ttls.next().value as number,
          }),
        );
      const sorted = rows.sort((a, b) => Number(a.expiresAt) - Number(b.expiresAt) || (a.id < b.id ? -1 : 1));
      const paged: SignalFeedbackRow[] = [];
      for (let cursor: string | undefined; ;) {
        const page = await driver.fetchActiveSuppressions('t-a', clock.now(), {
          limit,
          ...(cursor === undefined ? {} : { cursor }),
        });
        paged.push(...page.items);
        if (page.nextCursor === null) break;
        cursor = page.nextCursor;
      }
      expect(paged).toEqual(sorted);
    },
  ));

it('law 9: what other tenants say of the same signals changes nothing that a tenant reads', () =>
  law([steps, steps], async (mine, theirs) => {
    await db.manager().query('SAVEPOINT alone');
    for (const each of mine) await take('t-a', each);
    const alone = await readable('t-a');
    await db.manager().query('ROLLBACK TO SAVEPOINT alone');
    clock.set(new Date(START));
    driver = on(sequentialIds('f'));
    const other = on(sequentialIds('f'));
    for (const [n, each] of mine.entries()) {
      const disturbing = theirs[n];
      // Time is one for all: what they do takes none.
      if (disturbing && disturbing.kind !== 'wait' && disturbing.kind !== 'expire') {
        await take('t', disturbing, other);
        await take('t-a2', disturbing, other);
      }
      // A round of theirs may take a limit's place of mine: the marks differ then, what counts doesn't.
      await take('t-a', each.kind === 'expire' ? { kind: 'expire', limit: 1000 } : each);
    }
    if (mine.every(({ kind }) => kind !== 'expire')) expect(await readable('t-a')).toEqual(alone);
    else expect(counting(await readable('t-a'))).toEqual(counting(alone));
  }));

it('law 12: the zone of the session changes no result', () =>
  law([steps, fc.constantFrom('Pacific/Apia', 'Asia/Kolkata', 'America/St_Johns')], async (taken, zone) => {
    await db.manager().query('SAVEPOINT utc');
    for (const each of taken) await take('t-a', each);
    const utc = await readable('t-a');
    await db.manager().query('ROLLBACK TO SAVEPOINT utc');
    clock.set(new Date(START));
    driver = on(sequentialIds('f'));
    await db.manager().query(`SET LOCAL TIME ZONE '${zone}'`);
    for (const each of taken) await take('t-a', each);
    expect(await readable('t-a')).toEqual(utc);
    await db.manager().query("SET LOCAL TIME ZONE 'UTC'");
  }));

/** Without the rows themselves, which say whether a job has been there. */
function counting(read: object): unknown {
  return { status: Reflect.get(read, 'status') as unknown, suppressions: Reflect.get(read, 'suppressions') as unknown };
}
