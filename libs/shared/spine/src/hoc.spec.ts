import type { DriverDeps } from '@hoc/shared/kernel';
import { catalogue, entities, migrations } from '@hoc/shared/models';
import { fixedClock, sequentialIds } from '@hoc/shared/testing';
import { asAdmin, useEmptyDatabase } from '@hoc/testkit';
import { createHocDataSource } from './data-source';
import { createHoc } from './hoc';
import type { HocModule } from './hoc-module';
import { runMigrations } from './migrations';

const db = useEmptyDatabase({ entities, migrations });
const log: string[] = [];

/** A module that says what it was given. */
function probe<Name extends string>(name: Name, more: { requires?: readonly string[] } = {}) {
  const module: HocModule<
    Name,
    { whoami: () => string },
    { ping: () => Promise<number>; close: () => Promise<void> },
    DriverDeps
  > = {
    name,
    requires: more.requires ?? [],
    entities: [],
    migrations: [],
    compose: (manager, deps) => ({
      whoami: () =>
        `${name} ${String(manager.queryRunner?.isTransactionActive)} ${deps.clock.now().getTime()} ${deps.ids.next()}`,
    }),
    services: (run) => ({
      ping: () => run(async (manager) => ((await manager.query('SELECT 42 AS n')) as { n: number }[])[0]?.n ?? 0),
      close: async () => void log.push(`close ${name}`),
    }),
  };
  return module;
}
const connection = () => ({ url: db.url(), applicationName: 'hoc' });

describe('createHoc', () => {
  it('migrates, checks, runs transactions with every module, and closes the last module first', async () => {
    const hoc = createHoc({
      connection: connection(),
      modules: [probe('alpha'), probe('beta', { requires: ['alpha'] })],
      clock: fixedClock(new Date(7)),
      ids: sequentialIds('x'),
    });
    expect((await hoc.health()).pendingMigrations).toHaveLength(migrations.length);
    expect((await hoc.migrate()).applied).toHaveLength(migrations.length);
    expect((await hoc.migrate()).applied).toEqual([]);
    expect(await hoc.checkDrift()).toEqual({ ok: true, items: [] });
    expect(catalogue.length).toBe(entities.length);
    expect(await hoc.transaction(async ({ alpha, beta, attempt }) => [alpha.whoami(), beta.whoami(), attempt])).toEqual(
      ['alpha true 7 x-000001', 'beta true 7 x-000002', 1],
    );
    expect(await hoc.services.beta.ping()).toBe(42);
    const closing = hoc.close();
    expect(hoc.close()).toBe(closing);
    await closing;
    expect(log).toEqual(['close beta', 'close alpha']);
    await expect(hoc.transaction(async () => 1)).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      retryable: false,
      details: { reason: 'closed' },
    });
    expect(hoc.dataSource.isInitialized).toBe(false);
  });

  it('a service that is used before any transaction opens the connections itself', async () => {
    const hoc = createHoc({ connection: connection(), modules: [probe('alpha')] });
    expect(await Promise.all([hoc.services.alpha.ping(), hoc.services.alpha.ping()])).toEqual([42, 42]);
    await hoc.close();
    expect(hoc.dataSource.isInitialized).toBe(false);
  });

  it('a database that is not there is an UnavailableError that says no address, and the next call tries again', async () => {
    const gone = { url: 'postgresql://nobody:hunter2@127.0.0.1:1/none', applicationName: 'hoc' };
    const hoc = createHoc({ connection: gone, modules: [probe('a')] });
    for (const call of [
      () => hoc.transaction(async () => 1),
      () => hoc.services.a.ping(),
      () => hoc.migrate(),
      () => hoc.transaction(async () => 1),
    ]) {
      const error: unknown = await call().catch((reason: unknown) => reason);
      expect(error).toMatchObject({ code: 'UNAVAILABLE', retryable: true, details: { reason: 'connection' } });
      expect(JSON.stringify(error)).not.toMatch(/hunter2|127/);
    }
    await hoc.close();
  });
  it('leaves a DataSource that it was given open', async () => {
    const dataSource = createHocDataSource({ ...connection(), entities, migrations });
    const hoc = createHoc({ dataSource, modules: [probe('alpha')] });
    expect(await hoc.transaction(async ({ manager }) => manager.query('SELECT 1 AS one'))).toEqual([{ one: 1 }]);
    await hoc.close();
    expect(dataSource.isInitialized).toBe(true);
    await dataSource.destroy();
  });

  it('refuses doubles, a missing requirement, and a DataSource without the tables', () => {
    const modules =
      (...list: ReturnType<typeof probe>[]) =>
      () =>
        createHoc({ connection: connection(), modules: list });
    expect(modules(probe('a'), probe('a'))).toThrow(
      expect.objectContaining({
        code: 'INVALID_ARGUMENT',
        details: expect.objectContaining({ reason: 'double' }) as object,
      }),
    );
    expect(modules(probe('b', { requires: ['a'] }))).toThrow(
      expect.objectContaining({ details: expect.objectContaining({ reason: 'requires', names: ['a'] }) as object }),
    );
    const bare = createHocDataSource({ ...connection(), entities: entities.slice(1), migrations });
    expect(() => createHoc({ dataSource: bare, modules: [] })).toThrow(
      expect.objectContaining({
        details: expect.objectContaining({ reason: 'data_source', names: ['TenantEntity'] }) as object,
      }),
    );
  });
});

