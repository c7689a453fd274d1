// The architecture page: a diagram and a table, both read off architecture/layers.json.
import { apiUnits, arch, importsOf, layerUnits, typeImportsOf } from '../../architecture/constraints.mjs';

const ORDER = ['L2', 'L4', 'L5', 'L6', 'L7', 'testing', 'kernel'];

/** Markdown of docs/architecture.md. */
export function architecturePage() {
  return [
    '# Architecture',
    '',
    '<!-- Generated from architecture/layers.json by "npm run generate". Edit that file, not this one. -->',
    '',
    'One npm package per domain, one nested Nx project per layer, one subpath per layer. A layer imports what its row lists and nothing else;',
    'a type-only import is marked. Lint fails on anything else, and `npm run arch` proves that it does.',
    '',
    '## Who may import whom, inside a domain and from shared',
    '',
    '```mermaid',
    ...diagram(),
    '```',
    '',
    'Solid: values and types. Dashed: types only. Domains never import each other; they meet in shared tables, the kernel and the spine.',
    '',
    '## Layers',
    '',
    '| layer | level | subpath | holds | may import | types only | external packages | banned |',
    '| --- | --- | --- | --- | --- | --- | --- | --- |',
    ...Object.entries(arch.layers)
      .sort(([, a], [, b]) => ORDER.indexOf(a.level) - ORDER.indexOf(b.level))
      .map(([name, layer]) => layerRow(name, layer)),
    '',
    '## Units',
    '',
    '| unit | specifier | may import | types only | may load on first use |',
    '| --- | --- | --- | --- | --- |',
    ...[...layerUnits(), ...apiUnits()].map(unitRow),
    '',
  ].join('\n');
}

const code = (items) => (items.length ? items.map((item) => `\`${item}\``).join(', ') : '–');
const pairs = (list) => code((list ?? []).map(([who, layer]) => `${who} ${layer}`));

function layerRow(name, layer) {
  const where = layer.onlyIn ? ` (only ${layer.onlyIn.join(', ')})` : '';
  const subpath = name === 'api' ? '–' : name === 'module' ? '`.`' : `\`./${name}\``;
  return `| ${name}${where} | ${layer.level} | ${subpath} | ${layer.holds} | ${pairs(layer.mayImport)} | ${pairs(layer.mayImportTypes)} | ${code(layer.mayUse)} | ${code(layer.bannedExternals)} |`;
}

const unitRow = (unit) =>
  `| ${unit.name} | \`${unit.specifier}\` | ${code(importsOf(unit).map((u) => u.specifier))} | ${code(typeImportsOf(unit).map((u) => u.specifier))} | ${code(unit.mayLoad)} |`;

/** The widest domain stands for all of them: its own layers and shared's, as the constraints see them. */
function diagram() {
  const domain = arch.domains.filter((d) => d !== 'shared').sort((a, b) => layersOf(b).length - layersOf(a).length)[0];
  const drawn = [...layersOf(domain), ...layersOf('shared')];
  const id = (unit) => unit.name.replaceAll('-', '_');
  const box = (unit) => `    ${id(unit)}["${unit.layer}<br/>${unit.level}"]`;
  const edges = drawn.flatMap((unit) => [
    ...importsOf(unit).map((target) => `  ${id(unit)} --> ${id(target)}`),
    ...typeImportsOf(unit).map((target) => `  ${id(unit)} -.-> ${id(target)}`),
  ]);
  return [
    'flowchart TB',
    '  subgraph domain["@hoc/&lt;domain&gt;"]',
    ...layersOf(domain).map(box),
    '  end',
    '  subgraph shared["@hoc/shared"]',
    ...layersOf('shared').map(box),
    '  end',
    ...edges,
  ];
}

const layersOf = (domain) => layerUnits().filter((unit) => unit.domain === domain);
