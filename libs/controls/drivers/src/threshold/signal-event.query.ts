import { type Statement, statement } from '@hoc/shared/drivers';

/** An event as it is stored, as far as a replay must agree with it; all null where the statement doesn't see one. */
export interface StoredEventColumns {
  readonly key: string;
  readonly event_type: string | null;
  readonly entity_type: string | null;
  readonly entity_id: string | null;
  readonly severity: number | null;
}

/** What became of an event: added, stored before, or, with neither, committed by somebody else meanwhile. */
export interface EmittedColumns extends StoredEventColumns {
  readonly added: boolean;
}

const STORED = `LEFT JOIN LATERAL (
     SELECT event_type, entity_type, entity_id, severity FROM ops_events
     WHERE tenant_id = $1 AND idempotency_key = w.key
   ) AS s ON true`;

/**
 * $1 tenant, $2 run, $3 clock, then of each event: $4 id, $5 key, $6 type, $7 severity, $8 metadata. Keys go in in their
 * order, so that overlapping calls don't deadlock. Planned anew: on empty tables any index that leads with the tenant is as
 * good as the key, and a plan that was kept from then reads all events of the tenant.
 */
const emit = (label: string, locked: string): Statement<EmittedColumns> =>
  statement(
    label,
    `WITH held AS MATERIALIZED (${locked}), wanted AS MATERIALIZED (
       SELECT u.* FROM unnest($4::text[], $5::text[], $6::text[], $7::smallint[], $8::text[])
         AS u(id, key, event_type, severity, metadata)
     ), added AS (
       INSERT INTO ops_events (tenant_id, id, occurred_at, event_type, entity_type, entity_id, severity, metadata, idempotency_key)
       SELECT $1, w.id, $3::timestamptz, w.event_type, 'llm_call', $2, w.severity, w.metadata::jsonb, w.key
       FROM (SELECT count(*) AS runs FROM held) AS h CROSS JOIN wanted w
       WHERE h.runs >= 0
       ORDER BY w.key
       ON CONFLICT (tenant_id, idempotency_key) DO NOTHING
       RETURNING idempotency_key
     )
     SELECT w.key, a.idempotency_key IS NOT NULL AS added, s.*
     FROM wanted w LEFT JOIN added a ON a.idempotency_key = w.key ${STORED}`,
    { replan: true },
  );

/** Events alone. */
export const EMIT_EVENTS = emit('emit_threshold_events', 'SELECT 1 WHERE false');

/**
 * Events of a run whose level is raised next: takes the run's lock before any key. Whoever ends a run holds its row
 * already, and would wait for our key while we wait for that row.
 */
export const EMIT_EVENTS_OF_HELD_RUN = emit(
  'emit_events_of_held_run',
  'SELECT 1 FROM runs WHERE tenant_id = $1 AND id = $2 FOR NO KEY UPDATE',
);

/** $1 tenant, $2 keys. */
export const STORED_EVENTS: Statement<StoredEventColumns> = statement(
  'stored_threshold_events',
  `SELECT w.key, s.* FROM unnest($2::text[]) AS w(key) ${STORED}`,
  { replan: true },
);
