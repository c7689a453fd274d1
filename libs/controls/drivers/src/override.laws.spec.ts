import { systemScope } from '@hoc/shared/kernel';
import { entities, migrations } from '@hoc/shared/models';
import { fixedClock, makeLimit, makeTenant, sequentialIds } from '@hoc/shared/testing';
import { insertRows, useDatabase } from '@hoc/testkit';
import fc from 'fast-check';
import {
  getLimitOverrideService,
  type LimitOverrideService,
  LimitOverrideServiceError,
  OverrideValidationError,
  StackingAbuseError,
} from './override.driver';

const RUNS = 50;
const START = new Date('2026-03-10T12:00:00.000Z').getTime();
const HOUR = 3_600_000;
const LIMITS = Array.from({ length: 8 }, (_, n) => `l${n}`);
const TENANTS = ['t', 't2'] as const;
const scope = systemScope('test');
const clock = fixedClock(new Date(START));
const db = useDatabase({ entities, migrations });
let service: LimitOverrideService;

beforeEach(() =>
  insertRows(
    db.manager(),
    ...TENANTS.flatMap((id) => [makeTenant({ id }), ...LIMITS.map((limit) => makeLimit(id, { id: limit }))]),
  ),
);

type Step =
  | { readonly kind: 'request'; readonly limit: number; readonly hours: number; readonly ahead: number | null }
  | { readonly kind: 'approve'; readonly which: number; readonly hours: number | null }
  | { readonly kind: 'reject' | 'cancel'; readonly which: number }
  | { readonly kind: 'expire' }
  | { readonly kind: 'activate' }
  | { readonly kind: 'wait'; readonly ms: number };
const which = fc.integer({ min: 0, max: 30 });
const hours = fc.integer({ min: 1, max: 3 });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('request' as const),
      limit: fc.integer({ min: 0, max: LIMITS.length - 1 }),
      hours,
      ahead: fc.option(fc.integer({ min: 1, max: 3 }), { freq: 2 }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('approve' as const), which, hours: fc.option(hours) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('reject' as const, 'cancel' as const), which }) },
  { weight: 2, arbitrary: fc.constantFrom({ kind: 'expire' as const }, { kind: 'activate' as const }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.constantFrom(1, HOUR - 1, HOUR, HOUR + 1) }),
  },
);
const steps = fc.array(step, { minLength: 5, maxLength: 20 });

/** The property on no overrides, at the same instant, each time. */
const law = (holds: (taken: readonly Step[]) => Promise<void>): Promise<void> =>
  fc.assert(
    fc.asyncProperty(steps, async (taken) => {
      await db.manager().query('SAVEPOINT law');
      clock.set(new Date(START));
      service = getLimitOverrideService(db.manager(), { clock, ids: sequentialIds('o') });
      try {
        await holds(taken);
      } finally {
        await db.manager().query('ROLLBACK TO SAVEPOINT law');
      }
    }),
    { numRuns: RUNS },
  );

/** An override as it should be: nothing of it is read from the database. */
interface Expected {
  readonly limit: number;
  readonly hours: number;
  readonly start: number;
  readonly end: number;
  readonly status: string;
}
const LIVE = ['PENDING', 'APPROVED', 'ACTIVE'];

/** The state machine of the specification, over a list. */
class Model {
  readonly overrides: Expected[] = [];
  constructor(private now = START) {}

