// A repository of its own in the temporary folder: the workspace's files, one first commit, a tag per package, an own git identity.
import { spawn, spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

const IDENTITY = { name: 'Release Rehearsal', email: 'rehearsal@localhost' };

/** Makes the clone of `root` with the packages of `domains` tagged at the versions in their manifests. */
export function cloneWorkspace(root, domains) {
  const path = realpathSync(mkdtempSync(join(tmpdir(), 'hoc-release-')));
  for (const file of filesOf(root)) {
    mkdirSync(dirname(join(path, file)), { recursive: true });
    cpSync(join(root, file), join(path, file));
  }
  linkModules(root, path);
  const env = environment(path);
  const run = (command, ...args) => start(command, args, path, env);
  const git = (...args) => {
    const done = spawnSync('git', args, { cwd: path, env, encoding: 'utf8' });
    if (done.status !== 0) throw new Error(`git ${args.join(' ')}: ${done.stderr}`);
    return done.stdout;
  };
  git('init', '-q', '-b', 'main');
  git('add', '-A');
  git('commit', '-q', '-m', 'chore: the workspace as it is');
  for (const domain of domains) git('tag', `@hoc/${domain}@${versionIn(path, domain)}`);
  return { path, run, git, remove: () => rmSync(path, { recursive: true, force: true }) };
}

export const versionIn = (path, domain) => manifestIn(path, domain).version;
export const manifestIn = (path, domain) =>
  JSON.parse(readFileSync(join(path, 'libs', domain, 'package.json'), 'utf8'));

/** What git would commit, whether it is committed yet or not; no history, tags or remote come along. */
function filesOf(root) {
  const listed = spawnSync(
    'git',
    ['-c', 'safe.directory=*', 'ls-files', '-z', '--cached', '--others', '--exclude-standard'],
    { cwd: root, encoding: 'utf8', maxBuffer: 1 << 26 },
  );
  if (listed.status !== 0) throw new Error(`git ls-files: ${listed.stderr}`);
  return listed.stdout.split('\0').filter((file) => file && existsSync(join(root, file)));
}

/** Everything that could reach the machine's own git, npm or Nx settings is set here. */
function environment(path) {
  const { GIT_DIR: _dir, GIT_WORK_TREE: _tree, GIT_INDEX_FILE: _index, ...inherited } = process.env;
  return {
    ...inherited,
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_CONFIG_SYSTEM: '/dev/null',
    GIT_AUTHOR_NAME: IDENTITY.name,
    GIT_AUTHOR_EMAIL: IDENTITY.email,
    GIT_COMMITTER_NAME: IDENTITY.name,
    GIT_COMMITTER_EMAIL: IDENTITY.email,
    NX_DAEMON: 'false',
    NX_WORKSPACE_ROOT_PATH: path,
    NX_CACHE_DIRECTORY: join(path, '.nx/cache'),
    NX_WORKSPACE_DATA_DIRECTORY: join(path, '.nx/workspace-data'),
  };
}

/** Third-party packages are linked to the original's; @hoc/* lead to the clone's own folders. */
function linkModules(root, path) {
  mkdirSync(join(path, 'node_modules/@hoc'), { recursive: true });
  for (const entry of readdirSync(join(root, 'node_modules')))
    if (entry !== '@hoc' && entry !== '.cache')
      symlinkSync(join(root, 'node_modules', entry), join(path, 'node_modules', entry));
  for (const entry of readdirSync(join(root, 'node_modules/@hoc')))
    symlinkSync(readlinkSync(join(root, 'node_modules/@hoc', entry)), join(path, 'node_modules/@hoc', entry));
}

/** Asynchronous, so that this process can answer as a registry meanwhile. */
function start(command, args, cwd, env) {
  return new Promise((done, fail) => {
    const child = spawn(command, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
    let text = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (text += data));
    child.on('error', fail);
    child.on('close', (status) => done({ status, text }));
  });
}
