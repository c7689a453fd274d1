import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as drivers from '@hoc/activity/drivers';
import * as engines from '@hoc/activity/engines';
import * as models from '@hoc/activity/models';
import * as schemas from '@hoc/activity/schemas';

/** Every name of the seeds, and where it lives here: `<layer>#<export>[.<member>]`, or `#type <name>`. */
const coverage = JSON.parse(readFileSync(join(__dirname, '../coverage.json'), 'utf8')) as Record<string, string>;
const OWN: Readonly<Record<string, object>> = { drivers, engines, models, schemas };
/** The committed API reports say what types and other packages export; CI compares them with the code. */
const report = (layer: string): string => {
  const name = layer.includes('/') ? layer.replace('/', '.') : `activity.${layer}`;
  return readFileSync(join(__dirname, `../../../../api/${name}.api.md`), 'utf8');
};

function resolves(target: string): boolean {
  const [layer = '', path = ''] = target.split('#');
  if (path.startsWith('type ')) return isExported(layer, path.slice('type '.length));
  const own = OWN[layer];
  if (own === undefined) return isExported(layer, path);
  const [name = '', member] = path.split('.');
  const value: unknown = Reflect.get(own, name);
  if (member === undefined || typeof value !== 'function') return value !== undefined && member === undefined;
  return Object.hasOwn(value.prototype as object, member);
}

const isExported = (layer: string, name: string): boolean =>
  new RegExp(
    `^export (declare )?(abstract )?(class|interface|type|const|function) ${name}\\b|^export \\{ ${name} \\}`,
    'm',
  ).test(report(layer));

describe('coverage of the seeds', () => {
  it.each(Object.entries(coverage))('%s is %s', (_seed, target) => {
    expect(resolves(target)).toBe(true);
  });
  it('a name that is not there does not resolve', () => {
    for (const target of [
      'drivers#Nobody',
      'drivers#RunSignalDriver.nothing',
      'schemas#type Nobody',
      'shared/models#Nobody',
    ])
      expect(resolves(target)).toBe(false);
  });
});
