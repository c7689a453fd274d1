import {
  ALERT_TYPES,
  type AlertType,
  type BreakerDisableOutcome,
  type BreakerDisableRequest,
  type BreakerEnableRequest,
  type BreakerIncidentsRequest,
  type CircuitBreakerConfig,
  circuitBreakerConfig,
  type CircuitBreakerOptions,
  type CircuitBreakerState,
  type DriftReport,
  type Incident,
  type SchemaErrorReport,
  type TripInput,
} from '@hoc/controls/schemas';
import {
  assertId,
  assertInt,
  assertObject,
  assertOneOf,
  assertSystemScope,
  type DriverDeps,
  FeatureIntent,
  filterFingerprint,
  invalid,
  type JsonObject,
  type JsonValue,
  type Page,
  RetryPolicy,
  type SystemScope,
} from '@hoc/shared/kernel';
import {
  assertInTransaction,
  type DriverManager,
  guarded,
  type KeysetList,
  keysetPage,
  keysetRequest,
  run,
  runOne,
} from '@hoc/shared/drivers';
import {
  type BreakerRow,
  closedRow,
  decideDrift,
  effectiveOpen,
  isExpired,
  resolveDisabledUntil,
} from './circuit-breaker.rules';
import { toBreakerRow, toIncident, toState } from './circuit-breaker/breaker.rows';
import { ENQUEUE_ALERT, INCIDENTS, OPEN_INCIDENTS, RESOLVE_INCIDENT } from './circuit-breaker/incident.query';
import {
  BREAKER,
  COUNT_FAILURES,
  CREATE_BREAKER,
  LOCK_BREAKER,
  OPEN_BREAKER,
  type StateColumns,
} from './circuit-breaker/state.query';
import {
  assertDetails,
  assertReason,
  assertScore,
  BREAKER_ACTOR_MAX,
  BREAKER_ITSELF,
  INTEGER_MAX,
  lost,
  manualClosing,
  RECOVERY,
} from './circuit-breaker/records.rules';
import { type BreakerContext, closeBreaker, extendOpening, openBreaker } from './circuit-breaker/transitions.driver';

export {
  claimDueAlerts,
  fetchAlertQueueStats,
  getAlertQueue,
  markAlertFailed,
  markAlertSent,
  retryFailedAlerts,
} from './alert-queue.driver';
export type { CircuitBreakerOptions, TripInput } from '@hoc/controls/schemas';
export { CircuitBreakerState, Incident } from '@hoc/controls/schemas';
export { type BreakerRow, buildDisableAlertPayload, buildEnableAlertPayload } from './circuit-breaker.rules';

/** It changes rows. @see circuit_breaker.py, FEATURE_INTENT */
export const FEATURE_INTENT: FeatureIntent = FeatureIntent.STATE_MUTATION;
/** A call whose outcome is unknown may be made again. @see circuit_breaker.py, RETRY_POLICY */
export const RETRY_POLICY: RetryPolicy = RetryPolicy.SAFE;
/** The breaker that is meant where no name is given: the one before the simulator's second model. @see circuit_breaker.py, CB_NAME */
export const CB_NAME = 'costsim_v2';

/**
 * A breaker that all replicas share: open, its callers do without what it guards. It opens after failures in a row or by a
 * person, closes when its time is over or by a person, and each opening is one incident, written in the same commit as
 * the state, the history and the alert in the outbox. System-wide: it belongs to no tenant. Instants are UTC; results are
 * frozen. What changes a breaker needs a transaction and holds its row until that ends; checks never wait.
 *
 * @see circuit_breaker.py, CircuitBreaker; circuit_breaker_async.py, AsyncCircuitBreaker
 */
export class CircuitBreaker {
  readonly name: string;
  readonly config: Readonly<CircuitBreakerConfig>;
  private readonly context: BreakerContext;

