import { inspect } from 'node:util';
import { HocError, systemClock } from '@hoc/shared/kernel';
import { run, statement } from '@hoc/shared/drivers';
import { entities, migrations } from '@hoc/shared/models';
import { makeTenant } from '@hoc/shared/testing';
import { insertRows, statementCounter, tcpProxy, useFreshDatabase, waitFor } from '@hoc/testkit';
import type { EntityManager } from 'typeorm';
import { createHocDataSource } from './data-source';
import { checkHealth } from './health';
import { ensureImportTarget } from './import-target';
import { unitOfWork, withSavepoint, withTransaction } from './transaction';

const db = useFreshDatabase({ entities, migrations });
const failure = async (work: Promise<unknown>): Promise<HocError> => {
  try {
    await work;
  } catch (error) {
    if (HocError.is(error)) return error;
    throw error;
  }
  throw new Error('no error');
};
const raise = (manager: EntityManager, sqlstate: string) =>
  manager.query(`DO $$ BEGIN RAISE EXCEPTION 'secret' USING ERRCODE = '${sqlstate}'; END $$`);
const tenants = async (): Promise<number> => {
  const rows: { n: number }[] = await db.dataSource().query('SELECT count(*)::int AS n FROM tenants');
  return rows[0]?.n ?? -1;
};
/** Delays as they were asked for, without waiting. */
const recorded = (delays: number[]) => ({ random: () => 0.5, sleep: async (ms: number) => void delays.push(ms) });