  wait(ms: number): void {
    this.now += ms;
  }
  inEffect = ({ status, start, end }: Expected): boolean => status === 'ACTIVE' && start <= this.now && this.now < end;
  active = (): number => this.overrides.filter(({ status, end }) => status === 'ACTIVE' && end > this.now).length;
  expire(): number {
    return this.overrides.reduce(
      (n, { status, end }, i) =>
        n + (LIVE.includes(status) && end <= this.now ? this.set(i, { status: 'EXPIRED' }) : 0),
      0,
    );
  }
  request(limit: number, length: number, ahead: number | null): string {
    this.expire();
    if (this.active() >= 5) return 'STACKING';
    if (this.overrides.some((each) => each.limit === limit && LIVE.includes(each.status))) return 'ALREADY_EXISTS';
    const start = this.now + (ahead ?? 0) * HOUR;
    const status = ahead === null ? 'ACTIVE' : 'PENDING';
    this.overrides.push({ limit, hours: length, start, end: start + length * HOUR, status });
    return status;
  }
  approve(i: number, length: number | null): string {
    const { status, start, hours: asked } = this.at(i);
    if (status !== 'PENDING') return 'NOT_PENDING';
    const end = start + (length ?? asked) * HOUR;
    if (end <= this.now) return 'WINDOW_PASSED';
    if (start <= this.now && this.active() >= 5) return 'STACKING';
    this.set(i, { status: start <= this.now ? 'ACTIVE' : 'APPROVED', end, hours: length ?? asked });
    return this.at(i).status;
  }
  reject(i: number): string {
    if (this.at(i).status !== 'PENDING') return 'NOT_PENDING';
    this.set(i, { status: 'REJECTED' });
    return 'REJECTED';
  }
  cancel(i: number): string {
    const { status, end } = this.at(i);
    if (!LIVE.includes(status) || (status === 'ACTIVE' && end <= this.now)) return 'NOT_CANCELLABLE';
    this.set(i, { status: 'CANCELLED' });
    return 'CANCELLED';
  }
  activate(): number {
    this.expire();
    const due = [...this.overrides.keys()]
      .filter((i) => this.at(i).status === 'APPROVED' && this.at(i).start <= this.now)
      .sort((a, b) => this.at(a).start - this.at(b).start || a - b)
      .slice(0, Math.max(0, 5 - this.active()));
    return due.reduce((n, i) => n + this.set(i, { status: 'ACTIVE' }), 0);
  }
  at(i: number): Expected {
    return this.overrides[i] as Expected;
  }
  private set(i: number, change: Partial<Expected>): number {
    this.overrides[i] = { ...this.at(i), ...change };
    return 1;
  }
}

/** What a call came to: the status that it wrote, or why it wrote nothing. */
async function outcome(work: Promise<{ readonly status: string }>): Promise<unknown> {
  try {
    return (await work).status;
  } catch (error) {
    if (StackingAbuseError.is(error)) return 'STACKING';
    if (OverrideValidationError.is(error)) return error.details['reason'];
    throw error;
  }
}
const idOf = (i: number): string => ids[i] ?? 'none';
let ids: string[] = [];

/** One step of both; each says what came of it. */
async function take(tenant: string, each: Step, model: Model): Promise<readonly [unknown, unknown]> {
  if (each.kind === 'wait') return [clock.advance(each.ms), model.wait(each.ms)];
  if (each.kind === 'expire') return [await service.expireOverrides(scope), model.expire()];
  if (each.kind === 'activate')
    return [(await service.activateDueOverrides(tenant)).activated.length, model.activate()];
  if (each.kind === 'request') {
    const scheduled = {
      startImmediately: false,
      scheduledStart: new Date(clock.now().getTime() + (each.ahead ?? 0) * HOUR),
    };
    const made = service.requestOverride(
      tenant,
      {
        ...{ limitId: LIMITS[each.limit] ?? '', overrideValue: '3000', durationHours: each.hours },
        ...{ reason: 'a campaign of the day', ...(each.ahead === null ? {} : scheduled) },
      },
      'ann',
    );
    const said = await outcome(made);
    if (said === 'ACTIVE' || said === 'PENDING') ids.push((await made).overrideId);
    return [said, model.request(each.limit, each.hours, each.ahead)];
  }
  if (ids.length === 0) return [null, null];
  const i = each.which % ids.length;
  if (each.kind === 'approve') {
    const adjust = each.hours === null ? {} : { durationHours: each.hours };
    return [await outcome(service.approveOverride(tenant, idOf(i), 'bob', adjust)), model.approve(i, each.hours)];
  }
  if (each.kind === 'reject')
    return [await outcome(service.rejectOverride(tenant, idOf(i), 'bob', 'no')), model.reject(i)];
  return [await outcome(service.cancelOverride(tenant, idOf(i), 'bob')), model.cancel(i)];
}

beforeEach(() => {
  ids = [];
});

