import { cpSync, existsSync, lstatSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { embeddedNative } from './binaries.cjs';
import { startEphemeral } from './index.cjs';
import { ask, isRunning, serverOf, startElsewhere, until } from './starter';

describe('startEphemeral', () => {
  const before = process.env['HOC_TEST_PG_BIN'];
  afterEach(() => {
    if (before === undefined) delete process.env['HOC_TEST_PG_BIN'];
    else process.env['HOC_TEST_PG_BIN'] = before;
  });

  it('serves 127.0.0.1 alone, without a socket file and without durability', async () => {
    const server = await startEphemeral();
    try {
      const row = await ask(
        server.url,
        `SELECT current_setting('listen_addresses') AS addresses, current_setting('unix_socket_directories') AS sockets,
                current_setting('fsync') AS fsync, current_setting('max_connections') AS connections, current_setting('TimeZone') AS zone`,
      );
      expect(row).toEqual({ addresses: '127.0.0.1', sockets: '', fsync: 'off', connections: '400', zone: 'UTC' });
    } finally {
      await server.stop();
    }
  });

  it('leaves neither process nor folder after stop, which may be called twice', async () => {
    const server = await startEphemeral();
    const { pid, data } = await serverOf(server.url);
    await Promise.all([server.stop(), server.stop()]);
    expect(isRunning(pid)).toBe(false);
    expect(existsSync(dirname(data))).toBe(false);
  });

  it('stops while a client is connected and in a transaction', async () => {
    const server = await startEphemeral();
    const { pid } = await serverOf(server.url);
    const busy = ask(server.url, 'SELECT pg_sleep(600)').catch(() => 'ended');
    const active = `SELECT count(*)::int AS n FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)' AND state = 'active'`;
    await until('the client’s statement runs', async () => (await ask<{ n: number }>(server.url, active)).n === 1);
    await server.stop();
    await expect(busy).resolves.toBe('ended');
    expect(isRunning(pid)).toBe(false);
  });

  it('ends the server and removes its folder after a SIGKILL of the parent', async () => {
    const starter = await startElsewhere('server.startEphemeral()');
    const { pid, data } = await serverOf(starter.url);
    await starter.kill();
    await until('the server is gone', () => !isRunning(pid));
    await until('its folder is gone', () => !existsSync(dirname(data)));
  });

  it('runs binaries that sit in a 0700 folder and lack the links of the install script', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'hoc-native-'));
    try {
      const native = join(folder, 'native');
      cpSync(embeddedNative(), native, { recursive: true, verbatimSymlinks: true });
      for (const name of readdirSync(join(native, 'lib'))) {
        const path = join(native, 'lib', name);
        if (lstatSync(path).isSymbolicLink()) rmSync(path);
      }
      process.env['HOC_TEST_PG_BIN'] = join(native, 'bin');
      const server = await startEphemeral();
      await expect(ask(server.url, 'SELECT 1 AS one')).resolves.toEqual({ one: 1 });
      await server.stop();
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it('takes HOC_TEST_PG_BIN as the folder and as the file', async () => {
    for (const path of ['bin', 'bin/postgres']) {
      process.env['HOC_TEST_PG_BIN'] = join(embeddedNative(), path);
      const server = await startEphemeral();
      await server.stop();
    }
  });

  it('says what is wrong with HOC_TEST_PG_BIN', async () => {
    process.env['HOC_TEST_PG_BIN'] = '/nowhere/bin';
    await expect(startEphemeral()).rejects.toThrow(/HOC_TEST_PG_BIN.*\/nowhere\/bin/s);
  });

  it('puts the end of the server log into the error', async () => {
    await expect(startEphemeral({ settings: ['no_such_setting=1'] })).rejects.toThrow(/no_such_setting/);
  });

  it('still has the data at the last of its attempts, and shows why that failed', async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
    try {
      const { port } = taken.address() as AddressInfo;
      await expect(startEphemeral({ settings: [`port=${port}`] })).rejects.toThrow(/could not bind|in use/);
    } finally {
      taken.close();
    }
  });

  it('fails soon when the server ends without a word of FATAL', async () => {
    await expect(startEphemeral({ settings: ['config_file=/nowhere/postgresql.conf'] })).rejects.toThrow(/nowhere/);
  });
});
