import type { BatchIngestResult, CusLlmUsageIngest, IngestResult, NewUsage } from '@hoc/activity/schemas';
import {
  ConflictError,
  HocError,
  InvalidArgumentError,
  NotFoundError,
  TenantScopeError,
  UnavailableError,
} from '@hoc/shared/kernel';
import { fixedClock, sequentialIds } from '@hoc/shared/testing';
import fc from 'fast-check';
import { type CoalescerEngines, createUsageCoalescer, type UsageCoalescer } from './usage-coalescer.engine';

const deps = { clock: fixedClock('2026-03-10T12:00:00.000Z'), ids: sequentialIds('x') };
const U: CusLlmUsageIngest = {
  callId: 'c-1',
  provider: 'azure_openai',
  model: 'gpt-4',
  tokensIn: 374,
  tokensOut: 44,
  costCents: '1.386',
};
const call = (callId: string, more: Partial<CusLlmUsageIngest> = {}): CusLlmUsageIngest => ({ ...U, callId, ...more });

/** A store that keeps the rules of `ingestImported`, and lets a test hold, fail or watch each transaction. */
function store() {
  const rows = new Map<string, { readonly id: string; readonly usage: NewUsage }>();
  const batches: string[] = [];
  const failures: unknown[] = [];
  let gate: Promise<void> = Promise.resolve();
  let open = 0;
  let most = 0;
  const ingestImported = (tenantId: string, usages: readonly NewUsage[]): Promise<BatchIngestResult> => {
    batches.push(`${tenantId}: ${usages.length}`);
    const items = usages.map((usage, index) => {
      const key = `${tenantId} ${usage.callId}`;
      const known = rows.get(key);
      if (known === undefined && usage.integrationId === 'nope')
        return {
          index,
          callId: usage.callId,
          status: 'error' as const,
          id: null,
          code: 'INTEGRATION_NOT_FOUND' as const,
        };
      if (known === undefined) {
        const id = `id-${rows.size}`;
        rows.set(key, { id, usage });
        return { index, callId: usage.callId, status: 'accepted' as const, id };
      }
      const same = JSON.stringify(known.usage) === JSON.stringify(usage);
      return {
        index,
        callId: usage.callId,
        status: same ? ('duplicate' as const) : ('conflict' as const),
        id: same ? known.id : null,
      };
    });
    return Promise.resolve({
      accepted: 0,
      duplicates: 0,
      conflicts: 0,
      errors: 0,
      total: items.length,
      items,
      affectedDays: [],
    });
  };
  const run = async <T>(work: (engines: CoalescerEngines) => Promise<T>): Promise<T> => {
    most = Math.max(most, (open += 1));
    try {
      await gate;
      const failure = failures.shift();
      if (failure !== undefined) throw failure;
      return await work({ telemetry: { ingestImported } });
    } finally {
      open -= 1;
    }
  };
  const hold = (): (() => void) => {
    let release: () => void = () => undefined;
    gate = new Promise((resolve) => (release = resolve));
    return release;
  };
  return { rows, batches, failures, run, hold, mostOpen: () => most };
}

const settle = (
  coalescer: UsageCoalescer,
  tenant: string,
  usage: CusLlmUsageIngest,
  integration: string | null = 'int-1',
) =>
  coalescer.ingest(tenant, integration, usage).then(
    (value: IngestResult) => value,
    (error: unknown) => error as HocError,
  );

it('F71: calls of one tick go together, each with its own answer', async () => {
  const db = store();
  const coalescer = createUsageCoalescer(db.run, deps);
  const answers = Array.from({ length: 64 }, (_, n) => coalescer.ingest('t-a', 'int-1', call(`c-${n}`)));
  expect(coalescer.pending).toBe(64);
  const results = await Promise.all(answers);
  expect(db.batches).toEqual(['t-a: 64']);
  expect(results.every(({ status }) => status === 'accepted')).toBe(true);
  expect(new Set(results.map(({ id }) => id)).size).toBe(64);
  await Promise.resolve();
  expect(coalescer.pending).toBe(0);
});

it('F72: the oldest call chooses the tenant, and a batch holds one tenant', async () => {
  const db = store();
  const coalescer = createUsageCoalescer(db.run, deps);
  const release = db.hold();
  const first = settle(coalescer, 't-c', call('x'));
  await Promise.resolve();
  const rest = ['t-a', 't-a', 't-a', 't-b', 't-b', 't-a'].map((tenant, n) => settle(coalescer, tenant, call(`c-${n}`)));
  release();
  await Promise.all([first, ...rest]);
  expect(db.batches).toEqual(['t-c: 1', 't-a: 4', 't-b: 2']);
});

