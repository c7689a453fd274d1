import {
  CRASH_REASON_MAX,
  DEFAULT_CRASH_REASON,
  ORPHAN_RECOVERY_LOGGER,
  type OrphanedRun,
} from '@hoc/activity/schemas';
import { HocError, InvalidArgumentError, systemScope, type SystemScope, TenantScopeError } from '@hoc/shared/kernel';
import { entities, migrations } from '@hoc/shared/models';
import { fixedClock, makeTenant, makeWorkerRun, memoryLogger } from '@hoc/shared/testing';
import { insertRows, statementCounter, useDatabase } from '@hoc/testkit';
import {
  detectOrphanedRuns,
  FEATURE_INTENT,
  getCrashRecoverySummary,
  getOrphanRecoveryDriver,
  markRunAsCrashed,
  recoverOrphanedRuns,
  RETRY_POLICY,
} from './orphan-recovery.driver';

const db = useDatabase({ entities, migrations });
const deps = { clock: fixedClock('2026-03-10T12:00:00.000Z') };
const scope = systemScope('test');
const at = (text: string): Date => new Date(`2026-03-${text}Z`);
const worker = (id: string, columns: Record<string, unknown> = {}, tenant = 't-a') =>
  makeWorkerRun(tenant, {
    id,
    status: 'queued',
    created_at: at('10T10:00:00'),
    started_at: null,
    last_seen_at: null,
    ...columns,
  });
const insert = (...rows: Parameters<typeof insertRows>[1][]) => insertRows(db.manager(), ...rows);
const detect = (minutes?: number, limit?: number) => detectOrphanedRuns(db.manager(), scope, deps, minutes, limit);
const idsOf = (runs: readonly { readonly runId: string }[]): string[] => runs.map((run) => run.runId);
const stored = (id: string): Promise<Record<string, unknown>[]> =>
  db.manager().query('SELECT * FROM worker_runs WHERE id = $1', [id]);

beforeEach(() => insert(makeTenant({ id: 't-a' }), makeTenant({ id: 't-b' })));

describe('detectOrphanedRuns', () => {
  it('F48: strictly before the cutoff', async () => {
    await insert(
      worker('old', { created_at: at('10T11:29:59.999') }),
      worker('edge', { created_at: at('10T11:30:00') }),
    );
    const [orphan, ...others] = await detect();
    expect(others).toEqual([]);
    expect(orphan).toEqual({
      runId: 'old',
      tenantId: 't-a',
      workerId: expect.any(String) as string,
      status: 'queued',
      createdAt: at('10T11:29:59.999'),
      startedAt: null,
      lastSeenAt: null,
      idleSince: at('10T11:29:59.999'),
      cutoff: at('10T11:30:00'),
    });
    expect(Object.isFrozen(orphan)).toBe(true);
  });
  it('F49: alive by its start', async () => {
    await insert(worker('w', { status: 'running', started_at: at('10T11:45:00') }));
    expect(await detect()).toEqual([]);
  });
  it('F50: alive by its heartbeat; idle since the latest sign of life', async () => {
    const running = { status: 'running', started_at: at('10T10:05:00') };
    await insert(
      worker('alive', { ...running, last_seen_at: at('10T11:59:00') }),
      worker('silent', running),
      worker('older', { ...running, last_seen_at: at('10T10:01:00') }),
    );
    const orphans = await detect();
    expect(orphans.map(({ runId, idleSince }) => [runId, idleSince])).toEqual([
      ['older', at('10T10:05:00')],
      ['silent', at('10T10:05:00')],
    ]);
  });
  it('F51: what has ended is never an orphan', async () => {
    const states = ['completed', 'failed', 'crashed'];
    await insert(...states.map((status) => worker(status, { status, created_at: at('09T00:00:00') })));
    expect(await detect()).toEqual([]);
  });
  it('the longest idle first, then tenant and id, over all tenants, up to the limit', async () => {
    await insert(
      worker('b', {}),
      worker('a', {}, 't-b'),
      worker('a', {}),
      worker('z', { created_at: at('10T09:00:00') }, 't-b'),
    );
    expect((await detect()).map(({ tenantId, runId }) => `${tenantId}/${runId}`)).toEqual([
      't-b/z',
      't-a/a',
      't-a/b',
      't-b/a',
    ]);
    expect(idsOf(await detect(30, 2))).toEqual(['z', 'a']);
    expect(idsOf(await detect(121))).toEqual(['z']);
  });
});

