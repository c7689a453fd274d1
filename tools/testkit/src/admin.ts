import { Client } from 'pg';

/** The maintenance database of the run's server. */
export function serverUrl(): string {
  const url = process.env['HOC_TEST_DATABASE_URL'];
  if (!url) throw new Error('no test database: the jest project has no globalSetup');
  return url;
}

/** The same server, another database. */
export function databaseUrl(name: string): string {
  const url = new URL(serverUrl());
  url.pathname = `/${name}`;
  return url.toString();
}

/** One connection to the maintenance database for the length of `work`. */
export async function asAdmin<T>(work: (client: Client) => Promise<T>, url: string = serverUrl()): Promise<T> {
  const client = new Client({ connectionString: url, application_name: 'hoc-testkit' });
  // A server that ends this connection would otherwise end the process.
  client.on('error', () => undefined);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

/** Resolves with the first truthy result; polls every 20 ms and fails after `limitMs`, which guards against hanging alone. */
export async function waitFor<T>(
  condition: () => Promise<T> | T,
  what: string,
  limitMs = 60_000,
): Promise<NonNullable<T>> {
  for (let waited = 0; waited < limitMs; waited += 20) {
    const result = await condition();
    if (result) return result;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`still not so after ${limitMs} ms: ${what}`);
}
