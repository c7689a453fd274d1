// Two rules of our own: what depends on where a file lies, which no selector can tell.
import { dirname, relative, resolve, sep } from 'node:path';

const posix = (path) => path.split(sep).join('/');
const climbsOut = (path) => path === '' || path === '..' || path.startsWith('../');

/** Every node that can name another file, and the literal in which it does. */
const visitors = (check) => ({
  ImportDeclaration: (node) => check(node.source),
  ExportNamedDeclaration: (node) => check(node.source),
  ExportAllDeclaration: (node) => check(node.source),
  ImportExpression: (node) => check(node.source),
  TSImportType: (node) => check(node.source ?? node.argument?.literal),
  TSExternalModuleReference: (node) => check(node.expression),
});

/** A relative specifier ends inside the unit's own `src`: a path that leaves it reaches another layer unseen. */
const insideUnit = {
  meta: { type: 'problem', schema: [{ type: 'string' }] },
  create(context) {
    const home = resolve(context.cwd, context.options[0]);
    return visitors((source) => {
      if (typeof source?.value !== 'string' || !/^\.{1,2}(\/|$)/.test(source.value)) return;
      const target = resolve(dirname(context.filename), source.value);
      const path = posix(relative(home, target));
      if (climbsOut(path))
        context.report({ node: source, message: 'another layer is imported by its name, not by a path.' });
    });
  },
};

/** Code outside every unit has no constraint at all: so there is none. */
const knownUnit = {
  meta: { type: 'problem', schema: [] },
  create: (context) => ({
    Program: (node) =>
      context.report({
        node,
        message: 'this file lies in no unit: code is <unit>/src/**/*.ts of a unit that architecture/layers.json lists.',
      }),
  }),
};

export default { rules: { 'inside-unit': insideUnit, 'known-unit': knownUnit } };