describe('markRunAsCrashed', () => {
  const mark = (orphan: OrphanedRun, reason?: string) => markRunAsCrashed(db.manager(), scope, deps, orphan, reason);
  const found = async (): Promise<OrphanedRun> => (await detect())[0] as OrphanedRun;

  it('marks with reason and clock, and leaves success open', async () => {
    await insert(worker('w'));
    const orphan = await found();
    expect(await mark(orphan)).toBe(true);
    expect((await stored('w'))[0]).toMatchObject({
      status: 'crashed',
      error: DEFAULT_CRASH_REASON,
      completed_at: at('10T12:00:00'),
      success: null,
    });
    expect(await mark(orphan)).toBe(false);
  });
  it.each([
    ['F52: completed meanwhile', `UPDATE worker_runs SET status = 'completed', output_json = '{"x":1}'`, 'completed'],
    ['beat meanwhile', `UPDATE worker_runs SET last_seen_at = '2026-03-10T11:31:00Z'`, 'queued'],
  ])('%s: false, untouched', async (_name, change, status) => {
    await insert(worker('w'));
    const orphan = await found();
    await db.manager().query(change);
    const before = await stored('w');
    expect(await mark(orphan)).toBe(false);
    expect(await stored('w')).toEqual(before);
    expect(before[0]?.['status']).toBe(status);
  });
  it("another tenant's run of the same id stays", async () => {
    await insert(worker('w'), worker('w', {}, 't-b'));
    const orphan = (await detect()).find(({ tenantId }) => tenantId === 't-b') as OrphanedRun;
    expect(await mark(orphan, 'gone')).toBe(true);
    const rows = await stored('w');
    expect(rows.map((row) => [row['tenant_id'], row['status']]).sort()).toEqual([
      ['t-a', 'queued'],
      ['t-b', 'crashed'],
    ]);
  });
});

describe('recoverOrphanedRuns', () => {
  it('marks a round in detection order, logs each and one summary, says whether more is left', async () => {
    await insert(
      worker('b'),
      worker('a', { status: 'running' }),
      worker('z', { created_at: at('10T09:00:00') }, 't-b'),
    );
    const logger = memoryLogger();
    const first = await recoverOrphanedRuns(db.manager(), scope, { ...deps, logger }, { limit: 2, reason: 'restart' });
    expect(first).toMatchObject({ detected: 2, recovered: 2, failed: 0, enabled: true, hasMore: true });
    expect(
      first.runs.map(({ runId, originalStatus, markedCrashed }) => [runId, originalStatus, markedCrashed]),
    ).toEqual([
      ['z', 'queued', true],
      ['a', 'running', true],
    ]);
    expect((await stored('a'))[0]).toMatchObject({
      status: 'crashed',
      error: 'restart',
      completed_at: at('10T12:00:00'),
    });
    expect(logger.entries.map((entry) => entry.event)).toEqual([
      'orphan_run_marked_crashed',
      'orphan_run_marked_crashed',
      'orphan_recovery',
    ]);
    expect(logger.entries[2]?.fields).toMatchObject({
      logger: ORPHAN_RECOVERY_LOGGER,
      reason: 'test',
      detected: 2,
      recovered: 2,
    });
    const second = await recoverOrphanedRuns(db.manager(), scope, deps, { limit: 2 });
    expect([idsOf(second.runs), second.hasMore]).toEqual([['b'], false]);
    expect(Object.isFrozen(second.runs)).toBe(true);
  });
  it('F55: disabled: zeros, and no statement', async () => {
    await insert(worker('w'));
    const counter = statementCounter(db.dataSource());
    expect(await recoverOrphanedRuns(db.manager(), scope, deps, { enabled: false })).toEqual({
      detected: 0,
      recovered: 0,
      failed: 0,
      runs: [],
      enabled: false,
      hasMore: false,
    });
    expect(counter.count()).toBe(0);
    await recoverOrphanedRuns(db.manager(), scope, deps);
    expect(counter.count()).toBe(1);
  });
});

