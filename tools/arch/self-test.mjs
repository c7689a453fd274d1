// Proves that the boundaries bite: plants every kind of violation in a copy of the workspace and fails unless lint names it.
//   node tools/arch/self-test.mjs
import { existsSync, readFileSync, rmSync, writeFileSync, mkdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { structureProblems } from './structure.mjs';
import { copyWorkspace } from './workspace-copy.mjs';

const root = process.cwd();
const total = { cases: 0, violations: 0, wrong: 0 };
const workspace = copyWorkspace(root);

/** Counts a case; `problem` is what is wrong with it, or undefined. */
function count(name, violation, problem) {
  total.cases++;
  if (violation) total.violations++;
  if (!problem) return;
  total.wrong++;
  console.error(`WRONG   ${name}: ${problem}`);
}

const tail = (text) => text.trim().split('\n').slice(-12).join('\n');
const eslint = (...files) => workspace.run('node', ['node_modules/eslint/bin/eslint.js', ...files]);
const graph = () => workspace.run('node', ['node_modules/nx/dist/bin/nx.js', 'graph', '--file=tmp/graph.json']);
const textOf = (run) => `${run.stdout}\n${run.stderr}`;

try {
  for (const [name, problem] of structureProblems(root)) count(name, false, problem);
  const first = graph();
  if (first.status !== 0) throw new Error(`no project graph in the copy:\n${tail(textOf(first))}`);
  cleanControl();
  plantAll();
  withoutProjectService();
  graphCases();
} finally {
  workspace.remove();
}
console.log(`${total.cases} cases, ${total.violations} violations, ${total.wrong} wrong`);
process.exitCode = total.wrong ? 1 : 0;

/** The copy as it is: no boundary rule speaks. Other rules are lint's business, not this proof's. */
function cleanControl() {
  const run = eslint('libs', 'tools', 'bench', '-f', 'json');
  const boundary = /^(@nx\/enforce-module-boundaries|(@typescript-eslint\/)?no-restricted-(imports|globals)|hoc\/.*)$/;
  const found = run.stdout.startsWith('[')
    ? JSON.parse(run.stdout).flatMap((file) =>
        file.messages
          .filter((m) => m.fatal || boundary.test(m.ruleId ?? ''))
          .map((m) => `${file.filePath}: ${m.message}`),
      )
    : [tail(textOf(run))];
  count('the untouched copy', false, found.length ? found.slice(0, 5).join('\n        ') : undefined);
}

function plantAll() {
  const run = workspace.run('node', ['tools/arch/plant.mjs']);
  process.stderr.write(run.stderr);
  const counts = JSON.parse(run.stdout.trim().split('\n').pop() || '{"cases":1,"violations":0,"wrong":1}');
  for (const key of Object.keys(total)) total[key] += counts[key];
}

/** The real configuration, typed rules and all, on one planted file: what a developer would see. */
function withoutProjectService() {
  const file = 'libs/activity/engines/src/planted.ts';
  writeFileSync(join(workspace.path, file), `import * as x from '@hoc/shared/models';\nexport const y = x;\n`);
  const run = eslint(file);
  rmSync(join(workspace.path, file));
  const named = textOf(run).includes('@nx/enforce-module-boundaries') && textOf(run).includes('planted.ts');
  count('plain eslint on a planted file', true, run.status !== 0 && named ? undefined : tail(textOf(run)));
}

/** What shows in the graph only, or in its absence. Each leaves the copy as it was. */
function graphCases() {
  const engine = 'libs/activity/engines';
  const manifest = JSON.parse(readFileSync(join(workspace.path, engine, 'project.json'), 'utf8'));
  const withTags = (tags) => JSON.stringify({ ...manifest, tags });

  refused('a layer without a tag in project.json', 'activity/engines', () =>
    edit(`${engine}/project.json`, () => withTags([])),
  );
  refused('a layer with one tag too few', 'activity/engines', () =>
    edit(`${engine}/project.json`, () => withTags(manifest.tags.slice(0, 2))),
  );
  refused(
    'a layer with the tag of another one',
    'activity-engines',
    () => edit(`${engine}/project.json`, () => withTags([...manifest.tags, 'unit:shared-kernel'])),
    { rebuild: true },
  );
  refused(
    'a project of the graph that the plugin gives no tag',
    'activity-engines',
    () =>
      edit('tools/nx-plugin/plugin.cjs', (text) =>
        text.replace("'libs/{", "'none/{").replace('{libs/*/package.json,libs/*/*/project.json,', '{'),
      ),
    { rebuild: true, also: () => edit(`${engine}/project.json`, () => withTags([])) },
  );
  refused(
    'a new folder outside any layer',
    'planted-folder',
    () => {
      const folder = join(workspace.path, 'libs/activity/planted-folder');
      mkdirSync(join(folder, 'src'), { recursive: true });
      writeFileSync(
        join(folder, 'project.json'),
        JSON.stringify({ name: 'planted-folder', tags: ['unit:activity-engines'] }),
      );
      return () => rmSync(folder, { recursive: true });
    },
    { rebuild: true },
  );
  graph();
  refused('an edge that layers.json no longer lists', 'no-restricted-imports', forbidUsedEdge, {
    lint: ['libs/shared/spine'],
  });
  refused(
    'no project graph',
    '',
    () => {
      const [from, to] = ['.nx', 'nx-away'].map((name) => join(workspace.path, name));
      renameSync(from, to);
      return () => {
        rmSync(from, { recursive: true, force: true });
        renameSync(to, from);
      };
    },
    { lint: ['libs'] },
  );
}

/** Lint must end non-zero and say `mention`. */
function refused(name, mention, change, { rebuild = false, also, lint = ['libs/shared/kernel/src/index.ts'] } = {}) {
  const undo = [change(), also?.()].filter(Boolean);
  const built = rebuild ? graph() : { status: 0 };
  const run = built.status === 0 ? eslint(...lint) : built;
  for (const back of undo.reverse()) back();
  const fine = run.status !== 0 && textOf(run).includes(mention);
  count(
    name,
    true,
    fine ? undefined : `exit ${run.status}, expected a refusal that names "${mention}":\n${tail(textOf(run))}`,
  );
}

function edit(file, change) {
  const path = join(workspace.path, file);
  const before = readFileSync(path, 'utf8');
  const after = change(before);
  if (after === before) throw new Error(`nothing changed in ${file}`);
  writeFileSync(path, after);
  return () => writeFileSync(path, before);
}

/** The spine imports the drivers' toolkit or the models: take that away, and its existing code must fail. */
function forbidUsedEdge() {
  return edit('architecture/layers.json', (text) => {
    const arch = JSON.parse(text);
    arch.layers.spine.mayImport = arch.layers.spine.mayImport.filter(
      ([, layer]) => !['models', 'drivers'].includes(layer),
    );
    return JSON.stringify(arch);
  });
}
