// Three projects: `unit` (pure), `database` (a PostgreSQL that the run starts itself), `system` (processes, tarballs, the command line).
const { layers, domains } = require('./architecture/layers.json');

/** The same language as tsup and tsc see: legacy decorators, no emitted metadata, plain assignment of class fields. */
const swc = {
  jsc: {
    parser: { syntax: 'typescript', decorators: true },
    target: 'es2022',
    transform: { legacyDecorator: true, decoratorMetadata: false, useDefineForClassFields: false },
    keepClassNames: true,
  },
  module: { type: 'commonjs' },
  sourceMaps: 'inline',
  swcrc: false,
};

const layersOf = (kind) => Object.keys(layers).filter((name) => name !== 'api' && layers[name].tests === kind);
const specsIn = (kind) => `/libs/(${domains.join('|')})/(${layersOf(kind).join('|')})/src/.*\\.spec\\.ts$`;

const server = {
  globalSetup: '<rootDir>/tools/testkit/global-setup.cjs',
  globalTeardown: '<rootDir>/tools/testkit/global-teardown.cjs',
};

const project = (displayName, testRegex, more = {}) => ({
  displayName,
  rootDir: __dirname,
  roots: ['<rootDir>/libs', '<rootDir>/tools'],
  testEnvironment: 'node',
  testEnvironmentOptions: { customExportConditions: ['@hoc/source', 'node', 'node-addons'] },
  transform: { '\\.ts$': ['@swc/jest', swc] },
  testRegex,
  testPathIgnorePatterns: ['/node_modules/', '/dist/'],
  modulePathIgnorePatterns: ['/dist/'],
  ...more,
});

module.exports = {
  maxWorkers: 2,
  // Against hanging alone: no test may depend on how fast the machine is, or on what runs beside it.
  testTimeout: 180_000,
  projects: [
    project('unit', [specsIn('unit'), '/tools/quickstart/src/.*\\.spec\\.ts$']),
    project('database', [specsIn('database'), '/tools/testkit/src/.*\\.spec\\.ts$'], server),
    project('system', ['/tools/(system-tests|pg-server)/src/.*\\.spec\\.ts$'], server),
  ],
};