describe('getCrashRecoverySummary', () => {
  it('F56: the count, and the newest ten, ties by tenant and id', async () => {
    const crashed = (id: string, completed: Date | null, tenant = 't-a') =>
      worker(id, { status: 'crashed', completed_at: completed, error: 'lost' }, tenant);
    await insert(
      ...Array.from({ length: 9 }, (_, n) => crashed(`w${n}`, at(`10T11:0${n}:00`))),
      crashed('tie', at('10T11:30:00'), 't-b'),
      crashed('tie', at('10T11:30:00')),
      crashed('unknown', null),
    );
    const summary = await getCrashRecoverySummary(db.manager(), scope);
    expect(summary.totalCrashed).toBe(12);
    expect(summary.recentCrashes.map(({ tenantId, runId }) => `${tenantId}/${runId}`)).toEqual([
      't-a/tie',
      't-b/tie',
      ...[8, 7, 6, 5, 4, 3, 2, 1].map((n) => `t-a/w${n}`),
    ]);
    expect(summary.recentCrashes[0]).toEqual({
      runId: 'tie',
      workerId: expect.any(String) as string,
      tenantId: 't-a',
      createdAt: at('10T10:00:00'),
      crashedAt: at('10T11:30:00'),
      error: 'lost',
    });
    const all = await getCrashRecoverySummary(db.manager(), scope, { recentLimit: 100 });
    expect(all.recentCrashes.at(-1)).toMatchObject({ runId: 'unknown', crashedAt: null });
  });
  it('nobody crashed: 0, and none', async () => {
    expect(await getCrashRecoverySummary(db.manager(), scope)).toEqual({ totalCrashed: 0, recentCrashes: [] });
  });
});

describe('housekeeping', () => {
  it("each call is one statement; its results are frozen at every level, a changed cutoff is nobody else's", async () => {
    await insert(worker('a'), worker('b'), worker('c', { status: 'crashed', completed_at: at('10T11:00:00') }));
    const driver = getOrphanRecoveryDriver(db.manager(), deps);
    const counter = statementCounter(db.dataSource());
    const detected = await driver.detect(scope);
    expect(counter.count()).toBe(1);
    const [first, second] = detected as [OrphanedRun, OrphanedRun];
    first.cutoff.setTime(0);
    expect(second.cutoff).toEqual(at('10T11:30:00'));
    expect(await driver.markCrashed(scope, first)).toBe(false);
    expect(counter.count()).toBe(2);
    const round = await driver.recover(scope);
    expect(counter.count()).toBe(3);
    const summary = await driver.summary(scope);
    expect(counter.count()).toBe(4);
    expect(summary.totalCrashed).toBe(3);
    const levels = [detected, first, round, round.runs, round.runs[0], summary, summary.recentCrashes];
    expect([...levels, summary.recentCrashes[0], driver].every((value) => Object.isFrozen(value))).toBe(true);
  });
  it("a rollback undoes it: the orphans are the next one's", async () => {
    await insert(worker('a'), worker('b'));
    const orphan = (await detect())[0] as OrphanedRun;
    await db.manager().query('SAVEPOINT undone');
    await markRunAsCrashed(db.manager(), scope, deps, orphan);
    await recoverOrphanedRuns(db.manager(), scope, deps);
    expect(await detect()).toEqual([]);
    await db.manager().query('ROLLBACK TO SAVEPOINT undone');
    expect(idsOf(await detect())).toEqual(['a', 'b']);
  });
  it('an error of the database propagates: it is no round of zeros', async () => {
    await insert(worker('a'));
    await db.manager().query('ALTER TABLE worker_runs RENAME TO elsewhere');
    await expect(recoverOrphanedRuns(db.manager(), scope, deps)).rejects.toThrow(HocError);
  });
});

