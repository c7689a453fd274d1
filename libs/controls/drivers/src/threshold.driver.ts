import {
  ACTIVE_THRESHOLDS_MAX,
  type LimitSnapshot,
  type PersistedSignalEmission,
  type RunRiskSink,
  type SignalEmission,
  THRESHOLD_SIGNALS_MAX,
  type ThresholdDriverProtocol,
  type ThresholdSignalInput,
  type ThresholdSignalPort,
  type ThresholdSignalsInput,
} from '@hoc/controls/schemas';
import { type DriverManager, assertInTransaction, guarded, run, runOne, storedValue } from '@hoc/shared/drivers';
import {
  assertId,
  assertList,
  assertObject,
  assertOneOf,
  assertTenantId,
  DataIntegrityError,
  deepFreeze,
  type DriverDeps,
  invalid,
  LIMIT_SCOPES,
  LIMIT_STATUSES,
  type LimitScope,
  type ReadDeps,
  RISK_LEVELS,
  type RiskLevel,
} from '@hoc/shared/kernel';
import { maxRiskLevelForSignals, THRESHOLD_SIGNALS, type ThresholdSignal } from '@hoc/shared/schemas';
import { RAISE_RISK } from './threshold/run-risk.query';
import { emitEvents, type EvaluatedRun, evaluatedRun } from './threshold/signal-event.driver';
import {
  ACTIVE_THRESHOLDS,
  type SnapshotColumns,
  THRESHOLD_OF_SCOPE,
  THRESHOLD_OF_SCOPE_ID,
} from './threshold/threshold-limit.query';

export type {
  PersistedSignalEmission,
  SignalEmission,
  ThresholdSignalInput,
  ThresholdSignalsInput,
} from '@hoc/controls/schemas';

/** The driver on the given manager. */
export function getThresholdDriver(manager: DriverManager): ThresholdDriver {
  return new ThresholdDriver(manager);
}

/**
 * Reads THRESHOLD limits that are active. No method needs a transaction: each is one statement. Results are frozen.
 *
 * @see threshold_driver.py, ThresholdDriver
 */
export class ThresholdDriver implements ThresholdDriverProtocol {
  constructor(private readonly manager: DriverManager) {}

  /**
   * All of a tenant, of every scope, the oldest first (ties: the smaller id).
   *
   * @throws DataIntegrityError for more than 1,000: a part of them would give other thresholds
   * @see get_active_threshold_limits
   */
  async getActiveThresholdLimits(tenantId: string): Promise<readonly LimitSnapshot[]> {
    const tenant = assertTenantId(tenantId);
    return guarded(async () => {
      const rows = await run(this.manager, ACTIVE_THRESHOLDS, [tenant, ACTIVE_THRESHOLDS_MAX + 1]);
      if (rows.length > ACTIVE_THRESHOLDS_MAX)
        throw new DataIntegrityError(`a tenant has more than ${ACTIVE_THRESHOLDS_MAX} active THRESHOLD limits`, {
          details: { field: 'limits', reason: 'too_many' },
        });
      return Object.freeze(rows.map(toSnapshot));
    });
  }

  /**
   * The newest of one scope (ties: the larger id), which is the one that wins in the resolver; null for none. GLOBAL and
   * TENANT have no `scopeId`, the other scopes need one.
   *
   * @throws InvalidArgumentError for an unknown scope, or a `scopeId` where none belongs or none where one does
   * @see get_threshold_limit_by_scope
   */
  async getThresholdLimitByScope(
    tenantId: string,
    scope: LimitScope,
    scopeId?: string | null,
  ): Promise<LimitSnapshot | null> {
    const tenant = assertTenantId(tenantId);
    const known = assertOneOf(scope, LIMIT_SCOPES, 'scope');
    const id = scopeIdOf(known, scopeId ?? null);
    return guarded(async () => {
      const row =
        id === null
          ? await runOne(this.manager, THRESHOLD_OF_SCOPE, [tenant, known])
          : await runOne(this.manager, THRESHOLD_OF_SCOPE_ID, [tenant, known, id]);
      return row === null ? null : toSnapshot(row);
    });
  }
}

/** The same class: there is no second, synchronous access to a database. @see threshold_driver.py, ThresholdDriverSync */
export const ThresholdDriverSync = ThresholdDriver;
/** The same class. */
export type ThresholdDriverSync = ThresholdDriver;

/**
 * Writes the event of one signal for the operators' console, once a run, state and signal: a repetition is a duplicate,
 * whatever thresholds it names, and the first event stands. The run need not exist. No transaction needed: one statement,
 * and one more to read where another connection wrote the same event meanwhile.
 *
 * @throws InvalidArgumentError naming the field; ConflictError reason `content` where another event has the key
 * @see threshold_driver.py, emit_threshold_signal_sync
 */
