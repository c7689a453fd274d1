// @ts-check
const { startDurable } = require('./durable.cjs');
const { startEphemeral } = require('./ephemeral.cjs');

module.exports = { startDurable, startEphemeral };