describe('bad input', () => {
  const orphan = { tenantId: 't-a', runId: 'w', cutoff: at('10T11:30:00') };
  const bad = (value: unknown): never => value as never;
  it.each([
    ['F54: threshold 0', () => detect(0)],
    ['F54: threshold text', () => detect(bad('30'))],
    ['threshold 43,201', () => detect(43_201)],
    ['threshold 1.5', () => recoverOrphanedRuns(db.manager(), scope, deps, { thresholdMinutes: 1.5 })],
    ['limit 0', () => detect(30, 0)],
    ['limit 10,001', () => recoverOrphanedRuns(db.manager(), scope, deps, { limit: 10_001 })],
    ['enabled text', () => recoverOrphanedRuns(db.manager(), scope, deps, { enabled: bad('yes') })],
    ['reason empty', () => markRunAsCrashed(db.manager(), scope, deps, orphan, '')],
    ['reason long', () => markRunAsCrashed(db.manager(), scope, deps, orphan, 'x'.repeat(CRASH_REASON_MAX + 1))],
    ['run id empty', () => markRunAsCrashed(db.manager(), scope, deps, { ...orphan, runId: '' })],
    ['no run', () => markRunAsCrashed(db.manager(), scope, deps, bad(null))],
    ['no options', () => recoverOrphanedRuns(db.manager(), scope, deps, bad(null))],
    ['run id long', () => markRunAsCrashed(db.manager(), scope, deps, { ...orphan, runId: 'x'.repeat(101) })],
    ['cutoff', () => markRunAsCrashed(db.manager(), scope, deps, { ...orphan, cutoff: bad('now') })],
    ['recent 0', () => getCrashRecoverySummary(db.manager(), scope, { recentLimit: 0 })],
    ['recent 101', () => getCrashRecoverySummary(db.manager(), scope, { recentLimit: 101 })],
  ])('%s: INVALID_ARGUMENT before any statement', async (_name, ask) => {
    const counter = statementCounter(db.dataSource());
    await expect(ask()).rejects.toThrow(InvalidArgumentError);
    expect(counter.count()).toBe(0);
  });
  it.each([undefined, null, {}, { kind: 'system', reason: 'by hand' }, 't-a'])(
    'scope %j: TENANT_SCOPE',
    async (given) => {
      const none = given as SystemScope;
      const driver = getOrphanRecoveryDriver(db.manager(), deps);
      const counter = statementCounter(db.dataSource());
      for (const ask of [
        () => driver.detect(none),
        () => driver.markCrashed(none, orphan),
        () => driver.recover(none, { enabled: false }),
        () => driver.summary(none),
      ])
        await expect(ask()).rejects.toThrow(TenantScopeError);
      expect(counter.count()).toBe(0);
    },
  );
  it.each([undefined, null, '', ' ', 'x'.repeat(101), 7, 'a\0b', '\ud800'])(
    'the tenant %j of a mark: TENANT_SCOPE',
    async (tenant) => {
      const counter = statementCounter(db.dataSource());
      const ask = markRunAsCrashed(db.manager(), scope, deps, { ...orphan, tenantId: bad(tenant) });
      await expect(ask).rejects.toThrow(TenantScopeError);
      expect(counter.count()).toBe(0);
    },
  );
  it('a run id is no SQL: none has it, and the table stands', async () => {
    await insert(worker('w'));
    const runId = `"'; DROP TABLE worker_runs; --"`;
    expect(await markRunAsCrashed(db.manager(), scope, deps, { ...orphan, runId })).toBe(false);
    expect(idsOf(await detect())).toEqual(['w']);
  });
  it('states what it does to the world', () => {
    expect([FEATURE_INTENT, RETRY_POLICY]).toEqual(['state_mutation', 'safe']);
  });
});
