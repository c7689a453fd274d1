import type { EntityManager } from 'typeorm';

/** A node of `EXPLAIN (FORMAT JSON)`. */
export interface PlanNode {
  readonly 'Node Type': string;
  readonly 'Relation Name'?: string;
  readonly 'Index Name'?: string;
  readonly 'Index Cond'?: string;
  readonly 'Shared Hit Blocks'?: number;
  readonly 'Shared Read Blocks'?: number;
  readonly 'Actual Rows'?: number;
  readonly 'Actual Loops'?: number;
  readonly 'Rows Removed by Filter'?: number;
  readonly Plans?: readonly PlanNode[];
}

/** A plan with the questions that a plan test asks. */
export interface Plan {
  readonly nodes: readonly PlanNode[];
  readonly indexes: readonly string[];
  readonly indexConditions: readonly string[];
  readonly hasSort: boolean;
  readonly seqScans: readonly string[];
  /** Shared blocks touched; 0 without ANALYZE. */
  readonly buffers: number;
}

/** The plan of a statement; `analyze` runs it and counts buffers. */
export async function explain(
  manager: EntityManager,
  text: string,
  values: readonly unknown[] = [],
  options: { readonly analyze?: boolean } = {},
): Promise<Plan> {
  const mode = options.analyze ? 'ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON' : 'FORMAT JSON';
  const rows: { 'QUERY PLAN': { Plan: PlanNode }[] }[] = await manager.query(`EXPLAIN (${mode}) ${text}`, [...values]);
  const root = rows[0]?.['QUERY PLAN'][0]?.Plan;
  if (root === undefined) throw new Error('no plan');
  const nodes = flatten(root);
  return {
    nodes,
    indexes: nodes.flatMap((node) => node['Index Name'] ?? []),
    indexConditions: nodes.flatMap((node) => node['Index Cond'] ?? []),
    hasSort: nodes.some((node) => node['Node Type'].includes('Sort')),
    seqScans: nodes.filter((node) => node['Node Type'] === 'Seq Scan').flatMap((node) => node['Relation Name'] ?? []),
    buffers: (root['Shared Hit Blocks'] ?? 0) + (root['Shared Read Blocks'] ?? 0),
  };
}

const flatten = (node: PlanNode): PlanNode[] => [node, ...(node.Plans ?? []).flatMap(flatten)];