it('law 5: over any operations and waits, overrides stand as the state machine says; at most five are in effect, of five limits', () =>
  law(async (taken) => {
    ids = [];
    const model = new Model();
    for (const each of taken) {
      const [said, expected] = await take('t', each, model);
      expect([each, said]).toEqual([each, expected]);
      const { items } = await service.listOverrides('t', {}, { limit: 200 });
      const inEffect = items.filter((item) => item.inEffect).map(({ limitId }) => limitId);
      expect([inEffect.length <= 5, new Set(inEffect).size]).toEqual([true, inEffect.length]);
      const byId = new Map(items.map((item) => [item.overrideId, item]));
      expect(
        ids.map((id) => byId.get(id)).map((item) => [item?.status, item?.inEffect, Number(item?.expiresAt)]),
      ).toEqual(model.overrides.map((override) => [override.status, model.inEffect(override), override.end]));
      const found = await service.fetchOverridesInEffect('t', LIMITS);
      expect([...found.keys()].sort()).toEqual([...inEffect].sort());
    }
  }));

it('law 5: intervals in effect of one limit never overlap, as the trails tell them', () =>
  law(async (taken) => {
    ids = [];
    const model = new Model();
    for (const each of taken) await take('t', each, model);
    const rows: { limit_id: string; expires_at: Date; audit_trail: { at: string; from: string; to: string }[] }[] =
      await db.manager().query('SELECT limit_id, expires_at, audit_trail FROM limit_overrides');
    for (const limit of LIMITS) {
      const intervals = rows
        .filter(({ limit_id }) => limit_id === limit)
        .flatMap(({ audit_trail: trail, expires_at: end }) => {
          const begun = trail.find(({ to }) => to === 'ACTIVE');
          const left = trail.find(({ from }) => from === 'ACTIVE');
          if (begun === undefined) return [];
          const from = Date.parse(begun.at);
          return [[from, Math.min(Number(end), left === undefined ? Infinity : Date.parse(left.at))] as const];
        })
        .sort(([a], [b]) => a - b);
      intervals.slice(1).forEach(([from], n) => expect(from).toBeGreaterThanOrEqual(intervals[n]?.[1] ?? Infinity));
    }
    // Each trail begins with the request, and every entry goes on where the one before it ended.
    for (const { audit_trail: trail } of rows)
      expect(trail.map(({ from }) => from)).toEqual([null, ...trail.slice(0, -1).map(({ to }) => to)]);
  }));

it('law 7 and 8: pages of any size are the list, and it is as long as its count', () =>
  law(async (taken) => {
    ids = [];
    const model = new Model();
    for (const each of taken) await take('t', each, model);
    for (const filter of [{}, { status: 'ACTIVE' as const }, { limitId: 'l0' }]) {
      const { items: all } = await service.listOverrides('t', filter, { limit: 200 });
      const paged: unknown[] = [];
      for (let cursor: string | null | undefined; cursor !== null;) {
        const page = await service.listOverrides('t', filter, {
          limit: 2,
          ...(cursor === undefined ? {} : { cursor }),
        });
        paged.push(...page.items);
        cursor = page.nextCursor;
      }
      expect(paged).toEqual(all);
      expect(await service.countOverrides('t', filter)).toBe(all.length);
    }
  }));

it('law 12: what another tenant does with the same limits changes nothing', () =>
  law(async (taken) => {
    const readable = async (): Promise<unknown> => (await service.listOverrides('t', {}, { limit: 200 })).items;
    const play = async (disturbed: boolean): Promise<unknown> => {
      clock.set(new Date(START));
      ids = [];
      await db.manager().query('SAVEPOINT play');
      const said: unknown[] = [];
      const model = new Model();
      const others = getLimitOverrideService(db.manager(), { clock, ids: sequentialIds('o') });
      for (const each of taken) {
        if (disturbed && each.kind === 'request')
          await others
            .requestOverride(
              't2',
              { limitId: LIMITS[each.limit] ?? '', overrideValue: '9000', durationHours: 9, reason: 'another reason' },
              'eve',
            )
            .catch((error: unknown) => expect(LimitOverrideServiceError.is(error)).toBe(true));
        const [came] = await take('t', each, model);
        if (each.kind !== 'expire') said.push(came);
      }
      const result = [said, await readable()];
      await db.manager().query('ROLLBACK TO SAVEPOINT play');
      service = getLimitOverrideService(db.manager(), { clock, ids: sequentialIds('o') });
      return result;
    };
    expect(await play(true)).toEqual(await play(false));
  }));