it('F73: at most maxBatch a batch, in order of arrival; what is left keeps its place', async () => {
  const db = store();
  const coalescer = createUsageCoalescer(db.run, deps, { maxBatch: 2 });
  const calls = [1, 2, 3, 4, 5].map((n) => settle(coalescer, 't-a', call(`c-${n}`)));
  const other = settle(coalescer, 't-b', call('c-6'));
  await Promise.all([...calls, other]);
  expect(db.batches).toEqual(['t-a: 2', 't-a: 2', 't-a: 1', 't-b: 1']);
  expect([...db.rows.keys()]).toEqual(['t-a c-1', 't-a c-2', 't-a c-3', 't-a c-4', 't-a c-5', 't-b c-6']);
});

it('F74: a full queue refuses at once, and takes again afterwards', async () => {
  const db = store();
  const coalescer = createUsageCoalescer(db.run, deps, { maxQueue: 2 });
  const release = db.hold();
  const inFlight = settle(coalescer, 't-a', call('c-1'));
  await Promise.resolve();
  const waiting = settle(coalescer, 't-a', call('c-2'));
  expect(await settle(coalescer, 't-a', call('c-3'))).toMatchObject({
    code: 'UNAVAILABLE',
    retryable: true,
    details: { reason: 'queue_full' },
  });
  release();
  expect(await Promise.all([inFlight, waiting])).toMatchObject([{ status: 'accepted' }, { status: 'accepted' }]);
  expect(await settle(coalescer, 't-a', call('c-4'))).toMatchObject({ status: 'accepted' });
});

it('F75: each call of a tick has its own answer; a bad one never waits', async () => {
  const db = store();
  const coalescer = createUsageCoalescer(db.run, deps);
  const answers = [
    settle(coalescer, 't-a', U),
    settle(coalescer, 't-a', U),
    settle(coalescer, 't-a', { ...U, tokensOut: 45 }),
    settle(coalescer, 't-a', { ...U, tokensIn: -1 }),
    settle(coalescer, 't-a', call('c-9'), 'nope'),
    settle(coalescer, 't-a', call('c-10')),
  ];
  expect(coalescer.pending).toBe(5);
  const [one, two, three, four, five, six] = await Promise.all(answers);
  expect(one).toMatchObject({ status: 'accepted', id: 'id-0' });
  expect(two).toMatchObject({ status: 'duplicate', id: 'id-0' });
  expect(ConflictError.is(three) && three.details['callId']).toBe('c-1');
  expect(InvalidArgumentError.is(four)).toBe(true);
  expect(NotFoundError.is(five)).toBe(true);
  expect(six).toMatchObject({ status: 'accepted' });
  expect(db.rows.size).toBe(2);
});

it('F76: a batch that fails tells all its callers, each with an error of its own, and the next one goes on', async () => {
  const db = store();
  const coalescer = createUsageCoalescer(db.run, deps);
  db.failures.push(new UnavailableError('gave up', { retryable: true, details: { attempts: 4 } }));
  const [a, b] = await Promise.all([settle(coalescer, 't-a', call('c-1')), settle(coalescer, 't-a', call('c-2'))]);
  for (const error of [a, b]) {
    expect(UnavailableError.is(error) && HocError.is(error)).toBe(true);
    expect(error).toMatchObject({ code: 'UNAVAILABLE', retryable: true, details: { attempts: 4 }, message: 'gave up' });
  }
  expect(a).not.toBe(b);
  expect(await settle(coalescer, 't-a', call('c-1'))).toMatchObject({ status: 'accepted' });
});

it('F78: close sends what waits, takes nothing more, and is one promise', async () => {
  const db = store();
  const coalescer = createUsageCoalescer(db.run, deps);
  const release = db.hold();
  const taken = [settle(coalescer, 't-a', call('c-1'))];
  await Promise.resolve();
  taken.push(settle(coalescer, 't-a', call('c-2')), settle(coalescer, 't-b', call('c-3')));
  const closed = coalescer.close();
  expect(coalescer.close()).toBe(closed);
  expect(await settle(coalescer, 't-a', call('c-4'))).toMatchObject({
    code: 'UNAVAILABLE',
    retryable: false,
    details: { reason: 'closed' },
  });
  release();
  await closed;
  expect(coalescer.pending).toBe(0);
  expect(await Promise.all(taken)).toMatchObject([
    { status: 'accepted' },
    { status: 'accepted' },
    { status: 'accepted' },
  ]);
  await createUsageCoalescer(db.run, deps).close();
});

