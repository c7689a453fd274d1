// Writes everything that follows from architecture/layers.json; with --check it writes nothing and fails where a file differs.
//   node tools/arch/generate.mjs [--check]
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { format, resolveConfig } from 'prettier';
import { apiUnits, arch, layerUnits } from '../../architecture/constraints.mjs';
import { architecturePage } from './architecture-page.mjs';

const check = process.argv.includes('--check');
const root = process.cwd();
const stale = [];

async function emit(path, text) {
  const full = join(root, path);
  const formatted = await format(text, { ...(await resolveConfig(full)), filepath: full });
  if (existsSync(full) && readFileSync(full, 'utf8') === formatted) return;
  if (check) return void stale.push(path);
  mkdirSync(dirname(full), { recursive: true });
  writeFileSync(full, formatted);
  console.log(`wrote ${path}`);
}

const json = (value) => JSON.stringify(value, null, 2);

/** Tags stand in project.json for the reader; the plugin sets the same ones, so that a missing one shows as a difference. */
async function projectFiles() {
  for (const unit of layerUnits()) {
    await emit(
      `${unit.root}/project.json`,
      json({
        $schema: '../../../node_modules/nx/schemas/project-schema.json',
        name: unit.name,
        tags: [`layer:${unit.layer}`, `domain:${unit.domain}`, unit.tag],
      }),
    );
  }
  for (const unit of apiUnits()) {
    await emit(
      `${unit.root}/project.json`,
      json({
        $schema: `${'../'.repeat(unit.root.split('/').length)}node_modules/nx/schemas/project-schema.json`,
        name: unit.name,
        tags: ['layer:api', `domain:${unit.domain}`, unit.tag],
      }),
    );
  }
}

/** `exports` in Node's order of meaning: the source condition first, `default` last. */
async function manifests() {
  for (const domain of arch.domains) {
    const path = `libs/${domain}/package.json`;
    const manifest = JSON.parse(readFileSync(join(root, path), 'utf8'));
    const layers = layerUnits().filter((unit) => unit.domain === domain);
    const subpath = (unit) => (unit.layer === 'module' ? '.' : `./${unit.layer}`);
    const sorted = [...layers.filter((u) => u.layer === 'module'), ...layers.filter((u) => u.layer !== 'module')];
    manifest.main = './dist/module/src/index.js';
    manifest.types = './dist/module/src/index.d.ts';
    manifest.exports = Object.fromEntries([
      ...sorted.map((unit) => [
        subpath(unit),
        {
          [`${arch.scope}/source`]: `./${unit.layer}/src/index.ts`,
          types: `./dist/${unit.layer}/src/index.d.ts`,
          default: `./dist/${unit.layer}/src/index.js`,
        },
      ]),
      ['./package.json', './package.json'],
    ]);
    manifest.typesVersions = {
      '*': Object.fromEntries(
        sorted.filter((u) => u.layer !== 'module').map((u) => [u.layer, [`./dist/${u.layer}/src/index.d.ts`]]),
      ),
    };
    await emit(path, json(manifest));
  }
}

await projectFiles();
await manifests();
await emit('docs/architecture.md', architecturePage());

if (stale.length) {
  console.error(`stale, run "npm run generate":\n${stale.map((path) => `  ${path}`).join('\n')}`);
  process.exit(1);
}
