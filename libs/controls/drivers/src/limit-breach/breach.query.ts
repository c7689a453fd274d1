import { LIMIT_BREACH_TYPES, type LimitBreach } from '@hoc/controls/schemas';
import { type ArrayValue, type Statement, statement, storedValue, toColumns } from '@hoc/shared/drivers';
import { deepFreeze, fromPgNumeric, type JsonObject } from '@hoc/shared/kernel';
import type { BreachRecord } from './breach-record.rules';

/** A stored breach. */
export interface BreachColumns {
  readonly id: string;
  readonly limit_id: string;
  readonly run_id: string | null;
  readonly incident_id: string | null;
  readonly breach_type: string;
  readonly value_at_breach: string | null;
  readonly limit_value: string;
  readonly details: JsonObject | null;
  readonly breached_at: Date;
  readonly recovered_at: Date | null;
  readonly idempotency_key: string | null;
}

/** The columns that a record brings; the order of the bound arrays. */
const RECORD_COLUMNS = [
  ['id', 'text', (r) => r.id],
  ['limit_id', 'text', (r) => r.limitId],
  ['run_id', 'text', (r) => r.runId],
  ['incident_id', 'text', (r) => r.incidentId],
  ['breach_type', 'text', (r) => r.breachType],
  ['value_at_breach', 'numeric', (r) => r.valueAtBreach],
  ['details', 'jsonb', (r) => r.details],
  ['idempotency_key', 'text', (r) => r.key],
] as const satisfies readonly (readonly [string, string, (record: BreachRecord) => ArrayValue])[];

const READERS: readonly ((record: BreachRecord) => ArrayValue)[] = RECORD_COLUMNS.map(([, , read]) => read);
const FIRST_ARRAY = 3;

/** $1 tenant, $2 clock, from $3 on one array per column. */
export const breachParameters = (tenantId: string, now: Date, records: readonly BreachRecord[]): readonly unknown[] => [
  tenantId,
  now.toISOString(),
  ...toColumns(records, READERS),
];

/** {@link breachParameters}, and the places of the records as a last array. */
export const comparedParameters = (
  tenantId: string,
  now: Date,
  records: readonly BreachRecord[],
): readonly unknown[] => [...breachParameters(tenantId, now, records), ...toColumns(records, [({ index }) => index])];

const ARRAYS = RECORD_COLUMNS.map(([, type], index) => `$${FIRST_ARRAY + index}::${type}[]`).join(', ');
const NAMES = RECORD_COLUMNS.map(([name]) => name).join(', ');
const VALUES = RECORD_COLUMNS.map(([name]) => `u.${name}`).join(', ');
const BREACH = `id, limit_id, run_id, incident_id, breach_type, value_at_breach, limit_value, details, breached_at,
  recovered_at, idempotency_key`;

/**
 * Inserts what is new, in key order: overlapping writers then wait for each other in one order. What was in force is read
 * in the snapshot of the insert, and is the higher of both: an override never lowers a limit. A limit that isn't there gives 0, and its foreign key refuses the row. Planned anew: a plan
 * made for a small table would read all limits for each row.
 */
export const INSERT_BREACHES: Statement<BreachColumns> = statement(
  'insert_breaches',
  `INSERT INTO limit_breaches (tenant_id, ${NAMES}, limit_value, breached_at)
   SELECT $1, ${VALUES}, COALESCE(GREATEST(o.override_value, l.max_value), 0), $2::timestamptz
   FROM unnest(${ARRAYS}) AS u(${NAMES})
   LEFT JOIN LATERAL (
     SELECT max_value FROM limits WHERE tenant_id = $1 AND id = u.limit_id LIMIT 1
   ) AS l ON true
   LEFT JOIN LATERAL (
     SELECT override_value FROM limit_overrides
     WHERE tenant_id = $1 AND limit_id = u.limit_id AND status = 'ACTIVE'
       AND starts_at <= $2::timestamptz AND expires_at > $2::timestamptz
     LIMIT 1
   ) AS o ON true
   ORDER BY u.idempotency_key COLLATE "C"
   ON CONFLICT (tenant_id, idempotency_key) DO NOTHING
   RETURNING ${BREACH}`,
  { replan: true },
);

/** A stored breach beside the record of `index` that has its key. */
export interface ComparedBreach extends BreachColumns {
  readonly index: number;
  /** Whether it has the record's content: neither the limit's value then nor the instant are among it. */
  readonly same: boolean;
}

/** One index look-up per record; a record without a stored breach has no row. */
export const COMPARE_BREACHES: Statement<ComparedBreach> = statement(
  'compare_breaches',
  `SELECT s.*, u.index,
     (s.limit_id, s.run_id, s.incident_id, s.breach_type, s.value_at_breach, s.details)
       IS NOT DISTINCT FROM (u.limit_id, u.run_id, u.incident_id, u.breach_type, u.value_at_breach, u.details)
       AND $2::timestamptz IS NOT NULL AS same
   FROM unnest(${ARRAYS}, $${FIRST_ARRAY + RECORD_COLUMNS.length}::integer[]) AS u(${NAMES}, index)
   CROSS JOIN LATERAL (
     SELECT ${BREACH} FROM limit_breaches WHERE tenant_id = $1 AND idempotency_key = u.idempotency_key LIMIT 1
   ) AS s`,
  { replan: true },
);

/** $1 tenant, $2 breach, $3 clock. Another host's clock may be behind the one that wrote the breach. */
export const MARK_RECOVERED: Statement<{ readonly id: string }> = statement(
  'mark_breach_recovered',
  `UPDATE limit_breaches SET recovered_at = GREATEST(breached_at, $3::timestamptz)
   WHERE tenant_id = $1 AND id = $2 AND recovered_at IS NULL
   RETURNING id`,
  { replan: true },
);

/** The breach as the package gives it out, frozen. @throws DataIntegrityError for a type that this version doesn't know */
export const toLimitBreach = (row: BreachColumns): LimitBreach =>
  deepFreeze({
    breachId: row.id,
    limitId: row.limit_id,
    runId: row.run_id,
    incidentId: row.incident_id,
    breachType: storedValue(row.breach_type, LIMIT_BREACH_TYPES, 'breachType'),
    valueAtBreach: fromPgNumeric(row.value_at_breach, 'valueAtBreach'),
    limitValue: fromPgNumeric(row.limit_value, 'limitValue'),
    details: row.details,
    breachedAt: row.breached_at,
    recoveredAt: row.recovered_at,
    idempotencyKey: row.idempotency_key,
  });
