import { catalogue, entities, migrations } from '@hoc/shared/models';
import { useEmptyDatabase } from '@hoc/testkit';
import { checkDrift, type DriftItem } from './drift';
import { runMigrations } from './migrations';

const db = useEmptyDatabase({ entities, migrations });
const found = async (): Promise<string[]> =>
  (await checkDrift(db.dataSource())).items.map(({ kind, table, object }: DriftItem) =>
    [kind, table, object].join(' '),
  );

beforeAll(async () => {
  const before = await found();
  expect(before.filter((text) => text.startsWith('pending_migration'))).toHaveLength(migrations.length);
  expect(before.filter((text) => text.startsWith('missing_table'))).toHaveLength(catalogue.length);
  await runMigrations(db.dataSource());
});

describe('checkDrift', () => {
  it('finds nothing after the migrations, and leaves nothing behind', async () => {
    expect(await checkDrift(db.dataSource())).toEqual({ ok: true, items: [] });
    expect(
      await db
        .dataSource()
        .query("SELECT relname FROM pg_class WHERE relnamespace = pg_my_temp_schema() AND relkind = 'r'"),
    ).toEqual([]);
  });

  it.each([
    ['type', 'ALTER TABLE runs ALTER attempts TYPE bigint', 'type runs attempts'],
    ['nullability', 'ALTER TABLE runs ALTER goal DROP NOT NULL', 'nullability runs goal'],
    ['default', "ALTER TABLE runs ALTER status SET DEFAULT 'running'", 'default runs status'],
    ['default', 'ALTER TABLE cus_usage_daily ALTER total_calls DROP DEFAULT', 'default cus_usage_daily total_calls'],
    [
      'generated',
      'ALTER TABLE cus_usage_daily ALTER avg_latency_ms DROP EXPRESSION',
      'generated cus_usage_daily avg_latency_ms',
    ],
    ['collation', 'ALTER TABLE tenants ALTER name TYPE text COLLATE "C"', 'collation tenants name'],
    ['missing column', 'ALTER TABLE incidents DROP COLUMN resolved_by', 'missing_column incidents resolved_by'],
    ['extra column', 'ALTER TABLE runs ADD COLUMN mine text', 'extra_column runs mine'],
    ['missing index', 'DROP INDEX ix_runs_tenant_agent', 'missing_index runs ix_runs_tenant_agent'],
    ['extra index', 'CREATE INDEX ix_mine ON runs (goal)', 'extra_index runs ix_mine'],
    [
      'partial predicate',
      "DROP INDEX ix_worker_runs_crashed; CREATE INDEX ix_worker_runs_crashed ON worker_runs (completed_at DESC NULLS LAST, tenant_id, id) WHERE status = 'failed'",
      'index_definition worker_runs ix_worker_runs_crashed',
    ],
    [
      'expression index',
      'DROP INDEX ix_runs_tenant_duration; CREATE INDEX ix_runs_tenant_duration ON runs (tenant_id, (COALESCE(duration_ms, 0)) DESC, id DESC)',
      'index_definition runs ix_runs_tenant_duration',
    ],
    ['missing check', 'ALTER TABLE runs DROP CONSTRAINT ck_runs_actor', 'missing_check runs ck_runs_actor'],
    ['extra check', "ALTER TABLE runs ADD CONSTRAINT ck_mine CHECK (goal <> '')", 'extra_check runs ck_mine'],
    [
      'check',
      'ALTER TABLE runs DROP CONSTRAINT ck_runs_attempts, ADD CONSTRAINT ck_runs_attempts CHECK (attempts >= 1)',
      'check_definition runs ck_runs_attempts',
    ],
    [
      'missing foreign key',
      'ALTER TABLE runs DROP CONSTRAINT fk_runs_tenant',
      'missing_foreign_key runs fk_runs_tenant',
    ],
    [
      'extra foreign key',
      'ALTER TABLE incidents ADD CONSTRAINT fk_mine FOREIGN KEY (tenant_id, run_id) REFERENCES runs',
      'extra_foreign_key incidents fk_mine',
    ],
    [
      'foreign key',
      'ALTER TABLE runs DROP CONSTRAINT fk_runs_tenant, ADD CONSTRAINT fk_runs_tenant FOREIGN KEY (tenant_id) REFERENCES tenants ON DELETE CASCADE',
      'foreign_key_definition runs fk_runs_tenant',
    ],
    [
      'missing trigger',
      'DROP TRIGGER worker_runs_immutable_guard ON worker_runs',
      'missing_trigger worker_runs worker_runs_immutable_guard',
    ],
    [
      'disabled trigger',
      'ALTER TABLE worker_runs DISABLE TRIGGER worker_runs_immutable_guard',
      'missing_trigger worker_runs worker_runs_immutable_guard',
    ],
    [
      'function',
      'CREATE OR REPLACE FUNCTION hoc_worker_runs_guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$',
      'missing_function worker_runs hoc_worker_runs_guard',
    ],
    [
      'unknown migration',
      "INSERT INTO hoc_migrations (timestamp, name) VALUES (1700000000039, 'Later1700000000039')",
      'unknown_migration  Later1700000000039',
    ],
    [
      'pending migration',
      "DELETE FROM hoc_migrations WHERE name LIKE 'SharedLimits%'",
      'pending_migration  SharedLimits1700000000021',
    ],
  ])('names a change of the %s', async (_kind, change, expected) => {
    // Made and undone on the DataSource: the check has a connection of its own.
    const runner = db.dataSource().createQueryRunner();
    try {
      await runner.query(change);
      expect(await found()).toContain(expected);
    } finally {
      await runner.release();
      await anew();
    }
    expect(await found()).toEqual([]);
  });

  it('ignores tables that nobody declares, and a migration of the consumer', async () => {
    await db.dataSource().query('CREATE TABLE mine (id int)');
    await db
      .dataSource()
      .query("INSERT INTO hoc_migrations (timestamp, name) VALUES (1800000000000, 'Mine1800000000000')");
    expect(await found()).toEqual([]);
    await db.dataSource().query("DELETE FROM hoc_migrations WHERE name = 'Mine1800000000000'");
  });

  it('down to nothing and up again is the same catalogue', async () => {
    const last = migrations.at(-1)!.name;
    const { applied } = await runMigrations(db.dataSource(), { direction: 'down' });
    expect(applied).toEqual([last]);
    while ((await runMigrations(db.dataSource(), { direction: 'down' })).applied.length > 0);
    const left: unknown[] = await db
      .dataSource()
      .query(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename NOT IN ('mine', 'hoc_migrations')",
      );
    expect(left).toEqual([]);
    expect(await db.dataSource().query("SELECT proname FROM pg_proc WHERE proname LIKE 'hoc\\_%'")).toEqual([]);
    expect((await runMigrations(db.dataSource())).applied).toEqual(migrations.map(({ name }) => name));
    expect(await found()).toEqual([]);
  });
});

/** The quickest undo of any DDL: migrate anew. */
async function anew(): Promise<void> {
  await db.dataSource().query('DROP SCHEMA public CASCADE; CREATE SCHEMA public');
  await runMigrations(db.dataSource());
}
