import type { MigrationInterface, QueryRunner } from 'typeorm';

/** `costsim_cb_incidents`, `costsim_cb_state`, `costsim_alert_queue`, `status_history`: tables without a tenant. */
export class ControlsCircuitBreaker1700000003004 implements MigrationInterface {
  readonly name = 'ControlsCircuitBreaker1700000003004';

  async up(runner: QueryRunner): Promise<void> {
    for (const statement of [INCIDENTS, STATE, ALERT_QUEUE, STATUS_HISTORY]) await runner.query(statement);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE status_history, costsim_alert_queue, costsim_cb_state, costsim_cb_incidents');
  }
}

const INCIDENTS = `
  CREATE TABLE costsim_cb_incidents (
    id text COLLATE "C" NOT NULL,
    circuit_breaker_name text COLLATE "C" NOT NULL,
    timestamp timestamptz NOT NULL,
    reason text NOT NULL,
    severity text COLLATE "C" NOT NULL,
    drift_score double precision,
    sample_count integer,
    details jsonb NOT NULL DEFAULT '{}',
    resolved boolean NOT NULL DEFAULT false,
    resolved_at timestamptz,
    resolved_by text,
    resolution_notes text,
    alert_sent boolean NOT NULL DEFAULT false,
    alert_sent_at timestamptz,
    alert_response text,
    CONSTRAINT pk_costsim_cb_incidents PRIMARY KEY (id),
    CONSTRAINT ck_costsim_cb_incidents_id CHECK (char_length(id) BETWEEN 1 AND 100),
    CONSTRAINT ck_costsim_cb_incidents_circuit_breaker_name CHECK (char_length(circuit_breaker_name) BETWEEN 1 AND 100),
    CONSTRAINT ck_costsim_cb_incidents_reason CHECK (char_length(reason) BETWEEN 1 AND 500),
    CONSTRAINT ck_costsim_cb_incidents_severity CHECK (severity IN ('P1', 'P2', 'P3')),
    CONSTRAINT ck_costsim_cb_incidents_drift_score CHECK (drift_score BETWEEN 0 AND 1),
    CONSTRAINT ck_costsim_cb_incidents_sample_count CHECK (sample_count >= 0),
    CONSTRAINT ck_costsim_cb_incidents_details
      CHECK (jsonb_typeof(details) = 'object' AND octet_length(details::text) <= 65536),
    CONSTRAINT ck_costsim_cb_incidents_resolution CHECK (
      resolved = (resolved_at IS NOT NULL) AND (resolved OR (resolved_by IS NULL AND resolution_notes IS NULL))),
    CONSTRAINT ck_costsim_cb_incidents_resolved_by CHECK (char_length(resolved_by) <= 128),
    CONSTRAINT ck_costsim_cb_incidents_resolution_notes CHECK (char_length(resolution_notes) <= 1000),
    CONSTRAINT ck_costsim_cb_incidents_alert_sent
      CHECK (alert_sent = (alert_sent_at IS NOT NULL) AND (alert_sent OR alert_response IS NULL)),
    CONSTRAINT ck_costsim_cb_incidents_alert_response CHECK (char_length(alert_response) <= 500)
  );
  CREATE INDEX ix_cb_incidents_list ON costsim_cb_incidents (circuit_breaker_name, timestamp DESC, id DESC);
  CREATE INDEX ix_cb_incidents_open ON costsim_cb_incidents (circuit_breaker_name, timestamp DESC, id DESC) WHERE NOT resolved;
  CREATE UNIQUE INDEX uq_cb_incident_open ON costsim_cb_incidents (circuit_breaker_name) WHERE NOT resolved`;

const STATE = `
  CREATE TABLE costsim_cb_state (
    name text COLLATE "C" NOT NULL,
    disabled boolean NOT NULL DEFAULT false,
    disabled_by text,
    disabled_reason text,
    disabled_until timestamptz,
    opened_at timestamptz,
    incident_id text COLLATE "C",
    consecutive_failures integer NOT NULL DEFAULT 0,
    last_failure_at timestamptz,
    updated_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT pk_costsim_cb_state PRIMARY KEY (name),
    CONSTRAINT fk_costsim_cb_state_incident FOREIGN KEY (incident_id)
      REFERENCES costsim_cb_incidents (id) ON DELETE RESTRICT,
    CONSTRAINT ck_costsim_cb_state_name CHECK (char_length(name) BETWEEN 1 AND 100),
    CONSTRAINT ck_costsim_cb_state_incident_id CHECK (char_length(incident_id) BETWEEN 1 AND 100),
    CONSTRAINT ck_costsim_cb_state_disabled_by CHECK (char_length(disabled_by) BETWEEN 1 AND 128),
    CONSTRAINT ck_costsim_cb_state_disabled_reason CHECK (char_length(disabled_reason) BETWEEN 1 AND 500),
    CONSTRAINT ck_costsim_cb_state_consecutive_failures CHECK (consecutive_failures >= 0),
    CONSTRAINT ck_costsim_cb_state_open CHECK (
      disabled = (incident_id IS NOT NULL) AND disabled = (opened_at IS NOT NULL)
      AND (disabled OR (disabled_by IS NULL AND disabled_reason IS NULL AND disabled_until IS NULL)))
  );
  CREATE INDEX ix_cb_state_incident ON costsim_cb_state (incident_id)`;