describe('withTransaction', () => {
  it('commits what the work wrote, and rolls back on a throw', async () => {
    await withTransaction(db.dataSource(), (m) => insertRows(m, makeTenant({ id: 'kept' })));
    const error = await failure(
      withTransaction(db.dataSource(), async (m) => {
        await insertRows(m, makeTenant({ id: 'lost' }));
        throw new Error('SELECT secret');
      }),
    );
    expect([error.code, error.details]).toEqual(['INTERNAL', { reason: 'unknown' }]);
    expect(inspect(error)).not.toContain('secret');
    expect(await tenants()).toBe(1);
  });

  it('F9: runs the whole work again on a serialization failure, after a jittered delay', async () => {
    const delays: number[] = [];
    let runs = 0;
    const result = await withTransaction(
      db.dataSource(),
      async (m, attempt) => {
        runs += 1;
        expect(attempt).toBe(runs);
        await insertRows(m, makeTenant({ id: 'once' }));
        if (runs < 3) await raise(m, '40001');
        return 7;
      },
      recorded(delays),
    );
    expect([result, runs, delays]).toEqual([7, 3, [10, 20]]);
    expect(await tenants()).toBe(1);
  });

  it.each(['40001', '40P01'])('F10: gives up after four runs on %s, and nothing is written', async (sqlstate) => {
    const delays: number[] = [];
    let runs = 0;
    const error = await failure(
      withTransaction(
        db.dataSource(),
        async (m) => {
          runs += 1;
          await insertRows(m, makeTenant({ id: 'never' }));
          await raise(m, sqlstate);
        },
        recorded(delays),
      ),
    );
    expect(error).toMatchObject({ code: 'UNAVAILABLE', retryable: true, details: { attempts: 4 } });
    expect([runs, delays, await tenants()]).toEqual([4, [10, 20, 40], 0]);
  });

  it('runs other errors once', async () => {
    let runs = 0;
    for (const sqlstate of ['23505', '57014', '55P03', '22P02'])
      await failure(
        withTransaction(db.dataSource(), (m) => {
          runs += 1;
          return raise(m, sqlstate);
        }),
      );
    expect(runs).toBe(4);
  });

  it('8 serializable increments of one row by 50: none is lost', async () => {
    await insertRows(db.dataSource().manager, makeTenant({ id: 'counter', runs_today: 0 }));
    let retries = 0;
    const sources = await db.connections(8);
    await Promise.all(
      sources.map(async (source) => {
        for (let i = 0; i < 50; i += 1)
          await withTransaction(
            source,
            async (m, attempt) => {
              if (attempt > 1) retries += 1;
              const [row]: { n: number }[] = await m.query("SELECT runs_today AS n FROM tenants WHERE id = 'counter'");
              await m.query("UPDATE tenants SET runs_today = $1 WHERE id = 'counter'", [(row?.n ?? 0) + 1]);
            },
            // Later each time: a machine that is slower than the delays would let all eight meet again and again.
            { isolation: 'SERIALIZABLE', maxAttempts: 100, baseDelayMs: 1, maxDelayMs: 400 },
          );
      }),
    );
    const [row]: { n: number }[] = await db
      .dataSource()
      .query("SELECT runs_today AS n FROM tenants WHERE id = 'counter'");
    expect(row?.n).toBe(400);
    expect(retries).toBeGreaterThan(0);
  });

  it('a work that swallows a database error has lost its transaction, and is told', async () => {
    const error = await failure(
      withTransaction(db.dataSource(), async (m) => {
        await insertRows(m, makeTenant({ id: 'lost' }));
        await raise(m, '23505').catch(() => undefined);
        return 'looks fine';
      }),
    );
    expect(error).toMatchObject({ code: 'UNAVAILABLE', retryable: false, details: { reason: 'aborted_transaction' } });
    expect(await tenants()).toBe(0);
  });

  it('a connection lost during COMMIT: the outcome is unknown, and nothing is repeated', async () => {
    const proxy = await tcpProxy(db.url());
    const source = createHocDataSource({ url: proxy.url, applicationName: 'lost', entities, migrations });
    await source.initialize();
    let runs = 0;
    const error = await failure(
      withTransaction(source, async (m) => {
        runs += 1;
        await insertRows(m, makeTenant({ id: 'perhaps' }));
        const committed = async (): Promise<boolean> => (await tenants()) === 1;
        proxy.onClientData((chunk) => {
          if (chunk.includes('COMMIT')) void waitFor(committed, 'the server has committed').finally(proxy.drop);
        });
        proxy.freezeReplies();
      }),
    );
    expect(error).toMatchObject({ code: 'UNAVAILABLE', retryable: false, details: { outcome: 'unknown' } });
    expect(runs).toBe(1);
    expect(await tenants()).toBe(1);
    await source.destroy();
    await proxy.close();
  });

  it('an aborted signal stops before the start and between attempts', async () => {
    const abort = new AbortController();
    let runs = 0;
    const work = withTransaction(
      db.dataSource(),
      async (m) => {
        runs += 1;
        await raise(m, '40001');
      },
      { signal: abort.signal, sleep: async () => abort.abort() },
    );
    expect(await failure(work)).toMatchObject({ code: 'UNAVAILABLE', details: { reason: 'aborted' } });
    await failure(withTransaction(db.dataSource(), async () => (runs += 1), { signal: abort.signal }));
    expect(runs).toBe(1);
  });

  it('settings hold for the transaction alone', async () => {
    const shown = (m: EntityManager) =>
      m.query(
        "SELECT current_setting('statement_timeout') AS s, current_setting('transaction_read_only') AS r, current_setting('transaction_isolation') AS i",
      );
    const options = {
      statementTimeoutMs: 54_321,
      lockTimeoutMs: 77,
      readOnly: true,
      isolation: 'REPEATABLE READ',
    } as const;
    expect(await withTransaction(db.dataSource(), shown, options)).toEqual([
      { s: '54321ms', r: 'on', i: 'repeatable read' },
    ]);
    expect(await withTransaction(db.dataSource(), shown)).toEqual([{ s: '1min', r: 'off', i: 'read committed' }]);
    const slow = withTransaction(db.dataSource(), (m) => m.query('SELECT pg_sleep(600)'), { statementTimeoutMs: 20 });
    expect(await failure(slow)).toMatchObject({
      code: 'UNAVAILABLE',
      retryable: true,
      details: { reason: 'statement_timeout' },
    });
    const write = withTransaction(db.dataSource(), (m) => insertRows(m, makeTenant()), { readOnly: true });
    expect(await failure(write)).toMatchObject({ details: { reason: 'read_only' } });
  });

  it('a manager kept beyond its work is refused', async () => {
    let kept: EntityManager | undefined;
    await withTransaction(db.dataSource(), async (m) => void (kept = m));
    const query = run(kept!, statement('late', 'SELECT 1'), []);
    await expect(query).rejects.toMatchObject({ code: 'TRANSACTION_REQUIRED' });
  });

  it('gives every connection back, also of failed works', async () => {
    for (let i = 0; i < 15; i += 1) await failure(withTransaction(db.dataSource(), (m) => raise(m, '23505')));
    const { poolTotal, poolIdle, poolWaiting } = await checkHealth(db.dataSource());
    expect(poolTotal).toBe(poolIdle);
    expect(poolWaiting).toBe(0);
  });
});