  /** @throws TenantScopeError without a scope, InvalidArgumentError for a bad name or config */
  constructor(
    private readonly manager: DriverManager,
    scope: SystemScope,
    private readonly deps: DriverDeps,
    options: CircuitBreakerOptions = {},
  ) {
    const { reason } = assertSystemScope(scope);
    assertObject(options, 'options');
    const { name = CB_NAME, failureThreshold, driftThreshold, config } = options;
    this.name = assertId(name, 'name');
    this.config = circuitBreakerConfig({
      ...(config === undefined ? {} : assertObject(config, 'config')),
      ...(failureThreshold === undefined ? {} : { failureThreshold }),
      ...(driftThreshold === undefined ? {} : { driftThreshold }),
    });
    this.context = { manager, deps, name: this.name, config: this.config, reason };
  }

  /**
   * Whether callers have to do without. One plain read, by a manager with or without a transaction: no lock, no row made, no
   * wait. Whoever finds that its time is over closes it, by one more statement, unless the transaction is read-only or
   * somebody else has the row in hand; the answer is false all the same.
   *
   * @see circuit_breaker.py, CircuitBreaker.is_disabled
   */
  async isDisabled(): Promise<boolean> {
    return guarded(async () => {
      const open = await runOne(this.manager, OPEN_BREAKER, [this.name]);
      if (open === null) return false;
      const now = this.deps.clock.now();
      const stands = ({ disabled_until: disabledUntil }: { readonly disabled_until: Date | null }): boolean =>
        effectiveOpen({ disabled: true, disabledUntil }, now, this.config);
      if (stands(open)) return true;
      if (open.read_only || (await this.recover(now))) return false;
      // The row has moved on since: closed, given another end, opened anew.
      const moved = await runOne(this.manager, OPEN_BREAKER, [this.name]);
      return moved !== null && stands(moved);
    });
  }

  /** The same as {@link isDisabled}. */
  async isOpen(): Promise<boolean> {
    return this.isDisabled();
  }

  /** The opposite of {@link isDisabled}. */
  async isClosed(): Promise<boolean> {
    return !(await this.isDisabled());
  }

  /** The breaker as it stands at the clock. One read; it never writes. @see circuit_breaker.py, CircuitBreaker.get_state */
  async getState(): Promise<CircuitBreakerState> {
    return guarded(async () => {
      const row = await runOne(this.manager, BREAKER, [this.name]);
      return toState(row === null ? null : toBreakerRow(row), this.deps.clock.now(), this.config);
    });
  }

  /**
   * Counts a drift: above the threshold it is a failure, and enough of them in a row open the breaker (P1, for the default
   * time); any other one ends the row. The incident, if this call opened it. An open breaker only counts.
   * @throws TransactionRequiredError; InvalidArgumentError for a score out of 0–1, a sample count below 1, bad details
   * @see circuit_breaker.py, CircuitBreaker.report_drift
   */
  async reportDrift(driftScore: number, sampleCount: number = 1, details: JsonObject = {}): Promise<Incident | null> {
    assertInTransaction(this.manager);
    const score = assertScore(driftScore);
    const samples = assertInt(sampleCount, 'sampleCount', 1, INTEGER_MAX);
    const kept = assertDetails(details);
    return guarded(async () => {
      const now = this.deps.clock.now();
      const row = await this.lockCurrent(now);
      const { counter, failed, trip } = decideDrift(row, score, this.config);
      if (trip)
        return this.trip({
          reason: `Drift exceeded threshold: ${score.toFixed(4)} > ${this.config.driftThreshold}`,
          severity: 'P1',
          driftScore: score,
          sampleCount: samples,
          details: kept,
          disabledBy: BREAKER_ITSELF,
          disabledUntil: resolveDisabledUntil(undefined, now, this.config),
          failures: counter,
        });
      if (counter !== row.consecutiveFailures || failed)
        await run(this.manager, COUNT_FAILURES, [this.name, counter, failed, now.toISOString()]);
      return null;
    });
  }

