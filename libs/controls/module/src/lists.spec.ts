import { catalogue } from '@hoc/controls/models';
import {
  ALERT_STATUSES,
  ALERT_TYPES,
  BREAKER_SEVERITIES,
  LIMIT_BREACH_TYPES,
  LIMIT_CATEGORIES,
  LIMIT_CONSEQUENCES,
  LIMIT_ENFORCEMENTS,
  LIMIT_INTEGRITY_STATUSES,
  LIMIT_SCOPES,
  LIMIT_STATUSES,
  OVERRIDE_STATUSES,
  RESERVATION_STATUSES,
  RESET_PERIODS,
  RISK_LEVELS,
  SCOPE_STATUSES,
  SIMULATION_DECISIONS,
  THRESHOLD_SIGNAL_EVENTS,
} from '@hoc/controls/schemas';
import { createHoc } from '@hoc/shared/spine';
import { useEmptyDatabase } from '@hoc/testkit';
import { controlsModule } from './controls.module';

const db = useEmptyDatabase({ entities: [], migrations: [] });

/** By column: the value list of the schemas that its CHECK must hold, in this order, and no other value. */
const LISTS: readonly (readonly [string, string, readonly string[]])[] = [
  ['limits', 'limit_category', LIMIT_CATEGORIES],
  ['limits', 'scope', LIMIT_SCOPES],
  ['limits', 'reset_period', RESET_PERIODS],
  ['limits', 'enforcement', LIMIT_ENFORCEMENTS],
  ['limits', 'consequence', LIMIT_CONSEQUENCES],
  ['limits', 'status', LIMIT_STATUSES],
  ['limit_breaches', 'breach_type', LIMIT_BREACH_TYPES],
  ['limit_overrides', 'status', OVERRIDE_STATUSES],
  ['runs', 'risk_level', RISK_LEVELS],
  ['limit_integrity', 'integrity_status', LIMIT_INTEGRITY_STATUSES],
  ['execution_scopes', 'status', SCOPE_STATUSES],
  ['costsim_cb_incidents', 'severity', BREAKER_SEVERITIES],
  ['costsim_alert_queue', 'alert_type', ALERT_TYPES],
  ['costsim_alert_queue', 'status', ALERT_STATUSES],
  ['budget_reservations', 'status', RESERVATION_STATUSES],
  ['controls_evaluation_evidence', 'decision', SIMULATION_DECISIONS],
];

/** What the CHECK of the column alone admits, as the database wrote it down. */
async function admitted(table: string, column: string): Promise<readonly string[]> {
  const rows: { definition: string }[] = await db.dataSource().query(
    `SELECT pg_get_constraintdef(k.oid) AS definition FROM pg_constraint k
     JOIN pg_attribute a ON a.attrelid = k.conrelid AND k.conkey = ARRAY[a.attnum]
     WHERE k.contype = 'c' AND k.conrelid = $1::regclass AND a.attname = $2 AND pg_get_constraintdef(k.oid) LIKE '%= ANY (%'`,
    [table, column],
  );
  expect([table, column, rows.length]).toEqual([table, column, 1]);
  return [...(rows[0]?.definition ?? '').matchAll(/'([^']+)'::text/g)].map(([, value]) => value ?? '');
}

beforeAll(async () => {
  const hoc = createHoc({ connection: { url: db.url(), applicationName: 'lists' }, modules: [controlsModule] });
  await hoc.migrate();
  await hoc.close();
});

it.each(LISTS)('%s.%s admits the values of its list, and no other', async (table, column, values) => {
  expect(await admitted(table, column)).toEqual([...values]);
});

it('ops_events.event_type admits each event that a signal is told as', async () => {
  expect(await admitted('ops_events', 'event_type')).toEqual(
    expect.arrayContaining(Object.values(THRESHOLD_SIGNAL_EVENTS).map(({ eventType }) => eventType)),
  );
});

it('every other list of the package’s tables has no counterpart in the schemas: values that one driver writes', () => {
  const listed = new Set(LISTS.map(([table, column]) => `${table}.${column}`));
  const others = catalogue.flatMap(({ table, checks }) =>
    checks.flatMap(({ oneOf }) => (oneOf === undefined ? [] : [`${table}.${oneOf.column}`])),
  );
  expect(others.filter((name) => !listed.has(name)).sort()).toEqual([
    'decision_records.causal_role',
    'decision_records.decision_outcome',
    'decision_records.decision_source',
    'decision_records.decision_trigger',
    'decision_records.decision_type',
    'ops_events.entity_type',
    'ops_events.event_type',
    'provenances.status',
    'status_history.actor_type',
    'status_history.entity_type',
  ]);
});