describe('a manager in a transaction', () => {
  it('makes a savepoint: a throw undoes the inner work alone', async () => {
    const counter = statementCounter(db.dataSource());
    await withTransaction(db.dataSource(), async (outer) => {
      await insertRows(outer, makeTenant({ id: 'outer' }));
      await failure(
        withTransaction(outer, async (inner) => {
          await insertRows(inner, makeTenant({ id: 'inner' }));
          await raise(inner, '23505');
        }),
      );
      await withSavepoint(outer, (inner) => insertRows(inner, makeTenant({ id: 'second' })));
    });
    expect(await tenants()).toBe(2);
    expect(counter.all().filter(({ text }) => /^SAVEPOINT/.test(text))).toHaveLength(2);
    expect(counter.all().filter(({ text }) => /^COMMIT/.test(text))).toHaveLength(1);
  });

  it('does not retry inside: the outermost call does', async () => {
    const runs: string[] = [];
    await withTransaction(
      db.dataSource(),
      async (outer, attempt) => {
        runs.push(`outer ${attempt}`);
        await withTransaction(outer, async (inner) => {
          runs.push('inner');
          if (attempt === 1) await raise(inner, '40001');
        });
      },
      recorded([]),
    );
    expect(runs).toEqual(['outer 1', 'inner', 'outer 2', 'inner']);
  });

  it.each([
    { isolation: 'SERIALIZABLE' as const },
    { readOnly: true },
    { statementTimeoutMs: 5 },
    { lockTimeoutMs: 5 },
  ])('refuses %p', async (options) => {
    const work = withTransaction(db.dataSource(), (m) => withTransaction(m, async () => 1, options));
    expect(await failure(work)).toMatchObject({ code: 'INVALID_ARGUMENT', details: { reason: 'nested' } });
  });

  it('withSavepoint needs a transaction', async () => {
    expect(await failure(withSavepoint(db.dataSource().manager, async () => 1))).toMatchObject({
      code: 'TRANSACTION_REQUIRED',
    });
    expect(await withTransaction(db.dataSource().manager, async () => 5)).toBe(5);
    expect(await unitOfWork(db.dataSource())(async () => 6)).toBe(6);
  });
});

