import type { NewSignalFeedback, SignalFeedbackRow, SuppressionsQuery } from '@hoc/activity/schemas';
import {
  encodeCursor,
  filterFingerprint,
  InvalidArgumentError,
  type PageRequest,
  systemScope,
  TenantScopeError,
} from '@hoc/shared/kernel';
import { fixedClock, sequentialIds } from '@hoc/shared/testing';
import fc from 'fast-check';
import { type FeedbackDriver, getSignalFeedbackEngine, SignalFeedbackEngine } from './signal-feedback.engine';

const NOW = '2026-03-10T12:00:00.000Z';
const FINGERPRINT = 'a'.repeat(32);
const clock = fixedClock(NOW);
const inserted: [string, NewSignalFeedback][] = [];
const listed: [string, Date, PageRequest][] = [];
const expired: unknown[] = [];
const row = (): SignalFeedbackRow => {
  const bulk = { bulkActionId: null, targetSetHash: null, targetCount: null };
  const at = { asOf: clock.now(), createdAt: clock.now(), updatedAt: clock.now(), ttlSeconds: null, expiresAt: null };
  return { id: 'f', signalFingerprint: FINGERPRINT, feedbackState: 'ACKNOWLEDGED', actorId: 'jo', ...bulk, ...at };
};
let nextCursor: string | null = null;
const driver: FeedbackDriver = {
  insertFeedback: (tenant, input) => {
    inserted.push([tenant, input]);
    return Promise.resolve(row());
  },
  getSignalFeedback: (tenant, fingerprints) => Promise.resolve(new Map([[`${tenant} ${fingerprints[0]}`, status]])),
  fetchActiveSuppressions: (tenant, asOf, page) => {
    listed.push([tenant, asOf, page]);
    return Promise.resolve({ items: [row()], nextCursor });
  },
  markExpiredAsEvaluated: (...given) => {
    expired.push(given);
    return Promise.resolve(3);
  },
};
const status = {
  acknowledged: false,
  acknowledgedBy: null,
  acknowledgedAt: null,
  suppressed: false,
  suppressedUntil: null,
};
const engine = getSignalFeedbackEngine(driver, { clock, ids: sequentialIds('f') });
const bad = (value: unknown): never => value as never;

beforeEach(() => {
  clock.set(NOW);
  for (const list of [inserted, listed, expired]) list.length = 0;
  nextCursor = null;
});

describe('answers', () => {
  const BULK = { actorId: 'jo', bulkActionId: 'b', targetSetHash: 'h', targetCount: 3 };
  it('become rows of their state, with the bulk action that they are a part of', async () => {
    expect(engine).toBeInstanceOf(SignalFeedbackEngine);
    await engine.acknowledge('t', FINGERPRINT, { actorId: 'jo' });
    await engine.reopen('t', FINGERPRINT, BULK);
    expect(await engine.suppress('t', FINGERPRINT, { ...BULK, ttlSeconds: 60 })).toEqual(row());
    expect(inserted).toEqual([
      ['t', { signalFingerprint: FINGERPRINT, feedbackState: 'ACKNOWLEDGED', actorId: 'jo' }],
      ['t', { signalFingerprint: FINGERPRINT, feedbackState: 'REOPENED', ...BULK }],
      ['t', { signalFingerprint: FINGERPRINT, feedbackState: 'SUPPRESSED', ...BULK, ttlSeconds: 60 }],
    ]);
  });
  const given = [
    undefined,
    null,
    'jo',
    [],
    { actorId: 'jo', actor: 'jo' },
    { actorId: 'jo', feedbackState: 'REOPENED' },
  ];
  it.each(given)('of %j: INVALID_ARGUMENT, nothing is written', async (request) => {
    for (const ask of [
      () => engine.acknowledge('t', FINGERPRINT, bad(request)),
      () => engine.suppress('t', FINGERPRINT, bad(request)),
      () => engine.reopen('t', FINGERPRINT, bad(request)),
    ])
      await expect(ask()).rejects.toThrow(InvalidArgumentError);
    expect(inserted).toEqual([]);
  });
  it('a time to live belongs to a suppression alone', async () => {
    await expect(engine.acknowledge('t', FINGERPRINT, bad({ actorId: 'jo', ttlSeconds: 5 }))).rejects.toMatchObject({
      details: { field: 'request', reason: 'unknown_key' },
    });
  });
  it('the tenant is checked before the request', async () => {
    for (const tenant of ['', ' ', undefined, 7])
      for (const ask of [
        () => engine.acknowledge(bad(tenant), '', bad(null)),
        () => engine.suppress(bad(tenant), '', bad(null)),
        () => engine.reopen(bad(tenant), '', bad(null)),
        () => engine.getActiveSuppressions(bad(tenant), bad(null)),
      ])
        await expect(ask()).rejects.toThrow(TenantScopeError);
  });
});

