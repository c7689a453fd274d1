import { HOC_MIGRATION_RANGES, isHocMigration, migrationNumber, migrations } from './index';

describe('HOC_MIGRATION_RANGES', () => {
  it.each([
    ['SharedTenants1700000000001', true],
    ['SharedLast1700000000039', true],
    ['SharedBeyond1700000000040', false],
    ['ActivitySignalFeedback1700000001001', true],
    ['ActivityLast1700000001099', true],
    ['ActivityBeyond1700000001100', false],
    ['ActivityBefore1700000001000', false],
    ['AnalyticsFirst1700000002001', true],
    ['ControlsFirst1700000003001', true],
    ['IntegrationsLast1700000004099', true],
    ['IntegrationsBeyond1700000004100', false],
    ['ConsumerTable1716400000000', false],
    ['ConsumerTable', false],
    ['1700000000001', true],
    ['1700000000001Tail', false],
    ['Odd91700000000001', true],
    ['', false],
  ])('%s belongs to HOC: %s', (name, ours) => {
    expect(isHocMigration(name)).toBe(ours);
  });

  it('reads the number at the end of a name', () => {
    expect(migrationNumber('SharedRuns1700000000002')).toBe(1_700_000_000_002);
    expect(migrationNumber('SharedRuns')).toBeNull();
  });

  it('gives each number to one package', () => {
    for (const [at, { from, to }] of HOC_MIGRATION_RANGES.entries()) {
      expect(from).toBeLessThanOrEqual(to);
      expect(HOC_MIGRATION_RANGES[at - 1]?.to ?? 0).toBeLessThan(from);
    }
  });

  it('holds every migration of this package in a range of its own', () => {
    const owned = HOC_MIGRATION_RANGES.filter((range) => range.package === '@hoc/shared');
    for (const { name } of migrations) {
      const number = migrationNumber(name) ?? 0;
      expect([name, owned.some(({ from, to }) => from <= number && number <= to)]).toEqual([name, true]);
    }
  });
});
