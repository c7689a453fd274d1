// Stops the run's own server; on somebody else's, drops the databases that carry this run's id and nothing more.
const { Client } = require('pg');

module.exports = async function globalTeardown() {
  const run = process.env.HOC_TEST_RUN;
  const url = process.env.HOC_TEST_DATABASE_URL;
  if (!url) return;
  delete process.env.HOC_TEST_DATABASE_URL;
  if (globalThis.__HOC_SERVER__) return globalThis.__HOC_SERVER__.stop();
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query('SELECT datname FROM pg_database WHERE datname LIKE $1', [
      `hoc\\__\\_${run}\\_%`,
    ]);
    for (const { datname } of rows) await client.query(`DROP DATABASE IF EXISTS "${datname}" WITH (FORCE)`);
  } finally {
    await client.end();
  }
};
