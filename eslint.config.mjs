// Three guards of the topology, each blind to something that another one sees (docs/architecture.md, design workspace §5):
// 1. the Nx rule on the project graph, 2. an exact allow-list of specifiers, 3. the syntax that neither of them looks at.
import nx from '@nx/eslint-plugin';
import { readCachedProjectGraph } from '@nx/devkit';
import tseslint from 'typescript-eslint';
import { allowedSpecifiers, depConstraints, typeImportsOf, units } from './architecture/constraints.mjs';
import { refuseUnlessGraphMatches } from './tools/arch/graph-guard.mjs';
import hoc from './tools/arch/lint-rules.mjs';

// Without a cached graph, or with wrong tags in it, the Nx rule reports nothing and exits 0: so refuse to lint.
refuseUnlessGraphMatches(readCachedProjectGraph());

const escapeRegExp = (text) => text.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&');
const asPattern = (specifier) => (specifier === 'node:*' ? 'node:[a-z/_]+' : escapeRegExp(specifier));

/** A specifier is relative (hoc/inside-unit says how far) and no spec, or exactly on the unit's list, letter by letter. */
function allowList(unit, spec) {
  const list = allowedSpecifiers(unit, { spec }).map(asPattern).join('|');
  const message = `${unit.name} may import only what architecture/layers.json lists.`;
  const regex = `^(?!\\.{1,2}/(?!.*\\.spec(?:\\.ts)?$)|(?:${list})$)`;
  return ['error', { patterns: [{ regex, caseSensitive: true, message }] }];
}

/** Names that load a module behind the other guards' back, however they are reached: called, aliased, computed, destructured. */
const loaders = '/^(require|createRequire|getBuiltinModule|mainModule)$/';

const syntax = [
  { selector: 'TSImportEqualsDeclaration', message: 'import x = … escapes the boundary rule; use import … from.' },
  { selector: 'TSImportType', message: "import('x').T escapes the boundary rule; use import type." },
  {
    selector: `:matches(Identifier[name=${loaders}], MemberExpression > Literal.property[value=${loaders}], MemberExpression > TemplateLiteral.property[quasis.0.value.raw=${loaders}])`,
    message: 'modules are loaded by import … from.',
  },
  {
    selector:
      ':matches(ImportDeclaration, ExportNamedDeclaration, ExportAllDeclaration)[source.value=/^(node:)?(module|vm)$/]',
    message: 'modules are loaded by import … from.',
  },
  {
    selector: String.raw`CallExpression[callee.object.name='jest'][callee.property.name=/^(requireActual|requireMock|mock|doMock|setMock|createMockFromModule|unstable_mockModule)$/]:not([callee.property.name='requireActual'][arguments.0.value=/^\.\u002f[a-z-]+$/])`,
    message: 'no module is mocked; a second copy is loaded of a file beside the spec only.',
  },
  {
    selector: "CallExpression[callee.name='eval'], :matches(CallExpression, NewExpression)[callee.name='Function']",
    message: 'no code from text.',
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
  const files = [`${unit.root}/src/**/*.ts`];
  const specs = [`${unit.root}/src/**/*.spec.ts`];
  return [
    { files, rules: { 'hoc/inside-unit': ['error', `${unit.root}/src`], ...typesOnly(unit) } },
    {
      files,
      ignores: specs,
      rules: {
        'no-restricted-imports': allowList(unit, false),
        'no-restricted-syntax': ['error', ...syntax, dynamicImport(unit), ...libraryOnly],
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

/** An engine knows its drivers by type only, and so do its specs. */
function typesOnly(unit) {
  const specifiers = typeImportsOf(unit).map((target) => escapeRegExp(target.specifier));
  if (!specifiers.length) return {};
  const message = `${unit.name} may import this as types only.`;
  const regex = `^(?:${specifiers.join('|')})$`;
  return {
    '@typescript-eslint/no-restricted-imports': ['error', { patterns: [{ regex, allowTypeImports: true, message }] }],
  };
}

/** JavaScript beside the TypeScript of a unit would go unchecked; a unit of scripts (`extension`) says so in layers.json. */
const unitScripts = units()
  .filter((unit) => unit.extension === undefined)
  .map((unit) => `${unit.root}/src/**/*.{js,jsx,mjs,cjs}`);

export default tseslint.config(
  { ignores: ['**/dist/**', '**/node_modules/**', '.nx/**', 'tmp/**'] },
  { linterOptions: { noInlineConfig: true, reportUnusedDisableDirectives: 'error' } },
  {
    files: ['libs/*/*/src/**/*.ts', 'tools/*/src/**/*.ts', 'bench/src/**/*.ts'],
    languageOptions: { parser: tseslint.parser, parserOptions: { projectService: true } },
    plugins: { '@nx': nx, '@typescript-eslint': tseslint.plugin, hoc },
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
      // CommonJS gives each file these; by scope, so that a variable of that name is not meant.
      'no-restricted-globals': ['error', 'require', 'module'],
      '@typescript-eslint/triple-slash-reference': ['error', { lib: 'never', path: 'never', types: 'never' }],
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports' }],
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/ban-ts-comment': [
        'error',
        { 'ts-expect-error': 'allow-with-description', minimumDescriptionLength: 10 },
      ],
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
    files: [
      'libs/**/*.{ts,tsx,mts,cts,js,jsx,mjs,cjs}',
      'tools/**/*.{ts,tsx,mts,cts}',
      'bench/**/*.{ts,tsx,mts,cts}',
      ...unitScripts,
    ],
    ignores: [...units().map((unit) => `${unit.root}/src/**/*.ts`), '**/*.d.cts'],
    languageOptions: { parser: tseslint.parser },
    plugins: { hoc },
    rules: { 'hoc/known-unit': 'error' },
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