it('close also ends when batches fail: their callers know', async () => {
  const db = store();
  const coalescer = createUsageCoalescer(db.run, deps);
  db.failures.push(new Error('boom'));
  const lost = settle(coalescer, 't-a', call('c-1'));
  await coalescer.close();
  expect(await lost).toMatchObject({ message: 'boom' });
});

it('what a sender changes after its call was taken changes nothing', async () => {
  const db = store();
  const coalescer = createUsageCoalescer(db.run, deps);
  const metadata = { tags: ['a'] };
  const usage = call('c-1', { metadata, occurredAt: new Date('2026-03-10T11:00:00Z') });
  const answer = coalescer.ingest('t-a', 'int-1', usage);
  metadata.tags.push('b');
  usage.occurredAt?.setFullYear(1999);
  await answer;
  expect(db.rows.get('t-a c-1')?.usage).toMatchObject({
    metadata: { tags: ['a'] },
    occurredAt: new Date('2026-03-10T11:00:00Z'),
  });
});

it('a call that is no longer right when it is written fails alone', async () => {
  const db = store();
  const coalescer = createUsageCoalescer(db.run, deps);
  db.failures.push(new InvalidArgumentError('too late', { details: { index: 1, field: 'occurredAt' } }));
  const answers = await Promise.all(['c-1', 'c-2', 'c-3'].map((id) => settle(coalescer, 't-a', call(id))));
  expect(answers).toMatchObject([{ status: 'accepted' }, { code: 'INVALID_ARGUMENT' }, { status: 'accepted' }]);
});

it('law 18: rows and answers are those of one call after the other; never two transactions at once', async () => {
  const one = fc.record({
    tenant: fc.constantFrom('t-a', 't-b', 't-c'),
    id: fc.integer({ min: 0, max: 6 }),
    tokensOut: fc.constantFrom(1, 1, 1, 2),
    pause: fc.boolean(),
  });
  const bounds = fc.record({ maxBatch: fc.integer({ min: 1, max: 4 }) });
  await fc.assert(
    fc.asyncProperty(
      fc.array(one, { maxLength: 25 }),
      bounds,
      fc.array(fc.boolean(), { maxLength: 6 }),
      async (calls, options, fails) => {
        const db = store();
        db.failures.push(...fails.map((fail) => (fail ? new UnavailableError('no', { retryable: true }) : undefined)));
        const coalescer = createUsageCoalescer(db.run, deps, options);
        const answers: Promise<IngestResult | HocError>[] = [];
        for (const { tenant, id, tokensOut, pause } of calls) {
          answers.push(settle(coalescer, tenant, call(`c-${id}`, { tokensOut })));
          if (pause) await new Promise((resolve) => setImmediate(resolve));
        }
        const settled = await Promise.all(answers);
        const model = new Map<string, number>();
        settled.forEach((answer, n) => {
          const { tenant, id, tokensOut } = calls[n] ?? { tenant: '', id: 0, tokensOut: 0 };
          if (UnavailableError.is(answer)) return;
          const key = `${tenant} c-${id}`;
          const known = model.get(key);
          if (known === undefined) model.set(key, tokensOut);
          const wanted = known === undefined ? 'accepted' : known === tokensOut ? 'duplicate' : 'conflict';
          expect(ConflictError.is(answer) ? 'conflict' : (answer as IngestResult).status).toBe(wanted);
        });
        expect(new Map([...db.rows].map(([key, { usage }]) => [key, usage.tokensOut]))).toEqual(model);
        expect([coalescer.pending, db.mostOpen() <= 1]).toEqual([0, true]);
      },
    ),
    { numRuns: 200 },
  );
});

describe('bad input', () => {
  it.each([{ maxQueue: 0 }, { maxQueue: 1_000_001 }, { maxBatch: 0 }, { maxBatch: 1001 }, { maxBatch: 1.5 }])(
    '%j',
    (options) => {
      expect(() => createUsageCoalescer(store().run, deps, options)).toThrow(InvalidArgumentError);
    },
  );
  it('a tenant is required, and an integration', async () => {
    const coalescer = createUsageCoalescer(store().run, deps);
    await expect(coalescer.ingest('', 'int-1', U)).rejects.toThrow(TenantScopeError);
    await expect(coalescer.ingest('t-a', null, U)).rejects.toThrow(InvalidArgumentError);
    expect(coalescer.pending).toBe(0);
  });
});
