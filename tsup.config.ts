import { defineConfig } from 'tsup';

/** One file out per file in: an entity class must exist once per process, so nothing is bundled (workspace rule). */
export default defineConfig({
  entry: ['*/src/**/*.ts', 'src/**/*.ts', '!**/*.spec.ts', '!dist/**'],
  format: ['cjs'],
  bundle: false,
  splitting: false,
  dts: false,
  // The output is one readable file per source: maps would be a third of each package, of which 1 MiB is the limit.
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