describe('runMigrations', () => {
  beforeEach(() => asAdmin((client) => client.query('DROP SCHEMA public CASCADE; CREATE SCHEMA public'), db.url()));

  it('three at once: each migration is applied once, and all three resolve', async () => {
    const sources = await db.connections(3);
    const results = await Promise.all(sources.map((source) => runMigrations(source)));
    expect(results.flatMap(({ applied }) => applied).sort()).toEqual(migrations.map(({ name }) => name).sort());
    const rows: { n: number }[] = await db.dataSource().query('SELECT count(*)::int AS n FROM hoc_migrations');
    expect(rows[0]?.n).toBe(migrations.length);
  });

  it('goes up and down to a name', async () => {
    const names = migrations.map(({ name }) => name);
    const [third = '', fifth = ''] = [names[2], names[4]];
    const seen: string[] = [];
    expect(
      (
        await runMigrations(db.dataSource(), {
          to: fifth,
          onProgress: ({ name, index, total }) => seen.push(`${name} ${index} ${total}`),
        })
      ).applied,
    ).toEqual(names.slice(0, 5));
    expect(seen).toEqual(names.slice(0, 5).map((name, index) => `${name} ${index} 5`));
    expect((await runMigrations(db.dataSource(), { direction: 'down', to: third })).applied).toEqual([
      names[4],
      names[3],
    ]);
    await expect(runMigrations(db.dataSource(), { to: 'Nope1700000000001' })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
  });

  it('refuses a database that is ahead of this code, before any change; a consumer’s migration is its own', async () => {
    await runMigrations(db.dataSource(), { to: migrations[0]!.name });
    await db
      .dataSource()
      .query("INSERT INTO hoc_migrations (timestamp, name) VALUES (1800000000000, 'Mine1800000000000')");
    await runMigrations(db.dataSource(), { to: migrations[1]!.name });
    await db
      .dataSource()
      .query("INSERT INTO hoc_migrations (timestamp, name) VALUES (1700000000039, 'Later1700000000039')");
    await expect(runMigrations(db.dataSource())).rejects.toMatchObject({
      code: 'DATA_INTEGRITY',
      details: { reason: 'unknown_migration', migrations: ['Later1700000000039'] },
    });
  });

  it('a failing migration leaves nothing of itself', async () => {
    await db.dataSource().query('CREATE TABLE runs (id int)');
    await expect(runMigrations(db.dataSource())).rejects.toMatchObject({ name: 'HocError' });
    const rows: { name: string }[] = await db.dataSource().query('SELECT name FROM hoc_migrations');
    expect(rows.map(({ name }) => name)).toEqual(['SharedTenants1700000000001']);
    await db.dataSource().query('DROP TABLE runs');
    expect((await runMigrations(db.dataSource())).applied).toHaveLength(migrations.length - 1);
  });
});
