// Everything that a guard or a generator needs to know of the topology, derived from layers.json and from nothing else.
import { readFileSync } from 'node:fs';

/** The topology as written; the only other truth is the folders themselves, which tools/arch/verify compares. */
export const arch = JSON.parse(readFileSync(new URL('./layers.json', import.meta.url), 'utf8'));

const inDomain = (layer, domain) =>
  (!layer.onlyIn || layer.onlyIn.includes(domain)) && !(layer.notIn ?? []).includes(domain);

/** `@hoc/activity/drivers`; the layer `module` is the package root `@hoc/activity`. */
export const specifierOf = (domain, layer) =>
  layer === 'module' ? `${arch.scope}/${domain}` : `${arch.scope}/${domain}/${layer}`;

/** One entry per layer of each domain: the units that Nx constraints, allow-lists, exports and docs speak of. */
export function layerUnits() {
  return arch.domains.flatMap((domain) =>
    Object.entries(arch.layers)
      .filter(([name, layer]) => name !== 'api' && inDomain(layer, domain))
      .map(([name, layer]) => {
        const own = arch.units[`${domain}-${name}`] ?? {};
        return {
          ...layer,
          ...own,
          mayUse: [...new Set([...layer.mayUse, ...(own.mayUse ?? [])])],
          mayLoad: own.mayLoad ?? [],
          domain,
          layer: name,
          name: `${domain}-${name}`,
          tag: `unit:${domain}-${name}`,
          root: `libs/${domain}/${name}`,
          specifier: specifierOf(domain, name),
        };
      }),
  );
}

/** Tools, bench and examples: units of the layer `api`, each with what it overrides. */
export function apiUnits() {
  return Object.entries(arch.api).map(([name, own]) => {
    const root = own.root ?? `tools/${name}`;
    return {
      ...arch.layers.api,
      ...own,
      mayLoad: own.mayLoad ?? [],
      domain: name,
      layer: 'api',
      name: `${arch.scope}/${name}`,
      tag: `unit:${name}`,
      root,
      specifier: `${arch.scope}/${name}`,
    };
  });
}

export const units = () => [...layerUnits(), ...apiUnits()];

function expand(unit, pairs) {
  const known = new Map(layerUnits().map((u) => [u.name, u]));
  return (pairs ?? [])
    .flatMap(([who, layer]) => {
      if (who === 'every') return arch.domains.map((domain) => `${domain}-${layer}`);
      return [`${who === 'own' ? unit.domain : who}-${layer}`];
    })
    .filter((name) => known.has(name) && name !== unit.name)
    .map((name) => known.get(name));
}

/** The units that `unit` may import with values, and those of which it may import types only. */
export const importsOf = (unit) => expand(unit, unit.mayImport);
export const typeImportsOf = (unit) => {
  const values = new Set(importsOf(unit).map((u) => u.name));
  return expand(unit, unit.mayImportTypes).filter((u) => !values.has(u.name));
};

/** What the specs of a unit may import beyond the unit itself. */
export const specImportsOf = (unit) =>
  arch.specs.exceptIn.includes(unit.name) ? [] : expand(unit, arch.specs.mayImport);

const ourPackages = (unit) => unit.mayUse.filter((p) => p.startsWith(`${arch.scope}/`));

/** `@nx/enforce-module-boundaries`: one constraint per unit, because tags of one constraint are joined by OR. */
export function depConstraints() {
  const toolTag = (specifier) => `unit:${specifier.slice(arch.scope.length + 1)}`;
  return [
    ...units().map((unit) => ({
      sourceTag: unit.tag,
      onlyDependOnLibsWithTags: [
        ...new Set([
          ...[...importsOf(unit), ...typeImportsOf(unit), ...specImportsOf(unit)].map((u) => u.tag),
          ...ourPackages(unit).map(toolTag),
          ...(unit.layer === 'api' || arch.specs.exceptIn.includes(unit.name) ? [] : ['unit:testkit']),
        ]),
      ],
      ...(unit.bannedExternals.length
        ? { bannedExternalImports: unit.bannedExternals.flatMap((name) => [name, `${name}/*`]) }
        : {}),
    })),
    { sourceTag: 'type:package', onlyDependOnLibsWithTags: ['type:package'] },
  ];
}

/** Exact specifiers that a source file (or, with `spec`, a test) of the unit may name. `node:*` stands for any builtin. */
export function allowedSpecifiers(unit, { spec = false } = {}) {
  const ours = [...importsOf(unit), ...typeImportsOf(unit)].map((u) => u.specifier);
  const list = [...ours, ...unit.mayUse];
  if (!spec) return [...new Set(list)];
  const specs =
    unit.layer === 'api' || !arch.specs.exceptIn.includes(unit.name)
      ? arch.specs.mayUse
      : arch.specs.mayUse.filter((p) => !p.startsWith(arch.scope));
  return [...new Set([...list, ...specImportsOf(unit).map((u) => u.specifier), ...specs])];
}
