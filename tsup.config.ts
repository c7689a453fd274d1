import { defineConfig } from 'tsup';

/** One file out per file in: an entity class must exist once per process, so nothing is bundled (workspace rule). */
export default defineConfig({
  entry: ['*/src/**/*.ts', 'src/**/*.ts', '!**/*.spec.ts', '!dist/**'],
  format: ['cjs'],
  bundle: false,
  splitting: false,
  dts: false,
  sourcemap: true,
  clean: true,
  outDir: 'dist',
  target: 'es2022',
  platform: 'node',
  treeshake: false,
  tsconfig: '../../tsconfig.base.json',
  esbuildOptions(options) {
    // Without a base esbuild takes the common folder of the entries, and a one-layer package would lose the layer's name.
    options.outbase = '.';
    // The packages ship their sources, which the maps point at: a second copy inside each map would double their size.
    options.sourcesContent = false;
  },
});
