import { createHoc } from '@hoc/shared/spine';
import { makeTenant } from '@hoc/shared/testing';
import { insertRows, useEmptyDatabase } from '@hoc/testkit';
import { controlsModule } from './index';

const db = useEmptyDatabase({ entities: [], migrations: [] });
const open = (url: string) => createHoc({ connection: { url, applicationName: 'guards' }, modules: [controlsModule] });
const request = { kind: 'cost', estimated: '1' } as const;

it('the guards ask the database', async () => {
  const hoc = open(db.url());
  await hoc.migrate();
  await insertRows(hoc.dataSource.manager, makeTenant({ id: 't' }));
  const { guards } = hoc.services.controls;
  expect(await guards.shouldUseV2()).toEqual({ use: true, reason: 'CLOSED' });
  expect(await guards.check('t', request)).toMatchObject({ decision: 'ALLOW', reason: 'NO_LIMITS' });
  await hoc.transaction(({ controls }) => controls.breakerControl.disableV2('maintenance', 'ann'));
  expect(await guards.shouldUseV2()).toEqual({ use: false, reason: 'OPEN' });
  await expect(guards.check('', request)).rejects.toMatchObject({ code: 'TENANT_SCOPE' });
  await hoc.close();
});

it('the guards answer while there is no database: the breaker is closed, the check blocks', async () => {
  const hoc = open('postgresql://nobody@127.0.0.1:1/none');
  const { guards } = hoc.services.controls;
  expect(await guards.shouldUseV2()).toEqual({ use: true, reason: 'UNAVAILABLE' });
  expect(await guards.check('t', request)).toMatchObject({ decision: 'BLOCK', reason: 'UNAVAILABLE' });
  await hoc.close();
});
