// Gives every package and every layer its tags, targets and implicit dependencies from architecture/layers.json.
// CommonJS: Nx loads it without a TypeScript loader.
const { existsSync, readFileSync } = require('node:fs');
const { dirname, join } = require('node:path');

const BUILD_TOOLS = { externalDependencies: ['typescript', 'tsup'] };
const TEST_TOOLS = { externalDependencies: ['jest', '@swc/jest', 'typeorm', 'pg'] };
const LINT_TOOLS = { externalDependencies: ['eslint', '@nx/eslint-plugin', 'typescript-eslint'] };

const readArchitecture = (root) => JSON.parse(readFileSync(join(root, 'architecture/layers.json'), 'utf8'));

/** A package is the unit of release. Nested files aren't its own, so it must depend on its layers, or a build is stale. */
function packageProject(workspaceRoot, root, domain, arch) {
  const layers = Object.keys(arch.layers).filter((layer) =>
    existsSync(join(workspaceRoot, root, layer, 'project.json')),
  );
  return {
    tags: [`domain:${domain}`, 'type:package'],
    implicitDependencies: layers.map((layer) => `${domain}-${layer}`),
    targets: {
      build: buildTarget(
        ['production', '^production', BUILD_TOOLS],
        'tsup --config ../../tsup.config.ts && tsc -p tsconfig.build.json',
      ),
    },
  };
}

function buildTarget(inputs, command) {
  return {
    command,
    options: { cwd: '{projectRoot}' },
    dependsOn: ['^build'],
    cache: true,
    inputs,
    outputs: ['{projectRoot}/dist'],
  };
}

const testTarget = (project, root) => ({
  command: `jest --selectProjects ${project} --testPathPatterns ${root}/ --passWithNoTests`,
  cache: true,
  inputs: ['default', '^default', TEST_TOOLS],
});

const lintTarget = (root) => ({ command: `eslint ${root}`, cache: true, inputs: ['default', '^default', LINT_TOOLS] });

function layerProject(root, domain, layer, arch) {
  return {
    tags: [`layer:${layer}`, `domain:${domain}`, `unit:${domain}-${layer}`],
    projectType: 'library',
    sourceRoot: `${root}/src`,
    targets: { lint: lintTarget(root), test: testTarget(arch.layers[layer]?.tests ?? 'unit', root) },
  };
}

function toolProject(workspaceRoot, root, name, arch) {
  const unit = arch.api[name];
  if (!unit) return {};
  const built = existsSync(join(workspaceRoot, root, 'tsconfig.build.json'));
  return {
    tags: ['layer:api', `domain:${name}`, `unit:${name}`],
    // Not 'application': the specs import the testkit, and Nx forbids to import an application.
    projectType: 'library',
    // Nothing is built for a tool that runs from source; the edge from its package.json to a whole package would only
    // close a circle with the specs of that package that use the tool. The layers it imports stay its dependencies.
    ...(built ? {} : { implicitDependencies: arch.domains.map((domain) => `!${arch.scope}/${domain}`) }),
    sourceRoot: `${root}/src`,
    targets: {
      lint: lintTarget(root),
      test: testTarget(unit.tests ?? 'unit', root),
      ...(built
        ? { build: buildTarget(['production', '^production', BUILD_TOOLS], 'tsup --config ../../tsup.config.ts') }
        : {}),
    },
  };
}

exports.name = 'hoc-layers';
exports.createNodesV2 = [
  '{libs/*/package.json,libs/*/*/project.json,{tools/*,bench,examples/*}/package.json}',
  (files, _options, { workspaceRoot }) => {
    const arch = readArchitecture(workspaceRoot);
    return files.map((file) => {
      const root = dirname(file);
      const [top, first, second] = root.split('/');
      const project =
        top !== 'libs'
          ? toolProject(workspaceRoot, root, first ?? top, arch)
          : second
            ? layerProject(root, first, second, arch)
            : packageProject(workspaceRoot, root, first, arch);
      return [file, { projects: { [root]: project } }];
    });
  },
];
