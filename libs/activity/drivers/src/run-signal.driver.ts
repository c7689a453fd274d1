import { type RiskLevelChange, RUN_SIGNAL_BATCH_MAX, RUN_SIGNALS_MAX, type RunSignals } from '@hoc/activity/schemas';
import {
  assertId,
  assertList,
  assertObject,
  assertTenantId,
  HocError,
  InvalidArgumentError,
  type ReadDeps,
  RISK_LEVELS,
  type RiskLevel,
} from '@hoc/shared/kernel';
import { type DriverManager, guarded, run, runOne, storedValue, toColumns } from '@hoc/shared/drivers';
import { maxRiskLevel, maxRiskLevelForSignals } from '@hoc/shared/schemas';
import { RAISE, RISK_LEVEL, type RiskColumns } from './run-signal/run-signal.query';

export {
  DEFAULT_RISK_LEVEL,
  maxRiskLevel,
  maxRiskLevelForSignals,
  RISK_LEVEL_PRIORITY,
  riskLevelForSignal,
  SIGNAL_TO_RISK_LEVEL,
  UNKNOWN_SIGNAL_RISK_LEVEL,
} from '@hoc/shared/schemas';

/** The driver on the given manager. */
export function getRunSignalDriver(manager: DriverManager, deps: ReadDeps): RunSignalDriver {
  return new RunSignalDriver(manager, deps);
}

/**
 * The risk level of runs, which only rises: whatever the order and number of callers, a run ends at the highest level that
 * any signal asked for. No method needs a transaction: each is one statement.
 * @see run_signal_driver.py
 */
export class RunSignalDriver {
  constructor(
    private readonly manager: DriverManager,
    private readonly deps: ReadDeps,
  ) {}

  /**
   * Raises the run to the highest level of its signals; null for a run that the tenant doesn't have. An unknown signal of
   * a valid name counts as NEAR_THRESHOLD; none at all writes nothing.
   * @throws InvalidArgumentError for more than 100 signals, or a name that isn't 1–64 characters of `[A-Z0-9_]`
   * @see update_risk_level
   */
  async updateRiskLevel(tenantId: string, runId: string, signals: readonly string[]): Promise<RiskLevelChange | null> {
    const tenant = assertTenantId(tenantId);
    const item = wantedLevel({ runId, signals });
    return (await this.raise(tenant, new Map([item])))[0] ?? null;
  }

  /**
   * {@link updateRiskLevel} for at most 1,000 runs in one statement, rows locked in id order. Changes come in the order of
   * the items; a run that the tenant doesn't have has none, one that is named twice has one, for all of its signals.
   * @throws InvalidArgumentError as the single call, with `details.index`; nothing is written then
   */
  async updateRiskLevels(tenantId: string, items: readonly RunSignals[]): Promise<readonly RiskLevelChange[]> {
    const tenant = assertTenantId(tenantId);
    assertList(items, 'items', RUN_SIGNAL_BATCH_MAX);
    return this.raise(tenant, wantedLevels(items));
  }

  /** The run's level; null for a run that the tenant doesn't have. @see get_risk_level */
  async getRiskLevel(tenantId: string, runId: string): Promise<RiskLevel | null> {
    const values = [assertTenantId(tenantId), assertId(runId, 'runId')];
    return guarded(async () => {
      const row = await runOne(this.manager, RISK_LEVEL, values);
      return row === null ? null : storedLevel(row.risk_level);
    });
  }

  private async raise(tenant: string, wanted: ReadonlyMap<string, RiskLevel>): Promise<readonly RiskLevelChange[]> {
    if (wanted.size === 0) return Object.freeze([]);
    const columns = toColumns([...wanted], [([runId]) => runId, ([, level]) => level]);
    return guarded(async () => {
      const rows = await run(this.manager, RAISE, [tenant, ...columns, this.deps.clock.now().toISOString()]);
      const changes = new Map(rows.map((row) => [row.id, toChange(row)]));
      return Object.freeze([...wanted.keys()].flatMap((runId) => changes.get(runId) ?? []));
    });
  }
}

/** The highest level that is asked of each run, in the order in which the runs are first named. */
function wantedLevels(items: readonly RunSignals[]): ReadonlyMap<string, RiskLevel> {
  const wanted = new Map<string, RiskLevel>();
  items.forEach((item, index) => {
    try {
      const [runId, level] = wantedLevel(item);
      wanted.set(runId, maxRiskLevel([level, wanted.get(runId) ?? level]));
    } catch (error) {
      if (!HocError.is(error)) throw error;
      throw new InvalidArgumentError(error.message, { details: { ...error.details, index } });
    }
  });
  return wanted;
}

function wantedLevel(item: RunSignals): readonly [string, RiskLevel] {
  assertObject(item, 'item');
  assertList(item.signals, 'signals', RUN_SIGNALS_MAX);
  return [assertId(item.runId, 'runId'), maxRiskLevelForSignals(item.signals)];
}

const toChange = ({ id, previous, current }: RiskColumns): RiskLevelChange =>
  Object.freeze({
    runId: id,
    previous: storedLevel(previous),
    current: storedLevel(current),
    changed: previous !== current,
  });

const storedLevel = (level: string): RiskLevel => storedValue(level, RISK_LEVELS, 'riskLevel');
