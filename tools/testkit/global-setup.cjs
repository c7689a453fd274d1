// Starts one server for the run, or takes DATABASE_URL's. Both jest projects that need a server name this file.
const { randomBytes } = require('node:crypto');
const { startEphemeral } = require('@hoc/pg-server');

module.exports = async function globalSetup() {
  if (process.env.HOC_TEST_DATABASE_URL) return;
  process.env.HOC_TEST_RUN = randomBytes(4).toString('hex');
  if (process.env.DATABASE_URL) {
    process.env.HOC_TEST_DATABASE_URL = process.env.DATABASE_URL;
    return;
  }
  const server = await startEphemeral();
  globalThis.__HOC_SERVER__ = server;
  process.env.HOC_TEST_DATABASE_URL = server.url;
};
