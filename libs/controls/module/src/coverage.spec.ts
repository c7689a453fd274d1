import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as drivers from '@hoc/controls/drivers';
import * as engines from '@hoc/controls/engines';
import * as schemas from '@hoc/controls/schemas';

/** One name of the seeds, the file that it lives in here, and what it is exported as: `type <name>` for a type. */
interface Entry {
  readonly seed: string;
  /** Of `libs/controls`: `<layer>/<file>` for `<layer>/src/<file>`. */
  readonly file: string;
  readonly export: string;
  readonly member?: string;
}

const coverage = JSON.parse(readFileSync(join(__dirname, '../coverage.json'), 'utf8')) as readonly Entry[];
const LAYERS: Readonly<Record<string, object>> = { drivers, engines, schemas };
/** The committed API reports say what types a layer exports; CI compares them with the code. */
const report = (layer: string): string =>
  readFileSync(join(__dirname, `../../../../api/controls.${layer}.api.md`), 'utf8');

function resolves({ file, export: exported, member }: Entry): boolean {
  const [layer = '', name = ''] = file.split('/');
  let source: string;
  try {
    source = readFileSync(join(__dirname, `../../${layer}/src/${name}`), 'utf8');
  } catch {
    return false;
  }
  const plain = exported.replace(/^type /, '');
  if (!new RegExp(`^export [^;]*?\\b${plain}\\b`, 'ms').test(source)) return false;
  if (plain !== exported) return new RegExp(`^export (interface|type) ${plain}\\b`, 'm').test(report(layer));
  const value: unknown = Reflect.get(LAYERS[layer] ?? {}, exported);
  if (member === undefined || typeof value !== 'function') return value !== undefined && member === undefined;
  return Object.hasOwn(value.prototype as object, member);
}

describe('coverage of the seeds', () => {
  it.each(coverage.map((entry) => [entry.seed, entry] as const))('%s', (_seed, entry) => {
    expect(resolves(entry)).toBe(true);
  });
  it('names no seed twice, and as many of each file as the specification lists', () => {
    expect(new Set(coverage.map(({ seed }) => seed)).size).toBe(coverage.length);
    const files = coverage.map(({ seed }) => seed.split('.')[0] ?? '');
    expect(
      Object.fromEntries([...new Set(files)].map((file) => [file, files.filter((f) => f === file).length])),
    ).toEqual({
      budget_enforcement_driver: 5,
      circuit_breaker: 31,
      circuit_breaker_async: 36,
      limits_read_driver: 7,
      override_driver: 13,
      policy_limits_driver: 7,
      scoped_execution: 36,
      threshold_driver: 9,
    });
  });
  it.each<Entry>([
    { seed: 'x', file: 'drivers/nobody.driver.ts', export: 'Nobody' },
    { seed: 'x', file: 'drivers/override.driver.ts', export: 'Nobody' },
    { seed: 'x', file: 'drivers/override.driver.ts', export: 'ScopeStore' },
    { seed: 'x', file: 'drivers/override.driver.ts', export: 'LimitOverrideService', member: 'nothing' },
    { seed: 'x', file: 'schemas/threshold.schema.ts', export: 'type Nobody' },
  ])('a name that is not there does not resolve: $file $export $member', (entry) => {
    expect(resolves(entry)).toBe(false);
  });
});
