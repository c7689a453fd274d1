import {
  type LimitChange,
  type LimitIntegrityRecord,
  LimitNotFoundError,
  type LimitPatch,
  type LimitRecord,
  type NewLimit,
  type NewLimitIntegrity,
} from '@hoc/controls/schemas';
import {
  assertId,
  assertInt,
  assertObject,
  assertSystemScope,
  assertTenantId,
  ConflictError,
  DataIntegrityError,
  type DriverDeps,
  filterFingerprint,
  NotFoundError,
  type Page,
  type PageRequest,
  type SystemScope,
} from '@hoc/shared/kernel';
import {
  type DriverManager,
  guarded,
  type KeysetList,
  keysetPage,
  keysetRequest,
  run,
  runOne,
} from '@hoc/shared/drivers';
import { assertActor, integrityValues, limitValues, patchValues } from './policy-limits/limit-values.rules';
import {
  type ChangedColumns,
  DISABLE_LIMIT,
  INSERT_LIMIT,
  INSERT_LIMIT_WITH_INTEGRITY,
  INSERT_MISSING_INTEGRITY,
  LIMIT_BY_ID,
  LIMITS_WITHOUT_INTEGRITY,
  UPDATE_LIMIT,
  UPSERT_INTEGRITY,
} from './policy-limits/limit-write.query';
import { toIntegrityRecord, toLimitRecord } from './policy-limits/limit.rows';

/** The driver on the given manager. @see policy_limits_driver.py, get_policy_limits_driver */
export function getPolicyLimitsDriver(manager: DriverManager, deps: DriverDeps): PolicyLimitsDriver {
  return new PolicyLimitsDriver(manager, deps);
}

/**
 * Writes limits and what their verification found. Every method is one statement and needs no transaction; each write is
 * there at once. Another tenant's limit is a missing one. Results are frozen.
 *
 * @see policy_limits_driver.py, PolicyLimitsDriver
 */
export class PolicyLimitsDriver {
  constructor(
    private readonly manager: DriverManager,
    private readonly deps: DriverDeps,
  ) {}

  /** The limit as stored; null for none. @see policy_limits_driver.py, PolicyLimitsDriver.fetch_limit_by_id */
  async fetchLimitById(tenantId: string, limitId: string): Promise<LimitRecord | null> {
    const values = [assertTenantId(tenantId), assertId(limitId, 'limitId')];
    const row = await guarded(() => runOne(this.manager, LIMIT_BY_ID, values));
    return row === null ? null : toLimitRecord(row);
  }

  /**
   * Stores a limit without a verification; version 1.
   * @throws InvalidArgumentError for a value against its column, COST_USD among them; ConflictError for an id that exists;
   * NotFoundError for an unknown tenant
   * @see policy_limits_driver.py, PolicyLimitsDriver.add_limit
   */
  async addLimit(tenantId: string, limit: NewLimit): Promise<LimitRecord> {
    const tenant = assertTenantId(tenantId);
    const [id, values] = this.newLimitValues(limit);
    const row = await ofTenant(() => runOne(this.manager, INSERT_LIMIT, [tenant, id, ...values]));
    if (row === null) throw existing(id);
    return toLimitRecord(row);
  }

  /**
   * Stores a limit together with its verification (VERIFIED, 1): both rows or neither.
   * @throws as {@link addLimit}
   */
  async createLimit(
    tenantId: string,
    limit: NewLimit,
    integrity: Omit<NewLimitIntegrity, 'limitId'> = VERIFIED,
  ): Promise<LimitRecord> {
    const tenant = assertTenantId(tenantId);
    const [id, values] = this.newLimitValues(limit);
    assertObject(integrity, 'integrity');
    const verified = integrityValues(integrity.integrityStatus, integrity.integrityScore);
    const bound = [tenant, id, ...values, this.deps.ids.next(), ...verified];
    const row = await ofTenant(() => runOne(this.manager, INSERT_LIMIT_WITH_INTEGRITY, bound));
    if (row === null) throw existing(id);
    return toLimitRecord(row);
  }

  /**
   * What a verification found, as of the clock: one row a limit, the latest. Where a later one is stored it stands, and is
   * what comes back.
   * @throws InvalidArgumentError for a score out of 0–1, LimitNotFoundError for a limit that the tenant doesn't have
   * @see policy_limits_driver.py, PolicyLimitsDriver.add_integrity
   */
  async addIntegrity(tenantId: string, integrity: NewLimitIntegrity): Promise<LimitIntegrityRecord> {
    const tenant = assertTenantId(tenantId);
    assertObject(integrity, 'integrity');
    const limitId = assertId(integrity.limitId, 'limitId');
    const values = integrityValues(integrity.integrityStatus, integrity.integrityScore);
    const bound = [tenant, this.deps.ids.next(), limitId, ...values, this.now()];
    const row = await ofLimit(limitId, () => runOne(this.manager, UPSERT_INTEGRITY, bound));
    if (row === null)
      throw new DataIntegrityError('the verification was not stored', { details: { reason: 'trigger' } });
    return toIntegrityRecord(row);
  }

  /** The same as {@link addIntegrity}. */
  createIntegrity(tenantId: string, integrity: NewLimitIntegrity): Promise<LimitIntegrityRecord> {
    return this.addIntegrity(tenantId, integrity);
  }

