// Rows 20 and 21: loading each entry in a fresh process; the isolation of a test.
import { spawnSync } from 'node:child_process';
import { connect } from '../lib/database.mjs';
import { cell, job } from '../lib/run.mjs';

const ENTRIES = [
  '@hoc/shared',
  '@hoc/shared/kernel',
  '@hoc/activity',
  '@hoc/activity/drivers',
  '@hoc/activity/engines',
  '@hoc/activity/models',
  '@hoc/activity/schemas',
  '@hoc/controls',
];
const load =
  (...names) =>
  async () => {
    const script = `const start = performance.now(); for (const name of ${JSON.stringify(names)}) require(name); console.log(performance.now() - start);`;
    const run = spawnSync(process.execPath, ['-e', script], {
      cwd: new URL('..', import.meta.url).pathname,
      encoding: 'utf8',
    });
    if (run.status !== 0) throw new Error(run.stderr);
    return 1000 / Number(run.stdout);
  };

await job('startup', async (url) => {
  const variants = { 'typeorm + pg': load('reflect-metadata', 'typeorm', 'pg') };
  for (const entry of ENTRIES) variants[entry] = load(entry);
  const imports = await cell('import', { base: 'typeorm + pg', variants });
  const client = await connect(url);
  const isolation = await cell('isolation', {
    base: 'begin, rollback',
    variants: {
      'begin, rollback': async () => {
        const start = performance.now();
        for (let n = 0; n < 300; n += 1) {
          await client.query('BEGIN');
          await client.query('ROLLBACK');
        }
        return 300_000 / (performance.now() - start);
      },
    },
  });
  await client.end();
  return [imports, isolation];
});
