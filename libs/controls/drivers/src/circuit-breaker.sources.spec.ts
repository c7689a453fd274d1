import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { entities, migrations } from '@hoc/controls/models';
import { ALERT_STATUSES, ALERT_TYPES, BREAKER_SEVERITIES } from '@hoc/controls/schemas';
import { entities as shared, migrations as sharedMigrations } from '@hoc/shared/models';
import { useDatabase } from '@hoc/testkit';
import * as async from './circuit-breaker-async.driver';
import * as breakers from './circuit-breaker.driver';
import { CircuitBreaker } from './circuit-breaker.driver';

const db = useDatabase({ entities: [...shared, ...entities], migrations: [...sharedMigrations, ...migrations] });

describe('the sources', () => {
  const root = __dirname;
  const sources = readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts') && !path.endsWith('.spec.ts') && path !== 'index.ts')
    .map((path) => ({ path, text: readFileSync(join(root, path), 'utf8') }));

  it('AsyncCircuitBreaker is CircuitBreaker, and each name of the second file is the first one’s', () => {
    expect(async.AsyncCircuitBreaker).toBe(CircuitBreaker);
    const { AsyncCircuitBreaker: _, ...others } = async;
    for (const [name, value] of Object.entries(others))
      expect([name, value]).toEqual([name, Reflect.get(breakers, name)]);
    expect(Object.keys(async).sort()).toEqual(
      [
        ...['AsyncCircuitBreaker', 'CB_NAME', 'CircuitBreakerState', 'FEATURE_INTENT', 'Incident', 'RETRY_POLICY'],
        ...['disableV2', 'enableV2', 'getAsyncCircuitBreaker', 'getIncidents', 'getState', 'isV2Disabled'],
        ...['reportDrift', 'reportSchemaError'],
      ].sort(),
    );
  });

  it('the second file holds no class and no SQL', () => {
    const { text } = sources.find(({ path }) => path === 'circuit-breaker-async.driver.ts') ?? { text: '' };
    expect(text).toMatch(/^\/\*\*[\s\S]*?\*\/\nexport \{[\w\s,]+\} from '\.\/circuit-breaker\.driver';\n$/);
  });

  it('only the breaker and the alert queue name the breaker’s tables', () => {
    const naming = sources.filter(({ text }) =>
      /costsim_|status_history|CostSim\w+Entity|StatusHistoryEntity/.test(text),
    );
    expect(
      naming.map(({ path }) => path).filter((path) => !/^(circuit-breaker|alert-queue)(\/|\.driver\.ts$)/.test(path)),
    ).toEqual([]);
    expect(naming.map(({ path }) => path)).toContain(join('circuit-breaker', 'state.query.ts'));
  });
});

describe('the stored values', () => {
  it.each([
    ['costsim_cb_incidents', 'severity', BREAKER_SEVERITIES],
    ['costsim_alert_queue', 'alert_type', ALERT_TYPES],
    ['costsim_alert_queue', 'status', ALERT_STATUSES],
  ])('%s.%s takes what the schemas list', async (table, column, list) => {
    const rows: { definition: string }[] = await db
      .manager()
      .query(
        `SELECT pg_get_constraintdef(oid) AS definition FROM pg_constraint WHERE conrelid = $1::regclass AND contype = 'c'`,
        [table],
      );
    const values = rows
      .filter(({ definition }) => new RegExp(`^CHECK \\(\\(${column} = ANY`).test(definition))
      .map(({ definition }) => [...definition.matchAll(/'([^']*)'::text/g)].map(([, value]) => value));
    expect(values).toEqual([[...list]]);
  });
});
