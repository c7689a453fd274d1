// What the folders themselves must hold to: names, suffixes, nothing loose, tags as layers.json says, generated files fresh.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { arch, layerUnits, units } from '../../architecture/constraints.mjs';

const IN_PACKAGE = [
  'package.json',
  'tsconfig.build.json',
  'README.md',
  'CHANGELOG.md',
  'LICENSE',
  'dist',
  'node_modules',
];
const FORBIDDEN = /^(utils?|helpers?|common|misc|managers?|base)(\.|$)/;

/** `[name, problem | undefined]` per check; one check per unit, package and generator. */
export function structureProblems(root) {
  return [
    ...arch.domains.map((domain) => [`files of libs/${domain}`, looseFiles(root, domain)]),
    ...units().map((unit) => [`tags of ${unit.name}`, tagProblem(root, unit)]),
    ...layerUnits().map((unit) => [`file names of ${unit.name}`, nameProblem(root, unit)]),
    ['libs holds the domains only', strangers(join(root, 'libs'), arch.domains)],
    ['generated files are fresh', generatorProblem(root)],
  ];
}

const strangers = (folder, known) => {
  const strange = readdirSync(folder).filter((entry) => !known.includes(entry));
  return strange.length ? `${strange.join(', ')} doesn't belong there` : undefined;
};

/** A loose .ts file would belong to the package's project, whose constraints are weaker. */
function looseFiles(root, domain) {
  const layers = layerUnits().filter((unit) => unit.domain === domain);
  const package_ = strangers(join(root, 'libs', domain), [...IN_PACKAGE, ...layers.map((unit) => unit.layer)]);
  return package_ ?? layers.map((unit) => strangers(join(root, unit.root), ofLayer(unit))).find(Boolean);
}

/** The module says which name of the seeds stands where; a test of it resolves each. */
const ofLayer = (unit) => ['project.json', 'src', ...(unit.layer === 'module' ? ['coverage.json'] : [])];

function tagProblem(root, unit) {
  const file = join(root, unit.root, 'project.json');
  if (!existsSync(file)) return `no ${unit.root}/project.json`;
  const { name, tags = [] } = JSON.parse(readFileSync(file, 'utf8'));
  const wanted = [`layer:${unit.layer}`, `domain:${unit.domain}`, unit.tag];
  if (name !== unit.name) return `project.json names it ${name}`;
  return tags.join() === wanted.join()
    ? undefined
    : `tags are ${tags.join(', ') || 'absent'}, not ${wanted.join(', ')}`;
}

/** `<name>.<suffix>.ts` with a suffix of the layer; index.ts, specs and the layer's `loose` files apart. */
function nameProblem(root, unit) {
  const source = join(root, unit.root, 'src');
  const files = readdirSync(source, { recursive: true, withFileTypes: true });
  const wrong = files
    .filter((entry) => entry.isFile())
    .map((entry) => [entry.name, join(entry.parentPath, entry.name)]);
  const strange = wrong.filter(([name]) => !rightName(name, unit)).map(([, path]) => path.slice(root.length + 1));
  return strange.length ? strange.join(', ') : undefined;
}

function rightName(name, unit) {
  if (FORBIDDEN.test(name) || !/^[a-z0-9]+([.-][a-z0-9]+)*\.(ts|json|sql)$/.test(name)) return false;
  if (!name.endsWith('.ts')) return (unit.data ?? []).includes(name);
  if (name === 'index.ts' || name.endsWith('.spec.ts') || !unit.suffix) return true;
  const stem = name.slice(0, -'.ts'.length);
  return (unit.loose ?? []).includes(stem) || unit.suffix.some((suffix) => stem.endsWith(`.${suffix}`));
}

function generatorProblem(root) {
  const run = spawnSync(process.execPath, ['tools/arch/generate.mjs', '--check'], { cwd: root, encoding: 'utf8' });
  return run.status === 0 ? undefined : run.stderr.trim();
}