  /**
   * VERIFIED, 1 for a limit that was never verified; whether it was missing. What a verification found stands.
   * @throws LimitNotFoundError for a limit that the tenant doesn't have
   */
  async addMissingIntegrity(tenantId: string, limitId: string): Promise<boolean> {
    const tenant = assertTenantId(tenantId);
    const limit = assertId(limitId, 'limitId');
    const values = [tenant, this.deps.ids.next(), limit, this.now()];
    const row = await ofLimit(limit, () => runOne(this.manager, INSERT_MISSING_INTEGRITY, values));
    return row?.added === '1';
  }

  /**
   * Changes the fields that are given and no other, so that two writers of different fields both survive; version + 1.
   * `params` is merged key by key; a new `max_cost_cents` also removes a stored `max_cost_usd`. Null for a limit that the
   * tenant doesn't have.
   * @throws InvalidArgumentError for an empty patch or a bad value; ConflictError with `details.currentVersion` where the
   * stored version isn't `expectedVersion`
   */
  async updateLimit(
    tenantId: string,
    limitId: string,
    patch: LimitPatch,
    expectedVersion?: number,
  ): Promise<LimitChange | null> {
    const tenant = assertTenantId(tenantId);
    const limit = assertId(limitId, 'limitId');
    const values = patchValues(patch);
    const version =
      expectedVersion === undefined ? null : assertInt(expectedVersion, 'expectedVersion', 1, 2_147_483_647);
    const bound = [tenant, limit, this.now(), version, ...values];
    const { before, after } = parts(await guarded(() => run(this.manager, UPDATE_LIMIT, bound)));
    if (before === undefined) return null;
    if (after === undefined)
      throw new ConflictError('the limit has another version', {
        details: { reason: 'version', limitId: limit, currentVersion: before.version },
      });
    return Object.freeze({ before: toLimitRecord(before), after: toLimitRecord(after) });
  }

  /**
   * Ends an active limit; null where it is disabled already, or missing. Its overrides stay, and are without effect.
   * @throws InvalidArgumentError for an author of other than 1–128 characters
   */
  async disableLimit(tenantId: string, limitId: string, by: string | null): Promise<LimitChange | null> {
    const tenant = assertTenantId(tenantId);
    const values = [tenant, assertId(limitId, 'limitId'), this.now(), by === null ? null : assertActor(by)];
    const { before, after } = parts(await guarded(() => run(this.manager, DISABLE_LIMIT, values)));
    return before === undefined || after === undefined
      ? null
      : Object.freeze({ before: toLimitRecord(before), after: toLimitRecord(after) });
  }

  /** {@link disableLimit}, and whether it did. */
  async markLimitDisabled(tenantId: string, limitId: string, by: string | null): Promise<boolean> {
    return (await this.disableLimit(tenantId, limitId, by)) !== null;
  }

  /** System-wide: limits that were never verified, by tenant and id. @throws TenantScopeError without a scope */
  async detectLimitsWithoutIntegrity(
    scope: SystemScope,
    page: PageRequest = {},
  ): Promise<Page<{ readonly tenantId: string; readonly limitId: string }>> {
    assertSystemScope(scope);
    const request = keysetRequest(WITHOUT_INTEGRITY, page);
    const [tenant, id] = request.after ?? ['', ''];
    const values = [tenant, id, request.limit + 1];
    const rows = await guarded(() => run(this.manager, LIMITS_WITHOUT_INTEGRITY, values));
    return keysetPage(WITHOUT_INTEGRITY, request, rows, {
      item: (row) => Object.freeze({ tenantId: row.tenant_id, limitId: row.id }),
      position: (row) => [row.tenant_id, row.id],
    });
  }

  /** Nothing waits: each write is there at once. Kept for the seed's sequence of calls. @see policy_limits_driver.py, PolicyLimitsDriver.flush */
  flush(): Promise<void> {
    return Promise.resolve();
  }

  private newLimitValues(limit: NewLimit): readonly [string, readonly unknown[]] {
    const values = [...limitValues(limit), this.now()];
    return [limit.id === undefined ? this.deps.ids.next() : assertId(limit.id, 'id'), values];
  }

  private now(): string {
    return this.deps.clock.now().toISOString();
  }
}

const VERIFIED = Object.freeze({ integrityStatus: 'VERIFIED', integrityScore: 1 } as const);
const WITHOUT_INTEGRITY: KeysetList = {
  kind: 'limits_without_integrity',
  fingerprint: filterFingerprint('detectLimitsWithoutIntegrity', 'system', {}),
  positions: ['text', 'text'],
};

const parts = (rows: readonly ChangedColumns[]): { before?: ChangedColumns; after?: ChangedColumns } =>
  Object.fromEntries(rows.map((row) => [row.part, row]));

const existing = (limitId: string): ConflictError =>
  new ConflictError('a limit with this id exists', { details: { reason: 'unique', limitId } });

const ofTenant = <T>(work: () => Promise<T>): Promise<T> =>
  parentOr(work, () => new NotFoundError('there is no such tenant', { details: { field: 'tenantId' } }));

const ofLimit = <T>(limitId: string, work: () => Promise<T>): Promise<T> =>
  parentOr(work, () => new LimitNotFoundError(limitId));

/** A missing parent is the caller's mistake, not a conflict. */
async function parentOr<T>(work: () => Promise<T>, missing: () => NotFoundError): Promise<T> {
  try {
    return await guarded(work);
  } catch (error) {
    if (ConflictError.is(error) && error.details['reason'] === 'foreign_key') throw missing();
    throw error;
  }
}
