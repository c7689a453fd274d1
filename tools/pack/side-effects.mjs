// Loads each subpath of the built packages in a process of its own and looks at what that did: nothing but exports is right.
//   node tools/pack/side-effects.mjs
import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';
import { arch } from '../../architecture/constraints.mjs';
import { buildPackages, packages } from './packages.mjs';

/** A layer that bans typeorm and pg loads where they aren't installed. */
const pure = (layer) => ['typeorm', 'pg'].every((name) => arch.layers[layer].bannedExternals.includes(name));
const LIMIT_MS = 10_000;

/** Runs in the bare process: argv is the file and, comma-separated, the packages that can't be found. */
const PROBE = `
  const [file, absent] = process.argv.slice(1);
  const Module = require('node:module');
  const original = Module._resolveFilename;
  Module._resolveFilename = function (request, ...rest) {
    const name = absent.split(',').find((gone) => gone && (request === gone || request.startsWith(gone + '/')));
    if (name) throw Object.assign(new Error('made unresolvable: ' + request), { code: 'MODULE_NOT_FOUND' });
    return original.call(this, request, ...rest);
  };
  // Loaded before the trap: what third parties read as they load is theirs (pg reads PGUSER, typeorm nothing of ours).
  for (const peer of ['reflect-metadata', 'class-transformer', 'class-validator', 'typeorm', 'pg', 'big.js', 'canonicalize'])
    if (!absent.split(',').includes(peer)) require(peer);
  const findings = [];
  const real = process.env;
  // Node's own loader reads this one for every file that it loads.
  const note = (key) => typeof key === 'string' && key !== 'NODE_V8_COVERAGE' && findings.push('environment variable ' + key);
  process.env = new Proxy(real, {
    get: (target, key) => (note(key), target[key]),
    has: (target, key) => (note(key), key in target),
    ownKeys: (target) => (note('*'), Reflect.ownKeys(target)),
    getOwnPropertyDescriptor: (target, key) => Reflect.getOwnPropertyDescriptor(target, key),
  });
  const listeners = () => process.eventNames().reduce((sum, name) => sum + process.listenerCount(name), 0);
  const before = { listeners: listeners(), resources: process.getActiveResourcesInfo().length, globals: Object.keys(globalThis) };
  const loaded = require(file);
  process.env = real;
  if (listeners() !== before.listeners) findings.push('a listener on process');
  const resources = process.getActiveResourcesInfo();
  if (resources.length > before.resources) findings.push('open: ' + resources.join(', '));
  // The registries in which typeorm and class-validator keep what decorators say.
  const registries = ['typeormMetadataArgsStorage', 'classValidatorMetadataStorage'];
  for (const name of Object.keys(globalThis))
    if (!before.globals.includes(name) && !registries.includes(name)) findings.push('global variable ' + name);
  process.on('exit', () => console.log(JSON.stringify({ findings: [...new Set(findings)], exports: Object.keys(loaded).length })));
`;

buildPackages();
let checks = 0;
const problems = [];
for (const { subpaths } of packages())
  for (const { specifier, layer, code } of subpaths) {
    probe(specifier, code, '');
    if (pure(layer)) probe(`${specifier} without typeorm and pg`, code, 'typeorm,pg');
  }
for (const problem of problems) console.error(problem);
console.log(`${checks} loads, ${problems.length} problems`);
process.exitCode = problems.length ? 1 : 0;

function probe(name, file, absent) {
  checks++;
  const run = spawnSync(process.execPath, ['-e', PROBE, resolve(file), absent], {
    encoding: 'utf8',
    timeout: LIMIT_MS,
  });
  if (run.error) return problems.push(`${name}: didn't end by itself within ${LIMIT_MS / 1000} s`);
  if (run.status !== 0)
    return problems.push(`${name}: ${run.stderr.split('\n').find((line) => /^\w*Error/.test(line)) ?? run.stderr}`);
  if (run.stderr) problems.push(`${name} printed: ${run.stderr.trim()}`);
  for (const finding of JSON.parse(run.stdout.trim().split('\n').pop()).findings) problems.push(`${name}: ${finding}`);
}
