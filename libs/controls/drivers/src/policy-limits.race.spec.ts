import { entities, migrations } from '@hoc/controls/models';
import type { LimitPatch, NewLimit } from '@hoc/controls/schemas';
import { ConflictError, type DecimalString } from '@hoc/shared/kernel';
import { entities as shared, migrations as sharedMigrations } from '@hoc/shared/models';
import { fixedClock, makeTenant, sequentialIds } from '@hoc/shared/testing';
import { insertRows, useFreshDatabase } from '@hoc/testkit';
import type { DataSource } from 'typeorm';
import { getPolicyLimitsDriver, type PolicyLimitsDriver } from './policy-limits.driver';

const REPETITIONS = 20;
const db = useFreshDatabase({ entities: [...shared, ...entities], migrations: [...sharedMigrations, ...migrations] });
const clock = fixedClock(new Date('2026-03-10T12:00:00.000Z'));
const decimal = (text: string): DecimalString => text as DecimalString;
const LIMIT: NewLimit = {
  name: 'first',
  description: null,
  limitCategory: 'RATE',
  limitType: 'REQUESTS_PER_MINUTE',
  scope: 'TENANT',
  scopeId: null,
  maxValue: decimal('60'),
  resetPeriod: null,
  windowSeconds: 60,
  measurementWindowSeconds: null,
  params: {},
  enforcement: 'BLOCK',
  consequence: null,
  createdBy: null,
};
const on = ({ manager }: DataSource, ids: string): PolicyLimitsDriver =>
  getPolicyLimitsDriver(manager, { clock, ids: sequentialIds(ids) });
const counts = async (): Promise<unknown> =>
  db
    .dataSource()
    .query(
      'SELECT (SELECT count(*) FROM limits)::int AS limits, (SELECT count(*) FROM limit_integrity)::int AS verified',
    );

beforeEach(() => insertRows(db.dataSource().manager, makeTenant({ id: 't1' })));

it('F30: two writers of different fields both survive, and a writer of an old version is refused', async () => {
  const [a, b] = (await db.connections(2)).map((source, index) => on(source, `c${index}`));
  await a?.createLimit('t1', { ...LIMIT, id: 'one' });
  await Promise.all([
    a?.updateLimit('t1', 'one', { name: 'renamed' }),
    b?.updateLimit('t1', 'one', { maxValue: decimal('7') }),
  ]);
  expect(await a?.fetchLimitById('t1', 'one')).toMatchObject({ name: 'renamed', maxValue: '7', version: 3 });
  await expect(a?.updateLimit('t1', 'one', { name: 'late' }, 2)).rejects.toMatchObject({
    code: 'CONFLICT',
    details: { currentVersion: 3 },
  });
});

it('ten writers at once: each change is kept, and each raised the version by one', async () => {
  const drivers = (await db.connections(10, { max: 1 })).map((source, index) => on(source, `c${index}`));
  const patches: readonly LimitPatch[] = [
    { name: 'last' },
    { description: 'said' },
    { maxValue: decimal('9.000001') },
    { enforcement: 'QUEUE' },
    { windowSeconds: 30 },
    ...[0, 1, 2, 3, 4].map((n) => ({ params: { [`key${n}`]: n } })),
  ];
  for (let repetition = 0; repetition < REPETITIONS; repetition += 1) {
    const id = `limit-${repetition}`;
    await drivers[0]?.createLimit('t1', { ...LIMIT, id });
    const changes = await Promise.all(patches.map((patch, index) => drivers[index]?.updateLimit('t1', id, patch)));
    expect(await drivers[0]?.fetchLimitById('t1', id)).toMatchObject({
      name: 'last',
      description: 'said',
      maxValue: '9.000001',
      enforcement: 'QUEUE',
      windowSeconds: 30,
      params: { key0: 0, key1: 1, key2: 2, key3: 3, key4: 4 },
      version: 11,
    });
    const steps = changes.map((change) => [change?.before.version ?? 0, change?.after.version ?? 0]);
    expect(steps.sort(([x = 0], [y = 0]) => x - y)).toEqual(patches.map((_, index) => [index + 1, index + 2]));
  }
});

it('ten writers that expect one version: one succeeds', async () => {
  const drivers = (await db.connections(10, { max: 1 })).map((source, index) => on(source, `c${index}`));
  for (let repetition = 0; repetition < REPETITIONS; repetition += 1) {
    const id = `limit-${repetition}`;
    await drivers[0]?.createLimit('t1', { ...LIMIT, id });
    const answers = await Promise.allSettled(
      drivers.map((driver, index) => driver.updateLimit('t1', id, { name: `by ${index}` }, 1)),
    );
    const refused = answers.flatMap((answer) => (answer.status === 'rejected' ? [answer.reason as unknown] : []));
    expect([refused.length, refused.every((error) => ConflictError.is(error))]).toEqual([9, true]);
    expect(await drivers[0]?.fetchLimitById('t1', id)).toMatchObject({ version: 2 });
  }
});

it('five creators of one id: one row in each table, four conflicts', async () => {
  const drivers = (await db.connections(5, { max: 1 })).map((source, index) => on(source, `c${index}`));
  for (let repetition = 1; repetition <= REPETITIONS; repetition += 1) {
    const answers = await Promise.allSettled(
      drivers.map((driver) => driver.createLimit('t1', { ...LIMIT, id: `limit-${repetition}` })),
    );
    const refused = answers.flatMap((answer) => (answer.status === 'rejected' ? [answer.reason as unknown] : []));
    expect([refused.length, refused.every((error) => ConflictError.is(error))]).toEqual([4, true]);
    expect(await counts()).toEqual([{ limits: repetition, verified: repetition }]);
  }
});

it('twenty verifications at once leave one row: the latest', async () => {
  const sources = await db.connections(20, { max: 1 });
  await on(db.dataSource(), 'x').addLimit('t1', { ...LIMIT, id: 'one' });
  await Promise.all(
    sources.map((source, index) =>
      getPolicyLimitsDriver(source.manager, {
        clock: fixedClock(new Date(clock.now().getTime() + index)),
        ids: sequentialIds(`v${index}`),
      }).addIntegrity('t1', { limitId: 'one', integrityStatus: 'VERIFIED', integrityScore: index / 20 }),
    ),
  );
  expect(await db.dataSource().query('SELECT integrity_score AS score FROM limit_integrity')).toEqual([
    { score: 0.95 },
  ]);
});