describe('createHocDataSource', () => {
  it('sets the session, hides the password, and reads no environment', async () => {
    const url = new URL(db.url());
    url.password = 'hunter2';
    const source = createHocDataSource({
      url: url.toString(),
      applicationName: 'my app\\x',
      statementTimeoutMs: 4321,
      schema: 'public',
      entities,
      migrations,
    });
    expect(inspect(source, { depth: 9 })).not.toContain('hunter2');
    await source.initialize();
    const [row]: Record<string, string>[] = await source.query(
      "SELECT current_setting('TimeZone') AS tz, current_setting('application_name') AS app, current_setting('statement_timeout') AS st, current_setting('lock_timeout') AS lt, current_setting('idle_in_transaction_session_timeout') AS it, current_setting('search_path') AS sp",
    );
    expect(row).toEqual({ tz: 'UTC', app: 'my app\\x', st: '4321ms', lt: '5s', it: '1min', sp: '"public",public' });
    await source.destroy();
  });

  it.each([
    ['no name', { applicationName: '' }],
    ['an entity twice', { entities: [...entities, entities[0]!] }],
    ['a migration twice', { migrations: [...migrations, migrations[0]!] }],
    ['a pool of 0', { poolSize: 0 }],
    ['a fractional time-out', { lockTimeoutMs: 1.5 }],
  ])('refuses %s', (_name, change) => {
    expect(() => createHocDataSource({ url: db.url(), applicationName: 'x', entities, migrations, ...change })).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
    );
  });
});

describe('checkHealth', () => {
  it('tells version, latency and the pool', async () => {
    expect(await checkHealth(db.dataSource())).toMatchObject({
      ok: true,
      serverVersion: expect.stringMatching(/^\d+/),
      pendingMigrations: [],
      error: null,
      latencyMs: expect.any(Number),
    });
  });
  it('never throws, and says no address', async () => {
    const gone = createHocDataSource({
      url: 'postgresql://nobody:hunter2@127.0.0.1:1/none',
      applicationName: 'x',
      entities,
      migrations,
    });
    const report = await checkHealth(gone);
    expect(report).toMatchObject({ ok: false, serverVersion: null, error: { code: 'UNAVAILABLE' } });
    expect(JSON.stringify(report)).not.toMatch(/hunter2|127/);
  });
});

describe('ensureImportTarget', () => {
  const deps = { clock: systemClock() };
  it('makes what is missing, once, also for two at the same time', async () => {
    const target = { tenantId: 'Team A', integrationId: 'main' };
    const [a, b] = await db.connections(2);
    const results = await Promise.all([a!, b!].map((source) => ensureImportTarget(source.manager, target, deps)));
    expect(results.filter(({ tenantCreated }) => tenantCreated)).toHaveLength(1);
    expect(results.filter(({ integrationCreated }) => integrationCreated)).toHaveLength(1);
    expect(await ensureImportTarget(db.dataSource().manager, target, deps)).toEqual({
      tenantCreated: false,
      integrationCreated: false,
    });
    expect(
      (await ensureImportTarget(db.dataSource().manager, { ...target, tenantId: 'team a' }, deps)).tenantCreated,
    ).toBe(true);
    const slugs: { slug: string }[] = await db.dataSource().query('SELECT slug FROM tenants ORDER BY id');
    expect(slugs.map(({ slug }) => slug)).toEqual([
      expect.stringMatching(/^team-a-[0-9a-f]{8}$/),
      expect.stringMatching(/^team-a-[0-9a-f]{8}$/),
    ]);
  });
  it('says that another integration has the name', async () => {
    await ensureImportTarget(
      db.dataSource().manager,
      { tenantId: 't', integrationId: 'one', integrationName: 'Same' },
      deps,
    );
    const work = ensureImportTarget(
      db.dataSource().manager,
      { tenantId: 't', integrationId: 'two', integrationName: 'Same' },
      deps,
    );
    expect(await failure(work)).toMatchObject({ code: 'CONFLICT', details: { field: 'integrationName' } });
  });
  it('refuses bad ids', async () => {
    expect(
      await failure(ensureImportTarget(db.dataSource().manager, { tenantId: '', integrationId: 'i' }, deps)),
    ).toMatchObject({ code: 'TENANT_SCOPE' });
    expect(
      await failure(ensureImportTarget(db.dataSource().manager, { tenantId: 't', integrationId: '' }, deps)),
    ).toMatchObject({ code: 'INVALID_ARGUMENT' });
  });
});
