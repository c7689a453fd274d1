// The violations that lint must name, and the imports that it must let pass. Who may import whom is worked out here once more,
// from layers.json alone: were it taken from constraints.mjs, a mistake there would agree with itself.
import { readFileSync } from 'node:fs';
import { arch, units } from '../../architecture/constraints.mjs';

const NX = '@nx/enforce-module-boundaries';
const LIST = 'no-restricted-imports';
const TYPES = '@typescript-eslint/no-restricted-imports';
const SYNTAX = 'no-restricted-syntax';
const INSIDE = 'hoc/inside-unit';
const GLOBALS = 'no-restricted-globals';

/** `{ name, file, code, rules }`: every rule named in `rules` must report that very file; an empty list is a control. */
export function plantedCases() {
  return [...pairs(), ...externals(), ...escapes(), ...specs(), ...strays()];
}

const planted = (unit, name = 'planted.ts') => `${unit.root}/src/${name}`;
const unitNamed = (name) => units().find((unit) => unit.name === name);

const FORMS = {
  value: (s) => `import * as x from '${s}';\nexport const y = x;\n`,
  type: (s) => `import type * as x from '${s}';\nexport type Y = typeof x;\n`,
  're-export': (s) => `export * from '${s}';\n`,
};

const lists = (pairsOf, from, to) =>
  (pairsOf ?? []).some(
    ([who, layer]) => layer === to.layer && (who === 'every' || to.domain === (who === 'own' ? from.domain : who)),
  );

/** Every ordered pair of units in every form. */
function pairs() {
  const all = units();
  return all.flatMap((from) =>
    all
      .filter((to) => to.name !== from.name)
      .flatMap((to) =>
        Object.entries(FORMS).map(([form, code]) => ({
          name: `${from.name} -> ${to.name} (${form})`,
          file: planted(from),
          code: code(to.specifier),
          rules: rulesOfPair(from, to, form),
        })),
      ),
  );
}

function rulesOfPair(from, to, form) {
  const layerData = arch.layers[from.layer];
  const own = from.layer === 'api' ? arch.api[from.domain] : {};
  const values = own.mayImport ?? layerData.mayImport;
  const types = own.mayImportTypes ?? layerData.mayImportTypes;
  if (to.layer === 'api') {
    if ((own.mayUse ?? []).includes(to.specifier)) return [];
    // What exports nothing resolves to nothing, and Nx is silent about what it can't resolve: the list is the only guard.
    if (!exportsSomething(to)) return [LIST];
    // The graph lets a unit reach what its specs may use; that its sources may not is the list's work alone.
    const specsUse = from.layer === 'api' || !arch.specs.exceptIn.includes(from.name) ? arch.specs.mayUse : [];
    const graphAllows = from.layer !== 'api' && specsUse.includes(to.specifier);
    return graphAllows ? [LIST] : [LIST, NX];
  }
  if (lists(values, from, to)) return [];
  if (lists(types, from, to)) return form === 'type' ? [] : [TYPES];
  const graphAllows = !arch.specs.exceptIn.includes(from.name) && lists(arch.specs.mayImport, from, to);
  return graphAllows ? [LIST] : [LIST, NX];
}

const exportsSomething = (unit) => 'exports' in JSON.parse(readFileSync(`${unit.root}/package.json`, 'utf8'));

/** typeorm and pg, also by a deep path, in every unit; a transitive and an absent package; node built-ins. */
function externals() {
  const deep = 'typeorm/driver/types/ColumnTypes.js';
  return units().flatMap((unit) => {
    const allowed = (name) =>
      unit.mayUse.includes(name) || (name.startsWith('node:') && unit.mayUse.includes('node:*'));
    const banned = (name) => unit.bannedExternals.some((b) => name === b || name.startsWith(`${b}/`));
    return ['typeorm', 'pg', deep, 'postgres-array', 'knex', 'fs', 'node:fs'].flatMap((name) =>
      Object.entries(FORMS).map(([form, code]) => ({
        name: `${unit.name} -> ${name} (${form})`,
        file: planted(unit),
        code: code(name),
        rules: allowed(name) ? [] : banned(name) ? [LIST, NX] : [LIST],
      })),
    );
  });
}

/** Ways round an import declaration, in an engine of each domain and in the layers around it. */
function escapes() {
  const engines = units().filter((unit) => unit.layer === 'engines');
  const others = ['shared-kernel', 'activity-schemas', 'activity-drivers', '@hoc/quickstart'].map(unitNamed);
  return [...engines, ...others].flatMap((unit) =>
    Object.entries(escapeForms(unit)).map(([name, [code, rules, file]]) => ({
      name: `${unit.name}: ${name}`,
      file: planted(unit, file),
      code,
      rules,
    })),
  );
}