  /**
   * As many schema errors as the threshold open a closed breaker (P3, for the default time); fewer ask the database
   * nothing. The incident, if this call opened it. The counter of failures stays as it is.
   * @throws TransactionRequiredError; InvalidArgumentError for a negative count, bad details
   * @see circuit_breaker.py, CircuitBreaker.report_schema_error
   */
  async reportSchemaError(errorCount: number = 1, details: JsonObject = {}): Promise<Incident | null> {
    assertInTransaction(this.manager);
    const errors = assertInt(errorCount, 'errorCount', 0, INTEGER_MAX);
    const kept = assertDetails(details);
    const { autoDisableEnabled, schemaErrorThreshold } = this.config;
    if (errors < schemaErrorThreshold || !autoDisableEnabled) return null;
    return guarded(async () => {
      const now = this.deps.clock.now();
      const row = await this.lockCurrent(now);
      if (row.disabled) return null;
      return this.trip({
        reason: `Schema error threshold exceeded: ${errors} >= ${schemaErrorThreshold}`,
        severity: 'P3',
        driftScore: 1,
        sampleCount: errors,
        details: kept,
        disabledBy: BREAKER_ITSELF,
        disabledUntil: resolveDisabledUntil(undefined, now, this.config),
      });
    });
  }

  /**
   * A person opens the breaker (P2). Open for the same reason already, it stays as it is, or takes another end that is
   * named; open for another reason, a new incident takes the place of the old one.
   * @throws TransactionRequiredError; InvalidArgumentError for a bad reason, person or end
   * @see circuit_breaker.py, CircuitBreaker.disable_v2
   */
  async disableV2(reason: string, disabledBy: string, disabledUntil?: Date | null): Promise<BreakerDisableOutcome> {
    assertInTransaction(this.manager);
    const now = this.deps.clock.now();
    const why = assertReason(reason);
    const who = assertId(disabledBy, 'disabledBy', BREAKER_ACTOR_MAX);
    const until = resolveDisabledUntil(disabledUntil, now, this.config);
    return guarded(async () => {
      const row = await this.lockCurrent(now);
      if (row.disabled && row.disabledReason === why)
        return disabledUntil === undefined || until?.getTime() === row.disabledUntil?.getTime()
          ? UNCHANGED
          : changed(await extendOpening(this.context, row, until, who));
      const incident = await this.trip({
        reason: why,
        severity: 'P2',
        driftScore: 0,
        sampleCount: 0,
        details: Object.freeze({ manual_disable: true }),
        disabledBy: who,
        disabledUntil: until,
        supersedes: row.incidentId,
      });
      return changed(incident);
    });
  }

  /**
   * A person closes the breaker and resolves its incident; false, and nothing is written, where it is closed.
   * @throws TransactionRequiredError; InvalidArgumentError for a bad person or reason
   * @see circuit_breaker.py, CircuitBreaker.enable_v2
   */
  async enableV2(enabledBy: string, reason?: string): Promise<boolean> {
    return this.closeBy(enabledBy, 'enabledBy', reason, 'Manual enable');
  }

  /** As {@link enableV2}, also by nobody in particular. @see circuit_breaker.py, CircuitBreaker.reset */
  async reset(reason?: string, resetBy?: string): Promise<boolean> {
    return this.closeBy(resetBy, 'resetBy', reason, 'Manual reset');
  }

  /** The same as {@link reset}. @see circuit_breaker.py, CircuitBreaker.reset_v2 */
  async resetV2(reason?: string, resetBy?: string): Promise<boolean> {
    return this.reset(reason, resetBy);
  }

  /**
   * Incidents of this breaker, the newest first; those that are resolved only if asked for. No transaction needed.
   * @throws InvalidArgumentError for a limit out of 1–200 or another list's cursor
   * @see circuit_breaker.py, CircuitBreaker.get_incidents
   */
  async getIncidents(request: BreakerIncidentsRequest = {}): Promise<Page<Incident>> {
    const { includeResolved = false, ...page } = assertObject(request, 'request') as BreakerIncidentsRequest;
    if (typeof includeResolved !== 'boolean')
      throw invalid('includeResolved', 'boolean', 'includeResolved must be true or false');
    const list: KeysetList = {
      kind: 'breaker-incidents',
      fingerprint: filterFingerprint('breaker-incidents', '', { breaker: this.name, includeResolved }),
      positions: ['instant', 'text'],
      defaultLimit: INCIDENTS_DEFAULT,
    };
    const asked = keysetRequest(list, page);
    const [at = null, id = ''] = asked.after ?? [];
    const values = [this.name, at ?? 'infinity', id, asked.limit + 1];
    return guarded(async () => {
      const rows = await run(this.manager, includeResolved ? INCIDENTS : OPEN_INCIDENTS, values);
      return keysetPage(list, asked, rows, { item: toIncident, position: (row) => [row.position, row.id] });
    });
  }

