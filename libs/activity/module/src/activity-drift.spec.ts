import { createHoc } from '@hoc/shared/spine';
import { useEmptyDatabase } from '@hoc/testkit';
import { activityModule } from './activity.module';

const db = useEmptyDatabase({ entities: [], migrations: [] });

describe('the tables of the package', () => {
  it('are what entities and catalogue say after the migrations, and a missing index is told', async () => {
    const hoc = createHoc({ connection: { url: db.url(), applicationName: 'drift' }, modules: [activityModule] });
    try {
      await hoc.migrate();
      expect(await hoc.checkDrift()).toEqual({ ok: true, items: [] });
      await db.dataSource().query('DROP INDEX ix_signal_feedback_expiry');
      const { ok, items } = await hoc.checkDrift();
      expect([ok, items.map((item) => JSON.stringify(item)).join()]).toEqual([
        false,
        expect.stringContaining('ix_signal_feedback_expiry') as string,
      ]);
    } finally {
      await hoc.close();
    }
  });

  it('its own migration takes back what it made', async () => {
    const [Migration] = activityModule.migrations;
    expect(Migration?.name).toBe('ActivitySignalFeedback1700000001001');
    const hoc = createHoc({ connection: { url: db.url(), applicationName: 'drift' }, modules: [activityModule] });
    await hoc.migrate();
    await hoc.close();
    const migration = new (Migration as new () => { down(runner: unknown): Promise<void> })();
    const runner = db.dataSource().createQueryRunner();
    await migration.down(runner);
    await runner.release();
    const left: unknown = await db.dataSource().query(`SELECT to_regclass('signal_feedback') AS name`);
    expect(left).toEqual([{ name: null }]);
  });
});