function escapeForms(unit) {
  const up = '../'.repeat(unit.root.split('/').length + 1);
  const value = FORMS.value;
  // A relative path is inside-unit's work; where Nx finds a project at its end, Nx speaks too.
  return {
    'relative path to a file of another layer': [value(`${up}libs/shared/models/src/index`), [INSIDE, NX]],
    'relative type import': [FORMS.type(`${up}libs/shared/models/src/index`), [INSIDE, NX]],
    'relative re-export': [FORMS['re-export'](`${up}libs/shared/models/src/index`), [INSIDE, NX]],
    'relative path that starts inside': [value(`./a/../../${up.slice(3)}libs/shared/models/src/index`), [INSIDE]],
    'relative path from a sub-folder': [value(`../${up}libs/shared/models/src/index`), [INSIDE, NX], 'deep/planted.ts'],
    'relative path to dist': [value(`${up}libs/shared/dist/models/src/index.js`), [INSIDE]],
    'relative path to node_modules': [value(`${up}node_modules/pg`), [INSIDE]],
    'parent folder': [value('..'), [INSIDE, LIST]],
    'path alias': [value('libs/shared/models/src/index'), [LIST]],
    'alias with a letter': [value('@/shared/models'), [LIST]],
    'imports field': [value('#shared/models'), [LIST]],
    'absolute path': [value('/libs/shared/models/src/index'), [LIST]],
    'specifier in other letters': [value('@HOC/Shared/Kernel'), [LIST]],
    'deep import into src': [value('@hoc/shared/models/src/tenant.entity'), [LIST]],
    'deep import into dist': [value('@hoc/shared/dist/models/src/index.js'), [LIST]],
    'deep type import': [FORMS.type('@hoc/shared/models/src/tenant.entity'), [LIST]],
    'deep re-export': [FORMS['re-export']('@hoc/shared/models/src/tenant.entity'), [LIST]],
    'layer that does not exist': [value('@hoc/shared/module'), [LIST]],
    'side-effect import': [`import 'pg-native';\n`, [LIST]],
    'named re-export': [`export { default } from 'knex';\n`, [LIST]],
    'own package by name': unit.layer === 'api' ? [value('@hoc/none'), [LIST]] : [value(unit.specifier), [LIST, NX]],
    'import =': [`import x = require('@hoc/shared/models');\nexport const y = x;\n`, [SYNTAX]],
    "import('x').T": [`export type T = import('@hoc/shared/models').TenantEntity;\n`, [SYNTAX]],
    'typeof import()': [`export type T = typeof import('typeorm');\n`, [SYNTAX]],
    'dynamic import': [`export const f = () => import('@hoc/shared/models');\n`, [SYNTAX]],
    'dynamic import of a template': ['export const f = () => import(`@hoc/shared/models`);\n', [SYNTAX]],
    'dynamic import of a variable': [`export const f = (name: string) => import(name);\n`, [SYNTAX]],
    createRequire: [
      `import { createRequire } from 'node:module';\nexport const r = createRequire(__filename)('pg');\n`,
      [SYNTAX],
    ],
    'createRequire, re-exported': [`export { createRequire as load } from 'node:module';\n`, [SYNTAX]],
    'createRequire, default import': [`import m from 'node:module';\nexport const r = m;\n`, [SYNTAX]],
    require: [`export const r = require('pg');\n`, [SYNTAX, GLOBALS]],
    'require of a template': ['export const r = require(`pg`);\n', [SYNTAX, GLOBALS]],
    'require, aliased': [`const load = require;\nexport const r = load('pg');\n`, [SYNTAX, GLOBALS]],
    'require.call': [`export const r = require.call(null, 'pg');\n`, [SYNTAX, GLOBALS]],
    'module.require': [`export const r = module.require('pg');\n`, [SYNTAX, GLOBALS]],
    'module[require]': [`export const r = module['require']('pg');\n`, [SYNTAX, GLOBALS]],
    'module[computed]': [`export const r = module['req' + 'uire']('pg');\n`, [GLOBALS]],
    'destructured require': [`export const { require: r } = module;\n`, [SYNTAX, GLOBALS]],
    getBuiltinModule: [`export const r = process.getBuiltinModule('module');\n`, [SYNTAX]],
    'getBuiltinModule of globalThis': [`export const r = globalThis.process.getBuiltinModule('module');\n`, [SYNTAX]],
    'getBuiltinModule, computed': [`export const r = process['getBuiltinModule']('module');\n`, [SYNTAX]],
    'getBuiltinModule, destructured': [`export const { getBuiltinModule } = process;\n`, [SYNTAX]],
    mainModule: [`export const r = process.mainModule;\n`, [SYNTAX]],
    eval: [`export const r = eval("require('pg')");\n`, [SYNTAX]],
    'new Function': [`export const r = new Function('return 1');\n`, [SYNTAX]],
    'node:vm': [`import vm from 'node:vm';\nexport const r = vm;\n`, [SYNTAX]],
    'triple slash types': [
      `/// <reference types="pg" />\nexport const y = 1;\n`,
      ['@typescript-eslint/triple-slash-reference'],
    ],
    'triple slash path': [
      `/// <reference path="../x.ts" />\nexport const y = 1;\n`,
      ['@typescript-eslint/triple-slash-reference'],
    ],
    'declare module': [
      `declare module 'typeorm' {\n  interface X {\n    a: 1;\n  }\n}\nexport const y = 1;\n`,
      [SYNTAX],
    ],
    'eslint-disable': [`/* eslint-disable */\nimport * as x from 'knex';\nexport const y = x;\n`, [LIST]],
    'eslint-disable-next-line': [
      `// eslint-disable-next-line no-restricted-imports\nimport * as x from 'knex';\nexport const y = x;\n`,
      [LIST],
    ],
    'eslint rule comment': [
      `/* eslint no-restricted-imports: off */\nimport * as x from 'knex';\nexport const y = x;\n`,
      [LIST],
    ],
    'ts-ignore': [`// @ts-ignore\nexport const y = 1;\n`, ['@typescript-eslint/ban-ts-comment']],
    'control: relative inside the unit': [`import { a } from './beside';\nexport const y = a;\n`, []],
    'control: a folder of the unit': [`import { a } from '../beside';\nexport const y = a;\n`, [], 'deep/planted.ts'],
    'control: a variable called module': [`export const f = (module: string) => module;\n`, []],
  };
}