  /**
   * Closes the breaker if its time is over; whether this call did. One statement, by a manager with or without a
   * transaction: of any number of callers one recovers, and nobody waits for another. Nothing is asked where the config
   * leaves it to people.
   *
   * @see circuit_breaker.py, CircuitBreaker._auto_recover; circuit_breaker_async.py, _try_auto_recover
   */
  async autoRecover(): Promise<boolean> {
    if (!this.config.autoRecoverEnabled) return false;
    return guarded(() => this.recover(this.deps.clock.now()));
  }

  /**
   * The stored breaker, made where there is none; locked until the transaction ends if asked for.
   * @throws TransactionRequiredError with lock and without a transaction
   * @internal
   * @see circuit_breaker.py, CircuitBreaker._get_or_create_state
   */
  async getOrCreateState(lock: boolean): Promise<BreakerRow> {
    if (lock) assertInTransaction(this.manager);
    const read = (): Promise<StateColumns | null> => runOne(this.manager, lock ? LOCK_BREAKER : BREAKER, [this.name]);
    return guarded(async () => {
      const created = [this.name, this.deps.clock.now().toISOString()];
      const row = (await read()) ?? (await runOne(this.manager, CREATE_BREAKER, created)) ?? (await read());
      if (row === null) throw lost('the state of the breaker');
      return toBreakerRow(row);
    });
  }

  /**
   * Opens the breaker: incident, state, history and alert by one statement. The caller holds the row.
   * @throws TransactionRequiredError; ConflictError where an incident is open that isn't named as superseded
   * @internal
   * @see circuit_breaker.py, CircuitBreaker._trip
   */
  async trip(input: TripInput): Promise<Incident> {
    assertInTransaction(this.manager);
    return guarded(() => openBreaker(this.context, input));
  }

  /**
   * Resolves one incident of this breaker; whether this call did. One statement.
   * @internal
   * @see circuit_breaker.py, CircuitBreaker._resolve_incident
   */
  async resolveIncident(incidentId: string, resolvedBy: string, notes: string): Promise<boolean> {
    const values = [this.name, incidentId, resolvedBy, notes, this.deps.clock.now().toISOString()];
    return guarded(async () => (await runOne(this.manager, RESOLVE_INCIDENT, values)) !== null);
  }

  /**
   * Puts an alert into the outbox, due at once; its id. One statement.
   * @internal
   * @see circuit_breaker_async.py, _enqueue_alert
   */
  async enqueueAlert(type: AlertType, payload: JsonValue, incidentId: string | null): Promise<string> {
    const kind = assertOneOf(type, ALERT_TYPES, 'type');
    const id = this.deps.ids.next();
    const values = [id, this.name, kind, JSON.stringify(payload), incidentId, this.deps.clock.now().toISOString()];
    await guarded(() => run(this.manager, ENQUEUE_ALERT, values));
    return id;
  }

  /** The row, locked, as it counts at `now`: recovered first where its time is over. */
  private async lockCurrent(now: Date): Promise<BreakerRow> {
    const row = await this.getOrCreateState(true);
    if (!isExpired(row, now, this.config)) return row;
    if (!(await this.recover(now))) throw lost('the open incident of the breaker');
    return closedRow(row);
  }

  private async recover(now: Date): Promise<boolean> {
    return closeBreaker(this.context, RECOVERY, now, { expiredOnly: true });
  }

  private async closeBy(
    person: string | undefined,
    field: string,
    reason: string | undefined,
    notes: string,
  ): Promise<boolean> {
    assertInTransaction(this.manager);
    if (field !== 'resetBy' || person !== undefined) assertId(person, field, BREAKER_ACTOR_MAX);
    if (reason !== undefined) assertReason(reason);
    return guarded(async () => {
      const row = await runOne(this.manager, LOCK_BREAKER, [this.name]);
      if (row?.disabled !== true) return false;
      const closing = manualClosing(person, reason, notes);
      return closeBreaker(this.context, closing, this.deps.clock.now(), { expiredOnly: false });
    });
  }
}