it('getFeedback asks the driver', async () => {
  expect(await engine.getFeedback('t', [FINGERPRINT])).toEqual(new Map([[`t ${FINGERPRINT}`, status]]));
});

it('expireSuppressions marks a round of what has ended by the clock', async () => {
  const scope = systemScope('test');
  expect(await engine.expireSuppressions(scope)).toBe(3);
  expect(expired).toEqual([[scope, clock.now()]]);
});

describe('getActiveSuppressions', () => {
  const pages = async (query?: SuppressionsQuery): Promise<string> => {
    nextCursor = 'of the driver';
    return (await engine.getActiveSuppressions('t', query)).nextCursor ?? '';
  };
  it('holds at the clock, or at the instant that it is asked for', async () => {
    const page = await engine.getActiveSuppressions('t');
    expect([page, Object.isFrozen(page)]).toEqual([{ items: [row()], nextCursor: null }, true]);
    await engine.getActiveSuppressions('t', { asOf: new Date('2026-03-09T00:00:00Z'), limit: 7 });
    expect(listed).toEqual([
      ['t', clock.now(), {}],
      ['t', new Date('2026-03-09T00:00:00Z'), { limit: 7 }],
    ]);
  });
  it('a later page is of the first one’s instant, wherever the clock is by then', async () => {
    const cursor = await pages();
    clock.advance(90_000);
    await engine.getActiveSuppressions('t', { cursor, limit: 2 });
    await engine.getActiveSuppressions('t', { cursor, asOf: new Date(NOW) });
    expect(listed.slice(1)).toEqual([
      ['t', new Date(NOW), { limit: 2, cursor: 'of the driver' }],
      ['t', new Date(NOW), { cursor: 'of the driver' }],
    ]);
  });
  it.each<[string, () => Promise<SuppressionsQuery>]>([
    ['of another tenant', async () => ({ cursor: (await otherTenant()).nextCursor ?? '' })],
    ['with another instant', async () => ({ cursor: await pages(), asOf: new Date('2026-03-10T12:00:00.001Z') })],
    ['that is empty', () => Promise.resolve({ cursor: '' })],
    ['that is none', () => Promise.resolve({ cursor: 'abc' })],
    ['of 5,000 characters', () => Promise.resolve({ cursor: 'a'.repeat(5000) })],
    ['that is a number', () => Promise.resolve({ cursor: bad(5) })],
    ['without an instant', () => Promise.resolve({ cursor: forged([null, 'x']) })],
    ['with a day', () => Promise.resolve({ cursor: forged(['2026-03-10', 'x']) })],
    ['with a word', () => Promise.resolve({ cursor: forged(['now', 'x']) })],
    ['without a place', () => Promise.resolve({ cursor: forged([NOW, null]) })],
    ['of one position', () => Promise.resolve({ cursor: forged([NOW]) })],
  ])('refuses a cursor %s', async (_what, make) => {
    const query = await make();
    listed.length = 0;
    await expect(engine.getActiveSuppressions('t', query)).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      details: { reason: 'cursor' },
    });
    expect(listed).toEqual([]);
  });
  it.each([[null], [[]], [{ asof: new Date(NOW) }], [{ asOf: 'now' }], [{ asOf: new Date(Number.NaN) }]])(
    'of %j: INVALID_ARGUMENT',
    async (query) => {
      await expect(engine.getActiveSuppressions('t', bad(query))).rejects.toThrow(InvalidArgumentError);
      expect(listed).toEqual([]);
    },
  );
  it('law 10: a cursor with one character changed is refused, or asks for another place of the same list', async () => {
    const cursor = await pages();
    const characters = [...'ABCXYZabcxyz0189-_=+/ '];
    await fc.assert(
      fc.asyncProperty(fc.nat(cursor.length - 1), fc.constantFrom(...characters), async (at, character) => {
        const changed = cursor.slice(0, at) + character + cursor.slice(at + 1);
        await engine.getActiveSuppressions('t', { cursor: changed }).catch((error: unknown) => {
          expect(InvalidArgumentError.is(error)).toBe(true);
        });
      }),
      { numRuns: 300 },
    );
    for (const [tenant, asOf] of listed) expect([tenant, Number.isNaN(asOf.getTime())]).toEqual(['t', false]);
  });

  const forged = (position: (string | null)[]): string =>
    encodeCursor('active_suppressions', filterFingerprint('active_suppressions', 't', {}), position);
  const otherTenant = () => {
    nextCursor = 'of the driver';
    return engine.getActiveSuppressions('t2');
  };
});
