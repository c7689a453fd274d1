import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { asAdmin, serverUrl, useDatabase } from './index';
import { widgets } from './widgets';

const folder = join(__dirname, '..');
const run = process.env['HOC_TEST_RUN'] ?? '';
useDatabase(widgets);

/** The setup, `between`, and the teardown, as one jest run would call them; gives what `between` printed. */
function runInside(between: string, env: NodeJS.ProcessEnv): string {
  const program = `const setup = require(${JSON.stringify(join(folder, 'global-setup.cjs'))});
    const teardown = require(${JSON.stringify(join(folder, 'global-teardown.cjs'))});
    const { Client } = require('pg');
    (async () => { ${between} })().catch((error) => { console.error(error); process.exit(1); });`;
  return execFileSync(process.execPath, ['-e', program], { cwd: folder, env, encoding: 'utf8' }).trim();
}

async function databases(like: string): Promise<number> {
  return asAdmin(
    async (client) => (await client.query('SELECT FROM pg_database WHERE datname LIKE $1', [like])).rowCount ?? 0,
  );
}

describe('globalSetup and globalTeardown', () => {
  it('start one server for two projects and stop it once', () => {
    const { HOC_TEST_DATABASE_URL: _url, HOC_TEST_RUN: _run, DATABASE_URL: _given, ...env } = process.env;
    const printed = runInside(
      `await setup(); const first = process.env.HOC_TEST_DATABASE_URL; await setup();
       const same = first === process.env.HOC_TEST_DATABASE_URL;
       await teardown(); await teardown();
       const gone = await new Client(first).connect().then(() => false, () => true);
       console.log(JSON.stringify([same, gone, process.env.HOC_TEST_DATABASE_URL ?? null]));`,
      env,
    );
    expect(JSON.parse(printed)).toEqual([true, true, null]);
  });

  it.each(['HOC_TEST_DATABASE_URL', 'DATABASE_URL'])(
    'a run on the server of %s drops its own databases alone',
    async (name) => {
      const { HOC_TEST_DATABASE_URL: _url, DATABASE_URL: _given, ...env } = process.env;
      const mine = await databases(`hoc\\_w\\_${run}\\_%`);
      const inner = runInside(
        `await setup(); const client = new Client(process.env.HOC_TEST_DATABASE_URL); await client.connect();
       await client.query('CREATE DATABASE hoc_w_' + process.env.HOC_TEST_RUN + '_x_1'); await client.end();
       console.log(process.env.HOC_TEST_RUN); await teardown();`,
        { ...env, [name]: serverUrl() },
      );
      expect(inner).not.toBe(run);
      expect(mine).toBeGreaterThan(0);
      await expect(databases(`hoc\\_w\\_${run}\\_%`)).resolves.toBeGreaterThanOrEqual(mine);
      await expect(databases(`hoc\\__\\_${inner}\\_%`)).resolves.toBe(0);
    },
  );
});
