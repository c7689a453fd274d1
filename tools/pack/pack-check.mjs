// Packs the five packages and looks at the tarballs as a consumer, publint and attw would.
//   node tools/pack/pack-check.mjs
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildPackages, packages } from './packages.mjs';

/** A consumer pays for each of these; conventions §9 names the two that are worth it. */
const DEPENDENCIES = ['big.js', 'canonicalize'];
/** Code, declarations and sources of the largest domain are 1.4 MB; what is beyond this has packed something else. */
const MAX_UNPACKED = 2 * 1024 * 1024;
const TEST_FILE = /\.spec\.|(^|\/)(fixtures?|__tests__|test)(\/|\.)|\.tsbuildinfo$/;

buildPackages();
const folder = mkdtempSync(join(tmpdir(), 'hoc-pack-'));
const rows = [];
const problems = [];
try {
  for (const entry of packages()) check(entry);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
console.table(rows);
for (const problem of problems) console.error(problem);
console.log(`${rows.length} packages, ${problems.length} problems`);
process.exitCode = problems.length ? 1 : 0;

function check({ name, root, manifest, subpaths }) {
  const say = (text) => problems.push(`${name}: ${text}`);
  const packed = run('npm', ['pack', '--json', '--ignore-scripts', `--pack-destination=${folder}`], root);
  if (packed.status !== 0) return say(`npm pack failed:\n${packed.text}`);
  const [{ filename, size, unpackedSize, files }] = Object.values(JSON.parse(packed.stdout));
  const paths = files.map((file) => file.path);
  content(say, { manifest, subpaths, root, paths, unpackedSize });

  const tarball = join(folder, filename);
  const lint = run('node_modules/.bin/publint', ['run', tarball, '--strict']);
  if (lint.status !== 0 || !/All good!/.test(lint.text)) say(`publint --strict:\n${lint.text}`);
  const types = run('node_modules/.bin/attw', [
    tarball,
    '--profile',
    'strict',
    '--format',
    'table-flipped',
    '--no-color',
  ]);
  if (types.status !== 0) say(`attw --profile strict:\n${types.text}`);

  rows.push({
    package: name,
    files: paths.length,
    'packed kB': Math.ceil(size / 1024),
    'unpacked kB': Math.ceil(unpackedSize / 1024),
    dependencies: Object.keys(manifest.dependencies ?? {}).length,
    peers: Object.keys(manifest.peerDependencies ?? {}).length,
  });
}

function content(say, { manifest, subpaths, root, paths, unpackedSize }) {
  const tests = paths.filter((path) => TEST_FILE.test(path) && !/(^|\/)testing\/src\/fixtures\./.test(path));
  if (tests.length) say(`tests inside: ${tests.join(', ')}`);
  for (const file of ['LICENSE', 'README.md', 'package.json']) if (!paths.includes(file)) say(`no ${file} inside`);
  for (const { code, types, specifier } of subpaths)
    for (const file of [code, types])
      if (!paths.includes(file.slice(root.length + 1))) say(`${specifier} lacks ${file}`);
  if (unpackedSize > MAX_UNPACKED) say(`${unpackedSize} bytes unpacked, more than ${MAX_UNPACKED}`);
  const strange = Object.keys(manifest.dependencies ?? {}).filter((name) => !DEPENDENCIES.includes(name));
  if (strange.length) say(`dependencies ${strange.join(', ')} have no reason written down`);
}

function run(command, args, cwd = '.') {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd, encoding: 'utf8', maxBuffer: 1 << 26 });
  return { status, stdout, text: `${stdout}\n${stderr}`.trim() };
}