const INCIDENTS_DEFAULT = 10;
const UNCHANGED: BreakerDisableOutcome = Object.freeze({ changed: false, incident: null });
const changed = (incident: Incident): BreakerDisableOutcome => Object.freeze({ changed: true, incident });

/** The breaker on the given manager. @throws as the constructor @see circuit_breaker.py, create_circuit_breaker */
export function createCircuitBreaker(
  manager: DriverManager,
  scope: SystemScope,
  deps: DriverDeps,
  options?: CircuitBreakerOptions,
): CircuitBreaker {
  return new CircuitBreaker(manager, scope, deps, options);
}

/** {@link createCircuitBreaker}: a new one each time, there is no global one. @see circuit_breaker_async.py, get_async_circuit_breaker */
export const getAsyncCircuitBreaker = createCircuitBreaker;

/** {@link CircuitBreaker.isDisabled} of one breaker. @see circuit_breaker.py, is_v2_disabled */
export async function isV2Disabled(
  manager: DriverManager,
  scope: SystemScope,
  deps: DriverDeps,
  options?: CircuitBreakerOptions,
): Promise<boolean> {
  return createCircuitBreaker(manager, scope, deps, options).isDisabled();
}

/** {@link CircuitBreaker.disableV2} of one breaker. @see circuit_breaker.py, disable_v2 */
export async function disableV2(
  manager: DriverManager,
  scope: SystemScope,
  deps: DriverDeps,
  input: BreakerDisableRequest,
  options?: CircuitBreakerOptions,
): Promise<BreakerDisableOutcome> {
  const breaker = createCircuitBreaker(manager, scope, deps, options);
  assertInTransaction(manager);
  assertObject(input, 'input');
  return breaker.disableV2(input.reason, input.disabledBy, input.disabledUntil);
}

/** {@link CircuitBreaker.enableV2} of one breaker. @see circuit_breaker.py, enable_v2 */
export async function enableV2(
  manager: DriverManager,
  scope: SystemScope,
  deps: DriverDeps,
  input: BreakerEnableRequest,
  options?: CircuitBreakerOptions,
): Promise<boolean> {
  const breaker = createCircuitBreaker(manager, scope, deps, options);
  assertInTransaction(manager);
  assertObject(input, 'input');
  return breaker.enableV2(input.enabledBy, input.reason);
}

/** {@link CircuitBreaker.getState} of one breaker. @see circuit_breaker_async.py, get_state */
export async function getState(
  manager: DriverManager,
  scope: SystemScope,
  deps: DriverDeps,
  options?: CircuitBreakerOptions,
): Promise<CircuitBreakerState> {
  return createCircuitBreaker(manager, scope, deps, options).getState();
}

/** {@link CircuitBreaker.reportDrift} to one breaker. @see circuit_breaker_async.py, report_drift */
export async function reportDrift(
  manager: DriverManager,
  scope: SystemScope,
  deps: DriverDeps,
  input: DriftReport,
  options?: CircuitBreakerOptions,
): Promise<Incident | null> {
  const breaker = createCircuitBreaker(manager, scope, deps, options);
  assertInTransaction(manager);
  assertObject(input, 'input');
  return breaker.reportDrift(input.driftScore, input.sampleCount, input.details);
}

/** {@link CircuitBreaker.reportSchemaError} to one breaker. @see circuit_breaker_async.py, report_schema_error */
export async function reportSchemaError(
  manager: DriverManager,
  scope: SystemScope,
  deps: DriverDeps,
  input: SchemaErrorReport,
  options?: CircuitBreakerOptions,
): Promise<Incident | null> {
  const breaker = createCircuitBreaker(manager, scope, deps, options);
  assertInTransaction(manager);
  assertObject(input, 'input');
  return breaker.reportSchemaError(input.errorCount, input.details);
}

/** {@link CircuitBreaker.getIncidents} of one breaker. @see circuit_breaker_async.py, get_incidents */
export async function getIncidents(
  manager: DriverManager,
  scope: SystemScope,
  deps: DriverDeps,
  request?: BreakerIncidentsRequest,
  options?: CircuitBreakerOptions,
): Promise<Page<Incident>> {
  return createCircuitBreaker(manager, scope, deps, options).getIncidents(request);
}
