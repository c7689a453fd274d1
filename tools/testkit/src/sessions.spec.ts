import { Client } from 'pg';
import { killBackend, serverUrl, tcpProxy, useDatabase, waitFor, withRollback } from './index';
import { widgets } from './widgets';

const db = useDatabase(widgets);

async function connected(
  url: string,
  connectionTimeoutMillis = 60_000,
): Promise<{ readonly client: Client; readonly lost: Promise<unknown> }> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis });
  const lost = new Promise((resolve) => client.once('error', resolve));
  client.on('error', () => undefined);
  await client.connect();
  return { client, lost };
}

describe('withRollback', () => {
  it('gives the result, keeps nothing, and lets an error through', async () => {
    const insert = `INSERT INTO makers VALUES ('m') RETURNING id`;
    await expect(withRollback(db.dataSource(), (manager) => manager.query(insert))).resolves.toEqual([{ id: 'm' }]);
    await expect(withRollback(db.dataSource(), (manager) => manager.query('SELECT 1 / 0'))).rejects.toThrow('zero');
    await expect(db.dataSource().query('SELECT id FROM makers')).resolves.toEqual([]);
  });
});

describe('killBackend', () => {
  it('ends the session, and says false for one that is gone', async () => {
    const { client, lost } = await connected(serverUrl());
    const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    const pid = rows[0]?.pid ?? 0;
    await expect(killBackend(pid)).resolves.toBe(true);
    await lost;
    await expect(killBackend(pid)).resolves.toBe(false);
  });
});

describe('tcpProxy', () => {
  it('passes statements, and cuts its connections on drop', async () => {
    const proxy = await tcpProxy(serverUrl());
    const { client, lost } = await connected(proxy.url);
    await expect(client.query('SELECT 1 AS one')).resolves.toMatchObject({ rows: [{ one: 1 }] });
    proxy.drop();
    await lost;
    await proxy.close();
  });

  it('leaves open and new connections without an answer after freeze', async () => {
    const proxy = await tcpProxy(serverUrl());
    const { client } = await connected(proxy.url);
    proxy.freeze();
    let answered = false;
    const answer = client.query('SELECT 1').then(
      () => (answered = true),
      () => undefined,
    );
    await expect(connected(proxy.url, 1000)).rejects.toThrow(/timeout/);
    expect(answered).toBe(false);
    await proxy.close();
    await answer;
  });
});

describe('waitFor', () => {
  it('gives the first truthy result, and names what never came', async () => {
    let looks = 0;
    await expect(waitFor(() => (looks += 1) === 3 && 'there', 'the third look')).resolves.toBe('there');
    await expect(waitFor(() => null, 'the impossible', 60)).rejects.toThrow('the impossible');
  });
});
