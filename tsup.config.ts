import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { defineConfig, type Options } from 'tsup';

type Plugin = NonNullable<Options['esbuildPlugins']>[number];

/**
 * What the layers use of class-validator, and the files that hold it. Its index loads 320 files, the numbering plans of all
 * countries among them, which takes two thirds of the time of typeorm and pg; these are 30.
 */
const VALIDATOR_PARTS = Object.entries({
  ARRAY_UNIQUE: 'decorator/array/ArrayUnique',
  ArrayMaxSize: 'decorator/array/ArrayMaxSize',
  ArrayMinSize: 'decorator/array/ArrayMinSize',
  getFromContainer: 'container',
  getMetadataStorage: 'metadata/MetadataStorage',
  IsArray: 'decorator/typechecker/IsArray',
  IsBoolean: 'decorator/typechecker/IsBoolean',
  IsDate: 'decorator/typechecker/IsDate',
  IsIn: 'decorator/common/IsIn',
  IsInstance: 'decorator/object/IsInstance',
  IsInt: 'decorator/typechecker/IsInt',
  IsOptional: 'decorator/common/IsOptional',
  Matches: 'decorator/string/Matches',
  Max: 'decorator/number/Max',
  Min: 'decorator/number/Min',
  NotEquals: 'decorator/common/NotEquals',
  ValidateBy: 'decorator/common/ValidateBy',
  ValidateIf: 'decorator/common/ValidateIf',
  ValidateNested: 'decorator/common/ValidateNested',
  ValidationTypes: 'validation/ValidationTypes',
  Validator: 'validation/Validator',
}).map(([name, file]) => ({ name, file: `class-validator/cjs/${file}.js` }));

/**
 * `from 'class-validator'` loads these parts of the consumer's own copy: files that its index would load too, hence one
 * container and one storage of rules. A version that keeps them elsewhere is loaded whole. Another name fails the build.
 */
const validatorParts: Plugin = {
  name: 'validator-parts',
  setup(build) {
    const namespace = 'validator-parts';
    build.onResolve({ filter: /^class-validator$/ }, (asked) =>
      asked.namespace === namespace ? { path: asked.path, external: true } : { path: asked.path, namespace },
    );
    build.onLoad({ filter: /.*/, namespace }, () => {
      const load = createRequire(__filename);
      for (const { name, file } of VALIDATOR_PARTS)
        if (load(file)[name] !== load('class-validator')[name]) throw new Error(`${file} has no ${name}`);
      const contents = `
        let parts;
        try {
          parts = {
            ${VALIDATOR_PARTS.map(({ name, file }) => `${name}: require('${file}').${name}`).join(',\n')}
          };
        } catch {
          parts = require('class-validator');
        }
        export const {
          ${VALIDATOR_PARTS.map(({ name }) => name).join(',\n')}
        } = parts;`;
      return { contents, loader: 'js' };
    });
  },
};

/**
 * Classes keep their names: `is` of an error, entities and migrations go by them. esbuild renames a class that names itself in
 * its body (`_Name`) and the second of two with one name in a layer (`Name2`).
 */
const classNames: Plugin = {
  name: 'class-names',
  setup(build) {
    const declared = new Set<string>();
    build.onLoad({ filter: /\.ts$/ }, async ({ path }) => {
      const contents = await readFile(path, 'utf8');
      for (const [, name = ''] of contents.matchAll(/\bclass (\w+)/g)) declared.add(name);
      return { contents, loader: 'ts' };
    });
    build.onEnd(({ outputFiles = [] }) => {
      const classes = /^(?:(?:(?:var|let|const) )?(\w+) = )?class\b(?: (?!extends\b)(\w+))?/gm;
      const names = outputFiles.flatMap(({ text }) =>
        [...text.matchAll(classes)].map(([, variable, name]) => name ?? variable ?? ''),
      );
      const strange = names.filter((name) => !declared.has(name));
      return {
        errors: strange.map((name) => ({
          text: `no source has a class ${name}: one names itself, or two share a name`,
        })),
      };
    });
  },
};

/**
 * One file out per layer: an import costs what it loads in files. Whatever is imported by name stays outside, other layers
 * too: an entity class must exist once per process, whoever loads it.
 */
export default defineConfig({
  entry: ['*/src/index.ts', 'src/main.ts', '!dist/**'],
  format: ['cjs'],
  bundle: true,
  skipNodeModulesBundle: true,
  noExternal: [/^class-validator$/],
  esbuildPlugins: [validatorParts, classNames],
  splitting: false,
  dts: false,
  // The output is readable, and the sources are beside it: maps would be a third of each package, of which 1 MiB is the limit.
  sourcemap: false,
  clean: true,
  outDir: 'dist',
  target: 'es2022',
  platform: 'node',
  treeshake: false,
  tsconfig: '../../tsconfig.base.json',
  esbuildOptions(options) {
    // Without a base esbuild takes the common folder of the entries, and a one-layer package would lose the layer's name.
    options.outbase = '.';
  },
});