export async function emitThresholdSignal(
  manager: DriverManager,
  tenantId: string,
  input: ThresholdSignalInput,
  deps: DriverDeps,
): Promise<SignalEmission> {
  const tenant = assertTenantId(tenantId);
  const signal = assertOneOf(assertObject(input, 'input')['signal'], THRESHOLD_SIGNALS, 'signal');
  return emitEvents(manager, tenant, { run: evaluatedRun(input), signals: [signal], holdRun: false }, deps);
}

/** The same function. @see threshold_driver.py, emit_threshold_signal_sync */
export const emitThresholdSignalSync = emitThresholdSignal;

/**
 * Both halves of an emission: the events of all signals in one statement, then the run's risk level through `sink` (absent:
 * {@link sharedRunsRiskSink}). Repeated signals count once; without a signal nothing is written. Needs a transaction:
 * whatever either half throws reaches the caller, and both are rolled back together.
 *
 * @throws TransactionRequiredError; InvalidArgumentError naming the field; ConflictError as {@link emitThresholdSignal}
 * @see threshold_driver.py, emit_and_persist_threshold_signal
 */
export async function emitAndPersistThresholdSignal(
  manager: DriverManager,
  tenantId: string,
  input: ThresholdSignalsInput,
  deps: DriverDeps,
  sink: RunRiskSink = sharedRunsRiskSink(manager, deps),
): Promise<PersistedSignalEmission> {
  const tenant = assertTenantId(tenantId);
  assertInTransaction(manager);
  assertObject(input, 'input');
  const evaluated: EvaluatedRun = evaluatedRun(input);
  const signals = distinctSignals(input.signals);
  if (signals.length === 0) return deepFreeze({ emitted: [], duplicates: [], riskLevel: null });
  const emission = await emitEvents(manager, tenant, { run: evaluated, signals, holdRun: true }, deps);
  return Object.freeze({ ...emission, riskLevel: await sink.raise(tenant, evaluated.runId, signals) });
}

/**
 * The default sink: raises `risk_level` of the run's own row, in one statement, and never lowers it. Null for a run that
 * the tenant doesn't have; without a signal nothing is read or written.
 */
export function sharedRunsRiskSink(manager: DriverManager, deps: ReadDeps): RunRiskSink {
  return Object.freeze({
    async raise(tenantId: string, runId: string, signals: readonly ThresholdSignal[]): Promise<RiskLevel | null> {
      const values = [assertTenantId(tenantId), assertId(runId, 'runId')];
      const asked = distinctSignals(signals);
      if (asked.length === 0) return null;
      const now = deps.clock.now().toISOString();
      return guarded(async () => {
        const row = await runOne(manager, RAISE_RISK, [...values, maxRiskLevelForSignals(asked), now]);
        return row === null ? null : storedValue(row.risk_level, RISK_LEVELS, 'riskLevel');
      });
    },
  });
}

/** The two emitting functions on one manager: what the module gives to whoever evaluates runs. */
export function getThresholdSignals(manager: DriverManager, deps: DriverDeps, sink?: RunRiskSink): ThresholdSignalPort {
  return Object.freeze({
    emitThresholdSignal: (tenantId: string, input: ThresholdSignalInput) =>
      emitThresholdSignal(manager, tenantId, input, deps),
    emitAndPersistThresholdSignal: (tenantId: string, input: ThresholdSignalsInput) =>
      emitAndPersistThresholdSignal(manager, tenantId, input, deps, sink),
  });
}

const SCOPES_WITHOUT_ID: readonly LimitScope[] = ['GLOBAL', 'TENANT'];

function scopeIdOf(scope: LimitScope, scopeId: string | null): string | null {
  if (!SCOPES_WITHOUT_ID.includes(scope)) return assertId(scopeId, 'scopeId');
  if (scopeId !== null) throw invalid('scopeId', 'forbidden', `a ${scope} limit has no scopeId`);
  return null;
}

function distinctSignals(signals: unknown): readonly ThresholdSignal[] {
  const given = assertList(signals, 'signals', THRESHOLD_SIGNALS_MAX);
  return [...new Set(given.map((signal) => assertOneOf(signal, THRESHOLD_SIGNALS, 'signals')))];
}

const toSnapshot = (row: SnapshotColumns): LimitSnapshot =>
  deepFreeze({
    id: row.id,
    tenantId: row.tenant_id,
    scope: storedValue(row.scope, LIMIT_SCOPES, 'scope'),
    scopeId: row.scope_id,
    params: row.params,
    status: storedValue(row.status, LIMIT_STATUSES, 'status'),
    createdAt: row.created_at,
  });
