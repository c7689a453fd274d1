// Stops the run's own server; on somebody else's, drops the databases that carry this run's id and nothing more.
const { Client } = require('pg');

module.exports = async function globalTeardown() {
  const run = globalThis.__HOC_TEST_RUN__;
  if (!run) return;
  delete globalThis.__HOC_TEST_RUN__;
  delete process.env.HOC_TEST_RUN;
  delete process.env.HOC_TEST_DATABASE_URL;
  if (run.server) return run.server.stop();
  const client = new Client({ connectionString: run.url });
  await client.connect();
  try {
    const { rows } = await client.query('SELECT datname FROM pg_database WHERE datname LIKE $1', [
      `hoc\\__\\_${run.id}\\_%`,
    ]);
    for (const { datname } of rows) await client.query(`DROP DATABASE IF EXISTS "${datname}" WITH (FORCE)`);
  } finally {
    await client.end();
  }
};
