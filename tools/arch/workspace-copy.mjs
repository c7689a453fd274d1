// A copy of the workspace in the temporary folder, in which violations can be planted without anybody seeing them.
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const FILES = [
  'architecture',
  'bench',
  'libs',
  'tools',
  'docs',
  'package.json',
  'package-lock.json',
  'nx.json',
  'tsconfig.base.json',
  'tsconfig.json',
  'eslint.config.mjs',
  'jest.config.cjs',
  'tsup.config.ts',
  '.gitignore',
  '.prettierrc.json',
  '.prettierignore',
];

/** Makes the copy; `run(command, args)` works in it with a project graph of its own, `remove()` ends it. */
export function copyWorkspace(root) {
  const copy = realpathSync(mkdtempSync(join(tmpdir(), 'hoc-arch-')));
  const wanted = (path) => !/\/(dist|node_modules|\.nx|\.hoc)(\/|$)/.test(path.slice(root.length));
  for (const file of FILES) cpSync(join(root, file), join(copy, file), { recursive: true, filter: wanted });
  linkModules(root, copy);
  const env = {
    ...process.env,
    NX_DAEMON: 'false',
    NX_WORKSPACE_ROOT_PATH: copy,
    NX_CACHE_DIRECTORY: join(copy, '.nx/cache'),
    NX_WORKSPACE_DATA_DIRECTORY: join(copy, '.nx/workspace-data'),
    NX_VERBOSE_LOGGING: 'false',
  };
  const run = (command, args) => spawnSync(command, args, { cwd: copy, env, encoding: 'utf8', maxBuffer: 1 << 28 });
  // Nx reads .gitignore and the list of files through git.
  run('git', ['init', '-q']);
  return { path: copy, run, remove: () => rmSync(copy, { recursive: true, force: true }) };
}

/**
 * A real folder of links: with one link to the whole node_modules, @hoc/* would lead back to the original, whose graph
 * nobody planted anything in, and every violation would pass.
 */
function linkModules(root, copy) {
  const from = join(root, 'node_modules');
  const to = join(copy, 'node_modules');
  mkdirSync(join(to, '@hoc'), { recursive: true });
  for (const entry of readdirSync(from)) {
    if (entry === '@hoc' || entry === '.cache') continue;
    symlinkSync(join(from, entry), join(to, entry), statSync(join(from, entry)).isDirectory() ? 'dir' : 'file');
  }
  for (const entry of readdirSync(join(from, '@hoc')))
    symlinkSync(readlinkSync(join(from, '@hoc', entry)), join(to, '@hoc', entry), 'dir');
}
