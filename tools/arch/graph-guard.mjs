// Compares the projects that Nx sees with architecture/layers.json. An extra tag opens a layer, a missing one blinds the rule.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { arch, units } from '../../architecture/constraints.mjs';

const ADVICE = 'correct architecture/layers.json or the project, then run "npm run generate && npm run graph"';

/** Throws unless the graph holds exactly the units, at their places, with exactly their tags, in Nx and in project.json. */
export function refuseUnlessGraphMatches(graph, root = new URL('../..', import.meta.url).pathname) {
  const problems = graphProblems(graph, root);
  if (problems.length)
    throw new Error(`the project graph and architecture/layers.json differ:\n  ${problems.join('\n  ')}\n${ADVICE}`);
}

/** The differences, one line each. */
export function graphProblems(graph, root) {
  const known = new Set([
    ...units().map((unit) => unit.name),
    ...arch.domains.map((domain) => `${arch.scope}/${domain}`),
  ]);
  return [
    ...units().flatMap((unit) => unitProblems(graph, root, unit)),
    ...Object.values(graph.nodes)
      .filter((node) => !known.has(node.name) && /^(libs|tools)\//.test(node.data.root))
      .filter(
        (node) => (node.data.tags ?? []).some((tag) => !tag.startsWith('npm:')) || node.data.root.startsWith('libs/'),
      )
      .map((node) => `${node.data.root} is the project ${node.name}, which layers.json doesn't list`),
  ];
}

function unitProblems(graph, root, unit) {
  const node = graph.nodes[unit.name];
  if (!node) return [`the graph lacks ${unit.name} (${unit.root})`];
  const wanted = [`layer:${unit.layer}`, `domain:${unit.domain}`, unit.tag].sort().join(', ');
  const written = JSON.parse(readFileSync(join(root, unit.root, 'project.json'), 'utf8')).tags ?? [];
  // Nx itself adds npm:public and npm:private to projects that have a package.json.
  const inGraph = (node.data.tags ?? []).filter((tag) => !tag.startsWith('npm:'));
  const problems = [];
  if (node.data.root !== unit.root) problems.push(`${unit.name} lies in ${node.data.root}, not in ${unit.root}`);
  if ([...inGraph].sort().join(', ') !== wanted)
    problems.push(`${unit.name} has the tags ${inGraph.join(', ') || 'none'} in the graph, not ${wanted}`);
  if ([...written].sort().join(', ') !== wanted)
    problems.push(`${unit.root}/project.json has the tags ${written.join(', ') || 'none'}, not ${wanted}`);
  return problems;
}
