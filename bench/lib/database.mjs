// The server, the connections and the packages that every job works with.
import { startEphemeral } from '@hoc/pg-server';
import { createHoc, ensureImportTarget } from '@hoc/shared';
import { activityModule } from '@hoc/activity';
import { controlsModule } from '@hoc/controls';
import pg from 'pg';

/** What the figures depend on; two files with different settings are not compared. */
const SETTINGS = [
  'jit=off',
  'max_parallel_workers_per_gather=0',
  'shared_buffers=256MB',
  'max_wal_size=4GB',
  'checkpoint_timeout=30min',
];

/** A durable server (fsync on), or BENCH_DATABASE_URL. */
export async function openServer() {
  const given = process.env.BENCH_DATABASE_URL;
  if (given) return { url: given, stop: async () => undefined };
  return startEphemeral({ durable: true, settings: SETTINGS });
}

/** A fresh database with the packages' tables, a tenant `t` and an integration `i`. */
export async function prepare(url) {
  const hoc = openHoc(url);
  await hoc.migrate();
  const target = { tenantId: 't', integrationId: 'i', providerType: 'openai' };
  await hoc.transaction(({ manager }) => ensureImportTarget(manager, target, { clock }));
  return hoc;
}

export const clock = { now: () => new Date() };
/** The packages as a consumer binds them. */
export const openHoc = (url, poolSize = 10) =>
  createHoc({ connection: { url, applicationName: 'hoc-bench', poolSize }, modules: [activityModule, controlsModule] });

/** A bare client, connected. */
export async function connect(url) {
  const client = new pg.Client({ connectionString: url });
  // Where a job fails, its server stops under its clients: that end must not hide the failure.
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

/** What the server is and how it is set, for the results. */
export async function serverFacts(url) {
  const client = await connect(url);
  const { rows } = await client.query(`SELECT name, setting FROM pg_settings WHERE name = ANY($1) ORDER BY name`, [
    ['fsync', 'jit', 'max_parallel_workers_per_gather', 'server_version', 'shared_buffers', 'synchronous_commit'],
  ]);
  await client.end();
  return Object.fromEntries(rows.map(({ name, setting }) => [name, setting]));
}