const ALERT_QUEUE = `
  CREATE TABLE costsim_alert_queue (
    id text COLLATE "C" NOT NULL,
    payload jsonb NOT NULL,
    alert_type text COLLATE "C" NOT NULL,
    circuit_breaker_name text NOT NULL,
    incident_id text COLLATE "C",
    attempts integer NOT NULL DEFAULT 0,
    max_attempts integer NOT NULL DEFAULT 10,
    last_attempt_at timestamptz,
    next_attempt_at timestamptz NOT NULL,
    locked_until timestamptz,
    last_error text,
    status text COLLATE "C" NOT NULL DEFAULT 'pending',
    created_at timestamptz NOT NULL,
    sent_at timestamptz,
    CONSTRAINT pk_costsim_alert_queue PRIMARY KEY (id),
    CONSTRAINT fk_costsim_alert_queue_incident FOREIGN KEY (incident_id)
      REFERENCES costsim_cb_incidents (id) ON DELETE SET NULL,
    CONSTRAINT ck_costsim_alert_queue_id CHECK (char_length(id) BETWEEN 1 AND 100),
    CONSTRAINT ck_costsim_alert_queue_circuit_breaker_name CHECK (char_length(circuit_breaker_name) BETWEEN 1 AND 100),
    CONSTRAINT ck_costsim_alert_queue_incident_id CHECK (char_length(incident_id) BETWEEN 1 AND 100),
    CONSTRAINT ck_costsim_alert_queue_payload
      CHECK (jsonb_typeof(payload) = 'array' AND octet_length(payload::text) <= 65536),
    CONSTRAINT ck_costsim_alert_queue_alert_type CHECK (alert_type IN ('disable', 'enable', 'canary_fail')),
    CONSTRAINT ck_costsim_alert_queue_attempts CHECK (attempts >= 0),
    CONSTRAINT ck_costsim_alert_queue_max_attempts CHECK (max_attempts >= 1),
    CONSTRAINT ck_costsim_alert_queue_lease CHECK (locked_until IS NULL OR status = 'pending'),
    CONSTRAINT ck_costsim_alert_queue_last_error CHECK (char_length(last_error) <= 500),
    CONSTRAINT ck_costsim_alert_queue_status CHECK (status IN ('pending', 'sent', 'failed')),
    CONSTRAINT ck_costsim_alert_queue_sent_at CHECK ((status = 'sent') = (sent_at IS NOT NULL))
  );
  CREATE INDEX ix_alert_queue_ready ON costsim_alert_queue (next_attempt_at, id) WHERE status = 'pending';
  CREATE INDEX ix_alert_queue_incident ON costsim_alert_queue (incident_id);
  CREATE INDEX ix_alert_queue_status ON costsim_alert_queue (status, created_at, id)`;

const STATUS_HISTORY = `
  CREATE TABLE status_history (
    id text COLLATE "C" NOT NULL,
    entity_type text COLLATE "C" NOT NULL,
    entity_id text COLLATE "C" NOT NULL,
    old_status text,
    new_status text NOT NULL,
    actor_type text COLLATE "C" NOT NULL,
    actor_id text COLLATE "C",
    reason text,
    metadata jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL,
    CONSTRAINT pk_status_history PRIMARY KEY (id),
    CONSTRAINT ck_status_history_id CHECK (char_length(id) BETWEEN 1 AND 100),
    CONSTRAINT ck_status_history_entity_id CHECK (char_length(entity_id) BETWEEN 1 AND 100),
    CONSTRAINT ck_status_history_entity_type CHECK (entity_type IN ('circuit_breaker')),
    CONSTRAINT ck_status_history_old_status CHECK (char_length(old_status) BETWEEN 1 AND 50),
    CONSTRAINT ck_status_history_new_status CHECK (char_length(new_status) BETWEEN 1 AND 50),
    CONSTRAINT ck_status_history_actor_type CHECK (actor_type IN ('system', 'user', 'circuit_breaker')),
    CONSTRAINT ck_status_history_actor_id CHECK (char_length(actor_id) BETWEEN 1 AND 128),
    CONSTRAINT ck_status_history_reason CHECK (char_length(reason) <= 1000),
    CONSTRAINT ck_status_history_metadata
      CHECK (jsonb_typeof(metadata) = 'object' AND octet_length(metadata::text) <= 65536)
  );
  CREATE INDEX ix_status_history_entity ON status_history (entity_type, entity_id, created_at DESC, id DESC)`;
