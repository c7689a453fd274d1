import { createHoc } from '@hoc/shared/spine';
import { useEmptyDatabase } from '@hoc/testkit';
import { activityModule } from './activity.module';

const db = useEmptyDatabase({ entities: [], migrations: [] });
let hoc: ReturnType<typeof connect>;
const connect = () => createHoc({ connection: { url: db.url(), applicationName: 'drift' }, modules: [activityModule] });
const found = async (): Promise<string[]> =>
  (await hoc.checkDrift()).items.map(({ kind, table, object }) => [kind, table, object].join(' '));
const tables = async (): Promise<string[]> => {
  const rows: { name: string }[] = await db
    .dataSource()
    .query(`SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public' ORDER BY 1`);
  return rows.map(({ name }) => name);
};

// A describe of its own: its hooks end before the database looks for connections that were left open.
describe('the tables of the package', () => {
  beforeAll(async () => {
    hoc = connect();
    expect((await found()).filter((text) => /signal_feedback|SignalFeedback/.test(text))).toEqual([
      'pending_migration  ActivitySignalFeedback1700000001001',
      'missing_table signal_feedback signal_feedback',
    ]);
    await hoc.migrate();
  });
  afterAll(() => hoc.close());

  it('after the migrations, the tables of the package are what its entities and its catalogue say', async () => {
    expect(await hoc.checkDrift()).toEqual({ ok: true, items: [] });
    expect(await tables()).toContain('signal_feedback');
  });

  it.each([
    [
      'a missing index',
      'DROP INDEX ix_signal_feedback_expiry',
      'missing_index signal_feedback ix_signal_feedback_expiry',
    ],
    [
      'a partial predicate',
      `DROP INDEX ix_signal_feedback_expiry;
     CREATE INDEX ix_signal_feedback_expiry ON signal_feedback (expires_at, tenant_id, id) WHERE feedback_state = 'EVALUATED'`,
      'index_definition signal_feedback ix_signal_feedback_expiry',
    ],
    [
      'the direction of an index',
      `DROP INDEX ix_signal_feedback_latest;
     CREATE INDEX ix_signal_feedback_latest ON signal_feedback (tenant_id, signal_fingerprint, created_at, id)`,
      'index_definition signal_feedback ix_signal_feedback_latest',
    ],
    [
      'a CHECK',
      'ALTER TABLE signal_feedback DROP CONSTRAINT ck_signal_feedback_suppression',
      'missing_check signal_feedback ck_signal_feedback_suppression',
    ],
    [
      'a value list',
      `ALTER TABLE signal_feedback DROP CONSTRAINT ck_signal_feedback_feedback_state,
       ADD CONSTRAINT ck_signal_feedback_feedback_state CHECK (feedback_state IN ('ACKNOWLEDGED', 'SUPPRESSED', 'REOPENED', 'EVALUATED', 'SNOOZED'))`,
      'check_definition signal_feedback ck_signal_feedback_feedback_state',
    ],
    [
      'a foreign key',
      `ALTER TABLE signal_feedback DROP CONSTRAINT fk_signal_feedback_tenant,
       ADD CONSTRAINT fk_signal_feedback_tenant FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE`,
      'foreign_key_definition signal_feedback fk_signal_feedback_tenant',
    ],
    ['nullability', 'ALTER TABLE signal_feedback ALTER actor_id DROP NOT NULL', 'nullability signal_feedback actor_id'],
    [
      'a collation',
      'ALTER TABLE signal_feedback ALTER actor_id TYPE text COLLATE "default"',
      'collation signal_feedback actor_id',
    ],
    ['a column', 'ALTER TABLE signal_feedback ADD COLUMN note text', 'extra_column signal_feedback note'],
  ])('%s that was changed by hand is named', async (_what, change, expected) => {
    await db.dataSource().query(change);
    try {
      expect(await found()).toEqual([expected]);
    } finally {
      await hoc.migrate({ direction: 'down' });
      await hoc.migrate();
    }
    expect(await found()).toEqual([]);
  });

  it('its migration goes down to the shared tables alone, and up to the same catalogue again', async () => {
    const all = await tables();
    expect(await hoc.migrate({ direction: 'down' })).toEqual({ applied: ['ActivitySignalFeedback1700000001001'] });
    expect(await tables()).toEqual(all.filter((name) => name !== 'signal_feedback'));
    expect(await hoc.migrate()).toEqual({ applied: ['ActivitySignalFeedback1700000001001'] });
    expect(await tables()).toEqual(all);
    expect(await found()).toEqual([]);
  });
});