/** What a spec may use beyond its unit, and what neither a spec may nor a source may take from one. */
function specs() {
  const file = 'planted.spec.ts';
  const driver = unitNamed('activity-drivers');
  const engine = unitNamed('activity-engines');
  const kernel = unitNamed('shared-kernel');
  const row = (unit, name, code, rules, path = file) => ({
    name: `${unit.name}: ${name}`,
    file: planted(unit, path),
    code,
    rules,
  });
  const { value, type } = FORMS;
  return [
    row(driver, 'control: spec uses the testkit', value('@hoc/testkit'), []),
    row(driver, 'control: spec uses the fakes', value('@hoc/shared/testing'), []),
    row(driver, 'control: spec uses node', value('node:fs'), []),
    row(engine, 'control: spec types its drivers', type('@hoc/activity/drivers'), []),
    row(engine, 'spec loads its drivers', value('@hoc/activity/drivers'), [TYPES]),
    row(engine, 'spec loads models', value('@hoc/shared/models'), [LIST, NX]),
    row(driver, "spec loads another domain's drivers", value('@hoc/controls/drivers'), [LIST, NX]),
    row(driver, 'spec reaches by path', value('../../models/src/index'), [INSIDE, NX]),
    row(
      driver,
      'spec uses createRequire',
      `import { createRequire } from 'node:module';\nexport const r = createRequire;\n`,
      [SYNTAX],
    ),
    row(driver, 'spec mocks a package', `jest.mock('@hoc/controls/drivers');\nexport const y = 1;\n`, [SYNTAX]),
    row(driver, 'spec loads by jest', `export const y = jest.requireActual('@hoc/controls/drivers');\n`, [SYNTAX]),
    row(kernel, 'spec of the kernel uses the testkit', value('@hoc/testkit'), [LIST, NX]),
    row(driver, 'source loads a spec', value('./other.spec'), [LIST], 'planted.ts'),
  ];
}

/** Code where no unit is. */
function strays() {
  const code = `import * as x from 'pg';\nexport const y = x;\n`;
  const rules = ['hoc/known-unit'];
  return [
    'libs/activity/planted/src/planted.ts',
    'libs/activity/planted.ts',
    'libs/activity/engines/planted.ts',
    'libs/activity/engines/lib/planted.ts',
    'libs/activity/engines/src/planted.js',
    'libs/activity/engines/src/planted.cjs',
    'libs/activity/engines/src/planted.mts',
    'libs/activity/engines/src/planted.tsx',
    'libs/planted/engines/src/planted.ts',
    'libs/planted.ts',
    'tools/planted/src/planted.ts',
    'tools/quickstart/planted.ts',
    'tools/quickstart/src/planted.cjs',
  ].map((file) => ({ name: `code outside every unit: ${file}`, file, code, rules }));
}
