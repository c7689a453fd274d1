// The five packages as the checks of this folder see them: what stands in their manifests, and their built files.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { arch } from '../../architecture/constraints.mjs';

/** One entry per package: `{ name, root, manifest, subpaths }`; a subpath is `{ specifier, layer, code, types }`. */
export const packages = () =>
  arch.domains.map((domain) => {
    const root = `libs/${domain}`;
    const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
    return { name: manifest.name, domain, root, manifest, subpaths: subpathsOf(manifest, root) };
  });

const subpathsOf = (manifest, root) =>
  Object.entries(manifest.exports)
    .filter(([, target]) => typeof target === 'object')
    .map(([subpath, target]) => ({
      specifier: subpath === '.' ? manifest.name : `${manifest.name}${subpath.slice(1)}`,
      layer: subpath === '.' ? 'module' : subpath.slice(2),
      code: join(root, target.default),
      types: join(root, target.types),
    }));

/** Builds all five; Nx answers from its cache what is fresh. Ends the process where the build fails. */
export function buildPackages() {
  const projects = arch.domains.map((domain) => `${arch.scope}/${domain}`).join(',');
  const run = spawnSync('node_modules/.bin/nx', ['run-many', '-t', 'build', '-p', projects, '--outputStyle=static'], {
    env: { ...process.env, NX_DAEMON: 'false' },
    encoding: 'utf8',
  });
  if (run.status === 0) return;
  console.error(run.stdout, run.stderr);
  process.exit(1);
}
