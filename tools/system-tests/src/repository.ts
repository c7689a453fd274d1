import { execFileSync, spawnSync } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

/** The root of this repository. */
export const REPOSITORY = resolve(__dirname, '../../..');

/** The real input; it stands beside the repository and is never copied into it. */
export const TRACE = resolve(REPOSITORY, '../shared/data/AzureLLMInferenceTrace_conv.csv');

/** Runs a command; its output, or an error that shows it. */
export function run(
  command: string,
  args: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
): string {
  const result = spawnSync(command, [...args], {
    cwd: options.cwd ?? REPOSITORY,
    env: { ...process.env, NX_DAEMON: 'false', ...options.env },
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  });
  if (result.status !== 0)
    throw new Error(
      `${command} ${args.join(' ')} ended with ${result.status ?? result.signal}\n${result.stdout}\n${result.stderr}`,
    );
  return result.stdout;
}

/**
 * Builds everything, once a test run. A build empties `dist` first, so a spec that built on its own would pull the packages
 * from under the processes of another one.
 */
export function build(): void {
  const marks = join(REPOSITORY, 'tmp', `build-${process.env['HOC_TEST_RUN'] ?? process.pid}`);
  mkdirSync(join(REPOSITORY, 'tmp'), { recursive: true });
  if (isFirst(`${marks}.begun`)) {
    try {
      run(process.execPath, [join(REPOSITORY, 'node_modules/.bin/nx'), 'run-many', '-t', 'build']);
      writeFileSync(`${marks}.done`, '');
    } catch (error) {
      writeFileSync(`${marks}.failed`, '');
      throw error;
    }
    return;
  }
  for (const until = Date.now() + BUILD_MS; !existsSync(`${marks}.done`); sleep(100)) {
    if (existsSync(`${marks}.failed`)) throw new Error('the build, which another spec began, has failed: see there');
    if (Date.now() > until) throw new Error('the build, which another spec began, has not ended');
  }
}

/** Against hanging alone. */
const BUILD_MS = 600_000;

function isFirst(mark: string): boolean {
  try {
    closeSync(openSync(mark, 'wx'));
    return true;
  } catch {
    return false;
  }
}

const sleep = (ms: number): void => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);

/** An empty folder below `tmp/`, which git ignores: inside the repository, so that its tools resolve. */
export function emptyFolder(name: string): string {
  const folder = join(REPOSITORY, 'tmp', name);
  if (existsSync(folder)) rmSync(folder, { recursive: true });
  mkdirSync(folder, { recursive: true });
  return folder;
}

/** Packs a package as `npm publish` would; the tarball's path. */
export function pack(domain: string, into: string): string {
  const output = execFileSync('npm', ['pack', '--json', '--pack-destination', into], {
    cwd: join(REPOSITORY, 'libs', domain),
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const [packed] = JSON.parse(output) as { filename: string }[];
  if (packed === undefined) throw new Error(`npm pack said nothing of ${domain}`);
  return join(into, packed.filename);
}
