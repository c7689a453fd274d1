// Three guards of the topology, each blind to something that another one sees (docs/architecture.md, design workspace §5):
// 1. the Nx rule on the project graph, 2. an exact allow-list of specifiers, 3. the syntax that neither of them looks at.
import nx from '@nx/eslint-plugin';
import { readCachedProjectGraph } from '@nx/devkit';
import tseslint from 'typescript-eslint';
import { allowedSpecifiers, depConstraints, typeImportsOf, units } from './architecture/constraints.mjs';

failClosed();

/** Without a cached graph, or with stale tags, the Nx rule reports nothing and exits 0: so refuse to lint. */
function failClosed() {
  const graph = readCachedProjectGraph();
  for (const unit of units()) {
    const tags = graph.nodes[unit.name]?.data.tags ?? [];
    const wanted = [`layer:${unit.layer}`, `domain:${unit.domain}`, unit.tag];
    if (!wanted.every((tag) => tags.includes(tag)))
      throw new Error(`the project graph lacks ${unit.name} with the tags ${wanted.join(', ')}: run "npm run graph"`);
  }
}

const escapeRegExp = (text) => text.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&');
const asPattern = (specifier) => (specifier === 'node:*' ? 'node:[a-z/_]+' : escapeRegExp(specifier));

/** A specifier is relative inside the unit, or exactly on the unit's list. */
function allowList(unit, spec) {
  const list = allowedSpecifiers(unit, { spec }).map(asPattern).join('|');
  const message = `${unit.name} may import only what architecture/layers.json lists.`;
  return ['error', { patterns: [{ regex: `^(?!\\.{1,2}/|(?:${list})$)`, message }] }];
}

/** Relative imports stay inside the unit: one that leaves src/ reaches another layer by path. */
const unitPaths = {
  selector: String.raw`:matches(ImportDeclaration, ExportNamedDeclaration, ExportAllDeclaration)[source.value=/^(?:\.\.?\u002f)+(?:[^.].*\u002f)?src(?:\u002f|$)/]`,
  message: 'another layer is imported by its name, not by a path.',
};

const syntax = [
  unitPaths,
  { selector: 'TSImportEqualsDeclaration', message: 'import x = … escapes the boundary rule; use import … from.' },
  { selector: 'TSImportType', message: "import('x').T escapes the boundary rule; use import type." },
  { selector: "CallExpression[callee.name='require']", message: 'require is not used; import instead.' },
  { selector: "MemberExpression[property.name='require']", message: 'require is not used; import instead.' },
  {
    selector: 'ImportDeclaration[source.value=/^(node:)?module$/]',
    message: 'createRequire is not used; import instead.',
  },
  {
    selector: "CallExpression[callee.object.name='process'][callee.property.name='getBuiltinModule']",
    message: 'import the builtin instead.',
  },
  { selector: 'TSModuleDeclaration[id.type="Literal"]', message: 'ambient module declarations are not used.' },
];

/** Optional peers are loaded on first use; the literals of `mayLoad` are the one dynamic import that passes. */
function dynamicImport(unit) {
  const allowed = unit.mayLoad.map((name) => `:not([source.value='${name}'])`).join('');
  return {
    selector: `ImportExpression${allowed}`,
    message: 'dynamic import is for the optional peers of layers.json (mayLoad) only.',
  };
}

/** Below L2 every throw is an HocError: a plain Error has no code, and would leak what it holds. */
const plainErrors = {
  selector: 'ThrowStatement > NewExpression[callee.name=/^(Error|TypeError|RangeError|SyntaxError)$/]',
  message: 'throw an HocError subclass.',
};
/** Time and chance are injected. */
const ambient = [
  {
    selector: "CallExpression[callee.object.name='Date'][callee.property.name='now']",
    message: 'take the Clock that is injected.',
  },
  { selector: "NewExpression[callee.name='Date'][arguments.length=0]", message: 'take the Clock that is injected.' },
  {
    selector: "MemberExpression[object.name='process'][property.name='env']",
    message: 'no library reads the environment.',
  },
];
const randomness = {
  selector: "CallExpression[callee.object.name='Math'][callee.property.name='random']",
  message: 'take the randomness that is injected.',
};

function unitRules(unit) {
  const library = unit.layer !== 'api';
  const owners = ['kernel', 'spine'];
  const libraryOnly = library
    ? [plainErrors, ...(owners.includes(unit.layer) ? [ambient[2]] : [...ambient, randomness])]
    : [];
  const typesOnly = typeImportsOf(unit).map((target) => escapeRegExp(target.specifier));
  const files = [`${unit.root}/src/**/*.ts`];
  const specs = [`${unit.root}/src/**/*.spec.ts`];
  return [
    {
      files,
      ignores: specs,
      rules: {
        'no-restricted-imports': allowList(unit, false),
        'no-restricted-syntax': ['error', ...syntax, dynamicImport(unit), ...libraryOnly],
        ...(typesOnly.length
          ? {
              '@typescript-eslint/no-restricted-imports': [
                'error',
                {
                  patterns: [
                    {
                      regex: `^(?:${typesOnly.join('|')})$`,
                      allowTypeImports: true,
                      message: `${unit.name} may import this as types only.`,
                    },
                  ],
                },
              ],
            }
          : {}),
      },
    },
    {
      files: specs,
      rules: {
        'no-restricted-imports': allowList(unit, true),
        'no-restricted-syntax': ['error', ...syntax, dynamicImport(unit)],
      },
    },
  ];
}

export default tseslint.config(
  { ignores: ['**/dist/**', '**/node_modules/**', '.nx/**', 'tmp/**'] },
  { linterOptions: { noInlineConfig: true, reportUnusedDisableDirectives: 'error' } },
  {
    files: ['libs/*/*/src/**/*.ts', 'tools/*/src/**/*.ts'],
    languageOptions: { parser: tseslint.parser, parserOptions: { projectService: true } },
    plugins: { '@nx': nx, '@typescript-eslint': tseslint.plugin },
    rules: {
      '@nx/enforce-module-boundaries': [
        'error',
        {
          allow: [],
          allowCircularSelfDependency: false,
          banTransitiveDependencies: false,
          checkNestedExternalImports: false,
          enforceBuildableLibDependency: false,
          depConstraints: depConstraints(),
        },
      ],
      '@typescript-eslint/triple-slash-reference': ['error', { lib: 'never', path: 'never', types: 'never' }],
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports' }],
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      'prefer-const': 'error',
      eqeqeq: ['error', 'smart'],
    },
  },
  {
    files: ['libs/*/*/src/**/*.ts'],
    ignores: ['**/*.spec.ts'],
    rules: {
      '@typescript-eslint/no-non-null-assertion': 'error',
      'max-lines': ['error', 500],
      'max-lines-per-function': ['error', { max: 60, skipBlankLines: true, skipComments: true }],
    },
  },
  ...units().flatMap(unitRules),
);
