import { entities as sharedEntities, migrations as sharedMigrations } from '@hoc/shared/models';
import { makeTenant } from '@hoc/shared/testing';
import { type BuiltRow, insertRows, useDatabase } from '@hoc/testkit';
import { QueryFailedError } from 'typeorm';
import { catalogue, entities, migrations } from './index';

type Columns = Readonly<Record<string, unknown>>;
/** What one CHECK refuses, and what on its bounds passes. */
interface Case {
  readonly refused: readonly Columns[];
  readonly passed: readonly Columns[];
}

const x = (length: number): string => 'x'.repeat(length);
const AT = new Date('2026-03-10T12:00:00.000Z');
const LATER = new Date('2026-03-10T12:00:00.001Z');
const text = (column: string, max: number): Case => ({
  refused: [{ [column]: '' }, { [column]: x(max + 1) }],
  passed: [{ [column]: 'x' }, { [column]: 'é'.repeat(max) }],
});
const SUPPRESSED = { feedback_state: 'SUPPRESSED', ttl_seconds: 60, expires_at: LATER };

/** By what follows `ck_signal_feedback_`. Spelled out: the lists and bounds are those of the specification. */
const CASES: Readonly<Record<string, Case>> = {
  tenant_id: text('tenant_id', 100),
  id: text('id', 100),
  bulk_action_id: text('bulk_action_id', 100),
  target_set_hash: text('target_set_hash', 100),
  actor_id: text('actor_id', 200),
  signal_fingerprint: {
    refused: ['', 'a'.repeat(31), 'a'.repeat(33), 'A'.repeat(32), 'g'.repeat(32), `${'a'.repeat(32)}\n`].map(
      (signal_fingerprint) => ({ signal_fingerprint }),
    ),
    passed: [{ signal_fingerprint: '0123456789abcdef'.repeat(2) }],
  },
  feedback_state: {
    refused: ['', 'acknowledged', 'CLOSED'].map((feedback_state) => ({ feedback_state })),
    passed: [...['ACKNOWLEDGED', 'REOPENED', 'EVALUATED'].map((feedback_state) => ({ feedback_state })), SUPPRESSED],
  },
  ttl_seconds: {
    refused: [0, -1, 31_536_001].map((ttl_seconds) => ({ ...SUPPRESSED, ttl_seconds })),
    passed: [1, 31_536_000].map((ttl_seconds) => ({ ...SUPPRESSED, ttl_seconds })),
  },
  expires_at: { refused: [{ ...SUPPRESSED, expires_at: AT }], passed: [SUPPRESSED] },
  suppression: {
    refused: [
      { feedback_state: 'SUPPRESSED' },
      { ...SUPPRESSED, ttl_seconds: null },
      { ...SUPPRESSED, expires_at: null },
      { feedback_state: 'EVALUATED', ttl_seconds: 60 },
    ],
    passed: [SUPPRESSED, { ...SUPPRESSED, feedback_state: 'EVALUATED' }, { feedback_state: 'ACKNOWLEDGED' }],
  },
  target_count: { refused: [{ target_count: -1 }], passed: [{ target_count: 0 }, { target_count: 2_147_483_647 }] },
};

const row = (given: Columns): BuiltRow => ({
  table: 'signal_feedback',
  row: {
    tenant_id: 't',
    id: 'f',
    signal_fingerprint: 'a'.repeat(32),
    feedback_state: 'ACKNOWLEDGED',
    actor_id: 'jo',
    as_of: AT,
    created_at: AT,
    updated_at: AT,
    ...given,
  },
});

describe('CHECK', () => {
  const db = useDatabase({
    entities: [...sharedEntities, ...entities],
    migrations: [...sharedMigrations, ...migrations],
  });
  const names = catalogue.flatMap(({ checks }) => checks.map(({ name }) => name));

  it('has a case for each one, and no case is without its CHECK', () => {
    const cases = Object.keys(CASES).map((suffix) => `ck_signal_feedback_${suffix}`);
    expect(cases.sort()).toEqual([...names].sort());
  });

  it.each(names)('%s refuses what lies outside and passes what lies on the bound', async (name) => {
    const { refused, passed } = CASES[name.slice('ck_signal_feedback_'.length)] ?? { refused: [], passed: [] };
    expect(refused.length).toBeGreaterThan(0);
    for (const given of refused) expect([given, await insert(given)]).toEqual([given, `23514 ${name}`]);
    for (const given of passed) expect([given, await insert(given)]).toEqual([given, 'passed']);
  });

  it('a tenant that has feedback is not deleted, and nobody has feedback without a tenant', async () => {
    await insertRows(db.manager(), makeTenant({ id: 't' }), row({}));
    await db.manager().query('SAVEPOINT before_delete');
    await expect(db.manager().query(`DELETE FROM tenants WHERE id = 't'`)).rejects.toMatchObject({
      driverError: { code: '23503', constraint: 'fk_signal_feedback_tenant' },
    });
    await db.manager().query('ROLLBACK TO SAVEPOINT before_delete');
    await expect(insertRows(db.manager(), row({ tenant_id: 'nobody' }))).rejects.toMatchObject({
      driverError: { code: '23503', constraint: 'fk_signal_feedback_tenant' },
    });
  });

  /** The CHECK that refused the row; its tenant is none of a CHECK's business. */
  async function insert(given: Columns): Promise<string> {
    await db.manager().query('SAVEPOINT before_row');
    try {
      await insertRows(db.manager(), row(given));
      return 'passed';
    } catch (error) {
      if (!(error instanceof QueryFailedError)) throw error;
      const { code, constraint }: { code?: string; constraint?: string } = error.driverError;
      return code === '23503' ? 'passed' : `${code} ${constraint}`;
    } finally {
      await db.manager().query('ROLLBACK TO SAVEPOINT before_row');
    }
  }
});
