// Starts one server for the run, or takes DATABASE_URL's. Both jest projects that need a server name this file.
const { randomBytes } = require('node:crypto');
const { startEphemeral } = require('@hoc/pg-server');

module.exports = async function globalSetup() {
  // What this process has begun, not what it inherited: a run inside a run has an id of its own on the outer one's server.
  if (globalThis.__HOC_TEST_RUN__) return;
  const given = process.env.HOC_TEST_DATABASE_URL ?? process.env.DATABASE_URL;
  const server = given ? null : await startEphemeral();
  globalThis.__HOC_TEST_RUN__ = { id: randomBytes(4).toString('hex'), url: given ?? server.url, server };
  process.env.HOC_TEST_RUN = globalThis.__HOC_TEST_RUN__.id;
  process.env.HOC_TEST_DATABASE_URL = globalThis.__HOC_TEST_RUN__.url;
};
